"""What several families of networks have in common."""

from dataclasses import fields

import torch.nn.functional as F
from torch import Tensor, nn

MOST, MOST_NUMBERS = 4096, 16
"""The largest number in a network's config that comes from a file, and how many may stand in one of its lists."""


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column until height and width are multiples of `multiple` pixels."""
    height, width = x.shape[-2:]
    return F.pad(x, (0, -width % multiple, 0, -height % multiple), mode="replicate")


def build(networks: dict, config) -> nn.Module:
    """The network of a config, or of a config's fields as they stand in a weights file, freshly initialised.

    `networks` has config class and network class by name. Raises KeyError, TypeError or ValueError for a config of none
    and for a space that the network does not work in.
    """
    name = config["name"] if isinstance(config, dict) else config.name
    config_class, network_class = networks[name]
    config = _checked(config_class(**config)) if isinstance(config, dict) else config
    if config.space not in network_class.spaces:
        raise ValueError(f"space is {config.space!r}")
    return network_class(config)


def _checked(config):
    """A config whose fields are of the kinds of their defaults, numbers up to MOST. Raises TypeError or ValueError."""
    for field in fields(config):
        value, kind = getattr(config, field.name), type(field.default)
        if kind is tuple:
            values, kind = (value if isinstance(value, list) else []), type(field.default[0])
        else:
            values = [value]
        if not 1 <= len(values) <= MOST_NUMBERS or any(type(each) is not kind for each in values):
            raise TypeError(f"{field.name} is {value!r}")
        least = 0 if field.name == "blocks" else 1
        if kind is int and not all(least <= each <= MOST for each in values):
            raise ValueError(f"{field.name} is {value!r}")
    return config
