"""Reads one photo file of any kind: upright sRGB pixels, and what the file says of the photo besides."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile
from PIL.ExifTags import Base

from fastcolor.errors import UnreadablePhoto
from fastcolor.photo import raw
from fastcolor.photo.boxes import bits_of, code_points, told_in
from fastcolor.photo.deep import is_deep, joined, lower_byte, raw_mode, read_as
from fastcolor.photo.formats import RAW
from fastcolor.photo.icc import Profile, load_profile, rgb_profile
from fastcolor.photo.jpeg_end import ended
from fastcolor.photo.metadata import BROKEN, Metadata, of_tags, read_metadata
from fastcolor.photo.opening import MEMORY, Head, Source, opened, too_large
from fastcolor.photo.page import STRIP, TURNS, Page, Photo, in_strips, over_white, to_uint8, upright
from fastcolor.photo.tags import values_of
from fastcolor.photo.tiff_read import NotRead, extra_channels, is_for_pillow, read_samples, white_of


def read_photo(path: str | Path, tolerant: bool = False) -> Photo:
    """All pages of a photo file, with 8 or 16 bits as in the file. Raises UnreadablePhoto, with the reason."""
    with closing(read_pages(path, photo := Photo([]), tolerant)) as pages:
        photo.pages = list(pages)
    return photo


def read_pages(path: str | Path, photo: Photo, tolerant: bool = False, together: bool = True) -> Iterator[Page]:
    """The pages of a photo file, one after the other; `photo` gets the notes. Raises UnreadablePhoto.

    With `tolerant`, what there is of a truncated file. Unless they are kept `together`, they may be more than fit in
    memory.
    """
    with opened(path, tolerant) as source:
        heads = source.heads()
        if together and (need := sum(head.memory for head in heads)) > MEMORY:
            raise UnreadablePhoto(path, too_large(need))
        for head in heads:
            page = _read_page(source, head)
            photo.notes[:] = dict.fromkeys([*photo.notes, *source.notes])
            yield page


def open_photo(path: str | Path, least: int | None = None) -> Image.Image:
    """Any photo as an upright 8-bit sRGB image: 16 bits scaled, transparency over white, the first of several pages.

    With `least`, a large JPEG may come reduced, with no side shorter than `least` pixels, which is several times
    faster. Its `info` holds what the file says that Pillow can save again: `image.save(path, **image.info)`. Raises
    UnreadablePhoto, with the reason, for whatever can't be decoded.
    """
    with opened(path) as source:
        head = source.heads()[0]
        points = code_points(source.file, source.format.name)
        image = source.image() if head.tags is None and source.format is not RAW else None
        if image and least:
            image.draft(None, (least, least))
        if image and points is None and _is_plain(image) and _orientation(image) == 1:
            image = _loaded(source, head, image)  # most photos of a training set: nothing to convert
            told = _metadata(source, head, image)
        else:
            page = _read_page(source, head, least)
            image, told = Image.fromarray(over_white(page)), page.metadata
    kept = {"exif": told.exif and b"Exif\0\0" + told.exif, "xmp": told.xmp, "dpi": told.dpi, "comment": told.comment}
    image = image.copy()
    image.info = {name: value for name, value in kept.items() if value}
    return image


def as_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow image as 8-bit sRGB: 16 bits scaled, transparency over white, ICC profile applied; not turned."""
    if _is_plain(image):
        return image.copy()
    profile = _profile(image, [])
    return Image.fromarray(over_white(_srgb(_converted(image, profile, 1), profile, [])))


def _read_page(source: Source, head: Head, least: int | None = None) -> Page:
    page = _any_page(source, head, least)
    if page.pixels.dtype == np.uint16 and page.pixels.max() < 1 << 12 and page.pixels.any():
        source.notes.append("nearly black: of its 16 bits only the lower 12 are used")
    return page


def _any_page(source: Source, head: Head, least: int | None) -> Page:
    if source.format is RAW:
        source.notes.append(raw.NOTE)
        pixels, told = raw.developed(source.file)
        return Page(pixels, metadata=told)
    if head.tags is not None:
        if extra_channels(head.tags):
            source.notes.append("a channel that is neither colour nor transparency, such as infrared, left out")
        if not is_for_pillow(head.tags):
            return _own_page(source, head)
    points, bits = code_points(source.file, source.format.name), bits_of(source.file, source.format.name)
    image = source.image(head)
    if head.tags is not None and not source.tolerant:
        covered = sum((right - left) * (bottom - top) for _, (left, top, right, bottom), *_ in image.tile)
        if covered < image.width * image.height:
            raise UnreadablePhoto(source.path, "is damaged: some of its rows are missing")
    if least:
        image.draft(None, (least, least))
    if getattr(image, "is_animated", False) and not source.format.pages:
        which = "its main picture" if source.format.name == "HEIC" else "the first of its pictures"
        source.notes.append(f"only {which} is kept")
    profile = _profile(image, source.notes, points)
    if bits > 8 and image.mode[0] not in "IF":
        source.notes.append(f"{bits} bits reduced to 8: the decoder of {source.format.name} gives no more")
    if is_deep(image):
        del image  # its second pass needs the memory
        page, metadata = _deep_page(source, head)
    else:
        if source.format.inverts_cmyk and image.mode == "CMYK" and "adobe" not in image.info:
            read_as(image, "CMYK")
        image = _loaded(source, head, image)
        metadata = _metadata(source, head, image)
        page = _converted(image, profile, _orientation(image))
    return replace(_srgb(page, profile, source.notes), metadata=metadata)


