"""A row in history.csv for each epoch, with warnings of known failures."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest

import torch
from fastai.callback.core import Callback
from torch import Tensor, nn

from fastcolor import processes
from fastcolor.color.metrics import colorfulness, hue_diversity, mean_hue, psnr
from fastcolor.device import peak_memory
from fastcolor.runs.curves import draw_history
from fastcolor.runs.run import Run
from fastcolor.training.features import frechet_distance
from fastcolor.training.order import Order
from fastcolor.training.outlook import time_left
from fastcolor.training.report import evaluating
from fastcolor.training.resume import is_due

# The columns of a row that are printed beside the losses: as many as fit on a screen.
SHOWN = {"epoch", "valid_bce", "critic_accuracy", "psnr", "colorfulness", "frechet", "photos_per_s", "seconds"}
DRAW_EVERY = 60  # seconds between two drawings of history.png, each of which takes nearly a second


class History(Callback):
    """One row per epoch: means of losses (training) and metrics (validation), time, speed, memory, warnings."""

    order = Order.HISTORY

    def __init__(
        self, run: Run, stage: str, losses: Callable, metrics: Callable, save: Callable, sample: Callable,
        save_every: int, sample_every: int, rank: Callable[[dict], tuple] | None = None, rivals: Sequence[dict] = (),
    ):  # fmt: skip
        self.folder, self.device_used = run.folder, run.machine.device
        self.stage, self.save_every, self.sample_every = stage, save_every, sample_every
        self.losses_of, self.metrics_of, self.write_weights, self.write_sample = losses, metrics, save, sample
        self.rank, self.rivals = rank, rivals
        self.has_head, self.drawn, self.took = False, time.perf_counter(), []

    def before_train(self):
        self.losses, self.measured, self.batches = defaultdict(list), defaultdict(list), 0
        # those of this process's share of each batch, until `put_together`
        self.own = self.losses if processes.count() == 1 else defaultdict(list)
        self.begin = time.perf_counter()

    def resume_state(self) -> dict:
        """What a resumed epoch needs: its losses so far, and the seconds they took."""
        if not self.training:
            return {}
        self.put_together()
        # numbered, because a file sorts its tensors, and a row's columns have to stay in this order
        losses = {f"{i:03} {name}": torch.stack(values) for i, (name, values) in enumerate(self.losses.items())}
        return {**losses, "batches": self.batches, "seconds": time.perf_counter() - self.begin}

    def load_resume_state(self, state: dict) -> None:
        """Put back what `resume_state` gave."""
        if state:
            self.batches, self.begin = state.pop("batches"), time.perf_counter() - state.pop("seconds")
            self.losses |= {name.partition(" ")[2]: list(values) for name, values in sorted(state.items())}

    def after_loss(self):  # not after_batch: by then a GAN's switcher may have given the turn to the other network
        if not self.training:
            for name, value in self.metrics_of(self.learn).items():
                self.measured[name].append(value.detach().float())
            return
        for name, value in self.losses_of(self.learn).items():
            self.own[name].append(processes.weighted(value.detach().float()))
        self.batches += 1

    def put_together(self) -> None:
        """Add up the losses of all processes' shares."""
        if self.own is not self.losses:
            for name, values in self.own.items():
                self.losses[name] += processes.summed(torch.stack(values)).unbind()
            self.own.clear()

    def after_train(self):
        self.put_together()
        self.photos_per_s = self.batches * self.dls.train.bs / (time.perf_counter() - self.begin)

    def after_validate(self):
        named = {**self.losses, **by_batch(self.measured)}
        if not processes.is_first():
            return
        row = {"stage": self.stage, "epoch": str(self.epoch + 1)}
        row |= {name: summary(name, values) for name, values in named.items()}
        row |= {"photos_per_s": f"{self.photos_per_s:.1f}", "seconds": f"{time.perf_counter() - self.begin:.1f}"}
        row |= {"peak_mb": peak_memory(self.device_used), "warning": "; ".join(warnings(row))}
        rows = self.folder.history()
        self.folder.write_history([*rows, row])
        is_best = self.is_best(row, rows)
        if is_due(self.learn, self.save_every) and is_best:
            self.write_weights()
        self.took.append(float(row["seconds"]))
        if is_due(self.learn, self.sample_every):
            self.write_sample(self.folder.sample_grid(self.stage, f"_epoch{self.epoch + 1:03d}"))
            shown = {name: value for name, value in row.items() if name in SHOWN | {*self.losses}}
            shown |= {"kept": "yes" if is_best else "no"} if self.rank else {}
            left = time_left(self.stage, sum(self.took) / len(self.took), self.learn.n_epoch - self.epoch - 1)
            self._show({**shown, "left": left}, row["warning"])
        if time.perf_counter() - self.drawn > DRAW_EVERY:
            draw_history(self.folder)
            self.drawn = time.perf_counter()

    def is_best(self, row: dict[str, str], before: list[dict[str, str]]) -> bool:
        """Whether a row is better than its rivals and the stage's earlier rows; without a `rank`, the last one is."""
        if self.rank is None:
            return True
        others = [*self.rivals, *(each for each in before if each["stage"] == self.stage)]
        return all(self.rank(row) < self.rank(other) for other in others)

    def _show(self, row: dict[str, str], warning: str) -> None:
        bar = getattr(getattr(self.learn, "progress", None), "mbar", None)
        for cells in [list(row.values())] if self.has_head else [list(row), list(row.values())]:
            if bar:
                bar.write(cells, table=True)
            else:
                print("  ".join(cell.ljust(max(len(name), 8)) for name, cell in zip(row, cells, strict=True)))
        if warning:
            (bar.write if bar else print)(f"warning: {warning}")
        self.has_head = True


