"""Reads one photo file of any kind: upright sRGB pixels, and what the file says of the photo besides."""

from pathlib import Path

import numpy as np
from PIL import Image
from PIL.ExifTags import Base

from fastcolor.errors import UnreadablePhoto
from fastcolor.photo.deep import is_deep, joined, lower_byte, raw_mode, read_as
from fastcolor.photo.formats import format_opened
from fastcolor.photo.icc import Profile, load_profile
from fastcolor.photo.metadata import BROKEN, Metadata, read_metadata
from fastcolor.photo.opening import memory_for, opened, pages_of, refuse
from fastcolor.photo.page import STRIP, Page, Photo, over_white, to_uint8

# What makes a stored picture upright, by EXIF's orientation (EXIF 3.0, 4.6.5.1): views, which cost nothing.
_TURNS = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: x.swapaxes(0, 1)[:, ::-1],
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: x.swapaxes(0, 1)[::-1],
}
_BACK = {6: 8, 8: 6}  # the turn that undoes a turn; all others undo themselves


def read_photo(path: str | Path) -> Photo:
    """All pages of a photo file, with 8 or 16 bits as in the file. Raises UnreadablePhoto, with the reason."""
    with opened(path) as image:
        notes, count = [], len(pages_of(path, image))
        pages = [_read_page(path, image, number, notes, is_last=number == count - 1) for number in range(count)]
    return Photo([page for page, _ in pages], pages[0][1], list(dict.fromkeys(notes)))


def open_photo(path: str | Path, least: int | None = None) -> Image.Image:
    """Any photo as an upright 8-bit sRGB image: 16 bits scaled, transparency over white, the first of several pages.

    With `least`, a large JPEG may come reduced, with no side shorter than `least` pixels, which is several times
    faster. Raises UnreadablePhoto, with the reason, for whatever can't be decoded.
    """
    with opened(path) as image:
        refuse(path, image, memory_for(image))
        if least:
            image.draft(None, (least, least))
        if _is_plain(image) and _orientation(image) == 1:  # most photos of a training set: nothing to convert
            image.load()
            return image.copy()
        return Image.fromarray(over_white(_read_page(path, image, 0, [], is_last=True)[0]))


def as_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow image as 8-bit sRGB: 16 bits scaled, transparency over white, ICC profile applied; not turned."""
    if _is_plain(image):
        return image.copy()
    profile = _profile(image, [])
    return Image.fromarray(over_white(_srgb(_converted(image, profile, 1), profile, [])))


def _read_page(
    path: str | Path, image: Image.Image, number: int, notes: list[str], is_last: bool
) -> tuple[Page, Metadata]:
    image.seek(number)
    format = format_opened(image)
    if getattr(image, "is_animated", False) and not format.pages:
        notes.append("only the first of its pictures is kept")
    profile = _profile(image, notes)
    if is_deep(image):
        page, metadata = _deep_page(path, image, notes, is_last)
    else:
        if format.inverts_cmyk and image.mode == "CMYK" and "adobe" not in image.info:
            read_as(image, "CMYK")
        image.load()
        metadata = read_metadata(image, notes)
        page = _converted(image, profile, _orientation(image))
    return _srgb(page, profile, notes), metadata


def _deep_page(path: str | Path, image: Image.Image, notes: list[str], is_last: bool) -> tuple[Page, Metadata]:
    """A page of 16 bits, RGB or with transparency, in two passes over the file: the upper bytes and the lower ones."""
    number, raw, clear = image.tell(), raw_mode(image), image.info.pop("transparency", None)
    grey = raw.startswith("LA")
    if grey:
        read_as(image, "RGBA")  # four bytes, as these are: both of the grey, both of the alpha
    image.load()
    metadata, upper = read_metadata(image, notes), _converted(image, None, _orientation(image))
    if grey:
        high, low, high_alpha = np.moveaxis(upper.pixels, -1, 0)
        return Page(joined(high, low), joined(high_alpha, upper.alpha)), metadata
    if is_last:
        image.close()  # its pixels go: the second pass needs that memory
    lower = _lower_bytes(path, number, lower_byte(raw))
    pixels = joined(upper.pixels, lower.pixels)
    alpha = None if upper.alpha is None else joined(upper.alpha, lower.alpha)
    if clear is not None:
        alpha = np.where((pixels == clear).all(axis=-1), np.uint16(0), np.uint16(65535))
    return Page(pixels, alpha), metadata


def _srgb(page: Page, profile: Profile | None, notes: list[str]) -> Page:
    """A page in sRGB: for 8 bits `_converted` has applied the profile, for 16 bits it is applied here."""
    if profile is None or page.pixels.dtype == np.uint8:
        return page
    try:
        profile.deep_to_srgb(page.pixels)
    except ValueError:
        notes.append("16 bits reduced to 8: an ICC profile with lookup tables is applied in 8 bits only")
        pixels = profile.to_srgb(Image.fromarray(to_uint8(page.pixels)).convert(profile.mode))
        return Page(np.asarray(pixels), page.alpha if page.alpha is None else to_uint8(page.alpha))
    return page


def _lower_bytes(path: str | Path, number: int, raw: str) -> Page:
    with opened(path) as image:
        image.seek(number)
        image.info.pop("transparency", None)
        read_as(image, raw)
        image.load()
        return _converted(image, None, _orientation(image))


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(Base.Orientation, 1)
    except BROKEN:  # the picture may be good all the same
        return 1
    return orientation if orientation in _TURNS else 1


def _profile(image: Image.Image, notes: list[str]) -> Profile | None:
    """The image's ICC profile, if it has one that fits it and is not sRGB; what is done with it is noted."""
    if not image.info.get("icc_profile"):
        return None
    try:
        profile = load_profile(image.info["icc_profile"])
    except ValueError:
        notes.append("broken ICC profile ignored")
        return None
    if profile is None:
        return None
    grey = image.mode in ("1", "L", "LA", "F") or image.mode.startswith("I")
    if not {"RGB": image.mode not in ("CMYK", "LAB"), "CMYK": image.mode == "CMYK", "L": grey}[profile.mode]:
        notes.append(f"ICC profile {profile.name} ignored: it is not made for {image.mode}")
        return None
    notes.append(f"ICC profile {profile.name} converted to sRGB")
    return profile


