"""The page's server and films: looked through, coloured one at a time, stopped, watched, refused, removed."""

import io
import json
import shutil
import subprocess
import sys
import tempfile
import time
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from PIL import Image

av = pytest.importorskip("av")

from filelock import FileLock
from film_files import decoded, greys, packets, times, write_clip
from skimage.color import rgb2lab
from starlette.testclient import TestClient

from fastcolor.app import film_server, films, server
from fastcolor.errors import UserError


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    return server.build(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def client(app):
    with TestClient(app, base_url="http://localhost") as client:
        yield client


@pytest.fixture(autouse=True)
def emptied(app, client):
    yield
    for id in list(app.state.films.films):
        app.state.films.remove(id)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A film of two scenes of half a second, with sound."""
    return write_clip(tmp_path_factory.mktemp("films") / "old.mp4", greys(12) + greys(12, 4), sound=True, rate=24)


def hand_in(client, content: bytes, name="old.mp4", **query) -> dict:
    answer = client.post("/films", params={"name": name, **query}, content=content)
    assert answer.status_code == 201, answer.text
    return answer.json()


def said_of(client, film: dict) -> dict:
    return client.get("/films", params={"ids": film["id"]}).json()[film["id"]]


def reached(client, film: dict, *states: str) -> dict:
    """What the server says of a film once it is in one of these states."""
    begun = time.monotonic()
    while time.monotonic() - begun < 110:
        said = said_of(client, film)
        if said["state"] in states:
            return said
        assert said["state"] != "failed", said["sentence"]
        time.sleep(0.02)
    raise AssertionError(said)


def image_of(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))


def chroma(rgb: np.ndarray) -> float:
    return float(np.hypot(*np.moveaxis(rgb2lab(rgb), -1, 0)[1:]).mean())


def still(client, film: dict, what: str, number=0) -> np.ndarray:
    return image_of(client.get(f"/films/{film['id']}/stills/{number}/{what}", params={"v": film["version"]}))


def test_a_film_is_looked_through_coloured_watched_and_downloaded(client, clip, tmp_path):
    film = reached(client, hand_in(client, clip.read_bytes()), "ready")
    assert (film["about"]["shape"], film["about"]["sound"], film["about"]["interlaced"]) == ([96, 80], True, False)
    assert film["about"]["times"] == sorted(set(film["about"]["times"])) and len(film["about"]["times"]) == 6
    before, after = still(client, film, "before", 5), still(client, film, "after", 5)
    assert np.abs(before.astype(float) - greys(12, 4)[10]).mean() < 4  # its last moment, 11/12 of a second
    assert before.shape == after.shape == (80, 96, 3) and chroma(before) + 4 < chroma(after)
    client.post(f"/films/{film['id']}", json={"size": 64})  # quicker
    client.post(f"/films/{film['id']}/start")
    film = reached(client, film, "done")
    (tmp_path / "new.mp4").write_bytes(client.get(f"/films/{film['id']}/download").content)
    assert times(tmp_path / "new.mp4") == times(clip)
    assert packets(tmp_path / "new.mp4", "audio") == packets(clip, "audio")
    watched = client.get(f"/films/{film['id']}/watch")
    (tmp_path / "pair.mp4").write_bytes(watched.content)
    assert times(tmp_path / "pair.mp4") == times(clip)
    with av.open(str(tmp_path / "pair.mp4")) as pair:
        kinds = [(stream.codec_context.name, getattr(stream, "pix_fmt", None)) for stream in pair.streams]
        assert kinds == [("h264", "yuv420p"), ("aac", None)]
        heard = np.concatenate([frame.to_ndarray()[0] for frame in pair.decode(audio=0)])
    assert abs(len(heard) / 48000 - 1) < 0.1 and np.abs(heard).max() > 0.2
    for frames in zip(decoded(tmp_path / "pair.mp4"), decoded(clip), decoded(tmp_path / "new.mp4"), strict=True):
        pair, old, new = (frame.astype(float) / 257 for frame in frames)
        assert pair.shape == (160, 96, 3)
        assert (
            np.abs(pair[:80] - old).mean() < 4 < np.abs(pair[80:] - old).mean() and np.abs(pair[80:] - new).mean() < 4
        )
    part = client.get(f"/films/{film['id']}/watch", headers={"range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, watched.content[100:200])  # without it browsers can't wind


def test_stills_follow_the_settings_and_the_colours_of_a_photo(client, clip):
    film = reached(client, hand_in(client, clip.read_bytes()), "ready")
    own = still(client, film, "after")
    changed = client.post(f"/films/{film['id']}", json={"size": 64}).json()
    assert changed["settings"]["size"] == 64 and changed["version"] != film["version"]
    assert (still(client, changed, "after") != own).any()
    file = io.BytesIO()
    other = own[..., ::-1]
    Image.fromarray(other).save(file, "PNG")
    alike = client.put(f"/films/{film['id']}/like", params={"name": "red.png"}, content=file.getvalue()).json()
    assert alike["like"] == "red.png", alike
    alike = client.post(f"/films/{film['id']}", json={}).json()  # the size as trained
    shown = still(client, alike, "after").astype(float)
    assert np.abs(shown - other).mean() < np.abs(shown - own).mean() / 2
    assert client.delete(f"/films/{film['id']}/like").json()["like"] is None
    grey = client.put(f"/films/{film['id']}/like", params={"name": "a.jpg"}, content=b"Dear Sir")
    assert grey.status_code == 422 and grey.json()["sentence"].startswith("a.jpg: is not a ")


def test_points_of_colour_come_with_a_film(client, clip, tmp_path):
    film = reached(client, hand_in(client, clip.read_bytes()), "ready")
    hint = {"x": 0.5, "y": 0.1, "color": "#c02020", "radius": 0.3, "time": 0.3}

    def give(*hints: dict):
        return client.put(f"/films/{film['id']}/hints", content=json.dumps({"version": 1, "hints": hints}))

    assert give(hint).json()["hints"] == 1
    said = "old.mp4.hints.json: a hint's time must be seconds, 0 or more, not -1"
    assert (answer := give(hint | {"time": -1})).status_code == 422 and answer.json()["sentence"] == said
    refused = give({"time": 1, "like": "/etc/passwd"})
    assert refused.status_code == 422 and '"like" is not for the page' in refused.json()["sentence"]
    client.post(f"/films/{film['id']}", json={"size": 64})  # quicker
    client.post(f"/films/{film['id']}/start")
    reached(client, film, "done")
    (tmp_path / "new.mp4").write_bytes(client.get(f"/films/{film['id']}/download").content)
    sky = [frame[2:14, 40:56].astype(int) for frame in decoded(tmp_path / "new.mp4")]
    redness = [(part[..., 0] - part[..., 1]).mean() / 257 for part in sky]
    assert min(redness[:12]) > 30 > max(redness[12:])  # its scene has twelve frames


@pytest.mark.parametrize("content, said", [
    (b"Dear Sir", "old.mp4: is not a film, or damaged at its beginning"),
    (b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nCLIP\n#EXT-X-ENDLIST\n", "old.mp4: is not a film, or damaged"),
    (b"ffconcat version 1.0\nfile 'CLIP'\n", "old.mp4: is not a film, or damaged"),
])  # fmt: skip
def test_what_is_no_film_fails_with_a_sentence(client, app, clip, content, said):
    film = hand_in(client, content.replace(b"CLIP", str(clip).encode()))
    for _ in range(2000):
        if (film := said_of(client, film))["state"] != "looking":
            break
        time.sleep(0.02)
    assert film["state"] == "failed" and film["sentence"].startswith(said)
    assert str(app.state.films.folder) not in film["sentence"]
    assert client.post(f"/films/{film['id']}/start").status_code == 422


WORKER = """
import json, sys, time
from pathlib import Path
order = json.loads(sys.stdin.readline())
say = lambda **what: print(json.dumps(what), flush=True)
if order["do"] == "look":
    about = {"seconds": 1, "frames": 9, "shape": [4, 4], "interlaced": False, "sound": False, "times": []}
    say(about={**about, "notes": []})
else:
    go = Path(GO)
    done = 0
    while not go.exists():
        say(stage="colouring", done=(done := done + 1), total=9, rate=2.0)
        time.sleep(0.02)
    Path(order["target"]).write_bytes(b"film")
    say(made=["a note"])
    Path(order["pair"]).write_bytes(b"pair")
"""


@pytest.fixture
def go(monkeypatch, tmp_path):
    """Work on films that takes until this file is there, and needs no network."""
    script = WORKER.replace("GO", repr(str(tmp_path / "go")))
    monkeypatch.setattr(films, "COMMAND", [sys.executable, "-S", "-c", script])
    return tmp_path / "go"


def test_one_film_is_coloured_at_a_time_and_the_others_say_how_many_are_before_them(client, go):
    three = [reached(client, hand_in(client, b"x", f"{n}.mp4"), "ready") for n in range(3)]
    for film in three:
        client.post(f"/films/{film['id']}/start")
    reached(client, three[0], "colouring")
    states = [said_of(client, film) for film in three]
    assert [(each["state"], each["ahead"]) for each in states] == [("colouring", 0), ("waiting", 1), ("waiting", 2)]
    client.post(f"/films/{three[1]['id']}/stop")
    assert said_of(client, three[2])["ahead"] == 1
    go.touch()
    film = reached(client, three[2], "done")
    assert (film["notes"], film["progress"]) == (["a note"], None)
    assert said_of(client, three[1])["state"] == "ready"


def test_a_stopped_film_ends_at_once_and_can_be_started_again(client, app, go):
    film = reached(client, hand_in(client, b"x"), "ready")
    client.post(f"/films/{film['id']}/start")
    while not (said := said_of(client, film))["progress"]:
        time.sleep(0.02)
    assert said["progress"][1:] == [9, 2.0]
    process = app.state.films.films[film["id"]].process
    assert client.post(f"/films/{film['id']}", json={}).status_code == 422  # settings of now stay
    assert client.post(f"/films/{film['id']}/stop").json()["state"] == "ready"
    process.wait(5)
    go.touch()
    client.post(f"/films/{film['id']}/start")
    assert reached(client, film, "done")["result"]
    assert client.get(f"/films/{film['id']}/download").content == b"film"
    client.post(f"/films/{film['id']}", json={"strength": 0.5})
    assert (said_of(client, film)["result"], said_of(client, film)["current"]) == (True, False)


def test_a_removed_film_leaves_nothing(client, app, go):
    film = reached(client, hand_in(client, b"x"), "ready")
    client.post(f"/films/{film['id']}/start")
    reached(client, film, "colouring")
    process = app.state.films.films[film["id"]].process
    assert client.delete(f"/films/{film['id']}").status_code == 204
    assert process.poll() is not None
    assert list(app.state.films.folder.iterdir()) == []
    assert client.get(f"/films/{film['id']}/download").status_code == 404


def test_nothing_is_left_when_the_server_ends(go, tmp_path):
    app = server.build(tmp_path)
    with TestClient(app, base_url="http://localhost") as client:
        film = reached(client, hand_in(client, b"x"), "ready")
        client.post(f"/films/{film['id']}/start")
        reached(client, film, "colouring")
        process, folder = app.state.films.films[film["id"]].process, app.state.films.folder
    assert process.poll() is not None and not folder.exists()


def test_a_film_stopped_just_before_its_process_starts_gets_none(client, app, go, monkeypatch):
    film = reached(client, hand_in(client, b"x"), "ready")
    started, find, turns = [], films.weights_found, []

    def stop_first(runs):
        turns.append(client.post(f"/films/{film['id']}/stop").status_code)
        return find(runs)

    monkeypatch.setattr(films, "weights_found", stop_first)
    monkeypatch.setattr(films.subprocess, "Popen", lambda *args, **kwargs: started.append(args))
    client.post(f"/films/{film['id']}/start")
    app.state.films._works.submit(lambda: None).result(60)  # its turn is over
    assert (len(turns), started, said_of(client, film)["state"]) == (1, [], "ready")


def test_stopping_a_film_that_is_looked_through_changes_nothing(client, go):
    film = hand_in(client, b"x")
    client.post(f"/films/{film['id']}/stop")
    assert reached(client, film, "ready")["sentence"] is None


def test_what_a_killed_server_has_left_is_deleted_by_the_next_one(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("fastcolor-app-killed", "fastcolor-app-lives", "other"):
        (tmp_path / name / "films").mkdir(parents=True)
        (tmp_path / name / server.LOCK).touch()
    with FileLock(tmp_path / "fastcolor-app-lives" / server.LOCK):
        server.clear_left()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fastcolor-app-lives", "other"]


def test_the_work_ends_with_the_server(clip, tmp_path):
    """A server that is killed can't end it."""
    order = {"do": "color", "film": str(clip), "target": str(tmp_path / "new.mp4"), "pair": str(tmp_path / "p.mp4")}
    order |= {"weights": None, "size": None, "strength": 1, "like": None, "hints": None, "deinterlace": False}
    pipes = {name: subprocess.PIPE for name in ("stdin", "stdout")}
    with subprocess.Popen(films.COMMAND, **pipes, text=True) as process:
        process.communicate(json.dumps(order) + "\n", timeout=60)  # closes stdin
    assert process.returncode == 1 and not (tmp_path / "new.mp4").exists()


def test_a_film_that_nobody_looks_at_any_more_is_forgotten_after_a_day(client, app, go):
    film = hand_in(client, b"x")
    app.state.films.sweep()
    assert said_of(client, film)
    app.state.films.films[film["id"]].asked -= films.KEPT_SECONDS
    app.state.films.sweep()
    assert said_of(client, film) is None


def test_a_film_that_takes_too_much_room_is_stopped(client, go, monkeypatch):
    film = reached(client, hand_in(client, b"x"), "ready")
    monkeypatch.setattr(films, "MOST_MADE", 0)
    client.post(f"/films/{film['id']}/start")
    while (said := said_of(client, film))["state"] != "failed":
        time.sleep(0.02)
    assert said["sentence"] == "old.mp4: there is no room for it on the server any more: try again later"


def test_what_there_is_no_room_for_is_put_off(client, go, monkeypatch):
    free = SimpleNamespace(free=films.LEAST_FREE)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda folder: free)
        answer = client.post("/films", params={"name": "a.mp4"}, content=b"x")
        assert (answer.status_code, "no room" in answer.json()["sentence"]) == (503, True)
    for n in range(films.MOST_OF_ONE):
        hand_in(client, b"x", f"{n}.mp4")
    answer = client.post("/films", params={"name": "a.mp4"}, content=b"x")
    assert (answer.status_code, "of yours are here" in answer.json()["sentence"]) == (503, True)
    monkeypatch.setattr(films, "MOST_FILMS", films.MOST_OF_ONE)
    answer = client.post("/films", params={"name": "a.mp4"}, content=b"x")
    assert (answer.status_code, "films are here already" in answer.json()["sentence"]) == (503, True)


