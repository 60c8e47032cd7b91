"""Checks of what flags say, shared by all commands: each is refused in one sentence that names the flag and what it may be."""

from fastcolor.errors import UserError

SIZES = range(32, 4097)
"""Sides, in pixels, that a network may be trained at: below, 1/16 of it is a pixel or less. Weights files name one too."""


def at_least(least: float, **values: float | None) -> None:
    """Raise UserError for a flag whose value is given and below `least`."""
    for name, value in values.items():
        if value is not None and not value >= least:
            raise UserError(f"--{name.replace('_', '-')} must be {least} or more, not {value}")


def one_of(flag: str, value: str, known) -> None:
    """Raise UserError for a value of `--flag` that is not among the `known` ones."""
    if value not in known:
        *others, last = known
        raise UserError(f"--{flag} {value} is unknown: choose {', '.join(others)} or {last}")


def power_of_two(size: int, least: int, most: int) -> int:
    """How often a training side can be halved. Raises UserError for one that is no power of two between these bounds."""
    depth = size.bit_length() - 1
    if size != 2**depth or not least <= size <= most:
        powers = ", ".join(str(2**i) for i in range(least.bit_length() - 1, most.bit_length()))
        raise UserError(f"--size must be a power of two for this network ({powers}), not {size}")
    return depth


def read_batch_size(text: int | str | None) -> int | str | None:
    """What `--bs` says: a number, auto, or None for the default. Raises UserError for anything else."""
    if text is None or text == "auto":
        return text
    try:
        count = int(text)
    except ValueError:
        raise UserError(f"--bs must be a number of photos, or auto, not {text}") from None
    at_least(2, bs=count)  # batch norm can do nothing with one
    return count
