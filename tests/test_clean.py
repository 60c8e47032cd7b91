"""`clean` finds what was planted among good photos, says why, and moves aside without losing anything."""

import csv
import errno
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from skimage.color import lab2rgb

from fastcolor.cli import run_command
from fastcolor.photo.likeness import HASH_BITS
from fastcolor.photo.write import save_photo
from fastcolor.prep import clean as module
from fastcolor.prep.clean import Look, clean, find_duplicates, judge, look, move_aside
from fastcolor.scenes.landscapes import draw_scene


@pytest.fixture(scope="module")
def photos():
    """Ten drawn photos of 96 px."""
    return [draw_scene(seed, 96) for seed in range(10)]


@pytest.fixture
def folder(tmp_path, photos):
    """Six good photos, and one of each kind that is not."""
    src = tmp_path / "src"
    for n, photo in enumerate(photos[:6]):
        save_photo(photo, src / f"good/{n}.jpg")
    save_photo(photos[6].convert("L").convert("RGB"), src / "bad/grey.jpg")
    save_photo(photos[7].crop((0, 0, 63, 90)), src / "bad/tiny.jpg")
    save_photo(Image.new("RGB", (96, 96), (200, 30, 60)), src / "bad/flat.jpg")
    save_photo(photos[0].resize((80, 80)), src / "bad/copy.png")
    (src / "bad/broken.jpg").write_bytes((src / "good/0.jpg").read_bytes()[:700])
    return src


BAD = {
    "bad/broken.jpg": "unreadable",
    "bad/tiny.jpg": "tiny",
    "bad/flat.jpg": "flat",
    "bad/grey.jpg": "grey",
    "bad/copy.png": "duplicate",
}


def run(*arguments):
    return run_command(clean, [str(argument) for argument in arguments])


def report(dst):
    with open(dst / "clean.csv", newline="") as file:
        return {row["file"]: (row["kind"], row["reason"]) for row in csv.DictReader(file)}


def kinds(dst):
    return {file: kind for file, (kind, _) in report(dst).items()}


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def verdicts(*photos):
    """The kind that is found in each image, None for a good one."""
    found = {f.file: f.kind for f in judge({Path(str(n)): look(photo) for n, photo in enumerate(photos)})}
    return [found.get(str(n)) for n in range(len(photos))]


def test_everything_planted_is_found_nothing_else_and_nothing_is_touched(folder, tmp_path, capsys):
    before = contents(folder)
    assert run(folder, tmp_path / "dst") == 0
    assert kinds(tmp_path / "dst") == BAD
    assert contents(folder) == before
    out = capsys.readouterr().out
    assert out.startswith("11 photos: 1 unreadable, 1 tiny, 1 flat, 1 grey, 1 duplicate; see ")


def test_reasons_hold_the_measured_figures(folder, tmp_path):
    run(folder, tmp_path / "dst")
    reasons = {file: reason for file, (_, reason) in report(tmp_path / "dst").items()}
    assert "63 x 90 pixels" in reasons["bad/tiny.jpg"]
    assert "varies by 0.0 of 100" in reasons["bad/flat.jpg"]
    assert "within 0.0 of neutral" in reasons["bad/grey.jpg"]
    assert "the same as good/0.jpg" in reasons["bad/copy.png"]


@pytest.mark.parametrize("tint", [(255, 235, 205), (190, 215, 255), (205, 255, 215), (255, 190, 140)])
def test_a_grey_photo_in_one_tint_is_grey_even_as_a_small_jpeg(tint, tmp_path):
    for n in range(4):
        grey = np.asarray(draw_scene(n, 176).convert("L"))[..., None] / 255
        Image.fromarray((grey * tint).astype(np.uint8)).save(tmp_path / f"{n}.jpg", quality=85)
    tinted = [Image.open(tmp_path / f"{n}.jpg") for n in range(4)]
    assert verdicts(*tinted) == ["grey"] * 4


def test_a_pale_photo_of_several_hues_is_not_grey(photos):
    pale = [Image.blend(photo.convert("L").convert("RGB"), photo, 0.4) for photo in photos]
    assert verdicts(*pale) == [None] * len(pale)


def scene_of(lightness, a, b):
    """A photo of 96 px from Lab planes that broadcast."""
    planes = np.broadcast_arrays(lightness, a, b, np.zeros((96, 96)))[:3]
    return Image.fromarray((lab2rgb(np.stack(planes, axis=-1)) * 255 + 0.5).astype(np.uint8))


