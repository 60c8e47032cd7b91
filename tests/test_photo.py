"""Photo files of every kind and brokenness become the right pixels, or one sentence; and get back into files whole."""

import re
import struct
import sys
import zlib

import numpy as np
import pytest
import tifffile
from photo_files import exif, icc_profile, noise, png, png_of, save
from PIL import Image
from PIL.ExifTags import Base

from fastcolor.errors import UnreadablePhoto, UserError
from fastcolor.photo.formats import FORMATS, format_in
from fastcolor.photo.page import Page, Photo
from fastcolor.photo.read import as_rgb, open_photo, read_photo
from fastcolor.photo.write import save_photo, write_photo

# pytest shows what the package has Python ignore
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")

# EXIF 2.3, tag 0x0112: where the top left corner of the stored picture is, and what undoes it
TURNS = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x),
}


def pixels(path):
    """What `open_photo` gives, as an array; always RGB."""
    photo = open_photo(path)
    assert photo.mode == "RGB"
    return np.asarray(photo)


def only_page(path):
    photo = read_photo(path)
    assert len(photo.pages) == 1
    return photo.pages[0]


def as_bytes(values):
    """uint16 to uint8: 65,535 / 255 is 257."""
    return np.round(values / 257).astype(np.uint8)


def test_exif_orientation_is_applied_once(tmp_path):
    alpha = noise(1, channels=1)[..., 0]
    for orientation, upright in TURNS.items():
        stored = Image.fromarray(np.dstack([noise(), alpha]))
        save(tmp_path / "stored.png", stored, exif=exif(orientation))
        page = only_page(tmp_path / "stored.png")
        assert np.array_equal(page.pixels, upright(noise())), orientation
        assert np.array_equal(page.alpha, upright(alpha)), orientation
        assert page.pixels.flags.c_contiguous and page.alpha.flags.c_contiguous, orientation
        write_photo(read_photo(tmp_path / "stored.png"), tmp_path / "copy.png")
        assert np.array_equal(only_page(tmp_path / "copy.png").pixels, upright(noise())), orientation
        for name, options in {"stored.jpg": {"quality": 95}, "stored.tif": {}}.items():
            save(tmp_path / name, Image.new("RGB", (40, 20)), exif=exif(orientation), **options)
            assert open_photo(tmp_path / name).size == ((20, 40) if orientation > 4 else (40, 20)), (name, orientation)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path, suffix):
    values = np.array([[0, 257, 128 * 257, 200 * 257, 65535]], dtype=np.uint16)
    save(tmp_path / f"deep{suffix}", values)
    assert pixels(tmp_path / f"deep{suffix}")[0, :, 1].tolist() == [0, 1, 128, 200, 255]
    assert np.array_equal(only_page(tmp_path / f"deep{suffix}").pixels, values)


def test_dark_16_bit_grey_stays_dark(tmp_path):
    save(tmp_path / "dark.tif", np.full((4, 4), 255, dtype=np.uint16))
    assert (pixels(tmp_path / "dark.tif") == 1).all()


def test_big_endian_16_bit_tiff_is_scaled(tmp_path):
    values = np.array([[0, 128 * 257, 65535]], dtype=">u2")
    Image.frombytes("I;16B", (3, 1), values.tobytes()).save(tmp_path / "deep.tif")
    assert pixels(tmp_path / "deep.tif")[0, :, 0].tolist() == [0, 128, 255]


def test_float_tiff_keeps_its_picture_when_a_pixel_is_no_number(tmp_path):
    save(tmp_path / "float.tif", np.array([[0, 0.5, 1, np.nan]], dtype=np.float32))
    assert pixels(tmp_path / "float.tif")[0, :, 0].tolist() == [0, 128, 255, 0]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bit_png_keeps_every_bit(tmp_path, channels):
    values = noise(channels, channels=channels, dtype=np.uint16)
    (tmp_path / "deep.png").write_bytes(png(values))
    page = only_page(tmp_path / "deep.png")
    color, alpha = (values[..., :-1], values[..., -1]) if channels in (2, 4) else (values, None)
    assert np.array_equal(page.pixels, color if channels > 2 else color[..., 0])
    assert np.array_equal(page.alpha, alpha) if alpha is not None else page.alpha is None


