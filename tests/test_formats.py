"""What is no photo, a broken one or too large a one is refused in one sentence, and at once."""

import os
import struct
import time

import pytest
import tifffile
from photo_files import noise, png_of, save
from PIL import Image

from fastcolor.errors import UnreadablePhoto
from fastcolor.photo import opening
from fastcolor.photo.read import open_photo, read_photo
from fastcolor.photo.write import save_photo

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


def many_pages(count):
    """A TIFF file of so many pages of one pixel, which all lie at its beginning."""
    shorts, longs = {258: 8, 259: 1, 262: 1, 277: 1}, {256: 1, 257: 1, 273: 0, 278: 1, 279: 1}
    tags = [(tag, 3, 1, value) for tag, value in shorts.items()] + [(tag, 4, 1, value) for tag, value in longs.items()]
    page = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHLL", *tag) for tag in sorted(tags))
    step = len(page) + 4
    following = [struct.pack("<L", 8 + step * n) for n in range(1, count)] + [bytes(4)]
    return b"II*\0" + struct.pack("<L", 8) + b"".join(page + place for place in following)


def many_scans(side, count):
    """A progressive JPEG of `side` x `side` grey pixels, zeros all of them, that is passed over `count` times."""

    def segment(marker, data):
        return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data

    head = segment(0xDB, b"\0" + b"\1" * 64) + segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0")
    one_code = bytes([1] + 15 * [0])  # of one bit: for "no difference", and for "32,767 blocks end here"
    head += segment(0xC4, b"\0" + one_code + b"\0") + segment(0xC4, b"\x10" + one_code + b"\xe0")
    blocks = (side // 8) ** 2
    first = segment(0xDA, b"\1\1\0\0\0\0") + bytes(blocks // 8)
    bits = ("0" + "1" * 14) * -(-blocks // 32767)
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    return b"\xff\xd8" + head + first + (segment(0xDA, b"\1\1\0\1\1\0") + data) * count + b"\xff\xd9"


BROKEN = {
    "truncated.png": (truncated, "can't be decoded"),
    "truncated.jpg": (truncated, "can't be decoded"),
    "empty.jpg": (lambda path: path.write_bytes(b""), "is empty"),
    "text.jpg": (lambda path: path.write_text("no photo at all"), "is not a JPEG, PNG, "),
    "folder.png": (lambda path: path.mkdir(), "is a folder"),
    "missing.jpg": (lambda path: None, "no such file"),
    "link.jpg": (lambda path: path.symlink_to("nowhere.jpg"), "no such file"),
    "loop.jpg": (lambda path: path.symlink_to("loop.jpg"), "a link that leads back to itself"),
    "pipe.jpg": (lambda path: os.mkfifo(path), "is not a regular file"),
    "hostile.fits": (lambda path: path.write_bytes(b"SIMPLE  = ".ljust(29) + b"T" + bytes(3000)), "is not a JPEG"),
    "hostile.psd": (lambda path: path.write_bytes(b"8BPS\0\1" + b"\xff" * 3000), "is a PSD file of 65535 bits"),
    "stub.jpg": (lambda path: path.write_bytes(b"\xff\xd8\xff"), "is a broken JPEG file"),
    "signed.tif": (
        lambda path: tifffile.imwrite(path, noise().astype("i2"), photometric="rgb"),
        "signed samples of 16 bits",
    ),
    "zip.jpg": (lambda path: path.write_bytes(b"PK\3\4" + bytes(99)), "is a zip archive: unpack it first"),
    "bomb.png": (lambda path: path.write_bytes(huge_png(50_000, 50_000, 8, 2)), "more pixels than fit in memory"),
    "large.png": (
        lambda path: path.write_bytes(huge_png(12_000, 10_000, 16, 2)),
        r"would need 1\.56 GB of memory, and the limit is 1\.40",
    ),
    "scans.jpg": (lambda path: path.write_bytes(many_scans(8000, 500)), "far too many scans"),
    "slow.bmp": (lambda path: path.write_bytes(bmp(10_001, 1000, 1)), "which would take minutes"),
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


def test_a_file_made_of_pages_is_refused_before_they_are_all_counted(tmp_path):
    (tmp_path / "pages.tif").write_bytes(many_pages(100_000))
    start = time.monotonic()
    with pytest.raises(UnreadablePhoto, match="has more than 1,000 pages: split it"):
        read_photo(tmp_path / "pages.tif")
    assert time.monotonic() - start < 3


def test_a_progressive_photo_of_the_usual_scans_is_read(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(many_scans(8000, 10))
    assert open_photo(tmp_path / "photo.jpg", least=100).size == (1000, 1000)


def test_too_many_pages_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "MOST_PAGES", 2)
    tifffile.imwrite(tmp_path / "pages.tif", noise(channels=3)[:, :, :, None].repeat(3, -1), photometric="minisblack")
    with pytest.raises(UnreadablePhoto, match="more than 2 pages: split it"):
        read_photo(tmp_path / "pages.tif")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to this user")
def test_a_forbidden_file_is_named_with_its_reason(tmp_path):
    save(tmp_path / "secret.jpg", noise()).chmod(0)
    with pytest.raises(UnreadablePhoto, match="can't be read: check its permissions"):
        read_photo(tmp_path / "secret.jpg")


def test_the_sizes_that_a_camera_has_are_not_refused(tmp_path):
    for width, height, bits in ((16_320, 12_240, 8), (11_662, 8746, 16)):  # a phone of 200, a camera of 102 megapixels
        (tmp_path / "photo.png").write_bytes(huge_png(width, height, bits, 2))
        with pytest.raises(UnreadablePhoto, match="can't be decoded"):  # it has no pixels, but its header was accepted
            read_photo(tmp_path / "photo.png")
