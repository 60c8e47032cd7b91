"""Photos in folders: find them, write whole files or none, convert a tree in parallel."""

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
    """Wrap `items` in fastprogress's bar, with how many of `unit` are done in a second; silent where nobody looks.

    That is where output goes into a file or a pipe.
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
    """Whether a relative path, as a file from elsewhere names it, stays below the folder that it is appended to."""
    path = PurePath(name)
    return bool(path.parts) and not path.is_absolute() and not path.drive and ".." not in path.parts and "\0" not in name


UNFINISHED = ".part-"
"""What names of files begin with that are being written; a killed process leaves them behind."""


@contextmanager
def write_whole(path: str | Path, lasting: bool = False) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` when the block ends well, delete it when it does not.

    `lasting`: not before the disk has the content, or after a power cut there may be a name without any.
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


def in_threads(function: Callable, items: Iterable) -> Iterator:
    """`function` of each item, in the order of completion, one thread per core, few items ahead of the consumer."""
    items = iter(items)
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        running = {pool.submit(function, item) for item in islice(items, 4 * workers)}
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                running |= {pool.submit(function, item) for item in islice(items, len(done))}
                yield from (future.result() for future in done)
        finally:  # Ctrl-C, or a full disk: don't work through what is still queued
            pool.shutdown(cancel_futures=True)


def in_order(function: Callable, items: Iterable, ahead: int = 2) -> Iterator:
    """`function` of each item, in their order, worked out by one thread while the consumer is busy with earlier ones."""
    with ThreadPoolExecutor(1) as pool:
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
    """Write a CSV file in UTF-8, whole or not at all; file names that are not text, as Linux allows, stay the same."""
    text = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
    with write_whole(path, lasting=True) as temporary, open(temporary, "w", **text) as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
