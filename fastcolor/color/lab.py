"""sRGB and CIE Lab for tensors. Every constant of a colour space in this project is in this file.

sRGB: IEC 61966-2-1 transfer curve; Lab: CIE 1976 with the D65 white point (2 degree observer), as in scikit-image.
Images are `(..., 3, H, W)`; sRGB is float in 0..1 or, where it says so, uint8; L is 0..100, a and b are within
-86.2..98.3 and -107.9..94.5 for colours inside sRGB. What says "arrays" takes numpy's as well as tensors: `fullsize`
does the same to whole photos with numpy.
"""

from collections.abc import Callable, Iterable
from functools import cache

import torch
from torch import Tensor

# Linear sRGB to CIE XYZ (D65): IEC 61966-2-1. The middle row gives luminance Y.
RGB_TO_XYZ = torch.tensor(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
XYZ_TO_RGB = torch.linalg.inv(RGB_TO_XYZ.double()).float()
WHITE = torch.tensor([0.95047, 1.0, 1.08883])

# CIE 15:2004, 8.2.1. X, Y and Z are shares of white. f is the cube root, below DELTA**3 the line t / LINE_SLOPE +
# LINE_OFFSET. L = L_SCALE f(Y) - L_AT_0, a = A_SCALE (f(X) - f(Y)), b = B_SCALE (f(Y) - f(Z)).
DELTA = 6 / 29
LINE_SLOPE, LINE_OFFSET = 3 * DELTA**2, 4 / 29
L_SCALE, L_AT_0, A_SCALE, B_SCALE = 116, 16, 500, 200

GAMUT_STEPS = 10  # halvings of the interval in which the largest chroma that fits into sRGB is looked for
TOLERANCE = 1e-4  # of linear sRGB beyond 0..1: less than a tenth of an 8-bit step, also where the curve is steepest

AB_RANGE = 110.0
"""a and b of every sRGB colour lie within -AB_RANGE..AB_RANGE."""


def linear_of(rgb: Tensor) -> Tensor:
    """sRGB of any shape, float 0..1 or uint8, to linear values, float 0..1."""
    if rgb.dtype == torch.uint8:  # a table of all 256: several times faster than the power on every pixel
        return _linear_bytes(rgb.device).index_select(0, rgb.flatten().int()).view(rgb.shape)
    return torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055).clamp(min=0) ** 2.4, rgb / 12.92)


@cache
def _linear_bytes(device: torch.device) -> Tensor:
    return linear_of(torch.arange(256, device=device) / 255)


def gamma_of(linear: Tensor) -> Tensor:
    """Linear values of any shape, 0..1, to sRGB, float 0..1."""
    return torch.where(linear > 0.0031308, 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055, 12.92 * linear)


def _mix(matrix: Tensor, image: Tensor) -> Tensor:
    return torch.einsum("ij,...jhw->...ihw", matrix.to(image), image)


def _cube_root(xyz: Tensor) -> Tensor:
    return torch.where(xyz > DELTA**3, xyz.clamp(min=DELTA**3) ** (1 / 3), xyz / LINE_SLOPE + LINE_OFFSET)


def lightness_of_root(fy):
    """L of f(Y), arrays of any shape."""
    return L_SCALE * fy - L_AT_0


def ab_of_roots(fx, fy, fz) -> tuple:
    """a and b of f(X), f(Y), f(Z), arrays of any shape."""
    return A_SCALE * (fx - fy), B_SCALE * (fy - fz)


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """sRGB `(..., 3, H, W)`, float 0..1 or uint8, to Lab of the same shape, float."""
    x, y, z = _cube_root(_mix(RGB_TO_XYZ / WHITE[:, None], linear_of(rgb))).unbind(-3)
    return torch.stack([lightness_of_root(y), *ab_of_roots(x, y, z)], dim=-3)


