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
from fastcolor.cache import cache_folder
from fastcolor.device import check_compiler, choose_device, choose_precision
from fastcolor.errors import UserError
from fastcolor.files import UNFINISHED, is_inside, write_csv, write_whole
from fastcolor.provenance import differences, provenance

PHOTO_SIZE, SAMPLE_SIZE = 128, 96  # training side in pixels: real photos as in lesson 7, the drawn sample smaller
SAMPLE_COUNT, SAMPLE_SIDE = 320, 128  # drawn scenes, and their side in pixels
SMALLEST_SIZE = 32  # below it, 1/16 of the side is a single pixel or two

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
        now = provenance(self.device)
        begun = self.config["stages"].get(stage)
        if begun and self.resume:
            changed = [name for name, value in about.items() if begun.get(name) != value]
            if changed:
                raise UserError(
                    f"{self.path}: {stage} was begun with other settings ({', '.join(changed)}): "
                    "resume it with the same ones, or begin anew with --force"
                )
            if begun["finished"]:
                print(f"{self.path}: {stage} is finished already")
                return False
            made_with = begun.setdefault("made_with", [])
            if made_with and (changed := differences(made_with[-1], now)):
                print(f"note: what was begun goes on otherwise, and ends in slightly other weights: {changed}")
            made_with.append(now)
            self.save()
            return True
        if begun and not self.force:
            state = "finished" if begun["finished"] else "begun"
            raise UserError(f"{self.path} holds a {state} {stage}: --resume to go on with it, --force to begin it anew")
        for stale in STAGES[STAGES.index(stage) :] if stage in STAGES else [stage]:
            self.drop(stale)
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
        for unfinished in self.path.rglob(f"{UNFINISHED}*") if self.lock.lock_counter == 1 else ():
            unfinished.unlink()  # somebody who was killed left it

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

    def drop(self, stage: str) -> None:
        """Delete what `stage` left: output, resume state, samples, rows of the history, its note in config.json."""
        self.config["stages"].pop(stage, None)
        for output in (self.path / name for name in OUTPUTS[stage]):
            if output.is_dir():
                shutil.rmtree(output)
            output.unlink(missing_ok=True)
        self.forget_state(stage)
        for sample in (self.path / "samples").glob(f"{stage}_*.png"):
            sample.unlink()
        self.write_history([row for row in self.history() if row["stage"] != stage])

    def clear(self) -> None:
        """Delete what was made with other settings: all stages' output, split, sample and cache."""
        for stage in OUTPUTS:
            self.drop(stage)
        for stale in ("sample", "cache"):
            shutil.rmtree(self.path / stale, ignore_errors=True)
        (self.path / "split.csv").unlink(missing_ok=True)
        self.config.pop("data", None)
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
        with write_whole(self.path / "config.json") as temporary:
            temporary.write_text(json.dumps(self.config, indent=2) + "\n")

    def history(self) -> list[dict[str, str]]:
        """The rows of history.csv, one per stage and epoch."""
        path = self.path / "history.csv"
        if not path.exists():
            return []
        with open(path, newline="") as file:
            return list(csv.DictReader(file))

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
        for about in config["stages"].values():
            {**about}["finished"], [{**made} for made in about.get("made_with", [])]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, UserError):
        raise UserError(f"{file} is damaged or no run's config: give another --run, or delete the folder") from None
    return config


def check_settings(settings: dict) -> None:
    """Raise UserError for settings of a run, None where not given, that make no sense; TypeError for those of another kind."""
    kinds = {"pairs": bool, "size": int, "limit": int, "test": float | int, "seed": int}
    for name, value in settings.items():
        if value is not None and not isinstance(value, kinds.get(name, str)):
            raise TypeError(f"{name} is {value!r}")
    at_least(SMALLEST_SIZE, size=settings["size"])
    at_least(1, limit=settings["limit"])
    at_least(0, seed=settings["seed"], test=settings["test"])
    if (settings["seed"] or 0) >= 2**63:
        raise UserError(f"--seed {settings['seed']} is too large: give one below 2**63")
    if (settings["test"] or 0) > 0.5:
        raise UserError(f"--test {settings['test']} leaves too few to train on: give a share, 0.5 at most")
    for folder in settings["folders"].split(",") if settings["folders"] is not None else ():
        if not is_inside(folder):
            raise UserError(f"--folders {settings['folders']} names no folders below --data: give names with commas between them")

