"""What flags and a run's files may say: looked at, and refused in one sentence where it makes no sense."""

from math import inf

from fastcolor.errors import UserError
from fastcolor.files import is_inside
from fastcolor.networks.checkpoint import SIZES


def at_least(least: float, **values: float | None) -> None:
    """Raise UserError for a flag whose value is given and below `least`."""
    for name, value in values.items():
        if value is not None and not value >= least:
            raise UserError(f"--{name.replace('_', '-')} {value} makes no sense: give at least {least}")


def power_of_two(size: int, least: int, most: int) -> int:
    """How often a training side can be halved. Raises UserError for one that is no power of two within these bounds."""
    depth = size.bit_length() - 1
    if size != 2**depth or not least <= size <= most:
        powers = ", ".join(str(2**i) for i in range(least.bit_length() - 1, most.bit_length()))
        raise UserError(f"--size {size} is no power of two that this network takes: give one of {powers}")
    return depth


def read_batch_size(text: int | str | None) -> int | str | None:
    """What `--bs` says: a number, auto, or None for the default. Raises UserError for anything else."""
    if text is None or text == "auto":
        return text
    try:
        count = int(text)
    except ValueError:
        raise UserError(f"--bs {text} is no number: give photos per batch, or auto") from None
    at_least(2, bs=count)  # batch norm can do nothing with one
    return count


def check_settings(settings: dict) -> None:
    """Raise UserError for settings of a run, None where not given, that make no sense; TypeError for those of another kind."""
    kinds = {"pairs": bool, "size": int, "limit": int, "test": float | int, "seed": int}
    for name, value in settings.items():
        if value is not None and not isinstance(value, kinds.get(name, str)) or isinstance(value, str) and "\0" in value:
            raise TypeError(f"{name} is {value!r}")
    at_least(SIZES[0], size=settings["size"])
    if settings["size"] is not None and settings["size"] not in SIZES:
        raise UserError(f"--size {settings['size']} is too large: give at most {SIZES[-1]}")
    at_least(1, limit=settings["limit"])
    at_least(0, seed=settings["seed"], test=settings["test"])
    if (settings["seed"] or 0) >= 2**63:
        raise UserError(f"--seed {settings['seed']} is too large: give one below 2**63")
    if (settings["test"] or 0) > 0.5:
        raise UserError(f"--test {settings['test']} leaves too few to train on: give a share, 0.5 at most")
    for folder in settings["folders"].split(",") if settings["folders"] is not None else ():
        if not is_inside(folder):
            raise UserError(f"--folders {settings['folders']} names no folders below --data: give names with commas between them")


def check_stage(about: dict) -> None:
    """Raise TypeError or KeyError for what config.json can't say of a stage."""
    made_with = about.get("made_with", [])
    if not isinstance(about["finished"], bool) or type(about["bs"]) is not int or about["bs"] < 1:
        raise TypeError("finished or bs")
    if not isinstance(made_with, list) or not all(isinstance(made, dict) for made in made_with):
        raise TypeError("made_with")


def check_row(row: dict[str, str]) -> None:
    """Raise KeyError, TypeError or ValueError for what is no row of a history, or none that can be drawn: numbers but for
    `stage` and `warning`."""
    numbers = [float(row[name] or 0) for name in row.keys() - {"stage", "warning"}]
    names = [row["stage"], *row]
    if not 1 <= int(row["epoch"]) < 10**6 or any(1e30 < abs(number) < inf for number in numbers) or not all(map(str.isidentifier, names)):
        raise ValueError(row)
