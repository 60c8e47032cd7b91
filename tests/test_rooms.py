"""Colouring a photo pays for no library of training: fastai alone takes longer to import than many photos to colour."""

import subprocess
import sys

FREE = ("photo", "color", "networks", "colorize", "app")

IMPORT_ALL = """
import importlib, pkgutil, sys
for room in sys.argv[1:]:
    package = importlib.import_module(room)
    for name in (room, *(module.name for module in pkgutil.walk_packages(package.__path__, f"{room}."))):
        importlib.import_module(name)
        found = {"fastai", "torchvision"} & {module.split(".")[0] for module in sys.modules}
        if found:
            sys.exit(f"{name} imports {found}")
"""


def test_rooms_that_color_import_neither_fastai_nor_torchvision():
    command = [sys.executable, "-c", IMPORT_ALL, *(f"fastcolor.{room}" for room in FREE)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
