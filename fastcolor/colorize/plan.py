"""What `fastcolor colorize` will read, and where each result goes: decided before the first photo is coloured."""

import glob
import os
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from fastcolor.colorize.hints import FilmHint, Hint, hints_file, read_hints
from fastcolor.errors import UserError
from fastcolor.film.kinds import FILMS, MOVING, OTHERS, WRITTEN, is_film
from fastcolor.photo.folders import HINTS, choose_photos, find_photos
from fastcolor.photo.formats import RAW, SUFFIXES
from fastcolor.photo.raw import knows_raw
from fastcolor.remote.far import Far
from fastcolor.remote.store import Unreachable, is_address


class Job(NamedTuple):
    """A photo file to be coloured, and the file to write."""

    source: Path
    target: Path
    was_found: bool = False  # in a folder, not given by name: then it may be a result of ours
    hints: tuple[Hint, ...] = ()


@dataclass
class Plan:
    """The photos and films to colour, a sentence for each input that can't be, and files that are left out."""

    jobs: list[Job] = field(default_factory=list)
    films: list[Job] = field(default_factory=list)
    failures: list[tuple[Path | str, str]] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    developed: list[Path] = field(default_factory=list)  # raw files whose photo is among the jobs

    def keep(self, wanted: Callable[[Job], bool]) -> None:
        """Forget the jobs that are not `wanted`."""
        self.jobs, self.films = list(filter(wanted, self.jobs)), list(filter(wanted, self.films))


def plan(inputs: list[str], out: str, format: str | None, far: Far | None = None) -> Plan:
    """The photos and films to colour; with `far`, some of them may be at addresses.

    A folder's tree is kept below `out`, of several folders their names too; other photos go there under their names.
    Raises UserError if nothing could be written as it is asked for.
    """
    made, found, far = Plan(), [], far or Far()
    given = [match for each in inputs if not is_address(each) for match in _matches(each, made)]
    addresses = list(filter(is_address, inputs))
    folders = [path for path in given if os.path.isdir(path)]
    common = os.path.commonpath([os.path.abspath(folder) for folder in folders]) if len(folders) > 1 else None
    for address in addresses:
        found += _at_address(address, far, out, made, keeps_name=len(addresses) + len(folders) > 1)
    for path in given:
        if not os.path.isdir(path):
            found.append((path, Path(path.name), False))
            continue
        results = _inside(path, out)
        top = Path(os.path.relpath(os.path.abspath(path), common)) if common else Path()
        try:
            names = find_photos(
                path,
                lambda error: made.failures.append((Path(error.filename), "can't be read")),
                made.others,
                raw=knows_raw(),
                also=FILMS,
            )
        except UserError as error:
            made.failures.append((path, str(error).removeprefix(f"{path} ").removeprefix(f"{path}: ")))
            continue
        names = [name for name in names if not results or name.parts[: len(results)] != results]
        twice = _developed_already(names)
        made.developed += [path / name for name in names if name in twice]
        found += [(path / name, top / name, True) for name in names if name not in twice]
    targets = _targets([name for _, name, _ in found], out, format)
    jobs = [Job(source, target, walked) for (source, _, walked), target in zip(found, targets, strict=True)]
    made.jobs = _with_names_of_their_own(jobs, out)
    refuse_to_overwrite(made, far)
    films = {job.source for job in made.jobs if is_film(job.source)}
    made.films = _with_hints([job for job in made.jobs if job.source in films], FilmHint, made)
    made.jobs = _with_hints([job for job in made.jobs if job.source not in films], Hint, made)
    return made


def _at_address(address: str, far: Far, out: str, made: Plan, keeps_name: bool) -> list[tuple[Path, Path, bool]]:
    """What stands for the photos and films at an address, their names, and whether each was found in a folder."""
    top = far.stand_in(address)
    try:
        names = far.listing(top)
        if names == [""]:  # a file
            return [(top, Path(top.name), False)]
        results = far.below(Path(out), top)
        if results == "":
            what = "is the folder of the photos itself: give another one, as originals are never changed"
            raise UserError(f"{far.show(Path(out))} {what}")
        names = [Path(name) for name in names if results is None or not name.startswith(f"{results}/")]
        for name in names:
            if name.name.endswith(HINTS):
                far.fetch(top / name)
        names = [name for name in names if not name.name.endswith(HINTS)]
    except Unreachable as error:
        made.failures.append((far.show(top), error.reason))
        return []
    made.failures += [(folder, "can't be read") for folder in far.unreadable(top)]
    try:
        names = choose_photos(far.show(top), names, made.others, knows_raw(), FILMS)
    except UserError as error:
        made.failures.append((far.show(top), str(error).removeprefix(f"{far.show(top)} ")))
        return []
    twice = _developed_already(names)
    made.developed += [top / name for name in names if name in twice]
    kept = Path(top.name) if keeps_name else Path()
    return [(top / name, kept / name, True) for name in names if name not in twice]


