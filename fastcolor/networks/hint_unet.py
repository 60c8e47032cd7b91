"""The generator that listens: light and points of colour in, a Lab image and ab classes out.

Its input is light `(N, 1, H, W)`; or `(N, 4, H, W)`: light, and planes of points a, b, mask (see `LabSpace.inputs`).
H and W are free.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastcolor.color.classes import CLASSES
from fastcolor.color.spaces import L_CENTRE, L_SPREAD, SPACES
from fastcolor.networks.ears import Ears
from fastcolor.networks.encoders import ENCODERS
from fastcolor.networks.layers import check_arch, pad_to_multiple
from fastcolor.networks.unet import Block, UpBlock


@dataclass(frozen=True)
class HintUNetConfig:
    """An encoder to 1/32, transformer blocks there and at 1/16, a decoder to 1/4, a head of ab classes, and ears."""

    name: str = "hint_unet"
    space: str = "lab"
    arch: str = "efficientnet_lite2"  # one of ENCODERS
    width: int = 320  # channels at 1/32
    blocks: int = 4  # transformer blocks at 1/32, of 8 width^2 parameters each
    near_blocks: int = 2  # transformer blocks at 1/16

    def __post_init__(self):
        check_arch(self, tuple(ENCODERS))


class Told(NamedTuple):
    """What a batch of training has besides its images."""

    points: Tensor  # `(N, 3, H, W)`, standardised, as in the input; `(N, 0, H, W)` for light alone
    logits: Tensor  # of the ab classes, `(N, CLASSES, H / 4, W / 4)`


def reduced(points: Tensor, factor: int) -> Tensor:
    """Planes of points a, b, mask `(N, 3, H, W)`, `factor` times smaller: cells with points have their mean colour."""
    a_b_mask = F.avg_pool2d(points * points[:, 2:], factor)
    share = a_b_mask[:, 2:]
    return torch.cat([a_b_mask[:, :2] / share.clamp(min=1e-6), (share > 0).to(points.dtype)], dim=1)


class HintUNet(nn.Module):
    """Light and points in, `[light, a, b]` `(N, 3, H, W)` out, standardised (see `LabSpace`).

    The light of the output is that of the input. In training it keeps the points it heard and what its second head
    said in `told`, for the loss to read.
    """

    spaces = ("lab",)
    hears = True
    holds_norms = False  # in training: batch norm keeps its statistics, and uses those

    def __init__(self, config: HintUNetConfig):
        super().__init__()
        self.config, self.told = config, None
        self.encoder = ENCODERS[config.arch](config.arch)
        channels = self.encoder.channels
        outs = (192, 128, 64)  # of the decoder at 1/16, 1/8, 1/4
        self.enter = nn.Conv2d(channels[4], config.width, 1)
        ups = [
            UpBlock(before, skip, out)
            for before, skip, out in zip((config.width, *outs), channels[3:0:-1], outs, strict=False)
        ]
        self.decoder = nn.ModuleList([nn.Sequential(*(Block(config.width) for _ in range(config.blocks))), *ups])
        self.near = nn.Sequential(*(Block(outs[0]) for _ in range(config.near_blocks)))
        self.context = nn.ModuleList(nn.Linear(config.width, out) for out in outs)
        self.head = nn.Conv2d(outs[-1], 2, 1)
        self.ears = Ears(sum(outs) + 1)
        self.classes = nn.Conv2d(outs[-1], CLASSES, 1)
        self.register_buffer("rebalance", torch.ones(CLASSES))  # what stage 1 weighted each class with

    def load_backbone(self, weights: dict[str, Tensor]) -> None:
        """Load ImageNet's weights of `config.arch` into the encoder."""
        self.encoder.load_backbone(weights)

    def features(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The decoder's features at 1/16, 1/8 and 1/4 of the input's size, whose H and W are multiples of 32."""
        y, skips, found = self._seen(x), [], []
        for level in self.encoder.levels:
            y = level(y)
            skips.append(y)
        blocks, *ups = self.decoder
        y = blocks(self.enter(skips.pop()))
        whole = y.mean(dim=(2, 3))
        for up, context in zip(ups, self.context, strict=True):
            y = up(y, skips.pop(), context(whole)[:, :, None, None])
            y = self.near(y) if up is ups[0] else y
            found.append(y)
        return tuple(found)

    def likeness(self, x: Tensor) -> Tensor:
        """The encoder's features of the light, `(N, C, H / 16, W / 16)`, sides rounded up: alike for like things."""
        y = self._seen(pad_to_multiple(x, 32))
        for level in self.encoder.levels[:4]:
            y = level(y)
        return y[..., : (x.shape[2] + 15) // 16, : (x.shape[3] + 15) // 16]

    def _seen(self, x: Tensor) -> Tensor:
        grey = (x[:, :1] * L_SPREAD + L_CENTRE) / 100
        return (grey - self.encoder.mean) / self.encoder.std

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The image `(N, 3, H, W)`, and logits of the ab classes `(N, CLASSES, H / 4, W / 4)`, sides rounded up."""
        padded, (height, width) = pad_to_multiple(x, 32), x.shape[-2:]
        features = self.features(padded)
        logits = self.classes(features[-1][..., : (height + 3) // 4, : (width + 3) // 4])
        return self._image(padded, features, height, width), logits

    def _image(self, x: Tensor, features: tuple[Tensor, Tensor, Tensor], height: int, width: int) -> Tensor:
        """The image `(N, 3, height, width)` of the padded input and its features."""
        ab = self._ab(features)
        if x.shape[1] > 1:
            seen, points = self._seen_by_ears(x, features), reduced(x[:, 1:].float(), 8)
            change = self.ears(seen, F.avg_pool2d(ab, 2), points)
            ab = ab + F.interpolate(change, scale_factor=2, mode="bilinear", align_corners=False)
        ab = F.interpolate(ab, scale_factor=4, mode="bilinear", align_corners=False)
        return torch.cat([x[:, :1], ab.to(x.dtype)], dim=1)[..., :height, :width]

    def unheard(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the ears see of light `(N, 1, H, W)`, `(N, C, H / 8, W / 8)`, and a and b there without points.

        H and W are multiples of 32.
        """
        features = self.features(x)
        return self._seen_by_ears(x, features), F.avg_pool2d(self._ab(features), 2)

    def _ab(self, features: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """a and b without points, `(N, 2, H / 4, W / 4)`."""
        return SPACES["lab"].most * torch.tanh(self.head(features[-1]).float())  # the range that sRGB colours have

    def _seen_by_ears(self, x: Tensor, features: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        coarse, middle, fine = features
        coarse = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
        return torch.cat([F.avg_pool2d(fine, 2), middle, coarse, F.avg_pool2d(x[:, :1], 8)], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:  # a photo's colours don't wait for the second head
            padded = pad_to_multiple(x, 32)
            return self._image(padded, self.features(padded), *x.shape[-2:])
        image, logits = self.heads(x)
        self.told = Told(x[:, 1:], logits)
        return image

    def train(self, mode: bool = True) -> "HintUNet":
        """Training or evaluation mode; with `holds_norms`, batch norm stays in the latter."""
        super().train(mode)
        for module in self.modules() if self.holds_norms else ():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def layer_groups(self) -> list[nn.Module]:
        """Encoder, then all else: fastai freezes the first group."""
        return [self.encoder, nn.ModuleList(module for name, module in self.named_children() if name != "encoder")]