def by_batch(named: dict[str, list[Tensor]]) -> dict[str, list[Tensor]]:
    """What each process has of its own validation batches, in the order of all batches, in all processes."""
    if processes.count() == 1:
        return named
    of_all = processes.gathered({name: [value.cpu() for value in values] for name, values in named.items()})
    names = dict.fromkeys(name for its in of_all for name in its)  # who has no batch has no names
    in_turn = {name: chain(*zip_longest(*(its.get(name, []) for its in of_all))) for name in names}
    return {name: [value for value in values if value is not None] for name, values in in_turn.items()}


def summary(name: str, values: list[Tensor]) -> str:
    """One cell of the history: the mean of `values`, without nan; of hues, `(n, 2)` each, the circular variance; of
    features of fakes and photos, `(n, 2, D)` each, their Frechet distance.
    """
    joined = torch.cat([value if value.ndim else value.view(1) for value in values])
    joined = joined[~joined.isnan()] if joined.ndim == 1 else joined
    if not len(joined):
        return ""  # this network had no turn in this epoch
    of_all = {1: lambda: joined.mean().item(), 2: lambda: hue_diversity(joined)}
    of_all[3] = lambda: frechet_distance(*joined.unbind(1))
    return f"{of_all[joined.ndim]():.5f}"


def held_out_row(run: Run, network: nn.Module, valid, metrics: Callable) -> dict[str, str]:
    """A row of the history that no training made: `metrics(fake, real)` over the validation batches."""
    named = defaultdict(list)
    with torch.no_grad(), evaluating(network), run.machine.autocast():
        for x, y in valid:
            for name, value in metrics(network(x).float(), y).items():
                named[name].append(value.float())
    return {name: summary(name, values) for name, values in by_batch(named).items()}


def write_row_before(run: Run, stage: str, network: nn.Module, valid, metrics: Callable) -> None:
    """Write the row of a network before its training, as epoch 0: see `held_out_row`."""
    rows = processes.by_first(run.folder.history)
    if not any(row["stage"] == stage for row in rows):  # a resumed stage has it
        before = {"stage": stage, "epoch": "0", **held_out_row(run, network, valid, metrics)}
        processes.by_first(lambda: run.folder.write_history([*rows, before]))


def image_metrics(fake: Tensor, real: Tensor, space, judge: Callable | None = None) -> dict[str, Tensor]:
    """MSE, PSNR, colourfulness and mean hue per photo, `(N,)` each, hues `(N, 2)`; and a HeldOutJudge's figures.

    `fake` are the generator's images and `real` the photos, `(N, 3, H, W)` in `space`.
    """
    fake_rgb, real_rgb = space.to_rgb(fake), space.to_rgb(real)
    return {
        "valid_mse": (fake - real).square().mean(dim=(1, 2, 3)),
        "psnr": psnr(fake_rgb, real_rgb),
        "colorfulness": colorfulness(fake_rgb),
        "colorfulness_real": colorfulness(real_rgb),
        "hue_diversity": mean_hue(space.to_lab(fake)),
        "hue_diversity_real": mean_hue(space.to_lab(real)),
        **(judge(fake_rgb, real_rgb) if judge else {}),
    }


def warnings(row: dict[str, str]) -> list[str]:
    """The known failures that a row of the history shows, a sentence each."""
    value = {name: float(text) for name, text in row.items() if name not in ("stage", "warning") and text}
    found = []
    if value.get("colorfulness", 1) < 0.3 * value.get("colorfulness_real", 0):
        found.append("fading: the fakes have less than 30 % of the photos' colourfulness")
    if value.get("hue_diversity", 1) < 0.25 * value.get("hue_diversity_real", 0):
        found.append("colour collapse: all fakes have the same hue, whatever the photo shows")
    if value.get("critic_loss", 1) < 0.02:
        found.append("the critic's loss is near zero: it has won, and the generator learns nothing from it")
    if value.get("generator_share", 1) == 0:
        found.append("the generator had no turn: the critic's loss never fell below --critic-thresh")
    return found
