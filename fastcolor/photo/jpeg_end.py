"""JPEG files that lack their last bytes: coloured all the same if every pixel is there. And kinds that are not read."""

import re
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

END = b"\xff\xd9"  # EOI, the marker with which a JPEG ends
NOTE = "its last bytes are missing, but no pixel"


def ended(image: Image.Image, notes: list[str]) -> None:
    """Load an opened JPEG's pixels as if its end were there. Raises OSError if pixels are missing, too."""
    read, file, missing = image.load_read, image.fp, []

    def with_end(size: int) -> bytes:
        data = read(size)
        if data or missing:
            return data
        missing.append(True)
        return END

    image.load_read = with_end
    try:
        image.load()
    finally:
        del image.load_read  # it and the image would hold each other, and the image its pixels
    if not missing:
        return
    if not _is_whole(image, file):
        raise OSError("image file is truncated")
    notes.append(NOTE)


def _is_whole(image: Image.Image, file: BinaryIO) -> bool:
    """Whether all pixels were in the file, whose end was not.

    libjpeg makes what is missing mid-grey, so of a sequential JPEG the last block says it. A progressive one is passed
    over several times, and its last pass must have begun.
    """
    if "progressive" not in image.info:
        last = image.crop((image.width - 1 - (image.width - 1) % 8, image.height - 1, image.width, image.height))
        return bool((np.asarray(last) != 128).any())
    file.seek(0)
    data, fine = file.read(), set()
    for scan in re.finditer(rb"\xff\xda..([\1-\4])", data, re.DOTALL):
        count = scan[1][0]
        parts, rest = data[scan.end() : scan.end() + 2 * count], data[scan.end() + 2 * count :][:3]
        if len(rest) == 3 and rest[2] & 15 == 0:  # all bits
            fine |= {(part, rest[0] > 0, place) for part in parts[::2] for place in range(rest[0], rest[1] + 1)}
    names = {part for part, _, _ in fine}
    return len(names) >= len(image.getbands()) and len(fine) == 64 * len(names)


def rare_kind(path: Path) -> str | None:
    """What kind of JPEG a file is that libjpeg does not read, by its frame's marker: ITU-T T.81, B.2.2."""
    with open(path, "rb") as file:
        head = file.read(1 << 18)
    place = 2
    while head[place : place + 1] == b"\xff" and place + 5 <= len(head):
        marker = head[place + 1]
        if marker == 0xF7:
            return "JPEG-LS file"
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits = head[place + 4]
            return f"JPEG file of {bits} bits" if bits != 8 else "JPEG file of a rare kind"
        place += 2 + int.from_bytes(head[place + 2 : place + 4], "big")
    return None
