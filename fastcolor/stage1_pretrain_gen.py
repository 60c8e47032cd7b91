"""Stage 1: pretrain the generator with MSE loss, encoder frozen first and then unfrozen.

    python -m fastcolor.stage1_pretrain_gen --data PHOTOS --run runs/NAME
    python -m fastcolor.stage1_pretrain_gen                  # the drawn sample set

Leaves `stage1_gen.safetensors`, a row per epoch in `history.csv`, and sample grids in `samples/`.
"""

import sys
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.optimizer import Adam
from fastcore.meta import delegates
from torch import nn

from fastcolor.batches import batch_size, color_batches
from fastcolor.checkpoint import save_network
from fastcolor.cli import run_command
from fastcolor.data import load_photos
from fastcolor.device import place
from fastcolor.generators import build_generator, generator_config
from fastcolor.pretrained import load_pretrained
from fastcolor.report import sample_grid
from fastcolor.run import at_least, open_run
from fastcolor.spaces import SPACES
from fastcolor.training import fit, image_metrics

STAGE = "stage1"


class FreezeEncoder(Callback):
    """The encoder stands still for the first epochs, while the decoder's random weights would only disturb it."""

    def __init__(self, epochs: int):
        self.frozen_epochs = epochs

    def before_epoch(self):
        # not Learner.freeze: that one forgets the optimiser's averages, of the decoder too
        if self.epoch == 0 < self.frozen_epochs:
            self.opt.freeze_to(-1)
        if self.epoch == self.frozen_epochs:
            self.opt.unfreeze()


def generator_learner(dls: DataLoaders, network: nn.Module, frozen: int = 0) -> Learner:
    """fastai Learner of a generator and MSE loss, encoder and decoder in groups of their own, `frozen` epochs as said above."""
    return Learner(
        dls,
        network,
        loss_func=F.mse_loss,
        opt_func=partial(Adam, wd=1e-3),  # lesson 7's weight decay
        splitter=lambda network: [list(group.parameters()) for group in network.layer_groups()],
        cbs=FreezeEncoder(frozen),
    )


@delegates(open_run)
def main(
    generator: str = "unet",  # unet (lean, Lab) or dynamic_unet (fastai's, RGB)
    arch: str = "resnet18",  # the encoder: resnet18, resnet34; dynamic_unet also resnet50
    pretrained: str | None = None,  # imagenet, none, or a generator's weights file (default: imagenet; sample set: none)
    epochs: int | None = None,  # passes over the photos (default: 10; sample set: 36)
    frozen: int | None = None,  # how many of them with the encoder frozen (default: 1; without pretraining 0)
    lr: float = 1e-3,  # highest learning rate of the one-cycle schedule; a pretrained encoder's is a tenth of it
    **options,
):
    """Pretrain the generator with MSE loss: the first of the four stages."""
    run = open_run(**options)
    pretrained = pretrained or ("none" if run.is_sample else "imagenet")
    epochs = (36 if run.is_sample else 10) if epochs is None else epochs
    frozen = int(pretrained == "imagenet") if frozen is None else frozen
    at_least(1, epochs=epochs)
    at_least(0, frozen=frozen, lr=lr)
    config = generator_config(generator, arch, run.size)
    space = SPACES[config.space]

    torch.manual_seed(run.seed)
    network = build_generator(config)
    load_pretrained(network, pretrained)
    photos = load_photos(run)
    place(network, run)
    bs = batch_size(run, STAGE, photos, space.channels, network)
    about = {"generator": generator, "arch": arch, "pretrained": pretrained}
    if not run.start(STAGE, **about, epochs=epochs, frozen=frozen, lr=lr, bs=bs):
        return

    dls = color_batches(run, photos, space, bs)
    learn = generator_learner(dls, network, frozen)
    lrs = np.array([lr if pretrained == "none" else lr / 10, lr])
    fit(
        learn,
        run,
        STAGE,
        lambda: learn.fit_one_cycle(epochs, lrs),
        losses=lambda learn: {"train_mse": learn.loss},
        metrics=lambda learn: image_metrics(learn.pred, learn.y, space),
        save=lambda: save_network(run.output(STAGE), network, "generator", stage=1, size=run.size),
        sample=lambda path: sample_grid(path, network, space, dls),
    )


if __name__ == "__main__":
    sys.exit(run_command(main, prog="python -m fastcolor.stage1_pretrain_gen"))
