"""`fastcolor colorize` where photos and results are at addresses, and where many commands share the work."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from photo_files import noise, save
from test_colorize import Painter, call, contents

from fastcolor.cli import run_command
from fastcolor.colorize import colorizer as inference
from fastcolor.colorize import work
from fastcolor.photo.fetched import fetched
from fastcolor.remote import store as stores

fsspec = pytest.importorskip("fsspec")
parquet = pytest.importorskip("pyarrow.parquet")
NAMES = ["a.png", "sub/b.JPG", "sub/c.tiff", "sub/deep er/ü.webp"]


@pytest.fixture(autouse=True)
def stand_in(monkeypatch, tmp_path):  # as in test_colorize
    monkeypatch.setattr(inference, "Colorizer", Painter)
    monkeypatch.setattr(stores, "WAITS", (0, 0, 0))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def memory():
    files = fsspec.filesystem("memory")
    files.store.clear()
    files.pseudo_dirs[:] = [""]
    yield files
    files.store.clear()


@pytest.fixture
def album(memory):
    """The same photos in the folder album and at memory://in."""
    for seed, name in enumerate(NAMES):
        os.makedirs(os.path.dirname(f"album/{name}"), exist_ok=True)
        save(f"album/{name}", noise(seed))
        memory.pipe(f"/in/{name}", Path("album", name).read_bytes())
    memory.pipe("/in/notes.txt", b"")
    memory.pipe("/in/.hidden/d.png", b"")


def results(memory, folder="/out"):
    return {
        name.removeprefix(f"{folder}/"): memory.cat(name)
        for name in memory.find(folder)
        if not name.startswith(f"{folder}/.fastcolor")
    }


def rows(memory, folder="/out"):
    parts = memory.glob(f"{folder}/.fastcolor/manifest/*.parquet")
    return [row for part in parts for row in parquet.read_table(io.BytesIO(memory.cat(part))).to_pylist()]


def test_an_address_gives_what_a_folder_gives(album, memory, capsys):
    assert call("album", "-o", "local") == 0
    assert call("memory://in", "-o", "memory://out") == 0
    assert results(memory) == contents("local")
    assert sorted(row["output"] for row in rows(memory)) == NAMES
    out = capsys.readouterr()
    assert out.out.count("4 coloured in ") == 2
    assert "1 file left out: 1 .txt" in out.out
    assert not out.err


def test_from_here_to_an_address_and_back(album, memory, capsys):
    assert call("album", "-o", "memory://out") == 0
    assert call("memory://in", "-o", "local") == 0
    assert results(memory) == contents("local")
    assert call("memory://in", "-o", "local") == 0
    assert capsys.readouterr().out.endswith("0 coloured, 4 skipped: already done\n  1 file left out: 1 .txt\n")
    assert call("memory://in/sub/c.tiff", "-o", "one.png") == 0
    assert Path("one.png").exists()


def test_several_addresses_keep_their_names(album, memory):
    memory.pipe("/more/in/a.png", memory.cat("/in/sub/c.tiff"))
    assert call("memory://in/sub", "memory://more", "-o", "memory://out") == 0
    assert sorted(results(memory)) == ["more/in/a.png", "sub/b.JPG", "sub/c.tiff", "sub/deep er/ü.webp"]


def test_a_second_run_does_what_is_left(album, memory, capsys):
    call("memory://in", "-o", "memory://out")
    made = results(memory)
    memory.rm("/out/a.png")  # in the manifest, and not there
    for part in memory.glob("/out/.fastcolor/manifest/*"):  # somebody was killed before he noted his results
        memory.rm(part)
    memory.rm("/out/sub/c.tiff")
    capsys.readouterr()
    assert call("memory://in", "-o", "memory://out") == 0
    assert "4 coloured" in capsys.readouterr().out
    assert results(memory) == made
    memory.rm("/out/a.png")
    assert call("memory://in", "-o", "memory://out") == 0
    assert "1 coloured" in (out := capsys.readouterr().out)
    assert "3 skipped: already done" in out
    assert results(memory) == made


