"""The photos of a run: which ones, decoded to squares of one size, and which of them are held out.

The split is written down once per run and kept by all stages, so that no held-out photo is ever trained on, nor a near
duplicate of one.
"""

import hashlib
import json
import shutil
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from fastcolor.color.grey import grey_photo
from fastcolor.data.cache import OnDemand, Squares, cache_of, cached, open_cache, resident, unreadable_rows
from fastcolor.data.split import LEFT_OUT, read_split, write_split
from fastcolor.errors import UnreadablePhoto, UserError
from fastcolor.photo.folders import find_photos, write_unreadable
from fastcolor.photo.read import halves, open_photo
from fastcolor.runs.run import SAMPLE_COUNT, SAMPLE_SIDE, Run
from fastcolor.scenes.folder import write_scenes
from fastcolor.scenes.landscapes import draw_scene
from fastcolor.scenes.paintings import draw_painting

MARGIN = 1.125  # photos are kept an eighth larger than the training size, so that crops differ
PLACE = (0.5, 0.1)  # of the square, across and down: the middle of somebody who stands shows no face
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
    if not run.is_sample and not run.photos.is_file():
        find_photos(run.photos)  # before anything is made or deleted
    with run.held():
        was_new = all(entry.name == ".lock" for entry in run.path.iterdir())
        try:
            if run.is_changed:
                run.clear()
            run.save()
            return _prepare(run)
        except UserError:
            if was_new:  # nothing was begun: leave no folder behind that a better try would trip over
                shutil.rmtree(run.path, ignore_errors=True)
            raise


def _prepare(run: Run) -> Photos:
    if run.is_sample:
        _draw_sample(run)
    split = read_split(run)
    names = list(split) if split else _choose(run)
    squares, unreadable = _squares(run, names, is_checked=bool(split))
    if not split:
        _report_unreadable(run, unreadable, names)
        split = write_split(run, names, squares, {row for row, _ in unreadable})
    for row, reason in unreadable:
        if split[names[row]] != LEFT_OUT:
            raise UserError(f"{run.photos / names[row]} {reason}, but the run needs it: put it back, or give another --run")
    rows = {name: row for row, name in enumerate(names)}
    parts = {part: np.array([rows[n] for n, p in split.items() if p == part]) for part in ("train", "valid")}
    np.random.default_rng(run.seed).shuffle(parts["valid"])  # the first few of them, by name, would be all of one kind
    if isinstance(run.bs, int) and run.bs > len(parts["train"]):
        raise UserError(f"--bs {run.bs} is larger than the {len(parts['train'])} training photos: give at most that")
    _note_data(run, names)
    return Photos(squares, names, **parts)


def _note_data(run: Run, names: list[str]) -> None:
    """Write into config.json what tells these photos from others: how many, and SHA-256 of their names and of the files'
    sizes in bytes, grey partners' too."""
    grey = run.settings["grey"]
    files = [run.photos] if run.photos.is_file() else [Path(top, name) for top in (run.photos, grey) if top for name in names]
    sizes = [file_stamp(file)[0] for file in files]
    found = {"photos": len(names), "sha256": hashlib.sha256(json.dumps([names, sizes]).encode()).hexdigest()}
    if run.config.get("data", found) != found:
        print(f"note: the photos in {run.photos} are not the same as when the run was begun: it goes on with those that are there")
    run.config["data"] = found
    run.save()


