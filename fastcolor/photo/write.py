"""A photo back into a file, whole or not at all, with all that its own file said of it."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fastcolor.errors import UserError, one_line
from fastcolor.files import write_whole
from fastcolor.photo.deep import write_png, write_tiff
from fastcolor.photo.folders import SUFFIXES
from fastcolor.photo.formats import knows_heic
from fastcolor.photo.metadata import Metadata, tiff_tags, true_of_output
from fastcolor.photo.page import Page, Photo, flat, to_bytes


def save_photo(image: Image.Image, path: str | Path, **options) -> None:
    """Save in the format of `path`'s suffix, whole or not at all: JPEG at quality 95, WebP lossless, or as told.

    `options` are those of Pillow's encoder. Raises UserError if the format can't hold the image.
    """
    kind = SUFFIXES[Path(path).suffix.lower()]
    if kind == "HEIF" and not knows_heic():
        raise UserError(f"{path}: HEIC can't be written here: pip install 'fastcolor[heic]', or give another format")
    with write_whole(path) as temporary, open(temporary, "w+b") as file:
        # Not the file itself: Pillow would have C write to it, and hide a full disk in an error of its own.
        through = SimpleNamespace(write=file.write, read=file.read, seek=file.seek, tell=file.tell, flush=file.flush)
        try:
            image.save(through, kind, **_DEFAULTS.get(kind, {}) | options)
        except (OSError, ValueError) as error:
            if getattr(error, "errno", None):
                raise
            # mostly: more pixels on a side than the format can hold
            reason = f"{image.width:,} x {image.height:,} pixels can't be written as {kind} ({one_line(error)})"
            raise UserError(f"{path}: {reason}: give another format") from error


def write_photo(photo: Photo, path: str | Path, quality: int = 95) -> list[str]:
    """Write a photo, pixels `(H, W, 3)`, in the format of `path`'s suffix, whole or not at all.

    `quality` is JPEG's, HEIC's and WebP's, 1 to 100; WebP is lossless at 100. Gives notes on what the format can't
    hold; raises UserError if it can't hold the photo at all.
    """
    kind, page, notes = SUFFIXES[Path(path).suffix.lower()], photo.pages[0], []
    height, width = page.pixels.shape[:2]
    metadata = true_of_output(photo.metadata, width, height, notes)
    if kind == "TIFF":
        about = tiff_tags(metadata, notes)
        with write_whole(path) as temporary, open(temporary, "w+b") as file:
            write_tiff(file, ((page.pixels, page.alpha) for page in photo.pages), about)
        return notes
    if len(photo.pages) > 1:
        raise UserError(f"{path}: {kind} can't hold the {len(photo.pages)} pages: give --format tif")
    if kind == "PNG" and page.pixels.dtype == np.uint16:
        with write_whole(path) as temporary, open(temporary, "wb") as file:
            write_png(file, page.pixels, page.alpha, metadata)
        return notes
    image = _writable(page, kind, notes)
    save_photo(image, path, **_options(kind, metadata, quality, notes))
    return notes


def _writable(page: Page, kind: str, notes: list[str]) -> Image.Image:
    if page.pixels.dtype == np.uint16:
        notes.append(f"16 bits reduced to 8: {kind} has no more")
    if kind == "GIF":
        notes.append("reduced to 256 colours: GIF has no more (--format png keeps all)")
    if kind in ("JPEG", "BMP") and page.alpha is not None:
        notes.append(f"transparency laid over white: {kind} has none")
        return Image.fromarray(flat(page))
    image = Image.fromarray(to_bytes(page.pixels))
    if page.alpha is not None:
        image.putalpha(Image.fromarray(to_bytes(page.alpha)))
    return image


def _options(kind: str, metadata: Metadata, quality: int, notes: list[str]) -> dict:
    """What Pillow's encoder of a format is to be given."""
    exif, xmp = metadata.exif and b"Exif\0\0" + metadata.exif, metadata.xmp
    if kind in ("BMP", "GIF") and (exif or xmp):
        notes.append(f"EXIF and XMP left out: {kind} has no place for them")
    options = {"exif": exif, "xmp": xmp, "dpi": metadata.dpi, "comment": metadata.comment}
    options = {name: value for name, value in options.items() if value}
    if kind == "JPEG":
        for name in [name for name, most in _JPEG_HOLDS.items() if len(options.get(name, b"")) > most]:
            del options[name]
            notes.append(f"{name} left out: JPEG can't hold so much")
    if kind in ("JPEG", "HEIF"):
        options["quality"] = quality
    elif kind == "WEBP":
        options |= {"quality": quality, "lossless": quality == 100}
    elif kind == "PNG":
        options |= {"compress_level": 3, "pnginfo": PngInfo()}  # twice as fast as Pillow's 6, and no larger on photos
        if xmp:
            options["pnginfo"].add(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    return options


_JPEG_HOLDS = {"exif": 65533, "xmp": 65504, "comment": 65533}  # bytes in one of its segments, less XMP's own heading
# JPEG: colour at full resolution, since it is what is learned from, and what is painted.
_DEFAULTS = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}