def _is_plain(image: Image.Image) -> bool:
    """Whether Pillow's own pixels are 8-bit sRGB already."""
    return image.mode == "RGB" and not image.info.keys() & {"icc_profile", "transparency"} and not is_deep(image)


def _converted(image: Image.Image, profile: Profile | None, orientation: int) -> Page:
    """A loaded image as upright sRGB, but 16 bits still in their profile's colours; in strips, which saves memory."""
    if image.mode in ("I", "F"):
        image = _scaled(image)
    height, width = image.height, image.width
    rows, stored = 1 + STRIP // width, []
    for top in range(0, height, rows):
        strip = _strip(image.crop((0, top, width, min(top + rows, height))), profile)
        if not stored:
            upright = (width, height) if orientation > 4 else (height, width)
            back = _TURNS[_BACK.get(orientation, orientation)]
            stored = [back(np.empty(upright + part.shape[2:], part.dtype.newbyteorder("="))) for part in strip]
        for whole, part in zip(stored, strip, strict=True):
            whole[top : top + rows] = part
    return Page(*map(_TURNS[orientation], stored))


def _strip(strip: Image.Image, profile: Profile | None) -> list[np.ndarray]:
    """Pixels `(H, W)` or `(H, W, 3)` and, if there is any, alpha `(H, W)`; uint16 where the strip has 16 bits."""
    if strip.mode.startswith("I;16"):
        pixels, clear = np.asarray(strip), strip.info.get("transparency")
        return [pixels] if clear is None else [pixels, np.where(pixels == clear, np.uint16(0), np.uint16(65535))]
    alpha = []
    if strip.mode in ("RGBA", "LA", "PA") or "transparency" in strip.info:
        strip = strip.convert("RGBA")
        alpha = [np.asarray(strip.getchannel("A"))]
        strip = strip.convert("RGB")
    if profile:
        strip = profile.to_srgb(strip.convert(profile.mode))
    elif strip.mode not in ("L", "RGB"):
        strip = strip.convert("L" if strip.mode == "1" else "RGB")
    return [np.asarray(strip), *alpha]


def _scaled(image: Image.Image) -> Image.Image:
    """Floats or 32-bit integers as 16 bits; white is 1, 255 or 65,535, the first not exceeded, or else the lightest."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0)
    white = next((white for white in (1.0, 255.0, 65535.0) if values.max() <= white), float(values.max()))
    return Image.fromarray((values.clip(0, white) * (65535 / white) + 0.5).astype(np.uint16))


def halves(picture: Path) -> tuple[Image.Image, Image.Image]:
    """Left and right half of an A|B picture, 8-bit RGB. Raises UnreadablePhoto for one of odd width."""
    both = open_photo(picture)
    width, height = both.size
    if width % 2:
        raise UnreadablePhoto(picture, f"is {width} pixels wide, so its halves are not equal: make the width even")
    return both.crop((0, 0, width // 2, height)), both.crop((width // 2, 0, width, height))
