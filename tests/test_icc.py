"""Pixels in the colours of an ICC profile become sRGB, in 8 bits and in 16, and it is said so."""

import struct
import zlib

import numpy as np
import pytest
import tifffile
from photo_files import icc_profile, noise, png, save
from PIL import Image, ImageCms

from fastcolor.photo import read as module
from fastcolor.photo.read import as_rgb, open_photo, read_photo


def pixels(path):
    """What `open_photo` gives, as an array."""
    return np.asarray(open_photo(path))


def only_page(path):
    (page,) = read_photo(path).pages
    return page


# Adobe RGB (1998) to sRGB, both with the white point D65: the matrices of Adobe's specification, 4.3.5.3, and of
# IEC 61966-2-1 for linear values.
ADOBE_TO_XYZ = np.array([[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]])
XYZ_TO_SRGB = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])


def adobe_to_srgb(values):
    linear = (values**2.19921875 @ ADOBE_TO_XYZ.T @ XYZ_TO_SRGB.T).clip(0, 1)
    return np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)


def test_an_icc_profile_is_converted_and_said_so(tmp_path):
    expected = adobe_to_srgb(noise() / 255) * 255
    save(tmp_path / "adobe.png", noise(), icc_profile=icc_profile())
    photo = read_photo(tmp_path / "adobe.png")
    assert photo.notes == ["ICC profile Adobe RGB (1998) converted to sRGB"]
    assert np.abs(photo.pages[0].pixels - expected).max() <= 2
    assert np.abs(photo.pages[0].pixels - expected).mean() < 0.5
    assert np.array_equal(pixels(tmp_path / "adobe.png"), photo.pages[0].pixels)
    assert np.array_equal(np.asarray(as_rgb(Image.open(tmp_path / "adobe.png"))), photo.pages[0].pixels)


def test_an_icc_profile_is_converted_in_16_bits(tmp_path):
    values = noise(dtype=np.uint16)
    options = {"photometric": "rgb", "iccprofile": icc_profile()}
    tifffile.imwrite(tmp_path / "adobe.tif", values, **options)
    photo = read_photo(tmp_path / "adobe.tif")
    assert photo.notes == ["ICC profile Adobe RGB (1998) converted to sRGB"]
    assert photo.pages[0].pixels.dtype == np.uint16
    error = np.abs(photo.pages[0].pixels - adobe_to_srgb(values / 65535) * 65535)
    assert error.max() <= 160  # half a step of 8 bits: the sources' matrices have four and five digits
    assert error.mean() < 20


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_grey_icc_profile_is_converted(tmp_path, dtype):
    white = np.iinfo(dtype).max
    values = np.linspace(0, white, 64).astype(dtype)[None]
    save(tmp_path / "grey.png", values, icc_profile=icc_profile(gamma=1.8, primaries=None, name="Gamma 1.8"))
    photo = read_photo(tmp_path / "grey.png")
    assert photo.notes == ["ICC profile Gamma 1.8 converted to sRGB"]
    linear = (values / white) ** 1.80078125
    expected = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear) * white
    shown = photo.pages[0].pixels.reshape(1, 64, -1)
    assert np.abs(shown - expected[..., None]).max() <= white / 255 * 2


def test_an_rgb_icc_profile_with_a_grey_photo(tmp_path):
    save(tmp_path / "grey.jpg", np.full((8, 8), 77, dtype=np.uint8), icc_profile=icc_profile(), quality=95)
    expected = adobe_to_srgb(np.full(3, 77 / 255)) * 255
    assert np.abs(pixels(tmp_path / "grey.jpg") - expected).max() <= 1
    save(tmp_path / "deep.png", np.full((8, 8), 77 * 257, dtype=np.uint16), icc_profile=icc_profile())
    assert np.abs(only_page(tmp_path / "deep.png").pixels / 257 - expected[0]).max() < 0.1


def test_srgb_under_another_name_changes_nothing(tmp_path):
    srgb = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
    near = icc_profile(gamma=1.8, primaries=srgb, name="sRGB IEC61966-2.1")  # so it says, but its curve is another
    save(tmp_path / "near.png", noise(), icc_profile=near)
    assert read_photo(tmp_path / "near.png").notes
    exact = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    save(tmp_path / "exact.png", noise(), icc_profile=exact)
    photo = read_photo(tmp_path / "exact.png")
    assert not photo.notes
    assert np.array_equal(photo.pages[0].pixels, noise())


@pytest.mark.parametrize(
    ("profile", "note"),
    [
        (b"no profile at all", "broken ICC profile ignored"),
        (icc_profile()[:200], "broken ICC profile ignored"),
        (icc_profile(primaries=None, name="Grey"), "ICC profile Grey ignored: it is not made for RGB"),
    ],
)
def test_a_useless_icc_profile_is_left_out(tmp_path, profile, note):
    save(tmp_path / "photo.png", noise(), icc_profile=profile)
    photo = read_photo(tmp_path / "photo.png")
    assert photo.notes == [note]
    assert np.array_equal(photo.pages[0].pixels, noise())


def test_a_profile_of_tables_reduces_16_bits_and_says_so(tmp_path, monkeypatch):
    def refuse(self, pixels):
        raise ValueError

    monkeypatch.setattr(module.Profile, "deep_to_srgb", refuse)
    values = noise(channels=4)
    (tmp_path / "deep.png").write_bytes(png(values.astype(np.uint16) * 257))
    save(tmp_path / "shallow.png", values, icc_profile=icc_profile())
    data = (tmp_path / "deep.png").read_bytes()
    chunk = b"iCCP" + b"x\0\0" + zlib.compress(icc_profile())
    chunk = struct.pack(">L", len(chunk) - 4) + chunk + struct.pack(">L", zlib.crc32(chunk))
    (tmp_path / "deep.png").write_bytes(data[:33] + chunk + data[33:])
    photo, shallow = read_photo(tmp_path / "deep.png"), only_page(tmp_path / "shallow.png")
    assert any("16 bits reduced to 8" in note for note in photo.notes)
    assert np.array_equal(photo.pages[0].pixels, shallow.pixels)
    assert np.array_equal(photo.pages[0].alpha, shallow.alpha)
