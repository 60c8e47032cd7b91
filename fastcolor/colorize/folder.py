"""`fastcolor colorize`: colours photo files, folders, patterns; decoding, network and encoding at the same time."""

import glob
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np

from fastcolor.errors import UserError
from fastcolor.files import progress_bar
from fastcolor.photo.folders import find_photos
from fastcolor.photo.formats import SUFFIXES
from fastcolor.photo.opening import MEMORY, memory_of
from fastcolor.photo.page import Photo
from fastcolor.photo.read import read_photo
from fastcolor.photo.write import write_photo

if TYPE_CHECKING:  # importing torch takes longer than saying that a path is wrong
    from fastcolor.colorize.colorizer import Colorizer

FORMATS = tuple(suffix.removeprefix(".") for suffix in SUFFIXES)
AHEAD = 2  # photos decoded, and photos being written, while one is coloured: more would take memory and gain nothing


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
    weights: str | None = None,  # .safetensors or .onnx file of a generator (default: those that come with fastcolor)
    size: int | None = None,  # short side, in pixels, at which the network sees a photo (default: as it was trained)
    strength: float = 1.0,  # 0 (the photo as it is) to 1 (the network's colours)
    chroma: str = "auto",  # how colour is brought to full size: bilinear, guided (by the photo's edges), auto
    device: str = "auto",  # cpu, cuda, mps, auto
) -> int:
    """Colour photos. Originals are never touched, finished photos skipped. Exit code 1 if any could not be coloured."""
    if not 1 <= quality <= 100:
        raise UserError(f"--quality {quality} makes no sense: give 1 to 100")
    jobs, failures = plan(inputs, Out, format)
    waiting = [job for job in jobs if not os.path.lexists(job.target)]
    start, done, notes = time.monotonic(), 0, {}
    if waiting:
        from fastcolor.colorize.colorizer import Colorizer

        colorizer = Colorizer(weights, size=size, strength=strength, chroma=chroma, device=device)
        start = time.monotonic()
        with closing(color_all(waiting, colorizer, quality, side_by_side)) as results:
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
    """Say what was done and in which photos something is not as in their files; on stderr, what could not be done."""
    rate = f" in {seconds:.1f} s ({done / seconds:.2f} photos/s)" if done else ""
    there = f", {skipped:,} skipped: they are there already" if skipped else ""
    print(f"{done:,} coloured{rate}{there}")
    for note, files in notes.items():
        print(f"  {files[0]}{f' and {len(files) - 1:,} more' if len(files) > 1 else ''}: {note}")
    if failures:
        print("\n  ".join([f"{len(failures):,} could not be coloured:", *failures]), file=sys.stderr)


def plan(inputs: list[str], out: str, format: str | None) -> tuple[list[Job], list[str]]:
    """What is to be coloured, and a sentence for each input that holds nothing of the kind.

    A folder's tree is kept below `out`; everything else goes there by its name. Raises UserError where a result would
    overwrite a photo, or another result.
    """
    found, failures = [], []
    for given in inputs:
        is_pattern = glob.has_magic(given) and not os.path.lexists(given)  # one that the shell did not expand
        matches = sorted(glob.glob(given, recursive=True)) if is_pattern else [given]
        if not matches:
            failures.append(f"{given}: no file is called so")
        for match in map(Path, matches):
            if not os.path.isdir(match):
                found.append((match, Path(match.name)))
                continue
            results = _inside(match, out)
            try:
                names = find_photos(match, lambda error: failures.append(f"{error.filename}: may not be read"))
            except UserError as error:
                failures.append(str(error))
                continue
            found += [(match / name, name) for name in names if not results or name.parts[: len(results)] != results]
    targets = _targets([name for _, name in found], out, format)
    jobs = [Job(source, target) for (source, _), target in zip(found, targets, strict=True)]
    return refuse_to_overwrite(jobs), failures


def _inside(folder: Path, out: str) -> tuple[str, ...]:
    """The way from a folder of photos to `out` inside of it, which holds results. Raises UserError if they are one."""
    try:
        results = Path(os.path.realpath(out)).relative_to(os.path.realpath(folder)).parts
    except ValueError:  # it lies elsewhere
        return ()
    if not results:
        raise UserError(f"{out} is the folder of the photos itself: give another one, originals are never touched")
    return results


