"""Your own colours: hints, the files that keep them, and what a network is told of them.

    hints = [Hint(0.4, 0.6, "#2b4c9b"), Hint(0.1, 0.2, "white", radius=0.1)]
    fastcolor.predict("old.jpg", hints=hints)
    write_hints(hints_file("old.jpg"), hints)    # `fastcolor colorize` reads it by itself

`PHOTO.hints.json`, beside the photo, keeps them: UTF-8 JSON, one object with `version`, 1, and `hints`, a list of
objects with `x`, `y`, `color` and `radius` as in `Hint`; a and b are a list of two numbers, `radius` may be left out.
Those of a film have its `time`, too: see `FilmHint`; or `time` and `like`, a photo's name: see `FilmLike`.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from PIL import ImageColor

from fastcolor.color.cie import AB_RANGE, ab_of
from fastcolor.color.fullsize import ab_in_gamut
from fastcolor.errors import UserError, one_line
from fastcolor.files import write_whole
from fastcolor.photo.folders import HINTS

VERSION = 1
"""The version of the layout of `PHOTO.hints.json`; a file with a newer one is refused."""
MOST_HINTS = 500
"""Of one photo: as the network sees it, there is no room for more."""
MOST_BYTES = 1 << 20  # of a file: MOST_HINTS take a tenth
RADIUS = 0.04
"""The default reach of a hint, a share of the photo's short side."""
PULLED = 0.95  # a colour that keeps less of its chroma than this at a photo's lightness was pulled in, and it is said


@dataclass(frozen=True)
class Hint:
    """A colour at a place of a photo. Its own lightness plays no part: the photo keeps its light.

    `x` and `y` are shares of the width and height of the upright photo, 0 to 1, from its left upper corner. `color` is
    hex ("#2b4c9b"), a CSS name ("navy"; greys are colours too), or (a, b) of CIE Lab. `radius` is how far it reaches
    over what has the same light, as a share of the short side, up to 1. Raises UserError for anything else.
    """

    x: float
    y: float
    color: str | tuple[float, float]
    radius: float = RADIUS

    def __post_init__(self):
        check_place(self.x, self.y)
        if not _is_number(self.radius, 0, 1):
            raise UserError(f"a hint's radius must be a number from 0 to 1, not {one_line(self.radius)}")
        if isinstance(self.color, list):  # as JSON has it
            object.__setattr__(self, "color", tuple(self.color))
        ab = self.ab
        plain = {"x": float(self.x), "y": float(self.y), "radius": float(self.radius)}  # numpy's numbers are no JSON
        for name, value in (plain if isinstance(self.color, str) else {**plain, "color": ab}).items():
            object.__setattr__(self, name, value)

    @property
    def ab(self) -> tuple[float, float]:
        """a and b of CIE Lab of its colour."""
        color = self.color
        if isinstance(color, str):
            try:
                return tuple(float(each) for each in ab_of(np.uint8(ImageColor.getrgb(color)[:3])))
            except ValueError:
                pass
        elif isinstance(color, tuple) and [_is_number(each, -AB_RANGE, AB_RANGE) for each in color] == [True, True]:
            return float(color[0]), float(color[1])
        what = f"hex (#2b4c9b), a CSS name (navy), or a and b from -{AB_RANGE:g} to {AB_RANGE:g}"
        raise UserError(f"a hint's colour must be {what}, not {one_line(color) if color else repr(color)}")


@dataclass(frozen=True)
class FilmHint(Hint):
    """A hint in a film: what is at its place at `time`, in seconds, has its colour from cut to cut, wherever it moves.

    Hints for the same thing at several moments of a scene: its colour changes at the moments of the later ones.
    """

    time: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        _check_time(self.time)
        object.__setattr__(self, "time", float(self.time))


@dataclass(frozen=True)
class FilmLike:
    """In a film: the scene that is seen at `time`, in seconds, has colours like those of a photo, where both are alike.

    `like` is the file of a photo in colour; in a file of hints its path from there.
    """

    like: str
    time: float = 0.0

    def __post_init__(self):
        _check_time(self.time)
        object.__setattr__(self, "time", float(self.time))
        if not isinstance(self.like, str | os.PathLike):
            raise UserError(f"like must be the name of a photo, not {one_line(self.like)}")


