"""Your own colours: what a hint may be, the files that keep hints, and what the network makes of them."""

import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.color import deltaE_ciede2000, lab2rgb, rgb2lab

import fastcolor
from fastcolor import Colorizer, Hint
from fastcolor.color.fullsize import ab_in_gamut, rgb_of
from fastcolor.colorize.hints import MOST_HINTS, hints_file, pulled_in, read_hints, write_hints
from fastcolor.colorize.listening import suggestions
from fastcolor.colorize.reach import contained, cover, points_of
from fastcolor.errors import UserError
from fastcolor.evaluate.hints import counts_of, draw_curve, drawn_hints
from fastcolor.scenes.landscapes import draw_scene
from fastcolor.weights import LEAN

NAN = float("nan")


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    return Colorizer()


@pytest.fixture(scope="module")
def scene() -> Image.Image:
    return draw_scene(20, 192)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": 1.01}, "x must be a number from 0 to 1"),
        ({"y": -0.1}, "y must be a number from 0 to 1"),
        ({"x": NAN}, "x must be a number from 0 to 1"),
        ({"x": "0.5"}, "x must be a number"),
        ({"x": True}, "x must be a number"),
        ({"radius": NAN}, "radius must be a number"),
        ({"radius": 1.5}, "radius must be a number"),
        ({"color": "bleu"}, "colour must be hex"),
        ({"color": "#12345"}, "colour must be hex"),
        ({"color": None}, "colour must be hex"),
        ({"color": ""}, "not ''"),
        ({"color": (1, 2, 3)}, "colour must be hex"),
        ({"color": (NAN, 0)}, "colour must be hex"),
        ({"color": (0, 111)}, "colour must be hex"),
    ],
)
def test_a_hint_that_makes_no_sense_is_refused_in_one_sentence(given, message):
    with pytest.raises(UserError, match=message):
        Hint(**{"x": 0.5, "y": 0.5, "color": "red", **given})


@pytest.mark.parametrize("hints", [Hint(0.5, 0.5, "red"), (Hint(0.5, 0.5, "red") for _ in range(2))])
def test_hints_that_are_no_list_are_refused_in_one_sentence(colorizer, scene, hints):
    with pytest.raises(UserError, match=r"hints must be a list of fastcolor\.Hint, not one"):
        colorizer(scene, hints=hints)


def test_numbers_of_numpy_are_written_as_any_others(tmp_path):
    half = np.float32(0.5)
    write_hints(tmp_path / "of_numpy", [Hint(half, half, (np.float32(10), np.int64(-20)), radius=half)])
    write_hints(tmp_path / "plain", [Hint(0.5, 0.5, (10.0, -20.0), radius=0.5)])
    assert (tmp_path / "of_numpy").read_bytes() == (tmp_path / "plain").read_bytes()


@pytest.mark.parametrize("color", ["#2b4c9b", "navy", "rebeccapurple", "white", "#888"])
def test_a_colors_a_and_b_are_those_of_cie_lab(color):
    from PIL import ImageColor

    expected = rgb2lab(np.array(ImageColor.getrgb(color)) / 255)[1:]
    np.testing.assert_allclose(Hint(0, 0, color).ab, expected, atol=0.02)


def test_a_color_outside_srgb_keeps_its_hue_and_the_photos_lightness():
    light, ab = np.float32([20, 50, 95]), np.float32([[80, 70, -10], [60, -95, 90]])
    found = ab_in_gamut(light, ab)
    np.testing.assert_allclose(np.arctan2(*found), np.arctan2(*ab), atol=1e-4)
    assert (np.hypot(*found) < np.hypot(*ab)).all()
    lab = rgb2lab(rgb_of(light, found)[None] / 255)[0]
    np.testing.assert_allclose(lab[:, 0], light, atol=0.6)
    np.testing.assert_allclose(lab[:, 1:], found.T, atol=2)
    beyond = lab2rgb(np.column_stack([light, 1.1 * found.T])[None])  # clipped: another lightness
    assert (np.abs(rgb2lab(beyond)[0] - np.column_stack([light, 1.1 * found.T])).max(axis=1) > 0.3).all()


def test_colors_inside_srgb_stay_as_they_are():
    ab = np.float32([[0, 20], [0, -20]])
    assert np.array_equal(ab_in_gamut(np.float32([50, 50]), ab), ab)


