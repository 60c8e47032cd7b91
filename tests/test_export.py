"""The ONNX model gives torch's colours, and says whose it is."""

import sys
from unittest.mock import Mock

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from fastcolor.colorize import export, onnx
from fastcolor.colorize.colorizer import Colorizer
from fastcolor.errors import UserError
from fastcolor.networks.checkpoint import load_network

# torch's exporter takes twenty seconds to begin, whatever the network
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def weights(finished_run):
    return finished_run / "stage4_gen.safetensors"


@pytest.fixture(scope="module")
def model(weights, tmp_path_factory):
    out = tmp_path_factory.mktemp("export") / "model.onnx"
    export.main(str(out), str(weights))
    return out


@pytest.mark.parametrize("shape", [(1, 40, 72), (3, 33, 50), (2, 96, 64)])
def test_onnxruntime_gives_the_networks_colors_at_any_size_and_batch(shape, weights, model):
    network, _ = load_network(weights, "generator")
    count, height, width = shape
    lightness = np.random.default_rng(1).uniform(0, 100, (count, 1, height, width)).astype(np.float32)
    ab = onnxruntime.InferenceSession(model).run(None, {"lightness": lightness})[0]
    with torch.no_grad():
        image = network((torch.from_numpy(lightness) - 50) / 25)
    assert ab.shape == (count, 2, height, width)
    assert np.abs(ab - 12.5 * image[:, 1:].numpy()).max() < 0.11
    assert np.abs(ab).max() > 1


def test_photos_are_colored_by_an_onnx_model_as_by_its_weights(weights, model, monkeypatch):
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8), np.uint8)).resize((90, 70))
    monkeypatch.setattr(onnx, "graph_of", lambda *_: None)
    colorizers = Colorizer(weights), Colorizer(model)
    assert [each.engine.name.split()[0] for each in colorizers] == ["torch", "onnxruntime"]
    by_torch, by_onnx = (np.asarray(each(photo), int) for each in colorizers)
    assert np.abs(by_torch - by_onnx).max() <= 1
    assert np.ptp(by_onnx, axis=2).max() > 3


def test_an_export_that_gives_other_colors_is_not_kept(finished_run, model, tmp_path, monkeypatch):
    """What is exported, stage 4's network, is compared with stage 1's here."""
    weights = finished_run / "stage1_gen.safetensors"
    exported = Mock(**{"model.metadata_props": {}})
    exported.save = lambda path, **_: path.write_bytes(model.read_bytes())
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: exported)
    with pytest.raises(UserError, match="colours differ"):
        export.main(str(tmp_path / "model.onnx"), str(weights))
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_no_such_models_are_named(model, tmp_path):
    with pytest.raises(UserError, match="NAME.onnx"):
        export.main(str(tmp_path / "model.pt"))
    with pytest.raises(UserError, match=r"missing\.onnx"):
        Colorizer(tmp_path / "missing.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(model.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"broken\.onnx is damaged"):
        Colorizer(broken)
    from onnx import load, save

    foreign = load(model)
    del foreign.metadata_props[:]
    save(foreign, tmp_path / "foreign.onnx")
    with pytest.raises(UserError, match=r"foreign\.onnx was not written by fastcolor"):
        Colorizer(tmp_path / "foreign.onnx")


def test_what_is_missing_is_named(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"onnxscript: run `pip install 'fastcolor\[onnx\]'`"):
        export.main(str(tmp_path / "model.onnx"))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match="onnxruntime, which is not installed: run `pip install onnxruntime`"):
        Colorizer(model)
