"""Pictures and tables that show what a training has reached."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn

from fastcolor.color.lab import lab_to_rgb, rgb_to_lab
from fastcolor.color.metrics import ab_error, colorfulness, hue_diversity, mean_hue, psnr
from fastcolor.colorize.colorizer import Colorizer
from fastcolor.data.cache import take
from fastcolor.data.photos import load_photos
from fastcolor.photo.write import save_photo
from fastcolor.runs.run import Run
from fastcolor.training.best import HeldOutJudge
from fastcolor.training.features import frechet_distance
from fastcolor.weights import weights_file

SAMPLES = 8  # held-out photos in a sample grid and in a contact sheet


def sheet(columns: dict[str, Tensor], captions: list[str] | None = None) -> Image.Image:
    """One picture of named columns of sRGB images `(N, 3, H, W)`, 0..1: a row per photo, with a caption below it."""
    count, _, height, width = next(iter(columns.values())).shape
    gap, text = 4, 14
    row = height + gap + (text if captions else 0)
    canvas = Image.new("RGB", (len(columns) * (width + gap) + gap, text + gap + count * row), "white")
    draw = ImageDraw.Draw(canvas)
    for column, (name, images) in enumerate(columns.items()):
        left = gap + column * (width + gap)
        draw.text((left, 1), name, fill="black")
        for i, image in enumerate(images):
            top = text + gap + i * row
            canvas.paste(picture_of(image), (left, top))
            if captions and column == 0:
                draw.text((left, top + height), captions[i], fill="black")
    return canvas


def save_sheet(path: Path, columns: dict[str, Tensor], captions: list[str] | None = None) -> None:
    """Write a `sheet` as a picture file."""
    save_photo(sheet(columns, captions), path)


def picture_of(image: Tensor) -> Image.Image:
    """sRGB `(3, H, W)`, 0..1, as a Pillow image."""
    return Image.fromarray((image.clamp(0, 1).permute(1, 2, 0).cpu().numpy() * 255 + 0.5).astype(np.uint8))


def sample_grid(path: Path, generator: nn.Module, space, dls, critic: nn.Module | None = None) -> None:
    """Write a PNG of the first held-out photos: grey | fake | real. A critic's verdicts, if there is one, stand below.

    The networks return to the mode, training or evaluation, that they were in.
    """
    x, real = dls.valid.first(SAMPLES)
    with torch.no_grad(), evaluating(generator, critic):
        fake = generator(x).float()
        captions = None
        if critic:
            scores = [torch.sigmoid(critic(image).float()).mean(1) for image in (fake, real)]
            captions = [f"real? fake {float(f):.0%}, real {float(r):.0%}" for f, r in zip(*scores, strict=True)]
    columns = {"grey": grey_of_lab(space.to_lab(real)), "fake": space.to_rgb(fake), "real": space.to_rgb(real)}
    save_sheet(path, columns, captions)


@contextmanager
def evaluating(*networks: nn.Module | None) -> Iterator[None]:
    """Put networks into evaluation mode until the block ends."""
    modes = [(network, network.training) for network in networks if network]
    for network, _ in modes:
        network.eval()
    yield
    for network, training in modes:
        network.train(training)


def grey_of_lab(lab: Tensor) -> Tensor:
    """The lightness of CIE Lab images `(N, 3, H, W)` as neutral grey: sRGB, 0..1, the same shape."""
    return lab_to_rgb(lab * torch.tensor([1.0, 0.0, 0.0], device=lab.device).view(3, 1, 1))


def held_out_metrics(run: Run) -> tuple[dict[str, Tensor], dict[str, dict[str, str]], str]:
    """Colour the held-out photos of a finished run, on the CPU and as `predict` does.

    Returns the images (grey, before, stage 1, GAN, real; each sRGB `(N, 3, size, size)`, 0..1), a table of metrics for
    each, and the name of the first of these photos. "before" are the weights that the run began from, if they colour.
    """
    photos = load_photos(run)
    size = run.settings.size
    spare = (photos.squares.shape[1] - size) // 2
    middle = slice(spare, spare + size)
    real = (
        take(photos.squares, photos.valid, torch.device("cpu"))[:, middle, middle, 1:].permute(0, 3, 1, 2).float() / 255
    )
    images = {"grey": grey_of_lab(rgb_to_lab(real))}
    pixels = [np.asarray((photo.permute(1, 2, 0) * 255).round().byte()) for photo in real]
    began_from = weights_file(run.folder.config["stages"]["stage1"]["pretrained"])
    weights = {"before": began_from} if began_from.is_file() else {}  # else "imagenet", "none", or it is gone
    weights |= {"stage 1": run.folder.output("stage1"), "GAN": run.folder.output("stage4")}
    for name, file in weights.items():
        colorizer = Colorizer(file, device="cpu")
        fakes = [torch.from_numpy(colorizer.pixels(photo)) for photo in pixels]
        images[name] = torch.stack(fakes).permute(0, 3, 1, 2) / 255
    images["real"] = real
    judge = HeldOutJudge(torch.device("cpu"))
    table = {name: measured(fake, real, judge) for name, fake in images.items()}
    return images, table, photos.names[photos.valid[0]]


def measured(fake: Tensor, real: Tensor, judge: HeldOutJudge) -> dict[str, str]:
    """The metrics of `fake` against `real`, sRGB `(N, 3, H, W)`, 0..1: means over the photos, as text."""
    fake_lab, real_lab = rgb_to_lab(fake), rgb_to_lab(real)
    colors = colorfulness(fake).mean()
    judged = judge(fake, real)
    found = {
        "PSNR dB": f"{psnr(fake, real).mean():.2f}",
        "ab error": f"{ab_error(fake_lab, real_lab).mean():.2f}",
        "CIEDE2000": f"{judged['ciede2000'].mean():.2f}",
        "colourfulness": f"{colors:.1f}",
        "hue diversity": f"{hue_diversity(mean_hue(fake_lab)):.2f}" if colors > 1 else "",  # grey has no hue
    }
    if judge.seen:
        found["feature distance"] = f"{judged['feature_distance'].mean():.3f}"
        found["Frechet"] = f"{frechet_distance(*judged['frechet'].unbind(1)):.3f}"
    return found


def print_table(head: list[str], rows: list[list[str]]) -> None:
    """Print a head and rows of text below it, with aligned columns."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
