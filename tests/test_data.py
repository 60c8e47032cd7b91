"""From folders to photos: which ones, pairs that belong together, a split that never leaks."""

import csv
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from helpers import opened, prepared
from PIL import Image, ImageOps

from fastcolor.color.spaces import SPACES
from fastcolor.data.batches import color_batches, shown_often
from fastcolor.errors import UserError
from fastcolor.runs.run import open_run
from fastcolor.scenes.landscapes import draw_scene

pytestmark = pytest.mark.usefixtures("thin")


def test_the_split_is_written_once_and_kept(scenes, tmp_path):
    run = opened(scenes, tmp_path / "run")
    first = prepared(run)
    written = (tmp_path / "run" / "split.csv").read_text()
    again = prepared(opened(scenes, tmp_path / "run"))
    assert (tmp_path / "run" / "split.csv").read_text() == written
    assert set(first.train.tolist()) == set(again.train.tolist())
    assert not set(first.train.tolist()) & set(first.valid.tolist())
    assert len(first.train) + len(first.valid) == 24


def test_the_split_follows_from_the_seed(scenes, tmp_path):
    splits = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        prepared(opened(scenes, tmp_path / name, seed=seed))
        splits[name] = (tmp_path / name / "split.csv").read_text()
    assert splits["a"] == splits["b"] != splits["c"]


def parts_of(run) -> dict[str, str]:
    with open(run / "split.csv", newline="") as file:
        return {row["file"]: row["part"] for row in csv.DictReader(file)}


def test_near_duplicates_are_held_out_together(tmp_path):
    for n in range(12):
        scene = draw_scene(n, 96)
        for copy in range(4):  # the same, a little larger, lighter, saved anew
            again = scene.resize((96 + 4 * copy, 96 + 4 * copy)).point(lambda v, copy=copy: min(v + copy, 255))
            (tmp_path / "photos").mkdir(exist_ok=True)
            again.save(tmp_path / "photos" / f"{n:02d}_{copy}.jpg", quality=90)
    photos = prepared(opened(tmp_path / "photos", tmp_path / "run", size=80, test=0.2))
    parts = defaultdict(set)
    for name, part in parts_of(tmp_path / "run").items():
        parts[name[:2]].add(part)
    assert all(len(each) == 1 for each in parts.values())
    assert {part for each in parts.values() for part in each} == {"train", "valid", "test"}
    assert len(photos.train) + len(photos.valid) < 48


def test_every_folder_gives_its_share_to_the_test_set_and_no_stage_sees_it(tmp_path):
    for folder, count in (("sea", 20), ("hills", 60), ("left", 20)):
        (tmp_path / "photos" / folder).mkdir(parents=True)
        for n in range(count):
            draw_scene(100 * count + n, 64).save(tmp_path / "photos" / folder / f"{n}.png")
    run = opened(tmp_path / "photos", tmp_path / "run", folders="sea,hills", test=0.1)
    photos = prepared(run)
    count = Counter((name.split("/")[0], part) for name, part in parts_of(tmp_path / "run").items())
    assert (count["sea", "test"], count["hills", "test"]) == (2, 6)
    assert (count["sea", "valid"], count["hills", "valid"]) == (2, 6)
    assert not any(folder == "left" for folder, _ in count)
    seen = {photos.names[row] for row in (*photos.train, *photos.valid)}
    assert seen == {name for name, part in parts_of(tmp_path / "run").items() if part != "test"}


def test_frames_that_are_all_alike_are_split_all_the_same(tmp_path):
    (tmp_path / "photos").mkdir()
    for n in range(20):
        draw_scene(7, 64).point(lambda v, n=n: min(v + n % 3, 255)).save(tmp_path / "photos" / f"{n}.png")
    photos = prepared(opened(tmp_path / "photos", tmp_path / "run"))
    assert (len(photos.train), len(photos.valid)) == (18, 2)


def test_folders_that_are_not_there_are_named(scenes, tmp_path):
    with pytest.raises(UserError, match="nowhere holds no photos"):
        prepared(opened(scenes, tmp_path / "run", folders="nowhere"))
    assert not (tmp_path / "run").exists()


def test_a_changed_photo_is_decoded_again(scenes, tmp_path):
    data = shutil.copytree(scenes, tmp_path / "photos")
    run = opened(data, tmp_path / "run")
    before = prepared(run)
    name = before.names[0]
    Image.new("RGB", (50, 50), (255, 0, 0)).save(data / name)
    after = prepared(opened(data, tmp_path / "run"))
    assert (after.squares[0, ..., 1:] == (255, 0, 0)).all()
    assert (after.squares[0, ..., 0] == 127).all()  # L* 53.24 of pure red as neutral grey
    assert np.array_equal(after.squares[1], before.squares[1])


