"""Frames of a film as it stores them, luma and two planes of chroma, given colours that leave each place its lightness.

    planes ─ `grey` ─▶ grey plane ─ `small` ─▶ network ─▶ a, b ─ `colored`, with the grey plane ─▶ planes

Luma is no lightness: a blue has less luma than a grey of the same lightness. So chroma is read from a table of grey, a
and b, at the size at which the film stores it; then each place gets the luma that, together with the chroma that a
player shows there, has its lightness of before. That comes from a table, too.

Samples are uint8, or uint16 of 10 bits. R'G'B' counts as sRGB, as players show it, whatever curve a film names.
"""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from fastcolor.color.cie import gamma_of, linear_table, luminance_of
from fastcolor.color.fullsize import recolor

MATRICES = {
    "bt709": (0.2126, 0.0722),
    "bt601": (0.299, 0.114),
    "fcc": (0.30, 0.11),
    "smpte240m": (0.212, 0.087),
    "bt2020": (0.2627, 0.0593),
}
"""Weights of red and blue in luma: ITU-T H.273, table 4."""

AB = 110.0  # the largest a and b of the tables: sRGB has no larger ones
NODES = 33  # values of a, b, and each chroma, in the tables; what lies between is read bilinearly
ACROSS = 16  # the pages of `_chroma_table`, one for each of 256 levels, lie in so many columns and rows
KINDS = 2  # of films whose tables are kept: 33 MB each
HALVINGS = 14  # of the interval in which a luma is looked for: to 1/100 of an 8-bit step


class Planes(NamedTuple):
    """Luma `(H, W)`, and blue and red chroma `(h, w)` each, which may be smaller; uint8 or uint16."""

    luma: np.ndarray
    blue: np.ndarray
    red: np.ndarray


