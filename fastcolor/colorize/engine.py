"""What runs a network: onnxruntime, or torch for what onnxruntime can't. Everything around it is numpy.

    engine = load_engine(weights)                     # see `load`
    ab = engine(lightness)                            # (N, 1, h, w) to (N, 2, h, w), float32
    ab, more = engine.run(("ab", "more"), lightness)  # further results, where the network has some
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fastcolor.errors import UserError
from fastcolor.weights import GRAPHS


class Engine(ABC):
    """A network and what runs it. Several threads may call it at the same time.

    Attributes:
      name (str): What runs it, in words: "onnxruntime 1.32.0".
      weights (Path): The network's file, which messages name.
      size (int): The short side, in pixels, of the photos that the network was trained on.
      keeps_light (bool): True: it gives "ab", a and b of CIE Lab, of "lightness", L (0..100). False: it gives "painted"
        of "photo", both sRGB `(N, 3, h, w)`, 0..1.
      inputs (dict): The channels of each input, by name. All but the first may be left out, and are 0 then.
      outputs (tuple): The names of what it gives.
    """

    name: str
    weights: Path
    size: int
    keeps_light: bool = True
    inputs: dict[str, int]
    outputs: tuple[str, ...]

    def __call__(self, picture: np.ndarray, **further: np.ndarray) -> np.ndarray:
        """The first output, `(N, C, h, w)` float32, of the first input `(N, C, h, w)` float32. See `run`."""
        return self.run(self.outputs[:1], picture, **further)[0]

    def run(self, outputs: Sequence[str], picture: np.ndarray, **further: np.ndarray) -> list[np.ndarray]:
        """Some of the outputs, by name, of the first input `(N, C, h, w)` float32 and of further ones of that shape.

        Raises UserError if the network fails, or gives NaN or infinity, as finite weights can.
        """
        first, *others = self.inputs
        given = {first: picture}
        for name in others:
            shape = (len(picture), self.inputs[name], *picture.shape[2:])
            given[name] = further.pop(name) if name in further else np.zeros(shape, np.float32)
        if further:
            raise TypeError(f"{self.weights} has no inputs {', '.join(further)}")
        results = self._run(given, outputs)
        if not all(np.isfinite(result).all() for result in results):
            raise UserError(f"{self.weights} gives no colours, its numbers become too large: use other weights")
        return results

    @abstractmethod
    def _run(self, inputs: dict[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        """The outputs of all inputs."""


def deaf(weights: Path) -> UserError:
    """What to raise for weights of a network that does not listen."""
    what = "takes no hints and no colours of another photo"
    name = weights.stem if weights.parent == GRAPHS else weights  # lean, as it is given
    return UserError(f"{name} {what}: use the weights that come with fastcolor")
