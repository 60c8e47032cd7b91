"""The lean generator of the four stages: light `(N, 1, H, W)` in, Lab image `(N, 3, H, W)` out, any H and W.

fastai's generator is in `fastai_nets`, the recipes' generators in `classic`.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastcolor.color.spaces import IMAGENET_STD, L_CENTRE, L_SPREAD, SPACES
from fastcolor.networks.layers import GroupNorm, check_arch, pad_to_multiple

MOST_PLACES = 256  # 16x16, of 256 px: up to here attention's scores are small, and plain products are faster on a CPU


@dataclass(frozen=True)
class UNetConfig:
    """The lean Lab U-Net: a ResNet up to layer3, transformer blocks at 1/16, a decoder up to 1/`chroma_stride`.

    The eye sees colour much less sharply than light, so a and b are made at 1/4 and enlarged, at a tenth of the cost.
    """

    name: str = "unet"
    space: str = "lab"
    arch: str = "resnet18"  # resnet18 or resnet34
    chroma_stride: int = 4  # 2 or 4
    blocks: int = 3  # transformer blocks, of 0.5 M parameters each: keeps the lean weights below 12 MB

    def __post_init__(self):
        check_arch(self, ("resnet18", "resnet34"))
        if self.chroma_stride not in (2, 4):
            raise ValueError(f"chroma_stride {self.chroma_stride} is neither 2 nor 4")


class BasicBlock(nn.Module):
    """ResNet's block of two 3x3 convolutions (He et al. 2016, figure 5 left), with torchvision's names of weights.

    Not torchvision's own block: importing torchvision takes longer than importing torch.
    """

    def __init__(self, channels: int, out: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        changes = stride > 1 or channels != out
        self.downsample = (
            nn.Sequential(nn.Conv2d(channels, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out))
            if changes
            else None
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # as He et al. 2015, and torchvision
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)), inplace=True)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)), inplace=True)


BLOCKS = {"resnet18": (2, 2, 2), "resnet34": (3, 4, 6)}  # in layer1, layer2 and layer3


class Block(nn.Module):
    """A transformer block: every position sees all others, as the colour of a petal depends on the whole flower.

    `(N, C, H, W)` in and out. Pre-norm (Xiong et al. 2020); at first it is the identity.
    """

    def __init__(self, channels: int, heads: int = 4):
        super().__init__()
        self.heads = heads
        self.norm = GroupNorm(1, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        self.mlp = nn.Sequential(
            GroupNorm(1, channels),
            nn.Conv2d(channels, 2 * channels, 1),
            nn.GELU(),
            nn.Conv2d(2 * channels, channels, 1),
        )
        for last in (self.out, self.mlp[-1]):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        qkv = self.qkv(self.norm(x)).view(n, 3, self.heads, c // self.heads, h * w).transpose(-1, -2)
        mixed = attention(*(part.contiguous() for part in qkv.unbind(1)), self.training)
        x = x + self.out(mixed.transpose(-1, -2).reshape(n, c, h, w))
        return x + self.mlp(x)


def attention(query: Tensor, key: Tensor, value: Tensor, training: bool) -> Tensor:
    """Scaled dot-product attention of `(N, heads, places, channels)`; in bf16 in training on a CPU by matrix products.

    Equal to torch's fused kernel within rounding. That one takes longer in bf16 with few places; in fp32 it is as fast,
    and takes less memory.
    """
    places, channels = query.shape[-2:]
    is_slow = training and query.device.type == "cpu" and query.dtype == torch.bfloat16
    if not is_slow or places > MOST_PLACES:
        return F.scaled_dot_product_attention(query, key, value)
    return (query @ key.transpose(-1, -2) / channels**0.5).softmax(dim=-1) @ value


class UpBlock(nn.Module):
    """Double the resolution, and join the encoder's features of that resolution."""

    def __init__(self, channels: int, skip: int, out: int):
        super().__init__()
        self.reduce = nn.Conv2d(channels, out, 1, bias=False)  # before enlarging: a quarter of the cost
        self.mix = nn.Sequential(*_conv_bn(out + skip, out), *_conv_bn(out, out))

    def forward(self, x: Tensor, skip: Tensor, context: Tensor | None = None) -> Tensor:
        """Of features `(N, C, h, w)` and the encoder's of twice the size; `context` `(N, out, 1, 1)` is added."""
        reduced = self.reduce(x) if context is None else self.reduce(x) + context
        x = F.interpolate(reduced, scale_factor=2, mode="bilinear", align_corners=False)
        return self.mix(torch.cat([x, skip], dim=1))


