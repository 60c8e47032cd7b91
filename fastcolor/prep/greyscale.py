"""The grey mirror of a folder of photos: same tree, same names, grey holding CIE lightness."""

import os
from pathlib import Path

from fastcolor.color.grey import grey_photo
from fastcolor.photo.folders import Summary, convert_folder
from fastcolor.photo.read import open_photo
from fastcolor.photo.write import save_photo


def mirror_grey(src: Path, dst: Path, strict: bool = False, photos: list[Path] | None = None) -> Summary:
    """Write the grey mirror of `src`, or of some of its `photos`, into `dst`.

    See `convert_folder` for what is skipped, listed and raised. Each grey photo gets its photo's time of change.
    """

    def convert(photo: Path, grey: Path) -> None:
        save_photo(grey_photo(open_photo(photo)), grey)
        os.utime(grey, ns=(photo.stat().st_atime_ns, photo.stat().st_mtime_ns))

    return convert_folder(src, dst, convert, strict=strict, photos=photos)


def greyscale(
    src: Path,  # folder of colour photos, any tree
    dst: Path,  # folder for their grey mirror
    strict: bool = False,  # exit code 2 if any photo is unreadable
):
    """Make the grey mirror of a folder of photos: same tree, same names, grey holding CIE lightness."""
    print(mirror_grey(src, dst, strict))
