"""Points of colour for a network that listens, drawn as a user might set them.

As in Zhang et al. 2017 ("SIGGRAPH17", section 3.1); the numbers are those of their training code (colorization-pytorch,
util.add_color_patches_rand_gt).
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fastcolor.data.cache import on_device
from fastcolor.processes import Share

STOP = 1 / 8  # after each point, how likely it is the last one: the number of points is geometric
PATCHES = range(1, 10)  # sides of the points in pixels, in a crop of PATCH_SIDE pixels
PATCH_SIDE = 176
SPREAD = 1 / 4  # of a photo's side: the places' deviation from the middle
SILENT = 1 / 3  # of the batches have no points: without any, colours must be as good as ever
TOLD_ALL = 0.01  # of the other photos have all of their colours as points


def sample_points(ab: Tensor, seed: int, share: Share | None = None) -> Tensor:
    """Planes of points a, b, mask `(N, 3, H, W)` out of the real a and b `(N, 2, H, W)` of a batch, in their units.

    A point is a square of its pixels' mean colour; elsewhere, all three are 0. The same seed gives the same points,
    also where `ab` is only a `share` of the batch.
    """
    _, _, height, width = ab.shape
    count = share.count if share else len(ab)
    rng = np.random.default_rng([seed, 1])
    if rng.random() < SILENT:
        return ab.new_zeros(len(ab), 3, height, width)
    told_all = rng.random(count) < TOLD_ALL
    photo = np.repeat(np.arange(count), np.where(told_all, 0, rng.geometric(STOP, count) - 1))
    side = rng.choice(PATCHES, len(photo)) * min(height, width) / PATCH_SIDE
    side = np.maximum(1, np.rint(side).astype(int))
    top, left = (_places(rng, length - side) for length in (height, width))

    points = np.stack([photo, top, left, side])
    if share:
        own = np.full(count, -1)
        own[list(share.rows)] = range(len(ab))
        points[0], told_all, count = own[photo], told_all[list(share.rows)], len(ab)
        points = points[:, points[0] >= 0]
    ids = np.zeros((count, height, width), np.int32)  # of the point at each pixel, from 1: later ones cover earlier
    for i, (n, y, x, s) in enumerate(points.T.tolist(), 1):
        ids[n, y : y + s, x : x + s] = i
    where = np.nonzero(ids)
    n, y, x, its = on_device(np.stack([*where, ids[where] - 1]), ab.device)
    planes = ab.new_zeros(count, 3, height, width)
    planes[n, :, y, x] = F.pad(_mean_colors(ab, points), (0, 1), value=1.0)[its]  # with the mask
    if told_all.any():
        whole = on_device(np.flatnonzero(told_all), ab.device)
        planes[whole] = F.pad(ab[whole], (0, 0, 0, 0, 0, 1), value=1.0)
    return planes


def _places(rng: np.random.Generator, most: np.ndarray) -> np.ndarray:
    return np.clip(rng.normal(most / 2, most * SPREAD), 0, most).astype(int)


def _mean_colors(ab: Tensor, points: np.ndarray) -> Tensor:
    """The mean a and b, `(P, 2)`, of squares of `ab` `(N, 2, H, W)`: `points` `(4, P)` are photo, top, left, side."""
    if not points.size:
        return ab.new_zeros(0, 2)
    along = torch.arange(points[3].max(), device=ab.device)
    photo, top, left, side = on_device(points, ab.device)[:, :, None]
    rows, columns = (torch.minimum(along, side - 1) + edge for edge in (top, left))
    pixels = ab[photo[:, :, None], :, rows[:, :, None], columns[:, None]]  # (P, side, side, 2), the last ones repeated
    inside = ((along < side)[:, :, None] & (along < side)[:, None])[..., None]
    return (pixels * inside).sum(dim=(1, 2)) / side.square()
