"""What the generator's colours are judged by beside the critic: images of a space in, `(N, 3, H, W)`, one number out."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from fastcolor.color.lab import lab_to_rgb
from fastcolor.color.spaces import AB_SPREAD, IMAGENET_MEAN, IMAGENET_STD, SPACES
from fastcolor.flags import one_of
from fastcolor.networks.pretrained import load_imagenet

CHROMA_WEIGHT = 0.75  # per AB_SPREAD units of chroma
FEATURE_WEIGHT = 0.5
# SqueezeNet's layers after which LPIPS looks, as ranges of torchvision's `features`.
CUTS = ((0, 2), (2, 5), (5, 8), (8, 10), (10, 11), (11, 12), (12, 13))


class ChromaLoss(nn.Module):
    """Smooth L1 of a and b (in AB_SPREAD units), each pixel weighted by 1 + CHROMA_WEIGHT x its real chroma.

    A simple form of the class rebalancing of Zhang et al. 2016, section 2.2: most pixels of most photos are nearly grey, and
    a network that is content with those paints everything brown.
    """

    def __init__(self, space: str):
        super().__init__()
        self.space = SPACES[space]

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """The loss of the generator's images against photos as images: a scalar."""
        return self.of_lab(*(self.space.to_lab(image.float()) for image in (fake, real)))

    def of_lab(self, fake: Tensor, real: Tensor) -> Tensor:
        """The same of CIE Lab images `(N, 3, H, W)`."""
        fake, real = fake[:, 1:] / AB_SPREAD, real[:, 1:] / AB_SPREAD
        weight = 1 + CHROMA_WEIGHT * real.norm(dim=1)
        return (weight * F.smooth_l1_loss(fake, real, reduction="none").mean(dim=1)).sum() / weight.sum()


class PhotoLoss(ChromaLoss):
    """Asks for colours that a person would take for a photo's, rather than for their average.

    ChromaLoss, plus FEATURE_WEIGHT x the distance of SqueezeNet's features, normalised at each place, mean over places,
    summed over layers: LPIPS (Zhang et al. 2018, equation 1) without its learned weights. Raises UserError where ImageNet's
    weights can't be had.
    """

    def __init__(self, space: str):
        super().__init__(space)
        squeezenet = torchvision.models.squeezenet1_1()
        load_imagenet("squeezenet1_1", squeezenet.load_state_dict)
        for module in squeezenet.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False  # features that are kept must not change
        self.layers = nn.ModuleList(squeezenet.features[begin:end] for begin, end in CUTS).eval().requires_grad_(False)
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1))

    def of_lab(self, fake: Tensor, real: Tensor) -> Tensor:
        """The loss of CIE Lab images `(N, 3, H, W)`: a scalar."""
        with torch.no_grad():
            wanted = self._features(real)
        apart = sum((a - b).square().sum(1).mean() for a, b in zip(self._features(fake), wanted, strict=True))
        return super().of_lab(fake, real) + FEATURE_WEIGHT * apart

    def _features(self, lab: Tensor) -> list[Tensor]:
        y = ((lab_to_rgb(lab) - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        found = []
        for layer in self.layers:
            y = layer(y)
            found.append(F.normalize(y.float(), dim=1))
        return found


class Loss(NamedTuple):
    """A loss that `--loss` can name: how it is made for a space, and its weight beside the adversarial loss of stage 4.

    In the history it is called `train_NAME` in stage 1, and `gen_NAME` in stage 4.
    """

    make: Callable[[str], Callable[[Tensor, Tensor], Tensor]]
    weights: dict[str, float]  # by space


# Lesson 7 has a weight of 50 for the MSE in normalised RGB; the same error in colour is about six times that, as a number, in
# standardised Lab. The other losses have the same scale in both spaces: that of standardised Lab.
LOSSES = {
    "mse": Loss(lambda space: F.mse_loss, {"rgb": 50.0, "lab": 8.0}),
    "chroma": Loss(ChromaLoss, {"rgb": 8.0, "lab": 8.0}),
    "photo": Loss(PhotoLoss, {"rgb": 8.0, "lab": 8.0}),
}


def make_loss(name: str, space: str, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss that `--loss` names, of two images of `space`. Raises UserError for another name."""
    one_of("loss", name, LOSSES)
    made = LOSSES[name].make(space)
    return made.to(device, memory_format=torch.channels_last) if isinstance(made, nn.Module) else made
