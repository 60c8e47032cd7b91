"""What people install: the wheel has all that colours, and works from an empty folder. Needs the package index."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastcolor.scenes.landscapes import draw_scene

TOP = Path(__file__).parents[1]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
NEEDED = ("weights/photo.safetensors", "weights/hint_unet-lab-efficientnet_lite2-320-4-2.onnx")
NEEDED += ("weights/lean.safetensors", "weights/unet-lab-resnet18-4-3.onnx", "app/page/index.html", "CHANGELOG.md")


def run(*command: str | Path, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with wheel and sdist."""
    source, out = tmp_path_factory.mktemp("source") / "fastcolor", tmp_path_factory.mktemp("dist")
    shutil.copytree(TOP, source, ignore=shutil.ignore_patterns(".git", "runs", "build", "*.egg-info", "__pycache__"))
    run(sys.executable, "-m", "build", "--outdir", out, source, cwd=out)
    return out


@pytest.fixture
def empty(tmp_path) -> Path:
    """A folder with nothing but a grey photo."""
    draw_scene(20, 96).convert("L").save(tmp_path / "old.png")
    return tmp_path


def is_colored(path: Path) -> bool:
    return np.ptp(np.asarray(Image.open(path), int), axis=2).mean() > 5


def test_wheel_and_sdist_are_complete(built):
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive, tarfile.open(sdist) as source:
        in_wheel, in_sdist = archive.namelist(), [name.partition("/")[2] for name in source.getnames()]
    for name in NEEDED:
        assert f"fastcolor/{name}" in in_wheel and f"fastcolor/{name}" in in_sdist
    assert "PASSED" in run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist, cwd=built)


def test_the_documented_line_installs_what_colors_and_no_more(built, empty):
    (wheel,) = built.glob("*.whl")
    documented = r"^pip install (.*) && pip install --no-deps -e \."
    (line,) = re.findall(documented, (TOP / "README.md").read_text(), re.MULTILINE)
    python = empty / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    run("uv", "venv", "-q", "--python", sys.executable, "venv", cwd=empty)
    run("uv", "pip", "install", "-q", "--python", python, *line.replace("'", "").split(), cwd=empty)
    run("uv", "pip", "install", "-q", "--python", python, "--no-deps", wheel, cwd=empty)
    assert "onnxruntime" in run(
        python.with_name("fastcolor"), "colorize", "old.png", "-o", "out", "--verbose", cwd=empty
    )
    assert is_colored(empty / "out/old.png")
    assert "torch is not installed" in run(python.with_name("fastcolor"), "--version", cwd=empty)
    size = sum(file.stat().st_size for file in (empty / "venv").rglob("*") if file.is_file() and not file.is_symlink())
    assert size < 250e6


def test_uvx_colors_with_the_wheel(built, empty):
    (wheel,) = built.glob("*.whl")
    run("uvx", "--python", sys.executable, "--from", wheel, "fastcolor", "colorize", "old.png", "-o", "out", cwd=empty)
    assert is_colored(empty / "out/old.png")
