"""Half steps: what an adversarial step is made of. Each recipe's own step stands in its module, stage 4's in `gan`.

fastai's loop runs around them: epochs, batches, validation, callbacks. `Step` takes the place of its forward, backward and
optimiser step in training. One optimiser holds all networks, a parameter group for each, and a half step moves one of
them while the others stand still.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from fastai.callback.core import Callback, CancelBatchException
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.optimizer import Adam
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fastcolor.training.order import Order


class Networks(nn.Module):
    """Generators and critics by name, as one model to optimise, save and resume; called, it is the first of them."""

    def __init__(self, **networks: nn.Module):
        super().__init__()
        for name, network in networks.items():
            self.add_module(name, network)

    def forward(self, x: Tensor) -> Tensor:
        return next(self.children())(x)


class Step(Callback):
    """One adversarial step for each training batch. A recipe's `take(x, y)`, or stage 4's, says what it is.

    `take` gives back the named losses, scalars; nan for what had no turn. The networks are the step's attributes: fastai
    hands on what a callback lacks to the Learner, and that to its model.
    """

    order = Order.STEP
    rests_in_eval = False  # whether the networks that stand still are in evaluation mode meanwhile

    def take(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """The step on a batch."""
        raise NotImplementedError

    def before_batch(self):
        if not self.training:
            return
        self.losses = self.take(*self.learn.xb, *self.learn.yb)
        self.learn("after_loss")  # whoever looks at a batch's losses does so then
        raise CancelBatchException  # the rest has been done here

    @property
    def steps(self) -> int:
        """Training batches of all epochs so far, this one included."""
        return self.epoch * len(self.dls.train) + self.iter + 1

    @contextmanager
    def turn(self, *names: str) -> Iterator[None]:
        """A half step of the networks `names`: inside, losses are made and given to `backward`; at its end those move.

        All other networks stand still, to the last bit: no gradient reaches their parameters, and their batch norm keeps its
        statistics. They have no gradient at all, rather than zeros: fastai's optimisers skip what has none, but with zeros
        Adam's averages and weight decay would go on moving it.
        """
        resting = [network for name, network in self.model.named_children() if name not in names]
        parameters = [parameter for network in resting for parameter in network.parameters()]
        norms = [
            m for network in resting for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats
        ]
        if self.rests_in_eval:
            self.model.train()
            for network in resting:
                network.eval()
        for parameter in parameters:
            parameter.requires_grad_(False)
        for norm in norms:
            norm.track_running_stats = False  # it still goes by the batch's statistics, and forgets them
        try:
            yield
        finally:
            for parameter in parameters:
                parameter.requires_grad_(True)
            for norm in norms:
                norm.track_running_stats = True
        self.learn("before_step")  # as in fastai's own loop, for callbacks that look at steps
        self.opt.step()
        for parameter in self.model.parameters():
            parameter.grad = None
        self.learn("after_step")

    def backward(self, loss: Tensor) -> None:
        """Add a loss's gradients to those of this half step."""
        self.learn.loss = loss.detach()
        if not torch.isfinite(loss):
            self.learn("after_loss")  # StopOnNaN ends the fit before the weights are spoilt
        with torch.autocast(loss.device.type, enabled=False):
            loss.backward()


def recipe_learner(
    dls: DataLoaders,
    networks: Networks,
    step: Step,
    *,
    betas: tuple[float, float] = (0.5, 0.999),
    groups: list[list[str]],
) -> Learner:
    """fastai Learner around a step. `groups` names the networks that share a learning rate; Adam without weight decay.

    Betas are those of Radford et al. 2016, section 4, unless given; epsilon is torch's.
    """
    return Learner(
        dls,
        networks,
        loss_func=F.l1_loss,  # in validation alone, where nobody looks at it
        opt_func=partial(Adam, mom=betas[0], sqr_mom=betas[1], eps=1e-8, wd=0.0),
        splitter=lambda model: [[p for name in names for p in getattr(model, name).parameters()] for names in groups],
        cbs=step,
    )


class ImagePool:
    """The last `size` fakes (Shrivastava et al. 2017, section 2.3): critics see half of them late, and swing less.

    `__call__` gives, for each image, itself or, once the pool is full and half of the time, one of the pool, whose place
    it takes. Random numbers are torch's own on the CPU.
    """

    def __init__(self, size: int = 50):
        self.size, self.images = size, torch.empty(0)

    def __call__(self, fakes: Tensor) -> Tensor:
        given = []
        for fake in fakes.detach():
            if len(self.images) < self.size:
                self.images = torch.cat([self.images.to(fake), fake[None]]) if len(self.images) else fake[None].clone()
            elif torch.rand(()) < 0.5:
                at = int(torch.randint(self.size, ()))
                old = self.images[at].clone()
                self.images[at], fake = fake, old
            given.append(fake)
        return torch.stack(given)
