"""Files written whole or not at all, work in threads, and progress bars."""

import csv
import os
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from pathlib import Path, PurePath

from fastcore.imports import IN_NOTEBOOK


def progress_bar(items: Iterable, total: int | None = None, unit: str | None = None) -> Iterator:
    """Wrap `items` in fastprogress's bar, with how many of `unit` are done in a second.

    No bar is drawn where output goes into a file or a pipe.
    """
    if not shows_progress():
        yield from items
        return
    from fastprogress.fastprogress import progress_bar as bar  # here: colouring a photo must not wait for it

    shown, start = bar(items, total=total, leave=False), time.monotonic()
    for done, item in enumerate(shown, 1):
        yield item
        if unit:
            shown.comment = f"{done / (time.monotonic() - start):.1f} {unit}/s"


def shows_progress() -> bool:
    """Whether bars are drawn: in a terminal and in a notebook."""
    return sys.stdout.isatty() or IN_NOTEBOOK


def is_inside(name: str) -> bool:
    """Whether a path that a file from elsewhere names stays below the folder that it is appended to."""
    path = PurePath(name)
    is_relative = bool(path.parts) and not path.is_absolute() and not path.drive
    return is_relative and ".." not in path.parts and "\0" not in name


UNFINISHED = ".part-"
"""How the names of files begin that are being written; a killed process leaves such files behind."""


@contextmanager
def write_whole(path: str | Path, lasting: bool = False) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` when the block ends well, else delete it.

    With `lasting`, it is renamed only once the content is on the disk: otherwise a power cut may leave an empty file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f"{UNFINISHED}{path.stem[:40]}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    try:
        yield Path(name)
        if lasting:
            with open(name, "r+b") as written:  # +, or Windows refuses
                os.fsync(written.fileno())
        os.chmod(name, 0o666 & ~_UMASK)  # mkstemp makes files that only their owner may read
        os.replace(name, path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError) and not error.filename:  # a failed write (disk full) does not know its file
            error.filename = str(path)
        raise


_UMASK = os.umask(0)
os.umask(_UMASK)


_MOST: int | None = None


def use_cores(most: int) -> None:
    """From now on this process uses at most so many cores: others beside it use the rest."""
    global _MOST
    _MOST = most


def cores() -> int:
    """How many cores this process may use."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(there, _MOST or there)


def in_threads(function: Callable, items: Iterable) -> Iterator:
    """`function` of each item, in order of completion: one thread per core, only a few items ahead of the consumer."""
    items = iter(items)
    workers = cores()
    with ThreadPoolExecutor(workers) as pool:
        running = {pool.submit(function, item) for item in islice(items, 4 * workers)}
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                running |= {pool.submit(function, item) for item in islice(items, len(done))}
                yield from (future.result() for future in done)
        finally:  # Ctrl-C, or a full disk: don't work through what is still queued
            pool.shutdown(cancel_futures=True)


def in_order(function: Callable, items: Iterable, ahead: int = 2, workers: int = 1) -> Iterator:
    """`function` of each item, in their order: threads work while the consumer is busy with earlier ones."""
    with ThreadPoolExecutor(workers) as pool:
        waiting = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def write_csv(path: str | Path, columns: Iterable[str], rows: Iterable[Iterable]) -> None:
    """Write a CSV file in UTF-8, whole or not at all; file names that are not UTF-8 keep their bytes."""
    text = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
    with write_whole(path, lasting=True) as temporary, open(temporary, "w", **text) as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
