"""The generator as an ONNX file, for programs without torch.

    fastcolor export OUT.onnx --weights runs/NAME/stage4_gen.safetensors

The model takes `lightness`, `(batch, 1, height, width)` float32, L of CIE Lab, 0..100, and gives `ab`, `(batch, 2,
height, width)` float32, a and b of CIE Lab. Batch, height and width are free. `python -m
fastcolor.colorize.graph` writes the same without the weights.
"""

import json
import warnings
from pathlib import Path

import numpy as np
import torch

import fastcolor
from fastcolor.colorize.engine import Engine
from fastcolor.colorize.onnx import open_model
from fastcolor.errors import UserError
from fastcolor.files import write_whole
from fastcolor.networks.checkpoint import load_network
from fastcolor.networks.painter import Painter
from fastcolor.weights import weights_file

MOST_APART = 1e-3 * 110  # units of ab by which onnxruntime's result may differ from torch's
SHAPES = ((1, 64, 96), (2, 128, 128), (1, 203, 77))  # of the inputs, without channels, for which the two are compared


def main(
    out: str,  # the file to write, NAME.onnx
    weights: str | None = None,  # a generator's weights, or a run folder (default: bundled, fastcolor's own)
):
    """Write a generator as an ONNX model, and check that onnxruntime gives the same colours."""
    if Path(out).suffix.lower() != ".onnx":
        raise UserError(f"{out} does not end in .onnx: give NAME.onnx")
    painter, about = load_painter(weights_file(weights))
    with write_whole(out) as temporary:
        program = traced(painter, optimize=True)
        note(program, size=about["size"])
        program.save(temporary, external_data=False)
        apart = check_same(painter, open_model(temporary), out)
    print(f"{out}: lightness to ab, at most {apart:.1g} units of ab from torch's result (at {len(SHAPES)} sizes)")


def load_painter(path: Path) -> tuple[Painter, dict]:
    """The network of a weights file as what is exported, and what the file says of itself. Raises UserError."""
    network, about = load_network(path, "generator")
    if not about.get("keeps_light", True):
        raise UserError(f"{path} changes photos' light too, which an ONNX model can't: give weights that only colour")
    return Painter(network).eval(), about


def traced(painter: Painter, optimize: bool) -> "torch.onnx.ONNXProgram":
    """A painter as an ONNX model; `optimize` computes beforehand what can be, also from weights. Raises UserError."""
    _need("onnx", "onnxscript", "onnxruntime")
    free = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about its own exporter
            return torch.onnx.export(
                painter,
                tuple(torch.full((2, channels, 96, 128), 50.0) for channels in painter.inputs.values()),
                input_names=list(painter.inputs),
                output_names=list(painter.outputs),
                dynamic_shapes=(free,) * len(painter.inputs),
                dynamo=True,
                optimize=optimize,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        first = str(error).strip().partition("\n")[0]
        raise UserError(f"this network ({painter.network.config.name}) can't be exported: {first}") from None


def note(program: "torch.onnx.ONNXProgram", **about) -> None:
    """Write into a model that this fastcolor made it, and `about`, which goes into JSON."""
    program.model.metadata_props["fastcolor"] = json.dumps({"version": fastcolor.__version__, **about})


@torch.no_grad()
def check_same(painter: Painter, engine: Engine, out: str | Path) -> float:
    """The largest difference between an engine's results and torch's. Raises UserError if it exceeds MOST_APART."""
    rng = np.random.default_rng(0)
    most = 0.0
    for count, *shape in SHAPES:
        given = [
            rng.uniform(0, 100, (count, channels, *shape)).astype(np.float32) for channels in painter.inputs.values()
        ]
        wanted = painter(*map(torch.from_numpy, given))
        wanted = (wanted,) if isinstance(wanted, torch.Tensor) else wanted
        found = engine.run(painter.outputs, given[0], **dict(zip(list(painter.inputs)[1:], given[1:], strict=True)))
        apart = (np.abs(one - other.numpy()).max() for one, other in zip(found, wanted, strict=True))
        most = np.maximum(most, np.max([*apart]))
    if not most <= MOST_APART:  # nan too
        raise UserError(
            f"{out} was not written, as onnxruntime's colours differ from torch's by {most:.3g} units of ab: "
            "try another version of onnxruntime or torch"
        )
    return float(most)


def _need(*names: str) -> None:
    try:
        for name in names:
            __import__(name)
    except ImportError as error:
        raise UserError(f"writing ONNX models needs {error.name}: run `pip install 'fastcolor[onnx]'`") from None
