"""Cuts the square middle out of every photo of a folder."""

from pathlib import Path

from PIL import Image, ImageOps

from fastcolor.errors import UserError
from fastcolor.photo.folders import convert_folder, find_photos
from fastcolor.photo.read import open_photo
from fastcolor.photo.write import save_photo

LARGEST = 16_383  # pixels: the longest side that WebP can hold


def crop_photo(photo: Image.Image, size: int) -> Image.Image:
    """The largest square in the middle of an RGB image, resized (Lanczos) to `size` x `size` pixels."""
    return ImageOps.fit(photo, (size, size), Image.Resampling.LANCZOS)


def crop(
    src: Path,  # folder of photos, with all folders below it
    dst: Path,  # folder for the squares: same tree, same names
    size: int = 256,  # side of the squares in pixels; smaller photos are enlarged
    strict: bool = False,  # end with exit code 2 if a photo can't be read
):
    """Cut the square middle out of every photo and resize it."""
    if not 1 <= size <= LARGEST:
        raise UserError(f"--size must be between 1 and {LARGEST} pixels, not {size}")
    photos = find_photos(src)
    _check_size(dst, photos, size)

    def convert(photo: Path, square: Path) -> None:
        save_photo(crop_photo(open_photo(photo), size), square)

    print(convert_folder(src, dst, convert, strict=strict, photos=photos))


def _check_size(dst: Path, photos: list[Path], size: int) -> None:
    """Raise UserError if `dst` has squares of another size: they would be skipped, and sizes would mix."""
    there = next((dst / photo for photo in photos if (dst / photo).exists()), None)
    if there and (found := open_photo(there).size) != (size, size):
        raise UserError(f"{there} has {found[0]} x {found[1]} pixels, not {size} x {size}: give another folder")
