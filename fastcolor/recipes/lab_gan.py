"""Lab GAN: L to a and b by an encoder and a decoder. The critic sees only a and b, and is the only loss.

    python -m fastcolor.recipes.lab_gan --data COAST --epochs 3000 --sample-every 50 --save-every 25

Leaves `lab_gan.safetensors`. An epoch is a mini epoch of 320 photos, drawn at random. The critic learns from the first
half as real photos, then from fakes of the other half; then the generator learns from all of them. The curves jump:
look at history.png and at the samples.
"""

import sys

import torch
import torch.nn.functional as F
from fastcore.meta import delegates
from torch import Tensor

from fastcolor import processes
from fastcolor.cli import run_command
from fastcolor.color.spaces import SPACES
from fastcolor.data.batches import color_batches
from fastcolor.data.photos import load_photos
from fastcolor.data.prepare import prepare_photos
from fastcolor.errors import UserError
from fastcolor.flags import at_least
from fastcolor.networks.checkpoint import save_network
from fastcolor.networks.classic import ColorCriticConfig, EncoderDecoderConfig
from fastcolor.networks.registry import build
from fastcolor.runs.run import open_recipe, open_run
from fastcolor.training.adversarial import bce
from fastcolor.training.fit import fit
from fastcolor.training.history import image_metrics
from fastcolor.training.report import sample_grid
from fastcolor.training.steps import Networks, Step, recipe_learner

NAME = "lab_gan"
OUTPUTS = ("lab_gan.safetensors",)
MINI_EPOCH = 320  # photos


class LabGANStep(Step):
    """Three updates per mini epoch: critic on photos, critic on fakes, generator; each by `micro` photos at once."""

    def __init__(self, micro: int, l1: float = 0.0):
        self.micro, self.l1 = micro, l1

    def take(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """A step on x, light `(N, 1, H, W)`, and y, images `(N, 3, H, W)`, in lab_unit."""
        batch = processes.share_of(x)
        first, second = batch.part(0, batch.count // 2), batch.part(batch.count // 2, batch.count)
        half = len(first.rows)
        with self.turn("critic"):
            real_loss = self.accumulate(y[:half], first, lambda real: bce(self.critic(real), True))
        with self.turn("critic"):
            fake_loss = self.accumulate(x[half:], second, lambda light: bce(self.critic(self.fakes(light)), False))
        with self.turn("generator"):
            generator_loss = self.accumulate(torch.cat([x, y], dim=1), batch, self.generator_loss)
        name = "gen_loss" if self.l1 else "gen_adversarial"
        return {name: generator_loss, "critic_loss": (real_loss + fake_loss) / 2}

    def generator_loss(self, both: Tensor) -> Tensor:
        """The adversarial loss of light and images side by side, `(N, 1 + 3, H, W)`, and that of `l1` if it counts."""
        light, real = both.split([1, 3], dim=1)
        fake = self.generator(light)
        adversarial = bce(self.critic(fake), True)
        return adversarial + self.l1 * F.l1_loss(fake[:, 1:].float(), real[:, 1:]) if self.l1 else adversarial

    def accumulate(self, images: Tensor, share: processes.Share, loss) -> Tensor:
        """The mean `loss` of all images, a scalar. Gradients are added up part by part, to save memory."""
        total, shares = images.new_zeros(()), share.split(self.micro)
        for its, part in zip(shares, images.split([len(its.rows) for its in shares]), strict=True):
            with processes.sharing(its):
                summand = loss(part) * (its.count / share.count)
                self.backward(summand)
                total += processes.weighted(summand.detach())
        return processes.summed(total)

    @torch.no_grad()
    def fakes(self, light: Tensor) -> Tensor:
        """Fakes without gradients for the generator."""
        return self.generator(light)


@delegates(open_run)
def main(
    epochs: int | None = None,  # mini epochs of 320 photos (default: 3000; sample set: 200)
    lr: float = 2e-4,  # learning rate of the generator
    critic_lr: float = 1e-4,  # learning rate of the critic: lower, so that neither wins
    l1: float = 0.0,  # weight of an L1 loss of a and b beside the critic's: the method has none
    micro: int = 32,  # photos that the networks see at once: fewer need less memory
    sample_every: int = 50,  # mini epochs between two sample grids, and between two printed rows
    save_every: int = 25,  # mini epochs between two saves of the weights and of the state for --resume
    **options,
):
    """Train a GAN that adds a and b to L, with the critic as its only loss."""
    run = open_recipe(NAME, OUTPUTS, 256, 64, least_bs=2, **options)  # half of a batch is real, half fake
    epochs = (200 if run.settings.is_sample else 3000) if epochs is None else epochs
    at_least(1, epochs=epochs, micro=micro, sample_every=sample_every, save_every=save_every)
    at_least(0, lr=lr, critic_lr=critic_lr, l1=l1)
    if run.settings.size % 16:
        raise UserError(f"--size must be a multiple of 16 (64, 128, 256), not {run.settings.size}")
    space = SPACES["lab_unit"]

    torch.manual_seed(run.settings.seed)
    generator = build(EncoderDecoderConfig(space=space.name))
    critic = build(ColorCriticConfig(space=space.name, size=run.settings.size))
    prepare_photos(run)
    photos = load_photos(run)
    networks = Networks(
        generator=run.machine.place(generator, is_wide=True), critic=run.machine.place(critic, is_wide=True)
    )
    bs = min(run.bs if isinstance(run.bs, int) else MINI_EPOCH, len(photos.train))
    dls = color_batches(run, photos, space, bs, most=1)

    about = {"l1": l1} if l1 else {}  # runs of before this flag have no such entry
    with run.stage(NAME, **about, epochs=epochs, lr=lr, critic_lr=critic_lr, micro=micro, bs=bs) as is_needed:
        if not is_needed:
            return
        step = LabGANStep(micro, l1)
        learn = recipe_learner(dls, networks, step, groups=[["generator"], ["critic"]])
        fit(
            learn,
            run,
            NAME,
            lambda: learn.fit(epochs, lr=[lr, critic_lr]),
            losses=lambda learn: step.losses,
            metrics=lambda learn: image_metrics(learn.pred, learn.y, space),
            save=lambda: save_network(
                run.folder.output(NAME), generator, "generator", recipe=NAME, size=run.settings.size
            ),
            sample=lambda path: sample_grid(path, generator, space, dls),
            save_every=save_every,
            sample_every=sample_every,
        )


if __name__ == "__main__":
    sys.exit(run_command(main, prog=f"python -m fastcolor.recipes.{NAME}"))
