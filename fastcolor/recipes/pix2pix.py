"""pix2pix: grey RGB to RGB by a U-Net, against a critic that sees both images.

    python -m fastcolor.recipes.pix2pix --data FLOWERS                  # photos; their own grey
    python -m fastcolor.recipes.pix2pix --data COLOUR --grey GREY       # two folders with the same names
    python -m fastcolor.recipes.pix2pix --data PICTURES --pairs         # A|B pictures

Leaves `pix2pix.safetensors`. The objective is equation 4 of Isola et al. 2017. The order of the updates is that of the
most used public implementation (junyanz/pytorch-CycleGAN-and-pix2pix, `models/pix2pix_model.py`):

    fake = G(x)
    critic:     D_loss = (BCE(D(x, fake, detached), 0) + BCE(D(x, real), 1)) / 2; one Adam step of D
    generator:  G_loss = BCE(D(x, fake), 1) + 100 x L1(fake, real), judged by the D that has just moved; one step of G

`hue_diversity` in history.csv is the spread of the fakes' mean hues, `hue_diversity_real` that of the photos. Its known
failure, one colour for all flowers, gives a warning there.
"""

import sys

import torch
import torch.nn.functional as F
from fastcore.meta import delegates
from torch import Tensor

from fastcolor.cli import run_command
from fastcolor.color.spaces import SPACES
from fastcolor.data.batches import batch_size, color_batches
from fastcolor.data.photos import load_photos
from fastcolor.data.prepare import prepare_photos
from fastcolor.flags import at_least, one_of, power_of_two
from fastcolor.networks.checkpoint import save_network
from fastcolor.networks.classic import DECODERS, PatchGANConfig, SkipUNetConfig
from fastcolor.networks.registry import build
from fastcolor.runs.run import open_recipe, open_run
from fastcolor.training.adversarial import bce, critic_loss
from fastcolor.training.fit import fit
from fastcolor.training.history import image_metrics
from fastcolor.training.report import sample_grid
from fastcolor.training.steps import Networks, Step, recipe_learner

NAME = "pix2pix"
OUTPUTS = ("pix2pix.safetensors",)


class Pix2PixStep(Step):
    """Critic, then generator, on the same batch and the same fakes."""

    def __init__(self, l1: float):
        self.l1 = l1

    def take(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """A step on x, grey photos, and y, colour photos, each `(N, 3, H, W)` in rgb_unit."""
        fake = self.generator(x)
        with self.turn("critic"):
            scores_fake = self.critic(torch.cat([x, fake.detach()], dim=1))
            judged = critic_loss(bce, self.critic(torch.cat([x, y], dim=1)), scores_fake)
            self.backward(judged)
        with self.turn("generator"):
            adversarial = bce(self.critic(torch.cat([x, fake], dim=1)), True)
            distance = F.l1_loss(fake.float(), y)
            self.backward(adversarial + self.l1 * distance)
        return {"gen_adversarial": adversarial, "gen_l1": distance, "critic_loss": judged}


@delegates(open_run)
def main(
    epochs: int | None = None,  # passes over the photos (default: 30; sample set: 20)
    lr: float = 2e-4,  # learning rate of both networks
    l1: float = 100.0,  # weight of the L1 loss, beside the adversarial loss
    decoder: str = "transposed",  # transposed (the paper's), or resize: enlarge, then convolve; leaves no checkerboard
    **options,
):
    """Train pix2pix to colour photos: a U-Net and a conditional PatchGAN, with BCE and L1 losses."""
    run = open_recipe(NAME, OUTPUTS, 256, 64, **options)
    epochs = (20 if run.settings.is_sample else 30) if epochs is None else epochs
    at_least(1, epochs=epochs)
    at_least(0, lr=lr, l1=l1)
    one_of("decoder", decoder, DECODERS)
    depth = power_of_two(run.settings.size, 32, 256)
    space = SPACES["rgb_unit"]

    torch.manual_seed(run.settings.seed)
    generator = build(SkipUNetConfig(space=space.name, depth=depth, decoder=decoder))
    critic = build(PatchGANConfig(space=space.name, inputs=6))
    prepare_photos(run)
    photos = load_photos(run)
    networks = Networks(
        generator=run.machine.place(generator, is_wide=True), critic=run.machine.place(critic, is_wide=True)
    )
    bs = batch_size(run, NAME, photos, space.channels, generator, usual=16)
    dls = color_batches(run, photos, space, bs)

    about = {} if decoder == "transposed" else {"decoder": decoder}  # runs of before this flag have no such entry
    with run.stage(NAME, **about, epochs=epochs, lr=lr, l1=l1, bs=bs) as is_needed:
        if not is_needed:
            return
        step = Pix2PixStep(l1)
        learn = recipe_learner(dls, networks, step, groups=[["generator"], ["critic"]])
        fit(
            learn,
            run,
            NAME,
            lambda: learn.fit(epochs, lr=lr),
            losses=lambda learn: step.losses,
            metrics=lambda learn: image_metrics(learn.pred, learn.y, space),
            save=lambda: save_network(
                run.folder.output(NAME), generator, "generator", recipe=NAME, size=run.settings.size
            ),
            sample=lambda path: sample_grid(path, generator, space, dls),
        )


if __name__ == "__main__":
    sys.exit(run_command(main, prog=f"python -m fastcolor.recipes.{NAME}"))
