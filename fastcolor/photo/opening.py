"""Opens photo files that may be anything: hardened decoders only, nothing too large, each failure in one sentence."""

import errno
import logging
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from fastcolor.errors import UnreadablePhoto, one_line
from fastcolor.photo.deep import is_deep
from fastcolor.photo.formats import FORMATS, Format, format_in, format_opened

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


@contextmanager
def opened(path: str | Path) -> Iterator[Image.Image]:
    """A photo file as Pillow opens it, nothing decoded yet. What goes wrong in the block becomes UnreadablePhoto."""
    format = None
    try:
        mode = Path(path).stat().st_mode
        if not stat.S_ISREG(mode):  # a pipe would be waited for
            raise UnreadablePhoto(path, "is a folder, not a photo" if stat.S_ISDIR(mode) else "is not a regular file")
        with open(path, "rb") as file:
            format = _recognised(path, file.read(12))
            file.seek(0)
            with Image.open(file, formats=format.pillow[:1]) as image:
                yield image
    except UnreadablePhoto:
        raise
    except Image.UnidentifiedImageError:
        reason = f"is a broken {format.name} file, or of a rare kind: save it again in an image editor"
        raise UnreadablePhoto(path, reason) from None
    except (Image.DecompressionBombError, MemoryError):
        raise UnreadablePhoto(path, "has far more pixels than fit in memory: make it smaller first") from None
    except Exception as error:  # decoders raise almost anything (OSError, SyntaxError, struct.error) on broken data
        reason = _REASONS.get(getattr(error, "errno", None)) or f"can't be decoded ({one_line(error)})"
        raise UnreadablePhoto(path, reason) from error


def _recognised(path: str | Path, beginning: bytes) -> Format:
    """The format of a file that begins like this. Raises UnreadablePhoto if there is none, or no codec for it."""
    if not beginning:
        raise UnreadablePhoto(path, "is empty")
    format = format_in(beginning)
    if format is None:
        *names, last = (format.name for format in FORMATS)
        raise UnreadablePhoto(path, f"is not a {', '.join(names)} or {last} file")
    if format.codec and not format.codec():
        install = f"pip install 'fastcolor[{format.extra}]'"
        raise UnreadablePhoto(path, f"is a {format.name} photo: to read such files, run {install}")
    return format


def memory_for(image: Image.Image) -> int:
    """About how many bytes an opened image, nothing decoded yet, takes while it is read."""
    bytes_each = format_opened(image).memory + 3 * ("progressive" in image.info) + 6 * is_deep(image)
    return image.width * image.height * bytes_each


def refuse(path: str | Path, image: Image.Image, memory: int) -> None:
    """Raise UnreadablePhoto if an opened page would be read wrongly or for minutes, or needs too much memory.

    `memory` is in bytes, with that of the pages before it.
    """
    refusal = format_opened(image).refusal
    if refusal and (reason := refusal(path, image)):
        raise UnreadablePhoto(path, reason)
    if memory > MEMORY:
        need = f"{memory / 1e9:.1f} GB of memory, and the limit is {MEMORY / 1e9:.1f} GB"
        raise UnreadablePhoto(path, f"would need {need}: make it smaller first")


def pages_of(path: str | Path, image: Image.Image) -> list[int]:
    """`memory_for` each page of an opened image. Raises UnreadablePhoto if they are too much."""
    pages = []
    while True:
        pages.append(memory_for(image))
        refuse(path, image, sum(pages))
        if not format_opened(image).pages:
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
