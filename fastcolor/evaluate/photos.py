"""The photos of an evaluation: each is made grey, coloured by all that is compared, and judged."""

import os
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fastcolor.color.aging import age
from fastcolor.color.fullsize import recolor
from fastcolor.color.lab import grey_of, rgb_to_lab
from fastcolor.colorize.colorizer import Colorizer
from fastcolor.errors import UnreadablePhoto, UserError
from fastcolor.evaluate.hints import drawn_hints
from fastcolor.files import progress_bar
from fastcolor.photo.read import open_photo
from fastcolor.weights import weights_file

Judged = tuple[list[dict], list[tuple[Path, str]]]
"""A row of figures for each photo and system, and the photos that could not be read, with the reason."""

Painter = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From a photo's grey, `(H, W)`, and the photo itself, `(H, W, 3)`, to the picture that is judged; all uint8 sRGB."""


@dataclass(frozen=True)
class Exam:
    """What is compared, and how; see the command's flags."""

    weights: str | None
    against: str | None
    counts: Sequence[int]  # of hints
    look: dict  # size, strength, chroma
    lpips: str
    frechet: str
    aged: bool

    def systems(self) -> dict[str, Painter]:
        """See `painters_of`."""
        return painters_of(self.weights, self.against, self.counts, **self.look)


def painters_of(
    weights: str | None, against: str | None, counts: Sequence[int] = (0,), **options
) -> dict[str, Painter]:
    """What is judged, by name: grey, the weights and the weights `against` with each number of hints, real."""
    if against is not None and _same_file(weights_file(against), weights_file(weights)):
        raise UserError(f"{against} would be compared with itself: give other weights as --against")

    def colored_by(colorizer: Colorizer, count: int) -> Painter:
        if count:
            colorizer.listener  # noqa: B018 (it raises for weights that take no hints)
        return lambda grey, real: colorizer.pixels(
            grey if colorizer.keeps_light else real, hints=drawn_hints(real, count)
        )

    files = {"bundled" if weights is None else weights: weights, **({against: against} if against else {})}
    short = {name: "/".join(Path(name).with_suffix("").parts[-2:]) for name in files}
    labels = short if len(set(short.values())) == len(files) else {name: name for name in files}
    grey_and_real = {"grey": lambda grey, real: np.dstack([grey] * 3), "real": lambda grey, real: real}
    loaded = {labels[name]: Colorizer(file, **options) for name, file in files.items()}
    colored = {
        with_hints(name, count): colored_by(colorizer, count) for name, colorizer in loaded.items() for count in counts
    }
    return {"grey": grey_and_real["grey"], **colored, "real": grey_and_real["real"]}


def with_hints(name: str, count: int) -> str:
    """What weights with a number of hints are called."""
    return f"{name}, {count} hint{'s' * (count > 1)}" if count else name


def _same_file(first: Path, second: Path) -> bool:
    try:
        return os.path.samefile(first, second)
    except (OSError, ValueError):  # one is missing, or has an impossible name
        return first == second


class Examiner:
    """Has photos coloured by all `systems`, and judges the results, one photo after the other."""

    def __init__(self, systems: dict[str, Painter], judge, aged: bool):
        self._systems, self._judge, self._aged, self._is_warm = systems, judge, aged, False

    def __call__(self, data: Path, photo: Path) -> list[dict]:
        """A row of figures for each system. Raises UnreadablePhoto."""
        grey, real = open_pair(data, photo, self._aged)
        if not self._is_warm:  # a network's first call is slower, as it sets things up
            for system in self._systems.values():
                system(grey, real)
            self._is_warm = True
        rows = []
        for name, system in self._systems.items():
            begin = time.perf_counter()
            fake = system(grey, real)
            seconds = None if name in ("grey", "real") else time.perf_counter() - begin
            about = {"file": str(photo), "system": name, "width": real.shape[1], "height": real.shape[0]}
            rows.append({**about, **self._judge(fake, real), "seconds": seconds})
        return rows


def judge_photos(data: Path, photos: list[Path], systems: dict[str, Painter], judge, aged: bool = False) -> Judged:
    """Judge photos, relative to the folder `data`, one after the other."""
    examine, rows, unreadable = Examiner(systems, judge, aged), [], []
    for photo in progress_bar(photos):
        try:
            rows += examine(data, photo)
        except UnreadablePhoto as error:
            unreadable.append((photo, error.reason))
    return rows, unreadable


def open_pair(data: Path, photo: Path | str, aged: bool) -> tuple[np.ndarray, np.ndarray]:
    """What a network gets of a photo, neutral grey of the same lightness `(H, W)`, and the photo `(H, W, 3)`; uint8.

    If `aged`, an old print of it, always the same, and the photo's own colours with the print's lightness. Raises
    UnreadablePhoto.
    """
    real = np.array(open_photo(data / photo))
    rgb = torch.from_numpy(real).permute(2, 0, 1)
    if not aged:
        return grey_of(rgb).numpy(), real
    grey = age(rgb[None], zlib.crc32(os.fsencode(photo)))[0, 0].numpy()
    return grey, recolor(grey, rgb_to_lab(rgb)[1:].numpy())
