"""What runs a network: onnxruntime and torch give the same, and say what they are and what they can't."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from helpers import TINY
from onnx import TensorProto, helper

from fastcolor import Colorizer, stage1_pretrain_gen
from fastcolor.colorize import export, graph
from fastcolor.colorize import onnx as graphs
from fastcolor.colorize.load import load_engine
from fastcolor.colorize.onnx import HINTS, graph_of
from fastcolor.colorize.with_torch import TorchEngine
from fastcolor.errors import UserError
from fastcolor.networks.checkpoint import load_tensors, save_half, save_network, save_tensors
from fastcolor.networks.classic import SkipUNet, SkipUNetConfig
from fastcolor.networks.hint_unet import HintUNetConfig
from fastcolor.networks.registry import build, config_of_file
from fastcolor.networks.unet import LabUNet, UNetConfig
from fastcolor.weights import BUNDLED, GRAPHS


def light(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 100, shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(1, 1, 160, 213), (3, 1, 64, 64), (1, 1, 77, 33)])
def test_the_weights_that_ship_give_the_same_colors_by_onnxruntime_as_by_torch(shape):
    """If this fails after a change of the network: `python -m fastcolor.colorize.graph`."""
    engines = load_engine(BUNDLED), TorchEngine(BUNDLED, "cpu")
    assert [engine.name.split()[0] for engine in engines] == ["onnxruntime", "torch"]
    assert (engines[0].inputs, engines[0].outputs) == (engines[1].inputs, engines[1].outputs)
    one, other = (engine(light(*shape)) for engine in engines)
    assert one.shape == other.shape == (shape[0], 2, *shape[2:])
    assert np.abs(one - other).max() < 0.01  # units of ab, of 110; what is asked for is 0.11
    assert np.abs(one).max() > 1  # of noise


def save_random(path: Path, config) -> Path:
    """Weights of a network of which every part has something to say, as a file of the kind that ships."""
    torch.manual_seed(0)
    network = build(config)
    for value in network.parameters():
        if not value.any():  # blocks and ears begin as nothing
            torch.nn.init.normal_(value, std=0.02)
    for name, value in network.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            value.uniform_(0.5, 1.5)
    save_network(path, network, "generator", size=64)
    save_half(path, path)
    return path


def check_same_colors(by_onnx: Path, weights: Path) -> None:
    engines = load_engine(by_onnx), TorchEngine(weights, "cpu")
    assert engines[0].name.startswith("onnxruntime")
    assert (engines[0].inputs, engines[0].outputs) == (engines[1].inputs, engines[1].outputs)
    for shape in [(1, 1, 224, 299), (2, 1, 64, 96), (1, 1, 77, 33), (1, 1, 32, 128)]:
        one, other = (engine(light(*shape)) for engine in engines)
        assert one.shape == other.shape == (shape[0], 2, *shape[2:])
        assert np.abs(one - other).max() < 0.01  # units of ab, as above
        assert np.ptp(one) > 1


def check_same_with_points(weights: Path) -> None:
    engines = load_engine(weights, listens=True), TorchEngine(weights, "cpu", listens=True)
    assert [engine.name.split()[0] for engine in engines] == ["onnxruntime", "torch"]
    assert engines[0].inputs == engines[1].inputs == {"lightness": 1, "points": 3}
    assert engines[0].outputs == engines[1].outputs == ("ab", "classes", "likeness")
    for shape in [(1, 1, 64, 99), (2, 1, 77, 33)]:
        points = np.zeros((shape[0], 3, *shape[2:]), np.float32)
        points[:, :, 8:12, 20:24] = np.float32([60, 40, 1])[:, None, None]
        results = [engine.run(engine.outputs, light(*shape), points=points) for engine in engines]
        for one, other, most in zip(*results, (0.01, 1e-4, 1e-3), strict=True):
            assert one.shape == other.shape
            assert np.abs(one - other).max() < most * max(1, np.abs(other).max())
        assert np.abs(results[0][0] - engines[0](light(*shape))).max() > 1  # they are heard


@pytest.mark.parametrize("shipped", sorted(GRAPHS.glob("*.onnx")), ids=lambda path: path.stem)
def test_a_graph_that_ships_gives_torchs_colors_with_any_weights(shipped, tmp_path):
    model = onnx.load(shipped, load_external_data=False)
    config = json.loads({each.key: each.value for each in model.metadata_props}["fastcolor"])["config"]
    listens = shipped.name.endswith(HINTS)
    assert graph_of(config, HINTS if listens else ".onnx") == shipped
    weights = save_random(tmp_path / "w.safetensors", config_of_file("generator", config))
    if listens:
        check_same_with_points(weights)
    else:
        check_same_colors(weights, weights)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_network_that_listens_has_a_graph_and_a_model_that_give_torchs_colors(tmp_path, monkeypatch):
    monkeypatch.setattr(graph, "GRAPHS", tmp_path)
    monkeypatch.setattr(graphs, "GRAPHS", tmp_path)
    weights = save_random(tmp_path / "w.safetensors", HintUNetConfig(arch="efficientnet_lite0"))
    assert load_engine(weights).name.startswith("torch")
    graph.main(weights)
    assert (tmp_path / "hint_unet-lab-efficientnet_lite0-320-4-2.onnx").stat().st_size < 200e3
    check_same_colors(weights, weights)
    check_same_with_points(weights)
    export.main(str(tmp_path / "model.onnx"), str(weights))
    check_same_colors(tmp_path / "model.onnx", weights)


def test_whoever_trains_with_the_stages_gets_weights_that_color_without_torch(scenes, tmp_path):
    stage1_pretrain_gen.main(data=str(scenes), run=str(tmp_path), pretrained="none", epochs=1, **TINY)
    colorizer = Colorizer(tmp_path / "stage1_gen.safetensors")
    assert colorizer.engine.name.startswith("onnxruntime")
    by_torch = TorchEngine(tmp_path / "stage1_gen.safetensors", "cpu")
    given = light(2, 1, 48, 64)
    np.testing.assert_allclose(colorizer.engine(given), by_torch(given), rtol=0, atol=0.01)


def test_other_networks_are_run_by_torch(tmp_path):
    torch.manual_seed(0)
    save_network(tmp_path / "w.safetensors", SkipUNet(SkipUNetConfig(depth=5)), "generator", size=32)
    engine = load_engine(tmp_path / "w.safetensors")
    assert engine.name.startswith("torch")
    assert engine(light(1, 1, 32, 32)).shape == (1, 2, 32, 32)
    assert load_engine(BUNDLED, "cpu").name.startswith("onnxruntime")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tensors, about: tensors.pop("head.weight"),
        lambda tensors, about: tensors.update({"head.weight": tensors["head.weight"][:1].clone()}),
        lambda tensors, about: tensors.update({"head.weight": tensors["head.weight"].int()}),
        lambda tensors, about: tensors["head.bias"].fill_(torch.nan),
        lambda tensors, about: tensors.update(lightness=torch.zeros(1)),
        lambda tensors, about: about.update(size=7),
        lambda tensors, about: about.pop("size"),
    ],
)
def test_weights_that_do_not_fit_the_graph_are_refused(spoil, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # onnxruntime looks for a file there, named after what is missing
    tensors, about = load_tensors(BUNDLED, "weights")
    spoil(tensors, about)
    save_tensors("w.safetensors", tensors, about)
    with pytest.raises(UserError, match="w.safetensors does not fit its own config"):
        load_engine(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    "config", [None, [], {}, {"name": "../photo"}, {"name": ["unet"]}, {"name": "unet", "blocks": 3}]
)
def test_a_config_without_a_graph_has_none(config):
    assert graph_of(config) is None


def test_infinite_colors_are_no_colors(tmp_path):
    torch.manual_seed(0)
    network = LabUNet(UNetConfig())
    with torch.no_grad():
        network.encoder[0][0].weight.mul_(1e38)
    save_network(tmp_path / "w.safetensors", network, "generator", size=64)
    with pytest.raises(UserError, match="gives no colours"):
        load_engine(tmp_path / "w.safetensors")(light(1, 1, 64, 64))


@pytest.fixture
def listening(tmp_path):
    """An ONNX model with a further input, points of colour, and a further output: ab = the points' own, classes = L."""
    floats = TensorProto.FLOAT
    free = ["batch", None, "height", "width"]
    inputs = [
        helper.make_tensor_value_info(name, floats, [free[0], channels, *free[2:]])
        for name, channels in (("lightness", 1), ("hints", 3))
    ]
    outputs = [
        helper.make_tensor_value_info(name, floats, [free[0], channels, *free[2:]])
        for name, channels in (("ab", 2), ("classes", 1))
    ]
    nodes = [
        helper.make_node("Slice", ["hints", "first", "last", "axis"], ["ab"]),
        helper.make_node("Identity", ["lightness"], ["classes"]),
    ]
    numbers = [helper.make_tensor(n, TensorProto.INT64, [1], [v]) for n, v in (("first", 0), ("last", 2), ("axis", 1))]
    graph = helper.make_graph(nodes, "listening", inputs, outputs, numbers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {"fastcolor": json.dumps({"size": 64})})
    onnx.save(model, tmp_path / "listening.onnx")
    return tmp_path / "listening.onnx"


def test_further_inputs_and_outputs_go_through_the_same_engine(listening):
    engine = load_engine(listening)
    assert (engine.inputs, engine.outputs) == ({"lightness": 1, "hints": 3}, ("ab", "classes"))
    lightness, hints = light(2, 1, 8, 9), light(2, 3, 8, 9)
    assert np.array_equal(engine(lightness, hints=hints), hints[:, :2])
    assert not engine(lightness).any()  # left out, they are 0
    classes, ab = engine.run(("classes", "ab"), lightness, hints=hints)
    assert np.array_equal(classes, lightness) and np.array_equal(ab, hints[:, :2])
    with pytest.raises(TypeError, match="like"):
        engine(lightness, like=hints)
