"""The page in a real browser: what a user does there, and sees."""

import csv
import io
import shutil
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from PIL import Image
from skimage.color import rgb2lab

from fastcolor.app import desk, server
from fastcolor.app.command import listen
from fastcolor.app.limits import TimedProtocol
from fastcolor.scenes.landscapes import draw_scene

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is found: install chromium, or google-chrome")

FLAGS = ["no-sandbox", "disable-gpu", "no-first-run"]
FLAGS += ["disable-background-networking", "disable-component-update", "disable-sync"]
DONE = "body:not(:has(progress:not([hidden])))"  # nothing is on its way any more


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("top") / "runs"


@pytest.fixture(scope="module")
def app(runs):
    return server.build(runs)


@pytest.fixture(scope="module")
def address(app):
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(app, http=TimedProtocol, log_level="warning", timeout_graceful_shutdown=1)
    real = uvicorn.Server(config)
    thread = threading.Thread(target=real.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    real.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=[f"--{flag}" for flag in FLAGS])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, address):
    """Opens the page anew; fails afterwards if it asked for anything elsewhere, or a script in it failed."""
    contexts, wrong, asked = [], [], []

    def open_page(path="/", **options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        page.on("dialog", lambda dialog: asked.append(dialog.type) or dialog.accept())
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url) if not _is_own(request.url) else None)
        page.goto(address + path)
        return page

    open_page.asked = asked  # the browser's own questions, which are answered with yes

    def _is_own(url: str) -> bool:
        return url.startswith((f"{address}/", "data:", "blob:"))

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def photo(folder: Path, name="old.png", seed=27, size=(96, 64)) -> Path:
    draw_scene(seed, 96).convert("L").resize(size).save(folder / name)
    return folder / name


def choose(page, *files: Path) -> None:
    page.locator("#examples img").first.wait_for()  # the page knows what the server offers
    page.set_input_files("#files", files)
    page.locator(".photo").last.wait_for()
    page.wait_for_selector(DONE)


def lightness(path) -> np.ndarray:
    return rgb2lab(np.asarray(Image.open(path).convert("RGB")))[..., 0]


def downloaded(page, button) -> tuple[str, io.BytesIO]:
    with page.expect_download() as waited:
        button.click()
    return waited.value.suggested_filename, io.BytesIO(Path(waited.value.path()).read_bytes())


def test_a_photo_is_coloured_looked_at_and_downloaded(open_page, tmp_path):
    page, upload = open_page(), photo(tmp_path)
    choose(page, upload)
    assert page.locator(".state").text_content() == "96 × 64 pixels"
    name, file = downloaded(page, page.get_by_role("button", name="Download", exact=True))
    result = Image.open(file)
    assert (name, result.format, result.size, result.mode) == ("old.png", "PNG", (96, 64), "RGB")
    assert np.abs(lightness(file) - lightness(upload)).max() < 0.6
    look(page)
    page.locator("#view").get_by_text("More").click()
    name, file = downloaded(page, page.get_by_role("button", name="Download side by side"))
    assert (name, Image.open(file).size) == ("old-side-by-side.png", (192, 64))


def look(page, number=0) -> None:
    """Open a photo large."""
    page.locator(".open").nth(number).click()
    page.locator("#all-after[src]").wait_for(state="attached")


def test_less_strength_is_seen_at_once_and_is_in_the_download(open_page, tmp_path):
    page, upload = open_page(), photo(tmp_path)
    choose(page, upload)
    before = page.locator(".open img.after").get_attribute("src")
    page.get_by_role("slider", name="Strength").fill("0")
    assert page.locator(".open img.after").evaluate("img => getComputedStyle(img).opacity") == "0"
    assert page.locator(".open img.after").get_attribute("src") == before  # nothing is coloured anew
    _, file = downloaded(page, page.get_by_role("button", name="Download", exact=True))
    assert np.array_equal(np.asarray(Image.open(file))[..., 0], Image.open(upload))


def test_settings_of_one_photo_are_its_own(open_page, tmp_path):
    page = open_page()
    files = [photo(tmp_path, f"{n}.png", seed=n) for n in range(2)]
    choose(page, *files)
    look(page, 1)
    page.locator("#own-strength").fill("0.25")
    page.keyboard.press("Escape")
    page.locator("#strength").fill("0.75")
    shown = page.locator(".open img.after").evaluate_all("all => all.map(img => getComputedStyle(img).opacity)")
    assert shown == ["0.75", "0.25"]
    look(page, 1)
    page.get_by_role("button", name="Same as all").click()
    page.keyboard.press("Escape")
    shown = page.locator(".open img.after").evaluate_all("all => all.map(img => getComputedStyle(img).opacity)")
    assert shown == ["0.75", "0.75"]


