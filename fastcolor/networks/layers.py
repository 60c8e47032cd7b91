"""What several networks share."""

import torch.nn.functional as F
from torch import Tensor


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Pad images `(N, C, H, W)` until H and W are multiples of `multiple`, by repeating the last row and column."""
    height, width = x.shape[-2:]
    return F.pad(x, (0, -width % multiple, 0, -height % multiple), mode="replicate")


def check_arch(config, known: tuple[str, ...]) -> None:
    """Raise ValueError unless `config.arch` is one of the network's `known` encoders; it may come from a file."""
    if config.arch not in known:
        raise ValueError(f"--arch {config.arch} does not fit --generator {config.name}: give one of {', '.join(known)}")
