"""The photos of a run, loaded: squares of one size, decoded once, and which of them are held out."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from fastcolor.color.grey import grey_photo
from fastcolor.data.cache import OnDemand, Squares, cache_of, cached, open_cache, resident, unreadable_rows
from fastcolor.data.split import LEFT_OUT, read_split
from fastcolor.errors import UnreadablePhoto, UserError
from fastcolor.photo.read import halves, open_photo
from fastcolor.runs.run import Run

MARGIN = 1.125  # photos are kept an eighth larger than the training size, so that crops differ
PLACE = (0.5, 0.1)  # of the square, across and down: the middle of somebody who stands shows no face


@dataclass
class Photos:
    """All photos of a run: their squares, `(N, side, side, 4)` uint8 (grey, R, G, B), their names, and the split."""

    squares: Squares
    names: list[str]
    train: np.ndarray  # rows
    valid: np.ndarray  # rows


def load_photos(run: Run) -> Photos:
    """The photos of a run that `prepare_photos` has prepared, from the cache where there is one.

    Raises UserError for photos that have gone, or can't be read any more, since the split was made.
    """
    split = read_split(run.folder.split)
    names = list(split)
    squares, unreadable = squares_of(run, names, is_checked=True)
    for row, reason in unreadable:
        if split[names[row]] != LEFT_OUT:
            raise UserError(
                f"{run.photos / names[row]} {reason}, but the run needs it: put it back, or give another --run"
            )
    rows = {name: row for row, name in enumerate(names)}
    parts = {part: np.array([rows[n] for n, p in split.items() if p == part]) for part in ("train", "valid")}
    np.random.default_rng(run.settings.seed).shuffle(
        parts["valid"]
    )  # the first few of them, by name, would be all of one kind
    return Photos(resident(squares, run.machine.device), names, **parts)


def squares_of(run: Run, names: list[str], is_checked: bool = False) -> tuple[Squares, list[tuple[int, str]]]:
    """The photos `names`, from the cache or on demand, and which rows could not be read (on demand: unless `is_checked`)."""
    settings, side = run.settings, side_of(run)
    grey = Path(settings.grey) if settings.grey else None
    if run.photos.is_file():
        _, squares, unreadable = open_cache(run.photos, side)
        return squares, unreadable

    def decode(row: int) -> np.ndarray:
        photo = run.photos / names[row]
        return _square(
            side, *(_halves(photo) if settings.pairs else _with_grey(photo, grey and grey / names[row], side))
        )

    if run.cache is None:
        if is_checked:
            unreadable = []
        else:
            print(f"looking through {len(names):,} photos of {run.photos} (--no-cache: every epoch decodes them again)")
            unreadable = unreadable_rows(decode, len(names))
        return OnDemand(decode, len(names), side), unreadable
    stamps = [
        PLACE,
        *([name, file_stamp(run.photos / name), file_stamp(grey / name) if grey else None] for name in names),
    ]
    chosen = {name: value for name in ("limit", "folders", "pairs") if (value := getattr(settings, name))}
    chosen |= {"seed": settings.seed} if settings.limit else {}
    folder = cache_of(run.cache, run.photos, side=side, grey=settings.grey, **chosen)
    return cached(folder, run.photos, names, stamps, decode, side)


def file_stamp(path: Path) -> list[int]:
    """Size in bytes and time of change in nanoseconds; zeros for a file that isn't there."""
    try:
        status = path.stat()
    except OSError:
        return [0, 0]
    return [status.st_size, status.st_mtime_ns]


def side_of(run: Run) -> int:
    """Side in pixels of the squares that are kept for this run."""
    return round(run.settings.size * MARGIN)


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
    return np.dstack(
        [ImageOps.fit(image, (side, side), Image.Resampling.BOX, centering=PLACE) for image in (grey, color)]
    )
