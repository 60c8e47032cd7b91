"""A photo that was handed in: its files, its settings, how far it is, and what its downloads are called."""

import itertools
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_urlsafe
from typing import NamedTuple

from fastcolor.colorize.hints import Hint
from fastcolor.colorize.plan import renamed
from fastcolor.runs.listing import SHIPPED

LOOK, RESULT, BESIDE = "look", "result", "beside"
"""What can be ordered of a photo: colours to see on the page; the coloured file; a file of before and after."""

WAITING, DONE, FAILED = "waiting", "done", "failed"
"""States, besides those of `color_all`."""


class Settings(NamedTuple):
    """How to colour a photo: the name of the weights, the render size (None: theirs), the strength 0..1, the points."""

    weights: str = SHIPPED
    size: int | None = None
    strength: float = 1.0
    hints: tuple[Hint, ...] = ()


@dataclass
class Handed:
    """A photo that was handed in. `id` is its key: who has it can see, change and remove the photo."""

    id: str
    name: str  # of the user's file, without folders; never part of a path here
    folder: Path  # of all its files: upload, small.npy, the look's colours, what was made to be downloaded
    settings: Settings
    address: str = ""  # who handed it in
    ticket: int = 0  # of the latest order; earlier ones that still wait are dropped
    state: str = WAITING
    sentence: str | None = None  # what went wrong, if it failed
    notes: list[str] = field(default_factory=list)  # what differs from the user's file
    version: int = 0  # of the colours that the page shows; 0: none yet
    shape: tuple[int, int] | None = None  # width, height
    made: dict[str, tuple[Settings, Path]] = field(default_factory=dict)  # of RESULT and BESIDE: how, and the file
    lock: threading.Lock = field(default_factory=threading.Lock)  # who changes its points holds it
    asked: float = field(default_factory=time.monotonic)

    @property
    def source(self) -> Path:
        """The file as it was handed in."""
        return self.folder / "upload"

    @property
    def small(self) -> Path:
        """Its pixels, reduced."""
        return self.folder / "small.npy"

    @property
    def whole(self) -> Path:
        """Its pixels, once somebody has looked at it closely."""
        return self.folder / "whole.npy"

    @property
    def colors(self) -> Path:
        """What `looks.picture` colours it with."""
        return self.folder / f"colors-{self.version}.npy"

    def ready(self, what: str) -> Path | None:
        """What can be downloaded, RESULT or BESIDE; None unless it was made by the settings of now."""
        settings, path = self.made.get(what, (None, None))
        return path if settings == self.settings else None


@contextmanager
def new_folder(
    top: Path, kept: dict[str, object], receiving: list[str], address: str, lock: threading.Lock
) -> Iterator[Path]:
    """A folder in `top` with a name that nobody can guess, for what `address`, one of `receiving`, hands in.

    At the end it is no longer one of them, and the folder is deleted again unless its name is in `kept` by then.
    """
    folder = top / token_urlsafe(16)
    try:
        folder.mkdir()
        yield folder
    finally:
        with lock:
            receiving.remove(address)
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)


def clean_name(name: str) -> str:
    """A file name that a browser can save under: no folders, only printable letters, not hidden, not long."""
    name = re.split(r"[/\\]", name)[-1]
    name = "".join(letter for letter in name if letter.isprintable() and letter not in '<>:"|?*').strip(" .")
    path = Path(name or "photo")
    return f"{path.stem[:100]}{path.suffix[:10]}"


def unique(names: list[str]) -> list[str]:
    """The names, each made unique: the second photo.jpg becomes photo (2).jpg."""
    taken, given = set(), []
    for name in names:
        path = Path(name)
        ways = (f"{path.stem} ({number}){path.suffix}" if number > 1 else name for number in itertools.count(1))
        given.append(next(way for way in ways if way.lower() not in taken))
        taken.add(given[-1].lower())
    return given


def download_name(photo: Handed, what: str = RESULT) -> str:
    """The name of a photo's result: the photo's own; side by side, with that added."""
    path = renamed(Path(photo.name), None)
    return f"{path.stem}-side-by-side{path.suffix}" if what == BESIDE else path.name
