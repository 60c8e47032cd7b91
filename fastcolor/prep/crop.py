"""Cuts the square middle out of every photo of a folder."""

from functools import partial
from pathlib import Path

from PIL import Image, ImageOps

from fastcolor.errors import UserError
from fastcolor.photo.folders import convert_folder
from fastcolor.photo.read import open_photo
from fastcolor.photo.write import save_photo

LARGEST = 16_383  # pixels: the longest side that WebP can hold


def crop_photo(photo: Image.Image, size: int) -> Image.Image:
    """The largest square in the middle of an RGB image, resized (Lanczos) to `size` x `size` pixels."""
    return ImageOps.fit(photo, (size, size), Image.Resampling.LANCZOS)


def write_square(photo: Path, square: Path, size: int) -> None:
    """Write the middle of a photo."""
    save_photo(crop_photo(open_photo(photo), size), square)


def crop(
    src: str,  # folder of photos, with all folders below it, or an address: s3://bucket/photos
    dst: str,  # folder or address for the squares: same tree, same names
    size: int = 256,  # side of the squares in pixels; smaller photos are enlarged
    strict: bool = False,  # end with exit code 2 if a photo can't be read
    ray: str | None = None,  # work on a Ray cluster: its address, or local for processes of this machine
    shard: str | None = None,  # K/N: only part K of N; N such commands, anywhere, do everything once
):
    """Cut the square middle out of every photo and resize it."""
    if not 1 <= size <= LARGEST:
        raise UserError(f"--size must be between 1 and {LARGEST} pixels, not {size}")

    def check(square: Path, name: Path | str) -> None:
        """They would be skipped, and sizes would mix."""
        if (found := open_photo(square).size) != (size, size):
            raise UserError(f"{name} has {found[0]} x {found[1]} pixels, not {size} x {size}: give another folder")

    print(convert_folder(src, dst, partial(write_square, size=size), strict, check=check, shard=shard, ray=ray))
