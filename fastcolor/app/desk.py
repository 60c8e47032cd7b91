"""The photos that were handed in, and the one thread that colours them in turn, since a network takes all cores."""

import itertools
import logging
import re
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from secrets import token_urlsafe
from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastcolor.colorize.folder import Job, color_all, renamed
from fastcolor.errors import UserError
from fastcolor.photo.opening import opened, pages_of
from fastcolor.photo.read import open_photo
from fastcolor.photo.write import save_photo
from fastcolor.runs.listing import SHIPPED, weights_found

if TYPE_CHECKING:  # it takes longer to import torch than to say that a port is taken
    from fastcolor.colorize.colorizer import Colorizer

MOST_BYTES = 200_000_000  # of one file: JPEGs of the largest photos that are coloured at all (200 megapixels) have half
MOST_WAITING = 64  # photos being received or waiting, of everybody together: a minute's work at a second for each
MOST_KEPT = 4_000_000_000  # bytes of all that is kept, about 100 photos of 12 megapixels as PNG; small disks hold it
KEPT_SECONDS = 15 * 60  # without a question after a photo: browsers slow hidden pages down to one a minute
NETWORKS = 2  # kept in memory, to go back and forth between: a larger one has some 250 MB
SIZES = (64, 96, 128, 160, 192, 256, 384, 512, 768)  # pixels, to choose from: 768 takes seconds, and others wait
MOST_TRANSLATED = 2_000_000  # pixels at their own size: CycleGAN takes half a minute for so many, and others wait
PREVIEW = 1280  # pixels on the long side: sharp on a phone, and a tenth of a megabyte or two

WAITING, READING, COLOURING, WRITING, DONE, FAILED = "waiting", "reading", "colouring", "writing", "done", "failed"


class Busy(UserError):
    """The desk takes no more for now."""


class Settings(NamedTuple):
    """How a photo is to be coloured: the name of weights, the render size in pixels (None: theirs), the strength 0..1."""

    weights: str = SHIPPED
    size: int | None = None
    strength: float = 1.0


@dataclass
class Handed:
    """A photo that was handed in. `id` is the key to it: whoever has it may see, change and remove the photo."""

    id: str
    name: str  # as the user's file is called, without folders; never part of a path here
    folder: Path  # all its files: upload, before.jpg, and of each colouring the result and after.jpg
    settings: Settings
    ticket: int = 0  # of the latest order; earlier ones whose turn has not come are dropped
    state: str = WAITING
    sentence: str | None = None  # what is wrong, where it failed
    notes: list[str] = field(default_factory=list)  # what is not as in the user's file
    result: Path | None = None
    beside: Path | None = None  # before|after, of the same colouring
    version: int = 0  # ticket of the colouring in `result`; 0: none yet
    shape: tuple[int, int] | None = None  # width, height
    asked: float = field(default_factory=time.monotonic)

    @property
    def source(self) -> Path:
        """The file as it was handed in."""
        return self.folder / "upload"

    @property
    def after(self) -> Path:
        """The result, reduced."""
        return self.folder / f"after-{self.version}.jpg"

    @property
    def before(self) -> Path:
        """The photo, reduced."""
        return self.folder / "before.jpg"


