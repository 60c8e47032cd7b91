"""A run folder: what a training was started with, what its stages leave for the next one, and who may write into it.

    runs/NAME/  config.json  split.csv  history.csv  history.png  samples/  fakes/  cache/  resume/
                stage1_gen.safetensors  stage3_critic.safetensors  stage4_gen.safetensors
                or a recipe's weights, as OUTPUTS has them
"""

import csv
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock, Timeout

import fastcolor
from fastcolor.data.cache import cache_folder
from fastcolor.device import check_compiler, choose_device, choose_precision
from fastcolor.errors import UserError
from fastcolor.files import UNFINISHED, write_csv, write_whole
from fastcolor.runs.provenance import differences, provenance
from fastcolor.runs.settings import at_least, check_row, check_settings, check_stage, read_batch_size

PHOTO_SIZE, SAMPLE_SIZE = 128, 96  # training side in pixels: real photos as in lesson 7, the drawn sample smaller
SAMPLE_COUNT, SAMPLE_SIDE = 320, 128  # drawn scenes, and their side in pixels

STAGES = ("stage1", "stage2", "stage3", "stage4")  # each needs what the one before left; recipes stand alone
OUTPUTS = {
    "stage1": ("stage1_gen.safetensors",),
    "stage2": ("fakes",),
    "stage3": ("stage3_critic.safetensors",),
    "stage4": ("stage4_gen.safetensors",),
    "pix2pix": ("pix2pix.safetensors",),
    "lab_cgan": ("lab_cgan.safetensors",),
    "lab_gan": ("lab_gan.safetensors",),
    "cyclegan": ("photo_to_monet.safetensors", "monet_to_photo.safetensors"),
}
MODULES = {
    "stage1": "fastcolor.stage1_pretrain_gen",
    "stage2": "fastcolor.stage2_generate_fakes",
    "stage3": "fastcolor.stage3_pretrain_critic",
    "stage4": "fastcolor.stage4_gan",
}


