"""What a generator with ears and two heads learns beside its image: ab classes, and to keep to the points given."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastcolor import processes
from fastcolor.color.classes import cross_entropy, frequencies, rebalanced
from fastcolor.color.lab import rgb_to_lab
from fastcolor.color.spaces import AB_SPREAD
from fastcolor.data.cache import take
from fastcolor.data.photos import Photos

CELL = 4  # pixels: classes are told at 1/4 of the size
POINT_WEIGHT = 1.0  # of the mean smooth L1 of a and b at points, in units of AB_SPREAD
MEASURED = 2000  # training photos that are counted to weight the classes


def listens(network: nn.Module) -> bool:
    """Whether a generator takes points of colour and tells classes, as `hint_unet` does."""
    return getattr(network, "hears", False)


class HeadsLoss:
    """`distance` of the images + `classes` x cross-entropy of the classes + POINT_WEIGHT x the error at points.

    `network` has just made the images; what else it was told and said is in its `told`. In validation, and if a batch
    has no points, the terms that there is nothing for are left out. `parts` are the last batch's terms.
    """

    def __init__(self, distance: Callable[[Tensor, Tensor], Tensor], network: nn.Module, classes: float):
        self.distance, self.network, self.classes, self.parts = distance, network, classes, {}

    def __call__(self, fake: Tensor, real: Tensor) -> Tensor:
        """The loss of images `(N, 3, H, W)` in `lab`: a scalar."""
        loss, told, self.network.told = self.distance(fake, real), self.network.told, None
        if told is None:
            return loss
        wanted = F.avg_pool2d(real[:, 1:].float() * AB_SPREAD, CELL, ceil_mode=True)
        self.parts = {"train_classes": cross_entropy(told.logits, wanted, self.network.rebalance)}
        loss = loss + self.classes * self.parts["train_classes"]
        if told.points.shape[1]:
            ab, mask = told.points.split([2, 1], dim=1)
            error = F.smooth_l1_loss(fake[:, 1:].float(), ab, reduction="none").mean(dim=1, keepdim=True)
            of_photo = (error * mask).sum(dim=(1, 2, 3)) / mask.sum(dim=(1, 2, 3)).clamp(min=1)
            # photo by photo: one that is told all of its colours must not drown those with a few points
            told_any = mask.amax(dim=(1, 2, 3)).sum()
            self.parts["train_points"] = processes.ratio(of_photo.sum(), told_any, least=1)
            loss = loss + POINT_WEIGHT * self.parts["train_points"]
        return loss


@torch.no_grad()
def weigh_classes(network: nn.Module, photos: Photos) -> None:
    """Count the classes in training photos (MEASURED of them, evenly chosen), and weight rare ones up in `network`."""
    rows = photos.train[np.linspace(0, len(photos.train) - 1, min(MEASURED, len(photos.train))).astype(int)]
    counted = 0
    for part in np.array_split(rows, -(-len(rows) // 100)):
        rgb = take(photos.squares, part, torch.device("cpu"))[..., 1:].permute(0, 3, 1, 2)
        counted = counted + frequencies(F.avg_pool2d(rgb_to_lab(rgb)[:, 1:], CELL))
    network.rebalance.copy_(rebalanced(counted))
