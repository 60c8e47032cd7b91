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
from fastcolor.networks.encoders import ENCODERS
from fastcolor.networks.layers import check_arch, pad_to_multiple
from fastcolor.networks.unet import Block, UpBlock


@dataclass(frozen=True)
class HintUNetConfig:
    """An encoder to 1/32, transformer blocks there and at 1/16, a decoder to 1/4, ears, and a head of ab classes."""

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


class Ear(nn.Module):
    """Points of colour as features `(N, C, h, w)` of one level: all zero without points, and before any training."""

    def __init__(self, channels: int):
        super().__init__()
        self.listen, self.tell = nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.Conv2d(32, channels, 1, bias=False)
        nn.init.zeros_(self.tell.weight)

    def forward(self, points: Tensor) -> Tensor:
        return self.tell(F.relu(self.listen(points)))


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
        self.ears = nn.ModuleList(Ear(level) for level in (*channels[1:], outs[-1]))
        self.head = nn.Conv2d(outs[-1], 2, 1)
        self.classes = nn.Conv2d(outs[-1], CLASSES, 1)
        self.register_buffer("rebalance", torch.ones(CLASSES))  # what stage 1 weighted each class with

    def load_backbone(self, weights: dict[str, Tensor]) -> None:
        """Load ImageNet's weights of `config.arch` into the encoder."""
        self.encoder.load_backbone(weights)

    def features(self, x: Tensor) -> Tensor:
        """The decoder's features `(N, 64, H / 4, W / 4)` of the input, for both heads; H and W are multiples of 32."""
        points = [reduced(x[:, 1:], factor) for factor in (4, 8, 16, 32)] if x.shape[1] > 1 else []
        y, skips = self._seen(x), []
        for i, level in enumerate(self.encoder.levels):
            y = level(y)
            if i and points:
                y = y + self.ears[i - 1](points[i - 1])
            skips.append(y)
        blocks, *ups = self.decoder
        y = blocks(self.enter(skips.pop()))
        whole = y.mean(dim=(2, 3))
        for up, context in zip(ups, self.context, strict=True):
            y = up(y, skips.pop(), context(whole)[:, :, None, None])
            y = self.near(y) if up is ups[0] else y
        return y + self.ears[-1](points[0]) if points else y  # near a point, its own colour

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
        return self._image(x, features), self.classes(features[..., : (height + 3) // 4, : (width + 3) // 4])

    def _image(self, x: Tensor, features: Tensor) -> Tensor:
        ab = SPACES["lab"].most * torch.tanh(self.head(features).float())  # within the range that sRGB colours have
        ab = F.interpolate(ab, scale_factor=4, mode="bilinear", align_corners=False)
        return torch.cat([x[:, :1], ab[..., : x.shape[-2], : x.shape[-1]].to(x.dtype)], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:  # a photo's colours don't wait for the second head
            return self._image(x, self.features(pad_to_multiple(x, 32)))
        image, logits = self.heads(x)
        self.told = Told(x[:, 1:], logits)
        return image

    def layer_groups(self) -> list[nn.Module]:
        """Encoder, then all else: fastai freezes the first group."""
        return [self.encoder, nn.ModuleList(module for name, module in self.named_children() if name != "encoder")]
