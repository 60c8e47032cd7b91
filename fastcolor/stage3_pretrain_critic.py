"""Stage 3: pretrain the critic, a binary classifier of real photos against stage 2's fakes.

    python -m fastcolor.stage3_pretrain_critic --run runs/NAME

Leaves `stage3_critic.safetensors`. Its accuracy is measured on held-out photos and on fakes of them, which are made
here, in memory: no held-out photo is among stage 2's fakes.
"""

import sys
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.optimizer import Adam
from fastai.vision.gan import AdaptiveLoss
from fastcore.meta import delegates
from torch import Tensor, nn

from fastcolor.batches import BATCH, batch_size, color_batches, critic_batches
from fastcolor.cache import CHANNELS, OnDemand, Squares, cached, resident, take
from fastcolor.checkpoint import load_network, save_network
from fastcolor.cli import run_command
from fastcolor.critics import build_critic, critic_config
from fastcolor.data import Photos, file_stamp, load_photos
from fastcolor.device import place
from fastcolor.errors import UnreadablePhoto, UserError
from fastcolor.photo import open_photo
from fastcolor.report import sample_grid
from fastcolor.run import Run, open_run
from fastcolor.settings import at_least
from fastcolor.spaces import SPACES
from fastcolor.stage2_generate_fakes import paint
from fastcolor.training import fit

STAGE = "stage3"


def critic_learner(dls: DataLoaders, network: nn.Module) -> Learner:
    """fastai Learner of a critic and binary cross-entropy with logits, on batches of (image, is real)."""
    loss = AdaptiveLoss(nn.BCEWithLogitsLoss())
    return Learner(dls, network, loss_func=loss, opt_func=partial(Adam, wd=1e-3))  # lesson 7's weight decay


@delegates(open_run)
def main(
    critic: str = "patch",  # patch (lean PatchGAN) or gan_critic (fastai's)
    epochs: int | None = None,  # passes over photos and fakes (default: 5; sample set: 6, it is a tenth as large)
    lr: float = 1e-3,  # highest learning rate of the one-cycle schedule (lesson 7's)
    **options,
):
    """Pretrain the critic on real photos against fakes: the third of the four stages."""
    run = open_run(**options)
    generator, _ = load_network(run.require("stage1"), "generator")
    run.require("stage2")
    space = SPACES[generator.config.space]
    config = critic_config(critic, space.name)
    epochs = (6 if run.is_sample else 5) if epochs is None else epochs
    at_least(1, epochs=epochs)
    at_least(0, lr=lr)

    torch.manual_seed(run.seed)
    network = build_critic(config)
    photos = load_photos(run)
    for each in (generator, network):
        place(each, run)
    bs = batch_size(run, STAGE, photos, 3, network)
    fakes = load_fakes(run, photos, generator, space, min(bs, BATCH))
    if not run.start(STAGE, critic=critic, epochs=epochs, lr=lr, bs=bs):
        return

    dls = critic_batches(run, photos, fakes, space, bs)
    learn = critic_learner(dls, network)
    pictures = color_batches(run, photos, space)
    fit(
        learn,
        run,
        STAGE,
        lambda: learn.fit_one_cycle(epochs, lr),
        losses=lambda learn: {"critic_loss": learn.loss},
        metrics=lambda learn: {"valid_bce": cross_entropy(learn.pred, learn.y), "critic_accuracy": right(learn.pred, learn.y)},
        save=lambda: save_network(run.output(STAGE), network, "critic", stage=3, size=run.size),
        sample=lambda path: sample_grid(path, generator, space, pictures, network),
    )


def right(logits: Tensor, is_real: Tensor) -> Tensor:
    """Whether each image's mean logit `(N, patches)` is on the right side of 0 for its label `(N,)`: floats `(N,)`."""
    return ((logits.mean(dim=1) > 0) == (is_real > 0.5)).float()


def cross_entropy(logits: Tensor, is_real: Tensor) -> Tensor:
    """Binary cross-entropy of each image's logits `(N, patches)` with its label `(N,)`, mean over patches: `(N,)`."""
    return F.binary_cross_entropy_with_logits(logits, is_real[:, None].expand_as(logits), reduction="none").mean(dim=1)


def load_fakes(run: Run, photos: Photos, generator: nn.Module, space, at_once: int = BATCH) -> Squares:
    """Fakes of all photos as squares (grey stays empty): training photos' from stage 2, held-out ones painted now, `at_once`
    photos at the most in a batch."""
    count, side = photos.squares.shape[:2]
    files = {row: run.output("stage2") / f"{photos.names[row]}.png" for row in photos.train}
    painted = {}
    for rows in np.array_split(photos.valid, -(-len(photos.valid) // at_once)):
        painted |= zip(rows, paint(run, generator, space, take(photos.squares, rows, run.device)), strict=True)

    def decode(row: int) -> np.ndarray:
        square = np.zeros((side, side, CHANNELS), np.uint8)
        try:
            if row in painted:
                square[..., 1:] = painted[row]
            elif row in files:  # else it was left out
                square[..., 1:] = np.array(open_photo(files[row]))
        except UnreadablePhoto as error:
            command = f"python -m fastcolor.stage2_generate_fakes --run {run.path} --force"
            raise UserError(f"{error}: run `{command}`") from None
        return square

    if run.cache is None:
        return OnDemand(decode, count, side)
    held_out = [run.photos / photos.names[row] for row in photos.valid]
    made_of = [run.output("stage1"), *held_out, *files.values()]
    stamps = [run.precision, at_once, [file_stamp(file) for file in made_of]]
    with run.held():
        fakes, _ = cached(run.path / "cache", run.output("stage2"), photos.names, stamps, decode, side)
    return resident(fakes, run.device)


if __name__ == "__main__":
    sys.exit(run_command(main, prog="python -m fastcolor.stage3_pretrain_critic"))
