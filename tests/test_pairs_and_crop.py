"""Squares from the middle, A|B pictures cut and joined, the sample set: folder in, folder out."""

import csv

import numpy as np
import pytest
from helpers import opened, prepared
from PIL import Image

from fastcolor.cli import run_command
from fastcolor.errors import UserError
from fastcolor.photo.folders import find_photos
from fastcolor.photo.read import open_photo
from fastcolor.photo.write import save_photo
from fastcolor.prep.crop import crop, crop_photo
from fastcolor.prep.pairs import join_pairs, pairs
from fastcolor.prep.sample import sample
from fastcolor.runs.run import open_run
from fastcolor.scenes.landscapes import draw_scene


def noise(seed, height=20, width=32):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(folder, **pictures):
    """Save arrays as PNG files; `__` in a name stands for a folder."""
    for name, pixels in pictures.items():
        save_photo(Image.fromarray(pixels), folder / (name.replace("__", "/") + ".png"))
    return folder


def pixels(path):
    return np.asarray(open_photo(path))


def photos_below(folder):
    return [str(photo) for photo in find_photos(folder)]


def reasons(folder):
    with open(folder / "unreadable.csv", newline="") as file:
        return {row["file"]: row["reason"] for row in csv.DictReader(file)}


def run(command, *arguments):
    return run_command(command, [str(argument) for argument in arguments])


@pytest.mark.parametrize("height, width", [(30, 50), (50, 30), (30, 30)])
def test_the_square_comes_from_the_middle(height, width):
    photo = noise(0, height, width)
    top, left = (height - 30) // 2, (width - 30) // 2
    square = np.asarray(crop_photo(Image.fromarray(photo), 30))
    assert np.array_equal(square, photo[top : top + 30, left : left + 30])


def test_squares_have_the_size_asked_for_also_from_smaller_photos(tmp_path, capsys):
    src = save(tmp_path / "src", big__a=noise(0, 90, 70), dot=noise(1, 1, 1), wide=noise(2, 3, 400))
    assert run(crop, src, tmp_path / "dst", "--size", 48) == 0
    assert capsys.readouterr().out == "3 written, 0 skipped, 0 unreadable\n"
    assert photos_below(tmp_path / "dst") == photos_below(src)
    for name in photos_below(src):
        assert pixels(tmp_path / "dst" / name).shape == (48, 48, 3)


def test_resizing_keeps_the_mean_color():
    photo = np.random.default_rng(0).integers(60, 200, (128, 128, 3), dtype=np.uint8)  # away from where values clip
    square = np.asarray(crop_photo(Image.fromarray(photo), 16))
    np.testing.assert_allclose(square.mean((0, 1)), photo.mean((0, 1)), atol=1)


@pytest.mark.parametrize("size", [0, -5, 1_000_000])
def test_impossible_sizes_are_refused(tmp_path, capsys, size):
    src = save(tmp_path / "src", a=noise(0))
    assert run(crop, src, tmp_path / "dst", f"--size={size}") == 2
    assert f"--size must be between 1 and 16383 pixels, not {size}" in capsys.readouterr().err
    assert not (tmp_path / "dst").exists()


def test_squares_of_two_sizes_are_not_mixed(tmp_path, capsys):
    src = save(tmp_path / "src", a=noise(0), b=noise(1))
    assert run(crop, src, tmp_path / "dst", "--size", 16) == 0
    (tmp_path / "dst/a.png").unlink()
    assert run(crop, src, tmp_path / "dst", "--size", 24) == 2
    assert "16 x 16 pixels" in capsys.readouterr().err
    assert run(crop, src, tmp_path / "dst", "--size", 16) == 0
    assert capsys.readouterr().out == "1 written, 1 skipped, 0 unreadable\n"


def test_cropping_into_the_source_is_refused(tmp_path):
    src = save(tmp_path / "src", a=noise(0))
    assert run(crop, src, src, "--size", 8) == 2
    assert np.array_equal(pixels(src / "a.png"), noise(0))


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp", ".tif"])
def test_cut_then_join_gives_the_same_pixels(tmp_path, suffix):
    for n, name in enumerate(["one", "sub/two"]):
        save_photo(Image.fromarray(noise(n)), tmp_path / f"src/{name}{suffix}")
    assert run(pairs, tmp_path / "src", tmp_path / "cut") == 0
    assert run(pairs, tmp_path / "cut", tmp_path / "joined", "--join") == 0
    assert photos_below(tmp_path / "joined") == [f"one{suffix}", f"sub/two{suffix}"]
    assert np.array_equal(pixels(tmp_path / f"joined/one{suffix}"), noise(0))
    assert np.array_equal(pixels(tmp_path / f"joined/sub/two{suffix}"), noise(1))


def test_a_is_the_left_half_and_b_the_right_one(tmp_path):
    run(pairs, save(tmp_path / "src", sub__x=noise(0)), tmp_path / "dst")
    assert photos_below(tmp_path / "dst") == ["A/sub/x.png", "B/sub/x.png"]
    assert np.array_equal(pixels(tmp_path / "dst/A/sub/x.png"), noise(0)[:, :16])
    assert np.array_equal(pixels(tmp_path / "dst/B/sub/x.png"), noise(0)[:, 16:])


