"""CycleGAN: photos to paintings by Monet and back, without pairs, with two generators and two critics.

    python -m fastcolor.recipes.cyclegan --data DIR --folders PHOTOS,PAINTINGS        # two folders below DIR

Leaves `photo_to_monet.safetensors` and `monet_to_photo.safetensors`. They don't keep a photo's lightness; the files say
so, and `predict` and `colorize` follow it. Objective and order of the updates are those of Zhu et al. 2017, sections 3
and 4, and of the paper's code (`models/cycle_gan_model.py`): both generators in one step, then both critics, against a
pool of fakes. The learning rate is constant for the first half, then falls linearly to 0.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from fastai.callback.schedule import ParamScheduler, SchedLin, SchedNo, combine_scheds
from fastcore.meta import delegates
from torch import Tensor

from fastcolor import processes
from fastcolor.cli import run_command
from fastcolor.color.metrics import colorfulness
from fastcolor.color.spaces import SPACES
from fastcolor.data.batches import batch_size, unpaired_batches
from fastcolor.data.photos import load_photos
from fastcolor.data.prepare import prepare_photos
from fastcolor.errors import UserError
from fastcolor.flags import at_least
from fastcolor.networks.checkpoint import save_network
from fastcolor.networks.classic import PatchGANConfig, ResnetConfig
from fastcolor.networks.registry import build
from fastcolor.runs.folder import RunFolder
from fastcolor.runs.run import open_recipe, open_run
from fastcolor.training.adversarial import critic_loss, least_squares
from fastcolor.training.fit import fit
from fastcolor.training.report import evaluating, save_sheet
from fastcolor.training.steps import ImagePool, Networks, Step, recipe_learner, together

NAME = "cyclegan"
OUTPUTS = ("photo_to_monet.safetensors", "monet_to_photo.safetensors")
GENERATORS, CRITICS = ["to_monet", "to_photo"], ["monet_critic", "photo_critic"]
CYCLE_CRITIC = PatchGANConfig(inputs=3, widths=(64, 128, 256, 512, 512), norm="group")
SHEETS = (46, 575, 2300)  # steps after which a sample sheet is written: those shown in the description followed here
SHEET_ROWS = 4
SMALLEST = 48  # px: a smaller image leaves nothing for the critics' last layer


class CycleStep(Step):
    """Both generators in one half step, then both critics in another."""

    def __init__(self, cycle: float, identity: float, show: Callable[[int], None]):
        self.cycle_weight, self.identity_weight, self.show = cycle, identity, show
        self.pools = {"monet": ImagePool(), "photo": ImagePool()}

    def take(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """A step on x, photos, and y, paintings, each `(N, 3, H, W)` in rgb_unit, unpaired."""
        to_monet, to_photo = self.to_monet, self.to_photo
        with self.turn(*GENERATORS):
            monet, same_y = together(to_monet, x, y)
            photo, same_x = together(to_photo, y, x)
            adversarial = least_squares(self.monet_critic(monet), True) + least_squares(self.photo_critic(photo), True)
            cycle = F.l1_loss(to_photo(monet).float(), x) + F.l1_loss(to_monet(photo).float(), y)
            same = F.l1_loss(same_y.float(), y) + F.l1_loss(same_x.float(), x)
            self.backward(adversarial + self.cycle_weight * (cycle + self.identity_weight * same))
        with self.turn(*CRITICS):
            late_monet, late_photo = self.pools["monet"](monet), self.pools["photo"](photo)
            of_monet = critic_loss(least_squares, *together(self.monet_critic, y, late_monet))
            of_photo = critic_loss(least_squares, *together(self.photo_critic, x, late_photo))
            self.backward(of_monet + of_photo)
        return {
            "gen_adversarial": adversarial,
            "cycle_l1": cycle,
            "identity_l1": same,
            "critic_loss": (of_monet + of_photo) / 2,
        }

    def after_batch(self):
        if self.training and self.steps in SHEETS:
            processes.by_first(lambda: self.show(self.steps))

    def resume_state(self) -> dict[str, Tensor]:
        """What a resumed epoch needs: the pools' images."""
        return {name: pool.images for name, pool in self.pools.items()}

    def load_resume_state(self, state: dict[str, Tensor]) -> None:
        """Put back what `resume_state` gave."""
        for name, pool in self.pools.items():
            pool.images = state[name].clone()


