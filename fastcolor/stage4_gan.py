"""Stage 4: generator and critic train against each other, in turn, starting from stages 1 and 3.

    python -m fastcolor.stage4_gan --run runs/NAME

Leaves `stage4_gen.safetensors`: the weights to colour photos with.
"""

import sys
from pathlib import Path

import torch
from fastcore.meta import delegates
from torch import Tensor, nn

from fastcolor import processes
from fastcolor.cli import run_command
from fastcolor.color.spaces import SPACES
from fastcolor.data.batches import BATCH, batch_size, color_batches
from fastcolor.data.photos import load_photos
from fastcolor.data.prepare import prepare_photos
from fastcolor.errors import UserError
from fastcolor.flags import at_least
from fastcolor.networks.checkpoint import load_network, load_tensors, save_network, save_tensors
from fastcolor.runs.run import Run, open_run
from fastcolor.training.adversarial import right
from fastcolor.training.best import HeldOutJudge, Judged, enliven, mix, rank
from fastcolor.training.fit import fit
from fastcolor.training.gan import GANStep, GeneratorLoss, gan_learner, make_switcher
from fastcolor.training.heads import HeadsLoss, listens
from fastcolor.training.history import held_out_row, image_metrics
from fastcolor.training.losses import LOSSES, make_loss, usual_loss
from fastcolor.training.report import sample_grid
from fastcolor.weights import weights_file

STAGE = "stage4"
USUAL = {
    False: {"lr": 3e-4, "saturation": 1.0, "average": 20},
    True: {"lr": 1e-4, "saturation": 1.15, "average": 40},
}
"""Defaults, by whether the generator listens: then it is large, and goes on as the weights that ship were trained."""


@delegates(open_run)
def main(
    epochs: int = 16,  # passes over the photos; the best of them is kept
    lr: float | None = None,  # learning rate of the generator, constant (default: 3e-4, hint_unet 1e-4)
    critic_lr: float = 5e-4,  # learning rate of the critic, constant (lesson 7: five times the generator's)
    loss: str | None = None,  # beside the adversarial loss (default: photo, hint_unet felt; sample set: chroma)
    weight: float | None = None,  # of that loss (default: photo 1.5, chroma and mse 8; dynamic_unet's mse 50)
    classes: float = 0.05,  # weight of hint_unet's second head beside that loss
    saturation: float | None = None,  # of the photos' colours, as they are to be painted (default: 1, hint_unet 1.15)
    aged: float = 0.0,  # share of the training photos that are made to look like old prints, 0 to 1
    often: str | None = None,  # folders whose photos are shown several times an epoch: people*4,cats*2
    average: int | None = None,  # save weights averaged over about so many steps; 0: none (default: 20, hint_unet 40)
    switcher: str = "fixed",  # whose turn it is: fixed (by the number of steps) or adaptive (by the losses)
    critic_thresh: float = 0.65,  # adaptive: the critic trains until its loss is below this (as in lesson 7)
    gen_thresh: float | None = None,  # adaptive: the generator trains until its loss is below this (default: one step)
    n_crit: int = 1,  # fixed: steps of the critic in each turn
    n_gen: int = 1,  # fixed: steps of the generator in each turn
    **options,
):
    """Train generator and critic against each other: the last of the four stages."""
    run = open_run(**options)
    generator, first = load_network(run.require("stage1"), "generator")
    critic, _ = load_network(run.require("stage3"), "critic")
    space = SPACES[generator.config.space]
    if critic.config.space != space.name:
        judged = critic.config.space
        raise UserError(f"{run.require('stage3')} is a critic for {judged}, not for {space.name}: run stage 3 again")
    at_least(1, epochs=epochs)
    at_least(0, lr=lr, critic_lr=critic_lr, weight=weight, aged=aged, average=average)
    at_least(0, classes=classes, saturation=saturation)
    hears = listens(generator)
    lr, saturation, average = (
        USUAL[hears][name] if given is None else given
        for name, given in (("lr", lr), ("saturation", saturation), ("average", average))
    )
    loss = run.kept(STAGE, "loss", loss) or usual_loss(run.settings.is_sample, hears)
    distance, judge = make_loss(loss, space.name, run.machine.device), HeldOutJudge(run.machine.device)
    if hears:
        generator.holds_norms, distance = True, HeadsLoss(distance, generator, classes)
    both = GeneratorLoss(LOSSES[loss].weights[space.name] if weight is None else weight, distance)
    turns = make_switcher(switcher, critic_thresh, gen_thresh, n_crit, n_gen)

    torch.manual_seed(run.settings.seed)
    prepare_photos(run)
    photos = load_photos(run)
    for network in (generator, critic):
        run.machine.place(network)
    bs = batch_size(run, STAGE, photos, space.channels, generator, critic, usual=BATCH // 2)
    variety = {"often": often, "saturation": saturation, "aged": aged}
    dls = color_batches(run, photos, space, bs, points=hears, **variety)

    about = {"switcher": switcher, "critic_thresh": critic_thresh, "gen_thresh": gen_thresh}
    about |= {"n_crit": n_crit, "n_gen": n_gen, "loss": loss, "weight": both.weight, "classes": classes}
    about |= {**variety, "average": average}
    with run.stage(STAGE, epochs=epochs, lr=lr, critic_lr=critic_lr, **about, bs=bs) as is_needed:
        if not is_needed:
            return
        output = run.folder.output(STAGE)
        rivals = processes.by_first(lambda: keep_earlier(run))
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
                **image_metrics(learn.pred, learn.y, space, judge),
            },
            save=lambda: save_network(output, generator, "generator", stage=4, size=first["size"]),
            sample=lambda path: sample_grid(path, generator, space, dls, critic),
            average=(generator, average),
            rank=rank,
            rivals=rivals,
        )
        rows = processes.by_first(run.folder.history)
        best = min([*rivals, *(row for row in rows if row["stage"] == STAGE)], key=rank)
        if best["epoch"] != "0":  # those that it began from stay as they are
            # drawn scenes are no photos: what a network sees in photos does not tell how lively they should be
            judged = judged_by(run, dls.valid, space, judge) if judge.seen and not run.settings.is_sample else None
            if judged and (before := began_from(run)):
                mix(output, before, judged)
            enliven(output, best, judged)


