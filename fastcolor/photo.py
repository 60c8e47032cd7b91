"""One photo file: any kind in, upright sRGB pixels out, and back into a file with all that the first one said of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image
from PIL.ExifTags import Base
from PIL.PngImagePlugin import PngInfo

from fastcolor.deep import is_deep, joined, lower_byte, raw_mode, read_as, write_png, write_tiff
from fastcolor.errors import UnreadablePhoto, UserError, one_line
from fastcolor.files import SUFFIXES, write_whole
from fastcolor.formats import knows_heic, memory_for, opened, pages_of, refuse_too_large
from fastcolor.icc import Profile, load_profile
from fastcolor.metadata import BROKEN, Metadata, read_metadata, tiff_tags, true_of_output

_STRIP = 1 << 18  # pixels converted at a time: they stay in the processor's cache

# What makes a stored picture upright, by EXIF's orientation (EXIF 3.0, 4.6.5.1): views, that cost nothing.
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
_BACK = {6: 8, 8: 6}  # what undoes a turn; all others undo themselves


@dataclass
class Page:
    """Upright sRGB `pixels`, `(H, W)` or `(H, W, 3)`, uint8 or uint16; `alpha`, `(H, W)` of the same dtype, or None."""

    pixels: np.ndarray
    alpha: np.ndarray | None = None


@dataclass
class Photo:
    """What is in a photo file; all but TIFF have one page. `notes` are half sentences on what is not as in the file."""

    pages: list[Page]
    metadata: Metadata = field(default_factory=Metadata)
    notes: list[str] = field(default_factory=list)


def read_photo(path: str | Path) -> Photo:
    """All pages of a photo file, in the depth that they have there. Raises UnreadablePhoto, with the reason."""
    with opened(path) as image:
        notes, count = [], len(pages_of(path, image))
        pages = [_read_page(path, image, number, notes, is_last=number == count - 1) for number in range(count)]
    return Photo([page for page, _ in pages], pages[0][1], list(dict.fromkeys(notes)))


def open_photo(path: str | Path, least: int | None = None) -> Image.Image:
    """Any photo as an upright 8-bit sRGB image: 16 bits scaled, transparency over white, the first of several pages.

    With `least`, a large JPEG may come reduced, with no side below so many pixels, which is several times faster.
    Raises UnreadablePhoto, with the reason, for whatever can't be decoded.
    """
    with opened(path) as image:
        refuse_too_large(path, image, memory_for(image))
        if least:
            image.draft(None, (least, least))
        if _is_plain(image) and _orientation(image) == 1:  # most photos of a training set; nothing is to be worked out
            image.load()
            return image.copy()
        return Image.fromarray(_flat(_read_page(path, image, 0, [], is_last=True)[0]))


def as_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow image as 8-bit sRGB: 16 bits scaled, transparency over white, ICC profile applied; not turned."""
    if _is_plain(image):
        return image.copy()
    profile = _profile(image, [])
    return Image.fromarray(_flat(_srgb(_converted(image, profile, 1), profile, [])))


def _read_page(
    path: str | Path, image: Image.Image, number: int, notes: list[str], is_last: bool
) -> tuple[Page, Metadata]:
    image.seek(number)
    if image.format == "TIFF":
        _refuse_odd_tiff(path, image)
    elif getattr(image, "is_animated", False):
        notes.append("of the several pictures in it only the first is kept")
    profile = _profile(image, notes)
    if is_deep(image):
        page, metadata = _deep_page(path, image, notes, is_last)
    else:
        if image.format in ("JPEG", "MPO") and image.mode == "CMYK" and "adobe" not in image.info:
            read_as(image, "CMYK")  # only files with Adobe's mark are inverted; Pillow takes all for such
        image.load()
        metadata = read_metadata(image, notes)
        page = _converted(image, profile, _orientation(image))
    return _srgb(page, profile, notes), metadata


