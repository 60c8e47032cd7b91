"""Results that many processes write: what they remember of them together, and the same work on a cluster."""

import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import fastcolor
from fastcolor.colorize.flow import Outcome
from fastcolor.colorize.plan import Job
from fastcolor.colorize.record import NEW, OTHER, SAME, Record, Weights, version_of, weights_of
from fastcolor.colorize.work import Order, Worker
from fastcolor.errors import UserError
from fastcolor.remote.far import Far
from fastcolor.remote.manifest import Manifest, as_text, fingerprint
from fastcolor.remote.on_ray import TRIES, Work, on_ray
from fastcolor.remote.store import store_here
from fastcolor.weights import weights_file

DIED = f"its process died {TRIES} times while it was coloured: it may need more memory than there is"


class SharedRecord(Record):
    """A `Record` in a manifest below `out`, the folder of results or what stands for it."""

    def __init__(self, out: Path, settings: dict, further: Callable[[Job], dict], far: Far):
        super().__init__(None, settings, further, partial(far_version, far))
        store, _ = far.split(out) or (store_here(out), "")
        self._manifest, self._out, self._far = Manifest(store, settings), out, far

    def begin(self, jobs: list[Job], overwrite: bool, writes: bool) -> None:
        """Read what there is, and note whose folder it is. Raises UserError if it is another job's."""
        if jobs:
            self._manifest.begin(map(self._name, jobs), overwrite, writes)

    def state(self, job: Job) -> str:
        known = self._known(job)
        if self._name(job) not in self._manifest.files or known is None or known[0] != "coloured":
            return NEW  # if it is there: somebody was killed before he could note it
        return SAME if self._is_same(job, known) else OTHER

    def left_out(self, job: Job) -> str | None:
        known = self._known(job)
        return known[1] if known and known[0] == "left out" and self._is_same(job, known) else None

    def add(self, job: Job, outcome: Outcome) -> None:
        state = "failed" if outcome.failure else "left out" if outcome.left_out else "coloured"
        width, height = outcome.shape or (None, None)
        self._manifest.add(
            {
                "output": self._name(job),
                "input": str(self._far.show(job.source)),
                "state": state,
                "pages": outcome.pages,
                "width": width,
                "height": height,
                "seconds": outcome.seconds,
                "notes": "; ".join(outcome.notes),
                "reason": outcome.failure or outcome.left_out,
                "retried": outcome.retried,
                "made": fingerprint(self._made_with(job)),
                "source": self._source(job),
                "time": time.time(),
            }
        )

    def flush(self) -> None:
        self._manifest.flush()

    def _known(self, job: Job) -> tuple | None:
        return self._manifest.known.get(as_text(self._name(job)))

    def _is_same(self, job: Job, known: tuple) -> bool:
        return known[2:] == (fingerprint(self._made_with(job)), self._source(job))

    def _source(self, job: Job) -> str:
        return " ".join(map(str, self._version(job.source).values()))

    def _name(self, job: Job) -> str:
        return Path(os.path.relpath(job.target, self._out)).as_posix()


def far_version(far: Far, source: Path) -> dict:
    """What changes when a photo does, here or elsewhere."""
    entry = far.entries.get(source)
    return {"bytes": entry.size, "time": entry.version} if entry else version_of(source)


def color_on_ray(address: str, order: Order, jobs: list[Job], far: Far) -> Iterator[tuple[Job, Outcome]]:
    """Colour on a Ray cluster, and give each job with what became of it. Paths without an address are the same on all
    its machines. Raises UserError.
    """
    if order.device in ("auto", "cpu"):
        Worker(order)  # what can't work there is said here, in the same words as without Ray
    tasks = {
        str(number): (far.ticket(job.source), far.ticket(job.target), job.was_found, job.hints)
        for number, job in enumerate(jobs)
    }
    files = packed({"weights": order.weights, "like": order.like})
    begin = partial(_begin, order, files, weights_of(order.weights))
    for done in on_ray(address, tasks, begin, gpu=order.device == "cuda"):
        outcome = done.result or Outcome(failure=DIED)
        outcome.retried = done.tries - 1
        yield jobs[int(done.key)], outcome


def packed(files: dict[str, str | None]) -> dict[str, tuple[str, bytes]]:
    """Names and contents, by flag, of files that go along to the processes of a cluster: those that ship are there."""
    paths = {flag: weights_file(file) for flag, file in files.items() if file not in (None, "bundled", "lean")}
    return {flag: (path.name, path.read_bytes()) for flag, path in paths.items()}


def unpacked(files: dict[str, tuple[str, bytes]]) -> dict[str, str]:
    """Write what was `packed` into a folder of this process, and give the paths."""
    paths = {flag: Path(_own_folder().name, flag, name) for flag, (name, _) in files.items()}
    for flag, path in paths.items():
        path.parent.mkdir()
        path.write_bytes(files[flag][1])
    return {flag: str(path) for flag, path in paths.items()}


@cache
def _own_folder() -> tempfile.TemporaryDirectory:
    """Deleted at the end of the process."""
    return tempfile.TemporaryDirectory(prefix="fastcolor-")


def must_be_the_same(weights: Weights, here: Weights) -> None:
    """Raise UserError in a process of the cluster that would colour with other weights than the command."""
    if weights != here:
        what = f"fastcolor {fastcolor.__version__} on {platform.node()} has other weights than here"
        raise UserError(f"{what}: install the same version on all machines")


def _begin(order: Order, files: dict[str, tuple[str, bytes]], made_by: Weights) -> Work:
    """What a process of the cluster does at first. Raises UserError where it would colour otherwise."""
    order = replace(order, **unpacked(files))
    must_be_the_same(weights_of(order.weights), made_by)
    worker, far = Worker(order), Far()

    def work(tasks: Iterable[tuple[str, tuple]]) -> Iterator[tuple[str, Outcome]]:
        keys = {}

        def jobs() -> Iterator[Job]:
            for key, (source, target, was_found, hints) in tasks:
                job = Job(far.follow(source), far.follow(target), was_found, hints)
                keys[job] = key
                yield job

        for job, outcome in worker.far(jobs(), far):
            yield keys.pop(job), outcome

    return work
