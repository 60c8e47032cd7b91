"""What is no photo, a broken one or too large a one is refused in one sentence, and at once."""

import os
import struct
import time

import pytest
import tifffile
from photo_files import noise, png_of, save
from PIL import Image

from fastcolor import formats
from fastcolor.errors import UnreadablePhoto
from fastcolor.photo import open_photo, read_photo, save_photo

# pytest shows what the package has Python ignore
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")


def truncated(path):
    save_photo(Image.fromarray(noise()), path)
    path.write_bytes(path.read_bytes()[:900])


def bmp(width, height, compression):
    """A BMP's header and palette without pixels."""
    header = struct.pack("<LllHHLLllLL", 40, width, height, 1, 8, compression, 4, 0, 0, 256, 0)
    return b"BM" + struct.pack("<LHHL", 1082, 0, 0, 1078) + header + bytes(1024) + b"\0\1\0\1"


def huge_png(width, height, bits, kind):
    """A PNG file of such a header, without pixels."""
    header = struct.pack(">LLBBBBB", width, height, bits, kind, 0, 0, 0)
    return png_of([(b"IHDR", header), (b"IDAT", b""), (b"IEND", b"")])


BROKEN = {
    "truncated.png": (truncated, "can't be decoded"),
    "truncated.jpg": (truncated, "can't be decoded"),
    "empty.jpg": (lambda path: path.write_bytes(b""), "is empty"),
    "text.jpg": (lambda path: path.write_text("no photo at all"), "is none of"),
    "folder.png": (lambda path: path.mkdir(), "is a folder"),
    "missing.jpg": (lambda path: None, "no such file"),
    "link.jpg": (lambda path: path.symlink_to("nowhere.jpg"), "no such file"),
    "loop.jpg": (lambda path: path.symlink_to("loop.jpg"), "a link that leads in a circle"),
    "pipe.jpg": (lambda path: os.mkfifo(path), "is no ordinary file"),
    "hostile.fits": (lambda path: path.write_bytes(b"SIMPLE  =                    T" + bytes(3000)), "is none of"),
    "hostile.psd": (lambda path: path.write_bytes(b"8BPS\0\1" + b"\xff" * 3000), "is none of"),
    "stub.jpg": (lambda path: path.write_bytes(b"\xff\xd8\xff"), "is a broken JPEG file"),
    "float.tif": (lambda path: tifffile.imwrite(path, noise().astype(float), photometric="rgb"), "of a rare kind"),
    "bomb.png": (lambda path: path.write_bytes(huge_png(50_000, 50_000, 8, 2)), "more pixels than fit into memory"),
    "large.png": (lambda path: path.write_bytes(huge_png(12_000, 10_000, 16, 2)), r"would take 1\.6 GB of memory"),
    "slow.bmp": (lambda path: path.write_bytes(bmp(10_001, 1000, 1)), "which takes minutes"),
}


@pytest.mark.parametrize("read", [read_photo, open_photo])
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_photo_is_named_with_its_reason(tmp_path, name, read):
    make, reason = BROKEN[name]
    make(tmp_path / name)
    start = time.monotonic()
    with pytest.raises(UnreadablePhoto, match=reason) as caught:
        read(tmp_path / name)
    assert time.monotonic() - start < 2
    assert str(caught.value) == f"{tmp_path / name}: {caught.value.reason}"
    assert "\n" not in str(caught.value)


def test_too_many_pages_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "MOST_PAGES", 2)
    tifffile.imwrite(tmp_path / "pages.tif", noise(channels=3)[:, :, :, None].repeat(3, -1), photometric="minisblack")
    with pytest.raises(UnreadablePhoto, match="pages, more than 2: split it"):
        read_photo(tmp_path / "pages.tif")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to this user")
def test_a_forbidden_file_is_named_with_its_reason(tmp_path):
    save(tmp_path / "secret.jpg", noise()).chmod(0)
    with pytest.raises(UnreadablePhoto, match="may not be read: check its permissions"):
        read_photo(tmp_path / "secret.jpg")


def test_the_sizes_that_a_camera_has_are_not_refused(tmp_path):
    for width, height, bits in ((16_320, 12_240, 8), (11_662, 8746, 16)):  # a phone of 200, a camera of 102 megapixels
        (tmp_path / "photo.png").write_bytes(huge_png(width, height, bits, 2))
        with pytest.raises(UnreadablePhoto, match="can't be decoded"):  # it has no pixels, but its header was accepted
            read_photo(tmp_path / "photo.png")
