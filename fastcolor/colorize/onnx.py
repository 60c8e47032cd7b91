"""The generator as an ONNX file, for programs without torch; and such a file opened for `predict`.

    fastcolor export OUT.onnx --weights runs/NAME/stage4_gen.safetensors

The model takes `lightness`, `(batch, 1, height, width)` float32, L of CIE Lab, 0..100, and gives `ab`, `(batch, 2,
height, width)` float32, a and b of CIE Lab. Batch, height and width are free.
"""

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import fastcolor
from fastcolor.color.lab import lightness_of
from fastcolor.errors import UserError, one_line
from fastcolor.files import write_whole
from fastcolor.networks.checkpoint import check_size, load_network
from fastcolor.networks.painter import Painter
from fastcolor.weights import weights_file

MOST_APART = 1e-3 * 110  # units of ab by which onnxruntime's result may differ from torch's
SHAPES = ((1, 1, 64, 96), (2, 1, 128, 128), (1, 1, 203, 77))  # of the inputs for which the two are compared


def main(
    out: str,  # the file to write, NAME.onnx
    weights: str | None = None,  # a generator's weights, or a run folder (default: bundled, fastcolor's own)
):
    """Write a generator as an ONNX model, and check that onnxruntime gives the same colours."""
    if Path(out).suffix.lower() != ".onnx":
        raise UserError(f"{out} does not end in .onnx: give NAME.onnx")
    path = weights_file(weights)
    network, about = load_network(path, "generator")
    if not about.get("keeps_light", True):
        raise UserError(f"{path} changes photos' light too, which an ONNX model can't: give weights that only colour")
    painter = Painter(network).eval()
    with write_whole(out) as temporary:
        _export(painter, temporary, about)
        apart = _difference(painter, temporary)
        if not apart <= MOST_APART:  # nan too
            raise UserError(
                f"{out} was not written, as onnxruntime's colours differ from torch's by {apart:.3g} units of ab: "
                "try another version of onnxruntime or torch"
            )
    print(f"{out}: lightness to ab, at most {apart:.1g} units of ab from torch's result (at {len(SHAPES)} sizes)")


def _export(painter: Painter, path: Path, about: dict) -> None:
    _need("onnx", "onnxscript", "onnxruntime")
    free = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about its own exporter
            program = torch.onnx.export(
                painter,
                (torch.full((2, 1, 96, 128), 50.0),),
                input_names=["lightness"],
                output_names=["ab"],
                dynamic_shapes=(free,),
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        first = str(error).strip().partition("\n")[0]
        raise UserError(f"this network ({painter.network.config.name}) can't be exported: {first}") from None
    kept = {"version": fastcolor.__version__, "size": about["size"]}
    program.model.metadata_props["fastcolor"] = json.dumps(kept)
    program.save(path, external_data=False)


@torch.no_grad()
def _difference(painter: Painter, path: Path) -> float:
    """The largest difference between onnxruntime's ab and torch's, in units of ab."""
    session, _ = open_onnx(path)
    rng = np.random.default_rng(0)
    most = 0.0
    for shape in SHAPES:
        lightness = rng.uniform(0, 100, shape).astype(np.float32)
        wanted = painter(torch.from_numpy(lightness)).numpy()
        most = np.maximum(most, np.abs(session.run(None, {"lightness": lightness})[0] - wanted).max())
    return float(most)


def open_onnx(path: Path) -> tuple["onnxruntime.InferenceSession", int]:  # noqa: F821 (an extra)
    """onnxruntime's session for a file that `fastcolor export` wrote, and the size that the network was trained at.

    Raises UserError if onnxruntime is missing, or can't open the file, or something else wrote it.
    """
    (onnxruntime,) = _need("onnxruntime")
    if not os.path.isfile(path):
        raise UserError(f"{path} does not exist: write it with `fastcolor export {path}`")
    try:
        session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        kept = json.loads(session.get_modelmeta().custom_metadata_map["fastcolor"])
        check_size(kept["size"])
        if [each.name for each in (*session.get_inputs(), *session.get_outputs())] != ["lightness", "ab"]:
            raise ValueError("other inputs and outputs")
        return session, kept["size"]
    except (KeyError, ValueError, TypeError, RecursionError):
        raise UserError(f"{path} was not written by fastcolor: write one with `fastcolor export`") from None
    except Exception as error:  # onnxruntime has an exception of its own for each way in which a file can be broken
        why = f"is damaged, or not an ONNX model ({one_line(error)})"
        raise UserError(f"{path} {why}: write it again with `fastcolor export`") from error


def _need(*names: str) -> list:
    try:
        return [__import__(name) for name in names]
    except ImportError as error:
        raise UserError(f"ONNX models need {error.name}: run `pip install 'fastcolor[onnx]'`") from None


def load_onnx(weights: Path, device: str) -> tuple[Callable[[Tensor], Tensor], dict]:
    """What runs a file that `fastcolor export` wrote, and what the file says of itself.

    It takes grey `(N, 1, h, w)` uint8 and gives ab `(N, 2, h, w)` float. onnxruntime runs it on the CPU, whatever
    `device` says. Raises UserError, also for a model that fails when it is run.
    """
    session, size = open_onnx(weights)

    def paint(grey: Tensor) -> Tensor:
        try:
            (ab,) = session.run(None, {"lightness": lightness_of(grey).numpy()})
            return torch.from_numpy(ab).view(len(grey), 2, *grey.shape[2:]).float()
        except Exception as error:  # one of onnxruntime's, or the result has another shape
            why = f"{weights} can't colour ({one_line(error)})"
            raise UserError(f"{why}: write it again with `fastcolor export`") from error

    return paint, {"size": size}
