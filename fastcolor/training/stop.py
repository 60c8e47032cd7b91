"""What ends a training early: Ctrl-C, and a loss that is no number."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from fastai.callback.core import Callback, CancelFitException

from fastcolor.training.order import Order


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

    order = Order.STOP
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
