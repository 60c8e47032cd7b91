"""`fastcolor colorize`: colours files, folders and patterns, photos and films."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated

from fastcolor.colorize.films import FilmFlags, check_film
from fastcolor.colorize.flow import DEVELOPED, OURS, STOPPING, How, Outcome
from fastcolor.colorize.plan import Job, Plan, is_one_file, plan, plan_frames
from fastcolor.colorize.record import NEW, OTHER, SYSTEM, UNKNOWN, Record, mark_of, weights_of
from fastcolor.colorize.report import Report, check_report
from fastcolor.colorize.shared import SharedRecord, color_on_ray, far_version
from fastcolor.colorize.work import Order, Worker, until_gone
from fastcolor.errors import UnreadablePhoto, UserError, printable
from fastcolor.files import progress_bar
from fastcolor.film.kinds import are_all_there
from fastcolor.flags import at_least
from fastcolor.photo.formats import FORMATS, SUFFIXES
from fastcolor.photo.opening import check, is_coloured
from fastcolor.remote.far import Far
from fastcolor.remote.on_ray import check_ray
from fastcolor.remote.shards import Shard, read_shard
from fastcolor.remote.store import is_address, shown

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
    ray: str | None = None,  # colour on a Ray cluster: its address, or local for processes of this machine
    shard: str | None = None,  # K/N: colour only part K of N; N such commands, anywhere, colour everything once
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
    part = None if shard is None else read_shard(shard)
    check_ray(ray)
    made_by = weights_of(weights)
    settings = {"weights": made_by.digest, "size": size, "strength": strength, "chroma": chroma, "quality": quality}
    settings |= {"side_by_side": side_by_side, "mark": not no_mark} | _like(like)
    how = How(quality, side_by_side, None if no_mark else mark_of(made_by), tolerant, keep_time, skip_colour)
    order = Order(weights, size, strength, chroma, device, like, how, flags, settings)
    if not made_by.digest:
        Worker(order)  # raises what it says where there is something to colour
    is_shared = is_address(Out) or ray is not None or part is not None
    with closing(Far()) as far:
        out = _results_in(Out, far, keep_time)
        if frames and (is_shared or any(map(is_address, inputs))):
            raise UserError("--frames is for folders on this machine, without --ray and --shard: copy them here first")
        planned = plan_frames(inputs, out) if frames else _planned(inputs, out, format, part, far)
        record = _record_in(out, planned, frames, order, far, is_shared)
        record.begin(planned.jobs + planned.films, overwrite, writes=not dry_run)
        said = _begun_report(planned, far)
        waiting = _to_color(planned.jobs + planned.films, record, overwrite, said)[:first]
        if dry_run:
            return preview(waiting, planned.films, said, report, far)
        return _color(partial(_begin, out, waiting, planned, order, far, ray, verbose), waiting, record, said, report)


def _like(like: str | None) -> dict:
    """What the record keeps of the reference photo. Raises UnreadablePhoto, or UserError, for what is none."""
    if like is None:
        return {}
    check(Path(like))
    return {"like": weights_of(like).digest}  # of any file's content


def _results_in(out: str, far: Far, keep_time: bool) -> str:
    """The folder of results, or what stands for it. Raises UserError for an address that can't be one."""
    if not is_address(out):
        return out
    folder = far.stand_in(out)
    if far.split(folder)[0].is_read_only:
        raise UserError(f"{shown(out)} can only be read: give a folder, or an address that can be written to")
    if folder.suffix.lower() in SUFFIXES:
        raise UserError(f"{shown(out)}: an address is that of a folder of results: give one")
    if keep_time:
        raise UserError("--keep-time is for folders on this machine: leave it out")
    return f"{folder}/"


def _planned(inputs: list[str], out: str, format: str | None, part: Shard | None, far: Far) -> Plan:
    """What is to be made, or this process's part of it."""
    planned = plan(inputs, out, format, far)
    if part:
        planned.keep(lambda job: part.holds(Path(os.path.relpath(job.target, out)).as_posix()))
    return planned