class Light(NamedTuple):
    """How a film stores light: the name of its matrix (see `MATRICES`), full or limited range, 8 or 10 bits."""

    matrix: str
    full: bool
    bits: int

    def grey(self, planes: Planes) -> np.ndarray:
        """The luma that greys of the same lightness have: `(H, W)`, of the planes' dtype."""
        neutral, step = 1 << (self.bits - 1), 1 << (self.bits - 8)
        if all(neutral - step <= part.min() and part.max() <= neutral + step for part in planes[1:]):
            return planes.luma
        return self._with(planes, _grey_table(*self))

    def small(self, grey: np.ndarray, height: int, width: int) -> np.ndarray:
        """A grey plane at another size, as sRGB: `(height, width)` uint8."""
        small = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
        low, span, _ = _range(self.full, self.bits)
        return ((small - low) * (255 / span) + 0.5).clip(0, 255).astype(np.uint8)

    def colored(
        self, grey: np.ndarray, ab: np.ndarray, shape: tuple[int, int], own: Planes | None = None, strength: float = 1.0
    ) -> Planes:
        """The planes of a frame with this grey plane and these a and b, `(h, w, 2)` float32; `shape` is chroma's.

        `strength` below 1 mixes them with the chroma of the frame's `own` planes.
        """
        size = shape[::-1]
        part = grey if grey.shape == shape else cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        level = self._coarse(part)
        nodes = (cv2.resize(ab, size) + AB) * np.float32((NODES - 1) / (2 * AB))
        pages = np.arange(256, dtype=np.float32)
        x = cv2.LUT(level, pages % ACROSS * NODES) + nodes[..., 0]
        y = cv2.LUT(level, pages // ACROSS * NODES) + nodes[..., 1]
        chroma = cv2.remap(_chroma_table(*self), x, y, cv2.INTER_LINEAR)
        blue, red = cv2.split(chroma.astype(grey.dtype))
        if own is not None:
            blue, red = (
                cv2.addWeighted(new, strength, old, 1 - strength, 0)
                for new, old in zip((blue, red), own[1:], strict=True)
            )
        planes = Planes(grey, blue, red)
        return planes._replace(luma=self._with(planes, _luma_table(*self)))

    def _with(self, planes: Planes, table: np.ndarray) -> np.ndarray:
        """The luma plane plus what a table says of luma and chroma."""
        luma, *chroma = planes
        size = luma.shape[::-1]
        blue, red = (part if part.shape == luma.shape else cv2.resize(part, size) for part in chroma)
        coarse = [self._coarse(part) for part in (red, blue, luma)]
        index = cv2.merge([*coarse, np.zeros_like(coarse[0])]).view("<u4")[..., 0]
        added = cv2.add(luma, table.take(index), dtype=cv2.CV_8U if self.bits == 8 else cv2.CV_16U)
        return added if self.bits == 8 else np.minimum(added, (1 << self.bits) - 1)

    def _coarse(self, part: np.ndarray) -> np.ndarray:
        return part if self.bits == 8 else (part >> (self.bits - 8)).astype(np.uint8)


def _range(full: bool, bits: int) -> tuple[float, float, float]:
    """Luma's black, and the spans of luma and of chroma, in steps of so many bits: ITU-T H.273, equations 20 to 34."""
    if full:
        return 0.0, (1 << bits) - 1.0, (1 << bits) - 1.0
    scale = 1 << (bits - 8)
    return 16.0 * scale, 219.0 * scale, 224.0 * scale


def _luminance(matrix: str, luma: np.ndarray, blue: np.ndarray, red: np.ndarray) -> np.ndarray:
    """Luminance, 0..1, of luma (0..1) and chroma (-0.5..0.5), as a player shows them: cut off beyond sRGB."""
    of_red, of_blue = MATRICES[matrix]
    red, blue = luma + 2 * (1 - of_red) * red, luma + 2 * (1 - of_blue) * blue
    green = (luma - of_red * red - of_blue * blue) / (1 - of_red - of_blue)
    return luminance_of(_deep(np.stack([red, green, blue], axis=-1)))


def _deep(values: np.ndarray) -> np.ndarray:
    return (values.clip(0, 1) * 65535 + 0.5).astype(np.uint16)


@lru_cache(KINDS)
def _chroma_table(matrix: str, full: bool, bits: int) -> np.ndarray:
    """Chroma, blue and red, of a, b and level: `(ACROSS * NODES, ACROSS * NODES, 2)` int16, pages of NODES x NODES."""
    low, span, _ = _range(full, 8)
    levels = np.arange(256).reshape(ACROSS, ACROSS).repeat(NODES, axis=0).repeat(NODES, axis=1)
    ab = np.tile(np.linspace(-AB, AB, NODES, dtype=np.float32), ACROSS)
    chroma = np.stack(np.broadcast_arrays(ab[None], ab[:, None]))
    red, green, blue = np.moveaxis(recolor(_deep((levels - low) / span), chroma) / 65535, -1, 0)
    of_red, of_blue = MATRICES[matrix]
    luma = of_red * red + (1 - of_red - of_blue) * green + of_blue * blue
    parts = np.stack([(blue - luma) / (1 - of_blue), (red - luma) / (1 - of_red)], axis=-1) / 2
    return np.rint(parts * _range(full, bits)[2] + (1 << (bits - 1))).astype(np.int16)


@lru_cache(KINDS)
def _luma_table(matrix: str, full: bool, bits: int) -> np.ndarray:
    """What is added to a grey's luma so that with this chroma it has the grey's lightness: see `_table`."""

    def added(level: np.ndarray, blue: np.ndarray, red: np.ndarray) -> np.ndarray:
        wanted = linear_table(np.uint16).take(_deep(level))
        least, most = np.full(blue.shape, -0.1, np.float32), np.full(blue.shape, 1.1, np.float32)
        for _ in range(HALVINGS):
            middle = (least + most) / 2
            found = _luminance(matrix, middle, blue, red)
            # what shows as black, or white, with many lumas, gets the one nearest to where colours are
            is_less = np.where(level < 0.5, found <= wanted, found < wanted)
            least, most = np.where(is_less, middle, least), np.where(is_less, most, middle)
        return (least + most) / 2 - level

    return _table(full, bits, added)


@lru_cache(KINDS)
def _grey_table(matrix: str, full: bool, bits: int) -> np.ndarray:
    """What is added to a colour's luma to get that of a grey of its lightness: see `_table`."""
    return _table(full, bits, lambda luma, blue, red: gamma_of(_luminance(matrix, luma, blue, red)) - luma)


def _table(full: bool, bits: int, added) -> np.ndarray:
    """What `added(luma, blue, red)` says, in steps of so many bits: `(2**24,)` int16, of 8-bit luma, blue and red.

    It is asked at NODES values of each chroma, with luma 0..1 and chroma -0.5..0.5, arrays `(n, NODES, NODES)`.
    """
    low, span, chroma_span = _range(full, 8)
    nodes = np.linspace(0, 256, NODES, dtype=np.float32)
    at = np.arange(256)[:, None] * (NODES - 1) / 256 - np.arange(NODES)
    spread = (1 - np.abs(at)).clip(0).astype(np.float32)
    chroma = (nodes - 128) / np.float32(chroma_span)
    table = np.empty((256, 256, 256), np.int16)
    for first in range(0, 256, 32):
        luma = ((np.arange(first, first + 32, dtype=np.float32) - low) / span).clip(0, 1)[:, None, None]
        parts = np.broadcast_arrays(luma, chroma[:, None], chroma)
        steps = added(*parts) * np.float32(_range(full, bits)[1])
        table[first : first + 32] = np.rint(spread @ steps @ spread.T)
    return table.ravel()
