"""A run folder: where everything in it lies, config.json, history.csv, and who may write there. Needs no torch.

    runs/NAME/  config.json  split.csv  history.csv  history.png  unreadable.csv
                samples/  fakes/  sample/  cache/  resume/
                stage1_gen.safetensors  stage3_critic.safetensors  stage4_gen.safetensors
                coloured.png  contact_sheet.png
                or a recipe's weights, as the recipe names them

config.json holds the version that wrote it, the settings that no stage may change, and for each stage its own settings,
what it was made with, and whether it is finished.
"""

import csv
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from math import inf
from pathlib import Path

from filelock import FileLock, Timeout

import fastcolor
from fastcolor.errors import UserError
from fastcolor.files import UNFINISHED, write_csv, write_whole
from fastcolor.runs.settings import Settings, read_settings

STAGES = {
    "stage1": ("fastcolor.stage1_pretrain_gen", "stage1_gen.safetensors"),
    "stage2": ("fastcolor.stage2_generate_fakes", "fakes"),
    "stage3": ("fastcolor.stage3_pretrain_critic", "stage3_critic.safetensors"),
    "stage4": ("fastcolor.stage4_gan", "stage4_gen.safetensors"),
}
"""The four stages in order, each with its module and what it leaves for the next. Recipes name their own outputs."""


