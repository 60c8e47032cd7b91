"""The page's server: what becomes of photos that are handed in, what is refused, and what nobody can reach."""

import asyncio
import io
import json
import os
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email.message import Message
from pathlib import Path

import httpx
import numpy as np
import pytest
import tifffile
import uvicorn
from photo_files import exif, noise, png, png_of, save
from PIL import Image
from skimage.color import rgb2lab
from starlette.testclient import TestClient

from fastcolor.app import desk, own, server
from fastcolor.app.command import listen
from fastcolor.networks.checkpoint import save_tensors
from fastcolor.photo.formats import FORMATS
from fastcolor.runs import listing as runs
from fastcolor.scenes.landscapes import draw_scene
from fastcolor.weights import BUNDLED

SECRET = b"not for other eyes"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder of runs: `mine` with weights, a history and samples; and a secret beside it."""
    top = tmp_path_factory.mktemp("top")
    mine = top / "runs" / "mine"
    (mine / "samples").mkdir(parents=True)
    (top / "secret.png").write_bytes(SECRET)
    settings = {"data": "photos", "size": 64, "test": 0.1, "seed": 0}
    config = {"settings": settings, "stages": {"stage1": {"finished": True, "bs": 4}}}
    (mine / "config.json").write_text(json.dumps(config))
    (mine / "history.csv").write_text("stage,epoch,train_mse,warning\nstage1,1,0.5,\nstage1,2,0.25,fading\n")
    (mine / "stage1_gen.safetensors").write_bytes(BUNDLED.read_bytes())
    (mine / "broken.safetensors").write_bytes(b"x" * 100)
    save_tensors(mine / "stage3_critic.safetensors", {}, {"kind": "critic", "size": 64})
    for name in ("stage1_epoch001.png", "stage1_epoch002.png"):
        save(mine / "samples" / name, noise())
    (mine / "samples" / "link.png").symlink_to(top / "secret.png")
    (mine / "contact_sheet.png").symlink_to(top / "secret.png")
    return top / "runs"


@pytest.fixture(scope="module")
def app(folder):
    return server.build(folder)


@pytest.fixture(scope="module")
def client(app):
    with TestClient(app, base_url="http://localhost") as client:
        yield client


@pytest.fixture(autouse=True)
def emptied(request):
    """No test finds what another one has handed in."""
    yield
    if "client" in request.fixturenames:
        at = request.getfixturevalue("app").state.desk
        for id in list(at.photos):
            at.remove(id)


def file_of(image, kind="PNG", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(file, kind, **options)
    return file.getvalue()


def scene(seed=0, width=60, height=40) -> Image.Image:
    return draw_scene(seed, 96).convert("L").resize((width, height))


def hand_in(client, content: bytes, name="photo.png", **query) -> dict:
    """Hand a photo in, to be looked at in small: what it becomes is the same, in a tenth of the time."""
    answer = client.post("/photos", params={"name": name, "size": 64, **query}, content=content)
    assert answer.status_code == 201, answer.text
    return answer.json()


def settled(client, photo: dict) -> dict:
    """What the server says of a photo when it has come to its end."""
    for _ in range(2000):
        said = client.get("/photos", params={"ids": photo["id"]}).json()[photo["id"]]
        if said["state"] in ("done", "failed"):
            return said
        time.sleep(0.02)
    raise AssertionError(said)


def made(client, photo: dict, what="result") -> httpx.Response:
    """What is made of a photo to be downloaded."""
    assert settled(client, photo)["state"] == "done"
    assert client.post(f"/photos/{photo['id']}", json={"make": what}).status_code == 202
    said = settled(client, photo)
    assert (said["state"], what in said["ready"]) == ("done", True), said
    return client.get(f"/photos/{photo['id']}/{what}/download")


def colored(client, content: bytes, name="photo.png", **query) -> bytes:
    """The download of a photo that was handed in."""
    return made(client, hand_in(client, content, name, **query)).content


def image_of(answer: httpx.Response) -> Image.Image:
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


def lightness(image) -> np.ndarray:
    return rgb2lab(np.asarray(Image.fromarray(np.asarray(image)).convert("RGB")))[..., 0]


def chroma(image) -> float:
    return np.hypot(*np.moveaxis(rgb2lab(np.asarray(image)), -1, 0)[1:]).mean()


def files_in(app) -> list[str]:
    return sorted(path.name for path in app.state.desk.folder.rglob("*"))


@pytest.mark.parametrize(
    ("kind", "name", "apart"), [("PNG", "a.png", 0.2), ("JPEG", "a.JPG", 1), ("WEBP", "a.webp", 2)]
)
def test_a_download_has_the_uploads_size_format_and_lightness(client, kind, name, apart):
    content = file_of(scene(), kind, quality=95)
    image = Image.open(io.BytesIO(colored(client, content, name)))
    assert (image.format, image.size, image.mode) == (kind, (60, 40), "RGB")
    difference = np.abs(lightness(image) - lightness(Image.open(io.BytesIO(content))))
    assert difference.mean() < apart
    assert kind != "PNG" or difference.max() < 0.6  # half a step of 8 bits in the dark
    assert chroma(image) > 2  # grey has 0


def test_16_bits_stay_16_bits(client):
    result = colored(client, png(noise(channels=1, dtype=np.uint16)))
    assert result[12:16] == b"IHDR"
    assert tuple(result[16:26]) == (0, 0, 0, 32, 0, 0, 0, 24, 16, 2)  # width, height, bits, RGB


def test_all_pages_and_metadata_stay(client):
    file = io.BytesIO()
    tifffile.imwrite(file, np.stack([noise(n, channels=3) for n in range(3)]), photometric="rgb")
    assert len(tifffile.TiffFile(io.BytesIO(colored(client, file.getvalue(), "pages.tif"))).pages) == 3
    described = Image.open(io.BytesIO(colored(client, file_of(scene(), "JPEG", exif=exif()), "a.jpg")))
    assert described.getexif()[0x010F] == "Maker of cameras"


def test_side_by_side_is_the_photo_and_its_colours(client):
    photo = settled(client, hand_in(client, file_of(scene()), "flower.png"))
    assert client.get(f"/photos/{photo['id']}/beside/download").status_code == 404
    answer = made(client, photo, "beside")
    both = np.asarray(image_of(answer))
    assert 'filename="flower-side-by-side.png"' in answer.headers["content-disposition"]
    assert both.shape == (40, 120, 3)
    assert np.array_equal(both[:, :60, 1], scene())
    assert np.array_equal(both[:, 60:], image_of(made(client, photo)))


def test_other_settings_colour_the_kept_upload_anew(client, app):
    photo = settled(client, hand_in(client, file_of(scene()), size=""))

    def anew(**settings):
        client.post(f"/photos/{photo['id']}", json=settings)
        assert not settled(client, photo)["ready"]
        return image_of(made(client, photo))

    full = image_of(made(client, photo))
    assert chroma(anew(strength=0.5)) == pytest.approx(chroma(full) / 2, rel=0.1)
    assert not np.array_equal(anew(size=64), full)
    assert np.array_equal(anew(weights="mine/stage1_gen"), full)
    assert np.array_equal(np.asarray(anew(strength=0))[..., 0], scene())
    assert len(files_in(app)) == 5  # the folder, upload, small, colors, result: none of the earlier ones


def test_a_strength_of_its_own_needs_no_other_look(client):
    photo = settled(client, hand_in(client, file_of(scene()), size=""))
    client.post(f"/photos/{photo['id']}", json={"strength": 0.3})
    said = settled(client, photo)
    assert (said["version"], said["settings"]["strength"]) == (photo["version"], 0.3)


def test_a_part_of_a_photo_is_shown_as_its_download_has_it(client, monkeypatch):
    monkeypatch.setattr(desk, "SMALL", 100)
    original = scene(3, 120, 90)
    photo = settled(client, hand_in(client, file_of(original)))
    whole = image_of(made(client, photo))
    for what, wanted in (("before", original.convert("RGB")), ("after", whole)):
        path = f"/photos/{photo['id']}/{what}"
        small = image_of(client.get(path, params={"side": 24}))
        assert (small.format, small.size) == ("JPEG", (24, 18))
        part = image_of(client.get(path, params={"side": 64, "box": "50,20,114,52"}))
        assert part.size == (64, 32)
        cut = wanted.crop((50, 20, 114, 52))
        light, own = (np.asarray(image.convert("L"), float) for image in (part, cut))
        assert np.abs(light - own).mean() < 3  # a JPEG
        assert np.abs(light - np.roll(own, 3, axis=1)).mean() > 6
        colors, own = (np.asarray(image.convert("RGB"), float).mean(axis=(0, 1)) for image in (part, cut))
        assert np.abs(colors - own).max() < 8  # coloured from a smaller copy


@pytest.mark.parametrize("query", ["side=x", "side=1,2", "box=1,2,3", "box=9,0,5,4", "box=0,0,61,40", "box=-1,0,5,5"])
def test_a_part_that_a_photo_does_not_have_is_refused(client, query):
    photo = settled(client, hand_in(client, file_of(scene())))
    assert client.get(f"/photos/{photo['id']}/after?{query}").status_code == 422


def too_many_pixels() -> bytes:
    return png_of([(b"IHDR", (60000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])), (b"IDAT", b""), (b"IEND", b"")])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "x.jpg: is empty"),
        (b"I am a letter", "x.jpg: is not a JPEG, "),
        (too_many_pixels(), "pixels"),
        (b"\x89PNG\r\n\x1a\n", "x.jpg: is a broken PNG file"),
    ],
)
def test_what_is_no_photo_is_refused_with_a_sentence(client, app, content, said):
    answer = client.post("/photos", params={"name": "x.jpg"}, content=content)
    assert answer.status_code == 422
    assert said in answer.json()["sentence"]
    assert str(app.state.desk.folder) not in answer.text
    assert files_in(app) == []


def test_a_truncated_photo_fails_with_a_sentence(client, app):
    content = file_of(noise(height=200, width=200))
    photo = settled(client, hand_in(client, content[: len(content) // 2], "x.png"))
    assert (photo["state"], photo["version"]) == ("failed", 0)
    assert photo["sentence"].startswith("x.png: can't be decoded (")
    assert str(app.state.desk.folder) not in photo["sentence"]
    assert client.get(f"/photos/{photo['id']}/after").status_code == 422


def test_a_fault_of_the_program_is_said_and_does_not_stop_the_next_photo(client, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        patch.setattr(desk, "check", lambda *_: Path("x.png"))
        patch.setattr(desk, "keep_pixels", lambda *_: 1 / 0)
        photo = settled(client, hand_in(client, file_of(scene()), "x.png"))
    assert "bug in fastcolor" in photo["sentence"]
    assert "ZeroDivisionError" in caplog.text
    assert colored(client, file_of(scene()))


def asked(app, path: str, pieces=(), method="GET", **headers) -> tuple[int, bytes, int]:
    """Status, body and how many pieces of the request were read, of a path as no client would send it."""
    sent, count = [], 0

    async def receive():
        nonlocal count
        count += 1
        if count > len(pieces) + 1:  # the client has said all, and waits
            await asyncio.sleep(60)
        piece = pieces[count - 1] if count <= len(pieces) else b""
        return {"type": "http.request", "body": piece, "more_body": count <= len(pieces)}

    async def send(message):
        sent.append(message)

    raw = [(b"host", b"localhost"), *((name.encode(), value.encode()) for name, value in headers.items())]
    path, _, query = path.partition("?")
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode()}
    asyncio.run(app({**scope, "headers": raw, "root_path": "", "scheme": "http", "http_version": "1.1"}, receive, send))
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent), count


def test_a_body_that_is_too_large_is_cut_off(client, app, monkeypatch):
    monkeypatch.setattr(server, "MOST_BYTES", 1000)
    status, body, read = asked(app, "/photos?name=a.png", [bytes(400)] * 50, "POST")
    assert (status, read) == (413, 3)
    assert b"larger than" in body
    assert client.post("/photos", content=bytes(1001)).status_code == 413
    assert files_in(app) == []


@pytest.mark.parametrize("limit", ["MOST_WAITING", "MOST_KEPT"])
def test_more_than_there_is_room_for_is_put_off(client, app, monkeypatch, limit):
    monkeypatch.setattr(desk, limit, 0)
    answer = client.post("/photos", content=file_of(scene()))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert "try again" in answer.json()["sentence"]
    assert files_in(app) == []


@pytest.mark.parametrize("query", ["strength=2", "strength=nan", "strength=x", "size=9", "size=5000", "weights=none"])
def test_settings_that_make_no_sense_are_refused(client, query):
    answer = client.post(f"/photos?{query}", content=file_of(scene()))
    assert answer.status_code == 422
    assert answer.json()["sentence"]


@pytest.fixture
def halted(monkeypatch):
    """Photos are not coloured before `set` is called; what is then, in turn."""
    gate, done, keep_pixels = threading.Event(), [], desk.keep_pixels

    def wait(source, *options):
        gate.wait(20)
        done.append(source)
        return keep_pixels(source, *options)

    monkeypatch.setattr(desk, "keep_pixels", wait)
    gate.done = done
    yield gate
    gate.set()


def test_a_photo_knows_how_many_are_before_it(client, halted):
    photos = [hand_in(client, file_of(scene())) for _ in range(3)]
    time.sleep(0.1)
    said = client.get("/photos", params={"ids": ",".join(photo["id"] for photo in photos)}).json()
    assert [said[photo["id"]]["ahead"] for photo in photos] == [0, 1, 2]
    assert [said[photo["id"]]["state"] for photo in photos] == ["reading", "waiting", "waiting"]
    halted.set()
    assert settled(client, photos[2])["state"] == "done"


def test_of_several_orders_that_wait_only_the_last_is_carried_out(client, halted):
    hand_in(client, file_of(scene()))
    photo = hand_in(client, file_of(scene()))
    for strength in (0.2, 0.4, 0):
        client.post(f"/photos/{photo['id']}", json={"strength": strength})
    halted.set()
    settled(client, photo)
    assert len(halted.done) == 2
    assert np.array_equal(np.asarray(image_of(made(client, photo)))[..., 0], scene())


def test_a_removed_photo_leaves_nothing(client, app):
    for way in (
        lambda id: client.delete(f"/photos/{id}"),
        lambda id: (
            client.post("/photos/leave", content=f"{id},unknown"),
            setattr(app.state.desk.photos[id], "asked", app.state.desk.photos[id].asked - desk.LEFT_SECONDS),
            app.state.desk.sweep(),
        ),
        lambda id: (setattr(app.state.desk.find(id), "asked", time.monotonic() - 901), app.state.desk.sweep()),
    ):
        photo = settled(client, hand_in(client, file_of(scene())))
        app.state.desk.sweep()
        assert len(files_in(app)) == 4
        way(photo["id"])
        assert files_in(app) == []
        assert client.get("/photos", params={"ids": photo["id"]}).json() == {photo["id"]: None}
        assert client.get(f"/photos/{photo['id']}/after").status_code == 404


def test_a_page_that_is_loaded_again_keeps_its_photos(client, app):
    photo = settled(client, hand_in(client, file_of(scene())))
    client.post("/photos/leave", content=photo["id"])
    assert settled(client, photo)["state"] == "done"
    app.state.desk.photos[photo["id"]].asked -= desk.LEFT_SECONDS
    app.state.desk.sweep()
    assert settled(client, photo)["state"] == "done"


def test_a_photo_removed_while_it_is_coloured_leaves_nothing(client, app, halted):
    photo, other = hand_in(client, file_of(scene())), hand_in(client, file_of(scene()))
    time.sleep(0.1)
    for each in (photo, other):
        assert client.delete(f"/photos/{each['id']}").status_code == 204
    halted.set()
    for _ in range(500):
        if not files_in(app):
            break
        time.sleep(0.02)
    assert files_in(app) == []
    assert len(halted.done) == 1


def test_nothing_is_left_when_the_server_ends(folder):
    app = server.build(folder)
    with TestClient(app, base_url="http://localhost") as client:
        settled(client, hand_in(client, file_of(scene())))
        kept = app.state.desk.folder
        assert kept.is_dir()
    assert not kept.exists()


PATHS = [
    "/../secret.png", "/../../../../etc/passwd", "//etc/passwd", "/page.css/../../server.py", "/./server.py",
    "/server.py",
    "/runs/..", "/runs/../secret.png", "/runs/mine/../../secret.png", "/runs/mine/samples/../../../secret.png",
    "/runs/mine//etc/passwd", "/runs/mine/link.png", "/runs/mine/contact_sheet.png", "/runs/mine/config.json",
    "/runs/mine/stage1_gen.safetensors", "/runs/mine/\0", "/runs/\0/x", "/runs/mine/..\\..\\secret.png",
    "/photos/../upload",
    "/photos/x/upload", "/examples/-1", "/examples/99", "/runs/mine/%2e%2e%2f%2e%2e%2fsecret.png",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_no_file_of_the_server_can_be_read(client, app, path):
    for way in (path, path.replace("../", "%2e%2e%2f")):
        status, body, _ = asked(app, way)
        assert status in (404, 405)
        assert body.startswith(b'{"sentence":')


@pytest.mark.parametrize("what", ["upload", "../upload", "", "before/../upload"])
def test_of_a_photo_only_its_pictures_can_be_read(client, app, what):
    photo = settled(client, hand_in(client, file_of(scene())))
    assert asked(app, f"/photos/{photo['id']}/{what}")[0] == 404
    assert asked(app, f"/photos/{photo['id']}/before")[0] == 200


@pytest.mark.parametrize(
    "name", ["../mine/stage1_gen", "/etc/passwd", "mine/../mine/stage1_gen", "mine/stage3_critic", "mine"]
)
def test_weights_are_known_by_name_alone(client, name):
    answer = client.post("/photos", params={"weights": name}, content=file_of(scene()))
    assert answer.status_code == 422
    assert "there are no weights called" in answer.json()["sentence"]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Großmutter 写真.png", "Großmutter 写真.png"),
        ("../../etc/a.png", "a.png"),
        ("C:\\photos\\a.png", "a.png"),
        ('a"; filename="b.exe', "a; filename=b.exe.png"),
        ("a\r\nSet-Cookie: b\0.png", "aSet-Cookie b.png"),
        (".png", "png.png"),
        ("", "photo.png"),
        ("x" * 300 + ".png", "x" * 100 + ".png"),
    ],
)
def test_a_file_is_called_as_the_users_own_and_does_no_harm(client, app, name, kept):
    answer = made(client, hand_in(client, file_of(scene()), name))
    told = Message()
    told["content-disposition"] = answer.headers["content-disposition"]
    assert told.get_filename() == kept
    assert told.get_content_disposition() == "attachment"
    assert "set-cookie" not in answer.headers
    assert not [file for file in files_in(app) if "a" == file or "etc" in file]


def test_a_zip_file_holds_all_results_by_their_own_names(client):
    photos = [hand_in(client, file_of(scene(n)), "A.png" if n else "a.png") for n in range(3)]
    ids = [photo["id"] for photo in photos]
    alone = [made(client, photo).content for photo in photos]
    answer = client.get("/zip", params={"ids": ",".join([*ids, "unknown"])})
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    assert archive.namelist() == ["a.png", "A (2).png", "A (3).png"]
    assert [archive.read(name) for name in archive.namelist()] == alone
    assert client.get("/zip", params={"ids": "unknown"}).status_code == 404


def test_a_zip_file_never_mixes_old_and_new_colours(client):
    photos = [hand_in(client, file_of(scene(n))) for n in range(2)]
    for photo in photos:
        made(client, photo)
    client.post(f"/photos/{photos[1]['id']}", json={"strength": 0.5})
    answer = client.get("/zip", params={"ids": ",".join(photo["id"] for photo in photos)})
    assert (answer.status_code, answer.json()["sentence"]) == (409, "1 of these photos are not made yet.")


def test_the_page_and_its_examples_come_from_here_alone(client):
    setup = client.get("/setup").json()
    assert [weights["name"] for weights in setup["weights"]] == ["bundled", "mine/stage1_gen"]
    for path in ("/", *(f"/{name}" for name in server.FILES)):
        answer = client.get(path)
        assert answer.status_code == 200
        text = answer.text.replace("http://www.w3.org/2000/svg", "")  # a name, which nobody fetches
        assert "://" not in text
    example = Image.open(io.BytesIO(client.get(setup["examples"][0]).content))
    assert (example.mode, example.size) == ("L", (512, 512))


def test_only_formats_that_the_server_reads_are_offered(client, monkeypatch):
    assert ".jpg" in client.get("/setup").json()["formats"]["JPEG"]
    for reads in (True, False):
        known = [replace(each, codec=lambda: reads) if each.name == "HEIC" else each for each in FORMATS]  # noqa: B023
        monkeypatch.setattr(server, "FORMATS", known)
        assert ("HEIC" in client.get("/setup").json()["formats"]) == reads


def hinted(client, photo: dict, hints: list[dict], version=1) -> httpx.Response:
    settled(client, photo)
    return client.put(f"/photos/{photo['id']}/hints", json={"version": version, "hints": hints})


HINT = {"x": 0.4, "y": 0.6, "color": "#2b4c9b", "radius": 0.1}


def test_points_change_what_is_seen_and_what_is_downloaded(client):
    photo = hand_in(client, file_of(scene()), "a.png")
    plain = image_of(made(client, photo))
    answer = hinted(client, photo, [HINT]).json()
    (hint,) = answer["hints"]
    assert {name: hint[name] for name in HINT} == HINT
    light = lightness(scene())[24, 24]
    shown = rgb2lab(np.uint8([[list(bytes.fromhex(hint["shown"][1:]))]]))[0, 0]
    assert shown == pytest.approx([light, *hint["ab"]], abs=3)  # at the photo's own light
    assert answer["ready"] == []
    assert answer["version"] > photo["version"]
    colored = image_of(made(client, photo))
    assert not np.array_equal(colored, plain)
    seen = np.asarray(image_of(client.get(f"/photos/{photo['id']}/after")).convert("RGB"), float)
    assert np.abs(seen - colored).mean() < 6  # a JPEG
    kept = client.get(f"/photos/{photo['id']}/hints/download")
    assert kept.json() == {"version": 1, "hints": [HINT]}
    assert 'filename="a.png.hints.json"' in kept.headers["content-disposition"]
    archive = zipfile.ZipFile(io.BytesIO(client.get("/zip", params={"ids": photo["id"]}).content))
    assert archive.namelist() == ["a.png", "a.png.hints.json"]
    assert hinted(client, photo, []).json()["hints"] == []
    assert np.array_equal(image_of(made(client, photo)), plain)
    assert client.get(f"/photos/{photo['id']}/hints/download").status_code == 404


@pytest.mark.parametrize(
    "hint",
    [
        {"x": 2},
        {"y": -0.1},
        {"x": "a"},
        {"x": None},
        {"radius": 7},
        {"color": "bluish"},
        {"color": [1, 2, 3]},
        {"more": 1},
    ],
    ids=str,
)
def test_points_that_make_no_sense_are_refused(client, app, hint):
    photo = hand_in(client, file_of(scene()), "a.png")
    answer = hinted(client, photo, [{**HINT, **hint}])
    assert answer.status_code == 422
    assert answer.json()["sentence"].startswith("a.png.hints.json: ")
    assert not [name for name in files_in(app) if name.endswith(".json")]


@pytest.mark.parametrize(
    "body", ["", "{", "[]", "[" * 99_000, '{"version":1}', '{"version":1,"hints":[7]}', '{"version":9,"hints":[]}']
)
def test_what_holds_no_points_is_refused(client, body):
    photo = settled(client, hand_in(client, file_of(scene()), "a.png"))
    answer = client.put(f"/photos/{photo['id']}/hints", content=body)
    assert answer.status_code == 422
    assert "a.png.hints.json" in answer.json()["sentence"]


def test_too_many_points_are_refused(client):
    answer = hinted(client, hand_in(client, file_of(scene())), [HINT] * 501)
    assert answer.status_code == 422
    assert "501" in answer.json()["sentence"]


def test_likely_colours_of_a_place_have_its_lightness(client):
    photo = settled(client, hand_in(client, file_of(scene(3, 120, 90))))
    said = client.get(f"/photos/{photo['id']}/suggestions", params={"x": 0.3, "y": 0.4}).json()
    assert 1 <= len(said["colors"]) <= 9
    assert sum(each["share"] for each in said["colors"]) == pytest.approx(1, abs=0.01)
    for each in said["colors"]:
        rgb = np.uint8([[list(bytes.fromhex(each["color"][1:]))]])
        assert rgb2lab(rgb)[0, 0, 0] == pytest.approx(said["lightness"], abs=1.5)


@pytest.mark.parametrize("query", ["", "x=0.5", "x=nan&y=0", "x=a&y=0", "x=2&y=0", "x=inf&y=0", "x=0&y=-1"])
def test_places_outside_have_no_suggestions(client, query):
    photo = settled(client, hand_in(client, file_of(scene())))
    assert client.get(f"/photos/{photo['id']}/suggestions?{query}").status_code == 422


@pytest.mark.parametrize("lightness", [0, 1, 30, 54, 80, 100])
def test_the_field_has_all_colours_of_a_lightness_and_no_others(client, lightness):
    pixels = np.asarray(image_of(client.get(f"/field/{lightness}")))
    exists = pixels[..., 3] == 255
    assert rgb2lab(pixels[..., :3][exists])[..., 0] == pytest.approx(lightness, abs=1.6)
    _, left, bottom, right, top = own.field(lightness)
    every = rgb2lab(np.stack(np.meshgrid(*[np.arange(0, 256, 5, dtype=np.uint8)] * 3), -1).reshape(-1, 3))
    a, b = every[np.abs(every[:, 0] - lightness) < 0.3, 1:].T
    if 10 < lightness < 90:  # towards black and white the borders move fast
        assert left - 1.5 <= a.min() and a.max() <= right + 1.5 and bottom - 1.5 <= b.min() and b.max() <= top + 1.5


@pytest.mark.parametrize("lightness", ["-1", "101", "9" * 5000, "1e2", "x", "٣"])
def test_there_is_no_field_of_other_lightnesses(client, lightness):
    assert client.get(f"/field/{lightness}").status_code == 404


def test_colours_of_another_photo_become_points(client, app):
    original = draw_scene(3, 96)
    photo = settled(client, hand_in(client, file_of(original.convert("L"))))
    answer = client.put(f"/photos/{photo['id']}/like", params={"name": "ref.png"}, content=file_of(original))
    hints = answer.json()["hints"]
    assert len(hints) > 5
    plain = image_of(made(client, photo))
    assert hinted(client, photo, hints).status_code == 200
    apart = [
        np.abs(rgb2lab(np.asarray(each)) - rgb2lab(np.asarray(original))).mean()
        for each in (image_of(made(client, photo)), plain)
    ]
    assert apart[0] < apart[1]
    for content, said in (
        (file_of(original.convert("L")), "ref.png has no colours"),
        (b"a letter", "ref.png: is not a"),
    ):
        answer = client.put(f"/photos/{photo['id']}/like", params={"name": "ref.png"}, content=content)
        assert answer.status_code == 422
        assert answer.json()["sentence"].startswith(said)
    assert "ref.png" not in files_in(app)


def test_weights_that_take_no_points_say_so(client, folder):
    (folder / "mine" / "lean.safetensors").write_bytes(BUNDLED.with_name("lean.safetensors").read_bytes())
    photo = hand_in(client, file_of(scene()), weights="mine/lean")
    answer = hinted(client, photo, [HINT])
    assert answer.status_code == 422
    assert answer.json()["sentence"].startswith("the weights mine/lean takes no hints")
    assert hinted(client, photo, []).status_code == 200
    (folder / "mine" / "lean.safetensors").unlink()


def test_a_photo_of_any_size_is_coloured_anew_from_a_small_copy(client, monkeypatch):
    """What makes 150 ms possible: neither the file nor its pixels are looked at again."""
    photo = settled(client, hand_in(client, file_of(scene(3, 3000, 2000), "JPEG"), "a.jpg"))
    small = np.load(client.app.state.desk.photos[photo["id"]].small)
    assert max(small.shape) == desk.SMALL
    monkeypatch.setattr(desk, "keep_pixels", lambda *_: 1 / 0)
    client.app.state.desk.photos[photo["id"]].source.unlink()
    assert hinted(client, photo, [HINT]).status_code == 200
    assert max(image_of(client.get(f"/photos/{photo['id']}/after", params={"side": desk.SMALL})).size) == desk.SMALL


def test_a_run_is_shown_with_its_history_and_pictures(client):
    assert client.get("/runs").json()["runs"] == ["mine"]
    run = client.get("/runs/mine").json()
    assert run["stages"] == [{"name": "stage1", "finished": True}]
    assert [row["train_mse"] for row in run["history"]] == ["0.5", "0.25"]
    assert [picture["name"] for picture in run["pictures"]] == ["stage1_epoch001.png", "stage1_epoch002.png"]
    answer = client.get("/runs/mine/stage1_epoch002.png")
    assert np.array_equal(Image.open(io.BytesIO(answer.content)), noise())
    assert client.get("/runs/other").status_code == 404


def test_runs_that_are_missing_or_damaged_are_no_fault(tmp_path):
    assert runs.run_folders(tmp_path / "none") == {}
    assert list(runs.weights_found(tmp_path / "none")) == ["bundled"]
    (tmp_path / "run").mkdir()
    assert runs.run_folders(tmp_path) == {}
    (tmp_path / "run" / "config.json").write_text("{")
    nothing = {"stages": [], "history": [], "written": None, "pictures": []}
    assert runs.describe(runs.run_folders(tmp_path)["run"]) == nothing
    (tmp_path / "run" / "history.csv").write_bytes(b"stage,epoch\nstage1,1,2,3\nstage1\n\xff\n")
    assert runs.describe(runs.run_folders(tmp_path)["run"])["history"] == []
    os.mkfifo(tmp_path / "run" / "pipe.safetensors")  # which would be waited for
    assert list(runs.weights_found(tmp_path)) == ["bundled"]


@pytest.fixture
def run(tmp_path) -> Path:
    """A run folder, of a history and a config; beside it a secret that is written like them."""
    (tmp_path / "secret").write_text("stage,epoch,secret\nsecret,1,7\n")
    (tmp_path / "secret.json").write_text(
        '{"settings": {"data": "secret"}, "stages": {"secret": {"finished": true, "bs": 1}}}'
    )
    folder = tmp_path / "runs" / "run"
    (folder / "samples").mkdir(parents=True)
    (folder / "history.csv").write_text("stage,epoch,train_mse\nstage1,1,0.5\n")
    return folder


def replaced(path: Path, way: str, secret: Path) -> None:
    path.unlink(missing_ok=True)
    ways = {"pipe": os.mkfifo, "folder": os.mkdir, "loop": lambda path: path.symlink_to(path)}
    ways |= {"link": lambda path: path.symlink_to(secret), "device": lambda path: path.symlink_to("/dev/zero")}
    ways |= {"two links": lambda path: (path.with_name("hop").symlink_to(secret), path.symlink_to("hop"))}
    ways |= {"large": lambda path: path.write_text(secret.read_text() + " " * runs.MOST_TEXT)}
    ways[way](path)


FILES = ["history.csv", "config.json", "stage1_gen.safetensors", "contact_sheet.png"]
ODD = [(name, way) for name in FILES for way in ("link", "two links", "pipe", "folder", "loop", "device")]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("name", "way"), [*ODD, ("history.csv", "large"), ("config.json", "large")])
def test_what_leads_out_of_a_run_folder_or_never_ends_is_not_read(run, name, way):
    secret = {"history.csv": run.parents[1] / "secret", "config.json": run.parents[1] / "secret.json"}.get(
        name, BUNDLED
    )
    replaced(run / name, way, secret)
    if name == "history.csv":  # so that it still is a run
        (run / "config.json").write_text("{}")
    said = runs.describe(runs.run_folders(run.parent)["run"])
    assert "secret" not in json.dumps(said)
    assert said["pictures"] == []
    assert list(runs.weights_found(run.parent)) == ["bundled"]


def test_a_run_folder_that_is_a_link_is_shown(run, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "link").symlink_to(run)
    assert runs.describe(runs.run_folders(elsewhere)["link"])["history"]


WRONG = [
    '{"weights":[1]}',
    '{"weights":{}}',
    '{"weights":7}',
    '{"size":1e400}',
    '{"size":[]  ',
    '{"size":{"a":1}}',
    '{"size":-1}',
]
WRONG += [
    '{"strength":1e400}',
    '{"strength":NaN}',
    '{"strength":null}',
    '{"strength":[1]}',
    '{"strength":' + "9" * 5000 + "}",
]
WRONG += [
    "[" * 99_000,
    '{"a":' * 19_000,
    "[]",
    "7",
    "null",
    '"',
    "\xff",
    "",
    '{"make":[1]}',
    '{"make":"upload"}',
    '{"weights":"\\ud800"}',
]


@pytest.mark.parametrize("body", WRONG, ids=lambda body: body[:20])
def test_wrong_json_is_refused_with_a_sentence(client, body):
    photo = settled(client, hand_in(client, file_of(scene())))
    answer = client.post(f"/photos/{photo['id']}", content=body.encode("latin-1"))
    assert answer.status_code == 422
    assert answer.json()["sentence"]


@pytest.mark.parametrize("path", ["/examples/" + "9" * 5000, "/photos?ids=" + "x," * 9999, "/runs/%ff", "/zip?ids=%00"])
def test_odd_paths_are_no_fault(client, path):
    assert client.get(path).status_code in (200, 404)


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://localhost", 204), (None, 204), ("http://evil.example", 403), ("null", 403), ("http://localhost:81", 403)],
)
def test_other_sites_pages_can_change_nothing(client, origin, status):
    headers = {"origin": origin} if origin else {}
    assert client.post("/photos/leave", content="x", headers=headers).status_code == status


@pytest.mark.parametrize("path", ["/", "/setup", "/nowhere", "/photos"])
def test_browsers_are_told_to_fetch_nothing_from_elsewhere(client, path):
    headers = client.get(path).headers
    assert headers["content-security-policy"].startswith("default-src 'self';")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


@pytest.fixture
def served(folder):
    """The address of a real server, and its desk."""
    app = server.build(folder)
    listener = listen("127.0.0.1", 0)
    real = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=real.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", app
    real.should_exit = True
    thread.join()


def test_24_photos_over_8_connections_all_come_back_to_whom_they_belong(served):
    address, app = served

    def user(number: int) -> list[str]:
        wrong = []
        with httpx.Client(base_url=address, timeout=60) as client:
            for turn in range(3):
                photo = scene(number * 3 + turn, 40 + number, 30 + turn)
                result = Image.open(io.BytesIO(colored(client, file_of(photo), f"{number}-{turn}.png")))
                if result.size != photo.size or np.abs(lightness(result) - lightness(photo)).max() > 0.6:
                    wrong.append(f"{number}-{turn}")
        return wrong

    with ThreadPoolExecutor(8) as users:
        assert [wrong for wrong in users.map(user, range(8)) if wrong] == []
    assert len(app.state.desk.photos) == 24
