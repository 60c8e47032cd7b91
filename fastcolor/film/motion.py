"""How a film moves between small greys: dense flow, where it can be trusted, and cuts.

A flow `(h, w, 2)` float32 tells for each place of one frame how far away the same thing lies in another: pixels, x, y.
Trust `(h, w)` float32 is 1 where both frames show the same, 0 where something is hidden in the other or has changed,
DOUBT where the light is the same but the way back leads elsewhere: in an even sky, and where something may be hidden.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

LIGHT = (
    24.0  # 8-bit levels that a thing's light may change between two frames: old films flicker, and prints have grain
)
DOUBT = 0.02
EXPLAINED = 0.45  # of a frame: if motion explains less of it from the frame before, there is a cut between them


@dataclass(frozen=True)
class Step:
    """What lies between two neighbouring frames: where each place of the later one was, of the earlier one will be."""

    back: np.ndarray  # flow from the later frame to the earlier one
    ahead: np.ndarray  # flow from the earlier frame to the later one
    trust_back: np.ndarray
    trust_ahead: np.ndarray

    @property
    def is_cut(self) -> bool:
        """Whether the later frame shows another scene."""
        return min(self.trust_back.mean(), self.trust_ahead.mean()) < EXPLAINED


def step_between(earlier: np.ndarray, later: np.ndarray) -> Step:
    """The motion between two neighbouring greys, `(h, w)` uint8."""
    finder = _finder()
    back, ahead = finder.calc(later, earlier, None), finder.calc(earlier, later, None)
    return Step(back, ahead, _trust(back, ahead, later, earlier), _trust(ahead, back, earlier, later))


def chained(first: np.ndarray, then: np.ndarray) -> np.ndarray:
    """The flow that goes along `first`, and from there along `then`."""
    return first + moved(then, first)


def moved(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """What lies where a flow leads, of a picture `(h, w)` or `(h, w, c)`, float32 or uint8: at the flow's places."""
    return cv2.remap(picture, *_places(flow), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def trust_of(flow: np.ndarray, here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Where a flow leads to the same light, and stays within the frame. `here` and `there` are greys, uint8."""
    x, y = _places(flow)
    height, width = here.shape
    found = cv2.remap(there, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = (x > -1) & (y > -1) & (x < width) & (y < height)
    return (inside & (cv2.absdiff(here, found) < LIGHT)).astype(np.float32)


def _trust(flow: np.ndarray, other: np.ndarray, here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """As `trust_of`, and the `other` flow must lead back: Sundaram, Brox and Keutzer 2010, equation 5."""
    returned = moved(other, flow)
    apart = np.square(flow + returned).sum(axis=2)
    fits = apart < 0.01 * (np.square(flow).sum(axis=2) + np.square(returned).sum(axis=2)) + 0.5
    return np.where(fits, np.float32(1), np.float32(DOUBT)) * trust_of(flow, here, there)


def _places(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    height, width = flow.shape[:2]
    return flow[..., 0] + np.arange(width, dtype=np.float32), flow[..., 1] + np.arange(height, dtype=np.float32)[
        :, None
    ]


@cache
def _finder() -> cv2.DISOpticalFlow:
    """Kroeger, Timofte, Dai and Van Gool 2016, "Fast Optical Flow using Dense Inverse Search"."""
    return cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
