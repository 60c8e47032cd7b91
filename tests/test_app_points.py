"""Points of colour on the page, in a real browser: placed, moved, undone, kept, and downloaded."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab
from test_app_browser import (  # noqa: F401 (fixtures)
    address,
    app,
    browser,
    choose,
    lightness,
    look,
    open_page,
    pytestmark,
    runs,
)

from fastcolor.colorize.hints import RADIUS
from fastcolor.scenes.landscapes import draw_scene

EVENING = "#c05030"


@pytest.fixture
def page(open_page, tmp_path):  # noqa: F811
    """A drawn landscape, looked at large."""
    page = open_page()
    landscape(tmp_path / "scene.png")
    choose(page, tmp_path / "scene.png")
    look(page)
    return page


def landscape(path, side=320) -> None:
    draw_scene(3, 320).convert("L").resize((side, side)).save(path)


SKY, MEADOW = slice(0, 60), slice(260, 320)  # rows of 320
IN_SKY = (0.5, 0.1)


def ab_of(image, part) -> np.ndarray:
    """The mean a and b of a part of the landscape."""
    small = image.convert("RGB").resize((320, 320), Image.Resampling.BOX)
    return rgb2lab(np.asarray(small)[part]).mean(axis=(0, 1))[1:]


def apart(one, other, part) -> float:
    return np.hypot(*(ab_of(one, part) - ab_of(other, part)))


def click(page, x: float, y: float) -> None:
    box = page.locator("#scene").bounding_box()
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])


def give(page, x: float, y: float, color=EVENING) -> None:
    """A point of a colour, as a user makes it."""
    click(page, x, y)
    page.locator("#suggestions .swatch").first.wait_for()
    page.fill("#hex", color)
    page.keyboard.press("Enter")
    seen(page)


SHOWN = """async () => {
  const [photo] = (await import("/photos.js")).photos, shown = document.getElementById("all-after");
  const isHeard = !photo.pushing && !photo.given && photo.heard === photo.hints;
  return isHeard && shown.src.endsWith(`v=${photo.version}`) && shown.complete && shown.src;
}"""


def seen(page) -> Image.Image:
    """What the page shows, when it is up to date."""
    for _ in range(600):
        if source := page.evaluate(SHOWN):
            return Image.open(io.BytesIO(page.request.get(source).body()))
        page.wait_for_timeout(100)
    raise AssertionError("the page does not become up to date")


def points(page) -> list[dict]:
    return page.evaluate("JSON.parse(sessionStorage.photos)[0].hints")


def files(page, button) -> dict[str, bytes]:
    """All that one click downloads."""
    got = []
    page.on("download", lambda download: got.append((download.suggested_filename, download)))
    button.click()
    for _ in range(200):
        page.wait_for_timeout(100)
        if len(got) == 2:
            break
    return {name: open(download.path(), "rb").read() for name, download in got}


def test_a_click_and_a_colour_change_the_object_and_not_others(page):
    before = seen(page)
    click(page, *IN_SKY)
    swatches = page.locator("#suggestions .swatch")
    swatches.first.wait_for()
    assert 2 <= swatches.count() <= 9
    page.fill("#hex", EVENING)
    page.keyboard.press("Enter")
    now = seen(page)
    for part in ((SKY, slice(0, 60)), (SKY, slice(260, 320)), (SKY, slice(140, 180))):  # all of the sky, not only there
        assert ab_of(now, part)[1] > ab_of(before, part)[1] + 15
    assert apart(now, before, MEADOW) < 8
    assert points(page) == [
        {"x": pytest.approx(0.5, abs=0.01), "y": pytest.approx(0.1, abs=0.01), "radius": RADIUS, "color": EVENING}
    ]


def test_a_suggestion_is_taken_by_a_click(page):
    click(page, *IN_SKY)
    swatch = page.locator("#suggestions .swatch").nth(1)
    swatch.wait_for()
    color = swatch.get_attribute("title").partition(",")[0]
    swatch.click()
    seen(page)
    assert [point["color"] for point in points(page)] == [color]
    assert page.locator("#recent .swatch").first.get_attribute("title") == color


def test_the_field_offers_what_there_is_at_this_lightness(page):
    click(page, *IN_SKY)
    page.locator("#suggestions .swatch").first.wait_for()
    page.locator("#field-picture[src]").wait_for()
    box = page.locator("#field").bounding_box()
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    seen(page)
    (point,) = points(page)
    id = page.evaluate("JSON.parse(sessionStorage.photos)[0].id")
    left, bottom, right, top = page.evaluate(f"fetch('/photos/{id}/suggestions?x=.5&y=.1').then(a => a.json())")[
        "field"
    ]
    assert point["color"] == [pytest.approx((left + right) / 2, abs=1.5), pytest.approx((bottom + top) / 2, abs=1.5)]
    page.locator("#field").focus()
    page.keyboard.press("ArrowRight")
    seen(page)
    assert points(page)[0]["color"][0] == pytest.approx(point["color"][0] + 2, abs=0.5)


def test_a_colour_that_cannot_be_is_pulled_in_and_it_is_said(page):
    give(page, 0.5, 0.1, "#0000ff")
    assert "too light" in page.locator("#note").text_content()


def test_a_point_is_dragged_reaches_further_and_is_removed(page):
    before = seen(page)
    give(page, *IN_SKY)
    point = page.locator(".point")
    box, scene = point.bounding_box(), page.locator("#scene").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0], middle[1] + 0.4 * scene["height"], steps=8)
    page.mouse.move(middle[0], middle[1] + 0.8 * scene["height"], steps=8)
    page.mouse.up()
    now = seen(page)
    assert points(page)[0]["y"] == pytest.approx(0.9, abs=0.01)
    assert apart(now, before, MEADOW) > 15
    page.mouse.wheel(0, -300)
    seen(page)
    assert points(page)[0]["radius"] > 1.2 * RADIUS
    page.keyboard.press("Delete")
    assert points(page) == []
    seen(page)
    page.locator("#undo").click()  # it is there again
    assert points(page)[0]["radius"] > 1.2 * RADIUS
    page.locator("#undo").click()  # with its first reach
    assert points(page)[0]["radius"] == RADIUS
    page.locator("#undo").click()  # at its first place: all of a drag is one step
    assert points(page)[0]["y"] == pytest.approx(0.1, abs=0.01)
    page.locator("#undo").click()
    assert points(page) == []
    assert apart(seen(page), before, SKY) < 1
    page.locator("#redo").click()
    assert points(page)[0]["y"] == pytest.approx(0.1, abs=0.01)


STEPS = """async (colors) => {
  const { photos: [photo] } = await import("/photos.js"), { setHints, undo, redo } = await import("/hints.js");
  for (const color of colors) setHints(photo, [{ ...photo.hints[0], color }]);
  return [undo, redo].map((step) => colors.map(() => (step(photo), photo.hints[0].color)));
}"""


def test_undo_and_redo_have_no_end(page):
    page.get_by_role("button", name="New point").click()
    page.fill("#hex", "red")
    page.keyboard.press("Enter")
    colors = [f"#{n:02x}4080" for n in range(60)]
    undone, redone = page.evaluate(STEPS, colors)
    assert undone == [*reversed(colors[:-1]), "red"]
    assert redone == colors
    page.locator("#undo").click()
    assert points(page)[0]["color"] == colors[-2]


def test_before_is_seen_while_a_key_is_held(page):
    hidden = "getComputedStyle(document.getElementById('all-after')).visibility"
    page.locator("#stage").focus()
    page.keyboard.down("b")
    assert page.evaluate(hidden) == "hidden"
    page.keyboard.up("b")
    assert page.evaluate(hidden) == "visible"


def test_the_keyboard_alone_does_it_all(page):
    page.locator("#stage").focus()
    page.keyboard.press("n")
    for _ in range(25):
        page.keyboard.press("ArrowLeft")
    page.locator("#suggestions .swatch").first.wait_for()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.className") == "swatch"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    seen(page)
    (point,) = points(page)
    assert point["x"] == pytest.approx(0.25, abs=0.01)
    page.keyboard.press("+")
    page.keyboard.press("Shift+ArrowRight")
    assert points(page)[0]["x"] == pytest.approx(0.3, abs=0.01)
    assert points(page)[0]["radius"] > RADIUS
    page.keyboard.press("Delete")
    page.keyboard.press("Control+z")
    assert len(points(page)) == 1
    page.keyboard.press("Control+y")
    assert points(page) == []
    page.keyboard.press("1")
    assert page.locator("#zoom-shown").text_content() == "100 %"
    page.keyboard.press("Escape")
    assert not page.locator("#view").is_visible()
    assert page.evaluate("document.activeElement.className") == "open"


def test_points_stay_when_the_page_is_loaded_again(page):
    give(page, *IN_SKY)
    shown = seen(page)
    page.reload()
    look(page)
    seen(page)
    assert [point["color"] for point in points(page)] == [EVENING]
    assert page.locator(".point").count() == 1
    assert apart(seen(page), shown, SKY) < 2
    page.locator("#undo").click()
    assert points(page) == []


def test_two_pages_have_their_own_points(page, open_page, tmp_path):  # noqa: F811
    other = open_page()
    choose(other, tmp_path / "scene.png")
    look(other)
    give(page, *IN_SKY)
    give(other, *IN_SKY, "#2b4c9b")
    assert ab_of(seen(page), SKY)[1] > ab_of(seen(other), SKY)[1] + 20
    assert [point["color"] for point in points(page)] == [EVENING]


def test_a_download_has_the_colour_its_own_light_and_the_points(open_page, tmp_path):  # noqa: F811
    page = open_page()
    landscape(tmp_path / "large.png", 1600)
    choose(page, tmp_path / "large.png")
    look(page)
    give(page, *IN_SKY)
    shown = seen(page)
    got = files(page, page.locator("#view-download"))
    result = Image.open(io.BytesIO(got["large.png"]))
    assert result.size == (1600, 1600)
    assert np.abs(lightness(io.BytesIO(got["large.png"])) - lightness(tmp_path / "large.png")).max() < 0.6
    for part in (SKY, MEADOW):
        assert apart(result, shown, part) < 3
    held = json.loads(got["large.png.hints.json"])
    assert [hint["color"] for hint in held["hints"]] == [EVENING]
    (tmp_path / "large.png.hints.json").write_bytes(got["large.png.hints.json"])
    again = open_page()
    choose(again, tmp_path / "large.png", tmp_path / "large.png.hints.json")  # both handed in together
    look(again)
    again.locator(".point").wait_for()
    assert apart(seen(again), shown, SKY) < 2


def test_colours_of_another_photo_are_taken_over(page, tmp_path):
    colored = np.asarray(Image.open(tmp_path / "scene.png").convert("RGB")).astype(float)
    colored[: colored.shape[0] // 3] *= (1.2, 0.8, 0.5)
    Image.fromarray(colored.clip(0, 255).astype(np.uint8)).save(tmp_path / "evening.png")
    before = seen(page)
    page.set_input_files("#like-file", tmp_path / "evening.png")
    page.locator(".point.like").first.wait_for()
    assert ab_of(seen(page), SKY)[1] > ab_of(before, SKY)[1] + 15
    page.set_input_files("#like-file", tmp_path / "scene.png")
    page.locator("#view-state").get_by_text("scene.png has no colours to take over").wait_for()
    page.get_by_role("button", name="Remove all points").click()
    assert points(page) == []
    assert apart(seen(page), before, SKY) < 1


def test_a_long_press_removes_a_point_on_a_phone(open_page, tmp_path):  # noqa: F811
    page = open_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    landscape(tmp_path / "scene.png")
    choose(page, tmp_path / "scene.png")
    look(page)
    box = page.locator("#scene").bounding_box()
    page.touchscreen.tap(box["x"] + 0.5 * box["width"], box["y"] + 0.1 * box["height"])
    page.locator("#suggestions .swatch").first.tap()
    seen(page)
    at = page.locator(".point").bounding_box()
    place = {"x": at["x"] + at["width"] / 2, "y": at["y"] + at["height"] / 2}
    touch = page.context.new_cdp_session(page)
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [place]})
    page.wait_for_timeout(900)
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert points(page) == []


def test_two_fingers_change_the_reach_of_a_point_and_else_zoom(open_page, tmp_path):  # noqa: F811
    page = open_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    landscape(tmp_path / "scene.png", 1600)
    choose(page, tmp_path / "scene.png")
    look(page)
    box = page.locator("#scene").bounding_box()
    touch = page.context.new_cdp_session(page)

    def spread(x: float, y: float) -> None:
        first = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"], "id": 1}
        for kind, apart in (("touchStart", None), ("touchStart", 40), ("touchMove", 60), ("touchMove", 80)):
            both = [first] if apart is None else [first, {**first, "x": first["x"] + apart, "id": 2}]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": both})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    page.touchscreen.tap(box["x"] + 0.5 * box["width"], box["y"] + 0.1 * box["height"])
    page.locator("#suggestions .swatch").first.tap()
    seen(page)
    wide = page.locator("#scene").bounding_box()["width"]
    spread(0.5, 0.1)
    assert points(page)[0]["radius"] > 1.5 * RADIUS
    assert page.locator("#scene").bounding_box()["width"] == wide
    spread(0.4, 0.6)
    assert page.locator("#scene").bounding_box()["width"] > 1.5 * wide
    assert points(page)[0]["radius"] < 3 * RADIUS


@pytest.mark.parametrize("color", ["bluish", "currentcolor", "#12345"])
def test_what_is_no_colour_changes_nothing_and_is_said(page, color):
    give(page, *IN_SKY)
    page.fill("#hex", color)
    page.keyboard.press("Enter")
    page.locator("#note:visible").wait_for()
    seen(page)
    assert [point["color"] for point in points(page)] == [EVENING]


def test_points_that_the_server_could_not_be_told_are_not_left_out_of_a_download(page):
    page.route("**/hints", lambda route: route.abort())
    click(page, *IN_SKY)
    page.locator("#suggestions .swatch").first.wait_for()
    page.fill("#hex", EVENING)
    page.keyboard.press("Enter")
    page.locator("#view-state").get_by_text("The server does not answer").wait_for()
    page.locator("#view-download").click()
    page.wait_for_timeout(500)
    assert page.locator("#view-download").is_enabled()
    page.unroute("**/hints")
    page.locator("#reach").fill("0.3")  # any change tells all of it
    seen(page)
    assert [point["color"] for point in points(page)] == [EVENING]
    assert set(files(page, page.locator("#view-download"))) == {"scene.png", "scene.png.hints.json"}
