"""The table of all networks, and how a flag or a weights file becomes a network.

A new network is a frozen config and a class beside it, and one row here.
"""

from dataclasses import fields
from typing import NamedTuple

from torch import nn

from fastcolor.errors import UserError
from fastcolor.flags import one_of
from fastcolor.networks.classic import (
    ColorCritic,
    ColorCriticConfig,
    EncoderDecoder,
    EncoderDecoderConfig,
    PatchGAN,
    PatchGANConfig,
    Resnet,
    ResnetConfig,
    SkipUNet,
    SkipUNetConfig,
)
from fastcolor.networks.critics import PatchCritic, PatchCriticConfig
from fastcolor.networks.fastai_nets import DynamicUnetConfig, FastaiCritic, FastaiCriticConfig, FastaiUnet
from fastcolor.networks.hint_unet import HintUNet, HintUNetConfig
from fastcolor.networks.unet import LabUNet, UNetConfig

MOST, MOST_NUMBERS = 4096, 16
"""Limits for a config from a file: its largest number, and the longest list."""


class Row(NamedTuple):
    """A network of the table. Those of the four stages can be chosen by a flag, `--generator` or `--critic`."""

    kind: str  # generator or critic
    config: type
    network: type
    has_flag: bool = False


NETWORKS = {
    row.config.name: row
    for row in (
        Row("generator", UNetConfig, LabUNet, has_flag=True),
        Row("generator", HintUNetConfig, HintUNet, has_flag=True),
        Row("generator", DynamicUnetConfig, FastaiUnet, has_flag=True),
        Row("generator", SkipUNetConfig, SkipUNet),
        Row("generator", EncoderDecoderConfig, EncoderDecoder),
        Row("generator", ResnetConfig, Resnet),
        Row("critic", PatchCriticConfig, PatchCritic, has_flag=True),
        Row("critic", FastaiCriticConfig, FastaiCritic, has_flag=True),
        Row("critic", PatchGANConfig, PatchGAN),
        Row("critic", ColorCriticConfig, ColorCritic),
    )
}
"""Every network by its config's name."""


def build(config) -> nn.Module:
    """A new network of a config, with its first weights. Raises ValueError for a space that it does not work in."""
    row = NETWORKS[config.name]
    if config.space not in row.network.spaces:
        raise ValueError(f"space is {config.space!r}")
    return row.network(config)


def config_of_flag(kind: str, name: str, **given) -> object:
    """The config that `--generator` or `--critic` (`kind`) names, with the values `given` for the fields it has.

    None stands for a field's default.

    Raises UserError for an unknown name or value.
    """
    known = {name: row.config for name, row in NETWORKS.items() if row.kind == kind and row.has_flag}
    one_of(kind, name, known)
    own = {field.name for field in fields(known[name])}
    try:
        return known[name](**{field: value for field, value in given.items() if field in own and value is not None})
    except ValueError as error:
        raise UserError(str(error)) from None


def config_of_file(kind: str, values: dict) -> object:
    """The config with the fields `values`, from the weights file of a generator or a critic (`kind`).

    Raises KeyError, TypeError or ValueError unless every field has the type of its default and every number is at most
    MOST.
    """
    row = NETWORKS[values["name"]]
    if row.kind != kind:
        raise ValueError(f"{values['name']} is a {row.kind}")
    config = row.config(**values)
    for field in fields(config):
        value, type_ = getattr(config, field.name), type(field.default)
        if type_ is tuple:
            each_of, type_ = (value if isinstance(value, list) else []), type(field.default[0])
        else:
            each_of = [value]
        if not 1 <= len(each_of) <= MOST_NUMBERS or any(type(each) is not type_ for each in each_of):
            raise TypeError(f"{field.name} is {value!r}")
        least = 0 if field.name in ("blocks", "near_blocks") else 1
        if type_ is int and not all(least <= each <= MOST for each in each_of):
            raise ValueError(f"{field.name} is {value!r}")
    return config
