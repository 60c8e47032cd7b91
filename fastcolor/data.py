"""The photos of a run: which ones, decoded to squares of one size, and which of them are held out.

The split is written down once per run and kept by all stages, so that no validation photo is ever trained on.
"""

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from fastcolor.cache import OnDemand, Squares, cache_of, cached, resident, unreadable_rows
from fastcolor.errors import UnreadablePhoto, UserError
from fastcolor.files import find_photos, open_photo, write_csv, write_unreadable
from fastcolor.prep.greyscale import grey_photo
from fastcolor.run import SAMPLE_COUNT, SAMPLE_SIDE, Run
from fastcolor.scenes import write_scenes

MARGIN = 1.125  # photos are kept an eighth larger than the training size, so that crops differ
VALID_SHARE, VALID_MOST = 0.1, 500  # a tenth is held out, but no more than give steady figures
LEFT_OUT = "unreadable"  # what stands in split.csv instead of train or valid
FEWEST = 8  # photos: below it there is nothing to learn from and nothing to hold out


@dataclass
class Photos:
    """All photos of a run: their squares, `(N, side, side, 4)` uint8 (grey, R, G, B), their names, and the split."""

    squares: Squares
    names: list[str]
    train: np.ndarray  # rows
    valid: np.ndarray  # rows


def load_photos(run: Run) -> Photos:
    """The photos of a run, prepared as far as they are not yet: sample drawn, decoded, split written.

    Raises UserError for a folder without enough readable photos and for photos that have gone since the split.
    """
    if run.path.resolve().is_relative_to(run.photos.resolve()):
        raise UserError(f"the run folder {run.path} lies in the photo folder {run.photos}: give another --run")
    is_new = not (run.path / "config.json").exists()
    if not run.is_sample:
        find_photos(run.photos)  # before anything is made or deleted
    if run.is_changed:
        run.clear()
    try:
        run.save()
        return _prepare(run)
    except UserError:
        if is_new:  # nothing was begun: leave no folder behind that a better try would trip over
            shutil.rmtree(run.path, ignore_errors=True)
        raise


def _prepare(run: Run) -> Photos:
    if run.is_sample:
        write_scenes(run.photos, SAMPLE_COUNT, SAMPLE_SIDE)
    split = _read_split(run)
    names = list(split) if split else _choose(run)
    squares, unreadable = _squares(run, names, is_checked=bool(split))
    if not split:
        _report_unreadable(run, unreadable, names)
        split = _write_split(run, names, {names[row] for row, _ in unreadable})
    for row, reason in unreadable:
        if split[names[row]] != LEFT_OUT:
            raise UserError(f"{run.photos / names[row]} {reason}, but the run needs it: put it back, or give another --run")
    rows = {name: row for row, name in enumerate(names)}
    parts = {part: np.array([rows[n] for n, p in split.items() if p == part]) for part in ("train", "valid")}
    np.random.default_rng(run.seed).shuffle(parts["valid"])  # the first few of them, by name, would be all of one kind
    if isinstance(run.bs, int) and run.bs > len(parts["train"]):
        raise UserError(f"--bs {run.bs} is larger than the {len(parts['train'])} training photos: give at most that")
    return Photos(squares, names, **parts)


def _choose(run: Run) -> list[str]:
    """Names of the photos, or of the `--limit` of them that the seed picks, sorted."""
    names = [str(path) for path in find_photos(run.photos)]
    if run.settings["limit"]:
        picked = np.random.default_rng(run.seed).permutation(len(names))[: run.settings["limit"]]
        names = [names[i] for i in sorted(picked)]
    return names


def _report_unreadable(run: Run, unreadable: list[tuple[int, str]], names: list[str]) -> None:
    count = len(names)
    write_unreadable(run.path / "unreadable.csv", [(Path(names[row]), reason) for row, reason in unreadable])
    if unreadable:
        print(f"{len(unreadable):,} of {count:,} photos left out, see {run.path / 'unreadable.csv'}")
    if count - len(unreadable) < FEWEST:
        first = f"; {names[unreadable[0][0]]} {unreadable[0][1]}" if unreadable else ""
        raise UserError(
            f"{run.photos} holds {count - len(unreadable)} readable photos{first}: training needs at least {FEWEST}"
        )


def _read_split(run: Run) -> dict[str, str]:
    path = run.path / "split.csv"
    if not path.exists():
        return {}
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return {row["file"]: row["part"] for row in csv.DictReader(file)}


def _write_split(run: Run, names: list[str], unreadable: set[str]) -> dict[str, str]:
    """Hold out a seeded tenth of the readable photos; once written, split.csv decides."""
    readable = [name for name in names if name not in unreadable]
    count = min(max(round(VALID_SHARE * len(readable)), 2), VALID_MOST)
    held_out = {readable[i] for i in np.random.default_rng(run.seed).permutation(len(readable))[:count]}
    split = {name: LEFT_OUT if name in unreadable else "valid" if name in held_out else "train" for name in names}
    write_csv(run.path / "split.csv", ("file", "part"), split.items())
    return split


def _squares(run: Run, names: list[str], is_checked: bool) -> tuple[Squares, list[tuple[int, str]]]:
    """The photos `names`, from the cache or on demand, and which rows could not be read (on demand: unless `is_checked`)."""
    side = round(run.size * MARGIN)
    grey = Path(run.settings["grey"]) if run.settings["grey"] else None

    def decode(row: int) -> np.ndarray:
        return _square(run.photos / names[row], grey and grey / names[row], side)

    if run.cache is None:
        if is_checked:
            unreadable = []
        else:
            print(f"looking through {len(names):,} photos of {run.photos} (--no-cache: every epoch decodes them again)")
            unreadable = unreadable_rows(decode, len(names))
        return OnDemand(decode, len(names), side), unreadable
    stamps = [[name, file_stamp(run.photos / name), file_stamp(grey / name) if grey else None] for name in names]
    chosen = {"limit": run.settings["limit"], "seed": run.seed} if run.settings["limit"] else {}
    folder = cache_of(run, run.photos, side=side, grey=run.settings["grey"], **chosen)
    squares, unreadable = cached(folder, run.photos, stamps, decode, len(names), side)
    return resident(squares, run.device), unreadable


def file_stamp(path: Path) -> list[int]:
    """Size in bytes and time of change in nanoseconds; zeros for a file that isn't there."""
    try:
        status = path.stat()
    except OSError:
        return [0, 0]
    return [status.st_size, status.st_mtime_ns]


def _square(color: Path, grey: Path | None, side: int) -> np.ndarray:
    """Centre square of a photo and its grey partner, or its own grey, `(side, side, 4)` uint8."""
    if grey is None:
        photo = open_photo(color, least=2 * side)  # twice the side: what is left to reduce then smooths as it should
        partner = grey_photo(photo)
    else:
        photo = open_photo(color)
        if not grey.exists():
            raise UnreadablePhoto(color, f"has no grey partner {grey}")
        partner = open_photo(grey)
        if partner.size != photo.size:
            raise UnreadablePhoto(color, f"is {photo.size} pixels, its grey partner {grey} {partner.size}")
        partner = grey_photo(partner)
    return np.dstack([ImageOps.fit(image, (side, side), Image.Resampling.BOX) for image in (partner, photo)])
