"""Weights files that rebuild their own network: safetensors with a config in the metadata, strictly loaded.

Nothing is ever unpickled: a weights file can't execute code. Files are written whole or not at all.
"""

import json
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

import fastcolor
from fastcolor.critics import build_critic
from fastcolor.errors import UserError
from fastcolor.files import write_whole
from fastcolor.generators import build_generator

FORMAT = 1
"""Version of the metadata's layout; a file of a newer one is refused."""

BUILDERS = {"generator": build_generator, "critic": build_critic}


def save_tensors(path: str | Path, tensors: dict[str, Tensor], metadata: dict) -> None:
    """Write named tensors and JSON metadata as one safetensors file, whole or not at all."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with write_whole(path) as temporary:
        # not save_file: it hides a full disk in an error of its own
        temporary.write_bytes(save(tensors, {"fastcolor": json.dumps({"format": FORMAT, **metadata})}))


def load_tensors(path: str | Path, kind: str) -> tuple[dict[str, Tensor], dict]:
    """Tensors and metadata of a file that `save_tensors` wrote.

    `kind` says in the error what was expected ("generator weights"). Raises UserError for a missing, truncated,
    pickled or foreign file and for one of a newer format.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist: give a .safetensors file that a stage wrote ({kind})")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {}).get("fastcolor", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (safe_open is no dict)
    except (SafetensorError, ValueError) as error:
        with open(path, "rb") as file:
            is_pickle = file.read(2) in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
        what = "is a pickle, which could run code when loaded" if is_pickle else f"is truncated or no weights file ({error})"
        raise UserError(f"{path} {what}: give a .safetensors file that a stage wrote, or run the stage again") from None
    if not isinstance(metadata, dict) or not isinstance(metadata.get("format"), int):
        raise UserError(f"{path} was not written by fastcolor: give a .safetensors file that a stage wrote ({kind})")
    if metadata["format"] > FORMAT:
        raise UserError(f"{path} was written by a newer fastcolor ({metadata.get('version')}): upgrade this one to use it")
    return tensors, metadata


def save_network(path: str | Path, network: nn.Module, kind: str, **about) -> None:
    """Save a generator or critic (`kind`) so that the file alone rebuilds it; `about` (stage, size, ...) goes along."""
    metadata = {"kind": kind, "config": asdict(network.config), "version": fastcolor.__version__, **about}
    save_tensors(path, network.state_dict(), metadata)


def save_half(source: str | Path, path: str | Path, *, vivid: float = 1.0, **about) -> None:
    """Save a generator's weights file once more at half the size: convolutions in fp16, what lies beside them in fp32.

    Colours change by far less than an 8-bit step. `vivid` multiplies the lean U-Net's chroma, by way of its last layer;
    `about` replaces what the file says of itself (size, ...).
    """
    tensors, metadata = load_tensors(source, "generator weights")
    for name in ("head.weight", "head.bias"):  # the tanh behind it is all but linear where colours are
        tensors[name] = vivid * tensors[name]
    tensors = {name: value.half() if value.ndim > 1 else value for name, value in tensors.items()}
    save_tensors(path, tensors, {**metadata, **about})


def load_network(path: str | Path, kind: str) -> tuple[nn.Module, dict]:
    """The network of a weights file, on the CPU, in evaluation mode, and the file's metadata.

    Raises UserError, besides what `load_tensors` refuses, for a critic given as a generator (or the reverse) and for
    weights that don't fit their own config.
    """
    tensors, metadata = load_tensors(path, f"{kind} weights")
    if metadata.get("kind") != kind:
        raise UserError(f"{path} holds {metadata.get('kind', 'resume state')}, not a {kind}: give a {kind}'s weights")
    try:
        metadata["size"] = int(metadata["size"])
        network = BUILDERS[kind](metadata["config"])
        network.load_state_dict(tensors)
    except (RuntimeError, TypeError, KeyError, ValueError, AttributeError) as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(f"{path} does not fit its own config ({first}): run the stage that writes it again") from None
    return network.eval(), metadata
