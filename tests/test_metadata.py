"""What a photo's file says of it is kept in the coloured one, and made true of it."""

import numpy as np
import pytest
from photo_files import MAKER_NOTE, exif, noise, save
from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from fastcolor.photo.read import open_photo, read_photo
from fastcolor.photo.write import write_photo

# pytest shows what the package has Python ignore
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def pixels(path):
    """What `open_photo` gives, as an array."""
    return np.asarray(open_photo(path))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_metadata_are_kept_and_made_true(tmp_path, suffix, order):
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6" dc:title="Grandmother"/></x:xmpmeta>'
    options = {"exif": exif(6, order, size=(32, 24)), "xmp": xmp, "dpi": (300, 300), "comment": b"found in the attic"}
    save(tmp_path / "old.jpg", noise(), **options)
    photo = read_photo(tmp_path / "old.jpg")
    lost = {".webp": ["comment left out: WebP can't hold it"], ".tif": ["comment left out: TIFF can't hold it"]}
    assert write_photo(photo, tmp_path / f"new{suffix}") == lost.get(suffix, [])
    with Image.open(tmp_path / f"new{suffix}") as image:
        image.load()
        assert image.size == (24, 32)
        tags = image.getexif()
        below = tags.get_ifd(IFD.Exif)
        assert tags[Base.Make] == "Maker of cameras"
        assert tags.get(Base.Orientation, 1) == 1
        assert (below[Base.ExifImageWidth], below[Base.ExifImageHeight], below[Base.ColorSpace]) == (24, 32, 1)
        assert below[Base.MakerNote] == MAKER_NOTE
        assert not tags.get_ifd(IFD.IFD1)
        assert image.info["xmp"] == xmp.replace(b'"6"', b'"1"')
        if suffix != ".webp":
            assert np.allclose(np.array(image.info["dpi"], float), 300, atol=0.01)
        if suffix == ".jpg":
            assert image.info["comment"] == b"found in the attic"


def test_a_jpegs_exif_stays_the_same_byte_for_byte_but_for_what_became_untrue(tmp_path):
    save(tmp_path / "old.jpg", noise(), exif=exif(8))
    write_photo(read_photo(tmp_path / "old.jpg"), tmp_path / "new.jpg")
    with Image.open(tmp_path / "new.jpg") as image:
        kept = image.info["exif"]
    assert len(kept) == len(exif(8))
    assert sum(a != b for a, b in zip(kept, exif(8), strict=True)) <= 2 + 2 * 2 + 4 + 2


@pytest.mark.parametrize("target", ["new.jpg", "new.tif", "new.png"])
def test_a_tiffs_own_tags_are_kept(tmp_path, target):
    tags = ImageFileDirectory_v2()
    tags[Base.Artist], tags[Base.ImageDescription] = "A. Photographer", "Harbour"
    tags[Base.DateTime] = "1931:05:01 12:00:00"
    save(tmp_path / "old.tif", noise(), tiffinfo=tags, compression="tiff_lzw", dpi=(600, 600))
    write_photo(read_photo(tmp_path / "old.tif"), tmp_path / target)
    with Image.open(tmp_path / target) as image:
        found = image.getexif()
        assert [found[tag] for tag in tags] == [tags[tag] for tag in tags]
        assert np.allclose(np.array(image.info["dpi"], float), 600, atol=0.02)
    assert np.abs(pixels(tmp_path / target).astype(int) - noise()).mean() < 20  # lossy, but no other picture


def test_broken_exif_is_left_out_and_said_so(tmp_path):
    save(tmp_path / "old.jpg", noise(), exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    photo = read_photo(tmp_path / "old.jpg")
    assert photo.notes + write_photo(photo, tmp_path / "new.jpg") == ["broken EXIF left out"]
    with Image.open(tmp_path / "new.jpg") as image:
        assert "exif" not in image.info


def test_metadata_that_the_format_cannot_hold_are_told_of(tmp_path):
    save(tmp_path / "old.png", noise(), exif=exif() + bytes(70_000))
    photo = read_photo(tmp_path / "old.png")
    assert write_photo(photo, tmp_path / "new.jpg") == ["EXIF left out: JPEG can't hold that much"]
    assert write_photo(photo, tmp_path / "new.bmp") == ["EXIF left out: BMP can't hold it"]
