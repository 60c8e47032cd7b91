"""The photos that were handed in, and the thread that colours them one by one, as a network takes all cores."""

import itertools
import logging
import re
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from secrets import token_urlsafe
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastcolor.colorize.flow import How, color_all
from fastcolor.colorize.options import check_options
from fastcolor.colorize.plan import Job, renamed
from fastcolor.colorize.record import mark_of, weights_of
from fastcolor.errors import UserError
from fastcolor.photo.opening import check
from fastcolor.photo.read import open_photo
from fastcolor.photo.write import save_photo
from fastcolor.runs.listing import SHIPPED, weights_found

if TYPE_CHECKING:  # loading what runs networks takes longer than saying that a port is taken
    from fastcolor.colorize.colorizer import Colorizer

MOST_BYTES = 200_000_000  # of one file: a JPEG of the largest photos that can be coloured (200 megapixels) has half
MOST_WAITING = 64  # photos being received or waiting, all users together: a minute's work at a second each
MOST_KEPT = 4_000_000_000  # bytes of all files here, about 100 photos of 12 megapixels as PNG: fits on a small disk
KEPT_SECONDS = 15 * 60  # after a page last asked for a photo: hidden pages ask once a minute
NETWORKS = 2  # kept in memory, so that one can switch between them: a larger one takes about 250 MB
SIZES = (64, 96, 128, 160, 192, 224, 256, 384, 512, 768)  # pixels, to choose from: 768 takes seconds, and others wait
MOST_TRANSLATED = 2_000_000  # pixels at their own size: CycleGAN takes half a minute for so many, and others wait
PREVIEW = 1280  # pixels on the long side: sharp on a phone, at 100 to 200 kB

WAITING, DONE, FAILED = "waiting", "done", "failed"  # besides `color_all`'s states


class Busy(UserError):
    """There are too many photos for now."""


class Settings(NamedTuple):
    """How to colour a photo: the name of the weights, the render size in pixels (None: theirs), the strength 0..1."""

    weights: str = SHIPPED
    size: int | None = None
    strength: float = 1.0


