"""Directories of tags, as TIFF files and EXIF blocks have them: copied byte for byte, whatever their text's encoding.

TIFF 6.0 (Adobe 1992), section 2; BigTIFF (libtiff's specification); EXIF 3.0 (CIPA DC-008-2023), 4.5 and 4.6. Pillow
takes all text for Latin-1, writes ASCII, and gives each page the first one's tags.
"""

import struct
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL.ExifTags import IFD

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value of each of TIFF's types."""
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 1, 2, 3, 4, 5, 7
_LETTERS = {1: "u1", 3: "u2", 4: "u4", 6: "i1", 8: "i2", 9: "i4", 11: "f4", 12: "f8", 13: "u4", 16: "u8", 17: "i8"}
_LETTERS |= {5: "u4", 10: "i4", 18: "u8"}  # 5 and 10 are pairs

BELOW = (IFD.Exif, IFD.GPSInfo, IFD.Interop)
"""Tags that point to another directory; here they hold it."""
SUB_DIRECTORIES = 330
"""The tag that says where further pictures of a page are; it stays as it is."""
MOST_BYTES = 16_000_000  # of all of a directory's values: many tags may point to one large block; Photoshop's layers
MOST_TAGS = 1000


class Tag(NamedTuple):
    """A tag's type and its values, as bytes in little-endian order."""

    kind: int
    data: bytes

    @property
    def values(self) -> tuple:
        """Numbers; for RATIONAL quotients, 0 where the denominator is 0; for text and bytes the bytes themselves."""
        if self.kind not in _LETTERS:
            return (self.data,)
        numbers = np.frombuffer(self.data, "<" + _LETTERS[self.kind]).tolist()
        if self.kind in (5, 10):
            return tuple(a / b if b else 0 for a, b in zip(numbers[::2], numbers[1::2], strict=True))
        return tuple(numbers)


Directory = dict[int, "Tag | Directory"]


def tag_of(kind: int, *values: int) -> Tag:
    """A tag of whole numbers."""
    return Tag(kind, np.array(values, "<" + _LETTERS[kind]).tobytes())


class Header(NamedTuple):
    """How a TIFF file stores numbers, and where its first directory is."""

    order: str  # "<" or ">"
    is_big: bool  # BigTIFF
    first: int


def read_header(file: BinaryIO) -> Header:
    """The header of a TIFF file or an EXIF block. Raises ValueError."""
    file.seek(0)
    data = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        raise ValueError("no TIFF header")
    (version,) = struct.unpack_from(f"{order}H", data, 2)
    if version == 43 and len(data) == 16:
        return Header(order, True, *struct.unpack_from(f"{order}Q", data, 8))
    return Header(order, False, *struct.unpack_from(f"{order}L", data, 4))


def directories(file: BinaryIO, most: int) -> Iterator[tuple[int, Directory]]:
    """A TIFF file's chain of directories, one for each page, with the places where they begin; `most` at most.

    Raises ValueError for a broken one, or for a chain that bites its tail.
    """
    header = read_header(file)
    place, seen = header.first, set()
    while place and len(seen) < most:
        if place in seen:
            raise ValueError("its pages form a circle")
        seen.add(place)
        directory, following = read_directory(file, header, place)
        yield place, directory
        place = following


def read_directory(file: BinaryIO, header: Header, place: int, depth: int = 0) -> tuple[Directory, int]:
    """The directory at a place, with those below it, and the place of the next one. Raises ValueError."""
    order, is_big = header.order, header.is_big
    counted, entry, long = ("Q", "HHQ8s", 8) if is_big else ("H", "HHL4s", 4)
    file.seek(place)
    (count,) = _unpack(order + counted, file.read(struct.calcsize(order + counted)))
    if not 0 < count <= MOST_TAGS:
        raise ValueError(f"a directory of {count:,} tags")
    size = struct.calcsize(order + entry)
    table = file.read(count * size)
    (following,) = _unpack(order + ("Q" if is_big else "L"), file.read(long).ljust(long, b"\0"))
    found, room = {}, MOST_BYTES
    for number, kind, values, field in struct.iter_unpack(order + entry, table[: len(table) // size * size]):
        length = values * SIZES.get(kind, 0)
        if not length or number in found:
            continue
        if length > room:
            continue
        room -= length
        if length > long:
            file.seek(int.from_bytes(field, "little" if order == "<" else "big"))
            field = file.read(length)
        if len(field) < length:
            continue  # it ends before: one value less, and the picture may be good all the same
        tag = _ordered(kind, field[:length], order)
        if number in BELOW and tag.kind in (4, 13, 16, 18) and depth < 2:
            try:
                found[number] = read_directory(file, header, tag.values[0], depth + 1)[0]
            except ValueError:
                pass
        else:
            found[number] = tag
    return found, following


def _unpack(format: str, data: bytes) -> tuple:
    if len(data) < struct.calcsize(format):
        raise ValueError("it ends too early")
    return struct.unpack(format, data)


def _ordered(kind: int, data: bytes, order: str) -> Tag:
    if order == ">" and kind in _LETTERS:
        letters = _LETTERS[kind]
        data = np.frombuffer(data, ">" + letters).astype("<" + letters).tobytes()
    return Tag(kind, data)


def packed(directory: Directory, place: int) -> bytes:
    """A directory with all that belongs to it, little-endian, for a file in which it will begin at `place`.

    What only BigTIFF can hold is left out.
    """
    entries = [
        (n, tag)
        for n, tag in sorted(directory.items(), key=lambda entry: entry[0])
        if type(tag) is dict or tag.kind < 14
    ]
    beyond = place + 2 + 12 * len(entries) + 4
    table, rest = struct.pack("<H", len(entries)), b""
    for number, tag in entries:
        if isinstance(tag, dict):
            tag, below = tag_of(LONG, beyond + len(rest)), packed(tag, beyond + len(rest))
        else:
            below = b"" if len(tag.data) <= 4 else tag.data + bytes(len(tag.data) % 2)
        field = tag.data.ljust(4, b"\0") if len(tag.data) <= 4 else struct.pack("<L", beyond + len(rest))
        table += struct.pack("<HHL", number, tag.kind, len(tag.data) // SIZES[tag.kind]) + field
        rest += below
    return table + bytes(4) + rest


def as_block(directory: Directory) -> bytes:
    """A directory as an EXIF block, which begins with its TIFF header."""
    return b"II*\0" + struct.pack("<L", 8) + packed(directory, 8)


def from_block(block: bytes) -> Directory:
    """The first directory of an EXIF block. Raises ValueError."""
    file = BytesIO(block)
    return read_directory(file, header := read_header(file), header.first)[0]


def values_of(directory: Directory, number: int, *default) -> tuple:
    """The values of a tag, or what TIFF takes for them where it is missing."""
    tag = directory.get(number)
    return tag.values if isinstance(tag, Tag) else default
