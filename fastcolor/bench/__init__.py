"""Benchmarks: fastcolor against stock fastai, scaling, quality against time, bf16 against fp32, colouring photos.

    fastcolor bench                     # speed: both pipelines in turn, on drawn scenes
    fastcolor bench --data PHOTOS       # on your own photos
    fastcolor bench --recipes           # pix2pix and CycleGAN: steps beside the most used public implementation's
    fastcolor bench --scaling           # photos/s against photo size, batch size and number of photos
    fastcolor bench --quality           # PSNR and LPIPS against seconds of training
    fastcolor bench --transfer --data PHOTOS --limit 300  # what pretraining gains on a small folder
    fastcolor bench --precisions        # the sample run in fp32 and bf16, three seeds each
    fastcolor bench --inference         # seconds and memory of colouring photos of 1 to 100 megapixels
    fastcolor bench --chroma            # bilinear against guided, on hard edges
    fastcolor bench --processes 1,2     # photos/s of training by several processes, and what of it is talk

Each writes `NAME.json` (all figures, date, machine, versions) and `NAME.md`, the table that nbs/bench/README.md shows.

- `speed`, `scaling`, `quality` (with transfer), `precisions`, `inference`, `chroma`, `processes`: a benchmark each
- `recipes`: the steps of recipes, against `reference`, the most used public implementation
- `stock`: fastai's own pipeline, to compare with
- `workplace`: the photos in the form that each pipeline needs
- `measure`: clock, memory, machine
- `tables`: figures as Markdown and plots
"""

from pathlib import Path
from typing import NamedTuple

from fastcolor.device import Machine, choose_device
from fastcolor.errors import UserError
from fastcolor.flags import at_least, one_of, power_of_two, read_batch_size
from fastcolor.photo.folders import find_photos
from fastcolor.runs.settings import SAMPLE_SIZE


def main(
    data: str | None = None,  # folder of colour photos (default: drawn scenes; some benchmarks make their own photos)
    out: str = "bench",  # folder for the results
    recipes: bool = False,  # measure the steps of pix2pix and CycleGAN instead
    scaling: bool = False,  # measure photos/s against photo size, batch size and number of photos instead
    quality: bool = False,  # measure PSNR and LPIPS against seconds of training instead
    transfer: bool = False,  # measure what the pretrained weights none, imagenet and lean reach on `data` instead
    precisions: bool = False,  # measure what fp32 and bf16 reach on the sample set instead
    inference: bool = False,  # measure seconds and memory of colouring photos of 1 to 100 megapixels instead
    chroma: bool = False,  # measure which way of enlarging colours to full size is better instead
    processes: str | None = None,  # measure training by so many processes instead, as torchrun begins them: 1,2
    weights: str | None = None,  # a generator's weights for --inference (default: the bundled ones)
    size: int = 128,  # side of the training squares in pixels
    bs: str = "32",  # photos per batch; auto: for speed, fastcolor uses what a GPU can take, and stock 32
    rounds: int = 3,  # how often each measurement is repeated, in turn with the others
    seconds: float = 20.0,  # length of each measurement
    minutes: float = 10.0,  # length of each training (--quality, --transfer)
    arch: str = "resnet34",  # the stock network's encoder (--quality)
    pretrained: str = "none",  # first weights of both networks: none or imagenet (--quality)
    limit: int | None = None,  # use at most this many photos
    device: str = "auto",  # auto, cpu, cuda or mps
    precision: str = "auto",  # fastcolor's precision: auto, fp32 or bf16
    compile: bool = False,  # compile fastcolor's networks
):
    """Measure how fast training is, and what it reaches, compared with fastai's own pipeline."""
    at_least(1, rounds=rounds)
    at_least(0.1, seconds=seconds, minutes=minutes)
    at_least(64, size=size)  # the smallest that fastai's gan_critic takes
    bs = read_batch_size(bs)
    one_of("pretrained", pretrained, ("none", "imagenet"))
    one_of("arch", arch, ("resnet18", "resnet34", "resnet50"))
    counts = None if processes is None else _read_counts(processes)
    kinds = {
        "recipes": recipes,
        "scaling": scaling,
        "quality": quality,
        "transfer": transfer,
        "precisions": precisions,
        "inference": inference,
        "chroma": chroma,
        "processes": processes,
    }
    asked = [name for name, is_asked in kinds.items() if is_asked]
    if len(asked) > 1:
        raise UserError(f"--{asked[0]} and --{asked[1]} can't be used together: give one of them")
    try:  # imported here: what only the benchmark needs is an optional extra
        from fastcolor.bench import measure, tables
    except ModuleNotFoundError as error:
        raise UserError(
            f"the benchmark needs {error.name}: run `pip install '{error.name}'`, or install '.[bench]'"
        ) from None

    Path(out).mkdir(parents=True, exist_ok=True)  # before hours of measuring, not after
    name = asked[0] if asked else "speed"
    chosen = {"device": device, "precision": precision, "compile": compile}
    lengths = Lengths(rounds, seconds, 60 * minutes)
    settings, result = _measured(name, data, weights, size, bs, limit, lengths, arch, pretrained, chosen, counts)
    tables.write(name, {"machine": measure.machine(choose_device(device)), "settings": settings, **result}, Path(out))


def _read_counts(text: str) -> list[int]:
    """The numbers of processes that `--processes` names: "1,2". Raises UserError for other text."""
    words = text.split(",")
    if not all(word.isdigit() and int(word) for word in words):
        raise UserError(f"--processes must be numbers of processes with commas between, not {text}")
    return [int(word) for word in words]


class Lengths(NamedTuple):
    """How long to measure: the number of rounds, the seconds of each measurement, and the seconds of a training."""

    rounds: int
    seconds: float
    training: float


def _measured(
    name: str, data: str | None, weights: str | None, size: int, bs: int | str | None, limit: int | None,
    lengths: Lengths, arch: str, pretrained: str, chosen: dict, counts: list[int] | None,
) -> tuple[dict, dict]:  # fmt: skip
    """The settings and the result of the benchmark `name`; `chosen` are device, precision and compile."""
    from fastcolor.bench import chroma, inference, precisions, processes, quality, recipes, scaling, speed
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
    if name == "processes":
        settings |= {"bs": BATCH if bs == "auto" else bs, "data": "random bytes"}
        asked = {"size": size, "bs": settings["bs"], **chosen}
        return settings, processes.several(counts, lengths.rounds, lengths.seconds, **asked)
    if name == "precisions":
        settings = {"size": SAMPLE_SIZE, "bs": BATCH, "data": "the drawn sample", "compile": False}
        return settings, precisions.precisions(chosen["device"], pretrained="none", critic_epochs=30)
    if name == "inference":
        return {"weights": weights and Path(weights).name}, inference.inference(lengths.rounds, weights)
    if name == "recipes":
        power_of_two(size, 64, 256)
        return {"size": size}, recipes.recipes(lengths.rounds, lengths.seconds, size, Machine.choose(**chosen))
    if name == "chroma":
        photos = [Path(data, photo) for photo in find_photos(data)] if data else []
        return settings, chroma.chroma(photos, limit or len(photos) or chroma.SCENES)
    with workplace(data=data, size=size, bs=bs, limit=limit, **chosen) as place:
        if name == "transfer":
            return settings, quality.transfer(place.run, place.photos, place.bs, lengths.training)
        if name == "quality":
            return settings, quality.quality(place, lengths.training, arch, pretrained)
        return settings, speed.speed(place, lengths.rounds, lengths.seconds)
