"""Colouring a photo pays for no library of training: fastai alone takes longer to import than many photos to colour."""

import subprocess
import sys

import pytest

FREE = ("photo", "color", "networks", "colorize", "app")

IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for name in (package.__name__, *(module.name for module in pkgutil.walk_packages(package.__path__, sys.argv[1] + "."))):
    importlib.import_module(name)
    found = {"fastai", "torchvision"} & {module.split(".")[0] for module in sys.modules}
    if found:
        sys.exit(f"{name} imports {found}")
"""


@pytest.mark.parametrize("room", FREE)
def test_a_room_that_colors_imports_neither_fastai_nor_torchvision(room):
    command = [sys.executable, "-c", IMPORT_ALL, f"fastcolor.{room}"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
