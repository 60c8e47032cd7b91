"""The generator's losses beside the adversarial one: two images of a space, `(N, 3, H, W)`, give a scalar."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastcolor.color.lab import lab_to_rgb
from fastcolor.color.metrics import skin
from fastcolor.color.spaces import AB_SPREAD, SPACES
from fastcolor.errors import UserError
from fastcolor.flags import one_of
from fastcolor.training.features import Features, feature_distance

CHROMA_WEIGHT = 0.75  # per AB_SPREAD of chroma
FEATURE_WEIGHT = 0.5
CELL = 4  # pixels: as finely as the lean generators paint
APART = (1, 4, 8)  # cells between the two places that `unevenness` compares
ALIKE = 4.0  # units of a and b within which two colours of a photo are taken for one


class ChromaLoss(nn.Module):
    """Smooth L1 of a and b (in units of AB_SPREAD), each pixel weighted by 1 + CHROMA_WEIGHT x its real chroma.

    A simple form of the class rebalancing of Zhang et al. 2016, section 2.2: most pixels of most photos are nearly
    grey, and a network that fits those alone paints everything brown. Where the photo shows skin (see `metrics.skin`),
    the weight is 1 + `skin` times as large.
    """

    def __init__(self, space: str, skin: float = 0.0):
        super().__init__()
        self.space, self.skin = SPACES[space], skin

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """The loss of the generator's images against photos, both `(N, 3, H, W)` of the space: a scalar."""
        return self.of_lab(*(self.space.to_lab(image.float()) for image in (fake, real)))

    def of_lab(self, fake: Tensor, real: Tensor) -> Tensor:
        """The same for CIE Lab images `(N, 3, H, W)`."""
        fake_ab, real_ab = fake[:, 1:] / AB_SPREAD, real[:, 1:] / AB_SPREAD
        weight = 1 + CHROMA_WEIGHT * real_ab.norm(dim=1)
        if self.skin:
            weight = weight * (1 + self.skin * skin(lab_to_rgb(real)))
        return (weight * F.smooth_l1_loss(fake_ab, real_ab, reduction="none").mean(dim=1)).sum() / weight.sum()


class PhotoLoss(ChromaLoss):
    """A loss for colours that look real, rather than for the average of all likely colours.

    ChromaLoss, plus `features` x the mean `feature_distance` in the networks `judges` (see `Features`), plus `even` x
    `unevenness`. Raises UserError if ImageNet's weights can't be fetched.
    """

    def __init__(
        self,
        space: str,
        features: float = FEATURE_WEIGHT,
        judges: tuple[str, ...] = ("squeezenet1_1",),
        even: float = 0.0,
        skin: float = 0.0,
    ):
        super().__init__(space, skin)
        self.features, self.even = features, even
        self.judges = nn.ModuleList(Features(arch) for arch in judges)

    def of_lab(self, fake: Tensor, real: Tensor) -> Tensor:
        """The loss for CIE Lab images `(N, 3, H, W)`: a scalar."""
        fake_rgb, real_rgb = lab_to_rgb(fake), lab_to_rgb(real)
        apart = sum(_apart(judge, fake_rgb, real_rgb) for judge in self.judges) / len(self.judges)
        loss = super().of_lab(fake, real) + self.features * apart
        return loss + self.even * unevenness(fake, real) if self.even else loss


def _apart(judge: Features, fake: Tensor, real: Tensor) -> Tensor:
    with torch.no_grad():  # not in one batch with the fakes: that takes longer, as more is kept for the backward pass
        wanted = judge(real)
    return feature_distance(judge(fake), wanted).mean()


def unevenness(fake: Tensor, real: Tensor) -> Tensor:
    """How much the error of colour differs between places of one colour, in Lab images `(N, 3, H, W)`: a scalar.

    A horse may be brown or grey, but not its face brown and its back grey. Two places count as one colour as far as
    their real a and b lie within ALIKE; coloured ones count more, as in ChromaLoss. In units of AB_SPREAD.
    """
    real_ab, error = (F.avg_pool2d(each[:, 1:], CELL) for each in (real, fake - real))
    chroma = 1 + CHROMA_WEIGHT * real_ab.norm(dim=1) / AB_SPREAD
    found = weights = fake.new_zeros(())
    for apart in APART:
        for dim in (2, 3):
            length = error.shape[dim] - apart
            if length < 1:
                continue
            (here, there), (real_here, real_there) = (
                (each.narrow(dim, 0, length), each.narrow(dim, apart, length)) for each in (error, real_ab)
            )
            alike = torch.exp(-(real_here - real_there).square().sum(dim=1) / (2 * ALIKE**2))
            weight = alike * chroma.narrow(dim - 1, 0, length)
            found = (
                found + (weight * F.smooth_l1_loss(here / AB_SPREAD, there / AB_SPREAD, reduction="none").mean(1)).sum()
            )
            weights = weights + weight.sum()
    return found / weights.clamp(min=1e-6)


class Loss(NamedTuple):
    """A loss that `--loss` can name: how to make it for a space, and its weight beside stage 4's adversarial loss.

    The history calls it `train_NAME` in stage 1, and `gen_NAME` in stage 4.
    """

    make: Callable[[str], Callable[[Tensor, Tensor], Tensor]]
    weights: dict[str, float]  # by space


def usual_loss(is_sample: bool) -> str:
    """Stage 4's loss where none is given: photo, but chroma for drawn scenes, and where SqueezeNet can't be fetched."""
    if is_sample:
        return "chroma"
    try:
        Features()
    except UserError as error:
        print(f"note: the loss is chroma instead of photo, as {error}")
        return "chroma"
    return "photo"


SEEN = {"rgb": 1.5, "lab": 1.5}  # measured for photo
# Lesson 7's weight is 50, for the MSE in normalised RGB. In standardised Lab, the MSE of the same colour error is about
# six times as large. The other losses have that scale in both spaces.
LOSSES = {
    "mse": Loss(lambda space: F.mse_loss, {"rgb": 50.0, "lab": 8.0}),
    "chroma": Loss(ChromaLoss, {"rgb": 8.0, "lab": 8.0}),
    "photo": Loss(PhotoLoss, SEEN),
    "felt": Loss(partial(PhotoLoss, features=2.0), SEEN),
    "felt_twice": Loss(partial(PhotoLoss, features=2.0, judges=("squeezenet1_1", "resnet18")), SEEN),
    "even": Loss(partial(PhotoLoss, features=2.0, even=0.5), SEEN),
    "skin": Loss(partial(PhotoLoss, features=2.0, skin=1.0), SEEN),
    "full": Loss(partial(PhotoLoss, features=2.0, even=0.5, skin=1.0), SEEN),
}


def make_loss(name: str, space: str, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss that `--loss` names: of two images `(N, 3, H, W)` of `space`, a scalar.

    Raises UserError for an unknown name.
    """
    one_of("loss", name, LOSSES)
    made = LOSSES[name].make(space)
    return made.to(device, memory_format=torch.channels_last) if isinstance(made, nn.Module) else made
