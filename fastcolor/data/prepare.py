"""What has to be done before a run's photos can be loaded: draw the sample, choose photos, decode and split them.

This module writes into the run folder, and deletes what was made with other settings.
"""

import hashlib
import json
import shutil
from collections.abc import Collection
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from fastcolor.data.cache import Squares, open_cache, take
from fastcolor.data.photos import file_stamp, side_of, squares_of
from fastcolor.data.split import COLORLESS, UNREADABLE, read_split, write_split
from fastcolor.errors import UserError
from fastcolor.photo.folders import find_photos, write_unreadable
from fastcolor.photo.tone import is_in_color
from fastcolor.runs.run import Run
from fastcolor.scenes.folder import write_scenes
from fastcolor.scenes.landscapes import draw_scene
from fastcolor.scenes.paintings import draw_painting

FEWEST = 8  # photos: with fewer there is too little to learn from, and too little to hold out
PALEST = 2.6  # of `is_in_color`: misty photos have more, most sepia less
SAMPLE_COUNT, SAMPLE_SIDE = 320, 128  # drawn scenes, and their side in pixels


def prepare_photos(run: Run, needs_color: bool = True) -> None:
    """Prepare a run's photos, as far as they are not: draw the sample, choose the photos, decode and split them.

    With `needs_color`, grey and toned photos are left out: nothing can be learned from them. What other settings have
    left is deleted first. Raises UserError if there are too few photos; of a run that could not begin, nothing is left.
    """
    run.first(lambda: _prepare(run, needs_color))


def _prepare(run: Run, needs_color: bool) -> None:
    folder = run.folder
    if folder.path.resolve().is_relative_to(run.photos.resolve()):
        raise UserError(f"the run folder {folder.path} lies in the photo folder {run.photos}: give another --run")
    if not run.settings.is_sample and not run.photos.is_file():
        find_photos(run.photos)  # before anything is made or deleted
    with folder.held():
        was_new = all(entry.name == ".lock" for entry in folder.path.iterdir())
        try:
            if run.is_changed:
                folder.clear()
                folder.begin(run.settings)
            folder.save()
            if run.settings.is_sample:
                draw_sample(run)
            split = read_split(folder.split) or split_photos(run, needs_color)
            trained_on = sum(part == "train" for part in split.values())
            if isinstance(run.bs, int) and run.bs > trained_on:
                raise UserError(f"--bs must be {trained_on} or less, the number of training photos, not {run.bs}")
            note_data(run, list(split))
        except UserError:
            if was_new:  # else the next try would find the settings of this one
                shutil.rmtree(folder.path, ignore_errors=True)
            raise


def draw_sample(run: Run) -> None:
    """Draw scenes into the run's sample folder; with two `--folders`, paintings of other scenes into the second.

    Raises UserError for any other number of folders.
    """
    if not run.settings.folders:
        write_scenes(run.photos, SAMPLE_COUNT, SAMPLE_SIDE)
        return
    folders = run.settings.folders.split(",")
    if len(folders) != 2:
        raise UserError(
            f"--folders must name two folders for the drawn sample (photos,paintings), not {run.settings.folders}: "
            "or give --data"
        )
    for seed, (folder, draw) in enumerate(zip(folders, (draw_scene, draw_painting), strict=True)):
        write_scenes(run.photos / folder, SAMPLE_COUNT // 2, SAMPLE_SIDE, seed, draw)


def split_photos(run: Run, needs_color: bool) -> dict[str, str]:
    """Decode the photos that the settings choose, list those that can't be read, and write the split.

    Returns the part of each photo by its name. Raises UserError if there are too few photos.
    """
    names = choose_photos(run)
    squares, unreadable = squares_of(run, names)
    report_unreadable(run, unreadable, names)
    left_out = {row: UNREADABLE for row, _ in unreadable}
    if needs_color:
        left_out |= dict.fromkeys(colorless_rows(run, squares, len(names), left_out), COLORLESS)
    return write_split(run, names, squares, left_out)


def colorless_rows(run: Run, squares: Squares, count: int, unreadable: Collection[int]) -> list[int]:
    """The readable rows without colours of their own, which are counted aloud. Raises UserError if too few others are
    left.
    """
    readable, cpu = [row for row in range(count) if row not in unreadable], torch.device("cpu")
    found = [row for row in readable if not is_in_color(take(squares, [row], cpu)[0, ..., 1:].numpy(), PALEST)]
    if found:
        print(f"{len(found):,} of {count:,} photos left out, as they are grey or sepia, see {run.folder.split}")
    if len(readable) - len(found) < FEWEST:
        raise UserError(
            f"of {count:,} photos in {run.photos} only {len(readable) - len(found)} are in colour, the others are grey "
            f"or sepia: training needs at least {FEWEST}"
        )
    return found


def choose_photos(run: Run) -> list[str]:
    """The names of the run's photos, sorted: all, or those that `--folders` and `--limit` choose (at random, seeded).

    Raises UserError for a folder without photos, and for a cache file of another choice.
    """
    folders, limit = run.settings.folders, run.settings.limit
    is_cache = run.photos.is_file()
    held = names = (
        open_cache(run.photos, side_of(run))[0] if is_cache else [str(path) for path in find_photos(run.photos)]
    )
    if folders:
        by_folder = {folder: [name for name in names if Path(name).parts[0] == folder] for folder in folders.split(",")}
        for folder, found in by_folder.items():
            if not found:
                raise UserError(f"{run.photos / folder} holds no photos: give --folders that are below --data")
        names = sorted(chain.from_iterable(by_folder.values()))
    if limit:
        picked = np.random.default_rng(run.settings.seed).permutation(len(names))[:limit]
        names = [names[i] for i in sorted(picked)]
    if is_cache and names != held:
        raise UserError(
            f"{run.photos} was made from other photos than --folders and --limit choose: make it with the same flags"
        )
    return names


def report_unreadable(run: Run, unreadable: list[tuple[int, str]], names: list[str]) -> None:
    """Write the list of photos that can't be read. Raises UserError if fewer than FEWEST can be."""
    count = len(names)
    write_unreadable(run.folder.unreadable, [(Path(names[row]), reason) for row, reason in unreadable])
    if unreadable:
        print(f"{len(unreadable):,} of {count:,} photos left out, see {run.folder.unreadable}")
    if count - len(unreadable) < FEWEST:
        first = f"; {names[unreadable[0][0]]} {unreadable[0][1]}" if unreadable else ""
        raise UserError(
            f"{run.photos} holds {count - len(unreadable)} readable photos{first}: training needs at least {FEWEST}"
        )


def note_data(run: Run, names: list[str]) -> None:
    """Note in config.json how many photos there are, and SHA-256 of their names and file sizes, grey partners' too."""
    grey = run.settings.grey
    files = (
        [run.photos]
        if run.photos.is_file()
        else [Path(top, name) for top in (run.photos, grey) if top for name in names]
    )
    sizes = [file_stamp(file)[0] for file in files]
    found = {"photos": len(names), "sha256": hashlib.sha256(json.dumps([names, sizes]).encode()).hexdigest()}
    if run.folder.config.get("data", found) != found:
        print(f"note: the photos in {run.photos} have changed since the run began: it goes on with those there are now")
    run.folder.config["data"] = found
    run.folder.save()
