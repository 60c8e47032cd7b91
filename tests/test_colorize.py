"""`fastcolor colorize` as a user calls it: what it writes where, what it never touches, and how it ends."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from photo_files import icc_profile, noise, save
from PIL import Image

from fastcolor.cli import run_command
from fastcolor.colorize import colorizer as inference
from fastcolor.colorize import flow, folder, plan
from fastcolor.photo import tiff_write
from fastcolor.photo.read import read_photo

SHIFT = 40  # what the stand-in adds to red


class Painter:
    """Stands in for Colorizer: a reddish copy, so that one sees what was coloured."""

    def __init__(self, weights=None, **options):
        Painter.options = {"weights": weights, **options}

    def pixels(self, pixels):
        return painted(pixels)


def painted(pixels):
    colored = pixels.copy() if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
    colored[..., 0] = np.minimum(colored[..., 0].astype(int) + SHIFT, np.iinfo(pixels.dtype).max)
    return colored


@pytest.fixture(autouse=True)
def stand_in(monkeypatch, tmp_path):
    monkeypatch.setattr(inference, "Colorizer", Painter)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def album():
    """A folder of photos at different depths, formats and spellings, and of what is no photo."""
    for seed, name in enumerate(["a.png", "sub/b.JPG", "sub/deep er/ü.webp", "sub/c.tiff"]):
        os.makedirs(os.path.dirname(f"album/{name}") or ".", exist_ok=True)
        save(f"album/{name}", noise(seed))
    Path("album/notes.txt").touch()
    return "album"


def call(*argv):
    return run_command(folder.main, [str(word) for word in argv], prog="fastcolor colorize")


def files_below(folder):
    """All but what the folder remembers of its results."""
    return sorted(
        os.path.relpath(os.path.join(root, name), folder).replace(os.sep, "/")
        for root, _, names in os.walk(folder)
        for name in names
        if name != ".fastcolor.jsonl"
    )


def contents(folder):
    return {name: Path(folder, name).read_bytes() for name in files_below(folder)}


def test_a_folders_tree_is_kept(album, capsys):
    assert call(album, "-o", "out") == 0
    assert files_below("out") == ["a.png", "sub/b.JPG", "sub/c.tiff", "sub/deep er/ü.webp"]
    assert np.array_equal(Image.open("out/a.png"), painted(noise(0)))
    assert Image.open("out/sub/b.JPG").format == "JPEG"
    out = capsys.readouterr()
    assert out.out.startswith("4 coloured in ")
    assert "photos/s" in out.out
    assert not out.err


def test_one_photo_becomes_one_file(album):
    assert call("album/a.png", "-o", "new/b.tif") == 0
    assert files_below("new") == ["b.tif"]
    assert np.array_equal(Image.open("new/b.tif"), painted(noise(0)))


def test_photos_given_by_name_and_by_pattern_go_into_the_folder(album):
    assert call("album/a.png", "album/sub/*.[jJ]*", "album/**/*.webp", "--out", "out") == 0
    assert files_below("out") == ["a.png", "b.JPG", "ü.webp"]


def test_a_name_that_looks_like_a_pattern_is_a_name():
    save("a[1].png", noise(1))
    save("a1.png", noise(2))
    assert call("a[1].png", "-o", "out") == 0
    assert files_below("out") == ["a[1].png"]


def test_finished_photos_are_skipped(album, capsys):
    os.makedirs("out")
    Path("out/a.png").touch()
    assert call(album, "-o", "out") == 0
    assert os.path.getsize("out/a.png") == 0
    assert "3 coloured" in capsys.readouterr().out
    before = contents("out")
    assert call(album, "-o", "out") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "0 coloured, 4 skipped: already done"
    assert "of 1 of the skipped it is not known how they were made: --overwrite" in out[1]
    assert contents("out") == before


def test_results_inside_the_folder_are_not_coloured_again(album):
    assert call(album, "-o", "album/coloured") == 0
    assert call(album, "-o", "album/coloured") == 0
    assert files_below("album/coloured") == ["a.png", "sub/b.JPG", "sub/c.tiff", "sub/deep er/ü.webp"]


def test_a_format_renames_all_but_its_own(album):
    assert call(album, "-o", "out", "--format", "jpg") == 0
    assert files_below("out") == ["a.jpg", "sub/b.JPG", "sub/c.jpg", "sub/deep er/ü.jpg"]
    assert all(Image.open(f"out/{name}").format == "JPEG" for name in files_below("out"))


def test_a_file_whose_name_says_no_format_becomes_png():
    save("scan.jpg", noise())
    os.rename("scan.jpg", "scan.old")
    assert call("scan.old", "-o", "out") == 0
    assert files_below("out") == ["scan.old.png"]


def test_quality_is_that_of_the_jpeg():
    save("a.png", noise(height=64, width=64))
    for quality in (20, 90):
        assert call("a.png", "-o", f"{quality}.jpg", "--quality", quality) == 0
    assert os.path.getsize("20.jpg") < os.path.getsize("90.jpg") / 2


def test_side_by_side_shows_before_and_after():
    grey, alpha = noise(1, channels=1)[..., 0], noise(2, channels=1)[..., 0]
    save("grey.png", grey)
    save("clear.png", np.dstack([noise(3), alpha]))
    assert call("grey.png", "clear.png", "-o", "out", "--side-by-side") == 0
    assert np.array_equal(Image.open("out/grey.png"), np.hstack([painted(grey) * 0 + grey[..., None], painted(grey)]))
    both = np.asarray(Image.open("out/clear.png"))
    assert np.array_equal(both[..., :3], np.hstack([noise(3), painted(noise(3))]))
    assert np.array_equal(both[..., 3], np.hstack([alpha, alpha]))


def test_pages_transparency_and_16_bits_are_kept(capsys):
    pages = [Image.fromarray(noise(seed)) for seed in range(3)]
    pages[0].save("pages.tif", save_all=True, append_images=pages[1:])
    save("deep.png", noise(dtype=np.uint16, channels=1)[..., 0])
    save("clear.webp", np.dstack([noise(3), noise(4, channels=1)]), lossless=True, exact=True)
    assert call("pages.tif", "deep.png", "clear.webp", "-o", "out", "--quality", 100) == 0
    with Image.open("out/pages.tif") as image:
        for seed in range(3):
            image.seek(seed)
            assert np.array_equal(image, painted(noise(seed)))
    deep = read_photo("out/deep.png").pages[0].pixels
    assert np.array_equal(deep, painted(noise(dtype=np.uint16, channels=1)[..., 0]))
    assert np.array_equal(np.asarray(Image.open("out/clear.webp"))[..., 3], noise(4, channels=1)[..., 0])


def test_options_reach_the_network():
    save("a.png", noise())
    options = {"weights": "w.onnx", "size": 99, "strength": 0.5, "chroma": "guided", "device": "cpu"}
    call("a.png", "-o", "out", *(word for name, value in options.items() for word in (f"--{name}", value)))
    assert Painter.options == options


def test_what_is_not_as_in_the_file_is_said(capsys):
    for name in ("a.jpg", "b.jpg"):
        save(name, noise(), icc_profile=icc_profile())
    save("c.gif", noise())
    assert call("a.jpg", "b.jpg", "c.gif", "-o", "out") == 0
    lines = capsys.readouterr().out.splitlines()[2:]  # they are in colour
    assert lines[0] == "  a.jpg and 1 more: ICC profile Adobe RGB (1998) converted to sRGB"
    assert lines[1] == "  c.gif: not marked as coloured by a machine: GIF can't hold that"
    assert lines[2].startswith("  c.gif: reduced to 256 colours")


def test_one_bad_file_does_not_stop_the_others(album, capfd):
    save("album/b.tif", noise(height=200, width=200), compression="tiff_adobe_deflate")
    data = Path("album/b.tif").read_bytes()
    Path("album/b.tif").write_bytes(data[:300] + bytes(19_700) + data[20_000:])  # libtiff itself tells, past Python
    Path("album/empty.jpg").touch()
    Path("album/text.jpg").write_text("text")
    os.mkdir("album/folder.png")
    os.symlink("loop.png", "album/loop.png")
    assert call(album, "-o", "out") == 1
    assert len(files_below("out")) == 4
    out = capfd.readouterr()
    assert out.out.startswith("4 coloured")
    lines = out.err.splitlines()
    assert lines[0] == "4 could not be coloured:"
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        f"album/{name}" for name in ("b.tif", "empty.jpg", "loop.png", "text.jpg")
    ]
    assert call(album, "-o", "out") == 1
    assert "0 coloured, 4 skipped" in capfd.readouterr().out


def test_inputs_that_are_not_there_are_listed_and_the_others_coloured(capsys):
    save("a.png", noise())
    os.mkdir("nothing")
    assert call("a.png", "none.jpg", "no*.jpg", "nothing", "-o", "out") == 1
    assert files_below("out") == ["a.png"]
    err = capsys.readouterr().err
    assert err.startswith("3 could not be coloured:")
    assert "none.jpg: there is no such file" in err
    assert "no*.jpg: no file has such a name" in err
    assert "nothing: holds no photos" in err


def test_a_photo_that_the_format_cannot_hold_is_listed(capsys):
    save("a.png", np.zeros((1, 17_000), np.uint8))
    assert call("a.png", "-o", "out", "--format", "webp") == 1
    assert "out/a.webp: 17,000 x 1 pixels can't be written as WebP" in capsys.readouterr().err.replace(os.sep, "/")
    assert files_below("out") == []


SAME = {  # argv, what is said
    "the file itself": (["album/a.png", "-o", "album/a.png"], "is the photo album/a.png itself"),
    "its folder": (["album/a.png", "-o", "album"], "is the photo album/a.png itself"),
    "the folder itself": (["album", "-o", "album"], "album is the folder of the photos itself"),
    "a link to the folder": (["album", "-o", "link"], "link is the folder of the photos itself"),
    "a file that is linked": (["album/a.png", "-o", "soft.png"], "soft.png is the photo album/a.png itself"),
    "a file with two names": (["album/a.png", "-o", "hard.png"], "hard.png is the photo album/a.png itself"),
}


@pytest.mark.parametrize("case", SAME)
def test_nothing_is_overwritten(album, case, capsys):
    save("album/a.bmp", noise(5))
    save("album/sub/a.png", noise(6))
    os.symlink("album", "link")
    os.symlink("album/a.png", "soft.png")
    os.link("album/a.png", "hard.png")
    before = contents(".")
    argv, said = SAME[case]
    assert call(*argv) == 2
    err = capsys.readouterr().err.replace(os.sep, "/")
    assert said in err
    assert err.count("\n") == 1
    assert contents(".") == before


def test_a_photo_given_twice_is_coloured_once(album, capsys):
    assert call("album/a.png", "./album/a.png", "album", "-o", "out") == 0
    assert "4 coloured" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["album", "-o", "out.jpg"], "out.jpg is one file, but there are 4 photos: give a folder"),
        (["album/a.png", "-o", "out.psd"], ".psd can't be written: choose .jpg, .jpeg"),
        (["album/a.png", "-o", "out.jpg", "--format", "png"], "is not a file of --format png"),
        (["album", "-o", "album/notes.txt"], "album/notes.txt is a file: give a folder"),
        (["album", "-o", "out", "--quality", "0"], "--quality must be from 1 to 100, not 0"),
        (["album", "-o", "album/notes.txt/out"], "album/notes.txt"),
    ],
)
def test_a_wrong_option_is_answered_by_one_sentence(album, argv, said, capsys):
    before = contents(".")
    assert call(*argv) == 2
    err = capsys.readouterr().err.replace(os.sep, "/")
    assert said in err
    assert err.count("\n") == 1
    assert contents(".") == before


def test_a_folder_may_be_called_like_a_file(album):
    assert call("album/a.png", "-o", "v1.5/") == 0
    assert call(album, "-o", "v2.5") == 0
    assert files_below("v1.5") == ["a.png"]
    assert len(files_below("v2.5")) == 4


def test_stopped_by_ctrl_c_it_goes_on_with_the_same_command(album, monkeypatch, capsys):
    assert call(album, "-o", "whole") == 0
    calls = []

    def stop(self, pixels):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return painted(pixels)

    with monkeypatch.context() as patch:
        patch.setattr(Painter, "pixels", stop)
        assert call(album, "-o", "out") == 130
    assert "the same command goes on" in capsys.readouterr().err
    done = contents("out")
    assert 0 < len(done) < 3
    assert all(contents("whole")[name] == data for name, data in done.items())
    assert call(album, "-o", "out") == 0
    assert contents("out") == contents("whole")


def test_a_full_disk_ends_it_in_one_sentence(album, monkeypatch, capsys):
    def full(photo, path, quality):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(flow, "write_photo", full)
    assert call(album, "-o", "out") == 2
    err = capsys.readouterr().err
    assert "does not fit on the disk" in err
    assert err.count("\n") == 1


def test_reading_and_writing_go_on_while_a_photo_is_coloured(album, monkeypatch):
    """Each waits for what the others can only do at the same time: in turn, the test would wait for its timeout."""
    later_read, earlier_written = threading.Event(), threading.Event()
    read_pages, write_photo, colored = flow.read_pages, flow.write_photo, []

    def read(path, *options, **named):
        if path.name == "c.tiff":
            later_read.set()
        return read_pages(path, *options, **named)

    def write(photo, path, quality):
        notes = write_photo(photo, path, quality)
        earlier_written.set()
        return notes

    def color(self, pixels):
        colored.append(1)
        if len(colored) == 2:
            assert later_read.wait(20)
            assert earlier_written.wait(20)
        return painted(pixels)

    monkeypatch.setattr(flow, "read_pages", read)
    monkeypatch.setattr(flow, "write_photo", write)
    monkeypatch.setattr(Painter, "pixels", color)
    assert call(album, "-o", "out") == 0


@pytest.mark.parametrize("pages", [1, 12])
@pytest.mark.parametrize(("need", "most"), [(0, 2 * flow.AHEAD + 1), (0.5, 2), (0.6, 1)])
def test_large_photos_and_pages_do_not_pile_up(monkeypatch, need, most, pages):
    """`need` is the share of the memory that one page takes; 12 pages in one file or in a file each."""
    held, highest = [0], [0]
    read_pages, strips = flow.read_pages, tiff_write._packed

    def read(path, *options, **named):
        for page in read_pages(path, *options, **named):
            held[0] += 1
            highest[0] = max(highest[0], held[0])
            yield page

    def packed(strip):  # one for each of these small pages
        data = strips(strip)
        held[0] -= 1
        return data

    monkeypatch.setattr(flow, "needs_of", lambda path: [int(need * flow.MEMORY)] * pages)
    monkeypatch.setattr(flow, "read_pages", read)
    monkeypatch.setattr(tiff_write, "_packed", packed)
    for number in range(12 // pages):
        drawn = [Image.fromarray(noise(number)) for _ in range(pages)]
        drawn[0].save(f"{number}.tif", save_all=True, append_images=drawn[1:])
    assert call("*.tif", "-o", "out") == 0
    assert len(files_below("out")) == 12 // pages
    assert sum(Image.open(f"out/{name}").n_frames for name in files_below("out")) == 12
    assert held[0] == 0
    assert highest[0] <= most


def test_an_observer_is_told_what_begins_with_each_photo(album):
    jobs = plan.plan([album], "out", None).jobs
    told = []
    outcomes = dict(flow.color_all(jobs, painted, tell=lambda job, state: told.append((job, state))))
    assert set(outcomes) == set(jobs) and not any(outcome.failure for outcome in outcomes.values())
    for job in jobs:
        assert [state for other, state in told if other == job] == ["reading", "colouring", "writing"]