def _loaded(source: Source, head: Head, image: Image.Image) -> Image.Image:
    """The image with its pixels; of a truncated file those that there are, where that is allowed."""
    try:
        if image.format == "JPEG":
            ended(image, source.notes)
        image.load()
    except OSError:
        if not source.tolerant:
            raise
        source.notes.append("truncated: only what there is of it was coloured")
        image, before = source.image(head), ImageFile.LOAD_TRUNCATED_IMAGES
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        try:
            image.load()
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before
    return image


def _metadata(source: Source, head: Head, image: Image.Image) -> Metadata:
    if head.tags is not None:
        return of_tags(head.tags)
    told = read_metadata(image, source.text, source.notes)
    return replace(told, **told_in(source.file, source.format.name, source.notes))


def _own_page(source: Source, head: Head) -> Page:
    """A TIFF page whose light Pillow reads wrongly or not at all."""
    orientation = values_of(head.tags, Base.Orientation, 1)[0]
    orientation = orientation if orientation in TURNS else 1
    pixels, alpha = read_samples(source.file, source.header, head.tags, orientation, source.notes, source.tolerant)
    page = Page(pixels, alpha, of_tags(head.tags))
    photometric = values_of(head.tags, Base.PhotometricInterpretation, 1)[0]
    if photometric in (8, 9):  # is sRGB already
        return page
    mode = {5: "CMYK", 0: "L", 1: "L"}.get(photometric, "RGB")
    data = values_of(head.tags, 34675, b"")[0]
    profile = _usable(data, mode, source.notes) if data else None
    if profile and pixels.dtype == np.uint8:
        image = Image.fromarray(pixels, mode) if mode == "CMYK" else Image.fromarray(pixels)
        return replace(page, pixels=np.asarray(profile.to_srgb(image.convert(profile.mode))))
    if mode == "CMYK" and not profile:
        return replace(page, pixels=_of_ink(pixels))
    return _srgb(page, profile, source.notes)


def _of_ink(pixels: np.ndarray) -> np.ndarray:
    """CMYK `(H, W, 4)` without a profile as RGB of the same dtype: each ink takes its share, as Pillow has it."""
    most = np.iinfo(pixels.dtype).max
    rgb = np.empty((*pixels.shape[:2], 3), pixels.dtype)
    for inks, target in in_strips(pixels, rgb):
        left = most - inks.astype(np.uint32)
        target[...] = (left[..., :3] * left[..., 3:] + most // 2) // most
    return rgb


def _deep_page(source: Source, head: Head) -> tuple[Page, Metadata]:
    """A PNG of 16 bits, RGB or with transparency, in two passes over the file: the upper bytes and the lower ones."""
    image = source.image()
    raw, clear = raw_mode(image), image.info.pop("transparency", None)
    grey = raw.startswith("LA")
    if grey:
        read_as(image, "RGBA")  # four bytes, as these are: both of the grey, both of the alpha
    image.load()
    orientation, metadata = _orientation(image), _metadata(source, head, image)
    upper = _converted(image, None, orientation)
    if grey:
        high, low, high_alpha = np.moveaxis(upper.pixels, -1, 0)
        return Page(joined(high, low), joined(high_alpha, upper.alpha)), metadata
    image = source.image()  # the first one's pixels go: the second pass needs that memory
    image.info.pop("transparency", None)
    read_as(image, lower_byte(raw))
    image.load()
    lower = _converted(image, None, orientation)
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
        if profile.mode == "CMYK":
            raise ValueError("inks are mixed by tables")
        profile.deep_to_srgb(page.pixels)
    except ValueError:
        notes.append("16 bits reduced to 8: an ICC profile with lookup tables is applied in 8 bits only")
        pixels = to_uint8(page.pixels)
        image = Image.fromarray(pixels, "CMYK") if pixels.shape[2:] == (4,) else Image.fromarray(pixels)
        pixels = np.asarray(profile.to_srgb(image.convert(profile.mode)))
        return replace(page, pixels=pixels, alpha=page.alpha if page.alpha is None else to_uint8(page.alpha))
    return page


def _orientation(image: Image.Image) -> int:
    """What EXIF says; of a TIFF that Pillow has loaded 1, as it has turned it."""
    try:
        known = image.getexif().get(Base.Orientation, 1)
    except BROKEN:  # the picture may be good all the same
        return 1
    return known if known in TURNS else 1


def _profile(image: Image.Image, notes: list[str], points: tuple[int, int] | None = None) -> Profile | None:
    """The image's ICC profile, if it has one that fits it and is not sRGB; what is done with it is noted.

    `points` are the file's code points, if it has any: they come before all else in a PNG, and after the profile in
    other files. For a PNG without either, what its chunks gAMA and cHRM say (PNG, third edition, W3C 2025, 11.3.2);
    where one is missing, sRGB's stands for it, as in Skia. Raises NotRead for light that is not understood.
    """
    grey = image.mode in ("1", "L", "LA", "F") or image.mode.startswith("I")
    info, is_png = image.info, image.format == "PNG"
    if info.get("icc_profile") and not (points and is_png):
        return _usable(info["icc_profile"], "CMYK" if image.mode == "CMYK" else "L" if grey else image.mode, notes)
    if points:
        gamma, corners, what = *_understood(*points), f"colours of the {'PNG' if is_png else image.format} file"
    elif is_png and "srgb" not in info and (info.get("gamma") or "chromaticity" in info):
        gamma = 1 / info["gamma"] if info.get("gamma") else None
        corners = info.get("chromaticity", _SRGB_CORNERS)
        if abs((gamma or 2.2) - 2.2) < 0.01 and np.allclose(corners, _SRGB_CORNERS, atol=0.002):
            return None  # how sRGB is told of to programs that don't know it: 11.3.2.5
        what = f"gamma {info['gamma']:.3g} of the PNG file" if gamma else "primaries of the PNG file"
    else:
        return None
    try:
        profile = load_profile(rgb_profile(gamma, None if grey else corners))
    except ValueError:
        notes.append("colour space of the PNG file ignored: its numbers make no sense")
        return None
    if profile:
        notes.append(f"{what} converted to sRGB")
    return profile


def _understood(primaries: int, transfer: int) -> tuple[float | None, tuple[float, ...]]:
    """What code points (ITU-T H.273) mean for `rgb_profile`. Raises NotRead for light that isn't understood."""
    if transfer in (16, 18):
        raise NotRead("is an HDR picture (PQ or HLG), which is not read: save it with sRGB's range of light")
    if transfer not in _GAMMAS:
        raise NotRead(f"has light by a rare curve (code {transfer}), which is not read: save it as sRGB")
    return _GAMMAS[transfer], _CORNERS.get(primaries, _SRGB_CORNERS)


_SRGB_CORNERS = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)  # x and y of white, red, green, blue: IEC 61966-2-1
_CORNERS = {
    9: (0.3127, 0.329, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046),  # BT.2020
    12: (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),  # Display P3
}
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0} | dict.fromkeys((1, 2, 6, 13, 14, 15))
"""Exponents by transfer characteristics; None for sRGB's curve, which is shown for film's (BT.709 and the like) too."""


