"""Photos as squares in one array: decoded once into a memory-mapped file, or every time they are needed.

A square is `(side, side, 4)` uint8: grey, then sRGB. What holds squares gives `(n, side, side, 4)` for `held[rows]`.
The file is a .npy file with a note behind the array: JSON, its length in 8 bytes, and MAGIC. It can be copied to
another machine and used there instead of the photos (`--data FILE.npy`).
"""

import gc
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from fastcolor.errors import UnreadablePhoto, UserError
from fastcolor.files import UNFINISHED, in_threads, is_inside, progress_bar, write_whole

CHANNELS = 4
MAGIC = b"fastcol1"


class OnDemand:
    """Squares without a cache: `held[rows]` decodes those rows, in threads. No disk space, but more time per epoch.

    `decode(row)` gives one square. Raises UserError for a photo that can no longer be decoded.
    """

    def __init__(self, decode: Callable[[int], np.ndarray], count: int, side: int):
        self.decode, self.shape = decode, (count, side, side, CHANNELS)

    def __getitem__(self, rows: Sequence[int]) -> np.ndarray:
        squares = np.empty((len(rows), *self.shape[1:]), np.uint8)

        def one(i: int) -> None:
            try:
                squares[i] = self.decode(rows[i])
            except UnreadablePhoto as error:
                raise UserError(f"{error}, but the run needs it: put it back") from None

        for _ in in_threads(one, range(len(rows))):
            pass
        return squares


Squares = np.ndarray | Tensor | OnDemand


def cache_of(cache: Path, photos: Path, **settings) -> Path:
    """The folder below `cache` for the squares of a folder of photos, decoded with these settings.

    Also deletes the caches of photo folders that no longer exist.
    """
    forget_gone_folders(cache)
    key = hashlib.sha256(json.dumps([str(photos.resolve()), settings]).encode()).hexdigest()
    return cache / f"{photos.resolve().name}-{key[:12]}"


def forget_gone_folders(cache: Path) -> None:
    """Delete the caches of photo folders that no longer exist."""
    for array in cache.glob("*/[!.]*.npy"):
        if not Path(_read_note(array).get("photos", "")).is_dir():
            shutil.rmtree(array.parent, ignore_errors=True)


def cached(
    folder: Path, photos: Path, names: list[str], stamps: list, decode: Callable[[int], np.ndarray], side: int
) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """The squares that `decode(row)` gives for the photos `names`, and the unreadable rows with the reason.

    The squares are memory-mapped from a file in `folder`. They are decoded unless there is a file made with the same
    `stamps` (anything that JSON can hold); files made with others are deleted. A file appears whole or not at all, and
    stays readable after it has been deleted. Raises UserError if it can't be written.
    """
    shape = (len(names), side, side, CHANNELS)
    # shape and stamps are in the name, so that another run's array can't be taken for this one
    array = folder / f"{hashlib.sha256(json.dumps([shape, stamps]).encode()).hexdigest()[:16]}.npy"
    try:
        held = _read_cache(array)
        if not held:
            with alone(folder):
                held = _read_cache(array)
                if not held:
                    _write_cache(array, photos, names, decode, shape)
    except OSError as error:
        raise UserError(
            f"the cache {array} ({_size(shape)}) can't be written ({error.strerror}): "
            "free some space, or use --no-cache"
        ) from error
    _, squares, unreadable = held or _read_cache(array)
    return squares, unreadable


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a folder of the cache, waiting for other processes: runs that need the same squares decode them once."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"another process is writing {folder}: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _write_cache(array: Path, photos: Path, names: list[str], decode: Callable, shape: tuple[int, ...]) -> None:
    print(
        f"decoding {len(names):,} photos of {photos} to {shape[1]} px, once: {_size(shape)} in {array} "
        "(--no-cache avoids this)"
    )
    for unfinished in array.parent.glob(f"{UNFINISHED}*"):  # left by a process that was killed
        unfinished.unlink()
    with write_whole(array) as temporary:
        unreadable = _decode_into(temporary, shape, decode)
        note = json.dumps({"photos": str(photos.resolve()), "names": names, "unreadable": unreadable}).encode()
        with open(temporary, "ab") as file:
            file.write(note + len(note).to_bytes(8, "little") + MAGIC)
    for stale in array.parent.glob("[!.]*"):
        if stale != array:
            stale.unlink()


def _size(shape: tuple[int, ...]) -> str:
    return f"{np.prod(shape, dtype=float) / 1e6:,.0f} MB"


