"""Writes TIFF files, 8 or 16 bits, page by page: TIFF 6.0 (Adobe 1992)."""

import zlib
from collections.abc import Iterable
from itertools import accumulate
from typing import BinaryIO

import numpy as np
from PIL.ExifTags import Base

from fastcolor.errors import UserError
from fastcolor.photo.deep import strips
from fastcolor.photo.metadata import tiff_tags
from fastcolor.photo.page import Page
from fastcolor.photo.tags import LONG, SHORT, Directory, packed, tag_of

_LEVEL = 3  # of zlib's 9: twice as fast as 6, and photos become no smaller by more


def write_tiff(file: BinaryIO, pages: Iterable[Page], notes: list[str]) -> None:
    """Write pages of pixels `(H, W, 3)`, uint8 or uint16, which may come one by one, as TIFF.

    Compressed by deflate (Adobe Photoshop TIFF Technical Notes, 2002) with horizontal differencing, which every reader
    knows by now. EXIF that can't become tags is left out, and noted. Raises UserError beyond 4 GB, TIFF's limit.
    """
    file.write(b"II*\0" + bytes(4))
    pointer = 4  # where the place of the next directory has to be written
    for page in pages:
        rows = 1 + (1 << 18) // page.pixels.shape[1]
        start, sizes = file.tell(), []
        for strip in strips(page, rows):
            sizes.append(file.write(_packed(strip)))
        file.write(bytes(file.tell() % 2))
        place = file.tell()
        tags = packed(_layout(page, rows, start, sizes) | tiff_tags(page.metadata, notes), place)
        if place + len(tags) >= 1 << 32:
            raise UserError(f"{file.name}: all pages together take more than 4 GB, which TIFF can't hold: split it")
        file.write(tags)
        end = file.tell()
        file.seek(pointer)
        file.write(place.to_bytes(4, "little"))
        pointer = place + 2 + 12 * int.from_bytes(tags[:2], "little")
        file.seek(end)


def _layout(page: Page, rows: int, start: int, sizes: list[int]) -> Directory:
    """The tags that say how a page's pixels are stored: from `start`, strips of `rows` rows, packed into `sizes`."""
    channels = 3 if page.alpha is None else 4
    tags = {
        Base.ImageWidth: tag_of(LONG, page.pixels.shape[1]),
        Base.ImageLength: tag_of(LONG, page.pixels.shape[0]),
        Base.BitsPerSample: tag_of(SHORT, *[8 * page.pixels.itemsize] * channels),
        Base.Compression: tag_of(SHORT, 8),  # deflate
        Base.PhotometricInterpretation: tag_of(SHORT, 2),  # RGB
        Base.StripOffsets: tag_of(LONG, *accumulate(sizes[:-1], initial=start)),
        Base.SamplesPerPixel: tag_of(SHORT, channels),
        Base.RowsPerStrip: tag_of(LONG, rows),
        Base.StripByteCounts: tag_of(LONG, *sizes),
        Base.Predictor: tag_of(SHORT, 2),  # horizontal differencing
    }
    if page.alpha is not None:
        tags[Base.ExtraSamples] = tag_of(SHORT, 2)  # alpha that the colours have not been multiplied with
    return tags


def _packed(strip: np.ndarray) -> bytes:
    values = strip.astype(strip.dtype.newbyteorder("<"))
    values[:, 1:] -= strip[:, :-1]
    return zlib.compress(values.tobytes(), _LEVEL)
