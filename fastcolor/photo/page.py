"""A photo in memory: the pixels of its pages, what its file says of them, and notes on what could not be kept."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from fastcolor.photo.metadata import Metadata

STRIP = 1 << 18  # pixels converted at a time: they stay in the processor's cache

# What makes a stored picture upright, by EXIF's orientation (EXIF 3.0, 4.6.5.1): views, which cost nothing.
TURNS = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: x.swapaxes(0, 1)[:, ::-1],
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: x.swapaxes(0, 1)[::-1],
}
_BACK = {6: 8, 8: 6}  # the turn that undoes a turn; all others undo themselves


@dataclass
class Page:
    """Upright sRGB `pixels`, `(H, W)` or `(H, W, 3)`, uint8 or uint16; `alpha`, `(H, W)` of the same dtype, or None.

    `metadata` is what the file says of this page.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    metadata: Metadata = field(default_factory=Metadata)


@dataclass
class Photo:
    """What is in a photo file; all but TIFF have one page. `notes` say in short what is not as in the file.

    Pages may come one after the other, which takes the memory of one: `notes` are complete when all have come.
    """

    pages: Iterable[Page]
    notes: list[str] = field(default_factory=list)


def upright(
    size: tuple[int, int], rest: tuple[int, ...], dtype: np.dtype, orientation: int
) -> tuple[np.ndarray, np.ndarray]:
    """An empty picture, upright and in one piece, and a view of it as it is stored, `size` (rows, columns) + `rest`."""
    height, width = size[::-1] if orientation > 4 else size
    picture = np.empty((height, width, *rest), np.dtype(dtype).newbyteorder("="))
    return picture, TURNS[_BACK.get(orientation, orientation)](picture)


def to_uint8(values: np.ndarray) -> np.ndarray:
    """uint16 values of any shape as uint8, rounded; uint8 as they are."""
    if values.dtype == np.uint8:
        return values
    scaled = np.empty(values.shape, np.uint8)
    for source, target in in_strips(values, scaled):
        target[...] = (source.astype(np.uint32) * 255 + 32767) // 65535
    return scaled


def in_strips(*arrays: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """The same rows of some arrays, a strip at a time, so that work in wider numbers takes little memory."""
    rows = 1 + STRIP // arrays[0].shape[1]
    for top in range(0, len(arrays[0]), rows):
        yield tuple(array[top : top + rows] for array in arrays)


def over_white(page: Page) -> np.ndarray:
    """A page as 8-bit RGB `(H, W, 3)`, transparent parts over white."""
    pixels = to_uint8(page.pixels)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=-1)
    if page.alpha is None:
        return pixels
    mixed = np.empty_like(pixels)
    for source, alpha, target in in_strips(pixels, to_uint8(page.alpha), mixed):
        alpha = alpha[..., None].astype(np.uint16)
        target[...] = (source * alpha + 255 * (255 - alpha) + 127) // 255
    return mixed
