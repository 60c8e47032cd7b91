"""What a photo's file says of it besides its pixels (EXIF, XMP, IPTC, resolution, text): kept, and made true again."""

import re
import struct
from dataclasses import dataclass, replace

from PIL import Image
from PIL.ExifTags import IFD, Base

from fastcolor.photo.tags import (
    LONG,
    RATIONAL,
    SHORT,
    Directory,
    Tag,
    as_block,
    from_block,
    tag_of,
    values_of,
)
from fastcolor.photo.xmp import Mark, joined, marked

# The tags of a TIFF file that tell of the photo or the page; all others tell how this one file stores its pixels.
_RESOLUTION = (Base.XResolution, Base.YResolution, Base.ResolutionUnit)
_TOLD = {
    *(Base.ImageDescription, Base.Make, Base.Model, Base.Software, Base.DateTime, Base.Artist, Base.HostComputer),
    *(Base.Copyright, Base.XPTitle, Base.XPComment, Base.XPAuthor, Base.XPKeywords, Base.XPSubject),
    *(Base.DocumentName, Base.PageName, Base.PageNumber, Base.NewSubfileType, Base.SubfileType),
    *(Base.Rating, Base.RatingPercent, Base.ImageID, *_RESOLUTION, IFD.Exif, IFD.GPSInfo),
}
XMP, IPTC, RESOURCES = 700, 33723, 34377  # TIFF's tags for them; Photoshop's resources hold IPTC too
_IIM, _RIGHTS = 0x0404, (0x040A, 0x040B)  # Photoshop's numbers for IPTC; for the copyright flag and its address
# What Pillow raises on broken metadata.
BROKEN = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, SyntaxError, struct.error)


@dataclass(frozen=True)
class Metadata:
    """What is kept; all may be missing. `exif` begins with its TIFF header; `dpi` is across and down, dots per inch.

    `iptc` is IPTC's own block (IIM 4.2), `rights` Photoshop's resources of the copyright flag and its address, `text`
    the chunks of a PNG that hold text, (name, data). `mark` says who coloured the photo; it is put into the XMP when
    that is written.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    comment: bytes | None = None
    iptc: bytes | None = None
    rights: bytes | None = None
    text: tuple[tuple[bytes, bytes], ...] = ()
    mark: Mark | None = None


def read_metadata(image: Image.Image, text: tuple[tuple[bytes, bytes], ...], notes: list[str]) -> Metadata:
    """What the file of an opened image, no TIFF, says; `text` are the chunks of a PNG that hold some.

    Call it when the pixels are loaded; `notes` gets what is lost.
    """
    info = image.info
    exif = info.get("exif") or _raw_profile(info.get("Raw profile type exif") or info.get("Raw profile type APP1"))
    resources = info.get("photoshop") or {number: data for number, _, data in getattr(image, "resources", ())}
    xmp = info.get("xmp") or resources.get(0x0424)
    xmp, is_cut = joined(xmp if isinstance(xmp, bytes) else None, [data for _, data in getattr(image, "applist", ())])
    if is_cut:
        notes.append("extended XMP left out: a part of it is missing or broken")
    profile = _raw_profile(info.get("Raw profile type iptc"))
    iptc = resources.get(_IIM) or (profile if profile.startswith(b"\x1c") else _resources(profile).get(_IIM))
    exif = exif or resources.get(0x0422)
    exif = re.sub(rb"^(Exif\0\0)+", b"", exif) if isinstance(exif, bytes) else None
    return Metadata(
        exif=exif,
        xmp=xmp,
        dpi=_dpi_told(info, exif, resources),
        comment=info["comment"] if isinstance(info.get("comment"), bytes) else None,
        iptc=iptc if isinstance(iptc, bytes) else None,
        rights=_rights(resources),
        text=text,
    )


def of_tags(tags: Directory) -> Metadata:
    """What the tags of a TIFF page say."""
    told = {number: tag for number, tag in tags.items() if number in _TOLD}
    iptc = values_of(tags, IPTC, b"")[0]
    if not isinstance(iptc, bytes):  # libtiff has it as LONG
        iptc = tags[IPTC].data
        swapped = b"".join(iptc[n : n + 4][::-1] for n in range(0, len(iptc), 4))
        iptc = swapped if swapped[:1] == b"\x1c" != iptc[:1] else iptc
        iptc = iptc[:-3] + iptc[-3:].rstrip(b"\0")
    xmp, resources = tags.get(XMP), _resources(getattr(tags.get(RESOURCES), "data", b""))
    return Metadata(
        exif=as_block(told) if told else None,
        xmp=xmp.data if isinstance(xmp, Tag) else None,
        dpi=_dpi_of(tags),
        iptc=iptc or resources.get(_IIM),
        rights=_rights(resources),
    )


def _dpi_of(tags: Directory) -> tuple[float, float] | None:
    inches = {2: 1, 3: 2.54}.get(values_of(tags, Base.ResolutionUnit, 2)[0])
    both = [values_of(tags, tag, 0)[0] for tag in _RESOLUTION[:2]]
    try:
        return _dpi([number * inches for number in both]) if inches else None
    except TypeError:
        return None


def _dpi_told(info: dict, exif: bytes | None, resources: dict) -> tuple[float, float] | None:
    """Dots per inch as a file has them; Pillow makes them up for a JPEG whose JFIF tells but the pixels' shape."""
    size = resources.get(0x03ED)  # Photoshop's: two numbers of 16 + 16 bits, each with two units
    if isinstance(size, bytes) and len(size) >= 14:
        across, _, _, down = struct.unpack_from(">LHHL", size)
        return _dpi((across / 65536, down / 65536))
    if "jfif_unit" not in info or info["jfif_unit"] in (1, 2):
        return _dpi(info.get("dpi"))
    try:
        return _dpi_of(from_block(exif)) if exif else None
    except ValueError:
        return None


