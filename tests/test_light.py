"""The light of a picture is what its file means, whatever the kind of its samples; a second decoder says so too."""

import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from photo_files import icc_profile, noise, png_of, save
from PIL import Image
from skimage.color import lab2rgb, rgb2lab

from fastcolor.errors import UnreadablePhoto
from fastcolor.photo.read import open_photo, read_photo
from fastcolor.photo.tone import is_in_color

RAMP = np.add.outer(np.arange(48), np.arange(64)).astype(float) / 110  # 0, dark, to 1, light
BYTES, DEEP = np.round(RAMP * 255).astype(np.uint8), np.round(RAMP * 65535).astype(np.uint16)
CONVERT = next(
    (found for name in ("magick", "convert") if (found := shutil.which(name, path="/usr/bin:/usr/local/bin"))), None
)


def mean_l(pixels):
    """Mean L* of sRGB, by scikit-image."""
    pixels = np.asarray(pixels) / np.iinfo(np.asarray(pixels).dtype).max
    return rgb2lab(pixels if pixels.ndim == 3 else np.dstack([pixels] * 3))[..., 0].mean()


def light(path):
    """A photo's only page, as floats 0..1, its first channel."""
    (page,) = read_photo(path).pages
    values = page.pixels / np.iinfo(page.pixels.dtype).max
    return values if values.ndim == 2 else values[..., 0]


def has_imagemagick():
    """Whether ImageMagick itself is there, not another program of its name."""
    if not CONVERT:
        return False
    said = subprocess.run([CONVERT, "-version"], capture_output=True, text=True, check=False).stdout
    return said.startswith("Version: ImageMagick")


needs_imagemagick = pytest.mark.skipif(
    not has_imagemagick(), reason="ImageMagick is not installed: apt-get install imagemagick"
)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize(
    ("values", "options"),
    [
        (255 - BYTES, {"photometric": "miniswhite"}),
        (65535 - DEEP, {"photometric": "miniswhite"}),
        ((1 - RAMP).astype(np.float32), {"photometric": "miniswhite"}),
        (RAMP.astype(np.float16), {"photometric": "minisblack"}),
        (RAMP.astype(np.float32), {"photometric": "minisblack", "predictor": 3}),
        (RAMP.astype(np.float64), {"photometric": "minisblack"}),
        ((DEEP.astype(np.uint32) << 16) + DEEP, {"photometric": "minisblack"}),
        (DEEP, {"photometric": "minisblack", "predictor": 2, "tile": (16, 32)}),
        (np.dstack([RAMP] * 3).astype(np.float32), {"photometric": "rgb"}),
    ],
)
def test_samples_of_every_kind_mean_the_same_light(tmp_path, values, options, compression, order):
    path = tmp_path / "photo.tif"
    options = {name: value for name, value in options.items() if compression or name != "predictor"}
    tifffile.imwrite(path, values, byteorder=order, compression=compression, rowsperstrip=7, **options)
    assert np.abs(light(path) - RAMP).max() <= 1 / 255 / 2 + 1e-3
    assert np.abs(np.asarray(open_photo(path))[..., 1] / 255 - RAMP).max() <= 1 / 255


def few_bits(bits, order="<"):
    """A grey TIFF of 10, 12 or 14 bits a sample, most significant bit first: TIFF 6.0, page 29."""
    values = np.round(RAMP * (2**bits - 1)).astype(np.uint16)
    packed = np.packbits((values[..., None] >> np.arange(bits - 1, -1, -1)) & 1, axis=None).tobytes()
    tags = {256: 64, 257: 48, 258: bits, 259: 1, 262: 1, 273: 200, 277: 1, 278: 48, 279: len(packed)}
    table = b"".join(struct.pack(f"{order}HHLL", tag, 4, 1, value) for tag, value in tags.items())
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HLH", 42, 8, len(tags))
    return (head + table + bytes(4)).ljust(200, b"\0") + packed


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [9, 10, 12, 14])
def test_the_largest_number_of_few_bits_is_white(tmp_path, bits, order):
    (tmp_path / "few.tif").write_bytes(few_bits(bits, order))
    assert np.abs(light(tmp_path / "few.tif") - RAMP).max() <= 1 / 2**bits
    assert light(tmp_path / "few.tif").max() == 1


