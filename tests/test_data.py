"""From folders to batches: pairs that belong together, a split that never leaks, a cache that notices changes."""

import csv
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import rgb2lab

from fastcolor.data import PhotoBatches, color_batches, critic_batches, load_photos
from fastcolor.errors import UserError
from fastcolor.run import open_run
from fastcolor.spaces import SPACES

LAB = SPACES["lab"]


def opened(data, path, **options):
    return open_run(data=str(data), run=str(path), device="cpu", precision="fp32", **{"size": 32, **options})


def test_a_batch_holds_the_photos_light_and_its_colors(scenes, tmp_path):
    run = opened(scenes, tmp_path / "run")
    photos = load_photos(run)
    x, y = next(iter(color_batches(run, photos, LAB).valid))
    row = photos.valid[0]
    side = photos.pixels.shape[1]
    with Image.open(scenes / photos.names[row]) as image:
        expected = rgb2lab(np.asarray(image.resize((side, side), Image.Resampling.BOX)))
    spare = (side - 32) // 2
    expected = expected[spare : spare + 32, spare : spare + 32]
    lab = LAB.to_lab(y)[0].permute(1, 2, 0).numpy()
    assert torch.equal(y[:, :1], x)
    # L comes from the grey mirror: 8-bit grey, made before the photo is reduced
    assert np.abs(lab[..., 0] - expected[..., 0]).mean() < 1
    np.testing.assert_allclose(lab[..., 1:], expected[..., 1:], atol=1e-2)


def test_both_spaces_give_the_photo_back(scenes, tmp_path):
    run = opened(scenes, tmp_path / "run")
    photos = load_photos(run)
    for space in SPACES.values():
        _, y = next(iter(color_batches(run, photos, space).valid))
        rgb = torch.from_numpy(photos.pixels[photos.valid, 2:34, 2:34, 1:].copy()).permute(0, 3, 1, 2) / 255
        assert (space.to_rgb(y) - rgb).abs().mean() < 0.02


def test_the_split_is_written_once_and_kept(scenes, tmp_path):
    run = opened(scenes, tmp_path / "run")
    first = load_photos(run)
    written = (tmp_path / "run" / "split.csv").read_text()
    again = load_photos(opened(scenes, tmp_path / "run"))
    assert (tmp_path / "run" / "split.csv").read_text() == written
    assert set(first.train.tolist()) == set(again.train.tolist())
    assert not set(first.train.tolist()) & set(first.valid.tolist())
    assert len(first.train) + len(first.valid) == 24


def test_the_split_follows_from_the_seed(scenes, tmp_path):
    splits = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        load_photos(opened(scenes, tmp_path / name, seed=seed))
        splits[name] = (tmp_path / name / "split.csv").read_text()
    assert splits["a"] == splits["b"] != splits["c"]


def test_a_changed_photo_is_decoded_again(scenes, tmp_path):
    data = shutil.copytree(scenes, tmp_path / "photos")
    run = opened(data, tmp_path / "run")
    before = load_photos(run)
    name = before.names[0]
    Image.new("RGB", (50, 50), (255, 0, 0)).save(data / name)
    after = load_photos(opened(data, tmp_path / "run"))
    assert (after.pixels[0, ..., 1:] == (255, 0, 0)).all()
    assert (after.pixels[0, ..., 0] == 127).all()  # the grey mirror follows: L* 53.24 of pure red as neutral grey
    assert np.array_equal(after.pixels[1], before.pixels[1])


def test_a_photo_that_has_gone_is_named(scenes, tmp_path):
    data = shutil.copytree(scenes, tmp_path / "photos")
    photos = load_photos(opened(data, tmp_path / "run"))
    (data / photos.names[3]).unlink()
    with pytest.raises(UserError, match=f"{photos.names[3]}.*put it back"):
        load_photos(opened(data, tmp_path / "run"))


