"""What colours a folder's photos and films, in one process or in each of many: a network, loaded once.

worker = Worker(order)
for job, outcome in worker.near(photos, films): ...     # files on this machine
for job, outcome in worker.far(jobs, Far()): ...        # files at addresses: fetched, coloured, brought back
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain

from fastcolor.colorize.films import FilmFlags, color_films
from fastcolor.colorize.flow import How, Outcome, color_all
from fastcolor.colorize.plan import Job
from fastcolor.errors import UserError
from fastcolor.files import in_order, progress_bar
from fastcolor.film.kinds import FILMS, is_film
from fastcolor.remote.far import Far
from fastcolor.remote.store import Unreachable

AHEAD = 4  # files on their way here, and as many on their way back: they hide the time that a server takes to answer
IN_A_ROW = 20  # files that a server fails to give or take, until it counts as gone


@dataclass(frozen=True)
class Order:
    """All that a process must know to colour photos; see the command's flags."""

    weights: str | None
    size: int | None
    strength: float
    chroma: str
    device: str
    like: str | None
    how: How
    flags: FilmFlags
    settings: dict


class Worker:
    """A network, loaded as ordered. Raises UserError for weights that can't be used."""

    def __init__(self, order: Order):
        # not sooner: loading what runs networks takes longer than saying that a path is wrong
        from fastcolor.colorize.colorizer import Colorizer

        self.order = order
        look = {"size": order.size, "strength": order.strength, "chroma": order.chroma}
        self.colorizer = Colorizer(order.weights, **look, device=order.device)
        self._like = None if order.like is None else self.colorizer.reference(order.like)
        self._paint = self.colorizer.pixels if order.like is None else partial(self.colorizer.pixels, like=self._like)

    def near(self, photos: list[Job], films: list[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Colour files of this machine. Raises OSError where no later one could be written."""
        with closing(color_all(photos, self._paint, self.order.how)) as results:
            # a film shows how far it is by itself
            shown = progress_bar(results, total=len(photos), unit="photos") if photos else results
            yield from chain(shown, self._films(films))

    def far(self, jobs: Iterable[Job], far: Far) -> Iterator[tuple[Job, Outcome]]:
        """Colour files at addresses, and bring results to addresses; files of this machine may be among them."""
        missing: deque[tuple[Job, Outcome]] = deque()
        films: list[Job] = []

        def photos() -> Iterator[Job]:
            for job, failure in in_order(lambda job: _fetched(job, far), _but_films(jobs, films), AHEAD, AHEAD):
                if failure:
                    missing.append((job, failure))
                elif is_film(job.source):  # a picture that moves
                    films.append(job)
                else:
                    yield job

        def results() -> Iterator[tuple[Job, Outcome]]:
            with closing(color_all(photos(), self._paint, self.order.how)) as colored:
                for each in colored:
                    yield each
                    while missing:
                        yield missing.popleft()
            yield from missing
            for job in films:
                _, failure = _fetched(job, far)
                yield from [(job, failure)] if failure else self._films([job])

        with closing(in_order(lambda result: _delivered(*result, far), results(), AHEAD, AHEAD)) as done:
            yield from done

    def _films(self, films: list[Job]) -> Iterator[tuple[Job, Outcome]]:
        order = self.order
        return color_films(films, self.colorizer, order.flags, order.settings, order.how, self._like)


class _Missing(Outcome):
    """Of a file that a server did not give or take."""


def until_gone(results: Iterable[tuple[Job, Outcome]], far: Far) -> Iterator[tuple[Job, Outcome]]:
    """The results, until a server has failed to give or take so many files in a row that it is gone: UserError then."""
    in_a_row = 0
    for job, outcome in results:
        in_a_row = in_a_row + 1 if isinstance(outcome, _Missing) else 0
        yield job, outcome
        if in_a_row == IN_A_ROW:
            what = f"{IN_A_ROW} files in a row could not be fetched or written, the last {far.show(job.source)}"
            raise UserError(f"{what}: {outcome.failure}; the same command goes on from here")


def _but_films(jobs: Iterable[Job], films: list[Job]) -> Iterator[Job]:
    """The jobs but those of films, which are put aside: they are large, and fetched one by one."""
    for job in jobs:
        if job.source.suffix.lower() in FILMS:
            films.append(job)
        else:
            yield job


def _fetched(job: Job, far: Far) -> tuple[Job, Outcome | None]:
    try:
        far.fetch(job.source)
    except Unreachable as error:
        far.forget(job.source)
        return job, _Missing(failure=error.reason)
    return job, None


def _delivered(job: Job, outcome: Outcome, far: Far) -> tuple[Job, Outcome]:
    """Bring a result to where it belongs, and delete what was made and fetched here."""
    try:
        if os.path.exists(job.target) and not outcome.failure:
            far.deliver(job.target)
    except Unreachable as error:
        outcome = _Missing(failure=error.reason)
    finally:
        far.forget(job.source)
        far.forget(job.target)
    for path in (job.source, job.target):
        outcome.failure = outcome.failure and outcome.failure.replace(str(path), str(far.show(path)))
    return job, outcome
