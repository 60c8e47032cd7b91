"""The generator's losses beside the adversarial one: two images of a space, `(N, 3, H, W)`, give a scalar."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastcolor import processes
from fastcolor.color.lab import lab_to_rgb
from fastcolor.color.spaces import AB_SPREAD, SPACES
from fastcolor.errors import UserError
from fastcolor.flags import one_of
from fastcolor.training.features import Features, feature_distance

CHROMA_WEIGHT = 0.75  # per AB_SPREAD of chroma
FEATURE_WEIGHT = 0.5
FELT_WEIGHT = 2.0  # what the network sees counts most


class ChromaLoss(nn.Module):
    """Smooth L1 of a and b (in units of AB_SPREAD), each pixel weighted by 1 + CHROMA_WEIGHT x its real chroma.

    A simple form of the class rebalancing of Zhang et al. 2016, section 2.2: most pixels of most photos are nearly
    grey, and a network that fits those alone paints everything brown.
    """

    def __init__(self, space: str):
        super().__init__()
        self.space = SPACES[space]

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """The loss of the generator's images against photos, both `(N, 3, H, W)` of the space: a scalar."""
        return self.of_lab(*(self.space.to_lab(image.float()) for image in (fake, real)))

    def of_lab(self, fake: Tensor, real: Tensor) -> Tensor:
        """The same for CIE Lab images `(N, 3, H, W)`."""
        fake, real = fake[:, 1:] / AB_SPREAD, real[:, 1:] / AB_SPREAD
        weight = 1 + CHROMA_WEIGHT * real.norm(dim=1)
        error = F.smooth_l1_loss(fake, real, reduction="none").mean(dim=1)
        return processes.ratio((weight * error).sum(), weight.sum())


class PhotoLoss(ChromaLoss):
    """A loss for colours that look real, rather than for the average of all likely colours.

    ChromaLoss, plus `features` x `feature_distance`. Raises UserError if ImageNet's weights can't be fetched.
    """

    def __init__(self, space: str, features: float = FEATURE_WEIGHT):
        super().__init__(space)
        self.features, self.seen = features, Features()

    def of_lab(self, fake: Tensor, real: Tensor) -> Tensor:
        """The loss for CIE Lab images `(N, 3, H, W)`: a scalar."""
        with torch.no_grad():  # not in one batch with the fakes: more would be kept for the backward pass
            wanted = self.seen(lab_to_rgb(real))
        apart = feature_distance(self.seen(lab_to_rgb(fake)), wanted).mean()
        return super().of_lab(fake, real) + self.features * apart


class Loss(NamedTuple):
    """A loss that `--loss` can name: how to make it for a space, and its weight beside stage 4's adversarial loss.

    The history calls it `train_NAME` in stage 1, and `gen_NAME` in stage 4.
    """

    make: Callable[[str], Callable[[Tensor, Tensor], Tensor]]
    weights: dict[str, float]  # by space


def usual_loss(is_sample: bool, hears: bool) -> str:
    """Stage 4's loss where none is given: photo, or felt for a generator that listens, whose colours photo makes paler.

    chroma for drawn scenes, and where SqueezeNet can't be fetched.
    """
    if is_sample:
        return "chroma"
    usual = "felt" if hears else "photo"
    try:
        Features()
    except UserError as error:
        print(f"note: the loss is chroma instead of {usual}, as {error}")
        return "chroma"
    return usual


SEEN = {"rgb": 1.5, "lab": 1.5}  # measured for photo
# Lesson 7's weight is 50, for the MSE in normalised RGB. In standardised Lab, the MSE of the same colour error is about
# six times as large. The other losses have that scale in both spaces.
LOSSES = {
    "mse": Loss(lambda space: F.mse_loss, {"rgb": 50.0, "lab": 8.0}),
    "chroma": Loss(ChromaLoss, {"rgb": 8.0, "lab": 8.0}),
    "photo": Loss(PhotoLoss, SEEN),
    "felt": Loss(partial(PhotoLoss, features=FELT_WEIGHT), SEEN),
}


def make_loss(name: str, space: str, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss that `--loss` names: of two images `(N, 3, H, W)` of `space`, a scalar.

    Raises UserError for an unknown name.
    """
    one_of("loss", name, LOSSES)
    made = LOSSES[name].make(space)
    return made.to(device, memory_format=torch.channels_last) if isinstance(made, nn.Module) else made
