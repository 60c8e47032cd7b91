"""PNG of 16 bits a channel: Pillow reads and writes them in grey only; here are RGB and transparency."""

import struct
import sys
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np
from PIL import Image

from fastcolor.photo.metadata import Metadata
from fastcolor.photo.page import Page
from fastcolor.photo.png_text import raw_profile

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


def strips(page: Page, rows: int) -> Iterator[np.ndarray]:
    """`rows` rows at a time: `(rows, W, 3)`, or 4 with alpha."""
    for top in range(0, len(page.pixels), rows):
        strip = page.pixels[top : top + rows]
        yield strip if page.alpha is None else np.dstack([strip, page.alpha[top : top + rows]])


def png_chunks(metadata: Metadata) -> list[tuple[bytes, bytes]]:
    """Text, a comment, XMP and IPTC as a PNG's chunks (name, data)."""
    chunks = list(metadata.text)
    if metadata.comment:
        chunks.append((b"tEXt", b"Comment\0" + metadata.comment))
    if metadata.xmp:
        chunks.append((b"iTXt", PNG_XMP + metadata.xmp))
    if metadata.iptc:
        chunks.append((b"zTXt", raw_profile("iptc", metadata.iptc)))
    return chunks


def write_png(file: BinaryIO, pages: Iterable[Page], notes: list[str]) -> None:
    """Write one page of uint16 pixels `(H, W, 3)` as PNG of 16 bits: PNG, third edition (W3C 2025)."""
    (page,) = pages
    metadata = page.metadata

    def chunk(name: bytes, data: bytes) -> None:
        file.write(struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data)))

    height, width = page.pixels.shape[:2]
    file.write(b"\x89PNG\r\n\x1a\n")
    chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, 16, 2 if page.alpha is None else 6, 0, 0, 0))
    if metadata.dpi:
        chunk(b"pHYs", struct.pack(">LLB", *(round(dpi / 0.0254) for dpi in metadata.dpi), 1))
    if metadata.exif:
        chunk(b"eXIf", metadata.exif)
    for name, data in png_chunks(metadata):
        chunk(name, data)
    above = np.zeros((1, width * (6 if page.alpha is None else 8)), np.uint8)
    deflate = zlib.compressobj(_LEVEL)
    for strip in strips(page, 1 + (1 << 18) // width):
        values = strip.astype(">u2").view(np.uint8).reshape(len(strip), -1)
        filtered = np.full((len(values), 1 + values.shape[1]), 2, np.uint8)  # a line begins with its filter: 2 is "up"
        filtered[:, 1:] = values - np.vstack([above, values[:-1]])
        above = values[-1:]
        chunk(b"IDAT", deflate.compress(filtered.tobytes()))
    chunk(b"IDAT", deflate.flush())
    chunk(b"IEND", b"")
