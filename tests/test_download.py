"""`fastcolor download`, against a server on this machine that has every bad habit of real ones."""

import errno
import gzip
import hashlib
import io
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import types
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fastai.data
import fastdownload.core
import numpy as np
import pytest
import requests
from PIL import Image

from fastcolor.cli import run_command
from fastcolor.prep import download as module
from fastcolor.prep.download import SOURCES, Source, download

ROOT = Path(__file__).parents[1]


def photo(seed):
    noise = np.random.default_rng(seed).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG", quality=95)
    return file.getvalue()


PHOTOS = {f"{kind}_{i}.jpg": photo(i) for i, kind in enumerate(["beagle", "Bengal", "pug", "Sphynx"] * 3)}


def member(name, size=0, **values):
    info = tarfile.TarInfo(name)
    info.size = size
    for key, value in values.items():
        setattr(info, key, value)
    return info


def tgz(files, extra=()):
    """A tar.gz of {name: bytes} and, before them, of (TarInfo, bytes)."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for info, data in [*extra, *((member(name, len(data)), data) for name, data in files.items())]:
            tar.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def zipped(files, kind=zipfile.ZIP_STORED):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", kind) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return packed.getvalue()


PETS = tgz(
    {f"oxford-iiit-pet/images/{name}": data for name, data in PHOTOS.items()}
    | {"oxford-iiit-pet/annotations/trimaps/pug_2.png": b"a mask, no photo"}
)
MONET = zipped({f"{'trainA' if i % 2 else 'trainB'}/{name}": data for i, (name, data) in enumerate(PHOTOS.items())})


class Server(ThreadingHTTPServer):
    """Serves `files` ({path: bytes}); notes every request's Range in `ranges`."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.ranges = {}, []
        self.knows_range = True
        self.tells_length = True
        self.compresses = False  # where the client accepts it
        self.breaks = []  # for each of the next requests: after how many bytes the connection breaks off

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        server.ranges.append(wanted)
        if self.path not in server.files:
            return self.send_error(404)
        data, start = server.files[self.path], 0
        total = len(data)
        if wanted and server.knows_range:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= total:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{total}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        else:
            self.send_response(200)
        if server.compresses and "gzip" in self.headers.get("Accept-Encoding", "gzip"):
            self.send_header("Content-Encoding", "gzip")
            data = gzip.compress(data[start:])
            start, total = 0, len(data)
        if server.tells_length:
            self.send_header("Content-Length", str(total - start))
        self.end_headers()
        stop = start + server.breaks.pop(0) if server.breaks else total
        self.wfile.write(data[start:stop])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def pets(server, monkeypatch):
    """Give the set `pets` these bytes at the server, with these checks."""

    def serve(data=PETS, photos="images", name="pet.tgz", **checks):
        server.files[f"/{name}"] = data
        monkeypatch.setitem(SOURCES, "pets", Source(server.url(f"/{name}"), photos=photos, **checks))

    serve()
    return serve


def run(capsys, *argv):
    """Exit code, standard output, and standard error, of which there is one line at most."""
    code = run_command(download, [str(word) for word in argv], prog="download")
    out, err = capsys.readouterr()
    assert len(err.splitlines()) == (code != 0), err
    return code, out, err


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_pets(dst, *others):
    """The photos lie in `dst` unharmed, and nothing else but the set and `others` does."""
    assert contents(dst / "pets/images") == PHOTOS
    assert {path.name for path in dst.iterdir()} == {"pets", *others}


def test_a_tar_gz_is_unpacked_without_its_top_folder_and_its_photos_are_counted(tmp_path, pets, capsys):
    pets(size=len(PETS), head_md5=hashlib.md5(PETS).hexdigest(), sha256=hashlib.sha256(PETS).hexdigest())
    code, out, _ = run(capsys, "pets", tmp_path / "new" / "folder")
    assert code == 0
    assert out.splitlines()[-1] == f"{tmp_path}/new/folder/pets/images: 12 photos"
    assert_pets(tmp_path / "new" / "folder")


def test_a_zip_with_several_folders_is_unpacked_and_they_are_named(tmp_path, server, monkeypatch, capsys):
    server.files["/monet2photo.zip"] = MONET
    monkeypatch.setitem(SOURCES, "monet2photo", Source(server.url("/monet2photo.zip")))
    code, out, _ = run(capsys, "monet2photo", tmp_path)
    assert code == 0
    assert out.splitlines()[-1] == f"{tmp_path}/monet2photo: 12 photos in trainA, trainB"
    assert {name.split("/")[1]: data for name, data in contents(tmp_path / "monet2photo").items()} == PHOTOS


