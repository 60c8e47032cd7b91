"""The flowers of the scenes: each kind has a form of its own, and a narrow range of hues of its own.

A new kind is one function, see `_poppy`, and its line in FLOWERS.
"""

import numpy as np
from numpy.random import Generator
from PIL import Image

from fastcolor.scenes.pen import Paint, Pen, rounded, tone, turned


def _around(rng: Generator, count: int) -> np.ndarray:
    """The angles (radians) of `count` petals round a centre, the first one anywhere."""
    return rng.uniform(0, 2 * np.pi) + np.arange(count) * 2 * np.pi / count


def _sunflower(pen: Pen, rng: Generator, paint: Paint) -> None:
    for ring, end in enumerate((1.0, 0.9)):
        for angle in _around(rng, 19):
            pen.petal(angle, 0.35, end, 0.12, paint(rng.uniform(-0.12, -0.04) + 0.12 * ring, -3 + 3 * ring))
    pen.disc(0, 0, 0.52, tone(28, 0.16, 0.8))
    for n in range(1, 70):  # seeds sit at the golden angle, as in the real one
        radius, angle = 0.49 * (n / 70) ** 0.5, 2.39996 * n
        pen.disc(radius * np.cos(angle), radius * np.sin(angle), 0.022, tone(32, 0.22 + 0.3 * (n % 3 == 0), 0.7))


def _tulip(pen: Pen, rng: Generator, paint: Paint) -> None:
    for side in (-1, 1):  # two petals behind, then the left, the right and the front one
        pen.petal(-np.pi / 2 + 0.22 * side, -0.7, 1.0, 0.36, paint(-0.12))
    half = np.array([(0.5, -1.15), (0.86, -0.5), (0.85, 0.35), (0.45, 1.0), (-0.1, 1.05), (-0.05, 0.2), (0.3, -0.4)])
    front = np.array([(0, -0.95), (0.42, -0.3), (0.5, 0.4), (0.25, 1.02), (-0.25, 1.02), (-0.5, 0.4), (-0.42, -0.3)])
    for petal, light in ((half * (-1, 1), 0.05), (half, -0.04), (front, 0.03)):
        pen.polygon(rounded(petal), paint(light - 0.12))
        pen.polygon(rounded(petal) * 0.94, paint(light))


def _daisy(pen: Pen, rng: Generator, paint: Paint) -> None:
    for angle in _around(rng, 11):
        light = rng.uniform(-0.12, 0.02)
        pen.petal(angle, 0.15, 1.0, 0.19, paint(light - 0.16), 1.5)
        pen.petal(angle, 0.15, 0.97, 0.15, paint(light), 1.5)
    yellow = Paint(rng.uniform(44, 50), rng.uniform(0.55, 0.72), 0.9)
    for offset, radius, light in ((0.03, 0.3, -0.2), (0, 0.28, 0), (-0.07, 0.14, 0.1)):
        pen.disc(offset, offset, radius, yellow(light))


def _bellflower(pen: Pen, rng: Generator, paint: Paint) -> None:
    half = np.array([(0.08, 0), (0.26, 0.12), (0.24, 0.6), (0.52, 1.0), (0.2, 0.86)])
    bell = rounded(np.vstack([half, [(0, 1)], half[::-1] * (-1, 1)]))
    pen.line(np.array([(0, -1), (0, 1)]), 0.07, tone(105, 0.4, 0.6))
    for n in range(6):  # from the top down, left and right in turn
        side, light = (-1) ** n, rng.uniform(-0.04, 0.08)
        hang = turned(bell, -0.7 * side) * (0.56 + 0.07 * n) + (0.06 * side, 0.25 * n - 1.05)
        pen.polygon(hang, paint(light))
        pen.line(hang, 0.04, paint(light - 0.22))
        pen.line(0.8 * hang[[4, 20]] + 0.2 * hang.mean(axis=0), 0.07, paint(light + 0.16))


def _poppy(pen: Pen, rng: Generator, paint: Paint) -> None:
    for n, angle in enumerate(_around(rng, 4)):
        spread = np.linspace(-1.05, 1.05, 21)
        reach = (0.95 + 0.05 * np.cos(9 * spread + n)) * np.cos(0.62 * spread) ** 0.4
        edge = np.stack([np.cos(angle + spread), np.sin(angle + spread)], axis=1) * reach[:, None]
        light = 0.05 * (-1) ** n
        pen.polygon(np.vstack([edge, [(0, 0)]]), paint(light - 0.14))
        pen.polygon(np.vstack([edge * 0.93, [(0, 0)]]), paint(light))
        for crease in edge[2:-2:3]:
            pen.line(np.stack([0.3 * crease, crease * rng.uniform(0.7, 0.9)]), 0.025, paint(light - 0.1))
    pen.disc(0, 0, 0.24, tone(280, 0.1, 0.3))
    pen.disc(0, 0, 0.11, tone(80, 0.45, 0.5))


