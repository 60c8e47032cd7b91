"""A photo at its full size: reduced for the network, and given the network's colours with its own light.

With numpy, in strips, in threads: what `lab` does to tensors of training size would take minutes and gigabytes at 100
megapixels. Photos are sRGB `(H, W)` or `(H, W, 3)`, uint8 or uint16.
"""

from functools import cache

import numpy as np
import torch
from PIL import Image

from fastcolor.color.lab import (
    A_SCALE,
    B_SCALE,
    DELTA,
    LINE_OFFSET,
    LINE_SLOPE,
    RGB_TO_XYZ,
    WHITE,
    XYZ_TO_RGB,
    ab_of_roots,
    gamma_of,
    grey_of,
    in_gamut,
    largest_share,
    lightness_of_root,
    linear_of,
)
from fastcolor.files import in_threads

PIECE = 1 << 16  # pixels worked on at a time: a few arrays of so many floats fit into a core's own cache


def small_grey(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """The photo's grey, of its own luminance, at another size: `(height, width)` uint8."""
    factors = [max(1, have // (2 * want)) for have, want in zip(pixels.shape[:2], (height, width), strict=True)]
    rows = factors[0] * max(1, PIECE // (pixels.shape[1] * factors[0]))

    def reduce(top: int) -> tuple[int, np.ndarray]:
        strip = pixels[top : top + rows]
        strip = strip if strip.dtype == np.uint8 else (strip >> 8).astype(np.uint8)
        return top, np.asarray(Image.fromarray(strip).reduce((factors[1], factors[0])))

    strips = dict(in_threads(reduce, range(0, len(pixels), rows)))
    reduced = Image.fromarray(np.concatenate([strips[top] for top in sorted(strips)]))
    small = np.array(reduced.resize((width, height), Image.Resampling.BILINEAR))
    return small if small.ndim == 2 else grey_of(torch.from_numpy(small).permute(2, 0, 1)).numpy()


def recolor(pixels: np.ndarray, chroma: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """The photo with the colours of a map: sRGB `(H, W, 3)` of the photo's dtype, of the photo's own lightness.

    `chroma` is `(2, h, w)` float32, a and b of CIE Lab at any size, enlarged bilinearly; or `(4, h, w)`: then a and b
    are linear in the photo's own L, planes 0 and 1 times L plus planes 2 and 3. `strength` 1 takes these colours, 0
    leaves the photo as it is, values between mix the two in ab. Colours outside sRGB lose chroma at constant L and hue.
    """
    height, width = pixels.shape[:2]
    if strength == 0:
        return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels.copy()
    across = _stretched(chroma, width)
    colored = np.empty((height, width, 3), pixels.dtype)
    rows = max(1, PIECE // width)

    def strip(top: int) -> None:
        part = pixels[top : top + rows]
        planes = _rows(across, top, len(part), height).reshape(len(chroma), -1)
        own = part.reshape(-1, *part.shape[2:])
        f, a, b = _lab_of(own, with_color=strength != 1)
        wanted = planes if len(planes) == 2 else planes[:2] * lightness_of_root(f) + planes[2:]
        a, b = (strength * new + (1 - strength) * old for new, old in zip(wanted, (a, b), strict=True))
        colored[top : top + rows] = _rgb_of(f, a, b, pixels.dtype).reshape(*part.shape[:2], 3)

    for _ in in_threads(strip, range(0, height, rows)):
        pass
    return colored


def _stretched(planes: np.ndarray, width: int) -> np.ndarray:
    """`(k, h, w)` to `(k, h, width)`, bilinear, pixels' centres aligned."""
    left, right, share = _neighbours(np.arange(width), width, planes.shape[2])
    return planes[..., left] * (1 - share) + planes[..., right] * share


def _rows(planes: np.ndarray, top: int, count: int, height: int) -> np.ndarray:
    """`count` rows from `top` on of `(k, h, width)` brought to `height` rows: `(k, count, width)`."""
    above, below, share = _neighbours(np.arange(top, top + count), height, planes.shape[1])
    share = share[:, None]
    return planes[:, above] * (1 - share) + planes[:, below] * share


def _neighbours(places: np.ndarray, size: int, small: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For places of a line of `size`, the two nearest on a line of `small` and the share of the second."""
    at = ((places + 0.5) * (small / size) - 0.5).clip(0, small - 1)
    first = at.astype(int)
    return first, np.minimum(first + 1, small - 1), (at - first).astype(np.float32)


@cache
def _linear_table(dtype: np.dtype) -> np.ndarray:
    """Linear value of every value of a dtype."""
    return linear_of(torch.arange(np.iinfo(dtype).max + 1) / np.iinfo(dtype).max).numpy()


@cache
def _encoding_table() -> np.ndarray:
    """8-bit sRGB of linear values in steps of 1/65535, which is 1/20 of an 8-bit step where the curve is steepest."""
    return (gamma_of(torch.arange(1 << 16) / 65535) * 255 + 0.5).to(torch.uint8).numpy()


_TO_XYZ = (RGB_TO_XYZ / WHITE[:, None]).numpy()  # to X, Y, Z as shares of white
_TO_RGB = (XYZ_TO_RGB * WHITE).numpy()


def _lab_of(pixels: np.ndarray, with_color: bool) -> tuple[np.ndarray, np.ndarray | float, np.ndarray | float]:
    """f(Y) (see `lab`), a and b of pixels `(n,)` or `(n, 3)`; a and b are 0 unless `with_color`."""
    linear = _linear_table(pixels.dtype).take(pixels)
    if linear.ndim == 1:
        return _cube_root(linear), 0.0, 0.0
    if not with_color:
        return _cube_root(linear @ _TO_XYZ[1]), 0.0, 0.0
    x, y, z = _cube_root(linear @ _TO_XYZ.T).T
    return y, *ab_of_roots(x, y, z)


def _cube_root(xyz: np.ndarray) -> np.ndarray:
    return np.where(xyz > DELTA**3, np.cbrt(xyz), xyz / np.float32(LINE_SLOPE) + np.float32(LINE_OFFSET))


def _cube(f: np.ndarray) -> np.ndarray:
    return np.where(f > DELTA, f * f * f, np.float32(LINE_SLOPE) * (f - np.float32(LINE_OFFSET)))


def _rgb_of(f: np.ndarray, a: np.ndarray, b: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """sRGB `(n, 3)` of f(Y), a and b, `(n,)` each; colours outside sRGB lose chroma until they fit."""
    linear = _linear_of_lab(f, a, b)
    outside = np.flatnonzero(~in_gamut(linear))
    if len(outside):
        fitted = _fitted(f[outside], a[outside], b[outside])
        for channel, values in zip(linear, fitted, strict=True):
            channel[outside] = values
    rgb = np.empty((len(f), 3), dtype)
    for i, channel in enumerate(linear):
        np.clip(channel, 0, 1, out=channel)
        if dtype == np.uint8:
            rgb[:, i] = _encoding_table().take((channel * 65535 + 0.5).astype(np.int32))
        else:
            rgb[:, i] = gamma_of(torch.from_numpy(channel)).numpy() * 65535 + 0.5
    return rgb


def _linear_of_lab(f: np.ndarray, a: np.ndarray, b: np.ndarray) -> list[np.ndarray]:
    x, y, z = _cube(f + a * np.float32(1 / A_SCALE)), _cube(f), _cube(f - b * np.float32(1 / B_SCALE))
    return [row[0] * x + row[1] * y + row[2] * z for row in _TO_RGB]


def _fitted(f: np.ndarray, a: np.ndarray, b: np.ndarray) -> list[np.ndarray]:
    """The same as `_linear_of_lab` of colours outside sRGB, brought into it."""
    share = largest_share(lambda share: in_gamut(_linear_of_lab(f, share * a, share * b)), np.zeros_like(f))
    return _linear_of_lab(f, share * a, share * b)
