"""A running average of a network's weights."""

from fastai.callback.core import Callback
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from fastcolor.training.order import Order


class Averaged(Callback):
    """Keep a running average of a network's weights over about `steps` steps (Polyak averaging).

    Batch norm's statistics are averaged too. During validation, when weights are saved and samples drawn, the network
    has the averaged weights.
    """

    order = Order.AVERAGED

    def __init__(self, network: nn.Module, steps: float):
        self.network, self.decay = network, 1 - 1 / steps
        self.average = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self.taken = 0

    def after_step(self):
        trainer = getattr(self.learn, "gan_trainer", None)
        if trainer and not trainer.gen_mode:
            return
        self.taken += 1
        decay = min(self.decay, self.taken / (self.taken + 10))  # so that the first weights are soon forgotten
        pairs = [(self.average[name], value) for name, value in self.network.state_dict().items()]
        moving = [pair for pair in pairs if pair[0].is_floating_point()]
        get_ema_multi_avg_fn(decay)(*map(list, zip(*moving, strict=True)), self.taken)  # all at once: quick on a GPU
        for mine, value in pairs:
            if not mine.is_floating_point():
                mine.copy_(value)

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
        """What a resumed epoch needs besides the averaged weights."""
        return {"taken": self.taken}

    def load_resume_state(self, state: dict) -> None:
        """Put back what `resume_state` gave."""
        self.taken = state["taken"]