def test_results_of_another_job_are_refused(album, memory, capsys):
    call("memory://in", "-o", "memory://out", "--quality", "95")
    before = results(memory)
    assert call("memory://in", "-o", "memory://out", "--quality", "40") == 2
    told = capsys.readouterr().err
    assert told.startswith("fastcolor colorize: memory://out holds results of another job (quality 95, not 40): give")
    assert results(memory) == before
    assert call("memory://in", "-o", "memory://out", "--quality", "40", "--overwrite") == 0
    assert results(memory)["sub/b.JPG"] != before["sub/b.JPG"]
    assert call("memory://in", "-o", "memory://out", "--quality", "95") == 2


def test_files_that_no_manifest_knows_are_refused(album, memory, capsys):
    memory.pipe("/out/a.png", b"precious")
    assert call("memory://in", "-o", "memory://out") == 2
    assert "memory://out holds a.png, and no manifest that says how it was made" in capsys.readouterr().err
    assert results(memory) == {"a.png": b"precious"}


def test_a_photo_that_changed_is_told_and_coloured_with_overwrite(album, memory, capsys):
    call("memory://in", "-o", "memory://out")
    memory.pipe("/in/a.png", memory.cat("/in/sub/c.tiff"))
    assert call("memory://in", "-o", "memory://out") == 0
    assert "1 of the skipped was made with other settings or from another version" in capsys.readouterr().out
    call("memory://in", "-o", "memory://out", "--overwrite")
    assert "1 coloured" in capsys.readouterr().out
    assert call("memory://in", "-o", "memory://out") == 0
    assert "0 coloured, 4 skipped: already done\n  1 file" in capsys.readouterr().out


def test_shards_do_everything_once(album, memory, capsys):
    for seed in range(20):
        save("photo.png", noise(seed))
        memory.pipe(f"/in/more/{seed}.png", Path("photo.png").read_bytes())
    for number in (1, 2, 3):
        assert call("memory://in", "-o", "memory://out", "--shard", f"{number}/3") == 0
    counts = [int(line.split()[0]) for line in capsys.readouterr().out.splitlines() if " coloured" in line]
    assert sum(counts) == 24
    assert min(counts) > 2
    assert call("memory://in", "-o", "memory://whole") == 0
    assert results(memory) == results(memory, "/whole")
    assert sorted(row["output"] for row in rows(memory)) == sorted(results(memory))


def test_shards_of_a_folder_here(album, memory):
    for number in (1, 2):
        assert call("album", "-o", "out", "--shard", f"{number}/2") == 0
    assert call("album", "-o", "whole") == 0
    made = {name: content for name, content in contents("out").items() if not name.startswith(".fastcolor/")}
    assert made == contents("whole")


def test_what_fails_is_listed_by_its_address(album, memory, capsys):
    memory.pipe("/in/broken.png", b"no photo")
    assert call("memory://in", "-o", "memory://out", "--report", "all.csv") == 1
    assert "memory://in/broken.png: " in capsys.readouterr().err
    with open("all.csv", newline="", encoding="utf-8") as file:
        listed = {row["input"]: (row["output"], row["state"]) for row in csv.DictReader(file)}
    assert listed["memory://in/broken.png"] == ("", "failed")
    assert listed["memory://in/a.png"] == ("memory://out/a.png", "coloured")
    assert {row["output"]: row["state"] for row in rows(memory)}["broken.png"] == "failed"


def test_nothing_is_written_by_a_dry_run(album, memory, capsys):
    assert call("memory://in", "-o", "memory://out", "--dry-run") == 0
    assert "memory://in/a.png -> memory://out/a.png" in capsys.readouterr().out
    assert not memory.find("/out")


def test_results_below_the_photos_are_no_photos(album, memory):
    for _ in range(2):
        assert call("memory://in", "-o", "memory://in/coloured") == 0
    assert sorted(results(memory, "/in/coloured")) == NAMES


