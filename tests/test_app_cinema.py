"""Films on the page, in a real browser: tried by stills, coloured across a reload, watched, downloaded."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

av = pytest.importorskip("av")

from film_files import greys, packets, times, write_clip
from test_app_browser import (  # noqa: F401 (fixtures)
    address,
    app,
    browser,
    downloaded,
    open_page,
    pytestmark,
    runs,
)

from fastcolor.app import film_server, films
from fastcolor.app.film_work import STILLS
from fastcolor.errors import UserError

COUNT = 24
LONG = 150_000  # ms: of processes of their own, where much else runs


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A film of a second, with sound."""
    return write_clip(tmp_path_factory.mktemp("films") / "holiday.mp4", greys(COUNT, size=160), sound=True, rate=24)


@pytest.fixture(autouse=True)
def emptied(app):  # noqa: F811
    yield
    for id in list(app.state.films.films):
        app.state.films.remove(id)


def hand_in(page, *paths) -> None:
    page.locator("#examples img").first.wait_for()  # the page knows what the server offers
    page.set_input_files("#files", paths)
    page.locator(".film").last.wait_for()


def open_film(page) -> None:
    page.locator(".film .open:enabled").click(timeout=LONG)
    page.locator("#film-moments button").first.wait_for()


SHOWN = """() => {
  const canvas = document.getElementById("film-picture");
  return canvas.toDataURL("image/png").split(",")[1];
}"""


def shown(page) -> np.ndarray:
    """What the large view shows, RGB."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(page.evaluate(SHOWN)))).convert("RGB")).astype(int)


def chroma(pixels: np.ndarray) -> float:
    return float(np.ptp(pixels, axis=2).mean())


def halves(page) -> tuple[float, float]:
    """How colourful it is to the left and to the right of the divider, which is in the middle."""
    pixels = shown(page)
    middle = pixels.shape[1] // 2
    return chroma(pixels[:, : middle - 2]), chroma(pixels[:, middle + 2 :])


def is_divided(page) -> bool:
    before, after = halves(page)
    return before < 3 and after > before + 3


@pytest.mark.timeout(300)
def test_a_film_is_tried_coloured_watched_and_downloaded(open_page, clip, tmp_path):  # noqa: F811
    page = open_page()
    hand_in(page, clip)
    page.get_by_text("0:01, 160 × 80 pixels, not coloured yet").wait_for(timeout=LONG)
    open_film(page)
    page.wait_for_function("() => document.getElementById('film-picture').width === 160")
    assert is_divided(page)
    assert page.locator("#film-moments button").count() == STILLS
    page.locator("#film-hold").focus()
    page.keyboard.down("b")
    assert chroma(shown(page)) < 3
    page.keyboard.up("b")
    page.locator("#film-strength").fill("0")
    assert chroma(shown(page)) < 3
    page.locator("#film-strength").fill("1")
    page.locator("#film-start").click()
    page.locator("#film-stop:visible").wait_for()
    page.reload()  # the work goes on
    page.locator(".film .download:visible").wait_for(timeout=LONG)
    page.get_by_text("0:01, 160 × 80 pixels, coloured").wait_for()
    page.locator(".film .watch").click()
    page.wait_for_function("() => document.getElementById('film-video').readyState >= 2")
    for _ in range(100):
        if is_divided(page):
            break
        page.wait_for_timeout(50)
    assert is_divided(page), halves(page)
    first = shown(page)
    page.locator("#screen").press("Space")
    page.wait_for_function("() => document.getElementById('film-video').ended")
    assert is_divided(page) and np.abs(shown(page) - first).mean() > 3  # the camera has moved
    assert page.locator("#film-time").text_content() == "0:01 of 0:01"
    name, file = downloaded(page, page.locator("#film-download"))
    (tmp_path / name).write_bytes(file.getvalue())
    assert name == "holiday.mp4" and times(tmp_path / name) == times(clip)
    assert packets(tmp_path / name, "audio") == packets(clip, "audio")
    page.locator("#film-remove").click()
    assert page.locator(".film").count() == 0
    assert page.evaluate("localStorage.films") == "[]"


def test_bad_films_have_a_sentence_in_their_own_card(open_page, tmp_path):  # noqa: F811
    page = open_page()
    (tmp_path / "letter.mp4").write_text("Dear Sir")
    hand_in(page, tmp_path / "letter.mp4")
    page.locator(".film.failed").wait_for()
    said = page.locator(".film .state").text_content()
    assert said.startswith("This film is not a film, or damaged at its beginning")
    assert page.locator(".film .start").is_hidden()


def test_without_the_packages_the_page_says_what_to_install(open_page, clip, monkeypatch):  # noqa: F811
    def missing() -> None:
        raise UserError("colouring films needs av: run `pip install av opencv-python-headless`")

    monkeypatch.setattr(film_server, "check_packages", missing)
    page = open_page()
    hand_in(page, clip)
    said = page.locator(".film .state").text_content()
    assert said == "colouring films needs av: run `pip install av opencv-python-headless`"


def test_a_stopped_film_can_have_other_settings(open_page, clip, monkeypatch, tmp_path):  # noqa: F811
    page = open_page()
    hand_in(page, clip)
    open_film(page)
    said = '{"stage": "colouring", "done": 30, "total": 90, "rate": 12.5}'
    worker = f"import sys, time\nsys.stdin.readline()\nprint({said!r}, flush=True)\ntime.sleep(60)"
    monkeypatch.setattr(films, "COMMAND", [films.COMMAND[0], "-S", "-c", worker])
    page.locator("#film-start").click()
    page.locator("#cinema").get_by_text("30 of about 90 frames, 12.5 frames/s, 5 s left").wait_for()
    assert page.locator("#film-form").evaluate("form => form.inert")
    page.locator("#film-stop").click()
    page.locator("#film-start:visible").wait_for()
    before = shown(page)
    page.locator("#cinema summary").click()
    page.locator("#film-size").select_option("64")
    page.wait_for_function("() => [...document.querySelectorAll('#film-moments img')].every((img) => img.complete)")
    for _ in range(50):
        if (shown(page) != before).any():
            break
        page.wait_for_timeout(100)
    assert (shown(page) != before).any()


def test_a_phone_shows_all_of_a_film(open_page, clip):  # noqa: F811
    page = open_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    hand_in(page, clip)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.locator(".film .open:enabled").tap(timeout=LONG)
    page.locator("#film-moments button").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    for name in ("Colour the film", "Hold for before", "Colours like …"):
        button = page.locator("#cinema").get_by_role("button", name=name, exact=True)
        button.scroll_into_view_if_needed()
        box = button.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390
