"""The drawn sample set: repeatable, colourful, and coloured by shape and texture rather than by lightness."""

import errno
import os
from itertools import combinations, pairwise

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab

from fastcolor.scenes.flowers import FLOWERS, draw_flower
from fastcolor.scenes.folder import SEEDS_PER_SET, write_scenes
from fastcolor.scenes.landscapes import draw_scene
from fastcolor.scenes.paintings import draw_painting
from fastcolor.scenes.pen import Pen, tone


@pytest.fixture(scope="module")
def lab():
    return rgb2lab(np.stack([np.asarray(draw_scene(seed, 64)) for seed in range(40)]))


def card(kind, seed, size=96):
    """One flower alone on grey, and which pixels it covers."""
    image = Image.new("RGB", (size, size), (128, 128, 128))
    draw_flower(kind, Pen(image, size / 2, size / 2, 0.45 * size), np.random.default_rng(seed))
    pixels = np.asarray(image)
    return rgb2lab(pixels), (pixels != 128).any(axis=-1)


def hue_of(kind, seed):
    """Direction of the mean (a, b) over the flower, in degrees."""
    colors, covered = card(kind, seed)
    a, b = colors[covered][:, 1:].mean(axis=0)
    return np.degrees(np.arctan2(b, a))


def apart(one, other):
    return abs((one - other + 180) % 360 - 180)


def hue_spread(kind):
    """How far the hues of a dozen flowers of a kind lie from their middle, and that middle, in degrees."""
    hues = np.array([hue_of(kind, seed) for seed in range(12)])
    middle = np.degrees(np.angle(np.exp(1j * np.radians(hues)).mean()))
    return apart(hues, middle).max(), middle


def test_same_seed_draws_the_same_bytes_whatever_the_global_random_state():
    np.random.seed(1)
    first = draw_scene(5).tobytes()
    np.random.seed(2)
    assert draw_scene(5).tobytes() == first


def test_scene_is_rgb_of_the_size_asked_for():
    image = draw_scene(0, 96)
    assert (image.mode, image.size) == ("RGB", (96, 96))


def test_other_seeds_draw_other_pictures():
    greys = [np.asarray(draw_scene(seed, 48).convert("L"), dtype=float).ravel() for seed in range(12)]
    assert max(np.corrcoef(one, other)[0, 1] for one, other in combinations(greys, 2)) < 0.9


@pytest.mark.parametrize("seed", range(6))
def test_same_seed_shows_the_same_scene_at_every_size(seed):
    small, large = draw_scene(seed, 64), draw_scene(seed, 192).reduce(3)
    assert np.corrcoef(np.ravel(small), np.ravel(large))[0, 1] > 0.9


def test_set_holds_many_hue_families(lab):
    a, b = lab[..., 1].ravel(), lab[..., 2].ravel()
    colored = np.hypot(a, b) > 20
    share = np.histogram(np.degrees(np.arctan2(b, a))[colored] % 360, bins=12, range=(0, 360))[0] / colored.sum()
    assert (share > 0.01).sum() >= 8
    assert share.max() < 0.5


def test_set_is_colorful_but_not_garish():
    def colorfulness(image):  # Hasler and Suesstrunk 2003
        red, green, blue = np.moveaxis(np.asarray(image, dtype=float), -1, 0)
        axes = red - green, (red + green) / 2 - blue
        return np.hypot(*(axis.std() for axis in axes)) + 0.3 * np.hypot(*(axis.mean() for axis in axes))

    assert 40 < np.mean([colorfulness(draw_scene(seed, 64)) for seed in range(40)]) < 75


def test_lightness_alone_does_not_tell_the_color(lab):
    bins, ab = lab[..., 0].ravel().astype(int) // 2, lab[..., 1:].reshape(-1, 2)
    counts = np.maximum(np.bincount(bins), 1)
    guess = np.stack([(np.bincount(bins, channel) / counts)[bins] for channel in ab.T], axis=1)
    assert ((ab - guess) ** 2).sum() > 0.85 * ((ab - ab.mean(axis=0)) ** 2).sum()


@pytest.mark.parametrize("kind", FLOWERS)
def test_flowers_of_a_kind_share_their_hue_but_not_one_color(kind):
    colors = {tuple(card(kind, seed)[0].reshape(-1, 3).mean(axis=0).round(3)) for seed in range(4)}
    assert len(colors) == 4
    assert hue_spread(kind)[0] < 12


def test_kinds_of_flowers_differ_in_hue():
    # A daisy is all but its yellow eye white, which is what tells it from the sunflower.
    middles = sorted(hue_spread(kind)[1] % 360 for kind in FLOWERS if kind != "daisy")
    assert all(apart(one, other) > 12 for one, other in pairwise([*middles, middles[0]]))


