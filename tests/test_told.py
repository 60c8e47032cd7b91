"""What a file says of itself stays, byte for byte: read with exiftool, Pillow and tifffile, not with our own code."""

import hashlib
import json
import shutil
import struct
import subprocess
import zlib
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from photo_files import encoded, noise, png_of, save
from PIL import Image
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import AppendingTiffWriter

import fastcolor
from fastcolor.photo.read import read_photo
from fastcolor.photo.write import write_photo
from fastcolor.photo.xmp import Mark, joined, marked, parted

GREY = noise(channels=1)[..., 0]
MARK = Mark("fastcolor", "fastcolor 9, weights mine")
CAPTION, ARTIST = "Großmutter, Åre 1912".encode(), "Åke Öberg".encode("latin-1")
CONVERT = shutil.which("magick") or shutil.which("convert")
needs_exiftool = pytest.mark.skipif(
    not shutil.which("exiftool"), reason="exiftool is not installed: apt-get install libimage-exiftool-perl"
)


def exiftool(path, *tags):
    """What exiftool reads, by the tag's name with its group."""
    argv = ["exiftool", "-j", "-G1", "-struct", *(f"-{tag}" for tag in tags), str(path)]
    return json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)[0]


def coloured(source, target, mark=None):
    """A copy in RGB, as if coloured; gives the notes."""
    photo = read_photo(source)
    for page in photo.pages:
        page.pixels = page.pixels if page.pixels.ndim == 3 else np.repeat(page.pixels[..., None], 3, axis=2)
        page.metadata = replace(page.metadata, mark=mark)
    return photo.notes + write_photo(photo, target)


def described_tiff(path, **options):
    tags = [(270, "s", 0, CAPTION, True), (315, "s", 0, ARTIST, True), (269, "s", 0, b"Album 3", True)]
    tifffile.imwrite(path, GREY, photometric="minisblack", metadata=None, extratags=tags, **options)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiffs_text_stays_byte_for_byte_also_by_way_of_a_jpeg(tmp_path, order):
    described_tiff(tmp_path / "a.tif", byteorder=order)
    assert coloured(tmp_path / "a.tif", tmp_path / "b.jpg") == []
    assert coloured(tmp_path / "b.jpg", tmp_path / "c.tif") == []
    assert CAPTION in (tmp_path / "b.jpg").read_bytes()
    with tifffile.TiffFile(tmp_path / "c.tif") as file:
        tags = file.pages[0].tags
        place = {code: (tags[code].valueoffset, tags[code].count) for code in (270, 315, 269)}
    data = (tmp_path / "c.tif").read_bytes()
    assert [data[start : start + count].rstrip(b"\0") for start, count in place.values()] == [
        CAPTION,
        ARTIST,
        b"Album 3",
    ]


def test_each_page_keeps_its_own_caption_name_and_resolution(tmp_path):
    pages = [("front", "p1", 300), ("back: to Anna", "p2", 600), ("envelope", "p3", 150)]
    with tifffile.TiffWriter(tmp_path / "pages.tif") as file:
        for text, name, dpi in pages:
            tags = [(270, "s", 0, text, True), (285, "s", 0, name, True)]
            file.write(GREY, metadata=None, extratags=tags, resolution=(dpi, dpi), resolutionunit="inch")
    assert coloured(tmp_path / "pages.tif", tmp_path / "new.tif") == []
    with tifffile.TiffFile(tmp_path / "new.tif") as file:
        kept = [(page.tags[270].value, page.tags[285].value, page.tags[282].value) for page in file.pages]
    assert kept == [(text, name, (dpi, 1)) for text, name, dpi in pages]


def test_thumbnails_and_masks_are_no_photos(tmp_path):
    with AppendingTiffWriter(tmp_path / "sub.tif", True) as file:
        for pixels, kind in ((GREY, 0), (GREY[::4, ::4], 1), (GREY, 4)):
            Image.fromarray(np.ascontiguousarray(pixels)).save(file, "TIFF", tiffinfo={254: kind})
            file.newFrame()
    assert coloured(tmp_path / "sub.tif", tmp_path / "new.jpg") == ["2 of its pages left out: thumbnails or masks"]
    with tifffile.TiffWriter(tmp_path / "only.tif") as file:
        file.write(GREY, subfiletype=1, metadata=None)
    assert coloured(tmp_path / "only.tif", tmp_path / "only.jpg") == []


