"""Processes that train one network together, as `torchrun` and `accelerate launch` start them.

Each learns from its own part of every batch, a `Share`, and all take the same step. Only the first one writes and
prints. A process that is alone finds here that it has all of everything, and imports no torch for it.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from fastcolor.errors import UserError, is_out_of_memory

T = TypeVar("T")

ANSWER = timedelta(minutes=10)  # for which a process waits for the others' part of a step
PATIENCE = timedelta(days=7)  # for which the others wait while one alone does something, or decodes photos


@dataclass
class Group:
    """This process's number, from 0, of how many; where sentences are noted, and the group that waits long."""

    rank: int
    count: int
    store: Any
    patient: Any


@dataclass(frozen=True)
class Share:
    """The rows of a batch of `count` images that are this process's own. Its tensors hold them in this order."""

    count: int
    rows: tuple[int, ...]

    def split(self, most: int) -> list["Share"]:
        """The shares of the batch's parts of at most `most` images, one after the other."""
        return [self.part(begin, min(begin + most, self.count)) for begin in range(0, self.count, most)]

    def part(self, begin: int, end: int) -> "Share":
        """The share of the batch's images `begin` to `end`, as a batch of its own."""
        return Share(end - begin, tuple(row - begin for row in self.rows if begin <= row < end))


_group: Group | None = None
_share: Share | None = None
spent = 0.0
"""Seconds that this process has talked with others, and waited for them."""


def count() -> int:
    """How many processes train together; 1 for a process that is alone."""
    return _group.count if _group else 1


def rank() -> int:
    """This process's number among them, from 0."""
    return _group.rank if _group else 0


def is_first() -> bool:
    """Whether this process is the one that writes and prints."""
    return rank() == 0


def join(device: str) -> None:
    """Join the processes that a launcher has started with this one, once; alone, do nothing.

    `device` is the value of `--device`. Raises UserError for mps, and if the others don't come.
    """
    global _group
    count = int(os.environ.get("WORLD_SIZE") or 1)
    if _group or count == 1:
        return
    import torch
    import torch.distributed as dist

    if device == "mps":
        raise UserError("--device mps can't be shared by several processes: give --device cpu")
    on_gpu = device in ("auto", "cuda") and torch.cuda.is_available()
    if on_gpu:
        gpus, here = torch.cuda.device_count(), int(os.environ.get("LOCAL_WORLD_SIZE") or count)
        if here > gpus:
            raise UserError(f"{here} processes can't train on {gpus} GPUs: start as many as there are GPUs")
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK") or 0))
    with _answered():
        store, rank, count = next(dist.rendezvous("env://", timeout=ANSWER))
        # torchrun's store outlives the processes: those that it begins anew must not find where the dead ones were
        store = dist.PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
        backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=ANSWER)
        patient = dist.new_group(backend="gloo", timeout=PATIENCE)
    del os.environ["WORLD_SIZE"]  # fastai would gather what it logs from all processes, and wait for those without any
    _group = Group(rank, count, store, patient)
    if rank:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (until the process ends)


def leave() -> None:
    """Part from the others, when all have come to the end."""
    global _group
    if _group:
        import torch.distributed as dist

        wait()
        dist.destroy_process_group()
        _group = None


def said(sentence: str) -> bool:
    """Whether another process has said this already. Then this one need not."""
    if _group is None:
        return False
    try:
        return _group.store.add(f"said: {sentence}", 1) > 1
    except RuntimeError:  # who keeps it has ended
        return False


@contextmanager
def _answered() -> Iterator[None]:
    """Talk with the other processes. Raises UserError if one of them does not answer."""
    global spent
    begin = time.perf_counter()
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise UserError(
            "another process of this training has ended, or does not answer: see what it says; "
            "the same command with --resume goes on from the last state"
        ) from None
    finally:
        spent += time.perf_counter() - begin


def by_first(do: Callable[[], T]) -> T:
    """What `do()` gives in the first process, in all of them. It is alone meanwhile, and the others wait for it.

    A UserError there is raised in all.
    """
    global _group
    group = _group
    if group is None:
        return do()
    import torch.distributed as dist

    told, failed = [None, None], None
    if group.rank == 0:
        _group = None
        try:
            told[0] = do()
        except UserError as error:
            failed, told[1] = error, str(error)
        finally:
            _group = group
    with _answered():
        dist.broadcast_object_list(told, src=0, group=group.patient)
    if told[1] is not None:
        raise failed or UserError(told[1])
    return told[0]


def wait() -> None:
    """Wait until all processes have come here."""
    gathered(None)


def gathered(value: T) -> list[T]:
    """The `value` of each process, in their order, in all of them."""
    if _group is None:
        return [value]
    import torch.distributed as dist

    values = [None] * _group.count
    with _answered():
        dist.all_gather_object(values, value, group=_group.patient)
    return values


def agree(about: dict) -> None:
    """Raise UserError, in all processes, unless they all have the same `about`: flags and versions by name."""
    first, *others = gathered(about)
    for number, other in enumerate(others, 2):
        for name in [name for name in first if other.get(name) != first[name]]:
            raise UserError(
                f"process {number} has {name} {other.get(name)}, process 1 has {first[name]}: "
                "start all processes with the same command and the same versions"
            )


def summed(tensor):
    """The sum of all processes' tensors, in place: the same bits in all of them."""
    if _group is not None:
        import torch.distributed as dist

        with _answered():
            dist.all_reduce(tensor)
    return tensor


def any_of(flag: bool) -> bool:
    """Whether the flag of any process is true."""
    if _group is None:
        return flag
    import torch

    return bool(summed(torch.tensor(int(flag))))


def own_rows() -> slice:
    """Which rows of a batch are this process's own: every so many, so that all have as many, or one more."""
    return slice(rank(), None, count())


def share_of_batch(count: int) -> Share:
    """This process's share of a batch of `count` photos: see `own_rows`."""
    return Share(count, tuple(range(count)[own_rows()]))


@contextmanager
def sharing(share: Share | None) -> Iterator[None]:
    """Until the block ends, this is the batch that the process has a part of; nothing changes where it is alone."""
    global _share
    before = _share
    _share = share if _group else None
    try:
        yield
    finally:
        _share = before


def share_of(images) -> Share:
    """This process's share of the batch that `images` `(n, ...)` are from: all of them where it is alone."""
    return _share or Share(len(images), tuple(range(len(images))))


def own(whole):
    """This process's rows of a tensor that has one for each image of the whole batch."""
    return whole if _share is None else whole[list(_share.rows)]


def whole(own):
    """The rows of all processes, in their order in the batch, of a tensor `(n, ...)` that has this one's."""
    if _share is None:
        return own
    rows = own.new_zeros(_share.count, *own.shape[1:])
    rows[list(_share.rows)] = own
    return summed(rows)


def weighted(mean):
    """A mean over this process's images as its summand of the mean over the whole batch."""
    if _share is None:
        return mean
    if not _share.rows:
        return mean.nan_to_num() * 0.0  # of no images it is nan
    return mean * (len(_share.rows) / _share.count)


def ratio(numerator, denominator, least: float | None = None):
    """The ratio of two sums over a batch's images, the denominator at least `least`: a mean, for `weighted`.

    Its denominator is that of the whole batch. No gradient flows through it.
    """
    if _share is not None:
        denominator = summed(denominator.detach().clone())
    if least is not None:
        denominator = denominator.clamp(min=least)
    if _share is None or not _share.rows:
        return numerator / denominator
    return numerator / (denominator * (len(_share.rows) / _share.count))
