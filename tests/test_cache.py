"""The cache: made once, noticed when it is old, never half-written, and not needed."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import opened, prepared
from PIL import Image

from fastcolor.color.spaces import SPACES
from fastcolor.data import cache
from fastcolor.data.batches import color_batches
from fastcolor.errors import UserError
from fastcolor.photo.read import open_photo
from fastcolor.runs.run import cache_folder

pytestmark = pytest.mark.usefixtures("thin")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """A cache folder that no other test writes into."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))


@pytest.fixture
def data(scenes, tmp_path):
    """Photos that a test may spoil."""
    return shutil.copytree(scenes, tmp_path / "photos")


def arrays() -> list:
    return sorted(cache_folder().rglob("*.npy"))


def test_photos_are_decoded_once_for_all_runs_and_the_place_is_announced(data, tmp_path, capsys):
    first = prepared(opened(data, tmp_path / "first"))
    (array,) = arrays()
    assert f"24 photos of {data} to 36 px, once: 0 MB in {array}" in capsys.readouterr().out
    second = prepared(opened(data, tmp_path / "second"))
    assert "decoding" not in capsys.readouterr().out
    assert np.array_equal(first.squares, second.squares)
    prepared(opened(data, tmp_path / "larger", size=64))
    assert "to 72 px" in capsys.readouterr().out
    assert len(arrays()) == 2


@pytest.mark.parametrize("change", ["content", "time", "added", "removed", "renamed"])
def test_a_changed_folder_is_decoded_again(change, data, tmp_path, capsys):
    prepared(opened(data, tmp_path / "first"))
    files = sorted(data.iterdir())
    if change == "content":
        Image.new("RGB", (50, 50), (255, 0, 0)).save(files[0])
    if change == "time":
        os.utime(files[0], ns=(0, 0))
    if change == "added":
        shutil.copy(files[0], data / "new.png")
    if change == "removed":
        files[0].unlink()
    if change == "renamed":
        files[0].rename(data / "zzz.png")
    capsys.readouterr()
    photos = prepared(opened(data, tmp_path / "second"))
    assert "decoding" in capsys.readouterr().out
    assert len(arrays()) == 1
    assert photos.names == sorted(path.name for path in data.iterdir())
    first = np.asarray(Image.open(data / photos.names[0]).convert("RGB").resize((36, 36), Image.Resampling.BOX))
    assert np.abs(photos.squares[0, ..., 1:].astype(int) - first).max() <= 1


def test_a_run_goes_on_with_its_photos_while_another_replaces_the_cache(data, tmp_path):
    photos = prepared(opened(data, tmp_path / "first"))
    before = np.array(photos.squares)
    Image.new("RGB", (50, 50), (255, 0, 0)).save(data / photos.names[0])
    prepared(opened(data, tmp_path / "second"))
    assert np.array_equal(photos.squares, before)


@pytest.mark.parametrize("damage", ["note", "no note", "length", "no array", "short array", "empty array"])
def test_a_damaged_cache_is_made_again(damage, data, tmp_path):
    expected = np.array(prepared(opened(data, tmp_path / "run")).squares)
    (array,) = arrays()
    whole = array.read_bytes()
    damaged = {
        "note": whole.replace(b'"photos"', b'"photos'),
        "no note": whole[: -16 - note_length(whole)],
        "length": whole[:-16] + b"\xff" * 8 + whole[-8:],
        "no array": None,
        "short array": whole[:1000],
        "empty array": b"",
    }[damage]
    array.unlink()
    if damaged is not None:
        array.write_bytes(damaged)
    assert np.array_equal(prepared(opened(data, tmp_path / "run")).squares, expected)
    assert note_of(array)["photos"] == str(data)
    assert array.read_bytes() == whole


def note_length(file: bytes) -> int:
    return int.from_bytes(file[-16:-8], "little")


def note_of(array) -> dict:
    """The JSON behind the array, by the layout that the module describes."""
    file = array.read_bytes()
    assert file.endswith(b"fastcol1")
    return json.loads(file[-16 - note_length(file) : -16])


def carried(data, tmp_path):
    """A cache file on a machine where neither its photos nor its cache folder are."""
    prepared(opened(data, tmp_path / "first"))
    (array,) = arrays()
    file = Path(shutil.move(array, tmp_path / "carried.npy"))
    shutil.rmtree(cache_folder())
    return file


