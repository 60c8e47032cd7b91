"""All four stages in order, and what came of them: a table, a coloured photo and a contact sheet.

    fastcolor train                    # the drawn sample set: a few minutes on two cores
    fastcolor train --data PHOTOS      # your own photos
"""

import sys
import time
from itertools import pairwise
from pathlib import Path

from fastcore.meta import delegates

from fastcolor import stage1_pretrain_gen, stage2_generate_fakes, stage3_pretrain_critic, stage4_gan
from fastcolor.cli import run_command
from fastcolor.files import save_photo
from fastcolor.inference import predict
from fastcolor.report import SAMPLES, held_out_metrics, print_table, sheet
from fastcolor.run import Run, open_run


@delegates(open_run)
def main(
    generator: str = "unet",  # unet (lean, Lab) or dynamic_unet (fastai's, RGB)
    arch: str = "resnet18",  # the encoder: resnet18, resnet34; dynamic_unet also resnet50
    pretrained: str | None = None,  # imagenet, none, or a generator's weights file (default: imagenet; sample set: none)
    critic: str = "patch",  # patch (lean PatchGAN) or gan_critic (fastai's)
    gen_epochs: int | None = None,  # passes over the photos in stage 1 (default: 10; sample set: 36)
    critic_epochs: int | None = None,  # in stage 3 (default: 5; sample set: 30)
    gan_epochs: int = 6,  # in stage 4
    **options,
):
    """Train a colouriser on a folder of photos: all four stages, a table of what they reached, and a contact sheet."""
    begins = []

    def announce(stage: str) -> None:
        begins.append(time.perf_counter())
        print(f"\n{stage}: {TITLES[stage]}")

    announce("stage1")
    stage1_pretrain_gen.main(generator, arch, pretrained, gen_epochs, **options)
    announce("stage2")
    stage2_generate_fakes.main(**options)
    announce("stage3")
    stage3_pretrain_critic.main(critic, critic_epochs, **options)
    announce("stage4")
    stage4_gan.main(gan_epochs, **options)
    show(open_run(**options), [*begins, time.perf_counter()])


TITLES = {
    "stage1": "the generator learns from the photos (MSE)",
    "stage2": "the generator colours the training photos",
    "stage3": "the critic learns to tell them from real photos",
    "stage4": "generator and critic train against each other",
}


def show(run: Run, times: list[float]) -> None:
    """Print what each stage took (`times`: when each began, and the end) and reached, colour a held-out photo, write
    the contact sheet."""
    last = {row["stage"]: row for row in run.history()}
    losses = {"stage1": "valid_mse", "stage2": "", "stage3": "valid_bce", "stage4": "valid_mse"}
    rows = [
        [stage, TITLES[stage], f"{end - begin:.0f} s", f"{name} {last[stage][name]}" if name else ""]
        for (stage, name), (begin, end) in zip(losses.items(), pairwise(times), strict=True)
    ]
    print()
    print_table(["", "", "time", "loss, held-out photos"], rows)
    columns, metrics, photo = held_out_metrics(run)
    names = list(next(iter(metrics.values())))
    print()
    print_table(["held-out photos", *names], [[name, *values.values()] for name, values in metrics.items()])
    coloured = Path(run.path, "coloured.png")
    save_photo(predict(photo, run.output("stage4")), coloured)
    picture = Path(run.path, "contact_sheet.png")
    save_photo(sheet({name: images[:SAMPLES] for name, images in columns.items()}), picture)
    print(f"\n{coloured}: {photo.name}, which no stage trained on, coloured by fastcolor.predict")
    print(f"{picture}: {' | '.join(columns)}")


if __name__ == "__main__":
    sys.exit(run_command(main, prog="python -m fastcolor.train"))
