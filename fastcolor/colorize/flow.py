"""Many photos at once: one thread reads the next page, one writes the last, while this one colours."""

import errno
import os
import queue
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from fastcolor.colorize.plan import Job
from fastcolor.colorize.record import SYSTEM
from fastcolor.errors import UnreadablePhoto, UserError, one_line, printable
from fastcolor.photo.formats import format_of
from fastcolor.photo.opening import MEMORY, is_coloured, needs_of
from fastcolor.photo.page import Page, Photo
from fastcolor.photo.read import read_pages
from fastcolor.photo.tone import is_in_color
from fastcolor.photo.write import write_photo
from fastcolor.photo.xmp import Mark

AHEAD = 2  # pages decoded, and pages being written, while one is coloured: more would take memory and gain nothing
READING, COLOURING, WRITING = "reading", "colouring", "writing"
STOPPING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
"""Errors of a file that all later files would meet, too."""

Paint = Callable[..., np.ndarray]
"""Colours an array: see `Colorizer.pixels`; `hints` and `notes` are given for photos that have hints."""


@dataclass(frozen=True)
class How:
    """How photos are coloured and written; see the command's flags."""

    quality: int = 95
    side_by_side: bool = False
    mark: Mark | None = None
    tolerant: bool = False
    keep_time: bool = False
    skip_color: bool = False


@dataclass
class Outcome:
    """What became of a photo: coloured, with notes on what differs; or `failure` says why not, or `left_out`."""

    notes: list[str] = field(default_factory=list)
    failure: str | None = None
    left_out: str | None = None
    was_in_color: bool = False
    shape: tuple[int, int] | None = None  # width, height of the first page
    pages: int = 0
    frames: int = 0  # of a film
    seconds: float = 0.0
    retried: int = 0  # how often its process died before (see `remote.on_ray`)


OURS, IN_COLOR = "results of fastcolor itself", "in colour already"
DEVELOPED = "raw files whose photo lies beside them"
"""Why a photo may be left out."""


class _LeftOut(Exception):
    pass


class _Work:
    """A job on its way."""

    def __init__(self, job: Job, needs: list[int]):
        self.job, self.needs, self.photo, self.outcome = job, needs or [0], Photo([]), Outcome()
        self.pages: Iterator[Page] | None = None
        self.inbox: queue.SimpleQueue[Page | BaseException | None] = queue.SimpleQueue()
        self.given: deque[Future] = deque()  # for each page in the inbox, one that ends when it has been written
        self.writing: Future | None = None
        self.begun = time.monotonic()

    def coming(self) -> Iterator[Page]:
        """The coloured pages, as they come; in the thread that writes."""
        while True:
            page = self.inbox.get()
            if page is None:
                return
            if isinstance(page, BaseException):
                raise page
            yield page
            page = None  # or its pixels would be held until the next one comes
            self.given.popleft().set_result(None)


@dataclass
class _Step:
    """One page of a job."""

    work: _Work
    need: int
    is_last: bool
    reading: Future | None = None
    written: Future = field(default_factory=Future)


def color_all(
    jobs: Iterable[Job],
    paint: Paint,
    how: How = How(),
    tell: Callable[[Job, str], None] = lambda job, state: None,
) -> Iterator[tuple[Job, Outcome]]:
    """Colour photos page by page, and give each job with what became of it.

    Pages that are on their way together hold only as many pixels as fit into `MEMORY`: large ones wait until there is
    room. `tell` is called when a job's READING, COLOURING or WRITING begins, from the thread that does it. Raises
    OSError where no later photo could be written either: the disk is full.
    """
    reader, writer = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
    steps, coming, going, held = _steps(jobs), deque(), deque(), 0
    following = next(steps, None)
    try:
        while following or coming or going:
            while following and len(coming) < AHEAD and (not held or held + following.need <= MEMORY):
                following.reading = reader.submit(_read, following.work, how, tell)
                coming.append(following)
                held += following.need
                following = next(steps, None)
            is_coming = bool(coming) and len(going) < AHEAD
            step = coming.popleft() if is_coming else going.popleft()
            try:
                if is_coming:
                    _pass_on(step, paint, how, tell, writer)
                    going.append(step)
                    continue
                _finish(step)
            except Exception as error:
                if isinstance(error, OSError) and error.errno in STOPPING:
                    raise
                _fail(step.work, error)
            held -= step.need
            if step.is_last:
                step.work.outcome.seconds = time.monotonic() - step.work.begun
                yield step.work.job, step.work.outcome
    finally:  # Ctrl-C, or a full disk: what is being written is finished if it can be, nothing more is begun
        for step in (*coming, *going):
            step.work.inbox.put(_LeftOut())
        reader.shutdown(cancel_futures=True)
        writer.shutdown(cancel_futures=True)