def _rose(pen: Pen, rng: Generator, paint: Paint) -> None:
    for ring, (radius, size) in enumerate(((0.58, 0.42), (0.4, 0.36), (0.24, 0.28), (0.1, 0.2))):
        for angle in _around(rng, 5 - ring // 2):
            x, y = radius * np.cos(angle), radius * np.sin(angle)
            pen.disc(x, y, size, paint(-0.2 - 0.02 * ring))
            pen.disc(x, y, size - 0.035, paint(rng.uniform(0.02, 0.1) - 0.05 * ring))
    turn = np.linspace(0, 4.2 * np.pi, 40) + rng.uniform(0, 6)
    coil = (0.02 + 0.022 * (turn - turn[0]))[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    pen.line(coil, 0.04, paint(-0.3))


def _cornflower(pen: Pen, rng: Generator, paint: Paint) -> None:
    half = np.array([(0.1, 0.04), (0.62, 0.17), (0.98, 0.3), (0.78, 0.1), (1.02, 0.0)])
    floret = np.vstack([half, half[::-1] * (1, -1)])  # a trumpet with a toothed edge
    for ring, size in enumerate((1.0, 0.62)):
        for angle in _around(rng, 9 - 2 * ring):
            pen.polygon(size * turned(floret, angle), paint(rng.uniform(-0.1, 0.1) - 0.05 * ring))
    for angle in _around(rng, 12):
        pen.petal(angle, 0, rng.uniform(0.2, 0.34), 0.04, tone(285, rng.uniform(0.1, 0.3), 0.6))


FLOWERS = {  # kind: the function that draws its head; its paint: ranges of hue and of light, and the saturation
    "sunflower": (_sunflower, (45, 52), (0.56, 0.8), 0.8),
    "tulip": (_tulip, (350, 359), (0.3, 0.5), 0.7),
    "daisy": (_daisy, (48, 60), (0.68, 0.92), 0.06),
    "bellflower": (_bellflower, (266, 280), (0.34, 0.58), 0.54),
    "poppy": (_poppy, (12, 19), (0.4, 0.66), 0.78),
    "rose": (_rose, (328, 340), (0.45, 0.74), 0.52),
    "cornflower": (_cornflower, (218, 230), (0.34, 0.6), 0.6),
}


def draw_flower(kind: str, pen: Pen, rng: Generator) -> None:
    """Draw the head of one flower of a kind in FLOWERS; its paint and the details are random."""
    head, hue, light, saturation = FLOWERS[kind]
    head(pen, rng, Paint(rng.uniform(*hue), rng.uniform(*light), saturation))


def draw_flowers(rng: Generator, image: Image.Image, horizon: float) -> None:
    """Draw 3 to 7 flowers of one or two kinds below the horizon (part of the side) of a square image."""
    kinds = rng.choice(list(FLOWERS), rng.integers(1, 3), replace=False)
    for x, y, radius in _places(rng, rng.integers(3, 8), horizon) * image.width:
        _stem(rng, image, x, y, radius)
        pen = Pen(image, x, y, radius, rng.uniform(-0.2, 0.2), rng.uniform(0.85, 1))
        draw_flower(rng.choice(kinds), pen, rng)


def _stem(rng: Generator, image: Image.Image, x: float, y: float, radius: float) -> None:
    """A bent stem with a tuft of grass and two leaves at its foot."""
    green = Paint(rng.uniform(95, 118), rng.uniform(0.3, 0.5), 0.55)
    length, bend, t = rng.uniform(2.4, 3.0), rng.uniform(-0.3, 0.3), np.linspace(0, 1, 8)
    Pen(image, x, y, radius).line(np.stack([bend * np.sin(2 * t), length * t], axis=1), 0.12, green())
    foot = Pen(image, x + bend * np.sin(2) * radius, y + length * radius, radius)
    for angle in np.linspace(-2.5, -0.64, 9):
        foot.petal(angle + rng.normal(0, 0.1), 0, rng.uniform(0.4, 1.0), 0.07, green(rng.uniform(-0.15, 0.1)))
    for side in (-1, 1):
        angle = -np.pi / 2 + side * rng.uniform(0.5, 0.9)
        foot.petal(angle, 0, 1.35, 0.2, green(0.06 * side))


def _places(rng: Generator, count: int, horizon: float) -> np.ndarray:
    """Where flowers stand, far ones first: (count, 3) of x, y and radius in parts of the side."""
    columns = rng.permutation(count)
    depth = (columns % 2 + rng.uniform(0, 1, count)) / 2  # neighbours stand at different depths
    x = (columns + rng.uniform(0.2, 0.8, count)) / count
    return np.stack([x, horizon - 0.02 + (0.8 - horizon) * depth, 0.085 + 0.085 * depth], axis=1)[np.argsort(depth)]
