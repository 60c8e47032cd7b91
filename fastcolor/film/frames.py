"""Frames on their way through the network: read ahead, followed, and handed on with their colours."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from queue import Full, Queue
from threading import Event, Thread
from typing import NamedTuple, TypeVar

import numpy as np

from fastcolor.film.back import CHUNK, Moment, from_their_starts
from fastcolor.film.follow import Key, Paint, follow
from fastcolor.film.progress import Progress, Tell
from fastcolor.photo.xmp import Mark

AHEAD = 4  # frames that wait between two threads
Frame = TypeVar("Frame")
"""Whatever has `small`, a grey as the network sees it, and `time`, in seconds."""


class Network(NamedTuple):
    """What colours: `paint` gives a and b of a small grey, `size` its height and width for those of a frame.

    `moments` are where colours are told.
    """

    paint: Paint
    size: Callable[[int, int], tuple[int, int]]
    moments: Sequence[Moment] = ()


@dataclass(frozen=True)
class HowFilm:
    """How films are coloured and written; see the command's flags. `settings`: further ones, of the network.

    `tell` is told how far it is; None: that is printed.
    """

    codec: str | None = None
    crf: int | None = None
    deinterlace: bool = False
    strength: float = 1.0
    mark: Mark | None = None
    settings: dict = field(default_factory=dict)
    tell: Tell | None = None


@dataclass
class Made:
    """What became of a film."""

    frames: int
    width: int
    height: int
    notes: list[str]


def from_the_scenes_start(network: Network, frames: Callable[[float], Iterator[Frame]], rate: float) -> Network:
    """The network, to which is told from each scene's start on what is told of it at some moment.

    `frames` from a time on, or from some earlier one; about `rate` of them make one unit of time.
    """

    def until(time: float) -> list[tuple[float, np.ndarray]]:
        last: deque[tuple[float, np.ndarray]] = deque(maxlen=CHUNK)
        with closing(frames(time - CHUNK / rate)) as coming:
            for frame in coming:
                last.append((frame.time, frame.small))
                if frame.time >= time:
                    return list(last)
        return []

    return network._replace(moments=from_their_starts(list(network.moments), until))


def colored_frames(
    frames: Iterator[Frame],
    network: Network,
    total: int,
    done: int = 0,
    start: Key | None = None,
    time: float = -1.0,
    tell: Tell | None = None,
) -> Iterator[tuple[Frame, np.ndarray, Key | None]]:
    """Frames with their colours, see `follow`, and progress to be seen.

    Of about `total` frames, `done` were before; the last of these had this `time`, and is the key frame of `start`.
    """
    waiting: deque[Frame] = deque()
    since = until = time

    def smalls() -> Iterator[np.ndarray]:
        nonlocal since, until
        with closing(_ahead(frames)) as coming:
            for frame in coming:
                waiting.append(frame)
                since, until = until, frame.time
                yield frame.small

    def told() -> np.ndarray:
        height, width = waiting[-1].small.shape
        new = [(x * width, y * height, number) for t, x, y, number in network.moments if since < t <= until]
        return np.float32(new).reshape(-1, 3)

    def followed() -> Iterator[tuple[Frame, np.ndarray, Key | None]]:
        with closing(smalls()) as greys:
            for ab, key in follow(greys, network.paint, start, told):
                yield waiting.popleft(), ab, key

    progress = Progress(total, done, tell)
    try:
        with closing(_ahead(followed())) as coming:
            for each in coming:
                yield each
                progress.add()
    finally:
        progress.end()


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
