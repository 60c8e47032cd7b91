"""The recipes' networks: sizes and counts of their papers and descriptions, any height and width, first weights."""

import pytest
import torch
from torch import nn

from fastcolor.networks.classic import (
    CHANNELS,
    ColorCriticConfig,
    EncoderDecoderConfig,
    PatchGANConfig,
    ResnetConfig,
    SkipUNetConfig,
)
from fastcolor.networks.registry import build

THIN = [
    SkipUNetConfig(depth=5, channels=4),
    SkipUNetConfig(space="lab_unit", depth=6, channels=4, norm="instance"),
    EncoderDecoderConfig(channels=4),
    ResnetConfig(channels=4, blocks=0),
    ResnetConfig(channels=4, blocks=2),
]
CYCLE_CRITIC = PatchGANConfig(inputs=3, widths=(64, 128, 256, 512, 512), norm="group")


def parameters(config) -> int:
    return sum(parameter.numel() for parameter in build(config).parameters())


@pytest.mark.parametrize(
    ("config", "millions"),
    [
        (SkipUNetConfig(), 54.414),  # printed by the paper's code for unet_256
        (PatchGANConfig(inputs=6), 2.769),  # and for its `basic` critic, 70x70, of 6 channels
        # and for resnet_9blocks, 11.378 with instance norm, which has no weights; group norm has two for each channel
        (ResnetConfig(blocks=9), 11.378 + 2 * (64 + 128 + 256 + 18 * 256 + 128 + 64) / 1e6),
    ],
)
def test_networks_have_as_many_parameters_as_the_papers_code_says(config, millions):
    assert parameters(config) / 1e6 == pytest.approx(millions, abs=6e-4)


