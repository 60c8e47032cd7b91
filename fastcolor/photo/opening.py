"""Opens photo files that may be anything: hardened decoders only, nothing too large, each failure in one sentence."""

import errno
import logging
import mmap
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from PIL import Image
from PIL.ExifTags import Base

from fastcolor.errors import UnreadablePhoto, one_line
from fastcolor.photo import raw
from fastcolor.photo.boxes import jxl_size
from fastcolor.photo.deep import is_deep
from fastcolor.photo.formats import FORMATS, RAW, SUFFIXES, Format, format_in, format_opened
from fastcolor.photo.jpeg_end import rare_kind
from fastcolor.photo.png_text import without_long_text
from fastcolor.photo.tags import Directory, Header, directories, read_header, values_of
from fastcolor.photo.tiff_read import NotRead, is_for_pillow, layout_of

# A photo is read, coloured and written within 2 GB: the program itself takes some 500 MB, which leaves this much for
# pixels. At 7 bytes for each, as most files need, that makes 200 megapixels, the most that a camera phone has.
MEMORY = 1_400_000_000
MOST_PAGES = 1000
# Pillow warns above its limit and refuses above twice that. Whoever has lifted it keeps that.
if Image.MAX_IMAGE_PIXELS is not None:
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, MEMORY // 7 // 2)
# Odd metadata is no reason for a warning in the middle of progress; what matters is noted with the photo.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())

_REASONS = {
    errno.ENOENT: "there is no such file",
    errno.EACCES: "can't be read: check its permissions",
    errno.EPERM: "can't be read: check its permissions",
    errno.ELOOP: "is a link that leads back to itself",
}


@dataclass(frozen=True)
class Head:
    """What is known of a page before it is decoded. `tags` and `place` are those of a TIFF page's directory."""

    width: int
    height: int
    memory: int  # bytes, about, that it takes while it is read
    tags: Directory | None = None
    place: int = 0


class Source:
    """An opened photo file, nothing decoded yet. `notes` get what is lost."""

    def __init__(self, path: Path, file: BinaryIO, format: Format, tolerant: bool):
        self.path, self.file, self.format, self.tolerant, self.notes = path, file, format, tolerant, []
        self.text: tuple[tuple[bytes, bytes], ...] = ()  # chunks of a PNG
        if format.name == "PNG":
            self.file, self.text = without_long_text(file, self.notes)
        self.header: Header | None = read_header(file) if format.pages else None

    def image(self, head: Head | None = None) -> Image.Image:
        """The file, or one of a TIFF's pages, as Pillow opens it."""
        self.file.seek(0)
        file = self.file if head is None or head.tags is None else _AtPage(self.file, self.header, head.place)
        return Image.open(file, formats=self.format.pillow[:1])

    def heads(self) -> list[Head]:
        """All pages that are photos. Raises UnreadablePhoto if one can't be read or is too large, or for too many."""
        if self.format is RAW:
            width, height = raw.size_of(self.file)
            heads = [Head(width, height, width * height * RAW.memory + os.fstat(self.file.fileno()).st_size)]
            self._refuse(heads[0], None)
            return heads
        if self.format.name == "JPEG XL":  # its decoder takes memory for all pixels when it opens a file
            width, height = jxl_size(self.file)
            self._refuse(Head(width, height, width * height * self.format.memory), None)
        if not self.format.pages:
            image = self.image()
            heads = [Head(image.width, image.height, memory_for(image))]
            self._refuse(heads[0], image)
            return heads
        heads, others = [], 0
        for place, tags in directories(self.file, MOST_PAGES + 1):
            if len(heads) + others == MOST_PAGES:
                raise UnreadablePhoto(self.path, f"has more than {MOST_PAGES:,} pages: split it")
            if _is_photo(tags):
                heads.append(self._tiff_head(place, tags))
            else:
                others += 1
        if not heads:  # a thumbnail of nothing is the photo
            heads = [self._tiff_head(place, tags) for place, tags in directories(self.file, 1)]
            others -= 1
        if others > 0:
            self.notes.append(f"{others} of its pages left out: thumbnails or masks")
        if _is_pyramid(heads):
            self.notes.append(f"{len(heads) - 1} of its pages left out: the first one, made smaller")
            del heads[1:]
        if not heads:
            raise UnreadablePhoto(
                self.path, "is a broken TIFF file, or of a rare kind: save it again in an image editor"
            )
        return heads

    def _tiff_head(self, place: int, tags: Directory) -> Head:
        if is_for_pillow(tags):
            width, height = (int(values_of(tags, tag, 0)[0]) for tag in (Base.ImageWidth, Base.ImageLength))
            head = Head(width, height, width * height * self.format.memory, tags, place)
            self._refuse(head, None)
            return head
        layout = layout_of(tags)
        head = Head(layout.width, layout.height, layout.memory, tags, place)
        self._refuse(head, None)
        return head

    def _refuse(self, head: Head, image: Image.Image | None) -> None:
        """Raise UnreadablePhoto if a page would be read for minutes, or needs too much memory."""
        if image and self.format.refusal and (reason := self.format.refusal(self.path, image)):
            raise UnreadablePhoto(self.path, reason)
        if head.memory > MEMORY:
            raise UnreadablePhoto(self.path, too_large(head.memory))