def _check_time(time: float) -> None:
    if not _is_number(time, 0, float("inf")):
        raise UserError(f"a hint's time must be seconds, 0 or more, not {one_line(time)}")


def check_place(x: float, y: float) -> None:
    """Raise UserError for a place outside the photo, or none."""
    for name, value in (("x", x), ("y", y)):
        if not _is_number(value, 0, 1):
            what = "a number from 0 to 1, a share of the photo's side"
            raise UserError(f"a place's {name} must be {what}, not {one_line(value)}")


def _is_number(value: object, least: float, most: float) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and least <= value <= most


def check_hints(hints: Sequence[Hint | FilmLike], kinds: tuple[type, ...] = (Hint,)) -> None:
    """Raise UserError for too many hints, or things that are none of these kinds."""
    if not isinstance(hints, Sequence):
        raise UserError(f"hints must be a list of fastcolor.{kinds[0].__name__}, not one {type(hints).__name__}")
    if len(hints) > MOST_HINTS:
        raise UserError(f"{len(hints):,} hints are too many for one photo: give at most {MOST_HINTS}")
    for hint in hints:
        if not isinstance(hint, kinds):
            raise UserError(f"hints must be a list of fastcolor.{kinds[0].__name__}, not of {type(hint).__name__}")


def hints_file(photo: str | Path) -> Path:
    """Where a photo's hints are kept: `PHOTO.hints.json`, beside it."""
    return Path(f"{os.fspath(photo)}{HINTS}")


def read_hints(path: str | Path, kind: type[Hint] = Hint) -> list[Hint | FilmLike]:
    """The hints, of this `kind`, in a file that `write_hints` wrote; of films also `FilmLike`.

    Raises UserError for a missing, damaged, foreign or newer one.
    """
    try:
        if not os.path.isfile(path):  # reading a pipe would wait for ever
            raise UserError(f"{path} is no file: give a {HINTS} file")
        if os.path.getsize(path) > MOST_BYTES:
            raise ValueError("it is too large")
        held = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(held, dict):
            raise TypeError("it has no version")
        version, hints = held["version"], held["hints"]
        if type(version) is int and version > VERSION:
            raise UserError(f"{path} was written by a newer fastcolor: upgrade this one to use it")
        if type(version) is not int or version != VERSION or not isinstance(hints, list):
            raise ValueError("version or hints are wrong")
    except OSError as error:
        raise UserError(f"{path} can't be read ({one_line(error.strerror or error)}): check its permissions") from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(f"{path} holds no hints ({one_line(error)}): {_REMEDY}") from None
    try:
        made = [(FilmLike if kind is FilmHint and "like" in each else kind)(**each) for each in hints]
        check_hints(made, (kind, FilmLike))
    except TypeError:
        more = "or like, may have time and" if kind is FilmHint else "may have"
        what = f"each hint needs x, y and color, {more} radius, and nothing else"
        raise UserError(f"{path}: {what}: {_REMEDY}") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    beside = Path(path).parent
    return [replace(each, like=str(beside / each.like)) if isinstance(each, FilmLike) else each for each in made]


_REMEDY = "mend or delete it"


def write_hints(path: str | Path, hints: Sequence[Hint]) -> None:
    """Write hints into a file, whole or not at all; see the top of this module. Raises UserError for too many."""
    check_hints(hints)
    content = {"version": VERSION, "hints": [asdict(hint) for hint in hints]}
    with write_whole(path, lasting=True) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def pulled_in(hints: Sequence[Hint], lightness: np.ndarray) -> list[str]:
    """A sentence for each hint whose colour does not exist at the photo's lightness there, `(h, w)`."""
    height, width = lightness.shape
    notes = []
    for hint in hints:
        light = lightness[min(int(hint.y * height), height - 1), min(int(hint.x * width), width - 1)]
        wanted = np.float32(hint.ab)[:, None]
        found = ab_in_gamut(np.float32([light]), wanted)
        if np.hypot(*found) < PULLED * np.hypot(*wanted):
            color = hint.color if isinstance(hint.color, str) else "a {:.0f}, b {:.0f}".format(*hint.color)
            what = f"the photo is too {'dark' if light < 50 else 'light'} for {color} at {hint.x:.2f}, {hint.y:.2f}"
            notes.append(f"{what}: the colour became paler")
    return notes
