"""Photos of every kind and brokenness are opened alike, files appear whole, folders are converted and gone on with."""

import csv

import numpy as np
import pytest
from PIL import Image

from fastcolor.errors import UnreadablePhoto, UserError
from fastcolor.files import convert_folder, find_photos, in_order, open_photo, save_photo, write_whole


def noise(seed=0, height=24, width=32):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pixels(path):
    """What `open_photo` gives, as an array; always RGB."""
    photo = open_photo(path)
    assert photo.mode == "RGB"
    return np.asarray(photo)


def copy(source, target):
    save_photo(open_photo(source), target)


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return {row["file"]: row["reason"] for row in csv.DictReader(file)}


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


@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientation_is_applied_once(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(noise()).save(tmp_path / "stored.png", exif=exif)
    upright = TURNS[orientation](noise())
    assert np.array_equal(pixels(tmp_path / "stored.png"), upright)
    copy(tmp_path / "stored.png", tmp_path / "copy.png")
    assert np.array_equal(pixels(tmp_path / "copy.png"), upright)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path, suffix):
    values = np.array([[0, 257, 128 * 257, 200 * 257, 65535]], dtype=np.uint16)  # 257 = 65535 / 255
    Image.fromarray(values).save(tmp_path / f"deep{suffix}")
    assert pixels(tmp_path / f"deep{suffix}")[0, :, 1].tolist() == [0, 1, 128, 200, 255]


def test_dark_16_bit_grey_stays_dark(tmp_path):
    Image.fromarray(np.full((4, 4), 255, dtype=np.uint16)).save(tmp_path / "dark.tif")
    assert (pixels(tmp_path / "dark.tif") == 1).all()


def test_big_endian_16_bit_tiff_is_scaled(tmp_path):
    values = np.array([[0, 128 * 257, 65535]], dtype=">u2")
    Image.frombytes("I;16B", (3, 1), values.tobytes()).save(tmp_path / "deep.tif")
    assert pixels(tmp_path / "deep.tif")[0, :, 0].tolist() == [0, 128, 255]


def test_float_tiff_keeps_its_picture_when_a_pixel_is_no_number(tmp_path):
    Image.fromarray(np.array([[0, 0.5, 1, np.nan]], dtype=np.float32)).save(tmp_path / "float.tif")
    assert pixels(tmp_path / "float.tif")[0, :, 0].tolist() == [0, 128, 255, 0]


def test_transparency_is_laid_over_white(tmp_path):
    rgba = np.array([[[200, 0, 0, 0], [200, 0, 0, 255], [0, 0, 0, 51]]], dtype=np.uint8)
    Image.fromarray(rgba).save(tmp_path / "alpha.png")
    assert pixels(tmp_path / "alpha.png").tolist() == [[[255, 255, 255], [200, 0, 0], [204, 204, 204]]]


def test_transparent_palette_color_becomes_white(tmp_path):
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(tmp_path / "palette.png", transparency=0)
    assert pixels(tmp_path / "palette.png").tolist() == [[[255, 255, 255], [40, 50, 60]]]


def test_cmyk_jpeg_shows_the_same_colors(tmp_path):
    red = Image.new("RGB", (16, 16), (230, 40, 30))
    red.convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    with Image.open(tmp_path / "print.jpg") as stored:
        assert stored.mode == "CMYK"
    assert np.abs(pixels(tmp_path / "print.jpg").astype(int) - (230, 40, 30)).max() <= 4


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif", ".gif"])
def test_a_single_pixel_is_a_photo(tmp_path, suffix):
    save_photo(Image.new("RGB", (1, 1), (0, 0, 0)), tmp_path / f"dot{suffix}")
    assert pixels(tmp_path / f"dot{suffix}").shape == (1, 1, 3)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp", ".tif"])
def test_lossless_formats_keep_every_pixel(tmp_path, suffix):
    save_photo(Image.fromarray(noise(3)), tmp_path / f"noise{suffix}")
    assert np.array_equal(pixels(tmp_path / f"noise{suffix}"), noise(3))


def truncated(path):
    save_photo(Image.fromarray(noise()), path)
    path.write_bytes(path.read_bytes()[:900])


BROKEN = {
    "truncated.png": (truncated, "can't be decoded"),
    "truncated.jpg": (truncated, "can't be decoded"),
    "empty.jpg": (lambda path: path.write_bytes(b""), "is empty"),
    "text.jpg": (lambda path: path.write_text("no photo at all"), "is none of"),
    "folder.png": (lambda path: path.mkdir(), "is a folder"),
    "missing.jpg": (lambda path: None, "no such file"),
    "link.jpg": (lambda path: path.symlink_to("nowhere.jpg"), "no such file"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_photo_is_named_with_its_reason(tmp_path, name):
    make, reason = BROKEN[name]
    make(tmp_path / name)
    with pytest.raises(UnreadablePhoto, match=reason) as caught:
        open_photo(tmp_path / name)
    assert str(caught.value) == f"{tmp_path / name}: {caught.value.reason}"


def test_a_wrong_suffix_does_not_matter(tmp_path):
    save_photo(Image.fromarray(noise()), tmp_path / "real.png")
    (tmp_path / "real.png").rename(tmp_path / "called.jpg")
    assert np.array_equal(pixels(tmp_path / "called.jpg"), noise())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "file.txt").write_text("old")
    with pytest.raises(RuntimeError), write_whole(tmp_path / "file.txt") as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]
    assert (tmp_path / "file.txt").read_text() == "old"


def test_a_file_is_not_there_before_it_is_whole(tmp_path):
    with write_whole(tmp_path / "new" / "file.txt") as temporary:
        temporary.write_text("text")
        assert not (tmp_path / "new" / "file.txt").exists()
        assert not find_photo_names(tmp_path)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file.txt"]


