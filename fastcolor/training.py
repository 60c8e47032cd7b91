"""What all stages share around fastai's loop: history, samples, Ctrl-C, precision, averages. One callback each.

fastai's callbacks have an attribute `run` of their own (a switch), so the run folder is called `folder` in here.
"""

import gc
import os
import signal
import tempfile
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import fastai.callback.schedule  # noqa: F401 (adds fit_one_cycle to Learner)
import torch
from fastai.callback.core import Callback, CancelFitException
from fastai.callback.progress import ProgressCallback
from fastai.learner import Learner
from torch import Tensor, nn

from fastcolor.curves import draw_history
from fastcolor.device import peak_memory
from fastcolor.errors import TrainingFailed, UserError, is_out_of_memory
from fastcolor.files import UNFINISHED, shows_progress
from fastcolor.metrics import colorfulness, hue_diversity, mean_hue, psnr
from fastcolor.resume import Resumable, is_due
from fastcolor.run import Run


def fit(
    learn: Learner,
    run: Run,
    stage: str,
    go: Callable[[], None],
    *,
    losses: Callable[[Learner], dict[str, Tensor]],
    metrics: Callable[[Learner], dict[str, Tensor]],
    save: Callable[[], None],
    sample: Callable,
    average: tuple[nn.Module, float] | None = None,
    save_every: int = 1,
    sample_every: int = 1,
) -> None:
    """Call `go()`, which calls one of fastai's fit methods once, with all that stages share, and end the stage.

    `losses` gives named scalars of a training batch, `metrics` named values per photo of a validation batch. After every
    `save_every` epochs, and the last one, `save()` writes the weights, and the state to resume from is kept; after every
    `sample_every`, `sample(path)` writes a sample grid and the epoch's row is printed. With `average`, a network and a
    number of steps, what is measured, shown and saved of that network is its running average. Raises TrainingFailed where
    the loss is no longer a number, and KeyboardInterrupt after Ctrl-C; both keep what was reached.
    """
    precision, stop, check, resumable = Precision(run), StopOnCtrlC(), StopOnNaN(), Resumable(run, stage, save_every)
    history = History(run, stage, losses, metrics, save, sample, save_every, sample_every)
    averaged = Averaged(*average) if average and average[1] else None
    shared = [precision, resumable, history, stop, check, *filter(None, [averaged])]
    if not shows_progress():
        learn.remove_cb(ProgressCallback)
    with run.held(), stop.listening():
        try:
            with learn.added_cbs(shared), learn.no_logging():
                go_in_memory(go, learn, precision, resumable)
        finally:
            precision.contexts.close()  # a batch that was broken off has left it open
        draw_history(run)
        if check.failed:
            raise TrainingFailed(
                f"{check.failed}: what earlier epochs saved is kept; begin {stage} anew with --force and a lower --lr"
            )
        if stop.asked:
            if not resumable.state:  # else all epochs had been finished before: the file has the weights, the network hasn't
                if averaged:
                    averaged.swap()
                save()
            raise KeyboardInterrupt(f"{stage} stopped, its weights are in {run.output(stage)}; --resume goes on")
        run.finish(stage)


def go_in_memory(go: Callable[[], None], learn: Learner, precision: "Precision", resumable: Resumable) -> None:
    """Call `go()`; where memory runs out, once more from the last state, sparingly: the result is the same to the bit.

    With smaller batches it would not be: batch norm would see other photos together. Raises UserError where it does not help.
    """
    for precision.is_sparing in (False, True):
        try:
            return go()
        except (RuntimeError, MemoryError, IndexError) as error:  # what it holds on to is let go of when this block ends
            if not is_out_of_memory(error):
                raise
        precision.contexts.close()
        learn._end_cleanup()
        learn.loss_grad = None  # which that forgets to let go, and all the batch with it
        for parameter in learn.model.parameters():
            parameter.grad = None
        gc.collect()
        resumable.resumes = True
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if not precision.is_sparing:
            where = "main memory" if precision.folder.device.type == "cuda" else "files"
            print(f"memory is too small for a batch: what the backward pass needs waits in {where} now; slower, same result")
    raise UserError("there is not enough memory for a batch: give a smaller --bs or --size, with --force")


class Precision(Callback):
    """Run networks and losses in bf16 where the run says so. fastai's MixedPrecision knows CUDA alone.

    If `is_sparing`, what the backward pass needs waits elsewhere: see `elsewhere`.
    """

    order = 10  # as fastai's
    is_sparing = False

    def __init__(self, run: Run):
        self.folder, self.contexts = run, ExitStack()

    def before_batch(self):
        self.contexts.enter_context(self.folder.autocast())
        if self.is_sparing and self.training:
            self.contexts.enter_context(elsewhere(self.folder))

    def after_pred(self):
        self.learn.pred = self.pred.float()

    def after_loss(self):
        self.contexts.close()


