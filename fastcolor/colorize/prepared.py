"""A photo that is kept small between clicks, so that a change of hints is seen at once: for the page."""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from fastcolor.color.fullsize import recolor
from fastcolor.colorize.engine import Engine
from fastcolor.colorize.hints import Hint, check_hints, check_place, pulled_in
from fastcolor.colorize.like import Reference, hints_like
from fastcolor.colorize.listening import Suggestion, Told, at, listen, suggestions


class Prepared:
    """A photo at the size of a screen, and as the network sees it; `Colorizer.prepare` makes one.

    Any number of threads may use it. `size` is the preview's width and height, in pixels.
    """

    def __init__(self, engine: Engine, pixels: np.ndarray, lightness: np.ndarray, maps: Callable, strength: float):
        self.size: tuple[int, int] = pixels.shape[1::-1]
        self._engine, self._pixels, self._lightness = engine, pixels, lightness
        self._maps, self._strength = maps, strength
        self._plain = listen(engine, lightness)
        self._last = (), self._plain  # hints, and what the network says of them

    def _told(self, hints: Sequence[Hint]) -> Told:
        check_hints(hints)
        last, told = self._last  # read once: another thread may set it
        if last != tuple(hints):
            told = listen(self._engine, self._lightness, hints, self._plain)
            self._last = tuple(hints), told
        return told

    def preview(self, hints: Sequence[Hint] = (), strength: float | None = None) -> Image.Image:
        """The coloured photo, RGB, `size`. Raises UserError for hints that can't be used."""
        maps = self._maps(self._lightness[None, None], self._told(hints).ab[None])[0]
        return Image.fromarray(recolor(self._pixels, maps, self._strength if strength is None else strength))

    def suggest(self, x: float, y: float, n: int = 9, hints: Sequence[Hint] = ()) -> list[Suggestion]:
        """See `Colorizer.suggest`; the photo has these hints already."""
        return suggestions(self._told(hints).classes, self._lightness, x, y, n)

    def lightness(self, x: float, y: float) -> float:
        """L of CIE Lab, 0..100, of a place. `fullsize.ab_in_gamut` and `rgb_of` tell which colours exist there."""
        check_place(x, y)
        return float(at(self._lightness[None], x, y)[0])

    def notes(self, hints: Sequence[Hint]) -> list[str]:
        """A sentence for each hint whose colour does not exist at the photo's lightness there."""
        return pulled_in(hints, self._lightness)

    def like(self, reference: Reference) -> list[Hint]:
        """The colours of a reference photo (see `Colorizer.reference`) as hints; put those of a user after them."""
        return hints_like(self._engine, self._lightness, reference)
