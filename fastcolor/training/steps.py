"""What adversarial steps are made of: half steps. Each recipe's own step is in its module, stage 4's in `gan`.

fastai's loop stays: epochs, batches, validation, callbacks. In training, `Step` replaces its forward pass, backward
pass and optimiser step. One optimiser holds all networks, in parameter groups. A half step moves some of the networks,
while the others stand still.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from fastai.callback.core import Callback, CancelBatchException
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fastcolor import processes
from fastcolor.training.optimizer import Adam
from fastcolor.training.order import Order


class Networks(nn.Module):
    """Generators and critics by name, as one model to optimise, save and resume. Called, it calls the first of them."""

    def __init__(self, **networks: nn.Module):
        super().__init__()
        for name, network in networks.items():
            self.add_module(name, network)

    def forward(self, x: Tensor) -> Tensor:
        return next(self.children())(x)


class Step(Callback):
    """One adversarial step per training batch. Each recipe, and stage 4, has its own `take`.

    The networks are attributes of the step: fastai looks up what a callback lacks in the Learner, then in its model.
    """

    order = Order.STEP
    rests_in_eval = False  # whether networks that stand still are put into evaluation mode

    def take(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Do the step on a batch. Returns its losses by name, scalars; nan for a network that had no turn."""
        raise NotImplementedError

    def before_batch(self):
        if not self.training:
            return
        self.losses = self.take(*self.learn.xb, *self.learn.yb)
        self.learn("after_loss")  # History and StopOnNaN look at the losses now
        raise CancelBatchException  # skips fastai's own step

    @property
    def steps(self) -> int:
        """The number of training batches so far, over all epochs, including this one."""
        return self.epoch * len(self.dls.train) + self.iter + 1

    @contextmanager
    def turn(self, *names: str) -> Iterator[None]:
        """A half step: the block computes losses and calls `backward`; at its end the networks `names` move.

        All other networks stand still, to the last bit: no gradient reaches their parameters, and their batch norm
        keeps its statistics. Their gradients are None, not zero: fastai's optimisers skip None, but with zeros Adam's
        averages and weight decay would still change them.
        """
        resting = [network for name, network in self.model.named_children() if name not in names]
        parameters = [parameter for network in resting for parameter in network.parameters()]
        norms = [
            m for network in resting for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats
        ]
        self.lost = 0.0
        if self.rests_in_eval:
            self.model.train()
            for network in resting:
                network.eval()
        for parameter in parameters:
            parameter.requires_grad_(False)
        for norm in norms:
            norm.track_running_stats = False  # it still normalises by the batch's statistics, but does not keep them
        try:
            yield
        finally:
            for parameter in parameters:
                parameter.requires_grad_(True)
            for norm in norms:
                norm.track_running_stats = True
        self.learn("before_step")  # as in fastai's own loop, for callbacks that look at steps
        self.opt.step()
        torch.clear_autocast_cache()  # it holds bf16 copies of weights that have just moved
        for parameter in self.model.parameters():
            parameter.grad = None
        self.learn("after_step")

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss, a mean over images, to those of this half step."""
        loss = processes.weighted(loss)
        if processes.count() > 1:
            self.lost = self.lost + loss.detach()
            self.learn.loss = self.lost  # `Together` adds up those of all processes
        else:
            self.learn.loss = loss.detach()
            if not torch.isfinite(loss):
                self.learn("after_loss")  # StopOnNaN ends the fit before the weights are spoilt
        with torch.autocast(loss.device.type, enabled=False):
            loss.backward()


def together(network: nn.Module, *batches: Tensor) -> tuple[Tensor, ...]:
    """What a network makes of several batches, in one pass, which is faster than several.

    Not for a network with batch norm in training: there each batch is normalised by its own statistics.
    """
    return network(torch.cat(batches)).split([len(batch) for batch in batches])


def recipe_learner(
    dls: DataLoaders,
    networks: Networks,
    step: Step,
    *,
    betas: tuple[float, float] = (0.5, 0.999),
    groups: list[list[str]],
) -> Learner:
    """fastai Learner around a step, with Adam without weight decay. Each list in `groups` names the networks of one
    learning rate.

    The default betas are those of Radford et al. 2016, section 4; epsilon is torch's default.
    """
    return Learner(
        dls,
        networks,
        loss_func=F.l1_loss,  # fastai needs one for validation; its value is not used
        opt_func=partial(Adam, mom=betas[0], sqr_mom=betas[1], eps=1e-8, wd=0.0),
        splitter=lambda model: [[p for name in names for p in getattr(model, name).parameters()] for names in groups],
        cbs=step,
    )


class ImagePool:
    """A pool of `size` earlier fakes, so that critics swing less (Shrivastava et al. 2017, section 2.3).

    Called with images `(N, ...)`, it returns as many. Once the pool is full, each image is exchanged, half of the time,
    for a random one of the pool. Random numbers come from torch's CPU generator.
    """

    def __init__(self, size: int = 50):
        self.size, self.images = size, torch.empty(0)

    def __call__(self, fakes: Tensor) -> Tensor:
        given = []
        for fake in processes.whole(fakes.detach()):  # of all processes: they keep the same pool
            if len(self.images) < self.size:
                self.images = torch.cat([self.images.to(fake), fake[None]]) if len(self.images) else fake[None].clone()
            elif torch.rand(()) < 0.5:
                at = int(torch.randint(self.size, ()))
                old = self.images[at].clone()
                self.images[at], fake = fake, old
            given.append(fake)
        return processes.own(torch.stack(given))