@dataclass
class Handed:
    """A photo that was handed in. `id` is its key: who has it can see, change and remove the photo."""

    id: str
    name: str  # of the user's file, without folders; never part of a path here
    folder: Path  # of all its files: upload, before.jpg, and for each colouring the result and after.jpg
    settings: Settings
    ticket: int = 0  # of the latest order; earlier ones that still wait are dropped
    state: str = WAITING
    sentence: str | None = None  # what went wrong, if it failed
    notes: list[str] = field(default_factory=list)  # what differs from the user's file
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
    """Takes photos in, colours them one after the other, and forgets them. Any thread may call it."""

    def __init__(self, folder: Path, runs: Path):
        self.folder, self.runs = folder, runs
        self.photos: dict[str, Handed] = {}
        self.receiving = 0
        self.at_work: Handed | None = None
        self._lock, self._tickets, self._worker = threading.Lock(), itertools.count(1), ThreadPoolExecutor(1)
        self._colorizer = lru_cache(NETWORKS)(_load)
        self._worker.submit(self._colorizer, None, 0)  # loads our weights before somebody waits for them

    @contextmanager
    def receive(self) -> Iterator[Path]:
        """A folder for a photo that is being handed in; it is deleted again unless `take` is called. Raises Busy."""
        with self._lock:
            waiting = sum(photo.state == WAITING for photo in self.photos.values())
            if self.receiving + waiting >= MOST_WAITING:
                raise Busy(f"{MOST_WAITING} photos are already waiting: try again in a minute")
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
        """Order the photo `upload` in a folder of `receive` to be coloured. Raises UserError if it is not a photo."""
        photo = Handed(folder.name, clean_name(name), folder, settings)
        try:
            check(photo.source)
        except UserError as error:
            raise UserError(_in_users_words(str(error), photo)) from None
        with self._lock:
            self.photos[photo.id] = photo
        self.order(photo, settings)
        return photo

    def order(self, photo: Handed, settings: Settings, beside: bool = False) -> None:
        """Order a photo to be coloured again, or to be written `beside` its coloured version."""
        with self._lock:
            photo.settings, photo.ticket, photo.state, photo.sentence = settings, next(self._tickets), WAITING, None
            self._worker.submit(self._work, photo, photo.ticket, beside)

    def find(self, id: str) -> Handed | None:
        """The photo with a key, which is kept for longer now; None if there is none (any more)."""
        photo = self.photos.get(id)
        if photo:
            photo.asked = time.monotonic()
        return photo

    def describe(self, photo: Handed) -> dict:
        """What the page shows of a photo; `ahead` is the number of photos before it."""
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
        """Forget a photo and delete its files; if it is being coloured, when that is done."""
        with self._lock:
            photo = self.photos.pop(id, None)
            if photo and photo is not self.at_work:
                shutil.rmtree(photo.folder, ignore_errors=True)

    def sweep(self) -> None:
        """Forget the photos that no page has asked for in `KEPT_SECONDS`."""
        oldest = time.monotonic() - KEPT_SECONDS
        for photo in list(self.photos.values()):
            if photo.asked < oldest:
                self.remove(photo.id)

    def close(self) -> None:
        """Finish the photo that is being coloured, begin no other."""
        self._worker.shutdown(cancel_futures=True)

    def read_settings(self, given: dict) -> Settings:
        """Settings as the page sends them, numbers or text; what is missing gets its default. Raises UserError."""
        weights = given.get("weights") or SHIPPED
        if weights not in weights_found(self.runs):
            raise UserError(f"there are no weights called {str(weights)[:100]!r} here: choose other ones")
        try:
            size = int(given["size"]) if given.get("size") else None
            strength = float(given.get("strength", 1))
        except (ValueError, TypeError):
            raise UserError("size and strength must be numbers") from None
        check_options(size, strength)
        if size and not SIZES[0] <= size <= SIZES[-1]:
            raise UserError(f"the render size must be from {SIZES[0]} to {SIZES[-1]} pixels here, not {size}")
        return Settings(weights, size, strength)

    def _work(self, photo: Handed, ticket: int, beside: bool) -> None:
        """An order's turn, in the one thread."""
        with self._lock:
            if photo.ticket != ticket or photo.id not in self.photos:  # ordered again since, or removed
                return
            self.at_work = photo
        sentence = None
        try:
            self._color(photo, ticket, beside)
        except UserError as error:
            sentence = _in_users_words(str(error), photo)
        except OSError as error:
            sentence = f"{photo.name}: can't be written on the server ({error.strerror or error}): try again later"
        except Exception:
            logging.getLogger(__name__).exception("while a photo was coloured")
            sentence = f"{photo.name}: could not be coloured because of a bug in fastcolor, see what the server printed"
        with self._lock:
            self.at_work = None
            if photo.id not in self.photos:
                shutil.rmtree(photo.folder, ignore_errors=True)
            elif photo.ticket == ticket:
                photo.sentence, photo.state = sentence, FAILED if sentence else DONE

    def _color(self, photo: Handed, ticket: int, beside: bool) -> None:
        """Colour a photo by its settings, at full size into its own format, and reduced. Raises UserError, OSError."""
        _, size, strength = photo.settings
        colorizer = self._colorizer_for(photo.settings.weights)

        def tell(job: Job, state: str) -> None:
            if photo.ticket == ticket:
                photo.state = state

        def paint(pixels: np.ndarray) -> np.ndarray:
            at_own_size = (size or colorizer.size) is None
            if at_own_size and pixels.shape[0] * pixels.shape[1] > MOST_TRANSLATED:
                most = f"{MOST_TRANSLATED // 1_000_000} million pixels"
                raise UserError(f"{photo.name}: has more than {most}, too many for these weights: choose a render size")
            return colorizer.pixels(pixels, size=size, strength=strength)

        suffix = renamed(Path(photo.name), None).suffix
        job = Job(photo.source, photo.folder / f"{'beside' if beside else 'result'}-{ticket}{suffix}")
        mark = mark_of(weights_of(weights_found(self.runs)[photo.settings.weights].path))
        ((_, outcome),) = color_all([job], paint, How(side_by_side=beside, mark=mark), tell)
        if outcome.failure:
            raise UserError(f"{photo.source}: {outcome.failure}")
        if beside:
            photo.beside = job.target
            return
        if not photo.before.exists():
            reduce(photo.source, photo.before)
        reduce(job.target, photo.folder / f"after-{ticket}.jpg")
        shape = check(job.target)
        stale = [photo.result, photo.beside, photo.after]
        photo.notes, photo.shape = outcome.notes, shape
        photo.result, photo.beside, photo.version = job.target, None, ticket
        for path in filter(None, stale):
            path.unlink(missing_ok=True)

    def _colorizer_for(self, name: str) -> "Colorizer":
        """The Colorizer of the weights with a name; one of those kept in memory, if possible."""
        weights = weights_found(self.runs).get(name)
        if weights is None:
            raise UserError(f"the weights {name} are not there any more: choose other ones")
        written = weights.path.stat().st_mtime_ns if weights.path else 0  # training may write them again
        return self._colorizer(weights.path, written)


def _load(path: Path | None, written: int) -> "Colorizer":
    from fastcolor.colorize.colorizer import Colorizer

    return Colorizer(path)


def reduce(photo: Path, target: Path) -> None:
    """Write a photo as a JPEG of at most `PREVIEW` pixels on the long side."""
    image = open_photo(photo, least=PREVIEW)
    image.thumbnail((PREVIEW, PREVIEW))
    save_photo(image, target, quality=90)


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


def download_name(photo: Handed, beside: bool = False) -> str:
    """The name of a photo's result: the photo's own; side by side, with that added."""
    path = renamed(Path(photo.name), None)
    return f"{path.stem}-side-by-side{path.suffix}" if beside else path.name


def _in_users_words(sentence: str, photo: Handed) -> str:
    """A sentence about a photo's files with the user's name for it instead of a path on the server."""
    return re.sub(rf"{re.escape(str(photo.folder))}[/\\][^:]*?(?=: |$)", lambda _: photo.name, sentence)


def _bytes_below(folder: Path) -> int:
    total = 0
    for path in folder.glob("*/*"):
        try:
            total += path.stat().st_size
        except OSError:  # it has just gone
            pass
    return total