def _usable(data: bytes, mode: str, notes: list[str]) -> Profile | None:
    try:
        profile = load_profile(data)
    except ValueError:
        notes.append("broken ICC profile ignored")
        return None
    if profile is None:
        return None
    if not {"RGB": mode not in ("CMYK", "LAB"), "CMYK": mode == "CMYK", "L": mode == "L"}[profile.mode]:
        notes.append(f"ICC profile {profile.name} ignored: it is not made for {mode}")
        return None
    notes.append(f"ICC profile {profile.name} converted to sRGB")
    return profile


def _is_plain(image: Image.Image) -> bool:
    """Whether Pillow's own pixels are 8-bit sRGB already."""
    told = image.info.keys() & {"icc_profile", "transparency"} or (
        image.format == "PNG" and image.info.keys() & {"gamma", "chromaticity"}
    )
    return image.mode == "RGB" and not told and not is_deep(image)


def _converted(image: Image.Image, profile: Profile | None, orientation: int) -> Page:
    """A loaded image as upright sRGB, but 16 bits still in their profile's colours; in strips, which saves memory."""
    if image.mode in ("I", "F"):
        image = _scaled(image)
    height, width = image.height, image.width
    rows, pictures = 1 + STRIP // width, []
    for top in range(0, height, rows):
        strip = _strip(image.crop((0, top, width, min(top + rows, height))), profile)
        if not pictures:
            pictures = [upright((height, width), part.shape[2:], part.dtype, orientation) for part in strip]
        for (_, stored), part in zip(pictures, strip, strict=True):
            stored[top : top + rows] = part
    return Page(*(picture for picture, _ in pictures))


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
    """Floats or integers of 32 bits as 16 bits; white is what `white_of` says, in files 65,535 for integers."""
    values = np.asarray(image)
    white = 65535.0 if image.mode == "I" and image.format else white_of(values)
    values = np.nan_to_num(values.astype(np.float32), posinf=white)
    return Image.fromarray((values.clip(0, white) * (65535 / white) + 0.5).astype(np.uint16))


def halves(picture: Path) -> tuple[Image.Image, Image.Image]:
    """Left and right half of an A|B picture, 8-bit RGB. Raises UnreadablePhoto for one of odd width."""
    both = open_photo(picture)
    width, height = both.size
    if width % 2:
        raise UnreadablePhoto(picture, f"is {width} pixels wide, so its halves are not equal: make the width even")
    return both.crop((0, 0, width // 2, height)), both.crop((width // 2, 0, width, height))
