"""HEIC, AVIF, JPEG XL and JPEG 2000, written by other programs than the ones that read them; and rare kinds."""

import os
import shutil
import struct
import subprocess

import imagecodecs
import numpy as np
import pytest
import tifffile
from photo_files import noise, save
from PIL import Image
from test_light import BYTES, DEEP, RAMP, mean_l

from fastcolor.errors import UnreadablePhoto
from fastcolor.photo.formats import knows_heic, knows_jxl
from fastcolor.photo.page import Page, Photo
from fastcolor.photo.read import open_photo, read_photo
from fastcolor.photo.write import write_photo

COLOR = np.dstack([BYTES, (255 * RAMP**1.5).astype(np.uint8), BYTES[::-1]])
CLEAR = np.dstack([COLOR, np.full_like(BYTES, 128)])
DEBIAN = {
    "heif-enc": "libheif-examples",
    "avifenc": "libavif-bin",
    "cjxl": "libjxl-tools",
    "opj_compress": "libopenjp2-tools",
}
WRITTEN = [  # by which program, with what, into what kind; the bits of a sample that are read as 8
    ("heif-enc", ["-q", "95"], COLOR, ".heic", None),
    ("heif-enc", ["-q", "95"], CLEAR, ".heic", None),
    ("avifenc", ["--min", "0", "--max", "5"], BYTES, ".avif", None),
    ("avifenc", ["--min", "0", "--max", "5", "-r", "limited", "-y", "420"], COLOR, ".avif", None),
    ("avifenc", ["--min", "0", "--max", "5", "-d", "10"], CLEAR, ".avif", 10),
    ("cjxl", ["-d", "0"], BYTES, ".jxl", None),
    ("cjxl", ["-d", "0"], DEEP, ".jxl", None),
    ("cjxl", ["-d", "1"], COLOR, ".jxl", None),
    ("cjxl", ["-d", "0"], CLEAR, ".jxl", None),
    ("opj_compress", [], DEEP, ".jp2", None),
    ("opj_compress", [], COLOR, ".j2k", None),
]


@pytest.mark.parametrize(("program", "options", "pixels", "suffix", "bits"), WRITTEN)
def test_what_other_programs_wrote_has_the_light_that_they_were_given(tmp_path, program, options, pixels, suffix, bits):
    if not shutil.which(program, path="/usr/bin:/usr/local/bin"):
        pytest.skip(f"{program} is not installed: apt-get install {DEBIAN[program]}")
    if not {".heic": knows_heic, ".jxl": knows_jxl}.get(suffix, lambda: True)():
        pytest.skip("what reads it is not installed")
    source, made = save(tmp_path / "source.png", pixels), tmp_path / f"made{suffix}"
    places = {"heif-enc": [source, "-o", made], "opj_compress": ["-i", source, "-o", made]}.get(program, [source, made])
    subprocess.run([program, *options, *places], check=True, capture_output=True, env=os.environ | {"PATH": "/usr/bin"})
    photo = read_photo(made)
    (page,) = photo.pages
    seen = pixels[..., :3] if pixels.ndim == 3 else pixels
    assert abs(mean_l(page.pixels) - mean_l(seen)) < 0.5
    assert (page.alpha is not None) == (pixels.shape[2:] == (4,))
    said = f"{bits} bits reduced to 8: the decoder of {suffix[1:].upper()} gives no more"
    assert photo.notes == ([said] if bits else [])


@pytest.mark.parametrize("shape", [(1, 1), (31, 40), (32, 33), (7, 500)])
@pytest.mark.parametrize("suffix", [".heic", ".avif"])
def test_pictures_of_every_size_are_written(tmp_path, suffix, shape):
    if suffix == ".heic":
        pytest.importorskip("pillow_heif")
    write_photo(Photo([Page(np.full((*shape, 3), 90, np.uint8))]), tmp_path / f"a{suffix}")
    assert np.abs(np.asarray(open_photo(tmp_path / f"a{suffix}")).astype(int) - 90).max() <= 2


@pytest.mark.parametrize("bits", [12, 16])
def test_jpeg_2000_in_colour_of_more_than_8_bits_is_reduced_and_said_so(tmp_path, bits):
    deep = np.dstack([DEEP, DEEP[::-1], DEEP]) >> (16 - bits)
    (tmp_path / "a.jp2").write_bytes(imagecodecs.jpeg2k_encode(deep, bitspersample=bits, level=0))
    photo = read_photo(tmp_path / "a.jp2")
    assert photo.notes == [f"{bits} bits reduced to 8: the decoder of JPEG 2000 gives no more"]
    assert abs(mean_l(photo.pages[0].pixels) - mean_l(np.dstack([DEEP, DEEP[::-1], DEEP]))) < 0.5


