"""`fastcolor colorize` over folders, again and again: what it remembers, leaves out, lists, and says."""

import csv
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from photo_files import noise, save
from PIL import Image
from test_colorize import Painter, album, call, files_below, painted, stand_in  # noqa: F401 (fixtures)

from fastcolor.cli import run_command
from fastcolor.colorize import folder, report
from fastcolor.colorize.record import weights_of


def lines(capsys):
    return capsys.readouterr().out.splitlines()


GREY = noise(channels=1)[..., 0]


def test_results_of_other_settings_are_told_of_and_made_again_when_asked(album, capsys):  # noqa: F811
    assert call(album, "-o", "out") == 0
    assert call(album, "-o", "out", "--strength", "0.6") == 0
    assert "4 of the skipped were made with other settings" in capsys.readouterr().out
    assert call(album, "-o", "out", "--strength", "0.6", "--overwrite") == 0
    assert lines(capsys)[0].startswith("4 coloured")
    assert call(album, "-o", "out", "--strength", "0.6", "--overwrite") == 0
    assert lines(capsys) == ["0 coloured, 4 skipped: already done", "  1 file left out: 1 .txt"]
    assert call(album, "-o", "out", "--strength", "0.6", "--side-by-side", "--overwrite", "--first", "1") == 0
    assert lines(capsys)[0].startswith("1 coloured")


@pytest.mark.parametrize("flags", [[], ["--dry-run"]])
def test_missing_weights_are_named_even_if_all_is_done(flags, album, tmp_path, monkeypatch, capsys):  # noqa: F811
    assert call(album, "-o", "out") == 0
    monkeypatch.undo()  # the real Colorizer
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert call(album, "-o", "out", "--weights", "runs/mine.safetensors", *flags) == 2
    assert "runs/mine.safetensors does not exist" in capsys.readouterr().err


def test_a_photo_that_was_replaced_is_told_of_and_coloured_again_when_asked(album, capsys):  # noqa: F811
    call(album, "-o", "out")
    save("album/a.png", noise(9))
    capsys.readouterr()
    call(album, "-o", "out")
    assert (
        "1 of the skipped was made with other settings or from another version of the photo" in capsys.readouterr().out
    )
    call(album, "-o", "out", "--overwrite")
    assert lines(capsys)[0].startswith("1 coloured")
    assert np.array_equal(Image.open("out/a.png"), painted(noise(9)))


def test_a_record_that_was_cut_off_forgets_only_what_was_cut(album, capsys):  # noqa: F811
    call(album, "-o", "out")
    record = Path("out/.fastcolor.jsonl")
    record.write_bytes(record.read_bytes()[:-20] + b"\n[1]\n\xff\n")
    capsys.readouterr()
    assert call(album, "-o", "out") == 0
    assert "of 1 of the skipped it is not known how they were made" in capsys.readouterr().out


def test_results_inside_the_input_folder_are_left_out_and_said_so(album, capsys):  # noqa: F811
    assert call(album, "-o", "album/coloured") == 0
    capsys.readouterr()
    assert call(album, "-o", "elsewhere") == 0
    assert "  4 left out: results of fastcolor itself" in lines(capsys)
    assert files_below("elsewhere") == ["a.png", "sub/b.JPG", "sub/c.tiff", "sub/deep er/ü.webp"]
    assert call("album/coloured/a.png", "-o", "again") == 0  # given by name, it is meant
    assert files_below("again") == ["a.png"]