def _record_in(out: str, planned: Plan, frames: bool, order: Order, far: Far, is_shared: bool) -> Record:
    """What is known of the results that are there. A single file has no record; films have further settings."""
    films = set(planned.films)
    told = order.settings, lambda job: order.flags._asdict() if job in films else {}
    is_file = frames or is_one_file(out, len(planned.jobs + planned.films))
    if is_shared and is_file:
        raise UserError(f"{out} is one file: --ray and --shard are for folders of results")
    if is_shared:
        return SharedRecord(Path(out), *told, far)
    return Record(None if is_file else Path(out), *told, partial(far_version, far))


def _begun_report(planned: Plan, far: Far) -> Report:
    """A report that tells already what can't be coloured, or needn't be."""
    said = Report(others=planned.others, show=far.show)
    for source, reason in planned.failures:
        said.fail(source, reason)
    for source in planned.developed:
        said.leave(source, DEVELOPED)
    return said


def _begin(
    out: str, waiting: list[Job], planned: Plan, order: Order, far: Far, ray: str | None, verbose: bool
) -> Iterator[tuple[Job, Outcome]]:
    """Load the network, and give what colours photos, then films, here or on a cluster."""
    if not far.split(Path(out)):
        _must_be_writable(out)
    if ray is not None:
        results = color_on_ray(ray, order, waiting, far)
    else:
        worker = Worker(order)
        if verbose:
            print(f"{worker.colorizer.engine.weights}, run by {worker.colorizer.engine.name}")
        if not any(far.split(path) for job in waiting for path in (job.source, job.target)):
            films = set(planned.films)
            return worker.near([job for job in waiting if job not in films], [job for job in waiting if job in films])
        results = worker.far(waiting, far)
    return until_gone(progress_bar(results, total=len(waiting), unit="photos"), far)


def _color(
    begin: Callable[[], Iterator[tuple[Job, Outcome]]],
    waiting: list[Job],
    record: Record,
    said: Report,
    report: str | None,
) -> int:
    """Colour what is waiting, and say what came of it. Gives the exit code."""
    try:
        if waiting:
            results = begin()
            said.begin(len(waiting))
            _note(results, waiting, record, said)
        said.print()
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped: the same command goes on with the photos and films that are left") from None
    finally:  # after Ctrl-C, and on a full disk too
        said.write(report)
    return 1 if said.failures else 0


def _to_color(jobs: list[Job], record: Record, overwrite: bool, said: Report) -> list[Job]:
    """The jobs whose results are not there, or shall be made again; of the others the report is told."""
    waiting = []
    for job in jobs:
        if (reason := record.left_out(job)) and not overwrite:
            said.leave(job.source, reason)
            continue
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
        with closing(results):
            for job, outcome in results:
                said.add(job, outcome)
                record.add(job, outcome)
    except OSError as error:
        if error.errno not in STOPPING:
            raise
        where = error.filename2 or error.filename or jobs[0].target.parent
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = f"{where} does not fit on the disk any more: free some space" if full else f"{where} can't be written"
        raise UserError(f"{what}, then run the same command again, or give another folder") from error
    finally:
        record.flush()


def _must_be_writable(out: str) -> None:
    """Raise UserError if nothing can be written below `out`: not sooner than after all photos were coloured, else."""
    there = next(folder for folder in (Path(out), *Path(out).absolute().parents) if os.path.lexists(folder))
    if os.path.isdir(there) and not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"{there} can't be written: check its permissions, or give another folder")
    if not os.path.isdir(there) and there != Path(out):
        raise UserError(f"{there} is a file, so {out} can't be a folder in it: give another one")


def preview(jobs: list[Job], films: list[Job], said: Report, report: str | None, far: Far) -> int:
    """Print, and report, what would become of each, as far as its header tells. Gives the exit code of such a run.

    Of a file at an address only the name is known.
    """
    count = 0
    for job in jobs:
        try:
            if not far.split(job.source):
                check_film(job) if job in films else check(job.source)
        except UnreadablePhoto as error:
            said.fail(job.source, error.reason)
            continue
        if job.was_found and job not in films and is_coloured(job.source, SYSTEM):
            said.leave(job.source, OURS)
            continue
        count += 1
        said.promise(job)
        print(printable(f"{far.show(job.source)} -> {far.show(job.target)}"))
    skipped, refused = said.skipped.total(), len(said.failures)
    print(f"{count:,} would be coloured, {skipped:,} skipped: already done, {refused:,} refused")
    said.print_details()
    said.write(report)
    return 1 if said.failures else 0
