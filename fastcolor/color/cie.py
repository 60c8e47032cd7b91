"""sRGB and CIE Lab for numpy arrays: all that colouring photos needs. Every constant of a colour space is in this file.

sRGB: IEC 61966-2-1 transfer curve; Lab: CIE 1976 with the D65 white point (2 degree observer), as in scikit-image.
sRGB is uint8 or uint16, linear values are float32 in 0..1. L is 0..100, a and b are within -86.2..98.3 and
-107.9..94.5 for colours inside sRGB. `lab` does the same to tensors, for training; a test holds both equal.
"""

from functools import cache

import numpy as np

# Linear sRGB to CIE XYZ (D65): IEC 61966-2-1. The middle row gives luminance Y.
RGB_TO_XYZ = np.float32(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
XYZ_TO_RGB = np.linalg.inv(RGB_TO_XYZ.astype(np.float64)).astype(np.float32)
WHITE = np.float32([0.95047, 1.0, 1.08883])

# CIE 15:2004, 8.2.1. X, Y and Z are shares of white. f is the cube root, below DELTA**3 the line t / LINE_SLOPE +
# LINE_OFFSET. L = L_SCALE f(Y) - L_AT_0, a = A_SCALE (f(X) - f(Y)), b = B_SCALE (f(Y) - f(Z)).
DELTA = 6 / 29
LINE_SLOPE, LINE_OFFSET = 3 * DELTA**2, 4 / 29
L_SCALE, L_AT_0, A_SCALE, B_SCALE = 116, 16, 500, 200

AB_RANGE = 110.0
"""a and b of every sRGB colour lie within -AB_RANGE..AB_RANGE."""

TOLERANCE = 1e-4  # of linear sRGB beyond 0..1: less than a tenth of an 8-bit step, also where the curve is steepest

# sRGB's curve: below *_LINE it is a line.
GAMMA, GAMMA_SCALE, GAMMA_OFFSET, GAMMA_SLOPE = 2.4, 1.055, 0.055, 12.92
SRGB_LINE, LINEAR_LINE = 0.04045, 0.0031308


@cache
def linear_table(dtype: np.dtype) -> np.ndarray:
    """The linear value of every value of a dtype, uint8 or uint16: `(256,)` or `(65536,)` float32."""
    srgb = np.linspace(0, 1, np.iinfo(dtype).max + 1)
    curve = ((srgb + GAMMA_OFFSET) / GAMMA_SCALE) ** GAMMA
    return np.where(srgb > SRGB_LINE, curve, srgb / GAMMA_SLOPE).astype(np.float32)


STEPS = 65535
"""In so many steps linear values are encoded: one is 1/20 of an 8-bit step where the curve is steepest."""


@cache
def encoding_table() -> np.ndarray:
    """8-bit sRGB of linear values that lie between i / STEPS and (i + 1) / STEPS: `(STEPS + 1,)` uint8."""
    return (gamma_of((np.arange(STEPS + 1) + 0.5) / STEPS).clip(0, 1) * 255 + 0.5).astype(np.uint8)


@cache
def root_table(dtype: np.dtype) -> np.ndarray:
    """f(Y) of every grey of a dtype, uint8 or uint16, as `linear_table`: a grey's linear value is its luminance Y."""
    return root_of(linear_table(dtype))


def gamma_of(linear: np.ndarray) -> np.ndarray:
    """Linear values, 0..1, of any shape, to sRGB, 0..1, of the same dtype."""
    curve = GAMMA_SCALE * _power(np.maximum(linear, LINEAR_LINE), 1 / GAMMA) - GAMMA_OFFSET
    return np.where(linear > LINEAR_LINE, curve, GAMMA_SLOPE * linear)


def root_of(xyz: np.ndarray) -> np.ndarray:
    """f of shares of white, arrays of any shape."""
    return np.where(xyz > DELTA**3, _power(np.maximum(xyz, DELTA**3), 1 / 3), xyz / LINE_SLOPE + LINE_OFFSET)


def _power(positive: np.ndarray, exponent: float) -> np.ndarray:
    power = np.log(positive)  # and exp: several times faster than numpy's power and cbrt of float32
    power *= exponent
    return np.exp(power, out=power)


def cube_of(f: np.ndarray) -> np.ndarray:
    """The reverse of `root_of`."""
    above = np.maximum(f, DELTA)  # where it is a cube; the line touches it at DELTA
    below = f - above
    below *= LINE_SLOPE
    cubes = above * above
    cubes *= above
    cubes += below
    return cubes


def lightness_of_root(fy):
    """L of f(Y), arrays of any shape."""
    return L_SCALE * fy - L_AT_0


def ab_of_roots(fx, fy, fz) -> tuple:
    """a and b of f(X), f(Y), f(Z), arrays of any shape."""
    return A_SCALE * (fx - fy), B_SCALE * (fy - fz)


def ab_of(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """sRGB `(..., 3)`, uint8 or uint16, to a and b of CIE Lab, `(...)` float32 each."""
    roots = root_of(linear_table(rgb.dtype).take(rgb) @ (RGB_TO_XYZ / WHITE[:, None]).T)
    return ab_of_roots(*np.moveaxis(roots, -1, 0))


def lightness_of(grey: np.ndarray) -> np.ndarray:
    """Neutral greys, sRGB of any shape, uint8 or uint16, to their L, float32."""
    return lightness_of_root(root_table(grey.dtype)).take(grey)


def luminance_of(rgb: np.ndarray) -> np.ndarray:
    """sRGB `(..., 3)`, uint8 or uint16, to luminance Y, linear, `(...)` float32."""
    red, green, blue = (weight * linear_table(rgb.dtype) for weight in RGB_TO_XYZ[1])
    luminance = red.take(rgb[..., 0])
    luminance += green.take(rgb[..., 1])
    luminance += blue.take(rgb[..., 2])
    return luminance


def grey_of(rgb: np.ndarray) -> np.ndarray:
    """sRGB `(..., 3)`, uint8, to the neutral grey `(...)`, uint8, of the same lightness.

    Colours of the same luminance Y have the same lightness L*, so L* need not be computed.
    """
    return (gamma_of(luminance_of(rgb)).clip(0, 1) * 255 + 0.5).astype(np.uint8)
