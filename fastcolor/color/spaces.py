"""The ways in which networks see a photo: Lab and RGB, each in two scales.

    lab        standardised: (L - 50) / 25, a / 12.5, b / 12.5     the lean U-Net
    lab_unit   L / 50 - 1, a / 110, b / 110: all within -1..1      the Lab GANs, whose generators end in tanh
    rgb        normalised by ImageNet's mean and deviation         fastai's DynamicUnet
    rgb_unit   -1..1                                               pix2pix and CycleGAN, likewise

A generator's input is made of a grey photo, and of points of colour if it listens, by `inputs`, and nowhere else.
`image` makes its target of a colour photo; `to_lab` and `to_rgb` turn images of the space back. Photos are float 0..1
or uint8. In every space the generator returns the image that the critic judges: `(N, 3, H, W)`.
"""

import torch
from torch import Tensor

from fastcolor.color.cie import AB_RANGE
from fastcolor.color.lab import fit_gamut, grey_of_lightness, lab_to_rgb, lightness_of, rgb_to_lab

# ImageNet's mean and standard deviation per channel, as torchvision's backbones expect them.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


# In photographs L is around 50 with a deviation of about 25, a and b around 0 with about 12. Divided by that, colour
# weighs as much as light. With a and b in -1..1 a critic with spectral norm hardly notices them (measured on `pets`:
# 61 % right after three epochs, against 84 %).
L_CENTRE, L_SPREAD, AB_SPREAD = 50.0, 25.0, 12.5


class LabSpace:
    """Light in, `[light, a, b]` out, as (L - 50) / `l_spread`, a / `ab_spread`, b / `ab_spread`.

    The light that comes out is the input's own.
    """

    channels = 1  # of the generator's input, without points

    def __init__(self, name: str, l_spread: float, ab_spread: float):
        self.name, self.l_spread, self.ab_spread = name, l_spread, ab_spread
        self.most = AB_RANGE / ab_spread  # no colour of sRGB has a larger a or b

    def inputs(
        self, grey: Tensor | None = None, *, lightness: Tensor | None = None, points: Tensor | None = None
    ) -> Tensor:
        """The generator's input `(N, 1, H, W)`, of `grey`, sRGB, or of `lightness`, L of CIE Lab, `(N, 1, H, W)`.

        `points` `(N, 3, H, W)` are for a generator that listens: a and b of CIE Lab, and a mask, 1 where a colour is
        given; elsewhere all are 0. Then it is `(N, 4, H, W)`.
        """
        light = self._light(lightness_of(grey) if lightness is None else lightness)
        if points is None:
            return light
        return torch.cat([light, points[:, :2] / self.ab_spread, points[:, 2:]], dim=1)

    def _light(self, lightness: Tensor) -> Tensor:
        return (lightness - L_CENTRE) / self.l_spread

    def image(self, grey: Tensor, rgb: Tensor) -> Tensor:
        """The photo as the critic sees it: L from `grey` `(N, 1, H, W)`, a and b from `rgb` `(N, 3, H, W)`."""
        return torch.cat([self._light(lightness_of(grey)), rgb_to_lab(rgb)[:, 1:] / self.ab_spread], dim=1)

    def to_lab(self, image: Tensor) -> Tensor:
        """An image of this space, `(N, 3, H, W)`, as CIE Lab."""
        return torch.cat([image[:, :1] * self.l_spread + L_CENTRE, image[:, 1:] * self.ab_spread], dim=1)

    def saturated(self, image: Tensor, factor: float) -> Tensor:
        """An image of this space, `(N, 3, H, W)`, with `factor` times the chroma."""
        return torch.cat([image[:, :1], factor * image[:, 1:]], dim=1)

    def to_rgb(self, image: Tensor) -> Tensor:
        """An image of this space, `(N, 3, H, W)`, as sRGB 0..1; colours outside sRGB lose chroma, not lightness."""
        return lab_to_rgb(fit_gamut(self.to_lab(image.float())))


class RgbSpace:
    """Grey as three equal channels in, RGB out, both less `mean` and divided by `std`, for each channel."""

    channels = 3

    def __init__(self, name: str, mean: tuple[float, ...], std: tuple[float, ...]):
        self.name, self.mean, self.std = name, mean, std

    def _stats(self, device: torch.device) -> tuple[Tensor, Tensor]:
        return tuple(torch.tensor(values, device=device).view(3, 1, 1) for values in (self.mean, self.std))

    def _normalized(self, rgb: Tensor) -> Tensor:
        mean, std = self._stats(rgb.device)
        return ((rgb / 255 if rgb.dtype == torch.uint8 else rgb) - mean) / std

    def inputs(self, grey: Tensor | None = None, *, lightness: Tensor | None = None) -> Tensor:
        """The generator's input `(N, 3, H, W)`, of `grey`, sRGB, or of `lightness`, L of CIE Lab, `(N, 1, H, W)`."""
        return self._normalized(grey_of_lightness(lightness) if grey is None else grey)

    def image(self, grey: Tensor, rgb: Tensor) -> Tensor:
        """The photo as the critic sees it, from `rgb` `(N, 3, H, W)`; `grey` is not used."""
        return self._normalized(rgb)

    def to_lab(self, image: Tensor) -> Tensor:
        """An image of this space, `(N, 3, H, W)`, as CIE Lab."""
        return rgb_to_lab(self.to_rgb(image))

    def saturated(self, image: Tensor, factor: float) -> Tensor:
        """An image of this space, `(N, 3, H, W)`, with `factor` times the chroma; what sRGB doesn't have is fitted."""
        lab = self.to_lab(image)
        lab = fit_gamut(torch.cat([lab[:, :1], factor * lab[:, 1:]], dim=1))
        return self._normalized(lab_to_rgb(lab))

    def to_rgb(self, image: Tensor) -> Tensor:
        """An image of this space, `(N, 3, H, W)`, as sRGB 0..1."""
        mean, std = self._stats(image.device)
        return (image.float() * std + mean).clamp(0, 1)


SPACES = {
    space.name: space
    for space in (
        LabSpace("lab", L_SPREAD, AB_SPREAD),
        LabSpace("lab_unit", L_CENTRE, AB_RANGE),
        RgbSpace("rgb", IMAGENET_MEAN, IMAGENET_STD),
        RgbSpace("rgb_unit", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    )
}
"""The spaces by the name that stands in a network's config."""