def test_a_users_own_grey_mirror_is_looked_at(scenes, tmp_path):
    grey = tmp_path / "grey"
    grey.mkdir()
    for file in scenes.iterdir():
        Image.new("L", Image.open(file).size, 77).save(grey / file.name)
    photos = load_photos(opened(scenes, tmp_path / "run", grey=str(grey)))
    assert (photos.pixels[..., 0] == 77).all()
    assert not (tmp_path / "run" / "grey").exists()


def test_a_photo_without_grey_partner_is_left_out_and_listed(scenes, tmp_path):
    grey = tmp_path / "grey"
    shutil.copytree(scenes, grey)
    missing = sorted(grey.iterdir())[5]
    missing.unlink()
    photos = load_photos(opened(scenes, tmp_path / "run", grey=str(grey)))
    with open(tmp_path / "run" / "unreadable.csv", newline="") as file:
        (listed,) = csv.DictReader(file)
    assert listed["file"] == missing.name
    assert "no grey partner" in listed["reason"]
    assert len(photos.train) + len(photos.valid) == 23


def numbered(count: int, side: int) -> np.ndarray:
    """Squares whose every pixel names its photo and place."""
    pixels = np.zeros((count, side, side, 4), np.uint8)
    pixels[..., 0] = np.arange(count)[:, None, None]
    pixels[..., 1] = np.arange(side)[None, :, None]
    pixels[..., 2] = np.arange(side)[None, None, :]
    return pixels


def batches(train: bool, **options) -> PhotoBatches:
    common = {"size": 8, "bs": 5, "device": torch.device("cpu"), "seed": 3, "train": train, **options}
    return PhotoBatches([numbered(12, 12)], np.arange(12), lambda pixels: (pixels * 255).round().long(), **common)


def test_an_epoch_shows_each_photo_at_most_once_and_crops_within_it():
    loader = batches(train=True)
    seen = torch.cat(list(loader))
    assert len(loader) == 2
    names = seen[:, 0, 0, 0].tolist()
    assert len(set(names)) == len(names) == 10
    steps = seen[:, 2, :, 1:] - seen[:, 2, :, :-1]
    assert set(steps.flatten().tolist()) == {1, -1}  # neighbours stay neighbours, some photos are mirrored
    assert len(set(seen[:, 1, 0, 0].tolist())) > 1  # crops differ


def test_what_an_epoch_shows_follows_from_seed_and_epoch():
    loader, twin, other = batches(train=True), batches(train=True), batches(train=True, seed=4)
    loader.epoch = twin.epoch = other.epoch = 2
    first, again, seeded = (torch.cat(list(each)) for each in (loader, twin, other))
    loader.epoch = 3
    assert torch.equal(first, again)
    assert not torch.equal(first, seeded)
    assert not torch.equal(first, torch.cat(list(loader)))


def test_validation_shows_every_photos_centre_in_order():
    seen = torch.cat(list(batches(train=False)))
    assert seen[:, 0, 0, 0].tolist() == list(range(12))
    assert seen[0, 1, :, 0].tolist() == list(range(2, 10))


def test_a_critics_batch_is_half_real_half_fake_of_the_same_crops(scenes, tmp_path):
    run = opened(scenes, tmp_path / "run", bs=6)
    photos = load_photos(run)
    fakes = photos.pixels[..., 1:][..., ::-1].copy()  # red and blue exchanged
    images, is_real = next(iter(critic_batches(run, photos, fakes, LAB).train))
    assert is_real.tolist() == [1, 1, 1, 0, 0, 0]
    assert torch.equal(images[:3, :1], images[3:, :1])
    real, fake = LAB.to_rgb(images[:3]), LAB.to_rgb(images[3:])
    assert (real - fake).abs().mean() > 0.01
    # the same crops: exchanging the channels back gives nearly the same colours (light stays the photo's)
    assert (fake.flip(1) - real).abs().mean() < (fake - real).abs().mean()


