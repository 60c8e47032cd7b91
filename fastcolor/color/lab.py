"""sRGB and CIE Lab for tensors: what training needs. `cie` has the constants, and the same for photos to be coloured.

Images are `(..., 3, H, W)`; sRGB is float in 0..1 or, where it says so, uint8; L is 0..100, a and b are within
-86.2..98.3 and -107.9..94.5 for colours inside sRGB.
"""

from collections.abc import Iterable
from functools import cache

import torch
from torch import Tensor

from fastcolor.color import cie
from fastcolor.color.cie import (
    A_SCALE,
    B_SCALE,
    DELTA,
    GAMMA,
    GAMMA_OFFSET,
    GAMMA_SCALE,
    GAMMA_SLOPE,
    L_AT_0,
    L_SCALE,
    LINE_OFFSET,
    LINE_SLOPE,
    LINEAR_LINE,
    SRGB_LINE,
    TOLERANCE,
    ab_of_roots,
    lightness_of_root,
)

RGB_TO_XYZ, XYZ_TO_RGB, WHITE = (torch.from_numpy(each) for each in (cie.RGB_TO_XYZ, cie.XYZ_TO_RGB, cie.WHITE))
GAMUT_STEPS = 10  # halvings of the interval in which the largest chroma that fits into sRGB is looked for


def linear_of(rgb: Tensor) -> Tensor:
    """sRGB of any shape, float 0..1 or uint8, to linear values, float 0..1."""
    if rgb.dtype == torch.uint8:  # a table of all 256: several times faster than the power on every pixel
        return _linear_bytes(rgb.device).index_select(0, rgb.flatten().int()).view(rgb.shape)
    return torch.where(rgb > SRGB_LINE, ((rgb + GAMMA_OFFSET) / GAMMA_SCALE).clamp(min=0) ** GAMMA, rgb / GAMMA_SLOPE)


@cache
def _linear_bytes(device: torch.device) -> Tensor:
    return linear_of(torch.arange(256, device=device) / 255)


def gamma_of(linear: Tensor) -> Tensor:
    """Linear values of any shape, 0..1, to sRGB, float 0..1."""
    return torch.where(
        linear > LINEAR_LINE,
        GAMMA_SCALE * linear.clamp(min=LINEAR_LINE) ** (1 / GAMMA) - GAMMA_OFFSET,
        GAMMA_SLOPE * linear,
    )


def _mix(matrix: Tensor, image: Tensor) -> Tensor:
    return torch.einsum("ij,...jhw->...ihw", matrix.to(image, non_blocking=image.is_cuda), image)


def _cube_root(xyz: Tensor) -> Tensor:
    return torch.where(xyz > DELTA**3, xyz.clamp(min=DELTA**3) ** (1 / 3), xyz / LINE_SLOPE + LINE_OFFSET)


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


def in_gamut(linear: Iterable[Tensor]) -> Tensor:
    """Which colours sRGB has: a mask, of the channels of linear sRGB, tensors of any shape."""
    red, green, blue = ((channel > -TOLERANCE) & (channel < 1 + TOLERANCE) for channel in linear)
    return red & green & blue


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

    share = torch.zeros_like(lightness)
    for step in (0.5**halving for halving in range(1, GAMUT_STEPS + 1)):  # exact, as these are sums of powers of 2
        share += step * in_gamut(_linear(torch.cat([lightness, (share + step) * ab], dim=1)))[:, None]
    pixels = pixels.clone()
    pixels[outside, 1:] = share * ab
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