def pages_of(path, *sizes):
    with tifffile.TiffWriter(path) as file:
        for height, width in sizes:
            file.write(np.resize(GREY, (height, width)), metadata=None, subfiletype=2)  # a page of several
    return path


def test_a_photo_halved_again_and_again_is_one_photo_though_its_pages_do_not_say_so(tmp_path):
    path = pages_of(tmp_path / "pyramid.tif", (481, 640), (240, 320), (120, 160))
    assert coloured(path, tmp_path / "new.jpg") == ["2 of its pages left out: the first one, made smaller"]
    with Image.open(tmp_path / "new.jpg") as image:
        assert image.size == (640, 481)


@pytest.mark.parametrize(
    "sizes",
    [
        [(480, 640), (240, 320)],  # front at 600 dpi, back at 300
        [(480, 640), (240, 320), (120, 161)],
        [(480, 640), (240, 320), (240, 320)],
        [(1200, 1600), (600, 800), (300, 400)],  # the last one is no thumbnail
    ],
)
def test_pages_of_different_sizes_are_an_album(tmp_path, sizes):
    coloured(pages_of(tmp_path / "album.tif", *sizes), tmp_path / "new.tif")
    with tifffile.TiffFile(tmp_path / "new.tif") as file:
        assert [page.shape[:2] for page in file.pages] == sizes


@pytest.mark.skipif(CONVERT is None, reason="ImageMagick is not installed")
def test_imagemagicks_pyramid_is_one_photo(tmp_path):
    save(tmp_path / "in.png", np.resize(GREY, (300, 515)))
    subprocess.run([CONVERT, tmp_path / "in.png", f"ptif:{tmp_path / 'in.tif'}"], check=True)
    with tifffile.TiffFile(tmp_path / "in.tif") as file:
        smaller = len(file.pages) - 1
    assert smaller > 1
    note = f"{smaller} of its pages left out: the first one, made smaller"
    assert coloured(tmp_path / "in.tif", tmp_path / "new.tif") == [note]


def test_no_resolution_is_invented(tmp_path):
    tifffile.imwrite(tmp_path / "none.tif", GREY, metadata=None)  # 1 per no unit
    plain = save(tmp_path / "plain.png", GREY)
    for source in (plain, tmp_path / "none.tif"):
        for suffix in (".tif", ".jpg", ".png"):
            coloured(source, tmp_path / f"new{suffix}")
            with Image.open(tmp_path / f"new{suffix}") as image:
                assert image.info.get("dpi", (1, 1)) == (1, 1)  # what Pillow says where there is none
                assert image.info.get("jfif_unit", 0) == 0
    with tifffile.TiffFile(coloured_path(plain, tmp_path / "again.tif")) as file:
        assert 282 not in file.pages[0].tags


def coloured_path(source, target):
    coloured(source, target)
    return target


def test_png_text_stays_byte_for_byte(tmp_path):
    text = [(b"tEXt", b"Title\0Mill pond"), (b"iTXt", b"Description\0\0\0de\0\0" + "Frozen – 1925".encode())]
    text += [(b"tEXt", b"Creation Time\x001925-06-12")]
    whole = encoded(Image.fromarray(GREY), "PNG")
    chunks = png_of(text)[8:]
    (tmp_path / "a.png").write_bytes(whole[:33] + chunks + whole[33:])
    assert coloured(tmp_path / "a.png", tmp_path / "b.png") == []
    data = (tmp_path / "b.png").read_bytes()
    assert all(struct.pack(">L", len(each)) + name + each in data for name, each in text)
    assert coloured(tmp_path / "a.png", tmp_path / "b.jpg") == ["text of the PNG file left out: JPEG can't hold it"]


def test_text_that_is_too_long_is_left_out_and_the_photo_is_coloured(tmp_path):
    whole = encoded(Image.fromarray(GREY), "PNG")
    for text in (b"History\0\0" + zlib.compress(b"step " * 300_000), b"Title\0\0" + zlib.compress(b"short")):
        whole = whole[:33] + png_of([(b"zTXt", text)])[8:] + whole[33:]
    (tmp_path / "a.png").write_bytes(whole)
    assert coloured(tmp_path / "a.png", tmp_path / "b.png") == ["text 'History' left out: it is too long"]
    with Image.open(tmp_path / "b.png") as image:
        assert image.text == {"Title": "short"}


