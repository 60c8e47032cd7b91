"""An opened run: its folder, its settings, the machine that it runs on, and what the flags of this one command say."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from fastcolor.device import Machine
from fastcolor.errors import UserError
from fastcolor.flags import at_least, read_batch_size
from fastcolor.runs.folder import STAGES, RunFolder
from fastcolor.runs.provenance import differences, provenance
from fastcolor.runs.settings import Settings, given_settings


@dataclass
class Run:
    """An opened run."""

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
        """The folder of colour photos, or the cache file that stands for one."""
        return self.folder.sample if self.settings.is_sample else Path(self.settings.data)

    @property
    def is_changed(self) -> bool:
        """Whether the folder still holds a run with other settings, which `--force` has allowed to be deleted."""
        return self.folder.config["settings"] != asdict(self.settings)

    def require(self, stage: str) -> Path:
        """The output of an earlier stage. Raises UserError, naming the command to run, where it is missing."""
        folder, begun = self.folder, self.folder.config["stages"]
        command = f"python -m {STAGES[stage][0]} --run {folder.path}"
        if self.is_changed:
            raise UserError(
                f"{folder.path}: all stages share these settings: give the new ones, with --force, to stage 1"
            )
        if stage not in begun or not folder.output(stage).exists():
            raise UserError(f"{folder.output(stage)} is missing: run `{command}` first")
        if not begun[stage]["finished"]:  # what resuming changes would not reach the later stages
            raise UserError(f"{stage} was stopped before its end: finish it with `{command} --resume` first")
        return folder.output(stage)

    @contextmanager
    def stage(self, name: str, **about) -> Iterator[bool]:
        """Hold the folder while a stage or recipe is at work, with the settings `about`; note that it begins, and that it is finished.

        Gives whether there is anything to do: not for a finished stage that is resumed. Begun anew, a stage drops what it
        and later stages had left. Raises UserError if the stage was begun before and is neither resumed nor forced, or is
        resumed with other settings, or if another process is at work in the folder.
        """
        with self.folder.held():
            is_needed = self._begin(name, about | {"precision": self.machine.precision})
            if is_needed:
                print(f"{name} on {self.machine}, batches of {about['bs']}")
            else:
                print(f"{self.folder.path}: {name} is finished already")
            yield is_needed
            self.folder.config["stages"][name]["finished"] = True
            self.folder.save()
            self.folder.forget_states(name)

    def _begin(self, stage: str, about: dict) -> bool:
        folder, now = self.folder, provenance(self.machine)
        begun = folder.config["stages"].get(stage)
        if begun and self.resume:
            changed = [name for name, value in about.items() if begun.get(name) != value]
            if changed:
                raise UserError(
                    f"{folder.path}: {stage} was begun with other settings ({', '.join(changed)}): "
                    "resume it with the same ones, or begin anew with --force"
                )
            if begun["finished"]:
                return False
            made_with = begun.setdefault("made_with", [])
            if made_with and (changed := differences(made_with[-1], now)):
                print(f"note: this differs from how it began, so the weights may end slightly different: {changed}")
            made_with.append(now)
            folder.save()
            return True
        if begun and not self.force:
            state = "finished" if begun["finished"] else "begun"
            raise UserError(
                f"{folder.path} holds a {state} {stage}: --resume to go on with it, --force to begin it anew"
            )
        names = list(STAGES)
        folder.drop(*(names[names.index(stage) :] if stage in names else [stage]))
        folder.config["stages"][stage] = {**about, "made_with": [now], "finished": False}
        folder.save()
        return True


def open_run(
    data: str
    | None = None,  # folder of colour photos, any tree, or the cache file of one (default: the drawn sample set)
    grey: str | None = None,  # its grey mirror (default: the photos' own grey)
    pairs: bool = False,  # data holds A|B pictures: the grey half left, the colour half right
    run: str | None = None,  # run folder (default: runs/ and the data folder's name; recipes put theirs before it)
    size: int | None = None,  # side of the training squares in pixels (default: 128, sample set: 96; recipes: 256, 64)
    bs: str | None = None,  # photos per batch, or auto: what a GPU can use (default: 32; recipes have their own)
    limit: int | None = None,  # use only so many photos, chosen by the seed
    folders: str | None = None,  # use only these folders below data: names with commas between them (default: all)
    test: float | None = None,  # share of each folder's photos that no stage looks at, for `evaluate` (default: 0)
    seed: int | None = None,  # of everything random (default: 42)
    device: str = "auto",  # auto, cpu, cuda or mps
    precision: str = "auto",  # auto, fp32 or bf16; auto takes bf16 where the device has units for it
    compile: bool = False,  # torch.compile the networks; meant for GPUs, it was measured slower on a processor
    no_cache: bool = False,  # keep no decoded photos on disk; every epoch decodes them again
    save_every: int = 500,  # batches, within long epochs, between two saves of the state to resume from
    resume: bool = False,  # go on where the run was stopped: at its last saved state
    force: bool = False,  # begin anew what the run folder holds already, with other settings if they are given
) -> Run:
    """Open a run folder, or begin one. Later stages need `run` alone: the rest stands in its config.json.

    Raises UserError for flags that can't be right, and, unless `force`, for a folder that holds a run with other settings.
    """
    if resume and force:
        raise UserError("--resume goes on and --force begins anew: give one of them")
    bs = read_batch_size(bs)
    at_least(1, save_every=save_every)
    given = given_settings(data, grey, pairs, size, limit, folders, test, seed)
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
    return Run(folder, settings, machine, bs, save_every, None if no_cache else cache_folder(), resume, force)


def open_recipe(name: str, outputs: tuple[str, ...], photo_side: int, sample_side: int, **options) -> Run:
    """`open_run` for a recipe, whose weights files are `outputs`.

    It has its own default folder, `runs/RECIPE-PHOTOS`, and its own training sides, in pixels, for photos and for the sample.
    """
    data = options.get("data")
    path = options.get("run") or f"runs/{name}-{Path(data).resolve().stem if data else 'sample'}"
    if not options.get("size") and not RunFolder(path).config_file.exists():
        options["size"] = photo_side if data else sample_side
    run = open_run(**{**options, "run": path})
    run.folder.outputs[name] = outputs
    return run


def cache_folder() -> Path:
    """Where decoded photos are kept, for all runs: `fastcolor` in the user's cache folder (XDG_CACHE_HOME, or ~/.cache)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "fastcolor")
