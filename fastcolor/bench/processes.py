"""Training by several processes: photos/s, and the share of the time in which they talk, or wait for each other.

`torchrun` starts them, as a user would; this module is what each of them runs.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from fastcolor import processes
from fastcolor.bench.measure import spread, timed
from fastcolor.color.spaces import SPACES
from fastcolor.data.batches import color_batches
from fastcolor.data.cache import CHANNELS, resident
from fastcolor.data.photos import Photos, side_of
from fastcolor.errors import UserError
from fastcolor.networks.critics import PatchCriticConfig
from fastcolor.networks.registry import build
from fastcolor.networks.unet import UNetConfig
from fastcolor.runs.run import open_run
from fastcolor.stage1_pretrain_gen import generator_learner
from fastcolor.training.gan import GANStep, GeneratorLoss, gan_learner, make_switcher
from fastcolor.training.precision import Precision
from fastcolor.training.together import Together, common_layers

STAGES = {"stage1": "stage 1, generator", "stage4": "stage 4, GAN"}
BATCHES, PASSES = 4, 100  # of random photos, and how often an epoch has them


def several(counts: list[int], rounds: int, seconds: float, **options) -> dict:
    """Photos/s of each stage (of STAGES) by each of `counts` processes, in turn; `options` are flags of `open_run`.

    Returns a row for each: median and spread of photos/s and of the share of talk, and the MB of gradients in a step.
    """
    rows = {(stage, count): [] for stage in STAGES for count in counts}
    with tempfile.TemporaryDirectory(prefix="fastcolor-bench-") as top:
        for number in range(rounds):
            for count in counts if number % 2 == 0 else counts[::-1]:
                out = Path(top, "measured.json")
                asked = {"out": str(out), "seconds": seconds, "run": str(Path(top, "run")), **options}
                launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
                command = [*launcher, f"--nproc-per-node={count}", "-m", __name__, json.dumps(asked)]
                if subprocess.run(command, check=False).returncode:
                    raise UserError(f"{count} processes could not be measured: see what they say above")
                for stage, figures in json.loads(out.read_text()).items():
                    rows[stage, count].append(figures)
                    print(
                        f"round {number + 1} of {rounds}, {STAGES[stage]}, {count} processes: "
                        f"{figures['photos_per_s']:,.1f} photos/s, {figures['talking']:.1%} of the time for talk",
                        flush=True,
                    )
    return {
        "summary": [
            {"stage": stage, "processes": count, "gradient_mb": measured[0]["gradient_mb"]}
            | {name: spread([figures[name] for figures in measured]) for name in ("photos_per_s", "talking")}
            for (stage, count), measured in rows.items()
        ]
    }


def measure(stage: str, seconds: float, **options) -> dict[str, float]:
    """What this process finds of a stage, with random photos: photos/s of all, its share of talk, MB of gradients."""
    run = open_run(**options)
    side, count = side_of(run), BATCHES * run.bs
    squares = np.random.default_rng(0).integers(0, 256, (count, side, side, CHANNELS), np.uint8)
    shown = np.tile(np.arange(count), PASSES)
    photos = Photos(resident(squares, run.machine.device), [], shown, np.arange(0))
    loader, lr = color_batches(run, photos, SPACES["lab"], run.bs), 1e-4
    torch.manual_seed(0)
    generator = run.machine.place(build(UNetConfig()))
    if stage == "stage1":
        learn = generator_learner(loader, generator)
    else:
        critic, lr = run.machine.place(build(PatchCriticConfig())), [1e-4, 5e-4]
        step = GANStep(GeneratorLoss(8.0), "gen_mse")
        learn = gan_learner(loader, generator, critic, step, make_switcher("fixed", 0, None, 1, 1))
    learn.add_cb(Precision(run))
    if processes.count() > 1:
        learn.add_cb(Together())
    with common_layers(learn.model):
        begin, before = time.perf_counter(), processes.spent
        figures = timed(learn, seconds, run.machine.device, run.bs, lr)
        talking = (processes.spent - before) / (time.perf_counter() - begin)
    size = sum(parameter.numel() for parameter in generator.parameters())
    return {"photos_per_s": figures["photos_per_s"], "talking": talking, "gradient_mb": 4e-6 * size}


def main(out: str, **options) -> None:
    """Measure all STAGES, and write what the first process finds as JSON into the file `out`."""
    found = {stage: measure(stage, **options) for stage in STAGES}
    processes.by_first(lambda: Path(out).write_text(json.dumps(found)))
    processes.leave()


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