def test_a_few_lights_above_white_do_not_darken_the_picture(tmp_path):
    values = RAMP.astype(np.float32)
    values[3, 4] = 1.02
    tifffile.imwrite(tmp_path / "float.tif", values, photometric="minisblack")
    photo = read_photo(tmp_path / "float.tif")
    assert photo.notes == ["values above white (1) became white"]
    assert abs(mean_l(photo.pages[0].pixels) - mean_l(DEEP)) < 0.2


@pytest.mark.parametrize("white", [1, 255, 65535])
def test_floats_on_any_scale_are_read(tmp_path, white):
    tifffile.imwrite(tmp_path / "float.tif", (RAMP * white).astype(np.float32), photometric="minisblack")
    assert np.abs(light(tmp_path / "float.tif") - RAMP).max() < 1e-3


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "c8"])
def test_what_is_not_understood_is_refused_by_name(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "odd.tif", (RAMP * 100).astype(dtype), photometric="minisblack")
    kind = {"i1": "signed samples of 8", "i2": "signed samples of 16", "i4": "signed samples of 32"}
    with pytest.raises(UnreadablePhoto, match=f"has {kind.get(dtype, 'complex samples of 64')} bits, .* convert it to"):
        read_photo(tmp_path / "odd.tif")


def test_integers_of_32_bits_that_use_only_16_are_refused_rather_than_black(tmp_path):
    tifffile.imwrite(tmp_path / "odd.tif", DEEP.astype(np.uint32), photometric="minisblack")
    with pytest.raises(UnreadablePhoto, match="32 bits of which the lower 16 alone are used"):
        read_photo(tmp_path / "odd.tif")


@pytest.mark.parametrize("most", [255, 65535])
def test_a_palette_of_8_bit_values_is_no_black_picture(tmp_path, most):
    table = np.tile(np.round(np.linspace(0, most, 256)).astype(np.uint16), (3, 1))
    tifffile.imwrite(tmp_path / "palette.tif", BYTES, photometric="palette", colormap=table)
    assert np.array_equal(np.asarray(open_photo(tmp_path / "palette.tif"))[..., 0], BYTES)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_lab_becomes_srgb(tmp_path, dtype):
    lab = np.dstack([RAMP * 100, np.linspace(-30, 30, 64)[None].repeat(48, 0), np.full_like(RAMP, 12)])
    scale = np.iinfo(dtype).max / 100, 1 if dtype == np.uint8 else 256
    stored = [np.round(lab[..., 0] * scale[0]).astype(dtype)]
    stored += [np.round(lab[..., n] * scale[1]).astype(np.int64).astype(dtype) for n in (1, 2)]
    tifffile.imwrite(tmp_path / "lab.tif", np.dstack(stored), photometric="cielab")
    (page,) = read_photo(tmp_path / "lab.tif").pages
    expected = lab2rgb(lab, illuminant="D50")
    assert page.pixels.dtype == dtype
    inside = (expected > 0.02).all(-1) & (expected < 0.98).all(-1)
    # scikit-image converts D50 to D65 by no more than the white point; ours is Bradford's matrix
    assert np.abs(page.pixels / np.iinfo(dtype).max - expected)[inside].max() < 0.12
    assert np.abs(rgb2lab(page.pixels / np.iinfo(dtype).max)[..., 0] - lab[..., 0])[inside].max() < 1.5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("extra", ["unassalpha", "assocalpha", "unspecified"])
def test_grey_with_one_or_two_channels_more(tmp_path, dtype, extra):
    most = np.iinfo(dtype).max
    grey = BYTES if dtype == np.uint8 else DEEP
    alpha = np.full_like(grey, most)
    alpha[:20] = most // 5
    stored = np.round(grey * (alpha / most)).astype(dtype) if extra == "assocalpha" else grey
    for more in (1, 2):
        values = np.dstack([stored, *[alpha] * more])
        extras = [extra, *["unspecified"] * (more - 1)]
        tifffile.imwrite(
            tmp_path / "extra.tif", values, photometric="minisblack", planarconfig="contig", extrasamples=extras
        )
        photo = read_photo(tmp_path / "extra.tif")
        (page,) = photo.pages
        assert np.abs(page.pixels.astype(int) - grey).max() <= (3 if extra == "assocalpha" else 0)
        assert page.alpha is None if extra == "unspecified" else np.array_equal(page.alpha, alpha)
        left = extra == "unspecified" or more == 2
        assert photo.notes == (["a channel that is neither colour nor transparency, such as infrared, left out"] * left)


