"""A film from its file to a coloured film: frames are read, coloured and encoded at the same time, piece by piece.

    read ─▶ small greys ─ follow ─▶ a, b ─ light ─▶ planes ─ encoder ─▶ pieces ─ write ─▶ the film, whole
     └────────────── grey planes wait ─────────┘

One thread decodes, one follows the motion and runs the network, this one colours and feeds the encoder, which has threads of
its own. What waits between them is bounded, so memory does not grow with the film.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from queue import Full, Queue
from threading import Event, Thread
from typing import NamedTuple

import numpy as np

from fastcolor.files import write_whole
from fastcolor.film.follow import Key, Paint, follow
from fastcolor.film.kinds import CODECS, codec_for
from fastcolor.film.pieces import Pieces
from fastcolor.film.progress import Progress
from fastcolor.film.read import About, Frame, look_at, read_frames
from fastcolor.film.write import Encoder, write_film
from fastcolor.photo.xmp import Mark

PIECE = 240  # frames, at least, that are kept together: some ten seconds are lost when a run is stopped
AHEAD = 4  # frames that wait between two threads


class Network(NamedTuple):
    """What colours: `paint` gives a and b of a small grey, `size` its height and width for those of a frame."""

    paint: Paint
    size: Callable[[int, int], tuple[int, int]]


@dataclass(frozen=True)
class HowFilm:
    """How films are coloured and written; see the command's flags. `settings`: further ones, of the network."""

    codec: str | None = None
    crf: int | None = None
    deinterlace: bool = False
    strength: float = 1.0
    mark: Mark | None = None
    settings: dict = field(default_factory=dict)


@dataclass
class Made:
    """What became of a film."""

    frames: int
    width: int
    height: int
    notes: list[str]


def color_film(source: Path, target: Path, network: Network, how: HowFilm = HowFilm()) -> Made:
    """Colour a film, whole or not at all. What a stopped run has finished is gone on with, to the same frames.

    Raises UnreadablePhoto for what is no film, UserError for what can't be written as asked, OSError if the disk is full.
    """
    codec = codec_for(target, how.codec)
    about = look_at(source, CODECS[codec].formats)
    if about.top_first is not None:
        done = "its two fields were put together" if how.deinterlace else "stays so, --deinterlace puts the fields together"
        about.notes.append(f"interlaced: {done}")
    found = source.stat()
    settings = {"bytes": found.st_size, "time": found.st_mtime_ns, "codec": codec, "crf": how.crf}
    settings |= {"deinterlace": how.deinterlace, "strength": how.strength, **how.settings}
    about = about.deinterlaced() if how.deinterlace else about
    target.parent.mkdir(parents=True, exist_ok=True)
    with Pieces(target, settings) as pieces:
        frames = _encode(source, about, network, how, codec, pieces)
        with write_whole(target, lasting=True) as temporary:
            encoded = pieces.encoded()
            notes = write_film(source, temporary, target, about, encoded, codec, how.crf, how.mark)
        pieces.remove()
    return Made(frames, about.width, about.height, list(dict.fromkeys(about.notes + notes)))


def _encode(source: Path, about: About, network: Network, how: HowFilm, codec: str, pieces: Pieces) -> int:
    """Colour and encode all frames that no piece has yet. Gives how many the film has."""
    frames, done, start = _frames_left(source, about, network, how, pieces)
    waiting: deque[Frame] = deque()

    def smalls() -> Iterator[np.ndarray]:
        with closing(_ahead(frames)) as coming:
            for frame in coming:
                waiting.append(frame)
                yield frame.small

    def followed() -> Iterator[tuple[Frame, np.ndarray, Key | None]]:
        with closing(smalls()) as greys:
            for ab, key in follow(greys, network.paint, start):
                yield waiting.popleft(), ab, key

    progress, encoder, encoded, since, frame = Progress(about.frames, done), None, [], 0, None
    try:
        with closing(_ahead(followed())) as coming:
            for frame, ab, key in coming:
                encoder = encoder or Encoder(about, codec, how.crf)
                planes = about.light.colored(frame.grey, about.stored(ab), about.chroma, frame.own, how.strength)
                encoded += encoder.encode(planes, frame.pts, frame.duration)
                since += 1
                if key is not None:
                    last = key
                    if since >= PIECE:
                        pieces.add(encoded + encoder.encode(None), since, frame.pts, key)
                        done, since, encoded, encoder = done + since, 0, [], None
                progress.add()
        if encoder:
            pieces.add(encoded + encoder.encode(None), since, frame.pts, last)
    finally:
        progress.end()
    return done + since


def _frames_left(
    source: Path, about: About, network: Network, how: HowFilm, pieces: Pieces
) -> tuple[Iterator[Frame], int, Key | None]:
    """The frames that no piece has yet, how many are done, and the colours of the last one of these."""
    height, width = about.height, max(1, round(about.width * about.aspect))
    small = network.size(*((height, width) if about.rotation % 180 == 0 else (width, height)))

    def read(after: int | None = None, wind: bool = False) -> Iterator[Frame]:
        return read_frames(source, about, small, how.strength < 1, how.deinterlace, after, wind)

    last = pieces.last()
    if last:
        done, pts, key = last
        for wind in (True, False):  # some files can't be wound on, or not to the same frames
            frames = read(pts, wind)
            frame = next(frames, None)
            if frame and frame.pts == pts and np.array_equal(frame.small, key.grey):
                return frames, done, key
            frames.close()
        pieces.clear()
    return read(), 0, None


def _ahead(items: Iterator) -> Iterator:
    """The items, which a thread of their own makes, a few ahead of whoever takes them."""
    made: Queue = Queue(AHEAD)
    is_over = Event()

    def put(item: object) -> bool:
        while not is_over.is_set():
            try:
                made.put(item, timeout=0.1)
                return True
            except Full:
                continue
        return False

    def work() -> None:
        try:
            with closing(items):
                for item in items:
                    if not put((item, None)):
                        return
            put((None, None))
        except BaseException as error:  # noqa: BLE001 (it is raised where the items are taken)
            put((None, error))

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, error = made.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        is_over.set()
        thread.join()
