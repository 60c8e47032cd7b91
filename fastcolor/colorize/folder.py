"""`fastcolor colorize`: colours files, folders and patterns, and reads, colours and writes at the same time."""

import glob
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np

from fastcolor.errors import UserError
from fastcolor.files import progress_bar
from fastcolor.photo.folders import find_photos
from fastcolor.photo.formats import SUFFIXES
from fastcolor.photo.opening import MEMORY, memory_of
from fastcolor.photo.page import Photo
from fastcolor.photo.read import read_photo
from fastcolor.photo.write import write_photo

FORMATS = tuple(suffix.removeprefix(".") for suffix in SUFFIXES)
AHEAD = 2  # photos decoded, and photos being written, while one is coloured: more would take memory and gain nothing
READING, COLOURING, WRITING = "reading", "colouring", "writing"

Paint = Callable[[np.ndarray], np.ndarray]
"""Colours an array: see `Colorizer.pixels`."""


class Job(NamedTuple):
    """A photo file to be coloured, and the file to write."""

    source: Path
    target: Path


def main(
    inputs: Annotated[str, {"nargs": "+"}],  # photos, folders with all below them, patterns such as 'album/*.jpg'
    Out: Annotated[str, {"opt": True, "required": True}],  # folder, which gets the same tree; for one photo also a file
    format: Annotated[str | None, {"choices": list(FORMATS)}] = None,  # format to write (default: each photo's own)
    quality: int = 95,  # 1 to 100, of JPEG, HEIC and WebP, which is lossless at 100
    side_by_side: bool = False,  # write before|after
    weights: str | None = None,  # a generator's .safetensors or .onnx file, or a run folder (default: bundled)
    size: int | None = None,  # short side, in pixels, at which the network sees a photo (default: as it was trained)
    strength: float = 1.0,  # 0 (the photo as it is) to 1 (the network's colours)
    chroma: str = "auto",  # how colour is enlarged to full size: bilinear, guided (by the photo's edges), auto
    device: str = "auto",  # cpu, cuda, mps, auto
    verbose: bool = False,  # say what runs the network
) -> int:
    """Colour photos. Originals stay as they are, finished photos are skipped. Exit code 1 if any can't be coloured."""
    if not 1 <= quality <= 100:
        raise UserError(f"--quality must be from 1 to 100, not {quality}")
    jobs, failures = plan(inputs, Out, format)
    waiting = [job for job in jobs if not os.path.lexists(job.target)]
    start, done, notes = time.monotonic(), 0, {}
    if waiting:
        # not sooner: loading a network takes longer than saying that a path is wrong
        from fastcolor.colorize.colorizer import Colorizer

        colorizer = Colorizer(weights, size=size, strength=strength, chroma=chroma, device=device)
        if verbose:
            print(f"{colorizer.engine.weights}, run by {colorizer.engine.name}")
        start = time.monotonic()
        with closing(color_all(waiting, colorizer.pixels, quality, side_by_side)) as results:
            for job, outcome in progress_bar(results, total=len(waiting), unit="photos"):
                if isinstance(outcome, str):
                    failures.append(outcome)
                    continue
                done += 1
                for note in outcome:
                    notes.setdefault(note, []).append(job.source)
    report(done, len(jobs) - len(waiting), time.monotonic() - start, notes, failures)
    return 1 if failures else 0


def report(done: int, skipped: int, seconds: float, notes: dict[str, list[Path]], failures: list[str]) -> None:
    """Print what was done, and what differs from the originals; on stderr, what could not be coloured."""
    rate = f" in {seconds:.1f} s ({done / seconds:.2f} photos/s)" if done else ""
    there = f", {skipped:,} skipped: already done" if skipped else ""
    print(f"{done:,} coloured{rate}{there}")
    for note, files in notes.items():
        print(f"  {files[0]}{f' and {len(files) - 1:,} more' if len(files) > 1 else ''}: {note}")
    if failures:
        print("\n  ".join([f"{len(failures):,} could not be coloured:", *failures]), file=sys.stderr)


def plan(inputs: list[str], out: str, format: str | None) -> tuple[list[Job], list[str]]:
    """The photos to colour, and a sentence for each input that has none.

    A folder's tree is kept below `out`; other photos go there under their names. Raises UserError if a result would
    overwrite a photo or another result.
    """
    found, failures = [], []
    for given in inputs:
        is_pattern = glob.has_magic(given) and not os.path.lexists(given)  # one that the shell did not expand
        matches = sorted(glob.glob(given, recursive=True)) if is_pattern else [given]
        if not matches:
            failures.append(f"{given}: no file has such a name")
        for match in map(Path, matches):
            if not os.path.isdir(match):
                found.append((match, Path(match.name)))
                continue
            results = _inside(match, out)
            try:
                names = find_photos(match, lambda error: failures.append(f"{error.filename}: can't be read"))
            except UserError as error:
                failures.append(str(error))
                continue
            found += [(match / name, name) for name in names if not results or name.parts[: len(results)] != results]
    targets = _targets([name for _, name in found], out, format)
    jobs = [Job(source, target) for (source, _), target in zip(found, targets, strict=True)]
    return refuse_to_overwrite(jobs), failures


def _inside(folder: Path, out: str) -> tuple[str, ...]:
    """The way from a folder of photos to `out`, if that is inside. Raises UserError if they are the same."""
    try:
        results = Path(os.path.realpath(out)).relative_to(os.path.realpath(folder)).parts
    except ValueError:  # it lies elsewhere
        return ()
    if not results:
        raise UserError(f"{out} is the folder of the photos itself: give another one, as originals are never changed")
    return results


