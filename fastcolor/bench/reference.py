"""What the recipes are compared with: the most used public implementation, junyanz/pytorch-CycleGAN-and-pix2pix.

Its networks, losses and order of updates, written anew from its `models/networks.py`, `pix2pix_model.py` and
`cycle_gan_model.py`: fp32, torch's default memory layout, a torch.optim.Adam for generators and one for critics.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastcolor.training.steps import ImagePool


class UnetBlock(nn.Module):
    """A level of `unet_256` and its kin: down, what lies deeper, up; its input is joined to what it gives."""

    def __init__(self, outer: int, inner: int, deeper: nn.Module | None, channels: int | None = None, dropout=False):
        super().__init__()
        self.is_outermost = channels is not None
        down = nn.Conv2d(channels or outer, inner, 4, 2, 1, bias=False)
        up = nn.ConvTranspose2d(2 * inner if deeper else inner, outer, 4, 2, 1, bias=self.is_outermost)
        if self.is_outermost:
            layers = [down, deeper, nn.ReLU(True), up, nn.Tanh()]
        elif deeper is None:
            layers = [nn.LeakyReLU(0.2, True), down, nn.ReLU(True), up, nn.BatchNorm2d(outer)]
        else:
            layers = [nn.LeakyReLU(0.2, True), down, nn.BatchNorm2d(inner), deeper]
            layers += [nn.ReLU(True), up, nn.BatchNorm2d(outer), *([nn.Dropout(0.5)] if dropout else [])]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x) if self.is_outermost else torch.cat([x, self.layers(x)], 1)


def unet(depth: int, n: int = 64) -> nn.Module:
    """`unet_256` for `depth` 8, `unet_128` for 7, and so on."""
    block = UnetBlock(8 * n, 8 * n, None)
    for _ in range(depth - 5):
        block = UnetBlock(8 * n, 8 * n, block, dropout=True)
    for outer, inner in ((4 * n, 8 * n), (2 * n, 4 * n), (n, 2 * n)):
        block = UnetBlock(outer, inner, block)
    return UnetBlock(3, n, block, channels=3)


class ResnetBlock(nn.Module):
    """Two 3x3 convolutions, added to the input."""

    def __init__(self, n: int):
        super().__init__()
        half = [nn.ReflectionPad2d(1), nn.Conv2d(n, n, 3), nn.InstanceNorm2d(n), nn.ReLU(True)]
        self.layers = nn.Sequential(*half, nn.ReflectionPad2d(1), nn.Conv2d(n, n, 3), nn.InstanceNorm2d(n))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def resnet(blocks: int, n: int = 64) -> nn.Module:
    """`resnet_9blocks` for 9 `blocks`."""
    layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, n, 7), nn.InstanceNorm2d(n), nn.ReLU(True)]
    for width in (n, 2 * n):
        layers += [nn.Conv2d(width, 2 * width, 3, 2, 1), nn.InstanceNorm2d(2 * width), nn.ReLU(True)]
    layers += [ResnetBlock(4 * n) for _ in range(blocks)]
    for width in (4 * n, 2 * n):
        layers += [nn.ConvTranspose2d(width, width // 2, 3, 2, 1, 1), nn.InstanceNorm2d(width // 2), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(n, 3, 7), nn.Tanh())


def critic(channels: int, norm: type[nn.Module], n: int = 64) -> nn.Module:
    """`basic`: a PatchGAN of 70 px."""
    biased = norm is nn.InstanceNorm2d
    layers = [nn.Conv2d(channels, n, 4, 2, 1), nn.LeakyReLU(0.2, True)]
    for width, stride in ((n, 2), (2 * n, 2), (4 * n, 1)):
        layers += [nn.Conv2d(width, 2 * width, 4, stride, 1, bias=biased), norm(2 * width), nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.Conv2d(8 * n, 1, 4, 1, 1))


def start(module: nn.Module) -> None:
    """Its first weights: N(0, 0.02)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)


def _adam(*networks: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam([p for each in networks for p in each.parameters()], lr=2e-4, betas=(0.5, 0.999))


def _learns(is_learning: bool, *networks: nn.Module) -> None:
    for network in networks:
        network.requires_grad_(is_learning)


def _bce(logits: Tensor, is_real: bool) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(is_real)))


def _lsgan(scores: Tensor, is_real: bool) -> Tensor:
    return F.mse_loss(scores, torch.full_like(scores, float(is_real)))


class Pix2Pix:
    """Its pix2pix; called with grey and colour photos `(N, 3, size, size)`, it does one step."""

    def __init__(self, size: int, device: torch.device):
        self.g, self.d = unet(size.bit_length() - 1).to(device), critic(6, nn.BatchNorm2d).to(device)
        self.g.apply(start), self.d.apply(start)
        self.moves_g, self.moves_d = _adam(self.g), _adam(self.d)

    def __call__(self, x: Tensor, y: Tensor) -> None:
        fake = self.g(x)
        _learns(True, self.d)
        self.moves_d.zero_grad()
        of_fake = _bce(self.d(torch.cat((x, fake), 1).detach()), False)
        ((of_fake + _bce(self.d(torch.cat((x, y), 1)), True)) * 0.5).backward()
        self.moves_d.step()
        _learns(False, self.d)
        self.moves_g.zero_grad()
        (_bce(self.d(torch.cat((x, fake), 1)), True) + 100 * F.l1_loss(fake, y)).backward()
        self.moves_g.step()


class CycleGAN:
    """Its CycleGAN; called with photos and paintings `(N, 3, size, size)`, it does one step."""

    def __init__(self, blocks: int, device: torch.device):
        self.g_a, self.g_b = (resnet(blocks).to(device) for _ in "ab")
        self.d_a, self.d_b = (critic(3, nn.InstanceNorm2d).to(device) for _ in "ab")
        for network in (self.g_a, self.g_b, self.d_a, self.d_b):
            network.apply(start)
        self.moves_g, self.moves_d = _adam(self.g_a, self.g_b), _adam(self.d_a, self.d_b)
        self.pool_a, self.pool_b = ImagePool(), ImagePool()

    def __call__(self, a: Tensor, b: Tensor) -> None:
        fake_b = self.g_a(a)
        back_a = self.g_b(fake_b)
        fake_a = self.g_b(b)
        back_b = self.g_a(fake_a)
        _learns(False, self.d_a, self.d_b)
        self.moves_g.zero_grad()
        same = F.l1_loss(self.g_a(b), b) * 5 + F.l1_loss(self.g_b(a), a) * 5
        adversarial = _lsgan(self.d_a(fake_b), True) + _lsgan(self.d_b(fake_a), True)
        (adversarial + F.l1_loss(back_a, a) * 10 + F.l1_loss(back_b, b) * 10 + same).backward()
        self.moves_g.step()
        _learns(True, self.d_a, self.d_b)
        self.moves_d.zero_grad()
        for network, real, fake in ((self.d_a, b, self.pool_b(fake_b)), (self.d_b, a, self.pool_a(fake_a))):
            ((_lsgan(network(real), True) + _lsgan(network(fake.detach()), False)) * 0.5).backward()
        self.moves_d.step()
