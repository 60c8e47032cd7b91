"""Colours of a reference photo, brought over as hints.

Places of both photos that are each other's best match, and alike enough, are taken as the same (as in UniColor, Huang
et al. 2022, section 3.2): the one gets the colour of the other as a hint, and the network does the rest.
"""

from typing import NamedTuple

import numpy as np

from fastcolor.color.cie import ab_of
from fastcolor.colorize.engine import Engine
from fastcolor.colorize.hints import MOST_HINTS, Hint

CELL = 16  # pixels at working size for each place of the features
ALIKE = 0.4  # the least cosine of two places' features
RADIUS = CELL  # pixels at working size, of the hints: up to the next one


class Reference(NamedTuple):
    """A photo in colour: the features of its places `(C, n)`, of length 1, and their a and b `(2, n)`."""

    features: np.ndarray
    ab: np.ndarray


def features_of(engine: Engine, lightness: np.ndarray) -> np.ndarray:
    """The features `(C, h / 16, w / 16)` of the places of a photo's lightness `(h, w)`, L: mean 0, of length 1."""
    (found,) = engine.run(("likeness",), lightness[None, None])
    found = found[0] - found[0].mean((1, 2), keepdims=True)
    return found / np.maximum(np.linalg.norm(found, axis=0), 1e-6)


def reference_of(engine: Engine, rgb: np.ndarray, lightness: np.ndarray) -> Reference:
    """A photo as a reference: sRGB `(h, w, 3)` uint8 and L `(h, w)`, both at working size."""
    features = features_of(engine, lightness)
    ab = np.stack(ab_of(rgb))
    cells = [np.arange(0, side, CELL) for side in lightness.shape]
    sums = np.add.reduceat(np.add.reduceat(ab, cells[0], 1), cells[1], 2)
    counts = np.outer(*(np.diff([*first, side]) for first, side in zip(cells, lightness.shape, strict=True)))
    return Reference(features.reshape(len(features), -1), (sums / counts).reshape(2, -1).astype(np.float32))


def hints_like(engine: Engine, lightness: np.ndarray, reference: Reference) -> list[Hint]:
    """The colours of a reference as hints for a photo's lightness `(h, w)`, L, at working size."""
    own = features_of(engine, lightness)
    columns = own.shape[2]
    alike = own.reshape(len(own), -1).T @ reference.features
    best, back = alike.argmax(1), alike.argmax(0)
    places = np.flatnonzero((back[best] == np.arange(len(best))) & (alike.max(1) >= ALIKE))
    places = places[np.argsort(-alike[places, best[places]], kind="stable")][:MOST_HINTS]
    height, width = lightness.shape
    return [
        Hint(
            min((place % columns + 0.5) * CELL / width, 1),
            min((place // columns + 0.5) * CELL / height, 1),
            tuple(reference.ab[:, best[place]].tolist()),
            RADIUS / min(height, width),
        )
        for place in places.tolist()
    ]
