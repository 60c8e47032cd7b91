"""Colour conversion against scikit-image and hand-sourced values."""

import numpy as np
import pytest
import torch
from skimage import color as reference

from fastcolor.color import cie, lab
from fastcolor.color.cie import AB_RANGE
from fastcolor.color.lab import fit_gamut, grey_of, lab_to_rgb, lightness_of, rgb_to_lab
from fastcolor.color.spaces import SPACES


def random_rgb(seed: int, height: int = 64, width: int = 64) -> torch.Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def hwc(image: torch.Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).double().numpy()


def test_lab_equals_scikit_images():
    rgb = random_rgb(0)
    np.testing.assert_allclose(hwc(rgb_to_lab(rgb)), reference.rgb2lab(hwc(rgb)), atol=2e-3)


def test_lab_of_bytes_equals_scikit_images():
    rgb = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    rgb[:, 0, :3] = torch.tensor([0, 1, 255], dtype=torch.uint8)  # black, nearly black, white
    np.testing.assert_allclose(hwc(rgb_to_lab(rgb)), reference.rgb2lab(rgb.permute(1, 2, 0).numpy()), atol=2e-3)


@pytest.mark.parametrize("as_bytes", [False, True])
def test_the_lightness_of_every_grey_equals_scikit_images(as_bytes):
    grey = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    expected = reference.rgb2lab(grey.expand(3, -1, -1).permute(1, 2, 0).numpy())[..., 0]
    np.testing.assert_allclose(lightness_of(grey if as_bytes else grey / 255)[0].numpy(), expected, atol=2e-3)


def test_rgb_equals_scikit_images_for_colors_inside_srgb():
    rgb = random_rgb(1)
    lab = torch.from_numpy(reference.rgb2lab(hwc(rgb))).permute(2, 0, 1).float()
    np.testing.assert_allclose(hwc(lab_to_rgb(lab)), hwc(rgb), atol=2e-4)


@pytest.mark.parametrize(
    ("rgb", "lab"),  # D65, 2 degrees: B. Lindbloom's CIE colour calculator, brucelindbloom.com
    [((1, 1, 1), (100, 0, 0)), ((1, 0, 0), (53.24, 80.09, 67.20)), ((0, 1, 0), (87.73, -86.18, 83.18)),
     ((0, 0, 1), (32.30, 79.19, -107.86)), ((0, 0, 0), (0, 0, 0))],
)  # fmt: skip
def test_primaries_have_their_published_lab_values(rgb, lab):
    computed = rgb_to_lab(torch.tensor(rgb, dtype=torch.float).view(3, 1, 1)).flatten()
    np.testing.assert_allclose(computed.numpy(), lab, atol=0.03)


def test_every_srgb_color_lies_within_the_ab_range():
    axis = torch.linspace(0, 1, 18)
    cube = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).flatten(2)
    ab = rgb_to_lab(cube)[1:]
    assert 100 < ab.abs().max() < AB_RANGE


def test_fitting_the_gamut_keeps_lightness_and_hue():
    torch.manual_seed(2)
    lab = torch.stack([torch.rand(50, 50) * 90 + 5, *(torch.rand(2, 50, 50) * 200 - 100)])
    fitted = fit_gamut(lab)
    back = torch.from_numpy(reference.rgb2lab(hwc(lab_to_rgb(fitted)))).permute(2, 0, 1)
    assert (back[0] - lab[0]).abs().max() < 0.1
    chroma, fitted_chroma = lab[1:].norm(dim=0), fitted[1:].norm(dim=0)
    cosine = (lab[1:] * fitted[1:]).sum(0) / (chroma * fitted_chroma)
    assert cosine.min() > 0.9999
    assert (fitted_chroma <= chroma + 1e-4).all()
    assert (fitted_chroma < 0.9 * chroma).float().mean() > 0.3  # many of these are far outside sRGB


def test_fitting_the_gamut_leaves_colors_inside_as_they_are():
    lab = rgb_to_lab(random_rgb(3) * 0.9 + 0.05)
    assert torch.equal(fit_gamut(lab), lab)


def test_fitting_takes_chroma_away_no_further_than_it_must():
    lab = torch.tensor([50.0, 150.0, 0.0]).view(3, 1, 1)
    further = fit_gamut(lab) * torch.tensor([1, 1.02, 1]).view(3, 1, 1)
    assert not torch.allclose(rgb_to_lab(lab_to_rgb(further)), further, atol=0.3)


@pytest.mark.parametrize("as_bytes", [True, False])
def test_grey_has_the_lightness_of_the_color(as_bytes):
    rgb = random_rgb(4)
    rgb = (rgb * 255).round().to(torch.uint8) if as_bytes else rgb
    grey = grey_of(rgb)
    grey_rgb = hwc(grey.expand(3, -1, -1)) / (255 if as_bytes else 1)
    color_l = reference.rgb2lab(hwc(rgb) / (255 if as_bytes else 1))[..., 0]
    all_greys = reference.rgb2lab(np.arange(256).repeat(3).reshape(-1, 1, 3) / 255)[:, 0, 0]
    half_a_step = np.abs(np.gradient(all_greys)).max() / 2
    error = np.abs(reference.rgb2lab(grey_rgb)[..., 0] - color_l).max()
    assert error < (half_a_step * 1.01 if as_bytes else 0.01)


@pytest.mark.parametrize("space", SPACES)
def test_a_grey_and_its_lightness_are_the_same_input(space):
    """What a network is given of a photo in torch, and in an ONNX model."""
    grey = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    lightness = reference.rgb2lab(grey[0].expand(3, -1, -1).permute(1, 2, 0).numpy())[..., 0]
    inputs = SPACES[space].inputs(grey)
    assert inputs.shape == (1, SPACES[space].channels, 16, 16)
    by_lightness = SPACES[space].inputs(lightness=torch.from_numpy(lightness).float()[None, None])
    torch.testing.assert_close(inputs, by_lightness, rtol=0, atol=1e-3)


def test_arrays_and_tensors_are_converted_alike():
    """What colours photos (`cie`) and what trains (`lab`) are two implementations of the same."""
    greys = np.arange(256, dtype=np.uint8)
    linear = np.linspace(0, 1, 4001, dtype=np.float32)
    colors = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    planar = torch.from_numpy(colors).permute(2, 0, 1)
    for by_numpy, by_torch, apart in (
        (cie.linear_table(greys.dtype), lab.linear_of(torch.from_numpy(greys)), 1e-6),
        (cie.lightness_of(greys), lab.lightness_of(torch.from_numpy(greys)), 1e-4),
        (cie.gamma_of(linear), lab.gamma_of(torch.from_numpy(linear)), 1e-6),
        (cie.lightness_of_root(cie.root_of(cie.luminance_of(colors))), lab.rgb_to_lab(planar)[0], 1e-4),
    ):
        np.testing.assert_allclose(by_numpy, by_torch.numpy(), rtol=0, atol=apart)
    np.testing.assert_allclose(cie.root_of(cie.cube_of(linear)), linear, atol=1e-5)
    different = cie.grey_of(colors) != lab.grey_of(planar).numpy()
    assert different.mean() < 1e-4  # where rounding decides