def test_a_hint_covers_even_light_as_far_as_its_radius():
    covered = cover(Hint(0.5, 0.5, (10, 20), 0.25), np.full((40, 80), 60, np.float32))
    assert covered.sum() == 20 * 20 == covered[10:30, 30:50].sum()


def test_the_network_is_told_of_small_squares_and_a_later_hint_covers_an_earlier_one():
    light = np.full((256, 300), 60, np.float32)
    hints = [Hint(0.5, 0.5, (10, 20)), Hint(0.5, 0.5 + 3 / 256, (-5, 5)), Hint(1, 1, "gray")]
    points = points_of(hints, light)
    assert points[2].sum() == 6 * 6 + 3 * 6 + 3 * 3
    assert points[:2, 126, 150].tolist() == [10, 20] and points[:2, 129, 150].tolist() == [-5, 5]
    assert not points[:, points[2] == 0].any()


def test_a_hint_ends_where_the_light_changes_and_does_not_jump_over_it():
    light = np.full((64, 64), 60, np.float32)
    light[:, 40:50] = 30
    covered = cover(Hint(0.5, 0.5, (10, 20), 0.5), light)
    assert covered[:, :40].all() and not covered[:, 40:].any()


def test_what_a_hint_tints_faintly_stays_as_it_was_and_what_it_colors_clearly_is_kept():
    light = np.full((40, 80), 60, np.float32)
    light[:, 20:] = 30
    hint, plain, told = Hint(0.1, 0.5, (40, 0)), np.zeros((2, 40, 80), np.float32), np.zeros((2, 40, 80), np.float32)
    told[0, :, :20], told[0, :, 20:60], told[0, :, 60:] = 40, 33, 5
    found = contained(told, plain, [hint])
    assert (found[0, :, :60] == told[0, :, :60]).all() and not found[0, :, 60:].any()
    assert not found[1].any()


def test_a_hint_is_at_the_same_place_at_any_size():
    hint = Hint(0.3, 0.8, (10, 20), 0.05)
    for height, width in [(64, 96), (224, 300), (1000, 1500)]:
        rows, columns = np.nonzero(cover(hint, np.full((height, width), 50, np.float32)))
        assert abs((columns.mean() + 0.5) / width - 0.3) < 0.01 and abs((rows.mean() + 0.5) / height - 0.8) < 0.01


def test_a_hint_reaches_as_far_when_the_network_sees_more_pixels(colorizer):
    grey, changes = draw_scene(3, 448).convert("L"), []
    for size in (224, 448):
        pictures = [colorizer(grey, size=size, hints=hints) for hints in ([], [Hint(0.5, 0.1, "#c05030")])]
        plain, told = (rgb2lab(picture.resize((56, 56), Image.Resampling.BOX))[..., 1:] for picture in pictures)
        changes.append(told - plain)
    assert np.abs(changes[0]).max() > 30
    assert np.abs(changes[1] - changes[0]).mean() < 2.3  # just noticeable (Mahy et al. 1994)


def test_hints_come_back_from_their_file_as_they_were(tmp_path):
    hints = [Hint(0.25, 0.5, "#2b4c9b"), Hint(0, 1, (-12.5, 30.0), radius=0.1)]
    file = hints_file(tmp_path / "old.jpg")
    assert file.name == "old.jpg.hints.json"
    write_hints(file, hints)
    assert read_hints(file) == hints
    assert json.loads(file.read_text())["version"] == 1


