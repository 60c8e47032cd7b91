"""Opens photo files that may be anything: hardened decoders only, nothing too large, each failure in one sentence."""

import errno
import logging
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from PIL import Image

from fastcolor.errors import UnreadablePhoto, one_line
from fastcolor.photo.deep import is_deep

# Only these decoders are tried: a file decides by its content, and Pillow's rarer formats are rarely hardened. JPEG's
# reads MPO too, which many phones write as .jpg; HEIF's is tried on HEIC files alone, where it is installed.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
_BEGINNINGS = {
    b"\xff\xd8": "JPEG", b"\x89PNG": "PNG", b"RIFF": "WebP", b"BM": "BMP", b"II": "TIFF", b"MM": "TIFF", b"GIF8": "GIF"
}  # fmt: skip
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")  # ISO/IEC 23008-12, B and C

# A photo is read, coloured and written within 2 GB: the program itself takes some 500 MB, which leaves so much for
# pixels. At 7 bytes for each, as most files need, that makes 200 megapixels, the most that a camera phone has.
MEMORY = 1_400_000_000
MOST_PAGES = 1000
MOST_SCANNED = 10**10  # pixels times scans of a progressive JPEG, seconds: 400 scans of 81 megapixels fit into 200 kB
MOST_OF_RLE = 10_000_000  # pixels: Pillow decodes RLE, which BMP may have (compression 1 and 2), byte by byte in Python
# Bytes for each pixel while a file is decoded: 4 of Pillow's, 3 of ours, and what the format's own library holds.
_NEEDS = {"JPEG": 7, "MPO": 7, "PNG": 7, "GIF": 7, "BMP": 10, "TIFF": 10, "WEBP": 16, "HEIF": 16}
# Pillow warns above its limit and refuses above twice that. Whoever has lifted it keeps that.
if Image.MAX_IMAGE_PIXELS is not None:
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, MEMORY // 7 // 2)
# Odd metadata is no reason for a warning in the middle of progress; what matters is noted with the photo.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())

_REASONS = {
    errno.ENOENT: "there is no such file",
    errno.EACCES: "may not be read: check its permissions",
    errno.EPERM: "may not be read: check its permissions",
    errno.ELOOP: "is a link that leads in a circle",
}


@contextmanager
def opened(path: str | Path) -> Iterator[Image.Image]:
    """A photo file as Pillow opens it, nothing decoded yet. What goes wrong in the block becomes UnreadablePhoto."""
    beginning = b""
    try:
        mode = Path(path).stat().st_mode
        if not stat.S_ISREG(mode):  # a pipe would be waited for
            raise UnreadablePhoto(path, "is a folder, not a photo" if stat.S_ISDIR(mode) else "is no ordinary file")
        with open(path, "rb") as file:
            beginning = file.read(12)
            file.seek(0)
            heic = beginning[4:8] == b"ftyp" and beginning[8:] in _HEIC_BRANDS
            if heic and not knows_heic():
                raise UnreadablePhoto(path, "is a HEIC photo: pip install 'fastcolor[heic]' lets it be read")
            with Image.open(file, formats=("HEIF",) if heic else FORMATS) as image:
                yield image
    except UnreadablePhoto:
        raise
    except Image.UnidentifiedImageError:
        raise UnreadablePhoto(path, _what_else(beginning)) from None
    except (Image.DecompressionBombError, MemoryError):
        raise UnreadablePhoto(path, "has far more pixels than fit into memory: make it smaller first") from None
    except Exception as error:  # decoders raise almost anything (OSError, SyntaxError, struct.error) on broken data
        reason = _REASONS.get(getattr(error, "errno", None)) or f"can't be decoded ({one_line(error)})"
        raise UnreadablePhoto(path, reason) from error


@cache
def knows_heic() -> bool:
    """Whether pillow-heif is installed; Pillow knows HEIC from then on."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def _what_else(beginning: bytes) -> str:
    if not beginning:
        return "is empty"
    kind = next((name for start, name in _BEGINNINGS.items() if beginning.startswith(start)), None)
    if kind is None:
        return f"is none of {', '.join(FORMATS)}, HEIC"
    return f"is a broken {kind} file, or one of a rare kind: save it anew in an image editor"


def memory_for(image: Image.Image) -> int:
    """About how many bytes an opened image, nothing decoded yet, takes while it is read."""
    bytes_each = _NEEDS[image.format] + 3 * ("progressive" in image.info) + 6 * is_deep(image)
    return image.width * image.height * bytes_each


def refuse_too_large(path: str | Path, image: Image.Image, memory: int) -> None:
    """Raise UnreadablePhoto for an opened image that takes too long, or `memory` bytes, with others, if too many."""
    if image.info.get("compression") in (1, 2) and image.width * image.height > MOST_OF_RLE:
        raise UnreadablePhoto(path, "is a large BMP file compressed by RLE, which takes minutes: save it uncompressed")
    if "progressive" in image.info and image.width * image.height * _scans(path) > MOST_SCANNED:
        raise UnreadablePhoto(path, "is a JPEG file of far too many scans, which takes minutes: save it anew")
    if memory > MEMORY:
        need = f"{memory / 1e9:.1f} GB of memory, more than {MEMORY / 1e9:.1f}"
        raise UnreadablePhoto(path, f"has so many pixels that they would take {need}: make it smaller first")


def _scans(path: str | Path) -> int:
    """About how many scans a JPEG file has: the marker can't stand in their data, and rarely does elsewhere."""
    with open(path, "rb") as file:
        return sum(block.count(b"\xff\xda") for block in iter(lambda: file.read(1 << 20), b""))


def pages_of(path: str | Path, image: Image.Image) -> list[int]:
    """`memory_for` each page of an opened image; all but TIFF have one. Raises UnreadablePhoto if they are too much."""
    pages = []
    while True:
        pages.append(memory_for(image))
        refuse_too_large(path, image, sum(pages))
        if image.format != "TIFF":
            return pages
        try:
            image.seek(len(pages))  # not n_frames: Pillow takes minutes to count the pages of a file made of them
        except EOFError:
            return pages
        if len(pages) == MOST_PAGES:
            raise UnreadablePhoto(path, f"has more than {MOST_PAGES:,} pages: split it")


def memory_of(path: str | Path) -> int:
    """About how many bytes it takes to read a photo file, going by what its header says; 0 for what can't be read."""
    try:
        with opened(path) as image:
            return sum(pages_of(path, image))
    except UnreadablePhoto:
        return 0
