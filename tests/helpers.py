"""What several test modules need: tiny runs, runs that are killed, processes that train together, and half steps of
networks of one number each.
"""

import multiprocessing
import os
import pickle
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest
import torch
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.torch_core import defaults
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from fastcolor import processes, stage1_pretrain_gen, stage2_generate_fakes, stage3_pretrain_critic, stage4_gan
from fastcolor.data.photos import Photos, load_photos
from fastcolor.data.prepare import prepare_photos
from fastcolor.networks.checkpoint import load_tensors
from fastcolor.networks.unet import LabUNet
from fastcolor.recipes.cyclegan import CRITICS, GENERATORS, CycleStep
from fastcolor.recipes.lab_cgan import LabCGANStep
from fastcolor.recipes.lab_gan import LabGANStep
from fastcolor.recipes.pix2pix import Pix2PixStep
from fastcolor.runs.curves import draw_history
from fastcolor.runs.run import Run, open_run
from fastcolor.training import fit
from fastcolor.training.steps import Networks, Step, recipe_learner
from fastcolor.training.together import fingerprint

FIRST, LAST = -1000, 1000  # orders of callbacks: before, and behind, all of fastai's and of the package's
TINY = {"size": 32, "bs": 4, "device": "cpu", "precision": "fp32"}
PAIR = [["generator"], ["critic"]]
LR = 0.1  # Adam's first step moves every number by this, against its gradient's sign (Kingma and Ba 2014, section 2.1)


def opened(data: Path, path: Path, **options) -> Run:
    """A run of tiny squares on the CPU."""
    return open_run(data=str(data), run=str(path), device="cpu", precision="fp32", **{"size": 32, **options})


def prepared(run: Run, needs_color: bool = True) -> Photos:
    """The photos of a run, prepared and loaded, as every stage does it."""
    prepare_photos(run, needs_color)
    return load_photos(run)


def run_stages(data: Path, run: Path, last: AbstractContextManager | None = None, **options) -> Path:
    """All four stages, two epochs each, without pretraining; the last one in the context given."""
    common = {"run": str(run), **TINY, **options}
    stage1_pretrain_gen.main(data=str(data), pretrained="none", epochs=2, **common)
    stage2_generate_fakes.main(**common)
    stage3_pretrain_critic.main(epochs=2, **common)
    with last or nullcontext():
        stage4_gan.main(epochs=2, switcher="fixed", **common)
    return run


def copied(run: Path, target: Path) -> Path:
    """A copy of a run folder. Its tensors, 200 MB, are links to the same files: they may be replaced or deleted, as the
    package does it, but not written into."""

    def copy(source: str, name: str) -> None:
        os.link(source, name) if source.endswith(".safetensors") else shutil.copy2(source, name)

    return Path(shutil.copytree(run, target, copy_function=copy))


@contextmanager
def curves_drawn() -> Iterator[None]:
    """Trainings in here draw their history at the end, as they do outside of tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "draw_history", draw_history)
        yield


# in tests, U-Nets of one transformer block have an eighth of the channels: a weights file says which it is
LabUNet.channels = property(lambda network: 8 if network.config.blocks == 1 else 64)


class Killed(BaseException):
    """As a power cut would: nothing in the package handles it."""


class At(Callback):
    """Calls `act(callback)` at one of fastai's events, after all other callbacks; with `order=FIRST` before them."""

    def __init__(self, event: str, act: Callable[[Callback], object], order: int = LAST):
        self.order = order
        setattr(self, event, lambda: act(self))


@contextmanager
def during_fit(*callbacks: Callback) -> Iterator[None]:
    """Every Learner that is made in here gets these callbacks too: they are fastai's own defaults meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(defaults, "callbacks", [*defaults.callbacks, *callbacks])
        yield


@contextmanager
def before_each_forward(note: Callable[[nn.Module, tuple], None]) -> Iterator[None]:
    """Calls `note(module, inputs)` before any module's forward pass in here."""
    hook = register_module_forward_pre_hook(note)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def killed_after(epochs: int, batches: int = 0) -> Iterator[None]:
    """The training in here dies after so many epochs, and batches of the next one, when its state has been written."""

    def die(callback):
        reached = (callback.epoch, callback.iter + 1) if batches else (callback.epoch + 1, 0)
        if callback.training == bool(batches) and reached == (epochs, batches):
            raise Killed

    with during_fit(At("after_batch" if batches else "after_epoch", die)), pytest.raises(Killed):
        yield


