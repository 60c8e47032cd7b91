"""safetensors files with our metadata, read with or without torch. `checkpoint` writes them.

Nothing is unpickled, so a file can't run code.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from fastcolor.errors import UserError, one_line
from fastcolor.flags import SIZES

FORMAT = 1
"""The version of the metadata's layout; a file with a newer one is refused."""

MOST_HEADER = 1 << 22
"""The longest header that is read, in bytes: ten times our largest. A million empty tensors would take a minute."""


def read_metadata(path: str | Path, kind: str) -> dict:
    """The metadata of a file that `checkpoint.save_tensors` wrote, its "sha256" among them.

    `kind` ("generator weights") says in messages what was expected. Raises UserError for a file that is missing,
    unreadable, truncated, a pickle, not written by fastcolor, or of a newer format.
    """
    with _named(path):
        if not os.path.isfile(path):  # reading a pipe would wait for ever
            what = "is not a file" if os.path.exists(path) else "does not exist"
            raise UserError(f"{path} {what}: give a .safetensors file that a stage wrote ({kind})")
        with open(path, "rb") as file:
            if int.from_bytes(file.read(8), "little") > MOST_HEADER:
                raise ValueError("its header is too long")
        with safe_open(path, framework="np") as file:
            metadata = json.loads((file.metadata() or {}).get("fastcolor", "{}"))
    if not isinstance(metadata, dict) or not isinstance(metadata.get("format"), int):
        raise UserError(f"{path} was not written by fastcolor: give a .safetensors file that a stage wrote ({kind})")
    if metadata["format"] > FORMAT:
        version = one_line(metadata.get("version"))
        raise UserError(f"{path} was written by a newer fastcolor ({version}): upgrade this one to use it")
    return metadata


def load_tensors(path: str | Path, kind: str, framework: str = "pt") -> tuple[dict, dict]:
    """The tensors and metadata of a file that `checkpoint.save_tensors` wrote.

    `framework` is "pt" for torch's tensors, "np" for numpy's arrays. Raises UserError for what `read_metadata` refuses,
    and for a damaged file.
    """
    metadata = read_metadata(path, kind)
    written = metadata.pop("sha256", None)  # None in older files
    with _named(path), safe_open(path, framework=framework) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (safe_open is no dict)
        is_whole = written is None or written == checksum(tensors, metadata)
    if not is_whole:
        raise UserError(f"{path} is damaged (its checksum is wrong): give an undamaged copy, or run the stage again")
    return tensors, metadata


@contextmanager
def _named(path: str | Path) -> Iterator[None]:
    """What reading a file in the block raises becomes a UserError that names it."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path} can't be read ({one_line(error.strerror or error)}): check its name and permissions"
        ) from None
    except (SafetensorError, ValueError, TypeError, RuntimeError) as error:  # the last two: odd shapes, deep nesting
        with open(path, "rb") as file:
            beginning = file.read(2)
        is_pickle = beginning in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
        why = f"is truncated, or not a weights file ({one_line(error)})"
        what = "is a pickle, which could run code when loaded" if is_pickle else why
        raise UserError(f"{path} {what}: give a .safetensors file that a stage wrote, or run the stage again") from None


def checksum(tensors: dict, metadata: dict) -> str:
    """SHA-256 of tensors (on the CPU) or arrays, the same for both, and their metadata, in hexadecimal."""
    found = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} torch.{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)} ".encode())
        found.update(_bytes_of(tensor))
    return found.hexdigest()


def _bytes_of(tensor) -> np.ndarray:
    if isinstance(tensor, np.ndarray):
        return np.ascontiguousarray(tensor).reshape(-1).view(np.uint8)
    import torch  # whoever has such tensors has it

    return tensor.reshape(-1).view(torch.uint8).numpy()


def check_kind(path: str | Path, metadata: dict, kind: str) -> None:
    """Raise UserError unless a file holds a "generator" or a "critic" (`kind`)."""
    if metadata.get("kind") != kind:
        held = one_line(metadata.get("kind", "resume state"))
        raise UserError(f"{path} holds {held}, not a {kind}: give a {kind}'s weights")


def check_size(size: object) -> None:
    """Raise ValueError unless `size` is a possible training size in pixels (see `SIZES`)."""
    if type(size) is not int or size not in SIZES:
        raise ValueError(f"size is {size!r}")


def does_not_fit(path: str | Path, error: Exception) -> UserError:
    """What to raise for weights that don't fit their own config."""
    return UserError(f"{path} does not fit its own config ({one_line(error)}): run the stage that writes it again")
