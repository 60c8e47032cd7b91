"""How the cost per photo grows with the photos' size and the batch, and that it does not with the number of photos."""

import tempfile
from pathlib import Path

import numpy as np
import torch

from fastcolor.bench.measure import spread, timed, timed_input
from fastcolor.color.spaces import SPACES
from fastcolor.data.batches import color_batches
from fastcolor.data.cache import CHANNELS, resident
from fastcolor.data.photos import MARGIN, Photos
from fastcolor.errors import UserError
from fastcolor.networks.registry import build
from fastcolor.networks.unet import UNetConfig
from fastcolor.runs.run import Run, open_run
from fastcolor.stage1_pretrain_gen import generator_learner
from fastcolor.training.precision import Precision

SIZES = (64, 96, 128, 192, 256)
BATCHES = (8, 16, 32, 64, 128)
COUNTS = (500, 5_000, 50_000)


def scaling(rounds: int, seconds: float, size: int, bs: int, counts: tuple[int, ...] = COUNTS, **options) -> dict:
    """Photos/s of stage 1, with one value varied at a time; for the number of photos, also those of the input alone.

    Photos are random bytes, in a memory-mapped file like the cache's; those of other sizes are in memory. Each round
    measures every value once. Returns `summary`: median, spread and all rounds of each. Raises UserError for a batch
    that is larger than a third of the smallest set.
    """
    if 3 * bs > counts[0]:
        raise UserError(f"--bs must be {counts[0] // 3} or less for sets of {counts[0]} photos, not {bs}")
    varied = {
        "size": [(value, bs, counts[0]) for value in SIZES],
        "batch": [(size, value, counts[0]) for value in BATCHES],
        "photos": [(size, bs, value) for value in counts],
    }
    rows = {name: {setting: [] for setting in settings} for name, settings in varied.items()}
    rows["photos, input alone"] = {setting: [] for setting in varied["photos"]}
    with tempfile.TemporaryDirectory(prefix="fastcolor-bench-") as top:
        whole = _random_squares(Path(top, "squares.npy"), max(counts), round(MARGIN * size))
        for number in range(rounds):
            for name, settings in rows.items():
                for side, batch, count in settings:
                    run = open_run(run=str(Path(top, f"run{side}")), size=side, **options)
                    photos = _photos(whole, count, round(MARGIN * side), run)
                    loader = color_batches(run, photos, SPACES["lab"], batch)
                    if "input" in name:
                        reached = timed_input(loader.train, seconds, run.machine.device, batch)
                    else:
                        network = run.machine.place(build(UNetConfig()))
                        learn = generator_learner(loader, network)
                        learn.add_cb(Precision(run))
                        reached = timed(learn, seconds, run.machine.device, batch)
                    settings[side, batch, count].append(reached["photos_per_s"])
                    figure = f"{reached['photos_per_s']:,.1f} photos/s"
                    print(
                        f"round {number + 1} of {rounds}, {name}: {side} px, {batch} of {count:,} photos: {figure}",
                        flush=True,
                    )
    summary = [
        {"varied": name, "size": side, "bs": batch, "photos": count, "photos_per_s": spread(values), "rounds": values}
        for name, settings in rows.items()
        for (side, batch, count), values in settings.items()
    ]
    return {"precision": run.machine.precision, "summary": summary}


def _random_squares(file: Path, count: int, side: int) -> np.ndarray:
    print(
        f"writing {count:,} random photos of {side} px: {count * side * side * CHANNELS / 1e6:,.0f} MB in {file}, "
        "deleted at the end"
    )
    rng = np.random.default_rng(0)
    with open(file, "wb") as opened:
        opened.writelines(rng.bytes(side * side * CHANNELS) for _ in range(count))
    return np.memmap(file, np.uint8, "r", shape=(count, side, side, CHANNELS))


def _photos(whole: np.ndarray, count: int, side: int, run: Run) -> Photos:
    """`count` photos of `side` pixels, from the file if it has this size, else made in memory."""
    squares = whole[:count]
    if side != whole.shape[1]:
        squares = torch.randint(0, 256, (count, side, side, CHANNELS), dtype=torch.uint8).numpy()
    return Photos(resident(squares, run.machine.device), [], np.arange(count), np.arange(0))