IPTC = b"".join(
    struct.pack(">BBBH", 0x1C, record, number, len(text)) + text
    for record, number, text in (
        *((1, 90, b"\x1b%G"), (2, 5, b"Mill pond"), (2, 25, b"mill"), (2, 25, b"pond"), (2, 55, b"19250612")),
        *((2, 80, b"A. Miller"), (2, 116, b"town archive"), (2, 120, "Frozen – ö".encode())),
    )
)


def with_iptc(path):
    if path.suffix == ".jpg":
        resources = b"8BIM" + struct.pack(">HHL", 0x404, 0, len(IPTC)) + IPTC + bytes(len(IPTC) % 2)
        data = b"Photoshop 3.0\0" + resources
        jpeg = encoded(Image.fromarray(GREY), "JPEG")
        path.write_bytes(jpeg[:2] + b"\xff\xed" + struct.pack(">H", len(data) + 2) + data + jpeg[2:])
    else:
        tifffile.imwrite(path, GREY, metadata=None, extratags=[(33723, 7, len(IPTC), IPTC, True)])
    return path


@needs_exiftool
@pytest.mark.parametrize("target", [".jpg", ".tif", ".png"])
@pytest.mark.parametrize("source", [".jpg", ".tif"])
def test_iptc_is_read_by_exiftool_as_before(tmp_path, source, target):
    old, new = with_iptc(tmp_path / f"old{source}"), tmp_path / f"new{target}"
    before = exiftool(old, "IPTC:all")
    assert before["IPTC:Caption-Abstract"] == "Frozen – ö"
    assert coloured(old, new) == []
    assert exiftool(new, "IPTC:all") == before | {"SourceFile": str(new)}
    coloured(new, tmp_path / f"again{source}")
    assert exiftool(tmp_path / f"again{source}", "IPTC:all")["IPTC:Keywords"] == ["mill", "pond"]


@needs_exiftool
def test_photoshops_copyright_flag_and_address_go_along_or_are_told_of(tmp_path):
    first = with_iptc(tmp_path / "a.jpg")
    flags = ["-Photoshop:CopyrightFlag=True", "-Photoshop:URL=https://archive.example/rights"]
    subprocess.run(["exiftool", "-q", "-overwrite_original", *flags, str(first)], check=True, capture_output=True)
    before = exiftool(first, "Photoshop:CopyrightFlag", "Photoshop:URL", "IPTC:all")
    assert before["Photoshop:CopyrightFlag"] is True
    for source, target in (("a.jpg", "b.tif"), ("b.tif", "c.jpg"), ("c.jpg", "d.jpg")):
        assert coloured(tmp_path / source, tmp_path / target) == []
        found = exiftool(tmp_path / target, "Photoshop:CopyrightFlag", "Photoshop:URL", "IPTC:all")
        assert found == before | {"SourceFile": str(tmp_path / target)}
    lost = "Photoshop's copyright flag or address left out: PNG can't hold it"
    assert coloured(first, tmp_path / "e.png") == [lost]


