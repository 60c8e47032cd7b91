"""The page in a real browser: what a user does there, and sees."""

import csv
import io
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from PIL import Image
from skimage.color import rgb2lab

from fastcolor.app import server
from fastcolor.app.command import listen
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
def address(runs):
    listener = listen("127.0.0.1", 0)
    real = uvicorn.Server(uvicorn.Config(server.build(runs), log_level="warning", timeout_graceful_shutdown=1))
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
    contexts, wrong = [], []

    def open_page(path="/", **options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url) if not _is_own(request.url) else None)
        page.goto(address + path)
        return page

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


def test_a_photo_is_coloured_compared_and_downloaded(open_page, tmp_path):
    page, upload = open_page(), photo(tmp_path)
    choose(page, upload)
    assert page.locator(".state").text_content() == "96 × 64 pixels, in colour"
    name, file = downloaded(page, page.get_by_role("link", name="Download", exact=True))
    result = Image.open(file)
    assert (name, result.format, result.size, result.mode) == ("old.png", "PNG", (96, 64), "RGB")
    assert np.abs(lightness(file) - lightness(upload)).max() < 0.6
    name, file = downloaded(page, page.get_by_role("button", name="Download side by side"))
    assert (name, Image.open(file).size) == ("old-side-by-side.png", (192, 64))


def test_the_slider_follows_the_keyboard_and_the_pointer(open_page, tmp_path):
    page = open_page()
    choose(page, photo(tmp_path))
    slider, line = page.get_by_role("slider", name="old.png"), page.locator(".line")
    frame = page.locator(".stack").bounding_box()

    def place() -> float:
        box = line.bounding_box()
        return (box["x"] + box["width"] / 2 - frame["x"]) / frame["width"]

    assert place() == pytest.approx(0.5, abs=0.01)
    slider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    assert place() == pytest.approx(0.6, abs=0.01)
    page.mouse.click(frame["x"] + 0.2 * frame["width"], frame["y"] + 20)
    assert place() == pytest.approx(0.2, abs=0.01)
    assert page.locator(".stack img").evaluate_all("all => all.every(img => img.complete && img.naturalWidth === 96)")


def test_less_strength_colours_the_photos_again(open_page, tmp_path):
    page, upload = open_page(), photo(tmp_path)
    choose(page, upload)
    before = page.locator("img.after").get_attribute("src")
    page.get_by_role("slider", name="Strength").fill("0")
    page.wait_for_selector(f"img.after:not([src='{before}'])", state="attached")
    _, file = downloaded(page, page.get_by_role("link", name="Download", exact=True))
    assert np.array_equal(np.asarray(Image.open(file))[..., 0], Image.open(upload))


def test_a_bad_file_has_a_sentence_in_its_own_card(open_page, tmp_path):
    page, good = open_page(), photo(tmp_path)
    (tmp_path / "letter.jpg").write_text("Dear Sir")
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:2000])
    choose(page, tmp_path / "letter.jpg", good, tmp_path / "cut.png")
    said = dict(zip(page.locator(".name").all_text_contents(), page.locator(".state").all_text_contents(), strict=True))
    assert said["letter.jpg"].startswith("This file is not a JPEG, PNG, ")
    assert said["cut.png"].startswith("This file can't be decoded")
    assert said["old.png"] == "96 × 64 pixels, in colour"
    assert page.locator(".failed").count() == 2


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
    light = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every(value => value > 127)")
    assert light == (scheme == "light")


def test_closing_the_page_forgets_its_photos(open_page, address, tmp_path):
    page, other = open_page(), open_page()
    choose(page, photo(tmp_path))
    path = page.locator(".download").get_attribute("href")
    assert other.request.get(address + path).status == 200
    page.goto("about:blank")
    for _ in range(100):
        if other.request.get(address + path).status == 404:
            break
        other.wait_for_timeout(50)
    assert other.request.get(address + path).status == 404


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
