"""What the network is told of hints, and what of its answer is taken."""

import math
from collections.abc import Sequence

import numpy as np

from fastcolor.color.fullsize import ab_in_gamut
from fastcolor.colorize.hints import Hint

PLACE = 3 / 256  # of the short side: half the side of the square that a hint covers in any case (Zhang et al. 2017)
LIKE = 8.0  # units of L by which places may differ from the hint's own to be covered, too
MOST_FAINT, SMALL, SOFT = 0.5, 50.0, 0.3  # a share, units of ab, a share: see `contained`


def cover(hint: Hint, lightness: np.ndarray) -> np.ndarray:
    """Which pixels of a photo's lightness `(h, w)` a hint covers: a mask `(h, w)`.

    A small square, and what is joined to it within the hint's radius and has nearly its light: there it is sure to have
    its colour.
    """
    place = _square(hint, PLACE, lightness.shape)
    box = _square(hint, hint.radius, lightness.shape)
    like = np.zeros(lightness.shape, bool)
    like[box] = np.abs(lightness[box] - np.median(lightness[place])) < LIKE
    like[place] = True
    like, covered = np.pad(like[box], 1), np.zeros(lightness.shape, bool)
    covered[place] = True
    grown, count = np.pad(covered[box], 1), 0
    while grown.sum() > count:
        count = grown.sum()
        for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
            grown |= np.roll(grown, step, axis) & like
    covered[box] = grown[1:-1, 1:-1]
    return covered


def points_of(hints: Sequence[Hint], lightness: np.ndarray) -> np.ndarray:
    """Hints as the planes a, b, mask that a network takes: `(3, h, w)` float32, of its lightness `(h, w)`.

    Each is a small square, as in training; a later one covers earlier ones. Each pixel gets the hint's colour as far as
    sRGB has it at the lightness there.
    """
    points = np.zeros((3, *lightness.shape), np.float32)
    for hint in hints:
        place = _square(hint, PLACE, lightness.shape)
        light = lightness[place]
        ab = ab_in_gamut(light.ravel(), np.repeat(np.float32(hint.ab)[:, None], light.size, axis=1))
        points[(slice(None), *place)] = *ab.reshape(2, *light.shape), np.ones_like(light)
    return points


def contained(ab: np.ndarray, plain: np.ndarray, hints: Sequence[Hint]) -> np.ndarray:
    """The network's ab `(2, h, w)`, as without hints (`plain`) where they change little.

    The network is not always sure what a hint belongs to, and tints other things a little. What changes by less than a
    share of the change at the hints nearby stays as it was. The larger the change, the larger the share, up to
    MOST_FAINT: a faint tint of a strong colour is seen, one of a weak colour is not. From SOFT above it, all is kept.
    """
    height, width = ab.shape[1:]
    change = np.hypot(*(ab - plain))
    x, y = (np.arange(width, dtype=np.float32) + 0.5) / width, (np.arange(height, dtype=np.float32) + 0.5) / height
    total, most = np.zeros((2, height, width), np.float32)
    for hint in hints:
        far = ((x - hint.x) * width) ** 2 + ((y - hint.y) * height)[:, None] ** 2
        near = 1 / (far + 1) ** 2
        total += near
        most += near * np.median(change[_square(hint, PLACE, change.shape)])
    most /= total
    faint = np.minimum(most / SMALL, MOST_FAINT)
    share = np.clip((change / np.maximum(most, 1e-3) - faint) / SOFT, 0, 1)
    return plain + share * share * (3 - 2 * share) * (ab - plain)  # without a kink


def corrected(ab: np.ndarray, points: np.ndarray, hints: Sequence[Hint], lightness: np.ndarray) -> np.ndarray:
    """The network's ab `(2, h, w)`, moved so that each hint's place has its colour; less and less up to its radius.

    `points` are those of `points_of`.
    """
    shape, ab = ab.shape[1:], ab.copy()
    for hint in hints:
        place = (slice(None), *_square(hint, PLACE, shape))
        wrong = (points[:2][place] - ab[place]).mean((1, 2))
        rows, columns = np.nonzero(cover(hint, lightness))
        far = np.maximum(abs(rows + 0.5 - hint.y * shape[0]), abs(columns + 0.5 - hint.x * shape[1])) / min(shape)
        share = np.clip(1 - (far - PLACE) / max(hint.radius - PLACE, PLACE), 0, 1)
        ab[:, rows, columns] += wrong[:, None] * share
    return ab


def _square(hint: Hint, radius: float, shape: tuple[int, int]) -> tuple[slice, slice]:
    """The pixels whose middle is within a radius of a hint, along both axes; at least one."""
    reach = max(0.5, radius * min(shape))
    return tuple(_span(share * side, reach, side) for share, side in zip((hint.y, hint.x), shape, strict=True))


def _span(middle: float, reach: float, side: int) -> slice:
    first = min(max(0, math.ceil(middle - reach - 0.5)), side - 1)
    return slice(first, max(first + 1, min(side, math.floor(middle + reach - 0.5) + 1)))
