"""Tiny drawn photos, and one tiny run of all four stages that many tests look at."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from filelock import FileLock

from fastcolor.errors import UserError
from fastcolor.scenes.folder import write_scenes


def of_all_workers(factory: pytest.TempPathFactory) -> Path:
    """The temporary folder of all of pytest-xdist's workers together; without it, this process's own."""
    folder = factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


def made_once(name: str, factory: pytest.TempPathFactory, make: Callable[[Path], object]) -> Path:
    """A folder that the first worker to need it makes, for all of them. Not to be written into."""
    top = of_all_workers(factory)
    with FileLock(top / f"{name}.lock"):
        if not (top / f"{name}.made").exists():
            shutil.rmtree(top / name, ignore_errors=True)  # of a worker that failed half-way
            make(top / name)
            (top / f"{name}.made").touch()
    return top / name


@pytest.fixture(scope="session", autouse=True)
def cache_home(tmp_path_factory):
    """The tests' own cache folder: nothing is left in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("user")))
        yield


@pytest.fixture(scope="session", autouse=True)
def bytecode(tmp_path_factory):
    """Processes that tests begin keep their bytecode for each other: to compile torch and fastai takes three times as
    long as to import them. Only where it is not written anyway."""
    with pytest.MonkeyPatch.context() as patch:
        if sys.dont_write_bytecode:
            patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
            patch.setenv("PYTHONPYCACHEPREFIX", str(of_all_workers(tmp_path_factory) / "bytecode"))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk():
    """Files are not waited for until they are on the disk, which takes as long again: only a power cut would tell."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_downloads():
    """SqueezeNet's weights can't be fetched: losses and judges do without, unless a test gives random ones."""
    if find_spec("torch") is None:  # the tests of colouring run there, too
        yield
        return
    from fastcolor.training import features

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "load_imagenet", unreachable)
        yield


def unreachable(arch: str, load) -> None:
    raise UserError(f"{arch}'s ImageNet weights can't be fetched (tests do without)")


@pytest.fixture(scope="session", autouse=True)
def few_curves():
    """Trainings don't draw their history, which takes a third of their time; in `helpers.curves_drawn` they do."""
    if find_spec("torch") is None:
        yield
        return
    from fastcolor.training import fit, history

    with pytest.MonkeyPatch.context() as patch:
        for module in (fit, history):
            patch.setattr(module, "draw_history", lambda folder: None)
        yield


@pytest.fixture(scope="session")
def scenes(tmp_path_factory) -> Path:
    """A folder of 24 drawn photos of 40 px."""
    return made_once("scenes", tmp_path_factory, lambda folder: write_scenes(folder, 24, 40))


@pytest.fixture(scope="session")
def finished_run(scenes, tmp_path_factory) -> Path:
    """A run folder after all four stages. Not to be written into: see `own_run`."""
    import torch  # here: the tests of colouring run where it is not installed, too
    from helpers import copied, curves_drawn, run_stages

    def make(folder: Path) -> None:
        torch.manual_seed(0)
        with thinner():
            run_stages(scenes, folder, last=curves_drawn())

    made = made_once("finished", tmp_path_factory, make)
    return copied(made, tmp_path_factory.mktemp("runs") / "finished")  # who opens a run may write into it: locks


@pytest.fixture
def own_run(finished_run, tmp_path) -> Path:
    """A copy of the finished run that a test may spoil."""
    from helpers import copied

    return copied(finished_run, tmp_path / "run")


@contextmanager
def thinner() -> Iterator[pytest.MonkeyPatch]:
    """Networks that are not chosen have few channels, so that a step takes a third of the time, a state a fiftieth of
    the room."""
    import helpers  # noqa: F401 (thins U-Nets of one block)

    from fastcolor.networks.critics import PatchCriticConfig
    from fastcolor.networks.hint_unet import HintUNetConfig
    from fastcolor.networks.unet import UNetConfig

    listener = HintUNetConfig(arch="efficientnet_lite0", width=32, blocks=1, near_blocks=1)
    with pytest.MonkeyPatch.context() as patch:
        for config in (UNetConfig(blocks=1), PatchCriticConfig(channels=8), listener):
            patch.setattr(type(config).__init__, "__defaults__", tuple(vars(config).values()))
        yield patch


@pytest.fixture
def thin() -> Iterator[pytest.MonkeyPatch]:
    """Thin networks where it does not matter which they are."""
    with thinner() as patch:
        yield patch


@pytest.fixture
def whole(thin) -> None:
    """The usual networks after all, in a module whose other tests have thin ones."""
    thin.undo()
