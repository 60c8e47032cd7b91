"""Metrics against scikit-image and values worked out by hand."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from fastcolor.metrics import ab_error, colorfulness, hue_diversity, mean_hue, psnr


def images(seed: int) -> torch.Tensor:
    return torch.rand(3, 3, 20, 30, generator=torch.Generator().manual_seed(seed))


def test_psnr_equals_scikit_images():
    fake, real = images(0), images(1)
    expected = [peak_signal_noise_ratio(r.numpy(), f.numpy(), data_range=1) for f, r in zip(fake, real, strict=True)]
    np.testing.assert_allclose(psnr(fake, real), expected, rtol=1e-5)
    assert psnr(real, real).isinf().all()


def test_colorfulness_is_hasler_and_suesstrunks():
    grey = torch.rand(1, 1, 20, 30).expand(-1, 3, -1, -1)
    assert colorfulness(grey).item() == pytest.approx(0, abs=1e-4)
    # plain red: R-G = 255, (R+G)/2-B = 127.5, no deviation: 0.3 sqrt(255^2 + 127.5^2) = 85.53
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(-1, -1, 8, 8)
    assert colorfulness(red).item() == pytest.approx(85.53, abs=0.01)
    # half red, half green: R-G is +-255 (mean 0, deviation 255), (R+G)/2-B is 127.5: 255 + 0.3 x 127.5 = 293.25
    green = torch.tensor([0, 1.0, 0]).view(1, 3, 1, 1).expand(-1, -1, 8, 8)
    assert colorfulness(torch.cat([red, green], dim=3)).item() == pytest.approx(293.25, abs=0.01)


def test_ab_error_is_the_distance_of_colors_whatever_their_light():
    fake = torch.tensor([50.0, 3, 4]).view(1, 3, 1, 1).expand(-1, -1, 5, 5)
    real = torch.tensor([90.0, 0, 0]).view(1, 3, 1, 1).expand(-1, -1, 5, 5)
    assert ab_error(fake, real).item() == pytest.approx(5)


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [
        ([40, 40, 40], 0),
        ([0, 180], 1),
        ([0, 120, 240], 1),
        ([0, 90], 1 - math.sqrt(0.5)),  # the mean of two unit vectors at a right angle has length 0.7071
    ],
)
def test_hue_diversity_is_the_circular_variance(degrees, expected):
    labs = [(50.0, 20 * math.cos(math.radians(d)), 20 * math.sin(math.radians(d))) for d in degrees]
    lab = torch.tensor(labs).view(-1, 3, 1, 1).expand(-1, -1, 4, 4)
    assert hue_diversity(mean_hue(lab)) == pytest.approx(expected, abs=1e-5)
