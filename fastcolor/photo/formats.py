"""The image formats: all that the package knows of one stands in its row of `FORMATS`; to add one, add a row."""

import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fastcolor.photo import raw
from fastcolor.photo.deep import png_chunks, write_png
from fastcolor.photo.metadata import Metadata, as_resources
from fastcolor.photo.page import Page
from fastcolor.photo.tiff_write import write_tiff
from fastcolor.photo.xmp import parted

MOST_SCANNED = 10**10  # pixels times scans of a progressive JPEG, seconds: 400 scans of 81 megapixels fit into 200 kB
MOST_OF_RLE = 10_000_000  # pixels: Pillow decodes RLE, which BMP may have (compression 1 and 2), byte by byte in Python

Writer = Callable[[BinaryIO, Iterable[Page], list[str]], None]
"""Writes pages, with what is known of each, into an open file, and adds a note for each thing that gets lost."""


@dataclass(frozen=True)
class Format:
    """How files of one format are recognised, read and written."""

    name: str  # as messages say it
    pillow: tuple[str, ...]  # Pillow's names: the first one opens and writes it, an opened file may have any
    suffixes: tuple[str, ...]  # lower case; files named so count as photos, and are written in this format
    begins: bytes  # regular expression that matches a file's first bytes
    memory: int  # bytes a pixel while decoding: 4 of Pillow's, 3 of ours, and what the format's own library holds
    holds: tuple[str, ...]  # what can be kept of exif, xmp, iptc, rights, dpi, comment, text
    codec: Callable[[], bool] | None = None  # makes Pillow know the format; False if `package` is not installed
    package: str | None = None  # what brings the codec; an extra in setup.py names it too

    # reading
    pages: bool = False  # several pages are read and written; other formats give the first of their pictures
    inverts_cmyk: bool = False  # only files with Adobe's mark hold inverted CMYK; Pillow takes all for such
    refusal: Callable[[Path, Image.Image], str | None] | None = None  # why not to decode an opened page, if so
    rare: Callable[[bytes], str | None] = lambda beginning: None  # the same, of a file's first 26 bytes

    # writing
    alpha: bool = True  # holds transparency
    loss: str | None = None  # noted with every photo: what the format can't keep
    written_as: str | None = None  # suffix of what is written instead, if files of this format are not written
    limits: dict[str, int] = field(default_factory=dict)  # bytes of what it holds; no limit for what is not named
    defaults: dict[str, object] = field(default_factory=dict)  # of Pillow's encoder, where we want others than Pillow
    options: Callable[[int, Metadata, int], dict] = lambda quality, metadata, side: {}  # of Pillow's, for `write_photo`
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


def knows_jxl() -> bool:
    """Whether pillow-jxl-plugin is installed; Pillow knows JPEG XL from then on."""
    try:
        import pillow_jxl  # noqa: F401 (registers itself)
    except ImportError:
        return False
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


def _slow_pnm(path: Path, image: Image.Image) -> str | None:
    with open(path, "rb") as file:
        is_text = file.read(2) in (b"P1", b"P2", b"P3")
    if not is_text or image.width * image.height <= MOST_OF_RLE:
        return None
    return "is a large PNM file whose numbers are text, which would take minutes to read: save it as binary PNM"


def _odd_psd(path: Path, image: Image.Image) -> str | None:
    merged = next((data for number, _, data in image.resources if number == 1057), b"")  # version info
    if len(merged) < 5 or merged[4]:
        return None
    return "holds layers only: save it in Photoshop with 'Maximize Compatibility', which adds the flattened picture"


def _deep_psd(beginning: bytes) -> str | None:
    if len(beginning) < 26:
        return None
    bits, mode = struct.unpack_from(">HH", beginning, 22)
    if bits <= 8 and mode not in (7, 9):
        return None
    what = {7: "inks of its own", 9: "Lab"}.get(mode, f"{bits} bits")
    return f"is a PSD file of {what}, which are not read: save it as TIFF"


def _webp(quality: int, metadata: Metadata, side: int) -> dict:
    return _xmp(quality, metadata, side) | {"lossless": quality == 100}


def _png(quality: int, metadata: Metadata, side: int) -> dict:
    text = PngInfo()
    for name, data in png_chunks(metadata):
        text.add(name, data)
    return {"compress_level": 3, "pnginfo": text}  # twice as fast as Pillow's 6, and no larger on photos


def _jpeg(quality: int, metadata: Metadata, side: int) -> dict:
    segments = [(b"\xff\xe1", part) for part in parted(metadata.xmp)] if metadata.xmp else []
    segments += [(b"\xff\xed", resources) for resources in as_resources(metadata)]
    extra = b"".join(marker + (len(data) + 2).to_bytes(2, "big") + data for marker, data in segments)
    return {"quality": quality, "extra": extra}


def _heic(quality: int, metadata: Metadata, side: int) -> dict:
    # Pillow-HEIF's default takes 19 s of CPU for 12 megapixels. A sharp photo, "ultrafast": 5.3 s; with blocks of one
    # size besides: 3.0 s, 7 % larger and 0.1 dB worse. x265's other options bring less than 10 %
    params = {"preset": "ultrafast"} | ({"x265:min-cu-size": "32"} if side >= 32 else {})
    return {"quality": quality, "enc_params": params, "xmp": metadata.xmp}


def _xmp(quality: int, metadata: Metadata, side: int) -> dict:
    return {"quality": quality} | ({"xmp": metadata.xmp} if metadata.xmp else {})