def _developed_already(names: list[Path]) -> set[Path]:
    """The raw files whose photo lies beside them under the same name: IMG_1.CR2 beside IMG_1.JPG, as cameras do it."""
    raw = {name for name in names if SUFFIXES.get(name.suffix.lower()) is RAW}
    photos = {os.path.normcase(name.with_suffix("")) for name in names if name not in raw}
    return {name for name in raw if os.path.normcase(name.with_suffix("")) in photos}


def plan_frames(inputs: list[str], out: str) -> Plan:
    """The folders of numbered frames to colour; several go below `out` under their names."""
    made, found = Plan(), []
    for folder in (match for each in inputs for match in _matches(each, made)):
        if os.path.isdir(folder):
            _inside(folder, out)
            found.append(folder)
        else:
            made.failures.append((folder, "is no folder: --frames takes folders of numbered frames"))
    targets = [Path(out)] if len(found) == 1 else [Path(out) / folder.resolve().name for folder in found]
    made.jobs = [Job(source, target) for source, target in zip(found, targets, strict=True)]
    refuse_to_overwrite(made, Far())
    made.films, made.jobs = _with_hints(made.jobs, FilmHint, made), []
    return made


def _with_hints(jobs: list[Job], kind: type[Hint], made: Plan) -> list[Job]:
    """The jobs with the hints that lie beside their files; those whose hints can't be read become failures."""
    fine = []
    for job in jobs:
        file = hints_file(job.source)
        try:
            fine.append(job._replace(hints=tuple(read_hints(file, kind))) if os.path.lexists(file) else job)
        except UserError as error:
            made.failures.append((job.source, str(error)))
    return fine


def _matches(given: str, made: Plan) -> list[Path]:
    """The files and folders that an input names; a pattern is one that the shell did not expand."""
    if given == "-":
        made.failures.append(("-", "photos are read from files: give a name instead of -"))
        return []
    if glob.has_magic(given) and not os.path.lexists(given):
        found = sorted(glob.glob(_pattern(given), recursive=True))
        if not found:
            made.failures.append((Path(given), "no file has such a name"))
        return list(map(Path, found))
    return [Path(given)]


def _pattern(given: str) -> str:
    """A pattern in which folders that exist are no patterns: [1950] in `scans [1950]/*.jpg`."""
    path = Path(given)
    for folder in path.parents:
        if os.path.isdir(folder):
            return os.path.join(glob.escape(str(folder)), os.path.relpath(given, folder))
    return given


def _inside(folder: Path, out: str) -> tuple[str, ...]:
    """The way from a folder of photos to `out`, if that is inside. Raises UserError if they are the same."""
    try:
        results = Path(os.path.realpath(out)).relative_to(os.path.realpath(folder)).parts
    except ValueError:  # it lies elsewhere
        return ()
    if not results:
        raise UserError(f"{out} is the folder of the photos itself: give another one, as originals are never changed")
    return results


def is_one_file(out: str, count: int) -> bool:
    """Whether `out` names the file of a single photo, not a folder. Raises UserError for a file that can't be one."""
    suffix = Path(out).suffix.lower()
    known = suffix in SUFFIXES or suffix in WRITTEN
    if os.path.isfile(out) and not known:
        raise UserError(f"{out} is a file: give a folder")
    is_folder = os.path.isdir(out) or out.endswith(("/", os.sep))
    return not is_folder and (known or bool(suffix and count == 1))


