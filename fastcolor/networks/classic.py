"""The recipes' networks, as in their papers and descriptions. Each is rebuilt from its frozen config by `build`.

Generators take `(N, C, H, W)` of their space, for any H and W, and give its image `(N, 3, H, W)`. Critics give logits
`(N, patches)`. First weights are N(0, 0.02) (Radford et al. 2016, section 3; Isola et al. 2017, section 6.2).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fastcolor.networks.layers import Conv2d, ConvTranspose2d, Dropout, GroupNorm, pad_to_multiple

NORMS = {
    "batch": nn.BatchNorm2d,
    "instance": nn.InstanceNorm2d,
    "group": lambda channels: GroupNorm(min(32, channels), channels),  # 32 groups: Wu and He 2018, section 3.1
    "none": lambda channels: nn.Identity(),
}
DECODERS = {
    "transposed": lambda channels, out, bias: ConvTranspose2d(channels, out, 4, 2, 1, bias=bias),
    "resize": lambda channels, out, bias: nn.Sequential(
        nn.Upsample(scale_factor=2), Conv2d(channels, out, 3, padding=1, bias=bias)
    ),
}
"""Ways to double the size. A transposed convolution can leave a checkerboard; enlarging first can't (Odena et al. 2016,
"Deconvolution and Checkerboard Artifacts")."""
CHANNELS = {"rgb_unit": (3, 3), "lab_unit": (1, 2)}
"""Channels that a generator gets from its space, and channels that it makes: an image, or only a and b."""


@dataclass(frozen=True)
class SkipUNetConfig:
    """pix2pix's U-Net (Isola et al. 2017, section 6.1.1): `depth` halvings, down to one pixel, with skips."""

    name: str = "skip_unet"
    space: str = "rgb_unit"  # grey RGB to RGB; lab_unit: L to ab
    depth: int = 8  # 8 for 256 px, 7 for 128 px, ...
    channels: int = 64  # of the first layer; doubled three times
    norm: str = "batch"
    decoder: str = "transposed"  # the paper's, or resize

    def __post_init__(self):
        if not 4 <= self.depth <= 8 or self.norm not in NORMS:
            raise ValueError(f"depth {self.depth} is not 4 to 8, or norm {self.norm} is none of {', '.join(NORMS)}")
        if self.decoder not in DECODERS:
            raise ValueError(f"decoder {self.decoder} is none of {', '.join(DECODERS)}")


class SkipUNet(nn.Module):
    """The U-Net of SkipUNetConfig. Its noise is dropout in the decoder, as in the paper's code; off in evaluation."""

    spaces = tuple(CHANNELS)

    def __init__(self, config: SkipUNetConfig):
        super().__init__()
        self.config = config
        norm, biased = NORMS[config.norm], config.norm != "batch"  # batch norm has its own bias
        color_in, color_out = CHANNELS[config.space]
        widths = [config.channels * min(2**i, 8) for i in range(config.depth)]
        last = config.depth - 1
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for i, width in enumerate(widths):
            layers = [nn.LeakyReLU(0.2)] if i > 0 else []
            layers.append(Conv2d(widths[i - 1] if i else color_in, width, 4, 2, 1, bias=biased))
            self.downs.append(nn.Sequential(*layers, *([norm(width)] if 0 < i < last else [])))
            below = width if i == last else 2 * width  # the skip is joined to what comes from the layer inside
            up = DECODERS[config.decoder](below, widths[i - 1] if i else color_out, biased or i == 0)
            dropout = [Dropout(0.5)] if 4 <= i < last else []
            self.ups.append(nn.Sequential(nn.ReLU(), up, *([norm(widths[i - 1]), *dropout] if i else [nn.Tanh()])))
        self.apply(start)

    def forward(self, x: Tensor) -> Tensor:
        y, skips = pad_to_multiple(x, 2**self.config.depth), []
        for down in self.downs:
            y = down(y)
            skips.append(y)
        y = self.ups[-1](skips.pop())
        for up in reversed(self.ups[:-1]):
            y = up(torch.cat([skips.pop(), y], dim=1))
        return image_of(x, y)


@dataclass(frozen=True)
class EncoderDecoderConfig:
    """L to ab: four stride-2 convolutions from `channels` to eight times that, then the same upwards; no skips."""

    name: str = "encoder_decoder"
    space: str = "lab_unit"
    channels: int = 64


