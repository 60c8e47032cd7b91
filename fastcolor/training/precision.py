"""bf16 where the run says so, and what is done where memory is too small for a batch."""

import gc
import os
import tempfile
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import torch
from fastai.callback.core import Callback
from fastai.learner import Learner
from torch import Tensor

from fastcolor.errors import UserError, is_out_of_memory
from fastcolor.files import UNFINISHED
from fastcolor.runs.run import Run
from fastcolor.training.order import Order
from fastcolor.training.resume import Resumable


def go_in_memory(go: Callable[[], None], learn: Learner, precision: "Precision", resumable: Resumable) -> None:
    """Call `go()`. Where memory runs out, go on once more from the last state, using less: the result is the same to the bit.

    With smaller batches it would not be: batch norm would see other photos together. Raises UserError where it does not help.
    """
    for precision.is_sparing in (False, True):
        try:
            return go()
        except (
            RuntimeError,
            MemoryError,
            IndexError,
        ) as error:  # what it holds on to is let go of when this block ends
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
            where = "main memory" if precision.opened.machine.device.type == "cuda" else "files"
            print(
                f"memory is too small for a batch: what the backward pass needs waits in {where} now; slower, but the result is the same"
            )
    raise UserError("there is not enough memory for a batch: begin anew with a smaller --bs or --size, and --force")


class Precision(Callback):
    """Run networks and losses in bf16 where the run says so. fastai's MixedPrecision knows CUDA alone.

    If `is_sparing`, what the backward pass needs waits elsewhere: see `elsewhere`.
    """

    order = Order.PRECISION
    is_sparing = False

    def __init__(self, run: Run):
        self.opened, self.contexts = run, ExitStack()

    def before_batch(self):
        self.contexts.enter_context(self.opened.machine.autocast())
        if self.is_sparing and self.training:
            self.contexts.enter_context(elsewhere(self.opened))

    def after_pred(self):
        self.learn.pred = self.pred.float()

    def after_loss(self):
        self.contexts.close()


def elsewhere(run: Run) -> torch.autograd.graph.saved_tensors_hooks:
    """Context that keeps what autograd saves for the backward pass in main memory instead of a GPU's, or in files.

    Not torch's save_on_cpu, which forgets strides: other kernels would compute the backward pass, to other last digits.
    """
    if run.machine.device.type == "cuda":
        return torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: tensor.to("cpu"), lambda saved: saved.to(run.machine.device)
        )
    return torch.autograd.graph.saved_tensors_hooks(lambda tensor: Filed(tensor, run.folder.path), Filed.read)


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
