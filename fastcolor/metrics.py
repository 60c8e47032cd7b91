"""How good colours are: pure functions over sRGB or Lab tensors, one value per photo.

PSNR rewards grey: always look at it beside colourfulness.
"""

import torch
from torch import Tensor


def psnr(fake: Tensor, real: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of sRGB images `(N, 3, H, W)`, 0..1: `(N,)`. Equal images give infinity."""
    return -10 * (fake - real).square().mean(dim=(1, 2, 3)).log10()


def ab_error(fake: Tensor, real: Tensor) -> Tensor:
    """Mean distance in the ab plane of Lab images `(N, 3, H, W)`: `(N,)`, in units of CIE 1976 colour difference."""
    return (fake - real)[:, 1:].norm(dim=1).mean(dim=(1, 2))


def colorfulness(rgb: Tensor) -> Tensor:
    """Colourfulness of sRGB images `(N, 3, H, W)`, 0..1, on the usual scale of 0..255 values: `(N,)`; 0 is grey.

    Hasler and Suesstrunk 2003, equation for M3: sigma + 0.3 mu of the signed opponents R-G and (R+G)/2-B.
    """
    r, g, b = (rgb * 255).unbind(1)
    opponents = torch.stack([r - g, (r + g) / 2 - b], dim=1).flatten(2)
    sigma = opponents.std(dim=2, unbiased=False).norm(dim=1)
    return sigma + 0.3 * opponents.mean(dim=2).norm(dim=1)


def mean_hue(lab: Tensor) -> Tensor:
    """The direction of each photo's mean colour, from Lab `(N, 3, H, W)`: unit vectors `(N, 2)` in the ab plane."""
    ab = lab[:, 1:].flatten(2).mean(dim=2)
    return ab / ab.norm(dim=1, keepdim=True).clamp(min=1e-6)


def hue_diversity(hues: Tensor) -> float:
    """How far photos differ in hue: the circular variance of `mean_hue`'s `(N, 2)`, 0 (all share one hue) to 1.

    Mardia and Jupp, Directional Statistics (2000), section 2.3.1.
    """
    return 1 - hues.mean(dim=0).norm().item()