def test_a_second_run_asks_for_nothing_and_says_what_is_there(tmp_path, pets, server, capsys):
    run(capsys, "pets", tmp_path)
    server.ranges.clear()
    code, out, _ = run(capsys, "pets", tmp_path)
    assert (code, out) == (0, f"{tmp_path}/pets/images: 12 photos, already there\n")
    assert server.ranges == []


def test_a_folder_without_photos_in_the_way_is_named_and_left(tmp_path, pets, capsys):
    (tmp_path / "pets").mkdir()
    (tmp_path / "pets/diary.txt").write_text("mine")
    code, _, err = run(capsys, "pets", tmp_path)
    assert code == 2 and f"{tmp_path}/pets is in the way" in err
    assert contents(tmp_path) == {"pets/diary.txt": b"mine"}


def test_a_connection_that_breaks_off_is_gone_on_from_where_it_broke(tmp_path, pets, server, capsys):
    server.breaks = [70_000]
    assert run(capsys, "pets", tmp_path)[0] == 0
    first, second = server.ranges
    assert first is None and second == "bytes=65536-"  # of the 70,000, what had come as a whole piece of 64 KiB
    assert_pets(tmp_path)


def test_a_download_that_ended_half_way_is_kept_and_gone_on_from_by_the_next_run(tmp_path, pets, server, capsys):
    server.breaks = [70_000, 0, 0, 0]
    code, _, err = run(capsys, "pets", tmp_path)
    kept = (tmp_path / "pet.tgz.partial").read_bytes()
    assert code == 2 and f"the first {len(kept):,} bytes are kept" in err
    assert kept and PETS.startswith(kept)
    server.breaks, server.ranges = [], []
    assert run(capsys, "pets", tmp_path)[0] == 0
    assert server.ranges == [f"bytes={len(kept)}-"]
    assert_pets(tmp_path)


def test_a_server_without_range_sends_all_again(tmp_path, pets, server, capsys):
    server.knows_range = False
    server.breaks = [70_000]
    assert run(capsys, "pets", tmp_path)[0] == 0
    assert_pets(tmp_path)


def test_a_server_that_does_not_tell_the_length_is_understood(tmp_path, pets, server, capsys):
    server.tells_length = False
    assert run(capsys, "pets", tmp_path)[0] == 0
    assert_pets(tmp_path)


def test_a_server_that_likes_to_compress_is_asked_not_to(tmp_path, pets, server, capsys):
    server.compresses = True
    assert run(capsys, "pets", tmp_path)[0] == 0
    assert server.ranges == [None]
    assert_pets(tmp_path)


def test_a_break_that_urllib3_before_2_keeps_to_itself_is_noticed(tmp_path, pets, server, monkeypatch, capsys):
    told = requests.Response.iter_content

    def untold(answer, size):
        try:
            yield from told(answer, size)
        except requests.exceptions.ChunkedEncodingError:
            return

    monkeypatch.setattr(requests.Response, "iter_content", untold)
    server.breaks = [70_000]
    assert run(capsys, "pets", tmp_path)[0] == 0
    assert len(server.ranges) == 2
    assert_pets(tmp_path)


def test_a_server_that_always_breaks_off_is_not_asked_for_ever(tmp_path, pets, server, capsys):
    server.knows_range = False
    server.breaks = [70_000] * 50
    assert run(capsys, "pets", tmp_path)[0] == 2
    assert len(server.ranges) < 5


def test_a_complete_download_that_was_not_unpacked_is_not_fetched_again(tmp_path, pets, server, capsys):
    (tmp_path / "pet.tgz.partial").write_bytes(PETS)
    assert run(capsys, "pets", tmp_path)[0] == 0
    assert server.ranges == [f"bytes={len(PETS)}-"]
    assert_pets(tmp_path)


def test_a_remainder_of_another_longer_file_is_replaced(tmp_path, pets, capsys):
    (tmp_path / "pet.tgz.partial").write_bytes(b"x" * (len(PETS) + 1))
    assert run(capsys, "pets", tmp_path)[0] == 0
    assert_pets(tmp_path)


