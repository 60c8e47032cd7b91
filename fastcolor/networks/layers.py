"""What several networks share."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEW = 16
"""Places of a feature map up to which a convolution trains faster as a matrix product on a CPU: 4x4."""


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Pad images `(N, C, H, W)` until H and W are multiples of `multiple`, by repeating the last row and column."""
    height, width = x.shape[-2:]
    return F.pad(x, (0, -width % multiple, 0, -height % multiple), mode="replicate")


def check_arch(config, known: tuple[str, ...]) -> None:
    """Raise ValueError unless `config.arch` is one of the network's `known` encoders; it may come from a file."""
    if config.arch not in known:
        raise ValueError(f"--arch {config.arch} does not fit --generator {config.name}: give one of {', '.join(known)}")


class Conv2d(nn.Conv2d):
    """nn.Conv2d; in training on a CPU, a matrix product where the output has few places. Equal within rounding.

    A CPU's convolution works out the weights' gradient two to five times as slowly there (measured with 512 channels).
    """

    def forward(self, x: Tensor) -> Tensor:
        sides = zip(x.shape[2:], self.kernel_size, self.stride, self.padding, strict=True)
        size = [(side + 2 * p - k) // s + 1 for side, k, s, p in sides]
        if not _pays(self, x, size[0] * size[1]):
            return super().forward(x)
        columns = F.unfold(x, self.kernel_size, padding=self.padding, stride=self.stride)  # (N, C k k, places)
        y = F.linear(_rows(columns), self.weight.flatten(1), self.bias)
        return y.view(len(x), -1, self.out_channels).transpose(1, 2).contiguous().view(len(x), -1, *size)


class ConvTranspose2d(nn.ConvTranspose2d):
    """nn.ConvTranspose2d; a matrix product where the input has few places, as in Conv2d."""

    def forward(self, x: Tensor) -> Tensor:
        if not _pays(self, x, x.shape[2] * x.shape[3]) or any(self.output_padding):
            return super().forward(x)
        sides = zip(x.shape[2:], self.kernel_size, self.stride, self.padding, strict=True)
        size = [(side - 1) * s - 2 * p + k for side, k, s, p in sides]
        columns = (_rows(x.flatten(2)) @ self.weight.flatten(1)).view(len(x), x.shape[2] * x.shape[3], -1)
        y = F.fold(columns.transpose(1, 2), size, self.kernel_size, padding=self.padding, stride=self.stride)
        return y if self.bias is None else y + self.bias[:, None, None]


def _pays(layer: nn.Module, x: Tensor, places: int) -> bool:
    # `training` first: an export has sizes that can't be compared
    return layer.training and x.device.type == "cpu" and places <= FEW and len(x) > 0


def _rows(columns: Tensor) -> Tensor:
    """`(N, C, places)` as `(N places, C)`, row by row in memory: of columns autograd makes another, slow, product."""
    return columns.transpose(1, 2).contiguous().flatten(0, 1)


class GroupNorm(nn.GroupNorm):
    """nn.GroupNorm in fp32, as autocast has it on GPUs; on CPUs it would leave it in bf16, which is slower."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float()).to(x.dtype)


class Dropout(nn.Dropout):
    """nn.Dropout of `(N, C, H, W)`, whose random numbers don't depend on how x lies in memory.

    torch draws them in the order of memory. Here it is always that of channels_last, as it was in earlier versions, so
    that their runs go on in the same way.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        dropped = super().forward(x.contiguous(memory_format=torch.channels_last))
        return dropped.contiguous() if x.is_contiguous() else dropped
