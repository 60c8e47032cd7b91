"""What several families of networks have in common."""

import torch.nn.functional as F
from torch import Tensor, nn


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column until height and width are multiples of `multiple` pixels."""
    height, width = x.shape[-2:]
    return F.pad(x, (0, -width % multiple, 0, -height % multiple), mode="replicate")


def build(networks: dict, config) -> nn.Module:
    """The network of a config, or of a config's fields as they stand in a weights file, freshly initialised.

    `networks` has config class and network class by name. Raises KeyError, TypeError or ValueError for a config of none.
    """
    name = config["name"] if isinstance(config, dict) else config.name
    config_class, network_class = networks[name]
    return network_class(config_class(**config) if isinstance(config, dict) else config)