def test_odd_widths_are_listed_with_their_reason(tmp_path, capsys):
    src = save(tmp_path / "src", even=noise(0), odd=noise(1, width=33))
    assert run(pairs, src, tmp_path / "dst") == 0
    assert capsys.readouterr().out == "1 written, 0 skipped, 1 unreadable\n"
    assert "33 pixels wide" in reasons(tmp_path / "dst" / "A")["odd.png"]
    assert photos_below(tmp_path / "dst") == ["A/even.png", "B/even.png"]
    assert run(pairs, src, tmp_path / "dst", "--strict") == 2


def test_a_cut_that_was_stopped_between_the_halves_is_completed(tmp_path, capsys):
    src = save(tmp_path / "src", one=noise(0), two=noise(1))
    run(pairs, src, tmp_path / "dst")
    (tmp_path / "dst/A/one.png").unlink()  # B is written first
    capsys.readouterr()
    run(pairs, src, tmp_path / "dst")
    assert capsys.readouterr().out == "1 written, 1 skipped, 0 unreadable\n"
    assert np.array_equal(pixels(tmp_path / "dst/A/one.png"), noise(0)[:, :16])


def test_what_can_not_be_joined_is_listed_with_its_reason(tmp_path, capsys):
    src = save(tmp_path / "src", A__both=noise(0), B__both=noise(1), A__left=noise(2), B__sub__right=noise(3))
    save(src, A__low=noise(4, height=10), B__low=noise(5, height=12), A__broken=noise(6))
    (src / "B/broken.png").write_bytes(b"")
    assert run(pairs, src, tmp_path / "dst", "--join") == 0
    assert capsys.readouterr().out == "1 written, 0 skipped, 4 unreadable\n"
    assert photos_below(tmp_path / "dst") == ["both.png"]
    assert reasons(tmp_path / "dst") == {
        "broken.png": "its partner B/broken.png is empty",
        "left.png": "A/left.png has no partner B/left.png",
        "low.png": "A has 32 x 10 pixels, B has 32 x 12",
        "sub/right.png": "B/sub/right.png has no partner A/sub/right.png",
    }


def test_joining_without_a_and_b_says_what_is_missing(tmp_path, capsys):
    src = save(tmp_path / "src", a=noise(0))
    assert run(pairs, src, tmp_path / "dst", "--join") == 2
    assert f"{src / 'A'} does not exist" in capsys.readouterr().err


def test_sample_draws_once_and_goes_on_where_it_was_stopped(tmp_path, capsys):
    assert run(sample, tmp_path / "set", "--count", 3, "--size", 16) == 0
    first = {path.name: path.read_bytes() for path in (tmp_path / "set").iterdir()}
    assert len(first) == 3
    (tmp_path / "set" / min(first)).unlink()
    assert run(sample, tmp_path / "set", "--count", 3, "--size", 16) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "set").iterdir()} == first
    assert "1 written, 2 skipped, 0 unreadable" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", ["--count=0", "--size=0", "--seed=-1"])
def test_sample_refuses_nonsense(tmp_path, wrong):
    assert run(sample, tmp_path / "set", wrong) == 2
    assert not (tmp_path / "set").exists()


@pytest.fixture
def joined(tmp_path):
    """Ten grey and colour pictures in A and B, and the same as A|B pictures."""
    for n in range(10):
        color = draw_scene(n, 48)
        save_photo(color, tmp_path / f"two/B/{n}.png")
        # not the colour's own grey: what a user has made by other means
        save_photo(color.convert("L").point(lambda v: 255 - v // 2).convert("RGB"), tmp_path / f"two/A/{n}.png")
    join_pairs(tmp_path / "two", tmp_path / "joined")
    return tmp_path / "joined"


@pytest.mark.parametrize("no_cache", [False, True])
def test_training_takes_joined_pictures_as_it_takes_two_mirror_folders(no_cache, joined, tmp_path):
    grey = str(tmp_path / "two/A")
    mirrored = prepared(opened(tmp_path / "two/B", tmp_path / "one", grey=grey, no_cache=no_cache))
    taken = prepared(opened(joined, tmp_path / "other", pairs=True, no_cache=no_cache))
    assert taken.names == mirrored.names
    rows = np.arange(10)
    assert np.array_equal(taken.squares[rows], mirrored.squares[rows])
    assert np.array_equal(taken.train, mirrored.train)
    own_grey = prepared(opened(tmp_path / "two/B", tmp_path / "own"))
    assert not np.array_equal(taken.squares[rows][..., 0], own_grey.squares[rows][..., 0])


def test_a_picture_of_odd_width_is_left_out_of_training_with_a_reason(joined, tmp_path):
    Image.new("RGB", (97, 48)).save(joined / "odd.png")
    photos = prepared(opened(joined, tmp_path / "run", pairs=True))
    odd = "is 97 pixels wide, so its halves are not equal: make the width even"
    assert reasons(tmp_path / "run") == {"odd.png": odd}
    assert len(photos.train) + len(photos.valid) == 10


def test_pairs_and_a_grey_mirror_are_one_too_many(joined, tmp_path):
    with pytest.raises(UserError, match="--pairs and --grey can't be used together"):
        opened(joined, tmp_path / "run", pairs=True, grey=str(tmp_path / "two/A"))
    assert not (tmp_path / "run").exists()


def test_a_run_of_pairs_does_not_take_the_pictures_for_photos_later(joined, tmp_path):
    prepared(opened(joined, tmp_path / "run", pairs=True))
    squares = prepared(open_run(run=str(tmp_path / "run"), device="cpu")).squares
    assert np.array_equal(squares[0], prepared(opened(joined, tmp_path / "again", pairs=True)).squares[0])