def too_large(memory: int) -> str:
    """The sentence about a photo that needs so many bytes of memory."""
    need = f"{-(-memory // 10_000_000) / 100:.2f} GB of memory, and the limit is {MEMORY / 1e9:.2f} GB"
    return f"would need {need}: make it smaller first"


def _is_photo(tags: Directory) -> bool:
    """Whether a page is neither a smaller version of another one nor a mask: TIFF 6.0, sections 8 and 9."""
    (kind,), (old,) = values_of(tags, Base.NewSubfileType, 0)[:1], values_of(tags, Base.SubfileType, 1)[:1]
    return isinstance(kind, int) and not kind & 0b101 and old != 2


def _is_pyramid(pages: list[Head]) -> bool:
    """Whether pages are one photo, halved again and again until it is a thumbnail, though they don't say so.

    ImageMagick (PTIF) marks such pages as an album's. No album has this: at least three pages, each half as wide and as
    high as the one before, rounded either way, the last one of at most 256 px.
    """
    sizes = [(page.width, page.height) for page in pages]
    halved = (
        half in (whole // 2, -(-whole // 2))
        for larger, smaller in pairwise(sizes)
        for whole, half in zip(larger, smaller, strict=True)
    )
    return len(sizes) > 2 and max(sizes[-1]) <= 256 and all(halved)


class _AtPage:
    """A TIFF file whose header names another page first: Pillow refuses a file whose first page it can't read."""

    def __init__(self, file: BinaryIO, header: Header, place: int):
        letters = "little" if header.order == "<" else "big"
        self._file, self._first, self._at = (
            file,
            place.to_bytes(8 if header.is_big else 4, letters),
            8 * header.is_big or 4,
        )
        self.seek, self.tell, self.fileno, self.flush = file.seek, file.tell, file.fileno, file.flush

    def read(self, size: int = -1) -> bytes:
        """As of a file."""
        start = self._file.tell()
        data = bytearray(self._file.read(size))
        for n, byte in enumerate(self._first, self._at - start):
            if 0 <= n < len(data):
                data[n] = byte
        return bytes(data)


@contextmanager
def opened(path: str | Path, tolerant: bool = False) -> Iterator[Source]:
    """A photo file, nothing decoded yet. What goes wrong in the block becomes UnreadablePhoto.

    With `tolerant`, what there is of a truncated file is decoded.
    """
    format, path = None, Path(path)
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # a pipe would be waited for
            raise UnreadablePhoto(path, "is a folder, not a photo" if stat.S_ISDIR(mode) else "is not a regular file")
        with open(path, "rb") as file:
            format = _recognised(path, file)
            yield Source(path, file, format, tolerant)
    except UnreadablePhoto:
        raise
    except NotRead as error:
        raise UnreadablePhoto(path, str(error)) from None
    except Image.UnidentifiedImageError:
        kind = f"is a {rare}, which is not read" if format.name == "JPEG" and (rare := rare_kind(path)) else None
        reason = kind or f"is a broken {format.name} file, or of a rare kind"
        raise UnreadablePhoto(path, f"{reason}: save it again in an image editor") from None
    except (Image.DecompressionBombError, MemoryError):
        raise UnreadablePhoto(path, "has far more pixels than fit in memory: make it smaller first") from None
    except Exception as error:  # decoders raise almost anything (OSError, SyntaxError, struct.error) on broken data
        reason = _REASONS.get(getattr(error, "errno", None)) or f"can't be decoded ({one_line(error)})"
        raise UnreadablePhoto(path, reason) from error


def _recognised(path: Path, file: BinaryIO) -> Format:
    """The format of an opened file. Raises UnreadablePhoto if it is none of ours, or no codec for it is installed."""
    beginning = file.read(26)
    if not beginning:
        raise UnreadablePhoto(path, "is empty")
    format = format_in(beginning)
    if format is None or format.pages:
        is_named_raw = SUFFIXES.get(path.suffix.lower()) is RAW
        format = RAW if is_named_raw or (format and raw.is_raw(file)) else format
    if format is None:
        *names, last = (format.name for format in FORMATS)
        known = (sentence for start, sentence in _NO_PHOTOS.items() if beginning.startswith(start))
        raise UnreadablePhoto(path, next(known, f"is not a {', '.join(names)} or {last} file"))
    if format.codec and not format.codec():
        kind = "raw file: develop it first, or" if format is RAW else f"{format.name} photo: to read such files,"
        raise UnreadablePhoto(path, f"is a {kind} run pip install {format.package}")
    if reason := format.rare(beginning):
        raise UnreadablePhoto(path, reason)
    return format


_NO_PHOTOS = {
    b"PK": "is a zip archive: unpack it first",
    b"%PDF": "is a PDF file: export its pictures first",
    b"%!PS": "is a PostScript file: export it as TIFF first",
    b"8BPS\0\2": "is a large Photoshop file (PSB), which is not read: save it as TIFF",
    b"gimp xcf": "is a GIMP file: export it as TIFF first",
    b"P7": "is a PAM file, which is not read: save it as PNG or TIFF",
    b"PF": "is a PFM file in colour, which is not read: save it as TIFF",
}
"""How files begin that people hand in all the same, and what to do with them."""


def memory_for(image: Image.Image) -> int:
    """About how many bytes an opened image, nothing decoded yet, takes while it is read."""
    bytes_each = format_opened(image).memory + 3 * ("progressive" in image.info) + 6 * is_deep(image)
    return image.width * image.height * bytes_each


def check(path: str | Path) -> tuple[int, int]:
    """Width and height of a photo's first page as stored. Raises UnreadablePhoto for what will not be read."""
    with opened(path) as source:
        head = source.heads()[0]
        return head.width, head.height


def needs_of(path: str | Path) -> list[int]:
    """About how many bytes each page of a photo file takes while it is read; none for what can't be read."""
    try:
        with opened(path) as source:
            return [head.memory for head in source.heads()]
    except UnreadablePhoto:
        return []


def is_coloured(path: str | Path, system: str) -> bool:
    """Whether a file says of itself that `system` coloured it (see `xmp.marked`)."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would be waited for
            return False
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            place = data.find(b"AISystemUsed>")
            return place >= 0 and system.encode() in data[place : place + 300].partition(b"</")[0]
    except (OSError, ValueError):  # a folder, an empty file
        return False
