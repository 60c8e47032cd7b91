"""Critics: image in, logits out, `(N, patches)`; above 0 means "a real photo". Rebuilt from a frozen config.

Here are those of the four stages; the recipes' stand in `classic`.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from fastcolor.networks.layers import pad_to_multiple


@dataclass(frozen=True)
class PatchCriticConfig:
    """A lean PatchGAN (Isola et al. 2017, section 3.2.2) that looks at colour no finer than the generator paints it."""

    name: str = "patch"
    space: str = "lab"
    channels: int = 64  # of the first layer, at 1/4 of the resolution; doubled twice
    chroma_stride: int = 4  # pixels over which colour is averaged


class PatchCritic(nn.Module):
    """Light enters at full resolution, colour averaged over `chroma_stride` pixels; one logit for each 16 px patch.

    At full resolution a critic learns to tell how blurred the colour is, which teaches the generator nothing: it can't
    paint finer than its decoder's last layer. Spectral norm as in fastai's `gan_critic`, and no batch norm, so that a
    photo's verdict does not depend on its batch.
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
            nn.Dropout2d(0.15),  # gan_critic's
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
