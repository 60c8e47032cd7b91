"""Weights files rebuild their own network, and refuse everything else with one sentence."""

import json
import pickle
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import fastcolor
from fastcolor.colorize.colorizer import predict
from fastcolor.errors import UserError
from fastcolor.networks.checkpoint import (
    FORMAT,
    load_network,
    load_tensors,
    save_half,
    save_network,
    save_tensors,
    save_vivid,
)
from fastcolor.networks.critics import PatchCriticConfig
from fastcolor.networks.hint_unet import HintUNetConfig
from fastcolor.networks.registry import build
from fastcolor.networks.unet import UNetConfig
from fastcolor.weights import BUNDLED, LEAN


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    return build(UNetConfig(chroma_stride=2)).eval()


@pytest.fixture
def weights(generator, tmp_path):
    save_network(tmp_path / "gen.safetensors", generator, "generator", stage=1, size=64)
    return tmp_path / "gen.safetensors"


def test_a_weights_file_alone_rebuilds_its_network(generator, weights):
    loaded, about = load_network(weights, "generator")
    x = torch.rand(1, 1, 48, 48)
    with torch.no_grad():
        assert torch.equal(loaded(x), generator(x))
    assert (about["stage"], about["size"], about["version"]) == (1, 64, fastcolor.__version__)
    assert about["config"] == {"name": "unet", "space": "lab", "arch": "resnet18", "chroma_stride": 2, "blocks": 3}
    assert not loaded.training


def test_writing_leaves_nothing_beside_the_file(weights):
    assert [path.name for path in weights.parent.iterdir()] == ["gen.safetensors"]


@pytest.mark.parametrize("keep", [0, 3, 100, 0.5, 0.999])
def test_a_truncated_file_is_refused(weights, keep):
    content = weights.read_bytes()
    weights.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(UserError, match="gen.safetensors is truncated.*run the stage again"):
        load_network(weights, "generator")