@delegates(open_run)
def main(
    blocks: int = 0,  # residual blocks of each generator; the paper has 6 or 9, which need a GPU to train
    epochs: int | None = None,  # passes over the smaller of the two folders (default: 60; sample set: 10)
    lr: float = 2e-4,  # learning rate of all networks: constant for half of the epochs, then falling to 0
    cycle: float = 10.0,  # weight of the cycle loss: L1 between an image and its way there and back
    identity: float = 0.5,  # weight of the identity loss, as a share of --cycle: L1 of images that should not change
    **options,
):
    """Train CycleGAN: photos to paintings by Monet and back."""
    options["folders"] = _folders(options)
    run = open_recipe(NAME, OUTPUTS, 256, 64, **options)
    epochs = (10 if run.settings.is_sample else 60) if epochs is None else epochs
    at_least(1, epochs=epochs)
    at_least(0, lr=lr, cycle=cycle, identity=identity, blocks=blocks)
    at_least(SMALLEST, size=run.settings.size)
    space = SPACES["rgb_unit"]

    torch.manual_seed(run.settings.seed)
    generators = {name: build(ResnetConfig(blocks=blocks)) for name in GENERATORS}
    networks = Networks(**generators, **{name: build(CYCLE_CRITIC) for name in CRITICS})
    prepare_photos(run, needs_color=False)  # sepia is a style too
    photos = load_photos(run)
    for network in networks.children():
        run.machine.place(network, is_wide=True)
    bs = batch_size(run, NAME, photos, space.channels, networks.to_monet, usual=4)
    dls = unpaired_batches(run, photos, space, bs)

    def sample(path: Path) -> None:
        cycle_sheet(path, networks, space, dls)

    with run.stage(NAME, blocks=blocks, epochs=epochs, lr=lr, cycle=cycle, identity=identity, bs=bs) as is_needed:
        if not is_needed:
            return
        step = CycleStep(cycle, identity, lambda steps: sample(run.folder.sample_grid(NAME, f"_step{steps:05d}")))
        learn = recipe_learner(dls, networks, step, groups=[GENERATORS, CRITICS])
        falling = ParamScheduler({"lr": combine_scheds([0.5, 0.5], [SchedNo(lr, lr), SchedLin(lr, 0.0)])})
        fit(
            learn,
            run,
            NAME,
            lambda: learn.fit(epochs, lr=lr, cbs=falling),
            losses=lambda learn: step.losses,
            metrics=lambda learn: cycle_metrics(networks, space, learn.x, learn.pred, learn.y),
            save=lambda: save_both(run.folder, networks, run.settings.size),
            sample=sample,
        )


def _folders(options: dict) -> str | None:
    """The value of `--folders`: as given, None for that of an existing run, or the drawn sample's.

    Raises UserError unless it names two folders.
    """
    folders = options.get("folders")
    if folders is None and options.get("data") is None:
        run = RunFolder(options.get("run") or "runs/cyclegan-sample")
        return None if run.config_file.exists() else "photos,paintings"
    if folders is None or len(set(folders.split(","))) != 2:
        raise UserError(
            "--folders must name two folders below --data, of photos and of paintings: give --folders PHOTOS,PAINTINGS"
        )
    return folders


def cycle_metrics(networks: Networks, space, x: Tensor, monet: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Metrics per image, `(N,)` each, of photos x, their painted versions `monet`, and paintings y, `(N, 3, H, W)`.

    They are: L1 after both ways, from either side; L1 of the change; colourfulness of `monet` and (`_real`) of y.
    """
    return {
        "valid_cycle_l1": (networks.to_photo(monet) - x).abs().mean(dim=(1, 2, 3)),
        "valid_cycle_back_l1": (networks.to_monet(networks.to_photo(y)) - y).abs().mean(dim=(1, 2, 3)),
        "change_l1": (monet - x).abs().mean(dim=(1, 2, 3)),
        "colorfulness": colorfulness(space.to_rgb(monet)),
        "colorfulness_real": colorfulness(space.to_rgb(y)),
    }


def save_both(folder: RunFolder, networks: Networks, size: int) -> None:
    """Save both generators, each into its own weights file."""
    for name, file in zip(GENERATORS, folder.outputs_of(NAME), strict=True):
        save_network(file, getattr(networks, name), "generator", recipe=NAME, size=size, keeps_light=False)


def cycle_sheet(path: Path, networks: Networks, space, dls) -> None:
    """Write a PNG of the first held-out images: photo | Monet | back again, painting | photo | back again."""
    x, y = dls.valid.first(SHEET_ROWS)
    to_monet, to_photo = networks.to_monet, networks.to_photo
    with torch.no_grad(), evaluating(to_monet, to_photo):
        monet, photo = to_monet(x), to_photo(y)
        columns = {
            "photo": x,
            "Monet": monet,
            "back": to_photo(monet),
            "painting": y,
            "as photo": photo,
            "back ": to_monet(photo),
        }
    save_sheet(path, {name: space.to_rgb(images) for name, images in columns.items()})


if __name__ == "__main__":
    sys.exit(run_command(main, prog=f"python -m fastcolor.recipes.{NAME}"))