def elsewhere(run: Run) -> torch.autograd.graph.saved_tensors_hooks:
    """Context that keeps what autograd saves for the backward pass in main memory instead of a GPU's, or in files.

    Not torch's save_on_cpu, which forgets strides: other kernels would compute the backward pass, to other last digits.
    """
    if run.device.type == "cuda":
        return torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor.to("cpu"), lambda saved: saved.to(run.device))
    return torch.autograd.graph.saved_tensors_hooks(lambda tensor: Filed(tensor, run.path), Filed.read)


class Filed:
    """A tensor in a file of its own, which lasts as long as this object."""

    def __init__(self, tensor: Tensor, folder: Path):
        handle, self.file = tempfile.mkstemp(prefix=UNFINISHED, dir=folder)
        weakref.finalize(self, os.unlink, self.file)
        with open(handle, "wb") as file:
            torch.save(tensor.detach(), file)

    def read(self) -> Tensor:
        """The tensor, from the file."""
        return torch.load(self.file, weights_only=True)


class Averaged(Callback):
    """Keep a running average of a network's weights over about `steps` steps (Polyak averaging), batch norm's statistics too.

    During validation, in which weights are saved and samples drawn, the average stands in the network.
    """

    order = 57  # behind History (55), which saves; before Resumable (61), which keeps the network as it is trained

    def __init__(self, network: nn.Module, steps: float):
        self.network, self.decay = network, 1 - 1 / steps
        self.average = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self.taken = 0

    def after_step(self):
        trainer = getattr(self.learn, "gan_trainer", None)
        if trainer and not trainer.gen_mode:
            return
        self.taken += 1
        decay = min(self.decay, self.taken / (self.taken + 10))  # the first steps' weights are soon forgotten
        for name, value in self.network.state_dict().items():
            mine = self.average[name]
            mine.lerp_(value, 1 - decay) if mine.is_floating_point() else mine.copy_(value)

    def swap(self):
        """Exchange the network's weights for the average, or back."""
        trained = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.network.load_state_dict(self.average)
        self.average = trained

    def before_validate(self):
        self.swap()

    def after_validate(self):
        self.swap()

    def resume_state(self) -> dict:
        """What a resumed epoch has to know besides the tensors."""
        return {"taken": self.taken}

    def load_resume_state(self, state: dict) -> None:
        """Take over what `resume_state` gave."""
        self.taken = state["taken"]


class StopOnNaN(Callback):
    """End the fit before a loss that is no number can spoil the weights, or weights that it has spoilt be saved."""

    failed = ""

    def after_loss(self):
        if not torch.isfinite(self.learn.loss):
            part = "batch" if self.training else "validation batch"
            self.failed = f"the loss is no longer a number in epoch {self.epoch + 1}, {part} {self.iter + 1}"
            raise CancelFitException()


class StopOnCtrlC(Callback):
    """The first Ctrl-C ends the fit after its batch, in good order; the second ends it at once."""

    order = 90  # when every other callback is through with the batch
    asked = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle Ctrl-C here for a while; in threads, where signals can't be handled, don't."""
        in_main_thread = threading.current_thread() is threading.main_thread()
        before = signal.signal(signal.SIGINT, self.ask) if in_main_thread else None
        try:
            yield
        finally:
            if in_main_thread:
                signal.signal(signal.SIGINT, before)

    def ask(self, *_):
        """Signal handler."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def after_batch(self):
        if self.asked and self.training:
            self.resumable.keep(self.epoch, self.iter + 1)
            raise CancelFitException()


# What of a history's row stands on the screen too, as far as fits there.
SHOWN = {"epoch", "train_mse", "valid_mse", "valid_bce", "gen_adversarial", "gen_mse", "critic_loss", "critic_accuracy"}
SHOWN |= {"train_chroma", "train_photo", "gen_photo", "gen_l1", "cycle_l1", "psnr", "colorfulness", "photos_per_s", "seconds"}


DRAW_EVERY = 60  # seconds between two drawings of history.png, which takes most of one


