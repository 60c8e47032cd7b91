"""Stage 1: pretrain the generator with MSE or another loss, at first with a frozen encoder.

    python -m fastcolor.stage1_pretrain_gen --data PHOTOS --run runs/NAME
    python -m fastcolor.stage1_pretrain_gen                  # the drawn sample set

Leaves `stage1_gen.safetensors`, a row per epoch in `history.csv`, and sample grids in `samples/`.
"""

import sys
from collections.abc import Callable
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

from fastcolor.cli import run_command
from fastcolor.color.spaces import SPACES
from fastcolor.data.batches import SMALL, batch_size, color_batches
from fastcolor.data.photos import load_photos
from fastcolor.data.prepare import prepare_photos
from fastcolor.errors import UserError
from fastcolor.flags import at_least
from fastcolor.networks.checkpoint import save_network
from fastcolor.networks.pretrained import load_pretrained
from fastcolor.networks.registry import build, config_of_flag
from fastcolor.networks.unet import UNetConfig
from fastcolor.runs.run import open_run
from fastcolor.training.fit import fit
from fastcolor.training.heads import HeadsLoss, listens, weigh_classes
from fastcolor.training.history import image_metrics
from fastcolor.training.losses import make_loss
from fastcolor.training.report import sample_grid

STAGE = "stage1"


class FreezeEncoder(Callback):
    """Freeze the encoder for the first epochs, in which the decoder's random weights would only disturb it."""

    def __init__(self, epochs: int):
        self.frozen_epochs = epochs

    def before_train(self):  # not before_epoch: predictions have one too, and no optimiser
        # not Learner.freeze: it makes the optimiser forget its averages, the decoder's too
        self.opt.freeze_to(-1 if self.epoch < self.frozen_epochs else 0)


def generator_learner(dls: DataLoaders, network: nn.Module, loss: Callable = F.mse_loss, frozen: int = 0) -> Learner:
    """fastai Learner of a generator, with a parameter group each for encoder and decoder.

    The encoder is frozen for the first `frozen` epochs.
    """
    return Learner(
        dls,
        network,
        loss_func=loss,
        opt_func=partial(Adam, wd=1e-3),  # lesson 7's weight decay
        splitter=lambda network: [list(group.parameters()) for group in network.layer_groups()],
        cbs=FreezeEncoder(frozen),
    )


@delegates(open_run)
def main(
    generator: str = "unet",  # unet (lean, Lab), hint_unet (takes points of colour) or dynamic_unet (fastai's, RGB)
    arch: str = "resnet18",  # the encoder: resnet18, resnet34; dynamic_unet also resnet50; hint_unet: see encoders.py
    pretrained: str | None = None,  # bundled, imagenet, none or a file (default: bundled if it fits, else imagenet)
    epochs: int | None = None,  # passes over the photos (default: 10; sample set: 9, without pretraining 36)
    frozen: int | None = None,  # how many of them with a frozen encoder (default: 1 with imagenet, else 0)
    lr: float = 1e-3,  # highest learning rate of the one-cycle schedule; a pretrained encoder gets a tenth of it
    loss: str = "mse",  # mse, chroma, photo or another row of losses.py
    classes: float = 0.05,  # weight of hint_unet's second head beside that loss
    saturation: float = 1.0,  # of the photos' colours, as the network is to paint them: 1.1 is a tenth more
    small_epochs: int = 0,  # this many first epochs use smaller photos, at lower cost
    small_share: float = SMALL,  # their side, as a share of --size
    aged: float = 0.0,  # share of the training photos that are made to look like old prints, 0 to 1
    often: str | None = None,  # folders whose photos are shown several times an epoch: people*4,cats*2
    average: int = 0,  # save weights that are averaged over about this many steps; 0: no average
    **options,
):
    """Pretrain the generator: the first of the four stages."""
    run = open_run(**options)
    config = config_of_flag("generator", generator, arch=arch, size=run.settings.size)
    pretrained = pretrained or ("bundled" if config == UNetConfig() else "imagenet")
    if epochs is None:
        epochs = (36 if pretrained == "none" else 9) if run.settings.is_sample else 10
    frozen = int(pretrained == "imagenet") if frozen is None else frozen
    at_least(1, epochs=epochs)
    at_least(0, frozen=frozen, lr=lr, aged=aged, average=average, small_epochs=small_epochs)
    at_least(0, classes=classes, saturation=saturation)
    if not 0.25 <= small_share <= 1:
        raise UserError(f"--small-share must be between 0.25 and 1, not {small_share}")
    space = SPACES[config.space]
    distance = make_loss(loss, space.name, run.machine.device)

    torch.manual_seed(run.settings.seed)
    network = build(config)
    load_pretrained(network, pretrained)
    prepare_photos(run)
    photos = load_photos(run)
    if listens(network):
        weigh_classes(network, photos)
        distance = HeadsLoss(distance, network, classes)
    run.machine.place(network)
    bs = batch_size(run, STAGE, photos, space.channels, network)
    variety = {"often": often, "saturation": saturation, "aged": aged}
    variety |= {"small_epochs": small_epochs, "small_share": small_share}
    dls = color_batches(run, photos, space, bs, points=listens(network), **variety)

    about = {"generator": generator, "arch": arch, "pretrained": pretrained, "loss": loss, "classes": classes}
    about |= {**variety, "average": average}
    with run.stage(STAGE, **about, epochs=epochs, frozen=frozen, lr=lr, bs=bs) as is_needed:
        if not is_needed:
            return
        learn = generator_learner(dls, network, distance, frozen)
        lrs = np.array([lr if pretrained == "none" else lr / 10, lr])
        fit(
            learn,
            run,
            STAGE,
            lambda: learn.fit_one_cycle(epochs, lrs),
            losses=lambda learn: {f"train_{loss}": learn.loss, **getattr(distance, "parts", {})},
            metrics=lambda learn: image_metrics(learn.pred, learn.y, space),
            save=lambda: save_network(run.folder.output(STAGE), network, "generator", stage=1, size=run.settings.size),
            sample=lambda path: sample_grid(path, network, space, dls),
            average=(network, average),
        )


if __name__ == "__main__":
    sys.exit(run_command(main, prog="python -m fastcolor.stage1_pretrain_gen"))
