"""Stage 3: pretrain the critic, a binary classifier of real photos against stage 2's fakes.

    python -m fastcolor.stage3_pretrain_critic --run runs/NAME

Leaves `stage3_critic.safetensors`. Its accuracy is measured on held-out photos and on fakes of them, which are made
here, in memory: no held-out photo is among stage 2's fakes.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from fastai.learner import Learner
from fastai.optimizer import Adam
from fastai.vision.gan import AdaptiveLoss
from fastcore.meta import delegates
from torch import Tensor, nn

from fastcolor.checkpoint import load_network, save_network
from fastcolor.cli import run_command
from fastcolor.critics import build_critic, critic_config
from fastcolor.data import Photos, color_batches, critic_batches, load_photos
from fastcolor.errors import UserError
from fastcolor.files import in_threads, open_photo
from fastcolor.report import sample_grid
from fastcolor.run import Run, at_least, open_run
from fastcolor.spaces import SPACES
from fastcolor.stage2_generate_fakes import paint
from fastcolor.training import fit

STAGE = "stage3"


@delegates(open_run)
def main(
    critic: str = "patch",  # patch (lean PatchGAN) or gan_critic (fastai's)
    epochs: int | None = None,  # passes over photos and fakes (default: 5; sample set: 30, it is a tenth as large)
    lr: float = 1e-3,  # highest learning rate of the one-cycle schedule (lesson 7's)
    **options,
):
    """Pretrain the critic on real photos against fakes: the third of the four stages."""
    run = open_run(**options)
    generator, _ = load_network(run.require("stage1"), "generator")
    run.require("stage2")
    space = SPACES[generator.config.space]
    config = critic_config(critic, space.name)
    epochs = (30 if run.is_sample else 5) if epochs is None else epochs
    at_least(1, epochs=epochs)
    at_least(0, lr=lr)

    torch.manual_seed(run.seed)
    network = build_critic(config)
    photos = load_photos(run)
    fakes = load_fakes(run, photos, generator.to(run.device), space)
    if not run.start(STAGE, critic=critic, epochs=epochs, lr=lr):
        return

    dls = critic_batches(run, photos, fakes, space)
    learn = Learner(
        dls,
        network.to(run.device, memory_format=torch.channels_last),
        loss_func=AdaptiveLoss(nn.BCEWithLogitsLoss()),
        opt_func=partial(Adam, wd=1e-3),  # lesson 7's weight decay
    )
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


def load_fakes(run: Run, photos: Photos, generator: nn.Module, space) -> np.ndarray:
    """Fakes of all photos, `(N, side, side, 3)` sRGB uint8: training photos' from stage 2, held-out ones painted now."""
    fakes = np.zeros((*photos.pixels.shape[:3], 3), np.uint8)

    def read(row: int) -> None:
        file = Path(run.output("stage2"), f"{photos.names[row]}.png")
        if not file.exists():
            raise UserError(f"{file} is missing: run `python -m fastcolor.stage2_generate_fakes --run {run.path} --force`")
        fakes[row] = np.array(open_photo(file))

    for _ in in_threads(read, photos.train):
        pass
    for rows in np.array_split(photos.valid, -(-len(photos.valid) // 32)):
        fakes[rows] = paint(generator, space, photos.pixels[rows])
    return fakes


if __name__ == "__main__":
    sys.exit(run_command(main, prog="python -m fastcolor.stage3_pretrain_critic"))
