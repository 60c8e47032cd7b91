"""The scenes of the sample set: small drawn landscapes with flowers, each made from a seed.

A network can only learn colours that the grey picture gives away. So colour follows from shape and texture here: every
kind of flower, ground, sky and backdrop has a form of its own and a narrow range of hues of its own (a sunflower is
yellow, furrows are brown, bars of cloud round a low sun are orange). Their ranges of lightness overlap, so that
lightness alone does not tell the colour. Hue and lightness vary a little from one to the next.

A new sky, ground or backdrop is one function, see `_sand`, and its name in SKIES, GROUNDS or BACKDROPS. Positions are
parts of the side, and noise comes from grids of fixed size, so a seed shows the same scene at every size.
"""

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageFilter

from fastcolor.scenes.flowers import draw_flowers
from fastcolor.scenes.pen import Color, Paint, Pen, tone

SCALE = 3  # scenes are drawn this many times too large, then reduced: that smooths the edges


def _noise(rng: Generator, height: int, width: int, rows: int, cols: int) -> np.ndarray:
    """Smooth random values around 0, about -1..1, with `rows` x `cols` bumps; (height, width) float32."""
    grid = Image.fromarray(rng.uniform(-1, 1, (rows, cols)).astype(np.float32))
    return np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC))


def _mottle(rng: Generator, height: int, width: int, cells: int) -> np.ndarray:
    """Noise with detail at four sizes, like clouds or leaves; about -1..1."""
    return sum(_noise(rng, height, width, cells * 2**n, cells * 2**n) * 0.6**n for n in range(4)) / 1.4


def _down(height: int) -> np.ndarray:
    """0 in the first row to 1 in the last, (height, 1)."""
    return np.linspace(0, 1, height, dtype=np.float32)[:, None]


def _away(height: int) -> np.ndarray:
    """How far off each row of a flat ground is, (height, 1); the first row is the horizon."""
    return 1 / (_down(height) + 0.12)


def _ramp(values: np.ndarray, colors: list[Color]) -> np.ndarray:
    """Values 0..1 (height, width) as colours between the given ones, (height, width, 3)."""
    stops = np.linspace(0, 1, len(colors))
    return np.stack([np.interp(values, stops, channel) for channel in zip(*colors, strict=True)], axis=-1)


def _shades(
    rng: Generator,
    texture: np.ndarray,
    hue: tuple[float, float],
    light: tuple[float, float],
    saturation: float,
    depth: float,
) -> np.ndarray:
    """A texture, values -1..1 (height, width), in shades of one paint: from `depth` darker to `depth` lighter."""
    paint = Paint(rng.uniform(*hue), rng.uniform(*light), saturation)
    return _ramp(0.5 + 0.5 * texture, [paint(-depth), paint(), paint(depth)])


def _clear(rng: Generator, height: int, width: int) -> np.ndarray:
    return _shades(rng, 2 * _down(height) - np.ones((1, width)), (205, 217), (0.5, 0.7), 0.46, 0.17)


def _cumulus(rng: Generator, height: int, width: int) -> np.ndarray:
    sky = _clear(rng, height, width)
    whole, lit = Image.new("L", (width, height)), Image.new("L", (width, height))
    for _ in range(rng.integers(2, 4)):
        x, y, size = rng.uniform(0.05, 0.95) * width, rng.uniform(0.4, 0.9) * height, rng.uniform(0.08, 0.12) * width
        for across in rng.normal(0, 1.1, 28):  # bulges: high ones only near the middle, all above the flat base
            bulge, up = size * rng.uniform(0.25, 0.55), size * rng.uniform(0, 1.3) * np.exp(-(across**2) / 2)
            Pen(whole, x + across * size, y - up, bulge).disc(0, 0, 1, 255)
            Pen(lit, x + across * size, y - up, bulge).disc(-0.1, -0.2, 0.8, int(rng.integers(150, 256)))
    for mask, color in ((whole, tone(220, 0.78, 0.15)), (lit, tone(45, 0.97, 0.05))):
        soft = np.asarray(mask.filter(ImageFilter.GaussianBlur(0.006 * width)), dtype=np.float32)[..., None] / 255
        sky += soft * (color - sky)
    return sky + 8 * _mottle(rng, height, width, 6)[..., None]