def test_one_hue_here_and_none_there_is_color_unless_it_follows_the_light():
    down, across = np.mgrid[0:1:96j, 0:1:96j]
    assert verdicts(scene_of(30 + 40 * down, 0, 30 * (across > 0.5))) == [None]
    assert verdicts(scene_of(30 + 40 * down, 0, 30 * down)) == ["grey"]


def test_opposite_hues_are_color_even_if_they_follow_the_light():
    down = np.linspace(0, 1, 96)[:, None]
    assert verdicts(scene_of(30 + 40 * down, 0, 24 * down - 12)) == [None]


def test_a_small_colorful_thing_in_a_grey_scene_makes_it_a_color_photo(photos):
    photo = photos[0].convert("L").convert("RGB")
    ImageDraw.Draw(photo).ellipse((40, 40, 55, 55), fill=(220, 40, 30))  # 2 % of the area
    assert verdicts(photo) == [None]


def test_contrast_is_the_spread_of_lightness():
    halves = np.zeros((64, 64, 3), dtype=np.uint8)
    halves[:, 32:] = 255  # L is 0 and 100
    assert look(Image.fromarray(halves)).contrast == pytest.approx(50, abs=0.01)


def test_hash_tells_where_it_gets_lighter_to_the_right():
    ramp = np.repeat(np.linspace(0, 255, 72).astype(np.uint8)[None, :, None], 3, axis=2).repeat(64, axis=0)
    assert look(Image.fromarray(ramp)).dhash == "ff" * 8
    assert look(Image.fromarray(np.ascontiguousarray(ramp[:, ::-1]))).dhash == "00" * 8


def test_the_largest_of_a_group_is_kept(photos):
    group = [photos[0].resize((side, side)) for side in (80, 96, 70)]
    assert verdicts(*group, photos[1]) == ["duplicate", None, "duplicate", None]


def test_recompressed_and_slightly_brighter_copies_are_duplicates(photos, tmp_path):
    photos[2].save(tmp_path / "worse.jpg", quality=40)
    brighter = photos[2].point(lambda value: min(255, int(value * 1.04)))
    assert verdicts(photos[2], Image.open(tmp_path / "worse.jpg"), brighter) == [None, "duplicate", "duplicate"]


def test_similar_skies_with_different_things_in_them_are_no_duplicates():
    down = np.linspace(250, 120, 96)[:, None, None]
    sky = (down * [0.75, 0.85, 1] + np.linspace(0, 12, 96)[:, None]).clip(0, 255).astype(np.uint8)
    skies = [Image.fromarray(sky), Image.fromarray(sky)]
    ImageDraw.Draw(skies[0]).rectangle((4, 66, 24, 95), fill=(20, 40, 20))
    ImageDraw.Draw(skies[1]).rectangle((55, 60, 75, 95), fill=(90, 40, 20))
    bits = [np.unpackbits(np.frombuffer(bytes.fromhex(look(sky).dhash), np.uint8)) for sky in skies]
    assert (bits[0] != bits[1]).sum() <= HASH_BITS  # the hash alone would take them for one
    assert verdicts(*skies) == [None, None]


def test_duplicates_are_found_across_blocks_as_by_comparing_all_with_all():
    rng = np.random.default_rng(0)
    looks = {}
    for n in range(700):
        bits, thumbnail = rng.integers(0, 2, 64, dtype=np.uint8), rng.integers(0, 256, 768, dtype=np.uint8)
        if n >= 600:  # of one in the second block, with so many bits changed
            original = looks[Path(f"{n - 300:03d}")]
            bits = np.unpackbits(np.frombuffer(bytes.fromhex(original.dhash), np.uint8))
            bits[: n % 25] ^= 1
            thumbnail = np.frombuffer(bytes.fromhex(original.thumbnail), np.uint8)
        dhash, size = np.packbits(bits).tobytes().hex(), 900 - n
        looks[Path(f"{n:03d}")] = Look(size, size, 20, 30, 20, 20, dhash, thumbnail.tobytes().hex())
    found = {finding.file: finding.reason for finding in find_duplicates(looks)}
    assert sorted(found) == [str(n) for n in range(600, 700) if n % 25 <= HASH_BITS]
    assert all(f"the same as {int(file) - 300:03d}:" in reason for file, reason in found.items())


def test_flagged_photos_move_aside_with_their_tree(folder, tmp_path, capsys):
    before = contents(folder)
    assert run(folder, tmp_path / "dst", "--move", tmp_path / "aside") == 0
    assert contents(tmp_path / "aside") == {name: before[name] for name in BAD}
    assert contents(folder) == {name: data for name, data in before.items() if name not in BAD}
    assert f"5 moved to {tmp_path / 'aside'}\n" in capsys.readouterr().out


