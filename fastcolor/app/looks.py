"""What the page shows of a photo: any part of it, before and after, as a JPEG of the size that the screen needs."""

from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from fastcolor.color.fullsize import recolor
from fastcolor.files import write_whole
from fastcolor.photo.read import open_photo

SMALL = 1280  # pixels on the long side of the copy that colours are tried on: colouring it takes less than 0.1 s
QUALITY = 88  # of the JPEGs
SIDES = (16, 4096)  # pixels on the long side that can be asked for


class Box(NamedTuple):
    """A part of a photo, in its own pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """Width, height."""
        return self.right - self.left, self.bottom - self.top


def keep_pixels(photo: Path, target: Path, least: int | None = None) -> tuple[int, int]:
    """Write the first page of a photo's file as an `.npy` file, sRGB uint8; gives its width and height.

    With `least`, reduced to that on the long side. Raises UnreadablePhoto.
    """
    image = open_photo(photo, least=least)
    if least:
        image.thumbnail((least, least))
    with write_whole(target) as temporary:
        np.save(temporary, np.asarray(image))
    return image.size


def pixels_in(path: Path) -> np.ndarray:
    """What `keep_pixels` wrote; only what is used of it is read."""
    return np.load(path, mmap_mode="r")


def picture(pixels: np.ndarray, shape: tuple[int, int], box: Box, side: int, colors: np.ndarray | None) -> bytes:
    """A part of a photo as a JPEG, at most `side` pixels on its long side, and not larger than `pixels` have it.

    Arguments:
      pixels (np.ndarray): The photo, or a reduced copy: sRGB `(H, W)` or `(H, W, 3)` uint8.
      shape (tuple): Width and height of the photo, which `box` refers to.
      colors (np.ndarray or None): What to colour it with: a chroma map of the whole photo, as for `recolor`; or the
        whole photo in colour, as sRGB uint8 of any size. None: it is left as it is.
    """
    part = _cut(pixels, shape, box)
    scale = min(1, side / max(part.size))
    size = tuple(max(1, round(scale * length)) for length in part.size)
    if colors is not None and colors.dtype == np.uint8:
        part = _cut(colors, shape, box)
    part = part.resize(size, Image.Resampling.BILINEAR, reducing_gap=2) if part.size != size else part
    if colors is not None and colors.dtype != np.uint8:
        part = Image.fromarray(recolor(np.asarray(part), _chroma_of(colors, shape, box, size)))
    file = BytesIO()
    part.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _cut(pixels: np.ndarray, shape: tuple[int, int], box: Box) -> Image.Image:
    (width, height), (high, wide) = shape, pixels.shape[:2]
    left, right = box.left * wide // width, -(-box.right * wide // width)
    top, bottom = box.top * high // height, -(-box.bottom * high // height)
    return Image.fromarray(np.ascontiguousarray(pixels[top:bottom, left:right]))


def _chroma_of(chroma: np.ndarray, shape: tuple[int, int], box: Box, size: tuple[int, int]) -> np.ndarray:
    """The part of a chroma map `(k, h, w)` that lies in a box, at another size."""
    across, down = chroma.shape[2] / shape[0], chroma.shape[1] / shape[1]
    part = (box.left * across, box.top * down, box.right * across, box.bottom * down)
    bilinear = Image.Resampling.BILINEAR
    return np.stack([np.asarray(Image.fromarray(plane).resize(size, bilinear, box=part)) for plane in chroma])
