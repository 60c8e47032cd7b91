"""Tiny drawn photos, and one tiny run of all four stages that many tests look at."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from fastcolor.errors import UserError
from fastcolor.scenes.folder import write_scenes


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
            folder = tmp_path_factory.getbasetemp()
            folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder  # all workers' own
            patch.setenv("PYTHONPYCACHEPREFIX", str(folder / "bytecode"))
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
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, 24, 40)
    return folder


@pytest.fixture(scope="session")
def finished_run(scenes, tmp_path_factory) -> Path:
    """A run folder after all four stages. Not to be written into: see `own_run`."""
    import torch  # here: the tests of colouring run where it is not installed, too
    from helpers import curves_drawn, run_stages

    torch.manual_seed(0)
    return run_stages(scenes, tmp_path_factory.mktemp("runs") / "finished", last=curves_drawn())


@pytest.fixture
def own_run(finished_run, tmp_path) -> Path:
    """A copy of the finished run that a test may spoil."""
    from helpers import copied

    return copied(finished_run, tmp_path / "run")


@pytest.fixture
def thin_listener(monkeypatch) -> None:
    """Networks that listen have a tenth of their parameters, where their config is not given."""
    from fastcolor.networks.hint_unet import HintUNetConfig

    small = HintUNetConfig(arch="efficientnet_lite0", width=32, blocks=1, near_blocks=1)
    monkeypatch.setattr(HintUNetConfig.__init__, "__defaults__", tuple(vars(small).values()))
