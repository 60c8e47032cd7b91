"""Folders of photos: find them, convert them all, list those that can't be read."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from fastcolor.errors import UnreadablePhoto, UserError
from fastcolor.files import in_threads, progress_bar, write_csv
from fastcolor.photo.formats import RAW, SUFFIXES, format_of
from fastcolor.remote.far import Far
from fastcolor.remote.on_ray import Work, on_ray
from fastcolor.remote.shards import read_shard
from fastcolor.remote.store import Unreachable

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
    check: Callable[[Path, Path | str], None] = lambda result, name: None,
    shard: str | None = None,
    ray: str | None = None,
) -> Summary:
    """Call `convert(source_file, target_file)` for every photo below `src` that is not there yet below `dst`.

    Both may be addresses. `photos`, relative to `src`, are all that `find_photos` finds, unless given. `convert` writes
    by `save_photo` or `write_whole`, and may raise UnreadablePhoto; such files are listed in `dst/unreadable.csv`. It
    runs in one thread per core: decoding, resizing and encoding release Python's lock. With `ray`, it runs in the
    processes of a cluster; with `shard`, it gets only that part of the photos. `check` gets one result of an earlier
    run, and its name for messages. Raises UserError if no file could be read, or, with `strict`, if any could not.
    """
    part = None if shard is None else read_shard(shard)
    with closing(Far()) as far:
        src, dst = far.path(src), far.path(dst)
        photos = photos_at(src, far) if photos is None else photos
        photos = [photo for photo in photos if part is None or part.holds(photo.as_posix())]
        _must_be_separate(src, dst, far)
        there = far.there(dst)
        waiting = [photo for photo in photos if photo.as_posix() not in there and not (dst / photo).exists()]
        if len(waiting) < len(photos):
            first = dst / min(set(photos).difference(waiting))
            far.fetch(first)
            check(first, far.show(first))
            far.forget(first)
        summary = Summary(skipped=len(photos) - len(waiting))
        for photo, _, reason in progress_bar(over_photos(convert, waiting, src, dst, far, ray), total=len(waiting)):
            if reason is None:
                summary.written += 1
            else:
                summary.unreadable.append((photo, reason))
        listed = "unreadable.csv" if part is None else f"unreadable-{part.number}-of-{part.count}.csv"
        write_unreadable(dst / listed, summary.unreadable)
        if summary.unreadable:
            far.deliver(dst / listed)
        elif listed in there:
            far.delete(dst / listed)
        shown = far.show(src), far.show(dst)
    readable = summary.written + summary.skipped
    if summary.unreadable and (strict or not readable):
        photo, reason = min(summary.unreadable)
        what = f"{len(summary.unreadable):,} photos could not be read" if readable else "no photo could be read"
        raise UserError(f"{shown[0]}: {what}, the first is {photo} ({reason}); see {shown[1]}/{listed}")
    return summary


def photos_at(src: Path, far: Far) -> list[Path]:
    """What `find_photos` gives, of a folder here or of what stands for one at an address. Raises UserError."""
    if not far.split(src):
        return find_photos(src)
    photos = choose_photos(far.show(src), list(map(Path, far.listing(src))))
    if folders := far.unreadable(src):
        raise UserError(f"{folders[0]} can't be read: check its permissions")
    return photos


def over_photos(
    act: Callable, names: list[Path], src: Path, dst: Path | None, far: Far, ray: str | None = None
) -> Iterator[tuple[Path, object, str | None]]:
    """`act(source)`, or, if there is a `dst`, `act(source, target)`, of all photos, in threads or on a Ray cluster.

    Gives each photo with what `act` gave, or the reason why it gave nothing: UnreadablePhoto, or a lost connection.
    For a cluster, `act` must be something that can be pickled.
    """
    paths = {name: tuple(folder / name for folder in (src, dst) if folder) for name in names}
    if ray is None:
        yield from in_threads(lambda name: (name, *_acted(act, paths[name], far)), names)
        return
    # numbers as keys: Ray takes no names that are not UTF-8
    tasks = {str(number): tuple(map(far.ticket, paths[name])) for number, name in enumerate(names)}
    for key, result, tries in on_ray(ray, tasks, partial(_begin, act)):
        yield names[int(key)], *(result or (None, f"its process died {tries} times while it was read"))


def _begin(act: Callable) -> Work:
    far = Far()

    def work(tasks: Iterable[tuple[str, tuple]]) -> Iterator[tuple[str, tuple]]:
        for key, tickets in tasks:
            yield key, _acted(act, tuple(map(far.follow, tickets)), far)

    return work


def _acted(act: Callable, paths: tuple[Path, ...], far: Far) -> tuple[object, str | None]:
    try:
        if len(paths) > 1 and (format := format_of(paths[0])).written_as:
            raise UnreadablePhoto(paths[0], f"{format.name} files can't be written here: save it as TIFF first")
        far.fetch(paths[0])
        value = act(*paths)
        for target in paths[1:]:
            far.deliver(target)
        return value, None
    except (UnreadablePhoto, Unreachable) as error:
        return None, error.reason
    finally:
        for path in paths:
            far.forget(path)


def _must_be_separate(src: Path, dst: Path, far: Far) -> None:
    if far.split(src) or far.split(dst):
        is_inside = far.below(src, dst) is not None or far.below(dst, src) is not None
    else:
        is_inside = src.resolve() in (dst.resolve(), *dst.resolve().parents) or dst.resolve() in src.resolve().parents
    if is_inside:
        both = f"{far.show(src)} and {far.show(dst)}"
        raise UserError(f"{both} must be separate folders: give another one, originals are never touched")


def write_unreadable(path: Path, unreadable: list[tuple[Path, str]]) -> None:
    """List `unreadable` in a CSV file (columns file, reason), or remove the list of an earlier run if it is empty."""
    if not unreadable:
        path.unlink(missing_ok=True)
        return
    write_csv(path, ("file", "reason"), sorted((str(photo), reason) for photo, reason in unreadable))
