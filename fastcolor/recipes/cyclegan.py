"""CycleGAN: photographs to paintings by Monet and back, without pairs; two generators, two critics.

    python -m fastcolor.recipes.cyclegan --data DIR --folders PHOTOS,PAINTINGS        # two folders below DIR

Leaves `photo_to_monet.safetensors` and `monet_to_photo.safetensors`. The lightness of a photo is not kept: the files say
so, and `predict` and `colorize` obey. Objective and order of the updates are those of Zhu et al. 2017, sections 3 and 4,
and of the paper's code (`models/cycle_gan_model.py`): both generators in one step, then each critic against a pool of
fakes; the learning rate is constant for the first half, then falls to nothing in a straight line.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from fastai.callback.schedule import ParamScheduler, SchedLin, SchedNo, combine_scheds
from fastcore.meta import delegates
from torch import Tensor

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
from fastcolor.photo.write import save_photo
from fastcolor.runs.folder import RunFolder
from fastcolor.runs.run import open_recipe, open_run
from fastcolor.training.adversarial import critic_loss, least_squares
from fastcolor.training.fit import fit
from fastcolor.training.report import evaluating, sheet
from fastcolor.training.steps import ImagePool, Networks, Step, recipe_learner

NAME = "cyclegan"
OUTPUTS = ("photo_to_monet.safetensors", "monet_to_photo.safetensors")
GENERATORS, CRITICS = ["to_monet", "to_photo"], ["monet_critic", "photo_critic"]
SHEETS = (46, 575, 2300)  # steps after which the description that this follows shows a picture
SHEET_ROWS = 4
SMALLEST = 48  # px: below it nothing would be left for the critics' last layer


class CycleStep(Step):
    """Both generators in one half step, then both critics in another."""

    def __init__(self, cycle: float, identity: float, show: Callable[[int], None]):
        self.cycle_weight, self.identity_weight, self.show = cycle, identity, show
        self.pools = {"monet": ImagePool(), "photo": ImagePool()}

    def take(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """x photographs, y paintings, `(N, 3, H, W)` of rgb_unit, unpaired."""
        to_monet, to_photo = self.to_monet, self.to_photo
        with self.turn(*GENERATORS):
            monet, photo = to_monet(x), to_photo(y)
            adversarial = least_squares(self.monet_critic(monet), True) + least_squares(self.photo_critic(photo), True)
            cycle = F.l1_loss(to_photo(monet).float(), x) + F.l1_loss(to_monet(photo).float(), y)
            same = F.l1_loss(to_monet(y).float(), y) + F.l1_loss(to_photo(x).float(), x)
            self.backward(adversarial + self.cycle_weight * (cycle + self.identity_weight * same))
        with self.turn(*CRITICS):
            late_monet, late_photo = self.pools["monet"](monet), self.pools["photo"](photo)
            of_monet = critic_loss(least_squares, self.monet_critic(y), self.monet_critic(late_monet))
            of_photo = critic_loss(least_squares, self.photo_critic(x), self.photo_critic(late_photo))
            self.backward(of_monet + of_photo)
        return {
            "gen_adversarial": adversarial,
            "cycle_l1": cycle,
            "identity_l1": same,
            "critic_loss": (of_monet + of_photo) / 2,
        }

    def after_batch(self):
        if self.training and self.steps in SHEETS:
            self.show(self.steps)

    def resume_state(self) -> dict[str, Tensor]:
        """The pools' images."""
        return {name: pool.images for name, pool in self.pools.items()}

    def load_resume_state(self, state: dict[str, Tensor]) -> None:
        """Take over what `resume_state` gave."""
        for name, pool in self.pools.items():
            pool.images = state[name].clone()


@delegates(open_run)
def main(
    blocks: int = 0,  # residual blocks of each generator; the paper has 6 or 9, which take a GPU's time to learn
    epochs: int | None = None,  # passes over the smaller of the two folders (default: 60; sample set: 10)
    lr: float = 2e-4,  # of all networks; constant for half of the epochs, then down to nothing
    cycle: float = 10.0,  # weight of the L1 distance after both ways
    identity: float = 0.5,  # share of that for the L1 distance of what should stay as it is
    **options,
):
    """Train CycleGAN: photographs to Monet and back."""
    options["folders"] = _folders(options)
    run = open_recipe(NAME, OUTPUTS, 256, 64, **options)
    epochs = (10 if run.settings.is_sample else 60) if epochs is None else epochs
    at_least(1, epochs=epochs)
    at_least(0, lr=lr, cycle=cycle, identity=identity, blocks=blocks)
    at_least(SMALLEST, size=run.settings.size)
    space = SPACES["rgb_unit"]

    torch.manual_seed(run.settings.seed)
    generators = {name: build(ResnetConfig(blocks=blocks)) for name in GENERATORS}
    looks = PatchGANConfig(inputs=3, widths=(64, 128, 256, 512, 512), norm="group")
    networks = Networks(**generators, **{name: build(looks) for name in CRITICS})
    prepare_photos(run)
    photos = load_photos(run)
    for network in networks.children():
        run.machine.place(network)
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
    """The two folders: given, of an existing run, or the sample's. Raises UserError unless they are two."""
    folders = options.get("folders")
    if folders is None and options.get("data") is None:
        run = RunFolder(options.get("run") or "runs/cyclegan-sample")
        return None if run.config_file.exists() else "photos,paintings"
    if folders is None or len(set(folders.split(","))) != 2:
        raise UserError(
            "--folders is missing: name the folders of photos and of paintings below --data, as --folders PHOTOS,PAINTINGS"
        )
    return folders


def cycle_metrics(networks: Networks, space, x: Tensor, monet: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Per image, of photographs, what was painted of them, and paintings: the L1 distance after both ways, how much was
    changed, colourfulness; the paintings' is the real one."""
    return {
        "valid_cycle_l1": (networks.to_photo(monet) - x).abs().mean(dim=(1, 2, 3)),
        "valid_cycle_back_l1": (networks.to_monet(networks.to_photo(y)) - y).abs().mean(dim=(1, 2, 3)),
        "change_l1": (monet - x).abs().mean(dim=(1, 2, 3)),
        "colorfulness": colorfulness(space.to_rgb(monet)),
        "colorfulness_real": colorfulness(space.to_rgb(y)),
    }


def save_both(folder: RunFolder, networks: Networks, size: int) -> None:
    """Both directions, each a weights file of its own."""
    for name, file in zip(GENERATORS, folder.outputs_of(NAME), strict=True):
        save_network(file, getattr(networks, name), "generator", recipe=NAME, size=size, keeps_light=False)


def cycle_sheet(path: Path, networks: Networks, space, dls) -> None:
    """Write photo | Monet | back again, and painting | photo | back again, of the first held-out ones, as PNG."""
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
    save_photo(sheet({name: space.to_rgb(images) for name, images in columns.items()}), path)


if __name__ == "__main__":
    sys.exit(run_command(main, prog=f"python -m fastcolor.recipes.{NAME}"))
