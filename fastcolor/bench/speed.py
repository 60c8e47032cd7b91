"""Stock fastai and fastcolor in turn, in one process, on the same photos: photos/s, waiting, memory and ratios."""

import torch
from torch import nn

from fastcolor.bench import stock
from fastcolor.bench.measure import PeakMemory, spread, timed, timed_input
from fastcolor.bench.workplace import Workplace
from fastcolor.color.spaces import SPACES
from fastcolor.data.batches import batch_size, color_batches, critic_batches
from fastcolor.networks.critics import PatchCriticConfig
from fastcolor.networks.registry import build
from fastcolor.networks.unet import UNetConfig
from fastcolor.runs.run import Run
from fastcolor.stage1_pretrain_gen import generator_learner
from fastcolor.stage3_pretrain_critic import critic_learner
from fastcolor.training.gan import GANStep, GeneratorLoss, gan_learner, make_switcher
from fastcolor.training.losses import LOSSES
from fastcolor.training.precision import Precision
from fastcolor.training.stop import StopOnNaN

STAGES = {"input": "input alone", "stage1": "stage 1, generator", "stage3": "stage 3, critic", "stage4": "stage 4, GAN"}
SYSTEMS = ("stock", "fastcolor")


def measure_stock(stage: str, workplace: Workplace, bs: int, seconds: float) -> dict[str, float]:
    """Measure one stage (of STAGES) of fastai's pipeline once: photos/s, and the share of waiting."""
    device = workplace.run.machine.device
    if stage == "stage3":
        return timed(stock.critic_learner(stock.critic_batches(workplace, bs)), seconds, device, bs)
    dls = stock.generator_batches(workplace, bs)
    if stage == "input":
        return timed_input(dls.train, seconds, device, bs)
    learn = stock.generator_learner(dls)
    if stage == "stage4":
        learn = stock.gan_learner(learn, stock.critic_learner(dls))
    return timed(learn, seconds, device, bs)


def measure_fastcolor(stage: str, workplace: Workplace, bs: int, seconds: float) -> dict[str, float]:
    """Measure one stage (of STAGES) of fastcolor once, with its defaults: photos/s, and the share of waiting."""
    run, photos, lr = workplace.run, workplace.photos, 1e-4
    networks = _networks(stage, run)
    if stage == "input":
        return timed_input(color_batches(run, photos, LAB, bs).train, seconds, run.machine.device, bs)
    if stage == "stage1":
        learn = generator_learner(color_batches(run, photos, LAB, bs), *networks)
    elif stage == "stage3":  # photos in place of fakes: they take as long to read
        learn = critic_learner(critic_batches(run, photos, photos.squares, LAB, bs), *networks)
    else:
        turns = make_switcher("fixed", 0, None, 1, 1)  # each network gets every second batch, as in the stock pipeline
        step = GANStep(GeneratorLoss(LOSSES["mse"].weights["lab"]), "gen_mse")
        learn = gan_learner(color_batches(run, photos, LAB, bs), *networks, step, turns)
        lr = [1e-4, 5e-4]
    learn.add_cbs([Precision(run), StopOnNaN()])
    return timed(learn, seconds, run.machine.device, bs, lr)


LAB = SPACES["lab"]


def _networks(stage: str, run: Run) -> list[nn.Module]:
    """The networks that a stage trains, fastcolor's defaults."""
    generator = build(UNetConfig())
    critic = build(PatchCriticConfig())
    trained = {"stage1": [generator], "stage3": [critic], "stage4": [generator, critic]}.get(stage, [])
    return [run.machine.place(network) for network in trained]


def _batch_sizes(workplace: Workplace) -> dict[str, dict[str, int]]:
    """Photos per batch for each system and stage: as asked; with `--bs auto`, what each stage of fastcolor chooses."""
    run, photos = workplace.run, workplace.photos
    channels = {"stage3": 3}
    found = {
        stage: batch_size(run, stage, photos, channels.get(stage, LAB.channels), *_networks(stage, run))
        for stage in ("stage1", "stage3", "stage4")
    }
    return {"stock": dict.fromkeys(STAGES, workplace.bs), "fastcolor": {"input": found["stage1"], **found}}


MEASURE = {"stock": measure_stock, "fastcolor": measure_fastcolor}


def speed(workplace: Workplace, rounds: int, seconds: float) -> dict:
    """Measure both pipelines in turn. The order changes from round to round.

    In stage 3, a photo is an image that the critic sees, real or fake. Returns `rounds`, a list with a dict per stage
    and system, and `summary`, the medians and spreads of figures and ratios.
    """
    bs = _batch_sizes(workplace)
    measured = []
    for number in range(rounds):
        row = {stage: {} for stage in STAGES}
        for stage, title in STAGES.items():
            for system in SYSTEMS if number % 2 == 0 else SYSTEMS[::-1]:
                torch.manual_seed(number)
                with PeakMemory(workplace.run.machine.device) as memory:
                    figures = MEASURE[system](stage, workplace, bs[system][stage], seconds)
                row[stage][system] = {**figures, "memory_mb": memory.mb}
                reached = figures["photos_per_s"]
                print(f"round {number + 1} of {rounds}, {title}, {system}: {reached:,.1f} photos/s", flush=True)
        measured.append(row)
    summary = {stage: _summary([row[stage] for row in measured]) for stage in STAGES}
    return {"precision": workplace.run.machine.precision, "bs": bs, "rounds": measured, "summary": summary}


def _summary(rows: list[dict]) -> dict:
    summary = {
        system: {name: spread([row[system][name] for row in rows]) for name in rows[0][system]} for system in SYSTEMS
    }
    ratios = [row["fastcolor"]["photos_per_s"] / row["stock"]["photos_per_s"] for row in rows]
    return {**summary, "ratio": spread(ratios)}
