"""Conditional Lab GAN: L to a and b by a U-Net with instance norm, against a PatchGAN on L, a and b.

    python -m fastcolor.recipes.lab_cgan --data PHOTOS
    python -m fastcolor.recipes.lab_cgan --data PHOTOS --adversarial wgan-gp

Leaves `lab_cgan.safetensors`. The author of this method found that it prefers warm colours, and planned WGAN-GP as the
remedy. So history.csv has the mean b* and the share of blue pixels, of fakes (`mean_b`, `blue_share`) and of photos
(`_real`). With WGAN-GP the generator moves in every fifth batch only: to compare it with BCE at as many steps of the
generator, give it five times the epochs.
"""

import sys

import torch
import torch.nn.functional as F
from fastcore.meta import delegates
from torch import Tensor

from fastcolor.cli import run_command
from fastcolor.color.metrics import blue_share
from fastcolor.color.spaces import SPACES
from fastcolor.data.batches import batch_size, color_batches
from fastcolor.data.photos import load_photos
from fastcolor.data.prepare import prepare_photos
from fastcolor.flags import at_least, power_of_two
from fastcolor.networks.checkpoint import save_network
from fastcolor.networks.classic import PatchGANConfig, SkipUNetConfig
from fastcolor.networks.registry import build
from fastcolor.runs.run import open_recipe, open_run
from fastcolor.training.adversarial import adversarial_loss, critic_loss, gradient_penalty
from fastcolor.training.fit import fit
from fastcolor.training.history import image_metrics
from fastcolor.training.report import sample_grid
from fastcolor.training.steps import Networks, Step, recipe_learner, together

NAME = "lab_cgan"
OUTPUTS = ("lab_cgan.safetensors",)
PENALTY, CRITIC_STEPS = 10.0, 5  # of WGAN-GP (Gulrajani et al. 2017, algorithm 1)


class LabCGANStep(Step):
    """Critic, then generator, on the same batch; with WGAN-GP, the generator has a turn only in every fifth batch."""

    def __init__(self, adversarial: str, l1: float):
        self.l1, self.judge = l1, adversarial_loss(adversarial)
        self.is_wgan = adversarial == "wgan-gp"

    def take(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """A step on x, light `(N, 1, H, W)`, and y, images `(N, 3, H, W)`, in lab_unit."""
        paints = not self.is_wgan or self.steps % CRITIC_STEPS == 0
        nothing = x.new_tensor(float("nan"))
        losses = {"gen_adversarial": nothing, "gen_l1": nothing}
        with torch.set_grad_enabled(paints):
            fake = self.generator(x)
        with self.turn("critic"):
            judged = critic_loss(self.judge, *together(self.critic, y, fake.detach()))
            if self.is_wgan:
                # WGAN's loss is the sum of its halves, not their mean
                judged = 2 * judged + PENALTY * gradient_penalty(self.critic, y, fake)
            self.backward(judged)
        if paints:
            with self.turn("generator"):
                adversarial = self.judge(self.critic(fake), True)
                distance = F.l1_loss(fake[:, 1:].float(), y[:, 1:])
                self.backward(adversarial + self.l1 * distance)
            losses = {"gen_adversarial": adversarial, "gen_l1": distance}
        # another name for WGAN's loss: it has no lower bound, so the warning of a loss near zero must not fire
        return {"wasserstein_loss" if self.is_wgan else "critic_loss": judged, **losses}


def warmth(fake: Tensor, real: Tensor, space) -> dict[str, Tensor]:
    """Mean b* and share of blue pixels per photo, `(N,)` each, of the generator's images and of the photos.

    Both are `(N, 3, H, W)` in `space`.
    """
    fake, real = space.to_lab(fake), space.to_lab(real)
    means = {"mean_b": fake[:, 2].mean(dim=(1, 2)), "mean_b_real": real[:, 2].mean(dim=(1, 2))}
    return {**means, "blue_share": blue_share(fake), "blue_share_real": blue_share(real)}


@delegates(open_run)
def main(
    adversarial: str = "bce",  # adversarial loss: bce, lsgan or wgan-gp
    epochs: int | None = None,  # passes over the photos (default: 30; sample set: 20)
    lr: float | None = None,  # learning rate of both networks (default: 2e-4; wgan-gp: 1e-4)
    l1: float = 100.0,  # weight of the L1 loss of a and b, beside the adversarial loss
    **options,
):
    """Train a conditional GAN that adds a and b to L."""
    run = open_recipe(NAME, OUTPUTS, 256, 64, **options)
    epochs = (20 if run.settings.is_sample else 30) if epochs is None else epochs
    is_wgan = adversarial == "wgan-gp"
    lr = (1e-4 if is_wgan else 2e-4) if lr is None else lr
    at_least(1, epochs=epochs)
    at_least(0, lr=lr, l1=l1)
    adversarial_loss(adversarial)  # refuses an unknown name before anything is made
    depth = power_of_two(run.settings.size, 32, 256)
    space = SPACES["lab_unit"]

    torch.manual_seed(run.settings.seed)
    generator = build(SkipUNetConfig(space=space.name, depth=depth, norm="instance"))
    critic = build(PatchGANConfig(space=space.name, inputs=3, norm="none" if is_wgan else "instance"))
    prepare_photos(run)
    photos = load_photos(run)
    networks = Networks(
        generator=run.machine.place(generator, is_wide=True), critic=run.machine.place(critic, is_wide=True)
    )
    bs = batch_size(run, NAME, photos, space.channels, generator, usual=16)
    dls = color_batches(run, photos, space, bs)

    with run.stage(NAME, adversarial=adversarial, epochs=epochs, lr=lr, l1=l1, bs=bs) as is_needed:
        if not is_needed:
            return
        step = LabCGANStep(adversarial, l1)
        betas = (0.0, 0.9) if is_wgan else (0.5, 0.999)
        learn = recipe_learner(dls, networks, step, betas=betas, groups=[["generator"], ["critic"]])
        fit(
            learn,
            run,
            NAME,
            lambda: learn.fit(epochs, lr=lr),
            losses=lambda learn: step.losses,
            metrics=lambda learn: {**image_metrics(learn.pred, learn.y, space), **warmth(learn.pred, learn.y, space)},
            save=lambda: save_network(
                run.folder.output(NAME), generator, "generator", recipe=NAME, size=run.settings.size
            ),
            sample=lambda path: sample_grid(path, generator, space, dls),
        )


if __name__ == "__main__":
    sys.exit(run_command(main, prog=f"python -m fastcolor.recipes.{NAME}"))
