"""All four stages in order, and what they have reached: a table, a coloured photo and a contact sheet.

fastcolor train                    # the drawn sample set: a few minutes on two cores
fastcolor train --data PHOTOS      # your own photos
"""

import math
import sys
import time
from inspect import signature
from itertools import pairwise
from types import ModuleType

from fastcore.meta import delegates

from fastcolor import processes, stage1_pretrain_gen, stage2_generate_fakes, stage3_pretrain_critic, stage4_gan
from fastcolor.cli import run_command
from fastcolor.colorize.colorizer import predict
from fastcolor.data.photos import load_photos
from fastcolor.data.prepare import prepare_photos
from fastcolor.errors import UserError
from fastcolor.flags import at_least, one_of
from fastcolor.networks.checkpoint import save_half
from fastcolor.networks.registry import build, config_of_flag
from fastcolor.photo.write import save_photo
from fastcolor.runs.run import Run, open_run
from fastcolor.training.ears import teach
from fastcolor.training.hours import passes
from fastcolor.training.outlook import planned
from fastcolor.training.report import SAMPLES, held_out_metrics, picture_of, print_table, save_sheet

# What `--preset` sets for the run and for each stage; a flag that is given comes first.
PRESETS = {
    "quick": {},
    "photo": {  # a network that listens: see networks/hint_unet.py
        "run": {"test": 0.05, "size": 160},
        "stage1": {
            "generator": "hint_unet",
            "pretrained": "imagenet",
            "loss": "felt",
            "saturation": 1.15,
            "aged": 0.3,
            "often": "people*4",
            "epochs": 14,
            "lr": 1.5e-3,
            "encoder_share": 0.3,
            "bs": 128,
            "average": 500,
        },
        "stage3": {"epochs": 2},
        "stage4": {
            "loss": "felt",
            "lr": 1e-4,
            "saturation": 1.15,
            "aged": 0.3,
            "often": "people*4",
            "epochs": 2,
            "bs": 32,
            "average": 500,
        },
        # how `ship` writes the final weights: the working size is chosen on validation photos
        "ship": {"size": 224},
    },
}


@delegates(open_run)
def main(
    preset: str = "quick",  # quick (minutes), or photo (hours): a network of the kind that ships, at its best
    hours: float | None = None,  # train for about so long: as many passes as fit, in the preset's proportions
    generator: str | None = None,  # hint_unet, unet or dynamic_unet (default: that of --pretrained, else unet)
    arch: str | None = None,  # the encoder (default: resnet18; hint_unet: efficientnet_lite2, see stage 1)
    pretrained: str | None = None,  # bundled (default), lean (sample set), imagenet, none, a file or a run folder
    critic: str = "patch",  # patch (lean PatchGAN) or gan_critic (fastai's)
    gen_epochs: int | None = None,  # passes in stage 1 (default: 10, trained weights 1; sample set: 9, none 36)
    critic_epochs: int | None = None,  # in stage 3 (default: 5)
    gan_epochs: int | None = None,  # in stage 4 (default: 16)
    **options,
):
    """Train a colouriser on a folder of photos, in four stages.

    At the end it prints what each stage has reached, and writes a contact sheet. `fastcolor train --recipe NAME`, the
    same as `fastcolor NAME`, trains one of the recipes instead, which has its own flags.
    """
    one_of("preset", preset, PRESETS)
    if preset == "photo" and generator not in (None, "hint_unet", "unet"):
        raise UserError(f"--preset photo can't train {generator}: leave out --generator or --preset")
    if preset != "photo" and hours is not None:
        raise UserError(
            "--hours goes with --preset photo: give both, or say with --gen-epochs and --gan-epochs how long"
        )
    preset_of = PRESETS[preset]
    options = {**preset_of.get("run", {}), **_given(options)}

    def flags(stage: str, **asked) -> dict:
        return {**preset_of.get(stage, {}), **_given(asked), **options}

    first = flags("stage1", generator=generator, arch=arch, pretrained=pretrained, epochs=gen_epochs)
    begins = []

    def announce(stage: str) -> None:
        begins.append(time.perf_counter())
        print(f"\n{stage}: {TITLES[stage]}")

    third, fourth = flags("stage3", critic=critic, epochs=critic_epochs), flags("stage4", epochs=gan_epochs)
    run = open_run(**options)
    fitting = passes_of(run, hours, first, third, fourth)
    first |= {"epochs": fitting["epochs"]} if fitting else {}
    fourth |= {"epochs": fitting["gan_epochs"]} if fitting else {}
    stages = {"stage2": 1, "stage3": _epochs(stage3_pretrain_critic, third), "stage4": _epochs(stage4_gan, fourth)}
    if "bs" in preset_of.get("stage1", {}) and run.bs is None:
        prepare_photos(run)
        most = len(load_photos(run).train)
        first["bs"], fourth["bs"] = (min(flags["bs"], most) for flags in (first, fourth))
    with planned(stage1=0, **stages):  # of stage 1's own epochs, its learner knows
        announce("stage1")
        stage1_pretrain_gen.main(**first)
        announce("stage2")
        stage2_generate_fakes.main(**options)
        announce("stage3")
        stage3_pretrain_critic.main(**third)
        announce("stage4")
        stage4_gan.main(**fourth)
    finished = open_run(**options)
    finished.first(lambda: show(finished, [*begins, time.perf_counter()]))
    if "ship" in preset_of:
        finished.first(lambda: ship(finished, **preset_of["ship"]))