def open_cache(file: Path, side: int) -> tuple[list[str], np.ndarray, list[tuple[int, str]]]:
    """Names, squares and unreadable rows (with the reason) of a cache file, made on this machine or another.

    Raises UserError for a file that is damaged, is no cache file, or holds squares that are not `side` pixels wide.
    """
    held = _read_cache(file)
    if not held:
        raise UserError(
            f"{file} is damaged or not a cache file: give a folder of photos, or a .npy file of fastcolor's cache"
        )
    if held[1].shape[1] != side:
        raise UserError(
            f"{file} holds squares of {held[1].shape[1]} px, but this --size needs {side}: make it with the same --size"
        )
    return held


def _read_cache(file: Path) -> tuple[list[str], np.ndarray, list[tuple[int, str]]] | None:
    """Names, squares and unreadable rows of a cache file; None if it is missing or damaged."""
    try:
        note, squares = _read_note(file), np.load(file, mmap_mode="r")
        names, unreadable = (
            [str(name) for name in note["names"]],
            [(int(row), str(why)) for row, why in note["unreadable"]],
        )
        is_whole = squares.dtype == np.uint8 and squares.shape == (len(names), *squares.shape[1:2] * 2, CHANNELS)
        is_whole = is_whole and len(names) and all(0 <= row < len(names) for row, _ in unreadable)
        return (names, squares, unreadable) if is_whole and all(map(is_inside, names)) else None
    except (OSError, ValueError, TypeError, KeyError, EOFError, OverflowError, SyntaxError, TokenError):
        return None


def _read_note(array: Path) -> dict:
    if not array.is_file():  # a pipe would be waited for
        return {}
    try:
        with open(array, "rb") as file:
            file.seek(-16, os.SEEK_END)
            tail = file.read(16)
            length = int.from_bytes(tail[:8], "little")
            file.seek(-16 - length, os.SEEK_END)
            note = json.loads(file.read(length)) if tail[8:] == MAGIC else {}
    except (OSError, ValueError, OverflowError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}


def _decode_into(file: Path, shape: tuple[int, ...], decode: Callable) -> list[tuple[int, str]]:
    with open(file, "wb") as opened:  # filled first: writing to a mapped file on a full disk would kill the process
        np.lib.format.write_array_header_1_0(opened, {"shape": shape, "fortran_order": False, "descr": "|u1"})
        opened.writelines(bytes(int(np.prod(shape[1:]))) for _ in range(shape[0]))
    pixels = np.load(file, mmap_mode="r+")

    def one(row: int) -> None:
        pixels[row] = decode(row)

    unreadable = unreadable_rows(one, shape[0])
    pixels.flush()
    return unreadable


def unreadable_rows(decode: Callable[[int], object], count: int) -> list[tuple[int, str]]:
    """Decode all rows, in threads, with a progress bar. Returns the rows that can't be decoded, with the reason."""

    def one(row: int) -> tuple[int, str] | None:
        try:
            decode(row)
        except UnreadablePhoto as error:
            return row, error.reason
        return None

    return sorted(result for result in progress_bar(in_threads(one, range(count)), total=count) if result)


def resident(squares: Squares, device: torch.device) -> Squares:
    """The squares in the GPU's memory if they need less than half of what is free there; otherwise as they are."""
    if not isinstance(squares, np.ndarray) or squares.nbytes >= free_memory(device) / 2:
        return squares
    held = torch.empty(squares.shape, dtype=torch.uint8, device=device)
    for begin in range(0, len(held), UPLOAD):  # piece by piece: the file may be larger than this machine's memory
        held[begin : begin + UPLOAD] = torch.from_numpy(np.array(squares[begin : begin + UPLOAD]))
    return held


UPLOAD = 1000  # photos


def free_memory(device: torch.device) -> int:
    """Free memory of a CUDA GPU, in bytes; 0 for other devices: they read a memory-mapped file just as fast."""
    if device.type != "cuda":
        return 0
    gc.collect()  # a Learner refers to itself, so an earlier stage's networks and photos may still be in memory
    torch.cuda.empty_cache()
    return torch.cuda.mem_get_info(device)[0]


def take(squares: Squares, rows: Sequence[int], device: torch.device) -> Tensor:
    """The squares of these rows on the device, `(n, side, side, 4)` uint8."""
    if isinstance(squares, Tensor):
        return squares[torch.as_tensor(rows, device=squares.device)].to(device)
    return on_device(squares[rows], device)


def on_device(array: np.ndarray, device: torch.device) -> Tensor:
    """An array as a tensor on the device. A GPU does not stop for it."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