class EncoderDecoder(nn.Module):
    """The network of EncoderDecoderConfig. Everything passes through 1/16 of the photo's size: 16x16 at 256 px."""

    spaces = tuple(CHANNELS)

    def __init__(self, config: EncoderDecoderConfig):
        super().__init__()
        self.config = config
        color_in, color_out = CHANNELS[config.space]
        widths = [config.channels * 2**i for i in range(4)]
        down = [
            layer
            for channels, out in zip([color_in, *widths], widths, strict=False)
            for layer in (Conv2d(channels, out, 4, 2, 1, bias=False), nn.BatchNorm2d(out), nn.LeakyReLU(0.2))
        ]
        up = [
            layer
            for channels in reversed(widths)
            for layer in (
                ConvTranspose2d(channels, channels // 2, 4, 2, 1, bias=False),
                nn.BatchNorm2d(channels // 2),
                nn.ReLU(),
            )
        ]
        self.encoder, self.decoder = nn.Sequential(*down), nn.Sequential(*up)
        self.head = nn.Sequential(Conv2d(config.channels // 2, color_out, 3, padding=1), nn.Tanh())
        self.apply(start)

    def forward(self, x: Tensor) -> Tensor:
        return image_of(x, self.head(self.decoder(self.encoder(pad_to_multiple(x, 16)))))


@dataclass(frozen=True)
class ResnetConfig:
    """CycleGAN's generator (Zhu et al. 2017, section 7.2), with group norm: 64-128-256, residual blocks, 128-64-3."""

    name: str = "resnet"
    space: str = "rgb_unit"
    channels: int = 64
    blocks: int = 6


class Resnet(nn.Module):
    """The network of ResnetConfig: a colour image in, another out, through 1/4 of the size. Edges are reflected."""

    spaces = ("rgb_unit",)

    def __init__(self, config: ResnetConfig):
        super().__init__()
        self.config = config
        n, norm = config.channels, NORMS["group"]
        self.encoder = nn.Sequential(
            *(nn.ReflectionPad2d(3), Conv2d(3, n, 7), norm(n), nn.ReLU()),
            *(Conv2d(n, 2 * n, 3, 2, 1), norm(2 * n), nn.ReLU()),
            *(Conv2d(2 * n, 4 * n, 3, 2, 1), norm(4 * n), nn.ReLU()),
        )
        self.blocks = nn.Sequential(*(ResidualBlock(4 * n) for _ in range(config.blocks)))
        self.decoder = nn.Sequential(
            *(ConvTranspose2d(4 * n, 2 * n, 3, 2, 1, output_padding=1), norm(2 * n), nn.ReLU()),
            *(ConvTranspose2d(2 * n, n, 3, 2, 1, output_padding=1), norm(n), nn.ReLU()),
            # 3 pixels reflected on every side; a transposed convolution crops by its padding
            *(nn.ReflectionPad2d(3), ConvTranspose2d(n, 3, 7, padding=6), nn.Tanh()),
        )
        self.apply(start)

    def forward(self, x: Tensor) -> Tensor:
        return image_of(
            x, self.decoder(self.blocks(self.encoder(pad_to_multiple(x, 8))))
        )  # a quarter of 4 px could not be reflected


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, added to the input."""

    def __init__(self, channels: int):
        super().__init__()
        norm = NORMS["group"]
        self.body = nn.Sequential(
            *(nn.ReflectionPad2d(1), Conv2d(channels, channels, 3), norm(channels), nn.ReLU()),
            *(nn.ReflectionPad2d(1), Conv2d(channels, channels, 3), norm(channels)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def image_of(x: Tensor, y: Tensor) -> Tensor:
    """The space's image `(N, 3, H, W)` from the input x and the output y, which is cut to x's size.

    An output of a and b alone is joined to the input's light.
    """
    y = y[..., : x.shape[-2], : x.shape[-1]].to(x.dtype)
    return torch.cat([x, y], dim=1) if y.shape[1] == 2 else y


@dataclass(frozen=True)
class PatchGANConfig:
    """pix2pix's critic (Isola et al. 2017, section 6.1.2). With the default widths, each logit sees 70x70 px."""

    name: str = "patchgan"
    space: str = "rgb_unit"
    inputs: int = 6  # channels: grey RGB and RGB, or 3 for an image alone
    widths: tuple[int, ...] = (64, 128, 256, 512)  # channels of each layer; all but the last halve the size
    norm: str = "batch"

    def __post_init__(self):
        if self.norm not in NORMS:
            raise ValueError(f"norm {self.norm} is none of {', '.join(NORMS)}")


class PatchGAN(nn.Module):
    """The critic of PatchGANConfig: 4x4 convolutions. The last two keep the size, the first and last have no norm."""

    spaces = tuple(CHANNELS)

    def __init__(self, config: PatchGANConfig):
        super().__init__()
        self.config = config
        layers, channels = [], config.inputs
        for i, out in enumerate(config.widths):
            stride, biased = (1 if i == len(config.widths) - 1 else 2), i == 0 or config.norm != "batch"
            layers.append(Conv2d(channels, out, 4, stride, 1, bias=biased))
            layers += [NORMS[config.norm](out)] if i else []
            layers.append(nn.LeakyReLU(0.2))
            channels = out
        self.body = nn.Sequential(*layers, Conv2d(channels, 1, 4, 1, 1), nn.Flatten())
        self.apply(start)

    def forward(self, image: Tensor) -> Tensor:
        return self.body(image)


@dataclass(frozen=True)
class ColorCriticConfig:
    """A critic of a and b alone, in squares of `size` px: four stride-2 convolutions with dropout, one logit."""

    name: str = "color_critic"
    space: str = "lab_unit"
    size: int = 256
    channels: int = 64


class ColorCritic(nn.Module):
    """The critic of ColorCriticConfig, with batch norm in all but the first layer."""

    spaces = ("lab_unit",)

    def __init__(self, config: ColorCriticConfig):
        super().__init__()
        self.config = config
        layers, channels = [], 2
        for i in range(4):
            out = config.channels * 2**i
            layers += [Conv2d(channels, out, 4, 2, 1), nn.LeakyReLU(0.2), Dropout(0.25)]
            layers += [nn.BatchNorm2d(out)] if i else []
            channels = out
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * (config.size // 16) ** 2, 1))
        self.apply(start)

    def forward(self, image: Tensor) -> Tensor:
        return self.body(image[:, 1:])


def start(module: nn.Module) -> None:
    """Set the first weights of a module: N(0, 0.02), see above; batch norm's scales N(1, 0.02); biases 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