GOOD = {"x": 0.5, "y": 0.5, "color": "red"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no hints"),
        (b'{"version": 1, "hints": [{"x": 0.', "holds no hints"),
        (b"\xff\xfe\x00", "holds no hints"),
        (b"[" * 100_000, "holds no hints"),
        (b"[]", "holds no hints"),
        (b'"red"', "holds no hints"),
        ({"hints": []}, "holds no hints"),
        ({"version": "1", "hints": []}, "holds no hints"),
        ({"version": True, "hints": []}, "holds no hints"),
        ({"version": 1, "hints": {}}, "holds no hints"),
        ({"version": 2, "hints": []}, "newer fastcolor"),
        ({"version": 1, "hints": [7]}, "each hint needs x, y and color"),
        ({"version": 1, "hints": [{"x": 0.5, "y": 0.5}]}, "each hint needs x, y and color"),
        ({"version": 1, "hints": [{**GOOD, "size": 3}]}, "each hint needs x, y and color"),
        ({"version": 1, "hints": [{**GOOD, "x": NAN}]}, "x must be a number"),
        ({"version": 1, "hints": [{**GOOD, "x": 3}]}, "x must be a number"),
        ({"version": 1, "hints": [{**GOOD, "color": [1e999, 0]}]}, "colour must be hex"),
        ({"version": 1, "hints": [GOOD] * 1000}, f"1,000 hints are too many for one photo: give at most {MOST_HINTS}"),
        (b" " * (1 << 21), "too large"),
    ],
)
def test_a_file_that_holds_no_hints_is_refused_by_name(content, message, tmp_path):
    file = tmp_path / "old.jpg.hints.json"
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(UserError, match=message) as refused:
        read_hints(file)
    assert str(file) in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_or_nothing_holds_no_hints(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "nothing"):
        with pytest.raises(UserError, match=f"{name} is no file"):
            read_hints(tmp_path / name)


def test_a_photo_has_the_color_of_a_hint_and_keeps_its_light(colorizer, scene):
    grey = scene.convert("L")
    plain, told = (rgb2lab(colorizer(grey, hints=hints)) for hints in ([], [Hint(0.5, 0.85, (30, -40))]))
    place = np.s_[160:166, 93:99]
    assert np.hypot(*(told[place][..., 1:].mean((0, 1)) - (30, -40))) < 2
    assert np.hypot(*(plain[place][..., 1:].mean((0, 1)) - (30, -40))) > 20
    assert np.abs(told[..., 0] - plain[..., 0]).mean() < 0.3


def test_grey_is_a_color_too(colorizer, scene):
    grey = scene.convert("L")
    plain, told = (rgb2lab(colorizer(grey, hints=hints)) for hints in ([], [Hint(0.5, 0.85, "gray")]))
    chroma = [np.hypot(*lab[160:166, 93:99, 1:].mean((0, 1))) for lab in (plain, told)]
    assert chroma[1] < 3 < chroma[0]


def test_without_hints_nothing_changes(colorizer, scene):
    assert np.array_equal(colorizer(scene), colorizer(scene, hints=[], like=None))
    assert np.array_equal(colorizer(scene), fastcolor.predict(scene))


def test_a_color_that_does_not_exist_in_that_light_is_told_of(colorizer):
    dark = Image.new("L", (64, 64), 20)
    with pytest.warns(UserWarning, match="too dark for yellow at 0.50, 0.50: the colour became paler"):
        colorizer(dark, hints=[Hint(0.5, 0.5, "yellow")])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        colorizer(dark, hints=[Hint(0.5, 0.5, "gray")])
    assert "too light for navy" in pulled_in([Hint(0, 0, "navy")], np.full((4, 4), 97, np.float32))[0]


def test_too_many_hints_are_refused(colorizer, scene):
    with pytest.raises(UserError, match="1,000 hints are too many"):
        colorizer(scene, hints=[Hint(0.5, 0.5, "red")] * 1000)
    with pytest.raises(UserError, match="list of fastcolor.Hint, not of tuple"):
        colorizer(scene, hints=[(0.5, 0.5, "red")])


def test_weights_that_do_not_listen_say_so(scene):
    colorizer = Colorizer(LEAN)
    for ask in (
        lambda: colorizer(scene, hints=[Hint(0.5, 0.5, "red")]),
        lambda: colorizer(scene, like=scene),
        lambda: colorizer.suggest(scene, 0.5, 0.5),
        lambda: colorizer.prepare(scene),
    ):
        with pytest.raises(UserError, match=r"^lean takes no hints .*: use the weights that come"):
            ask()


def test_suggestions_are_colors_of_that_light_with_shares_of_one(colorizer, scene):
    found = colorizer.suggest(scene, 0.5, 0.2, n=9)
    assert 1 < len(found) <= 9
    assert [each.share for each in found] == sorted((each.share for each in found), reverse=True)
    assert sum(each.share for each in found) == pytest.approx(1)
    light = rgb2lab(np.asarray(scene.convert("L").convert("RGB")))[38, 96, 0]
    for each in found:
        lab = rgb2lab(np.array([int(each.color[i : i + 2], 16) for i in (1, 3, 5)]) / 255)
        assert abs(lab[0] - light) < 4  # the photo is seen at another size
        assert np.hypot(*(lab[1:] - (each.a, each.b))) < 3