def _dpi(value: object) -> tuple[float, float] | None:
    try:
        across, down = (float(number) for number in value)
    except (TypeError, ValueError):
        return None
    return (across, down) if 1 <= across <= 65535 and 1 <= down <= 65535 else None  # JPEG has 16 bits for it


def _raw_profile(text: object) -> bytes:
    """What ImageMagick wrote as hexadecimal text into a PNG."""
    try:
        return bytes.fromhex("".join(str(text).split("\n")[3:])) if text else b""
    except ValueError:
        return b""


def _resources(data: bytes) -> dict[int, bytes]:
    """Photoshop's image resources by number (Adobe Photoshop File Formats Specification, 2019)."""
    place, found = 0, {}
    while data[place : place + 4] == b"8BIM" and place + 12 <= len(data):
        (number,) = struct.unpack_from(">H", data, place + 4)
        place += 6 + (data[place + 6] + 2) // 2 * 2
        (size,) = struct.unpack(">L", data[place : place + 4].ljust(4, b"\0"))
        found[number] = data[place + 4 : place + 4 + size]
        place += 4 + size + size % 2
    return found


def _rights(resources: dict) -> bytes | None:
    return b"".join(_packed(number, resources[number]) for number in _RIGHTS if resources.get(number)) or None


def _packed(number: int, data: bytes) -> bytes:
    return b"8BIM" + struct.pack(">HHL", number, 0, len(data)) + data + bytes(len(data) % 2)


def as_resources(metadata: Metadata) -> list[bytes]:
    """IPTC and copyright as a JPEG's APP13 segments hold them."""
    both = (_packed(_IIM, metadata.iptc) if metadata.iptc else None, metadata.rights)
    return [b"Photoshop 3.0\0" + data for data in both if data]


def true_of_output(metadata: Metadata, width: int, height: int, notes: list[str]) -> Metadata:
    """The same for an upright sRGB picture of `width` x `height`; EXIF that can't be changed is left out, and noted.

    XMP gets the mark.
    """
    exif, xmp = metadata.exif, metadata.xmp
    try:
        exif = exif and _patched(exif, width, height)
    except (struct.error, KeyError):
        exif = None
        notes.append("broken EXIF left out")
    xmp = xmp and re.sub(rb'(tiff:Orientation(?:\s*=\s*["\']|>)\s*)\d', rb"\g<1>1", xmp)
    if metadata.mark:
        xmp = marked(xmp, metadata.mark, notes)
    return replace(metadata, exif=exif, xmp=xmp)


def told_of_result(info: dict, size: tuple[int, int], mark: Mark) -> dict:
    """What of a Pillow image's `info` is told of its coloured version, with the mark: options of `Image.save`."""
    exif = info.get("exif")
    told = Metadata(
        exif=re.sub(rb"^(Exif\0\0)+", b"", exif) if isinstance(exif, bytes) else None,
        xmp=info["xmp"] if isinstance(info.get("xmp"), bytes) else None,
        dpi=_dpi(info.get("dpi")),
        comment=info["comment"] if isinstance(info.get("comment"), bytes) else None,
        mark=mark,
    )
    told = true_of_output(told, *size, [])
    kept = {"exif": told.exif and b"Exif\0\0" + told.exif, "xmp": told.xmp, "dpi": told.dpi, "comment": told.comment}
    return {name: value for name, value in kept.items() if value}


def tiff_tags(metadata: Metadata, notes: list[str]) -> Directory:
    """The tags that tell of the photo in a TIFF file; EXIF that can't become tags is left out, and noted."""
    tags: Directory = {}
    if metadata.exif:
        try:
            tags = {number: tag for number, tag in from_block(metadata.exif).items() if number in _TOLD}
        except ValueError:
            notes.append("broken EXIF left out")
    if metadata.xmp:
        tags[XMP] = Tag(1, metadata.xmp)
    if metadata.iptc:
        tags[IPTC] = Tag(LONG, metadata.iptc + bytes(-len(metadata.iptc) % 4))  # as Photoshop and libtiff have it
    if metadata.rights:
        tags[RESOURCES] = Tag(1, metadata.rights)
    if metadata.dpi != _dpi_of(tags):
        for number in _RESOLUTION:
            tags.pop(number, None)
        if metadata.dpi:
            tags |= _resolution(metadata.dpi)
    return tags


def _resolution(dpi: tuple[float, float]) -> Directory:
    across, down = (tag_of(RATIONAL, round(number * 10_000), 10_000) for number in dpi)
    return {Base.XResolution: across, Base.YResolution: down, Base.ResolutionUnit: tag_of(SHORT, 2)}


def with_resolution(metadata: Metadata) -> bytes | None:
    """EXIF that holds the resolution, for formats that have no other place for it; as it is where there is EXIF."""
    return as_block(_resolution(metadata.dpi)) if metadata.dpi and not metadata.exif else metadata.exif


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