def _targets(names: list[Path], out: str, format: str | None) -> list[Path]:
    """Where photos of these names go: below `out`, or, a single one, into the file `out`. Raises UserError."""
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
        raise UserError(f"{out}: {suffix} can't be written: give one of {', '.join(SUFFIXES)}, or {out}/ for a folder")
    if format and SUFFIXES[f".{format}"] != SUFFIXES[suffix]:
        raise UserError(f"{out} and --format {format} contradict each other: leave one of them out")
    return [Path(out) for _ in names]


def renamed(name: Path, format: str | None) -> Path:
    """The name for a photo's result: its own, unless that is not one of the format that is written."""
    kind = SUFFIXES.get(name.suffix.lower())
    if kind is None:  # the file's name does not say what it holds; PNG loses nothing
        return name.with_name(f"{name.name}.{format or 'png'}")
    return name if format is None or kind == SUFFIXES[f".{format}"] else name.with_suffix(f".{format}")


def refuse_to_overwrite(jobs: list[Job]) -> list[Job]:
    """The jobs, each once. Raises UserError if a target is one of the photos, by whatever name, or that of another."""
    sources = {_identity(job.source): job.source for job in jobs}
    by_target = {}
    for job in jobs:
        if os.path.exists(job.target) and (photo := sources.get(_identity(job.target))):
            raise UserError(f"{job.target} is the photo {photo} itself: write elsewhere, originals are never touched")
        first = by_target.setdefault(os.path.normcase(os.path.realpath(job.target)), job)
        if _identity(first.source) != _identity(job.source):
            both = f"{first.source} and {job.source} would both become {job.target}"
            raise UserError(f"{both}: colour them one after the other, into two folders")
    return list(by_target.values())


def _identity(path: Path) -> tuple[int, int] | str:
    """What is the same for all names of a file: links of both kinds, other cases, other spellings of the way."""
    try:
        found = path.stat()
    except OSError:  # missing, or a link in a loop
        return os.path.abspath(path)
    return found.st_dev, found.st_ino


def color_all(
    jobs: list[Job], colorizer: "Colorizer", quality: int = 95, side_by_side: bool = False
) -> Iterator[tuple[Job, list[str] | str]]:
    """Colour photos, and give each job with a list of notes, or with a sentence on what is wrong with its photo.

    One thread decodes what comes next and one encodes what is done, while this one colours. Together they hold only so
    many pixels as fit into `MEMORY`: large photos wait until there is room.
    """
    needs = ((job, memory_of(job.source)) for job in jobs)
    following, coming, going, held = next(needs, None), deque(), deque(), 0
    reader, writer = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
    try:
        while following or coming or going:
            while following and len(coming) < AHEAD and (not held or held + following[1] <= MEMORY):
                job, need = following
                coming.append((job, need, reader.submit(_read, job.source)))
                following, held = next(needs, None), held + need
            try:
                if coming and len(going) < AHEAD:
                    job, need, reading = coming.popleft()
                    writing = writer.submit(_write, _colored(reading, colorizer, side_by_side), job, quality)
                    going.append((job, need, writing))
                    continue
                job, need, writing = going.popleft()
                outcome = writing.result()
            except UserError as error:  # not kept itself: it holds on to what was half read
                outcome = str(error)
            except MemoryError:
                outcome = f"{job.source}: needs more memory than there is: make it smaller first"
            finally:
                reading = None  # or its pixels would be held until the next ones come
            held -= need
            yield job, outcome
    finally:  # Ctrl-C, or a full disk: what is being written is finished, nothing more begun
        reader.shutdown(cancel_futures=True)
        writer.shutdown(cancel_futures=True)


def _read(source: Path) -> Photo:
    """The photo, without the lines that libtiff writes to stderr, past Python, on broken files."""
    if sys.stderr is None:
        return read_photo(source)
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        return read_photo(source)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _colored(reading: Future, colorizer: "Colorizer", side_by_side: bool) -> Photo:
    """The photo that was read, its pixels coloured in place."""
    photo = reading.result()
    for page in photo.pages:
        before = page.pixels
        page.pixels = colorizer.pixels(before)
        if side_by_side:
            before = before if before.ndim == 3 else np.repeat(before[..., None], 3, axis=2)
            page.pixels = np.concatenate([before, page.pixels], axis=1)
            page.alpha = page.alpha if page.alpha is None else np.concatenate([page.alpha, page.alpha], axis=1)
    return photo


def _write(photo: Photo, job: Job, quality: int) -> list[str]:
    """Write a coloured photo; notes on what is not as in the source's file."""
    return photo.notes + write_photo(photo, job.target, quality)
