"""What a run of `fastcolor colorize` says at its end, on the screen and in a file."""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fastcolor.colorize.flow import IN_COLOR, Outcome
from fastcolor.colorize.plan import Job
from fastcolor.colorize.record import OTHER, SAME, UNKNOWN
from fastcolor.errors import UserError, printable
from fastcolor.files import shows_progress, write_csv, write_whole
from fastcolor.photo.folders import by_kind

COLUMNS = ("input", "output", "state", "pages", "width", "height", "seconds", "notes", "reason")
FIRST_LINE, EACH_LINE = 10, 30  # seconds until the first line of progress, and between two


@dataclass
class Report:
    """Collects what becomes of the photos."""

    others: Counter[str] = field(default_factory=Counter)  # files of kinds that are not read
    skipped: Counter[str] = field(default_factory=Counter)  # by the record's state
    left_out: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[Path | str, str]] = field(default_factory=list)
    notes: dict[str, list[Path]] = field(default_factory=dict)
    rows: list[tuple] = field(default_factory=list)
    done: int = 0
    in_color: int = 0
    frames: int = 0  # of films
    retried: int = 0  # photos whose process died before
    show: Callable[[Path], Path | str] = lambda path: path  # what a path is called

    def __post_init__(self):
        self.begin(0)

    def begin(self, total: int) -> None:
        """So many photos are to be coloured from now on."""
        self.total, self._through, self._wait = total, 0, FIRST_LINE
        self._start = self._said = time.monotonic()

    def skip(self, job: Job, state: str) -> None:
        """A result is there already."""
        self.skipped[state] += 1
        self._row(job, "skipped", Outcome(), "" if state == SAME else state)

    def leave(self, source: Path, reason: str) -> None:
        """A photo that was found and is not coloured."""
        self.left_out[reason] += 1
        self.rows.append((self.show(source), "", "left out", "", "", "", "", "", reason))

    def promise(self, job: Job) -> None:
        """A photo that would be coloured."""
        self.rows.append((self.show(job.source), self.show(job.target), "would be coloured", "", "", "", "", "", ""))

    def fail(self, source: Path | str, reason: str) -> None:
        """An input of which nothing could be made."""
        source = self.show(source) if isinstance(source, Path) else source
        self.failures.append((source, reason))
        self.rows.append((source, "", "failed", "", "", "", "", "", reason))

    def add(self, job: Job, outcome: Outcome) -> None:
        """A photo's outcome."""
        self.retried += outcome.retried > 0
        if outcome.failure:
            self.failures.append((self.show(job.source), outcome.failure))
            self._row(job, "failed", outcome, outcome.failure)
        elif outcome.left_out:
            self.left_out[outcome.left_out] += 1
            self._row(job, "left out", outcome, outcome.left_out)
        else:
            self.done += 1
            self.in_color += outcome.was_in_color
            self.frames += outcome.frames
            for note in outcome.notes:
                self.notes.setdefault(note, []).append(self.show(job.source))
            self._row(job, "coloured", outcome, "")
        self._say_progress()

    def _row(self, job: Job, state: str, outcome: Outcome, reason: str) -> None:
        size = outcome.shape or ("", "")
        seconds = round(outcome.seconds, 2) if outcome.seconds else ""
        output = self.show(job.target) if state in ("coloured", "skipped") else ""
        notes = "; ".join(outcome.notes)
        self.rows.append((self.show(job.source), output, state, outcome.pages or "", *size, seconds, notes, reason))

    def _say_progress(self) -> None:
        """A line now and then where no bar is drawn: into a file or a pipe."""
        now, self._through = time.monotonic(), self._through + 1
        if shows_progress() or now - self._said < self._wait or self._through == self.total:
            return
        self._said, self._wait = now, EACH_LINE
        left = (self.total - self._through) * (now - self._start) / self._through
        minutes = f"about {left / 60:.0f} minutes" if left > 90 else "about a minute"
        print(f"{self._through:,} of {self.total:,}, {minutes} left", flush=True)

    def print(self) -> None:
        """Print what was done, and what differs from the originals; on stderr, what could not be coloured."""
        seconds = time.monotonic() - self._start
        speed = f"{self.frames / seconds:.1f} frames/s" if self.frames else f"{self.done / seconds:.2f} photos/s"
        rate = f" in {seconds:.1f} s ({speed})" if self.done else ""
        there = f", {self.skipped.total():,} skipped: already done" if self.skipped else ""
        print(f"{self.done:,} coloured{rate}{there}")
        self.print_details()

    def print_details(self) -> None:
        """The lines below the first one."""
        if changed := self.skipped[OTHER]:
            were = "was" if changed == 1 else "were"
            print(f"  {changed:,} of the skipped {were} {OTHER}: --overwrite colours them again")
        if unknown := self.skipped[UNKNOWN]:
            print(f"  of {unknown:,} of the skipped it is not known how they were made: --overwrite colours them again")
        if self.retried:
            were = "was" if self.retried == 1 else "were"
            print(f"  {self.retried:,} {were} retried, as the process died that worked on it")
        if self.in_color:
            were = "was" if self.in_color == 1 else "were"
            print(f"  {self.in_color:,} {were} {IN_COLOR}: --skip-colour leaves such photos")
        for reason, count in self.left_out.items():
            print(f"  {count:,} left out: {reason}")
        if count := self.others.total():
            print(f"  {count:,} file{'s' * (count > 1)} left out: {by_kind(self.others)}")
        for note, files in self.notes.items():
            more = f" and {len(files) - 1:,} more" if len(files) > 1 else ""
            print(printable(f"  {files[0]}{more}: {note}"))
        if self.failures:
            lines = [printable(f"{source}: {reason}") for source, reason in self.failures]
            print("\n  ".join([f"{len(lines):,} could not be coloured:", *lines]), file=sys.stderr)

    def write(self, path: str | None) -> None:
        """Write a line for each photo into a .csv or .json file, if one was asked for."""
        if path is None:
            return
        rows = [tuple(str(value) if isinstance(value, Path) else value for value in row) for row in self.rows]
        try:
            if Path(path).suffix.lower() == ".csv":
                write_csv(path, COLUMNS, rows)
                return
            listed = [
                {name: None if value == "" else value for name, value in zip(COLUMNS, row, strict=True)} for row in rows
            ]
            with write_whole(path, lasting=True) as temporary:
                temporary.write_text(json.dumps(listed, indent=1), encoding="utf-8")
        except OSError as error:
            raise UserError(f"--report {path} can't be written ({error.strerror}): give another name") from error


def check_report(path: str | None) -> None:
    """Raise UserError unless `--report` names a file that can be written."""
    if path is not None and Path(path).suffix.lower() not in (".csv", ".json"):
        raise UserError(f"--report {path} must end in .csv or .json")
