"""Weights files that rebuild their own network: safetensors, with the network's config in the metadata.

Loading is strict. Nothing is unpickled, so a weights file can't run code. Files are written whole or not at all.
"""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import fastcolor
from fastcolor.color.spaces import SPACES
from fastcolor.files import write_whole
from fastcolor.networks.registry import build, config_of_file
from fastcolor.networks.tensors import FORMAT, check_kind, check_size, checksum, does_not_fit, load_tensors


def save_tensors(path: str | Path, tensors: dict[str, Tensor], metadata: dict) -> None:
    """Write named tensors and JSON metadata as one safetensors file, whole or not at all.

    The same content gives the same bytes. Raises OSError if the file can't be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = json.loads(json.dumps({"format": FORMAT, **metadata}))  # as it will be read: text keys, lists for tuples
    metadata["sha256"] = checksum(tensors, metadata)
    with write_whole(path, lasting=True) as temporary:
        # not save_file: it reports a full disk by its own error; one entry: safetensors gives several a random order
        temporary.write_bytes(save(tensors, {"fastcolor": json.dumps(metadata)}))


def save_network(path: str | Path, network: nn.Module, kind: str, **about) -> None:
    """Save a network so that the file alone rebuilds it. `kind` is "generator" or "critic".

    `about` (stage or recipe, size, ...) is added to the metadata.
    """
    metadata = {"kind": kind, "config": asdict(network.config), "version": fastcolor.__version__, **about}
    save_tensors(path, network.state_dict(), metadata)


HEAD = ("head.weight", "head.bias")
"""The last layer of `unet` and `hint_unet`, which gives a and b; the tanh after it is almost linear for most."""


def save_vivid(path: str | Path, factor: float) -> None:
    """Multiply the chroma that a weights file gives, in place, and note `vivid` in its metadata.

    Colours that a network is told are not multiplied. Files of networks without such a HEAD, and those that have been
    multiplied before, are left as they are.
    """
    tensors, metadata = load_tensors(path, "generator weights")
    if tensors.keys() >= set(HEAD) and "vivid" not in metadata:
        tensors |= {name: factor * tensors[name] for name in HEAD}
        save_tensors(path, tensors, {**metadata, "vivid": factor})


def save_half(source: str | Path, path: str | Path, **about) -> None:
    """Save the weights of a generator again, at half the file size: convolutions in fp16, all else in fp32.

    Colours change by far less than an 8-bit step. `about` replaces values of the metadata (size, ...).
    """
    tensors, metadata = load_tensors(source, "generator weights")
    tensors = {name: value.half() if value.ndim > 1 else value for name, value in tensors.items()}
    save_tensors(path, tensors, {**metadata, **about})


def load_network(path: str | Path, kind: str) -> tuple[nn.Module, dict]:
    """The network of a weights file, on the CPU and in evaluation mode, and the file's metadata.

    `kind` is "generator" or "critic". Raises UserError for what `load_tensors` refuses, for a file of the other kind,
    and for weights that don't fit their own config.
    """
    tensors, metadata = load_tensors(path, f"{kind} weights")
    check_kind(path, metadata, kind)
    try:
        network = _rebuilt(kind, metadata["config"], tensors)
        _check_use(metadata, network.config.space)
    except (RuntimeError, TypeError, KeyError, ValueError, AttributeError) as error:
        raise does_not_fit(path, error) from None
    return network.eval(), metadata


def _rebuilt(kind: str, config: dict, tensors: dict[str, Tensor]) -> nn.Module:
    """The network of a config, with the weights of a file. Memory is taken only once it is known that they fit."""
    with torch.device("meta"), _Unfilled():
        network = build(config_of_file(kind, config))
    wanted = network.state_dict()
    network.load_state_dict(
        {name: _like(wanted.get(name), name, value) for name, value in tensors.items()}, assign=True
    )
    return network


class _Unfilled(TorchFunctionMode):
    """Skip what only fills first weights: the meta device holds no values, and runs these as slow Python.

    `normal_`'s imports take seconds there; `mv` and `normalize` are the 15 steps by which each spectral norm begins.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.mv:
            return args[0].new_empty(len(args[0]))  # a product's shape; a damaged file may ask for no inputs
        if func in (Tensor.normal_, nn.init.normal_, nn.functional.normalize):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def _like(wanted: Tensor | None, name: str, value: Tensor) -> Tensor:
    """A tensor of a file, in the precision of the network's own. Raises TypeError or ValueError."""
    if wanted is None or value.shape != wanted.shape:
        return value  # load_state_dict will refuse it
    if value.dtype != wanted.dtype and not (value.is_floating_point() and wanted.is_floating_point()):
        raise TypeError(f"{name} is {value.dtype}")
    value = value.to(wanted.dtype, copy=True)  # a copy: safetensors' tensors are mapped from the file
    if not value.isfinite().all():
        raise ValueError(f"{name} has values that are not numbers")
    return value


def _check_use(about: dict, space: str) -> None:
    """Raise KeyError or ValueError if a file's size or keeps_light is missing or impossible."""
    check_size(about["size"])
    keeps_light = about.get("keeps_light", True)
    if type(keeps_light) is not bool or not keeps_light and SPACES[space].channels == 1:
        raise ValueError(f"keeps_light is {keeps_light!r}")
