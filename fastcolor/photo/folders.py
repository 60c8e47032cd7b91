"""Folders of photos: find them, convert them all, list those that can't be read."""

import os
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from fastcolor.errors import UnreadablePhoto, UserError
from fastcolor.files import in_threads, progress_bar, write_csv
from fastcolor.photo.formats import RAW, SUFFIXES, format_of

HINTS = ".hints.json"
"""How the names of files end that keep a photo's hints (see `colorize.hints`): they belong to the photo."""


def find_photos(
    folder: str | Path,
    unreadable: Callable[[OSError], None] | None = None,
    others: Counter[str] | None = None,
    raw: bool = False,
    also: Collection[str] = (),
) -> list[Path]:
    """All files below `folder` with a suffix of a photo, as sorted paths relative to it.

    Links to folders are not followed; hidden files and folders (.thumbnails) are left out. `unreadable` is called with
    the error for each folder that can't be read; `others` counts the other files by suffix, `raw` files too unless they
    are wanted. Files with suffixes in `also` are found, too. Raises UserError if `folder` is missing, is a file, can't
    be read, or holds no photo.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise UserError(f"{folder} {what}: give a folder of photos")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise UserError(f"{folder} can't be read: check its permissions")
    found = [
        Path(root, name).relative_to(folder)
        for root, _, names in os.walk(folder, onerror=unreadable)
        for name in names
        if not name.endswith(HINTS)
    ]
    return choose_photos(folder, found, others, raw, also)


def choose_photos(
    folder: str | Path,
    found: list[Path],
    others: Counter[str] | None = None,
    raw: bool = False,
    also: Collection[str] = (),
) -> list[Path]:
    """Of the files `found` in a folder, relative to it, those that `find_photos` gives. Raises UserError for none."""
    found = [path for path in found if not any(part.startswith(".") for part in path.parts)]
    wanted = {suffix for suffix, format in SUFFIXES.items() if raw or format is not RAW}.union(also)
    photos = [path for path in found if path.suffix.lower() in wanted]
    kinds = Counter(path.suffix.lower() or "without suffix" for path in found if path.suffix.lower() not in wanted)
    if others is not None:
        others.update(kinds)
    if not photos:
        held = f", but {by_kind(kinds)}" if kinds else ""
        raise UserError(f"{folder} holds no photos that can be read{held}: give a folder that has some")
    return sorted(photos)


def by_kind(kinds: Counter[str]) -> str:
    """Counted suffixes in words: 4 .cr2, 2 .psb; the most frequent first, six at most."""
    named = sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0]))[:6]
    rest = kinds.total() - sum(count for _, count in named)
    return ", ".join([f"{count:,} {kind}" for kind, count in named] + ([f"{rest:,} others"] if rest else []))


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

    `photos`, relative to `src`, are all that `find_photos` finds, unless given. `convert` writes by `save_photo` or
    `write_whole`, and may raise UnreadablePhoto; such files are listed in `dst/unreadable.csv`. It runs in one thread
    per core: decoding, resizing and encoding release Python's lock. Raises UserError if no file could be read, or, with
    `strict`, if any could not.
    """
    src, dst = Path(src), Path(dst)
    photos = find_photos(src) if photos is None else photos
    if src.resolve() in (dst.resolve(), *dst.resolve().parents) or dst.resolve() in src.resolve().parents:
        raise UserError(f"{src} and {dst} must be separate folders: give another one, originals are never touched")
    summary = Summary()
    waiting = [photo for photo in photos if not (dst / photo).exists()]
    summary.skipped = len(photos) - len(waiting)

    def one(photo: Path) -> tuple[Path, str] | None:
        try:
            if (format := format_of(photo)).written_as:
                raise UnreadablePhoto(photo, f"{format.name} files can't be written here: save it as TIFF first")
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
    readable = summary.written + summary.skipped
    if summary.unreadable and (strict or not readable):
        photo, reason = min(summary.unreadable)
        what = f"{len(summary.unreadable):,} photos could not be read" if readable else "no photo could be read"
        raise UserError(f"{src}: {what}, the first is {photo} ({reason}); see {dst}/unreadable.csv")
    return summary


def write_unreadable(path: Path, unreadable: list[tuple[Path, str]]) -> None:
    """List `unreadable` in a CSV file (columns file, reason), or remove the list of an earlier run if it is empty."""
    if not unreadable:
        path.unlink(missing_ok=True)
        return
    write_csv(path, ("file", "reason"), sorted((str(photo), reason) for photo, reason in unreadable))
