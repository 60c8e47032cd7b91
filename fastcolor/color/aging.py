"""Old photographs out of modern ones: what film, lens, paper and a century in a drawer do to a photo's light.

A network that saw only desaturated modern photos takes a faded print for fog, and grain for texture: it colours both
sepia. The ranges below were set by eye, to look like scanned family photos of 1890 to 1960.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from fastcolor.processes import Share

# How film sees red, green, blue. Orthochromatic film, usual until the 1930s, hardly sees red: lips are dark, blue skies
# white. Panchromatic film is close to luminance. (Mixed without undoing sRGB's curve: the tone curve that follows is
# arbitrary anyway.) The rounded weights of Rec. 709 rather than the six digits of `lab.RGB_TO_XYZ`: film needs no more,
# and other ones would age the photos of runs that are resumed differently.
ORTHOCHROMATIC = (0.05, 0.45, 0.50)
PANCHROMATIC = (0.2126, 0.7152, 0.0722)
DUST = 8  # specks on a photo that has any


def age(rgb: Tensor, seed: int, share: Share | None = None) -> Tensor:
    """Photos `(N, 3, H, W)`, sRGB uint8, as old grey prints: `(N, 1, H, W)` uint8, each aged differently.

    In this order: film's sensitivity to colours, blur, vignette and uneven fading, tone curve, grain, scratches and
    dust. Lengths are in pixels, for photos of 100 to 300 px. On one device the same seed ages the same photos alike,
    also where `rgb` is only a `share` of them.
    """
    draw = _Draw(len(rgb), rgb.device, seed, share)
    light = _film(rgb / 255, draw)
    light = _blur(light, draw)
    light = _shade(light, draw)
    light = _tone(light, draw)
    light = _grain(light, draw)
    light = _scratches(light, draw)
    return (light * 255 + 0.5).clamp(0, 255).to(torch.uint8)


class _Draw:
    """Seeded random numbers, one per photo or of a shape."""

    def __init__(self, count: int, device: torch.device, seed: int, share: Share | None):
        self.count, self.own = (share.count, list(share.rows)) if share else (count, slice(None))
        self.device = device
        self.generator = torch.Generator(device).manual_seed(seed)

    def noise(self, *shape: int) -> Tensor:
        return torch.randn(self.count, *shape, generator=self.generator, device=self.device)[self.own]

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        shape = shape or (1, 1, 1)
        drawn = torch.rand(self.count, *shape, generator=self.generator, device=self.device)[self.own]
        return low + (high - low) * drawn

    def some(self, share: float) -> Tensor:
        """1 for this share of the photos, 0 for the others."""
        return (self.uniform(0, 1) < share).float()


def _film(rgb: Tensor, draw: _Draw) -> Tensor:
    films = (torch.tensor(film, device=rgb.device).view(1, 3, 1, 1) for film in (PANCHROMATIC, ORTHOCHROMATIC))
    weights = torch.lerp(*films, draw.some(0.5) * draw.uniform(0, 1))
    return (rgb * weights).sum(1, keepdim=True)


def _blur(light: Tensor, draw: _Draw) -> Tensor:
    once = _smooth(light)
    twice = _smooth(_smooth(once))
    amount = draw.uniform(0, 1) * draw.some(0.7)
    return torch.lerp(light, torch.where(draw.some(0.4) > 0, twice, once), amount)


def _smooth(light: Tensor) -> Tensor:
    """1 2 1 in both directions; with slices, in a sixth of the time of a one-channel convolution."""
    light = F.pad(light, (1, 1, 1, 1), mode="replicate")
    light = (light[..., :-2] + light[..., 2:]) / 4 + light[..., 1:-1] / 2
    return (light[..., :-2, :] + light[..., 2:, :]) / 4 + light[..., 1:-1, :] / 2


def _shade(light: Tensor, draw: _Draw) -> Tensor:
    height, width = light.shape[-2:]
    y, x = (torch.linspace(-1, 1, side, device=light.device) for side in (height, width))
    distance = (y.square()[:, None] + x.square())[None, None] / 2  # 1 in the corners
    vignette = 1 - draw.uniform(0, 0.5) * draw.some(0.5) * distance
    patches = F.interpolate(draw.noise(1, 3, 3), (height, width), mode="bilinear", align_corners=True)
    return light * vignette + draw.uniform(0, 0.06) * patches


def _tone(light: Tensor, draw: _Draw) -> Tensor:
    light = light.clamp(1e-4, 1) ** torch.exp(draw.uniform(-0.5, 0.5))
    steep = light * light * (3 - 2 * light)  # an S, as film's characteristic curve
    light = torch.lerp(light, steep, draw.uniform(-0.2, 0.8))
    black, white = draw.uniform(0, 0.25), draw.uniform(0.75, 1)
    return black + (white - black) * light


def _grain(light: Tensor, draw: _Draw) -> Tensor:
    fine = draw.noise(*light.shape[1:])
    coarse = 2 * _smooth(fine)  # smoothing takes away more than half of the deviation
    grain = torch.where(draw.some(0.5) > 0, coarse, fine)
    return light + draw.uniform(0, 0.05) * grain


def _scratches(light: Tensor, draw: _Draw) -> Tensor:
    _, _, height, width = light.shape
    columns = (draw.uniform(0, 1, 1, 1, width) < 2 / width).float()  # two scratches a photo
    begin, length = draw.uniform(-0.5, 1), draw.uniform(0.2, 1)
    y = torch.linspace(0, 1, height, device=light.device).view(1, 1, -1, 1)
    lines = columns * ((y > begin) & (y < begin + length))
    row, column = draw.uniform(0, height, DUST).long(), draw.uniform(0, width, DUST).long()
    specks = torch.zeros(len(light), height * width, device=light.device).scatter_(1, row * width + column, 1.0)
    dust = F.max_pool2d(specks.view_as(light), 3, stride=1, padding=1)
    marks = torch.maximum(lines, dust) * draw.some(0.4)
    return torch.lerp(light, (draw.uniform(0, 1) > 0.3).float(), 0.7 * marks)