@pytest.mark.parametrize("name", ["a.txt", "", "../../a", "mp4"])
def test_what_is_no_film_by_its_name_is_refused(client, app, name):
    answer = client.post("/films", params={"name": name}, content=b"x")
    assert (answer.status_code, "is not a film by its name" in answer.json()["sentence"]) == (422, True)
    assert list(app.state.films.folder.iterdir()) == []


def test_a_film_that_is_too_large_is_cut_off(client, app, monkeypatch):
    monkeypatch.setattr(film_server, "MOST_BYTES", 10)
    for content in (b"x" * 11, (b"xx" for _ in range(6))):
        answer = client.post("/films", params={"name": "a.mp4"}, content=content)
        assert (answer.status_code, "make the film smaller" in answer.json()["sentence"]) == (413, True)
    assert list(app.state.films.folder.iterdir()) == []


def test_without_the_packages_for_films_it_says_what_to_install(client, monkeypatch):
    def missing() -> None:
        raise UserError("colouring films needs av: run `pip install av opencv-python-headless`")

    for module in (films, film_server):
        monkeypatch.setattr(module, "check_packages", missing)
    assert "pip install av" in client.get("/setup").json()["films"]["missing"]
    answer = client.post("/films", params={"name": "a.mp4"}, content=b"x")
    assert (answer.status_code, "pip install av" in answer.json()["sentence"]) == (422, True)


