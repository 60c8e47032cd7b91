"""The adversarial step: fastai's GANLearner with what it gets wrong mended, all in this file.

fastai 2.8 has one optimiser for both networks and swaps modes in places that forget each other. Mended here:
  1. The network that should stand still moves: `zero_grad` leaves zero gradients, and Adam's averages and weight decay
     go on with those. Its gradients are set to None, which fastai's optimisers skip.
  2. At the start of each epoch fastai puts both networks into training mode, so that batch norm and spectral norm of the
     one that stands still drift; in validation it puts the generator into training mode.
  3. Validation leaves the trainer in generator mode whatever mode training was in.
  4. Each batch that the generator learned from is copied to the CPU, for a display that no longer exists.
  5. `GANDiscriminativeLR` divides after the switcher may have switched, so that learning rates drift; it is not used:
     each network has its own parameter group.
"""

import warnings
from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.learner import AvgSmoothLoss
from fastai.optimizer import Adam
from fastai.vision.gan import AdaptiveGANSwitcher, FixedGANSwitcher, GANLearner
from torch import Tensor, nn

from fastcolor.errors import UserError
from fastcolor.runs.settings import at_least
from fastcolor.training.steps import bce, critic_loss


class GeneratorLoss:
    """adversarial + weight x `distance` (MSE, say) of fake and real; the parts stay to be looked at as `adversarial` and
    `distance`, the critic's logits as `fake_pred`."""

    def __init__(self, weight: float, distance: Callable[[Tensor, Tensor], Tensor] = F.mse_loss):
        self.weight, self.distance_of = weight, distance

    def __call__(self, fake_pred: Tensor, fake: Tensor, real: Tensor) -> Tensor:
        self.fake_pred = fake_pred.float()
        self.adversarial = bce(self.fake_pred, True)
        self.distance = self.distance_of(fake.float(), real)
        return self.adversarial + self.weight * self.distance


class StandStill(Callback):
    """While one network trains, every parameter and buffer of the other stays as it is."""

    order = 5  # behind GANTrainer (0), whose events are put right here; fastai looks at `order`, not at `run_after`

    def before_fit(self):
        self.training_mode = self.gan_trainer.gen_mode

    def before_train(self):  # fastai's TrainEvalCallback has just put both networks into training mode
        self.gan_trainer.switch(self.training_mode)

    def before_step(self):
        trainer = self.gan_trainer
        for parameter in (trainer.critic if trainer.gen_mode else trainer.generator).parameters():
            parameter.grad = None

    def after_step(self):
        self.learn.pred = self.pred[:0]  # what GANTrainer will copy

    def after_train(self):
        self.training_mode = self.gan_trainer.gen_mode

    def before_validate(self):  # GANTrainer has just put the generator into training mode
        self.model.eval()

    def resume_state(self) -> dict:
        """What has to be known to go on: whose turn it is, and GANTrainer's smoothed losses."""
        mode = {"generator_mode": self.gan_trainer.gen_mode if self.training else self.training_mode}
        smoothed = {f"{name}.{key}": getattr(loss, key) for name, loss in self._smoothed() for key in ("count", "val")}
        return mode | smoothed

    def load_resume_state(self, state: dict) -> None:
        """Take over what `resume_state` gave."""
        self.training_mode = state["generator_mode"]
        self.gan_trainer.switch(self.training_mode)
        for name, loss in self._smoothed():
            loss.count, loss.val = state[f"{name}.count"], state[f"{name}.val"].cpu()

    def _smoothed(self) -> list[tuple[str, AvgSmoothLoss]]:
        return [("generator", self.gan_trainer.gen_loss), ("critic", self.gan_trainer.crit_loss)]


class FixedSwitcher(FixedGANSwitcher):
    """fastai's, whose count of steps can be kept."""

    n_c = n_g = 0  # fastai sets them when an epoch begins

    def resume_state(self) -> dict:
        """What has to be known to go on: the steps of this turn."""
        return {"n_c": self.n_c, "n_g": self.n_g}

    def load_resume_state(self, state: dict) -> None:
        """Take over what `resume_state` gave."""
        self.n_c, self.n_g = state["n_c"], state["n_g"]


def make_switcher(name: str, critic_thresh: float, gen_thresh: float | None, n_crit: int, n_gen: int) -> Callback:
    """fastai's switcher that `--switcher` names. Raises UserError for another name.

    adaptive: the critic trains until its loss falls below `critic_thresh`, the generator until its falls below
    `gen_thresh` (None: one step). fixed: `n_crit` steps of the critic, `n_gen` of the generator, in turn.
    """
    at_least(1, n_crit=n_crit, n_gen=n_gen)
    if name == "adaptive":
        return AdaptiveGANSwitcher(gen_thresh, critic_thresh)
    if name == "fixed":
        return FixedSwitcher(n_crit, n_gen)
    raise UserError(f"--switcher {name} does not exist: give adaptive or fixed")


# fastai's own GANTrainer keeps the networks under names that its Learner passes on, and is warned of by fastai.
warnings.filterwarnings("ignore", message="You are shadowing an attribute \\((generator|critic|gen_mode)\\)")


def gan_learner(
    dls: DataLoaders, generator: nn.Module, critic: nn.Module, loss: GeneratorLoss, switcher: Callback
) -> GANLearner:
    """GANLearner over both networks that stands still where it should. Fit it with `lr=[generator's, critic's]`."""
    return GANLearner(
        dls,
        generator,
        critic,
        loss,
        partial(critic_loss, bce),
        switcher=switcher,
        switch_eval=True,
        opt_func=partial(Adam, mom=0.0, sqr_mom=0.99, wd=1e-3),  # lesson 7's betas and weight decay
        splitter=lambda model: [list(model.generator.parameters()), list(model.critic.parameters())],
        cbs=StandStill(),
    )