class Desk:
    """Takes photos in, has them coloured one after the other, and forgets them. Called from any thread."""

    def __init__(self, folder: Path, runs: Path):
        self.folder, self.runs = folder, runs
        self.photos: dict[str, Handed] = {}
        self.receiving = 0
        self.at_work: Handed | None = None
        self._lock, self._tickets, self._worker = threading.Lock(), itertools.count(1), ThreadPoolExecutor(1)
        self._colorizer = lru_cache(NETWORKS)(_load)
        self._worker.submit(self._colorizer, None, 0)  # torch and the weights that ship, before somebody waits for them

    @contextmanager
    def receive(self) -> Iterator[Path]:
        """A folder for a photo that is being handed in; it goes again unless `take` is called. Raises Busy."""
        with self._lock:
            waiting = sum(photo.state == WAITING for photo in self.photos.values())
            if self.receiving + waiting >= MOST_WAITING:
                raise Busy(f"{MOST_WAITING} photos are waiting already: try again in a minute")
            if _bytes_below(self.folder) >= MOST_KEPT:
                raise Busy("there is no room for more photos: remove some, or try again in a quarter of an hour")
            self.receiving += 1
        folder = self.folder / token_urlsafe(16)
        try:
            folder.mkdir()
            yield folder
        finally:
            with self._lock:
                self.receiving -= 1
                if folder.name not in self.photos:
                    shutil.rmtree(folder, ignore_errors=True)

    def take(self, folder: Path, name: str, settings: Settings) -> Handed:
        """Have the photo `upload` in a folder of `receive` coloured. Raises UnreadablePhoto if it is none."""
        photo = Handed(folder.name, clean_name(name), folder, settings)
        try:
            with opened(photo.source) as image:
                pages_of(photo.source, image)
        except UserError as error:
            raise UserError(_in_users_words(str(error), photo)) from None
        with self._lock:
            self.photos[photo.id] = photo
        self.order(photo, settings)
        return photo

    def order(self, photo: Handed, settings: Settings, beside: bool = False) -> None:
        """Have a photo coloured anew, or, as it is coloured now, written `beside` what it was."""
        with self._lock:
            photo.settings, photo.ticket, photo.state, photo.sentence = settings, next(self._tickets), WAITING, None
            self._worker.submit(self._work, photo, photo.ticket, beside)

    def find(self, id: str) -> Handed | None:
        """The photo of a key, which stays for longer by this; None if there is none (any more)."""
        photo = self.photos.get(id)
        if photo:
            photo.asked = time.monotonic()
        return photo

    def describe(self, photo: Handed) -> dict:
        """What the page shows of a photo; `ahead` is how many are coloured before it."""
        with self._lock:
            before = [p for p in self.photos.values() if p.state == WAITING and p.ticket < photo.ticket]
            ahead = len(before) + (self.at_work is not None and self.at_work is not photo)
        return {
            "id": photo.id,
            "name": photo.name,
            "ticket": photo.ticket,
            "state": photo.state,
            "ahead": ahead,
            "sentence": photo.sentence,
            "notes": photo.notes,
            "version": photo.version,
            "shape": photo.shape,
            "beside": photo.beside is not None,
        }

    def remove(self, id: str) -> None:
        """Forget a photo and delete its files; those of the one being coloured go when that is done."""
        with self._lock:
            photo = self.photos.pop(id, None)
            if photo and photo is not self.at_work:
                shutil.rmtree(photo.folder, ignore_errors=True)

    def sweep(self) -> None:
        """Forget the photos that nobody has asked after for `KEPT_SECONDS`."""
        oldest = time.monotonic() - KEPT_SECONDS
        for photo in list(self.photos.values()):
            if photo.asked < oldest:
                self.remove(photo.id)

    def close(self) -> None:
        """Finish what is being coloured, begin nothing more."""
        self._worker.shutdown(cancel_futures=True)

    def read_settings(self, given: dict) -> Settings:
        """Settings as the page sends them, numbers or text, missing ones by default. Raises UserError."""
        weights = given.get("weights") or SHIPPED
        if weights not in weights_found(self.runs):
            raise UserError(f"there are no weights called {str(weights)[:100]!r} here: choose others")
        try:
            size = int(given["size"]) if given.get("size") else None
            strength = float(given.get("strength", 1))
        except (ValueError, TypeError):
            raise UserError("size and strength are numbers") from None
        if size and not SIZES[0] <= size <= SIZES[-1]:
            raise UserError(f"a render size of {size} makes no sense: give {SIZES[0]} to {SIZES[-1]} pixels")
        if not 0 <= strength <= 1:
            raise UserError(f"a strength of {strength} makes no sense: give 0 to 1")
        return Settings(weights, size, strength)

    def _work(self, photo: Handed, ticket: int, beside: bool) -> None:
        """An order's turn, in the one thread."""
        with self._lock:
            if photo.ticket != ticket or photo.id not in self.photos:  # ordered otherwise since, or removed
                return
            self.at_work = photo
        sentence = None
        try:
            self._color(photo, ticket, beside)
        except UserError as error:
            sentence = _in_users_words(str(error), photo)
        except OSError as error:
            sentence = f"{photo.name}: could not be written here ({error.strerror or error}): try again later"
        except Exception:
            logging.getLogger(__name__).exception("while a photo was coloured")
            sentence = f"{photo.name}: could not be coloured, through a fault of the program, which has printed more of it"
        with self._lock:
            self.at_work = None
            if photo.id not in self.photos:
                shutil.rmtree(photo.folder, ignore_errors=True)
            elif photo.ticket == ticket:
                photo.sentence, photo.state = sentence, FAILED if sentence else DONE

    def _color(self, photo: Handed, ticket: int, beside: bool) -> None:
        """Colour a photo by its settings, at full size into its own format, and reduced. Raises UserError, OSError."""

        def say(state: str) -> None:
            if photo.ticket == ticket:
                photo.state = state

        def pixels(before: np.ndarray) -> np.ndarray:
            if not (colorizer.keeps_light or colorizer.size) and before.shape[0] * before.shape[1] > MOST_TRANSLATED:
                most = f"more than the {MOST_TRANSLATED // 1_000_000} million pixels that these weights take at full size"
                raise UserError(f"{photo.name}: has {most}: choose a render size")
            say(COLOURING)
            after = colorizer.pixels(before)
            say(WRITING)
            return after

        colorizer = self._colorizer_for(photo.settings)
        say(READING)
        suffix = renamed(Path(photo.name), None).suffix
        job = Job(photo.source, photo.folder / f"{'beside' if beside else 'result'}-{ticket}{suffix}")
        ((_, outcome),) = color_all([job], SimpleNamespace(pixels=pixels), side_by_side=beside)
        if isinstance(outcome, str):
            raise UserError(outcome)
        if beside:
            photo.beside = job.target
            return
        if not photo.before.exists():
            reduce(photo.source, photo.before)
        reduce(job.target, photo.folder / f"after-{ticket}.jpg")
        with opened(job.target) as image:
            shape = image.size
        stale = [photo.result, photo.beside, photo.after]
        photo.notes, photo.shape = outcome, shape
        photo.result, photo.beside, photo.version = job.target, None, ticket
        for path in filter(None, stale):
            path.unlink(missing_ok=True)

    def _colorizer_for(self, settings: Settings) -> "Colorizer":
        """A Colorizer with these settings; its network is one of those kept in memory, if it can be."""
        weights = weights_found(self.runs).get(settings.weights)
        if weights is None:
            raise UserError(f"the weights {settings.weights} are not there any more: choose others")
        written = weights.path.stat().st_mtime_ns if weights.path else 0  # training may write them anew
        colorizer = copy(self._colorizer(weights.path, written))
        colorizer.strength, colorizer.size = settings.strength, settings.size or colorizer.size
        return colorizer


