"""From a photo to a coloured photo: the network paints a small picture, the photo keeps its own size and light."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from fastcolor.checkpoint import load_network
from fastcolor.color import fit_gamut, lab_to_rgb, rgb_to_lab
from fastcolor.errors import UserError
from fastcolor.files import as_rgb, open_photo
from fastcolor.spaces import SPACES

STRIP_ROWS = 256  # rows put together at a time at full resolution: fitting the gamut takes many times a strip's memory


def predict(photo: str | Path | Image.Image, weights: str | Path | None = None) -> Image.Image:
    """Colour a photo: an 8-bit RGB image of the photo's own size, with the photo's own lightness.

    `photo` is a file of any kind that `open_photo` reads, or a Pillow image. `weights` is a generator's weights file;
    by default the one that was written last below `runs/`. Raises UserError where there is none, UnreadablePhoto for
    a file that is no photo.
    """
    image = as_rgb(photo) if isinstance(photo, Image.Image) else open_photo(photo)
    generator, about = load_network(weights or newest_weights(), "generator")
    rgb = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
    return Image.fromarray(colorize(rgb, generator, about["size"]).permute(1, 2, 0).numpy())


def newest_weights(runs: str | Path = "runs") -> Path:
    """The generator's weights, of stage 1 or 4, that were written last below `runs`. Raises UserError for none."""
    found = list(Path(runs).glob("*/stage[14]_gen.safetensors"))
    if not found:
        raise UserError(f"there are no trained weights below {runs}: run `fastcolor train` here, or give weights=FILE")
    return max(found, key=lambda path: path.stat().st_mtime)


@torch.no_grad()
def colorize(rgb: Tensor, generator: nn.Module, size: int) -> Tensor:
    """Colour one photo, sRGB `(3, H, W)`, 0..1: uint8 `(3, H, W)`. Only its lightness is looked at.

    `size` is the side, in pixels, that the generator was trained with.
    """
    space = SPACES[generator.config.space]
    lightness = rgb_to_lab(rgb)[:1]
    height, width = working_size(*rgb.shape[1:], size)
    small = F.interpolate(lightness[None], (height, width), mode="bilinear", antialias=True)
    grey = lab_to_rgb(torch.cat([small, torch.zeros_like(small), torch.zeros_like(small)], dim=1))[:, :1]
    ab = space.to_lab(generator(space.inputs(grey)).float())[:, 1:]
    ab = F.interpolate(ab, lightness.shape[1:], mode="bilinear", align_corners=False)[0]
    coloured = torch.empty(rgb.shape, dtype=torch.uint8)
    for top in range(0, rgb.shape[1], STRIP_ROWS):
        rows = slice(top, top + STRIP_ROWS)
        strip = fit_gamut(torch.cat([lightness[:, rows], ab[:, rows]]))
        coloured[:, rows] = (lab_to_rgb(strip) * 255 + 0.5).to(torch.uint8)
    return coloured


def working_size(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width, in pixels, at which the network looks at a photo: the short side is `size`, as in training.

    Panoramas are squeezed to four times that: a strip of 1x5000 px must not become one of 128x640,000.
    """
    scale = size / min(height, width)
    return min(round(height * scale), 4 * size), min(round(width * scale), 4 * size)
