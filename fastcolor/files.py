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
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePath

from fastcore.imports import IN_NOTEBOOK

from fastcolor.errors import UnreadablePhoto, UserError

SUFFIXES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".gif": "GIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
}
"""What counts as a photo in a folder, and the format in which such a file is written."""


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


def find_photos(folder: str | Path, unreadable: Callable[[OSError], None] | None = None) -> list[Path]:
    """All files below `folder` named like photos, as sorted paths relative to it.

    Links to folders are not followed, hidden files and folders (.thumbnails) left out; `unreadable` is told of folders
    that may not be read. Raises UserError if `folder` is missing, is a file, may not be read, or holds no photo.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise UserError(f"{folder} {what}: give a folder of photos")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise UserError(f"{folder} may not be read: check its permissions")
    found = [
        Path(root, name).relative_to(folder)
        for root, _, names in os.walk(folder, onerror=unreadable)
        for name in names
        if Path(name).suffix.lower() in SUFFIXES
    ]
    found = [path for path in found if not any(part.startswith(".") for part in path.parts)]
    if not found:
        raise UserError(f"{folder} holds no photos ({', '.join(sorted(SUFFIXES))}): give a folder that does")
    return sorted(found)


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


@dataclass
class Summary:
    """What a pass over a folder did: counts, and (path, reason) for every file that could not be read."""

    written: int = 0
    skipped: int = 0
    unreadable: list[tuple[Path, str]] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.written:,} written, {self.skipped:,} skipped, {len(self.unreadable):,} unreadable"


def convert_folder(
    src: str | Path,
    dst: str | Path,
    convert: Callable[[Path, Path], None],
    strict: bool = False,
    photos: list[Path] | None = None,
) -> Summary:
    """Call `convert(source_file, target_file)` for every photo below `src` that is not there yet below `dst`.

    `photos`, relative to `src`, are all that `find_photos` finds unless given. `convert` writes through `save_photo` or `write_whole`
    and may raise UnreadablePhoto; such files are listed in `dst/unreadable.csv`. Threads, one per core: decoding,
    resizing and encoding release Python's lock. Raises UserError if not one file could be read, or, if `strict`,
    if any could not.
    """
    src, dst = Path(src), Path(dst)
    photos = find_photos(src) if photos is None else photos
    if src.resolve() in (dst.resolve(), *dst.resolve().parents) or dst.resolve() in src.resolve().parents:
        raise UserError(f"one of {src} and {dst} lies in the other: give another folder, originals are never touched")
    summary = Summary()
    waiting = [photo for photo in photos if not (dst / photo).exists()]
    summary.skipped = len(photos) - len(waiting)

    def one(photo: Path) -> tuple[Path, str] | None:
        try:
            convert(src / photo, dst / photo)
        except UnreadablePhoto as error:
            return photo, error.reason
        return None

    for result in progress_bar(in_threads(one, waiting), total=len(waiting)):
        if result is None:
            summary.written += 1
        else:
            summary.unreadable.append(result)
    write_unreadable(dst / "unreadable.csv", summary.unreadable)
    if summary.unreadable and (strict or not summary.written + summary.skipped):
        photo, reason = min(summary.unreadable)
        readable = summary.written + summary.skipped
        what = f"{len(summary.unreadable):,} photos could not be read" if readable else "no photo could be read"
        raise UserError(f"{src}: {what}, the first is {photo} ({reason}); see {dst}/unreadable.csv")
    return summary


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


def write_unreadable(path: Path, unreadable: list[tuple[Path, str]]) -> None:
    """List `unreadable` in a CSV file (columns file, reason), or remove the list of an earlier run if it is empty."""
    if not unreadable:
        path.unlink(missing_ok=True)
        return
    write_csv(path, ("file", "reason"), sorted((str(photo), reason) for photo, reason in unreadable))


def write_csv(path: str | Path, columns: Iterable[str], rows: Iterable[Iterable]) -> None:
    """Write a CSV file in UTF-8, whole or not at all; file names that are not text, as Linux allows, stay the same."""
    text = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
    with write_whole(path, lasting=True) as temporary, open(temporary, "w", **text) as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
