"""The same work in many processes of a Ray cluster: actors of Ray Data, each of which begins once.

What Ray gives: processes on all machines, a queue, new actors for those that died, and their tasks again. What is
added: a ledger that knows which photo was being worked on when a process died, so that none is made twice, and that
one which kills its processes is left out.
"""

import logging
import os
import pickle
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from typing import NamedTuple

from fastcolor.errors import UserError, one_line
from fastcolor.files import cores, use_cores

TRIES = 3
"""So many processes may die while they work on the same task."""
TOGETHER, MOST = 16, 4000
"""Tasks that an actor is given together, as long as there are at most so many such groups."""
SHARE = 0.1
"""Of a core, as Ray counts: an actor uses one, but those of a machine that is lost must find room on the others."""

Work = Callable[[Iterable[tuple[str, object]]], Iterator[tuple[str, object]]]
"""From keys and tasks, taken one by one, to keys and results, in any order."""


class Done(NamedTuple):
    """What became of a task."""

    key: str
    result: object | None  # None: its process died TRIES times
    tries: int


class Refused(NamedTuple):
    """What comes instead of a result from a process that can't work. Raised there, Ray would say it in many lines."""

    sentence: str


def on_ray(address: str, tasks: dict[str, object], begin: Callable[[], Work], gpu: bool = False) -> Iterator[Done]:
    """Do tasks on the cluster at `address`, or, "local", in processes of this machine; give each as it is done.

    `begin` is called once in each process. Raises UserError if Ray is not installed, if there is no cluster, and what
    `begin` raises.
    """
    check_ray(address)
    if not tasks:
        return
    ray = _ray()
    was_running = ray.is_initialized()
    if not was_running:
        _connect(ray, address)
    try:
        data = ray.data
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what goes wrong is said below, once
        context = data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        ledger = ray.remote(Ledger).options(num_cpus=0, scheduling_strategy=here).remote()
        there = ray.cluster_resources()
        actors = max(1, int(there.get("GPU" if gpu else "CPU", 0)))
        groups = min(MOST, -(-len(tasks) // TOGETHER))
        items = [{"key": key, "task": pickle.dumps(task)} for key, task in tasks.items()]
        needs = {"num_gpus": 1} if gpu else {"num_cpus": SHARE}
        results = data.from_items(items, override_num_blocks=groups).map_batches(
            Hand,
            fn_constructor_args=(begin, ledger),
            batch_size=None,
            compute=data.ActorPoolStrategy(size=min(actors, groups)),
            **needs,  # Ray Data spreads them over the machines
        )
        for row in results.iter_rows():
            done = Done(row["key"], pickle.loads(row["result"]), row["tries"])
            if isinstance(done.result, Refused):
                raise UserError(done.result.sentence)
            ledger.forget.remote(done.key)
            yield done
    except ray.exceptions.RayError as error:
        raise _told(error, address) from error
    finally:
        if not was_running:
            ray.shutdown()


class Ledger:
    """Knows how often each task was begun, and the results that have not arrived yet. An actor beside the command."""

    def __init__(self):
        self._tries: Counter[str] = Counter()
        self._results: dict[str, bytes] = {}

    def look(self, keys: list[str]) -> tuple[dict[str, int], dict[str, bytes]]:
        """How often each was begun, and the results that there are."""
        return {key: self._tries[key] for key in keys}, {k: self._results[k] for k in keys if k in self._results}

    def begin(self, key: str) -> None:
        """A task is being worked on from now on."""
        self._tries[key] += 1

    def end(self, key: str, result: bytes) -> None:
        """A task is done."""
        self._results[key] = result

    def forget(self, key: str) -> None:
        """A result has arrived."""
        self._tries.pop(key, None)
        self._results.pop(key, None)


class Hand:
    """What an actor of Ray Data does: the work on a group of tasks."""

    def __init__(self, begin: Callable[[], Work], ledger):
        use_cores(1)
        self._ledger, self._ray, self._refused = ledger, _ray(), None
        try:
            self._work = begin()
        except UserError as error:
            self._refused = Refused(error.sentence)

    def __call__(self, group: dict) -> dict:
        """From columns key and task to columns key, result and tries."""
        tasks = {key: pickle.loads(task) for key, task in zip(group["key"], group["task"], strict=True)}
        keys = list(tasks)
        if self._refused:
            return {"key": keys, "result": [pickle.dumps(self._refused)] * len(keys), "tries": [0] * len(keys)}
        tries, results = self._ray.get(self._ledger.look.remote(keys))
        left = [key for key in keys if key not in results]
        # whichever of them it was that a process died of: each alone, so that the others are not blamed for it again
        alone = [[key] for key in left if 0 < tries[key] < TRIES]
        for part in (*alone, [key for key in left if not tries[key]]):
            for key, result in self._work(self._begun(part, tasks, tries)):
                results[key] = pickle.dumps(result)
                self._ledger.end.remote(key, results[key])
        nothing = pickle.dumps(None)
        return {"key": keys, "result": [results.get(k, nothing) for k in keys], "tries": [tries[k] for k in keys]}

    def _begun(self, keys: list[str], tasks: dict, tries: dict[str, int]) -> Iterator[tuple[str, object]]:
        for key in keys:
            self._ray.get(self._ledger.begin.remote(key))
            tries[key] += 1
            yield key, tasks[key]


def check_ray(address: str | None) -> None:
    """Raise UserError if Ray is asked for and not installed. Importing it takes seconds."""
    if address is not None and find_spec("ray") is None:
        raise UserError("--ray needs Ray, which is not installed: run `pip install 'fastcolor[ray]'`")


def _ray():
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers of each use
    import ray
    import ray.data
    import ray.util.scheduling_strategies

    return ray


def _connect(ray, address: str) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    local = {"num_cpus": cores(), "include_dashboard": False} if address == "local" else {}
    try:
        if found := re.fullmatch(r"([^/:]+):(\d+)", address):
            # Ray would try for minutes, and say so in many lines
            socket.create_connection((found[1], int(found[2])), timeout=10).close()
        ray.init(address=address, **local, **quiet)
    except Exception as error:  # Ray raises bare ones, too
        what = f"--ray {address}: no cluster answers there ({one_line(error)})"
        raise UserError(f"{what}: give the address of one, auto on its own machines, or local") from error


def _told(error: BaseException, address: str) -> Exception:
    """What our own code raised in another process, else what Ray says."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, UserError):
            return UserError(seen.sentence)
        seen = getattr(seen, "cause", None) or seen.__cause__
    last = str(error).strip().splitlines()[-1:] or [type(error).__name__]
    return UserError(f"--ray {address}: the work ended early ({one_line(last[0])}): the same command goes on from here")
