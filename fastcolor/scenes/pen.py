"""What scenes are drawn with: colours by hue and lightness, and a pen that draws in units of its own."""

import colorsys
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

Color = tuple[int, int, int]
"""8-bit sRGB."""

_ALONG = np.linspace(0, 1, 11)  # from a petal's foot to its tip
_CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 25)), np.sin(np.linspace(0, 2 * np.pi, 25))], axis=1)


def tone(hue: float, light: float, saturation: float) -> Color:
    """The 8-bit sRGB colour of a hue (degrees, HSV circle) whose grey value is `light` (0..1, Rec. 601 luma)."""
    rgb = np.array(colorsys.hsv_to_rgb(hue / 360 % 1, saturation, 1))
    luma = float(rgb @ (0.299, 0.587, 0.114))
    # Pure hues differ in lightness (yellow 0.9, blue 0.1): white or black is mixed in until they match.
    light = min(max(light, 0.02), 0.98)
    rgb = rgb * light / luma if light < luma else 1 - (1 - rgb) * (1 - light) / (1 - luma)
    return tuple((255 * rgb + 0.5).astype(int).tolist())


class Paint(NamedTuple):
    """A colour that has shades: `paint()` is the colour itself, `paint(-0.1)` a darker shade of it."""

    hue: float  # degrees
    light: float  # 0..1, see `tone`
    saturation: float  # 0..1

    def __call__(self, light: float = 0.0, hue: float = 0.0) -> Color:
        return tone(self.hue + hue, self.light + light, self.saturation)


class Pen:
    """Draws on `image` in units of its own: (0, 0) is at the pixel (x, y), 1 is `radius` pixels, y points down.

    `tilt` (radians) turns what is drawn; `squash` below 1 makes it less high, as if seen at a slant.
    """

    def __init__(self, image: Image.Image, x: float, y: float, radius: float, tilt: float = 0.0, squash: float = 1.0):
        self.draw, self.origin = ImageDraw.Draw(image), np.array([x, y])
        cos, sin = np.cos(tilt), np.sin(tilt)
        self.matrix = radius * np.array([[cos, sin], [-sin * squash, cos * squash]])

    def polygon(self, points: np.ndarray, color: Color) -> None:
        """Fill the outline `points`, (n, 2)."""
        self.draw.polygon((points @ self.matrix + self.origin).ravel().tolist(), fill=color)

    def disc(self, x: float, y: float, radius: float, color: Color) -> None:
        """Fill a circle, which a squashed pen draws as an ellipse."""
        self.polygon(np.array([x, y]) + radius * _CIRCLE, color)

    def line(self, points: np.ndarray, width: float, color: Color) -> None:
        """Draw a line through `points`, (n, 2)."""
        pixels = max(1, round(width * abs(np.linalg.det(self.matrix)) ** 0.5))
        self.draw.line((points @ self.matrix + self.origin).ravel().tolist(), color, pixels, joint="curve")

    def petal(self, angle: float, start: float, end: float, width: float, color: Color, blunt: float = 1.0) -> None:
        """Fill a leaf shape from radius `start` to `end` along `angle` (radians); blunt > 1 is broad at the tip."""
        along = start + (end - start) * _ALONG
        across = width * np.sin(np.pi * _ALONG**blunt) ** (1 / blunt)
        self.polygon(turned(np.stack([np.r_[along, along[::-1]], np.r_[across, -across[::-1]]], axis=1), angle), color)


def turned(points: np.ndarray, angle: float) -> np.ndarray:
    """Points (n, 2) turned about (0, 0) by `angle` (radians), from the x axis towards the y axis."""
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def rounded(points: np.ndarray) -> np.ndarray:
    """The outline `points`, (n, 2), with its corners cut twice (Chaikin's scheme): (4n, 2)."""
    for _ in range(2):
        after = np.roll(points, -1, axis=0)
        points = np.stack([0.75 * points + 0.25 * after, 0.25 * points + 0.75 * after], axis=1).reshape(-1, 2)
    return points
