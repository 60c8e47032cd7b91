"""Convolutions as matrix products: the values and gradients of torch's own, and only where they pay."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fastcolor.networks import layers
from fastcolor.networks.layers import FEW, Conv2d, ConvTranspose2d, GroupNorm

SHAPES = [  # of the recipes' innermost layers: kind, side, kernel, stride, padding
    (Conv2d, 2, 4, 2, 1),
    (Conv2d, 8, 4, 2, 1),
    (Conv2d, 5, 4, 1, 1),
    (Conv2d, (3, 6), 3, 1, 0),
    (ConvTranspose2d, 1, 4, 2, 1),
    (ConvTranspose2d, 4, 4, 2, 1),
    (ConvTranspose2d, (2, 3), 5, 1, 1),
    (ConvTranspose2d, 2, 3, 2, 1),
]


def gradients(module: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """The output, its gradients, and the gradients of a penalty on the input's gradient, as WGAN-GP has it."""
    x = x.clone().requires_grad_(True)
    parameters = list(module.parameters())
    y = module(x)
    first = torch.autograd.grad(y.square().sum(), [x, *parameters], create_graph=True)
    second = torch.autograd.grad(first[0].square().sum(), parameters)
    return [y, *first, *second]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(("kind", "side", "kernel", "stride", "padding"), SHAPES)
def test_a_convolution_of_few_places_is_torchs_own(
    kind, side, kernel, stride, padding, count, bias, layout, monkeypatch
):
    torch.manual_seed(0)
    height, width = (side, side) if isinstance(side, int) else side
    ours = kind(3, 5, kernel, stride, padding, bias=bias).double().to(memory_format=layout)
    theirs = copy.deepcopy(ours)
    theirs.__class__ = kind.__mro__[1]
    x = torch.randn(count, 3, height, width, dtype=torch.double).to(memory_format=layout)
    calls = []
    for name in ("conv2d", "conv_transpose2d"):
        own = getattr(F, name)
        monkeypatch.setattr(F, name, lambda *args, own=own: calls.append(1) or own(*args))
    found = gradients(ours, x)
    assert not calls
    for mine, wanted in zip(found, gradients(theirs, x), strict=True):
        torch.testing.assert_close(mine, wanted)
    assert calls


@pytest.mark.parametrize("kind", [Conv2d, ConvTranspose2d])
def test_larger_maps_and_use_after_training_are_left_to_torch(kind, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a matrix product")

    for name in ("unfold", "fold"):
        monkeypatch.setattr(layers.F, name, refuse)
    layer = kind(2, 2, 4, 2, 1)
    layer(torch.rand(1, 2, 16, 16))
    layer.eval()(torch.rand(1, 2, 2, 2))
    layer.train()
    with pytest.raises(AssertionError, match="a matrix product"):
        layer(torch.rand(1, 2, 2, 2))
    assert FEW == 16


def test_a_transposed_convolution_with_output_padding_is_torchs_own():
    layer = ConvTranspose2d(2, 3, 3, 2, 1, output_padding=1)
    x = torch.rand(2, 2, 3, 3)
    wanted = F.conv_transpose2d(x, layer.weight, layer.bias, 2, 1, 1)
    torch.testing.assert_close(layer(x), wanted)


def test_group_norm_is_worked_out_in_fp32_and_goes_on_in_the_precision_that_came():
    torch.manual_seed(0)
    norm, x = GroupNorm(2, 4), (100 + torch.randn(2, 4, 8, 8)).bfloat16()
    y = norm(x)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, F.group_norm(x.float(), 2).bfloat16())
    assert norm(x.float()).dtype == torch.float32
