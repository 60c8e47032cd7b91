"""Which engine runs which weights.

onnxruntime takes a quarter of a second to start, torch several. It runs `.onnx` files, and every weights file whose
network has its graph in `fastcolor/weights`: that of the weights that ship, and of what the four stages write.
"""

from pathlib import Path

from fastcolor.colorize.engine import Engine, deaf
from fastcolor.colorize.onnx import open_model, open_weights
from fastcolor.errors import missing
from fastcolor.flags import DEVICES, one_of


def load_engine(weights: Path, device: str = "auto", listens: bool = False) -> Engine:
    """What runs a generator's weights: onnxruntime on the CPU where it can, else torch, also for `device` cuda and mps.

    With `listens`, it has the inputs and outputs of `Listener`. Raises UserError for weights that can't be used, and
    where something that they need is not installed.
    """
    one_of("device", device, DEVICES)
    if weights.suffix.lower() == ".onnx":
        if listens:
            raise deaf(weights)
        return open_model(weights)
    if device in ("auto", "cpu") and (engine := open_weights(weights, listens=listens)):
        return engine
    try:
        from fastcolor.colorize.with_torch import TorchEngine
    except ModuleNotFoundError as error:
        raise missing(str(weights) if device == "auto" else f"--device {device}", error) from None
    return TorchEngine(weights, device, listens)
