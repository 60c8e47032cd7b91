"""The steps of pix2pix and CycleGAN beside those of the most used public implementation: photos/s and memory."""

import itertools
import time
from types import SimpleNamespace

import torch
from fastai.data.core import DataLoaders
from torch import Tensor

from fastcolor.bench import reference
from fastcolor.bench.measure import WARM_UP, PeakMemory, spread, timed
from fastcolor.device import Machine, synchronize
from fastcolor.networks.classic import PatchGANConfig, ResnetConfig, SkipUNetConfig
from fastcolor.networks.registry import build
from fastcolor.recipes.cyclegan import CRITICS, CYCLE_CRITIC, GENERATORS, CycleStep
from fastcolor.recipes.pix2pix import Pix2PixStep
from fastcolor.training.precision import Precision
from fastcolor.training.steps import Networks, recipe_learner
from fastcolor.training.stop import StopOnNaN

CASES = (("pix2pix", 1, 0), ("pix2pix", 16, 0), ("cyclegan", 1, 9), ("cyclegan", 1, 0), ("cyclegan", 4, 0))
"""Recipe, photos per batch and CycleGAN's residual blocks, in both alike: the reference's defaults (1, 9) and ours."""
SYSTEMS = ("reference", "fastcolor")


class Pair(list):
    """The same two batches again and again: no time is spent on reading photos."""

    def __init__(self, pair: tuple[Tensor, Tensor], device: torch.device):
        super().__init__([pair] * 1000)
        self.bs, self.device = len(pair[0]), device


def measure_reference(recipe: str, pair: tuple[Tensor, Tensor], blocks: int, machine: Machine, seconds: float) -> dict:
    """Photos/s of the reference's step."""
    size, device = pair[0].shape[-1], machine.device
    step = reference.Pix2Pix(size, device) if recipe == "pix2pix" else reference.CycleGAN(blocks, device)
    for number in itertools.count(1 - WARM_UP):
        if number == 1:
            synchronize(device)
            begin = time.perf_counter()
        step(*pair)
        if number > 0:
            synchronize(device)
            spent = time.perf_counter() - begin
            if spent >= seconds:
                return {"photos_per_s": number * len(pair[0]) / spent}


def measure_fastcolor(recipe: str, pair: tuple[Tensor, Tensor], blocks: int, machine: Machine, seconds: float) -> dict:
    """Photos/s of the recipe's step, as `fit` runs it."""
    if recipe == "pix2pix":
        generator = build(SkipUNetConfig(depth=pair[0].shape[-1].bit_length() - 1))
        networks = Networks(generator=generator, critic=build(PatchGANConfig()))
        step, groups = Pix2PixStep(100.0), [["generator"], ["critic"]]
    else:
        generators = {name: build(ResnetConfig(blocks=blocks)) for name in GENERATORS}
        networks = Networks(**generators, **{name: build(CYCLE_CRITIC) for name in CRITICS})
        step, groups = CycleStep(10.0, 0.5, lambda steps: None), [GENERATORS, CRITICS]
    for network in networks.children():
        machine.place(network, is_wide=True)
    batches = Pair(pair, machine.device)
    learn = recipe_learner(DataLoaders(batches, batches), networks, step, groups=groups)
    learn.add_cbs([Precision(SimpleNamespace(machine=machine)), StopOnNaN()])
    return {"photos_per_s": timed(learn, seconds, machine.device, batches.bs, 2e-4)["photos_per_s"]}


MEASURE = {"reference": measure_reference, "fastcolor": measure_fastcolor}


def recipes(rounds: int, seconds: float, size: int, machine: Machine) -> dict:
    """Measure both in turn, at each of CASES; the order changes from round to round.

    Returns a row per case: its rounds, and medians and spreads of figures and ratios.
    """
    rows = [{"recipe": recipe, "bs": bs, "blocks": blocks, "rounds": []} for recipe, bs, blocks in CASES]
    for number, row in itertools.product(range(rounds), rows):
        torch.manual_seed(number)
        pair = tuple(torch.rand(row["bs"], 3, size, size, device=machine.device) * 2 - 1 for _ in "xy")
        measured = {}
        for system in SYSTEMS if number % 2 == 0 else SYSTEMS[::-1]:
            with PeakMemory(machine.device) as memory:
                figures = MEASURE[system](row["recipe"], pair, row["blocks"], machine, seconds)
            measured[system] = {**figures, "memory_mb": memory.mb}
            reached = figures["photos_per_s"]
            about = f"{row['recipe']}, batches of {row['bs']}, {system}"
            print(f"round {number + 1} of {rounds}, {about}: {reached:,.2f} photos/s", flush=True)
        row["rounds"].append(measured)
    for row in rows:
        for system in SYSTEMS:
            row[system] = {name: spread([its[system][name] for its in row["rounds"]]) for name in measured[system]}
        ratios = [its["fastcolor"]["photos_per_s"] / its["reference"]["photos_per_s"] for its in row["rounds"]]
        row["ratio"] = spread(ratios)
    return {"precision": machine.precision, "threads": torch.get_num_threads(), "rows": rows}
