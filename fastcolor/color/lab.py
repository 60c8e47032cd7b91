"""sRGB and CIE Lab for tensors. Every constant of a colour space in this project stands in this file.

sRGB: IEC 61966-2-1 transfer curve; Lab: CIE 1976 with the D65 white point (2 degree observer), as scikit-image has it.
Images are `(..., 3, H, W)`; sRGB is float in 0..1 or, where it says so, uint8; L is 0..100, a and b lie within
-86.2..98.3 and -107.9..94.5 for colours inside sRGB.
"""

from functools import cache

import torch
from torch import Tensor

# Linear sRGB to CIE XYZ (D65): IEC 61966-2-1. The middle row gives luminance Y.
RGB_TO_XYZ = torch.tensor(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
XYZ_TO_RGB = torch.linalg.inv(RGB_TO_XYZ.double()).float()
WHITE = torch.tensor([0.95047, 1.0, 1.08883])
DELTA = 6 / 29  # where Lab's cube root turns into a straight line (CIE 15:2004, 8.2.1)

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
    return torch.where(xyz > DELTA**3, xyz.clamp(min=DELTA**3) ** (1 / 3), xyz / (3 * DELTA**2) + 4 / 29)


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """sRGB `(..., 3, H, W)`, float 0..1 or uint8, to Lab of the same shape, float."""
    x, y, z = _cube_root(_mix(RGB_TO_XYZ / WHITE[:, None], linear_of(rgb))).unbind(-3)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-3)


def lightness_of(grey: Tensor) -> Tensor:
    """Neutral greys, sRGB of any shape, float 0..1 or uint8, to their L, float: the luminance of a grey is its linear value."""
    return 116 * _cube_root(linear_of(grey)) - 16


def grey_of_lightness(lightness: Tensor) -> Tensor:
    """L `(..., 1, H, W)` as neutral grey, sRGB 0..1 of the same shape."""
    return lab_to_rgb(torch.cat([lightness, torch.zeros_like(lightness), torch.zeros_like(lightness)], dim=-3)).narrow(-3, 0, 1)


def lab_to_linear(lab: Tensor) -> Tensor:
    """Lab `(..., 3, H, W)` to linear sRGB; values outside 0..1 are colours that sRGB does not have."""
    lightness, a, b = lab.unbind(-3)
    y = (lightness + 16) / 116
    f = torch.stack([y + a / 500, y, y - b / 200], dim=-3)
    xyz = torch.where(f > DELTA, f**3, 3 * DELTA**2 * (f - 4 / 29)) * WHITE.to(lab).view(3, 1, 1)
    return _mix(XYZ_TO_RGB, xyz)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Lab `(..., 3, H, W)` to sRGB, float 0..1; colours outside sRGB are clipped channel by channel."""
    return gamma_of(lab_to_linear(lab).clamp(0, 1))


def fit_gamut(lab: Tensor, steps: int = 10) -> Tensor:
    """Lab with the chroma of colours outside sRGB reduced, at constant lightness and hue, until they fit.

    Bisection on the chroma's scale, `steps` halvings; only the pixels outside are worked on. Lightness is clamped to
    0..100, a and b of black and white become 0.
    """
    lab = torch.cat([lab.narrow(-3, 0, 1).clamp(0, 100), lab.narrow(-3, 1, 2)], dim=-3)
    pixels = lab.movedim(-3, -1).reshape(-1, 3)
    outside = ~_fits(pixels)
    if not outside.any():
        return lab
    lightness, ab = pixels[outside, :1], pixels[outside, 1:]
    low, high = torch.zeros_like(lightness), torch.ones_like(lightness)
    for _ in range(steps):
        middle = (low + high) / 2
        fits = _fits(torch.cat([lightness, middle * ab], dim=1))[:, None]
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    pixels = pixels.clone()
    pixels[outside, 1:] = low * ab
    return pixels.view(lab.movedim(-3, -1).shape).movedim(-1, -3)


def _fits(pixels: Tensor) -> Tensor:
    linear = lab_to_linear(pixels.t()[:, :, None])[..., 0]
    return ((linear > -1e-4) & (linear < 1 + 1e-4)).all(dim=0)


def grey_of(rgb: Tensor) -> Tensor:
    """sRGB `(..., 3, H, W)`, uint8 or float 0..1, to the neutral grey `(..., H, W)` of the same lightness and dtype.

    A neutral grey has the lightness L* of a colour exactly if it has its luminance Y, so no L* need be computed.
    """
    linear = linear_of(rgb)
    grey = gamma_of(torch.einsum("j,...jhw->...hw", RGB_TO_XYZ[1].to(linear), linear))
    return (grey * 255 + 0.5).clamp(0, 255).to(torch.uint8) if rgb.dtype == torch.uint8 else grey