def _sunset(rng: Generator, height: int, width: int) -> np.ndarray:
    light = rng.uniform(-0.06, 0.08)
    stops = ((300, 0.4, 0.22), (345, 0.5, 0.32), (20, 0.6, 0.48), (38, 0.74, 0.6))
    sky = _ramp(_down(height) + np.zeros((1, width)), [tone(h, v + light, s) for h, v, s in stops])
    x = np.arange(width) / width - rng.uniform(0.15, 0.85)
    y = (np.arange(height)[:, None] - rng.uniform(0.6, 0.8) * height) / width
    distance = np.hypot(x, y)[..., None]
    sky += 0.8 * np.exp(-((distance / 0.2) ** 2)) * (tone(42, 0.85, 0.6) - sky)
    sky += ((0.075 - distance) * 120).clip(0, 1) * (tone(50, 0.95, 0.7) - sky)
    bars = _noise(rng, height, width, 11, 3) + 0.3 * _noise(rng, height, width, 22, 8) - 0.05
    return sky + (3 * bars).clip(0, 0.75)[..., None] * (tone(rng.uniform(335, 350), 0.38 + light, 0.28) - sky)


def _overcast(rng: Generator, height: int, width: int) -> np.ndarray:
    return _shades(rng, _mottle(rng, height, width, 3) + 0.4 * _down(height), (210, 220), (0.5, 0.75), 0.06, 0.2)


def _grass(rng: Generator, height: int, width: int) -> np.ndarray:
    blades = _noise(rng, height, width, 8, 90) + 0.7 * _noise(rng, height, width, 16, 150)
    return _shades(rng, 0.75 * blades + 0.3 * _noise(rng, height, width, 3, 3), (88, 104), (0.38, 0.58), 0.48, 0.22)


def _sand(rng: Generator, height: int, width: int) -> np.ndarray:
    ripples = np.sin(45 * np.log(_away(height)) + 2.5 * _noise(rng, height, width, 4, 4))
    return _shades(rng, 0.45 * ripples + 0.6 * _noise(rng, height, width, 60, 120), (36, 42), (0.5, 0.72), 0.36, 0.15)


def _water(rng: Generator, height: int, width: int) -> np.ndarray:
    swell = np.sin(24 * np.log(_away(height)) + 4 * _noise(rng, height, width, 9, 5))
    glints = (3 * _noise(rng, height, width, 40, 14) - 1.5).clip(0, 1)
    return _shades(rng, 0.7 * swell * _noise(rng, height, width, 14, 9) + glints, (184, 196), (0.38, 0.58), 0.46, 0.24)


def _soil(rng: Generator, height: int, width: int) -> np.ndarray:
    sideways = np.linspace(-1, 1, width) * _away(height) + 0.05 * _noise(rng, height, width, 6, 6)
    texture = 0.7 * np.sin(11 * sideways + rng.uniform(0, 6)) + 0.4 * _noise(rng, height, width, 40, 60)
    return _shades(rng, texture, (20, 27), (0.3, 0.5), 0.42, 0.16)


def _hills(rng: Generator, image: Image.Image, horizon: float) -> None:
    x, light = np.linspace(0, 1, 40), rng.uniform(0.4, 0.6)
    for n in range(3):
        waves = sum(np.sin(x * rng.uniform(3, 14) + rng.uniform(0, 6)) / (k + 2) for k in range(3))
        ridge = horizon - 0.11 + 0.04 * n + 0.035 * waves
        shape = np.vstack([np.stack([x, ridge], axis=1), [(1, horizon), (0, horizon)]])
        Pen(image, 0, 0, image.width).polygon(shape, tone(185 - 35 * n, light - 0.09 * n, 0.22 + 0.1 * n))


