"""The films that were handed in. One is coloured at a time, in a process of its own; the others wait.

    handed in ─▶ looked through: some stills, in colour ─▶ started ─▶ coloured ─▶ made to be watched
                          ▲ other settings                    │ stopped: goes on from there when it is started again
                          └───────────────────────────────────┘

A film is long: its work goes on when the page is closed, and it is kept for a day.
"""

import itertools
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from fastcolor.app.desk import Busy, Desk, bytes_below, in_users_words
from fastcolor.app.film_work import COLOR, COLOURING, LOOK, SHOWING, still
from fastcolor.app.handed import DONE, FAILED, WAITING, Settings, clean_name, new_folder
from fastcolor.app.looks import QUALITY
from fastcolor.colorize.hints import FilmHint, FilmLike, hints_file, read_hints
from fastcolor.colorize.plan import renamed
from fastcolor.errors import UserError
from fastcolor.files import UNFINISHED
from fastcolor.film.kinds import FILMS, check_packages
from fastcolor.runs.listing import weights_found

MOST_BYTES = 2_000_000_000  # of one film: an hour at DVD's rate
MOST_FILMS = 8  # here at a time, being received, too
MOST_OF_ONE = 4  # of them from one address
ROOM = 4  # times a film's own bytes that must be free when it comes: its pieces, the result, and one to watch
LEAST_FREE = 500_000_000  # bytes on the disk at which a film is stopped
MOST_MADE = 8_000_000_000  # bytes of all that is made of one film
KEPT_SECONDS = 24 * 3600  # after a page last asked for it
LOOK_SECONDS = 120  # to look a film through: it takes two, and twenty times as long where much else runs
COMMAND = [sys.executable, "-m", "fastcolor.app.film_work"]
LOOKING, READY = "looking", "ready"
"""States, besides those of photos and of `film_work`: it is being looked through; it can be started."""
AT_WORK = (WAITING, COLOURING, SHOWING)


@dataclass
class Film:
    """A film that was handed in. `id` is its key: who has it can see, change and remove the film."""

    id: str
    name: str  # of the user's file, without folders; never part of a path here
    folder: Path  # of all its files
    settings: Settings
    address: str = ""
    ticket: int = 0  # of the latest order
    state: str = LOOKING
    sentence: str | None = None  # what went wrong
    notes: list[str] = field(default_factory=list)
    about: dict | None = None  # see `Looked`
    version: int = 0  # of the stills' colours
    like: str | None = None  # the name of the photo whose colours it gets
    hints: tuple[FilmHint, ...] = ()  # its points of colour
    deinterlace: bool = False
    made: tuple | None = None  # the `choices` by which its result was made
    progress: tuple[int, int, float] | None = None  # frames done, about how many there are, frames/s
    process: subprocess.Popen | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)  # who colours its stills holds it
    asked: float = field(default_factory=time.monotonic)

    @property
    def choices(self) -> tuple:
        """All that its colours depend on."""
        return self.settings, self.like, self.hints, self.deinterlace

    @property
    def suffix(self) -> str:
        """That of its name, one of `FILMS`."""
        return Path(self.name).suffix.lower()

    @property
    def source(self) -> Path:
        """The file as it was handed in."""
        return self.folder / f"upload{self.suffix}"

    @property
    def reference(self) -> Path:
        """The photo whose colours it gets."""
        return self.folder / "like"

    @property
    def result(self) -> Path:
        """The coloured film."""
        return self.folder / f"film{renamed(self.source, None).suffix}"

    @property
    def pair(self) -> Path:
        """The film to watch, before above after."""
        return self.folder / "pair.mp4"

    def picture(self, number: int, is_after: bool) -> Path:
        """A still as a JPEG."""
        return self.folder / (f"after-{self.version}-{number}.jpg" if is_after else f"before-{number}.jpg")


