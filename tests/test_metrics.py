"""Metrics against scikit-image, published pairs and values worked out by hand."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import circstd
from skimage.color import deltaE_ciede2000, rgb2lab, rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio

from fastcolor.color.lab import rgb_to_lab
from fastcolor.color.metrics import (
    ab_error,
    blue_share,
    ciede2000,
    colorfulness,
    hue_diversity,
    hue_spread,
    mean_hue,
    psnr,
    skin,
    skin_error,
)

# Sharma, Wu and Dalal 2005, Table 1: L, a, b of both colours, and their difference.
SHARMA = """
50.0000 2.6772 -79.7751 50.0000 0.0000 -82.7485 2.0425
50.0000 3.1571 -77.2803 50.0000 0.0000 -82.7485 2.8615
50.0000 2.8361 -74.0200 50.0000 0.0000 -82.7485 3.4412
50.0000 -1.3802 -84.2814 50.0000 0.0000 -82.7485 1.0000
50.0000 -1.1848 -84.8006 50.0000 0.0000 -82.7485 1.0000
50.0000 -0.9009 -85.5211 50.0000 0.0000 -82.7485 1.0000
50.0000 0.0000 0.0000 50.0000 -1.0000 2.0000 2.3669
50.0000 -1.0000 2.0000 50.0000 0.0000 0.0000 2.3669
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0009 7.1792
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0010 7.1792
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0011 7.2195
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0012 7.2195
50.0000 -0.0010 2.4900 50.0000 0.0009 -2.4900 4.8045
50.0000 -0.0010 2.4900 50.0000 0.0010 -2.4900 4.8045
50.0000 -0.0010 2.4900 50.0000 0.0011 -2.4900 4.7461
50.0000 2.5000 0.0000 50.0000 0.0000 -2.5000 4.3065
50.0000 2.5000 0.0000 73.0000 25.0000 -18.0000 27.1492
50.0000 2.5000 0.0000 61.0000 -5.0000 29.0000 22.8977
50.0000 2.5000 0.0000 56.0000 -27.0000 -3.0000 31.9030
50.0000 2.5000 0.0000 58.0000 24.0000 15.0000 19.4535
50.0000 2.5000 0.0000 50.0000 3.1736 0.5854 1.0000
50.0000 2.5000 0.0000 50.0000 3.2972 0.0000 1.0000
50.0000 2.5000 0.0000 50.0000 1.8634 0.5757 1.0000
50.0000 2.5000 0.0000 50.0000 3.2592 0.3350 1.0000
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.2630
61.2901 3.7196 -5.3901 61.4292 2.2480 -4.9620 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.6940 23.0331 14.9730 -42.5619 2.0373
36.4612 47.8580 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.4410 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.1350 0.9033 -0.0636 -0.5514 0.9082
"""


def images(seed: int) -> torch.Tensor:
    return torch.rand(3, 3, 20, 30, generator=torch.Generator().manual_seed(seed))


def plain(*color: float) -> torch.Tensor:
    """`(1, 3, 8, 8)` of one colour."""
    return torch.tensor(color).view(1, 3, 1, 1).expand(-1, -1, 8, 8)


def test_psnr_equals_scikit_images():
    fake, real = images(0), images(1)
    expected = [peak_signal_noise_ratio(r.numpy(), f.numpy(), data_range=1) for f, r in zip(fake, real, strict=True)]
    np.testing.assert_allclose(psnr(fake, real), expected, rtol=1e-5)
    assert psnr(real, real).isinf().all()


def test_ciede2000_gives_the_published_differences():
    values = torch.tensor([float(value) for value in SHARMA.split()], dtype=torch.float64).view(-1, 7)
    one, other, expected = values[:, :3, None, None], values[:, 3:6, None, None], values[:, 6]
    assert len(values) == 34
    np.testing.assert_allclose(ciede2000(one, other), expected, atol=5e-5)
    # Turned round it is the same; not so the pairs of opposite hues (9 to 15), whose mean hue is a matter of rounding.
    is_opposite = torch.tensor([8 <= row < 15 for row in range(34)])
    np.testing.assert_allclose(ciede2000(other, one)[~is_opposite], expected[~is_opposite], atol=5e-5)


def test_ciede2000_of_photos_equals_scikit_images():
    fake, real = ((images(seed) * 255).to(torch.uint8) for seed in (0, 1))
    fake[0] = fake[0, :1]  # a grey one
    pairs = zip(fake, real, strict=True)
    labs = [[rgb2lab(image.permute(1, 2, 0).numpy()) for image in pair] for pair in pairs]
    expected = [deltaE_ciede2000(*pair).mean() for pair in labs]
    np.testing.assert_allclose(ciede2000(rgb_to_lab(fake), rgb_to_lab(real)), expected, rtol=1e-3)
    assert ciede2000(rgb_to_lab(real), rgb_to_lab(real)).max() == 0


def test_colorfulness_is_hasler_and_suesstrunks():
    grey = torch.rand(1, 1, 20, 30).expand(-1, 3, -1, -1)
    assert colorfulness(grey).item() == pytest.approx(0, abs=1e-4)
    # plain red: R-G = 255, (R+G)/2-B = 127.5, no deviation: 0.3 sqrt(255^2 + 127.5^2) = 85.53
    red, green = plain(1.0, 0, 0), plain(0, 1.0, 0)
    assert colorfulness(red).item() == pytest.approx(85.53, abs=0.01)
    # half red, half green: R-G is +-255 (mean 0, deviation 255), (R+G)/2-B is 127.5: 255 + 0.3 x 127.5 = 293.25
    assert colorfulness(torch.cat([red, green], dim=3)).item() == pytest.approx(293.25, abs=0.01)


def test_absolute_colorfulness_does_not_see_opposite_colors():
    # half red, half green: |R-G| is 255, |(R+G)/2-B| 127.5, no deviation: as plain red
    both = torch.cat([plain(1.0, 0, 0), plain(0, 1.0, 0)], dim=3)
    assert colorfulness(both, absolute=True).item() == pytest.approx(85.53, abs=0.01)
    photo = (images(2)[:1] * 255).round()
    r, g, b = photo[0].numpy().astype(float)
    rg, yb = np.absolute(r - g), np.absolute(0.5 * (r + g) - b)  # as the code of DDColor (2023) has it
    expected = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
    assert colorfulness(photo / 255, absolute=True).item() == pytest.approx(expected, rel=1e-4)


def test_ab_error_is_the_distance_of_colors_whatever_their_light():
    assert ab_error(plain(50.0, 3, 4), plain(90.0, 0, 0)).item() == pytest.approx(5)


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


@pytest.mark.parametrize(
    ("degrees", "expected"), [(199, 0), (201, 1), (250, 1), (299, 1), (301, 0), (60, 0), (-110, 1), (0, 0)]
)
def test_blue_is_a_hue_between_green_and_violet(degrees, expected):
    angle = math.radians(degrees)
    assert blue_share(plain(50.0, 20 * math.cos(angle), 20 * math.sin(angle))).item() == expected


def test_the_share_of_blue_is_that_of_the_colored_pixels_of_each_photo():
    blue, orange, grey = plain(50.0, 0, -30), plain(50.0, 20, 30), plain(50.0, 0, -7.9)  # chroma below 8 has no hue
    photos = [[blue, orange, orange, orange], [blue, grey, grey, grey], [grey] * 4, [blue, blue, orange, grey]]
    shares = blue_share(torch.cat([torch.cat(row, dim=3) for row in photos]))
    assert shares.tolist() == pytest.approx([1 / 4, 1, 0, 2 / 3])


def test_a_sky_is_blue_and_grass_is_not():
    """sRGB colours as scikit-image sees them."""
    for rgb, expected in (((90, 150, 230), 1), ((60, 140, 50), 0), ((230, 120, 40), 0), ((128, 128, 128), 0)):
        lab = torch.from_numpy(rgb2lab(np.full((4, 4, 3), rgb, np.uint8))).permute(2, 0, 1)[None]
        assert blue_share(lab).item() == expected


def test_skin_is_what_chai_and_ngan_say():
    torch.manual_seed(0)
    rgb = torch.rand(1, 3, 200, 200)
    _, cb, cr = rgb2ycbcr(rgb[0].permute(1, 2, 0).double().numpy()).transpose(2, 0, 1)
    expected = (cb >= 77) & (cb <= 127) & (cr >= 133) & (cr <= 173)
    assert 0.02 < expected.mean() < 0.5
    assert (skin(rgb)[0].numpy() != expected).mean() < 1e-3  # scikit-image rounds the coefficients otherwise


@pytest.mark.parametrize("tone", ["#f6d7c3", "#d8a98b", "#a0694b", "#6f432a", "#4a2a1a"])
def test_skin_is_found_in_light_and_dark_faces_but_not_in_grass_sky_and_grey(tone):
    color = torch.tensor([int(tone[i : i + 2], 16) for i in (1, 3, 5)]).view(1, 3, 1, 1) / 255
    assert skin(color).all()
    for other in ([70, 110, 40], [90, 140, 210], [128, 128, 128]):
        assert not skin(torch.tensor(other).view(1, 3, 1, 1) / 255).any()


def test_skins_error_is_that_where_there_is_skin():
    real = torch.tensor([0.85, 0.66, 0.55]).view(1, 3, 1, 1).repeat(2, 1, 10, 10)
    real[:, :, :, 5:] = torch.tensor([0.2, 0.4, 0.9]).view(3, 1, 1)  # the other half is blue
    fake = real.clone()
    fake[..., 5:] = 0.5
    assert skin_error(fake, real).tolist() == [0, 0]
    fake[..., :5] = 0.7
    expected = np.linalg.norm(rgb2lab(np.array([0.85, 0.66, 0.55]))[1:])  # grey has no a and b
    assert skin_error(fake, real).tolist() == pytest.approx([expected] * 2, rel=1e-2)
    assert skin_error(fake, torch.full_like(real, 0.5)).isnan().all()


def test_hues_spread_as_circular_statistics_say():
    rng = np.random.default_rng(0)
    angles = np.concatenate([rng.normal(math.pi, 0.3, 300), rng.normal(0, 1.0, 300)])  # across the cut at pi too
    lab = torch.from_numpy(np.stack([50 + 0 * angles, 20 * np.cos(angles), 20 * np.sin(angles)])).view(3, 2, 300)
    regions = torch.arange(2).repeat_interleave(300).view(2, 300)
    spread, chroma = hue_spread(lab, regions)
    expected = [math.degrees(circstd(angles[:300])), math.degrees(circstd(angles[300:]))]
    assert spread.tolist() == pytest.approx(expected, rel=1e-3)
    assert chroma.tolist() == pytest.approx([20, 20], rel=1e-6)


def test_grey_has_no_hues_that_could_spread():
    spread, chroma = hue_spread(
        torch.full((3, 4, 4), 50.0) * torch.tensor([1.0, 0, 0]).view(3, 1, 1), torch.ones(4, 4).long()
    )
    assert (spread.tolist(), chroma.tolist()) == ([0, 0], [0, 0])
