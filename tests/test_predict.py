"""Colouring a photo: its own size, its own light, colours from the network; and what is said where that can't be."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab

import fastcolor
from fastcolor.errors import UnreadablePhoto, UserError
from fastcolor.inference import working_size


@pytest.fixture(scope="module")
def weights(finished_run):
    return finished_run / "stage4_gen.safetensors"


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth colours, like a photo's, up to the borders of sRGB."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("size", [(200, 150), (31, 17), (1, 1), (1, 700), (600, 3)])
def test_a_coloured_photo_has_its_own_size(size, weights):
    coloured = fastcolor.predict(photo(*size), weights)
    assert (coloured.size, coloured.mode) == (size, "RGB")


def test_a_coloured_photo_has_its_own_lightness(weights):
    original = photo(300, 220)
    coloured = fastcolor.predict(original, weights)
    light = [rgb2lab(np.asarray(image))[..., 0] for image in (original, coloured)]
    assert np.abs(light[0] - light[1]).mean() < 0.3  # 8-bit rounding of three channels
    assert np.abs(light[0] - light[1]).max() < 2


def test_colors_come_from_light_alone(weights):
    """A colour photo is recoloured as its grey version is, which shares its lightness within 8-bit rounding."""
    from fastcolor.prep.greyscale import grey_photo

    original = photo(120, 90)
    coloured = [np.asarray(fastcolor.predict(image, weights), float) for image in (original, grey_photo(original))]
    assert np.abs(coloured[0] - coloured[1]).mean() < 2
    assert np.asarray(grey_photo(original)).std() > 10
    assert np.abs(coloured[0] - np.asarray(original)).mean() > 5


def test_predict_reads_files_and_applies_exif_orientation(weights, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    photo(80, 40).save(tmp_path / "turned.jpg", exif=exif)
    assert fastcolor.predict(tmp_path / "turned.jpg", weights).size == (40, 80)


def test_predict_takes_the_newest_run_unless_told_otherwise(finished_run, tmp_path, monkeypatch):
    (tmp_path / "runs" / "old").mkdir(parents=True)
    (tmp_path / "runs" / "new").mkdir(parents=True)
    old, new = tmp_path / "runs" / "old" / "stage4_gen.safetensors", tmp_path / "runs" / "new" / "stage1_gen.safetensors"
    old.write_text("not weights")
    new.write_bytes((finished_run / "stage1_gen.safetensors").read_bytes())
    os.utime(old, (1, 1))
    monkeypatch.chdir(tmp_path)
    assert fastcolor.predict(photo(40, 40)).size == (40, 40)


def test_without_any_weights_predict_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="fastcolor train"):
        fastcolor.predict(photo(40, 40))


def test_a_file_that_is_no_photo_is_named(weights, tmp_path):
    (tmp_path / "letter.jpg").write_text("Dear Sir")
    with pytest.raises(UnreadablePhoto, match="letter.jpg"):
        fastcolor.predict(tmp_path / "letter.jpg", weights)


def test_a_critic_can_not_color(finished_run):
    with pytest.raises(UserError, match="holds critic, not a generator"):
        fastcolor.predict(photo(40, 40), finished_run / "stage3_critic.safetensors")


def test_predict_does_not_import_fastai(weights, tmp_path):
    photo(60, 40).save(tmp_path / "photo.png")
    code = (
        "import sys, fastcolor; fastcolor.predict(sys.argv[1], sys.argv[2]).save(sys.argv[3]);"
        "assert not [m for m in sys.modules if m.split('.')[0] in ('fastai', 'fastprogress', 'matplotlib')]"
    )
    paths = [str(tmp_path / "photo.png"), str(weights), str(tmp_path / "out.png")]
    subprocess.run([sys.executable, "-c", code, *paths], check=True)
    assert Image.open(tmp_path / "out.png").size == (60, 40)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(1000, 2000, (128, 256)), (64, 64, (128, 128)), (1, 5000, (128, 512)), (5000, 1, (512, 128))],
)
def test_the_network_looks_at_the_training_size_whatever_the_photos(height, width, expected):
    assert working_size(height, width, 128) == expected
