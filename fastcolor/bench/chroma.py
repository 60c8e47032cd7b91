"""Which way of enlarging colours to full size is better: bilinear, or guided by the photo's edges.

In place of a network's colours stand the photo's own, reduced to what a network gives (a quarter of its working size)
and spoilt in the ways of networks. So only the enlarging is measured, over all pixels and near hard edges.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fastcolor.color.cie import lightness_of
from fastcolor.color.fullsize import recolor, small_grey
from fastcolor.color.lab import rgb_to_lab
from fastcolor.color.metrics import ciede2000_map
from fastcolor.colorize.colorizer import working_size
from fastcolor.colorize.guided import guided
from fastcolor.photo.read import open_photo
from fastcolor.scenes.landscapes import draw_scene

SCENES, SCENE_SIDE = 12, 576  # drawn where no photos are given
REDUCED = 4.5  # times that the photo is larger than the network's working size: 576 px to 128
STRIDE = 4  # working pixels for one of the network's colours, UNetConfig's
EDGE = 12.0  # a step of L from one pixel to the next that makes a hard edge
NEAR = 3  # pixels on each side of an edge that count as near
SPOILT = {"as they are": (0, 0), "blurred": (1, 0), "drifted by 2 px": (0, 2)}  # blur: network's pixels; drift: working


def chroma(photos: list[Path], limit: int) -> dict:
    """Mean CIEDE2000 of both ways, over all pixels and over those near hard edges, for each kind of colours."""
    images = [open_photo(photo) for photo in photos[:limit]]
    images = images or [draw_scene(i, SCENE_SIDE) for i in range(min(SCENES, limit))]
    errors = {}
    for image in images:
        pixels = np.asarray(image)
        real = _lab(pixels)
        edges = _near_edges(real[:, :1])
        size = max(round(min(image.size) / REDUCED), 2 * STRIDE)
        height, width = working_size(*pixels.shape[:2], size)
        small = F.interpolate(real[:, 1:], (max(height // STRIDE, 1), max(width // STRIDE, 1)), mode="area")
        light = lightness_of(small_grey(pixels, height, width))[None, None]
        for kind, (radius, drift) in SPOILT.items():
            spoilt = F.avg_pool2d(F.pad(small, [radius] * 4, mode="replicate"), 2 * radius + 1, stride=1)
            ab = F.interpolate(spoilt, (height, width), mode="bilinear").roll((drift, drift), (2, 3))
            for way, planes in (("bilinear", ab.numpy()), ("guided", guided(light, ab.numpy()))):
                error = ciede2000_map(_lab(recolor(pixels, planes[0])), real)[0]
                errors.setdefault((kind, way, "all"), []).append(error.mean().item())
                if edges.any():
                    errors.setdefault((kind, way, "edges"), []).append(error[edges].mean().item())
    rows = [
        {"kind": kind, "way": way, "where": where, "ciede2000": float(np.mean(each))}
        for (kind, way, where), each in errors.items()
    ]
    return {"rows": rows, "photos": len(images)}


def _lab(pixels: np.ndarray) -> Tensor:
    return rgb_to_lab(torch.from_numpy(pixels.copy()).permute(2, 0, 1))[None]


def _near_edges(lightness: Tensor) -> Tensor:
    """Where in L `(1, 1, H, W)` a hard edge is near: `(H, W)`."""
    step = torch.zeros_like(lightness)
    step[..., :-1, :] = lightness.diff(dim=2).abs()
    step[..., :-1] = torch.maximum(step[..., :-1], lightness.diff(dim=3).abs())
    return F.max_pool2d(step, 2 * NEAR + 1, stride=1, padding=NEAR)[0, 0] > EDGE
