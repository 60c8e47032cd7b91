"""Colours at full size, against scikit-image's and Pillow's own arithmetic."""

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import lab2rgb, rgb2lab
from skimage.transform import resize

from fastcolor.color import fullsize
from fastcolor.color.fullsize import recolor, small_grey
from fastcolor.color.lab import fit_gamut, lab_to_rgb, lightness_of


def smooth(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Smooth colours up to the borders of sRGB, uint8."""
    small = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8))
    pixels = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))
    return pixels if channels == 3 else np.ascontiguousarray(pixels[..., 1])


def chroma(height: int, width: int, most: float, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-most, most, (2, height, width)).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_recolored_pixels_have_their_own_lightness_and_the_maps_colors(channels, dtype):
    photo = smooth(90, 120, channels)
    photo = photo if dtype == np.uint8 else photo.astype(np.uint16) * 257
    ab = chroma(5, 7, 8.0)
    colored = recolor(photo, ab)
    assert (colored.shape, colored.dtype) == ((90, 120, 3), dtype)
    top = np.iinfo(dtype).max
    rgb = photo / top if channels == 3 else np.dstack([photo / top] * 3)
    lightness, lab = rgb2lab(rgb)[..., 0], rgb2lab(colored / top)
    assert np.abs(lab[..., 0] - lightness).mean() < (0.2 if dtype == np.uint8 else 0.02)
    wanted = np.stack([resize(plane, (90, 120), order=1, mode="edge") for plane in ab], axis=-1)
    inside = (lightness > 15) & (lightness < 90)  # so little chroma exists there, whatever the hue
    assert inside.mean() > 0.5
    assert np.abs(lab[..., 1:] - wanted)[inside].max() < (2 if dtype == np.uint8 else 0.1)


def test_colors_outside_srgb_lose_chroma_but_neither_lightness_nor_hue():
    photo = smooth(60, 80, 1)
    colored = recolor(photo, chroma(4, 4, 100.0))
    lab, wanted = rgb2lab(colored), rgb2lab(np.dstack([photo] * 3))[..., 0]
    assert np.abs(lab[..., 0] - wanted).mean() < 0.3
    assert np.abs(lab[..., 0] - wanted).max() < 1.5
    full = np.stack([resize(plane, (60, 80), order=1, mode="edge") for plane in chroma(4, 4, 100.0)], axis=-1)
    had, has = np.hypot(*np.moveaxis(full, -1, 0)), np.hypot(lab[..., 1], lab[..., 2])
    assert (has < 0.8 * had).mean() > 0.3  # many of them did not exist
    turned = np.angle((lab[..., 1] + 1j * lab[..., 2]) / (full[..., 0] + 1j * full[..., 1]))
    assert np.abs(turned[has > 20]).max() < 0.1


def test_the_chroma_that_is_left_is_the_most_that_srgb_has():
    """A little more would leave sRGB: scikit-image, which clips, then gives another colour."""
    grey = np.full((1, 64), 150, np.uint8)
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    far = 105 * np.stack([np.cos(angle), np.sin(angle)])[:, None].astype(np.float32)
    lab = rgb2lab(recolor(grey, far))
    more = lab * (1, 1.05, 1.05)
    assert np.abs(rgb2lab(lab2rgb(more)) - more).max(axis=-1).min() > 0.1


def test_whole_photos_and_tensors_of_training_lose_the_same_chroma():
    """`recolor` reads how much fits into sRGB from a table, `fit_gamut` looks for it in each pixel."""
    grey = np.random.default_rng(2).integers(8, 248, (100, 100), np.uint8)
    far = chroma(100, 100, 60.0)
    wanted = torch.cat([lightness_of(torch.from_numpy(grey))[None], torch.from_numpy(far)])
    fitted = (lab_to_rgb(fit_gamut(wanted)).permute(1, 2, 0).numpy() * 255 + 0.5).astype(int)
    apart = np.abs(recolor(grey, far) - fitted).max(axis=-1)
    assert (apart <= 1).mean() > 0.99  # the others: light yellows, whose largest chroma turns sharply with the hue
    assert np.abs(rgb2lab(recolor(grey, far))[..., 0] - wanted[0].numpy()).max() < 1.5


def test_strength_mixes_the_photos_own_colors_with_the_maps():
    photo, ab = smooth(40, 50), chroma(3, 3, 20.0)
    own, full = rgb2lab(photo), rgb2lab(recolor(photo, ab))
    half = rgb2lab(recolor(photo, ab, 0.5))
    vivid = (own[..., 0] > 30) & (own[..., 0] < 75)
    assert vivid.sum() > 300
    assert np.abs(half - (own + full) / 2)[vivid].max() < 2.5
    assert np.array_equal(recolor(photo, ab, 0.0), photo)
    assert np.array_equal(recolor(photo[..., 0], ab, 0.0)[..., 2], photo[..., 0])


def test_slopes_make_colors_follow_the_lightness():
    photo = smooth(30, 30, 1)
    lightness = rgb2lab(np.dstack([photo] * 3))[..., 0]
    planes = np.zeros((4, 2, 2), np.float32)
    planes[0], planes[2] = 0.2, -5.0  # a = L / 5 - 5
    lab = rgb2lab(recolor(photo.astype(np.uint16) * 257, planes) / 65535)
    inside = (lightness > 20) & (lightness < 85)
    assert np.abs(lab[..., 1] - (lightness / 5 - 5))[inside].max() < 0.1


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (20_000, 3), (7, 300)])
def test_strips_leave_no_seams_whatever_the_shape(shape, monkeypatch):
    photo, ab = smooth(*shape), chroma(6, 9, 30.0)
    whole = recolor(photo, ab)
    assert whole.shape == (*shape, 3)
    monkeypatch.setattr(fullsize, "PIECE", 64)
    assert np.array_equal(recolor(photo, ab), whole)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_small_grey_is_the_photo_reduced(channels, dtype, monkeypatch):
    photo = smooth(400, 600, channels)
    given = photo if dtype == np.uint8 else photo.astype(np.uint16) * 257
    monkeypatch.setattr(fullsize, "PIECE", 5000)
    small = small_grey(given, 32, 48)
    assert (small.shape, small.dtype) == ((32, 48), np.uint8)
    lightness = rgb2lab(photo if channels == 3 else np.dstack([photo] * 3))[..., 0]
    wanted = resize(lightness, (32, 48), order=1, anti_aliasing=True)
    assert np.abs(rgb2lab(np.dstack([small] * 3))[..., 0] - wanted).mean() < 2


def test_a_photo_smaller_than_the_network_wants_is_enlarged():
    assert small_grey(np.full((2, 3, 3), 77, np.uint8), 64, 96).tolist() == torch.full((64, 96), 77).tolist()
