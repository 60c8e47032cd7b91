"""The generator as an ONNX file, for programs without torch; and such a file opened for `predict`.

    fastcolor export OUT.onnx --weights runs/NAME/stage4_gen.safetensors

The model takes `lightness`, `(batch, 1, height, width)` float32, L of CIE Lab, 0..100, and gives `ab`, `(batch, 2, height,
width)` float32, a and b of CIE Lab. Batch, height and width are free.
"""

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import fastcolor
from fastcolor.color.lab import lightness_of
from fastcolor.color.spaces import SPACES
from fastcolor.errors import UserError, one_line
from fastcolor.files import write_whole
from fastcolor.networks.checkpoint import check_size, load_network
from fastcolor.weights import BUNDLED

MOST_APART = 1e-3 * 110  # units of ab: what onnxruntime's result may differ by from torch's
SHAPES = ((1, 1, 64, 96), (2, 1, 128, 128), (1, 1, 203, 77))  # at which that is looked at


def main(
    out: str,  # the file to write, NAME.onnx
    weights: str | None = None,  # a generator's weights (default: those that ship)
):
    """Write a generator as an ONNX model that gives the same colours in onnxruntime, which is checked."""
    if Path(out).suffix.lower() != ".onnx":
        raise UserError(f"{out} is not named like an ONNX model: give NAME.onnx")
    path = Path(weights or BUNDLED)
    network, about = load_network(path, "generator")
    if not about.get("keeps_light", True):
        raise UserError(f"{path} translates photos, light and all, and an ONNX model gives ab alone: export a colouriser")
    painter = Painter(network).eval()
    with write_whole(out) as temporary:
        _export(painter, temporary, about)
        apart = _difference(painter, temporary)
        if not apart <= MOST_APART:  # nan too
            raise UserError(
                f"{out} was not written: in onnxruntime {path} differs by {apart:.3g} units of ab from torch; "
                "another onnxruntime or torch may do better"
            )
    print(f"{out}: lightness to ab; at {len(SHAPES)} sizes at most {apart:.1g} units of ab from torch's result")


class Painter(nn.Module):
    """L of CIE Lab, `(N, 1, H, W)`, to a and b, `(N, 2, H, W)`, of a generator of any space."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network, self.space = network, SPACES[network.config.space]

    def forward(self, lightness: Tensor) -> Tensor:
        """See the class."""
        return self.space.to_lab(self.network(self.space.inputs_of_lightness(lightness)))[:, 1:]


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
    """How far onnxruntime's ab is from torch's at most, in units of ab."""
    session, _ = open_onnx(path)
    rng = np.random.default_rng(0)
    most = 0.0
    for shape in SHAPES:
        lightness = rng.uniform(0, 100, shape).astype(np.float32)
        wanted = painter(torch.from_numpy(lightness)).numpy()
        most = np.maximum(most, np.abs(session.run(None, {"lightness": lightness})[0] - wanted).max())
    return float(most)


def open_onnx(path: Path) -> tuple["onnxruntime.InferenceSession", int]:  # noqa: F821 (an extra)
    """onnxruntime's session for a file that `export` wrote, and the size that the network was trained at.

    Raises UserError where onnxruntime is missing and for files that it can't open or that are others'.
    """
    (onnxruntime,) = _need("onnxruntime")
    if not os.path.isfile(path):
        raise UserError(f"{path} does not exist: `fastcolor export {path}` writes it")
    try:
        session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        kept = json.loads(session.get_modelmeta().custom_metadata_map["fastcolor"])
        check_size(kept["size"])
        if [each.name for each in (*session.get_inputs(), *session.get_outputs())] != ["lightness", "ab"]:
            raise ValueError("other inputs and outputs")
        return session, kept["size"]
    except (KeyError, ValueError, TypeError, RecursionError):
        raise UserError(f"{path} was not written by fastcolor: `fastcolor export` writes such files") from None
    except Exception as error:  # onnxruntime has an exception of its own for each way in which a file can be broken
        raise UserError(f"{path} is damaged or no ONNX model ({one_line(error)}): `fastcolor export` writes it again") from error


def _need(*names: str) -> list:
    try:
        return [__import__(name) for name in names]
    except ImportError as error:
        raise UserError(f"ONNX models need {error.name}: pip install 'fastcolor[onnx]'") from None


def _load_onnx(weights: Path, device: str) -> tuple[Callable[[Tensor], Tensor], dict]:
    """The same of a file that `fastcolor export` wrote, run by onnxruntime on the processor."""
    from fastcolor.colorize.onnx import open_onnx  # here: onnxruntime is an extra

    session, size = open_onnx(weights)

    def paint(grey: Tensor) -> Tensor:
        try:
            (ab,) = session.run(None, {"lightness": lightness_of(grey).numpy()})
            return torch.from_numpy(ab).view(len(grey), 2, *grey.shape[2:]).float()
        except Exception as error:  # of onnxruntime's, or of an array that is no picture: the file is no model of ours
            raise UserError(f"{weights} can't colour ({one_line(error)}): `fastcolor export` writes it again") from error

    return paint, {"size": size}