# A file's content decides, not its name, and only these decoders are tried: Pillow's rarer ones are rarely hardened.
FORMATS = (
    Format(
        "JPEG",
        pillow=("JPEG", "MPO"),  # MPO, several pictures in a file: many phones write it as .jpg
        suffixes=(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"),
        begins=rb"\xff\xd8",
        memory=7,
        inverts_cmyk=True,
        refusal=_too_many_scans,
        alpha=False,
        holds=("exif", "xmp", "iptc", "rights", "dpi", "comment"),
        limits={"exif": 65527, "iptc": 65500, "rights": 65500, "comment": 65533},  # one segment
        defaults={"quality": 95, "subsampling": 0},  # colour at full resolution: it is learned from, and painted
        options=_jpeg,
    ),
    Format(
        "PNG",
        pillow=("PNG",),
        suffixes=(".png",),
        begins=rb"\x89PNG",
        memory=7,
        holds=("exif", "xmp", "iptc", "dpi", "comment", "text"),
        options=_png,
        deep_writer=write_png,
    ),
    Format(
        "WebP",
        pillow=("WEBP",),
        suffixes=(".webp",),
        begins=rb"RIFF....WEBP",
        memory=16,
        holds=("exif", "xmp"),
        defaults={"lossless": True},
        options=_webp,
    ),
    Format(
        "raw",  # before TIFF, for which the others are taken at first: `raw.is_raw`
        pillow=(),
        suffixes=raw.SUFFIXES,
        begins=raw.BEGINS,
        memory=16,  # and the file itself
        codec=raw.knows_raw,
        package="rawpy",
        written_as=".tif",
        holds=(),
    ),
    Format(
        "BMP",
        pillow=("BMP",),
        suffixes=(".bmp",),
        begins=rb"BM",
        memory=10,
        refusal=_large_rle,
        alpha=False,
        holds=("dpi",),
    ),
    Format(
        "TIFF",
        pillow=("TIFF",),
        suffixes=(".tif", ".tiff"),
        begins=rb"II|MM",
        memory=10,
        pages=True,
        holds=("exif", "xmp", "iptc", "rights", "dpi"),
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
        holds=("comment",),
        limits={"comment": 10_000},
    ),
    Format(
        "HEIC",
        pillow=("HEIF",),
        suffixes=(".heic", ".heif", ".hif"),
        begins=rb"....ftyp(hei[cxms]|hev[cx]|mif1|msf1)",  # ISO/IEC 23008-12, B and C
        memory=16,
        codec=knows_heic,
        package="pillow-heif",
        holds=("exif", "xmp"),
        options=_heic,
    ),
    Format(
        "AVIF",
        pillow=("AVIF",),
        suffixes=(".avif",),
        begins=rb"....ftypavi[fs]",
        memory=24,
        holds=("exif", "xmp"),
        defaults={"speed": 10},  # of 10: 2.5 s of CPU for 12 megapixels, at 8 7 s for a file 4 % smaller
        options=_xmp,
    ),
    Format(
        "JPEG 2000",
        pillow=("JPEG2000",),
        suffixes=(".jp2", ".j2k", ".jpx", ".jpf"),
        begins=rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
        memory=28,
        holds=("comment",),
    ),
    Format(
        "JPEG XL",
        pillow=("JXL",),
        suffixes=(".jxl",),
        begins=rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n",
        memory=28,
        codec=knows_jxl,
        package="pillow-jxl-plugin",
        holds=("exif", "xmp"),
        options=_xmp,
    ),
    Format(
        "PNM",
        pillow=("PPM",),
        suffixes=(".pnm", ".ppm", ".pgm", ".pbm", ".pfm"),
        begins=rb"P([1-6]|f)\s",
        memory=12,
        refusal=_slow_pnm,
        alpha=False,
        holds=(),
    ),
    Format(
        "PSD",
        pillow=("PSD",),
        suffixes=(".psd",),
        begins=rb"8BPS\0\x01",
        memory=10,
        refusal=_odd_psd,
        rare=_deep_psd,
        written_as=".tif",
        holds=(),
    ),
    Format(
        "TGA",  # has no mark: these are the fields that can't have other values
        pillow=("TGA",),
        suffixes=(".tga",),
        begins=rb".\0[\x02\x03\n\x0b]\0\0\0\0\0|.\x01[\x01\t]..[\0\x01].[\x10\x18\x20]",
        memory=10,
        holds=(),
    ),
)

SUFFIXES = {suffix: format for format in FORMATS for suffix in format.suffixes}
"""What counts as a photo in a folder, and the format of such a file."""

RAW = SUFFIXES[".dng"]
"""Raw files, which no decoder of Pillow's reads."""

_BY_PILLOW = {name: format for format in FORMATS for name in format.pillow}


def format_of(path: str | Path) -> Format:
    """The format in which a file of this name is written. Raises KeyError for a suffix that is not in `SUFFIXES`."""
    return SUFFIXES[Path(path).suffix.lower()]


def format_in(beginning: bytes) -> Format | None:
    """The format of a file's content, by its first 26 bytes, whatever its name; None if it is no format of ours."""
    return next((format for format in FORMATS if re.match(format.begins, beginning, re.DOTALL)), None)


def format_opened(image: Image.Image) -> Format:
    """The format of a file that Pillow has opened."""
    return _BY_PILLOW[image.format]
