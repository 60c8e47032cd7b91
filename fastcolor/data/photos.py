"""The photos of a run, loaded: squares of one size, decoded once, and which of them are held out."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from fastcolor import processes
from fastcolor.color.grey import grey_photo
from fastcolor.data.cache import OnDemand, Squares, cache_of, cached, open_cache, resident, unreadable_rows
from fastcolor.data.split import COLORLESS, UNREADABLE, read_split
from fastcolor.errors import UnreadablePhoto, UserError
from fastcolor.photo.read import halves, open_photo
from fastcolor.runs.run import Run

MARGIN = 1.125  # squares are an eighth larger than the training size, so that crops differ
# Where a square is cut from a photo, across and down: near the top, as the middle of a standing person shows no face.
PLACE = (0.5, 0.1)


@dataclass
class Photos:
    """All photos of a run: their squares, `(N, side, side, 4)` uint8 (grey, R, G, B), their names, and the split."""

    squares: Squares
    names: list[str]
    train: np.ndarray  # rows
    valid: np.ndarray  # rows


def load_photos(run: Run) -> Photos:
    """The photos of a run, after `prepare_photos`; from the cache if there is one.

    Raises UserError for photos that are missing or can't be read, but could when the split was made.
    """
    split = read_split(run.folder.split)
    names = list(split)
    squares, unreadable = squares_of(run, names, is_checked=True)
    for row, reason in unreadable:
        if split[names[row]] not in (UNREADABLE, COLORLESS):
            raise UserError(
                f"{run.photos / names[row]} {reason}, but the run needs it: put it back, or give another --run"
            )
    rows = {name: row for row, name in enumerate(names)}
    parts = {part: np.array([rows[n] for n, p in split.items() if p == part]) for part in ("train", "valid")}
    # shuffled: the first few by name, which samples show, would all be of one kind
    np.random.default_rng(run.settings.seed).shuffle(parts["valid"])
    processes.wait()  # for those on other machines, which decode the photos for themselves
    return Photos(resident(squares, run.machine.device), names, **parts)


def squares_of(run: Run, names: list[str], is_checked: bool = False) -> tuple[Squares, list[tuple[int, str]]]:
    """The photos `names`, from the cache or on demand, and the rows that can't be read, with the reason.

    On demand, photos are looked through for unreadable ones unless `is_checked`; then no row is reported.
    """
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
    """Size in bytes and time of change in nanoseconds; zeros for a missing file."""
    try:
        status = path.stat()
    except OSError:
        return [0, 0]
    return [status.st_size, status.st_mtime_ns]


def side_of(run: Run) -> int:
    """The side, in pixels, of this run's squares."""
    return round(run.settings.size * MARGIN)


def _with_grey(color: Path, grey: Path | None, side: int) -> tuple[Image.Image, Image.Image]:
    """A photo's grey partner, or its own grey, and the photo."""
    if grey is None:
        photo = open_photo(color, least=2 * side)  # twice the side: the final reduction then smooths properly
        return grey_photo(photo), photo
    photo = open_photo(color)
    if not grey.exists():
        raise UnreadablePhoto(color, f"has no grey partner {grey}")
    partner = open_photo(grey)
    if partner.size != photo.size:
        raise UnreadablePhoto(color, f"is {photo.size} pixels, but its grey partner {grey} is {partner.size}")
    return grey_photo(partner), photo


def _halves(picture: Path) -> tuple[Image.Image, Image.Image]:
    """The two halves of an A|B picture: grey on the left, colour on the right."""
    left, right = halves(picture)
    return grey_photo(left), right


def _square(side: int, grey: Image.Image, color: Image.Image) -> np.ndarray:
    """Grey and colour as one square, `(side, side, 4)` uint8: the middle of wide photos, the top of tall ones."""
    return np.dstack(
        [ImageOps.fit(image, (side, side), Image.Resampling.BOX, centering=PLACE) for image in (grey, color)]
    )