@pytest.mark.parametrize("method, path", [
    ("POST", "/films?name=a.mp4"), ("POST", "/films/ID"), ("DELETE", "/films/ID"), ("POST", "/films/ID/start"),
    ("POST", "/films/ID/stop"), ("PUT", "/films/ID/like?name=a.png"), ("PUT", "/films/ID/hints"),
    ("DELETE", "/films/ID/like"),
])  # fmt: skip
def test_other_sites_pages_can_change_nothing(client, app, go, method, path):
    film = reached(client, hand_in(client, b"x"), "ready")
    headers = {"origin": "http://elsewhere.example"}
    answer = client.request(method, path.replace("ID", film["id"]), headers=headers, content=b"{}")
    assert answer.status_code == 403 and list(app.state.films.films) == [film["id"]]


@pytest.mark.parametrize("path", [
    "/films/wrong/download", "/films/..%2f..%2fetc/watch", "/films/ID/stills/..%2fupload/before",
    "/films/ID/stills/0/x", "/films/ID/upload.mp4", "/films/ID/stills/99/after", "/films/ID/watch",
])  # fmt: skip
def test_of_a_film_only_its_pictures_and_results_can_be_read(client, go, path):
    film = reached(client, hand_in(client, b"x"), "ready")
    assert client.get(path.replace("ID", film["id"])).status_code in (404, 405)


def test_a_film_is_called_as_the_users_own(client, go):
    go.touch()
    film = reached(client, hand_in(client, b"x", "../home/Été 1950.AVI"), "ready")
    client.post(f"/films/{film['id']}/start")
    reached(client, film, "done")
    held = client.get(f"/films/{film['id']}/download").headers["content-disposition"]
    assert held == "attachment; filename*=utf-8''%C3%89t%C3%A9%201950.mp4"
