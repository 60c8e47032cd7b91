"""Back from the moment at which something is told of a film, to the start of its scene.

Somebody shows the colour of a coat in the frame where it is seen best. The coat has that colour before, too.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from fastcolor.film.follow import carried
from fastcolor.film.motion import step_between

CHUNK = 200  # frames that are read at once, and wait in memory while they are gone through backwards
NEAR = 0.05  # of the short side: what is told so near an earlier place is told of the same thing, which changes colour


class Moment(NamedTuple):
    """From `time` on, in seconds, something is told: `number` says what. x and y are shares of width and height.

    NaN for x and y: it is told of the whole scene.
    """

    time: float
    x: float
    y: float
    number: int


Until = Callable[[float], list[tuple[float, np.ndarray]]]
"""Times and small greys of up to CHUNK frames, the last of which is the first one that is not before a time."""


def from_their_starts(moments: list[Moment], until: Until) -> list[Moment]:
    """The moments, and one more for each whose thing was in the scene before: where and when that is first seen."""
    waiting, begun = sorted(moments, key=lambda moment: moment.time), []
    while waiting:
        begun += _one_scene(waiting, until)
    return sorted(moments + begun, key=lambda moment: moment.time)


def _one_scene(waiting: list[Moment], until: Until) -> list[Moment]:
    """Where the last of these moments begin, all that lie in one scene; they are taken off the list."""
    frames = _backwards(waiting[-1].time, until)
    here = next(frames, None)
    if here is None:  # after the film's end
        waiting.pop()
        return []
    own = {moment.number: moment.time for moment in waiting}
    begun, points = {}, np.zeros((0, 3), np.float32)
    while here is not None:
        time, grey = here
        before = next(frames, None)
        scale = np.float32([*grey.shape[::-1], 1])
        while waiting and (before is None or waiting[-1].time > before[0]):
            told = waiting.pop()
            place = np.float32([told[1:]]) * scale
            same = np.hypot(*(points - place)[:, :2].T) < NEAR * min(grey.shape)
            same |= np.isnan(points[:, 0]) & np.isnan(place[0, 0])
            for number in points[same, 2]:  # they change its colour at their own moment
                begun.pop(int(number))
            points = np.concatenate([points[~same], place])
        for x, y, number in points / scale:
            begun[int(number)] = Moment(time, float(x), float(y), int(number))
        step = before and step_between(before[1], grey)
        if step is None or step.is_cut:
            break
        points, here = carried(points, step.back, step.trust_back), before
    return [moment for moment in begun.values() if moment.time < own[moment.number]]


def _backwards(time: float, until: Until) -> Iterator[tuple[float, np.ndarray]]:
    """The frames from that at a time back to the film's first."""
    frames = until(time)
    yield from frames[-1:]
    while len(frames) > 1:
        yield from frames[-2::-1]
        frames = until(frames[0][0])