def test_16_bit_png_with_a_transparent_color(tmp_path):
    values = noise(channels=3, dtype=np.uint16)
    (tmp_path / "key.png").write_bytes(png(values, transparency=values[2, 3]))
    page = only_page(tmp_path / "key.png")
    assert np.array_equal(page.pixels, values)
    assert np.argwhere(page.alpha == 0).tolist() == [[2, 3]]
    assert (page.alpha == 65535).sum() == page.alpha.size - 1
    assert pixels(tmp_path / "key.png")[2, 3].tolist() == [255, 255, 255]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "options", [{}, {"compression": "zlib"}, {"compression": "zlib", "predictor": True}, {"tile": (16, 16)}]
)
def test_16_bit_tiff_keeps_every_bit(tmp_path, order, options):
    values = noise(channels=4, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "rgb.tif", values[..., :3], photometric="rgb", byteorder=order, **options)
    tifffile.imwrite(
        tmp_path / "rgba.tif", values, photometric="rgb", extrasamples=["unassalpha"], byteorder=order, **options
    )
    assert np.array_equal(only_page(tmp_path / "rgb.tif").pixels, values[..., :3])
    page = only_page(tmp_path / "rgba.tif")
    assert np.array_equal(page.pixels, values[..., :3])
    assert np.array_equal(page.alpha, values[..., 3])
    assert np.abs(pixels(tmp_path / "rgb.tif").astype(int) - as_bytes(values[..., :3])).max() == 0


def test_16_bit_planes_apart_are_put_together(tmp_path):
    values = noise(dtype=np.uint16)
    tifffile.imwrite(
        tmp_path / "planes.tif", np.moveaxis(values, -1, 0), photometric="rgb", planarconfig="separate", rowsperstrip=5
    )
    assert np.array_equal(only_page(tmp_path / "planes.tif").pixels, values)


