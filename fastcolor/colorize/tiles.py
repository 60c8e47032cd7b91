"""Translating a photo of any size, colours and light: the network sees overlapping tiles, and no seam is left."""

from collections.abc import Callable

import numpy as np
from PIL import Image

TILE, OVERLAP = 512, 128  # pixels: about 0.5 GB for CycleGAN's generator; borders fade over the overlap


def translated(
    pixels: np.ndarray, paint: Callable[[np.ndarray], np.ndarray], size: int | None = None, strength: float = 1.0
) -> np.ndarray:
    """What `paint` makes of sRGB `(H, W)` or `(H, W, 3)`, uint8 or uint16: `(H, W, 3)` of the same dtype.

    `paint` takes and gives sRGB `(1, 3, h, w)`, float32, 0..1. `size` is the photo's short side, in pixels, as `paint`
    sees it; None: the photo's own size. `strength` mixes: 0 is the photo, 1 what `paint` makes of it.
    """
    pixels = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
    if strength == 0:
        return pixels.copy()
    most = np.iinfo(pixels.dtype).max
    photo = np.moveaxis(pixels, -1, 0)[None] / np.float32(most)
    height, width = pixels.shape[:2]
    small = photo
    if size is not None:
        scale = size / min(height, width)
        shape = [max(1, round(side * scale)) for side in (height, width)]
        small = _resized(photo, *shape, Image.Resampling.BILINEAR)
    painted = in_tiles(small, paint)
    if size is not None:
        painted = _resized(painted, height, width, Image.Resampling.BICUBIC).clip(0, 1)
    mixed = np.moveaxis((painted * strength + photo * (1 - strength))[0], 0, -1)
    return (mixed * most + 0.5).astype(pixels.dtype)


def _resized(photo: np.ndarray, height: int, width: int, way: Image.Resampling) -> np.ndarray:
    """`(1, C, H, W)` float32 as `(1, C, height, width)`."""
    return np.stack([np.asarray(Image.fromarray(channel).resize((width, height), way)) for channel in photo[0]])[None]


def in_tiles(photo: np.ndarray, paint: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """`paint` of `(1, 3, H, W)`, tile by tile; where tiles overlap, one fades into the other."""
    tops, lefts = (starts(side) for side in photo.shape[-2:])
    total, weights = np.zeros_like(photo), np.zeros(photo.shape[-2:], np.float32)
    for top in tops:
        for left in lefts:
            here = (..., slice(top, top + TILE), slice(left, left + TILE))
            tile = paint(np.ascontiguousarray(photo[here]))
            weight = fade(tile.shape[-2])[:, None] * fade(tile.shape[-1])
            total[here] += weight * tile
            weights[here] += weight
    total /= weights
    return total


def starts(side: int) -> list[int]:
    """Where tiles begin along a side: as few as possible that overlap by OVERLAP or more, evenly spaced."""
    count = max(1, -(-(side - OVERLAP) // (TILE - OVERLAP)))
    return [round(i * (side - TILE) / (count - 1)) for i in range(count)] if count > 1 else [0]


def fade(length: int) -> np.ndarray:
    """A tile's weight along a side: it rises over OVERLAP pixels at both ends, and is never 0."""
    along = np.arange(length, dtype=np.float32) + 0.5
    return np.minimum(along, length - along).clip(max=OVERLAP) / OVERLAP