def test_every_kind_of_flower_overlaps_others_in_lightness():
    def span(kind):
        means = [colors[covered][:, 0].mean() for colors, covered in (card(kind, seed) for seed in range(12))]
        return min(means), max(means)

    spans = {kind: span(kind) for kind in FLOWERS}
    for kind, (low, high) in spans.items():
        others = [name for name, (bottom, top) in spans.items() if name != kind and bottom < high and low < top]
        assert others, f"{kind} alone lies within {low:.0f}..{high:.0f}"


@pytest.mark.parametrize("hue", [0, 60, 120, 240, 300])
@pytest.mark.parametrize("light", [0.2, 0.5, 0.8])
def test_tone_has_the_grey_value_asked_for(hue, light):
    assert Image.new("RGB", (1, 1), tone(hue, light, 0.8)).convert("L").getpixel((0, 0)) == pytest.approx(
        255 * light, abs=1.5
    )


def test_write_scenes_writes_each_scene_of_the_set(tmp_path):
    summary = write_scenes(tmp_path / "new", count=3, size=32)
    paths = sorted((tmp_path / "new").iterdir())
    assert [path.name for path in paths] == ["scene_0000.png", "scene_0001.png", "scene_0002.png"]
    assert str(summary) == "3 written, 0 skipped, 0 unreadable"
    for seed, path in enumerate(paths):
        assert Image.open(path).tobytes() == draw_scene(seed, 32).tobytes()


def test_sets_of_different_seeds_share_no_scene(tmp_path):
    for seed in (0, 1):
        write_scenes(tmp_path / str(seed), count=8, size=16, seed=seed)
    first, second = ({path.read_bytes() for path in (tmp_path / seed).iterdir()} for seed in "01")
    assert len(first) == len(second) == 8
    assert not first & second


def test_write_scenes_keeps_what_is_there(tmp_path):
    kept = tmp_path / "scene_0001.png"
    Image.new("RGB", (5, 5), "red").save(kept)
    before = kept.read_bytes(), kept.stat().st_mtime_ns
    assert write_scenes(tmp_path, count=3, size=16).skipped == 1
    assert (kept.read_bytes(), kept.stat().st_mtime_ns) == before
    assert len(list(tmp_path.iterdir())) == 3


def test_write_scenes_cut_short_leaves_only_whole_files_and_goes_on_later(tmp_path, monkeypatch):
    def replace(source, target, real=os.replace):
        if target.name == "scene_0002.png":
            raise OSError(errno.ENOSPC, "disk full")
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        with pytest.raises(OSError, match="disk full"):
            write_scenes(tmp_path, count=5, size=16)
    names = {path.name for path in tmp_path.iterdir()}
    assert names < {f"scene_{n:04d}.png" for n in range(5)}
    assert "scene_0002.png" not in names
    write_scenes(tmp_path, count=5, size=16)
    paths = sorted(tmp_path.iterdir())
    assert [Image.open(path).tobytes() for path in paths] == [draw_scene(seed, 16).tobytes() for seed in range(5)]


def test_paintings_are_the_same_bytes_every_time_and_of_the_size_asked_for():
    painting = draw_painting(3, 64)
    assert (painting.mode, painting.size) == ("RGB", (64, 64))
    assert draw_painting(3, 64).tobytes() == painting.tobytes() != draw_painting(4, 64).tobytes()


def test_a_painting_shows_its_scene_in_soft_dabs():
    """The light is the scene's, in large; in small it has less of it: no edge is as sharp."""
    for seed in range(6):
        scene, painting = (np.asarray(draw(seed, 96).convert("L"), float) for draw in (draw_scene, draw_painting))
        small = [image.reshape(12, 8, 12, 8).mean((1, 3)).ravel() for image in (scene, painting)]
        assert np.corrcoef(*small)[0, 1] > 0.9
        sharpness = [np.abs(np.diff(image)).mean() / image.std() for image in (scene, painting)]
        assert sharpness[1] < 0.8 * sharpness[0]


def test_a_paintings_palette_is_lilac_in_the_shadows_and_cream_in_the_lights():
    draws = (draw_scene, draw_painting)
    labs = [rgb2lab(np.stack([np.asarray(draw(seed, 48)) for seed in range(24)])) for draw in draws]
    chroma = [np.hypot(lab[..., 1], lab[..., 2]).mean() for lab in labs]
    assert chroma[1] < 0.8 * chroma[0]  # pastel
    scene, painting = labs
    lightness = painting[..., 0]
    dark, light = lightness < np.quantile(lightness, 0.1), lightness > np.quantile(lightness, 0.9)
    assert painting[dark][:, 2].mean() < scene[dark][:, 2].mean() - 5  # bluer
    assert painting[dark][:, 2].mean() < 0 < painting[light][:, 2].mean()


def test_a_set_of_paintings_is_written_like_one_of_scenes(tmp_path):
    write_scenes(tmp_path, 2, 40, 1, draw_painting)
    with Image.open(tmp_path / "scene_0001.png") as image:
        assert np.array_equal(np.asarray(image), np.asarray(draw_painting(SEEDS_PER_SET + 1, 40)))