def test_all_are_downloaded_in_the_colours_of_now(open_page, tmp_path):
    page = open_page()
    files = [photo(tmp_path, f"{n}.png", seed=n) for n in range(3)]
    choose(page, *files)
    for strength in ("1", "0"):  # what was made for the first is not taken for the second
        page.locator("#strength").fill(strength)
        _, file = downloaded(page, page.get_by_role("button", name="Download all"))
    with zipfile.ZipFile(file) as archive:
        assert archive.namelist() == [file.name for file in files]
        for own in files:
            assert np.array_equal(np.asarray(Image.open(archive.open(own.name)))[..., 0], Image.open(own))


def test_removed_photos_can_be_had_back(open_page, tmp_path):
    page = open_page()
    choose(page, *(photo(tmp_path, f"{n}.png", seed=n) for n in range(3)))
    page.get_by_role("button", name="Remove 1.png").click()
    assert page.locator(".name").all_text_contents() == ["0.png", "2.png"]
    page.get_by_role("button", name="Undo").first.click()
    assert page.locator(".name").all_text_contents() == ["0.png", "1.png", "2.png"]
    page.get_by_role("button", name="Remove all").click()
    assert page.locator(".photo").count() == 0
    page.get_by_text("Removed 3 photos").wait_for()
    page.get_by_role("button", name="Undo").first.click()
    assert page.locator(".name").all_text_contents() == ["0.png", "1.png", "2.png"]
    downloaded(page, page.get_by_role("button", name="Download all"))


def test_whoever_goes_before_downloading_is_asked(open_page, tmp_path):
    page = open_page()
    choose(page, photo(tmp_path))
    page.locator("h2.name").click()  # browsers ask only those who have touched the page
    page.reload()
    assert open_page.asked == ["beforeunload"]
    page.wait_for_selector(DONE)
    downloaded(page, page.get_by_role("button", name="Download", exact=True))
    page.locator("h2.name").click()
    page.reload()
    assert open_page.asked == ["beforeunload"]


def zip_of(path: Path, *files: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, f"album/{file.name}")
        archive.writestr("album/readme.txt", "not a photo")
        archive.writestr("__MACOSX/._0.png", "not a photo either")
    return path


def test_photos_in_zip_files_are_taken(open_page, tmp_path):
    page = open_page()
    page.locator("#examples img").first.wait_for()
    packed = zip_of(tmp_path / "album.zip", *(photo(tmp_path, f"{n}.png", seed=n) for n in range(2)))
    page.set_input_files("#files", packed)
    page.locator(".photo").nth(1).wait_for()
    page.wait_for_selector(DONE)
    assert page.locator(".name").all_text_contents() == ["0.png", "1.png"]
    assert page.locator("#count").text_content() == "2 of 2 coloured"
    (tmp_path / "cut.zip").write_bytes(packed.read_bytes()[:200])
    page.set_input_files("#files", tmp_path / "cut.zip")
    page.get_by_text("cut.zip is damaged, or no zip file.").wait_for()


DROP = """async (names) => {
  const content = await (await fetch("/examples/1")).blob();
  const files = names.map((name) => new File([content], name));
  const entry = (file) => ({ isDirectory: false, name: file.name, file: (give) => give(file) });
  const folder = (name, inside) => ({ isDirectory: true, name, createReader: () => {
    const batches = [inside, []];
    return { readEntries: (give) => give(batches.shift()) };
  }});
  const top = folder("album", [entry(files[1]), folder("deeper", [entry(files[0])]), entry(files[2])]);
  const event = new Event("drop", { cancelable: true });
  event.dataTransfer = { types: ["Files"], items: [{ kind: "file", webkitGetAsEntry: () => top }] };
  dispatchEvent(event);
}"""


def test_a_folder_can_be_dropped(open_page):
    page = open_page()
    page.locator("#examples img").first.wait_for()
    page.evaluate(DROP, ["b.jpg", "a.jpg", "notes.txt"])
    page.locator(".photo").nth(1).wait_for()
    assert sorted(page.locator(".name").all_text_contents()) == ["a.jpg", "b.jpg"]


def test_a_panorama_is_not_cut_off(open_page, tmp_path):
    page = open_page()
    choose(page, photo(tmp_path, size=(300, 30)))
    assert page.locator(".open img.after").evaluate("img => [getComputedStyle(img).objectFit, img.naturalWidth]") == [
        "contain",
        300,
    ]


