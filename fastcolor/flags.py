"""Checks of flags, shared by all commands. A message is one sentence that names the flag and what it may be."""

from fastcolor.errors import UserError

SIZES = range(32, 4097)
"""Training sizes in pixels, for `--size` and in weights files. Below 32, 1/16 of the size is one pixel or none."""

DEVICES = ("auto", "cuda", "mps", "cpu")
"""The values of `--device`."""


def at_least(least: float, **values: float | None) -> None:
    """Raise UserError for a flag whose value is below `least`, or nan. None, for a flag that is not given, is fine."""
    for name, value in values.items():
        if value is not None and not value >= least:
            raise UserError(f"--{name.replace('_', '-')} must be {least} or more, not {value}")


def one_of(flag: str, value: str, known) -> None:
    """Raise UserError unless the value of `--flag` is one of the `known` ones, two or more."""
    if value not in known:
        *others, last = known
        raise UserError(f"--{flag} {value} is unknown: choose {', '.join(others)} or {last}")


def power_of_two(size: int, least: int, most: int) -> int:
    """How often a training size can be halved. Raises UserError unless it is a power of two from `least` to `most`."""
    depth = size.bit_length() - 1
    if size != 2**depth or not least <= size <= most:
        powers = ", ".join(str(2**i) for i in range(least.bit_length() - 1, most.bit_length()))
        raise UserError(f"--size must be a power of two for this network ({powers}), not {size}")
    return depth


def read_batch_size(text: int | str | None, least: int = 2) -> int | str | None:
    """The value of `--bs`: a number from `least` on, "auto", or None for the default. Raises UserError otherwise.

    Batch norm needs two photos where a photo has one place left, and learns little from one anywhere.
    """
    if text is None or text == "auto":
        return text
    try:
        count = int(text)
    except ValueError:
        raise UserError(f"--bs must be a number of photos, or auto, not {text}") from None
    at_least(least, bs=count)
    return count