def _load(path: Path | None, written: int) -> "Colorizer":
    from fastcolor.colorize.colorizer import Colorizer

    return Colorizer(path)


def reduce(photo: Path, target: Path) -> None:
    """Write a photo as a JPEG of `PREVIEW` pixels on the long side, or its own, if those are fewer."""
    image = open_photo(photo, least=PREVIEW)
    image.thumbnail((PREVIEW, PREVIEW))
    save_photo(image, target, quality=90)


def clean_name(name: str) -> str:
    """A file name as a browser may be told to save under: no folders, nothing that does not print, not hidden, not long."""
    name = re.split(r"[/\\]", name)[-1]
    name = "".join(letter for letter in name if letter.isprintable() and letter not in '<>:"|?*').strip(" .")
    path = Path(name or "photo")
    return f"{path.stem[:100]}{path.suffix[:10]}"


def unique(names: list[str]) -> list[str]:
    """The same names, each once: the second photo.jpg becomes photo (2).jpg."""
    taken, given = set(), []
    for name in names:
        path = Path(name)
        ways = (f"{path.stem} ({number}){path.suffix}" if number > 1 else name for number in itertools.count(1))
        given.append(next(way for way in ways if way.lower() not in taken))
        taken.add(given[-1].lower())
    return given


def download_name(photo: Handed, beside: bool = False) -> str:
    """What a photo's result is called: its own name; side by side, with a word more."""
    path = renamed(Path(photo.name), None)
    return f"{path.stem}-side-by-side{path.suffix}" if beside else path.name


def _in_users_words(sentence: str, photo: Handed) -> str:
    """A sentence about a photo's files with the name that the user gave, and without this machine's paths."""
    return re.sub(rf"{re.escape(str(photo.folder))}[/\\][^:]*?(?=: |$)", lambda _: photo.name, sentence)


def _bytes_below(folder: Path) -> int:
    total = 0
    for path in folder.glob("*/*"):
        try:
            total += path.stat().st_size
        except OSError:  # it has just gone
            pass
    return total
