"""Colouring a photo: its own size, its own light, colours from the network; and what is said where that can't be."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from skimage.color import lab2rgb, rgb2lab

import fastcolor
from fastcolor.colorize.colorizer import Colorizer, working_size
from fastcolor.colorize.guided import guided
from fastcolor.errors import UnreadablePhoto, UserError
from fastcolor.weights import LEAN


@pytest.fixture(scope="module")
def weights(finished_run):
    return finished_run / "stage4_gen.safetensors"


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth colours, like a photo's, up to the borders of sRGB."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("size", [(200, 150), (31, 17), (1, 1), (1, 700), (600, 3)])
def test_a_coloured_photo_has_its_own_size(size, weights):
    coloured = fastcolor.predict(photo(*size), weights)
    assert (coloured.size, coloured.mode) == (size, "RGB")


def test_a_coloured_photo_has_its_own_lightness(weights):
    original = photo(300, 220)
    coloured = fastcolor.predict(original, weights)
    light = [rgb2lab(np.asarray(image))[..., 0] for image in (original, coloured)]
    assert np.abs(light[0] - light[1]).mean() < 0.3  # 8-bit rounding of three channels
    assert np.abs(light[0] - light[1]).max() < 2


def test_colors_come_from_light_alone(weights):
    """A colour photo is recoloured as its grey version is, which shares its lightness within 8-bit rounding."""
    from fastcolor.color.grey import grey_photo

    original = photo(120, 90)
    coloured = [np.asarray(fastcolor.predict(image, weights), float) for image in (original, grey_photo(original))]
    assert np.abs(coloured[0] - coloured[1]).mean() < 2
    assert np.asarray(grey_photo(original)).std() > 10
    assert np.abs(coloured[0] - np.asarray(original)).mean() > 5


def test_predict_reads_files_and_applies_exif_orientation(weights, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    photo(80, 40).save(tmp_path / "turned.jpg", exif=exif)
    assert fastcolor.predict(tmp_path / "turned.jpg", weights).size == (40, 80)


def test_without_weights_predict_takes_those_that_ship(monkeypatch, weights):
    monkeypatch.setattr("fastcolor.weights.BUNDLED", weights)
    assert np.array_equal(fastcolor.predict(photo(40, 40)), fastcolor.predict(photo(40, 40), weights))


def test_at_strength_0_the_photo_stays_as_it_is_and_colors_grow_with_strength(weights):
    original = photo(90, 70)
    assert np.array_equal(fastcolor.predict(original, weights, strength=0), original)
    grey = original.convert("L")
    colored = [fastcolor.predict(grey, weights, strength=strength) for strength in (0, 0.5, 1)]
    greyness = [np.ptp(np.asarray(image, int), axis=2).mean() for image in colored]
    assert greyness[0] == 0
    assert 1 < greyness[1] < greyness[2]


def test_a_sepia_print_is_colored_as_its_grey_version_is(weights):
    """Its tint plays no part: only light is looked at, and the network's colours replace the photo's own."""
    grey = np.asarray(photo(80, 60).convert("L"), float)
    sepia = rgb2lab(np.dstack([grey] * 3) / 255) + (0, 8, 18)
    sepia[..., 0] = sepia[..., 0].clip(20, 80)  # where so much tint exists
    neutral = sepia * (1, 0, 0)
    images = [Image.fromarray((lab2rgb(lab) * 255).round().astype(np.uint8)) for lab in (sepia, neutral)]
    colored = [np.asarray(fastcolor.predict(image, weights), float) for image in images]
    assert np.abs(np.asarray(images[0], float) - np.asarray(images[1], float)).mean() > 15
    assert np.abs(colored[0] - colored[1]).mean() < 3


def test_a_batch_gives_what_single_calls_give(weights):
    photos = [photo(80, 60, 1), photo(50, 90, 2), photo(160, 120, 3).convert("L"), photo(64, 64, 4)]
    colorizer = Colorizer(weights)
    for one, many in zip(map(colorizer, photos), colorizer.batch(photos), strict=True):
        assert np.abs(np.asarray(one, int) - np.asarray(many, int)).max() <= 1
    assert colorizer.batch([]) == []


def test_threads_may_share_a_colorizer(weights):
    colorizer = Colorizer(weights)
    photos = [photo(60 + i, 50, i) for i in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(colorizer, photos))
    for one, other in zip(map(colorizer, photos), together, strict=True):
        assert np.array_equal(one, other)


def test_sixteen_bit_pixels_stay_so(weights):
    pixels = np.asarray(photo(70, 50)).astype(np.uint16) * 257
    colorizer = Colorizer(weights)
    deep, usual = colorizer.pixels(pixels), colorizer.pixels((pixels // 257).astype(np.uint8))
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257 - usual).max() < 1.01
    assert len(np.unique(deep)) > 256


def test_guided_colors_end_where_the_light_does(weights):
    """A bright disc of one colour on a dark ground of another, whose colours were mixed at 1/8 of the size."""
    y, x = np.mgrid[:128, :128]
    disc = np.hypot(y - 64, x - 64) < 30
    lightness = np.where(disc, np.float32(80), np.float32(30))[None, None]
    real = np.where(disc, np.float32(40), np.float32(-40))
    coarse = Image.fromarray(real).reduce(8).resize((128, 128), Image.Resampling.BILINEAR)
    real, smooth = (np.stack([plane] * 2)[None] for plane in (real, np.asarray(coarse)))
    planes = guided(lightness, smooth)
    followed = planes[:, :2] * lightness + planes[:, 2:]
    border = np.diff(disc[64].astype(int)).nonzero()[0]  # along the middle row, the last pixel before each edge

    def step(ab: np.ndarray) -> float:
        return np.abs(ab[0, :, 64, border + 1] - ab[0, :, 64, border]).mean()

    assert step(real) == 80
    assert step(smooth) < 15
    assert step(followed) > 2.5 * step(smooth)
    flat = np.full((1, 2, 32, 32), 7, np.float32)  # without edges nothing changes
    planes = guided(np.random.default_rng(0).uniform(0, 100, (1, 1, 32, 32)), flat)
    np.testing.assert_allclose(planes[:, 2:], flat, atol=1e-3)
    one, other = (fastcolor.predict(photo(90, 70), weights, chroma=way) for way in ("guided", "bilinear"))
    assert not np.array_equal(one, other)


def test_size_and_strength_of_a_call_are_for_that_call_alone(weights):
    colorizer, pixels = Colorizer(weights), np.asarray(photo(90, 70))
    usual = colorizer.pixels(pixels)
    for given in ({"size": 64}, {"strength": 0.3}, {"size": 96, "strength": 0.0}):
        made_so = Colorizer(weights, **given)
        assert np.array_equal(colorizer.pixels(pixels, **given), made_so.pixels(pixels))
        assert np.array_equal(colorizer(photo(90, 70), **given), made_so(photo(90, 70)))
        assert not np.array_equal(colorizer.pixels(pixels, **given), usual)
    assert np.array_equal(made_so.batch([photo(90, 70)], size=colorizer.size, strength=1.0)[0], usual)
    assert np.array_equal(colorizer.pixels(pixels), usual)


@pytest.mark.parametrize(("given", "message"), [({"size": 31}, "at least 32"), ({"strength": float("nan")}, "from 0")])
def test_size_and_strength_of_a_call_are_checked_as_those_of_a_colorizer(given, message, weights):
    colorizer, pixels = Colorizer(weights), np.zeros((9, 7), np.uint8)
    for call in (lambda: colorizer.pixels(pixels, **given), lambda: Colorizer(weights, **given)):
        with pytest.raises(UserError, match=message):
            call()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chroma": "nearest"}, "choose auto, bilinear, guided"),
        ({"strength": 1.5}, "not 1.5"),
        ({"size": 8}, "size must be at least 32 pixels, not 8"),
        ({"device": "tpu"}, "tpu"),
    ],
)
def test_options_that_do_not_exist_are_refused(options, message, weights):
    with pytest.raises(UserError, match=message):
        Colorizer(weights, **options)


def test_a_file_that_is_no_photo_is_named(weights, tmp_path):
    (tmp_path / "letter.jpg").write_text("Dear Sir")
    with pytest.raises(UnreadablePhoto, match="letter.jpg"):
        fastcolor.predict(tmp_path / "letter.jpg", weights)


def test_a_critic_can_not_color(finished_run):
    with pytest.raises(UserError, match="holds critic, not a generator"):
        fastcolor.predict(photo(40, 40), finished_run / "stage3_critic.safetensors")


def test_predict_imports_neither_torch_nor_fastai(tmp_path):
    photo(60, 40).save(tmp_path / "photo.png")
    code = (
        "import sys, fastcolor; fastcolor.predict(sys.argv[1], sys.argv[2]).save(sys.argv[3]);"
        "late = {'fastai', 'fastprogress', 'matplotlib', 'torch', 'torchvision'};"
        "assert not late & {m.split('.')[0] for m in sys.modules}"
    )
    paths = [str(tmp_path / "photo.png"), str(LEAN), str(tmp_path / "out.png")]
    subprocess.run([sys.executable, "-c", code, *paths], check=True)
    assert Image.open(tmp_path / "out.png").size == (60, 40)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(1000, 2000, (128, 256)), (64, 64, (128, 128)), (1, 5000, (128, 512)), (5000, 1, (512, 128))],
)
def test_the_network_looks_at_the_training_size_whatever_the_photos(height, width, expected):
    assert working_size(height, width, 128) == expected
