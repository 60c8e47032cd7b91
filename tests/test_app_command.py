"""`fastcolor app`: how it begins and ends, what it says, and under which names it answers."""

import os
import signal
import socket
import subprocess
import sys

import httpx
import pytest
import uvicorn
from starlette.testclient import TestClient

from fastcolor.app import command, server
from fastcolor.cli import run_command


@pytest.mark.parametrize(
    ("host", "served_at", "status"),
    [
        ("localhost", "127.0.0.1", 200),
        ("127.0.0.1:8000", "127.0.0.1", 200),
        ("[::1]:9", "127.0.0.1", 200),
        ("evil.example", "127.0.0.1", 421),
        ("localhost.evil.example", "127.0.0.1", 421),
        ("192.168.0.9:8000", "127.0.0.1", 421),
        ("", "127.0.0.1", 421),
        ("192.168.0.9:8000", "0.0.0.0", 200),
        (f"{socket.gethostname()}:8000", "0.0.0.0", 200),
        ("evil.example", "0.0.0.0", 421),
        ("1.2.3.4.evil.example", "0.0.0.0", 421),
        ("photos.example", "photos.example", 200),
    ],
)
def test_only_the_name_that_is_served_is_answered(tmp_path, host, served_at, status):
    assert TestClient(server.build(tmp_path, served_at)).get("/", headers={"host": host}).status_code == status


def test_ctrl_c_ends_it_with_nothing_left(tmp_path):
    words = [sys.executable, "-m", "fastcolor", "app", "--port", "0", "--runs", str(tmp_path / "runs")]
    own = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=own) as process:
        try:
            address = process.stdout.readline().split()[0]
            assert httpx.get(f"{address}/runs", timeout=60).json()["runs"] == []
            assert len(list(tmp_path.iterdir())) == 1
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()
    assert list(tmp_path.iterdir()) == []


def call(*argv: str) -> int:
    return run_command(command.main, list(argv), prog="fastcolor app")


def test_a_port_that_is_taken_is_said(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert call("--port", str(taken.getsockname()[1])) == 2
    out = capsys.readouterr()
    assert "give another --port" in out.err
    assert out.err.count("\n") == 1
    assert call("--port", "70000") == 2
    assert call("--host", "not an address") == 2


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_whoever_lets_others_in_is_told(host, warned, monkeypatch, capsys):
    monkeypatch.setattr(uvicorn.Server, "run", lambda *_, **__: None)
    assert call("--host", host, "--port", "0") == 0
    out = capsys.readouterr()
    assert out.out.startswith("http://")
    assert ("everybody who can reach this machine" in out.err) == warned


def test_a_missing_package_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert call() == 2
    assert capsys.readouterr().err == "fastcolor app: the page needs uvicorn: run `pip install starlette uvicorn`\n"