def png(path, size=(40, 40), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size).save(path)


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
        load_photos(opened(data, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_odd_photos_train_like_others(scenes, tmp_path):
    data = shutil.copytree(scenes, tmp_path / "photos")
    rng = np.random.default_rng(0)
    png(data / "tiny.png", (1, 1))
    png(data / "wide.png", (3000, 20))
    png(data / "grey.png", mode="L")
    png(data / "sub" / "cmyk.jpg", mode="CMYK")
    Image.fromarray(rng.integers(0, 255, (30, 30, 3), np.uint8)).quantize(16).save(data / "palette.png")
    Image.fromarray(np.arange(900, dtype=np.uint16).reshape(30, 30) * 70).save(data / "deep.png")
    (data / "cut.jpg").write_bytes((data / "sub" / "cmyk.jpg").read_bytes()[:200])
    photos = load_photos(opened(data, tmp_path / "run"))
    assert len(photos.train) + len(photos.valid) == 24 + 6
    assert "cut.jpg" in (tmp_path / "run" / "unreadable.csv").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 7}, "--size 7 makes no sense: give at least 32"),
        ({"bs": 1}, "--bs 1 makes no sense"),
        ({"seed": -1}, "--seed -1 makes no sense"),
        ({"bs": 23}, "--bs 23 is larger than the 22 training photos"),
        ({"limit": 0}, "--limit 0"),
        ({"limit": 3}, "at least 8"),
        ({"device": "tpu"}, "--device tpu does not exist"),
        ({"precision": "int8"}, "--precision int8 does not exist"),
        ({"resume": True, "force": True}, "give one of them"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, message, scenes, tmp_path):
    with pytest.raises(UserError, match=message):
        load_photos(open_run(data=str(scenes), run=str(tmp_path / "run"), **{"size": 32, **options}))
    assert not (tmp_path / "run").exists()


def test_a_run_folder_with_other_settings_is_refused_unless_forced(scenes, tmp_path):
    load_photos(opened(scenes, tmp_path / "run"))
    with pytest.raises(UserError, match="holds a run with --size 32, not 48.*--force"):
        opened(scenes, tmp_path / "run", size=48)
    assert load_photos(opened(scenes, tmp_path / "run")).pixels.shape[1] == 36
    load_photos(open_run(run=str(tmp_path / "run"), size=48, force=True))
    again = open_run(run=str(tmp_path / "run"))
    assert load_photos(again).pixels.shape[1] == 54
    assert again.photos == scenes  # what was not given again stays


def test_forcing_settings_that_can_not_be_keeps_what_is_there(scenes, tmp_path):
    load_photos(opened(scenes, tmp_path / "run"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no photos"):
        load_photos(opened(tmp_path / "empty", tmp_path / "run", force=True))
    assert (tmp_path / "run" / "split.csv").exists()
    assert open_run(run=str(tmp_path / "run")).photos == scenes


def test_unreadable_photos_are_noted_once_and_do_not_trouble_later_stages(scenes, tmp_path, capsys):
    data = shutil.copytree(scenes, tmp_path / "photos")
    (data / "broken.jpg").write_text("no photo")
    load_photos(opened(data, tmp_path / "run"))
    assert "1 of 25 photos left out" in capsys.readouterr().out
    load_photos(opened(data, tmp_path / "run"))
    assert capsys.readouterr().out == ""  # nothing is prepared or decoded again


def test_a_folder_of_something_else_is_no_run_folder(scenes, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match="no run folder"):
        opened(scenes, tmp_path / "run", force=True)
    assert (tmp_path / "run" / "thesis.tex").read_text() == "precious"


def test_the_run_folder_may_not_lie_in_the_photos(scenes, tmp_path):
    data = shutil.copytree(scenes, tmp_path / "photos")
    with pytest.raises(UserError, match="lies in the photo folder"):
        load_photos(opened(data, data / "runs" / "mine"))
    assert not (data / "runs").exists()