def test_a_bad_file_has_a_sentence_in_its_own_card(open_page, tmp_path):
    page, good = open_page(), photo(tmp_path)
    (tmp_path / "letter.jpg").write_text("Dear Sir")
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:2000])
    choose(page, tmp_path / "letter.jpg", good, tmp_path / "cut.png")
    said = dict(zip(page.locator(".name").all_text_contents(), page.locator(".state").all_text_contents(), strict=True))
    assert said["letter.jpg"].startswith("This file is not a JPEG, PNG, ")
    assert said["cut.png"].startswith("This file can't be decoded")
    assert said["old.png"] == "96 × 64 pixels"
    assert page.locator(".failed").count() == 2
    assert page.locator("#count").text_content() == "1 of 3 coloured, 2 failed"
    again = dict(zip(said, page.locator(".again").evaluate_all("all => all.map(each => !each.hidden)"), strict=True))
    assert again["letter.jpg"] is False  # it will be no photo the next time either


def test_two_pages_at_once_keep_their_photos_apart(open_page, tmp_path):
    pages = [open_page(), open_page()]
    files = [photo(tmp_path, f"{n}.png", seed=n, size=(80 + n, 60)) for n in range(2)]
    for page, file in zip(pages, files, strict=True):
        page.locator("#examples img").first.wait_for()
        page.set_input_files("#files", file)
    for page, file in zip(pages, files, strict=True):
        page.locator(".download:visible").wait_for()
        assert page.locator(".name").all_text_contents() == [file.name]
        _, result = downloaded(page, page.locator(".download"))
        assert np.abs(lightness(result) - lightness(file)).max() < 0.6


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it_without_scrolling_sideways(open_page, tmp_path, scheme):
    page = open_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, color_scheme=scheme)
    bad = tmp_path / f"{'a very long name ' * 8}.jpg"
    bad.touch()
    for step in (lambda: page.locator("#examples img").first.wait_for(), lambda: choose(page, photo(tmp_path), bad)):
        step()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.locator(".download:visible").tap(trial=True)
    look(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    for name in ("Download", "Fit", "1:1", "Hold for before", "New point"):
        page.locator("#view").get_by_role("button", name=name, exact=True).scroll_into_view_if_needed()
        box = page.locator("#view").get_by_role("button", name=name, exact=True).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    page.get_by_role("button", name="Back to all photos").tap()
    light = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every(value => value > 127)")
    assert light == (scheme == "light")


def test_closing_the_page_forgets_its_photos_soon(open_page, app, tmp_path):
    page = open_page()
    choose(page, photo(tmp_path))
    (id,) = page.evaluate("JSON.parse(sessionStorage.photos).map(photo => photo.id)")
    page.goto("about:blank")
    for _ in range(100):
        if time.monotonic() - app.state.desk.photos[id].asked > desk.KEPT_SECONDS - desk.LEFT_SECONDS - 1:
            break
        page.wait_for_timeout(50)
    app.state.desk.photos[id].asked -= desk.LEFT_SECONDS
    app.state.desk.sweep()
    assert id not in app.state.desk.photos


def test_training_is_followed_while_it_goes_on(open_page, runs):
    page = open_page("/#training")
    page.get_by_text("There is no run in").wait_for()
    folder = runs / "pets"
    (folder / "samples").mkdir(parents=True)

    def epoch(last: int) -> None:
        rows = [["stage1", n, 1 / n, 9 + n, "fading" if n == 3 else ""] for n in range(1, last + 1)]
        with open(folder / "history.csv", "w", newline="") as file:
            csv.writer(file).writerows([["stage", "epoch", "train_mse", "psnr", "warning"], *rows])
        Image.new("RGB", (20, 20), (last * 50, 0, 0)).save(folder / "samples" / f"stage1_epoch{last:03d}.png")

    epoch(1)
    page.get_by_text("stage1, epoch 1 ·").wait_for()
    epoch(3)
    page.get_by_text("stage1, epoch 3 ·").wait_for()
    assert page.locator(".chart figcaption").all_text_contents() == ["stage1: losses", "stage1: psnr"]
    assert page.locator(".chart circle").count() == 6
    assert page.locator("#rows tbody tr").count() == 3
    assert page.get_by_text("In the latest epoch: fading.").is_visible()
    assert "stage1_epoch003.png" in page.locator("#sample").get_attribute("src")
    page.locator("#step").fill("0")
    assert "stage1_epoch001.png" in page.locator("#sample").get_attribute("src")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
