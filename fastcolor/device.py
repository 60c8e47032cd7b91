"""What training runs on: device, precision, compiled or not, and how many photos at once."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from fastcolor.errors import UserError

try:
    import resource
except ImportError:  # Windows
    resource = None


def choose_device(name: str) -> torch.device:
    """The device that `--device` names; auto takes cuda, then mps, then cpu. Raises UserError if it isn't there."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, works in there.items() if works))
    if name not in there:
        raise UserError(f"--device {name} is unknown: choose auto, cuda, mps or cpu")
    if not there[name]:
        raise UserError(f"--device {name} is not available on this machine: give auto or cpu")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> tuple[str, str]:
    """fp32 or bf16, and why. auto takes bf16 where the device has units for it: CUDA from Ampere on, CPUs with AVX-512-BF16
    or AMX.

    Elsewhere bf16 is emulated, and slower than fp32. Raises UserError for another name.
    """
    if name not in ("auto", "fp32", "bf16"):
        raise UserError(f"--precision {name} is unknown: choose auto, fp32 or bf16")
    if name != "auto":
        return name, "as asked"
    if device.type == "cuda":
        has_it = torch.cuda.is_bf16_supported(including_emulation=False)
        return ("bf16", "the GPU has units for it") if has_it else ("fp32", "the GPU has no units for bf16")
    if device.type == "cpu":
        has = getattr(torch.cpu, "get_capabilities", dict)()  # torch before 2.11 may not tell
        units = [unit for unit in ("amx_bf16", "avx512_bf16") if has.get(unit)]
        return ("bf16", f"the processor has {units[0]}") if units else ("fp32", "the processor has no units for bf16")
    return "fp32", f"bf16 is not faster on {device.type}"


@cache
def check_compiler(device: torch.device) -> None:
    """Raise UserError if `torch.compile` does not work here; it needs a C++ compiler, on a GPU Triton."""
    try:
        torch.compile(torch.sin)(torch.ones(8, device=device))
    except (RuntimeError, ImportError, OSError) as error:
        first = str(error).strip().partition("\n")[0]
        needed = "Triton" if device.type == "cuda" else "a C++ compiler"
        raise UserError(f"--compile does not work here ({first}): install {needed}, or leave --compile out") from None


@dataclass(frozen=True)
class Machine:
    """What a training runs on: a device, the precision of its networks and losses, and whether they are compiled."""

    device: torch.device
    precision: str  # fp32 or bf16
    reason: str  # why this precision
    compile: bool

    @classmethod
    def choose(cls, device: str, precision: str, compile: bool) -> "Machine":
        """What `--device`, `--precision` and `--compile` say. Raises UserError for what doesn't exist or doesn't work here."""
        chosen = choose_device(device)
        machine = cls(chosen, *choose_precision(precision, chosen), compile)
        if compile:
            check_compiler(chosen)
        return machine

    def __str__(self) -> str:
        return f"{self.device}: {self.precision} ({self.reason}){', compiled' if self.compile else ''}"

    def autocast(self) -> torch.autocast:
        """Context in which networks and losses run in this precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def place(self, network: nn.Module) -> nn.Module:
        """The network itself, on the device, channels last (convolutions are fastest so), compiled if that is wanted."""
        network.to(self.device, memory_format=torch.channels_last)
        if self.compile:
            network.compile()  # in place: the names of its weights stay
        return network


def largest_batch(
    networks: Sequence[nn.Module], channels: int, size: int, machine: Machine, usual: int, most: int
) -> int:
    """Doubled from `usual` while a training step fits into the device's memory and more photos/s come of it; at most `most`.

    A step runs an input `(n, channels, size, size)` through the first network and its output through the next, forward and
    backward, on networks of the same configs. Raises UserError if not even `usual` fits.
    """
    networks = [machine.place(type(network)(network.config)).train() for network in networks]
    best, trial, speed = None, usual, 0.0
    with _spare_memory(machine.device):
        while best is None or trial <= most:
            try:
                reached = photos_per_s(networks, channels, size, machine, trial)
            except torch.OutOfMemoryError:
                break
            if reached < 1.05 * speed:
                break
            best, speed, trial = trial, reached, 2 * trial
    if best is None:
        raise UserError(f"{usual} photos of {size} px don't fit into the GPU's memory: give a smaller --bs or --size")
    return best


@contextmanager
def _spare_memory(device: torch.device) -> Iterator[None]:
    """Leave a fifth of a GPU's memory unused for a while: training takes more than its steps (optimiser, batches to come)."""
    if device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(0.8, device)
    try:
        yield
    finally:
        if device.type == "cuda":
            torch.cuda.set_per_process_memory_fraction(1.0, device)
            torch.cuda.empty_cache()


def photos_per_s(
    networks: Sequence[nn.Module], channels: int, size: int, machine: Machine, bs: int, steps: int = 4
) -> float:
    """How fast training steps of `bs` photos are."""
    times = []
    for _ in range(1 + steps):  # the first warms up
        begin = time.perf_counter()
        image = torch.rand(bs, channels, size, size, device=machine.device)
        with machine.autocast():
            for network in networks:
                image = network(image)
        image.float().square().mean().backward()
        for network in networks:
            network.zero_grad()
        synchronize(machine.device)
        times.append(time.perf_counter() - begin)
    return bs / min(times[1:])


def peak_memory(device: torch.device) -> str:
    """The most memory, in MB, that the process has held so far, of the GPU if it trains on one; empty where it can't be known."""
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated(device) / 1e6:.0f}"
    if resource is None:
        return ""
    bytes_per_unit = 1 if sys.platform == "darwin" else 1024
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * bytes_per_unit / 1e6:.0f}"


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was told, so that a clock can be read."""
    if device.type in ("cuda", "mps"):
        getattr(torch, device.type).synchronize()