class History(Callback):
    """One row per epoch: means of the losses over training, of the metrics over validation; time, speed, warnings."""

    order = 55  # before Resumable: a row may be written twice, and dropped on resuming, but never go missing

    def __init__(
        self, run: Run, stage: str, losses: Callable, metrics: Callable, save: Callable, sample: Callable, save_every: int,
        sample_every: int,
    ):  # fmt: skip
        self.folder, self.stage, self.save_every, self.sample_every = run, stage, save_every, sample_every
        self.losses_of, self.metrics_of, self.write_weights, self.write_sample = losses, metrics, save, sample
        self.shown, self.drawn = False, time.perf_counter()

    def before_train(self):
        self.named, self.batches, self.begin = defaultdict(list), 0, time.perf_counter()

    def resume_state(self) -> dict:
        """What a resumed epoch has to know: its losses so far, and what they took."""
        if not self.training:
            return {}
        # numbered: a file keeps its tensors in an order of its own, and a row its columns in this one
        losses = {f"{i:03} {name}": torch.stack(values) for i, (name, values) in enumerate(self.named.items())}
        return {**losses, "batches": self.batches, "seconds": time.perf_counter() - self.begin}

    def load_resume_state(self, state: dict) -> None:
        """Take over what `resume_state` gave."""
        if state:
            self.batches, self.begin = state.pop("batches"), time.perf_counter() - state.pop("seconds")
            self.named |= {name.partition(" ")[2]: list(values) for name, values in sorted(state.items())}

    def after_loss(self):  # not after_batch: by then a GAN's switcher may have given the turn to the other network
        for name, value in (self.losses_of if self.training else self.metrics_of)(self.learn).items():
            self.named[name].append(value.detach().float())
        self.batches += self.training

    def after_train(self):
        self.photos_per_s = self.batches * self.dls.train.bs / (time.perf_counter() - self.begin)

    def after_validate(self):
        row = {"stage": self.stage, "epoch": str(self.epoch + 1)}
        row |= {name: summary(name, values) for name, values in self.named.items()}
        row |= {"photos_per_s": f"{self.photos_per_s:.1f}", "seconds": f"{time.perf_counter() - self.begin:.1f}"}
        row |= {"peak_mb": peak_memory(self.folder.device), "warning": "; ".join(warnings(row))}
        self.folder.write_history([*self.folder.history(), row])
        if is_due(self.learn, self.save_every):
            self.write_weights()
        if is_due(self.learn, self.sample_every):
            self.write_sample(self.folder.path / "samples" / f"{self.stage}_epoch{self.epoch + 1:03d}.png")
            self._show({name: value for name, value in row.items() if name in SHOWN}, row["warning"])
        if time.perf_counter() - self.drawn > DRAW_EVERY:
            draw_history(self.folder)
            self.drawn = time.perf_counter()

    def _show(self, row: dict[str, str], warning: str) -> None:
        bar = getattr(getattr(self.learn, "progress", None), "mbar", None)
        for cells in [list(row.values())] if self.shown else [list(row), list(row.values())]:
            if bar:
                bar.write(cells, table=True)
            else:
                print("  ".join(cell.ljust(max(len(name), 8)) for name, cell in zip(row, cells, strict=True)))
        if warning:
            (bar.write if bar else print)(f"warning: {warning}")
        self.shown = True


def summary(name: str, values: list[Tensor]) -> str:
    """What stands in the history for all values of one name: their mean, their circular variance if they are hues."""
    joined = torch.cat([value if value.ndim else value.view(1) for value in values])
    joined = joined[~joined.isnan()] if joined.ndim == 1 else joined
    if not len(joined):
        return ""  # no step of this kind in this epoch
    return f"{hue_diversity(joined) if joined.ndim == 2 else joined.mean().item():.5f}"


def image_metrics(fake: Tensor, real: Tensor, space) -> dict[str, Tensor]:
    """MSE, PSNR, colourfulness and mean hue, one each per photo, of the generator's images and the photos as images."""
    fake_rgb, real_rgb = space.to_rgb(fake), space.to_rgb(real)
    return {
        "valid_mse": (fake - real).square().mean(dim=(1, 2, 3)),
        "psnr": psnr(fake_rgb, real_rgb),
        "colorfulness": colorfulness(fake_rgb),
        "colorfulness_real": colorfulness(real_rgb),
        "hue_diversity": mean_hue(space.to_lab(fake)),
        "hue_diversity_real": mean_hue(space.to_lab(real)),
    }


def warnings(row: dict[str, str]) -> list[str]:
    """The known failures of this field, read off a row of the history."""
    value = {name: float(text) for name, text in row.items() if name not in ("stage", "warning") and text}
    found = []
    if value.get("colorfulness", 1) < 0.3 * value.get("colorfulness_real", 0):
        found.append("fading: the fakes have less than 30 % of the photos' colourfulness")
    if value.get("hue_diversity", 1) < 0.25 * value.get("hue_diversity_real", 0):
        found.append("colour collapse: the fakes share one hue whatever the photo shows")
    if value.get("critic_loss", 1) < 0.02:
        found.append("the critic's loss is near zero: it has won, and the generator learns nothing from it")
    if value.get("generator_share", 1) == 0:
        found.append("the generator had no turn: the critic's loss never fell below --critic-thresh")
    return found