def _targets(names: list[Path], out: str, format: str | None) -> list[Path]:
    """Where photos of these names go: below `out`, or, if it is a single one, into the file `out`. Raises UserError."""
    suffix = Path(out).suffix.lower()
    known = suffix in SUFFIXES
    if os.path.isfile(out) and not known:
        raise UserError(f"{out} is a file: give a folder")
    is_folder = os.path.isdir(out) or out.endswith(("/", os.sep))
    if is_folder or (not known and not (suffix and len(names) == 1)):
        return [Path(out) / renamed(name, format) for name in names]
    if len(names) > 1:
        raise UserError(f"{out} is one file, but there are {len(names):,} photos: give a folder")
    if not known:
        raise UserError(f"{out}: {suffix} can't be written: choose {', '.join(SUFFIXES)}, or give {out}/ for a folder")
    if format and SUFFIXES[f".{format}"] != SUFFIXES[suffix]:
        raise UserError(f"{out} is not a file of --format {format}: leave out --format, or give another name")
    return [Path(out) for _ in names]


def renamed(name: Path, format: str | None) -> Path:
    """The name of a photo's result: the photo's own, with another suffix if another format is written."""
    kind = SUFFIXES.get(name.suffix.lower())
    if kind is None:  # the file's name does not say what it holds; PNG loses nothing
        return name.with_name(f"{name.name}.{format or 'png'}")
    return name if format is None or kind == SUFFIXES[f".{format}"] else name.with_suffix(f".{format}")


def refuse_to_overwrite(jobs: list[Job]) -> list[Job]:
    """The jobs, each once. Raises UserError if a target is one of the photos, under any name, or another's target."""
    sources = {_identity(job.source): job.source for job in jobs}
    by_target = {}
    for job in jobs:
        if os.path.exists(job.target) and (photo := sources.get(_identity(job.target))):
            what = f"{job.target} is the photo {photo} itself"
            raise UserError(f"{what}: write to another folder, as originals are never changed")
        first = by_target.setdefault(os.path.normcase(os.path.realpath(job.target)), job)
        if _identity(first.source) != _identity(job.source):
            both = f"{first.source} and {job.source} would both become {job.target}"
            raise UserError(f"{both}: colour them separately, into two folders")
    return list(by_target.values())


def _identity(path: Path) -> tuple[int, int] | str:
    """What all names of a file share: links of both kinds, other cases, other spellings of the path."""
    try:
        found = path.stat()
    except OSError:  # missing, or a link in a loop
        return os.path.abspath(path)
    return found.st_dev, found.st_ino


def color_all(
    jobs: list[Job],
    paint: Paint,
    quality: int = 95,
    side_by_side: bool = False,
    tell: Callable[[Job, str], None] = lambda job, state: None,
) -> Iterator[tuple[Job, list[str] | str]]:
    """Colour photos, and give each job with a list of notes, or with a sentence that says what is wrong with its photo.

    One thread decodes the next photo and one encodes the last, while this one colours. Together they hold only as many
    pixels as fit into `MEMORY`: large photos wait until there is room. `tell` is called when a job's READING, COLOURING
    or WRITING begins, from the thread that does it.
    """
    needs = ((job, memory_of(job.source)) for job in jobs)
    following, coming, going, held = next(needs, None), deque(), deque(), 0
    reader, writer = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
    try:
        while following or coming or going:
            while following and len(coming) < AHEAD and (not held or held + following[1] <= MEMORY):
                job, need = following
                coming.append((job, need, reader.submit(_read, job, tell)))
                following, held = next(needs, None), held + need
            try:
                if coming and len(going) < AHEAD:
                    job, need, reading = coming.popleft()
                    photo = reading.result()
                    tell(job, COLOURING)
                    _color(photo, paint, side_by_side)
                    going.append((job, need, writer.submit(_write, photo, job, quality, tell)))
                    continue
                job, need, writing = going.popleft()
                outcome = writing.result()
            except UserError as error:  # not kept itself: it holds on to what was half read
                outcome = str(error)
            except MemoryError:
                outcome = f"{job.source}: needs more memory than there is: make it smaller first"
            finally:
                reading = photo = None  # or its pixels would be held until the next ones come
            held -= need
            yield job, outcome
    finally:  # Ctrl-C, or a full disk: what is being written is finished, nothing more is begun
        reader.shutdown(cancel_futures=True)
        writer.shutdown(cancel_futures=True)


def _read(job: Job, tell: Callable[[Job, str], None]) -> Photo:
    """The photo, without the lines that libtiff writes to stderr, past Python, on broken files."""
    tell(job, READING)
    if sys.stderr is None:
        return read_photo(job.source)
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        return read_photo(job.source)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _color(photo: Photo, paint: Paint, side_by_side: bool) -> None:
    """Colour a photo's pixels in place."""
    for page in photo.pages:
        before = page.pixels
        page.pixels = paint(before)
        if side_by_side:
            before = before if before.ndim == 3 else np.repeat(before[..., None], 3, axis=2)
            page.pixels = np.concatenate([before, page.pixels], axis=1)
            page.alpha = page.alpha if page.alpha is None else np.concatenate([page.alpha, page.alpha], axis=1)


def _write(photo: Photo, job: Job, quality: int, tell: Callable[[Job, str], None]) -> list[str]:
    """Write a coloured photo; notes on what differs from the source's file."""
    tell(job, WRITING)
    return photo.notes + write_photo(photo, job.target, quality)
