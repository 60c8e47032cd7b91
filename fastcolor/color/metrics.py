"""How good colours are: pure functions over sRGB or Lab tensors, one value per photo.

PSNR rewards grey: always look at it beside colourfulness.
"""

import math

import torch
from torch import Tensor

from fastcolor.color.lab import rgb_to_lab


def psnr(fake: Tensor, real: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of sRGB images `(N, 3, H, W)`, 0..1: `(N,)`. Equal images give infinity."""
    return -10 * (fake - real).square().mean(dim=(1, 2, 3)).log10()


def ab_error(fake: Tensor, real: Tensor) -> Tensor:
    """Mean distance in the ab plane of Lab images `(N, 3, H, W)`: `(N,)`, in units of CIE 1976 colour difference."""
    return (fake - real)[:, 1:].norm(dim=1).mean(dim=(1, 2))


def ciede2000(fake: Tensor, real: Tensor) -> Tensor:
    """Mean CIEDE2000 colour difference of Lab images `(N, 3, H, W)`: `(N,)`; about 1 can just be seen."""
    return ciede2000_map(fake, real).mean(dim=(1, 2))


def ciede2000_map(fake: Tensor, real: Tensor) -> Tensor:
    """CIEDE2000 colour difference at every pixel of Lab images `(N, 3, H, W)`: `(N, H, W)`.

    Sharma, Wu and Dalal, "The CIEDE2000 Color-Difference Formula" (2005), equations 2 to 22, with kL = kC = kH = 1.
    """
    (l1, a1, b1), (l2, a2, b2) = fake.unbind(1), real.unbind(1)
    chroma = (torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * _towards_one(chroma)
    a1, a2 = stretch * a1, stretch * a2
    c1, c2 = torch.hypot(a1, b1), torch.hypot(a2, b2)
    h1, h2 = torch.atan2(b1, a1) % (2 * math.pi), torch.atan2(b2, a2) % (2 * math.pi)
    turn = h2 - h1
    turn = turn - 2 * math.pi * torch.where(turn.abs() > math.pi, turn.sign(), 0)  # the shorter way round
    hue = torch.where(c1 == 0, h2, torch.where(c2 == 0, h1, h1 + turn / 2))  # a grey has none: the other's counts
    hue = hue % (2 * math.pi)
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    t = 1 - 0.17 * (hue - math.radians(30)).cos() + 0.24 * (2 * hue).cos()
    t = t + 0.32 * (3 * hue + math.radians(6)).cos() - 0.2 * (4 * hue - math.radians(63)).cos()
    off_50 = (light - 50).square()
    d_light = (l2 - l1) / (1 + 0.015 * off_50 / (20 + off_50).sqrt())
    d_chroma = (c2 - c1) / (1 + 0.045 * chroma)
    d_hue = 2 * (c1 * c2).sqrt() * (turn / 2).sin() / (1 + 0.015 * chroma * t)
    blue = math.radians(60) * torch.exp(-((hue.rad2deg() - 275) / 25).square())
    rotation = -2 * _towards_one(chroma) * blue.sin()
    squared = d_light.square() + d_chroma.square() + d_hue.square() + rotation * d_chroma * d_hue
    return squared.clamp(min=0).sqrt()  # rounding must not make it less than nothing


def _towards_one(chroma: Tensor) -> Tensor:
    return (chroma**7 / (chroma**7 + 25**7)).sqrt()


def colorfulness(rgb: Tensor, absolute: bool = False) -> Tensor:
    """Colourfulness of sRGB images `(N, 3, H, W)`, 0..1, on the usual scale of 0..255 values: `(N,)`; 0 is grey.

    Hasler and Suesstrunk 2003, equation for M3: sigma + 0.3 mu of the signed opponents R-G and (R+G)/2-B. `absolute`
    takes their absolute values, as the code of CT2 (2022) and DDColor (2023) does: its figures are not comparable.
    """
    r, g, b = (rgb * 255).unbind(1)
    opponents = torch.stack([r - g, (r + g) / 2 - b], dim=1).flatten(2)
    opponents = opponents.abs() if absolute else opponents
    sigma = opponents.std(dim=2, unbiased=False).norm(dim=1)
    return sigma + 0.3 * opponents.mean(dim=2).norm(dim=1)


BLUE = (200.0, 300.0)  # degrees of hue in the ab plane, green-blue to violet: sky, water, denim
LEAST_CHROMA = 8.0  # below it a pixel counts as grey, and has no hue
SKIN_LEAST = 0.01  # of a photo's pixels


def blue_share(lab: Tensor) -> Tensor:
    """The share of the coloured pixels of Lab images `(N, 3, H, W)` whose hue is blue: `(N,)`, 0 where all is grey.

    Blue is a hue angle within BLUE, coloured a chroma of LEAST_CHROMA at least.
    """
    a, b = lab[:, 1], lab[:, 2]
    hue = torch.atan2(b, a).rad2deg() % 360
    colored = torch.hypot(a, b) >= LEAST_CHROMA
    blue = colored & (hue >= BLUE[0]) & (hue <= BLUE[1])
    return blue.sum(dim=(1, 2)) / colored.sum(dim=(1, 2)).clamp(min=1)


def mean_hue(lab: Tensor) -> Tensor:
    """The direction of each photo's mean colour, from Lab `(N, 3, H, W)`: unit vectors `(N, 2)` in the ab plane."""
    ab = lab[:, 1:].flatten(2).mean(dim=2)
    return ab / ab.norm(dim=1, keepdim=True).clamp(min=1e-6)


def hue_diversity(hues: Tensor) -> float:
    """How far photos differ in hue: the circular variance of `mean_hue`'s `(N, 2)`, 0 (all share one hue) to 1.

    Mardia and Jupp, Directional Statistics (2000), section 2.3.1.
    """
    return 1 - hues.mean(dim=0).norm().item()


def skin(rgb: Tensor) -> Tensor:
    """Where photos show what may be skin, sRGB `(N, 3, H, W)`, 0..1: a mask `(N, H, W)`, bool. Wood and sand pass too.

    77 <= Cb <= 127 and 133 <= Cr <= 173, in BT.601's 8-bit YCbCr of 16..240 (Chai and Ngan 1999, "Face segmentation
    using skin-color map in videophone applications", section III): for skin of every lightness, as Y plays no part.
    """
    r, g, b = (rgb * 255).unbind(1)
    cb = 128 + (-37.797 * r - 74.203 * g + 112.0 * b) / 255
    cr = 128 + (112.0 * r - 93.786 * g - 18.214 * b) / 255
    return (cb >= 77) & (cb <= 127) & (cr >= 133) & (cr <= 173)


def skin_error(fake: Tensor, real: Tensor) -> Tensor:
    """Mean distance in the ab plane where the real photo shows skin, of sRGB images `(N, 3, H, W)`, 0..1: `(N,)`.

    nan for photos of which less than SKIN_LEAST is skin.
    """
    where = skin(real)
    far = (rgb_to_lab(fake) - rgb_to_lab(real))[:, 1:].norm(dim=1)
    mean = (far * where).sum(dim=(1, 2)) / where.sum(dim=(1, 2))
    return torch.where(where.float().mean(dim=(1, 2)) < SKIN_LEAST, torch.nan, mean)


def hue_spread(lab: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
    """How far hues differ within each region of a Lab image `(3, H, W)`: degrees `(R,)`, and each one's chroma `(R,)`.

    `regions` `(H, W)`, int64, numbers them from 0. The spread is the circular standard deviation (Mardia and Jupp 2000,
    section 2.3.1), with pixels weighted by their chroma; 0 where all is grey. The chroma is the mean of the region's.
    """
    count, place = int(regions.max()) + 1, regions.flatten()

    def summed(values: Tensor) -> Tensor:
        return torch.zeros(count, dtype=torch.float64).index_add_(0, place, values.flatten().double())

    a, b = lab[1:]
    chroma = summed(torch.hypot(a, b))
    together = torch.hypot(summed(a), summed(b)) / chroma.clamp(min=1e-9)
    spread = (-2 * together.clamp(1e-9, 1).log()).sqrt().rad2deg()
    return torch.where(chroma > 0, spread, 0), chroma / summed(torch.ones_like(a)).clamp(min=1)