class FilmDesk:
    """Takes films in, colours them one after the other, and forgets them. Any thread may call it."""

    def __init__(self, folder: Path, photos: Desk):
        self.folder, self.films, self.receiving = folder, {}, []
        self._photos, self._lock, self._tickets = photos, threading.Lock(), itertools.count(1)
        self._looks, self._works = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._is_closed = False

    @contextmanager
    def receive(self, name: str, size: int, address: str = "") -> Iterator[Path]:
        """A folder for a film of so many bytes; it is deleted again unless `take` is called. Raises Busy, UserError."""
        check_packages()
        if Path(clean_name(name)).suffix.lower() not in FILMS:
            raise UserError(f"{clean_name(name)}: is not a film by its name ({', '.join(FILMS)})")
        with self._lock:
            here = [*self.receiving, *(film.address for film in self.films.values())]
            if len(here) >= MOST_FILMS:
                raise Busy(f"{MOST_FILMS} films are here already: remove one, or try again later")
            if here.count(address) >= MOST_OF_ONE:
                raise Busy(f"{MOST_OF_ONE} films of yours are here already: remove one first")
            if shutil.disk_usage(self.folder).free < ROOM * size + LEAST_FREE:
                raise Busy("there is no room for this film on the server: remove others, or try again later")
            self.receiving.append(address)
        with new_folder(self.folder, self.films, self.receiving, address, self._lock) as folder:
            yield folder

    def take(self, folder: Path, name: str, settings: Settings, address: str = "") -> Film:
        """Order a look at the film `upload` in a folder of `receive`."""
        film = Film(folder.name, clean_name(name), folder, settings, address)
        (folder / "upload").rename(film.source)
        with self._lock:
            self.films[film.id] = film
        self._looks.submit(self._look, film)
        return film

    def find(self, id: str) -> Film | None:
        """The film with a key, which is kept for longer now; None if there is none (any more)."""
        film = self.films.get(id)
        if film:
            film.asked = time.monotonic()
        return film

    def describe(self, film: Film) -> dict:
        """What the page shows of a film; `ahead` is the number of films before it."""
        with self._lock:
            others = [other for other in self.films.values() if other.state in AT_WORK and other.ticket < film.ticket]
        said = {name: getattr(film, name) for name in ("id", "name", "state", "sentence", "notes", "about", "version")}
        said |= {name: getattr(film, name) for name in ("like", "deinterlace", "progress", "ticket")}
        return said | {
            "ahead": len(others),
            "hints": len(film.hints),
            "settings": {name: getattr(film.settings, name) for name in ("weights", "size", "strength")},
            "result": film.result.exists(),
            "current": film.made == film.choices,
            "pair": film.state == DONE and film.pair.exists(),
        }

    def change(self, film: Film, settings: Settings, deinterlace: bool) -> None:
        """Give a film other settings, and its stills the colours of these. Raises UserError."""
        self._refuse_at_work(film)
        with film.lock:
            if settings._replace(strength=1) != film.settings._replace(strength=1):  # the page itself mixes
                self._color_stills(film, settings, film.like)
            film.settings, film.deinterlace = settings, deinterlace

    def make_like(self, film: Film, photo: Path | None, name: str | None = None) -> None:
        """Give a film the colours of a photo, None: no longer. Raises UserError."""
        self._refuse_at_work(film)
        with film.lock:
            if photo:
                self._photos.colorizer_for(film.settings.weights).reference(photo)  # it raises
                photo.replace(film.reference)
            self._color_stills(film, film.settings, name)
            film.like = name

    def hint(self, film: Film, text: str) -> None:
        """Give a film the points of a `FILM.hints.json`. Raises UserError, OSError."""
        if film.state in AT_WORK:
            raise UserError(f"{film.name}: is being coloured: stop that first")
        given, kept = film.folder / "given.json", hints_file(film.source)
        given.write_text(text, encoding="utf-8")
        try:
            hints = read_hints(given, FilmHint)
            if any(isinstance(hint, FilmLike) for hint in hints):  # it would open any file of the server
                raise UserError(f'{given}: "like" is not for the page: choose the photo there')
        except UserError as error:
            given.unlink()
            raise UserError(str(error).replace(str(given), hints_file(film.name).name)) from None
        given.replace(kept)
        film.hints = tuple(hints)

    def start(self, film: Film) -> None:
        """Order a film's colours. What a stopped work has finished with the same settings is gone on with."""
        self._refuse_at_work(film)
        with self._lock:
            film.ticket, film.state, film.sentence, film.progress = next(self._tickets), WAITING, None, None
            film.made = film.choices
            for path in (film.result, film.pair, *film.folder.glob(f"{UNFINISHED}*-*")):  # pieces are gone on with
                path.unlink(missing_ok=True)
            self._works.submit(self._work, film, film.ticket)

    def stop(self, film: Film) -> None:
        """Stop a film's work, at once."""
        with self._lock:
            if film.state not in AT_WORK:
                return
            film.state = DONE if film.state == SHOWING else READY  # while SHOWING the film itself is there
            film.ticket = next(self._tickets)
            _kill(film.process)

    def remove(self, id: str) -> None:
        """Forget a film and delete its files."""
        with self._lock:
            film = self.films.pop(id, None)
            process = film and film.process
            _kill(process)
        if process:
            process.wait()
        if film:
            shutil.rmtree(film.folder, ignore_errors=True)

    def sweep(self) -> None:
        """Forget the films that no page has asked for in `KEPT_SECONDS`."""
        oldest = time.monotonic() - KEPT_SECONDS
        for film in list(self.films.values()):
            if film.asked < oldest:
                self.remove(film.id)

    def close(self) -> None:
        """End all work at once."""
        self._is_closed = True
        for id in list(self.films):
            self.remove(id)
        for pool in (self._looks, self._works):
            pool.shutdown(cancel_futures=True)

    def _refuse_at_work(self, film: Film) -> None:
        if film.state in AT_WORK:
            raise UserError(f"{film.name}: is being coloured: stop that first")
        if film.about is None:
            raise UserError(f"{film.name}: is still being looked at")

    def _look(self, film: Film) -> None:
        """Look a film through, and colour its stills; in a thread."""
        timer = threading.Timer(LOOK_SECONDS, lambda: _kill(film.process))
        timer.start()
        try:
            about = None
            for said in self._said(film, film.ticket, LOOKING, do=LOOK, folder=str(film.folder)):
                about = said.get("about")
            if about is None:
                raise UserError(f"{film.name}: can't be read within two minutes: convert it to MP4 first")
            film.notes = about.pop("notes")
            for number in range(len(about["times"])):
                _save(Image.fromarray(np.load(still(film.folder, number))), film.picture(number, is_after=False))
            with film.lock:
                self._color_stills(film, film.settings, None)
            film.about, film.state = about, READY
        except Exception as error:  # noqa: BLE001 (nothing else would hear of it)
            self._failed(film, error)
        finally:
            timer.cancel()

    def _color_stills(self, film: Film, settings: Settings, like: str | None) -> None:
        colorizer = self._photos.colorizer_for(settings.weights)
        if not colorizer.keeps_light:
            raise UserError(f"the weights {settings.weights} repaint the light: choose others for films")
        reference = colorizer.reference(film.reference, settings.size) if like else None
        version, stale = next(self._tickets), film.folder.glob(f"after-{film.version}-*.jpg")
        for number in itertools.count():
            if not (path := still(film.folder, number)).exists():
                break
            pixels = colorizer.pixels(np.load(path), size=settings.size, strength=1, like=reference)
            _save(Image.fromarray(pixels), film.folder / f"after-{version}-{number}.jpg")
        film.version = version
        for path in stale:
            path.unlink(missing_ok=True)

    def _work(self, film: Film, ticket: int) -> None:
        """A film's turn; in a thread."""
        if film.ticket != ticket:
            return
        settings, notes = film.settings, None
        try:
            order = {"size": settings.size, "strength": settings.strength, "deinterlace": film.deinterlace}
            order |= {"target": str(film.result), "pair": str(film.pair)}
            order["like"] = str(film.reference) if film.like else None
            order["hints"] = str(hints_file(film.source)) if film.hints else None
            path = weights_found(self._photos.runs)[settings.weights].path
            for said in self._said(film, ticket, COLOURING, do=COLOR, weights=path and str(path), **order):
                if "made" in said:
                    film.notes, film.state, film.progress, notes = said["made"], SHOWING, None, said["made"]
                elif "stage" in said and film.ticket == ticket:
                    film.progress = said["done"], said["total"], said["rate"]
            if film.ticket == ticket and not film.pair.exists():
                raise UserError(f"{film.name}: its work was ended by the system, which may lack memory: try again")
        except Exception as error:  # noqa: BLE001
            if film.ticket == ticket:
                self._failed(film, error, keeps=notes is not None)
            return
        with self._lock:
            if film.ticket == ticket:
                film.state, film.progress = DONE, None

    def _said(self, film: Film, ticket: int, state: str, **order) -> Iterator[dict]:
        """What a process of its own says while it works on a film. Raises UserError with its sentence."""
        with self._lock:  # who stops the film finds the process with the state, or comes before both
            if self._is_closed or film.id not in self.films or film.ticket != ticket:
                return
            film.state = state
            film.process = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                start_new_session=os.name == "posix",  # Ctrl-C is for the server, which ends it
            )
        with film.process as process:
            try:
                process.stdin.write(json.dumps({"film": str(film.source), **order}) + "\n")
                process.stdin.flush()
                for line in process.stdout:
                    said = json.loads(line)
                    if "sentence" in said:
                        raise UserError(in_users_words(said["sentence"], film))
                    yield said
                    self._check_room(film)
                if process.wait() == 1:  # it has printed why
                    raise UserError(_BUG.format(film.name))
            finally:
                process.kill()
                process.wait()
                film.process = None

    def _check_room(self, film: Film) -> None:
        """Raise UserError when a film takes too much of the disk."""
        if bytes_below(film.folder) > MOST_MADE or shutil.disk_usage(film.folder).free < LEAST_FREE:
            raise UserError(f"{film.name}: there is no room for it on the server any more: try again later")

    def _failed(self, film: Film, error: Exception, keeps: bool = False) -> None:
        if film.id not in self.films:  # removed meanwhile
            return
        if not isinstance(error, UserError):
            logging.getLogger(__name__).error("while a film was coloured", exc_info=error)
            error = UserError(_BUG.format(film.name))
        with self._lock:
            film.sentence, film.state, film.progress = str(error), DONE if keeps else FAILED, None


_BUG = "{}: could not be coloured because of a bug in fastcolor, see what the server printed"


def _kill(process: subprocess.Popen | None) -> None:
    if process:
        process.kill()


def _save(image: Image.Image, path: Path) -> None:
    file = BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    path.write_bytes(file.getvalue())
