"""An opened run: its folder, its settings, the machine it runs on, and the other flags of one command."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from fastcolor import processes
from fastcolor.device import Machine
from fastcolor.errors import UserError
from fastcolor.flags import at_least, read_batch_size
from fastcolor.photo.fetched import fetched
from fastcolor.runs.folder import STAGES, RunFolder
from fastcolor.runs.provenance import differences, provenance, versions
from fastcolor.runs.settings import Settings, given_settings

T = TypeVar("T")


@dataclass
class Run:
    """A run as one command has opened it; stages and recipes get it from `open_run` or `open_recipe`."""

    folder: RunFolder
    settings: Settings
    machine: Machine
    bs: int | str | None  # photos per batch, "auto", or None for the default
    save_every: int  # batches
    cache: Path | None  # where decoded photos are kept
    resume: bool
    force: bool

    @property
    def photos(self) -> Path:
        """The folder of colour photos, or the cache file that replaces it."""
        return self.folder.sample if self.settings.is_sample else Path(self.settings.data)

    def kept(self, stage: str, name: str, given):
        """A flag's value: the one that is given; else, where a stage is resumed, the one that it was begun with."""
        begun = self.folder.config["stages"].get(stage, {}) if self.resume else {}
        return begun.get(name) if given is None else given

    @property
    def is_changed(self) -> bool:
        """Whether the folder still holds a run with other settings, which `--force` allows to delete."""
        return self.folder.config["settings"] != asdict(self.settings)

    def require(self, stage: str) -> Path:
        """The output of an earlier stage. Raises UserError, with the command to run, if it is missing or unfinished."""
        folder, begun = self.folder, self.folder.config["stages"]
        command = f"python -m {STAGES[stage][0]} --run {folder.path}"
        if self.is_changed:
            raise UserError(
                f"{folder.path} holds a run with other settings: to change them, run stage 1 with these and --force"
            )
        if stage not in begun or not folder.output(stage).exists():
            raise UserError(f"{folder.output(stage)} is missing: run `{command}` first")
        if not begun[stage]["finished"]:  # resuming it later would change what the later stages have used
            raise UserError(f"{stage} was stopped before its end: finish it with `{command} --resume` first")
        return folder.output(stage)

    def first(self, do: Callable[[], T]) -> T:
        """What `do()`, which writes into the folder, gives in the first process (see `by_first`); config too."""
        given, self.folder.config = processes.by_first(lambda: (do(), self.folder.config))
        return given

    @contextmanager
    def held(self) -> Iterator[None]:
        """`RunFolder.held`, by the first process for all of them."""
        with self.folder.held() if processes.is_first() else nullcontext():
            yield

    @contextmanager
    def stage(self, name: str, **about) -> Iterator[bool]:
        """Hold the folder while a stage or recipe works, and note in config.json its settings `about` and its end.

        Yields whether there is anything to do: not for a finished stage that is resumed. A stage that begins deletes
        what it and later stages had left. Raises UserError if the stage was begun before and is neither resumed nor
        forced, if it is resumed with other settings, or if another process is using the folder.
        """
        about["precision"] = self.machine.precision
        processes.agree({"stage": name, **about})
        bs, count, now = about["bs"], processes.count(), provenance(self.machine)
        least = count * {"stage2": 0, "stage3": 2}.get(name, 1)  # half of stage 3's batch are fakes
        if count > 1 and bs < least:
            raise UserError(f"--bs {bs} leaves processes without a photo: give {least} or more, or start fewer")
        with ExitStack() as held:

            def begin() -> bool:
                held.enter_context(self.folder.held())
                return self._begin(name, about, now)

            is_needed = self.first(begin)
            if is_needed:
                several = f", {count} processes" if count > 1 else ""
                print(f"{name} on {self.machine}{several}, batches of {bs}")
            else:
                print(f"{self.folder.path}: {name} is already finished")
            yield is_needed
            self.first(lambda: self._end(name))

    def _end(self, stage: str) -> None:
        self.folder.config["stages"][stage]["finished"] = True
        self.folder.save()
        self.folder.forget_states(stage, but_last=True)  # the last one is for more epochs

    def _begin(self, stage: str, about: dict, now: dict) -> bool:
        folder = self.folder
        begun = folder.config["stages"].get(stage)
        if begun and self.resume:
            changed = [name for name, value in about.items() if begun.get(name) != value]
            if changed == ["epochs"] and begun["finished"] and about["epochs"] > begun["epochs"]:
                self._check_more(stage)
                self.folder.shipped.unlink(missing_ok=True)  # it will be of earlier weights
                begun |= {"epochs": about["epochs"], "finished": False}
            elif changed:
                raise UserError(
                    f"{folder.path}: {stage} was begun with other settings ({', '.join(changed)}): "
                    "resume it with the same ones, or begin anew with --force"
                )
            if begun["finished"]:
                return False
            made_with = begun.setdefault("made_with", [])
            if made_with and (changed := differences(made_with[-1], now)):
                print(f"note: the weights may come out slightly different, as this has changed: {changed}")
            made_with.append(now)
            folder.save()
            return True
        if begun and not self.force:
            state = "finished" if begun["finished"] else "begun"
            raise UserError(
                f"{folder.path} holds a {state} {stage}: give --resume to go on with it, or --force to begin it anew"
            )
        names = list(STAGES)
        folder.drop(*(names[names.index(stage) :] if stage in names else [stage]))
        folder.config["stages"][stage] = {**about, "made_with": [now], "finished": False}
        folder.save()
        return True

    def _check_more(self, stage: str) -> None:
        """Raise UserError if a finished stage can't go on for more epochs."""
        later = [name for name in self.folder.config["stages"] if name in STAGES and name > stage]
        if stage in STAGES and later:
            raise UserError(f"{later[0]} has used what {stage} left: to train it for longer, begin it with --force")
        if not self.folder.state(stage).exists():
            missing = self.folder.state(stage)
            raise UserError(f"{missing} is missing, so {stage} can't go on: to train for longer, begin with --force")