def _steps(jobs: Iterable[Job]) -> Iterator[_Step]:
    for job in jobs:
        is_ours = job.was_found and is_coloured(job.source, SYSTEM)
        work = _Work(job, [] if is_ours else needs_of(job.source))
        work.outcome.left_out = OURS if is_ours else None
        for number, need in enumerate(work.needs, 1):
            yield _Step(work, need, number == len(work.needs))


def _read(work: _Work, how: How, tell: Callable[[Job, str], None]) -> Page | None:
    """The next page; None where the work has ended before."""
    if work.outcome.failure or work.outcome.left_out:
        return None
    if work.pages is None:
        tell(work.job, READING)
        work.begun = time.monotonic()
        work.pages = read_pages(work.job.source, work.photo, how.tolerant, together=False)
    with _quiet():
        page = next(work.pages, None)
    if page is None:
        raise UnreadablePhoto(work.job.source, "was changed while it was read: colour it again")
    return page


def _pass_on(step: _Step, paint: Paint, how: How, tell: Callable[[Job, str], None], writer: ThreadPoolExecutor) -> None:
    """Colour a page, when it has been read, and hand it to the thread that writes."""
    work, page = step.work, step.reading.result()
    step.reading = None  # it holds on to the page
    if page is None or work.outcome.failure:
        return
    tell(work.job, COLOURING)
    if work.outcome.pages == 0:
        format = format_of(work.job.target)
        if len(work.needs) > 1 and not format.pages:
            raise UserError(f"{format.name} can't hold its {len(work.needs)} pages: choose --format tif")
        work.outcome.was_in_color = is_in_color(page.pixels)
        work.outcome.shape = page.pixels.shape[1::-1]
        if work.outcome.was_in_color and how.skip_color:
            work.outcome.left_out = IN_COLOR
            return
    page = _colored(page, _with_hints(paint, work), how)
    work.outcome.pages += 1
    work.given.append(step.written)
    work.inbox.put(page)
    if step.is_last:
        work.inbox.put(None)
    if work.writing is None:
        work.writing = writer.submit(_write, work, how, tell)


def _with_hints(paint: Paint, work: _Work) -> Paint:
    """What colours the next page: hints are for the first one."""
    hints = work.job.hints
    if not hints or work.outcome.pages:
        return paint
    if len(work.needs) > 1:
        work.photo.notes.append("its hints are for the first page")
    return partial(paint, hints=hints, notes=work.photo.notes)


def _finish(step: _Step) -> None:
    """Wait until a page has been written; after the last one, for the file."""
    work = step.work
    if work.writing is None:
        return
    wait([work.writing] if step.is_last else [step.written, work.writing], return_when=FIRST_COMPLETED)
    if work.writing.done():
        notes = work.writing.result()
        if step.is_last:
            work.outcome.notes = list(dict.fromkeys(work.photo.notes + notes))


def _fail(work: _Work, error: Exception) -> None:
    """Note why a job failed, once, and let go of what was begun."""
    if work.outcome.failure:
        return
    if isinstance(error, MemoryError):
        error = "needs more memory than there is: make it smaller first"
    elif isinstance(error, OSError):
        error = f"{work.job.target} can't be written ({error.strerror or one_line(error)}): give another folder or name"
    elif not isinstance(error, UserError):
        raise error
    work.outcome.failure = str(error).removeprefix(printable(f"{work.job.source}: "))
    if work.writing:
        work.inbox.put(_LeftOut())
        wait([work.writing])


def _colored(page: Page, paint: Paint, how: How) -> Page:
    before, alpha = page.pixels, page.alpha
    after = paint(before)
    if how.side_by_side:
        before = before if before.ndim == 3 else np.repeat(before[..., None], 3, axis=2)
        after = np.concatenate([before, after], axis=1)
        alpha = alpha if alpha is None else np.concatenate([alpha, alpha], axis=1)
    return Page(after, alpha, replace(page.metadata, mark=how.mark))


def _write(work: _Work, how: How, tell: Callable[[Job, str], None]) -> list[str]:
    """Write a coloured photo; notes on what the format can't hold."""
    tell(work.job, WRITING)
    notes = write_photo(Photo(work.coming()), work.job.target, how.quality)
    if how.keep_time:
        found = work.job.source.stat()
        os.utime(work.job.target, ns=(found.st_atime_ns, found.st_mtime_ns))
    return notes


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the lines that libtiff writes to stderr, past Python, on broken files."""
    if sys.stderr is None:
        yield
        return
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
