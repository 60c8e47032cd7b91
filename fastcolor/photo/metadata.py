"""What a photo's file says of it besides its pixels (EXIF, XMP, resolution, comment): kept, and made true again."""

import re
import struct
from dataclasses import dataclass, replace

from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.TiffImagePlugin import ImageFileDirectory_v2

# The tags of a TIFF file that tell of the photo; all others tell how this one file stores its pixels.
_TIFF_TAGS = (
    *(Base.ImageDescription, Base.Make, Base.Model, Base.Software, Base.DateTime, Base.Artist, Base.HostComputer),
    *(Base.Copyright, Base.XPTitle, Base.XPComment, Base.XPAuthor, Base.XPKeywords, Base.XPSubject),
    *(IFD.Exif, IFD.GPSInfo),
)
# What Pillow raises on broken metadata.
BROKEN = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, SyntaxError, struct.error)


@dataclass(frozen=True)
class Metadata:
    """What is kept; all may be missing. `exif` begins with its TIFF header; `dpi` is across and down, dots per inch."""

    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    comment: bytes | None = None


def read_metadata(image: Image.Image, notes: list[str]) -> Metadata:
    """What the file of an opened image says. Call it when the pixels are loaded; `notes` gets what is lost."""
    exif, info = image.info.get("exif"), image.info
    if not exif:
        try:
            exif = _exif_of_tags(image)
        except BROKEN:
            notes.append("broken EXIF left out")
    return Metadata(
        exif=re.sub(rb"^(Exif\0\0)+", b"", exif) if exif else None,
        xmp=info["xmp"] if isinstance(info.get("xmp"), bytes) else None,
        dpi=_dpi(info.get("dpi")),
        comment=info["comment"] if isinstance(info.get("comment"), bytes) else None,
    )


def _dpi(value: object) -> tuple[float, float] | None:
    try:
        across, down = (float(number) for number in value)
    except (TypeError, ValueError):
        return None
    return (across, down) if 1 <= across <= 65535 and 1 <= down <= 65535 else None  # JPEG has 16 bits for it


def _exif_of_tags(image: Image.Image) -> bytes | None:
    """EXIF of a TIFF file, whose own tags it is, or of a PNG file that holds it as text."""
    tags, kept = _descriptive(image.getexif()), Image.Exif()
    kept.update(tags)
    return kept.tobytes() if tags else None


def _descriptive(tags: Image.Exif) -> dict[int, object]:
    below = (IFD.Exif, IFD.GPSInfo)
    return {tag: tags.get_ifd(tag) if tag in below else tags[tag] for tag in tags if tag in _TIFF_TAGS}


def true_of_output(metadata: Metadata, width: int, height: int, notes: list[str]) -> Metadata:
    """The same for an upright sRGB picture of `width` x `height`; EXIF that can't be changed is left out, and noted."""
    exif, xmp = metadata.exif, metadata.xmp
    try:
        exif = exif and _patched(exif, width, height)
    except (struct.error, KeyError):
        exif = None
        notes.append("broken EXIF left out")
    xmp = xmp and re.sub(rb'(tiff:Orientation(?:\s*=\s*["\']|>)\s*)\d', rb"\g<1>1", xmp)
    return replace(metadata, exif=exif, xmp=xmp)


def tiff_tags(metadata: Metadata, notes: list[str]) -> dict[int, object]:
    """The tags that tell of the photo in a TIFF file; EXIF that can't become tags is left out, and noted."""
    tags, exif, trial = {}, Image.Exif(), ImageFileDirectory_v2()
    if metadata.exif:
        try:
            exif.load(metadata.exif)
            tags = _descriptive(exif)
            trial.update(tags)
            trial.tobytes()
        except BROKEN:
            tags = {}
            notes.append("broken EXIF left out")
    if metadata.xmp:
        tags[Base.XMLPacket] = metadata.xmp
    if metadata.dpi:
        tags[Base.ResolutionUnit], tags[Base.XResolution], tags[Base.YResolution] = 2, *metadata.dpi
    return tags


def _patched(exif: bytes, width: int, height: int) -> bytes:
    """EXIF whose orientation, size and colour space are overwritten and whose thumbnail, a grey one, is cut off.

    Overwritten in place, since makers' notes point to places in the block. EXIF 3.0 (CIPA DC-008-2023), 4.5.2 and 4.6.
    """
    values = {Base.Orientation: 1, Base.ColorSpace: 1, Base.ExifImageWidth: width, Base.ExifImageHeight: height}
    data = bytearray(exif)
    order = {b"II": "<", b"MM": ">"}[exif[:2]]

    def overwrite(start: int) -> tuple[int | None, int]:
        """Overwrite `values` in a directory; give where EXIF's own begins and where the next is pointed to."""
        below = None
        (count,) = struct.unpack_from(f"{order}H", data, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, number = struct.unpack_from(f"{order}HHL", data, entry)
            if tag in values and number == 1 and kind in (3, 4):  # SHORT, LONG
                struct.pack_into(f"{order}{'HL'[kind - 3]}", data, entry + 8, values[tag])
            elif tag == IFD.Exif:
                (below,) = struct.unpack_from(f"{order}L", data, entry + 8)
        return below, start + 2 + 12 * count

    below, following = overwrite(*struct.unpack_from(f"{order}L", data, 4))
    if below is not None:  # not each time that it is named: a file can name itself without end
        overwrite(below)
    struct.pack_into(f"{order}L", data, following, 0)  # the thumbnail's directory
    return bytes(data)
