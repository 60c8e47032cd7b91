"""A clock in fastai's loop, the peak memory, and a description of the machine."""

import ctypes
import gc
import importlib.metadata
import os
import platform
import statistics
import sys
import threading
import time
from datetime import date
from pathlib import Path

import psutil
import torch
from fastai.callback.core import Callback, CancelFitException, CancelValidException
from fastai.callback.progress import ProgressCallback
from fastai.learner import Learner

import fastcolor
from fastcolor import processes
from fastcolor.device import synchronize
from fastcolor.training.order import Order

WARM_UP = 2  # batches that are not counted; two, so that each network of a GAN has had a turn


class Clock(Callback):
    """Time the training batches of a fit, without validation, and end the fit after `seconds`.

    `spent` has the seconds of each batch, `waited` those of them in which the loop waited for input.
    """

    order = Order.CLOCK

    def __init__(self, seconds: float, device: torch.device):
        self.seconds, self.device_used = seconds, device
        self.spent, self.waited, self.seen = [], [], 0

    def before_train(self):
        self.mark = time.perf_counter()

    def after_batch(self):
        if not self.training:
            return
        synchronize(self.device_used)
        now = time.perf_counter()
        self.seen += 1
        if self.seen > WARM_UP:
            self.spent.append(now - self.mark)
            self.waited.append(self.arrived - self.mark)
        self.mark = now
        is_over = processes.any_of(sum(self.spent) >= self.seconds)
        if is_over and len(self.spent) % 2 == 0:  # even: a GAN's turns differ in length
            raise CancelFitException()

    def before_validate(self):
        raise CancelValidException()


class Arrival(Callback):
    """Tell the clock when a batch has arrived."""

    order = Order.ARRIVAL

    def __init__(self, clock: Clock):
        self.clock_told = clock

    def before_batch(self):
        self.clock_told.arrived = time.perf_counter()


def timed(learn: Learner, seconds: float, device: torch.device, bs: int, lr=1e-4) -> dict[str, float]:
    """Train for `seconds`. Returns photos/s, and the share of the time (0..1) spent waiting for input."""
    clock = Clock(seconds, device)
    learn.remove_cb(ProgressCallback)
    with learn.no_logging():
        learn.fit(sys.maxsize, lr, cbs=[clock, Arrival(clock)])
    return {"photos_per_s": bs * len(clock.spent) / sum(clock.spent), "waiting": sum(clock.waited) / sum(clock.spent)}


def timed_input(batches, seconds: float, device: torch.device, bs: int) -> dict[str, float]:
    """Only fetch batches, for `seconds`. Returns photos/s, without the first batch, for which workers are started."""
    count, spent = 0, 0.0
    while spent < seconds:
        iterator = iter(batches)
        next(iterator)
        synchronize(device)
        begin = time.perf_counter()
        for _ in iterator:
            count += 1
            if spent + time.perf_counter() - begin >= seconds:
                break
        synchronize(device)
        spent += time.perf_counter() - begin
        iterator.close()
    return {"photos_per_s": bs * count / spent}


class PeakMemory:
    """A `with` block; its `mb` is by how many MB memory grew at most: the GPU's, or this process's and its workers'."""

    every = 0.5  # seconds between two looks; looking at each worker takes time too

    def __init__(self, device: torch.device):
        self.device, self.stop = device, threading.Event()

    def __enter__(self):
        gc.collect()
        if sys.platform == "linux":  # give freed memory back, else taking it again would not be seen
            getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)(0)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated()
        else:
            self.before = self.peak = self._resident()
            self.thread = threading.Thread(target=self._watch)
            self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        if self.device.type == "cuda":
            self.peak = torch.cuda.max_memory_allocated()
        else:
            self.stop.set()
            self.thread.join()
        self.mb = (self.peak - self.before) / 1e6

    def _watch(self) -> None:
        while not self.stop.wait(self.every):
            self.peak = max(self.peak, self._resident())

    def _resident(self) -> int:
        process = psutil.Process()
        total = process.memory_info().rss
        for child in process.children(recursive=True):
            try:
                total += child.memory_full_info().uss  # what it does not share with its parent
            except psutil.Error:  # it has just ended
                pass
        return total


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and most of several rounds' values."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def machine(device: torch.device) -> dict:
    """Date, device, processor, cores, memory in GB, system, and the versions of the libraries."""
    names = ("torch", "torchvision", "fastai", "numpy", "pillow", "onnxruntime")
    return {
        "date": date.today().isoformat(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else device.type,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {
            "fastcolor": fastcolor.__version__,
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in names},
        },
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
