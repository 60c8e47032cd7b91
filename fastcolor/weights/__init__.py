"""The weights that ship; README.md beside them is their model card."""

from pathlib import Path

GRAPHS = Path(__file__).parent
"""Where the ONNX graphs of networks lie, without weights: see `fastcolor.colorize.onnx`."""

BUNDLED = GRAPHS / "photo.safetensors"
"""The weights that ship, trained on photos; see the model card beside them."""
