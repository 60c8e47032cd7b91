"""The generator's losses beside the adversarial one: two images of a space, `(N, 3, H, W)`, give a scalar."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from fastcolor.color.lab import lab_to_rgb
from fastcolor.color.metrics import skin
from fastcolor.color.spaces import AB_SPREAD, IMAGENET_MEAN, IMAGENET_STD, SPACES
from fastcolor.flags import one_of
from fastcolor.networks.pretrained import load_imagenet

CHROMA_WEIGHT = 0.75  # per AB_SPREAD of chroma
FEATURE_WEIGHT = 0.5
# Where LPIPS takes SqueezeNet's features: at the end of each of these ranges of torchvision's `features`.
CUTS = ((0, 2), (2, 5), (5, 8), (8, 10), (10, 11), (11, 12), (12, 13))
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


class Features(nn.Module):
    """How far apart photos are in the layers of a network that was trained on ImageNet: squeezenet1_1 or resnet18.

    That is LPIPS (Zhang et al. 2018, equation 1) without its learned weights: features are normalised at each pixel,
    their squared distance is averaged over pixels and summed over layers. Raises UserError if ImageNet's weights can't
    be fetched.
    """

    def __init__(self, arch: str):
        super().__init__()
        network = getattr(torchvision.models, arch)()
        load_imagenet(arch, network.load_state_dict)
        for module in network.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False  # else a later layer would change the features of an earlier one
        if arch == "resnet18":
            stem = nn.Sequential(network.conv1, network.bn1, network.relu)
            layers = [stem, nn.Sequential(network.maxpool, network.layer1), network.layer2, network.layer3]
        else:
            layers = [network.features[begin:end] for begin, end in CUTS]
        self.layers = nn.ModuleList(layers).eval().requires_grad_(False)
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1))

    def train(self, mode: bool = True) -> "Features":
        """It stays in evaluation mode: batch norm's statistics are ImageNet's."""
        return super().train(False)

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """The distance of photos, sRGB `(N, 3, H, W)`, 0..1: a scalar. Only `fake` gets a gradient."""
        with (
            torch.no_grad()
        ):  # not in one batch with the fakes: that takes longer, as more is kept for the backward pass
            wanted = self._features(real)
        return sum((a - b).square().sum(1).mean() for a, b in zip(self._features(fake), wanted, strict=True))

    def _features(self, rgb: Tensor) -> list[Tensor]:
        y = ((rgb - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        found = []
        for layer in self.layers:
            y = layer(y)
            found.append(F.normalize(y.float(), dim=1))
        return found


class PhotoLoss(ChromaLoss):
    """A loss for colours that look real, rather than for the average of all likely colours.

    ChromaLoss, plus `features` x the mean distance in the networks `judges` (see `Features`), plus `even` x
    `unevenness`.
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
        as_seen = [lab_to_rgb(image) for image in (fake, real)]
        apart = sum(judge(*as_seen) for judge in self.judges) / len(self.judges)
        loss = super().of_lab(fake, real) + self.features * apart
        return loss + self.even * unevenness(fake, real) if self.even else loss


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


# Lesson 7's weight is 50, for the MSE in normalised RGB. In standardised Lab, the MSE of the same colour error is about
# six times as large. The other losses have that scale in both spaces.
LOSSES = {
    "mse": Loss(lambda space: F.mse_loss, {"rgb": 50.0, "lab": 8.0}),
    "chroma": Loss(ChromaLoss, {"rgb": 8.0, "lab": 8.0}),
    "photo": Loss(PhotoLoss, {"rgb": 8.0, "lab": 8.0}),
    "felt": Loss(partial(PhotoLoss, features=2.0), {"rgb": 8.0, "lab": 8.0}),
    "felt_twice": Loss(
        partial(PhotoLoss, features=2.0, judges=("squeezenet1_1", "resnet18")), {"rgb": 8.0, "lab": 8.0}
    ),
    "even": Loss(partial(PhotoLoss, features=2.0, even=0.5), {"rgb": 8.0, "lab": 8.0}),
    "skin": Loss(partial(PhotoLoss, features=2.0, skin=1.0), {"rgb": 8.0, "lab": 8.0}),
    "full": Loss(partial(PhotoLoss, features=2.0, even=0.5, skin=1.0), {"rgb": 8.0, "lab": 8.0}),
}


def make_loss(name: str, space: str, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss that `--loss` names: of two images `(N, 3, H, W)` of `space`, a scalar.

    Raises UserError for an unknown name.
    """
    one_of("loss", name, LOSSES)
    made = LOSSES[name].make(space)
    return made.to(device, memory_format=torch.channels_last) if isinstance(made, nn.Module) else made