class Batches(list):
    """A list of batches with what fastcolor's own loaders have."""

    device = torch.device("cpu")

    def __init__(self, batches):
        super().__init__(batches)
        self.bs = len(self[0][0])


def loaders(*batches) -> DataLoaders:
    """Training on the batches given, validation on the first."""
    return DataLoaders(Batches(batches), Batches(batches[:1]))


def state(network) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def trained(step, networks, groups, batches, lr, betas=(0.5, 0.999), cbs=None):
    """One epoch of fastai's loop around a step."""
    learn = recipe_learner(loaders(*batches), networks, step, betas=betas, groups=groups)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, lr=lr, cbs=cbs)
    return learn


class Painter(nn.Module):
    """Everything times one number; with `light`, L stays and a and b are painted, as the Lab generators do."""

    def __init__(self, factor: float, light: bool = False):
        super().__init__()
        self.factor, self.light = nn.Parameter(torch.tensor(factor)), light

    def forward(self, x):
        return torch.cat([x, self.factor * x, self.factor * x], dim=1) if self.light else self.factor * x


class Judge(nn.Module):
    """The mean of all it is shown, times one number: one patch."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, image):
        return self.factor * image.mean(dim=(1, 2, 3))[:, None]


def scalars(recipe: str) -> tuple[Step, Networks, list[list[str]]]:
    """A recipe's step around networks of one number each."""
    if recipe == "pix2pix":
        return Pix2PixStep(100.0), Networks(generator=Painter(0.6), critic=Judge(1.0)), PAIR
    if recipe == "lab_gan":
        return LabGANStep(1), Networks(generator=Painter(0.6, light=True), critic=Judge(1.0)), PAIR
    if recipe == "cyclegan":
        networks = Networks(
            to_monet=Painter(0.6), to_photo=Painter(-0.8), monet_critic=Judge(1.0), photo_critic=Judge(2.0)
        )
        return CycleStep(10.0, 0.5, lambda steps: None), networks, [GENERATORS, CRITICS]
    return LabCGANStep(recipe, 100.0), Networks(generator=Painter(0.6, light=True), critic=Judge(1.0)), PAIR


def plain(*color: float, count: int = 1) -> torch.Tensor:
    return torch.tensor(color).view(1, -1, 1, 1).repeat(count, 1, 2, 2)


def together(work: Callable[[], object], count: int = 2) -> list:
    """What `work()` gives in each of `count` processes that train together; an error is given, not raised.

    They are forked, as a launcher would start them: their imports are done already.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(count)}

    def process(rank: int, told) -> None:
        os.environ.update(place, RANK=str(rank), LOCAL_RANK=str(rank))
        torch.set_num_threads(1)  # threads that the parent has begun are not there
        try:
            processes.join("cpu")
            found = work()
            processes.leave()
        except BaseException as error:  # noqa: BLE001 (told to the test)
            found = error
        told.send_bytes(pickle.dumps(found))  # not send: torch would give a handle of this process's memory
        told.close()
        os._exit(0)

    context, results = multiprocessing.get_context("fork"), []
    for rank in range(count):
        here, there = context.Pipe(duplex=False)
        one = context.Process(target=process, args=(rank, there), daemon=True)
        one.start()
        there.close()
        results.append((one, here))
    found = [pickle.loads(here.recv_bytes()) for _, here in results]
    for one, _ in results:
        one.join()
    return found


def ends(work: Callable[[], object]) -> list[str]:
    """The fingerprint of each network that `work` has trained, in this process, at the end of its fit."""
    found = []
    with during_fit(At("after_fit", lambda callback: found.append(fingerprint(callback.learn.model)))):
        work()
    return found


def near(file: Path, other: Path) -> None:
    """Asserts that two weights files are equal but for what Adam makes of rounding: here and there, where a gradient is
    almost zero, its step has another sign."""
    (one, _), (two, _) = (load_tensors(each, "weights") for each in (file, other))
    assert one.keys() == two.keys()
    whole, others = (torch.cat([each[name].double().flatten() for name in one]) for each in (one, two))
    assert (whole - others).norm() < 3e-3 * whole.norm()