def test_lost_connections_are_tried_again(album, memory, monkeypatch, capsys):
    """Twice for each file; one photo and one result can never be transferred."""
    asked = {}

    def flaky(name):
        method = getattr(type(memory), name)

        def failing(self, source, target, **options):
            key = (name, str(source if name == "get_file" else target))
            asked[key] = asked.get(key, 0) + 1
            if asked[key] <= 2 or key[1] in ("/in/a.png", "/out/sub/c.tiff"):
                raise ConnectionResetError("reset by peer")
            return method(self, source, target, **options)

        monkeypatch.setattr(type(memory), name, failing)

    flaky("get_file")
    flaky("put_file")
    assert call("memory://in", "-o", "memory://out") == 1
    told = capsys.readouterr()
    assert "2 coloured" in told.out
    assert "memory://in/a.png: can't be read: tried 4 times (reset by peer)" in told.err
    assert "memory://in/sub/c.tiff: can't be written: tried 4 times" in told.err
    assert max(asked.values()) == 4
    assert sorted(results(memory)) == ["sub/b.JPG", "sub/deep er/ü.webp"]


def test_a_server_that_is_gone_ends_the_run(album, memory, monkeypatch, capsys):
    monkeypatch.setattr(work, "IN_A_ROW", 3)

    def gone(self, source, target, **options):
        raise FileNotFoundError(source)

    monkeypatch.setattr(type(memory), "get_file", gone)
    assert call("memory://in", "-o", "memory://out") == 2
    told = capsys.readouterr().err
    assert "3 files in a row could not be fetched or written, the last memory://in/sub/" in told
    assert told.rstrip().endswith("it does not exist; the same command goes on from here")


def test_names_that_lead_elsewhere_are_ignored(album, memory, monkeypatch, tmp_path):
    listed = type(memory).ls

    def hostile(self, path, **options):
        entry = {"name": "/in/../../../evil.png", "size": 3, "type": "file"}
        return [*listed(self, path, **options), *([entry] if path == "/in" else [])]

    monkeypatch.setattr(type(memory), "ls", hostile)
    assert call("memory://in", "-o", "memory://out") == 0
    assert sorted(results(memory)) == NAMES


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["album", "-o", "out", "--shard", "5/4"], "--shard must be K/N, with K from 1 to N, such as 3/16, not 5/4"),
        (["album", "-o", "out", "--shard", "0/4"], "--shard must be K/N"),
        (["album", "-o", "out", "--shard", "half"], "--shard must be K/N"),
        (["album/a.png", "-o", "b.png", "--shard", "1/2"], "b.png is one file: --ray and --shard are for folders"),
        (["album", "-o", "https://localhost/out"], "https://localhost/out can only be read: give a folder"),
        (["album", "-o", "nosuch://out"], "nosuch://out: addresses that begin with nosuch:// are unknown"),
        (["memory://in", "-o", "memory://in"], "memory://in is the folder of the photos itself"),
        (["memory://in/a.png", "-o", "memory://in"], "memory://in/a.png is the photo memory://in/a.png itself"),
        (["file:///album", "-o", "out"], "file:///album: give the path alone"),
        (["memory://in", "-o", "memory://out.png"], "memory://out.png: an address is that of a folder"),
        (["memory://in", "-o", "memory://out", "--keep-time"], "--keep-time is for folders on this machine"),
        (["memory://in", "-o", "memory://out", "--frames"], "--frames is for folders on this machine"),
    ],
)
def test_mistakes_are_told_in_a_sentence(album, memory, capsys, words, said):
    before = memory.find("/")
    assert call(*words) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert memory.find("/") == before


def test_an_address_that_is_not_there_is_listed(memory, capsys):
    assert call("memory://nowhere", "-o", "out") == 1
    assert "memory://nowhere: can't be listed: it does not exist" in capsys.readouterr().err


def test_passwords_are_not_said(capsys, monkeypatch):
    pytest.importorskip("paramiko")
    assert call("sftp://me:s3cret@localhost:9/scans", "-o", "out", "--report", "all.csv") == 1
    told = capsys.readouterr()
    assert "sftp://localhost:9/scans: can't be " in told.err
    for text in (told.err, told.out, Path("all.csv").read_text()):
        assert "s3cret" not in text
        assert "me:" not in text


