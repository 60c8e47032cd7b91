"""From a photo to a coloured photo: the network colours a small picture, the photo keeps its own size and light.

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
from fastcolor.colorize.onnx import load_onnx
from fastcolor.colorize.options import check_options
from fastcolor.colorize.record import mark_of, weights_of
from fastcolor.colorize.tiles import translated
from fastcolor.device import choose_device
from fastcolor.errors import UserError
from fastcolor.networks.checkpoint import load_network
from fastcolor.networks.painter import Painter
from fastcolor.photo.metadata import told_of_result
from fastcolor.photo.read import as_rgb, open_photo
from fastcolor.weights import BUNDLED

CHROMA = {"auto": "bilinear", "bilinear": "bilinear", "guided": "guided"}
BATCH = 16  # small pictures that the network sees at once in `Colorizer.batch`


def predict(
    photo: str | Path | Image.Image,
    weights: str | Path | None = None,
    *,
    size: int | None = None,
    strength: float = 1.0,
    chroma: str = "auto",
    device: str = "auto",
) -> Image.Image:
    """Colour one photo. For several, make one `Colorizer` and call that: it loads the network only once.

    Arguments:
      photo (str, Path or PIL.Image.Image): A photo's file, of any kind that `fastcolor colorize` reads, or an image of
        any mode.
      weights, size, strength, chroma, device: See `Colorizer`.

    Returns:
      (PIL.Image.Image): The coloured photo, 8-bit RGB (sRGB), upright, in the photo's own size. Its `info` holds EXIF,
        resolution and XMP (with the mark that a machine coloured it): `picture.save(path, **picture.info)` keeps them,
        XMP as JPEG and WebP.

    Raises:
      UnreadablePhoto: The file is missing, broken, or not a photo.
      UserError: The weights can't be used, or an option has a value that does not exist.
    """
    colorizer = Colorizer(weights, size=size, strength=strength, chroma=chroma, device=device)
    return colorizer(photo)


class Colorizer:
    """Colours photos with one network, which is loaded once. Several threads may call it at the same time.

    The network sees a photo's lightness, reduced, and gives its colours; the photo keeps its own lightness and size.
    CycleGAN's weights are different (`keeps_light` is False): they see the photo's colours and change its light too.

    Arguments:
      weights (str, Path or None): A generator's `.safetensors` file that a stage or a recipe wrote, or the `.onnx` file
        that `fastcolor export` wrote. Default None: the weights that come with fastcolor.
      size (int or None): The photo's short side, in pixels, as the network sees it, 32 or more. Default None: the size
        that the network was trained at; where `keeps_light` is False, the photo's own.
      strength (float): 0 to 1. 0 leaves the photo as it is, 1 takes the network's colours, what is between mixes the
        two. Default 1.
      chroma (str): How colours are enlarged to the photo's size: "bilinear", "guided" (they follow the photo's edges:
        fast guided filter, He and Sun 2015), or "auto", the one that was measured to be better. Default "auto".
      device (str): "cpu", "cuda", "mps", or "auto", the first of cuda, mps and cpu that there is. Default "auto".
        `.onnx` files always run on the CPU.

    Attributes:
      keeps_light (bool): Whether the photo's own lightness stays.
      size, strength: The defaults of each call. `size` is None where a photo is seen at its own size.

    Raises:
      UserError: The weights can't be used, or an option has a value that does not exist.
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
            raise UserError(f"chroma {chroma!r} is unknown: choose {', '.join(CHROMA)}")
        check_options(size, strength)
        weights = Path(weights or BUNDLED)
        load = load_onnx if weights.suffix.lower() == ".onnx" else _load_torch
        self._network, about = load(weights, device)
        self._weights, self._mark = weights, mark_of(weights_of(weights))
        self.keeps_light = about.get("keeps_light", True)
        self.size = size or (about["size"] if self.keeps_light else None)
        self.strength, self.chroma = strength, CHROMA[chroma]

    def __call__(
        self, photo: str | Path | Image.Image, *, size: int | None = None, strength: float | None = None
    ) -> Image.Image:
        """Colour one photo.

        Arguments:
          photo (str, Path or PIL.Image.Image): A photo's file, of any kind that `open_photo` reads, or an image of any
            mode.
          size (int or None): As for the class, for this call alone. Default None: the Colorizer's own.
          strength (float or None): Likewise.

        Returns:
          (PIL.Image.Image): The coloured photo, 8-bit RGB (sRGB), upright, in the photo's own size.

        Raises:
          UnreadablePhoto: The file is missing, broken, or not a photo.
          UserError: `size` or `strength` is out of range, or the network gives no colours.
        """
        return self.batch([photo], size=size, strength=strength)[0]

    def batch(
        self,
        photos: Iterable[str | Path | Image.Image],
        *,
        size: int | None = None,
        strength: float | None = None,
    ) -> list[Image.Image]:
        """Colour several photos, faster than one by one: photos of the same shape go through the network together.

        Arguments:
          photos (iterable): Photos as in `__call__`. All are in memory at the same time.
          size, strength: As in `__call__`, for all of them.

        Returns:
          (list of PIL.Image.Image): The coloured photos, in the same order; each as in `__call__`.

        Raises:
          UnreadablePhoto, UserError: As in `__call__`. Nothing is returned then.
        """
        images = [as_rgb(photo) if isinstance(photo, Image.Image) else open_photo(photo) for photo in photos]
        colored = self._colored([np.asarray(image) for image in images], size, strength)
        results = [Image.fromarray(pixels) for pixels in colored]
        for image, result in zip(images, results, strict=True):
            result.info = told_of_result(image.info, image.size, self._mark)
        return results

    def pixels(self, pixels: np.ndarray, *, size: int | None = None, strength: float | None = None) -> np.ndarray:
        """Colour one photo that is an array, at 8 or 16 bits.

        Arguments:
          pixels (np.ndarray): sRGB, `(H, W)` or `(H, W, 3)`, uint8 (0..255) or uint16 (0..65535). Of colours only the
            lightness is used, where `keeps_light` is True.
          size, strength: As in `__call__`.

        Returns:
          (np.ndarray): sRGB, `(H, W, 3)`, of the same dtype.

        Raises:
          UserError: As in `__call__`.
        """
        return self._colored([pixels], size, strength)[0]

    def _paint(self, picture: Tensor) -> Tensor:
        """What the network makes of a picture. Raises UserError for NaN and infinity, which finite weights can give."""
        painted = self._network(picture)
        if not painted.isfinite().all():
            raise UserError(f"{self._weights} gives no colours, its numbers become too large: use other weights")
        return painted

    def _colored(self, photos: list[np.ndarray], size: int | None, strength: float | None) -> list[np.ndarray]:
        size = self.size if size is None else size
        strength = self.strength if strength is None else strength
        check_options(size, strength)
        if not self.keeps_light:
            return [translated(each, self._paint, size, strength) for each in photos]
        greys = [torch.from_numpy(small_grey(each, *working_size(*each.shape[:2], size)))[None] for each in photos]
        alike = defaultdict(list)
        for i, grey in enumerate(greys):
            alike[grey.shape].append(i)
        for rows in alike.values():
            for part in (rows[k : k + BATCH] for k in range(0, len(rows), BATCH)):
                grey = torch.stack([greys[i] for i in part])
                ab = self._paint(grey)
                maps = guided(lightness_of(grey), ab) if self.chroma == "guided" else ab
                for i, one in zip(part, maps.numpy(), strict=True):
                    photos[i] = recolor(photos[i], one, strength)
        return photos