@needs_exiftool
@pytest.mark.parametrize(
    ("suffix", "kept"), [(".jp2", {"exif", "xmp", "iptc"}), (".gif", {"xmp"}), (".psd", {"exif", "xmp", "iptc"})]
)
def test_what_pillow_leaves_out_of_a_file_is_kept_or_told_of(tmp_path, suffix, kept):
    old = tmp_path / f"old{suffix}"
    if suffix == ".psd":  # its header, no colours, no resources, no layers, planes that are not compressed
        head = b"8BPS" + struct.pack(">H6xHLLHH", 1, 1, *GREY.shape, 8, 1)
        version = b"8BIM" + struct.pack(">HHL", 1057, 0, 6) + struct.pack(">LBB", 1, 1, 0)
        old.write_bytes(
            head + bytes(4) + struct.pack(">L", len(version)) + version + bytes(4) + bytes(2) + GREY.tobytes()
        )
    else:
        save(old, GREY)
    tags = {"exif": "-EXIF:Artist=A. Miller", "xmp": "-XMP-dc:Title=Mill", "iptc": "-IPTC:Caption-Abstract=Frozen"}
    written = [tags[name] for name in sorted(kept)]
    subprocess.run(["exiftool", "-q", "-overwrite_original", *written, str(old)], check=True, capture_output=True)
    asked = ("IFD0:Artist", "XMP-dc:Title", "IPTC:Caption-Abstract")
    before = exiftool(old, *asked)
    assert len(before) == 1 + len(kept)
    coloured(old, tmp_path / "new.tif")
    assert exiftool(tmp_path / "new.tif", *asked) == before | {"SourceFile": str(tmp_path / "new.tif")}
    if suffix != ".psd":
        notes = coloured(old, tmp_path / f"new{suffix}")
        assert {f"{name.upper()} left out" for name in kept} <= {note.partition(":")[0] for note in notes}


@needs_exiftool
def test_a_resolution_is_that_of_the_file_across_and_down_or_none(tmp_path):
    told = save(tmp_path / "told.jpg", GREY)
    size = ["-IFD0:XResolution=300", "-IFD0:YResolution=600"]
    for unit, expected in (("inches", (300, 600)), ("cm", (762, 1524)), ("None", None)):
        argv = ["exiftool", "-q", "-overwrite_original", *size, f"-IFD0:ResolutionUnit={unit}", str(told)]
        subprocess.run(argv, check=True, capture_output=True)
        assert read_photo(told).pages[0].metadata.dpi == expected
    coloured(told, tmp_path / "new.jpg")
    assert exiftool(tmp_path / "new.jpg", "JFIF:ResolutionUnit")["JFIF:ResolutionUnit"] == "None"


def test_iptc_that_cannot_be_kept_is_told_of(tmp_path):
    assert coloured(with_iptc(tmp_path / "a.jpg"), tmp_path / "b.webp") == ["IPTC left out: WebP can't hold it"]


RDF = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" {}>{}</rdf:Description>'
    "</rdf:RDF></x:xmpmeta>"
)
TITLE = '<dc:{0}><rdf:Alt><rdf:li xml:lang="x-default">{1}</rdf:li></rdf:Alt></dc:{0}>'


def with_extended_xmp(path, broken=False):
    rest = RDF.format("", TITLE.format("description", "long story " * 9000)).encode()
    name = hashlib.md5(rest).hexdigest().upper().encode()
    note = f'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="{name.decode()}"'
    parts = [rest[start : start + 60_000] for start in range(0, len(rest), 60_000)]
    segments = [b"http://ns.adobe.com/xap/1.0/\0" + RDF.format(note, TITLE.format("title", "Mill")).encode()]
    head = b"http://ns.adobe.com/xmp/extension/\0" + name
    segments += [
        head + struct.pack(">LL", len(rest), 60_000 * n) + part for n, part in enumerate(parts) if not (broken and n)
    ]
    jpeg = encoded(Image.fromarray(GREY), "JPEG")
    body = b"".join(b"\xff\xe1" + struct.pack(">H", len(each) + 2) + each for each in segments)
    path.write_bytes(jpeg[:2] + body + jpeg[2:])
    return path


@needs_exiftool
@pytest.mark.parametrize("target", [".jpg", ".png", ".tif", ".webp"])
def test_extended_xmp_is_kept_whole(tmp_path, target):
    assert coloured(with_extended_xmp(tmp_path / "a.jpg"), tmp_path / f"b{target}", MARK) == []
    found = exiftool(tmp_path / f"b{target}", "XMP:all")
    assert found["XMP-dc:Title"] == "Mill"
    assert found["XMP-dc:Description"] == "long story " * 9000
    assert found["XMP-iptcExt:AISystemUsed"] == "fastcolor"


def test_extended_xmp_of_which_a_part_is_missing_is_told_of(tmp_path):
    source = with_extended_xmp(tmp_path / "a.jpg", broken=True)
    assert coloured(source, tmp_path / "b.jpg") == ["extended XMP left out: a part of it is missing or broken"]
    assert b"HasExtendedXMP" not in (tmp_path / "b.jpg").read_bytes()