def test_the_encoder_decoder_has_the_parameters_of_its_described_layers():
    widths = [64, 128, 256, 512]
    # 4x4 kernels; batch norm's two
    down = sum(16 * a * b + 2 * b for a, b in zip([1, 64, 128, 256], widths, strict=True))
    up = sum(16 * a * (a // 2) + 2 * (a // 2) for a in widths)
    assert parameters(EncoderDecoderConfig()) == down + up + 9 * 32 * 2 + 2


def shapes(network: nn.Module, kinds, *inputs) -> list[tuple[int, ...]]:
    """Channels, height and width behind every module of these kinds, in the order in which they run."""
    seen, hooks = [], []
    for module in network.modules():
        if isinstance(module, kinds):
            hooks.append(module.register_forward_hook(lambda _, __, out: seen.append(tuple(out.shape[1:]))))
    with torch.no_grad():
        network.eval()(*inputs)
    return seen


CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def test_the_unet_halves_256_pixels_down_to_one_and_doubles_them_again():
    found = shapes(build(SkipUNetConfig(channels=8)), CONVOLUTIONS, torch.zeros(1, 3, 256, 256))
    down = [(8, 128), (16, 64), (32, 32), (64, 16), (64, 8), (64, 4), (64, 2), (64, 1)]
    up = [(64, 2), (64, 4), (64, 8), (64, 16), (32, 32), (16, 64), (8, 128), (3, 256)]
    assert [(channels, side) for channels, side, _ in found] == down + up


@pytest.mark.parametrize("depth", [5, 7])
def test_a_unet_for_a_smaller_side_reaches_one_pixel_too(depth):
    side = 2**depth
    found = shapes(build(SkipUNetConfig(depth=depth, channels=4)), CONVOLUTIONS, torch.zeros(1, 3, side, side))
    assert min(height for _, height, _ in found) == 1
    assert len(found) == 2 * depth


def test_the_encoder_decoder_passes_256_pixels_through_512_x_16_x_16():
    found = shapes(build(EncoderDecoderConfig()), CONVOLUTIONS, torch.zeros(1, 1, 256, 256))
    assert found == [
        (64, 128, 128), (128, 64, 64), (256, 32, 32), (512, 16, 16),
        (256, 32, 32), (128, 64, 64), (64, 128, 128), (32, 256, 256), (2, 256, 256),
    ]  # fmt: skip


def test_cyclegans_generator_goes_64_128_256_and_back_with_group_norm():
    network = build(ResnetConfig(blocks=6))
    found = shapes(network, CONVOLUTIONS, torch.zeros(1, 3, 64, 64))
    assert found[:3] == [(64, 64, 64), (128, 32, 32), (256, 16, 16)]
    assert set(found[3:-3]) == {(256, 16, 16)}
    assert len(found[3:-3]) == 12
    assert found[-3:] == [(128, 32, 32), (64, 64, 64), (3, 64, 64)]
    norms = [module for module in network.modules() if isinstance(module, nn.GroupNorm)]
    assert len(norms) == 5 + 12
    assert not [module for module in network.modules() if isinstance(module, nn.BatchNorm2d | nn.InstanceNorm2d)]


def test_without_residual_blocks_nothing_stands_between():
    found = shapes(build(ResnetConfig(blocks=0)), CONVOLUTIONS, torch.zeros(1, 3, 64, 64))
    assert [channels for channels, *_ in found] == [64, 128, 256, 128, 64, 3]


def test_cyclegans_critic_has_the_described_widths():
    found = shapes(build(CYCLE_CRITIC), nn.Conv2d, torch.zeros(1, 3, 256, 256))
    # four halvings, then one and the last at stride 1
    expected = [(64, 128), (128, 64), (256, 32), (512, 16), (512, 15), (1, 14)]
    assert [(channels, side) for channels, side, _ in found] == expected


def test_the_color_critic_gives_one_logit_of_four_halvings():
    critic = build(ColorCriticConfig(size=64))
    assert [side for _, side, _ in shapes(critic, nn.Conv2d, torch.zeros(1, 3, 64, 64))] == [32, 16, 8, 4]
    assert critic(torch.zeros(3, 3, 64, 64)).shape == (3, 1)
    assert len([module for module in critic.modules() if isinstance(module, nn.Dropout)]) == 4


def test_the_color_critic_does_not_see_light():
    torch.manual_seed(0)
    critic, images = build(ColorCriticConfig(size=32, channels=4)).eval(), torch.randn(2, 3, 32, 32)
    lighter = images + torch.tensor([1.0, 0, 0]).view(3, 1, 1)
    bluer = images + torch.tensor([0, 0, -1.0]).view(3, 1, 1)
    with torch.no_grad():
        assert torch.equal(critic(images), critic(lighter))
        assert not torch.equal(critic(images), critic(bluer))


@pytest.mark.parametrize(
    ("config", "patch"),
    [
        (PatchGANConfig(inputs=3, norm="none"), 70),  # Isola et al. 2017, section 6.1.2
        # back from 1: 4, 7, then 2r + 2 four times
        (PatchGANConfig(inputs=3, widths=(64, 128, 256, 512, 512), norm="none"), 142),
    ],
)
def test_a_logit_of_the_patchgan_sees_a_square_of_its_size(config, patch):
    """By gradient, without norms, whose statistics would reach over the whole image."""
    torch.manual_seed(0)
    critic, image = build(config).double(), torch.randn(1, 3, 256, 256, dtype=torch.float64, requires_grad=True)
    logits = critic(image)
    logits[0, logits.shape[1] // 2 + round(logits.shape[1] ** 0.5) // 2].backward()
    seen = image.grad[0].abs().sum(0) > 0
    rows, columns = seen.any(1).nonzero(), seen.any(0).nonzero()
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (patch, patch)


def test_a_patchgan_of_256_pixels_gives_30_x_30_logits():
    with torch.no_grad():
        assert build(PatchGANConfig())(torch.zeros(2, 6, 256, 256)).shape == (2, 900)


@pytest.mark.parametrize(
    "config", THIN, ids=lambda config: f"{config.name}-{config.space}-{getattr(config, 'blocks', '')}"
)
@pytest.mark.parametrize("size", [(64, 64), (33, 71), (1, 1), (5, 130)])
def test_generators_return_an_image_of_any_inputs_size(config, size):
    torch.manual_seed(0)
    x = torch.rand(2, CHANNELS[config.space][0], *size) * 2 - 1
    with torch.no_grad():
        image = build(config).eval()(x)
    assert image.shape == (2, 3, *size)
    assert image.isfinite().all()
    assert image[:, 1:].abs().max() <= 1
    if config.space == "lab_unit":
        assert torch.equal(image[:, :1], x)  # its own light


def test_skips_carry_detail_past_the_innermost_pixel():
    """With its inside gone silent, the U-Net still knows where the light falls; the encoder-decoder does not."""
    torch.manual_seed(0)
    unet, mirror = build(SkipUNetConfig(depth=5, channels=4)), build(EncoderDecoderConfig(channels=4))
    nn.init.zeros_(unet.ups[-1][1].weight)
    nn.init.zeros_(mirror.decoder[0].weight)
    with torch.no_grad():
        for network, channels, expected in ((unet, 3, False), (mirror, 1, True)):
            one, other = (network.eval()(torch.rand(1, channels, 64, 64))[:, 1:] for _ in "ab")
            assert torch.equal(one, other) is expected


def test_dropout_is_noise_in_training_and_rest_in_use():
    torch.manual_seed(0)
    network, x = build(SkipUNetConfig(depth=7, channels=4)), torch.rand(2, 3, 128, 128)
    assert sum(isinstance(module, nn.Dropout) for module in network.modules()) == 2
    with torch.no_grad():
        assert not torch.equal(network(x), network(x))
        network.eval()
        assert torch.equal(network(x), network(x))


@pytest.mark.parametrize(
    "config", [SkipUNetConfig(depth=6), EncoderDecoderConfig(), ResnetConfig(), CYCLE_CRITIC], ids=lambda c: c.name
)
def test_first_weights_are_normal_with_a_deviation_of_one_fiftieth(config):
    torch.manual_seed(0)
    network = build(config)
    kernels = [module.weight.flatten() for module in network.modules() if isinstance(module, CONVOLUTIONS)]
    kernels = torch.cat(kernels)
    assert kernels.std().item() == pytest.approx(0.02, rel=0.01)
    assert kernels.mean().item() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    ("config", "fields"),
    [
        (SkipUNetConfig, {"depth": 3}),
        (SkipUNetConfig, {"depth": 9}),
        (SkipUNetConfig, {"norm": "layer"}),
        (PatchGANConfig, {"norm": "x"}),
    ],
)
def test_a_config_that_no_network_has_is_refused(config, fields):
    with pytest.raises(ValueError, match=str(next(iter(fields.values())))):
        config(**fields)