def test_packages_that_are_missing_are_named(album, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    assert call("s3://bucket/in", "-o", "out") == 2
    needs = "s3://bucket/in: what reads and writes there is not installed: run `pip install 'fastcolor[remote]'`"
    assert needs in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "fsspec.core", fsspec.core)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert call("album", "-o", "out", "--shard", "1/2") == 2
    assert "needs pyarrow, and that is not installed: run `pip install 'fastcolor[remote]'`" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    assert call("album", "-o", "out", "--ray", "local") == 2
    assert "--ray needs Ray, which is not installed: run `pip install 'fastcolor[ray]'`" in capsys.readouterr().err
    assert not Path("out").exists()


def test_folders_here_wait_for_no_package_of_servers():
    command = "import sys; from fastcolor.colorize import folder; import fastcolor.colorize.colorizer; "
    command += "sys.exit(', '.join({'fsspec', 'pyarrow', 'ray', 'paramiko', 'aiohttp'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", command], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_other_commands_take_addresses(album, memory, capsys):
    """The same files as from folders here, in shards, and again without doing anything."""
    pytest.importorskip("torch")
    from fastcolor.prep.crop import crop
    from fastcolor.prep.greyscale import greyscale

    memory.pipe("/in/broken.png", b"no photo")
    Path("album/broken.png").write_bytes(b"no photo")
    for command, options in ((greyscale, ()), (crop, ("--size", "16"))):
        name = command.__name__
        assert run_command(command, ["album", f"here-{name}", *options]) == 0
        for number in (1, 2):
            words = ["memory://in", f"memory://{name}", *options, "--shard", f"{number}/2"]
            assert run_command(command, words) == 0
        made = {key: value for key, value in results(memory, f"/{name}").items() if not key.startswith("unreadable")}
        expected = contents(f"here-{name}")
        assert "broken.png" in expected.pop("unreadable.csv").decode()
        assert made == expected
        capsys.readouterr()
        assert run_command(command, ["memory://in", f"memory://{name}", *options]) == 0
        assert capsys.readouterr().out == "0 written, 4 skipped, 1 unreadable\n"
    assert run_command(crop, ["memory://in", "memory://crop", "--size", "17"]) == 2
    assert "16 x 16 pixels, not 17 x 17: give another folder" in (told := capsys.readouterr().err)
    assert "memory://crop/" in told
    assert run_command(greyscale, ["memory://in", "memory://in/grey"]) == 2
    assert "memory://in and memory://in/grey must be separate folders" in capsys.readouterr().err


def test_clean_looks_at_an_address(album, memory, capsys):
    pytest.importorskip("torch")
    from fastcolor.prep.clean import clean

    for _ in range(2):
        assert run_command(clean, ["album", "here"]) == 0
        assert run_command(clean, ["memory://in", "there"]) == 0
    assert Path("there/clean.csv").read_bytes() == Path("here/clean.csv").read_bytes()
    assert len(Path("there/looks.jsonl").read_text().splitlines()) == 4  # the second time nothing was fetched
    assert run_command(clean, ["memory://in", "there", "--move", "away"]) == 2
    assert "--move is for folders on this machine" in capsys.readouterr().err


def test_photos_at_an_address_are_fetched_once(album, memory, tmp_path, monkeypatch):
    asked = []
    method = type(memory).get_file
    monkeypatch.setattr(
        type(memory), "get_file", lambda self, src, *_, **__: asked.append(src) or method(self, src, *_)
    )
    here = Path(fetched("memory://in", tmp_path / "cache"))
    assert here.name == "in"
    assert contents(here) == contents("album")
    assert len(asked) == 4
    memory.pipe("/in/a.png", memory.cat("/in/sub/c.tiff"))
    memory.rm("/in/sub/b.JPG")
    assert fetched("memory://in", tmp_path / "cache") == str(here)
    assert asked[4:] == ["/in/a.png"]
    assert (here / "a.png").read_bytes() == memory.cat("/in/sub/c.tiff")
    assert not (here / "sub/b.JPG").exists()
    assert fetched("album", tmp_path / "cache") == "album"