class RunFolder:
    """A run folder, which may not exist yet. `config` is what config.json holds, or will hold."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.outputs = {stage: (output,) for stage, (_, output) in STAGES.items()}  # a recipe adds its own files
        self.config: dict = {}
        self.lock = FileLock(self.path / ".lock", is_singleton=True)  # one for all that open the folder in this process

    @property
    def config_file(self) -> Path:
        """The run's settings and stages."""
        return self.path / "config.json"

    @property
    def history_file(self) -> Path:
        """A row for each stage and epoch."""
        return self.path / "history.csv"

    @property
    def history_picture(self) -> Path:
        """The curves of the history."""
        return self.path / "history.png"

    @property
    def split(self) -> Path:
        """Which photos are trained on and which are held out."""
        return self.path / "split.csv"

    @property
    def unreadable(self) -> Path:
        """The photos that were left out, and why."""
        return self.path / "unreadable.csv"

    @property
    def sample(self) -> Path:
        """The drawn sample set, if the run trains on it."""
        return self.path / "sample"

    @property
    def cache(self) -> Path:
        """Stage 3's decoded fakes."""
        return self.path / "cache"

    @property
    def coloured(self) -> Path:
        """A held-out photo, coloured by stage 4's generator."""
        return self.path / "coloured.png"

    @property
    def contact_sheet(self) -> Path:
        """Held-out photos in grey, before training, after stages 1 and 4, and as they are."""
        return self.path / "contact_sheet.png"

    @property
    def shipped(self) -> Path:
        """Stage 4's weights at half the size, as `--preset photo` makes them to ship."""
        return self.path / "photo.safetensors"

    def sample_grid(self, stage: str, when: str = "") -> Path:
        """The picture of what `stage` has learned; `when` is the epoch or step ("_epoch001")."""
        return self.path / "samples" / f"{stage}{when}.png"

    def sample_grids(self, stage: str = "") -> list[Path]:
        """The pictures that are there, of one stage or of all."""
        return sorted((self.path / "samples").glob(f"{stage}*.png"))

    def output(self, stage: str) -> Path:
        """What a stage or recipe leaves: its weights file (the first, if there are several), or the folder of fakes."""
        return self.outputs_of(stage)[0]

    def outputs_of(self, stage: str) -> list[Path]:
        """All the files or folders that a stage or recipe leaves."""
        return [self.path / name for name in self.outputs.get(stage, (f"{stage}.safetensors",))]

    def state(self, stage: str) -> Path:
        """The last saved state of `stage`, for `--resume`; the one before is kept beside it."""
        return self.path / "resume" / f"{stage}.safetensors"

    def read(self) -> Settings | None:
        """Read config.json into `config`, and return the run's settings; None for a folder that is new or empty.

        Raises UserError for a damaged file, and for a path that holds something else.
        """
        if not self.config_file.exists():
            if self.path.exists() and (not self.path.is_dir() or any(self.path.glob("[!.]*"))):
                raise UserError(f"{self.path} is not a run folder: give another --run")
            return None
        try:
            config = json.loads(self.config_file.read_text())
            settings = read_settings(config["settings"])
            for about in config["stages"].values():
                _check_stage(about)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, UserError):
            raise UserError(
                f"{self.config_file} is damaged, or not written by fastcolor: give another --run, or delete the folder"
            ) from None
        self.config = {**config, "settings": asdict(settings)}
        return settings

    def begin(self, settings: Settings) -> None:
        """Begin a run with these settings: no stages yet, and nothing written."""
        self.config = {"fastcolor": fastcolor.__version__, "settings": asdict(settings), "stages": {}}

    def save(self) -> None:
        """Write config.json."""
        with write_whole(self.config_file, lasting=True) as temporary:
            temporary.write_text(json.dumps(self.config, indent=2) + "\n")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from writing into the folder until the block, or this process, ends.

        Reads config.json again, in case another process has changed it. Raises UserError if another process is using
        the folder, or has begun a run with other settings in it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self.lock.acquire(timeout=0)
        except Timeout:
            raise UserError(
                f"{self.path} is being used by another process: wait until it ends, or give another --run"
            ) from None
        try:
            if self.lock.lock_counter == 1:
                self._tidy()
            yield
        finally:
            self.lock.release()

    def _tidy(self) -> None:
        for unfinished in self.path.rglob(f"{UNFINISHED}*"):
            unfinished.unlink()  # left by a process that was killed
        known = self.config["settings"]
        if self.config_file.exists() and self.read() != Settings(**known):
            raise UserError(f"another process has begun a run with other settings in {self.path}: give another --run")

    def drop(self, *stages: str) -> None:
        """Delete what `stages` left: entries in config.json, outputs, resume states, samples, rows of the history.

        The entries go first, so that a half deleted stage is never taken for a finished one. Raises UserError for a
        damaged history.csv.
        """
        rows = self.history()  # read before anything is deleted: it may be damaged
        for stage in stages:
            self.config["stages"].pop(stage, None)
        self.save()
        if "stage4" in stages:
            self.shipped.unlink(missing_ok=True)  # made of stage 4's weights
        for output in (path for stage in stages for path in self.outputs_of(stage)):
            if output.is_dir():
                shutil.rmtree(output)
            output.unlink(missing_ok=True)
        for stage in stages:
            self.forget_states(stage)
            for picture in self.sample_grids(stage):
                picture.unlink()
        self.write_history([row for row in rows if row["stage"] not in stages])

    def clear(self) -> None:
        """Delete all that was made with the settings in config.json: the stages' outputs, split, sample and cache.

        config.json keeps these settings until the end, so it is still true if this is interrupted.
        """
        self.drop(*{**self.outputs, **self.config["stages"]})
        for stale in (self.sample, self.cache):
            shutil.rmtree(stale, ignore_errors=True)
        self.split.unlink(missing_ok=True)

    def forget_states(self, stage: str, but_last: bool = False) -> None:
        """Delete the saved states of `stage`; with `but_last` only older ones and unfinished ones."""
        for state in self.state(stage).parent.glob(f"{stage}*"):
            if not but_last or state != self.state(stage):
                state.unlink()

    def history(self) -> list[dict[str, str]]:
        """The rows of history.csv, one per stage and epoch. Raises UserError for a damaged file."""
        if not self.history_file.exists():
            return []
        try:
            with open(self.history_file, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            for row in rows:
                _check_row(row)
        except (csv.Error, KeyError, TypeError, ValueError):
            raise UserError(
                f"{self.history_file} is damaged or not a history: delete it, or give another --run"
            ) from None
        return rows

    def write_history(self, rows: list[dict]) -> None:
        """Replace history.csv. Columns keep the order of their first occurrence; missing values are left empty."""
        if not rows:
            self.history_file.unlink(missing_ok=True)
            return
        columns = list(dict.fromkeys(name for row in rows for name in row))
        write_csv(self.history_file, columns, [[row.get(name, "") for name in columns] for row in rows])


def _check_stage(about: dict) -> None:
    """Raise TypeError or KeyError for an entry of a stage that this package has not written."""
    made_with = about.get("made_with", [])
    if not isinstance(about["finished"], bool) or type(about["bs"]) is not int or about["bs"] < 1:
        raise TypeError("finished or bs")
    if not isinstance(made_with, list) or not all(isinstance(made, dict) for made in made_with):
        raise TypeError("made_with")


def _check_row(row: dict[str, str]) -> None:
    """Raise KeyError, TypeError or ValueError unless all but `stage` and `warning` are numbers that can be drawn."""
    numbers = [float(row[name] or 0) for name in row.keys() - {"stage", "warning"}]
    names = [row["stage"], *row]
    is_number = 0 <= int(row["epoch"]) < 10**6 and not any(1e30 < abs(number) < inf for number in numbers)
    if not is_number or not all(map(str.isidentifier, names)):
        raise ValueError(row)
