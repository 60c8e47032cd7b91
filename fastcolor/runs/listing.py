"""What the web page shows of run folders: weights to choose from, histories, pictures.

A name that comes from a browser is only looked up in these lists. It is never made into a path. Who can write into a
run folder must not make the page show other files, or wait for ever: see `written_inside`.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open

from fastcolor.errors import UserError
from fastcolor.runs.folder import RunFolder
from fastcolor.weights import BUNDLED

MOST_TEXT = 10_000_000  # bytes of a config.json or history.csv: a row has some hundred, and an hour some hundred rows

SHIPPED = "bundled"
"""The page's name for the weights that come with fastcolor; a run's are called RUN/FILE."""


class Weights(NamedTuple):
    """A generator's weights file, None for the one that comes with fastcolor; `size` is its training size in pixels."""

    path: Path | None
    size: int
    keeps_light: bool


def run_folders(runs: Path) -> dict[str, RunFolder]:
    """The run folders in `runs` by name, the one written to last first."""
    found = []
    try:
        for path in runs.iterdir():
            folder = RunFolder(path)
            dates = (written_inside(path, file) for file in (folder.history_file, folder.config_file))
            written = [date for date in dates if date is not None]
            if written and path.name.isprintable():  # others can't be shown
                found.append((max(written), path.name, folder))
    except OSError:  # there is no such folder, or it has just gone
        pass
    return {name: folder for _, name, folder in sorted(found, key=lambda each: each[:2], reverse=True)}


def weights_found(runs: Path) -> dict[str, Weights]:
    """All generators' weights by their names on the page: those that come with fastcolor, then the runs'."""
    found = {SHIPPED: read_weights(BUNDLED)._replace(path=None)}
    for name, folder in run_folders(runs).items():
        for file in sorted(folder.path.glob("*.safetensors")):
            if written_inside(folder.path, file) and (weights := read_weights(file)):
                found[f"{name}/{file.stem}"] = weights
    return found


def read_weights(path: Path) -> Weights | None:
    """What a weights file says about itself; None unless it holds a generator."""
    try:
        with safe_open(path, framework="np") as file:
            about = json.loads((file.metadata() or {}).get("fastcolor", "{}"))
        return (
            Weights(path, int(about["size"]), about.get("keeps_light", True))
            if about.get("kind") == "generator"
            else None
        )
    except (
        OSError,
        SafetensorError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ):
        return None


def describe(folder: RunFolder) -> dict:
    """What the page shows of a run: its stages and whether they are finished, its history, the names of its pictures.

    A damaged file is left out.
    """
    stages, history = [], []
    if _is_text_inside(folder.path, folder.config_file):
        with suppress(UserError, OSError):
            folder.read()
            stages = [{"name": name, "finished": about["finished"]} for name, about in folder.config["stages"].items()]
    if _is_text_inside(folder.path, folder.history_file):
        with suppress(UserError, OSError):
            history = [{name: value or "" for name, value in row.items()} for row in folder.history()]
    return {
        "stages": stages,
        "history": history,
        "written": written_inside(folder.path, folder.history_file),
        "pictures": [
            {"name": name, "written": written_inside(folder.path, path)} for name, path in pictures(folder).items()
        ],
    }


def pictures(folder: RunFolder) -> dict[str, Path]:
    """A run's sample grids, the oldest first, then its sheets, by file name; links that lead out of it are left out."""
    grids = sorted((written, path) for path in folder.sample_grids() if (written := written_inside(folder.path, path)))
    sheets = [path for path in (folder.coloured, folder.contact_sheet) if written_inside(folder.path, path)]
    return {path.name: path for path in [*(path for _, path in grids), *sheets] if path.name.isprintable()}


def _is_text_inside(folder: Path, path: Path) -> bool:
    """Whether a text file of a run may be read: inside it, and of a size that a run's own has."""
    return written_inside(folder, path) is not None and path.stat().st_size <= MOST_TEXT


def written_inside(folder: Path, path: Path) -> float | None:
    """When a file was written, in seconds since 1970; None if there is none, or if links lead out of `folder`.

    None also for a pipe, a socket or a device, which would be waited for.
    """
    try:
        real = path.resolve()
        return real.stat().st_mtime if real.is_relative_to(folder.resolve()) and real.is_file() else None
    except (OSError, RuntimeError):  # it has just gone; a link in a circle (Python before 3.13)
        return None
