"""Stage 1: pretrain the generator with MSE or another loss, at first with a frozen encoder.

    python -m fastcolor.stage1_pretrain_gen --data PHOTOS --run runs/NAME
    python -m fastcolor.stage1_pretrain_gen                  # the drawn sample set

Leaves `stage1_gen.safetensors`, a row per epoch in `history.csv`, and sample grids in `samples/`.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastcore.meta import delegates
from torch import nn

from fastcolor.cli import run_command
from fastcolor.color.spaces import SPACES
from fastcolor.data.batches import batch_size, color_batches
from fastcolor.data.photos import load_photos
from fastcolor.data.prepare import prepare_photos
from fastcolor.errors import UserError
from fastcolor.flags import at_least
from fastcolor.networks.checkpoint import save_network
from fastcolor.networks.pretrained import first_weights, load_pretrained
from fastcolor.networks.registry import build
from fastcolor.runs.run import open_run
from fastcolor.training.best import HeldOutJudge
from fastcolor.training.fit import fit
from fastcolor.training.heads import HeadsLoss, listens, weigh_classes
from fastcolor.training.history import image_metrics, write_row_before
from fastcolor.training.losses import make_loss
from fastcolor.training.optimizer import Adam
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


BEGINNING = ("generator", "arch", "pretrained", "epochs", "lr")
"""The flags whose defaults depend on one another: a resumed stage keeps those that it was begun with."""


def usual_pace(pretrained: str, is_sample: bool) -> tuple[int, float]:
    """How many epochs, and the highest learning rate, where neither is given."""
    if is_sample:
        return (36 if pretrained == "none" else 9), 1e-3
    # MSE makes the colours of trained weights paler, which costs stage 4 more than stage 1 has gained: hardly touched
    return (10, 1e-3) if pretrained in ("imagenet", "none") else (1, 1e-5)


@delegates(open_run)
def main(
    generator: str | None = None,  # hint_unet, unet or dynamic_unet (default: that of --pretrained, else unet)
    arch: str | None = None,  # the encoder (default: resnet18; hint_unet: efficientnet_lite2, see encoders.py)
    pretrained: str | None = None,  # bundled (default), lean (sample set), imagenet, none, a file or a run folder
    epochs: int | None = None,  # passes over the photos (default: 10, trained weights 1; sample set: 9, none 36)
    frozen: int | None = None,  # how many of them with a frozen encoder (default: 1 with imagenet, else 0)
    lr: float | None = None,  # highest of the one-cycle schedule (default: 1e-3, trained weights 1e-5)
    encoder_share: float = 0.1,  # the learning rate of an encoder that is not new, as a share of that one
    loss: str = "mse",  # mse, chroma, photo or another row of losses.py
    classes: float = 0.05,  # weight of hint_unet's second head beside that loss
    saturation: float = 1.0,  # of the photos' colours, as the network is to paint them: 1.1 is a tenth more
    aged: float = 0.0,  # share of the training photos that are made to look like old prints, 0 to 1
    often: str | None = None,  # folders whose photos are shown several times an epoch: people*4,cats*2
    average: int = 0,  # save weights that are averaged over about this many steps; 0: no average
    **options,
):
    """Pretrain the generator: the first of the four stages."""
    run = open_run(**options)
    generator, arch, pretrained, epochs, lr = (
        run.kept(STAGE, name, given)
        for name, given in zip(BEGINNING, (generator, arch, pretrained, epochs, lr), strict=True)
    )
    config, pretrained = first_weights(generator, arch, pretrained, run.settings.is_sample, run.settings.size)
    can_color = pretrained not in ("imagenet", "none")
    if can_color and Path(pretrained).resolve().is_relative_to(run.folder.path.resolve()):
        raise UserError(f"--pretrained {pretrained} lies in the run folder, which it would change: give another --run")
    usual = usual_pace(pretrained, run.settings.is_sample)
    epochs, lr = (default if given is None else given for given, default in zip((epochs, lr), usual, strict=True))
    frozen = int(pretrained == "imagenet") if frozen is None else frozen
    at_least(1, epochs=epochs)
    at_least(0, frozen=frozen, lr=lr, aged=aged, average=average)
    at_least(0, classes=classes, saturation=saturation, encoder_share=encoder_share)
    space = SPACES[config.space]
    distance, judge = make_loss(loss, space.name, run.machine.device), HeldOutJudge(run.machine.device)

    torch.manual_seed(run.settings.seed)
    network = build(config)
    seen = load_pretrained(network, pretrained) or 0
    # small squares are enough to learn from: what looks at larger photos goes on doing so. Drawn scenes have their size
    size = run.settings.size if run.settings.is_sample else max(run.settings.size, seen)
    prepare_photos(run)
    photos = load_photos(run)
    if listens(network):
        network.holds_norms = can_color  # a few photos would only disturb statistics of many
        weigh_classes(network, photos)
        distance = HeadsLoss(distance, network, classes)
    run.machine.place(network)
    bs = batch_size(run, STAGE, photos, space.channels, network)
    variety = {"often": often, "saturation": saturation, "aged": aged}
    dls = color_batches(run, photos, space, bs, points=listens(network), **variety)

    metrics = partial(image_metrics, space=space, judge=judge)
    about = {"generator": config.name, "arch": config.arch, "pretrained": pretrained, "loss": loss, "classes": classes}
    about |= {**variety, "average": average, "encoder_share": encoder_share}
    with run.stage(STAGE, **about, epochs=epochs, frozen=frozen, lr=lr, bs=bs) as is_needed:
        if not is_needed:
            return
        if can_color:
            write_row_before(run, STAGE, network, dls.valid, metrics)
        learn = generator_learner(dls, network, distance, frozen)
        lrs = np.array([lr if pretrained == "none" else encoder_share * lr, lr])
        fit(
            learn,
            run,
            STAGE,
            lambda: learn.fit_one_cycle(epochs, lrs),
            losses=lambda learn: {f"train_{loss}": learn.loss, **getattr(distance, "parts", {})},
            metrics=lambda learn: metrics(learn.pred, learn.y),
            save=lambda: save_network(run.folder.output(STAGE), network, "generator", stage=1, size=size),
            sample=lambda path: sample_grid(path, network, space, dls),
            average=(network, average),
        )


if __name__ == "__main__":
    sys.exit(run_command(main, prog="python -m fastcolor.stage1_pretrain_gen"))
