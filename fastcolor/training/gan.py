"""Stage 4's adversarial step, on fastai's GANLearner: what happens in a turn of each network stands in `GANStep.take`.

GANLearner stays: its trainer says whose turn it is, its switchers decide when it changes, its loss is validation's. What
fastai 2.8 gets wrong is mended here:
  1. The network that should stand still moves: `zero_grad` leaves zero gradients, and Adam's averages and weight decay
     go on with those. `Step.turn` leaves no gradients at all, as for the recipes.
  2. At the start of each epoch fastai puts both networks into training mode, so that batch norm and spectral norm of the
     one that stands still drift; in validation it puts the generator into training mode. `turn` sets the modes anew.
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

from fastcolor.flags import at_least, one_of
from fastcolor.training.adversarial import bce, critic_loss
from fastcolor.training.steps import Step


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


class GANStep(Step):
    """One turn of the generator, or one of the critic. `column` is what the distance is called in the history."""

    name = "stand_still"  # what it was called when states to resume from were first written
    rests_in_eval = True  # as lesson 7's GAN has it
    training_mode = False  # the critic begins

    def __init__(self, loss: GeneratorLoss, column: str):
        self.loss_of, self.column = loss, column

    def take(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """x the generator's input `(N, C, H, W)`, y photos as images `(N, 3, H, W)`, of the generator's space."""
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
        self.learn.pred = self.learn.xb[0][:0]  # what GANTrainer will copy: nothing
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
    one_of("switcher", name, ("adaptive", "fixed"))
    return AdaptiveGANSwitcher(gen_thresh, critic_thresh) if name == "adaptive" else FixedSwitcher(n_crit, n_gen)


# fastai's own GANTrainer keeps the networks under names that its Learner passes on, and is warned of by fastai.
warnings.filterwarnings("ignore", message="You are shadowing an attribute \\((generator|critic|gen_mode)\\)")


def gan_learner(
    dls: DataLoaders, generator: nn.Module, critic: nn.Module, step: GANStep, switcher: Callback
) -> GANLearner:
    """GANLearner over both networks, whose training batches are `step`'s. Fit it with `lr=[generator's, critic's]`."""
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
