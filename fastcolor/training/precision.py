"""bf16 if the run asks for it, and what happens if memory is too small for a batch."""

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

from fastcolor import processes
from fastcolor.errors import UserError, is_out_of_memory
from fastcolor.files import UNFINISHED
from fastcolor.runs.run import Run
from fastcolor.training.order import Order
from fastcolor.training.resume import Resumable


def go_in_memory(go: Callable[[], None], learn: Learner, precision: "Precision", resumable: Resumable) -> None:
    """Call `go()`. If memory runs out, go on from the last saved state using less, with the same result to the bit.

    Smaller batches would give another result, because batch norm would see other photos together. Raises UserError if
    memory runs out again.
    """
    for precision.is_sparing in (False, True):
        try:
            return go()
        except (RuntimeError, MemoryError, IndexError) as error:  # the end of this block frees what the error refers to
            if not is_out_of_memory(error):
                raise
            if processes.count() > 1:  # the others are in the middle of the step
                raise UserError(
                    f"process {processes.rank() + 1} has not enough memory for its share of a batch: "
                    "start more processes, or begin anew with --force and a smaller --bs or --size"
                ) from None
        precision.contexts.close()
        learn._end_cleanup()
        learn.loss_grad = None  # _end_cleanup forgets it, and it keeps the whole batch in memory
        for parameter in learn.model.parameters():
            parameter.grad = None
        gc.collect()
        resumable.resumes = True
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if not precision.is_sparing:
            where = "main memory" if precision.opened.machine.device.type == "cuda" else "files"
            print(
                "memory is too small for a batch: training goes on with the same result, but slower "
                f"(what the backward pass needs is now kept in {where})"
            )
    raise UserError("there is not enough memory for a batch: begin anew with --force and a smaller --bs or --size")


class Precision(Callback):
    """Run networks and losses in bf16 if the run asks for it. fastai's MixedPrecision works on CUDA only.

    If `is_sparing`, what the backward pass needs is kept outside the device's memory: see `elsewhere`.
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
    """A context that keeps what autograd saves for the backward pass in main memory (for CUDA), else in files.

    torch's save_on_cpu is not used: it loses strides, so other kernels would compute other last digits.
    """
    if run.machine.device.type == "cuda":
        return torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: tensor.to("cpu"), lambda saved: saved.to(run.machine.device)
        )
    return torch.autograd.graph.saved_tensors_hooks(lambda tensor: Filed(tensor, run.folder.path), Filed.read)


class Filed:
    """A tensor in its own file, which is deleted with this object."""

    def __init__(self, tensor: Tensor, folder: Path):
        handle, self.file = tempfile.mkstemp(prefix=UNFINISHED, dir=folder)
        weakref.finalize(self, os.unlink, self.file)
        with open(handle, "wb") as file:
            torch.save(tensor.detach(), file)

    def read(self) -> Tensor:
        """Load the tensor from the file."""
        return torch.load(self.file, weights_only=True)