def _conifers(rng: Generator, image: Image.Image, horizon: float) -> None:
    paint = Paint(rng.uniform(138, 152), rng.uniform(0.22, 0.36), 0.6)
    for x in np.linspace(-0.02, 1.02, rng.integers(9, 15)) + rng.normal(0, 0.02):
        pen = Pen(image, x * image.width, (horizon + 0.01) * image.width, rng.uniform(0.12, 0.25) * image.width)
        light = rng.uniform(-0.04, 0.06)
        for y in (0.0, -0.22, -0.44, -0.64):  # tiers of branches, each with a lit left half
            half = 0.28 + 0.3 * y
            tier = np.array([(-half, y), (0, y - 0.36), (0.15 * half, y - 0.06), (half, y)])
            pen.polygon(tier, paint(light - 0.06))
            pen.polygon(tier[:3], paint(light + 0.05))


def _house(rng: Generator, image: Image.Image, horizon: float) -> None:
    _hills(rng, image, horizon)
    size = rng.uniform(0.16, 0.22) * image.width
    pen = Pen(image, rng.uniform(0.2, 0.8) * image.width, (horizon + 0.015) * image.width, size)
    pen.polygon(np.array([(-0.9, 0), (-0.9, -0.6), (0.9, -0.6), (0.9, 0)]), tone(45, rng.uniform(0.7, 0.9), 0.15))
    roof = Paint(rng.uniform(9, 15), rng.uniform(0.34, 0.5), 0.58)
    pen.polygon(np.array([(-1.05, -0.55), (-0.75, -1.2), (0.75, -1.2), (1.05, -0.55)]), roof(-0.1))
    for row, y in enumerate(np.linspace(-1.15, -0.62, 5)):
        for x in np.linspace(-1, 1, 13) * (0.8 + 0.055 * row):  # tiles
            pen.disc(x, y, 0.055, roof(rng.uniform(0, 0.14)))
    for x, foot in ((-0.55, -0.18), (0.1, 0), (0.55, -0.18)):  # window, door, window
        pen.polygon(np.array([(-0.1, -0.42), (0.1, -0.42), (0.1, foot), (-0.1, foot)]) + (x, 0), tone(25, 0.2, 0.5))


# A sky or a ground, called with (rng, height, width), returns sRGB 0..255, float (height, width, 3).
SKIES = [_clear, _cumulus, _sunset, _overcast]
GROUNDS = [_grass, _sand, _water, _soil]
# A backdrop, called with (rng, image, horizon), draws onto the image; the horizon is its height as a part of the side.
BACKDROPS = [_hills, _conifers, _house]


def draw_scene(seed: int, size: int = 128) -> Image.Image:
    """The scene of a seed (0 or more), RGB, `size` x `size` pixels.

    A seed gives the same bytes every time, and the same scene at every size.
    """
    rng, side = np.random.default_rng(seed), SCALE * size
    horizon = rng.uniform(0.36, 0.56)
    above = round(horizon * side)
    sky = SKIES[rng.integers(len(SKIES))](rng, above, side)
    ground = GROUNDS[rng.integers(len(GROUNDS))](rng, side - above, side)
    image = Image.fromarray(np.vstack([sky, ground]).clip(0, 255).astype(np.uint8))
    if rng.random() < 0.75:
        BACKDROPS[rng.integers(len(BACKDROPS))](rng, image, horizon)
    draw_flowers(rng, image, horizon)
    # Exposure, vignette and grain, as photos have them, but equal in all three channels, so that hues stay.
    across = np.linspace(-1, 1, size) ** 2
    gain = rng.uniform(0.88, 1.1) * (1 - rng.uniform(0, 0.14) * (across + across[:, None]))
    grain = rng.uniform(0, 3) * rng.standard_normal((size, size))
    photo = image.resize((size, size), Image.Resampling.LANCZOS) * gain[..., None] + grain[..., None]
    return Image.fromarray((photo + 0.5).clip(0, 255).astype(np.uint8))