def test_without_a_mark_nothing_is_written_of_a_machine(album):  # noqa: F811
    assert call(album, "-o", "out", "--no-mark") == 0
    assert call(album, "-o", "marked") == 0
    assert not any(b"AISystemUsed" in Path("out", name).read_bytes() for name in files_below("out"))
    assert all(b"AISystemUsed>fastcolor<" in Path("marked", name).read_bytes() for name in files_below("marked"))


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(album, capsys):  # noqa: F811
    call("album/a.png", "-o", "out")
    Path("album/empty.jpg").touch()
    capsys.readouterr()
    assert call(album, "-o", "out", "--dry-run") == 1
    out = capsys.readouterr()
    assert out.out.replace(os.sep, "/").splitlines()[:4] == [
        "album/sub/b.JPG -> out/sub/b.JPG",
        "album/sub/c.tiff -> out/sub/c.tiff",
        "album/sub/deep er/ü.webp -> out/sub/deep er/ü.webp",
        "3 would be coloured, 1 skipped: already done, 1 refused",
    ]
    assert "album/empty.jpg: is empty" in out.err.replace(os.sep, "/")
    assert files_below("out") == ["a.png"]
    call(album, "-o", "out", "--dry-run", "--report", "all.csv")
    with open("all.csv", encoding="utf-8", newline="") as file:
        states = [row["state"] for row in csv.DictReader(file)]
    assert sorted(states) == ["failed", "skipped", *["would be coloured"] * 3]


def test_photos_in_colour_are_counted_and_left_when_asked(capsys):
    save("grey.png", np.dstack([GREY] * 3))
    save("sepia.png", (GREY[..., None] * [1, 0.85, 0.6]).astype(np.uint8))
    hues = np.zeros((64, 96, 3), np.uint8)
    hues[:, :48], hues[:, 48:] = (200, 60, 40), (40, 90, 200)
    save("colour.png", hues)
    assert call("grey.png", "sepia.png", "colour.png", "-o", "out") == 0
    assert "  1 was in colour already: --skip-colour leaves such photos" in lines(capsys)
    assert call("grey.png", "sepia.png", "colour.png", "-o", "other", "--skip-colour") == 0
    assert "  1 left out: in colour already" in lines(capsys)
    assert files_below("other") == ["grey.png", "sepia.png"]


def test_photos_whose_results_would_have_one_name_get_longer_ones():
    for name in ("IMG_1.jpg", "IMG_1.png", "IMG_1.bmp", "IMG_2.jpg"):
        save(name, GREY)
    assert call(".", "-o", "out", "--format", "png") == 0
    assert files_below("out") == ["IMG_1.bmp.png", "IMG_1.jpg.png", "IMG_1.png", "IMG_2.png"]


def test_of_several_folders_and_of_photos_of_one_name_the_folders_names_stay():
    for year in ("1950", "1960"):
        os.makedirs(f"in/{year}")
        save(f"in/{year}/scan0001.jpg", GREY)
    assert call("in/1950", "in/1960", "-o", "out") == 0
    assert files_below("out") == ["1950/scan0001.jpg", "1960/scan0001.jpg"]
    assert call("in/1950/scan0001.jpg", "in/1960/scan0001.jpg", "-o", "named") == 0
    assert files_below("named") == ["1950/scan0001.jpg", "1960/scan0001.jpg"]


def test_an_original_is_never_overwritten_and_the_others_are_coloured(album, capsys):  # noqa: F811
    save("album/sub/a.png", noise(6))
    before = Path("album/sub/a.png").read_bytes()
    assert call("album/a.png", "album/sub/b.JPG", "-o", "album/sub") == 1
    assert Path("album/sub/b.JPG").read_bytes()
    assert Path("album/sub/a.png").read_bytes() == before
    err = capsys.readouterr().err.replace(os.sep, "/")
    assert "album/sub/b.JPG is the photo album/sub/b.JPG itself" in err


def test_a_result_that_cannot_be_written_is_listed_and_the_others_are_coloured(capsys):
    long = "m" * 251 + ".old"  # which becomes .old.png, longer than a name can be
    for name in ("a.jpg", "b.jpg"):
        save(name, GREY)
    os.rename(save("c.png", GREY), long)
    assert call("a.jpg", long, "b.jpg", "-o", "out") == 1
    assert files_below("out") == ["a.jpg", "b.jpg"]
    err = capsys.readouterr().err
    assert "can't be written (File name too long): give another folder or name" in err


