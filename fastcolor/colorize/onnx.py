"""Networks run by onnxruntime: `.onnx` files that `fastcolor export` wrote, and weights files with a known graph.

A graph is a network without its weights. Those that ship lie in `fastcolor/weights`, named after the network's config;
`python -m fastcolor.colorize.graph` writes them.
"""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fastcolor.colorize.engine import Engine, deaf
from fastcolor.errors import UserError, missing, one_line
from fastcolor.files import cores
from fastcolor.networks.tensors import check_kind, check_size, does_not_fit, load_tensors, read_metadata
from fastcolor.weights import GRAPHS

PREFIX = "network."  # of the weights' names in a graph: `Painter.network`
UNUSED = re.compile(r".*\.num_batches_tracked$")
"""Tensors that no graph has: counters of training."""
FOR_HINTS = re.compile(r"(ears|classes)\.|rebalance$")
"""Those that only the graph for hints has, of a network that listens: its ears and its second head."""
HINTS = ".hints.onnx"
"""How the names of graphs for hints end (`Listener`); the one for colouring alone (`Painter`) is faster."""


class OnnxEngine(Engine):
    """A network in an onnxruntime session on the CPU."""

    def __init__(self, weights: Path, session: "onnxruntime.InferenceSession", size: int):  # noqa: F821 (see `_needed`)
        onnxruntime = _needed()
        self.name, self.weights, self.size = f"onnxruntime {onnxruntime.__version__}", weights, size
        self.inputs = {each.name: each.shape[1] for each in session.get_inputs()}
        self.outputs = tuple(each.name for each in session.get_outputs())
        if next(iter(self.inputs)) != "lightness" or self.outputs[0] != "ab":
            raise ValueError("other inputs and outputs")
        self._session, self._options = session, onnxruntime.RunOptions()
        self._options.only_execute_path_to_fetches = True

    def _run(self, inputs: dict[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        try:
            results = self._session.run(list(outputs), inputs, self._options)
            if outputs[0] == "ab":
                count, _, *shape = inputs["lightness"].shape
                results[0] = results[0].reshape(count, 2, *shape).astype(np.float32, copy=False)
        except MemoryError:
            raise
        except Exception as error:  # one of onnxruntime's, or the result has another shape
            why = f"{self.weights} can't colour ({one_line(error)})"
            raise UserError(f"{why}: write it again with `fastcolor export`") from error
        return results


def open_model(path: Path) -> OnnxEngine:
    """The engine of a file that `fastcolor export` wrote. Raises UserError if it can't be opened, or is another's."""
    _needed()
    if not os.path.isfile(path):
        raise UserError(f"{path} does not exist: write it with `fastcolor export {path}`")
    try:
        session, about = _opened(path.read_bytes(), {})
        check_size(about["size"])
        return OnnxEngine(path, session, about["size"])
    except (KeyError, ValueError, TypeError, RecursionError):
        raise UserError(f"{path} was not written by fastcolor: write one with `fastcolor export`") from None
    except MemoryError:
        raise
    except Exception as error:  # onnxruntime has an exception of its own for each way in which a file can be broken
        why = f"is damaged, or not an ONNX model ({one_line(error)})"
        raise UserError(f"{path} {why}: write it again with `fastcolor export`") from error


def open_weights(path: Path, graph: Path | None = None, listens: bool = False) -> OnnxEngine | None:
    """The engine of a generator's `.safetensors` file; None if there is no graph of its network, or it is no network.

    `graph` is its network's, by default the one that ships: with `listens`, the one for hints. Raises UserError for
    what `load_tensors` refuses, a critic, weights that don't fit the graph, and a network that does not listen.
    """
    about = read_metadata(path, "generator weights")
    check_kind(path, about, "generator")
    graph = graph or graph_of(about.get("config"), HINTS if listens else ".onnx")
    if graph is None and graph_of(about.get("config")):
        raise deaf(path)
    if graph is None or about.get("keeps_light", True) is not True:
        return None
    _needed()
    tensors, about = load_tensors(path, "generator weights", "np")
    try:
        check_size(about.get("size"))
        # each is let go as soon as it is converted: at this moment memory is at its peak
        values = {PREFIX + name: _value(name, tensors.pop(name)) for name in [*tensors] if _is_in_graph(name, listens)}
        session, _ = _opened(graph.read_bytes(), values)
    except MemoryError:
        raise
    except Exception as error:  # onnxruntime's own, for tensors that are missing, or have another shape
        raise does_not_fit(path, error) from error
    return OnnxEngine(path, session, about["size"])


def graph_of(config: object, suffix: str = ".onnx") -> Path | None:
    """The graph of the network of a config, which may come from a file; None if none ships. See HINTS."""
    if not isinstance(config, dict) or not all(isinstance(value, str | int) for value in config.values()):
        return None
    name = graph_name(config, suffix)
    return GRAPHS / name if name in os.listdir(GRAPHS) else None


def graph_name(config: dict, suffix: str = ".onnx") -> str:
    """The file name of a network's graph: unet-lab-resnet18-4-3.onnx."""
    return f"{'-'.join(str(value) for value in config.values())}{suffix}"


def _is_in_graph(name: str, listens: bool) -> bool:
    return not UNUSED.match(name) and (listens or not FOR_HINTS.match(name))


def _value(name: str, value: np.ndarray) -> np.ndarray:
    """A tensor of a file as float32. Raises TypeError or ValueError."""
    if not np.issubdtype(value.dtype, np.floating):
        raise TypeError(f"{name} is {value.dtype}")
    value = value.astype(np.float32)
    if not np.isfinite(value).all():
        raise ValueError(f"{name} has values that are not numbers")
    return value


def _opened(model: bytes, weights: dict[str, np.ndarray]) -> tuple["onnxruntime.InferenceSession", dict]:  # noqa: F821
    """A session of a model or, with `weights` by name, of a graph, and what we have noted in it."""
    onnxruntime = _needed()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised; nothing may come between lines of progress
    options.intra_op_num_threads = cores()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the cores have other work in between
    options.enable_cpu_mem_arena = False  # it would keep what the largest photo took
    if weights:
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(value) for value in weights.values()]
        options.add_external_initializers(list(weights), values)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session, json.loads(session.get_modelmeta().custom_metadata_map["fastcolor"])


def _needed():
    """onnxruntime, which from 1.32 on would tell its makers of each use. Raises UserError where it is missing."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when it is imported
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise missing("colouring", error) from None
    return onnxruntime
