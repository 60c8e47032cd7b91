"""How long a training still takes: the stage, and all stages that `fastcolor train` runs one after the other."""

from collections.abc import Iterator
from contextlib import contextmanager

# Seconds of an epoch, in epochs of stage 1 (stage 2 has one). Measured on 258 photos at 128 px, on one core.
COST = {"stage1": 1.0, "stage2": 0.4, "stage3": 0.2, "stage4": 0.95}

_epochs: dict[str, int] = {}  # of all stages that run one after the other, in order


@contextmanager
def planned(**epochs: int) -> Iterator[None]:
    """While the block runs, `time_left` counts these stages, with so many epochs each, in order."""
    _epochs.update(epochs)
    try:
        yield
    finally:
        _epochs.clear()


def time_left(stage: str, seconds: float, epochs: int) -> str:
    """The minutes that a stage still takes, with `epochs` left of `seconds` each: "2 min", or "2 min, all 7 min"."""
    here, stages = seconds * epochs, list(_epochs)
    if stage not in stages:
        return _minutes(here)
    later = sum(COST[name] * _epochs[name] for name in stages[stages.index(stage) + 1 :])
    return f"{_minutes(here)}, all {_minutes(here + seconds / COST[stage] * later)}"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