def _refuse_odd_tiff(path: str | Path, image: Image.Image) -> None:
    """Raise UnreadablePhoto for what Pillow would read wrongly without a word."""
    if image.tag_v2.get(Base.PlanarConfiguration) == 2 and max(image.tag_v2.get(Base.BitsPerSample, (1,))) > 8:
        raise UnreadablePhoto(path, "has 16 bits a channel in separate planes: save it with interleaved channels")
    covered = sum((right - left) * (bottom - top) for _, (left, top, right, bottom), *_ in image.tile)
    if covered < image.width * image.height:
        raise UnreadablePhoto(path, "is damaged: it lacks some of its rows")


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
    """A page whose profile has been applied: 8 bits had it done in strips, 16 bits are done here."""
    if profile is None or page.pixels.dtype == np.uint8:
        return page
    try:
        profile.deep_to_srgb(page.pixels)
    except ValueError:
        notes.append("16 bits reduced to 8, since an ICC profile of tables is applied to no more")
        pixels = profile.to_srgb(Image.fromarray(_to_bytes(page.pixels)).convert(profile.mode))
        return Page(np.asarray(pixels), page.alpha if page.alpha is None else _to_bytes(page.alpha))
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
    """The ICC profile to be undone, if the image has one that is not sRGB and fits it; what becomes of it is noted."""
    if not image.info.get("icc_profile"):
        return None
    try:
        profile = load_profile(image.info["icc_profile"])
    except ValueError:
        notes.append("broken ICC profile left out")
        return None
    if profile is None:
        return None
    grey = image.mode in ("1", "L", "LA", "F") or image.mode.startswith("I")
    if not {"RGB": image.mode not in ("CMYK", "LAB"), "CMYK": image.mode == "CMYK", "L": grey}[profile.mode]:
        notes.append(f"ICC profile {profile.name} left out, since it is not one for {image.mode}")
        return None
    notes.append(f"ICC profile {profile.name} converted to sRGB")
    return profile


def _is_plain(image: Image.Image) -> bool:
    """Whether Pillow's own pixels are 8-bit sRGB already."""
    return image.mode == "RGB" and not image.info.keys() & {"icc_profile", "transparency"} and not is_deep(image)


def _converted(image: Image.Image, profile: Profile | None, orientation: int) -> Page:
    """A loaded image as upright sRGB, 16 bits still in their profile's colours; in strips, which spares memory."""
    if image.mode in ("I", "F"):
        image = _scaled(image)
    height, width = image.height, image.width
    rows, stored = 1 + _STRIP // width, []
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


def _to_bytes(values: np.ndarray) -> np.ndarray:
    """uint16 values of any shape as uint8, rounded; uint8 as they are."""
    if values.dtype == np.uint8:
        return values
    scaled = np.empty(values.shape, np.uint8)
    for source, target in _in_strips(values, scaled):
        target[...] = (source.astype(np.uint32) * 255 + 32767) // 65535
    return scaled


def _in_strips(*arrays: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """The same rows of arrays, a strip at a time: what is worked out in wider numbers takes little memory so."""
    rows = 1 + _STRIP // arrays[0].shape[1]
    for top in range(0, len(arrays[0]), rows):
        yield tuple(array[top : top + rows] for array in arrays)


def _flat(page: Page) -> np.ndarray:
    """A page as 8-bit RGB `(H, W, 3)`, transparency laid over white."""
    pixels = _to_bytes(page.pixels)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=-1)
    if page.alpha is None:
        return pixels
    flat = np.empty_like(pixels)
    for source, alpha, target in _in_strips(pixels, _to_bytes(page.alpha), flat):
        alpha = alpha[..., None].astype(np.uint16)
        target[...] = (source * alpha + 255 * (255 - alpha) + 127) // 255
    return flat


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
        return Image.fromarray(_flat(page))
    image = Image.fromarray(_to_bytes(page.pixels))
    if page.alpha is not None:
        image.putalpha(Image.fromarray(_to_bytes(page.alpha)))
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