def _targets(names: list[Path], out: str, format: str | None) -> list[Path]:
    """Where photos of these names go: below `out`, or, if it is a single one, into the file `out`. Raises UserError."""
    if not is_one_file(out, len(names)):
        return [Path(out) / renamed(name, format) for name in names]
    if len(names) > 1:
        raise UserError(f"{out} is one file, but there are {len(names):,} photos: give a folder")
    suffix = Path(out).suffix.lower()
    if suffix in WRITTEN and names[0].suffix.lower() in (*FILMS, *MOVING):
        return [Path(out)]
    if suffix in WRITTEN or names[0].suffix.lower() in FILMS:
        what = f"a film becomes a film ({', '.join(WRITTEN)}), a photo a photo"
        raise UserError(f"{out}: {what}: give another name, or {out}/ for a folder")
    kind = SUFFIXES.get(suffix)
    if kind is None or kind.written_as:
        written = ", ".join(each for each in SUFFIXES if not SUFFIXES[each].written_as)
        raise UserError(f"{out}: {suffix} can't be written: choose {written}, or give {out}/ for a folder")
    if format and SUFFIXES[f".{format}"] != kind:
        raise UserError(f"{out} is not a file of --format {format}: leave out --format, or give another name")
    return [Path(out) for _ in names]


def renamed(name: Path, format: str | None) -> Path:
    """The name of a photo's result: the photo's own, with another suffix if another format is written."""
    if (suffix := name.suffix.lower()) in FILMS:
        return name.with_suffix(OTHERS.get(suffix, name.suffix))
    kind = SUFFIXES.get(suffix)
    if kind is None:  # the file's name does not say what it holds; PNG loses nothing
        return name.with_name(f"{name.name}.{format or 'png'}")
    if format is None:
        return name.with_name(f"{name.name}{kind.written_as}") if kind.written_as else name
    return name if kind == SUFFIXES[f".{format}"] else name.with_suffix(f".{format}")


def _with_names_of_their_own(jobs: list[Job], out: str) -> list[Job]:
    """The jobs, each photo once; photos whose results would have the same name get longer ones.

    IMG_1.heic and IMG_1.jpg become IMG_1.heic.png and IMG_1.jpg.png; photos of the same name keep their folders' names.
    """
    alike, seen, once = defaultdict(list), set(), []
    for job in jobs:
        if (key := (identity(job.source), _place(job.target))) not in seen:
            seen.add(key)
            once.append(job)
            alike[key[1]].append(job)
    longer = {}
    for group in (group for group in alike.values() if len(group) > 1):
        common = os.path.commonpath([os.path.abspath(job.source.parent) for job in group])
        names = Counter(os.path.normcase(job.source.name) for job in group)
        for job in group:
            name = job.target.name
            if os.path.normcase(job.source.name) != os.path.normcase(name):
                name = job.source.name + job.target.suffix
            folder = job.target.parent
            if names[os.path.normcase(job.source.name)] > 1:
                folder = Path(out) / os.path.relpath(os.path.abspath(job.source.parent), common)
            longer[job] = job._replace(target=folder / name)
    return [longer.get(job, job) for job in once]


def refuse_to_overwrite(made: Plan, far: Far) -> None:
    """Move jobs whose target is one of the photos, under any name, or another's, to the failures.

    Raises UserError if that is all that there is to do.
    """
    sources = {_identity(job.source, far): job.source for job in made.jobs}
    fine, wrong, taken = [], [], {}
    for job in made.jobs:
        first = taken.setdefault(_place(job.target), job)
        is_there = os.path.exists(job.target) or far.split(job.target)
        if is_there and (photo := sources.get(_identity(job.target, far))):
            what = f"{far.show(job.target)} is the photo {far.show(photo)} itself"
            wrong.append((far.show(job.source), f"{what}: write to another folder, as originals are never changed"))
        elif first is not job:
            both = f"it and {far.show(first.source)} would both become {far.show(job.target)}"
            wrong.append((far.show(job.source), f"{both}: colour them separately, into two folders"))
        else:
            fine.append(job)
    if wrong and not fine:
        raise UserError(f"{wrong[0][0]}: {wrong[0][1]}")
    made.jobs = fine
    made.failures += wrong


def _identity(path: Path, far: Far) -> tuple[int, int] | str:
    return str(far.show(path)) if far.split(path) else identity(path)


def _place(target: Path) -> str:
    return os.path.normcase(os.path.realpath(target))


def identity(path: Path) -> tuple[int, int] | str:
    """What all names of a file share: links of both kinds, other cases, other spellings of the path."""
    try:
        found = path.stat()
    except OSError:  # missing, or a link in a loop
        return os.path.abspath(path)
    return found.st_dev, found.st_ino