def test_unfinished_photos_are_not_found(tmp_path):
    save_photo(Image.fromarray(noise()), tmp_path / "whole.png")
    with write_whole(tmp_path / "half.png") as temporary:
        temporary.write_bytes(b"\x89PNG")
        assert find_photo_names(tmp_path) == ["whole.png"]


def find_photo_names(folder):
    try:
        return [str(photo) for photo in find_photos(folder)]
    except UserError:
        return []


@pytest.fixture
def tree(tmp_path):
    """A folder of three photos at different depths and in different formats."""
    for seed, name in enumerate(["a.png", "sub/b.JPG", "sub/deep er/ü.webp"]):
        save_photo(Image.fromarray(noise(seed)), tmp_path / "src" / name)
    (tmp_path / "src" / "notes.txt").write_text("no photo")
    return tmp_path / "src"


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_converted_folder_has_the_same_tree_and_names(tree, tmp_path):
    summary = convert_folder(tree, tmp_path / "dst", copy)
    assert str(summary) == "3 written, 0 skipped, 0 unreadable"
    assert files_below(tmp_path / "dst") == ["a.png", "sub/b.JPG", "sub/deep er/ü.webp"]
    assert np.array_equal(pixels(tmp_path / "dst/a.png"), noise(0))


def test_finished_files_are_left_alone(tree, tmp_path):
    (tmp_path / "dst").mkdir()
    (tmp_path / "dst/a.png").write_bytes(b"already here")
    summary = convert_folder(tree, tmp_path / "dst", copy)
    assert str(summary) == "2 written, 1 skipped, 0 unreadable"
    assert (tmp_path / "dst/a.png").read_bytes() == b"already here"


def test_a_run_cut_short_goes_on(tree, tmp_path):
    whole = convert_folder(tree, tmp_path / "whole", copy)

    def fails_late(source, target):
        if source.suffix == ".webp":
            raise KeyboardInterrupt
        copy(source, target)

    with pytest.raises(KeyboardInterrupt):
        convert_folder(tree, tmp_path / "dst", fails_late)
    done = len(files_below(tmp_path / "dst"))
    summary = convert_folder(tree, tmp_path / "dst", copy)
    assert (summary.skipped, summary.written) == (done, whole.written - done)
    for name in files_below(tmp_path / "whole"):
        assert (tmp_path / "dst" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_unreadable_files_are_listed_and_the_list_goes_when_they_are_mended(tree, tmp_path):
    (tree / "broken, very.png").write_bytes(b"")
    summary = convert_folder(tree, tmp_path / "dst", copy)
    assert str(summary) == "3 written, 0 skipped, 1 unreadable"
    assert rows(tmp_path / "dst/unreadable.csv") == {"broken, very.png": "is empty"}
    save_photo(Image.fromarray(noise()), tree / "broken, very.png")
    assert str(convert_folder(tree, tmp_path / "dst", copy)) == "1 written, 3 skipped, 0 unreadable"
    assert not (tmp_path / "dst/unreadable.csv").exists()


def test_file_names_that_are_not_text_can_be_listed(tree, tmp_path):
    try:
        (tree / "caf\udce9.png").write_bytes(b"")  # Latin-1, as old archives hold it
    except (OSError, UnicodeError):
        pytest.skip("this file system takes UTF-8 names only")
    assert len(convert_folder(tree, tmp_path / "dst", copy).unreadable) == 1
    assert b"caf\xe9.png,is empty" in (tmp_path / "dst/unreadable.csv").read_bytes()


def test_strict_raises_after_the_readable_ones_are_written(tree, tmp_path):
    (tree / "broken.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"broken\.png \(is empty\)"):
        convert_folder(tree, tmp_path / "dst", copy, strict=True)
    assert len(files_below(tmp_path / "dst")) == 4  # three photos and the list


def test_it_is_an_error_if_no_photo_can_be_read(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/broken.png").write_bytes(b"")
    with pytest.raises(UserError, match="no photo could be read"):
        convert_folder(tmp_path / "src", tmp_path / "dst", copy)


@pytest.mark.parametrize("inside", ["", "grey"])
def test_originals_are_safe_from_a_target_inside_the_source(tree, inside):
    before = files_below(tree)
    with pytest.raises(UserError, match="never touched"):
        convert_folder(tree, tree / inside, copy)
    assert files_below(tree) == before


def test_a_loop_of_links_ends(tree, tmp_path):
    (tree / "sub" / "again").symlink_to(tree, target_is_directory=True)
    assert len(find_photos(tree)) == 3
    assert convert_folder(tree, tmp_path / "dst", copy).written == 3


@pytest.mark.parametrize("name, said", [("empty", "holds no photos"), ("none", "does not exist"), ("file", "is a file")])
def test_a_folder_without_photos_is_told_from_a_missing_one(tmp_path, name, said):
    (tmp_path / "empty" / "sub.png").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=said):
        find_photos(tmp_path / name)


def test_work_is_done_ahead_in_order_and_no_further_than_it_is_wanted():
    done = []

    def square(number: int) -> int:
        done.append(number)
        return number * number

    results = in_order(square, range(1000))
    assert [next(results) for _ in range(4)] == [0, 1, 4, 9]
    results.close()
    assert done == list(range(len(done)))
    assert len(done) <= 4 + 2 + 1
    assert list(in_order(square, range(3))) == [0, 1, 4]


def test_what_goes_wrong_ahead_is_raised_in_its_turn():
    results = in_order(lambda number: 1 // number, [1, 0, 1])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
