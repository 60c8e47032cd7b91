"""16 bits a channel: Pillow reads and writes them in grey only; here are RGB and transparency, in PNG and TIFF."""

import struct
import sys
import zlib
from collections.abc import Iterator
from itertools import accumulate
from typing import BinaryIO

import numpy as np
from PIL import Image
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import AppendingTiffWriter, ImageFileDirectory_v2
from PIL.TiffTags import LONG

from fastcolor.photo.metadata import Metadata, tiff_tags
from fastcolor.photo.page import Page

PNG_XMP = b"XML:com.adobe.xmp\0\0\0\0\0"
"""What an iTXt chunk begins with that holds XMP, not compressed."""

# Of 16 bits Pillow keeps the upper byte. Told that the byte order is the other one, it keeps the lower byte.
_OTHER_BYTE = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}

_LEVEL = 3  # of zlib's 9: twice as fast as 6, and photos become no smaller by more


def raw_mode(image: Image.Image) -> str:
    """How an opened image, not loaded yet, stores its pixels: in Pillow's terms, such as RGB;16B."""
    args = image.tile[0].args if getattr(image, "tile", None) else ""
    return str(args if isinstance(args, str) else args[0])


def is_deep(image: Image.Image) -> bool:
    """Whether an opened image, not loaded yet, has 16 bits of which Pillow would keep 8."""
    return raw_mode(image)[:-1] in ("RGB;16", "RGBX;16", "RGBA;16", "LA;16")


def read_as(image: Image.Image, mode: str) -> None:
    """Make Pillow load an opened image's pixels as if the file stored them in the raw mode `mode`."""
    image.tile = [
        tile._replace(args=mode if isinstance(tile.args, str) else (mode, *tile.args[1:])) for tile in image.tile
    ]


def lower_byte(mode: str) -> str:
    """The raw mode that makes Pillow load lower bytes, for one of 16 bits, by which it loads the upper ones."""
    return mode[:-1] + _OTHER_BYTE[mode[-1]]


def joined(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Upper and lower bytes, uint8 of any shape, as uint16."""
    values = upper.astype(np.uint16)
    values <<= 8
    values |= lower
    return values


def _strips(page: Page, rows: int) -> Iterator[np.ndarray]:
    """`rows` rows at a time: `(rows, W, 3)`, or 4 with alpha."""
    for top in range(0, len(page.pixels), rows):
        strip = page.pixels[top : top + rows]
        yield strip if page.alpha is None else np.dstack([strip, page.alpha[top : top + rows]])


def write_png(file: BinaryIO, pages: list[Page], metadata: Metadata, notes: list[str]) -> None:
    """Write one page of uint16 pixels `(H, W, 3)` as PNG of 16 bits: PNG, third edition (W3C 2025)."""
    (page,) = pages

    def chunk(name: bytes, data: bytes) -> None:
        file.write(struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data)))

    height, width = page.pixels.shape[:2]
    file.write(b"\x89PNG\r\n\x1a\n")
    chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, 16, 2 if page.alpha is None else 6, 0, 0, 0))
    if metadata.dpi:
        chunk(b"pHYs", struct.pack(">LLB", *(round(dpi / 0.0254) for dpi in metadata.dpi), 1))
    if metadata.exif:
        chunk(b"eXIf", metadata.exif)
    if metadata.xmp:
        chunk(b"iTXt", PNG_XMP + metadata.xmp)
    above = np.zeros((1, width * (6 if page.alpha is None else 8)), np.uint8)
    deflate = zlib.compressobj(_LEVEL)
    for strip in _strips(page, 1 + (1 << 18) // width):
        values = strip.astype(">u2").view(np.uint8).reshape(len(strip), -1)
        filtered = np.full((len(values), 1 + values.shape[1]), 2, np.uint8)  # a line begins with its filter: 2 is "up"
        filtered[:, 1:] = values - np.vstack([above, values[:-1]])
        above = values[-1:]
        chunk(b"IDAT", deflate.compress(filtered.tobytes()))
    chunk(b"IDAT", deflate.flush())
    chunk(b"IEND", b"")


def write_tiff(file: BinaryIO, pages: list[Page], metadata: Metadata, notes: list[str]) -> None:
    """Write pages of pixels `(H, W, 3)`, uint8 or uint16, as TIFF: TIFF 6.0 (Adobe 1992).

    Compressed by deflate (Adobe Photoshop TIFF Technical Notes, 2002) with horizontal differencing, which every reader
    knows by now. EXIF that can't become tags is left out, and noted.
    """
    about, writer = tiff_tags(metadata, notes), AppendingTiffWriter(file)
    for page in pages:
        rows = 1 + (1 << 18) // page.pixels.shape[1]
        strips = [_packed(strip) for strip in _strips(page, rows)]
        tags = _layout(page, rows, [len(strip) for strip in strips])
        tags.update(about)
        tags.save(writer)
        for strip in strips:
            writer.write(strip)
        writer.newFrame()


def _layout(page: Page, rows: int, sizes: list[int]) -> ImageFileDirectory_v2:
    """The tags that say how a page's pixels are stored: strips of `rows` rows, packed into `sizes` bytes."""
    tags, channels = ImageFileDirectory_v2(), 3 if page.alpha is None else 4
    tags[Base.ImageWidth], tags[Base.ImageLength] = page.pixels.shape[1], page.pixels.shape[0]
    tags[Base.BitsPerSample] = (8 * page.pixels.itemsize,) * channels
    tags[Base.Compression], tags[Base.Predictor] = 8, 2  # deflate, horizontal differencing
    tags[Base.PhotometricInterpretation], tags[Base.SamplesPerPixel] = 2, channels  # RGB
    if page.alpha is not None:
        tags[Base.ExtraSamples] = 2  # alpha that the colours have not been multiplied with
    tags[Base.RowsPerStrip] = rows
    tags.tagtype[Base.StripByteCounts] = tags.tagtype[Base.StripOffsets] = LONG
    tags[Base.StripByteCounts] = tuple(sizes)
    tags[Base.StripOffsets] = tuple(accumulate(sizes[:-1], initial=0))  # from where the tags end
    return tags


def _packed(strip: np.ndarray) -> bytes:
    values = strip.astype(strip.dtype.newbyteorder("<"))
    values[:, 1:] -= strip[:, :-1]
    return zlib.compress(values.tobytes(), _LEVEL)