def test_jpeg_xl_in_colour_of_16_bits_is_reduced_and_said_so(tmp_path):
    pytest.importorskip("pillow_jxl")
    deep = np.dstack([DEEP, DEEP[::-1], DEEP])
    (tmp_path / "a.jxl").write_bytes(imagecodecs.jpegxl_encode(deep, lossless=True))
    assert "16 bits reduced to 8: the decoder of JPEG XL gives no more" in read_photo(tmp_path / "a.jxl").notes


def test_a_jpeg_xl_file_that_is_too_large_is_refused_before_its_decoder_takes_memory(tmp_path):
    pytest.importorskip("pillow_jxl")
    fields = [(0, 1), (3, 2), (59_999, 30), (0, 3), (3, 2), (59_999, 30), (1, 1)]  # ISO/IEC 18181-1, annex D
    bits, place = 0, 0
    for value, count in fields:
        bits, place = bits | value << place, place + count
    (tmp_path / "huge.jxl").write_bytes(b"\xff\x0a" + bits.to_bytes(16, "little") + bytes(200))
    with pytest.raises(UnreadablePhoto, match="would need 100.80 GB of memory"):
        read_photo(tmp_path / "huge.jxl")


def test_xmp_in_a_jpeg_xl_file_is_read(tmp_path):
    pytest.importorskip("pillow_jxl")
    plain = imagecodecs.jpegxl_encode(COLOR, lossless=True, usecontainer=True)
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF/></x:xmpmeta>'
    (tmp_path / "a.jxl").write_bytes(plain + struct.pack(">L4s", 8 + len(xmp), b"xml ") + xmp)
    assert read_photo(tmp_path / "a.jxl").pages[0].metadata.xmp == xmp
    (tmp_path / "b.jxl").write_bytes(plain + struct.pack(">L4s", 16, b"brob") + b"xml ....")
    assert read_photo(tmp_path / "b.jxl").notes == ["XMP left out: it is packed by Brotli"]


@pytest.mark.parametrize("transfer", [16, 18])
@pytest.mark.parametrize("suffix", [".avif", ".heic"])
def test_hdr_is_refused_by_name(tmp_path, suffix, transfer):
    if suffix == ".heic":
        pytest.importorskip("pillow_heif")
        knows_heic()
    path = save(tmp_path / f"a{suffix}", Image.fromarray(COLOR))
    data = path.read_bytes()
    assert data.count(b"colrnclx") == 1
    place = data.index(b"colrnclx") + 8
    path.write_bytes(data[:place] + struct.pack(">HH", 9, transfer) + data[place + 4 :])
    for read in (read_photo, open_photo):
        with pytest.raises(UnreadablePhoto, match="is an HDR picture"):
            read(path)


def of_12_bits(path):
    path.write_bytes(imagecodecs.jpeg8_encode(DEEP >> 4, bitspersample=12))


def jpeg_ls(path):
    path.write_bytes(imagecodecs.jpegls_encode(BYTES))


def tiff_in(compression):
    return lambda path: tifffile.imwrite(path, COLOR, photometric="rgb", compression=compression)


def subsampled(path):
    """YCbCr, not compressed, four lights for each pair of colours: TIFF 6.0, section 21."""
    tifffile.imwrite(path, noise(), photometric="ycbcr", metadata=None)
    entry = struct.pack("<HHL", 530, 3, 2)
    assert path.read_bytes().count(entry + struct.pack("<HH", 1, 1)) == 1
    path.write_bytes(path.read_bytes().replace(entry + struct.pack("<HH", 1, 1), entry + struct.pack("<HH", 2, 2)))


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("a.jpg", of_12_bits, "is a JPEG file of 12 bits, which is not read"),
        ("a.jpg", jpeg_ls, "is a JPEG-LS file, which is not read"),
        ("a.tif", tiff_in("webp"), r"is compressed by a rare method \(WebP\)"),
        ("a.tif", tiff_in("jpegxl"), r"is compressed by a rare method \(JPEG XL\)"),
        ("a.tif", tiff_in("jpeg2000"), r"is compressed by a rare method \(JPEG 2000\)"),
        ("a.tif", tiff_in("lerc"), r"is compressed by a rare method \(LERC\)"),
        ("a.tif", subsampled, "is of a rare kind"),
        ("a.psd", lambda path: path.write_bytes(b"8BPS\0\2" + bytes(30)), r"is a large Photoshop file \(PSB\)"),
        ("a.pnm", lambda path: path.write_bytes(b"P7\nWIDTH 1\n"), "is a PAM file"),
        ("a.pfm", lambda path: path.write_bytes(b"PF\n1 1\n-1\n" + bytes(12)), "is a PFM file in colour"),
        ("a.jpg", lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n"), "is a PostScript file"),
    ],
)
def test_rare_kinds_are_refused_by_name(tmp_path, name, make, said):
    make(tmp_path / name)
    with pytest.raises(UnreadablePhoto, match=said):
        read_photo(tmp_path / name)
