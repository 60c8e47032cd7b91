"""Several processes train the same networks (see `fastcolor.processes`): each step is the one that one process takes.

Not by torch's DistributedDataParallel. It would have to wrap each network for itself, it knows nothing of turns in
which a network stands still, and it averages gradients as if all processes had as many photos. Here gradients are added
up when a step has them all. DDP begins before that; what it gains, see SCALE.md, is little for these networks.
"""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from fastai.callback.core import Callback
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from fastcolor import processes
from fastcolor.errors import UserError
from fastcolor.training.order import Order


class Together(Callback):
    """Each process learns from its share of a batch, and all move their networks by the same gradients."""

    order = Order.TOGETHER

    def __init__(self):
        self.contexts = ExitStack()

    def before_fit(self):
        self.check("begin with")

    def before_batch(self):
        if self.training:
            self.contexts.enter_context(processes.sharing(self.dls.train.share))

    def before_backward(self):  # fastai's own loop; an adversarial step weights its losses itself
        self.learn.loss = processes.weighted(self.loss.detach())
        self.learn.loss_grad = processes.weighted(self.loss_grad)

    def before_step(self):
        """Add up the gradients of all processes, and the loss: whoever decides by it decides alike everywhere."""
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        added = processes.summed(torch.cat([*(each.reshape(-1) for each in gradients), self.loss.float().view(1)]))
        *parts, loss = added.split([*(each.numel() for each in gradients), 1])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))
        self.learn.loss = loss[0]

    def after_batch(self):
        self.contexts.close()

    def after_epoch(self):
        self.check("have")

    def check(self, what: str) -> None:
        """Raise UserError unless the networks are the same in all processes, to the last bit."""
        if len(set(processes.gathered(fingerprint(self.model)))) > 1:
            raise UserError(
                f"the processes {what} different weights: give all of them the same files, versions and kind of device"
            )


def fingerprint(network: nn.Module) -> str:
    """SHA-256 of a network's weights and buffers."""
    found = hashlib.sha256()
    for value in network.state_dict().values():
        found.update(value.detach().contiguous().view(-1).view(torch.uint8).cpu().numpy().data)
    return found.hexdigest()


@contextmanager
def common_layers(network: nn.Module) -> Iterator[None]:
    """Until the block ends, the network's layers see whole batches: batch norm has the statistics of all processes'
    photos, and dropout draws for all of them. Alone, nothing changes.
    """
    changed = []
    for layer in network.modules() if processes.count() > 1 else ():
        kind = next((of for of in FORWARD if isinstance(layer, of)), None)
        if kind:
            layer.forward = partial(FORWARD[kind], layer)  # not another class: fastai's and ours look at it
            changed.append(layer)
    try:
        yield
    finally:
        for layer in changed:
            del layer.forward


def common_norm(layer: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Batch norm of all processes' `(n, C, H, W)`. On GPUs by torch's SyncBatchNorm, which has no form for CPUs."""
    if not layer.training:
        return type(layer).forward(layer, x)
    if x.device.type == "cuda":
        layer.process_group, layer._check_non_zero_input_channels = None, lambda x: None
        return nn.SyncBatchNorm.forward(layer, x)
    mean, var, count = _statistics(x)
    if count == 1:  # as torch has it
        raise ValueError("Expected more than 1 value per channel when training")
    if layer.track_running_stats:
        with torch.no_grad():
            layer.num_batches_tracked.add_(1)
            layer.running_mean.lerp_(mean, layer.momentum)
            layer.running_var.lerp_(var * (count / (count - 1)), layer.momentum)
    return _Norm.apply(x, layer.weight, layer.bias, mean, var, count, layer.eps)


@torch.no_grad()
def _statistics(x: Tensor) -> tuple[Tensor, Tensor, float]:
    """Mean and (biased) variance of each channel over all processes' x, and how many values it has.

    From each process's own, as Chan et al. 1979 put them together: sums of squares would lose digits.
    """
    own = x.new_zeros(processes.count(), 2 * x.shape[1] + 1, dtype=torch.float64)
    if len(x):
        var, mean = torch.var_mean(x.float(), dim=(0, 2, 3), correction=0)
        own[processes.rank()] = torch.cat([mean, var, mean.new_tensor([x.numel() / x.shape[1]])])
    means, variances, counts = processes.summed(own).split([x.shape[1], x.shape[1], 1], dim=1)
    share = counts / counts.sum()
    mean = (share * means).sum(0)
    var = (share * (variances + (means - mean).square())).sum(0)
    return mean.float(), var.float(), counts.sum().item()


class _Norm(torch.autograd.Function):
    """Batch norm by statistics that stand already, with the gradient of one whose statistics are its own batch's."""

    @staticmethod
    def forward(ctx, x, weight, bias, mean, var, count, eps):
        ctx.save_for_backward(x, weight, mean, var)
        ctx.count, ctx.eps = count, eps
        if not len(x):  # this process has no share of the batch: torch's own kernels can't take that
            return x.clone()
        return F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps)

    @staticmethod
    @once_differentiable
    def backward(ctx, slope):
        x, weight, mean, var = ctx.saved_tensors
        if len(x):  # as if mean and variance were constants
            of_x, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
                slope, x, weight, mean, var, None, None, False, ctx.eps, [True, True, True]
            )
        else:
            of_x, of_weight, of_bias = slope, torch.zeros_like(weight), torch.zeros_like(weight)
        if ctx.needs_input_grad[0]:  # Ioffe and Szegedy 2015, section 3, whose sums are over all processes
            sums = processes.summed(torch.stack([of_weight, of_bias])) / ctx.count
            back = sums * (weight / (var + ctx.eps).sqrt())
            if len(x):
                of_x = of_x - F.batch_norm(x, mean, var, *back, False, 0.0, ctx.eps)
        return of_x, of_weight, of_bias, None, None, None, None


def common_dropout(layer: nn.Dropout, x: Tensor) -> Tensor:
    """Dropout of this process's `(n, C, H, W)`, out of what one process would draw for the whole batch."""
    if not layer.training:
        return type(layer).forward(layer, x)
    places = (1, 1) if isinstance(layer, nn.Dropout2d) else x.shape[2:]
    # as `networks.layers.Dropout` has it in memory, and as torch draws it
    noise = x.new_empty(processes.share_of(x).count, x.shape[1], *places)
    noise = noise.contiguous(memory_format=torch.channels_last).bernoulli_(1 - layer.p).div_(1 - layer.p)
    return x * processes.own(noise)


FORWARD = {nn.BatchNorm2d: common_norm, nn.Dropout2d: common_dropout, nn.Dropout: common_dropout}
