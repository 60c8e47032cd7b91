"""What a generator of any space makes of a photo: colouring, stage 2's fakes and the ONNX export all go through it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar

from torch import Tensor, nn

from fastcolor.color.classes import likely
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

    def _image(
        self, grey: Tensor | None = None, lightness: Tensor | None = None, points: Tensor | None = None
    ) -> Tensor:
        given = {} if points is None else {"points": points}  # only LabSpace has them
        with self.autocast():
            return self.network(self.space.inputs(grey, lightness=lightness, **given))

    def rgb(self, grey: Tensor) -> Tensor:
        """The coloured photo, sRGB `(N, 3, H, W)`, float 0..1, of grey `(N, 1, H, W)`, sRGB, uint8 or float 0..1."""
        return self.space.to_rgb(self._image(grey))

    def ab(
        self, grey: Tensor | None = None, *, lightness: Tensor | None = None, points: Tensor | None = None
    ) -> Tensor:
        """a and b of CIE Lab, `(N, 2, H, W)` float, of the same grey, or of `lightness`, L `(N, 1, H, W)`, 0..100.

        For `points`, see `LabSpace.inputs`; only networks that listen (`hears`) take them.
        """
        return self.space.to_lab(self._image(grey, lightness, points).float())[:, 1:]

    def heads(self, lightness: Tensor, points: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What both heads of a network that listens say: `ab`, and how likely each class of colours is.

        The latter is `(N, CLASSES, h, w)`, sums to 1, at 1/4 of the size (rounded up); for the colours of the classes
        see `color/classes.py`.
        """
        with self.autocast():
            image, logits = self.network.heads(self.space.inputs(lightness=lightness, points=points))
        return self.space.to_lab(image.float())[:, 1:], likely(logits, self.network.rebalance)

    def forward(self, lightness: Tensor) -> Tensor:
        """`ab` of `lightness`."""
        return self.ab(lightness=lightness)

    def translated(self, rgb: Tensor) -> Tensor:
        """What a network that sees colours makes of a photo: sRGB `(N, 3, H, W)`, float 0..1, to the same."""
        with self.autocast():
            image = self.network(self.space.image(rgb[:, :1], rgb))
        return self.space.to_rgb(image)


class Listener(Painter):
    """A generator that listens, with all that it can be asked: for colouring by points of colour."""

    inputs: ClassVar[dict[str, int]] = {"lightness": 1, "points": 3}
    outputs: ClassVar[tuple[str, ...]] = ("ab", "classes", "likeness")

    def forward(self, lightness: Tensor, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Both of `heads`, and the encoder's features at 1/16 of the size (see `HintUNet.likeness`)."""
        with self.autocast():
            likeness = self.network.likeness(self.space.inputs(lightness=lightness))
        return *self.heads(lightness, points), likeness.float()