def test_files_of_other_kinds_are_counted_by_kind(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rawpy", None)  # not installed
    os.mkdir("in")
    save("in/a.jpg", GREY)
    for name in ("1.cr2", "2.cr2", "3.CR2", "4.psb", ".hidden.pdf", "5.pdf"):
        Path("in", name).touch()
    assert call("in", "-o", "out") == 0
    assert "  5 files left out: 3 .cr2, 1 .pdf, 1 .psb" in lines(capsys)


def test_what_is_no_file_gets_a_sentence_of_its_own(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    save("a.jpg", GREY)
    Path("photos.zip").write_bytes(b"PK\3\4" + bytes(50))
    Path("raw.NEF").write_bytes(b"II*\0" + bytes(50))
    assert call("a.jpg", "-", "photos.zip", "raw.NEF", "-o", "out") == 1
    err = capsys.readouterr().err
    assert "-: photos are read from files" in err
    assert "photos.zip: is a zip archive: unpack it first" in err
    assert "raw.NEF: is a raw file: develop it first" in err
    assert files_below("out") == ["a.jpg"]


def test_a_folder_whose_name_looks_like_a_pattern_may_have_patterns_in_it():
    os.makedirs("scans [1950]")
    save("scans [1950]/a.jpg", GREY)
    save("scans [1950]/b.png", GREY)
    assert call("scans [1950]/*.jpg", "-o", "out") == 0
    assert files_below("out") == ["a.jpg"]


def test_a_report_has_a_line_for_each_photo(album, capsys):  # noqa: F811
    Path("album/empty.jpg").touch()
    os.makedirs("out")
    Path("out/a.png").touch()
    frames = [Image.fromarray(noise(n)) for n in range(3)]
    frames[0].save("album/sub/c.tiff", save_all=True, append_images=frames[1:])
    assert call(album, "-o", "out", "--report", "all.csv") == 1
    with open("all.csv", newline="", encoding="utf-8") as file:
        rows = {Path(row["input"]).name: row for row in csv.DictReader(file)}
    assert {name: row["state"] for name, row in rows.items()} == {
        "a.png": "skipped",
        "b.JPG": "coloured",
        "c.tiff": "coloured",
        "ü.webp": "coloured",
        "empty.jpg": "failed",
    }
    assert (rows["c.tiff"]["pages"], rows["c.tiff"]["width"], rows["c.tiff"]["height"]) == ("3", "32", "24")
    assert rows["empty.jpg"]["reason"] == "is empty" and float(rows["b.JPG"]["seconds"]) >= 0
    call(album, "-o", "other", "--report", "all.json")
    assert {Path(row["input"]).name: row["output"] for row in json.loads(Path("all.json").read_text())}[
        "empty.jpg"
    ] is None
    assert call(album, "-o", "other", "--report", "all.txt") == 2
    assert "--report all.txt must end in .csv or .json" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_one_sentence_after_the_summary(capsys):
    save("a.jpg", GREY)
    Path("blocked").touch()
    assert call("a.jpg", "-o", "out", "--report", "blocked/all.csv") == 2
    out = capsys.readouterr()
    assert "1 coloured" in out.out
    assert out.err.startswith("fastcolor colorize: --report blocked/all.csv can't be written (")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in this system's folders")
def test_a_pipe_in_a_folder_is_listed_not_waited_for(capsys):
    os.mkdir("in")
    save("in/a.jpg", GREY)
    os.mkfifo("in/b.jpg")
    for more in (["--dry-run"], []):
        assert call("in", "-o", "out", *more) == 1
        assert "in/b.jpg: is not a regular file" in capsys.readouterr().err.replace(os.sep, "/")
    assert files_below("out") == ["a.jpg"]


def test_file_dates_are_kept_when_asked():
    save("a.jpg", GREY)
    os.utime("a.jpg", (894276000, 894276000))
    assert call("a.jpg", "-o", "out", "--keep-time") == 0
    assert os.stat("out/a.jpg").st_mtime == 894276000
    assert call("a.jpg", "-o", "other") == 0
    assert os.stat("other/a.jpg").st_mtime != 894276000


def test_a_truncated_photo_is_refused_and_coloured_when_asked(capsys):
    save("a.jpg", noise(height=200, width=300), quality=90)
    for name, kept in (("half.jpg", 0.5), ("whole.jpg", None)):
        data = Path("a.jpg").read_bytes()
        Path(name).write_bytes(data[: int(len(data) * kept)] if kept else data[:-2])
    save("half.png", noise(height=200, width=300))
    Path("half.png").write_bytes(Path("half.png").read_bytes()[:60_000])
    assert call("half.jpg", "whole.jpg", "half.png", "-o", "out") == 1
    assert files_below("out") == ["whole.jpg"]
    said = capsys.readouterr()
    assert "whole.jpg: its last bytes are missing, but no pixel" in said.out
    assert said.err.count("truncated") == 2
    assert call("half.jpg", "half.png", "-o", "out", "--tolerant") == 0
    assert "half.jpg and 1 more: truncated: only what there is of it was coloured" in capsys.readouterr().out
    assert files_below("out") == ["half.jpg", "half.png", "whole.jpg"]
    top, whole = np.asarray(Image.open("out/half.png"))[:40], painted(noise(height=200, width=300))[:40]
    assert np.array_equal(top, whole)


def test_progress_is_a_line_now_and_then_where_there_is_no_terminal(album, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setattr(report, "FIRST_LINE", 0)
    monkeypatch.setattr(report, "EACH_LINE", 0)
    assert call(album, "-o", "out") == 0
    assert [line for line in lines(capsys) if " left" in line][:3] == [
        f"{number} of 4, about a minute left" for number in (1, 2, 3)
    ]


def test_ctrl_c_speaks_of_photos_not_of_stages(album, monkeypatch, capsys):  # noqa: F811
    def stop(*args, **options):
        raise KeyboardInterrupt

    for name in ("__init__", "pixels"):  # while weights are loaded, and while a photo is coloured
        with monkeypatch.context() as patch:
            patch.setattr(Painter, name, stop)
            assert call(album, "-o", "out") == 130
        assert capsys.readouterr().err.strip() == (
            "fastcolor colorize: stopped: the same command goes on with the photos and films that are left"
        )


def test_names_that_the_console_cannot_show_are_escaped(tmp_path):
    """In a process of its own: pytest's own streams take any name."""
    save("Бабушка.gif", GREY)
    os.rename("Бабушка.gif", os.fsdecode("Бабушка\n\udce9.gif".encode("utf-8", "surrogateescape")))
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from test_colorize import Painter, run_command, folder, inference;"
        "inference.Colorizer = Painter;"
        "sys.exit(run_command(folder.main, ['.', '-o', 'out', '--report', 'r.csv'], prog='fastcolor colorize'))"
    )
    argv = [sys.executable, "-c", code, str(Path(__file__).parent)]
    done = subprocess.run(argv, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "cp1252"}, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\u0411\u0430\u0431\u0443\u0448\u043a\u0430\n\udce9.gif" in done.stdout
    assert Path("r.csv").read_bytes().count("Бабушка".encode()) == 2


@pytest.mark.parametrize("flag", ["--first"])
def test_a_number_of_photos_is_one_or_more(flag, capsys):
    save("a.jpg", GREY)
    assert run_command(folder.main, ["a.jpg", "-o", "out", flag, "0"], prog="fastcolor colorize") == 2
    assert "--first must be 1 or more, not 0" in capsys.readouterr().err


def test_weights_are_hashed_once_and_again_when_they_have_changed(tmp_path, monkeypatch):
    weights, hashed, sha256 = tmp_path / "mine.safetensors", [], hashlib.sha256
    weights.write_bytes(b"first")
    monkeypatch.setattr(hashlib, "sha256", lambda: hashed.append(weights) or sha256())
    assert weights_of(weights) == weights_of(weights) == ("mine", sha256(b"first").hexdigest()[:12])
    assert len(hashed) == 1
    weights.write_bytes(b"second")
    assert weights_of(weights).digest == sha256(b"second").hexdigest()[:12]