def _conv_bn(channels: int, out: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)]


class LabUNet(nn.Module):
    """Light `(N, 1, H, W)` in, `[light, a, b]` `(N, 3, H, W)` out, standardised (see `LabSpace`).

    The light of the output is that of the input.
    """

    spaces = ("lab",)
    channels = 64  # at 1/2 and 1/4; doubled at 1/8 and at 1/16, as in torchvision's

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.config = config
        nf = self.channels
        stem = [nn.Conv2d(1, nf, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(nf), nn.ReLU(inplace=True)]
        layer1, layer2, layer3 = (
            nn.Sequential(*(BasicBlock(out if i else channels, out, 1 if i else stride) for i in range(count)))
            for count, channels, out, stride in zip(
                BLOCKS[config.arch], (nf, nf, 2 * nf), (nf, 2 * nf, 4 * nf), (1, 2, 2), strict=True
            )
        )
        self.encoder = nn.ModuleList(
            [
                nn.Sequential(*stem),  # 1/2
                nn.Sequential(nn.MaxPool2d(3, stride=2, padding=1), layer1),  # 1/4
                layer2,  # 1/8
                layer3,  # 1/16
            ]
        )
        ups = [UpBlock(4 * nf, 2 * nf, 2 * nf), UpBlock(2 * nf, nf, nf)]
        if config.chroma_stride == 2:
            ups.append(UpBlock(nf, nf, nf // 2))
        self.decoder = nn.ModuleList([nn.Sequential(*(Block(4 * nf) for _ in range(config.blocks))), *ups])
        self.head = nn.Conv2d(ups[-1].reduce.out_channels, 2, 1)

    def load_backbone(self, weights: dict[str, Tensor]) -> None:
        """Load torchvision's weights of `config.arch`: conv1 is summed to one channel, layer4 and fc are left out."""
        weights = {name: value for name, value in weights.items() if not name.startswith(("layer4", "fc"))}
        stem, bn1 = self.encoder[0][0], self.encoder[0][1]
        with torch.no_grad():  # on grey, three channels divided by ImageNet's deviations act as their sum does
            std = torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)
            stem.weight.copy_((weights.pop("conv1.weight") / std).sum(1, keepdim=True))
        for prefix, module in [
            ("bn1", bn1),
            ("layer1", self.encoder[1][1]),
            *zip(("layer2", "layer3"), self.encoder[2:], strict=True),
        ]:
            module.load_state_dict({k[len(prefix) + 1 :]: v for k, v in weights.items() if k.startswith(prefix + ".")})

    def forward(self, x: Tensor) -> Tensor:
        padded = pad_to_multiple(x, 16)
        # as in the backbone's training: grey in 0..1 (close to L*/100) minus 0.449, the mean of ImageNet's means
        y = (padded * L_SPREAD + L_CENTRE) / 100 - 0.449
        skips = []
        for layer in self.encoder:
            y = layer(y)
            skips.append(y)
        blocks, *ups = self.decoder
        y = blocks(skips.pop())
        for up in ups:
            y = up(y, skips.pop())
        ab = SPACES["lab"].most * torch.tanh(self.head(y).float())  # within the range that sRGB colours have
        ab = F.interpolate(ab, size=padded.shape[-2:], mode="bilinear", align_corners=False)
        return torch.cat([x, ab[..., : x.shape[-2], : x.shape[-1]].to(x.dtype)], dim=1)

    def layer_groups(self) -> list[nn.Module]:
        """Encoder, then decoder: fastai freezes the first group."""
        return [self.encoder, nn.ModuleList([self.decoder, self.head])]
