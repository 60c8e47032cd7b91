"""The photos that were handed in, and the thread that works on them one by one, as a network takes all cores.

A photo is looked at first: a reduced copy is coloured, for the page. At full size it is coloured when it is downloaded.
"""

import itertools
import logging
import re
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fastcolor.app import own
from fastcolor.app.handed import BESIDE, DONE, FAILED, LOOK, RESULT, WAITING, Handed, Settings, clean_name, new_folder
from fastcolor.app.looks import SMALL, Box, keep_pixels, picture, pixels_in
from fastcolor.color.cie import lightness_of
from fastcolor.color.fullsize import small_grey
from fastcolor.colorize.colorizer import working_size
from fastcolor.colorize.flow import COLOURING, READING, How, color_all
from fastcolor.colorize.hints import Hint
from fastcolor.colorize.options import check_options
from fastcolor.colorize.plan import Job, renamed
from fastcolor.colorize.prepared import Prepared
from fastcolor.colorize.record import mark_of, weights_of
from fastcolor.errors import UserError
from fastcolor.photo.opening import check
from fastcolor.runs.listing import SHIPPED, weights_found

if TYPE_CHECKING:  # loading what runs networks takes longer than saying that a port is taken
    from fastcolor.colorize.colorizer import Colorizer

MOST_BYTES = 200_000_000  # of one file: a JPEG of the largest photos that can be coloured (200 megapixels) has half
MOST_WAITING = 64  # photos being received or waiting, all users together: a minute's work at a second each
MOST_OF_ONE = MOST_WAITING // 2  # of them from one address, so that others get a turn
MOST_KEPT = 4_000_000_000  # bytes of all files here, about 100 photos of 12 megapixels as PNG: fits on a small disk
KEPT_SECONDS = 15 * 60  # after a page last asked for a photo: hidden pages ask once a minute
LEFT_SECONDS = 90  # the same, when the page was closed, or is being loaded again; its copy in another tab asks on
SUGGESTED = 9  # colours of a place
PREPARED = 4  # photos kept in memory for points of colour, 10 MB each: a click must not wait for what is known
NETWORKS = 2  # kept in memory, so that one can switch between them: a larger one takes about 250 MB
SIZES = (64, 96, 128, 160, 192, 224, 256, 384, 512, 768)  # pixels, to choose from: 768 takes seconds, and others wait
MOST_TRANSLATED = 2_000_000  # pixels at their own size: CycleGAN takes half a minute for so many, and others wait


class Busy(UserError):
    """There are too many photos for now."""


