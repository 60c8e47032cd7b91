"""JPEG files that lack their last bytes: coloured all the same if every pixel is there."""

import re
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