class Bomb:
    """Writes a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("write", ["torch", "pickle"])
def test_a_pickle_is_refused_and_never_run(write, tmp_path):
    path, trace = tmp_path / "gen.pth", tmp_path / "trace"
    if write == "torch":
        torch.save(Bomb(trace), path)
    else:
        path.write_bytes(pickle.dumps(Bomb(trace)))
    with pytest.raises(UserError, match="gen.pth is a pickle.*safetensors"):
        load_network(path, "generator")
    assert not trace.exists()


def test_a_critic_is_no_generator(tmp_path):
    save_network(tmp_path / "c.safetensors", build(PatchCriticConfig()), "critic", stage=3, size=64)
    with pytest.raises(UserError, match="holds critic, not a generator"):
        load_network(tmp_path / "c.safetensors", "generator")


def rewritten(weights, change, alter=lambda tensors: None):
    """The weights file with metadata changed by `change`, and tensors by `alter`; its checksum is right."""
    tensors, metadata = load_tensors(weights, "weights")
    change(metadata)
    alter(tensors)
    save_tensors(weights, tensors, metadata)
    return weights


def test_a_flipped_bit_is_noticed_wherever_it_is(weights):
    content = bytearray(weights.read_bytes())
    header = int.from_bytes(content[:8], "little")
    for place in (content.index(b'"stage') + 10, 8 + header, len(content) - 1):
        content[place] ^= 1
        weights.write_bytes(content)
        with pytest.raises(UserError, match=r"gen\.safetensors is damaged \(its checksum is wrong\)"):
            load_network(weights, "generator")
        content[place] ^= 1
    weights.write_bytes(content)
    load_network(weights, "generator")


def test_a_file_of_the_first_version_has_no_checksum_and_is_taken(weights):
    tensors, metadata = load_tensors(weights, "weights")
    save_file(tensors, weights.with_name("old.safetensors"), {"fastcolor": json.dumps(metadata)})
    assert "sha256" not in metadata
    assert load_network(weights.with_name("old.safetensors"), "generator")[1] == metadata


def test_the_same_content_gives_the_same_bytes(weights, tmp_path):
    tensors, metadata = load_tensors(weights, "weights")
    save_tensors(tmp_path / "again.safetensors", dict(reversed(tensors.items())), metadata)
    assert (tmp_path / "again.safetensors").read_bytes() == weights.read_bytes()


def test_metadata_whose_keys_json_turns_into_text_keep_their_checksum(tmp_path):
    save_tensors(tmp_path / "state.safetensors", {"a": torch.zeros(2)}, {"turns": {2: (0.5, None), 10: 1}})
    assert load_tensors(tmp_path / "state.safetensors", "state")[1]["turns"] == {"2": [0.5, None], "10": 1}


def test_a_newer_format_is_refused(weights):
    rewritten(weights, lambda about: about.update(format=FORMAT + 1))
    with pytest.raises(UserError, match="newer fastcolor.*upgrade"):
        load_network(weights, "generator")


def test_a_foreign_safetensors_file_is_refused(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="was not written by fastcolor"):
        load_network(tmp_path / "other.safetensors", "generator")


@pytest.mark.parametrize(
    "change",
    [
        lambda about: about["config"].update(chroma_stride=4),
        lambda about: about["config"].update(name="transformer"),
        lambda about: about["config"].update(colour="red"),
        lambda about: about["config"].update(arch="get_weight"),
        lambda about: about.pop("config"),
        lambda about: about.pop("size"),
        *(
            lambda about, size=size: about.update(size=size)
            for size in (None, "64", 64.0, True, -64, 31, 5000, float("nan"), 10**400)
        ),
        lambda about: about.update(config=[1, 2]),
        lambda about: about["config"].update(space="rgb"),
        lambda about: about["config"].update(space=["lab"]),
        lambda about: about["config"].update(blocks=10**9),
        lambda about: about["config"].update(blocks=True),
        lambda about: about["config"].update(arch="\x1b[2J" * 10**5),
        lambda about: about.update(keeps_light="no"),
        lambda about: about.update(keeps_light=False),
    ],
)
def test_weights_that_do_not_fit_their_config_are_refused(weights, change):
    with pytest.raises(UserError, match="gen.safetensors does not fit its own config") as caught:
        load_network(rewritten(weights, change), "generator")
    assert str(caught.value).isprintable() and len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "alter",
    [
        lambda tensors: tensors["head.bias"].fill_(float("nan")),
        lambda tensors: tensors["head.weight"].fill_(float("inf")),
        lambda tensors: tensors.update({"head.bias": torch.tensor([1e300, 0], dtype=torch.float64)}),
        lambda tensors: tensors.update({"head.bias": tensors["head.bias"].to(torch.complex64)}),
        lambda tensors: tensors.update({"head.bias": tensors["head.bias"].to(torch.int8)}),
        lambda tensors: tensors.update({"head.bias": tensors["head.bias"][:0]}),
        lambda tensors: tensors.pop("head.bias"),
        lambda tensors: tensors.update({"\x1b[2J": torch.zeros(1)}),
    ],
    ids=["nan", "inf", "too large", "complex", "integers", "empty", "missing", "one more"],
)
def test_tensors_that_are_no_weights_of_the_network_are_refused(weights, alter):
    with pytest.raises(UserError, match="gen.safetensors does not fit its own config") as caught:
        load_network(rewritten(weights, lambda about: None, alter), "generator")
    assert str(caught.value).isprintable()


def test_a_network_that_would_fill_the_memory_is_refused_before_it_is_built(tmp_path):
    config = {"name": "skip_unet", "space": "rgb_unit", "depth": 8, "channels": 4096, "norm": "batch"}
    metadata = {"kind": "generator", "size": 64, "config": config}
    save_tensors(tmp_path / "large.safetensors", {"a": torch.zeros(2)}, metadata)  # 1 TB, as its config has it
    start = time.monotonic()
    with pytest.raises(UserError, match="does not fit its own config"):
        load_network(tmp_path / "large.safetensors", "generator")
    assert time.monotonic() - start < 2


def test_a_loaded_network_does_not_lean_on_its_file(weights, generator):
    loaded, _ = load_network(weights, "generator")
    weights.write_bytes(bytes(weights.stat().st_size))
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), generator.parameters(), strict=True))


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(UserError, match="nowhere.safetensors does not exist"):
        load_network(tmp_path / "nowhere.safetensors", "generator")


def test_weights_at_half_the_size_color_alike(tmp_path):
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    save_network(whole, load_network(LEAN, "generator")[0], "generator", size=64)
    save_half(whole, half)
    assert half.stat().st_size < 0.52 * whole.stat().st_size
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8), np.uint8)).resize((90, 70))
    one, other = (np.asarray(predict(photo, weights), int) for weights in (whole, half))
    assert np.ptp(one, axis=2).max() > 3
    assert np.abs(one - other).max() <= 1


def test_vivid_weights_give_so_much_more_chroma(tmp_path):
    whole, vivid = tmp_path / "whole.safetensors", tmp_path / "vivid.safetensors"
    torch.manual_seed(0)
    save_network(whole, build(UNetConfig()), "generator", size=64)
    save_half(whole, vivid, size=48)
    save_vivid(vivid, 1.5)
    light = torch.linspace(-1, 1, 32 * 32).view(1, 1, 32, 32)
    with torch.no_grad():
        before, after = (load_network(path, "generator")[0](light)[:, 1:] for path in (whole, vivid))
    assert (after.norm() / before.norm()).item() == pytest.approx(1.5, rel=0.05)
    assert load_network(vivid, "generator")[1]["size"] == 48


@pytest.mark.parametrize(("weights", "config", "most"), [(BUNDLED, HintUNetConfig(), 25e6), (LEAN, UNetConfig(), 12e6)])
def test_the_weights_that_ship_fit_their_networks_and_the_promise(weights, config, most):
    network, about = load_network(weights, "generator")
    assert network.config == config
    assert weights.stat().st_size <= most
    assert about["size"] >= 96