def test_a_tiff_that_lacks_rows_is_refused(tmp_path):
    save(tmp_path / "whole.tif", noise())
    data = bytearray((tmp_path / "whole.tif").read_bytes())
    place = data.index(struct.pack("<HHLL", Base.ImageLength, 4, 1, 24))
    struct.pack_into("<L", data, place + 8, 60_000)
    (tmp_path / "lacks.tif").write_bytes(data)
    with pytest.raises(UnreadablePhoto, match="some of its rows are missing"):
        read_photo(tmp_path / "lacks.tif")


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_png_of_few_bits(tmp_path, bits):
    values = np.arange(2**bits, dtype=np.uint8)[None].repeat(8 // bits, axis=1)[:, : 8 // bits]
    packed = bytes([int("".join(f"{value:0{bits}b}" for value in values[0]), 2)])
    chunks = [(b"IHDR", struct.pack(">LLBBBBB", values.shape[1], 1, bits, 0, 0, 0, 0))]
    (tmp_path / "few.png").write_bytes(png_of([*chunks, (b"IDAT", zlib.compress(b"\0" + packed)), (b"IEND", b"")]))
    assert pixels(tmp_path / "few.png")[0, :, 1].tolist() == (values[0] * (255 // (2**bits - 1))).tolist()


def test_transparency_is_kept_and_laid_over_white(tmp_path):
    rgba = np.array([[[200, 0, 0, 0], [200, 0, 0, 255], [0, 0, 0, 51]]], dtype=np.uint8)
    save(tmp_path / "alpha.png", rgba)
    assert pixels(tmp_path / "alpha.png").tolist() == [[[255, 255, 255], [200, 0, 0], [204, 204, 204]]]
    page = only_page(tmp_path / "alpha.png")
    assert np.array_equal(np.dstack([page.pixels, page.alpha]), rgba)


def test_transparent_palette_color(tmp_path):
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(tmp_path / "palette.png", transparency=0)
    assert pixels(tmp_path / "palette.png").tolist() == [[[255, 255, 255], [40, 50, 60]]]
    assert only_page(tmp_path / "palette.png").alpha.tolist() == [[0, 255]]


def test_cmyk_jpeg_shows_the_same_colors_whether_adobe_inverted_or_not(tmp_path):
    red = Image.new("RGB", (16, 16), (230, 40, 30)).convert("CMYK")
    save(tmp_path / "adobe.jpg", red, quality=95)  # Pillow writes CMYK inverted, and Adobe's mark, which says so
    data = save(tmp_path / "plain.jpg", Image.fromarray(255 - np.asarray(red), "CMYK"), quality=95).read_bytes()
    mark = data.index(b"\xff\xee\0\x0eAdobe")
    (tmp_path / "plain.jpg").write_bytes(data[:mark] + data[mark + 16 :])
    for name in ("adobe.jpg", "plain.jpg"):
        assert np.abs(pixels(tmp_path / name).astype(int) - (230, 40, 30)).max() <= 4, name


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_are_written_whole(tmp_path, suffix, channels):
    values = noise(channels=channels, dtype=np.uint16, height=700, width=500)  # several strips
    page = Page(values[..., :3], values[..., 3] if channels == 4 else None)
    assert write_photo(Photo([page]), tmp_path / f"deep{suffix}") == []
    if suffix == ".tif":
        assert np.array_equal(tifffile.imread(tmp_path / "deep.tif"), values)
    else:
        assert np.array_equal(plain_png(tmp_path / "deep.png"), values)


def plain_png(path):
    """16-bit pixels of a PNG file whose lines all have the filter "up": PNG, third edition."""
    data, chunks = path.read_bytes()[8:], {}
    while data:
        size, name = struct.unpack(">L4s", data[:8])
        assert zlib.crc32(data[4 : 8 + size]) == struct.unpack(">L", data[8 + size : 12 + size])[0]
        chunks[name] = chunks.get(name, b"") + data[8 : 8 + size]
        data = data[12 + size :]
    width, height, bits, kind = struct.unpack(">LLBB", chunks[b"IHDR"][:10])
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    assert bits == 16 and (lines[:, 0] == 2).all()
    lines = np.cumsum(lines[:, 1:], axis=0, dtype=np.uint8)
    return np.ascontiguousarray(lines).view(">u2").reshape(height, width, {2: 3, 6: 4}[kind])


def test_16_bits_become_8_where_the_format_has_no_more(tmp_path):
    values = noise(dtype=np.uint16)
    assert write_photo(Photo([Page(values)]), tmp_path / "p.bmp") == ["16 bits reduced to 8: BMP can't hold more"]
    assert np.array_equal(only_page(tmp_path / "p.bmp").pixels, as_bytes(values))


def test_every_page_of_a_tiff_is_read_and_written(tmp_path):
    first, second, third = noise(1), noise(2, 30, 20), noise(3, 5, 7)
    with tifffile.TiffWriter(tmp_path / "pages.tif") as file:
        for page in (first, second.astype(np.uint16) * 257, third[..., 0]):
            file.write(page, photometric="rgb" if page.ndim == 3 else "minisblack")
    photo = read_photo(tmp_path / "pages.tif")
    assert [page.pixels.dtype for page in photo.pages] == [np.uint8, np.uint16, np.uint8]
    assert np.array_equal(photo.pages[2].pixels, third[..., 0])
    photo.pages[2].pixels = third
    write_photo(photo, tmp_path / "again.tif")
    with tifffile.TiffFile(tmp_path / "again.tif") as file:
        pages = [page.asarray() for page in file.pages]
    assert np.array_equal(pages[0], first)
    assert np.array_equal(pages[1], second.astype(np.uint16) * 257)
    assert np.array_equal(pages[2], third)
    with pytest.raises(UserError, match="PNG can't hold more than one page: choose --format tif"):
        write_photo(photo, tmp_path / "again.png")
    assert not (tmp_path / "again.png").exists()


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
def test_the_first_picture_of_several_is_taken_and_said_so(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 8), color) for color in ((250, 0, 0), (0, 0, 250))]
    frames[0].save(tmp_path / f"moves{suffix}", save_all=True, append_images=frames[1:])
    photo = read_photo(tmp_path / f"moves{suffix}")
    assert photo.notes == ["only the first of its pictures is kept"]
    assert np.abs(photo.pages[0].pixels.reshape(-1, 3).mean(axis=0) - (250, 0, 0)).max() < 12


def test_heic_is_read_and_written_where_it_is_installed(tmp_path):
    pytest.importorskip("pillow_heif")
    smooth = np.linspace(0, 255, 64 * 48 * 3).reshape(48, 64, 3).astype(np.uint8)
    assert write_photo(Photo([Page(smooth)]), tmp_path / "photo.heic") == []
    assert (tmp_path / "photo.heic").read_bytes()[4:12] == b"ftypheic"
    assert np.abs(pixels(tmp_path / "photo.heic").astype(int) - smooth).mean() < 3


def test_heic_says_what_to_install_where_it_is_not(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "photo.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    with pytest.raises(UnreadablePhoto, match="is a HEIC photo: .* run pip install pillow-heif"):
        read_photo(tmp_path / "photo.jpg")
    with pytest.raises(UserError, match="to write HEIC, run pip install pillow-heif"):
        write_photo(Photo([Page(noise())]), tmp_path / "new.heic")


@pytest.mark.parametrize("height, width", [(1, 1), (5000, 1), (1, 5000), (3, 20_000)])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif", ".gif"])
def test_odd_shapes(tmp_path, suffix, height, width):
    path = tmp_path / f"odd{suffix}"
    photo = Photo([Page(np.full((height, width, 3), 80, np.uint8))])
    if suffix == ".webp" and width > 16_383:  # libwebp's own limit
        with pytest.raises(UserError, match="can't be written as WebP .* choose another format"):
            write_photo(photo, path)
        assert not list(tmp_path.iterdir())
        return
    write_photo(photo, path)
    assert pixels(path).shape == (height, width, 3)
    assert only_page(path).pixels.shape[:2] == (height, width)


def test_a_shape_that_heic_cannot_hold_is_refused(tmp_path):
    pytest.importorskip("pillow_heif")
    with pytest.raises(UserError, match="5,000 x 1 pixels can't be written as HEIC .* choose another format"):
        write_photo(Photo([Page(np.zeros((1, 5000, 3), np.uint8))]), tmp_path / "line.heic")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
def test_files_are_recognised_by_their_content(tmp_path, format):
    if format.codec and not format.codec():
        pytest.skip(f"{format.package} is not installed")
    if format.written_as:
        pytest.skip("is not written")
    for suffix in format.suffixes:
        save_photo(Image.fromarray(noise()), tmp_path / f"photo{suffix}")
        beginning = (tmp_path / f"photo{suffix}").read_bytes()[:26]
        assert format_in(beginning) == format
        assert [other.name for other in FORMATS if re.match(other.begins, beginning, re.DOTALL)] == [format.name]
        with Image.open(tmp_path / f"photo{suffix}") as image:
            assert image.format in format.pillow


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp", ".tif"])
def test_lossless_formats_keep_every_pixel(tmp_path, suffix):
    save_photo(Image.fromarray(noise(3)), tmp_path / f"noise{suffix}")
    assert np.array_equal(pixels(tmp_path / f"noise{suffix}"), noise(3))


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_a_higher_quality_is_nearer_to_the_photo(tmp_path, suffix):
    smooth = np.asarray(Image.fromarray(noise(height=6, width=8)).resize((64, 48), Image.Resampling.BICUBIC))
    errors = []
    for quality in (30, 95, 100):
        write_photo(Photo([Page(smooth)]), tmp_path / f"q{suffix}", quality)
        errors.append(np.abs(pixels(tmp_path / f"q{suffix}").astype(int) - smooth).mean())
    assert errors[0] > 2 * errors[1] > 2 * errors[2]
    assert suffix == ".jpg" or errors[2] == 0


def test_a_large_jpeg_may_come_reduced(tmp_path):
    save(tmp_path / "large.jpg", noise(height=800, width=1200))
    assert open_photo(tmp_path / "large.jpg", least=150).size == (300, 200)
    save(tmp_path / "large.jpg", noise(height=800, width=1200), exif=exif(6), icc_profile=icc_profile())
    assert open_photo(tmp_path / "large.jpg", least=150).size == (200, 300)


MODES = {  # a colour of each of Pillow's modes, and what it is in sRGB
    "1": (1, (255, 255, 255)),
    "L": (77, (77, 77, 77)),
    "LA": ((0, 51), (204, 204, 204)),
    "P": (0, (0, 0, 0)),
    "RGB": ((1, 2, 3), (1, 2, 3)),
    "RGBA": ((255, 0, 0, 51), (255, 204, 204)),
    "CMYK": ((0, 255, 255, 0), (255, 0, 0)),
    "YCbCr": ((76, 85, 255), (254, 0, 0)),
    "HSV": ((0, 255, 255), (255, 0, 0)),
    "LAB": ((255, 128, 128), (255, 255, 255)),
    "I": (255, (255, 255, 255)),
    "I;16": (257, (1, 1, 1)),
    "F": (0.2, (51, 51, 51)),
}


@pytest.mark.parametrize("mode", MODES)
def test_an_image_of_any_mode_becomes_rgb_and_is_not_turned(mode):
    color, expected = MODES[mode]
    image = Image.new(mode, (4, 3), color)
    image.getexif()[Base.Orientation] = 6
    rgb = as_rgb(image)
    assert (rgb.mode, rgb.size) == ("RGB", (4, 3))
    assert np.abs(np.asarray(rgb).astype(int) - expected).max() <= (3 if mode in ("YCbCr", "LAB") else 0)


def test_a_wrong_suffix_does_not_matter(tmp_path):
    save_photo(Image.fromarray(noise()), tmp_path / "real.png")
    (tmp_path / "real.png").rename(tmp_path / "called.jpg")
    assert np.array_equal(pixels(tmp_path / "called.jpg"), noise())


def test_a_full_disk_is_told_from_a_photo_that_cannot_be_written(tmp_path, monkeypatch):
    def full(image, file, *args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_photo(Photo([Page(noise())]), tmp_path / "new.jpg")
    assert re.search(r"new\.jpg$", caught.value.filename)
    assert not list(tmp_path.iterdir())
