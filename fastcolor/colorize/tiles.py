"""Translating a photo of any size, colours and light: the network sees overlapping tiles, and no seam is left."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

TILE, OVERLAP = 512, 128  # pixels: about 0.5 GB for CycleGAN's generator; borders fade over the overlap


def translated(
    pixels: np.ndarray, paint: Callable[[Tensor], Tensor], size: int | None = None, strength: float = 1.0
) -> np.ndarray:
    """What `paint` makes of sRGB `(H, W)` or `(H, W, 3)`, uint8 or uint16: `(H, W, 3)` of the same dtype.

    `paint` takes and gives sRGB `(1, 3, h, w)`, float 0..1. `size` is the photo's short side, in pixels, as `paint`
    sees it; None: the photo's own size. `strength` mixes: 0 is the photo, 1 what `paint` makes of it.
    """
    pixels = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
    if strength == 0:
        return pixels.copy()
    most = np.iinfo(pixels.dtype).max
    photo = torch.from_numpy(pixels.astype(np.float32) / most).permute(2, 0, 1)[None]
    small = photo
    if size is not None:
        scale = size / min(photo.shape[-2:])
        shape = [max(1, round(side * scale)) for side in photo.shape[-2:]]
        small = F.interpolate(photo, size=shape, mode="bilinear", antialias=True)
    painted = in_tiles(small, paint)
    if size is not None:
        painted = F.interpolate(painted, size=photo.shape[-2:], mode="bicubic").clamp(0, 1)
    mixed = (painted * strength + photo * (1 - strength))[0].permute(1, 2, 0).numpy()
    return (mixed * most + 0.5).astype(pixels.dtype)


def in_tiles(photo: Tensor, paint: Callable[[Tensor], Tensor]) -> Tensor:
    """`paint` of `(1, 3, H, W)`, tile by tile; where tiles overlap, one fades into the other."""
    tops, lefts = (starts(side) for side in photo.shape[-2:])
    total, weights = torch.zeros_like(photo), torch.zeros(photo.shape[-2:])
    for top in tops:
        for left in lefts:
            here = (..., slice(top, top + TILE), slice(left, left + TILE))
            tile = paint(photo[here])
            weight = fade(tile.shape[-2])[:, None] * fade(tile.shape[-1])
            total[here] += weight * tile
            weights[here] += weight
    return total.div_(weights)


def starts(side: int) -> list[int]:
    """Where tiles begin along a side: as few as possible that overlap by OVERLAP or more, evenly spaced."""
    count = max(1, -(-(side - OVERLAP) // (TILE - OVERLAP)))
    return [round(i * (side - TILE) / (count - 1)) for i in range(count)] if count > 1 else [0]


def fade(length: int) -> Tensor:
    """A tile's weight along a side: it rises over OVERLAP pixels at both ends, and is never 0."""
    along = torch.arange(length) + 0.5
    return torch.minimum(along, length - along).clamp(max=OVERLAP) / OVERLAP
