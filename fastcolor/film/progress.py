"""How far a film is: a line that is written over in a terminal, a new line now and then elsewhere."""

import sys
import time

FIRST, EACH = 10, 30  # seconds until the first line, and between two, where output goes into a file or a pipe
TERMINAL = 0.5  # seconds between two states of the line in a terminal


class Progress:
    """Says frames, frames/s and the time left, for `total` frames, about, of which `done` were coloured before."""

    def __init__(self, total: int, done: int = 0):
        self._total, self._done, self._before = total, done, done
        self._start = self._said = time.monotonic()
        self._is_terminal = sys.stdout.isatty()
        self._wait = TERMINAL if self._is_terminal else FIRST

    def add(self) -> None:
        """One frame more is done."""
        self._done += 1
        now = time.monotonic()
        if now - self._said < self._wait:
            return
        self._said, self._wait = now, TERMINAL if self._is_terminal else EACH
        line = self._line(now)
        print(f"\r{line:<76}" if self._is_terminal else line, end="" if self._is_terminal else "\n", flush=True)

    def end(self) -> None:
        """Wipe the line off a terminal."""
        if self._is_terminal:
            print(f"\r{'':<76}\r", end="", flush=True)

    def _line(self, now: float) -> str:
        rate = (self._done - self._before) / (now - self._start)
        left = max(0, self._total - self._done) / rate
        return f"{self._done:,} of about {self._total:,} frames, {rate:.1f} frames/s, {_words(left)} left"


def _words(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
