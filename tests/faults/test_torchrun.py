"""Trainings that `torchrun` begins: all four stages in one command, and one whose process is killed."""

import csv
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from fastcolor import bench
from fastcolor.bench.tables import TABLES

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

LAUNCHER = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
TINY = ["--size", "32", "--bs", "4", "--device", "cpu", "--precision", "fp32"]
TIMED = ("photos_per_s", "seconds", "peak_mb")


def torchrun(*arguments, meanwhile: Callable[[psutil.Process], None] | None = None) -> subprocess.CompletedProcess:
    """What two processes say and how they end; `meanwhile` is called with the launcher, in a thread."""
    command = [*LAUNCHER, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as launched:
        if meanwhile:
            threading.Thread(target=meanwhile, args=(psutil.Process(launched.pid),), daemon=True).start()
        out, errors = launched.communicate(timeout=800)
    return subprocess.CompletedProcess(command, launched.returncode, out, errors)


def process_of(launcher: psutil.Process, rank: int) -> psutil.Process | None:
    with suppress(psutil.Error):
        return next((each for each in launcher.children() if each.environ().get("RANK") == str(rank)), None)


def history(run: Path) -> list[dict]:
    with open(run / "history.csv", newline="") as file:
        return [{name: row[name] for name in row if name not in TIMED} for row in csv.DictReader(file)]


def test_two_processes_train_all_stages_and_only_the_first_one_speaks_and_writes(scenes, tmp_path):
    run = tmp_path / "run"
    epochs = ["--gen-epochs", 1, "--critic-epochs", 1, "--gan-epochs", 1]
    flags = ["--data", scenes, "--run", run, "--pretrained", "none", *epochs, *TINY]
    done = torchrun("-m", "--", "fastcolor.train", *flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("stage1 on cpu: fp32 (as asked), 2 processes, batches of 4") == 1
    assert done.stdout.count("the best weights; to colour photos with them:") == 1
    stages = json.loads((run / "config.json").read_text())["stages"]
    assert [about["finished"] for about in stages.values()] == [True] * 4
    assert [row["stage"] for row in history(run)] == ["stage1", "stage3", "stage4"]
    assert not [*run.rglob(".part-*")]


def test_a_training_whose_process_is_killed_ends_in_the_bytes_of_one_that_was_not_disturbed(scenes, tmp_path):
    flags = ["--data", scenes, "--pretrained", "none", "--epochs", 3, "--average", 5, "--save-every", 2, *TINY]
    whole, killed, pids = tmp_path / "whole", tmp_path / "killed", []

    def kill(launcher: psutil.Process) -> None:
        while not pids:
            with suppress(OSError):
                if len(history(killed)) >= 1 and (found := process_of(launcher, 1)):
                    found.kill()
                    pids.append(found.pid)
            time.sleep(0.01)

    stage1 = ["-m", "--", "fastcolor.stage1_pretrain_gen", *flags, "--run"]
    assert torchrun(*stage1, whole).returncode == 0
    done = torchrun("--max-restarts=1", *stage1, killed, "--resume", meanwhile=kill)
    assert done.returncode == 0, done.stderr
    assert pids
    made_with = json.loads((killed / "config.json").read_text())["stages"]["stage1"]["made_with"]
    assert len(made_with) == 2  # it was begun, and resumed
    assert history(whole) == history(killed)
    name = "stage1_gen.safetensors"
    assert (whole / name).read_bytes() == (killed / name).read_bytes()


def test_wrong_flags_end_in_one_sentence(scenes, tmp_path):
    flags = ["--data", scenes, "--run", tmp_path / "run", "--epochs", 0]
    done = torchrun("-m", "--", "fastcolor.stage1_pretrain_gen", *flags)
    assert done.returncode == 1  # torchrun's own, for any other
    assert done.stderr.count("--epochs must be 1 or more, not 0") == 1
    assert "exitcode  : 2" in done.stderr


def test_what_several_processes_reach_is_measured(tmp_path):
    small = {"size": 64, "bs": "4", "device": "cpu", "precision": "fp32"}
    bench.main(out=str(tmp_path), processes="1,2", rounds=1, seconds=0.5, **small)
    result = json.loads((tmp_path / "processes.json").read_text())
    rows = {(row["stage"], row["processes"]): row for row in result["summary"]}
    assert [*rows] == [("stage1", 1), ("stage1", 2), ("stage4", 1), ("stage4", 2)]
    assert all(row["photos_per_s"]["median"] > 0 for row in rows.values())
    assert rows["stage1", 1]["talking"]["median"] == 0 < rows["stage1", 2]["talking"]["median"] < 1
    assert rows["stage1", 2]["gradient_mb"] == pytest.approx(20, abs=1)  # 5.0 M parameters of four bytes
    assert (tmp_path / "processes.md").read_text() == TABLES["processes"](result)