def test_suggestions_gather_what_is_alike_and_keep_what_is_not():
    from fastcolor.color.ab_grid import CENTRES

    shares = np.zeros((len(CENTRES), 1, 1), np.float32)
    for a, b, share in ((40, 20, 0.3), (50, 20, 0.3), (-20, -30, 0.4)):
        shares[(CENTRES == (a, b)).all(1)] = share
    found = suggestions(shares, np.full((4, 4), 70, np.float32), 0.5, 0.5, 2)
    assert [(round(s.a), round(s.b), round(s.share, 3)) for s in found] == [(45, 20, 0.6), (-20, -30, 0.4)]


@pytest.mark.parametrize("ask", [(2, 0.5, 9), (0.5, NAN, 9), (0.5, 0.5, 0), (0.5, 0.5, 1000)])
def test_suggestions_for_nowhere_or_too_many_are_refused(ask, colorizer, scene):
    with pytest.raises(UserError, match="must be"):
        colorizer.suggest(scene, *ask)


def test_a_preview_shows_what_the_full_size_will_be(colorizer):
    scene, hints = draw_scene(20, 256), [Hint(0.5, 0.8, "#2b4c9b")]
    prepared = colorizer.prepare(scene.resize((1024, 1024)), side=256)
    assert prepared.size == (256, 256)
    full = colorizer(scene.resize((1024, 1024)), hints=hints).resize((256, 256), Image.Resampling.BOX)
    assert np.abs(np.asarray(prepared.preview(hints), float) - np.asarray(full)).mean() < 2.5
    assert 0 < prepared.lightness(0.5, 0.5) < 100
    assert prepared.suggest(0.5, 0.8) == colorizer.suggest(scene.resize((1024, 1024)), 0.5, 0.8)


def test_a_photo_that_was_prepared_stays_as_it_is(colorizer):
    photo = draw_scene(20, 96)
    colorizer.prepare(photo, side=32)
    assert photo.size == (96, 96)


def test_colors_of_a_reference_come_over_where_both_show_alike_things(colorizer):
    scene = draw_scene(3, 224)
    reference = Image.fromarray(np.roll(np.asarray(scene), 24, axis=1))
    plain, told = (colorizer(scene.convert("L"), like=like) for like in (None, reference))
    real = rgb2lab(np.asarray(scene))
    apart = [deltaE_ciede2000(rgb2lab(np.asarray(each)), real).mean() for each in (plain, told)]
    assert apart[1] < 0.7 * apart[0]


def test_a_reference_without_color_is_refused(colorizer, scene, tmp_path):
    scene.convert("L").save(tmp_path / "grey.png")
    with pytest.raises(UserError, match="grey.png has no colours to take over"):
        colorizer(scene, like=tmp_path / "grey.png")


def test_a_series_gets_its_palette_from_one_reference(colorizer, scene):
    reference = colorizer.reference(scene)
    assert np.array_equal(colorizer(scene, like=reference), colorizer(scene, like=scene))
    assert len(colorizer.prepare(scene).like(reference)) > 50


def color(*argv) -> int:
    from fastcolor.cli import run_command
    from fastcolor.colorize import folder

    return run_command(folder.main, [str(word) for word in argv], prog="fastcolor colorize")


@pytest.fixture
def album(tmp_path, monkeypatch, scene):
    """Three photos, the first with a hint beside it."""
    monkeypatch.chdir(tmp_path)
    os.mkdir("album")
    for name in ("a.png", "b.png", "c.png"):
        scene.convert("L").resize((64, 64)).save(f"album/{name}")
    write_hints(hints_file("album/a.png"), [Hint(0.5, 0.5, (30, -40))])
    return Path("album")


def test_hints_beside_a_photo_are_read_and_are_no_files_of_another_kind(album, capsys):
    assert color(album, "-o", "out") == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("3 coloured")
    pictures = [np.asarray(Image.open(f"out/{name}.png"), float) for name in "abc"]
    assert np.abs(pictures[0] - pictures[1]).mean() > 3 and np.array_equal(pictures[1], pictures[2])
    expected = Colorizer().pixels(np.asarray(Image.open("album/a.png")), hints=[Hint(0.5, 0.5, (30, -40))])
    assert np.array_equal(pictures[0], expected)
    assert color(album, "-o", "out") == 0
    assert capsys.readouterr().out.splitlines() == ["0 coloured, 3 skipped: already done"]


