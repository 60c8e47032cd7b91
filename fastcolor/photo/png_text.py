"""The text in a PNG file: kept byte for byte, and left out where it is so long that Pillow refuses the photo for it."""

import struct
import zlib
from io import BytesIO
from typing import BinaryIO

from fastcolor.errors import printable

MOST = 1 << 20  # bytes of one text, unpacked: Pillow's own limit
MOST_TOGETHER = 1 << 24
_KINDS = (b"tEXt", b"zTXt", b"iTXt")
_ELSEWHERE = (b"XML:com.adobe.xmp", b"Raw profile type ")  # XMP, EXIF and IPTC, which are kept as what they are


def without_long_text(file: BinaryIO, notes: list[str]) -> tuple[BinaryIO, tuple[tuple[bytes, bytes], ...]]:
    """The file, or a copy without texts that are too long, and the chunks (name, data) of the other texts."""
    text, long, total, place = [], [], 0, 8
    while True:
        file.seek(place)
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            break
        (length,) = struct.unpack(">L", head[:4])
        if head[4:] in _KINDS:
            data = file.read(min(length, MOST))
            keyword = data[:79].partition(b"\0")[0]
            total += (size := _size(head[4:], data))
            if length > MOST or size > MOST or total > MOST_TOGETHER:
                long.append((place, place + 12 + length))
                notes.append(f"text {printable(keyword.decode('latin-1'))!r} left out: it is too long")
                total -= size
            elif not keyword.startswith(_ELSEWHERE):
                text.append((head[4:], data))
        place += 12 + length
    if not long:
        return file, tuple(text)
    file.seek(0)
    data, kept, start = file.read(), BytesIO(), 0
    for first, end in [*long, (len(data), 0)]:
        kept.write(data[start:first])
        start = end
    return kept, tuple(text)


def _size(kind: bytes, data: bytes) -> int:
    """How long a chunk's text is, unpacked; MOST + 1 if it is longer than MOST."""
    _, _, rest = data.partition(b"\0")
    if kind == b"iTXt" and rest[:1] == b"\1":
        packed = rest[2:].split(b"\0", 2)[-1]
    elif kind == b"zTXt":
        packed = rest[1:]
    else:
        return len(data)
    try:
        return len(zlib.decompressobj().decompress(packed, MOST + 1))
    except zlib.error:
        return len(data)


def raw_profile(name: str, data: bytes) -> bytes:
    """A zTXt chunk's data that holds a profile, such as IPTC, as ImageMagick and exiftool write it."""
    hexed = data.hex()
    lines = "\n".join(hexed[n : n + 72] for n in range(0, len(hexed), 72))
    return f"Raw profile type {name}\0\0".encode() + zlib.compress(f"\n{name}\n{len(data):8}\n{lines}\n".encode())
