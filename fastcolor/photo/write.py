"""Writes a photo into a file, whole or not at all, with all that its own file said of it."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

from fastcolor.errors import UserError, one_line
from fastcolor.files import write_whole
from fastcolor.photo.formats import Format, format_of
from fastcolor.photo.metadata import true_of_output, with_resolution
from fastcolor.photo.page import Page, Photo, over_white, to_uint8


def save_photo(image: Image.Image, path: str | Path, **options) -> None:
    """Save in the format of `path`'s suffix, whole or not at all: JPEG at quality 95, WebP lossless, or as told.

    `options` are those of Pillow's encoder. Raises UserError if the format can't hold the image.
    """
    format = format_of(path)
    if format.written_as:
        raise UserError(
            f"{path}: {format.name} files are only read: choose another format, such as {format.written_as}"
        )
    if format.codec and not format.codec():
        install = f"pip install {format.package}"
        raise UserError(f"{path}: to write {format.name}, run {install}, or choose another format")
    with write_whole(path) as temporary, open(temporary, "w+b") as file:
        # Not the file itself: Pillow would have C write to it, and hide a full disk in an error of its own.
        through = SimpleNamespace(write=file.write, read=file.read, seek=file.seek, tell=file.tell, flush=file.flush)
        try:
            image.save(through, format.pillow[0], **format.defaults | options)
        except (OSError, ValueError, RuntimeError) as error:  # RuntimeError is pillow-heif's
            if getattr(error, "errno", None):
                raise
            # mostly: more pixels on a side than the format can hold
            reason = f"{image.width:,} x {image.height:,} pixels can't be written as {format.name} ({one_line(error)})"
            raise UserError(f"{path}: {reason}: choose another format") from error


def write_photo(photo: Photo, path: str | Path, quality: int = 95) -> list[str]:
    """Write a photo, pixels `(H, W, 3)`, in the format of `path`'s suffix, whole or not at all.

    Its pages may come one by one. `quality`, 1 to 100, is for JPEG, HEIC, AVIF, JPEG XL and WebP (lossless at 100).
    Gives notes on what the format can't hold; raises UserError if it can't hold the photo at all.
    """
    format, notes, pages = format_of(path), [], iter(photo.pages)
    if format.pages:
        with write_whole(path) as temporary, open(temporary, "w+b") as file:
            format.writer(file, (_ready(page, format, notes) for page in pages), notes)
        return list(dict.fromkeys(notes))
    page = _ready(next(pages), format, notes)
    if next(pages, None) is not None:
        raise UserError(f"{path}: {format.name} can't hold more than one page: choose --format tif")
    if format.deep_writer and page.pixels.dtype == np.uint16:
        with write_whole(path) as temporary, open(temporary, "w+b") as file:
            format.deep_writer(file, [page], notes)
        return notes
    told, image = page.metadata, _writable(page, format, notes)
    exif = told.exif and b"Exif\0\0" + told.exif
    options = {"exif": exif, "dpi": told.dpi, "comment": told.comment if "comment" in format.holds else None}
    options = format.options(quality, told, min(image.size)) | {name: value for name, value in options.items() if value}
    save_photo(image, path, **options)
    return notes


def _ready(page: Page, format: Format, notes: list[str]) -> Page:
    """A page whose metadata are true of it, and none that the format can't hold; what gets lost is noted."""
    height, width = page.pixels.shape[:2]
    told = page.metadata
    if "xmp" not in format.holds and told.mark:
        notes.append(f"not marked as coloured by a machine: {format.name} can't hold that")
        told = replace(told, mark=None)
    told = true_of_output(told, width, height, notes)
    if "dpi" not in format.holds and "exif" in format.holds:
        told = replace(told, exif=with_resolution(told), dpi=None)
    for name, what in _NAMES.items():
        value = getattr(told, name)
        most = format.limits.get(name)
        if value and (name not in format.holds or (most is not None and len(value) > most)):
            told = replace(told, **{name: () if name == "text" else None})
            notes.append(f"{what} left out: {format.name} can't hold {'that much' if name in format.holds else 'it'}")
    return replace(page, metadata=told)


_NAMES = {
    "exif": "EXIF",
    "xmp": "XMP",
    "iptc": "IPTC",
    "rights": "Photoshop's copyright flag or address",
    "dpi": "resolution",
    "comment": "comment",
    "text": "text of the PNG file",
}


def _writable(page: Page, format: Format, notes: list[str]) -> Image.Image:
    """A page as an 8-bit image that the format can hold; what gets lost is noted."""
    if page.pixels.dtype == np.uint16:
        notes.append(f"16 bits reduced to 8: {format.name} can't hold more")
    if format.loss:
        notes.append(format.loss)
    if page.alpha is not None and not format.alpha:
        notes.append(f"transparency replaced by white: {format.name} can't hold it")
        return Image.fromarray(over_white(page))
    image = Image.fromarray(to_uint8(page.pixels))
    if page.alpha is not None:
        image.putalpha(Image.fromarray(to_uint8(page.alpha)))
    return image
