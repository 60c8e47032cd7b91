"""Writes a photo into a file, whole or not at all, with all that its own file said of it."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

from fastcolor.errors import UserError, one_line
from fastcolor.files import write_whole
from fastcolor.photo.formats import Format, format_of
from fastcolor.photo.metadata import Metadata, true_of_output
from fastcolor.photo.page import Page, Photo, over_white, to_uint8


def save_photo(image: Image.Image, path: str | Path, **options) -> None:
    """Save in the format of `path`'s suffix, whole or not at all: JPEG at quality 95, WebP lossless, or as told.

    `options` are those of Pillow's encoder. Raises UserError if the format can't hold the image.
    """
    format = format_of(path)
    if format.codec and not format.codec():
        install = f"pip install 'fastcolor[{format.extra}]'"
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

    `quality` is JPEG's, HEIC's and WebP's, 1 to 100; WebP is lossless at 100. Gives notes on what the format can't
    hold; raises UserError if it can't hold the photo at all.
    """
    format, page, notes = format_of(path), photo.pages[0], []
    if len(photo.pages) > 1 and not format.pages:
        raise UserError(f"{path}: {format.name} can't hold all {len(photo.pages)} pages: choose --format tif")
    height, width = page.pixels.shape[:2]
    metadata = true_of_output(photo.metadata, width, height, notes)
    writer = format.deep_writer if page.pixels.dtype == np.uint16 else format.writer
    if writer:
        with write_whole(path) as temporary, open(temporary, "w+b") as file:
            writer(file, photo.pages, metadata, notes)
        return notes
    image = _writable(page, format, notes)
    save_photo(image, path, **format.options(quality, metadata), **_kept(metadata, format, notes))
    return notes


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


def _kept(metadata: Metadata, format: Format, notes: list[str]) -> dict[str, object]:
    """What Pillow's encoder is told of the photo, as far as the format can hold it; what gets lost is noted."""
    exif = metadata.exif and b"Exif\0\0" + metadata.exif
    told = {"exif": exif, "xmp": metadata.xmp, "dpi": metadata.dpi, "comment": metadata.comment}
    told = {name: value for name, value in told.items() if value}
    for name, most in format.limits.items():
        if len(told.get(name, b"")) > most:
            del told[name]
            what = name if name == "comment" else name.upper()
            notes.append(f"{what} left out: {format.name} can't hold {'that much' if most else 'it'}")
    return told
