"""How many passes over the photos fit into the hours that somebody has: those of a preset, fewer or more of each."""

import time

import numpy as np
import torch
from torch import nn

from fastcolor.color.spaces import SPACES
from fastcolor.data.batches import color_batches, shown_often
from fastcolor.data.photos import Photos
from fastcolor.device import synchronize
from fastcolor.runs.run import Run
from fastcolor.training.heads import HeadsLoss, listens
from fastcolor.training.losses import make_loss
from fastcolor.training.outlook import COST

STEPS = 3  # that are timed, after one that warms up
OTHER_WORK = 1.15  # of the training steps' time: validation, samples, saving
MOST = 4.0  # times a preset's passes: more of them hardly help


def seconds_per_photo(run: Run, photos: Photos, network: nn.Module, loss: str, bs: int) -> float:
    """How long stage 1 takes for a photo: the median of STEPS steps, in seconds."""
    space = SPACES[network.config.space]
    distance = make_loss(loss, space.name, run.machine.device)
    distance = HeadsLoss(distance, network, 1.0) if listens(network) else distance
    dls = color_batches(run, photos, space, bs, points=listens(network))
    batch, seconds = iter(dls.train), []
    for _ in range(1 + STEPS):
        begin = time.perf_counter()
        x, y = next(batch, None) or dls.train.first(bs)
        with run.machine.autocast():
            value = distance(network(x).float(), y)
        value.backward()
        network.zero_grad()
        synchronize(run.machine.device)
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds[1:])) / bs


def passes(
    run: Run, photos: Photos, network: nn.Module, hours: float, *, loss: str, epochs: int, gan_epochs: int,
    critic_epochs: int, bs: int, often: str | None = None, several: int = 1,
) -> dict[str, int]:  # fmt: skip
    """`epochs` of stage 1 and `gan_epochs` of stage 4, in proportion, so that all stages take `hours`.

    At least one of each. Prints what it found. One process measures its share of a batch for `several` that train.
    """
    torch.manual_seed(run.settings.seed)
    run.machine.place(network).train()
    shown = len(shown_often(photos, often))
    count, bs = len(photos.train), min(bs, len(photos.train))
    of_one = seconds_per_photo(run, photos, network, loss, max(bs // several, 1)) / several
    all_epochs = {"stage1": epochs, "stage2": 1, "stage3": critic_epochs, "stage4": gan_epochs}
    usual = OTHER_WORK * shown * of_one * sum(COST[stage] * its for stage, its in all_epochs.items()) / 3600
    factor = min(hours / usual, MOST)
    found = {"epochs": max(1, int(factor * epochs)), "gan_epochs": max(1, int(factor * gan_epochs))}
    print(
        f"{hours:g} hours: stage 1 makes {found['epochs']} passes over the {count:,} photos, stage 4 makes "
        f"{found['gan_epochs']}; all of the preset would take {usual:.1f} hours here"
    )
    return found
