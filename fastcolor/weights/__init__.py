"""The weights that ship; README.md beside them is their model card."""

from pathlib import Path

BUNDLED = Path(__file__).parent / "photo.safetensors"
"""The weights that ship, trained on photos; see the model card beside them."""
