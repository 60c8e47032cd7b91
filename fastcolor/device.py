"""What training runs on: device and precision, whether networks are compiled, and the largest batch."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from fastcolor import processes
from fastcolor.errors import UserError
from fastcolor.flags import DEVICES, one_of

try:
    import resource
except ImportError:  # Windows
    resource = None


def choose_device(name: str) -> torch.device:
    """The device that `--device` names; auto takes cuda if it is there, else mps, else cpu.

    Raises UserError for an unknown device, and for one that this machine does not have.
    """
    one_of("device", name, DEVICES)
    can_be_alone = processes.count() == 1  # several can't share mps
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available() and can_be_alone, "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, works in there.items() if works))
    if not there[name]:
        raise UserError(f"--device {name} is not available on this machine: give auto or cpu")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> tuple[str, str]:
    """fp32 or bf16, and the reason in words. auto takes bf16 if the device has units for it.

    Those are NVIDIA GPUs from Ampere on, and CPUs with AVX-512-BF16 or AMX. Others emulate bf16, more slowly than fp32.
    Raises UserError for an unknown name.
    """
    if name not in ("auto", "fp32", "bf16"):
        raise UserError(f"--precision {name} is unknown: choose auto, fp32 or bf16")
    if name != "auto":
        return name, "as asked"
    if device.type == "cuda":
        has_it = torch.cuda.is_bf16_supported(including_emulation=False)
        return ("bf16", "the GPU has units for it") if has_it else ("fp32", "the GPU has no units for bf16")
    if device.type == "cpu":
        has = getattr(torch.cpu, "get_capabilities", dict)()  # torch before 2.11 may not have it
        units = [unit for unit in ("amx_bf16", "avx512_bf16") if has.get(unit)]
        return ("bf16", f"the processor has {units[0]}") if units else ("fp32", "the processor has no units for bf16")
    return "fp32", f"bf16 is not faster on {device.type}"


@cache
def check_compiler(device: torch.device) -> None:
    """Raise UserError if `torch.compile` does not work here. It needs a C++ compiler, or Triton on a GPU."""
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
        """The machine that `--device`, `--precision` and `--compile` ask for.

        Raises UserError for an unknown name, and for what does not work here.
        """
        chosen = choose_device(device)
        machine = cls(chosen, *choose_precision(precision, chosen), compile)
        if compile:
            check_compiler(chosen)
        return machine

    def __str__(self) -> str:
        return f"{self.device}: {self.precision} ({self.reason}){', compiled' if self.compile else ''}"

    def autocast(self) -> torch.autocast:
        """A context in which networks and losses run in this precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def place(self, network: nn.Module, is_wide: bool = False) -> nn.Module:
        """Move a network to the device, channels last (faster convolutions), and compile it if asked. Returns it.

        `is_wide`: its convolutions have hundreds of channels, as the recipes' have. On a CPU in fp32 the gradients of
        such weights take longer with channels last, so they stay as they are.
        """
        is_plain = is_wide and self.device.type == "cpu" and self.precision == "fp32"
        network.to(self.device, memory_format=torch.contiguous_format if is_plain else torch.channels_last)
        if self.compile:
            network.compile()  # in place, which keeps the names of its weights
        return network


def largest_batch(
    networks: Sequence[nn.Module], channels: int, size: int, machine: Machine, usual: int, most: int
) -> int:
    """The batch size for `--bs auto`: `usual`, doubled while it fits into memory and trains faster; at most `most`.

    A trial step runs an input `(n, channels, size, size)` through the first network and its output through the next,
    forward and backward, with new networks of the same configs. Raises UserError if not even `usual` photos fit.
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
        raise UserError(f"a batch of {usual} photos of {size} px needs too much memory: give a smaller --bs or --size")
    return best


@contextmanager
def _spare_memory(device: torch.device) -> Iterator[None]:
    """Keep a fifth of a GPU's memory free until the block ends: training also holds an optimiser and coming batches."""
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
    """The speed of training steps, in photos per second, with random images `(bs, channels, size, size)`."""
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
    """The most memory this process has held so far, in MB, as text: the GPU's if `device` is one, else main memory.

    Empty on Windows, which does not tell.
    """
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated(device) / 1e6:.0f}"
    if resource is None:
        return ""
    bytes_per_unit = 1 if sys.platform == "darwin" else 1024
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * bytes_per_unit / 1e6:.0f}"


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all its work, so that it can be timed."""
    if device.type in ("cuda", "mps"):
        getattr(torch, device.type).synchronize()