def test_a_tall_photo_shows_its_upper_part_and_a_wide_one_its_middle(scenes, tmp_path):
    """Rows or columns of one grey each, 4 apart: the square's first and last say where it was cut."""
    folder = shutil.copytree(scenes, tmp_path / "photos")
    ramp = np.repeat(np.arange(54, dtype=np.uint8)[:, None] * 4, 36, axis=1)
    Image.fromarray(ramp).save(folder / "a_tall.png")
    Image.fromarray(ramp.T.copy()).save(folder / "a_wide.png")
    photos = prepared(opened(folder, tmp_path / "run"))
    tall, wide = (photos.squares[photos.names.index(name)][..., 1].astype(int) for name in ("a_tall.png", "a_wide.png"))
    spare = 54 - 36
    assert abs(tall[0, 0] / 4 - 0.1 * spare) < 1
    assert abs(wide[0, 0] / 4 - 0.5 * spare) < 1


def test_photos_of_a_folder_can_be_shown_several_times_an_epoch(tmp_path, capsys):
    for folder, count in (("cats", 8), ("people", 6)):
        (tmp_path / "photos" / folder).mkdir(parents=True)
        for n in range(count):
            draw_scene(n + (100 if folder == "people" else 0), 40).save(tmp_path / "photos" / folder / f"{n}.png")
    run = opened(tmp_path / "photos", tmp_path / "run")
    photos = prepared(run)
    batches = color_batches(run, photos, SPACES["lab"], bs=2, often="people*4").train
    shown = Counter(batches._crops().rows.tolist())
    assert {row: shown[row] for row in photos.train} == {
        row: 4 if photos.names[row].startswith("people/") else 1 for row in photos.train
    }
    assert np.array_equal(shown_often(photos, "dogs*2"), photos.train)
    assert "there are no training photos in dogs" in capsys.readouterr().out
    for often in ("people", "people*0", "people*x"):
        with pytest.raises(UserError, match="--often must be FOLDER.*, not people"):
            shown_often(photos, often)


def test_a_photo_that_has_gone_is_named(scenes, tmp_path):
    data = shutil.copytree(scenes, tmp_path / "photos")
    photos = prepared(opened(data, tmp_path / "run"))
    (data / photos.names[3]).unlink()
    with pytest.raises(UserError, match=f"{photos.names[3]}.*put it back"):
        prepared(opened(data, tmp_path / "run"))


def test_a_users_own_grey_mirror_is_looked_at(scenes, tmp_path):
    grey = tmp_path / "grey"
    grey.mkdir()
    for file in scenes.iterdir():
        Image.new("L", Image.open(file).size, 77).save(grey / file.name)
    photos = prepared(opened(scenes, tmp_path / "run", grey=str(grey)))
    assert (photos.squares[..., 0] == 77).all()


def test_a_photo_without_grey_partner_is_left_out_and_listed(scenes, tmp_path):
    grey = tmp_path / "grey"
    shutil.copytree(scenes, grey)
    missing = sorted(grey.iterdir())[5]
    missing.unlink()
    photos = prepared(opened(scenes, tmp_path / "run", grey=str(grey)))
    with open(tmp_path / "run" / "unreadable.csv", newline="") as file:
        (listed,) = csv.DictReader(file)
    assert listed["file"] == missing.name
    assert "no grey partner" in listed["reason"]
    assert len(photos.train) + len(photos.valid) == 23


def png(path, size=(40, 40), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size).save(path)


def sepia(photo: Image.Image) -> Image.Image:
    """A print of one tone: black, brown, cream."""
    return ImageOps.colorize(photo.convert("L"), "black", "#f8eed8", mid="#8c7863")


def test_grey_and_sepia_photos_are_counted_and_left_out(scenes, tmp_path, capsys):
    data = Path(shutil.copytree(scenes, tmp_path / "photos"))
    for n in range(3):
        sepia(draw_scene(n, 64)).save(data / f"sepia{n}.jpg", quality=80)
        draw_scene(n, 64).convert("L").save(data / f"grey{n}.jpg")
    photos = prepared(opened(data, tmp_path / "run"))
    assert "6 of 30 photos left out, as they are grey or sepia, see" in capsys.readouterr().out
    used = {photos.names[row] for row in (*photos.train, *photos.valid)}
    assert used == {path.name for path in scenes.iterdir()}