def working_size(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width, in pixels, at which the network looks at a photo: the short side is `size`, as in training.

    Panoramas are squeezed to four times that: a strip of 1x5000 px must not become one of 128x640,000.
    """
    scale = size / min(height, width)
    return min(round(height * scale), 4 * size), min(round(width * scale), 4 * size)


RADIUS = 4  # of `guided`, in pixels at working size: the network's colours come at 1/4 of that
EDGE = 4.0  # units of L that count as an edge


def guided(lightness: Tensor, ab: Tensor) -> Tensor:
    """a and b as linear functions of L around each place, so that colours end where the light does.

    From L `(N, 1, h, w)` and ab `(N, 2, h, w)` at working size, slopes and offsets `(N, 4, h, w)` for `recolor`: the
    fast guided filter (He and Sun 2015, algorithm 2).
    """

    def mean(image: Tensor) -> Tensor:
        return F.avg_pool2d(image, 2 * RADIUS + 1, stride=1, padding=RADIUS, count_include_pad=False)

    light, color = mean(lightness), mean(ab)
    covariance = mean(lightness * ab) - light * color
    slope = covariance / (mean(lightness.square()) - light.square() + EDGE**2)
    return torch.cat([mean(slope), mean(color - slope * light)], dim=1)


def _load_torch(weights: Path, device: str) -> tuple[Callable[[Tensor], Tensor], dict]:
    """What runs the network of a weights file, and what the file says of itself.

    It takes grey `(N, 1, h, w)` uint8 and gives ab `(N, 2, h, w)` float. Where light is not kept, it takes and gives
    sRGB `(N, 3, h, w)`, float 0..1.
    """
    network, about = load_network(weights, "generator")
    chosen = choose_device(device)
    painter = Painter(network.to(chosen, memory_format=torch.channels_last))
    run = painter.ab if about.get("keeps_light", True) else painter.translated

    @torch.inference_mode()
    def paint(picture: Tensor) -> Tensor:
        return run(picture.to(chosen)).cpu()

    return paint, about