def passes_of(run: Run, hours: float | None, first: dict, third: dict, fourth: dict) -> dict[str, int]:
    """The passes of stages 1 and 4 that fit into `hours`, in the proportions of the flags of stages 1, 3 and 4.

    {} without `hours`. They are counted when a run begins, and noted in config.json: resumed, it makes the same ones;
    begun anew (`--force`), it counts again. Raises UserError for other hours than it was begun with.
    """
    at_least(0.01, hours=hours)
    noted = run.folder.config.get("hours")
    if noted and not run.force:
        if hours not in (None, noted["hours"]):
            raise UserError(
                f"{run.folder.path} was begun with --hours {noted['hours']:g}: resume it without --hours, or "
                "begin anew with --force"
            )
        return noted["passes"]
    if hours is None and not noted:
        return {}
    prepare_photos(run)
    found = {}
    if hours is not None:
        network = build(config_of_flag("generator", first["generator"], arch=first.get("arch")))
        usual = {name: first[name] for name in ("loss", "epochs", "often")}
        usual |= {"critic_epochs": third["epochs"], "gan_epochs": fourth["epochs"]}
        usual["bs"] = PRESETS["photo"]["stage1"]["bs"] if run.bs in (None, "auto") else run.bs
        photos, several = load_photos(run), processes.count()
        found = processes.by_first(lambda: passes(run, photos, network, hours, **usual, several=several))

    def note() -> None:
        with run.folder.held():  # it reads the config again: not before
            run.folder.config["hours"] = {"hours": hours, "passes": found} if found else None
            run.folder.save()

    run.first(note)
    return found


def ship(run: Run, size: int) -> None:
    """Teach stage 4's weights to listen, write them at half the size, and print the command to measure them.

    `size` is the short side, in pixels, at which the network is to see photos.
    """
    trained, shipped = run.folder.output("stage4"), run.folder.shipped
    teach(trained, load_photos(run), size, run.machine.device, run.settings.seed)
    save_half(trained, shipped, size=size)
    print(f"\n{shipped}: the weights at half the size; to measure them on photos that they have never seen:")
    print(f"  fastcolor evaluate --data {run.photos} --names {run.folder.split} --weights {shipped}")


def _epochs(stage: ModuleType, flags: dict) -> int:
    """The epochs that these flags give a stage, or its default."""
    return flags.get("epochs", signature(stage.main).parameters["epochs"].default)


def _given(flags: dict) -> dict:
    """The flags that were given a value."""
    return {name: value for name, value in flags.items() if value is not None}


def verdict(metrics: dict[str, dict[str, str]]) -> str:
    """One sentence on whether training paid, from `held_out_metrics`'s table."""
    after, real, then = metrics["GAN"], metrics["real"], "before" if "before" in metrics else "grey"
    if after == metrics[then]:
        return "training did not pay: no epoch was better than the weights it began from, so they were kept"
    names = ["feature distance", "Frechet"] if "Frechet" in after else ["CIEDE2000"]
    figures = ", ".join(f"{name} {after[name]} instead of {metrics[then][name]}" for name in names)
    now, was = (math.prod(float(each[name]) for name in names) for each in (after, metrics[then]))  # as in `rank`
    colors = [float(each["colourfulness"]) / float(real["colourfulness"]) for each in (after, metrics[then])]
    share = "{:.0%} of the photos' colourfulness instead of {:.0%}".format(*colors)
    paid = "paid" if now < was else "did not pay"
    return f"on held-out photos training {paid}: {figures}, {share}"


TITLES = {
    "stage1": "the generator learns from the photos",
    "stage2": "the generator colours the training photos",
    "stage3": "the critic learns to tell them from real photos",
    "stage4": "generator and critic train against each other",
}


def show(run: Run, times: list[float]) -> None:
    """Print the time and the loss of each stage; colour a held-out photo, and write the contact sheet.

    `times` are the stages' beginnings and the end, in seconds.
    """
    last = {row["stage"]: row for row in run.folder.history()}
    losses = {"stage1": "valid_mse", "stage2": "", "stage3": "valid_bce", "stage4": "valid_mse"}
    rows = [
        [stage, TITLES[stage], f"{end - begin:.0f} s", f"{name} {last[stage][name]}" if name else ""]
        for (stage, name), (begin, end) in zip(losses.items(), pairwise(times), strict=True)
    ]
    print()
    print_table(["", "", "time", "loss, held-out photos"], rows)
    columns, metrics, name = held_out_metrics(run)
    photo = run.photos / name  # at its own size, unless the run has only squares
    photo = photo if photo.is_file() and not run.settings.pairs else picture_of(columns["real"][0])
    names = list(next(iter(metrics.values())))
    print()
    print_table(["held-out photos", *names], [[name, *values.values()] for name, values in metrics.items()])
    print(f"\n{verdict(metrics)}")
    print(f"{run.folder.output('stage4')}: the best weights; to colour photos with them:")
    print(f"  fastcolor colorize PHOTOS -o coloured --weights {run.folder.path}")
    coloured = run.folder.coloured
    save_photo(predict(photo, run.folder.output("stage4")), coloured)
    picture = run.folder.contact_sheet
    save_sheet(picture, {name: images[:SAMPLES] for name, images in columns.items()})
    print(f"\n{coloured}: {name}, a photo that no stage was trained on, coloured")
    print(f"{picture}: {' | '.join(columns)}")


if __name__ == "__main__":
    sys.exit(run_command(main, prog="python -m fastcolor.train"))
