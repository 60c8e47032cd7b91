"""16 bits a channel, of which Pillow reads and writes only grey: here are RGB and transparency, in PNG and TIFF."""

import struct
import sys
import zlib
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import BinaryIO

import numpy as np
from PIL import Image
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import AppendingTiffWriter, ImageFileDirectory_v2
from PIL.TiffTags import LONG

from fastcolor.photo.metadata import Metadata

# Of 16 bits Pillow keeps the upper byte. Told that the bytes stand the other way round, it keeps the lower one.
_OTHER_BYTE = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}

_LEVEL = 3  # of zlib's 9: twice as fast as 6, and photos become no smaller by more


def raw_mode(image: Image.Image) -> str:
    """How the pixels of an opened image, not loaded yet, stand in its file, in Pillow's terms, such as RGB;16B."""
    args = image.tile[0].args if getattr(image, "tile", None) else ""
    return str(args if isinstance(args, str) else args[0])


def is_deep(image: Image.Image) -> bool:
    """Whether an opened image, not loaded yet, has 16 bits of which Pillow would keep 8."""
    return raw_mode(image)[:-1] in ("RGB;16", "RGBX;16", "RGBA;16", "LA;16")


def read_as(image: Image.Image, mode: str) -> None:
    """Have an opened image's pixels taken for `mode` when they are loaded."""
    image.tile = [
        tile._replace(args=mode if isinstance(tile.args, str) else (mode, *tile.args[1:])) for tile in image.tile
    ]


def lower_byte(mode: str) -> str:
    """The raw mode that gives the lower bytes of pixels in a raw mode of 16 bits, which gives the upper ones."""
    return mode[:-1] + _OTHER_BYTE[mode[-1]]


def joined(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Upper and lower bytes, uint8 of any shape, as uint16."""
    values = upper.astype(np.uint16)
    values <<= 8
    values |= lower
    return values


def _strips(pixels: np.ndarray, alpha: np.ndarray | None, rows: int) -> Iterator[np.ndarray]:
    """`rows` rows at a time: `(rows, W, 3)`, or 4 with alpha."""
    for top in range(0, len(pixels), rows):
        strip = pixels[top : top + rows]
        yield strip if alpha is None else np.dstack([strip, alpha[top : top + rows]])


def write_png(file: BinaryIO, pixels: np.ndarray, alpha: np.ndarray | None, metadata: Metadata) -> None:
    """Write uint16 pixels `(H, W, 3)`, and alpha `(H, W)` or None, as PNG of 16 bits: PNG, third edition (W3C 2025)."""

    def chunk(name: bytes, data: bytes) -> None:
        file.write(struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data)))

    height, width = pixels.shape[:2]
    file.write(b"\x89PNG\r\n\x1a\n")
    chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, 16, 2 if alpha is None else 6, 0, 0, 0))
    if metadata.dpi:
        chunk(b"pHYs", struct.pack(">LLB", *(round(dpi / 0.0254) for dpi in metadata.dpi), 1))
    if metadata.exif:
        chunk(b"eXIf", metadata.exif)
    if metadata.xmp:
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp)
    above = np.zeros((1, width * (6 if alpha is None else 8)), np.uint8)
    deflate = zlib.compressobj(_LEVEL)
    for strip in _strips(pixels, alpha, 1 + (1 << 18) // width):
        values = strip.astype(">u2").view(np.uint8).reshape(len(strip), -1)
        filtered = np.full((len(values), 1 + values.shape[1]), 2, np.uint8)  # a line begins with its filter: 2 is "up"
        filtered[:, 1:] = values - np.vstack([above, values[:-1]])
        above = values[-1:]
        chunk(b"IDAT", deflate.compress(filtered.tobytes()))
    chunk(b"IDAT", deflate.flush())
    chunk(b"IEND", b"")


def write_tiff(file: BinaryIO, pages: Iterable[tuple[np.ndarray, np.ndarray | None]], about: dict[int, object]) -> None:
    """Write pages of pixels `(H, W, 3)` and alpha `(H, W)` or None, uint8 or uint16, as TIFF: TIFF 6.0 (Adobe 1992).

    `about` holds the tags that tell of the photo. Compressed by deflate (Adobe Photoshop TIFF Technical Notes, 2002)
    with horizontal differencing, which every reader knows by now.
    """
    writer = AppendingTiffWriter(file)
    for pixels, alpha in pages:
        rows = 1 + (1 << 18) // pixels.shape[1]
        strips = [_packed(strip) for strip in _strips(pixels, alpha, rows)]
        tags = ImageFileDirectory_v2()
        tags.update(about)
        channels = 3 if alpha is None else 4
        tags[Base.ImageWidth], tags[Base.ImageLength] = pixels.shape[1], pixels.shape[0]
        tags[Base.BitsPerSample] = (8 * pixels.itemsize,) * channels
        tags[Base.Compression], tags[Base.Predictor] = 8, 2  # deflate, horizontal differencing
        tags[Base.PhotometricInterpretation], tags[Base.SamplesPerPixel] = 2, channels  # RGB
        if alpha is not None:
            tags[Base.ExtraSamples] = 2  # alpha that the colours have not been multiplied with
        tags[Base.RowsPerStrip] = rows
        tags.tagtype[Base.StripByteCounts] = tags.tagtype[Base.StripOffsets] = LONG
        tags[Base.StripByteCounts] = tuple(map(len, strips))
        tags[Base.StripOffsets] = tuple(accumulate(map(len, strips[:-1]), initial=0))  # from where the tags end
        tags.save(writer)
        for strip in strips:
            writer.write(strip)
        writer.newFrame()


def _packed(strip: np.ndarray) -> bytes:
    values = strip.astype(strip.dtype.newbyteorder("<"))
    values[:, 1:] -= strip[:, :-1]
    return zlib.compress(values.tobytes(), _LEVEL)
