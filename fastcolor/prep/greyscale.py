"""Makes the grey mirror of a folder of photos: same tree, same names, lightness L* of CIE Lab as neutral grey."""

import os
from pathlib import Path

from fastcolor.color.grey import grey_photo
from fastcolor.photo.folders import Summary, convert_folder
from fastcolor.photo.read import open_photo
from fastcolor.photo.write import save_photo


def mirror_grey(
    src: str | Path,
    dst: str | Path,
    strict: bool = False,
    photos: list[Path] | None = None,
    shard: str | None = None,
    ray: str | None = None,
) -> Summary:
    """Write the grey mirror of `src`, or of some of its `photos`, into `dst`.

    See `convert_folder` for what is skipped, listed and raised. A grey photo gets the time of its colour photo.
    """
    return convert_folder(src, dst, write_grey, strict=strict, photos=photos, shard=shard, ray=ray)


def write_grey(photo: Path, grey: Path) -> None:
    """Write the grey copy of a photo."""
    save_photo(grey_photo(open_photo(photo)), grey)
    os.utime(grey, ns=(photo.stat().st_atime_ns, photo.stat().st_mtime_ns))


def greyscale(
    src: str,  # folder of colour photos, with all folders below it, or an address: s3://bucket/photos
    dst: str,  # folder or address for the grey photos: same tree, same names
    strict: bool = False,  # end with exit code 2 if a photo can't be read
    ray: str | None = None,  # work on a Ray cluster: its address, or local for processes of this machine
    shard: str | None = None,  # K/N: only part K of N; N such commands, anywhere, do everything once
):
    """Make a grey copy of every photo of a folder.

    Grey is the lightness L* of CIE Lab, which training reads; the copies have the same tree and the same names.
    """
    print(mirror_grey(src, dst, strict, shard=shard, ray=ray))
