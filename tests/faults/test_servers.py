"""Colouring from and to real servers on this machine: S3 (moto), SFTP (OpenSSH), HTTP; and what may go wrong there."""

import http.server
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest
from photo_files import noise, save, tiff

from fastcolor.cli import run_command
from fastcolor.colorize import folder
from fastcolor.remote import store as stores

pytestmark = pytest.mark.faults
s3fs = pytest.importorskip("s3fs")
paramiko = pytest.importorskip("paramiko")
SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/sbin")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of photos, and what the command makes of them here: 16 bits, pages, EXIF, names in all letters."""
    top = tmp_path_factory.mktemp("photos")
    os.makedirs(top / "in/sub folder/ü")
    save(top / "in/a.jpg", noise(1, 60, 80))
    save(top / "in/sub folder/b & c.png", noise(2, 40, 50))
    (top / "in/sub folder/ü/pages.tif").write_bytes(tiff(noise(3), noise(4, dtype="uint16", channels=1)[..., 0]))
    save(top / "in/sub folder/ü/d#1.webp", noise(5))
    (top / "in/a.jpg.hints.json").write_text('{"version": 1, "hints": [{"x": 0.5, "y": 0.5, "color": "#2b4c9b"}]}')
    (top / "in/broken.png").write_bytes(b"not a photo")
    assert call(top / "in", "-o", top / "expected") == 1
    return top


def call(*words):
    return run_command(folder.main, [str(word) for word in words], prog="fastcolor colorize")


def contents(top):
    """All but hidden files: what the folder remembers, and what a killed process was writing."""
    found = {path.relative_to(top): path for path in Path(top).rglob("*") if path.is_file()}
    visible = {name: path for name, path in found.items() if not any(part.startswith(".") for part in name.parts)}
    return {name.as_posix(): path.read_bytes() for name, path in visible.items()}


