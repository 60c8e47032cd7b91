"""Trainings that are killed, again and again, end in the same bytes as one that never was."""

import csv
import importlib
import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from conftest import run_stages

from fastcolor.run import MODULES, OUTPUTS, STAGES, open_run
from fastcolor.scenes import write_scenes

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
context.set_forkserver_preload(["fastcolor.train", *(f"fastcolor.recipes.{name}" for name in OUTPUTS if name not in STAGES)])


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
    if name in STAGES[1:]:
        shutil.copytree(begun, run)
        held = open_run(run=str(run))
        for stage in STAGES[STAGES.index(name) :]:
            held.drop(stage)
        held.save()
        return options
    if name == "cyclegan":
        options["folders"] = "day,night"
    return {**options, "data": str(photos)}


def work(name: str, options: dict, cache: str, die: str | None, count: int) -> None:
    """What a child process does: train, and, if so wanted, die at the `count`th call of the function of os that `die` names."""
    os.environ["XDG_CACHE_HOME"] = cache
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    torch.set_num_threads(1)
    if die:
        real, calls = getattr(os, die), []

        def dying(*arguments):
            calls.append(1)
            if len(calls) == count:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments)

        setattr(os, die, dying)
    importlib.import_module(MODULES.get(name, f"fastcolor.recipes.{name}")).main(**options)


def train(name: str, options: dict, seconds: float | None = None, die: str | None = None, count: int = 0) -> bool:
    """Whether a child process trained to its end before it was killed, after so many seconds or by itself."""
    child = context.Process(target=work, args=(name, options, os.environ["XDG_CACHE_HOME"], die, count))
    child.start()
    child.join(seconds)
    if child.exitcode is None:
        child.kill()
        child.join()
    assert child.exitcode in (0, -signal.SIGKILL)
    return child.exitcode == 0


def result_of(name: str, run: Path) -> tuple[dict[str, bytes], list[dict]]:
    """The bytes of all that a stage saves for the next ones, and its rows of the history without times."""
    outputs = [run / output for output in OUTPUTS[name]]
    files = [file for output in outputs for file in (sorted(output.rglob("*")) if output.is_dir() else [output])]
    with open(run / "history.csv", newline="") as file:
        rows = [{key: row[key] for key in row if key not in TIMED} for row in csv.DictReader(file) if row["stage"] == name]
    assert not list(run.rglob(".part-*"))
    assert not list((run / "resume").glob(f"{name}*"))
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


@pytest.mark.parametrize(("die", "counts"), [("fsync", (3, 2, 4, 1)), ("replace", (3, 5, 2, 7))])
@pytest.mark.parametrize("name", ["stage1", "stage4"])
def test_a_training_killed_while_it_writes_ends_in_the_same_bytes(name, die, counts, photos, begun, tmp_path):
    options = options_of(name, photos, begun, tmp_path / "whole")
    assert train(name, {**options, "force": True})
    whole = result_of(name, tmp_path / "whole")
    options = options_of(name, photos, begun, tmp_path / "killed")
    how = {"force": True}
    for count in counts:  # of a state, of weights, between a state's two renamings
        assert not train(name, {**options, **how}, die=die, count=count)
        how = {"resume": True}
    assert train(name, {**options, **how})
    assert result_of(name, tmp_path / "killed") == whole


