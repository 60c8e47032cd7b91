"""Colouring where torch and fastai are not installed: `.ci/run` runs this in such an environment, too."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

WITHOUT = """
import runpy, sys
for name in ("torch", "torchvision", "fastai"):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
"""
COMMAND = "from fastcolor.cli import main; sys.exit(main())"
PREDICT = """
import fastcolor
colorizer = fastcolor.Colorizer()
print(colorizer.engine.name)
fastcolor.predict(sys.argv[1]).save(sys.argv[2])
colorizer.batch([sys.argv[1]] * 2)[1].save(sys.argv[3])
colorizer(sys.argv[1], hints=[fastcolor.Hint(0.5, 0.5, "#2b4c9b")], like=sys.argv[4]).save(sys.argv[5])
print(len(colorizer.suggest(sys.argv[1], 0.5, 0.5)))
"""
PAGE = """
import time
from pathlib import Path
from starlette.testclient import TestClient
from fastcolor.app.server import build
with TestClient(build(Path("runs")), base_url="http://localhost") as page:
    photo = page.post("/photos", params={"name": "old.png"}, content=Path(sys.argv[1]).read_bytes()).json()
    for _ in range(600):
        found = page.get("/photos", params={"ids": photo["id"]}).json()[photo["id"]]
        if found["state"] in ("done", "failed"):
            break
        time.sleep(0.1)
    assert found["sentence"] is None, found
    Path(sys.argv[2]).write_bytes(page.get(f"/photos/{photo['id']}/result").content)
"""


def run(code: str, *arguments: str, cwd, returncode: int = 0) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", WITHOUT + code, "fastcolor", *map(str, arguments)]
    top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    path = {"PYTHONPATH": os.environ.get("PYTHONPATH", top)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd, env={**os.environ, **path})
    assert done.returncode == returncode, done.stderr
    return done


@pytest.fixture
def photo(tmp_path):
    """A drawn landscape in grey, which the weights that ship give colours; and one in colour beside it."""
    from fastcolor.scenes.landscapes import draw_scene

    draw_scene(21, 96).save(tmp_path / "reference.png")
    draw_scene(20, 96).convert("L").save(tmp_path / "old.png")
    return tmp_path / "old.png"


def is_colored(path) -> bool:
    return np.ptp(np.asarray(Image.open(path).convert("RGB"), int), axis=2).mean() > 5


def test_the_command_colors(photo, tmp_path):
    done = run(COMMAND, "colorize", photo, "-o", "out", "--verbose", cwd=tmp_path)
    assert "photo.safetensors, run by onnxruntime" in done.stdout
    assert is_colored(tmp_path / "out/old.png")


def test_python_colors(photo, tmp_path):
    done = run(PREDICT, photo, "one.png", "two.png", "reference.png", "own.png", cwd=tmp_path)
    assert done.stdout.startswith("onnxruntime")
    assert is_colored(tmp_path / "one.png")
    assert np.array_equal(Image.open(tmp_path / "one.png"), Image.open(tmp_path / "two.png"))
    assert not np.array_equal(Image.open(tmp_path / "one.png"), Image.open(tmp_path / "own.png"))


def test_the_page_colors(photo, tmp_path):
    run(PAGE, photo, "result.png", cwd=tmp_path)
    assert is_colored(tmp_path / "result.png")


@pytest.mark.parametrize("command", ["train", "stage1", "stage4", "pix2pix", "evaluate", "export"])
def test_what_trains_says_in_one_sentence_what_to_install(command, tmp_path):
    done = run(COMMAND, command, cwd=tmp_path, returncode=2)
    said = "this command needs torch, which is not installed: run `pip install torch torchvision fastai`"
    assert done.stderr == f"fastcolor {command}: {said}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_gpu_needs_torch(device, photo, tmp_path):
    done = run(COMMAND, "colorize", photo, "-o", "out", "--device", device, cwd=tmp_path, returncode=2)
    assert f"--device {device} needs torch" in done.stderr
