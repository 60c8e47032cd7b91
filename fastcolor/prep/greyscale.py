"""Makes the grey mirror of a folder of photos: same tree, same names, lightness L* of CIE Lab as neutral grey."""

import os
from pathlib import Path

from fastcolor.color.grey import grey_photo
from fastcolor.photo.folders import Summary, convert_folder
from fastcolor.photo.read import open_photo
from fastcolor.photo.write import save_photo


def mirror_grey(src: Path, dst: Path, strict: bool = False, photos: list[Path] | None = None) -> Summary:
    """Write the grey mirror of `src`, or of some of its `photos`, into `dst`.

    See `convert_folder` for what is skipped, listed and raised. A grey photo gets the time of its colour photo.
    """

    def convert(photo: Path, grey: Path) -> None:
        save_photo(grey_photo(open_photo(photo)), grey)
        os.utime(grey, ns=(photo.stat().st_atime_ns, photo.stat().st_mtime_ns))

    return convert_folder(src, dst, convert, strict=strict, photos=photos)


def greyscale(
    src: Path,  # folder of colour photos, with all folders below it
    dst: Path,  # folder for the grey photos: same tree, same names
    strict: bool = False,  # end with exit code 2 if a photo can't be read
):
    """Make a grey copy of every photo of a folder.

    Grey is the lightness L* of CIE Lab, which training reads; the copies have the same tree and the same names.
    """
    print(mirror_grey(src, dst, strict))
