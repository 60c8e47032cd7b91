"""`fastcolor app`: how it begins and ends, what it says, and under which names it answers."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

import httpx
import pytest
import uvicorn
from starlette.testclient import TestClient

from fastcolor.app import command, desk, guard, limits, server
from fastcolor.app.addresses import qr_code
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


@pytest.fixture
def others(monkeypatch) -> None:
    """This machine has an address in the house, which nothing but the test knows of."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [(0, 0, 0, "", (at, 0)) for at in ("127.0.1.1", "10.0.0.7")])


def test_addresses_that_others_can_open_are_said_with_a_qr_code(others, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda *_, **__: None)
    monkeypatch.setattr(command, "qr_code", lambda text: shown.append(text) or "a square")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert call("--host", "0.0.0.0", "--port", "0") == 0
    out = capsys.readouterr().out
    assert "http://10.0.0.7:" in out
    assert "127.0.1.1" not in out
    assert "a square" in out
    assert shown[0] in out.splitlines()[0]


def test_the_qr_code_holds_the_address():
    pytest.importorskip("segno", reason="the extra app is not installed")
    dark = [line for line in qr_code("http://10.0.0.7:8000").splitlines() if line.strip()]
    assert len({len(line) for line in dark}) == 1
    assert len(dark[0]) >= 21 + 2 * 2  # the smallest code, and its margin


def test_without_segno_there_is_no_qr_code(monkeypatch):
    monkeypatch.setitem(sys.modules, "segno", None)
    assert qr_code("http://10.0.0.7:8000") is None


@pytest.fixture
def locked(tmp_path):
    with TestClient(server.build(tmp_path, password="open sesame"), base_url="http://localhost") as client:
        yield client


@pytest.mark.parametrize(
    ("given", "status"), [(None, 401), ("", 401), ("sesame", 401), ("öffne", 401), ("open sesame", 200)]
)
def test_with_a_password_nobody_else_gets_in(locked, given, status):
    for path in ("/", "/setup", "/photos", "/page.css"):
        answer = locked.get(path, auth=None if given is None else ("anybody", given))
        assert answer.status_code == status
        assert ("www-authenticate" in answer.headers) == (status == 401)
    assert locked.post("/photos", content=b"x").status_code == 401


def test_guessing_passwords_is_slow(locked):
    for _ in range(guard.MOST_GUESSES):
        assert locked.get("/", auth=("", "wrong")).status_code == 401
    assert locked.get("/", auth=("", "open sesame")).status_code == 429


@pytest.mark.parametrize("header", ["Basic", "Basic !", "Basic b3BlbiBzZXNhbWU=", "Bearer open sesame", "basic  "])
def test_an_odd_header_is_no_password(locked, header):
    assert locked.get("/", headers={"authorization": header}).status_code == 401


def test_a_password_that_is_easy_to_guess_is_refused(capsys):
    assert call("--password", "12345") == 2
    assert "--password is too easy to guess" in capsys.readouterr().err


@pytest.fixture
def port(tmp_path, monkeypatch):
    """The port of a real server, which is less patient than usual."""
    monkeypatch.setattr(limits, "HEAD_SECONDS", 0.5)
    monkeypatch.setattr(limits, "GRACE", 0.5)
    monkeypatch.setattr(limits, "MOST_CONNECTIONS", 8)
    listener = command.listen("127.0.0.1", 0)
    app = server.build(tmp_path)
    real = uvicorn.Server(uvicorn.Config(app, http=limits.TimedProtocol, log_level="warning"))
    thread = threading.Thread(target=real.run, kwargs={"sockets": [listener]})
    thread.start()
    yield listener.getsockname()[1]
    real.should_exit = True
    thread.join()


def closed_after(connection: socket.socket) -> float:
    """How long until the server has closed a connection."""
    begun = time.monotonic()
    connection.settimeout(20)
    with suppress(ConnectionResetError):
        while connection.recv(4096):
            pass
    return time.monotonic() - begun


GET = b"GET /runs HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    "sent", [b"", b"G", GET, GET + b"\r\n" + GET], ids=["nothing", "a letter", "a head", "a second head"]
)
def test_headers_that_never_end_are_not_waited_for(port, sent):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(sent)
        assert closed_after(connection) < 15


def test_of_many_connections_of_one_address_most_are_refused(port):
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
    for connection in connections:
        with suppress(OSError):
            connection.sendall(b"GET")
    assert max(closed_after(connection) for connection in connections) < 15
    assert httpx.get(f"http://127.0.0.1:{port}/runs", timeout=20).status_code == 200


@pytest.mark.parametrize("path", ["/photos?name=a.png", "/photos/leave", "/photos/x"])
def test_a_body_that_comes_too_slowly_is_cut_off(port, path):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
        connection.sendall(head.encode() + b"abc")
        connection.settimeout(20)
        assert connection.recv(4096).split()[1] in (b"408", b"404")


def test_a_large_body_may_take_its_time(port):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST /photos HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n\r\n")
        for _ in range(9):
            connection.sendall(bytes(10_000))  # at 50 kB/s, for nearly four times the grace
            time.sleep(0.2)
        connection.settimeout(20)
        assert connection.recv(4096).split()[1] == b"422"


def test_one_address_leaves_room_for_others(tmp_path):
    app = server.build(tmp_path)
    with TestClient(app, base_url="http://localhost"):
        at = app.state.desk
        at.receiving += ["10.0.0.7"] * desk.MOST_OF_ONE
        with pytest.raises(desk.Busy), at.receive("10.0.0.7"):
            pass
        with at.receive("10.0.0.8") as folder:
            assert folder.is_dir()


@pytest.mark.parametrize(
    ("client", "address"),
    [(("10.0.0.7", 5), "10.0.0.7"), (("2001:db8:1:2:3:4:5:6", 5), "2001:db8:1:2"), (("::1", 5), "::1"), (None, "")],
)
def test_a_household_counts_as_one(client, address):
    assert limits.address_of(client) == address


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
