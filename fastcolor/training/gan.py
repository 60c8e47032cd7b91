"""Stage 4's adversarial step, on fastai's GANLearner. `GANStep.take` says what each network does in its turn.

GANLearner stays: its trainer says whose turn it is, its switchers decide when that changes, and validation uses its
loss. Five faults of fastai 2.8 are fixed here:
  1. The network that should stand still moves: `zero_grad` leaves gradients of zero, and with those Adam's averages and
     weight decay still change it. `Step.turn` leaves no gradients at all.
  2. At the start of an epoch, fastai puts both networks into training mode, so batch norm and spectral norm of the one
     that stands still drift. In validation it puts the generator into training mode. `turn` sets the right modes.
  3. Validation leaves the trainer in generator mode, even if it is the critic's turn.
  4. Each batch of the generator's turn is copied to the CPU, for a display that no longer exists.
  5. `GANDiscriminativeLR` divides a learning rate after the switcher may have switched, so the rates drift. It is not
     used: each network has its own parameter group.
"""

import warnings
from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.learner import AvgSmoothLoss
from fastai.vision.gan import AdaptiveGANSwitcher, FixedGANSwitcher, GANLearner
from torch import Tensor, nn

from fastcolor.flags import at_least, one_of
from fastcolor.training.adversarial import bce, critic_loss
from fastcolor.training.optimizer import Adam
from fastcolor.training.steps import Step


class GeneratorLoss:
    """adversarial + weight x distance of fake and real, `(N, 3, H, W)` images of one space: a scalar.

    `distance` is MSE, say. After a call, the parts are the attributes `adversarial` and `distance`, and the critic's
    logits `(N, patches)` are `fake_pred`.
    """

    def __init__(self, weight: float, distance: Callable[[Tensor, Tensor], Tensor] = F.mse_loss):
        self.weight, self.distance_of = weight, distance

    def __call__(self, fake_pred: Tensor, fake: Tensor, real: Tensor) -> Tensor:
        self.fake_pred = fake_pred.float()
        self.adversarial = bce(self.fake_pred, True)
        self.distance = self.distance_of(fake.float(), real)
        return self.adversarial + self.weight * self.distance


class GANStep(Step):
    """One turn of the generator, or one of the critic. `column` is the distance's name in the history."""

    name = "stand_still"  # its name in saved states: keep it, so that older states can be resumed
    rests_in_eval = True  # as in lesson 7's GAN
    training_mode = False  # the critic begins

    def __init__(self, loss: GeneratorLoss, column: str):
        self.loss_of, self.column = loss, column

    def take(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """A turn on x, the generator's input `(N, C, H, W)`, and y, photos `(N, 3, H, W)`, in the generator's space."""
        nothing, is_generators = x.new_tensor(float("nan")), self.gan_trainer.gen_mode
        adversarial = distance = judged = nothing
        if is_generators:
            with self.turn("generator"):
                fake = self.generator(x).float()
                self.backward(self.loss_of(self.critic(fake), fake, y))
            adversarial, distance = self.loss_of.adversarial, self.loss_of.distance
        else:
            with self.turn("critic"):
                judged = critic_loss(bce, self.critic(y), self.critic(self.generator(x)))
                self.backward(judged)
        share = x.new_tensor(float(is_generators))
        return {"gen_adversarial": adversarial, self.column: distance, "critic_loss": judged, "generator_share": share}

    def before_batch(self):
        if self.training and not self.gan_trainer.gen_mode:  # in the critic's turn GANTrainer has swapped them
            self.learn.xb, self.learn.yb = self.yb, self.xb
        self.learn.pred = self.learn.xb[0][:0]  # empty: GANTrainer copies it to the CPU
        super().before_batch()

    def before_fit(self):
        self.training_mode = self.gan_trainer.gen_mode

    def before_train(self):
        self.gan_trainer.switch(self.training_mode)

    def after_train(self):
        self.training_mode = self.gan_trainer.gen_mode

    def before_validate(self):  # GANTrainer has just put the generator into training mode
        self.model.eval()

    def resume_state(self) -> dict:
        """What a resumed epoch needs: whose turn it is, and GANTrainer's smoothed losses."""
        mode = {"generator_mode": self.gan_trainer.gen_mode if self.training else self.training_mode}
        smoothed = {f"{name}.{key}": getattr(loss, key) for name, loss in self._smoothed() for key in ("count", "val")}
        return mode | smoothed

    def load_resume_state(self, state: dict) -> None:
        """Put back what `resume_state` gave."""
        self.training_mode = state["generator_mode"]
        self.gan_trainer.switch(self.training_mode)
        for name, loss in self._smoothed():
            loss.count, loss.val = state[f"{name}.count"], state[f"{name}.val"].cpu()

    def _smoothed(self) -> list[tuple[str, AvgSmoothLoss]]:
        return [("generator", self.gan_trainer.gen_loss), ("critic", self.gan_trainer.crit_loss)]


class FixedSwitcher(FixedGANSwitcher):
    """fastai's fixed switcher, which can also save and restore its count of steps."""

    n_c = n_g = 0  # fastai sets them when an epoch begins

    def resume_state(self) -> dict:
        """What a resumed epoch needs: the steps of this turn."""
        return {"n_c": self.n_c, "n_g": self.n_g}

    def load_resume_state(self, state: dict) -> None:
        """Put back what `resume_state` gave."""
        self.n_c, self.n_g = state["n_c"], state["n_g"]


def make_switcher(name: str, critic_thresh: float, gen_thresh: float | None, n_crit: int, n_gen: int) -> Callback:
    """fastai's switcher that `--switcher` names: it decides whose turn it is.

    adaptive: the critic trains until its loss falls below `critic_thresh`, the generator until its loss falls below
    `gen_thresh` (None: one step). fixed: `n_crit` steps of the critic, then `n_gen` of the generator. Raises UserError
    for an unknown name or for steps below 1.
    """
    at_least(1, n_crit=n_crit, n_gen=n_gen)
    one_of("switcher", name, ("adaptive", "fixed"))
    return AdaptiveGANSwitcher(gen_thresh, critic_thresh) if name == "adaptive" else FixedSwitcher(n_crit, n_gen)


# fastai's GANTrainer has attributes that its Learner has too, and fastai warns of them.
warnings.filterwarnings("ignore", message="You are shadowing an attribute \\((generator|critic|gen_mode)\\)")


def gan_learner(
    dls: DataLoaders, generator: nn.Module, critic: nn.Module, step: GANStep, switcher: Callback
) -> GANLearner:
    """GANLearner of both networks; `step` does its training batches. Fit it with `lr=[generator's, critic's]`."""
    return GANLearner(
        dls,
        generator,
        critic,
        step.loss_of,
        partial(critic_loss, bce),
        switcher=switcher,
        switch_eval=True,
        opt_func=partial(Adam, mom=0.0, sqr_mom=0.99, wd=1e-3),  # lesson 7's betas and weight decay
        splitter=lambda model: [list(model.generator.parameters()), list(model.critic.parameters())],
        cbs=step,
    )
