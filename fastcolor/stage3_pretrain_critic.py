"""Stage 3: pretrain the critic, which tells real photos from stage 2's fakes.

    python -m fastcolor.stage3_pretrain_critic --run runs/NAME

Leaves `stage3_critic.safetensors`. Its accuracy is measured on held-out photos and their fakes. Those are made here,
as stage 2 colours only training photos.
"""

import sys
from functools import partial

import torch
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.vision.gan import AdaptiveLoss
from fastcore.meta import delegates
from torch import nn

from fastcolor.cli import run_command
from fastcolor.color.spaces import SPACES
from fastcolor.data.batches import BATCH, batch_size, color_batches, critic_batches
from fastcolor.data.fakes import load_fakes
from fastcolor.data.photos import load_photos
from fastcolor.data.prepare import prepare_photos
from fastcolor.flags import at_least
from fastcolor.networks.checkpoint import load_network, save_network
from fastcolor.networks.registry import build, config_of_flag
from fastcolor.runs.run import open_run
from fastcolor.training.adversarial import cross_entropy, right
from fastcolor.training.fit import fit
from fastcolor.training.optimizer import Adam
from fastcolor.training.report import sample_grid

STAGE = "stage3"


def critic_learner(dls: DataLoaders, network: nn.Module) -> Learner:
    """fastai Learner of a critic, with binary cross-entropy of its logits, on batches of (image, label; 1 is real)."""
    loss = AdaptiveLoss(nn.BCEWithLogitsLoss())
    return Learner(dls, network, loss_func=loss, opt_func=partial(Adam, wd=1e-3))  # lesson 7's weight decay


@delegates(open_run)
def main(
    critic: str = "patch",  # patch (lean PatchGAN) or gan_critic (fastai's)
    epochs: int = 5,  # passes over photos and fakes
    lr: float = 1e-3,  # highest learning rate of the one-cycle schedule (lesson 7's)
    **options,
):
    """Pretrain the critic to tell real photos from fakes: the third of the four stages."""
    run = open_run(**options)
    generator, _ = load_network(run.require("stage1"), "generator")
    run.require("stage2")
    space = SPACES[generator.config.space]
    config = config_of_flag("critic", critic, space=space.name)
    at_least(1, epochs=epochs)
    at_least(0, lr=lr)

    torch.manual_seed(run.settings.seed)
    network = build(config)
    prepare_photos(run)
    photos = load_photos(run)
    for each in (generator, network):
        run.machine.place(each)
    bs = batch_size(run, STAGE, photos, 3, network)
    fakes = load_fakes(run, photos, generator, min(bs, BATCH))
    dls, pictures = critic_batches(run, photos, fakes, space, bs), color_batches(run, photos, space)

    with run.stage(STAGE, critic=critic, epochs=epochs, lr=lr, bs=bs) as is_needed:
        if not is_needed:
            return
        learn = critic_learner(dls, network)
        fit(
            learn,
            run,
            STAGE,
            lambda: learn.fit_one_cycle(epochs, lr),
            losses=lambda learn: {"critic_loss": learn.loss},
            metrics=lambda learn: {
                "valid_bce": cross_entropy(learn.pred, learn.y),
                "critic_accuracy": right(learn.pred, learn.y),
            },
            save=lambda: save_network(run.folder.output(STAGE), network, "critic", stage=3, size=run.settings.size),
            sample=lambda path: sample_grid(path, generator, space, pictures, network),
        )


if __name__ == "__main__":
    sys.exit(run_command(main, prog="python -m fastcolor.stage3_pretrain_critic"))