def test_cmyk_of_16_bits_stays_in_16_bits(tmp_path):
    zero = np.zeros_like(DEEP)
    values = np.dstack([zero, zero, zero, 65535 - DEEP])
    tifffile.imwrite(tmp_path / "inks.tif", values, photometric="separated", planarconfig="contig")
    (page,) = read_photo(tmp_path / "inks.tif").pages
    assert np.array_equal(page.pixels, np.dstack([DEEP] * 3))


def test_cmyk_of_8_bits_with_a_further_channel_has_the_light_of_its_inks(tmp_path):
    zero = np.zeros_like(BYTES)
    values = np.dstack([zero, zero, zero, 255 - BYTES, zero])
    tifffile.imwrite(tmp_path / "inks.tif", values, photometric="separated", planarconfig="contig")
    (page,) = read_photo(tmp_path / "inks.tif").pages
    assert np.array_equal(page.pixels, np.dstack([BYTES] * 3))


def test_a_grey_profile_whose_connection_space_is_lab_gives_l_at_8_and_at_16_bits(tmp_path):
    profile = bytearray(icc_profile(gamma=1.0, primaries=None, name="L"))
    profile[20:24], profile[12:16] = b"Lab ", b"prtr"
    for name, values in (("8.tif", BYTES), ("16.tif", DEEP)):
        save(tmp_path / name, values, icc_profile=bytes(profile))
    shallow, deep = light(tmp_path / "8.tif"), light(tmp_path / "16.tif")
    assert np.abs(shallow - deep).max() < 0.015
    assert np.abs(rgb2lab(np.dstack([deep] * 3))[..., 0] - RAMP * 100).max() < 1


