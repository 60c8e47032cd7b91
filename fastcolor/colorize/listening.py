"""What a network that listens makes of a photo's light and hints, and what it finds likely."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from fastcolor.color.ab_grid import CENTRES
from fastcolor.color.fullsize import ab_in_gamut, rgb_of
from fastcolor.colorize.engine import Engine
from fastcolor.colorize.hints import Hint, check_place
from fastcolor.colorize.reach import contained, corrected, points_of
from fastcolor.errors import UserError

MOST_SUGGESTIONS = 30
ROUNDS = 20  # of k-means: it stands still before


class Told(NamedTuple):
    """What the network says of a photo: a and b `(2, h, w)`, and the share of each class `(CLASSES, h / 4, w / 4)`."""

    ab: np.ndarray
    classes: np.ndarray


def listen(engine: Engine, lightness: np.ndarray, hints: Sequence[Hint] = (), plain: Told | None = None) -> Told:
    """What an engine that listens says of a photo's lightness `(h, w)`, L, with these hints.

    `plain` is what it says without any, if that is known already.
    """
    points = points_of(hints, lightness)
    if not hints:
        ab, classes = engine.run(("ab", "classes"), lightness[None, None], points=points[None])
        return Told(ab[0], classes[0])
    plain = plain or listen(engine, lightness)
    if min(lightness.shape) > engine.size:  # it knows how far hints reach at the size that it was trained at
        scale = engine.size / min(lightness.shape)
        small = _resized(lightness, *(round(side * scale) for side in lightness.shape))
        before = listen(engine, small)
        change = listen(engine, small, hints, before).ab - before.ab
        ab = plain.ab + np.stack([_resized(each, *lightness.shape) for each in change])
    else:
        (ab,) = engine.run(("ab",), lightness[None, None], points=points[None])
        ab = contained(ab[0], plain.ab, hints)
    return Told(corrected(ab, points, hints, lightness), plain.classes)  # which points don't change


def _resized(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """A plane `(h, w)` float32, larger or smaller."""
    return np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BILINEAR))


class Suggestion(NamedTuple):
    """A likely colour of a place: hex and ab at the photo's lightness there; how likely, as a share of 1."""

    color: str
    a: float
    b: float
    share: float


def suggestions(classes: np.ndarray, lightness: np.ndarray, x: float, y: float, n: int) -> list[Suggestion]:
    """At most `n` likely colours of a place (see `Hint` for x and y), the likeliest first.

    The shares of the classes are gathered around `n` middles by k-means, as in Zhang et al. 2017 (section 3.2). Raises
    UserError for a place outside, or an `n` that makes no sense.
    """
    check_place(x, y)
    if not isinstance(n, int) or not 1 <= n <= MOST_SUGGESTIONS:
        raise UserError(f"n must be from 1 to {MOST_SUGGESTIONS} suggestions, not {n}")
    shares = at(classes, x, y).astype(np.float64)
    middles, shares = _gathered(shares / shares.sum(), n)
    light = np.full(len(middles), at(lightness[None], x, y)[0])
    ab = ab_in_gamut(light, middles.T.astype(np.float32))
    found: dict[str, Suggestion] = {}  # two that fall together in the dark are one
    for rgb, (a, b), share in zip(rgb_of(light, ab).tolist(), ab.T.tolist(), shares.tolist(), strict=True):
        color = "#{:02x}{:02x}{:02x}".format(*rgb)
        known = found.get(color)
        found[color] = Suggestion(color, a, b, share + (known.share if known else 0))
    return sorted(found.values(), key=lambda each: -each.share)


def at(planes: np.ndarray, x: float, y: float) -> np.ndarray:
    """The values `(k,)` of planes `(k, h, w)` at a place."""
    height, width = planes.shape[1:]
    return planes[:, min(int(y * height), height - 1), min(int(x * width), width - 1)]


def _gathered(shares: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Middles `(k, 2)` and shares `(k,)` of at most `n` groups of classes, by k-means with the classes' shares."""
    middles = CENTRES[[shares.argmax()]].astype(np.float64)
    while len(middles) < n:  # the next one: likely, and far from those that there are
        far = np.square(CENTRES[:, None] - middles).sum(2).min(1)
        middles = np.concatenate([middles, CENTRES[[(shares * far).argmax()]]])
    for _ in range(ROUNDS):
        its = np.square(CENTRES[:, None] - middles).sum(2).argmin(1)
        sums = np.bincount(its, shares, len(middles))
        sums_ab = np.stack([np.bincount(its, shares * each, len(middles)) for each in CENTRES.T], 1)
        middles = np.where(sums[:, None] > 0, sums_ab / np.maximum(sums, 1e-12)[:, None], middles)
    return middles[sums > 0], sums[sums > 0]
