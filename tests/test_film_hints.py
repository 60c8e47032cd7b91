"""What is told of a film at a moment holds for the scene: for what is at a place, or like a photo for all of it."""

import json
from math import nan
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

av = pytest.importorskip("av")

from film_files import decoded, greys, write_clip
from test_film import by_light, colorize

from fastcolor.film import back, make
from fastcolor.film.back import Moment
from fastcolor.film.frames import HowFilm, Network
from fastcolor.scenes.clips import camera
from fastcolor.scenes.landscapes import draw_scene

RATE = 25
SCENES = ((20, 30), (4, 24))  # seeds, and how many frames


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """Two scenes in which the camera moves."""
    frames = [frame for seed, count in SCENES for frame in greys(count, seed)]
    return write_clip(tmp_path_factory.mktemp("films") / "old.mkv", frames, "ffv1", rate=RATE)


def heard(film: Path, tmp_path: Path, *moments: Moment) -> dict[int, np.ndarray]:
    """The points that the network is told of each frame that it sees."""
    frames = [frame[..., 0] for frame in decoded(film)]
    found = {}

    def paint(grey: np.ndarray, points: np.ndarray) -> np.ndarray:
        apart = [np.abs(grey - (frame >> 8).astype(float)).mean() for frame in frames]
        found[int(np.argmin(apart))] = points
        return by_light(grey, points)

    network = Network(paint, lambda height, width: (height, width), moments)
    make.color_job(film, tmp_path / "new.mkv", network, HowFilm("ffv1"))
    return found


def place(seed: int, count: int, frame: int, x: float, y: float, at: int) -> np.ndarray:
    """Where the camera shows at a frame, `at`, what it shows at x, y in another one: pixels."""
    (left, top, side), (left_at, top_at, side_at) = (camera(seed, count)[i] * 96 for i in (frame, at))
    x, y = left + (x + 0.5) / 96 * side, top + (y + 0.5) / 96 * side
    return np.array([(x - left_at) / side_at, (y - top_at) / side_at]) * 96 - 0.5


@pytest.mark.parametrize("chunk", [back.CHUNK, 7])
def test_a_place_is_followed_back_to_the_scenes_first_frame_and_no_further(film, chunk, tmp_path, monkeypatch):
    monkeypatch.setattr(back, "CHUNK", chunk)
    monkeypatch.setattr("fastcolor.film.frames.CHUNK", chunk)
    (_, before), (seed, count) = SCENES
    frame = count - 4
    found = heard(film, tmp_path, Moment((before + frame) / RATE, 48 / 96, 40 / 80, 3))
    told = {i: points for i, points in found.items() if len(points)}
    assert set(told) == {i for i in found if i >= before} and before in told
    for i, points in told.items():
        assert points.shape == (1, 3) and points[0, 2] == 3
        assert np.abs(points[0, :2] - place(seed, count, frame, 48, 40, i - before)).max() < 3


def test_of_two_moments_of_one_thing_each_holds_until_the_next(film, tmp_path):
    seed, count = SCENES[0]
    x, y = place(seed, count, 6, 48, 40, 20)
    moments = [Moment(20 / RATE, x / 96, y / 80, 1), Moment(6 / RATE, 48 / 96, 40 / 80, 0)]
    found = heard(film, tmp_path, *moments)
    numbers = {i: points[:, 2].tolist() for i, points in found.items() if i < count}
    assert all(numbers[i] == [0] for i in numbers if i < 20) and 0 in numbers
    assert all(numbers[i][-1] == 1 for i in numbers if i >= 20) and 20 in numbers  # the last one counts


def test_what_is_told_without_a_place_holds_for_the_whole_scene_alone(film, tmp_path):
    before, count = SCENES[0][1], SCENES[1][1]
    found = heard(film, tmp_path, Moment((before + 10) / RATE, nan, nan, 0))
    assert {i for i, points in found.items() if len(points)} == {i for i in found if before <= i < before + count}


def test_a_moment_after_the_end_is_told_to_nobody(film, tmp_path):
    assert not any(map(len, heard(film, tmp_path, Moment(99, 0.5, 0.5, 0)).values()))


def redness(frame: np.ndarray, rows: slice = slice(None)) -> float:
    part = frame[rows].astype(int)
    return float((part[..., 0] - part[..., 1]).mean()) / 257


def test_hints_beside_a_film_colour_their_scene_from_its_start(film, tmp_path):
    old = tmp_path / "old.mkv"
    old.write_bytes(film.read_bytes())
    assert colorize(old, "-o", tmp_path / "plain", "--codec", "ffv1") == 0
    hint = {"x": 0.5, "y": 0.1, "color": "#c02020", "radius": 0.3, "time": 0.8}
    (tmp_path / "old.mkv.hints.json").write_text(json.dumps({"version": 1, "hints": [hint]}))
    assert colorize(old, "-o", tmp_path / "told", "--codec", "ffv1") == 0
    plain, told = (decoded(tmp_path / name / "old.mkv") for name in ("plain", "told"))
    redder = [redness(one) - redness(other) for one, other in zip(told, plain, strict=True)]
    assert min(redder[:30]) > 5 and max(map(abs, redder[30:])) < 1  # the first scene has 30 frames


def test_a_photo_gives_its_colours_to_one_scene(film, tmp_path):
    old = tmp_path / "old.mkv"
    old.write_bytes(film.read_bytes())
    (tmp_path / "photos").mkdir()
    Image.fromarray(np.asarray(draw_scene(4, 96))[..., ::-1]).save(tmp_path / "photos" / "red.png")  # its sky is red
    assert colorize(old, "-o", tmp_path / "plain", "--codec", "ffv1") == 0
    hints = tmp_path / "old.mkv.hints.json"
    hints.write_text(json.dumps({"version": 1, "hints": [{"time": 1.6, "like": "photos/red.png"}]}))
    assert colorize(old, "-o", tmp_path / "told", "--codec", "ffv1") == 0
    plain, told = (decoded(tmp_path / name / "old.mkv") for name in ("plain", "told"))
    redder = [redness(one) - redness(other) for one, other in zip(told, plain, strict=True)]
    assert min(redder[30:]) > 5 and max(map(abs, redder[:30])) < 1


@pytest.mark.parametrize("hint, said", [
    ({"time": 1, "like": "missing.png"}, "missing.png: there is no such file"),
    ({"time": -1, "like": "a.png"}, "a hint's time must be seconds, 0 or more, not -1"),
    ({"like": 5}, "like must be the name of a photo, not 5"),
    ({"like": "a.png", "x": 1}, "each hint needs x, y and color"),
])  # fmt: skip
def test_photos_for_scenes_that_can_not_be_used_are_said(film, hint, said, tmp_path, capsys):
    (tmp_path / "old.mkv").write_bytes(film.read_bytes())
    (tmp_path / "old.mkv.hints.json").write_text(json.dumps({"version": 1, "hints": [hint]}))
    assert colorize(tmp_path / "old.mkv", "-o", tmp_path / "out") == 1
    assert said in capsys.readouterr().err
