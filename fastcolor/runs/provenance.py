"""What a training was made with, as config.json records it, so that it can be repeated."""

import platform
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

import fastcolor
from fastcolor import processes
from fastcolor.device import Machine

LIBRARIES = ("torch", "torchvision", "fastai", "numpy", "pillow")
"""Those whose version may change the trained weights."""


def provenance(machine: Machine) -> dict:
    """Command, date, git revision, versions, and what else may change the last digits of the weights."""
    device, on_gpu = machine.device, machine.device.type == "cuda"
    return {
        "command": shlex.join(sys.argv),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "git": git_revision(),
        **versions(),
        "device": device.type,
        "compiled": machine.compile,
        "processor": torch.cuda.get_device_name(device)
        if on_gpu
        else f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "threads": torch.get_num_threads(),
        **({"processes": processes.count()} if processes.count() > 1 else {}),
    }


def versions() -> dict[str, str]:
    """Those of fastcolor, Python, and of LIBRARIES."""
    own = {"fastcolor": fastcolor.__version__, "python": platform.python_version()}
    return own | {name: version(name) for name in LIBRARIES}


def differences(before: dict, now: dict) -> str:
    """What has changed since a training began: "torch 2.14.0 -> 2.15.0"; empty if it will give the same weights."""
    harmless = ("command", "date", "python")
    before, now = ({"processes": 1, **made} for made in (before, now))
    changed = [name for name in now if name not in harmless and before.get(name) != now[name]]
    return ", ".join(f"{name} {before.get(name)} -> {now[name]}" for name in changed)


def git_revision() -> str | None:
    """The commit of this package, with "-dirty" if files have been changed since; None outside a checkout."""
    top = Path(fastcolor.__file__).resolve().parents[1]
    if not (top / ".git").exists() or not shutil.which("git"):
        return None
    command = ["git", "-C", str(top), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    told = subprocess.run(command, check=False, capture_output=True, text=True)
    return told.stdout.strip() or None
