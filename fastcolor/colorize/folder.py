"""`fastcolor colorize`: colours files, folders and patterns, photos and films."""

import errno
import os
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated

from fastcolor.colorize.films import FilmFlags, check_film, color_films
from fastcolor.colorize.flow import DEVELOPED, OURS, STOPPING, How, Outcome, color_all
from fastcolor.colorize.like import Reference
from fastcolor.colorize.plan import Job, Plan, is_one_file, plan, plan_frames
from fastcolor.colorize.record import NEW, OTHER, SYSTEM, UNKNOWN, Record, mark_of, weights_of
from fastcolor.colorize.report import Report, check_report
from fastcolor.errors import UnreadablePhoto, UserError, printable
from fastcolor.files import progress_bar
from fastcolor.film.kinds import are_all_there
from fastcolor.flags import at_least
from fastcolor.photo.formats import FORMATS
from fastcolor.photo.opening import check, is_coloured

KINDS = [suffix.removeprefix(".") for format in FORMATS if not format.written_as for suffix in format.suffixes]


def main(
    inputs: Annotated[str, {"nargs": "+"}],  # photos, films, folders with all below them, patterns: 'album/*.jpg'
    Out: Annotated[str, {"opt": True, "required": True}],  # folder, which gets the same tree; for one photo also a file
    format: Annotated[str | None, {"choices": KINDS}] = None,  # format to write (default: each photo's own)
    quality: int = 95,  # 1 to 100, of JPEG, HEIC, AVIF, JPEG XL and WebP, which is lossless at 100
    side_by_side: bool = False,  # write before|after
    weights: str | None = None,  # a generator's .safetensors or .onnx file, or a run folder (default: bundled)
    size: int | None = None,  # short side, in pixels, at which the network sees a photo (default: as it was trained)
    strength: float = 1.0,  # 0 (the photo as it is) to 1 (the network's colours)
    chroma: str = "auto",  # how colour is enlarged to full size: bilinear, guided (by the photo's edges), auto
    device: str = "auto",  # cpu, cuda, mps, auto
    like: str | None = None,  # a photo in colour: alike things get its colours
    overwrite: bool = False,  # colour again what was made with other settings, or from another version of the photo
    skip_colour: bool = False,  # leave photos that are in colour already
    tolerant: bool = False,  # colour what there is of truncated photos
    keep_time: bool = False,  # give results the file dates of their photos
    no_mark: bool = False,  # don't write into results that a machine coloured them
    dry_run: bool = False,  # say what would be coloured, skipped, refused; write no photo
    first: int | None = None,  # colour only so many photos, to try settings
    report: str | None = None,  # .csv or .json file: a line for each photo
    codec: str | None = None,  # of films: h264, hevc, vp9, av1, ffv1 (default: h264, in .webm vp9)
    crf: int | None = None,  # of films: quality, 0 is best, 51 or 63 worst (default: it looks like the film, h264 18)
    deinterlace: bool = False,  # put the two fields of interlaced films together
    frames: bool = False,  # each input is a folder with the numbered frames of a film
    verbose: bool = False,  # say what runs the network
) -> int:
    """Colour photos and films. Originals stay as they are, finished results are skipped.

    Exit code 1 if any can't be coloured.
    """
    if not 1 <= quality <= 100:
        raise UserError(f"--quality must be from 1 to 100, not {quality}")
    at_least(1, first=first)
    check_report(report)
    flags = FilmFlags(codec, crf, deinterlace)
    flags.check()
    planned = plan_frames(inputs, Out) if frames else plan(inputs, Out, format)
    made_by = weights_of(weights)
    if not made_by.digest:
        _load(verbose, weights, device=device)  # raises what it says where there is something to colour
    settings = {"weights": made_by.digest, "size": size, "strength": strength, "chroma": chroma, "quality": quality}
    settings |= {"side_by_side": side_by_side, "mark": not no_mark} | _like(like)
    record = _record_in(Out, planned, frames, settings, flags)
    said = _begun_report(planned)
    waiting = _to_color(planned.jobs + planned.films, record, overwrite, said)[:first]
    if dry_run:
        return preview(waiting, planned.films, said, report)
    try:
        if waiting:
            _must_be_writable(Out)
            colorizer = _load(verbose, weights, size=size, strength=strength, chroma=chroma, device=device)
            how = How(quality, side_by_side, None if no_mark else mark_of(made_by), tolerant, keep_time, skip_colour)
            said.begin(len(waiting))
            reference = None if like is None else colorizer.reference(like)
            with closing(_color(waiting, planned, colorizer, flags, settings, how, reference)) as results:
                _note(results, waiting, record, said)
        said.print()
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped: the same command goes on with the photos and films that are left") from None
    finally:  # after Ctrl-C, and on a full disk too
        said.write(report)
    return 1 if said.failures else 0


