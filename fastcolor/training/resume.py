"""Stop and resume: an interrupted training ends in the same weights as one that was never interrupted.

Everything random follows from the seed, the epoch and the batch, so no random state has to be saved. What is saved:
networks, optimisers, averaged weights, the position in the schedule, and what callbacks with a `resume_state` method
give (whose turn it is, pools of images, the epoch's losses so far).
"""

import os
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from fastai.callback.core import Callback, CancelEpochException
from fastai.learner import Learner
from torch import Tensor

from fastcolor import processes
from fastcolor.errors import UserError, one_line
from fastcolor.networks.checkpoint import load_tensors, save_tensors
from fastcolor.runs.run import Run
from fastcolor.training.order import Order


class Resumable(Callback):
    """Save the state after every `every` epochs, and within an epoch after every `run.save_every` batches.

    With `run.resume`, the fit goes on from the last state: epochs and batches before it are skipped.
    """

    is_begun = False
    order = Order.RESUMABLE

    def __init__(self, run: Run, stage: str, every: int):
        self.folder, self.seed, self.save_every = run.folder, run.settings.seed, run.save_every
        self.stage, self.every, self.resumes = stage, every, run.resume
        self.path = run.folder.state(stage)

    def before_fit(self):
        self.state = processes.by_first(lambda: load_state(self.path)) if self.resumes else None
        if not self.state:
            if self.is_begun:  # after the memory ran out: the networks have been trained already
                self.give_up("no saved state is left")
            self.keep(0, 0)  # to go on from if memory runs out in the first epoch
        self.is_begun = True
        about = self.state[1] if self.state else {"epochs": 0, "batches": 0}
        self.done, self.done_batches = about["epochs"], about["batches"]
        if not (0 <= self.done <= self.n_epoch and 0 <= self.done_batches <= len(self.dls.train)):
            self.give_up(f"epoch {self.done}, batch {self.done_batches}")
        processes.by_first(self.forget_later_rows)  # they will be written again

    def forget_later_rows(self) -> None:
        """Delete the history's rows of epochs that the state has not seen."""
        rows = self.folder.history()
        self.folder.write_history([row for row in rows if row["stage"] != self.stage or int(row["epoch"]) <= self.done])

    def before_epoch(self):
        if self.epoch < self.done:
            raise CancelEpochException()
        self.begin = self.done_batches if self.epoch == self.done else 0
        self.dls.train.start(self.epoch, self.begin)
        if self.epoch == self.done and self.state and not self.begin:
            self.load()

    def before_train(self):  # within an epoch: only after all callbacks have begun it
        if self.begin and self.state:
            self.load()

    def load(self) -> None:
        """Put the saved state into the Learner. Raises UserError if it does not fit."""
        try:
            share = self.state[1]["pct_train"]
            if not 0 <= share <= 1 + 1e-6:  # summed up batch by batch, it ends a rounding beyond 1
                raise ValueError("its share of the training is not between 0 and 1")
            of = self.state[1].get("of", self.n_epoch)  # more than then: one-cycle goes back to where it would be now
            self.learn.pct_train = float(share) * (of / self.n_epoch)
            load_learner(self.learn, *self.state)
        except (RuntimeError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            self.give_up(one_line(error))
        self.state = None

    def give_up(self, why: str) -> NoReturn:
        """Raise UserError: the saved state can't be used."""
        raise UserError(f"{self.path} does not fit this run ({why}): begin {self.stage} anew with --force")

    def before_batch(self):
        if self.training:
            self.learn.iter += self.begin
            torch.manual_seed(int(np.random.SeedSequence([self.seed, self.epoch, self.iter]).generate_state(1)[0]))

    def after_batch(self):
        done = self.iter + 1
        if self.training and done % self.save_every == 0 and done < self.n_iter:
            self.keep(self.epoch, done)

    def after_epoch(self):
        if self.epoch >= self.done and is_due(self.learn, self.every):
            self.keep(self.epoch + 1, 0)

    def keep(self, epochs: int, batches: int) -> None:
        """Save the state after `epochs` whole epochs and `batches` of the next one.

        The state before it is kept too, in case this one gets damaged.
        """
        tensors, metadata = learner_state(self.learn)
        if not processes.is_first():
            return
        new = self.path.with_suffix(".new")
        position = {"epochs": epochs, "batches": batches, "of": self.n_epoch, "pct_train": self.pct_train}
        save_tensors(new, tensors, {**metadata, **position})
        if self.path.exists():
            os.replace(self.path, before(self.path))
        os.replace(new, self.path)


def is_due(learn: Learner, every: int) -> bool:
    """Whether the epoch that ends is the last one, or one of every `every`."""
    return (learn.epoch + 1) % every == 0 or learn.epoch + 1 == learn.n_epoch


def before(path: Path) -> Path:
    """The file of the state before the last one."""
    return path.with_name(f"{path.stem}_before{path.suffix}")


def load_state(path: Path) -> tuple[dict[str, Tensor], dict] | None:
    """The tensors and metadata of a stage's last state that is not damaged, from `path` or the file before it.

    A damaged file is reported. None if there is no usable state.
    """
    for file in (path, before(path)):
        if not file.exists():
            continue
        try:
            tensors, metadata = load_tensors(file, "resume state")
            if not all(type(metadata.get(name)) is int for name in ("epochs", "batches")):
                raise UserError(f"{file} was written by another version of fastcolor")
            return tensors, metadata
        except UserError as error:  # only what is wrong; the remedy in the message is for other files
            rest = "the state before it" if file == path and before(path).exists() else "the beginning"
            print(f"{str(error).partition(': give')[0]}: going on from {rest}")
    return None


def learner_state(learn: Learner) -> tuple[dict[str, Tensor], dict]:
    """The state of a Learner: its tensors by name, and its plain values (numbers) for the file's metadata.

    It holds the model, the optimiser, averaged weights, and what callbacks with a `resume_state` method give.
    """
    tensors = {f"model.{name}": value for name, value in learn.model.state_dict().items()}
    plain = []
    for i, state in enumerate(learn.opt.state_dict()["state"]):
        tensors |= {f"opt.{i}.{name}": value for name, value in state.items() if isinstance(value, Tensor)}
        plain.append({name: value for name, value in state.items() if not isinstance(value, Tensor)})
    tensors |= {f"average.{name}": value for name, value in _average(learn).items()}
    kept = {}
    for cb in [cb for cb in learn.cbs if hasattr(type(cb), "resume_state")]:
        state = cb.resume_state()
        tensors |= {f"{cb.name}.{name}": value for name, value in state.items() if isinstance(value, Tensor)}
        kept[cb.name] = {name: value for name, value in state.items() if not isinstance(value, Tensor)}
    return tensors, {"optimizer": plain, "callbacks": kept}


def load_learner(learn: Learner, tensors: dict[str, Tensor], metadata: dict) -> None:
    """Put what `learner_state` gave into a Learner of the same networks.

    For the state of other networks, raises ValueError, or what torch and Python raise for missing names.
    """
    device = next(learn.model.parameters()).device
    plain = [*metadata["optimizer"], *metadata["callbacks"].values()]
    if not all(isinstance(value, int | float) and 0 <= value < 2**53 for values in plain for value in values.values()):
        raise ValueError("a value is not a count, a time or a loss")
    tensors = {name: value.to(device) for name, value in tensors.items()}
    learn.model.load_state_dict({name[6:]: value for name, value in tensors.items() if name.startswith("model.")})
    for name, average in _average(learn).items():
        average.copy_(tensors[f"average.{name}"])
    state, parameters = [dict(plain) for plain in metadata["optimizer"]], [each for each, *_ in learn.opt.all_params()]
    if len(state) != len(parameters):
        raise ValueError("the optimiser has other parameters")
    for name, value in tensors.items():
        if name.startswith("opt."):
            _, i, key = name.split(".")
            state[int(i)][key] = _as(parameters[int(i)], value)
    learn.opt.load_state_dict({"state": state, "hypers": learn.opt.state_dict()["hypers"]})
    for callback, values in metadata["callbacks"].items():
        held = {name.partition(".")[2]: value for name, value in tensors.items() if name.startswith(f"{callback}.")}
        getattr(learn, callback).load_resume_state(values | held)


def _as(parameter: Tensor, value: Tensor) -> Tensor:
    """An optimiser's tensor in the memory layout of its parameter: steps are twice as fast then."""
    if (value.shape, value.dtype) != (parameter.shape, parameter.dtype):
        raise ValueError(
            f"the optimiser keeps {list(value.shape)} {value.dtype} of a parameter {list(parameter.shape)}"
        )
    return torch.empty_like(parameter, requires_grad=False).copy_(value)


def _average(learn: Learner) -> dict[str, Tensor]:
    """The averaged weights of a Learner, by name; empty if it keeps none."""
    return learn.averaged.average if hasattr(learn, "averaged") else {}