def test_moving_goes_on_after_it_was_stopped_and_the_report_stays_complete(folder, tmp_path, monkeypatch):
    moved = []

    def stops(source, target):
        if len(moved) == 2:
            raise KeyboardInterrupt
        moved.append(source)
        return move_aside(source, target)

    monkeypatch.setattr(module, "move_aside", stops)
    assert run(folder, tmp_path / "dst", "--move", tmp_path / "aside") == 130
    monkeypatch.undo()
    assert run(folder, tmp_path / "dst", "--move", tmp_path / "aside") == 0
    assert sorted(contents(tmp_path / "aside")) == sorted(BAD)
    assert kinds(tmp_path / "dst") == BAD


def test_a_file_that_is_there_already_is_never_overwritten(folder, tmp_path, capsys):
    taken = tmp_path / "aside/bad/grey.jpg"
    taken.parent.mkdir(parents=True)
    taken.write_text("mine")
    assert run(folder, tmp_path / "dst", "--move", tmp_path / "aside") == 0
    assert taken.read_text() == "mine"
    assert (folder / "bad/grey.jpg").exists()
    assert "4 moved to" in capsys.readouterr().out


def test_moving_between_disks_copies_whole_files(folder, tmp_path, monkeypatch):
    def other_disk(source, target):
        if Path(target).exists():
            raise FileExistsError
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", other_disk)
    before = contents(folder)
    run(folder, tmp_path / "dst", "--move", tmp_path / "aside")
    assert contents(tmp_path / "aside") == {name: before[name] for name in BAD}
    assert not any((folder / name).exists() for name in BAD)


def test_a_copy_whose_original_was_not_deleted_yet_is_finished(tmp_path):
    (tmp_path / "a").write_text("same")
    (tmp_path / "b").write_text("same")
    assert move_aside(tmp_path / "a", tmp_path / "b")
    assert not (tmp_path / "a").exists() and (tmp_path / "b").read_text() == "same"


def test_a_second_run_opens_only_what_has_changed(folder, tmp_path, photos, monkeypatch):
    run(folder, tmp_path / "dst")
    with open(tmp_path / "dst/looks.jsonl", "a") as file:
        file.write('["good/1.jpg", "half a li')  # as a run that was killed leaves it
    save_photo(photos[8], folder / "good/3.jpg")
    opened = []

    def watched(path):
        opened.append(path.name)
        return open_photo(path)

    open_photo = module.open_photo
    monkeypatch.setattr(module, "open_photo", watched)
    assert run(folder, tmp_path / "dst") == 0
    assert sorted(opened) == ["3.jpg", "broken.jpg"]
    assert kinds(tmp_path / "dst") == BAD


def test_a_folder_of_broken_files_is_an_error_that_is_still_reported(tmp_path, capsys):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.jpg").write_bytes(b"")
    assert run(tmp_path / "src", tmp_path / "dst") == 2
    assert f"no photo in {tmp_path / 'src'} could be read: see" in capsys.readouterr().err
    assert kinds(tmp_path / "dst") == {"a.jpg": "unreadable"}


@pytest.mark.parametrize("option", [[], ["--move"]])
def test_report_and_moved_photos_stay_out_of_the_source(folder, tmp_path, option, capsys):
    before = contents(folder)
    arguments = [folder, tmp_path / "dst", *option, folder / "x"] if option else [folder, folder / "x"]
    assert run(*arguments) == 2
    assert "is inside the source folder" in capsys.readouterr().err
    assert contents(folder) == before


def test_parts_find_together_what_one_command_finds(folder, tmp_path, monkeypatch, capsys):
    assert run(folder, tmp_path / "alone") == 0
    for number in (1, 2, 3):
        assert run(folder, tmp_path / "parts", "--shard", f"{number}/3") == 0
        assert not (tmp_path / "parts/clean.csv").exists()
    opened = []
    open_photo = module.open_photo
    monkeypatch.setattr(module, "open_photo", lambda path: opened.append(path.name) or open_photo(path))
    assert run(folder, tmp_path / "parts") == 0
    assert opened == ["broken.jpg"]  # all others have been looked at
    assert contents(tmp_path / "parts")["clean.csv"] == contents(tmp_path / "alone")["clean.csv"]
    capsys.readouterr()
    assert run(folder, tmp_path / "parts", "--shard", "1/3", "--move", tmp_path / "aside") == 2
    assert "--move and --strict are for the command that writes the report" in capsys.readouterr().err
