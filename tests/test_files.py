"""Photos in folders are found, files appear whole, folders are converted and gone on with."""

import csv
import os
import re

import numpy as np
import pytest
from PIL import Image

from fastcolor import files
from fastcolor.errors import UserError
from fastcolor.files import in_order, write_whole
from fastcolor.photo.folders import convert_folder, find_photos
from fastcolor.photo.read import open_photo
from fastcolor.photo.write import save_photo


def noise(seed=0, height=24, width=32):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pixels(path):
    """What `open_photo` gives, as an array; always RGB."""
    photo = open_photo(path)
    assert photo.mode == "RGB"
    return np.asarray(photo)


def copy(source, target):
    save_photo(open_photo(source), target)


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return {row["file"]: row["reason"] for row in csv.DictReader(file)}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "file.txt").write_text("old")
    with pytest.raises(RuntimeError), write_whole(tmp_path / "file.txt") as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]
    assert (tmp_path / "file.txt").read_text() == "old"


def test_a_file_is_not_there_before_it_is_whole(tmp_path):
    with write_whole(tmp_path / "new" / "file.txt") as temporary:
        temporary.write_text("text")
        assert not (tmp_path / "new" / "file.txt").exists()
        assert not find_photo_names(tmp_path)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file.txt"]


def test_unfinished_photos_are_not_found(tmp_path):
    save_photo(Image.fromarray(noise()), tmp_path / "whole.png")
    with write_whole(tmp_path / "half.png") as temporary:
        temporary.write_bytes(b"\x89PNG")
        assert find_photo_names(tmp_path) == ["whole.png"]


def find_photo_names(folder):
    try:
        return [str(photo) for photo in find_photos(folder)]
    except UserError:
        return []


@pytest.fixture
def tree(tmp_path):
    """A folder of three photos at different depths and in different formats."""
    for seed, name in enumerate(["a.png", "sub/b.JPG", "sub/deep er/ü.webp"]):
        save_photo(Image.fromarray(noise(seed)), tmp_path / "src" / name)
    (tmp_path / "src" / "notes.txt").write_text("no photo")
    return tmp_path / "src"


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_converted_folder_has_the_same_tree_and_names(tree, tmp_path):
    summary = convert_folder(tree, tmp_path / "dst", copy)
    assert str(summary) == "3 written, 0 skipped, 0 unreadable"
    assert files_below(tmp_path / "dst") == ["a.png", "sub/b.JPG", "sub/deep er/ü.webp"]
    assert np.array_equal(pixels(tmp_path / "dst/a.png"), noise(0))


def test_finished_files_are_left_alone(tree, tmp_path):
    (tmp_path / "dst").mkdir()
    (tmp_path / "dst/a.png").write_bytes(b"already here")
    summary = convert_folder(tree, tmp_path / "dst", copy)
    assert str(summary) == "2 written, 1 skipped, 0 unreadable"
    assert (tmp_path / "dst/a.png").read_bytes() == b"already here"


def test_a_run_cut_short_goes_on(tree, tmp_path):
    whole = convert_folder(tree, tmp_path / "whole", copy)

    def fails_late(source, target):
        if source.suffix == ".webp":
            raise KeyboardInterrupt
        copy(source, target)

    with pytest.raises(KeyboardInterrupt):
        convert_folder(tree, tmp_path / "dst", fails_late)
    done = len(files_below(tmp_path / "dst"))
    summary = convert_folder(tree, tmp_path / "dst", copy)
    assert (summary.skipped, summary.written) == (done, whole.written - done)
    for name in files_below(tmp_path / "whole"):
        assert (tmp_path / "dst" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_unreadable_files_are_listed_and_the_list_goes_when_they_are_mended(tree, tmp_path):
    (tree / "broken, very.png").write_bytes(b"")
    summary = convert_folder(tree, tmp_path / "dst", copy)
    assert str(summary) == "3 written, 0 skipped, 1 unreadable"
    assert rows(tmp_path / "dst/unreadable.csv") == {"broken, very.png": "is empty"}
    save_photo(Image.fromarray(noise()), tree / "broken, very.png")
    assert str(convert_folder(tree, tmp_path / "dst", copy)) == "1 written, 3 skipped, 0 unreadable"
    assert not (tmp_path / "dst/unreadable.csv").exists()


def test_file_names_that_are_not_text_can_be_listed(tree, tmp_path):
    try:
        (tree / "caf\udce9.png").write_bytes(b"")  # Latin-1, as old archives hold it
    except (OSError, UnicodeError):
        pytest.skip("this file system takes UTF-8 names only")
    assert len(convert_folder(tree, tmp_path / "dst", copy).unreadable) == 1
    assert b"caf\xe9.png,is empty" in (tmp_path / "dst/unreadable.csv").read_bytes()


def test_strict_raises_after_the_readable_ones_are_written(tree, tmp_path):
    (tree / "broken.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"broken\.png \(is empty\)"):
        convert_folder(tree, tmp_path / "dst", copy, strict=True)
    assert len(files_below(tmp_path / "dst")) == 4  # three photos and the list


def test_it_is_an_error_if_no_photo_can_be_read(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/broken.png").write_bytes(b"")
    with pytest.raises(UserError, match="no photo could be read"):
        convert_folder(tmp_path / "src", tmp_path / "dst", copy)


@pytest.mark.parametrize("inside", ["", "grey"])
def test_originals_are_safe_from_a_target_inside_the_source(tree, inside):
    before = files_below(tree)
    with pytest.raises(UserError, match="never touched"):
        convert_folder(tree, tree / inside, copy)
    assert files_below(tree) == before


def test_a_loop_of_links_ends(tree, tmp_path):
    (tree / "sub" / "again").symlink_to(tree, target_is_directory=True)
    assert len(find_photos(tree)) == 3
    assert convert_folder(tree, tmp_path / "dst", copy).written == 3


@pytest.mark.parametrize(
    ("name", "said"), [("empty", "holds no photos"), ("none", "does not exist"), ("file", "is a file")]
)
def test_a_folder_without_photos_is_told_from_a_missing_one(tmp_path, name, said):
    (tmp_path / "empty" / "sub.png").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=said):
        find_photos(tmp_path / name)


def test_a_folder_that_can_not_be_read_is_reported(tree, monkeypatch):
    scandir = os.scandir

    def forbid(path):
        if os.path.basename(path) == "sub":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", forbid)
    told = []
    assert [str(photo) for photo in find_photos(tree, told.append)] == ["a.png"]
    assert [error.filename for error in told] == [str(tree / "sub")]
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UserError, match="can't be read: check its permissions"):
        find_photos(tree)


def test_the_progress_bar_says_how_many_in_a_second(monkeypatch, capsys):
    monkeypatch.setattr(files, "shows_progress", lambda: True)
    assert list(files.progress_bar(range(3), unit="photos")) == [0, 1, 2]
    assert re.search(r"3/3 .*\d\.\d photos/s", capsys.readouterr().out)


def test_work_is_done_ahead_in_order_and_no_further_than_it_is_wanted():
    done = []

    def square(number: int) -> int:
        done.append(number)
        return number * number

    results = in_order(square, range(1000))
    assert [next(results) for _ in range(4)] == [0, 1, 4, 9]
    results.close()
    assert done == list(range(len(done)))
    assert len(done) <= 4 + 2 + 1
    assert list(in_order(square, range(3))) == [0, 1, 4]


def test_what_goes_wrong_ahead_is_raised_in_its_turn():
    results = in_order(lambda number: 1 // number, [1, 0, 1])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
