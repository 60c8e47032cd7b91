"""Networks run by torch: those without an ONNX graph, those that change a photo's light too, and all on a GPU."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from fastcolor.colorize.engine import Engine, deaf
from fastcolor.device import choose_device
from fastcolor.networks.checkpoint import load_network
from fastcolor.networks.painter import Listener, Painter


class TorchEngine(Engine):
    """The network of a generator's `.safetensors` file on a device. Raises UserError for weights that can't be used."""

    def __init__(self, weights: Path, device: str = "auto", listens: bool = False):
        network, about = load_network(weights, "generator")
        if listens and not getattr(network, "hears", False):
            raise deaf(weights)
        self._device = choose_device(device)
        self.name, self.weights = f"torch {torch.__version__} on {self._device}", weights
        self.size, self.keeps_light = about["size"], about.get("keeps_light", True)
        painter = (Listener if listens else Painter)(network.to(self._device, memory_format=torch.channels_last))
        if self.keeps_light:
            self.inputs, self.outputs, self._painted = painter.inputs, painter.outputs, painter
        else:
            self.inputs, self.outputs, self._painted = {"photo": 3}, ("painted",), painter.translated

    @torch.inference_mode()
    def _run(self, inputs: dict[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        results = self._painted(*(torch.from_numpy(each).to(self._device) for each in inputs.values()))
        results = (results,) if isinstance(results, torch.Tensor) else results
        found = dict(zip(self.outputs, results, strict=True))
        return [found[name].float().cpu().numpy() for name in outputs]
