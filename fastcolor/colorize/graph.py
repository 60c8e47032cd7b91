"""The graph of a network, for `fastcolor/weights`: onnxruntime then runs all weights of that network, without torch.

    python -m fastcolor.colorize.graph                              # of the weights that ship
    python -m fastcolor.colorize.graph --weights NAME.safetensors   # of another network

To be run whenever weights of another network ship, or a network's arithmetic changes; a test says so.
"""

import sys
from dataclasses import asdict
from pathlib import Path

from fastcolor.cli import run_command
from fastcolor.colorize.export import check_same, load_painter, note, traced
from fastcolor.colorize.onnx import HINTS, PREFIX, graph_name, open_weights
from fastcolor.files import write_whole
from fastcolor.networks.painter import Listener, Painter
from fastcolor.weights import BUNDLED, GRAPHS


def main(
    weights: Path = BUNDLED,  # a generator's weights, of the network whose graph is written
):
    """Write the ONNX graphs of a network, without its weights, and check that onnxruntime gives the same colours.

    A network that listens has two: for colouring alone, and for hints.
    """
    painter, _ = load_painter(weights)
    write(painter, weights, ".onnx")
    if getattr(painter.network, "hears", False):
        write(Listener(painter.network).eval(), weights, HINTS)


def write(painter: Painter, weights: Path, suffix: str) -> None:
    """Write the graph of a painter with its weights' file, under its network's name. Raises UserError."""
    import onnx_ir as ir

    config = asdict(painter.network.config)
    out = GRAPHS / graph_name(config, suffix)
    program = traced(painter, optimize=False)
    take_weights_out(program.model)
    note(program, config=config)
    model = ir.to_proto(program.model)
    del model.graph.value_info[:]  # shapes in between, which onnxruntime finds by itself
    with write_whole(out) as temporary:
        temporary.write_bytes(model.SerializeToString())
        apart = check_same(painter, open_weights(weights, temporary, suffix == HINTS), out)
    print(f"{out}: {out.stat().st_size:,} bytes, at most {apart:.1g} units of ab from torch's result")


def take_weights_out(model: "onnx_ir.Model") -> None:  # noqa: F821 (an extra)
    """Simplify a model without using the weights' values, then leave only their names, types and shapes."""
    import onnx_ir as ir
    from onnxscript import optimizer

    graph = model.graph
    weights = [value for name, value in graph.initializers.items() if name.startswith(PREFIX)]
    for value in weights:  # as inputs nothing is computed from them beforehand
        value.const_value = None
        graph.initializers.pop(value.name)
        graph.inputs.append(value)
    optimizer.optimize_ir(model)
    for value in weights:
        graph.inputs.remove(value)
        nowhere = "tensor-missing-in-weights-file"  # what onnxruntime's message says where it is not given one
        value.const_value = ir.ExternalTensor(nowhere, 0, None, value.dtype, shape=value.shape, name=value.name)
        graph.register_initializer(value)
    for about in (model, graph, *graph, *graph.inputs, *graph.outputs, *graph.initializers.values()):
        about.metadata_props.clear()  # where in our code it was traced from
        about.doc_string = None


if __name__ == "__main__":
    sys.exit(run_command(main))