class Desk:
    """Takes photos in, colours them one after the other, and forgets them. Any thread may call it."""

    def __init__(self, folder: Path, runs: Path):
        self.folder, self.runs = folder, runs
        self.photos: dict[str, Handed] = {}
        self.receiving: list[str] = []  # the address of each photo that is on its way
        self.at_work: Handed | None = None
        self._lock, self._tickets, self._worker = threading.Lock(), itertools.count(1), ThreadPoolExecutor(1)
        self._colorizer = lru_cache(NETWORKS)(_load)
        self._prepared = lru_cache(PREPARED)(_prepare)
        self._decoding = threading.Lock()  # of one photo at its full size at a time, which takes up to 2 GB
        self._close: Handed | None = None  # the photo whose pixels lie in `whole`
        self._worker.submit(self._colorizer, None, 0)  # loads our weights before somebody waits for them

    @contextmanager
    def receive(self, address: str = "") -> Iterator[Path]:
        """A folder for a photo that is being handed in; it is deleted again unless `take` is called. Raises Busy."""
        with self._lock:
            busy = [*self.receiving, *(photo.address for photo in self.photos.values() if photo.state == WAITING)]
            if len(busy) >= MOST_WAITING:
                raise Busy(f"{MOST_WAITING} photos are already waiting: try again in a minute")
            if busy.count(address) >= MOST_OF_ONE:
                raise Busy(f"{MOST_OF_ONE} photos of yours are already waiting: try again in a minute")
            if bytes_below(self.folder) >= MOST_KEPT:
                raise Busy("there is no room for more photos: remove some, or try again in a quarter of an hour")
            self.receiving.append(address)
        with new_folder(self.folder, self.photos, self.receiving, address, self._lock) as folder:
            yield folder

    def take(self, folder: Path, name: str, settings: Settings, address: str = "") -> Handed:
        """Order a look at the photo `upload` in a folder of `receive`. Raises UserError if it is not a photo."""
        photo = Handed(folder.name, clean_name(name), folder, settings, address)
        try:
            check(photo.source)
        except UserError as error:
            raise UserError(in_users_words(str(error), photo)) from None
        with self._lock:
            self.photos[photo.id] = photo
        self.order(photo, settings)
        return photo

    def order(self, photo: Handed, settings: Settings, what: str = LOOK) -> None:
        """Order another LOOK at a photo, its RESULT, or that BESIDE it as it was."""
        with self._lock:
            photo.settings, photo.ticket, photo.state, photo.sentence = settings, next(self._tickets), WAITING, None
            self._worker.submit(self._work, photo, photo.ticket, what)

    def change(self, photo: Handed, settings: Settings) -> None:
        """Give a photo other settings, and order another look at it unless it would be the same."""
        settings = settings._replace(hints=photo.settings.hints)
        if settings._replace(strength=photo.settings.strength) == photo.settings and photo.version:
            photo.settings = settings
        else:
            self.order(photo, settings)

    def hint(self, photo: Handed, text: str) -> list[dict]:
        """Give a photo the points of a `PHOTO.hints.json`, and colour it by them now, before all others.

        Gives the points as `own.describe` does. Raises UserError, and FileNotFoundError for a photo removed meanwhile.
        """
        with photo.lock:
            hints = own.read(photo, text)
            settings = photo.settings._replace(hints=tuple(hints))
            described = own.describe(hints, self._ready(photo, settings)) if hints else []
            self._show(photo, settings)
            own.keep(photo, hints)
            photo.settings = photo.settings._replace(hints=settings.hints)  # others may have changed meanwhile
            return described

    def suggest(self, photo: Handed, x: float, y: float) -> dict:
        """The likeliest colours of a place, with the points that the photo has, and its lightness. Raises UserError."""
        ready = self._ready(photo, photo.settings)
        likely = ready.suggest(x, y, SUGGESTED, photo.settings.hints)
        colors = [{"color": each.color, "share": each.share} for each in likely]
        here = round(ready.lightness(x, y))
        return {"lightness": here, "field": own.field(here)[1:], "colors": colors}

    def like(self, photo: Handed, reference: Path) -> list[Hint]:
        """The colours of another photo, brought over as points. Raises UserError."""
        ready = self._ready(photo, photo.settings)
        with self._decoding:
            known = self.colorizer_for(photo.settings.weights).reference(reference, photo.settings.size)
        return ready.like(known)

    def _ready(self, photo: Handed, settings: Settings) -> Prepared:
        """A photo that has been looked at, for points of colour. Raises UserError if its weights take none."""
        if not photo.small.exists():
            raise UserError("The photo is still being looked at.")
        colorizer = self.colorizer_for(settings.weights)
        try:
            return self._prepared(photo.small, colorizer, settings.size)
        except UserError as error:
            named = f"the weights {settings.weights}"
            raise UserError(str(error).replace(str(colorizer.engine.weights), named)) from None

    def picture(self, photo: Handed, after: bool, box: Box | None, side: int) -> bytes:
        """A part of a photo as a JPEG, before or `after` it was coloured, in full strength; see `looks.picture`.

        `box` None: all of it. Raises UserError where there is none yet, FileNotFoundError if it was removed meanwhile.
        """
        if photo.shape is None or (after and not photo.version):
            raise UserError("There is no such picture yet.")
        box = box or Box(0, 0, *photo.shape)
        colors = np.load(photo.colors) if after else None
        pixels = pixels_in(photo.small)
        is_close = max(box.size) / max(photo.shape) * max(pixels.shape[:2]) < min(side, max(box.size))
        if is_close and (colors is None or colors.dtype != np.uint8):
            pixels = self._whole(photo)
        return picture(pixels, photo.shape, box, side, colors)

    def _whole(self, photo: Handed) -> np.ndarray:
        """A photo's pixels at full size, from a file that is kept until somebody looks at another photo closely."""
        with self._decoding:
            if not photo.whole.exists():
                if self._close:
                    self._close.whole.unlink(missing_ok=True)
                try:
                    keep_pixels(photo.source, photo.whole)
                except UserError as error:
                    raise UserError(in_users_words(str(error), photo)) from None
                self._close = photo
            return pixels_in(photo.whole)

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
            "settings": {name: getattr(photo.settings, name) for name in ("weights", "size", "strength")},
            "ready": [what for what in (RESULT, BESIDE) if photo.ready(what)],
        }

    def leave(self, id: str) -> None:
        """Forget a photo in `LEFT_SECONDS`, unless a page asks for it until then."""
        if photo := self.photos.get(id):
            photo.asked = time.monotonic() - KEPT_SECONDS + LEFT_SECONDS

    def remove(self, id: str) -> None:
        """Forget a photo and delete its files; if it is being coloured, when that is done."""
        with self._lock:
            photo = self.photos.pop(id, None)
            if photo and photo is not self.at_work:
                shutil.rmtree(photo.folder, ignore_errors=True)
        self._prepared.cache_clear()

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
        weights, size = (None if given.get(name) == "" else given.get(name) for name in ("weights", "size"))
        weights = SHIPPED if weights is None else weights
        if not isinstance(weights, str):
            raise UserError("weights must be a name")
        if weights not in weights_found(self.runs):
            raise UserError(f"there are no weights called {weights[:100]!r} here: choose other ones")
        try:
            size = None if size is None else int(size)
            strength = float(given.get("strength", 1))
        except (ValueError, TypeError, OverflowError):
            raise UserError("size and strength must be numbers") from None
        check_options(size, strength)
        if size and not SIZES[0] <= size <= SIZES[-1]:
            raise UserError(f"the render size must be from {SIZES[0]} to {SIZES[-1]} pixels here, not {size}")
        return Settings(weights, size, strength)

    def _work(self, photo: Handed, ticket: int, what: str) -> None:
        """An order's turn, in the one thread."""
        with self._lock:
            if photo.ticket != ticket or photo.id not in self.photos:  # ordered again since, or removed
                return
            self.at_work = photo
        sentence = None
        try:
            with self._decoding:
                self._look(photo, ticket) if what == LOOK else self._make(photo, ticket, what)
        except UserError as error:
            sentence = in_users_words(str(error), photo)
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

    def _look(self, photo: Handed, ticket: int) -> None:
        """Colour a photo's reduced copy. Raises UserError, OSError."""
        if not photo.small.exists():
            _tell(photo, ticket, READING)
            (width, height), small = check(photo.source), keep_pixels(photo.source, photo.small, SMALL)
            is_turned = (width > height) != (small[0] > small[1])
            photo.shape = (height, width) if is_turned else (width, height)
        _tell(photo, ticket, COLOURING)
        with photo.lock:
            self._show(photo, photo.settings)

    def _show(self, photo: Handed, settings: Settings) -> None:
        """Colour a photo's reduced copy by other settings, for the page to show. Raises UserError, OSError."""
        colors = self._colors(photo, settings)
        version, stale = next(self._tickets), photo.colors
        np.save(photo.folder / f"colors-{version}.npy", colors)
        photo.version = version
        stale.unlink(missing_ok=True)

    def _colors(self, photo: Handed, settings: Settings) -> np.ndarray:
        """What `looks.picture` colours a photo with."""
        if settings.hints:
            return self._ready(photo, settings).ab(settings.hints)
        colorizer, pixels = self.colorizer_for(settings.weights), np.asarray(pixels_in(photo.small))
        if colorizer.keeps_light:
            size = working_size(*pixels.shape[:2], settings.size or colorizer.size)
            return colorizer.engine(lightness_of(small_grey(pixels, *size))[None, None])[0]
        _check_translated(photo, colorizer, settings, *photo.shape)
        return colorizer.pixels(pixels, size=settings.size, strength=1)

    def _make(self, photo: Handed, ticket: int, what: str) -> None:
        """Colour a photo at full size, into a file of its own format. Raises UserError, OSError."""
        settings = photo.settings
        colorizer = self.colorizer_for(settings.weights)

        def paint(pixels: np.ndarray, **hints) -> np.ndarray:
            _check_translated(photo, colorizer, settings, *pixels.shape[1::-1])
            return colorizer.pixels(pixels, size=settings.size, strength=settings.strength, **hints)

        suffix = renamed(Path(photo.name), None).suffix
        job = Job(photo.source, photo.folder / f"{what}-{ticket}{suffix}", hints=settings.hints)
        mark = mark_of(weights_of(weights_found(self.runs)[settings.weights].path))
        how = How(side_by_side=what == BESIDE, mark=mark)
        ((_, outcome),) = color_all([job], paint, how, lambda _, state: _tell(photo, ticket, state))
        if outcome.failure:
            raise UserError(f"{photo.source}: {outcome.failure}")
        _, stale = photo.made.get(what, (None, None))
        photo.notes, photo.shape, photo.made[what] = outcome.notes, outcome.shape, (settings, job.target)
        if stale:
            stale.unlink(missing_ok=True)

    def colorizer_for(self, name: str) -> "Colorizer":
        """The Colorizer of the weights with a name; one of those kept in memory, if possible."""
        weights = weights_found(self.runs).get(name)
        if weights is None:
            raise UserError(f"the weights {name} are not there any more: choose other ones")
        written = weights.path.stat().st_mtime_ns if weights.path else 0  # training may write them again
        return self._colorizer(weights.path, written)


