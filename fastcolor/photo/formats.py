"""The image formats: all that the package knows of one stands in its row of `FORMATS`; to add one, add a row."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from PIL import Image
from PIL.ExifTags import Base
from PIL.PngImagePlugin import PngInfo

from fastcolor.photo.deep import PNG_XMP, write_png, write_tiff
from fastcolor.photo.metadata import Metadata
from fastcolor.photo.page import Page

MOST_SCANNED = 10**10  # pixels times scans of a progressive JPEG, seconds: 400 scans of 81 megapixels fit into 200 kB
MOST_OF_RLE = 10_000_000  # pixels: Pillow decodes RLE, which BMP may have (compression 1 and 2), byte by byte in Python

Writer = Callable[[BinaryIO, list[Page], Metadata, list[str]], None]
"""Writes pages and what is known of the photo into an open file, and adds a note for each thing that gets lost."""


@dataclass(frozen=True)
class Format:
    """How files of one format are recognised, read and written."""

    name: str  # as messages say it
    pillow: tuple[str, ...]  # Pillow's names: the first one opens and writes it, an opened file may have any
    suffixes: tuple[str, ...]  # lower case; files named so count as photos, and are written in this format
    begins: bytes  # regular expression that matches a file's first 12 bytes
    memory: int  # bytes a pixel while decoding: 4 of Pillow's, 3 of ours, and what the format's own library holds
    codec: Callable[[], bool] | None = None  # makes Pillow know the format; False if `extra` is not installed
    extra: str | None = None  # the extra of this package (pip install 'fastcolor[extra]') that brings the codec

    # reading
    pages: bool = False  # several pages are read and written; other formats give the first of their pictures
    inverts_cmyk: bool = False  # only files with Adobe's mark hold inverted CMYK; Pillow takes all for such
    refusal: Callable[[Path, Image.Image], str | None] | None = None  # why not to decode an opened page, if so

    # writing
    alpha: bool = True  # holds transparency
    loss: str | None = None  # noted with every photo: what the format can't keep
    limits: dict[str, int] = field(default_factory=dict)  # bytes of exif, xmp, comment; no limit for what is not named
    defaults: dict[str, object] = field(default_factory=dict)  # of Pillow's encoder, where we want others than Pillow
    options: Callable[[int, Metadata], dict] = lambda quality, metadata: {}  # of Pillow's encoder, for `write_photo`
    writer: Writer | None = None  # our own, if photos of 8 bits are not written by Pillow
    deep_writer: Writer | None = None  # our own, of 16 bits; without one, 16 bits are reduced to 8


def knows_heic() -> bool:
    """Whether pillow-heif is installed; Pillow knows HEIC from then on."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def _too_many_scans(path: Path, image: Image.Image) -> str | None:
    if "progressive" not in image.info:
        return None
    with open(path, "rb") as file:  # the marker of a scan can't stand in its data, and rarely does elsewhere
        scans = sum(block.count(b"\xff\xda") for block in iter(lambda: file.read(1 << 20), b""))
    if image.width * image.height * scans <= MOST_SCANNED:
        return None
    return "is a progressive JPEG with far too many scans, which would take minutes to read: save it again"


def _large_rle(path: Path, image: Image.Image) -> str | None:
    if image.info.get("compression") not in (1, 2) or image.width * image.height <= MOST_OF_RLE:
        return None
    return "is a large BMP file with RLE compression, which would take minutes to read: save it uncompressed"


def _odd_tiff(path: Path, image: Image.Image) -> str | None:
    """What Pillow would read wrongly without saying so."""
    tags = image.tag_v2
    if tags.get(Base.PlanarConfiguration) == 2 and max(tags.get(Base.BitsPerSample, (1,))) > 8:
        return "has 16-bit channels in separate planes: save it with interleaved channels"
    covered = sum((right - left) * (bottom - top) for _, (left, top, right, bottom), *_ in image.tile)
    return "is damaged: some of its rows are missing" if covered < image.width * image.height else None


def _quality(quality: int, metadata: Metadata) -> dict:
    return {"quality": quality}


def _webp(quality: int, metadata: Metadata) -> dict:
    return {"quality": quality, "lossless": quality == 100}


def _png(quality: int, metadata: Metadata) -> dict:
    text = PngInfo()
    if metadata.xmp:
        text.add(b"iTXt", PNG_XMP + metadata.xmp)
    return {"compress_level": 3, "pnginfo": text}  # twice as fast as Pillow's 6, and no larger on photos


# A file's content decides, not its name, and only these decoders are tried: Pillow's rarer ones are rarely hardened.
FORMATS = (
    Format(
        "JPEG",
        pillow=("JPEG", "MPO"),  # MPO, several pictures in a file: many phones write it as .jpg
        suffixes=(".jpg", ".jpeg"),
        begins=rb"\xff\xd8",
        memory=7,
        inverts_cmyk=True,
        refusal=_too_many_scans,
        alpha=False,
        limits={"exif": 65533, "xmp": 65504, "comment": 65533},  # one segment, less XMP's own heading
        defaults={"quality": 95, "subsampling": 0},  # colour at full resolution: it is learned from, and painted
        options=_quality,
    ),
    Format(
        "PNG",
        pillow=("PNG",),
        suffixes=(".png",),
        begins=rb"\x89PNG",
        memory=7,
        options=_png,
        deep_writer=write_png,
    ),
    Format(
        "WebP",
        pillow=("WEBP",),
        suffixes=(".webp",),
        begins=rb"RIFF....WEBP",
        memory=16,
        defaults={"lossless": True},
        options=_webp,
    ),
    Format(
        "BMP",
        pillow=("BMP",),
        suffixes=(".bmp",),
        begins=rb"BM",
        memory=10,
        refusal=_large_rle,
        alpha=False,
        limits={"exif": 0, "xmp": 0},
    ),
    Format(
        "TIFF",
        pillow=("TIFF",),
        suffixes=(".tif", ".tiff"),
        begins=rb"II|MM",
        memory=10,
        pages=True,
        refusal=_odd_tiff,
        writer=write_tiff,
        deep_writer=write_tiff,
    ),
    Format(
        "GIF",
        pillow=("GIF",),
        suffixes=(".gif",),
        begins=rb"GIF8",
        memory=7,
        loss="reduced to 256 colours: GIF can't hold more (--format png keeps all)",
        limits={"exif": 0, "xmp": 0},
    ),
    Format(
        "HEIC",
        pillow=("HEIF",),
        suffixes=(".heic", ".heif"),
        begins=rb"....ftyp(hei[cxms]|hev[cx]|mif1|msf1)",  # ISO/IEC 23008-12, B and C
        memory=16,
        codec=knows_heic,
        extra="heic",
        options=_quality,
    ),
)

SUFFIXES = {suffix: format for format in FORMATS for suffix in format.suffixes}
"""What counts as a photo in a folder, and the format in which such a file is written."""

_BY_PILLOW = {name: format for format in FORMATS for name in format.pillow}


def format_of(path: str | Path) -> Format:
    """The format in which a file of this name is written. Raises KeyError for a suffix that is not in `SUFFIXES`."""
    return SUFFIXES[Path(path).suffix.lower()]


def format_in(beginning: bytes) -> Format | None:
    """The format of a file's content, by its first 12 bytes, whatever its name; None if it is no format of ours."""
    return next((format for format in FORMATS if re.match(format.begins, beginning, re.DOTALL)), None)


def format_opened(image: Image.Image) -> Format:
    """The format of a file that Pillow has opened."""
    return _BY_PILLOW[image.format]
