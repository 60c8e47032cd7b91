"""Judging photos in many processes: on a Ray cluster, or by commands of which each judges a part."""

import pickle
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from fastcolor.colorize.record import Weights, weights_of
from fastcolor.colorize.shared import must_be_the_same, packed, unpacked
from fastcolor.device import choose_device
from fastcolor.errors import UnreadablePhoto, UserError
from fastcolor.evaluate.photos import Exam, Examiner, Judged
from fastcolor.files import cores, progress_bar, write_whole
from fastcolor.remote.far import Far
from fastcolor.remote.on_ray import Work, on_ray
from fastcolor.remote.shards import Shard
from fastcolor.remote.store import Unreachable


def judge_on_ray(
    address: str, exam: Exam, names: list[str], missing: list[str], data: Path, photos: list[Path], far: Far
) -> Judged:
    """Judge photos on a Ray cluster. `names` are those of the systems, `missing` is what this machine's judge lacks.

    Paths without an address are the same on all machines. Raises UserError.
    """
    tasks = {str(number): (str(photo), far.ticket(data / photo)) for number, photo in enumerate(photos)}
    files = packed({"weights": exam.weights, "against": exam.against})
    begin = partial(_begin, exam, files, names, missing, weights_of(exam.weights))
    done = on_ray(address, tasks, begin, gpu=choose_device("auto").type == "cuda")
    rows, unreadable = [], []
    for key, result, tries in progress_bar(done, total=len(tasks)):
        its, reason = result or (None, f"its process died {tries} times while it was judged")
        if reason is None:
            rows += its
        else:
            unreadable.append((photos[int(key)], reason))
    return rows, unreadable


def _begin(
    exam: Exam, files: dict[str, tuple[str, bytes]], names: list[str], missing: list[str], weights: Weights
) -> Work:
    """What a process of the cluster does at first. Raises UserError where it would judge otherwise."""
    from fastcolor.evaluate.judge import Judge

    torch.set_num_threads(cores())
    far, judge = Far(), Judge(exam.lpips, exam.frechet)
    if judge.missing != missing:
        raise UserError(f"weights that judge photos are not the same on all machines: {(judge.missing or missing)[0]}")
    exam = replace(exam, **unpacked(files))
    must_be_the_same(weights_of(exam.weights), weights)
    systems = dict(zip(names, exam.systems().values(), strict=True))
    examine = Examiner(systems, judge, exam.aged)

    def work(tasks: Iterable[tuple[str, tuple]]) -> Iterator[tuple[str, tuple]]:
        for key, (name, ticket) in tasks:
            photo, path = Path(name), far.follow(ticket)
            try:
                far.fetch(path)
                yield key, (examine(path.parents[len(photo.parts) - 1], photo), None)
            except (UnreadablePhoto, Unreachable) as error:
                yield key, (None, error.reason)
            finally:
                far.forget(path)

    return work


class Parts:
    """What commands with `--shard` have judged, until the one without it makes figures of it: OUT/part-3-of-16.pt.

    `about` are the settings of the evaluation: parts with other ones are refused.
    """

    def __init__(self, out: Path, exam: Exam, about: dict):
        self._out = out
        self._about = {name: about[name] for name in about if name != "date"}
        self._about |= {"digests": [weights_of(file).digest for file in (exam.weights, exam.against)]}
        self._about |= {"lpips": exam.lpips, "frechet": exam.frechet}
        self._rows, self._unreadable = [], []
        for path in self._paths():
            self._read(path)

    def _read(self, path: Path) -> None:
        """Remember what was judged. Raises UserError for parts of another evaluation."""
        try:
            part = torch.load(path, weights_only=True)
            its = part["about"]
        except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError, EOFError) as error:
            raise UserError(f"{path} is no part of an evaluation: delete it ({type(error).__name__})") from None
        if differences := [name for name in self._about if its.get(name) != self._about[name]]:
            what = f"{path} is part of another evaluation, with other settings ({', '.join(differences)})"
            raise UserError(f"{what}: delete it, or give another --out")
        self._rows += part["rows"]
        self._unreadable += [(Path(photo), reason) for photo, reason in part["unreadable"]]

    def left(self, photos: list[Path], share: Shard | None) -> list[Path]:
        """The photos that are still to be judged, or those of a share."""
        known = {row["file"] for row in self._rows}.union(str(photo) for photo, _ in self._unreadable)
        mine = [photo for photo in photos if share is None or share.holds(photo.as_posix())]
        return [photo for photo in mine if str(photo) not in known]

    def together(self, photos: list[Path], rows: list[dict], unreadable: list[tuple[Path, str]]) -> Judged:
        """What is in the parts and what has been judged now, in the order of the photos."""
        order = {str(photo): number for number, photo in enumerate(photos)}
        rows = [row for row in self._rows + rows if row["file"] in order]
        return sorted(rows, key=lambda row: order[row["file"]]), self._unreadable + unreadable

    def write(self, share: Shard, rows: list[dict], unreadable: list[tuple[Path, str]]) -> None:
        """Leave a part for the command that puts them together; nothing new leaves the one that is there."""
        if not rows and not unreadable:
            return
        unreadable = [(str(photo), reason) for photo, reason in unreadable]
        with write_whole(self._out / f"part-{share.number}-of-{share.count}.pt") as temporary:
            torch.save({"about": self._about, "rows": rows, "unreadable": unreadable}, temporary)

    def delete(self) -> None:
        """The figures have been made."""
        for path in self._paths():
            path.unlink()

    def _paths(self) -> list[Path]:
        return sorted(self._out.glob("part-*-of-*.pt"))