def _like(like: str | None) -> dict:
    """What the record keeps of the reference photo. Raises UnreadablePhoto, or UserError, for what is none."""
    if like is None:
        return {}
    check(Path(like))
    return {"like": weights_of(like).digest}  # of any file's content


def _record_in(out: str, planned: Plan, frames: bool, settings: dict, flags: FilmFlags) -> Record:
    """What is known of the results that are there. A single file has no record; films have further settings."""
    folder = None if frames or is_one_file(out, len(planned.jobs + planned.films)) else Path(out)
    return Record(folder, settings, lambda job: flags._asdict() if job in planned.films else {})


def _begun_report(planned: Plan) -> Report:
    """A report that tells already what can't be coloured, or needn't be."""
    said = Report(others=planned.others)
    for source, reason in planned.failures:
        said.fail(source, reason)
    for source in planned.developed:
        said.leave(source, DEVELOPED)
    return said


def _load(verbose: bool, weights: str | None, **options) -> "Colorizer":  # noqa: F821 (imported below)
    """The Colorizer that was asked for. What runs networks is imported here: to say that a path is wrong is faster."""
    from fastcolor.colorize.colorizer import Colorizer

    colorizer = Colorizer(weights, **options)
    if verbose:
        print(f"{colorizer.engine.weights}, run by {colorizer.engine.name}")
    return colorizer


def _color(
    waiting: list[Job],
    planned: Plan,
    colorizer: "Colorizer",  # noqa: F821 (see `_load`)
    flags: FilmFlags,
    settings: dict,
    how: How,
    like: Reference | None,
) -> Iterator[tuple[Job, Outcome]]:
    """Colour photos, then films, and give each job with what became of it."""
    photos, films = ([job for job in waiting if (job in planned.films) == moves] for moves in (False, True))
    paint = colorizer.pixels if like is None else partial(colorizer.pixels, like=like)
    with closing(color_all(photos, paint, how)) as results:
        # a film shows how far it is by itself
        yield from progress_bar(results, total=len(photos), unit="photos") if photos else results
    yield from color_films(films, colorizer, flags, settings, how, like)


def _to_color(jobs: list[Job], record: Record, overwrite: bool, said: Report) -> list[Job]:
    """The jobs whose results are not there, or shall be made again; of the others the report is told."""
    waiting = []
    for job in jobs:
        state = record.state(job)
        if state != NEW and job.source.is_dir() and not are_all_there(job.source, job.target):
            state = NEW  # a stopped run's
        if state == NEW or (overwrite and state in (OTHER, UNKNOWN)):
            waiting.append(job)
        else:
            said.skip(job, state)
    return waiting


def _note(results: Iterator[tuple[Job, Outcome]], jobs: list[Job], record: Record, said: Report) -> None:
    """Remember and report what becomes of each. Raises UserError where no later one could be written."""
    try:
        for job, outcome in results:
            said.add(job, outcome)
            if (outcome.pages or outcome.frames) and not outcome.failure:
                record.add(job)
    except OSError as error:
        if error.errno not in STOPPING:
            raise
        where = error.filename2 or error.filename or jobs[0].target.parent
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = f"{where} does not fit on the disk any more: free some space" if full else f"{where} can't be written"
        raise UserError(f"{what}, then run the same command again, or give another folder") from error


def _must_be_writable(out: str) -> None:
    """Raise UserError if nothing can be written below `out`: not sooner than after all photos were coloured, else."""
    there = next(folder for folder in (Path(out), *Path(out).absolute().parents) if os.path.lexists(folder))
    if os.path.isdir(there) and not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"{there} can't be written: check its permissions, or give another folder")
    if not os.path.isdir(there) and there != Path(out):
        raise UserError(f"{there} is a file, so {out} can't be a folder in it: give another one")


def preview(jobs: list[Job], films: list[Job], said: Report, report: str | None) -> int:
    """Print, and report, what would become of each, as far as its header tells. Gives the exit code of such a run."""
    count = 0
    for job in jobs:
        try:
            check_film(job) if job in films else check(job.source)
        except UnreadablePhoto as error:
            said.fail(job.source, error.reason)
            continue
        if job.was_found and job not in films and is_coloured(job.source, SYSTEM):
            said.leave(job.source, OURS)
            continue
        count += 1
        said.promise(job)
        print(printable(f"{job.source} -> {job.target}"))
    skipped, refused = said.skipped.total(), len(said.failures)
    print(f"{count:,} would be coloured, {skipped:,} skipped: already done, {refused:,} refused")
    said.print_details()
    said.write(report)
    return 1 if said.failures else 0
