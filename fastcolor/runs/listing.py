"""What the run folders hold: weights to choose from, histories, pictures.

Names that come from a browser are only ever looked up in what is listed here, never made into a path.
"""

import csv
import json
import os
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open

from fastcolor.weights import BUNDLED

SHIPPED = "shipped"
"""What the weights that come with fastcolor are called; a run's are called RUN/FILE."""




class Weights(NamedTuple):
    """A generator's weights file: None stands for the one that ships; `size` as it was trained, in pixels."""

    path: Path | None
    size: int
    keeps_light: bool


def run_folders(runs: Path) -> dict[str, Path]:
    """The run folders in `runs` by their names, the one that was written to last first."""
    found = []
    try:
        for folder in runs.iterdir():
            written = [file.stat().st_mtime for name in ("history.csv", "config.json") if (file := folder / name).is_file()]
            if written and folder.name.isprintable():  # others can't be shown
                found.append((max(written), folder))
    except OSError:  # there is no such folder, or it has just gone
        pass
    return {folder.name: folder for _, folder in sorted(found, reverse=True)}


def weights_found(runs: Path) -> dict[str, Weights]:
    """All generators' weights, by the names that the page knows them by: those that ship, then the runs'."""
    found = {SHIPPED: read_weights(BUNDLED)._replace(path=None)}
    for name, folder in run_folders(runs).items():
        for file in sorted(folder.glob("*.safetensors")):
            if weights := read_weights(file):
                found[f"{name}/{file.stem}"] = weights
    return found


def read_weights(path: Path) -> Weights | None:
    """What a weights file says of itself; None unless it holds a generator."""
    if not os.path.isfile(path):  # a pipe would be waited for
        return None
    try:
        with safe_open(path, framework="np") as file:
            about = json.loads((file.metadata() or {}).get("fastcolor", "{}"))
        return Weights(path, int(about["size"]), about.get("keeps_light", True)) if about.get("kind") == "generator" else None
    except (OSError, SafetensorError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def describe(folder: Path) -> dict:
    """What the page shows of a run: its stages and whether each is finished, its history, the names of its pictures."""
    try:
        stages = json.loads((folder / "config.json").read_text(encoding="utf-8"))["stages"]
        stages = [{"name": name, "finished": bool(about["finished"])} for name, about in stages.items()]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        stages = []
    return {
        "stages": stages,
        "history": read_history(folder / "history.csv"),
        "written": written_inside(folder, folder / "history.csv"),
        "pictures": [{"name": name, "written": written_inside(folder, path)} for name, path in pictures(folder).items()],
    }


def read_history(path: Path) -> list[dict[str, str]]:
    """The rows of a history.csv, one per stage and epoch; none where there is no such file."""
    try:
        with open(path, newline="", encoding="utf-8", errors="replace") as file:
            return [{name: value or "" for name, value in row.items() if name} for row in csv.DictReader(file)]
    except (OSError, csv.Error):
        return []


def pictures(folder: Path) -> dict[str, Path]:
    """A run's sample grids, the oldest first, then its sheets, by file name; no link that leads out of the run."""
    samples = sorted((written, path) for path in folder.glob("samples/*.png") if (written := written_inside(folder, path)))
    sheets = [folder / name for name in ("coloured.png", "contact_sheet.png") if written_inside(folder, folder / name)]
    return {path.name: path for path in [*(path for _, path in samples), *sheets] if path.name.isprintable()}


def written_inside(folder: Path, path: Path) -> float | None:
    """When a file was written; None unless it is one, and lies within `folder` once all links are followed."""
    try:
        real = path.resolve()
        return real.stat().st_mtime if real.is_relative_to(folder.resolve()) and real.is_file() else None
    except (OSError, RuntimeError):  # it has just gone; a link in a circle (Python before 3.13)
        return None
