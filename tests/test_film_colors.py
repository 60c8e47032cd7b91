"""Colours of films: they don't flicker, follow what moves, and stay on their side of a cut."""

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

cv2 = pytest.importorskip("cv2")

from fastcolor.color.cie import grey_of
from fastcolor.film.follow import LONGEST, NO_POINTS, follow
from fastcolor.film.light import Light, Planes
from fastcolor.film.motion import moved, step_between, trust_of
from fastcolor.scenes.clips import camera, draw_clip

SIZE = 96


def clip(seed: int, count: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A clip's greys `(h, w)`, and a and b of what it shows, `(h, w, 2)` float32."""
    frames = [np.asarray(image) for image in draw_clip(seed, count, SIZE)]
    labs = [cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2Lab) for frame in frames]
    return [grey_of(frame) for frame in frames], [lab[..., 1:] for lab in labs]


def true_flow(seed: int, count: int, frame: int) -> np.ndarray:
    """From where the camera shows each place of a frame in the frame before."""
    (left, top, side), (left0, top0, side0) = (camera(seed, count)[i] for i in (frame, frame - 1))
    across = (np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE
    x = (left + across * side - left0) / side0 * SIZE - 0.5 - np.arange(SIZE)
    y = (top + across * side - top0) / side0 * SIZE - 0.5 - np.arange(SIZE)
    return np.stack(np.broadcast_arrays(x[None], y[:, None]), axis=-1).astype(np.float32)


def flicker(colors: list[np.ndarray], seed: int) -> float:
    """How far colours lie from those of the frame before, where the camera showed the same thing."""
    far = []
    for i in range(1, len(colors)):
        flow = true_flow(seed, len(colors), i)
        blank = np.zeros((SIZE, SIZE), np.uint8)
        seen = trust_of(flow, blank, blank) > 0
        far.append(np.linalg.norm(colors[i] - moved(colors[i - 1], flow), axis=2)[seen].mean())
    return float(np.mean(far))


class Moody:
    """A network that paints the right colours, but each frame in another mood: what makes films flicker."""

    def __init__(self, greys, truth):
        self.truth = {grey.tobytes(): ab for grey, ab in zip(greys, truth, strict=True)}
        self.rng, self.calls = np.random.default_rng(0), 0

    def __call__(self, grey: np.ndarray, points: object = None) -> np.ndarray:
        self.calls += 1
        mood = self.rng.normal(0, 6, (4, 4, 2)).astype(np.float32)
        return self.truth[grey.tobytes()] + cv2.resize(mood, grey.shape[::-1])


@pytest.mark.parametrize("seed", [20, 4, 7])
def test_a_film_flickers_far_less_than_frames_one_by_one_and_is_no_further_from_the_truth(seed):
    greys, truth = clip(seed, 40)
    network = Moody(greys, truth)
    one_by_one = [network(grey) for grey in greys]
    network.calls = 0
    colors = [ab for ab, _ in follow(iter(greys), network)]
    assert len(colors) == len(greys)
    assert network.calls < len(greys) / 3
    assert flicker(colors, seed) < 0.35 * flicker(one_by_one, seed)

    def error(found):
        return np.mean([np.linalg.norm(ab - true, axis=2).mean() for ab, true in zip(found, truth, strict=True)])

    assert error(colors) < 1.02 * error(one_by_one)


def test_colours_follow_a_thing_that_moves_and_leave_no_trail():
    rng = np.random.default_rng(0)
    ground = cv2.GaussianBlur(rng.integers(60, 140, (96, 160)).astype(np.uint8), (0, 0), 1.5)
    thing = cv2.GaussianBlur(rng.integers(150, 250, (30, 30)).astype(np.uint8), (0, 0), 1.5)
    greys, masks = [], []
    for i in range(24):
        grey, mask = ground.copy(), np.zeros((96, 160), bool)
        grey[30:60, 5 + 5 * i : 35 + 5 * i], mask[30:60, 5 + 5 * i : 35 + 5 * i] = thing, True
        greys.append(grey)
        masks.append(mask)
    red = {grey.tobytes(): mask[..., None] * np.float32([60, 40]) for grey, mask in zip(greys, masks, strict=True)}
    for (ab, _), mask in zip(follow(iter(greys), lambda grey, _: red[grey.tobytes()]), masks, strict=True):
        inside = cv2.erode(mask.astype(np.uint8), np.ones((9, 9))) > 0
        outside = cv2.dilate(mask.astype(np.uint8), np.ones((13, 13))) == 0
        assert ab[inside, 0].mean() > 50
        assert ab[outside, 0].mean() < 1
        assert np.percentile(ab[outside, 0], 99) < 12


def test_nothing_crosses_a_cut():
    parts = [clip(seed, 9)[0] for seed in (20, 4, 7, 9)]
    hue = {grey.tobytes(): 20.0 * i for i, part in enumerate(parts) for grey in part}
    frames = [grey for part in parts for grey in part]
    for i, (ab, _) in enumerate(
        follow(iter(frames), lambda g, _: np.full((*g.shape, 2), hue[g.tobytes()], np.float32))
    ):
        assert np.abs(ab - 20 * (i // 9)).max() < 1e-3


def test_cuts_are_found_and_motion_and_flashes_of_grain_are_none():
    rng = np.random.default_rng(0)
    scenes = [clip(seed, 8)[0] for seed in range(20, 26)]
    assert all(step_between(one[-1], other[0]).is_cut for one, other in pairwise(scenes))
    for scene in scenes:
        noisy = [(grey + rng.normal(0, 6, grey.shape)).clip(0, 255).astype(np.uint8) for grey in scene]
        assert not any(step_between(one, other).is_cut for one, other in pairwise(noisy))


def test_where_nothing_moves_the_network_sees_few_frames():
    grey = clip(20, 1)[0][0]
    calls = []

    def paint(grey: np.ndarray, points: np.ndarray) -> np.ndarray:
        calls.append(1)
        return np.ones((*grey.shape, 2), np.float32)

    assert len(list(follow(iter([grey] * 100), paint))) == 100
    assert len(calls) <= 2 + 100 // LONGEST


def test_a_film_gone_on_with_from_a_key_frame_has_the_same_colours():
    greys, truth = clip(20, 40)
    exact = {grey.tobytes(): ab for grey, ab in zip(greys, truth, strict=True)}
    whole = list(follow(iter(greys), lambda grey, _: exact[grey.tobytes()]))
    places = [i for i, (_, key) in enumerate(whole) if key is not None]
    assert places[0] == 0 and places[-1] == 39 and len(places) > 2
    middle = places[len(places) // 2]
    rest = list(follow(iter(greys[middle + 1 :]), lambda grey, _: exact[grey.tobytes()], whole[middle][1]))
    for (ab, _), (again, _) in zip(whole[middle + 1 :], rest, strict=True):
        assert np.array_equal(ab, again)


@pytest.mark.parametrize("count", [0, 1, 2, LONGEST, LONGEST + 1])
def test_films_of_any_length_have_colours_for_each_frame(count):
    greys = clip(20, max(1, count))[0][:count]
    assert len(list(follow(iter(greys), lambda grey, _: np.zeros((*grey.shape, 2), np.float32)))) == count


def test_frames_without_colour_keep_their_luma_to_the_last_bit():
    rng = np.random.default_rng(0)
    for bits in (8, 10):
        luma = rng.integers(0, 1 << bits, (32, 48)).astype(np.uint8 if bits == 8 else np.uint16)
        planes = Light("bt709", False, bits).colored(luma, np.zeros((4, 6, 2), np.float32), (16, 24))
        assert np.array_equal(planes.luma, luma)
        assert set(planes.blue.ravel()) == set(planes.red.ravel()) == {1 << (bits - 1)}


def test_chroma_is_that_of_another_library():
    """ffmpeg's conversion, by way of Pillow's Lab, of some colours that sRGB has."""
    av = pytest.importorskip("av")
    light = Light("bt601", False, 8)
    grey = np.full((32, 32), 126, np.uint8)  # L 53.4
    for a, b in ((30, 20), (-20, 25), (10, -30)):
        planes = light.colored(grey, np.full((4, 4, 2), (a, b), np.float32), (32, 32))
        frame = av.VideoFrame.from_ndarray(np.stack(planes), "yuv444p", channel_last=False)
        rgb = frame.to_ndarray(format="rgb24", src_colorspace="ITU601", dst_colorspace="ITU601")
        lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)[16, 16]
        grey_rgb = av.VideoFrame.from_ndarray(np.stack(Planes(grey, *[np.full_like(grey, 128)] * 2)), "yuv444p")
        before = cv2.cvtColor(grey_rgb.to_ndarray(format="rgb24").astype(np.float32) / 255, cv2.COLOR_RGB2Lab)[16, 16]
        assert np.abs(lab - (before[0], a, b)).max() < 1.5
        assert Image.fromarray(rgb).size == (32, 32)


def test_a_told_colour_goes_along_with_its_thing_until_the_cut():
    scenes = [clip(seed, 30)[0] for seed in (20, 4)]
    frames, heard, begun = [grey for scene in scenes for grey in scene], {}, 10
    read = []

    def greys():
        for grey in frames:
            read.append(grey)
            yield grey

    def told() -> np.ndarray:
        return np.float32([[48, 48, 7]]) if len(read) == begun + 1 else NO_POINTS

    def paint(grey: np.ndarray, points: np.ndarray) -> np.ndarray:
        heard[next(i for i, frame in enumerate(frames) if frame is grey)] = points
        return np.full((*grey.shape, 2), 50 if len(points) else 0, np.float32)

    colors = [ab for ab, _ in follow(greys(), paint, told=told)]
    assert {i for i, points in heard.items() if len(points)} == {i for i in heard if begun <= i < 30}
    assert begun in heard and max(i for i in heard if i < 30) == 29
    left, top, side = camera(20, 30)[begun]
    x, y = left + 48.5 / SIZE * side, top + 48.5 / SIZE * side
    left, top, side = camera(20, 30)[29]
    assert np.abs(heard[29][0, :2] + 0.5 - np.array([x - left, y - top]) / side * SIZE).max() < 3
    assert heard[29][0, 2] == 7
    assert all(np.allclose(ab, 50) for ab in colors[begun:30])
    assert all(np.allclose(ab, 0) for ab in colors[30:])
