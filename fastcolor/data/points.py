"""Points of colour for a network that listens, drawn as a user might set them.

As in Zhang et al. 2017 ("SIGGRAPH17", section 3.1); the numbers are those of their training code (colorization-pytorch,
util.add_color_patches_rand_gt).
"""

import numpy as np
from torch import Tensor

STOP = 1 / 8  # after each point, how likely it is the last one: the number of points is geometric
PATCHES = range(1, 10)  # sides of the points in pixels, in a crop of PATCH_SIDE pixels
PATCH_SIDE = 176
SPREAD = 1 / 4  # of a photo's side: the places' deviation from the middle
SILENT = 1 / 3  # of the batches have no points: without any, colours must be as good as ever
TOLD_ALL = 0.01  # of the other photos have all of their colours as points


def sample_points(ab: Tensor, seed: int) -> Tensor:
    """Planes of points a, b, mask `(N, 3, H, W)` out of the real a and b `(N, 2, H, W)` of a batch, in their units.

    A point is a square of its pixels' mean colour; elsewhere, all three are 0. The same seed gives the same points.
    """
    count, _, height, width = ab.shape
    planes, rng = ab.new_zeros(count, 3, height, width), np.random.default_rng([seed, 1])
    if rng.random() < SILENT:
        return planes
    for its, real in zip(planes, ab, strict=True):
        if rng.random() < TOLD_ALL:
            its[:2], its[2] = real, 1
            continue
        for _ in range(rng.geometric(STOP) - 1):
            side = max(1, round(int(rng.choice(PATCHES)) * min(height, width) / PATCH_SIDE))
            top, left = (_place(rng, length - side) for length in (height, width))
            spot = slice(top, top + side), slice(left, left + side)
            its[:2, *spot] = real[:, *spot].mean(dim=(1, 2), keepdim=True)
            its[2, *spot] = 1
    return planes


def _place(rng: np.random.Generator, most: int) -> int:
    return int(np.clip(rng.normal(most / 2, most * SPREAD), 0, most))
