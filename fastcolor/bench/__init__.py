"""Measure: fastcolor against stock fastai, scaling, quality against time, bf16 against fp32.

    fastcolor bench                     # speed: both pipelines in turn, on drawn scenes
    fastcolor bench --data PHOTOS       # on your own photos
    fastcolor bench --scaling           # photos/s against photo size, batch size and number of photos
    fastcolor bench --quality           # PSNR and LPIPS against seconds of training
    fastcolor bench --precisions        # the sample run in fp32 and bf16, three seeds each

Each writes `NAME.json` (all figures, date, machine, versions) and `NAME.md`, the table that the README shows.
"""

from pathlib import Path

from fastcolor.device import choose_device
from fastcolor.errors import UserError
from fastcolor.run import SAMPLE_SIZE, at_least, read_batch_size

ARCHS = ("resnet18", "resnet34", "resnet50")


def main(
    data: str | None = None,  # folder of colour photos (default: drawn scenes; --scaling and --precisions make their own)
    out: str = "bench",  # folder for the figures
    scaling: bool = False,  # measure photos/s against photo size, batch size and number of photos instead
    quality: bool = False,  # measure PSNR and LPIPS against seconds of training instead
    precisions: bool = False,  # measure what fp32 and bf16 reach on the sample set instead
    size: int = 128,  # side of the training squares in pixels
    bs: str = "32",  # photos per batch; auto: for speed, fastcolor takes what a GPU can use, stock 32
    rounds: int = 3,  # of alternated measurements
    seconds: float = 20.0,  # of each measurement
    minutes: float = 10.0,  # of training for each pipeline (--quality)
    arch: str = "resnet34",  # the stock network's encoder (--quality)
    pretrained: str = "none",  # what both networks begin with: none or imagenet (--quality)
    limit: int | None = None,  # use only so many photos
    device: str = "auto",  # auto, cpu, cuda or mps
    precision: str = "auto",  # fastcolor's: auto, fp32 or bf16
    compile: bool = False,  # fastcolor's networks compiled
):
    """Measure how fast training is, and what it reaches, beside fastai's own pipeline."""
    at_least(1, rounds=rounds)
    at_least(0.1, seconds=seconds, minutes=minutes)
    at_least(64, size=size)  # fastai's gan_critic takes nothing smaller
    bs = read_batch_size(bs)
    if scaling + quality + precisions > 1:
        raise UserError("--scaling, --quality and --precisions are measured one at a time: give one of them")
    for flag, value, known in (("pretrained", pretrained, ("none", "imagenet")), ("arch", arch, ARCHS)):
        if value not in known:
            raise UserError(f"--{flag} {value} does not exist here: give one of {', '.join(known)}")
    try:  # what only the benchmark needs is an extra, and imported here
        from fastcolor.batches import BATCH
        from fastcolor.bench import measure, tables
        from fastcolor.bench import precisions as by_precision
        from fastcolor.bench import quality as by_quality
        from fastcolor.bench import scaling as by_scaling
        from fastcolor.bench import speed as by_speed
        from fastcolor.bench.workplace import workplace
    except ModuleNotFoundError as error:
        raise UserError(f"the benchmark needs {error.name}: run `pip install '{error.name}'`, or install '.[bench]'") from None

    Path(out).mkdir(parents=True, exist_ok=True)  # before hours of measuring, not after
    chosen = {"device": device, "precision": precision, "compile": compile}
    on_photos = {"data": data, "size": size, "bs": bs, "limit": limit, **chosen}
    settings = {"size": size, "bs": bs, "data": Path(data).name if data else "drawn scenes", "compile": compile}
    if scaling:
        settings = {**settings, "bs": BATCH if bs == "auto" else bs, "data": "random bytes"}
        name, result = "scaling", by_scaling.scaling(rounds, seconds, size, settings["bs"], **chosen)
    elif precisions:
        settings = {"size": SAMPLE_SIZE, "bs": BATCH, "data": "the drawn sample", "compile": False}
        name, result = "precisions", by_precision.precisions(device)
    elif quality:
        with workplace(**on_photos) as place:
            name, result = "quality", by_quality.quality(place, 60 * minutes, arch, pretrained)
    else:
        with workplace(**on_photos) as place:
            name, result = "speed", by_speed.speed(place, rounds, seconds)
    tables.write(name, {"machine": measure.machine(choose_device(device)), "settings": settings, **result}, Path(out))
