"""Raw files of cameras and scanners: developed by LibRaw, where its Python package `rawpy` is installed."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import BinaryIO

import numpy as np
from PIL import Image
from PIL.ExifTags import Base

from fastcolor.errors import one_line
from fastcolor.photo.metadata import BROKEN, Metadata, of_tags, read_metadata
from fastcolor.photo.tags import SUB_DIRECTORIES, Directory, directories, read_directory, read_header, values_of
from fastcolor.photo.tiff_read import NotRead

SUFFIXES = (
    *(".3fr", ".arw", ".bay", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".k25", ".kdc", ".mef"),
    *(".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
)
"""Many raw files look like TIFF files of a small preview, so their names count too."""
BEGINS = rb"(II\*\0|MM\0\*)....CR|II(RO|RS|U\0)|MMOR|FUJIFILMCCD-RAW|....ftypcrx |FOVb|\0MRM|II....HEAPCCDR"
"""How those begin that don't look like TIFF files, and Canon's: a regular expression."""
_DNG_VERSION = 50706
_MOSAIC = (32803, 34892)  # photometric interpretation: colour filter array, linear raw; DNG 1.7 (Adobe 2023), chapter 4

NOTE = "developed from the raw file: white balance as the camera set it, the lightest 1 % white"


def knows_raw() -> bool:
    """Whether rawpy is installed."""
    try:
        import rawpy  # noqa: F401
    except ImportError:
        return False
    return True


def is_raw(file: BinaryIO) -> bool:
    """Whether what looks like a TIFF file is a raw file: a DNG, or one with a picture that is not developed yet."""
    try:
        header = read_header(file)
        for _, tags in directories(file, 4):
            places = values_of(tags, SUB_DIRECTORIES)[:8]
            below = [read_directory(file, header, place)[0] for place in places if isinstance(place, int)]
            if _DNG_VERSION in tags or any(_photometric(each) in _MOSAIC for each in (tags, *below)):
                return True
    except ValueError:  # a broken one
        pass
    return False


def _photometric(tags: Directory) -> int:
    return values_of(tags, Base.PhotometricInterpretation, -1)[0]


def size_of(file: BinaryIO) -> tuple[int, int]:
    """Width and height of the developed picture, before it is turned upright. Raises NotRead."""
    with _opened(file) as raw:
        return raw.sizes.iwidth, raw.sizes.iheight


def developed(file: BinaryIO) -> tuple[np.ndarray, Metadata]:
    """The picture, upright sRGB `(H, W, 3)` or grey `(H, W)`, uint16, and what the file says of it. Raises NotRead.

    As LibRaw and most of what builds on it does it by default, but with sRGB's own curve: IEC 61966-2-1.
    """
    with _opened(file) as raw, _told():
        pixels = raw.postprocess(use_camera_wb=True, output_bps=16, gamma=(2.4, 12.92))
        preview = _preview(raw)
    return pixels.squeeze(), _metadata(file, preview)


def _opened(file: BinaryIO):
    import rawpy

    file.seek(0)
    with _told():
        return rawpy.imread(file)


@contextmanager
def _told() -> Iterator[None]:
    """LibRaw's errors, whose texts are bytes, become NotRead."""
    import rawpy

    try:
        yield
    except rawpy.LibRawError as error:
        text = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else error
        raise NotRead(f"is a raw file that LibRaw can't develop ({one_line(text)}): develop it first") from error


def _preview(raw) -> bytes:
    """The JPEG file that a raw file holds, with EXIF mostly; empty if there is none."""
    import rawpy

    try:
        thumb = raw.extract_thumb()
    except (rawpy.LibRawError, rawpy.NotSupportedError):
        return b""
    return thumb.data if thumb.format == rawpy.ThumbFormat.JPEG else b""


def _metadata(file: BinaryIO, preview: bytes) -> Metadata:
    try:
        _, tags = next(directories(file, 1))
    except (ValueError, StopIteration):  # no TIFF inside
        try:
            with Image.open(BytesIO(preview), formats=["JPEG"]) as image:
                return read_metadata(image, (), [])
        except BROKEN:
            return Metadata()
    return of_tags({tag: value for tag, value in tags.items() if tag not in (Base.NewSubfileType, Base.SubfileType)})