def test_the_bar_is_advanced_to_its_end_and_never_cuts_the_download(tmp_path, pets, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(module, "CHUNK", 10_000)
    monkeypatch.setattr(module, "progress_bar", lambda items, total: (seen.append((i, total)) or i for i in items))
    assert run(capsys, "pets", tmp_path)[0] == 0
    pieces = -(-len(PETS) // 10_000)
    assert seen == [(i, pieces) for i in range(pieces)]
    assert_pets(tmp_path)


@pytest.mark.parametrize(
    ("checks", "complaint"),
    [
        ({"size": len(PETS) + 1}, f"has {len(PETS):,} bytes instead of {len(PETS) + 1:,}"),
        ({"head_md5": hashlib.md5(b"").hexdigest()}, "wrong checksum"),
        ({"sha256": hashlib.sha256(PETS[: 2**20 - 1] + b"x").hexdigest()}, "wrong checksum"),
    ],
)
def test_a_wrong_size_or_checksum_is_said_and_the_download_deleted(tmp_path, pets, capsys, checks, complaint):
    pets(**checks)
    code, _, err = run(capsys, "pets", tmp_path)
    assert code == 2 and complaint in err and "deleted" in err
    assert list(tmp_path.iterdir()) == []


def test_the_sha256_covers_what_lies_behind_the_first_mebibyte(tmp_path):
    file = tmp_path / "long"
    file.write_bytes(bytes(2**20 + 5))
    module.check(file, Source("", sha256=hashlib.sha256(bytes(2**20 + 5)).hexdigest()))
    file.write_bytes(bytes(2**20 + 4) + b"x")
    with pytest.raises(module.BrokenArchive):
        module.check(file, Source("", sha256=hashlib.sha256(bytes(2**20 + 5)).hexdigest()))


def misplaced(data):
    """The zip file `data` whose list of members pretends to lie further back than the file is long."""
    end = data.rindex(b"PK\x05\x06")
    return data[: end + 16] + struct.pack("<I", len(data) * 2) + data[end + 20 :]


def holed(data):
    middle = len(data) // 2
    return data[:middle] + b"\xff" * 2000 + data[middle + 2000 :]


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def described(**headers):
    """A tar file of one photo, of which pax headers say more."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("pug.jpg")
        member.size, member.pax_headers = 1, headers
        archive.addfile(member, io.BytesIO(b"x"))
    return buffer.getvalue()


DAMAGED = {
    "half a tar.gz": PETS[: len(PETS) // 2],
    "a tar.gz without its last byte": PETS[:-1],
    "a tar.gz whose CRC differs": flipped(PETS, -8 + len(PETS)),
    "half a zip": MONET[: len(MONET) // 2],
    "a zip with one wrong bit": flipped(MONET, len(MONET) // 3),
    "a zip that points before its start": misplaced(MONET),
    "a zip with a hole in its packed data": holed(zipped({"pug.jpg": PHOTOS["pug_2.jpg"]}, zipfile.ZIP_DEFLATED)),
    "a tar.gz with a hole": holed(PETS),
    "a zip with a file without a name": zipped({zipfile.ZipInfo("\0"): b"x"}),
    "a zip whose name is no text": zipped({"pü.jpg": PHOTOS["pug_2.jpg"]}).replace("ü".encode(), b"\xff\xff"),
    "a zip with a hole in what LZMA packed": holed(zipped({"pug.jpg": PHOTOS["pug_2.jpg"]}, zipfile.ZIP_LZMA)),
    "a tar whose name has a zero": described(path="photo\0.jpg"),
    "a tar from no time": described(mtime="nan"),
    "a tar from the end of time": described(mtime="inf"),
    "a login page": b"<html>Welcome to the hotel's network</html>",
    "nothing": b"",
    "a gzipped page": gzip.compress(b"<html>Welcome</html>" * 100),
    "no photos": tgz({"oxford-iiit-pet/images/readme.txt": b"later"}),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_broken_archive_is_said_and_nothing_of_it_is_left(tmp_path, pets, capsys, what):
    pets(DAMAGED[what], photos=".")
    code, _, err = run(capsys, "pets", tmp_path)
    assert code == 2 and "deleted" in err
    assert list(tmp_path.iterdir()) == []


def with_photos(name, data=b"owned"):
    return {f"images/{key}": value for key, value in PHOTOS.items()} | {name: data}


def declaring(data, size):
    """The zip file `data` with a first member that pretends to unpack to `size` bytes."""
    entry = data.index(b"PK\x01\x02")
    return data[: entry + 24] + struct.pack("<I", size) + data[entry + 28 :]


def hostile(outside):
    def door(kind, target):
        return tgz(with_photos("door/evil.jpg"), [(member("door", type=kind, linkname=target), b"")])

    device = member("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3)
    return {
        "tar ../": tgz(with_photos("../evil.jpg")),
        "tar deep ../": tgz(with_photos("images/../../evil.jpg")),
        "tar absolute": tgz(with_photos(f"{outside}/evil.jpg")),
        "tar link outside": door(tarfile.SYMTYPE, str(outside)),
        "tar ../ link": door(tarfile.SYMTYPE, "../../outside"),
        "tar hard link": door(tarfile.LNKTYPE, "../../secret"),
        "tar device": tgz(with_photos("a"), [(device, b"")]),
        "tar bomb": tgz(with_photos("big.jpg", bytes(8 * 2**20))),
        "zip ../": zipped(with_photos("../evil.jpg")),
        "zip absolute": zipped(with_photos(f"{outside}/evil.jpg")),
        "zip backslashes": zipped(with_photos("..\\evil.jpg")),
        "zip drive": zipped(with_photos("C:evil.jpg")),
        "zip bomb": zipped(with_photos("big.jpg", bytes(8 * 2**20)), zipfile.ZIP_DEFLATED),
        "zip that declares 4 GB": declaring(zipped(with_photos("a")), 2**32 - 2),
    }


@pytest.mark.parametrize("what", hostile("/nowhere"))
def test_a_hostile_archive_writes_nothing_anywhere(tmp_path, pets, capsys, what):
    outside, dst = tmp_path / "outside", tmp_path / "dst"
    outside.mkdir()
    (tmp_path / "secret").write_text("secret")
    pets(hostile(outside)[what])
    code, _, err = run(capsys, "pets", dst)
    assert code == 2 and "deleted" in err
    assert contents(tmp_path) == {"secret": b"secret"}
    assert list(dst.iterdir()) == []


def test_links_within_an_archive_are_left_out(tmp_path, pets, capsys):
    pets(tgz(with_photos("a"), [(member("images/again.jpg", type=tarfile.SYMTYPE, linkname="pug_2.jpg"), b"")]))
    assert run(capsys, "pets", tmp_path)[0] == 0
    assert_pets(tmp_path)


def test_without_a_connection_one_line_says_where_to_put_the_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as closed:  # bound, but nobody listens
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/oxford-iiit-pet.tgz"
        monkeypatch.setitem(SOURCES, "pets", Source(url))
        monkeypatch.chdir(tmp_path)
        code, _, err = run(capsys, "pets", "photos")
    assert code == 2
    assert url in err and "no connection" in err and f"{tmp_path}/photos/oxford-iiit-pet.tgz " in err
    assert list((tmp_path / "photos").iterdir()) == []


def test_a_file_that_the_server_no_longer_has_is_said_with_the_answer(tmp_path, pets, server, capsys):
    server.files.clear()
    code, _, err = run(capsys, "pets", tmp_path)
    assert code == 2 and "404 Not Found" in err and f"{tmp_path}/pet.tgz" in err


def test_an_archive_fetched_by_hand_is_used_without_a_connection_and_kept(tmp_path, pets, server, capsys):
    (tmp_path / "pet.tgz").write_bytes(PETS)
    (tmp_path / "pet.tgz.partial").write_bytes(PETS[:100])
    assert run(capsys, "pets", tmp_path)[0] == 0
    assert server.ranges == []
    assert_pets(tmp_path, "pet.tgz")


def test_a_broken_archive_fetched_by_hand_is_named_and_left_to_its_owner(tmp_path, pets, capsys):
    pets(size=len(PETS))
    (tmp_path / "pet.tgz").write_bytes(PETS[:1000])
    code, _, err = run(capsys, "pets", tmp_path)
    assert code == 2 and f"{tmp_path}/pet.tgz has 1,000 bytes instead of {len(PETS):,}" in err
    assert contents(tmp_path) == {"pet.tgz": PETS[:1000]}


def test_a_full_disk_keeps_the_download_and_leaves_nothing_half_unpacked(tmp_path, pets, server, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "pug_2.jpg")

    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "makefile", full)
        code, _, err = run(capsys, "pets", tmp_path)
    assert code == 2 and "free some space" in err
    assert contents(tmp_path) == {"pet.tgz.partial": PETS}
    assert [path.name for path in tmp_path.iterdir()] == ["pet.tgz.partial"]
    assert run(capsys, "pets", tmp_path)[0] == 0
    assert_pets(tmp_path)


@pytest.mark.parametrize("name", ["cats", "kaggle:", "kaggle:owner", "kaggle:../..", "kaggle:owner/../x", "../pets"])
def test_an_unknown_name_gets_the_list_of_names(tmp_path, capsys, name):
    code, _, err = run(capsys, name, tmp_path / "dst")
    assert code == 2 and "pets, flowers, coco_sample, coast, monet2photo, or kaggle:OWNER/NAME" in err
    assert not (tmp_path / "dst").exists()


def test_fastai_s_sets_have_fastai_s_addresses_sizes_and_checksums():
    checks = fastdownload.core.read_checks(fastdownload.core.checks_module(fastai.data))
    for name, key in [("pets", "oxford-iiit-pet"), ("flowers", "oxford-102-flowers"), ("coco_sample", "coco_sample")]:
        url = next(url for url in checks if url.endswith(f"/{key}.tgz"))
        source = SOURCES[name]
        assert (source.url, (source.size, source.head_md5)) == (url, checks[url])


def test_the_script_prints_its_usage_without_importing_fastai():
    code = "import sys, runpy; sys.argv = ['x', '--help']; runpy.run_module('data_prep.download', run_name='__main__')"
    code = f"try:\n {code}\nexcept SystemExit: print('fastai' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "python -m data_prep.download" in done.stdout and done.stdout.endswith("False False\n")


@pytest.fixture
def kagglehub(monkeypatch):
    """A stand-in whose `dataset_download` the test sets."""
    fake, exceptions = types.ModuleType("kagglehub"), types.ModuleType("kagglehub.exceptions")
    exceptions.DataCorruptionError = type("DataCorruptionError", (Exception,), {})
    fake.exceptions = exceptions
    monkeypatch.setitem(sys.modules, "kagglehub", fake)
    monkeypatch.setitem(sys.modules, "kagglehub.exceptions", exceptions)
    return fake


def refusing(error):
    def dataset_download(handle):
        raise error

    return dataset_download


def http_error(status):
    answer = requests.Response()
    answer.status_code = status
    return requests.HTTPError("a long\npage", response=answer)


def test_a_kaggle_set_is_copied_out_of_kagglehub_s_cache(tmp_path, kagglehub, capsys):
    cache = tmp_path / "cache"
    (cache / "color").mkdir(parents=True)
    for name, data in PHOTOS.items():
        (cache / "color" / name).write_bytes(data)
    asked = []
    kagglehub.dataset_download = lambda handle: asked.append(handle) or str(cache)
    code, out, _ = run(capsys, "kaggle:some-body/flower-pairs", tmp_path / "dst")
    assert (code, asked) == (0, ["some-body/flower-pairs"])
    assert f"{tmp_path}/dst/flower-pairs: 12 photos in color" in out and f"own copy in {cache}" in out
    assert contents(tmp_path / "dst/flower-pairs") == contents(cache)
    assert [path.name for path in (tmp_path / "dst").iterdir()] == ["flower-pairs"]
    run(capsys, "kaggle:some-body/flower-pairs", tmp_path / "dst")
    assert len(asked) == 1


def test_a_kaggle_set_without_photos_leaves_no_folder(tmp_path, kagglehub, capsys):
    (tmp_path / "cache").mkdir()
    kagglehub.dataset_download = lambda handle: str(tmp_path / "cache")
    code, _, err = run(capsys, "kaggle:some-body/tables", tmp_path / "dst")
    assert code == 2 and f"{tmp_path}/cache holds no photos" in err
    assert list((tmp_path / "dst").iterdir()) == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (http_error(401), ["https://www.kaggle.com/settings/api", ".kaggle/access_token", "kaggle.json"]),
        (http_error(403), ["https://www.kaggle.com/settings/api", ".kaggle/access_token", "kaggle.json"]),
        (http_error(404), ["no such data set"]),
        (http_error(503), ["503"]),
        (requests.ConnectionError("HTTPSConnectionPool(...)"), ["no connection"]),
        (ValueError("Invalid Kaggle credentials file at ~/.kaggle/kaggle.json"), ["Invalid Kaggle credentials file"]),
    ],
)
def test_what_kaggle_refuses_is_one_sentence_with_its_remedy(tmp_path, kagglehub, capsys, error, said):
    kagglehub.dataset_download = refusing(error)
    code, _, err = run(capsys, "kaggle:some-body/flower-pairs", tmp_path)
    assert code == 2 and all(part in err for part in ["kaggle:some-body/flower-pairs", *said])
    assert list(tmp_path.iterdir()) == []


def test_without_kagglehub_its_installation_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    code, _, err = run(capsys, "kaggle:some-body/flower-pairs", tmp_path)
    assert code == 2 and "pip install kagglehub" in err
    assert list(tmp_path.iterdir()) == []
