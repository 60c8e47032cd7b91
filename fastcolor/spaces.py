"""The two ways in which networks see a photo: Lab (the default) and ImageNet-normalised RGB (fastai's DynamicUnet).

A space turns a grey photo into the generator's input and a colour photo into its target, both given as float 0..1 or as
uint8, and an image of the generator back into sRGB. In both, the generator returns the image that the critic judges:
`(N, 3, H, W)`.
"""

import torch
from torch import Tensor

from fastcolor.color import AB_RANGE, fit_gamut, grey_of_lightness, lab_to_rgb, lightness_of, rgb_to_lab

# ImageNet's mean and standard deviation per channel, as torchvision's backbones expect them.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


# L lies around 50 and spreads by about 25 in photographs, a and b around 0 and by about 12. Divided by that, colour
# weighs as much as light: with a and b in -1..1 a critic with spectral norm hardly notices them (measured on `pets`:
# 61 % right after three epochs against 84 %).
L_CENTRE, L_SPREAD, AB_SPREAD = 50.0, 25.0, 12.5


class LabSpace:
    """Light in, `[light, a, b]` out, standardised: (L - 50) / 25, a / 12.5, b / 12.5. The light is the input's own."""

    name = "lab"
    channels = 1  # of the generator's input
    most = AB_RANGE / AB_SPREAD  # no colour of sRGB has a larger a or b

    def inputs(self, grey: Tensor) -> Tensor:
        """Grey `(N, 1, H, W)`, sRGB, to the generator's input `(N, 1, H, W)`."""
        return self.inputs_of_lightness(lightness_of(grey))

    def inputs_of_lightness(self, lightness: Tensor) -> Tensor:
        """L of CIE Lab, `(N, 1, H, W)`, to the generator's input `(N, 1, H, W)`."""
        return (lightness - L_CENTRE) / L_SPREAD

    def image(self, grey: Tensor, rgb: Tensor) -> Tensor:
        """The photo as the critic sees it: L from `grey` `(N, 1, H, W)`, a and b from `rgb` `(N, 3, H, W)`."""
        return torch.cat([self.inputs(grey), rgb_to_lab(rgb)[:, 1:] / AB_SPREAD], dim=1)

    def to_lab(self, image: Tensor) -> Tensor:
        """An image of this space, `(N, 3, H, W)`, as CIE Lab."""
        return torch.cat([image[:, :1] * L_SPREAD + L_CENTRE, image[:, 1:] * AB_SPREAD], dim=1)

    def to_rgb(self, image: Tensor) -> Tensor:
        """An image of this space, `(N, 3, H, W)`, as sRGB 0..1; colours outside sRGB lose chroma, not lightness."""
        return lab_to_rgb(fit_gamut(self.to_lab(image.float())))


class RgbSpace:
    """Grey as three equal channels in, RGB out, both normalised by ImageNet's mean and standard deviation."""

    name = "rgb"
    channels = 3

    def _stats(self, device: torch.device) -> tuple[Tensor, Tensor]:
        return tuple(torch.tensor(values, device=device).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))

    def _normalized(self, rgb: Tensor) -> Tensor:
        mean, std = self._stats(rgb.device)
        return ((rgb / 255 if rgb.dtype == torch.uint8 else rgb) - mean) / std

    def inputs(self, grey: Tensor) -> Tensor:
        """Grey `(N, 1, H, W)`, sRGB, to the generator's input `(N, 3, H, W)`."""
        return self._normalized(grey)

    def inputs_of_lightness(self, lightness: Tensor) -> Tensor:
        """L of CIE Lab, `(N, 1, H, W)`, to the generator's input `(N, 3, H, W)`."""
        return self._normalized(grey_of_lightness(lightness))

    def image(self, grey: Tensor, rgb: Tensor) -> Tensor:
        """The photo as the critic sees it, from `rgb` `(N, 3, H, W)`; `grey` plays no part in it."""
        return self._normalized(rgb)

    def to_lab(self, image: Tensor) -> Tensor:
        """An image of this space, `(N, 3, H, W)`, as CIE Lab."""
        return rgb_to_lab(self.to_rgb(image))

    def to_rgb(self, image: Tensor) -> Tensor:
        """An image of this space, `(N, 3, H, W)`, as sRGB 0..1."""
        mean, std = self._stats(image.device)
        return (image.float() * std + mean).clamp(0, 1)


SPACES = {space.name: space for space in (LabSpace(), RgbSpace())}
"""The spaces by the name that stands in a network's config."""