@pytest.fixture
def s3(monkeypatch, tmp_path):
    """An S3 server with the buckets in and out."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "AKIAme"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(stores, "WAITS", (0.1, 0.1, 0.1))
    urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
    files = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
    for bucket in ("in", "out"):
        files.mkdir(f"{bucket}-bucket")
    yield files
    server.stop()


def test_from_bucket_to_bucket(s3, photos, tmp_path, capsys):
    s3.put(f"{photos}/in/", "in-bucket/scans/", recursive=True)
    words = ["s3://in-bucket/scans", "-o", "s3://out-bucket/coloured"]
    assert call(*words) == 1
    assert "s3://in-bucket/scans/broken.png: " in capsys.readouterr().err
    s3.get("out-bucket/coloured/", f"{tmp_path}/got/", recursive=True)
    assert contents(tmp_path / "got") == contents(photos / "expected")
    s3.rm("out-bucket/coloured/a.jpg")
    assert call(*words) == 1
    out = capsys.readouterr().out
    assert "1 coloured" in out
    assert "3 skipped: already done" in out
    s3.rm("out-bucket", recursive=True)
    assert call("s3://in-bucket/scans", "-o", "s3://gone-bucket/coloured") == 2
    assert "s3://gone-bucket" in (told := capsys.readouterr().err)
    assert "it does not exist" in told
    assert told.count("\n") == 1
    assert "s3cret" not in told


def test_a_bucket_that_vanishes(s3, photos, capsys, monkeypatch):
    """After the list was made: every photo is gone, and it is said once."""
    save(photos / "one.png", noise(9))
    for number in range(30):
        s3.put(f"{photos}/one.png", f"in-bucket/{number}.png")
    listed = stores.Store.listing

    def vanishing(store):
        found = listed(store)
        if "in-bucket" in store.address:
            s3.rm("in-bucket", recursive=True)
        return found

    monkeypatch.setattr(stores.Store, "listing", vanishing)
    assert call("s3://in-bucket", "-o", "s3://out-bucket/x") == 2
    told = capsys.readouterr().err
    assert "20 files in a row could not be fetched or written" in told
    assert told.count("\n") == 1


@pytest.fixture
def sftp(tmp_path, monkeypatch):
    """OpenSSH's server; gives its address, and a folder on it."""
    if SSHD is None:
        pytest.skip("OpenSSH's sshd is not installed")
    monkeypatch.setenv("HOME", str(home := tmp_path / "home"))
    monkeypatch.setattr(stores, "WAITS", (0.2, 0.2, 0.2))
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    keys = tmp_path / "keys"
    keys.mkdir()
    for name in (keys / "host", home / ".ssh/id_ed25519"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", name], check=True)
    shutil.copy(home / ".ssh/id_ed25519.pub", keys / "authorized")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    lines = [f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {keys}/host", f"AuthorizedKeysFile {keys}/authorized"]
    lines += ["StrictModes no", "UsePAM no", "PidFile none", "Subsystem sftp internal-sftp", "PermitRootLogin yes"]
    (keys / "config").write_text("\n".join(lines))
    os.makedirs("/run/sshd", exist_ok=True)
    server = subprocess.Popen([SSHD, "-D", "-e", "-f", keys / "config"], stderr=subprocess.DEVNULL)
    for _ in range(100):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    host_key = (keys / "host.pub").read_text().split()[:2]
    (home / ".ssh/known_hosts").write_text(f"[127.0.0.1]:{port} {' '.join(host_key)}\n")
    top = tmp_path / "server"
    top.mkdir()
    yield f"sftp://127.0.0.1:{port}{top}", top
    server.terminate()
    server.wait()


def test_over_ssh(sftp, photos, capsys, monkeypatch):
    address, top = sftp
    shutil.copytree(photos / "in", top / "scans")
    assert call(f"{address}/scans", "-o", f"{address}/coloured") == 1
    assert contents(top / "coloured") == contents(photos / "expected")
    assert not list(top.rglob(".part-*"))
    assert call(f"{address}/scans", "-o", f"{address}/coloured") == 1
    assert "4 skipped: already done" in capsys.readouterr().out
    os.chmod(top / "scans/sub folder", 0)
    if os.geteuid():  # root may read everything
        assert call(f"{address}/scans", "-o", f"{address}/again") == 1
        assert "sub folder: can't be read" in capsys.readouterr().err
    os.chmod(top / "scans/sub folder", 0o755)
    os.remove(os.path.expanduser("~/.ssh/id_ed25519"))
    assert call(f"{address}/scans", "-o", f"{address}/again") == 1
    assert "permission is denied: check the credentials" in capsys.readouterr().err
    Path("~/.ssh/known_hosts").expanduser().unlink()
    assert call(f"{address}/scans", "-o", f"{address}/again") == 1
    assert "is not in ~/.ssh/known_hosts: connect with ssh once" in capsys.readouterr().err


def test_a_connection_that_is_cut_again_and_again(sftp, photos, capsys):
    """A proxy ends each connection after 40 kB: all photos arrive in the end, and no result is half of one."""
    address, top = sftp
    shutil.copytree(photos / "in", top / "scans")
    target = int(address.split(":")[2].split("/")[0])
    with Proxy(target, budget=40_000) as port:
        known = Path("~/.ssh/known_hosts").expanduser()
        known.write_text(known.read_text().replace(str(target), str(port)))
        address = address.replace(str(target), str(port))
        assert call(f"{address}/scans", "-o", f"{address}/coloured") == 1
    assert contents(top / "coloured") == contents(photos / "expected")


class Proxy:
    """Passes connections on to a port of this machine, and cuts each after so many bytes."""

    def __init__(self, target, budget):
        self.target, self.budget = target, budget
        self.server = socket.create_server(("127.0.0.1", 0))

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self.server.getsockname()[1]

    def __exit__(self, *_):
        self.server.close()

    def accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            passed = [0]
            for ends in ((client, server), (server, client)):
                threading.Thread(target=self.pump, args=(*ends, passed), daemon=True).start()

    def pump(self, source, target, passed):
        try:
            while data := source.recv(4096):
                passed[0] += len(data)
                if passed[0] > self.budget:
                    break
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Pages(http.server.SimpleHTTPRequestHandler):
    """An HTTP server that answers 403 below /secret, and breaks off in the middle of a file once."""

    broken: ClassVar = set()

    def do_GET(self):
        if self.path.startswith("/secret"):
            self.send_error(403)
        elif self.path.endswith("a.jpg") and self.path not in self.broken:
            self.broken.add(self.path)
            content = Path(self.translate_path(self.path)).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
        else:
            super().do_GET()

    def log_message(self, *_):
        pass


def test_from_the_web(photos, tmp_path, capsys, monkeypatch):
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(stores, "WAITS", (0.1, 0.1, 0.1))
    monkeypatch.chdir(tmp_path)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Pages, directory=str(photos)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    try:
        assert call(f"{address}/in/", "-o", "out") == 1
        assert contents("out") == contents(photos / "expected")
        assert call(f"{address}/in/a.jpg?token=s3cret", "-o", "one.jpg", "--report", "all.csv") == 0
        assert "s3cret" not in Path("all.csv").read_text()
        capsys.readouterr()
        assert call(f"{address}/secret/a.jpg", f"{address}/none/", "-o", "more") == 1
        told = capsys.readouterr().err
        assert f"{address}/secret/a.jpg: can't be read: permission is denied" in told
        assert f"{address}/none: can't be listed: it does not exist" in told
    finally:
        server.shutdown()
        server.server_close()
    assert call(f"{address}/in/", "-o", "later") == 1
    assert "tried 4 times" in capsys.readouterr().err
