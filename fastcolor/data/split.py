"""Which photos are trained on, and which are held out: written once, into split.csv, and used by all stages."""

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fastcolor.data.cache import Squares, take
from fastcolor.errors import UserError
from fastcolor.files import is_inside, write_csv
from fastcolor.photo.likeness import alike, fingerprint
from fastcolor.runs.run import Run

VALID_SHARE, VALID_MOST = 0.1, 500  # a tenth is held out, at most 500: enough for steady figures
UNREADABLE, COLORLESS = "unreadable", "colourless"  # left out
PARTS = ("train", "valid", "test", UNREADABLE, COLORLESS)  # the values in split.csv


def read_split(path: Path) -> dict[str, str]:
    """The part (one of PARTS) of each photo by its name, from a run's split.csv; empty if there is no file yet.

    Raises UserError for a damaged file.
    """
    if not path.exists():
        return {}
    try:
        with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
            split = {row["file"]: row["part"] for row in csv.DictReader(file)}
    except (KeyError, csv.Error):
        split = {}
    if not split or not all(is_inside(name) and part in PARTS for name, part in split.items()):
        raise UserError(f"{path} is damaged or not a run's split: begin anew with another --run")
    return split


def write_split(run: Run, names: list[str], squares: Squares, left_out: dict[int, str]) -> dict[str, str]:
    """Split the photos at random, seeded, and write split.csv. Returns the part of each photo by its name.

    `left_out` are rows that have their part already.

    From each top folder the same share is held out. Near duplicates stay in the same part.
    """
    usable = [row for row in range(len(names)) if row not in left_out]
    shares = {"test": run.settings.test, "valid": max(min(VALID_SHARE, VALID_MOST / len(usable)), 2 / len(usable))}
    folders = defaultdict(list)
    for group in _groups(squares, usable):
        folders[Path(names[group[0]]).parts[:-1][:1]].append(group)
    rng = np.random.default_rng(run.settings.seed)
    part_of = left_out | dict.fromkeys(usable, "train")
    owed = dict.fromkeys(shares, 0.0)  # photos; what one folder lacks, the next one makes up for
    for groups in folders.values():
        groups = [groups[i] for i in rng.permutation(len(groups))]
        count = sum(map(len, groups))
        for part, share in shares.items():
            owed[part] += share * count
            while groups and owed[part] >= 0.5:
                group = groups.pop()
                part_of |= dict.fromkeys(group, part)
                owed[part] -= len(group)
    split = {name: part_of[row] for row, name in enumerate(names)}
    write_csv(run.folder.split, ("file", "part"), split.items())
    return split


def _groups(squares: Squares, rows: list[int]) -> list[list[int]]:
    """The rows in groups that show nearly the same."""
    cpu = torch.device("cpu")
    prints = [fingerprint(Image.fromarray(take(squares, [row], cpu)[0, ..., 1:].numpy())) for row in rows]
    groups = {i: [row] for i, row in enumerate(rows)}
    for first, other, *_ in alike(prints):
        groups[first] += groups.pop(other)
    if max(map(len, groups.values())) > len(rows) / 2:  # frames of a film, say: nothing could be held out
        return [[row] for row in rows]
    return list(groups.values())
