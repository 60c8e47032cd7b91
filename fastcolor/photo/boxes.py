"""What HEIC, AVIF, JPEG XL, JPEG 2000, PNG and films say that their decoders keep to themselves."""

import re
from collections.abc import Iterator
from typing import BinaryIO

_HEAD = 1 << 18  # bytes in which all of it stands
_CODESTREAM = b"\xff\x0a"  # with which a bare JPEG XL image begins: ISO/IEC 18181-1


def bits_of(file: BinaryIO, name: str) -> int:
    """How many bits a sample has in a file of the format `name`; 8 where it is not known."""
    if name == "JPEG XL":
        return _jxl(file)[2]
    file.seek(0)
    head = file.read(_HEAD) if name in ("HEIC", "AVIF", "JPEG 2000") else b""
    if name in ("HEIC", "AVIF"):  # "pixi": ISO/IEC 23008-12, 6.5.6
        return max([8, *(found[1][0] for found in re.finditer(rb"pixi\0{4}[\1-\4](.)", head, re.DOTALL))])
    size = re.search(rb"\xff\x4f\xff\x51.{38}(.)", head, re.DOTALL)  # SIZ: ISO/IEC 15444-1, A.5.1
    return (size[1][0] & 127) + 1 if size else 8


def code_points(file: BinaryIO, name: str) -> tuple[int, int] | None:
    """Colour primaries and transfer characteristics, by the numbers of ITU-T H.273, where a file names them so."""
    mark = _POINTS.get(name)
    if mark is None:
        return None
    file.seek(0)
    found = re.search(mark, file.read(_HEAD).partition(b"IDAT")[0], re.DOTALL)
    return tuple(b"".join(found.groups())) if found else None


# cICP: PNG, third edition (W3C 2025), 11.3.2.6; "colr": ISO/IEC 14496-12, 12.1.5
_POINTS = {"PNG": rb"\0\0\0\x04cICP(..)"} | dict.fromkeys(("HEIC", "AVIF"), rb"colrnclx\0(.)\0(.)")


def jxl_size(file: BinaryIO) -> tuple[int, int]:
    """Width and height of a JPEG XL file, before its decoder takes memory for it. Raises ValueError."""
    return _jxl(file)[:2]


# Boxes that hold metadata: ISO/IEC 18181-2; XMP, part 3 (Adobe 2020), 1.1.4; and what ExifTool writes into JP2.
_XMP, _IPTC = bytes.fromhex("be7acfcb97a942e89c71999491e3afac"), bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38")
_TOLD = {b"xml ": "xmp", b"uuid" + _XMP: "xmp", b"uuid" + _IPTC: "iptc", b"uuidJpgTiffExif->JP2": "exif"}
_MOST = 1 << 24  # bytes of one of them


def told_in(file: BinaryIO, name: str, notes: list[str]) -> dict[str, bytes]:
    """EXIF, XMP and IPTC, by these names in lower case, in a file of a format whose decoder leaves them out.

    `notes` gets what is not read.
    """
    found: dict[str, bytes] = {}
    if name == "GIF":  # XMP, part 3, 1.1.2: ended by the bytes 1, 255, 254 and so on
        file.seek(0)
        xmp = re.search(rb"!\xff\x0bXMP DataXMP(.*?)\x01\xff\xfe\xfd", file.read(_MOST), re.DOTALL)
        return {"xmp": xmp[1]} if xmp else {}
    for kind, start, size in _boxes(file) if name in ("JPEG XL", "JPEG 2000") else ():
        file.seek(start)
        data = file.read(min(size, _MOST))
        if kind == b"uuid":
            kind, data = kind + data[:16], data[16:]
        if kind == b"brob" and data[:4] == b"xml ":
            notes.append("XMP left out: it is packed by Brotli")
        elif (what := _TOLD.get(kind)) and (what != "xmp" or b"RDF" in data):
            found.setdefault(what, data)
    return found


def film_xmp(file: BinaryIO) -> bytes | None:
    """The XMP of an MP4 or QuickTime film: ISO 16684-3, 8.1; exiftool writes it into QuickTime's user data."""
    for kind, start, size in _boxes(file):
        file.seek(start)
        if kind == b"uuid" and file.read(16) == _XMP:
            return file.read(min(size - 16, _MOST))
        for inner, at, length in _boxes(file, start, start + size) if kind == b"moov" else ():
            for told, where, count in _boxes(file, at, at + length) if inner == b"udta" else ():
                if told == b"XMP_":
                    file.seek(where)
                    return file.read(min(count, _MOST))
    return None


def _boxes(file: BinaryIO, place: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Kind, place and size of the boxes of a file, or between two places in it: ISO/IEC 14496-12, 4.2."""
    if end is None:
        end = file.seek(0, 2)
    while place + 8 <= end:
        file.seek(place)
        head = file.read(16)
        size, skip = int.from_bytes(head[:4], "big"), 8
        if size == 1:
            size, skip = int.from_bytes(head[8:], "big"), 16
        size = size or end - place
        if size < skip or head[:2] == _CODESTREAM:
            return
        yield head[4:8], place + skip, size - skip
        place += size


def _jxl(file: BinaryIO) -> tuple[int, int, int]:
    """Width, height and bits of a sample: ISO/IEC 18181-1, annex D."""
    start = next((start + 4 * (kind == b"jxlp") for kind, start, _ in _boxes(file) if kind in (b"jxlc", b"jxlp")), 0)
    file.seek(start)
    data = file.read(64)
    if data[:2] != _CODESTREAM:
        raise ValueError("no image in it")
    bits, place = int.from_bytes(data, "little"), 16

    def take(count: int) -> int:
        nonlocal place
        place += count
        return bits >> (place - count) & ((1 << count) - 1)

    def size() -> tuple[int, int]:
        small = take(1)
        height = 8 * (1 + take(5)) if small else 1 + take((9, 13, 18, 30)[take(2)])
        if ratio := take(3):
            across, down = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
            return height * across // down, height
        return (8 * (1 + take(5)) if small else 1 + take((9, 13, 18, 30)[take(2)])), height

    width, height = size()
    if take(1):  # all is as usual
        return width, height, 8
    if take(1):  # further fields
        take(3)  # orientation
        if take(1):  # another size, for which it was made
            size()
        if take(1) or take(1):  # a preview, an animation: rare, and long
            return width, height, 8
    is_float = take(1)
    depth = take(2)
    usual = (32, 16, 24) if is_float else (8, 10, 12)
    return width, height, usual[depth] if depth < 3 else 1 + take(6)
