"""A photo at its full size: reduced for the network, and given the network's colours with its own light.

In strips, in threads: what `lab` does to tensors of training size would take minutes and gigabytes at 100 megapixels.
Photos are sRGB `(H, W)` or `(H, W, 3)`, uint8 or uint16.
"""

from functools import cache

import numpy as np
from PIL import Image

from fastcolor.color.cie import (
    A_SCALE,
    B_SCALE,
    L_AT_0,
    L_SCALE,
    LINE_OFFSET,
    RGB_TO_XYZ,
    STEPS,
    TOLERANCE,
    WHITE,
    XYZ_TO_RGB,
    cube_of,
    encoding_table,
    gamma_of,
    grey_of,
    lightness_of_root,
    linear_table,
    luminance_of,
    root_of,
    root_table,
)
from fastcolor.files import in_threads

PIECE = 1 << 15  # pixels worked on at a time: a few arrays of so many floats fit into a core's own cache
LEVELS, HUES = 128, 512  # of the table of sRGB's borders

_ROOTS = np.float32([1 / A_SCALE, -1 / B_SCALE])[:, None]  # f(X) = f(Y) + a / 500, f(Z) = f(Y) - b / 200
_TO_XYZ = RGB_TO_XYZ / WHITE[:, None]  # to X, Y, Z as shares of white
_TO_RGB = XYZ_TO_RGB * WHITE * STEPS


