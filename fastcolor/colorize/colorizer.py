"""From a photo to a coloured photo: the network paints a small picture, the photo keeps its own size and light.

Everything that colours photos goes through `Colorizer`. It needs torch, Pillow and numpy, but not fastai.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from fastcolor.color.fullsize import recolor, small_grey
from fastcolor.color.lab import lightness_of
from fastcolor.color.spaces import SPACES
from fastcolor.colorize.onnx import _load_onnx
from fastcolor.colorize.tiles import translated
from fastcolor.device import choose_device
from fastcolor.errors import UserError
from fastcolor.networks.checkpoint import load_network
from fastcolor.photo.read import as_rgb, open_photo
from fastcolor.weights import BUNDLED

CHROMA = {"auto": "bilinear", "bilinear": "bilinear", "guided": "guided"}
BATCH = 16  # small pictures that the network sees at once in `Colorizer.batch`


def predict(photo: str | Path | Image.Image, weights: str | Path | None = None, **options) -> Image.Image:
    """Colour one photo: `Colorizer(weights, **options)(photo)`."""
    return Colorizer(weights, **options)(photo)


class Colorizer:
    """Colours photos with one network, loaded once. May be called from several threads.

    Weights of CycleGAN, whose file says that light is not kept, translate photos as they are, colours and light alike.

    `weights` is a generator's `.safetensors` file, or the `.onnx` file of `fastcolor export`; None: those that ship.
    `size` is the short side, in pixels, at which the network sees a photo (default: what the weights' file says; where
    light is not kept, the photo's own; not below 32). `strength` 1 takes the network's colours, 0 leaves the photo as it is, values between mix the two. `chroma`
    brings colours up to full size: bilinear, guided (they follow the photo's edges: fast guided filter, He and Sun 2015),
    or auto, the one that was measured better. `device` is auto, cpu, cuda or mps. Raises UserError for weights that can't
    be used and for options that don't exist.
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        *,
        size: int | None = None,
        strength: float = 1.0,
        chroma: str = "auto",
        device: str = "auto",
    ):
        if chroma not in CHROMA:
            raise UserError(f"chroma {chroma!r} does not exist: give one of {', '.join(CHROMA)}")
        if not 0 <= strength <= 1:
            raise UserError(f"strength {strength} makes no sense: give 0 (the photo as it is) to 1 (the network's colours)")
        if size is not None and size < 32:
            raise UserError(f"size {size} makes no sense: give at least 32 pixels")
        weights = Path(weights or BUNDLED)
        load = _load_onnx if weights.suffix.lower() == ".onnx" else _load_torch
        self._network, about = load(weights, device)
        self._weights = weights
        self.keeps_light = about.get("keeps_light", True)
        self.size = size or (about["size"] if self.keeps_light else None)
        self.strength, self.chroma = strength, CHROMA[chroma]

    def __call__(self, photo: str | Path | Image.Image) -> Image.Image:
        """Colour a file of any kind that `open_photo` reads, or a Pillow image: 8-bit RGB, upright, of its own size.

        Raises UnreadablePhoto for a file that is no photo.
        """
        return self.batch([photo])[0]

    def batch(self, photos: Iterable[str | Path | Image.Image]) -> list[Image.Image]:
        """Colour several photos: those that are of one size for the network go through it together."""
        images = [as_rgb(photo) if isinstance(photo, Image.Image) else open_photo(photo) for photo in photos]
        return [Image.fromarray(pixels) for pixels in self._colored([np.asarray(image) for image in images])]

    def pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Colour sRGB `(H, W)` or `(H, W, 3)`, uint8 or uint16: `(H, W, 3)` of the same dtype. Only its light is looked at,
        where light is kept."""
        return self._colored([pixels])[0]

    def _paint(self, picture: Tensor) -> Tensor:
        """What the network makes of a picture. Raises UserError for what are no numbers: finite weights can lead to them."""
        painted = self._network(picture)
        if not painted.isfinite().all():
            raise UserError(f"{self._weights} paints no colours, its numbers become too large: give other weights")
        return painted

    def _colored(self, photos: list[np.ndarray]) -> list[np.ndarray]:
        if not self.keeps_light:
            return [translated(each, self._paint, self.size, self.strength) for each in photos]
        greys = [torch.from_numpy(small_grey(each, *working_size(*each.shape[:2], self.size)))[None] for each in photos]
        alike = defaultdict(list)
        for i, grey in enumerate(greys):
            alike[grey.shape].append(i)
        for rows in alike.values():
            for part in (rows[k : k + BATCH] for k in range(0, len(rows), BATCH)):
                grey = torch.stack([greys[i] for i in part])
                ab = self._paint(grey)
                maps = guided(lightness_of(grey), ab) if self.chroma == "guided" else ab
                for i, one in zip(part, maps.numpy(), strict=True):
                    photos[i] = recolor(photos[i], one, self.strength)
        return photos


def working_size(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width, in pixels, at which the network looks at a photo: the short side is `size`, as in training.

    Panoramas are squeezed to four times that: a strip of 1x5000 px must not become one of 128x640,000.
    """
    scale = size / min(height, width)
    return min(round(height * scale), 4 * size), min(round(width * scale), 4 * size)


RADIUS, EDGE = 4, 4.0  # of `guided`: pixels at working size, as chroma comes from 1/4 of it; units of L that count as an edge


def guided(lightness: Tensor, ab: Tensor) -> Tensor:
    """a and b as linear functions of L around each place, so that colours end where the light does.

    From L `(N, 1, h, w)` and ab `(N, 2, h, w)` at working size, slopes and offsets `(N, 4, h, w)` for `recolor`: the fast
    guided filter (He and Sun 2015, algorithm 2).
    """

    def mean(image: Tensor) -> Tensor:
        return F.avg_pool2d(image, 2 * RADIUS + 1, stride=1, padding=RADIUS, count_include_pad=False)

    light, color = mean(lightness), mean(ab)
    covariance = mean(lightness * ab) - light * color
    slope = covariance / (mean(lightness.square()) - light.square() + EDGE**2)
    return torch.cat([mean(slope), mean(color - slope * light)], dim=1)


def _load_torch(weights: Path, device: str) -> tuple[Callable[[Tensor], Tensor], dict]:
    """The painter of a weights file, and what the file says of itself.

    Painters make ab `(N, 2, h, w)` float of grey `(N, 1, h, w)` uint8; where light is not kept, sRGB `(N, 3, h, w)`, float
    0..1, of the same.
    """
    network, about = load_network(weights, "generator")
    chosen, space = choose_device(device), SPACES[network.config.space]
    network.to(chosen, memory_format=torch.channels_last)

    @torch.inference_mode()
    def paint(grey: Tensor) -> Tensor:
        return space.to_lab(network(space.inputs(grey.to(chosen))).float())[:, 1:].cpu()

    @torch.inference_mode()
    def translate(rgb: Tensor) -> Tensor:
        rgb = rgb.to(chosen)
        return space.to_rgb(network(space.image(rgb[:, :1], rgb)).float()).cpu()

    return paint if about.get("keeps_light", True) else translate, about
