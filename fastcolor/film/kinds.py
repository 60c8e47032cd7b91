"""The kinds of films: what the package knows of a container or a codec stands in its row. Needs neither av nor cv2."""

import re
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from fastcolor.errors import UserError
from fastcolor.photo.folders import find_photos

WRITTEN = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""What is written, by suffix: ffmpeg's name of the container."""
OTHERS = {  # what is only read, and what is written instead: mp4 keeps times exactly, mkv holds what mp4 can't
    **dict.fromkeys((".avi", ".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts", ".flv", ".3gp", ".ogv", ".dv"), ".mp4"),
    **dict.fromkeys((".wmv", ".asf"), ".mkv"),
}
FILMS = (*WRITTEN, *OTHERS)
"""Suffixes of films."""
MOVING = (".gif", ".webp", ".png")
"""Suffixes of pictures that may move."""


class Codec(NamedTuple):
    """How frames are encoded: ffmpeg's encoder, the CRF at which it looks like the source, and further options."""

    encoder: str
    crf: int | None  # None: it loses nothing
    formats: tuple[str, ...]  # pixel formats, of those that `read` gives
    options: dict[str, str]
    most: int = 51  # the largest CRF


_8 = ("yuv420p", "yuv422p", "yuv444p")
_10 = ("yuv420p10le", "yuv422p10le", "yuv444p10le")
CODECS = {
    "h264": Codec("libx264", 18, _8 + _10, {"preset": "faster"}),
    "hevc": Codec("libx265", 20, _8 + _10, {"preset": "fast", "x265-params": "log-level=error"}),
    "vp9": Codec("libvpx-vp9", 24, _8, {"b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"}, most=63),
    "av1": Codec("libsvtav1", 24, ("yuv420p", "yuv420p10le"), {"preset": "8"}, most=63),
    "ffv1": Codec("ffv1", None, _8 + _10, {"level": "3", "slices": "4"}),
}
"""The values of `--codec`."""


def codec_for(path: Path, name: str | None) -> str:
    """The codec of a film to be written: that of `name`, or the container's own. Raises UserError if they don't fit."""
    name = name or ("vp9" if path.suffix.lower() == ".webm" else "h264")
    fits = {".webm": ("vp9", "av1"), ".mov": ("h264", "hevc")}.get(path.suffix.lower(), tuple(CODECS))
    if name not in fits:
        raise UserError(f"{path} can't hold {name}: choose --codec {' or '.join(fits)}, or another suffix such as .mkv")
    return name


def is_film(path: Path) -> bool:
    """Whether a file is a film by its name, or a picture that moves. Without av and cv2 such pictures are photos."""
    suffix = path.suffix.lower()
    return suffix in FILMS or (suffix in MOVING and can_color_films() and is_moving(path))


def is_moving(path: Path) -> bool:
    """Whether a picture has several frames; False for what can't be opened."""
    try:
        with Image.open(path, formats=("GIF", "WEBP", "PNG")) as image:
            return bool(getattr(image, "is_animated", False))
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
        return False


def numbered(folder: Path) -> list[Path]:
    """The photos right in a folder, in the order of the numbers in their names. Raises UserError if there are none."""
    names = [name for name in find_photos(folder) if len(name.parts) == 1]
    if not names:
        raise UserError(f"{folder} holds no frames: give the folder right above them")
    return sorted(names, key=lambda name: ([int(number) for number in re.findall(r"\d+", name.stem)], str(name)))


def are_all_there(folder: Path, target: Path) -> bool:
    """Whether each numbered frame of a folder has its result."""
    return all((target / name).exists() for name in numbered(folder))


def can_color_films() -> bool:
    """Whether the packages are installed that films need."""
    try:
        check_packages()
    except UserError:
        return False
    return True


def check_packages() -> None:
    """Raise UserError unless the packages are installed that films need."""
    try:
        import av  # noqa: F401
        import cv2  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(f"colouring films needs {error.name}: run `pip install av opencv-python-headless`") from None