def small_grey(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """The photo's grey, of its own luminance, at another size: `(height, width)` uint8."""
    factors = [max(1, have // (2 * want)) for have, want in zip(pixels.shape[:2], (height, width), strict=True)]
    rows = factors[0] * max(1, 2 * PIECE // (pixels.shape[1] * factors[0]))

    def reduce(top: int) -> tuple[int, np.ndarray]:
        strip = pixels[top : top + rows]
        strip = strip if strip.dtype == np.uint8 else (strip >> 8).astype(np.uint8)
        return top, np.asarray(Image.fromarray(strip).reduce((factors[1], factors[0])))

    strips = dict(in_threads(reduce, range(0, len(pixels), rows)))
    reduced = Image.fromarray(np.concatenate([strips[top] for top in sorted(strips)]))
    small = np.array(reduced.resize((width, height), Image.Resampling.BILINEAR))
    return small if small.ndim == 2 else grey_of(small)


def recolor(pixels: np.ndarray, chroma: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """The photo with the colours of a map: sRGB `(H, W, 3)` of the photo's dtype, of the photo's own lightness.

    `chroma` is `(2, h, w)` float32, a and b of CIE Lab at any size, enlarged bilinearly; or `(4, h, w)`: then a and b
    are linear in the photo's own L, planes 0 and 1 times L plus planes 2 and 3. `strength` 1 takes these colours, 0
    leaves the photo as it is, values between mix the two in ab. Colours outside sRGB lose chroma at constant L and hue.
    """
    height, width = pixels.shape[:2]
    if strength == 0:
        return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels.copy()
    # f(X) - f(Y) and f(Z) - f(Y) rather than a and b: what can be multiplied is multiplied while it is small
    roots = strength * chroma * np.concatenate([_ROOTS] * (len(chroma) // 2))[..., None]
    across = _stretched(roots.astype(np.float32), width)
    colored = np.empty((height, width, 3), pixels.dtype)
    rows = max(1, PIECE // width)

    def strip(top: int) -> None:
        part = pixels[top : top + rows]
        planes = _rows(across, top, len(part), height).reshape(len(chroma), -1)
        own = part.reshape(-1, *part.shape[2:])
        y, f = _light_of(own)
        x, z = planes if len(planes) == 2 else planes[:2] * lightness_of_root(f) + planes[2:]
        if strength != 1 and own.ndim == 2:
            x, z = (new + (1 - strength) * old for new, old in zip((x, z), _roots_of(own, f), strict=True))
        _encode(_linear_in_gamut(y, f, x, z), colored[top : top + rows].reshape(-1, 3))

    for _ in in_threads(strip, range(0, height, rows)):
        pass
    return colored


def ab_in_gamut(lightness: np.ndarray, ab: np.ndarray) -> np.ndarray:
    """Colours as far as sRGB has them: of L `(n,)` and ab `(2, n)` the ab `(2, n)`, float32, of the same hue."""
    f = np.float32((lightness + L_AT_0) / L_SCALE)
    x, z = np.float32(ab * _ROOTS)
    outside = np.flatnonzero(~_fits(_linear(cube_of(f), f, x, z)))
    fitting = np.array(ab, np.float32)
    if len(outside):
        fitting[:, outside] *= _largest_share(*(each.take(outside) for each in (f, x, z)))
    return fitting


def rgb_of(lightness: np.ndarray, ab: np.ndarray) -> np.ndarray:
    """sRGB `(n, 3)` uint8 of L `(n,)` and ab `(2, n)`; colours outside sRGB lose chroma."""
    f = np.float32((lightness + L_AT_0) / L_SCALE)
    rgb = np.empty((len(f), 3), np.uint8)
    _encode(_linear_in_gamut(cube_of(f), f, *np.float32(ab * _ROOTS)), rgb)
    return rgb


def _stretched(planes: np.ndarray, width: int) -> np.ndarray:
    """`(k, h, w)` to `(k, h, width)`, bilinear, pixels' centres aligned."""
    left, right, share = _neighbours(np.arange(width), width, planes.shape[2])
    return planes[..., left] * (1 - share) + planes[..., right] * share


def _rows(planes: np.ndarray, top: int, count: int, height: int) -> np.ndarray:
    """`count` rows from `top` on of `(k, h, width)` brought to `height` rows: `(k, count, width)`."""
    rows = np.empty((len(planes), count, planes.shape[2]), np.float32)
    places = zip(*_neighbours(np.arange(top, top + count), height, planes.shape[1]), strict=True)
    for i, (above, below, share) in enumerate(places):  # row by row: gathering them all takes several times longer
        row = rows[:, i]
        np.subtract(planes[:, below], planes[:, above], out=row)
        row *= share
        row += planes[:, above]
    return rows


def _neighbours(places: np.ndarray, size: int, small: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For places of a line of `size`, the two nearest on a line of `small` and the share of the second."""
    at = ((places + 0.5) * (small / size) - 0.5).clip(0, small - 1)
    first = at.astype(int)
    return first, np.minimum(first + 1, small - 1), (at - first).astype(np.float32)


def _light_of(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Y and f(Y) (see `cie`) of pixels `(n,)` or `(n, 3)`: `(n,)` float32 each."""
    if pixels.ndim == 1:
        places = pixels.astype(np.intp)  # once, instead of in each `take`
        return linear_table(pixels.dtype).take(places), root_table(pixels.dtype).take(places)
    y = luminance_of(pixels)
    return y, root_of(y)


def _roots_of(pixels: np.ndarray, f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """f(X) - f(Y) and f(Z) - f(Y) of coloured pixels `(n, 3)`, whose f(Y) is `f`."""
    x, _, z = root_of(linear_table(pixels.dtype).take(pixels) @ _TO_XYZ.T).T
    return x - f, z - f


def _linear_in_gamut(y: np.ndarray, f: np.ndarray, x: np.ndarray, z: np.ndarray) -> list[np.ndarray]:
    """Linear R, G, B, `(n,)` each, in STEPS, of Y, f(Y), f(X) - f(Y) and f(Z) - f(Y).

    Colours outside sRGB lose chroma until they fit, to within half an 8-bit step.
    """
    linear = _linear(y, f, x, z)
    outside = np.flatnonzero(~_fits(linear))
    if len(outside):
        y, f, x, z = (each.take(outside) for each in (y, f, x, z))
        share = _largest_share(f, x, z)
        for channel, fitted in zip(linear, _linear(y, f, share * x, share * z), strict=True):
            channel[outside] = fitted
    return linear


def _linear(y: np.ndarray, f: np.ndarray, x: np.ndarray, z: np.ndarray) -> list[np.ndarray]:
    x, z = cube_of(f + x), cube_of(f + z)
    channels = []
    for of_x, of_y, of_z in _TO_RGB:
        channel = of_x * x
        channel += of_y * y
        channel += of_z * z
        channels.append(channel)
    return channels


def _fits(linear: list[np.ndarray]) -> np.ndarray:
    """Which colours sRGB has: a mask, of linear R, G, B, `(n,)` each, in STEPS."""
    red, green, blue = linear
    fits = np.maximum(np.maximum(red, green), blue) < (1 + TOLERANCE) * STEPS
    fits &= np.minimum(np.minimum(red, green), blue) > -TOLERANCE * STEPS
    return fits


def _largest_share(f: np.ndarray, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """How much of their chroma colours can keep within sRGB, at constant lightness and hue: 0..1, `(n,)`.

    `x` and `z` are f(X) - f(Y) and f(Z) - f(Y). Read from `_gamut`, bilinearly.
    """
    length = np.abs(x) + np.abs(z)
    along = x / length
    turn = np.where(z < 0, 3 + along, 1 - along) * (HUES / 4)
    level = (f - LINE_OFFSET) * ((LEVELS - 1) / (1 - LINE_OFFSET))
    hue, row = turn.astype(np.intp), np.minimum(level.astype(np.intp), LEVELS - 2)
    turn -= hue
    level -= row
    row *= HUES + 2
    row += hue
    table = _gamut().ravel()
    ends = []
    for first in (row, row + (HUES + 2)):
        end, other = table.take(first), table.take(first + 1)
        other -= end
        other *= turn
        end += other
        ends.append(end)
    darker, lighter = ends
    lighter -= darker
    lighter *= level
    lighter += darker
    lighter /= length
    return np.minimum(lighter, 1, out=lighter)


@cache
def _gamut() -> np.ndarray:
    """The longest (f(X) - f(Y), f(Z) - f(Y)) that sRGB has: `(LEVELS, HUES + 2)` float32, found by bisection.

    Row: f(Y), from black to white. Column: direction, a whole turn and one more. Length and direction are measured
    along a square, |x| + |z|, which needs neither roots nor angles.
    """
    f = np.linspace(LINE_OFFSET, 1, LEVELS, dtype=np.float32)[:, None]
    turn = np.arange(HUES + 2, dtype=np.float32) * (4 / HUES) % 4
    x = np.where(turn < 2, 1 - turn, turn - 3)
    z = np.where(turn < 2, 1 - np.abs(x), np.abs(x) - 1)
    y, length = cube_of(f), np.zeros((LEVELS, HUES + 2), np.float32)
    for step in (0.5**halving for halving in range(1, 15)):
        longer = length + np.float32(step)
        length += step * _fits(_linear(y, f, longer * x, longer * z))
    return length


def _encode(linear: list[np.ndarray], rgb: np.ndarray) -> None:
    """Write linear R, G, B, `(n,)` each, in STEPS, as sRGB into `rgb`, `(n, 3)` uint8 or uint16."""
    for i, channel in enumerate(linear):
        if rgb.dtype == np.uint8:
            rgb[:, i] = encoding_table().take(channel.astype(np.int32), mode="clip")
        else:
            rgb[:, i] = gamma_of((channel / STEPS).clip(0, 1)) * 65535 + 0.5
