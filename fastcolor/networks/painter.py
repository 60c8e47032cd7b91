"""What a generator of any space makes of a photo: colouring, stage 2's fakes and the ONNX export all go through it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar

from torch import Tensor, nn

from fastcolor.color.spaces import SPACES


class Painter(nn.Module):
    """A generator with its colour space: light in, colours out. As a module it is what `fastcolor export` writes.

    Arguments:
        network: a generator; its config names its space.
        autocast: opens the context that the network runs in, for another precision (default: none).

    `inputs` are those of `forward`, by name, with their channels, and `outputs` the names of what it gives: an ONNX
    graph has the same ones, and `colorize.engine` goes by them. Inputs after the first must mean nothing
    where they are 0.
    """

    inputs: ClassVar[dict[str, int]] = {"lightness": 1}
    outputs: ClassVar[tuple[str, ...]] = ("ab",)

    def __init__(self, network: nn.Module, autocast: Callable[[], AbstractContextManager] = nullcontext):
        super().__init__()
        self.network, self.space, self.autocast = network, SPACES[network.config.space], autocast

    def _image(self, grey: Tensor | None = None, lightness: Tensor | None = None) -> Tensor:
        with self.autocast():
            return self.network(self.space.inputs(grey, lightness=lightness))

    def rgb(self, grey: Tensor) -> Tensor:
        """The coloured photo, sRGB `(N, 3, H, W)`, float 0..1, of grey `(N, 1, H, W)`, sRGB, uint8 or float 0..1."""
        return self.space.to_rgb(self._image(grey))

    def ab(self, grey: Tensor | None = None, *, lightness: Tensor | None = None) -> Tensor:
        """a and b of CIE Lab, `(N, 2, H, W)` float, of the same grey, or of `lightness`, L `(N, 1, H, W)`, 0..100."""
        return self.space.to_lab(self._image(grey, lightness).float())[:, 1:]

    def forward(self, lightness: Tensor) -> Tensor:
        """`ab` of `lightness`."""
        return self.ab(lightness=lightness)

    def translated(self, rgb: Tensor) -> Tensor:
        """What a network that sees colours makes of a photo: sRGB `(N, 3, H, W)`, float 0..1, to the same."""
        with self.autocast():
            image = self.network(self.space.image(rgb[:, :1], rgb))
        return self.space.to_rgb(image)
