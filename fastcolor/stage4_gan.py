"""Stage 4: generator and critic train against each other, in turn, starting from stages 1 and 3.

    python -m fastcolor.stage4_gan --run runs/NAME

Leaves `stage4_gen.safetensors`: the weights to colour photos with.
"""

import sys

import torch
from fastcore.meta import delegates
from torch import Tensor

from fastcolor.cli import run_command
from fastcolor.color.spaces import SPACES
from fastcolor.data.batches import batch_size, color_batches
from fastcolor.data.photos import load_photos
from fastcolor.device import place
from fastcolor.errors import UserError
from fastcolor.networks.checkpoint import load_network, save_network
from fastcolor.runs.run import open_run
from fastcolor.runs.settings import at_least
from fastcolor.training.fit import fit
from fastcolor.training.gan import GeneratorLoss, gan_learner, make_switcher
from fastcolor.training.history import image_metrics
from fastcolor.training.losses import make_loss, right
from fastcolor.training.report import sample_grid

STAGE = "stage4"
# Weight of the loss beside the adversarial one. Lesson 7 has 50 for the MSE in normalised RGB; the same error in colour is
# about six times that, as a number, in standardised Lab.
WEIGHTS = {("mse", "rgb"): 50.0, ("mse", "lab"): 8.0}
OTHER_WEIGHT = 8.0  # of the other losses, which have the same scale in both spaces: that of standardised Lab


@delegates(open_run)
def main(
    epochs: int = 6,  # passes over the photos; NoGAN keeps this phase short
    lr: float = 1e-4,  # of the generator, constant (lesson 7's)
    critic_lr: float = 5e-4,  # of the critic (lesson 7: five times the generator's)
    loss: str = "mse",  # beside the adversarial one: mse, chroma or photo, see losses.py
    weight: float | None = None,  # of that loss (default: 8; dynamic_unet's mse: 50)
    aged: float = 0.0,  # share of the training photos that get the light of old prints
    often: str | None = None,  # folders whose photos are shown several times an epoch: people*4,cats*2
    average: int = 0,  # the generator's steps over which the weights that are saved are averaged; 0: not at all
    switcher: str = "adaptive",  # adaptive or fixed
    critic_thresh: float = 0.65,  # adaptive: the critic's loss below which the generator has its turn (lesson 7's)
    gen_thresh: float | None = None,  # adaptive: the generator's loss below which the critic has (default: after one step)
    n_crit: int = 1,  # fixed: steps of the critic in turn
    n_gen: int = 1,  # fixed: steps of the generator in turn
    **options,
):
    """Train generator and critic against each other: the last of the four stages."""
    run = open_run(**options)
    generator, _ = load_network(run.require("stage1"), "generator")
    critic, _ = load_network(run.require("stage3"), "critic")
    space = SPACES[generator.config.space]
    if critic.config.space != space.name:
        raise UserError(f"{run.output('stage3')} judges photos as {critic.config.space}, not as {space.name}: run stage 3 again")
    at_least(1, epochs=epochs)
    at_least(0, lr=lr, critic_lr=critic_lr, weight=weight, aged=aged, average=average)
    distance = make_loss(loss, space.name, run.device)
    both = GeneratorLoss(WEIGHTS.get((loss, space.name), OTHER_WEIGHT) if weight is None else weight, distance)
    turns = make_switcher(switcher, critic_thresh, gen_thresh, n_crit, n_gen)

    torch.manual_seed(run.seed)
    photos = load_photos(run)
    for network in (generator, critic):
        place(network, run)
    bs = batch_size(run, STAGE, photos, space.channels, generator, critic)
    about = {"switcher": switcher, "critic_thresh": critic_thresh, "gen_thresh": gen_thresh, "n_crit": n_crit, "n_gen": n_gen}
    about |= {"loss": loss, "weight": both.weight, "aged": aged, "often": often, "average": average}
    dls = color_batches(run, photos, space, bs, often=often, aged=aged)
    if not run.start(STAGE, epochs=epochs, lr=lr, critic_lr=critic_lr, **about, bs=bs):
        return

    learn = gan_learner(dls, generator, critic, both, turns)

    def losses(learn) -> dict[str, Tensor]:
        nothing = learn.loss.new_tensor(float("nan"))  # of the network whose turn it is not
        if learn.gan_trainer.gen_mode:
            turn = {"gen_adversarial": both.adversarial, f"gen_{loss}": both.distance, "critic_loss": nothing}
        else:
            turn = {"gen_adversarial": nothing, f"gen_{loss}": nothing, "critic_loss": learn.loss}
        return {**turn, "generator_share": learn.loss.new_tensor(float(learn.gan_trainer.gen_mode))}

    def metrics(learn) -> dict[str, Tensor]:
        ones = learn.pred.new_ones(len(learn.pred))
        accuracy = torch.cat([right(critic(learn.y), ones), right(both.fake_pred, 0 * ones)])
        return {"critic_accuracy": accuracy, **image_metrics(learn.pred, learn.y, space)}

    fit(
        learn,
        run,
        STAGE,
        lambda: learn.fit(epochs, lr=[lr, critic_lr]),
        losses=losses,
        metrics=metrics,
        save=lambda: save_network(run.output(STAGE), generator, "generator", stage=4, size=run.size),
        sample=lambda path: sample_grid(path, generator, space, dls, critic),
        average=(generator, average),
    )


if __name__ == "__main__":
    sys.exit(run_command(main, prog="python -m fastcolor.stage4_gan"))