def test_a_folder_of_scans_is_refused(tmp_path):
    for n in range(12):
        path = tmp_path / "scans" / f"{n}.jpg"
        path.parent.mkdir(exist_ok=True)
        sepia(draw_scene(n, 64)).save(path)
    with pytest.raises(UserError, match="scans only 0 are in colour, the others are grey or sepia: training needs"):
        prepared(opened(tmp_path / "scans", tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["empty", "no photos", "one photo", "all broken", "missing", "a file"])
def test_a_folder_that_nothing_can_be_learned_from_is_refused_and_nothing_is_left(kind, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    if kind == "no photos":
        (data / "notes.txt").write_text("nothing")
    if kind == "one photo":
        png(data / "a.png")
    if kind == "all broken":
        for i in range(10):
            (data / f"{i}.jpg").write_text("no photo")
    if kind == "missing":
        data.rmdir()
    if kind == "a file":
        data.rmdir()
        data.write_text("x")
    with pytest.raises(UserError, match="data"):
        prepared(opened(data, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_odd_photos_train_like_others(scenes, tmp_path):
    data = shutil.copytree(scenes, tmp_path / "photos")
    rng = np.random.default_rng(0)
    scene = draw_scene(99, 40)
    png(data / "tiny.png", (1, 1))
    scene.resize((3000, 20)).save(data / "wide.png")
    scene.convert("L").save(data / "grey.png")
    (data / "sub").mkdir()
    scene.convert("CMYK").save(data / "sub" / "cmyk.jpg")
    Image.fromarray(rng.integers(0, 255, (30, 30, 3), np.uint8)).quantize(16).save(data / "palette.png")
    Image.fromarray(np.arange(900, dtype=np.uint16).reshape(30, 30) * 70).save(data / "deep.png")
    (data / "cut.jpg").write_bytes((data / "sub" / "cmyk.jpg").read_bytes()[:200])
    photos = prepared(opened(data, tmp_path / "run"))
    assert len(photos.train) + len(photos.valid) == 24 + 3
    with open(tmp_path / "run" / "split.csv", newline="") as file:
        left_out = {row["file"] for row in csv.DictReader(file) if row["part"] == "colourless"}
    assert left_out == {"tiny.png", "grey.png", "deep.png"}
    assert "cut.jpg" in (tmp_path / "run" / "unreadable.csv").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 5000}, "--size must be 4096 or less, not 5000"),
        ({"size": 7}, "--size must be 32 or more, not 7"),
        ({"bs": 1}, "--bs must be 2 or more, not 1"),
        ({"seed": -1}, "--seed must be 0 or more, not -1"),
        ({"bs": "many"}, "--bs must be a number of photos, or auto, not many"),
        ({"limit": 0}, "--limit must be 1 or more, not 0"),
        ({"limit": 3}, "at least 8"),
        ({"device": "tpu"}, "--device tpu is unknown"),
        ({"precision": "int8"}, "--precision int8 is unknown"),
        ({"resume": True, "force": True}, "can't be used together"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, message, scenes, tmp_path):
    with pytest.raises(UserError, match=message):
        prepared(open_run(data=str(scenes), run=str(tmp_path / "run"), **{"size": 32, **options}))
    assert not (tmp_path / "run").exists()


def test_a_run_folder_with_other_settings_is_refused_unless_forced(scenes, tmp_path):
    prepared(opened(scenes, tmp_path / "run"))
    with pytest.raises(UserError, match="holds a run with --size 32, not 48.*--force"):
        opened(scenes, tmp_path / "run", size=48)
    assert prepared(opened(scenes, tmp_path / "run")).squares.shape[1] == 36
    prepared(open_run(run=str(tmp_path / "run"), size=48, force=True))
    again = open_run(run=str(tmp_path / "run"))
    assert prepared(again).squares.shape[1] == 54
    assert again.photos == scenes  # what was not given again stays


def test_forcing_settings_that_can_not_be_keeps_what_is_there(scenes, tmp_path):
    prepared(opened(scenes, tmp_path / "run"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no photos"):
        prepared(opened(tmp_path / "empty", tmp_path / "run", force=True))
    assert (tmp_path / "run" / "split.csv").exists()
    assert open_run(run=str(tmp_path / "run")).photos == scenes


def test_unreadable_photos_are_noted_once_and_do_not_trouble_later_stages(scenes, tmp_path, capsys):
    data = shutil.copytree(scenes, tmp_path / "photos")
    (data / "broken.jpg").write_text("no photo")
    prepared(opened(data, tmp_path / "run"))
    assert "1 of 25 photos left out" in capsys.readouterr().out
    prepared(opened(data, tmp_path / "run"))
    assert capsys.readouterr().out == ""  # nothing is prepared or decoded again


def test_a_folder_of_something_else_is_no_run_folder(scenes, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match="is not a run folder"):
        opened(scenes, tmp_path / "run", force=True)
    assert (tmp_path / "run" / "thesis.tex").read_text() == "precious"


def test_hidden_files_are_in_nobodys_way_and_stay(scenes, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".env").write_text("precious")
    with pytest.raises(UserError, match="at least 8"):
        prepared(opened(scenes, tmp_path / "run", limit=3))
    assert (tmp_path / "run" / ".env").read_text() == "precious"


def test_the_run_folder_may_not_lie_in_the_photos(scenes, tmp_path):
    data = shutil.copytree(scenes, tmp_path / "photos")
    with pytest.raises(UserError, match="lies in the photo folder"):
        prepared(opened(data, data / "runs" / "mine"))
    assert not (data / "runs").exists()
