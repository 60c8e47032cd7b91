"""Measure: fastcolor against stock fastai, scaling, quality against time, bf16 against fp32; colouring photos.

    fastcolor bench                     # speed: both pipelines in turn, on drawn scenes
    fastcolor bench --data PHOTOS       # on your own photos
    fastcolor bench --scaling           # photos/s against photo size, batch size and number of photos
    fastcolor bench --quality           # PSNR and LPIPS against seconds of training
    fastcolor bench --transfer --data PHOTOS --limit 300  # what pretraining brings to a small folder
    fastcolor bench --precisions        # the sample run in fp32 and bf16, three seeds each
    fastcolor bench --inference         # seconds and memory of colouring photos of 1 to 100 megapixels
    fastcolor bench --chroma            # bilinear against guided, on hard edges

Each writes `NAME.json` (all figures, date, machine, versions) and `NAME.md`, the table that the README shows.
"""

from pathlib import Path

from fastcolor.device import choose_device
from fastcolor.errors import UserError
from fastcolor.photo.folders import find_photos
from fastcolor.runs.run import SAMPLE_SIZE
from fastcolor.runs.settings import at_least, read_batch_size

ARCHS = ("resnet18", "resnet34", "resnet50")


def main(
    data: str | None = None,  # folder of colour photos (default: drawn scenes; --scaling and --precisions make their own)
    out: str = "bench",  # folder for the figures
    scaling: bool = False,  # measure photos/s against photo size, batch size and number of photos instead
    quality: bool = False,  # measure PSNR and LPIPS against seconds of training instead
    transfer: bool = False,  # measure what a small folder gains from `--pretrained` none, imagenet and bundled instead
    precisions: bool = False,  # measure what fp32 and bf16 reach on the sample set instead
    inference: bool = False,  # measure seconds and memory of colouring photos of 1 to 100 megapixels instead
    chroma: bool = False,  # measure which way of bringing colours to full size is better instead
    weights: str | None = None,  # a generator's weights for --inference (default: those that ship)
    size: int = 128,  # side of the training squares in pixels
    bs: str = "32",  # photos per batch; auto: for speed, fastcolor takes what a GPU can use, stock 32
    rounds: int = 3,  # of alternated measurements
    seconds: float = 20.0,  # of each measurement
    minutes: float = 10.0,  # of training for each (--quality, --transfer)
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
    if scaling + quality + transfer + precisions + inference + chroma > 1:
        raise UserError("--scaling, --quality and the like are measured one at a time: give one of them")
    for flag, value, known in (("pretrained", pretrained, ("none", "imagenet")), ("arch", arch, ARCHS)):
        if value not in known:
            raise UserError(f"--{flag} {value} does not exist here: give one of {', '.join(known)}")
    try:  # what only the benchmark needs is an extra, and imported here
        from fastcolor.bench import chroma as by_chroma
        from fastcolor.bench import inference as by_inference
        from fastcolor.bench import measure, tables
        from fastcolor.bench import precisions as by_precision
        from fastcolor.bench import quality as by_quality
        from fastcolor.bench import scaling as by_scaling
        from fastcolor.bench import speed as by_speed
        from fastcolor.bench.workplace import workplace
        from fastcolor.data.batches import BATCH
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
        name, result = "precisions", by_precision.precisions(device, pretrained="none", critic_epochs=30)
    elif transfer:
        with workplace(**on_photos) as place:
            name, result = "transfer", by_quality.transfer(place.run, place.photos, place.bs, 60 * minutes)
    elif inference:
        settings = {"weights": weights and Path(weights).name}
        name, result = "inference", by_inference.inference(rounds, weights)
    elif chroma:
        photos = [Path(data, photo) for photo in find_photos(data)] if data else []
        name, result = "chroma", by_chroma.chroma(photos, limit or len(photos) or by_chroma.SCENES)
    elif quality:
        with workplace(**on_photos) as place:
            name, result = "quality", by_quality.quality(place, 60 * minutes, arch, pretrained)
    else:
        with workplace(**on_photos) as place:
            name, result = "speed", by_speed.speed(place, rounds, seconds)
    tables.write(name, {"machine": measure.machine(choose_device(device)), "settings": settings, **result}, Path(out))
