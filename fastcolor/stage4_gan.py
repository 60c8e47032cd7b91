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
from fastcolor.data.prepare import prepare_photos
from fastcolor.errors import UserError
from fastcolor.flags import at_least
from fastcolor.networks.checkpoint import load_network, save_network
from fastcolor.runs.run import open_run
from fastcolor.training.adversarial import right
from fastcolor.training.fit import fit
from fastcolor.training.gan import GANStep, GeneratorLoss, gan_learner, make_switcher
from fastcolor.training.heads import HeadsLoss, listens
from fastcolor.training.history import image_metrics
from fastcolor.training.losses import LOSSES, make_loss
from fastcolor.training.report import sample_grid

STAGE = "stage4"


@delegates(open_run)
def main(
    epochs: int = 6,  # passes over the photos; NoGAN keeps this phase short
    lr: float = 1e-4,  # learning rate of the generator, constant (as in lesson 7)
    critic_lr: float = 5e-4,  # learning rate of the critic, constant (lesson 7: five times the generator's)
    loss: str = "mse",  # beside the adversarial loss: mse, chroma, photo or another row of losses.py
    weight: float | None = None,  # of that loss (default: 8; dynamic_unet's mse: 50)
    classes: float = 0.05,  # weight of hint_unet's second head beside that loss
    saturation: float = 1.0,  # of the photos' colours, as the network is to paint them: 1.1 is a tenth more
    aged: float = 0.0,  # share of the training photos that are made to look like old prints, 0 to 1
    often: str | None = None,  # folders whose photos are shown several times an epoch: people*4,cats*2
    average: int = 0,  # save weights that are averaged over about this many steps of the generator; 0: no average
    switcher: str = "adaptive",  # whose turn it is: adaptive (by the losses) or fixed (by the number of steps)
    critic_thresh: float = 0.65,  # adaptive: the critic trains until its loss is below this (as in lesson 7)
    gen_thresh: float | None = None,  # adaptive: the generator trains until its loss is below this (default: one step)
    n_crit: int = 1,  # fixed: steps of the critic in each turn
    n_gen: int = 1,  # fixed: steps of the generator in each turn
    **options,
):
    """Train generator and critic against each other: the last of the four stages."""
    run = open_run(**options)
    generator, _ = load_network(run.require("stage1"), "generator")
    critic, _ = load_network(run.require("stage3"), "critic")
    space = SPACES[generator.config.space]
    if critic.config.space != space.name:
        judged = critic.config.space
        raise UserError(f"{run.require('stage3')} is a critic for {judged}, not for {space.name}: run stage 3 again")
    at_least(1, epochs=epochs)
    at_least(0, lr=lr, critic_lr=critic_lr, weight=weight, aged=aged, average=average)
    at_least(0, classes=classes, saturation=saturation)
    distance = make_loss(loss, space.name, run.machine.device)
    distance = HeadsLoss(distance, generator, classes) if listens(generator) else distance
    both = GeneratorLoss(LOSSES[loss].weights[space.name] if weight is None else weight, distance)
    turns = make_switcher(switcher, critic_thresh, gen_thresh, n_crit, n_gen)

    torch.manual_seed(run.settings.seed)
    prepare_photos(run)
    photos = load_photos(run)
    for network in (generator, critic):
        run.machine.place(network)
    bs = batch_size(run, STAGE, photos, space.channels, generator, critic)
    variety = {"often": often, "saturation": saturation, "aged": aged}
    dls = color_batches(run, photos, space, bs, points=listens(generator), **variety)

    about = {"switcher": switcher, "critic_thresh": critic_thresh, "gen_thresh": gen_thresh}
    about |= {"n_crit": n_crit, "n_gen": n_gen, "loss": loss, "weight": both.weight, "classes": classes}
    about |= {**variety, "average": average}
    with run.stage(STAGE, epochs=epochs, lr=lr, critic_lr=critic_lr, **about, bs=bs) as is_needed:
        if not is_needed:
            return
        output, size = run.folder.output(STAGE), run.settings.size
        step = GANStep(both, f"gen_{loss}")
        learn = gan_learner(dls, generator, critic, step, turns)
        fit(
            learn,
            run,
            STAGE,
            lambda: learn.fit(epochs, lr=[lr, critic_lr]),
            losses=lambda learn: step.losses,
            metrics=lambda learn: {
                "critic_accuracy": accuracy(critic(learn.y), both.fake_pred),
                **image_metrics(learn.pred, learn.y, space),
            },
            save=lambda: save_network(output, generator, "generator", stage=4, size=size),
            sample=lambda path: sample_grid(path, generator, space, dls, critic),
            average=(generator, average),
        )


def accuracy(real: Tensor, fake: Tensor) -> Tensor:
    """Whether the critic is right about each photo and each fake, given its logits `(N, patches)` of both: `(2N,)`."""
    return torch.cat([right(real, real.new_ones(len(real))), right(fake, fake.new_zeros(len(fake)))])


if __name__ == "__main__":
    sys.exit(run_command(main, prog="python -m fastcolor.stage4_gan"))