def test_a_large_packet_is_parted_and_joined_again():
    packet = RDF.format("", TITLE.format("description", "x" * 200_000)).encode()
    segments = parted(packet)
    assert all(len(segment) <= 65533 for segment in segments)
    whole, is_cut = joined(segments[0].removeprefix(b"http://ns.adobe.com/xap/1.0/\0"), segments)
    assert not is_cut
    assert b"x" * 200_000 in whole


@needs_exiftool
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".heic", ".avif"])
def test_exiftool_reads_the_mark_beside_what_was_there(tmp_path, suffix):
    if suffix == ".heic":
        pytest.importorskip("pillow_heif")
    xmp = RDF.format("", TITLE.format("title", "Mill")).encode()
    save(tmp_path / "a.jpg", noise(height=64, width=64), xmp=xmp)
    assert coloured(tmp_path / "a.jpg", tmp_path / f"b{suffix}", MARK) == []
    found = exiftool(tmp_path / f"b{suffix}", "XMP:all")
    kind = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
    assert found["XMP-iptcExt:DigitalSourceType"] in (kind, "Composite with Trained Algorithmic Media")
    assert found["XMP-iptcExt:AISystemUsed"] == MARK.system
    assert found["XMP-iptcExt:AISystemVersionUsed"] == MARK.version
    assert found["XMP-dc:Title"] == "Mill"


@needs_exiftool
def test_a_mark_of_another_system_stays_and_a_source_type_is_told_of(tmp_path):
    exif = save(tmp_path / "a.jpg", GREY)
    argv = [
        "exiftool",
        "-q",
        "-XMP-iptcExt:DigitalSourceType=http://cv.iptc.org/newscodes/digitalsourcetype/print",
        str(exif),
    ]
    subprocess.run(argv, check=True)
    assert coloured(tmp_path / "a.jpg", tmp_path / "b.jpg", MARK) == ["its digital source type was print"]
    first = marked(None, Mark("Restorer", "1"), [])
    both = marked(first, MARK, notes := [])
    assert marked(both, MARK, []) == both
    save(tmp_path / "c.jpg", GREY, xmp=both)
    assert exiftool(tmp_path / "c.jpg", "XMP:all")["XMP-iptcExt:AISystemUsed"] == "Restorer; fastcolor"
    assert not notes


@pytest.mark.parametrize("xmp", [b"<x:xmpmeta", b"no XML at all", b"<a/>", b"\xff\xfe\0\0"])
def test_broken_xmp_is_left_out_and_told_of(xmp):
    kept = marked(xmp, MARK, notes := [])
    assert notes == ["broken XMP left out"]
    assert b"AISystemUsed>fastcolor<" in kept


def test_what_cannot_be_marked_is_told_of(tmp_path):
    save(tmp_path / "a.png", GREY)
    assert coloured(tmp_path / "a.png", tmp_path / "b.bmp", MARK) == [
        "not marked as coloured by a machine: BMP can't hold that"
    ]


def test_the_readme_s_line_in_python_keeps_exif_and_resolution(tmp_path):
    exif = Image.Exif()
    exif[Base.Artist] = "A. Photographer"
    save(tmp_path / "old.jpg", noise(), exif=exif, dpi=(300, 300))
    for suffix in (".jpg", ".png", ".tif"):
        picture = fastcolor.predict(tmp_path / "old.jpg")
        picture.save(tmp_path / f"new{suffix}", **picture.info)
        with Image.open(tmp_path / f"new{suffix}") as image:
            assert image.getexif()[Base.Artist] == "A. Photographer"
            assert np.allclose(np.array(image.info["dpi"], float), 300, atol=0.01)
            assert suffix != ".jpg" or b"AISystemUsed>fastcolor<" in image.info["xmp"]


def test_the_main_picture_of_a_heic_is_taken(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    file = heif.from_pillow(Image.new("RGB", (96, 64), (40, 40, 40)))
    file.add_from_pillow(Image.new("RGB", (96, 64), (200, 200, 200)))
    file.save(tmp_path / "two.heic", primary_index=1)
    photo = read_photo(tmp_path / "two.heic")
    assert photo.notes == ["only its main picture is kept"]
    assert abs(photo.pages[0].pixels.mean() - 200) < 3
