"""The grey mirror holds CIE lightness, as scikit-image computes it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.color import rgb2lab

from fastcolor.cli import run_command
from fastcolor.color.grey import grey_photo
from fastcolor.photo.read import open_photo
from fastcolor.prep.greyscale import greyscale

ROOT = Path(__file__).parents[1]


def random_colors(seed=0, side=64):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def lightness(pixels):
    return rgb2lab(pixels)[..., 0]


def half_a_step(grey):
    """By how much L may be off when a grey level (0..255) was rounded: half the way to its farther neighbour."""
    levels = lightness(np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2))[:, 0]
    steps = np.diff(levels, prepend=levels[0], append=levels[-1])
    return np.maximum(steps[:-1], steps[1:])[grey] / 2 + 0.02


def test_grey_has_the_lightness_of_the_colors():
    photo = random_colors()
    grey = np.asarray(grey_photo(Image.fromarray(photo)))
    assert grey.dtype == np.uint8 and grey.shape == photo.shape[:2]
    off = np.abs(lightness(np.stack([grey] * 3, axis=-1)) - lightness(photo))
    assert (off <= half_a_step(grey)).all()


def test_rec_601_luma_would_not_do():
    # 8-bit Rec. 601 luma of pure blue is 29, L* of it 32.3 (Bruce Lindbloom's calculator), as of a grey of 76
    assert np.asarray(grey_photo(Image.new("RGB", (2, 2), (0, 0, 255)))).tolist() == [[76, 76], [76, 76]]


def test_neutral_grey_stays_as_it_is():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    assert np.asarray(grey_photo(Image.fromarray(ramp)))[0].tolist() == list(range(256))


def test_mirror_of_turned_and_of_deep_photos(tmp_path):
    src, dst = tmp_path / "src", tmp_path / "dst"
    src.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side
    photo = random_colors()[:, :40]
    Image.fromarray(photo).save(src / "turned.png", exif=exif)
    Image.fromarray(np.arange(256, dtype=np.uint16)[None] * 257).save(src / "deep.png")
    assert run_command(greyscale, [str(src), str(dst)]) == 0
    upright = np.asarray(grey_photo(Image.fromarray(np.rot90(photo, -1).copy())))
    assert np.array_equal(np.asarray(open_photo(dst / "turned.png"))[..., 0], upright)
    with Image.open(dst / "deep.png") as image:
        assert image.mode == "L"
        assert np.asarray(image)[0].tolist() == list(range(256))


def test_strict_decides_the_exit_code(tmp_path, capsys):
    src, dst = tmp_path / "src", tmp_path / "dst"
    src.mkdir()
    Image.fromarray(random_colors()).save(src / "good.png")
    (src / "bad.png").write_text("no photo")
    assert run_command(greyscale, [str(src), str(dst)]) == 0
    assert capsys.readouterr().out == "1 written, 0 skipped, 1 unreadable\n"
    assert run_command(greyscale, [str(src), str(dst), "--strict"]) == 2
    assert "bad.png" in capsys.readouterr().err


def test_the_script_mirrors_a_folder_and_tells_what_it_could_not_read(tmp_path):
    (tmp_path / "src" / "sub").mkdir(parents=True)
    Image.fromarray(random_colors()).save(tmp_path / "src/sub/good.png")
    (tmp_path / "src/bad.png").write_text("no photo")
    command = [sys.executable, "-m", "data_prep.greyscale", tmp_path / "src", tmp_path / "dst", "--strict"]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("python -m data_prep.greyscale: ") and done.stderr.count("\n") == 1
    assert (tmp_path / "dst/sub/good.png").exists()
