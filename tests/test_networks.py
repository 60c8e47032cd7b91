"""Generators and critics: shapes at odd sizes, what they must keep, rebuilding from a config."""

import json
from dataclasses import asdict

import pytest
import torch
import torch.nn.functional as F
import torchvision

from fastcolor.color.spaces import SPACES
from fastcolor.networks.critics import PatchCriticConfig
from fastcolor.networks.fastai_nets import DynamicUnetConfig, FastaiCriticConfig
from fastcolor.networks.hint_unet import HintUNetConfig
from fastcolor.networks.registry import build, config_of_file
from fastcolor.networks.unet import UNetConfig, attention

GENERATORS = [
    UNetConfig(),
    UNetConfig(arch="resnet34", chroma_stride=2),
    HintUNetConfig(arch="resnet18", blocks=1),
    HintUNetConfig(arch="efficientnet_lite2"),
    DynamicUnetConfig(arch="resnet18", size=64),
]
CRITICS = [PatchCriticConfig(), PatchCriticConfig(space="rgb"), FastaiCriticConfig()]


def grey_input(config, height: int, width: int, n: int = 1) -> torch.Tensor:
    torch.manual_seed(1)
    return SPACES[config.space].inputs(torch.rand(n, 1, height, width))


@pytest.mark.parametrize("config", GENERATORS, ids=lambda config: f"{config.name}-{config.arch}")
@pytest.mark.parametrize("size", [(64, 64), (33, 71), (1, 1), (5, 130)])
def test_generators_return_an_image_of_any_inputs_size(config, size):
    torch.manual_seed(0)
    with torch.no_grad():
        image = build(config).eval()(grey_input(config, *size))
    assert image.shape == (1, 3, *size)
    assert image.isfinite().all()


def test_the_lab_generator_returns_the_inputs_own_light():
    torch.manual_seed(0)
    x = grey_input(UNetConfig(), 40, 52, n=2)
    image = build(UNetConfig())(x)
    assert torch.equal(image[:, :1], x)
    assert image[:, 1:].abs().max() <= 110 / 12.5


def test_colors_of_a_place_follow_from_the_whole_picture():
    torch.manual_seed(0)
    network = build(UNetConfig()).eval()
    torch.nn.init.normal_(network.decoder[0][0].out.weight)  # attention begins as the identity
    x = grey_input(UNetConfig(), 256, 256)
    other = x.clone()
    other[..., -8:, -8:] = 1
    with torch.no_grad():
        assert not torch.equal(network(x)[..., :8, :8], network(other)[..., :8, :8])


@pytest.mark.parametrize("config", GENERATORS, ids=lambda config: f"{config.name}-{config.arch}")
def test_layer_groups_hold_every_parameter_once(config):
    network = build(config)
    grouped = [id(p) for group in network.layer_groups() for p in group.parameters()]
    assert sorted(grouped) == sorted(id(p) for p in network.parameters())


@pytest.mark.parametrize("config", GENERATORS, ids=lambda config: f"{config.name}-{config.arch}")
def test_a_generator_rebuilds_from_its_configs_fields(config):
    torch.manual_seed(0)
    network = build(config)
    rebuilt = build(config_of_file("generator", json.loads(json.dumps(asdict(config)))))
    rebuilt.load_state_dict(network.state_dict())
    x = grey_input(config, 64, 64)
    with torch.no_grad():
        assert torch.equal(network.eval()(x), rebuilt.eval()(x))


@pytest.mark.parametrize("config", CRITICS, ids=lambda config: f"{config.name}-{config.space}")
@pytest.mark.parametrize("size", [(64, 64), (33, 71), (32, 32)])
def test_critics_judge_images_of_any_size(config, size):
    torch.manual_seed(0)
    critic = build(config_of_file("critic", json.loads(json.dumps(asdict(config))))).eval()
    with torch.no_grad():
        logits = critic(torch.randn(2, 3, *size))
    assert logits.ndim == 2
    assert len(logits) == 2


@pytest.mark.parametrize("config", CRITICS, ids=lambda config: f"{config.name}-{config.space}")
def test_a_critics_verdict_does_not_depend_on_the_batch_in_training_either(config):
    torch.manual_seed(0)
    critic, images = build(config).eval(), torch.randn(3, 3, 64, 64)
    for module in critic.modules():  # as in training, but for dropout and spectral norm's own steps
        module.train("Norm" in type(module).__name__ and "Spectral" not in type(module).__name__)
    with torch.no_grad():
        torch.testing.assert_close(critic(images)[1:2], critic(images[1:2]), rtol=1e-4, atol=1e-4)


def test_the_lean_critic_does_not_see_how_blurred_the_color_is():
    torch.manual_seed(0)
    critic, image = build(PatchCriticConfig()).eval(), torch.randn(1, 3, 64, 64)
    blurred = image.clone()
    blurred[:, 1:] = torch.nn.functional.avg_pool2d(image[:, 1:], 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    with torch.no_grad():
        torch.testing.assert_close(critic(image), critic(blurred), rtol=1e-4, atol=1e-4)
        assert not torch.allclose(critic(image), critic(image.flip(1)), atol=1e-2)


@pytest.mark.parametrize("config", [UNetConfig(), DynamicUnetConfig(arch="resnet18", size=64)], ids=lambda c: c.name)
def test_a_backbones_weights_reach_the_encoder(config):
    """The encoder's features on a grey photo are torchvision's own features on it."""
    torch.manual_seed(3)
    resnet = torchvision.models.resnet18().eval()
    network = build(config).eval()
    network.load_backbone(resnet.state_dict())
    # where L/50-1 and ImageNet's normalisation agree: a grey of 0.449 minus each channel's mean differs a little
    grey = torch.rand(1, 1, 64, 64) * 0.8 + 0.1
    mean = torch.tensor([0.449] * 3 if config.name == "unet" else [0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    x = (grey - mean) / std
    with torch.no_grad():
        expected = resnet.layer2(resnet.layer1(resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(x))))))
        if config.name == "unet":
            features = grey - 0.449
            for layer in network.encoder[:3]:
                features = layer(features)
        else:
            features = network.unet[0][:6](x)
    torch.testing.assert_close(features, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("places", [1, 12, 16 * 16, 16 * 16 + 1])
def test_attention_in_training_is_that_of_torch(places):
    torch.manual_seed(0)
    parts = [torch.randn(2, 4, places, 8, dtype=torch.bfloat16, requires_grad=True) for _ in "qkv"]
    exact = [part.detach().double().requires_grad_() for part in parts]
    found, wanted = attention(*parts, training=True), F.scaled_dot_product_attention(*exact)
    rounding = {"rtol": 0.05, "atol": 0.05}  # bf16 keeps 8 bits
    torch.testing.assert_close(found.double(), wanted, **rounding)
    mine, theirs = (torch.autograd.grad(y.sum(), given) for y, given in ((found, parts), (wanted, exact)))
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one.double(), other, **rounding)
