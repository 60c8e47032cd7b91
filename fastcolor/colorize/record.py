"""What each result of a folder was made with, so that a later run knows which ones it would make differently."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import astuple
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import fastcolor
from fastcolor.colorize.plan import Job
from fastcolor.photo.xmp import Mark
from fastcolor.weights import weights_file

SYSTEM = "fastcolor"
"""How results say who coloured them."""
NAME = ".fastcolor.jsonl"
"""The file in a folder of results: a line of JSON for each, the last one of a result counts."""

NEW, SAME, OTHER, UNKNOWN = "new", "same", "made with other settings or from another version of the photo", "unknown"


class Weights(NamedTuple):
    """Which weights: the file's name, and the beginning of its SHA-256."""

    name: str
    digest: str


def weights_of(weights: str | Path | None) -> Weights:
    """Name and digest of a weights file (see `weights_file`). A missing file has no digest."""
    path = weights_file(weights)
    try:
        # of a pipe, reading would wait for ever
        digest = _digest(path, (found := path.stat()).st_size, found.st_mtime_ns) if path.is_file() else ""
    except OSError:  # it is said when they are loaded
        digest = ""
    return Weights(path.stem, digest)


@lru_cache(16)
def _digest(path: Path, size: int, time: int) -> str:
    """The beginning of a file's SHA-256; computed once for each version of the file: a page asks for each photo."""
    digest = hashlib.sha256()
    with open(path, "rb") as opened:
        while part := opened.read(1 << 20):  # the whole file at once would be at the peak of memory
            digest.update(part)
    return digest.hexdigest()[:12]


def mark_of(weights: Weights) -> Mark:
    """What results say of who coloured them."""
    return Mark(SYSTEM, f"fastcolor {fastcolor.__version__}, weights {weights.name} {weights.digest}")


def version_of(source: Path) -> dict:
    """Size and time of a photo, which change when it does."""
    try:
        found = source.stat()
    except OSError:
        return {}
    return {"bytes": found.st_size, "time": found.st_mtime_ns}


class Record:
    """What the results in a folder were made with. `folder` None: a single file, of which nothing is remembered.

    `further` gives settings that only some jobs have, `version` what changes when a photo does.
    """

    def __init__(
        self,
        folder: Path | None,
        settings: dict,
        further: Callable[[Job], dict] = lambda job: {},
        version: Callable[[Path], dict] = version_of,
    ):
        self.path, self.settings, self._further, self._version = folder and folder / NAME, settings, further, version
        self._lines = {}
        if self.path is None:
            return
        try:
            text = self.path.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return
        for line in text.splitlines():
            try:
                known = json.loads(line)
                self._lines[known["result"]] = known
            except (ValueError, TypeError, KeyError, RecursionError):  # cut off by a power cut, or written by others
                continue

    def state(self, job: Job) -> str:
        """Whether a job's result is there, and made from this photo with these settings."""
        if not os.path.lexists(job.target):
            return NEW
        if self.path is None or (known := self._lines.get(self._name(job))) is None:
            return UNKNOWN
        return SAME if {**known, "result": None} == {**self._line(job), "result": None} else OTHER

    def begin(self, jobs: list[Job], overwrite: bool, writes: bool) -> None:
        """Look at what others have made in the folder, and, if it `writes`, note whose it is. Raises UserError."""

    def left_out(self, job: Job) -> str | None:
        """Why a photo was left out before; None if it was not, or nobody remembers."""

    def add(self, job: Job, outcome: "Outcome") -> None:  # noqa: F821 (it would import in a circle)
        """Remember what became of a job: a result that has been written."""
        if self.path is None or outcome.failure or not (outcome.pages or outcome.frames):
            return
        line = self._line(job)
        self._lines[line["result"]] = line
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def flush(self) -> None:
        """Write what is not written yet."""

    def _name(self, job: Job) -> str:
        return Path(os.path.relpath(job.target, self.path.parent)).as_posix()

    def _line(self, job: Job) -> dict:
        return {"result": self._name(job), "source": self._version(job.source), **self._made_with(job)}

    def _made_with(self, job: Job) -> dict:
        settings = {"settings": self.settings | self._further(job)}
        told = repr([astuple(hint) for hint in job.hints]).encode()
        return {**settings, "hints": hashlib.sha256(told).hexdigest()[:12]} if job.hints else settings