@dataclass
class Run:
    """An opened run folder. `settings` are those that no later stage may change; `device` and `precision` are resolved."""

    path: Path
    config: dict
    device: torch.device
    precision: str
    precision_reason: str
    bs: int | str | None
    compile: bool
    save_every: int  # batches
    cache: Path | None  # where decoded photos are kept
    resume: bool
    force: bool
    lock: FileLock
    is_changed: bool = False

    @property
    def settings(self) -> dict:
        """data, grey, pairs, size, seed, limit, folders and test, as they stand in config.json."""
        return self.config["settings"]

    @property
    def size(self) -> int:
        """Side of the training squares in pixels."""
        return self.settings["size"]

    @property
    def seed(self) -> int:
        """Seed of everything random in this run."""
        return self.settings["seed"]

    @property
    def is_sample(self) -> bool:
        """Whether the run trains on the drawn sample set: no `--data` was given."""
        return self.settings["data"] is None

    @property
    def photos(self) -> Path:
        """The folder of colour photos, or the cache file that stands for one."""
        return self.path / "sample" if self.is_sample else Path(self.settings["data"])

    def autocast(self) -> torch.autocast:
        """Context in which networks and losses run in this run's precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def output(self, stage: str) -> Path:
        """What `stage` saves for the next ones: its weights file (CycleGAN: the first of two), or the folder of fakes."""
        return self.path / OUTPUTS[stage][0]

    def require(self, stage: str) -> Path:
        """The output of an earlier stage. Raises UserError, naming the command to run, where it is missing."""
        command = f"python -m {MODULES[stage]} --run {self.path}"
        if self.is_changed:
            raise UserError(f"{self.path}: other settings concern all stages: give them, with --force, to stage 1")
        if stage not in self.config["stages"] or not self.output(stage).exists():
            raise UserError(f"{self.output(stage)} is not there yet: run `{command}` first")
        if not self.config["stages"][stage]["finished"]:  # what resuming changes would not reach the later stages
            raise UserError(f"{stage} was stopped before its end: finish it with `{command} --resume` first")
        return self.output(stage)

    def start(self, stage: str, **about) -> bool:
        """Note that `stage` begins with the settings `about`. Begun anew, it drops what it and later stages had left.

        The precision goes along. Returns whether there is anything to do, and holds the folder then, until `release`: not
        for a finished stage that is resumed. Raises UserError if the stage was begun before and is neither resumed nor
        forced, or is resumed with other settings, or if another process is at work in the folder.
        """
        self.hold()
        try:
            is_needed = self._begin(stage, about | {"precision": self.precision})
        except BaseException:
            self.release()
            raise
        if is_needed:
            compiled = ", compiled" if self.compile else ""
            print(f"{stage} on {self.device}: {self.precision} ({self.precision_reason}){compiled}, batches of {about['bs']}")
        else:
            self.release()
        return is_needed

    def _begin(self, stage: str, about: dict) -> bool:
        now = provenance(self.device, self.compile)
        begun = self.config["stages"].get(stage)
        if begun and self.resume:
            changed = [name for name, value in about.items() if begun.get(name) != value]
            if changed:
                raise UserError(
                    f"{self.path}: {stage} was begun with other settings ({', '.join(changed)}): "
                    "resume it with the same ones, or begin anew with --force"
                )
            if begun["finished"]:
                self.forget_state(stage)  # where it was killed before it could
                print(f"{self.path}: {stage} is finished already")
                return False
            made_with = begun.setdefault("made_with", [])
            if made_with and (changed := differences(made_with[-1], now)):
                print(f"note: what was begun goes on otherwise, and may end in slightly other weights: {changed}")
            made_with.append(now)
            self.save()
            return True
        if begun and not self.force:
            state = "finished" if begun["finished"] else "begun"
            raise UserError(f"{self.path} holds a {state} {stage}: --resume to go on with it, --force to begin it anew")
        self.drop(*(STAGES[STAGES.index(stage) :] if stage in STAGES else [stage]))
        self.config["stages"][stage] = {**about, "made_with": [now], "finished": False}
        self.save()
        return True

    def finish(self, stage: str) -> None:
        """Note that `stage` came to its end; its resume state is needed no longer."""
        self.config["stages"][stage]["finished"] = True
        self.save()
        self.forget_state(stage)

    def hold(self) -> None:
        """Keep other processes from writing into the folder until `release`, or the end of this one, however it ends.

        Raises UserError where another one does so.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self.lock.acquire(timeout=0)
        except Timeout:
            raise UserError(f"{self.path} is in the hands of another process: wait for its end, or give another --run") from None
        if self.lock.lock_counter > 1:
            return
        for unfinished in self.path.rglob(f"{UNFINISHED}*"):
            unfinished.unlink()  # somebody who was killed left it
        if (self.path / "config.json").exists() and not self.is_changed:
            self._read_again()

    def _read_again(self) -> None:
        """Take over what another process has noted in config.json since this one read it."""
        try:
            config = _read_config(self.path, self.settings)
            if config["settings"] != self.settings:
                raise UserError(f"{self.path}: another process has begun a run with other settings there: give another --run")
        except UserError:
            self.release()
            raise
        self.config = config

    def release(self) -> None:
        """Let other processes write into the folder again."""
        self.lock.release(force=True)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder, since `start` or from now on, and release it at the end."""
        self.hold()
        try:
            yield
        finally:
            self.release()

    def drop(self, *stages: str) -> None:
        """Delete what `stages` left: their notes in config.json first, so that nothing half deleted passes for finished;
        output, resume state, samples, rows of the history."""
        rows = self.history()  # before anything is deleted: it may be damaged
        for stage in stages:
            self.config["stages"].pop(stage, None)
        self.save()
        for output in (self.path / name for stage in stages for name in OUTPUTS[stage]):
            if output.is_dir():
                shutil.rmtree(output)
            output.unlink(missing_ok=True)
        for stage in stages:
            self.forget_state(stage)
            for sample in (self.path / "samples").glob(f"{stage}*.png"):
                sample.unlink()
        self.write_history([row for row in rows if row["stage"] not in stages])

    def clear(self) -> None:
        """Delete what was made with other settings: all stages' output, split, sample and cache.

        config.json has these other settings until all is gone: a folder in which this was interrupted is still theirs.
        """
        settings, self.config = self.settings, _read_config(self.path, self.settings)
        self.drop(*OUTPUTS)
        for stale in ("sample", "cache"):
            shutil.rmtree(self.path / stale, ignore_errors=True)
        (self.path / "split.csv").unlink(missing_ok=True)
        self.config = {"fastcolor": fastcolor.__version__, "settings": settings, "stages": {}}
        self.is_changed = False

    def resume_state(self, stage: str) -> Path:
        """Where the state that `stage` would go on from is kept."""
        return self.path / "resume" / f"{stage}.safetensors"

    def forget_state(self, stage: str) -> None:
        """Delete the states that `stage` would go on from."""
        for state in (self.path / "resume").glob(f"{stage}*"):
            state.unlink()

    def save(self) -> None:
        """Write config.json."""
        with write_whole(self.path / "config.json", lasting=True) as temporary:
            temporary.write_text(json.dumps(self.config, indent=2) + "\n")

    def history(self) -> list[dict[str, str]]:
        """The rows of history.csv, one per stage and epoch. Raises UserError for a file that is no history."""
        path = self.path / "history.csv"
        if not path.exists():
            return []
        try:
            with open(path, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            for row in rows:
                check_row(row)
        except (csv.Error, KeyError, TypeError, ValueError):
            raise UserError(f"{path} is damaged or no history: delete it, or give another --run") from None
        return rows

    def write_history(self, rows: list[dict]) -> None:
        """Replace history.csv; columns in the order in which the rows bring them, empty where a row has none."""
        path = self.path / "history.csv"
        if not rows:
            path.unlink(missing_ok=True)
            return
        columns = list(dict.fromkeys(name for row in rows for name in row))
        write_csv(path, columns, [[row.get(name, "") for name in columns] for row in rows])


def open_run(
    data: str | None = None,  # folder of colour photos, any tree, or the cache file of one (default: the drawn sample set)
    grey: str | None = None,  # its grey mirror (default: the photos' own grey)
    pairs: bool = False,  # data holds A|B pictures: the grey half left, the colour half right
    run: str | None = None,  # run folder (default: runs/, a recipe's name, the data folder's name)
    size: int | None = None,  # side of the training squares in pixels (default: 128, sample set: 96; recipes: 256, 64)
    bs: str | None = None,  # photos per batch, or auto: what a GPU can use (default: 32; recipes have their own)
    limit: int | None = None,  # use only so many photos, chosen by the seed
    folders: str | None = None,  # use only these folders below data: names with commas between them (default: everything)
    test: float | None = None,  # share of each folder's photos that no stage looks at, for `evaluate` (default: 0)
    seed: int | None = None,  # of everything random (default: 42)
    device: str = "auto",  # auto, cpu, cuda or mps
    precision: str = "auto",  # auto, fp32 or bf16; auto takes bf16 where the device has units for it
    compile: bool = False,  # torch.compile the networks; meant for GPUs, a processor was measured slower with it
    no_cache: bool = False,  # keep no decoded photos on disk; every epoch decodes them again
    save_every: int = 500,  # batches, within long epochs, between two savings of the state to resume from
    resume: bool = False,  # go on where the run was stopped: at its last saved state
    force: bool = False,  # begin anew what the run folder holds already, with other settings if they are given
) -> Run:
    """Open a run folder, or begin one. Later stages need `run` alone: the rest stands in its config.json.

    Raises UserError for settings that make no sense, and, unless `force`, for a folder that holds a run with others.
    """
    if resume and force:
        raise UserError("--resume goes on and --force begins anew: give one of them")
    bs = read_batch_size(bs)
    at_least(1, save_every=save_every)
    for folder in (data, grey):
        is_cache = folder == data and str(folder).endswith(".npy") and Path(folder).is_file()
        if folder is not None and not is_cache and not Path(folder).is_dir():
            raise UserError(f"{folder} is no folder: give a folder of photos")
    if pairs and grey:
        raise UserError("--pairs have their grey half and --grey is a mirror of its own: give one of them")
    path = Path(run) if run else Path("runs") / (Path(data).resolve().name if data else "sample")
    given = {
        "data": data and str(Path(data).resolve()),
        "grey": grey and str(Path(grey).resolve()),
        "pairs": pairs or None,
        "size": size,
        "limit": limit,
        "folders": folders,
        "test": test,
        "seed": seed,
    }
    check_settings(given)
    chosen = choose_device(device)
    opened = Run(
        path,
        _read_config(path, given),
        chosen,
        *choose_precision(precision, chosen),
        bs=bs,
        compile=compile,
        save_every=save_every,
        cache=None if no_cache else cache_folder(),
        resume=resume,
        force=force,
        lock=FileLock(path / ".lock", is_singleton=True),  # one for all that open the folder in this process
    )
    if compile:
        check_compiler(chosen)
    held = opened.settings
    changed = {name: value for name, value in given.items() if value is not None and value != held[name]}
    if changed and not force:
        name, value = next(iter(changed.items()))
        raise UserError(
            f"{path} holds a run with --{name} {held[name] or 'not given'}, not {value}: "
            "give another --run, or --force to begin anew"
        )
    opened.config["settings"] = {**held, **changed}
    opened.is_changed = bool(changed)
    return opened


def open_recipe(name: str, photo_side: int, sample_side: int, **options) -> Run:
    """`open_run` for a recipe: its own default folder, `runs/RECIPE-PHOTOS`, and its own training side for photos and sample."""
    data = options.get("data")
    path = options.get("run") or f"runs/{name}-{Path(data).resolve().stem if data else 'sample'}"
    if not options.get("size") and not Path(path, "config.json").exists():
        options["size"] = photo_side if data else sample_side
    return open_run(**{**options, "run": path})


def _read_config(path: Path, given: dict) -> dict:
    """The config of the run in `path`, or a new one from the settings that were `given` (None: by default)."""
    file = path / "config.json"
    if not file.exists():
        if path.exists() and (not path.is_dir() or any(path.glob("[!.]*"))):
            raise UserError(f"{path} is there and is no run folder: give another --run")
        defaults = {"size": PHOTO_SIZE if given["data"] else SAMPLE_SIZE, "seed": 42, "test": 0.0}
        settings = {name: defaults.get(name) if value is None else value for name, value in given.items()}
        return {"fastcolor": fastcolor.__version__, "settings": settings, "stages": {}}
    try:
        config = json.loads(file.read_text())
        config["settings"] = {name: config["settings"].get(name) for name in given}
        check_settings(config["settings"])
        if None in (config["settings"][name] for name in ("size", "test", "seed")):
            raise ValueError("a setting that has a default is missing")
        for about in config["stages"].values():
            check_stage(about)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, UserError):
        raise UserError(f"{file} is damaged or no run's config: give another --run, or delete the folder") from None
    return config
