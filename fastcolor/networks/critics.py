"""The lean critic of the four stages: images `(N, 3, H, W)` in, logits `(N, patches)` out; above 0 means real.

fastai's critic is in `fastai_nets`, the recipes' critics in `classic`.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from fastcolor.networks.layers import pad_to_multiple


@dataclass(frozen=True)
class PatchCriticConfig:
    """A lean PatchGAN (Isola et al. 2017, section 3.2.2) that sees colour only as finely as the generator paints it."""

    name: str = "patch"
    space: str = "lab"
    channels: int = 64  # of the first layer, at 1/4 of the resolution; doubled twice
    chroma_stride: int = 4  # pixels over which colour is averaged


class PatchCritic(nn.Module):
    """Light enters at full resolution, colour as means over `chroma_stride` pixels; a logit for each patch of 16 px.

    With colour at full resolution, a critic only learns how blurred it is. That teaches the generator nothing, as it
    can't paint finer than its decoder's last layer. Spectral norm is as in fastai's `gan_critic`. There is no batch
    norm, so that a photo's score does not depend on the others in its batch.
    """

    spaces = ("lab", "rgb")

    def __init__(self, config: PatchCriticConfig):
        super().__init__()
        self.config = config
        nf, stride = config.channels, config.chroma_stride
        self.light = spectral_norm(nn.Conv2d(1, nf // 2, stride, stride=stride))
        self.color = spectral_norm(nn.Conv2d(3, nf // 2, 1))
        self.body = nn.Sequential(
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(nf, 2 * nf, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            nn.Dropout2d(0.15),  # as in gan_critic
            spectral_norm(nn.Conv2d(2 * nf, 4 * nf, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            nn.Dropout2d(0.15),
            spectral_norm(nn.Conv2d(4 * nf, 1, 3, padding=1)),
            nn.Flatten(),
        )

    def forward(self, image: Tensor) -> Tensor:
        image = pad_to_multiple(image, 4 * self.config.chroma_stride)
        light = image[:, :1] if self.config.space == "lab" else image.mean(1, keepdim=True)
        coarse = F.avg_pool2d(image, self.config.chroma_stride)
        return self.body(torch.cat([self.light(light), self.color(coarse)], dim=1))