def keep_earlier(run: Run) -> list[dict[str, str]]:
    """Write the better of the weights that stage 1 began from and its own as this stage's, unless it has some already.

    Epochs that are no better don't replace them. Returns their rows in the history.
    """
    rows, output = [row for row in run.folder.history() if row["stage"] == "stage1"], run.folder.output(STAGE)
    earlier = [row for row in rows if row["epoch"] == "0"] + rows[-1:]
    if not output.exists():
        before = began_from(run)
        began_best = before and earlier and min(reversed(earlier), key=rank)["epoch"] == "0"
        better = before if began_best else run.folder.output("stage1")
        tensors, about = load_tensors(better, "generator weights")
        save_tensors(output, tensors, {**about, "stage": 4})
    return earlier


def began_from(run: Run) -> Path | None:
    """The weights that stage 1 began from; None if those were not a generator's."""
    path = weights_file(run.folder.config["stages"]["stage1"]["pretrained"])
    return path if path.is_file() else None


def judged_by(run: Run, valid, space, judge: HeldOutJudge) -> Judged:
    """A function that gives the row of a network on the validation photos, its chroma multiplied by a factor."""

    def judged(network: nn.Module, factor: float) -> dict[str, str]:
        def metrics(fake: Tensor, real: Tensor) -> dict[str, Tensor]:
            return image_metrics(space.saturated(fake, factor), real, space, judge)

        run.machine.place(network)
        return held_out_row(run, network, valid, metrics)

    return judged


def accuracy(real: Tensor, fake: Tensor) -> Tensor:
    """Whether the critic is right about each photo and each fake, given its logits `(N, patches)` of both: `(2N,)`."""
    return torch.cat([right(real, real.new_ones(len(real))), right(fake, fake.new_zeros(len(fake)))])


if __name__ == "__main__":
    sys.exit(run_command(main, prog="python -m fastcolor.stage4_gan"))
