"""The weights that ship, and what else may stand for a weights file; README.md beside them is their model card."""

import os
from pathlib import Path

from fastcolor.errors import UserError

GRAPHS = Path(__file__).parent
"""Where the ONNX graphs of networks lie, without weights: see `fastcolor.colorize.onnx`."""

BUNDLED = GRAPHS / "photo.safetensors"
"""The weights that ship, trained on photos; see the model card beside them."""

LEAN = GRAPHS / "lean.safetensors"
"""Those of a network half the size, which training begins with; they shipped until version 0.2."""

BEST_FIRST = ("photo", "stage4_gen", "stage1_gen", "photo_to_monet")
"""Which weights stand for a run folder that holds several, without ".safetensors"."""


def weights_file(given: str | Path | None = None) -> Path:
    """The weights file that `given` names: None or "bundled", "lean", a run folder (its best weights), or a file,
    returned as it is.

    Raises UserError for a folder without a generator's weights.
    """
    if given is None or str(given) == "bundled":
        return BUNDLED
    if str(given) == "lean":
        return LEAN
    path = Path(given)
    if not os.path.isdir(path):  # not Path's: names that can't exist are for those who open it
        return path
    held = {file.stem: file for file in sorted(path.glob("*.safetensors")) if "critic" not in file.stem}
    found = next((held[name] for name in (*BEST_FIRST, *held) if name in held), None)
    if found is None:
        raise UserError(f"{path} holds no weights to colour with: give a weights file, or another run folder")
    return found