def lightness_of(grey: Tensor) -> Tensor:
    """Neutral greys, sRGB of any shape, float 0..1 or uint8, to their L, float.

    The luminance Y of a grey is its linear value.
    """
    return lightness_of_root(_cube_root(linear_of(grey)))


def grey_of_lightness(lightness: Tensor) -> Tensor:
    """L `(..., 1, H, W)` as neutral grey, sRGB 0..1 of the same shape."""
    nothing = torch.zeros_like(lightness)
    return lab_to_rgb(torch.cat([lightness, nothing, nothing], dim=-3)).narrow(-3, 0, 1)


def lab_to_linear(lab: Tensor) -> Tensor:
    """Lab `(..., 3, H, W)` to linear sRGB; values outside 0..1 are colours that sRGB does not have."""
    lightness, a, b = lab.unbind(-3)
    y = (lightness + L_AT_0) / L_SCALE
    f = torch.stack([y + a / A_SCALE, y, y - b / B_SCALE], dim=-3)
    xyz = torch.where(f > DELTA, f**3, LINE_SLOPE * (f - LINE_OFFSET)) * WHITE.to(lab).view(3, 1, 1)
    return _mix(XYZ_TO_RGB, xyz)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Lab `(..., 3, H, W)` to sRGB, float 0..1; colours outside sRGB are clipped channel by channel."""
    return gamma_of(lab_to_linear(lab).clamp(0, 1))


def in_gamut(linear: Iterable):
    """Which colours sRGB has: a mask, of the channels of linear sRGB, arrays of any shape."""
    red, green, blue = ((channel > -TOLERANCE) & (channel < 1 + TOLERANCE) for channel in linear)
    return red & green & blue


def largest_share(fits: Callable, share):
    """How much of their chroma colours can keep within sRGB, at constant lightness and hue: 0..1, found by bisection.

    `fits(share)` is the mask of `in_gamut` for colours with that share of their chroma. `share` are the zeros to begin
    with, one for each colour, an array; it is changed and returned.
    """
    for step in (0.5**halving for halving in range(1, GAMUT_STEPS + 1)):
        share += step * fits(share + step)  # exact, as these are sums of powers of 2
    return share


def fit_gamut(lab: Tensor) -> Tensor:
    """Lab with the chroma of colours outside sRGB reduced, at constant lightness and hue, until they fit.

    Only the pixels outside are worked on. Lightness is clamped to 0..100, a and b of black and white become 0.
    """
    lab = torch.cat([lab.narrow(-3, 0, 1).clamp(0, 100), lab.narrow(-3, 1, 2)], dim=-3)
    pixels = lab.movedim(-3, -1).reshape(-1, 3)
    outside = ~in_gamut(_linear(pixels))
    if not outside.any():
        return lab
    lightness, ab = pixels[outside, :1], pixels[outside, 1:]

    def fits(share: Tensor) -> Tensor:
        return in_gamut(_linear(torch.cat([lightness, share * ab], dim=1)))[:, None]

    pixels = pixels.clone()
    pixels[outside, 1:] = largest_share(fits, torch.zeros_like(lightness)) * ab
    return pixels.view(lab.movedim(-3, -1).shape).movedim(-1, -3)


def _linear(pixels: Tensor) -> Tensor:
    """Linear sRGB, `(3, n)`, of Lab, `(n, 3)`."""
    return lab_to_linear(pixels.t()[:, :, None])[..., 0]


def grey_of(rgb: Tensor) -> Tensor:
    """sRGB `(..., 3, H, W)`, uint8 or float 0..1, to the neutral grey `(..., H, W)` of the same lightness and dtype.

    Colours of the same luminance Y have the same lightness L*, so L* need not be computed.
    """
    linear = linear_of(rgb)
    grey = gamma_of(torch.einsum("j,...jhw->...hw", RGB_TO_XYZ[1].to(linear), linear))
    return (grey * 255 + 0.5).clamp(0, 255).to(torch.uint8) if rgb.dtype == torch.uint8 else grey
