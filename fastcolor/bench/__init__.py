"""Measure: fastcolor against stock fastai, scaling, quality against time, bf16 against fp32; colouring photos.

    fastcolor bench                     # speed: both pipelines in turn, on drawn scenes
    fastcolor bench --data PHOTOS       # on your own photos
    fastcolor bench --scaling           # photos/s against photo size, batch size and number of photos
    fastcolor bench --quality           # PSNR and LPIPS against seconds of training
    fastcolor bench --transfer --data PHOTOS --limit 300  # what pretraining brings to a small folder
    fastcolor bench --precisions        # the sample run in fp32 and bf16, three seeds each
    fastcolor bench --inference         # seconds and memory of colouring photos of 1 to 100 megapixels
    fastcolor bench --chroma            # bilinear against guided, on hard edges

Each writes `NAME.json` (all figures, date, machine, versions) and `NAME.md`, the table that nbs/bench/README.md shows.
"""

from pathlib import Path
from typing import NamedTuple

from fastcolor.device import choose_device
from fastcolor.errors import UserError
from fastcolor.flags import at_least, one_of, read_batch_size
from fastcolor.photo.folders import find_photos
from fastcolor.runs.settings import SAMPLE_SIZE


def main(
    data: str
    | None = None,  # folder of colour photos (default: drawn scenes; --scaling and --precisions make their own)
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
    one_of("pretrained", pretrained, ("none", "imagenet"))
    one_of("arch", arch, ("resnet18", "resnet34", "resnet50"))
    kinds = {
        "scaling": scaling,
        "quality": quality,
        "transfer": transfer,
        "precisions": precisions,
        "inference": inference,
    }
    asked = [name for name, is_asked in {**kinds, "chroma": chroma}.items() if is_asked]
    if len(asked) > 1:
        raise UserError(f"--{asked[0]} and --{asked[1]} can't be measured at once: give one of them")
    try:  # what only the benchmark needs is an extra, and imported here
        from fastcolor.bench import measure, tables
    except ModuleNotFoundError as error:
        raise UserError(
            f"the benchmark needs {error.name}: run `pip install '{error.name}'`, or install '.[bench]'"
        ) from None

    Path(out).mkdir(parents=True, exist_ok=True)  # before hours of measuring, not after
    name = asked[0] if asked else "speed"
    chosen = {"device": device, "precision": precision, "compile": compile}
    lengths = Lengths(rounds, seconds, 60 * minutes)
    settings, result = _measured(name, data, weights, size, bs, limit, lengths, arch, pretrained, chosen)
    tables.write(name, {"machine": measure.machine(choose_device(device)), "settings": settings, **result}, Path(out))


class Lengths(NamedTuple):
    """How long is measured: rounds, the seconds of each, and the seconds of a training."""

    rounds: int
    seconds: float
    training: float


def _measured(
    name: str, data: str | None, weights: str | None, size: int, bs: int | str | None, limit: int | None, lengths: Lengths,
    arch: str, pretrained: str, chosen: dict,
) -> tuple[dict, dict]:  # fmt: skip
    """The settings and the result of one benchmark; `chosen` are device, precision, compile."""
    from fastcolor.bench import chroma, inference, precisions, quality, scaling, speed
    from fastcolor.bench.workplace import workplace
    from fastcolor.data.batches import BATCH

    settings = {
        "size": size,
        "bs": bs,
        "data": Path(data).name if data else "drawn scenes",
        "compile": chosen["compile"],
    }
    if name == "scaling":
        settings |= {"bs": BATCH if bs == "auto" else bs, "data": "random bytes"}
        return settings, scaling.scaling(lengths.rounds, lengths.seconds, size, settings["bs"], **chosen)
    if name == "precisions":
        settings = {"size": SAMPLE_SIZE, "bs": BATCH, "data": "the drawn sample", "compile": False}
        return settings, precisions.precisions(chosen["device"], pretrained="none", critic_epochs=30)
    if name == "inference":
        return {"weights": weights and Path(weights).name}, inference.inference(lengths.rounds, weights)
    if name == "chroma":
        photos = [Path(data, photo) for photo in find_photos(data)] if data else []
        return settings, chroma.chroma(photos, limit or len(photos) or chroma.SCENES)
    with workplace(data=data, size=size, bs=bs, limit=limit, **chosen) as place:
        if name == "transfer":
            return settings, quality.transfer(place.run, place.photos, place.bs, lengths.training)
        if name == "quality":
            return settings, quality.quality(place, lengths.training, arch, pretrained)
        return settings, speed.speed(place, lengths.rounds, lengths.seconds)
