"""Trainings that are killed, again and again, end in the same bytes as one that never was."""

import csv
import importlib
import itertools
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from helpers import run_stages

from fastcolor.recipes import cyclegan
from fastcolor.runs.folder import STAGES
from fastcolor.runs.run import open_run
from fastcolor.scenes.folder import write_scenes
from fastcolor.training.steps import ImagePool

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

KILLS = 20  # for each stage and recipe
TIMED = ("photos_per_s", "seconds", "peak_mb")
SMALL = {"device": "cpu", "precision": "fp32", "bs": 2, "save_every": 4}
MAINS = {
    "stage1": {"size": 32, "pretrained": "none", "epochs": 2, "average": 5, "aged": 0.5},
    "stage2": {},
    "stage3": {"epochs": 2},
    "stage4": {"epochs": 2, "switcher": "fixed", "n_crit": 2, "n_gen": 3, "average": 5},
    "pix2pix": {"size": 32, "epochs": 2, "save_every": 6},
    "lab_cgan": {"size": 32, "epochs": 2, "adversarial": "wgan-gp", "save_every": 6},
    "lab_gan": {"size": 32, "epochs": 12, "bs": 8, "save_every": 3, "sample_every": 4},
    "cyclegan": {"size": 48, "epochs": 2, "blocks": 0, "save_every": 2},
}
# A process of this kind has imported everything and computed nothing: its forks begin at once, and may use threads.
context = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")
context.set_forkserver_preload(
    ["fastcolor.train", *(f"fastcolor.recipes.{name}" for name in MAINS if name not in STAGES)]
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Two folders of 10 drawn photos."""
    folder = tmp_path_factory.mktemp("photos")
    for seed, name in enumerate(("day", "night")):
        write_scenes(folder / name, 10, 56, seed)
    return folder


@pytest.fixture(scope="module")
def begun(photos, tmp_path_factory) -> Path:
    """A run of all four stages, each of which can be begun anew."""
    return run_stages(photos, tmp_path_factory.mktemp("runs") / "begun", bs=2)


def options_of(name: str, photos: Path, begun: Path, run: Path) -> dict:
    """What a stage or recipe is begun with; a later stage in a copy of the run, as the one before it left that."""
    options = {**SMALL, **MAINS[name], "run": str(run)}
    if name in ("stage2", "stage3", "stage4"):
        shutil.copytree(begun, run)
        stages = list(STAGES)
        open_run(run=str(run)).folder.drop(*stages[stages.index(name) :])
        return options
    if name == "cyclegan":
        options["folders"] = "day,night"
    return {**options, "data": str(photos)}


def module_of(name: str):
    """The module of a stage or recipe."""
    return importlib.import_module(STAGES[name][0] if name in STAGES else f"fastcolor.recipes.{name}")


def work(name: str, options: dict, cache: str, change: int | None) -> None:
    """What a child process does: train, and die before it changes the disk for the `change`th time, if it is given."""
    os.environ["XDG_CACHE_HOME"] = cache
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    torch.set_num_threads(1)
    changes = itertools.count(1)

    def dying(real: Callable, *arguments, **options):
        if next(changes) == change:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)

    for call in ("replace", "unlink", "rmdir"):
        setattr(os, call, partial(dying, getattr(os, call)))
    cyclegan.ImagePool = partial(ImagePool, 5)  # or it would never be full
    module_of(name).main(**options)


def train(name: str, options: dict, seconds: float | None = None, change: int | None = None) -> bool:
    """Whether a child process trained to its end, before it was killed after so many seconds or before a change."""
    child = context.Process(target=work, args=(name, options, os.environ["XDG_CACHE_HOME"], change))
    child.start()
    child.join(seconds)
    if child.exitcode is None:
        child.kill()
        child.join()
    assert child.exitcode in (0, -signal.SIGKILL)
    return child.exitcode == 0


def result_of(name: str, run: Path) -> tuple[dict[str, bytes], list]:
    """The bytes of all that a stage saves for the next ones, and its rows of the history without times."""
    outputs = [run / STAGES[name][1]] if name in STAGES else [run / output for output in module_of(name).OUTPUTS]
    files = [file for output in outputs for file in (sorted(output.rglob("*")) if output.is_dir() else [output])]
    with open(run / "history.csv", newline="") as file:
        rows = [
            [cell for cell in row.items() if cell[0] not in TIMED]
            for row in csv.DictReader(file)
            if row["stage"] == name
        ]
    assert not list(run.rglob(".part-*"))
    assert {state.stem for state in (run / "resume").glob(f"{name}*")} <= {name}  # the last one, for more epochs
    return {str(file.relative_to(run)): file.read_bytes() for file in files if file.is_file()}, rows


@pytest.mark.parametrize("name", MAINS)
def test_a_training_killed_at_twenty_random_moments_ends_in_the_same_bytes(name, photos, begun, tmp_path):
    options = options_of(name, photos, begun, tmp_path / "whole")
    train(name, {**options, "force": True})  # decodes the photos once
    start = time.monotonic()
    assert train(name, {**options, "force": True})
    duration = time.monotonic() - start
    whole = result_of(name, tmp_path / "whole")
    assert whole[0]

    options = options_of(name, photos, begun, tmp_path / "killed")
    rng, kills, how = random.Random(name), 0, {"force": True}
    while kills < KILLS:
        if train(name, {**options, **how}, seconds=rng.uniform(0, duration)):
            assert result_of(name, tmp_path / "killed") == whole
            how = {"force": True}
        else:
            kills += 1
            how = {"resume": True}
    assert train(name, {**options, **how})
    assert result_of(name, tmp_path / "killed") == whole


def other(seed: int) -> int:
    """The seed of two that is not this one."""
    return {42: 7, 7: 42}[seed]


# A file is renamed, or deleted: between two of these, what is on the disk is always the same to whoever resumes.


@pytest.mark.parametrize("name", [*STAGES, "cyclegan"])
def test_a_training_begun_anew_and_killed_before_any_change_of_the_disk_ends_in_the_same_bytes(
    name, photos, begun, tmp_path
):
    options, run = options_of(name, photos, begun, tmp_path / "run"), tmp_path / "run"
    assert train(name, {**options, "force": True})
    whole = result_of(name, run)
    for change in itertools.count(1):
        if train(name, {**options, "force": True}, change=change):
            break
        assert train(name, {**options, "resume": True})
        assert result_of(name, run) == whole, change
    assert change > 30


@pytest.mark.parametrize("name", ["stage1", "cyclegan"])
def test_killed_while_it_makes_room_for_other_settings_a_run_has_either_the_old_or_the_new_ones(
    name, photos, begun, tmp_path
):
    options, run = options_of(name, photos, begun, tmp_path / "run"), tmp_path / "run"
    whole = {}
    for seed in (42, 7):
        assert train(name, {**options, "seed": seed, "force": True})
        whole[seed] = result_of(name, run)
    for change in itertools.count(1):
        before = open_run(run=str(run)).settings.seed
        assert not train(name, {**options, "seed": other(before), "force": True}, change=change)
        now = open_run(run=str(run)).settings.seed
        assert train(name, {**options, "resume": True})
        assert result_of(name, run) == whole[now], change
        if now != before:
            break
    assert change > 10
