"""Raw files: developed where rawpy is installed, otherwise refused, and never taken for their previews."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from photo_files import save
from test_colorize import call, files_below, painted, stand_in  # noqa: F401 (fixtures)

from fastcolor.errors import UnreadablePhoto
from fastcolor.photo import opening
from fastcolor.photo.read import open_photo, read_photo

BLACK, WHITE = 512, 16383
LIGHT = np.linspace(0.02, 0.6, 240)[:, None] * np.ones(320)  # linear; the same in all colours


@pytest.fixture
def rawpy():
    return pytest.importorskip("rawpy")


def dng(path, orientation=1, preview=False):
    """A DNG (1.7, Adobe 2023) of a mosaic in sRGB's own colours, or of a grey preview with that below it."""
    matrix = [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
    numbers = [part for row in matrix for value in row for part in (round(value * 10_000), 10_000)]
    mosaic = [(33421, 3, 2, (2, 2)), (33422, 1, 4, (0, 1, 1, 2)), (50717, 4, 1, WHITE), (50714, 3, 1, BLACK)]
    camera = [(50706, 1, 4, (1, 4, 0, 0)), (50707, 1, 4, (1, 1, 0, 0)), (50708, 2, 0, "A camera of tests")]
    camera += [(50721, 10, 9, numbers), (50728, 5, 3, (1, 1) * 3), (50778, 3, 1, 21), (274, 3, 1, orientation)]
    camera += [(271, 2, 0, "Maker"), (315, 2, 0, "Ansel"), (33432, 2, 0, "Nobody")]
    samples = np.round(BLACK + LIGHT * (WHITE - BLACK)).astype(np.uint16)
    plain = {"metadata": None, "software": False}
    with tifffile.TiffWriter(path) as file:
        if preview:
            tags = [(*tag, True) for tag in camera]
            file.write(samples[::8, ::8] >> 6, subifds=1, subfiletype=1, extratags=tags, **plain)
            file.write(samples, photometric=32803, extratags=[(*tag, True) for tag in mosaic], **plain)
        else:
            file.write(samples, photometric=32803, extratags=[(*tag, True) for tag in mosaic + camera], **plain)
    return path


def srgb_of(linear):
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clip(0, 1) ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("preview", [False, True])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_raw_file_has_the_light_of_its_samples(tmp_path, rawpy, preview, orientation):
    photo = read_photo(dng(tmp_path / "a.dng", orientation, preview))
    (page,) = photo.pages
    assert page.pixels.dtype == np.uint16
    upright = np.rot90(LIGHT, {1: 0, 3: 2, 6: 3}[orientation])
    assert page.pixels.shape == (*upright.shape, 3)
    expected = srgb_of(upright / np.quantile(LIGHT, 0.99))
    assert np.abs(page.pixels / 65535 - expected[..., None]).max() < 0.03
    assert any("developed from the raw file" in note for note in photo.notes)


def test_its_metadata_are_kept_and_the_result_is_a_deep_tiff(rawpy, capsys):
    dng("IMG_1.DNG", 6)
    assert call("IMG_1.DNG", "-o", "out") == 0
    assert files_below("out") == ["IMG_1.DNG.tif"]
    with tifffile.TiffFile("out/IMG_1.DNG.tif") as file:
        (page,) = file.pages
        tags = {name: page.tags[name].value for name in ("Make", "Artist", "Copyright")}
        assert tags == {"Make": "Maker", "Artist": "Ansel", "Copyright": "Nobody"}
        assert (page.dtype, page.shape) == (np.uint16, (320, 240, 3))
        assert not {"DNGVersion", "Orientation", "CFAPattern"} & {tag.name for tag in page.tags}
    assert call("IMG_1.DNG", "-o", "out", "--format", "jpg") == 0
    assert "IMG_1.jpg" in files_below("out")


def test_a_raw_file_under_another_name_is_not_its_preview(tmp_path, rawpy):
    assert open_photo(dng(tmp_path / "a.tif", preview=True)).size == (320, 240)


def test_in_a_folder_a_raw_file_beside_its_photo_is_left_out(rawpy, capsys):
    os.mkdir("in")
    dng("in/IMG_1.DNG")
    dng("in/IMG_2.DNG")
    save("in/IMG_2.jpg", np.full((24, 32), 90, np.uint8))
    assert call("in", "-o", "out") == 0
    assert files_below("out") == ["IMG_1.DNG.tif", "IMG_2.jpg"]
    assert "  1 left out: raw files whose photo lies beside them" in capsys.readouterr().out.splitlines()


def test_without_rawpy_a_raw_file_is_refused_and_in_a_folder_counted(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    os.mkdir("in")
    dng("in/IMG_1.DNG")
    save("in/IMG_2.jpg", np.full((24, 32), 90, np.uint8))
    assert call("in", "-o", "out") == 0
    assert "  1 file left out: 1 .dng" in capsys.readouterr().out.splitlines()
    assert call("in/IMG_1.DNG", "in/IMG_2.jpg", "-o", "elsewhere") == 1
    assert "IMG_1.DNG: is a raw file: develop it first, or run pip install rawpy" in capsys.readouterr().err


def test_what_cannot_be_developed_is_refused_in_one_sentence(tmp_path, rawpy, capfd):
    path = dng(tmp_path / "cut.dng")
    path.write_bytes(path.read_bytes()[:60_000])
    with pytest.raises(UnreadablePhoto, match="is a raw file that LibRaw can't develop .*: develop it first"):
        read_photo(path)


def test_a_raw_file_too_large_is_refused_before_it_is_developed(tmp_path, rawpy, monkeypatch):
    monkeypatch.setattr(opening, "MEMORY", 320 * 240 * 16)
    with pytest.raises(UnreadablePhoto, match="GB of memory, and the limit is"):
        read_photo(dng(tmp_path / "a.dng"))


def test_developing_takes_no_more_memory_than_was_reckoned(tmp_path, rawpy, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "LIGHT", np.linspace(0.02, 0.6, 3000)[:, None] * np.ones(4000))
    path = dng(tmp_path / "a.dng")
    (need,) = opening.needs_of(path)
    code = f"""
import resource
from fastcolor.photo.read import read_photo
import rawpy
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
read_photo({str(path)!r})
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert int(done.stdout) < 1.1 * need
