"""What several families of networks have in common."""

import torch.nn.functional as F
from torch import Tensor


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column until height and width are multiples of `multiple` pixels."""
    height, width = x.shape[-2:]
    return F.pad(x, (0, -width % multiple, 0, -height % multiple), mode="replicate")


def check_arch(config, known: tuple[str, ...]) -> None:
    """Raise ValueError for an encoder that a network does not have; a config may come from a file: it must name no other."""
    if config.arch not in known:
        raise ValueError(f"--arch {config.arch} does not fit --generator {config.name}: give one of {', '.join(known)}")