@pytest.mark.parametrize("bits", [8, 16])
def test_a_png_s_own_gamma_is_converted(tmp_path, bits):
    values = BYTES if bits == 8 else DEEP
    raw = b"".join(b"\0" + line.astype(f">u{bits // 8}").tobytes() for line in values)
    chunks = [(b"IHDR", struct.pack(">LLBBBBB", 64, 48, bits, 0, 0, 0, 0)), (b"gAMA", struct.pack(">L", 100_000))]
    srgb = [(b"sRGB", b"\0")]
    data = [(b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    (tmp_path / "linear.png").write_bytes(png_of([*chunks, *data]))
    (tmp_path / "srgb.png").write_bytes(png_of([*chunks, *srgb, *data]))
    (tmp_path / "like.png").write_bytes(png_of([chunks[0], (b"gAMA", struct.pack(">L", 45455)), *data]))
    assert read_photo(tmp_path / "like.png").notes == []  # so sRGB is told of to programs that don't know it
    assert np.array_equal(light(tmp_path / "srgb.png"), values / (2**bits - 1))
    linear = values / (2**bits - 1)
    expected = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)  # IEC 61966-2-1
    assert np.abs(light(tmp_path / "linear.png") - expected).max() < 0.02
    assert read_photo(tmp_path / "linear.png").notes == ["gamma 1 of the PNG file converted to sRGB"]


@pytest.mark.parametrize("bits", [8, 16])
def test_a_png_s_code_points_come_before_its_gamma(tmp_path, bits):
    values = BYTES if bits == 8 else DEEP
    raw = b"".join(b"\0" + line.astype(f">u{bits // 8}").tobytes() for line in values)
    head = (b"IHDR", struct.pack(">LLBBBBB", 64, 48, bits, 0, 0, 0, 0))
    rest = [(b"gAMA", struct.pack(">L", 100_000)), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]

    def coded(*points):
        (tmp_path / "coded.png").write_bytes(png_of([head, (b"cICP", bytes(points)), *rest]))
        return tmp_path / "coded.png"

    assert np.array_equal(light(coded(1, 13, 0, 1)), values / (2**bits - 1))  # sRGB
    linear = values / (2**bits - 1)
    expected = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    assert np.abs(light(coded(1, 8, 0, 1)) - expected).max() < 0.02
    for transfer in (16, 18):  # PQ, HLG
        with pytest.raises(UnreadablePhoto, match="is an HDR picture"):
            read_photo(coded(9, transfer, 0, 1))


def test_a_png_s_own_primaries_are_converted(tmp_path):
    green = noise(height=4, width=4) * 0 + np.array([0, 200, 0], np.uint8)
    adobe = [31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000]  # Adobe RGB (1998), 4.3.1.1
    chunks = [(b"IHDR", struct.pack(">LLBBBBB", 4, 4, 8, 2, 0, 0, 0)), (b"gAMA", struct.pack(">L", 45455))]
    chunks += [(b"cHRM", struct.pack(">8L", *adobe))]
    raw = b"".join(b"\0" + line.tobytes() for line in green)
    (tmp_path / "adobe.png").write_bytes(png_of([*chunks, (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]))
    same = save(tmp_path / "profile.png", green, icc_profile=icc_profile())
    assert np.abs(np.asarray(open_photo(tmp_path / "adobe.png")).astype(int) - np.asarray(open_photo(same))).max() <= 3


@pytest.mark.parametrize("bits", [8, 16])
def test_a_png_s_primaries_without_a_gamma_are_those_of_srgb_s_curve(tmp_path, bits):
    """Against the matrices of Adobe RGB (1998), 4.3.6.1, and of IEC 61966-2-1; both have the white D65."""
    adobe = [31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000]
    head = [(b"IHDR", struct.pack(">LLBBBBB", 1, 1, bits, 2, 0, 0, 0)), (b"cHRM", struct.pack(">8L", *adobe))]
    codes = np.array([150, 100, 60]) / 255
    stored = np.round(codes * (2**bits - 1)).astype(f">u{bits // 8}").tobytes()
    rest = [(b"IDAT", zlib.compress(b"\0" + stored)), (b"IEND", b"")]
    (tmp_path / "adobe.png").write_bytes(png_of([*head, *rest]))
    (tmp_path / "srgb.png").write_bytes(png_of([*head, (b"sRGB", b"\0"), *rest]))
    linear = ((codes + 0.055) / 1.055) ** 2.4
    to_xyz = [[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]]
    from_xyz = [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
    expected = 1.055 * (np.array(from_xyz) @ np.array(to_xyz) @ linear) ** (1 / 2.4) - 0.055
    assert abs(expected - codes).max() > 0.05  # or it would say nothing
    photo = read_photo(tmp_path / "adobe.png")
    assert photo.notes == ["primaries of the PNG file converted to sRGB"]
    assert photo.pages[0].pixels[0, 0] / (2**bits - 1) == pytest.approx(expected, abs=0.005)
    assert np.asarray(open_photo(tmp_path / "adobe.png"))[0, 0] / 255 == pytest.approx(expected, abs=0.005)
    assert read_photo(tmp_path / "srgb.png").pages[0].pixels[0, 0] / (2**bits - 1) == pytest.approx(codes, abs=0.002)


def test_a_picture_of_12_bits_in_16_is_as_dark_as_its_file_and_said_so(tmp_path):
    tifffile.imwrite(tmp_path / "dark.tif", DEEP >> 4, photometric="minisblack")
    assert np.allclose(light(tmp_path / "dark.tif"), (DEEP >> 4) / 65535)
    assert read_photo(tmp_path / "dark.tif").notes == ["nearly black: of its 16 bits only the lower 12 are used"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("extra", ["assocalpha", "unassalpha", "unspecified"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_colour_with_a_further_channel_in_one_plane_or_several(tmp_path, dtype, extra, planes):
    most = np.iinfo(dtype).max
    colors, half = noise(dtype=dtype), np.full((24, 32, 1), most // 2, dtype)
    stored = (colors * 0.5).astype(dtype) if extra == "assocalpha" else colors
    values = np.concatenate([stored, half], axis=2)
    values = values if planes == "contig" else np.moveaxis(values, -1, 0).copy()
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", planarconfig=planes, extrasamples=[extra])
    (page,) = read_photo(tmp_path / "a.tif").pages
    assert np.abs(page.pixels.astype(int) - colors).max() <= (4 if extra == "assocalpha" else 0)
    assert (page.alpha is None) == (extra == "unspecified")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_premultiplied_lab_is_divided_by_its_alpha(tmp_path, dtype):
    most, whole = np.iinfo(dtype).max, np.dtype(f"i{np.dtype(dtype).itemsize}")
    lab = np.dstack([RAMP * most, RAMP * 0 - 30 * (most // 255), 20 * (RAMP - 0.5) * (most // 255)])
    for name, share in (("whole.tif", 1), ("half.tif", 0.5)):
        stored = np.dstack(
            [(lab * share).round()[..., :1].astype(dtype), (lab * share).round()[..., 1:].astype(whole).view(dtype)]
        )
        alpha = np.full((48, 64, 1), round(most * share), dtype)
        options = {"photometric": "cielab", "extrasamples": ["assocalpha"], "planarconfig": "contig"}
        tifffile.imwrite(tmp_path / name, np.concatenate([stored, alpha], axis=2), **options)
    (whole_page,), (half_page,) = (read_photo(tmp_path / name).pages for name in ("whole.tif", "half.tif"))
    apart = np.abs(whole_page.pixels.astype(int) - half_page.pixels.astype(int)) / most * 255
    assert apart.max() < (8 if dtype == np.uint8 else 0.1)
    assert apart.mean() < 1.5


KINDS = [  # what ImageMagick is told to write, and how far mean L may be from the picture's: lossy kinds a little
    ("photo.jpg", ["-quality", "95"], 0.3),
    ("photo.jpg", ["-interlace", "Plane", "-colorspace", "CMYK"], 1.0),
    ("photo.png", [], 0.1),
    ("photo.png", ["-depth", "16"], 0.1),
    ("photo.webp", ["-quality", "95"], 0.5),
    ("photo.bmp", [], 0.1),
    ("photo.gif", [], 0.5),
    ("photo.tif", ["-compress", "LZW"], 0.1),
    ("photo.tif", ["-depth", "16", "-compress", "Zip"], 0.1),
    ("photo.tif", ["-define", "quantum:polarity=min-is-white", "-depth", "16"], 0.1),
    ("photo.tif", ["-depth", "12"], 0.1),
    ("photo.tif", ["-define", "quantum:format=floating-point", "-depth", "32"], 0.1),
    ("photo.tif", ["-compress", "JPEG"], 0.5),
    ("photo.pgm", [], 0.1),
    ("photo.ppm", ["-depth", "16"], 0.1),
    ("photo.tga", [], 0.1),
    ("photo.psd", ["-depth", "8"], 0.3),
    ("photo.jp2", ["-quality", "95"], 0.5),
    ("photo.heic", ["-quality", "95"], 0.5),
    ("photo.avif", ["-quality", "95"], 0.5),
]


@needs_imagemagick
@pytest.mark.parametrize(("name", "options", "apart"), KINDS)
def test_files_that_imagemagick_wrote_have_the_light_that_it_gave_them(tmp_path, name, options, apart):
    source = save(tmp_path / "source.png", np.dstack([DEEP] * 3)[..., 0])
    done = subprocess.run([CONVERT, source, *options, tmp_path / name], capture_output=True, text=True, check=False)
    if done.returncode and "no encode delegate" in done.stderr + done.stdout:
        pytest.skip(f"this ImageMagick does not write {Path(name).suffix}")
    assert not done.returncode, done.stderr
    assert abs(mean_l(open_photo(tmp_path / name)) - mean_l(BYTES)) < apart


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_toned_print_is_no_colour_picture(dtype):
    scale = np.iinfo(dtype).max
    grain = np.random.default_rng(0).normal(0, 0.02, (*RAMP.shape, 3))
    big = np.kron(np.dstack([RAMP**0.8, RAMP, RAMP**1.3]), np.ones((4, 4, 1)))
    toned = (big + np.kron(grain, np.ones((4, 4, 1)))).clip(0, 1) * scale
    assert not is_in_color(toned.astype(dtype))
    assert not is_in_color((RAMP * scale).astype(dtype))
    two = np.dstack([RAMP, RAMP * 0.5, RAMP[::-1] * 0.7])
    assert is_in_color((two * scale).astype(dtype))


def test_photos_in_colour_are_known_as_such(scenes):
    found = [is_in_color(np.asarray(Image.open(path))) for path in sorted(scenes.iterdir())]
    assert np.mean(found) > 0.9
