"""What ends a training early: Ctrl-C, and a loss that is not a number."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from fastai.callback.core import Callback, CancelFitException

from fastcolor import processes
from fastcolor.training.order import Order


class StopOnNaN(Callback):
    """End the fit when the loss is nan or infinite, before the weights are changed by it or saved."""

    failed = ""

    def after_loss(self):
        alone = processes.count() == 1
        if alone or not self.training:
            self.look()
        if alone:
            self.end()

    def before_step(self):  # several processes: only now they have the loss of all
        if processes.count() > 1:
            self.look()
            self.end()

    def after_validate(self):
        self.failed = next(filter(None, processes.gathered(self.failed)), "")
        self.end()

    def look(self) -> None:
        """Note a loss that is not a number."""
        if not torch.isfinite(self.learn.loss):
            part = "batch" if self.training else "validation batch"
            self.failed = f"the loss is no longer a number in epoch {self.epoch + 1}, {part} {self.iter + 1}"

    def end(self) -> None:
        """End the fit if such a loss was noted."""
        if self.failed:
            raise CancelFitException()


class StopOnCtrlC(Callback):
    """The first Ctrl-C ends the fit after the batch, with its state saved; the second ends it at once."""

    order = Order.STOP
    asked = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle Ctrl-C until the block ends. In a thread, where Python can't handle signals, do nothing."""
        in_main_thread = threading.current_thread() is threading.main_thread()
        before = signal.signal(signal.SIGINT, self.ask) if in_main_thread else None
        try:
            yield
        finally:
            if in_main_thread:
                signal.signal(signal.SIGINT, before)

    def ask(self, *_):
        """The signal handler of Ctrl-C."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def after_batch(self):
        if self.training:
            self.asked = processes.any_of(self.asked)
        if self.asked and self.training:
            self.resumable.keep(self.epoch, self.iter + 1)
            raise CancelFitException()