def open_run(
    data: str | None = None,  # folder of colour photos, its address, or cache file (default: the drawn sample set)
    grey: str | None = None,  # folder of their grey partners, under the same names (default: the photos' own grey)
    pairs: bool = False,  # data holds A|B pictures: the grey half left, the colour half right
    run: str | None = None,  # run folder (default: runs/DATA; recipes: runs/RECIPE-DATA)
    size: int | None = None,  # side of the training squares in pixels (default: 160, sample set: 96; recipes: 256, 64)
    bs: str | None = None,  # photos per batch, or auto: what a GPU can use (default: 32; recipes have their own)
    limit: int | None = None,  # use at most this many photos, chosen at random by the seed
    folders: str | None = None,  # use only these folders below data: names with commas between them (default: all)
    test: float | None = None,  # share of each folder's photos that no stage uses, kept for `evaluate` (default: 0)
    seed: int | None = None,  # of everything random (default: 42)
    device: str = "auto",  # auto, cpu, cuda or mps
    precision: str = "auto",  # auto, fp32 or bf16; auto takes bf16 where the device has units for it
    compile: bool = False,  # torch.compile the networks; meant for GPUs, slower on a CPU
    no_cache: bool = False,  # keep no decoded photos on disk; every epoch decodes them again
    save_every: int = 500,  # batches between two saves of the state for --resume, within an epoch
    resume: bool = False,  # go on from the last saved state of a run that was stopped
    force: bool = False,  # begin anew: delete what this stage and later ones left; with other settings, delete all
) -> Run:
    """Open a run folder, or begin one. Later stages need only `run`: the other settings are in its config.json.

    Raises UserError for values out of range and, unless `force`, for a folder that holds a run with other settings.
    """
    if resume and force:
        raise UserError("--resume and --force can't be used together: --resume goes on, --force begins anew")
    processes.join(device)
    bs = read_batch_size(bs)
    at_least(1, save_every=save_every)
    here = (fetched(folder, cache_folder()) for folder in (data, grey))
    given = given_settings(*here, pairs, size, limit, folders, test, seed)
    folder = RunFolder(run or Path("runs", Path(data).resolve().name if data else "sample"))
    held = folder.read()
    if held is None:
        settings = given.or_defaults()
        folder.begin(settings)
    else:
        settings = given.over(held)
    machine = Machine.choose(device, precision, compile)
    if held and settings != held and not force:
        name, value = next((n, v) for n, v in asdict(settings).items() if v != getattr(held, n))
        raise UserError(
            f"{folder.path} holds a run with --{name} {getattr(held, name) or 'not given'}, not {value}: "
            "give another --run, or --force to begin anew"
        )
    same = {"--run": str(folder.path), "--bs": bs, "--save-every": save_every, "--resume": resume, "--force": force}
    kind = {"device": machine.device.type, "precision": machine.precision}
    processes.agree(versions() | {f"--{name}": value for name, value in asdict(settings).items()} | same | kind)
    return Run(folder, settings, machine, bs, save_every, None if no_cache else cache_folder(), resume, force)


def open_recipe(
    name: str, outputs: tuple[str, ...], photo_side: int, sample_side: int, least_bs: int = 1, **options
) -> Run:
    """`open_run` for the recipe `name`, whose weights files are `outputs`; batches have `least_bs` photos or more.

    Its default folder is `runs/RECIPE-DATA`. Its default training sizes, in pixels, are `photo_side` for photos and
    `sample_side` for the drawn sample set.
    """
    bs = read_batch_size(options.pop("bs", None), least_bs)
    data = options.get("data")
    path = options.get("run") or f"runs/{name}-{Path(data).resolve().stem if data else 'sample'}"
    if not options.get("size") and not RunFolder(path).config_file.exists():
        options["size"] = photo_side if data else sample_side
    run = open_run(**{**options, "run": path})
    run.folder.outputs[name], run.bs = outputs, bs
    return run


def cache_folder() -> Path:
    """Where all runs keep decoded photos: `fastcolor` in the user's cache folder (XDG_CACHE_HOME, or ~/.cache)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "fastcolor")