def _draw_sample(run: Run) -> None:
    """Scenes in the run folder's `sample`; for a recipe that asks for two folders, paintings of other scenes in the second."""
    if not run.settings["folders"]:
        write_scenes(run.photos, SAMPLE_COUNT, SAMPLE_SIDE)
        return
    folders = run.settings["folders"].split(",")
    if len(folders) != 2:
        raise UserError(f"--folders {run.settings['folders']}: the drawn sample set has two, photos and paintings: give --data, or two names")
    for seed, (folder, draw) in enumerate(zip(folders, (draw_scene, draw_painting), strict=True)):
        write_scenes(run.photos / folder, SAMPLE_COUNT // 2, SAMPLE_SIDE, seed, draw)


def _choose(run: Run) -> list[str]:
    """Names of the photos, or of the `--limit` of them that the seed picks, sorted."""
    is_cache = run.photos.is_file()
    held = names = open_cache(run.photos, _side(run))[0] if is_cache else [str(path) for path in find_photos(run.photos)]
    if run.settings["folders"]:
        wanted = run.settings["folders"].split(",")
        by_folder = {folder: [name for name in names if Path(name).parts[0] == folder] for folder in wanted}
        for folder, found in by_folder.items():
            if not found:
                raise UserError(f"{run.photos / folder} holds no photos: give --folders that are below --data")
        names = sorted(chain.from_iterable(by_folder.values()))
    if run.settings["limit"]:
        picked = np.random.default_rng(run.seed).permutation(len(names))[: run.settings["limit"]]
        names = [names[i] for i in sorted(picked)]
    if is_cache and names != held:
        raise UserError(f"{run.photos} holds other photos than --folders and --limit choose: make the cache file with those")
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


def _squares(run: Run, names: list[str], is_checked: bool) -> tuple[Squares, list[tuple[int, str]]]:
    """The photos `names`, from the cache or on demand, and which rows could not be read (on demand: unless `is_checked`)."""
    side = _side(run)
    grey, pairs = Path(run.settings["grey"]) if run.settings["grey"] else None, run.settings["pairs"]
    if run.photos.is_file():
        _, squares, unreadable = open_cache(run.photos, side)
        return resident(squares, run.device), unreadable

    def decode(row: int) -> np.ndarray:
        photo = run.photos / names[row]
        return _square(side, *(_halves(photo) if pairs else _with_grey(photo, grey and grey / names[row], side)))

    if run.cache is None:
        if is_checked:
            unreadable = []
        else:
            print(f"looking through {len(names):,} photos of {run.photos} (--no-cache: every epoch decodes them again)")
            unreadable = unreadable_rows(decode, len(names))
        return OnDemand(decode, len(names), side), unreadable
    stamps = [PLACE, *([name, file_stamp(run.photos / name), file_stamp(grey / name) if grey else None] for name in names)]
    chosen = {name: run.settings[name] for name in ("limit", "folders", "pairs") if run.settings[name]}
    chosen |= {"seed": run.seed} if run.settings["limit"] else {}
    folder = cache_of(run, run.photos, side=side, grey=run.settings["grey"], **chosen)
    squares, unreadable = cached(folder, run.photos, names, stamps, decode, side)
    return resident(squares, run.device), unreadable


def file_stamp(path: Path) -> list[int]:
    """Size in bytes and time of change in nanoseconds; zeros for a file that isn't there."""
    try:
        status = path.stat()
    except OSError:
        return [0, 0]
    return [status.st_size, status.st_mtime_ns]


def _side(run: Run) -> int:
    """Side in pixels of the squares that are kept for this run."""
    return round(run.size * MARGIN)


def _with_grey(color: Path, grey: Path | None, side: int) -> tuple[Image.Image, Image.Image]:
    """A photo's grey partner, or its own grey, and the photo."""
    if grey is None:
        photo = open_photo(color, least=2 * side)  # twice the side: what is left to reduce then smooths as it should
        return grey_photo(photo), photo
    photo = open_photo(color)
    if not grey.exists():
        raise UnreadablePhoto(color, f"has no grey partner {grey}")
    partner = open_photo(grey)
    if partner.size != photo.size:
        raise UnreadablePhoto(color, f"is {photo.size} pixels, its grey partner {grey} {partner.size}")
    return grey_photo(partner), photo


def _halves(picture: Path) -> tuple[Image.Image, Image.Image]:
    """The grey left and the colour right half of an A|B picture."""
    left, right = halves(picture)
    return grey_photo(left), right


def _square(side: int, grey: Image.Image, color: Image.Image) -> np.ndarray:
    """A square of grey and colour, `(side, side, 4)` uint8: the middle of wide photos, the upper part of tall ones."""
    return np.dstack([ImageOps.fit(image, (side, side), Image.Resampling.BOX, centering=PLACE) for image in (grey, color)])
