"""Colours that follow the motion: the network sees few frames, all others take the colours of their neighbours.

    small greys ─ motion ─▶ spans between key frames ─ network at key frames ─▶ colours, averaged along the motion

A span lies between two key frames, which the network sees. A key frame's colours are averaged with those of earlier
key frames and of the next one, along the motion. A frame inside takes those of both ends, each moved to where its
things are now; the nearer end counts more. What one end doesn't show takes its colours from the other. Nothing crosses
a cut.

Points, with which somebody tells colours from a moment on, go along with what they lie on until the cut. The network
sees the frame of that moment, and from then on colours begin anew. Those without a place are for the whole scene.

Colours are a and b of CIE Lab, `(h, w, 2)` float32, greys `(h, w)` uint8, both small and upright.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from fastcolor.film.motion import chained, moved, step_between, trust_of

LONGEST = 16  # frames of a span; twice as many wait in memory at full size
SEEN = 0.8  # of a frame that the key frame before must show, or the network sees this one
PAST = 4.0  # spans of full length, at most, as which the average of all earlier key frames counts
HIDDEN = 1e-3  # weight of what lies around a place that neither key frame shows
AROUND = 31  # pixels, across, of what lies around

Paint = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""The network's colours of a small grey with points `(n, 3)` float32: x and y, in pixels or NaN, and their numbers."""
Told = Callable[[], np.ndarray]
"""The points that begin with the frame that was read last."""


@dataclass(frozen=True)
class Key:
    """A key frame that has its colours: from here a film can be gone on with.

    `past` are the colours of this and all earlier key frames of the scene; `weight` `(h, w)` float32 tells, place by
    place, as how many they count, one at the end of a span of full length as 1; `ab` the colours that the frame gets;
    `points` `(n, 3)` where told colours are.
    """

    grey: np.ndarray
    past: np.ndarray
    weight: np.ndarray
    ab: np.ndarray
    points: np.ndarray


Way = tuple[np.ndarray, np.ndarray]
"""Flow to a key frame, and its trust."""


@dataclass(frozen=True)
class _Span:
    """The frames after a key frame up to the next, which the network has seen, and where their places lie in both."""

    last: np.ndarray  # the next key frame's grey
    points: np.ndarray  # in it
    is_told: bool  # whether some of these are new
    seen: np.ndarray  # what the network says of it
    back: list[Way]  # of each frame, to the key frame before
    ahead: list[Way]  # of the key frame before and of each frame but the last, to the next key frame

    @property
    def share(self) -> float:
        """As how much its key frame counts: where things move fast there are many, and each counts less."""
        return len(self.back) / LONGEST


NO_POINTS = np.zeros((0, 3), np.float32)


def follow(
    greys: Iterator[np.ndarray], paint: Paint, start: Key | None = None, told: Told = lambda: NO_POINTS
) -> Iterator[tuple[np.ndarray, Key | None]]:
    """The colours of each frame of a film, and at key frames from where one can go on, else None.

    With `start`, `greys` are the frames that come after it. Up to 2 * LONGEST + 1 frames are read ahead.
    """
    key, first = start, start.grey if start else next(greys, None)
    while first is not None:
        points = told() if key is None else key.points
        scene = _Scene(first, greys, paint, told, points)
        own = paint(first, points) if key is None else None
        span = scene.next_span()
        if key is None:
            key = _colored(first, points, own, np.full(first.shape, span.share if span else 1, np.float32), span)
            yield key.ab, key
        while span:
            following = scene.next_span()
            after = _colored(span.last, span.points, *_averaged(key, span), following)
            yield from ((ab, None) for ab in _between(key, after, span))
            yield after.ab, after
            key, span = after, following
        key, first = None, scene.following


