"""A photo in memory: the pixels of its pages, what its file says of it, and notes on what could not be kept."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from fastcolor.photo.metadata import Metadata

STRIP = 1 << 18  # pixels converted at a time: they stay in the processor's cache


@dataclass
class Page:
    """Upright sRGB `pixels`, `(H, W)` or `(H, W, 3)`, uint8 or uint16; `alpha`, `(H, W)` of the same dtype, or None."""

    pixels: np.ndarray
    alpha: np.ndarray | None = None


@dataclass
class Photo:
    """What is in a photo file; all but TIFF have one page. `notes` say in short what is not as in the file."""

    pages: list[Page]
    metadata: Metadata = field(default_factory=Metadata)
    notes: list[str] = field(default_factory=list)


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
