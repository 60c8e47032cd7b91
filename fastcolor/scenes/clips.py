"""Drawn film clips: a camera that moves over a scene."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from fastcolor.scenes.landscapes import draw_scene

AROUND = 1.6  # the scene's side, of which the camera shows 1


def camera(seed: int, count: int) -> np.ndarray:
    """What a clip's camera sees of its scene, frame by frame: left, top and side `(count, 3)`, in sides of a frame."""
    rng = np.random.default_rng(seed)
    ends = rng.uniform(0, 1, (2, 2))
    sides = rng.uniform(0.8, 1.2, 2)
    along = np.linspace(0, 1, count)[:, None]
    side = sides[0] + (sides[1] - sides[0]) * along
    return np.hstack([(ends[0] + (ends[1] - ends[0]) * along) * (AROUND - side), side])


def draw_clip(seed: int, count: int, size: int = 128) -> Iterator[Image.Image]:
    """The frames of a clip, RGB, `size` x `size` pixels: the seed's scene, seen by a camera that moves and zooms."""
    scene = draw_scene(seed, round(AROUND * size))
    for left, top, side in camera(seed, count) * size:
        box = (left, top, left + side, top + side)
        yield scene.resize((size, size), Image.Resampling.BICUBIC, box)
