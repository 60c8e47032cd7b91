"""How far a film is: a line that is written over in a terminal, a new line now and then elsewhere."""

import sys
import time
from collections.abc import Callable

FIRST, EACH = 10, 30  # seconds until the first line, and between two, where output goes into a file or a pipe
OFTEN = 0.5  # seconds between two states of the line in a terminal

Tell = Callable[[int, int, float], None]
"""Gets how many frames are done, about how many there are, and frames/s."""


class Progress:
    """Says frames, frames/s and the time left, for `total` frames, about, of which `done` were coloured before.

    With `tell`, it is told twice a second instead of printed.
    """

    def __init__(self, total: int, done: int = 0, tell: Tell | None = None):
        self._total, self._done, self._before = total, done, done
        self._start = self._said = time.monotonic()
        self._is_terminal = tell is None and sys.stdout.isatty()
        self._tell = tell or self._print
        self._wait, self._each = (OFTEN, OFTEN) if tell or self._is_terminal else (FIRST, EACH)

    def add(self) -> None:
        """One frame more is done."""
        self._done += 1
        now = time.monotonic()
        if now - self._said < self._wait:
            return
        self._said, self._wait = now, self._each
        self._tell(self._done, self._total, (self._done - self._before) / (now - self._start))

    def end(self) -> None:
        """Wipe the line off a terminal."""
        if self._is_terminal:
            print(f"\r{'':<76}\r", end="", flush=True)

    def _print(self, done: int, total: int, rate: float) -> None:
        line = f"{done:,} of about {total:,} frames, {rate:.1f} frames/s, {_words(max(0, total - done) / rate)} left"
        print(f"\r{line:<76}" if self._is_terminal else line, end="" if self._is_terminal else "\n", flush=True)


def _words(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