def test_a_cache_file_carried_to_another_machine_stands_for_its_photos(data, tmp_path, capsys):
    (data / "broken.jpg").write_text("no photo")
    before = prepared(opened(data, tmp_path / "before"))
    expected, split = np.array(before.squares), (tmp_path / "before" / "split.csv").read_text()
    file = carried(data, tmp_path)
    shutil.rmtree(data)
    capsys.readouterr()
    photos = prepared(opened(file, tmp_path / "run"))
    assert "decoding" not in capsys.readouterr().out
    assert np.array_equal(photos.squares, expected)
    assert photos.names == before.names
    assert (tmp_path / "run" / "split.csv").read_text() == split
    x, y = next(iter(color_batches(opened(file, tmp_path / "run"), photos, SPACES["lab"], bs=4).train))
    assert len(x) == len(y) == 4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 64}, "carried.npy holds squares of 36 px, but this --size needs 72"),
        ({"limit": 10}, "carried.npy was made from other photos than --folders and --limit choose"),
        ({"damage": True}, "carried.npy is damaged or not a cache file"),
    ],
)
def test_a_cache_file_that_does_not_fit_is_named_with_the_way_out(wrong, message, data, tmp_path):
    file = carried(data, tmp_path)
    if wrong.pop("damage", False):
        file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(UserError, match=message):
        prepared(opened(file, tmp_path / "run", **wrong))
    assert not (tmp_path / "run").exists()


def test_an_array_of_pickled_objects_is_no_cache_file(data, tmp_path):
    note = json.dumps({"names": ["a.png"], "unreadable": []}).encode()
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with open(tmp_path / "objects.npy", "ab") as file:
        file.write(note + len(note).to_bytes(8, "little") + b"fastcol1")
    with pytest.raises(UserError, match="objects.npy is damaged or not a cache file"):
        prepared(opened(tmp_path / "objects.npy", tmp_path / "run"))


def test_a_cache_may_be_larger_than_memory(tmp_path):
    """A terabyte, of which the disk holds only what was written: a writable mapping is refused at that size."""
    shape = (20_000, 3600, 3600, 4)
    note = json.dumps({"names": [f"{row}.png" for row in range(shape[0])], "unreadable": []}).encode()
    with open(tmp_path / "array.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"shape": shape, "fortran_order": False, "descr": "|u1"})
        file.truncate(file.tell() + np.prod(shape, dtype=np.int64))
        file.seek(-1, os.SEEK_END)
        file.write(b"\x07" + note + len(note).to_bytes(8, "little") + b"fastcol1")
    _, squares, _ = cache.open_cache(tmp_path / "array.npy", 3600)
    taken = cache.take(squares, [0, len(squares) - 1], torch.device("cpu"))
    assert taken.shape == (2, *shape[1:])
    assert taken.sum() == taken[1, -1, -1, -1] == 7


def test_a_decoding_that_is_broken_off_leaves_no_cache(data, tmp_path, monkeypatch):
    def broken_off(rows, count):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cache, "unreadable_rows", broken_off)
        prepared(opened(data, tmp_path / "run"))
    assert [path.name for path in cache_folder().rglob("*") if path.is_file()] == [".lock"]
    assert len(prepared(opened(data, tmp_path / "run")).names) == 24


def test_caches_of_folders_that_have_gone_are_deleted(data, scenes, tmp_path):
    prepared(opened(data, tmp_path / "first"))
    shutil.rmtree(data)
    prepared(opened(scenes, tmp_path / "second"))
    (array,) = arrays()
    assert note_of(array)["photos"] == str(scenes)


def test_a_cache_that_can_not_be_written_is_named_with_the_way_out(data, tmp_path):
    (tmp_path / "user").write_text("a file stands in its way")
    with pytest.raises(UserError, match="the cache .*npy .*--no-cache"):
        prepared(opened(data, tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    assert len(prepared(opened(data, tmp_path / "run", no_cache=True)).names) == 24


def test_without_a_cache_nothing_is_written_and_broken_photos_are_found_all_the_same(data, tmp_path, capsys):
    (data / "broken.jpg").write_text("no photo")
    photos = prepared(opened(data, tmp_path / "run", no_cache=True))
    assert not cache_folder().exists()
    assert "1 of 25 photos left out" in capsys.readouterr().out
    assert photos.names.index("broken.jpg") not in {*photos.train, *photos.valid}
    prepared(opened(data, tmp_path / "run", no_cache=True))
    assert capsys.readouterr().out == ""  # the split is known: nothing has to be looked through


def test_without_a_cache_a_photo_that_goes_during_training_is_named(data, tmp_path):
    run = opened(data, tmp_path / "run", no_cache=True)
    photos = prepared(run)
    name = photos.names[photos.train[0]]
    (data / name).unlink()
    with pytest.raises(UserError, match=f"{name}.*no such file.*put it back"):
        list(color_batches(run, photos, SPACES["lab"], bs=4).train)


def test_a_large_jpeg_is_decoded_reduced_and_looks_the_same(tmp_path):
    """Pillow's draft mode, against decoding in full and reducing by the mean of each block."""
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).resize((1600, 1200), Image.Resampling.BICUBIC)
    photo.save(tmp_path / "large.jpg", quality=95)
    reduced = open_photo(tmp_path / "large.jpg", least=150)
    assert reduced.size == (200, 150)
    whole = open_photo(tmp_path / "large.jpg").reduce(8)
    assert np.abs(np.asarray(reduced).astype(int) - np.asarray(whole)).mean() < 1