def test_changed_hints_count_as_changed_settings(album, capsys):
    color(album, "-o", "out")
    write_hints(hints_file("album/a.png"), [Hint(0.5, 0.5, "green")])
    write_hints(hints_file("album/b.png"), [Hint(0.5, 0.5, "green")])
    write_hints(hints_file("album/c.png"), [])  # no hints: nothing has changed
    capsys.readouterr()
    color(album, "-o", "out")
    assert "2 of the skipped were made with other settings" in capsys.readouterr().out
    color(album, "-o", "out", "--overwrite")
    assert capsys.readouterr().out.startswith("2 coloured")
    assert np.array_equal(Image.open("out/a.png"), Image.open("out/b.png"))


def test_a_wrong_file_of_hints_fails_its_photo_alone(album, capsys):
    hints_file("album/b.png").write_text("{")
    assert color(album, "-o", "out") == 1
    assert sorted(os.listdir("out")) == [".fastcolor.jsonl", "a.png", "c.png"]
    assert "b.png.hints.json holds no hints" in capsys.readouterr().err


def test_weights_that_do_not_listen_fail_the_photos_with_hints_alone(album, capsys):
    assert color(album, "-o", "out", "--weights", "lean") == 1
    assert "a.png: " in (said := capsys.readouterr().err) and "takes no hints" in said
    assert sorted(os.listdir("out")) == [".fastcolor.jsonl", "b.png", "c.png"]


def test_hints_of_an_album_are_for_its_first_page(album, capsys):
    pages = [Image.open("album/b.png")] * 2
    pages[0].save("album/d.tif", save_all=True, append_images=pages[1:])
    write_hints(hints_file("album/d.tif"), [Hint(0.5, 0.5, (30, -40))])
    assert color("album/d.tif", "-o", "out/d.tif") == 0
    assert "its hints are for the first page" in capsys.readouterr().out
    with Image.open("out/d.tif") as found:
        first = np.asarray(found.convert("RGB"), float)
        found.seek(1)
        assert np.abs(first - np.asarray(found.convert("RGB"), float)).mean() > 3


def test_a_reference_is_for_the_whole_folder_and_counts_as_a_setting(album, capsys, scene):
    scene.resize((96, 96)).save("reference.png")
    assert color(album, "-o", "out", "--like", "reference.png") == 0
    assert color(album, "-o", "out") == 0
    assert "3 of the skipped were made with other settings" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("like", "message"),
    [("album/b.png", "b.png has no colours to take over"), ("nowhere.png", "nowhere.png"), ("album", "album")],
)
def test_a_reference_that_is_none_ends_the_command(like, message, album, capsys):
    assert color(album, "-o", "out", "--like", like) == 2
    assert message in capsys.readouterr().err
    assert not os.path.exists("out")


@pytest.mark.parametrize("text", ["x", "-1", "1,,3", "1000", "1.5"])
def test_numbers_of_hints_that_make_no_sense_are_refused(text):
    with pytest.raises(UserError, match="--hints must be numbers from 0 to 500"):
        counts_of(text)
    assert counts_of("3,1") == [0, 1, 3] and counts_of(None) == [0]


def test_drawn_hints_have_the_real_color_of_their_place_and_are_always_the_same(scene):
    real = np.asarray(scene.convert("RGB"))
    hints = drawn_hints(real, 10)
    assert drawn_hints(real, 3) == hints[:3]
    for hint in hints:  # 6 px of 256 are 4 of 192
        top, left = round(hint.y * 192 - 2), round(hint.x * 192 - 2)
        expected = rgb2lab(real[top : top + 4, left : left + 4])[..., 1:].mean((0, 1))
        np.testing.assert_allclose(hint.ab, expected, atol=0.05)


def test_the_curve_is_a_picture(tmp_path):
    draw_curve(tmp_path / "hints.png", {"bundled": {0: {"psnr": 24, "ciede2000": 9}, 3: {"psnr": 26, "ciede2000": 8}}})
    assert Image.open(tmp_path / "hints.png").width == 800
