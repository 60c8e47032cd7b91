"""Tiny drawn photos, and one tiny run of all four stages that many tests look at."""

import shutil
from pathlib import Path

import pytest
import torch

from fastcolor import stage1_pretrain_gen, stage2_generate_fakes, stage3_pretrain_critic, stage4_gan
from fastcolor.runs.run import Run, open_run
from fastcolor.scenes.folder import write_scenes

TINY = {"size": 32, "bs": 4, "device": "cpu", "precision": "fp32"}


def opened(data: Path, path: Path, **options) -> Run:
    """A run of tiny squares on the CPU."""
    return open_run(data=str(data), run=str(path), device="cpu", precision="fp32", **{"size": 32, **options})


@pytest.fixture(scope="session", autouse=True)
def cache_home(tmp_path_factory):
    """The tests' own cache folder: nothing is left in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("user")))
        yield


@pytest.fixture(scope="session")
def scenes(tmp_path_factory) -> Path:
    """A folder of 24 drawn photos of 40 px."""
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, 24, 40)
    return folder


def run_stages(data: Path, run: Path, **options) -> Path:
    """All four stages, two epochs each, without pretraining."""
    common = {"run": str(run), **TINY, **options}
    stage1_pretrain_gen.main(data=str(data), pretrained="none", epochs=2, **common)
    stage2_generate_fakes.main(**common)
    stage3_pretrain_critic.main(epochs=2, **common)
    stage4_gan.main(epochs=2, switcher="fixed", **common)
    return run


@pytest.fixture(scope="session")
def finished_run(scenes, tmp_path_factory) -> Path:
    """A run folder after all four stages. Not to be written into: see `own_run`."""
    torch.manual_seed(0)
    return run_stages(scenes, tmp_path_factory.mktemp("runs") / "finished")


@pytest.fixture
def own_run(finished_run, tmp_path) -> Path:
    """A copy of the finished run that a test may spoil."""
    return Path(shutil.copytree(finished_run, tmp_path / "run"))
