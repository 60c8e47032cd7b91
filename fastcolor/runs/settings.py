"""The settings of a run: chosen when it begins, and the same for all its stages."""

from dataclasses import asdict, dataclass
from pathlib import Path

from fastcolor.errors import UserError
from fastcolor.files import is_inside
from fastcolor.flags import SIZES, at_least

PHOTO_SIZE, SAMPLE_SIZE = 160, 96  # training side in pixels: of real photos, and of the drawn sample
SEED = 42


@dataclass(frozen=True)
class Settings:
    """What config.json holds under `settings`. For what each one means, see `open_run`. None: not given."""

    data: str | None = None  # None: the drawn sample set
    grey: str | None = None
    pairs: bool | None = None
    size: int | None = None  # pixels
    limit: int | None = None
    folders: str | None = None
    test: float | None = None
    seed: int | None = None

    @property
    def is_sample(self) -> bool:
        """Whether the run trains on the drawn sample set: no `--data` was given."""
        return self.data is None

    def check(self) -> None:
        """Raise UserError for a value out of range, TypeError for one of the wrong type (in a damaged config.json)."""
        types = {"pairs": bool, "size": int, "limit": int, "test": float | int, "seed": int}
        for name, value in asdict(self).items():
            if (
                value is not None
                and not isinstance(value, types.get(name, str))
                or isinstance(value, str)
                and "\0" in value
            ):
                raise TypeError(f"{name} is {value!r}")
        at_least(SIZES[0], size=self.size)
        if self.size is not None and self.size not in SIZES:
            raise UserError(f"--size must be {SIZES[-1]} or less, not {self.size}")
        at_least(1, limit=self.limit)
        at_least(0, seed=self.seed, test=self.test)
        if (self.seed or 0) >= 2**63:
            raise UserError(f"--seed must be below 2**63, not {self.seed}")
        if (self.test or 0) > 0.5:
            raise UserError(f"--test must be 0.5 (half of the photos) or less, not {self.test}")
        for folder in self.folders.split(",") if self.folders is not None else ():
            if not is_inside(folder):
                raise UserError(
                    f"--folders must name folders below --data, with commas between them, not {self.folders}"
                )

    def or_defaults(self) -> "Settings":
        """These settings, with the defaults for size, seed and test where they are not given."""
        defaults = {"size": SAMPLE_SIZE if self.is_sample else PHOTO_SIZE, "seed": SEED, "test": 0.0}
        return self.over(Settings(**defaults))

    def over(self, other: "Settings") -> "Settings":
        """`other`, with the values that are given here in place of its own."""
        return Settings(**asdict(other) | {name: value for name, value in asdict(self).items() if value is not None})


def read_settings(values: dict) -> Settings:
    """The settings in config.json. Raises UserError, TypeError or ValueError if they are damaged."""
    settings = Settings(**{name: values.get(name) for name in asdict(Settings())})
    settings.check()
    if None in (settings.size, settings.test, settings.seed):
        raise ValueError("a setting that has a default is missing")
    return settings


def given_settings(
    data: str | None, grey: str | None, pairs: bool, size: int | None, limit: int | None, folders: str | None,
    test: float | None, seed: int | None,
) -> Settings:  # fmt: skip
    """The settings that these flags give. Raises UserError for a missing folder or a value out of range."""
    for folder in (data, grey):
        is_cache = folder == data and str(folder).endswith(".npy") and Path(folder).is_file()
        if folder is not None and not is_cache and not Path(folder).is_dir():
            raise UserError(f"{folder} is not a folder: give a folder of photos")
    if pairs and grey:
        raise UserError("--pairs and --grey can't be used together: pairs hold their own grey half")
    data, grey = (folder and str(Path(folder).resolve()) for folder in (data, grey))
    settings = Settings(data, grey, pairs or None, size, limit, folders, test, seed)
    settings.check()
    return settings