def _load(path: Path | None, written: int) -> "Colorizer":
    from fastcolor.colorize.colorizer import Colorizer

    return Colorizer(path)


def _prepare(small: Path, colorizer: "Colorizer", size: int | None) -> Prepared:
    return colorizer.prepare(Image.fromarray(np.asarray(pixels_in(small))), SMALL, size)


def _check_translated(photo: Handed, colorizer: "Colorizer", settings: Settings, width: int, height: int) -> None:
    """Raise UserError for a photo that would take minutes at its own size."""
    if (settings.size or colorizer.size) is None and width * height > MOST_TRANSLATED:
        most = f"{MOST_TRANSLATED // 1_000_000} million pixels"
        raise UserError(f"{photo.name}: has more than {most}, too many for these weights: choose a render size")


def _tell(photo: Handed, ticket: int, state: str) -> None:
    if photo.ticket == ticket:
        photo.state = state


def in_users_words(sentence: str, photo: "Handed | Film") -> str:  # noqa: F821 (films.py imports this module)
    """A sentence about a photo's, or a film's, files with the user's name for it instead of a path on the server."""
    return re.sub(rf"{re.escape(str(photo.folder))}[/\\][^:]*?(?=: |$)", lambda _: photo.name, sentence)


def bytes_below(folder: Path) -> int:
    """How much room all files in a folder take, also deeper ones."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:  # it has just gone
            pass
    return total
