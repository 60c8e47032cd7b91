"""Scenes as a painter of soft light might paint them: the other side of the sample set for CycleGAN."""

import numpy as np
from PIL import Image, ImageFilter

from fastcolor.scenes.landscapes import draw_scene

SHADOW, LIGHT = np.array([112.0, 98.0, 158.0]), np.array([250.0, 236.0, 204.0])  # lilac and cream, 8-bit sRGB
VEIL = 0.55  # share of these two; the rest is the scene's own colours


def draw_painting(seed: int, size: int = 128) -> Image.Image:
    """The painting of a seed's scene, RGB, `size` x `size` pixels: soft dabs of one colour each, in pastel."""
    photo = draw_scene(seed, size)
    dabs = photo.filter(ImageFilter.ModeFilter(max(3, size // 24 | 1))).filter(ImageFilter.GaussianBlur(size / 160))
    light = np.asarray(dabs.convert("L"), float)[..., None] / 255
    painted = (1 - VEIL) * np.asarray(dabs, float) + VEIL * (SHADOW + (LIGHT - SHADOW) * light)
    return Image.fromarray((painted + 0.5).clip(0, 255).astype(np.uint8))