class _Scene:
    """The frames up to the next cut, in spans. `following`, once there are no more: the next scene's first frame."""

    def __init__(self, first: np.ndarray, greys: Iterator[np.ndarray], paint: Paint, told: Told, points: np.ndarray):
        self._last, self._greys, self._paint, self._told, self._points = first, greys, paint, told, points
        self._is_over, self.following = False, None

    def next_span(self) -> _Span | None:
        """The next span; None where the scene ends."""
        first = here = self._last
        steps, back, is_told = [], [_nowhere(first)], False
        while not (self._is_over or is_told) and len(steps) < LONGEST and back[-1][1].mean() >= SEEN:
            grey = next(self._greys, None)
            step = None if grey is None else step_between(here, grey)
            if step is None or step.is_cut:
                self._is_over, self.following = True, grey
                break
            steps.append(step)
            flow, trust = back[-1]
            flow, trust = chained(step.back, flow), np.minimum(step.trust_back, moved(trust, step.back))
            back.append((flow, trust * trust_of(flow, grey, first)))
            here, new, old = grey, self._told(), carried(self._points, step.ahead, step.trust_ahead)
            is_told = not set(new[:, 2]) <= set(old[:, 2])  # one that has come along is only put in its place
            self._points = np.concatenate([old[~np.isin(old[:, 2], new[:, 2])], new])
        if not steps:
            return None
        self._last, ahead = here, [_nowhere(here)]
        for step in reversed(steps):
            flow, trust = ahead[-1]
            ahead.append((chained(step.ahead, flow), np.minimum(step.trust_ahead, moved(trust, step.ahead))))
        return _Span(here, self._points, is_told, self._paint(here, self._points), back[1:], ahead[:0:-1])


def carried(points: np.ndarray, flow: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """Points where a flow leads; without those that leave the picture, or whose things get hidden."""
    if not len(points):
        return points
    height, width = trust.shape
    x, y = np.rint(np.nan_to_num(points[:, :2]).T).astype(int).clip(0, [[width - 1], [height - 1]])
    there = points + np.pad(flow[y, x], ((0, 0), (0, 1)))
    inside = (there[:, :2] >= -0.5).all(axis=1) & (there[:, :2] < (width - 0.5, height - 0.5)).all(axis=1)
    return there[np.isnan(points[:, 0]) | (inside & (trust[y, x] > 0))]


def _nowhere(grey: np.ndarray) -> Way:
    return np.zeros((*grey.shape, 2), np.float32), np.ones(grey.shape, np.float32)


def _averaged(key: Key, span: _Span) -> tuple[np.ndarray, np.ndarray]:
    """The colours of a span's last frame together with all earlier ones, and as how many they count."""
    flow, trust = span.back[-1]
    weight = trust * np.minimum(moved(key.weight, flow), PAST) * (not span.is_told)
    return _mixed(moved(key.past, flow), weight, span.seen, np.full_like(weight, span.share)), weight + span.share


def _colored(
    grey: np.ndarray, points: np.ndarray, past: np.ndarray, weight: np.ndarray, following: _Span | None
) -> Key:
    """A key frame, whose colours are those of the past and of the key frame that follows it in its scene."""
    if following is None or following.is_told:
        return Key(grey, past, weight, past, points)
    flow, trust = following.ahead[0]
    return Key(grey, past, weight, _mixed(past, weight, moved(following.seen, flow), trust * following.share), points)


def _between(before: Key, after: Key, span: _Span) -> Iterator[np.ndarray]:
    """The colours of the frames between two key frames."""
    count = len(span.back)
    for i in range(1, count):
        (flow, trust), (flow_ahead, trust_ahead) = span.back[i - 1], span.ahead[i]
        share = i / count
        weights = (1 - share) * _soft(trust), share * _soft(trust_ahead)
        yield _mixed(moved(before.ab, flow), weights[0], moved(after.ab, flow_ahead), weights[1])


def _soft(trust: np.ndarray) -> np.ndarray:
    return cv2.blur(trust, (5, 5))


def _mixed(one: np.ndarray, weight: np.ndarray, other: np.ndarray, other_weight: np.ndarray) -> np.ndarray:
    """The weighted mean of two maps of colours; where neither has weight, of what lies around."""
    total = weight + other_weight
    colors = one * weight[..., None] + other * other_weight[..., None]
    if total.min() < HIDDEN:
        colors += HIDDEN * cv2.blur(colors, (AROUND, AROUND)) + HIDDEN**2 * (one + other) / 2
        total = total + HIDDEN * cv2.blur(total, (AROUND, AROUND)) + HIDDEN**2
    return colors / total[..., None]
