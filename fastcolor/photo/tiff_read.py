"""The samples of TIFF pages whose light Pillow reads wrongly or not at all: deep, float, Lab, with further channels.

TIFF 6.0 (Adobe 1992) and its supplements; libtiff, inside Pillow, unpacks what is compressed. Why by hand: libvips
(20 MB) leaves float negatives negative and refuses 10, 12, 14 and 64 bits and Lab of 8; tifffile with imagecodecs (81
MB) unpacks them but says of none what is white, transparent or colour, so nearly all of this file would stay. And
tifffile stays free to be the second opinion in the tests.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

import numpy as np
from PIL import Image
from PIL.ExifTags import Base

from fastcolor.photo.icc import lab_to_srgb
from fastcolor.photo.page import in_strips, upright
from fastcolor.photo.tags import LONG, SHORT, Directory, Header, packed, tag_of, values_of

STREAMS = {1: 1, 5: 5, 8: 8, 32946: 8, 32773: 32773, 34925: 34925, 50000: 50000}
"""Compressions that pack bytes without knowing what they are (none, LZW, deflate, PackBits, LZMA, Zstandard)."""
BY_PILLOW = (2, 3, 4, 6, 7)
"""Compressions of pictures (fax, JPEG) that libtiff, inside Pillow, unpacks."""
_OTHERS = {34661: "JBIG", 34676: "SGI LogLuv", 34712: "JPEG 2000", 34887: "LERC", 50001: "WebP", 50002: "JPEG XL"}
GREY, COLORS = (0, 1), {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 8: 3, 9: 3}  # PhotometricInterpretation: channels without alpha
LAB = (8, 9)  # CIE Lab, and as ICC stores it
UNSIGNED, SIGNED, FLOAT = 1, 2, 3  # SampleFormat
GROUP = 1 << 20  # bytes unpacked at a time
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
REMEDY = "convert it to grey or RGB of 8 or 16 bits, for instance with ImageMagick: convert IN.tif -depth 16 OUT.tif"


class NotRead(ValueError):
    """A page that is not read: the message is the sentence for the user, without the file's name."""


@dataclass(frozen=True)
class Layout:
    """How a page stores its samples."""

    width: int
    height: int
    bits: int
    format: int
    channels: int  # with alpha and others
    photometric: int
    alpha: int | None  # its channel
    is_premultiplied: bool
    planes: int  # 1, or `channels` where each has a plane of its own
    tile: tuple[int, int]  # rows and columns of a strip or a tile
    compression: int
    predictor: int
    dtype: np.dtype  # of a sample, once unpacked

    @property
    def colors(self) -> int:
        return COLORS[self.photometric]

    @property
    def memory(self) -> int:
        """Bytes that a page takes while it is read: its samples, and what becomes of them, twice."""
        kept = self.channels * self.dtype.itemsize if self.dtype.kind == "f" or self.bits > 16 else 0
        return self.width * self.height * (kept + 10 * (1 + (self.bits > 8)))


def is_for_pillow(tags: Directory) -> bool:
    """Whether Pillow reads a page's light as it is meant."""
    bits, formats = values_of(tags, Base.BitsPerSample, 1), values_of(tags, Base.SampleFormat, UNSIGNED)
    (photometric, *_), channels = values_of(tags, Base.PhotometricInterpretation, -1), _number(tags, 277, 1)
    if values_of(tags, Base.Compression, 1)[0] in BY_PILLOW:
        return set(bits) <= {1, 2, 4, 8}  # what it can't read it refuses
    if values_of(tags, Base.Compression, 1)[0] not in STREAMS or set(formats) - {UNSIGNED, 4} or len(set(bits)) > 1:
        return False
    if photometric in GREY:
        return bits[0] in (1, 2, 4, 8) and channels == 1
    alone = channels == COLORS.get(photometric, 3) or (photometric == 2 and channels == 4 and Base.ExtraSamples in tags)
    if photometric == 6:
        return bits[0] == 8 and alone and values_of(tags, 530, 2, 2) == (1, 1)
    is_whole = channels < 4 or photometric == 5 or _number(tags, Base.PlanarConfiguration, 1) == 1
    return bits[0] == 8 and photometric in (2, 5) and alone and is_whole


def layout_of(tags: Directory) -> Layout:
    """How a page's samples are stored. Raises NotRead, with a sentence, for what is not read."""
    width, height = _number(tags, Base.ImageWidth, 0), _number(tags, Base.ImageLength, 0)
    channels, photometric = _number(tags, Base.SamplesPerPixel, 1), _number(tags, Base.PhotometricInterpretation, -1)
    bits, formats = values_of(tags, Base.BitsPerSample, 1), values_of(tags, Base.SampleFormat, UNSIGNED)
    if not (width and height and channels) or min(bits) < 1:
        raise NotRead("is a broken TIFF file: save it again in an image editor")
    if len({*bits}) > 1 or len({*formats}) > 1:
        raise NotRead(f"has channels of different kinds ({bits} bits), which are not read: {REMEDY}")
    compression = _number(tags, Base.Compression, 1)
    if compression not in STREAMS and compression not in BY_PILLOW:
        name = _OTHERS.get(compression, f"number {compression}")
        raise NotRead(f"is compressed by a rare method ({name}), which is not read: {REMEDY}")
    if photometric not in COLORS or channels < COLORS[photometric]:
        kind = f"photometric interpretation {photometric}, {channels} channels"
        raise NotRead(f"is of a rare kind ({kind}), which is not read: {REMEDY}")
    kind, size = 1 if formats[0] == 4 else formats[0], bits[0]
    named = {UNSIGNED: "", SIGNED: "signed ", FLOAT: "float "}.get(kind, "complex ")
    known = {UNSIGNED: (*range(1, 17), 32), FLOAT: (16, 32, 64)}.get(kind, ())
    if photometric in LAB:
        kind, known = UNSIGNED, (8, 16)  # a and b of CIE Lab are signed, whatever SampleFormat says
    if size not in known or (photometric == 3 and size > 8):
        raise NotRead(f"has {named}samples of {size} bits, which are not read: {REMEDY}")
    if compression in BY_PILLOW:
        raise NotRead(f"has {named}samples of {size} bits in compression {compression}, which are not read: {REMEDY}")
    extra = values_of(tags, Base.ExtraSamples)
    alpha = next((n for n, means in enumerate(extra) if means in (1, 2)), None)
    rows = min(_number(tags, Base.RowsPerStrip, height) or height, height)
    tile = (_number(tags, 323, 0), _number(tags, 322, 0)) if 322 in tags else (rows, width)
    if not 0 < tile[0] * tile[1] <= 4 * width * height + (1 << 22):
        raise NotRead("is a broken TIFF file, with tiles of absurd size: save it again in an image editor")
    return Layout(
        width,
        height,
        size,
        kind,
        channels,
        photometric,
        alpha=None if alpha is None or COLORS[photometric] + alpha >= channels else COLORS[photometric] + alpha,
        is_premultiplied=alpha is not None and extra[alpha] == 1,
        planes=channels if _number(tags, Base.PlanarConfiguration, 1) == 2 else 1,
        tile=tile,
        compression=compression,
        predictor=_number(tags, Base.Predictor, 1),
        dtype=np.dtype(f"f{size // 8}" if kind == FLOAT else "u1" if size <= 8 else "u2" if size <= 16 else "u4"),
    )


def _number(tags: Directory, tag: int, default: int) -> int:
    value = values_of(tags, tag, default)[0]
    return int(value) if isinstance(value, int | float) and 0 <= value < 1 << 31 else 0


def extra_channels(tags: Directory) -> bool:
    """Whether a page has channels that are neither colour nor alpha, such as a scanner's infrared."""
    colors = COLORS.get(_number(tags, Base.PhotometricInterpretation, -1), 3)
    extra = values_of(tags, Base.ExtraSamples)
    return _number(tags, Base.SamplesPerPixel, 1) - colors > sum(means in (1, 2) for means in extra[:1])


def read_samples(
    file: BinaryIO, header: Header, tags: Directory, orientation: int, notes: list[str], tolerant: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """A page's upright pixels, `(H, W)`, `(H, W, 3)` or CMYK `(H, W, 4)`, and alpha or None; uint8 or uint16.

    They are in their profile's colours, but Lab is sRGB already. Raises NotRead for what can't be read.
    """
    layout = layout_of(tags)
    deep = np.dtype(np.uint8 if layout.bits <= 8 else np.uint16)
    size = layout.height, layout.width
    scale, keep = _scale(layout), None
    if scale is None:  # what is white can only be told when all is read
        keep = np.zeros((*size, layout.colors + (layout.alpha is not None)), layout.dtype)
    paint = _painted(layout, tags)
    shape = () if layout.photometric in GREY else (4,) if layout.photometric == 5 else (3,)
    pixels, stored = upright(size, shape, deep, orientation)
    alpha, stored_alpha = upright(size, (), deep, orientation) if layout.alpha is not None else (None, None)
    wanted = [*range(layout.colors), *([] if layout.alpha is None else [layout.alpha])]

    def put(rows: slice, columns: slice, values: np.ndarray) -> None:
        if layout.alpha is not None:
            stored_alpha[rows, columns] = values[..., -1]
            if layout.is_premultiplied:
                _divide(values, signed=2 if layout.photometric == 8 else 0)
        colored = paint(values[..., : layout.colors])
        stored[rows, columns] = colored[..., 0] if not shape else colored

    for rows, columns, channels, values in _segments(file, header, tags, layout, tolerant):
        here = [n for n in wanted if n in channels]
        values = values[..., [n - channels[0] for n in here]]
        if keep is None and layout.planes == 1:
            put(rows, columns, scale(values))
            continue
        keep = np.zeros((*size, len(wanted)), layout.dtype) if keep is None else keep
        if here:
            first = wanted.index(here[0])
            keep[rows, columns, first : first + len(here)] = values
    if keep is not None:
        scale = scale or _measured(keep, layout, notes)
        step = max(1, GROUP // layout.width)
        for top in range(0, layout.height, step):
            rows = slice(top, min(top + step, layout.height))
            put(rows, slice(None), scale(keep[rows]))
    return pixels, alpha


def _scale(layout: Layout):
    """What makes samples 0..255 or 0..65535; None where that depends on all of them."""
    if layout.format == FLOAT or layout.bits == 32:
        return None
    most, deep = (1 << layout.bits) - 1, 255 if layout.bits <= 8 else 65535
    if most == deep or layout.photometric == 3:
        return np.copy
    return lambda values: ((values.astype(np.uint32) * deep + most // 2) // most).astype(values.dtype)


def _measured(values: np.ndarray, layout: Layout, notes: list[str]):
    """The same for floats and integers of 32 bits. Raises NotRead where it can't be told what is white."""
    if layout.format != FLOAT:
        if values.max() < 1 << 16:
            raise NotRead(f"has samples of 32 bits of which the lower 16 alone are used, which are not read: {REMEDY}")
        return lambda values: (values >> 16).astype(np.uint16)
    colors = values[..., : layout.colors]
    white = white_of(colors)
    if (colors > white).any():
        notes.append(f"values above white ({white:g}) became white")

    def scaled(values: np.ndarray) -> np.ndarray:
        values = np.nan_to_num(values.astype(np.float32), posinf=white).clip(0, white)
        return (values * np.float32(65535 / white) + np.float32(0.5)).astype(np.uint16)

    return scaled


def white_of(values: np.ndarray) -> float:
    """What floats most likely take for white: 1, 255 or 65,535.

    It is the first that nine in ten of them keep within, so that a few lights brighter than white don't make all of the
    picture black; whole numbers beyond 1 are steps of 8 or 16 bits.
    """
    few = values[:: max(1, len(values) // 500), :: max(1, values.shape[1] // 500)]
    few = few[np.isfinite(few)].astype(np.float64)
    if not few.size:
        return 1.0
    most, usual = few.max(), np.quantile(few, 0.9)
    if most > 2 and (few == np.round(few)).all():
        return 255.0 if most <= 255 else 65535.0
    return next((white for white in (1.0, 255.0, 65535.0) if usual <= white), float(most))


def _painted(layout: Layout, tags: Directory):
    """What makes scaled samples `(..., colors)` the pixels that they stand for."""
    if layout.photometric == 0:
        return np.invert
    if layout.photometric == 3:
        table = np.array(values_of(tags, Base.ColorMap, 0), np.uint16)
        if len(table) < 3 << layout.bits:
            raise NotRead("has a palette that is cut off: save it again in an image editor")
        table = table[: 3 << layout.bits].reshape(3, -1).T
        table = (table if table.max() < 256 else table >> 8).astype(np.uint8)  # libtiff's own tools take it so
        return lambda values: table[values[..., 0]]
    if layout.photometric in LAB:
        return lambda values: lab_to_srgb(_lab(values, layout.photometric), values.dtype)
    return lambda values: values


def _lab(values: np.ndarray, photometric: int) -> np.ndarray:
    """L 0..100, a and b, float32, of samples: TIFF 6.0, section 23, and TIFF Technical Note 4 for ICC's."""
    deep, step = values.dtype == np.uint16, 256 if values.dtype == np.uint16 else 1
    if photometric == 9:
        light = values[..., 0] / np.float32(65280 if deep else 255)
        return np.stack([100 * light, *(values[..., n] / np.float32(step) - 128 for n in (1, 2))], axis=-1)
    light = values[..., 0] / np.float32(65535 if deep else 255)
    signed = values.view(np.int16 if deep else np.int8)
    return np.stack([100 * light, *(signed[..., n] / np.float32(step) for n in (1, 2))], axis=-1)


def _divide(values: np.ndarray, signed: int) -> None:
    """Take alpha, the last channel, out of the others, in place; the last `signed` of those, a and b, are signed."""
    most = np.iinfo(values.dtype).max
    plain = values.shape[-1] - 1 - signed
    for (strip,) in in_strips(values):
        alpha = strip[..., -1:].astype(np.uint32)
        strip[..., :plain] = np.minimum(
            (strip[..., :plain] * np.uint32(most) + alpha // 2) // np.maximum(alpha, 1), most
        )
        if signed:
            whole = np.dtype(f"i{values.itemsize}")
            colors = strip[..., plain:-1].astype(whole) / np.maximum(alpha, 1) * most
            strip[..., plain:-1] = np.rint(colors).clip(-(most // 2) - 1, most // 2).astype(whole).astype(strip.dtype)


def _segments(
    file: BinaryIO, header: Header, tags: Directory, layout: Layout, tolerant: bool
) -> Iterator[tuple[slice, slice, range, np.ndarray]]:
    """Rows, columns, channels and samples `(rows, columns, channels)` of all strips or tiles."""
    high, wide = layout.tile
    down, across = -(-layout.height // high), -(-layout.width // wide)
    per = 1 if layout.planes > 1 else layout.channels
    line = (wide * per * layout.bits + 7) // 8
    offsets, counts = values_of(tags, 324 if 322 in tags else 273), values_of(tags, 325 if 322 in tags else 279)
    if len(offsets) < down * across * layout.planes:
        raise NotRead("is damaged: some of its rows are missing: save it again in an image editor")
    if not counts and layout.compression == 1:
        counts = [line * high] * len(offsets)
    if len(counts) < len(offsets):
        raise NotRead("is a broken TIFF file, whose strips have no lengths: save it again in an image editor")
    reversed = _number(tags, Base.FillOrder, 1) == 2
    together = 1 if tolerant or layout.compression == 1 else max(1, GROUP // (high * line))
    places = [(plane, top, left) for plane in range(layout.planes) for top in range(down) for left in range(across)]
    start = 0
    while start < len(places):
        is_last = 322 not in tags and places[start][1] == down - 1
        rows = layout.height - (down - 1) * high if is_last else high
        stop = start + 1
        while not is_last and stop < min(start + together, len(places)):
            if 322 not in tags and places[stop][1] == down - 1:
                break
            stop += 1
        parts = []
        for n in range(start, stop):
            file.seek(offsets[n])
            data = file.read(min(counts[n], 2 * rows * line + (1 << 16)))
            parts.append(data.translate(_REVERSED) if reversed else data)
        data = _unpacked(layout.compression, parts, rows, line, tolerant)
        for n in range(start, stop):
            plane, top, left = places[n]
            part = data[(n - start) * rows : (n - start + 1) * rows]
            values = _samples(part, layout, wide, per, header.order)
            rows_here = slice(top * high, min(top * high + rows, layout.height))
            columns = slice(left * wide, min((left + 1) * wide, layout.width))
            values = values[: rows_here.stop - rows_here.start, : columns.stop - columns.start]
            yield rows_here, columns, range(plane, plane + per), values
        start = stop


def _unpacked(compression: int, parts: list[bytes], rows: int, line: int, tolerant: bool) -> np.ndarray:
    """Strips of the same size, unpacked: bytes `(rows of all, line)`."""
    if compression == 1:
        missing = rows * line - len(parts[0])
        if missing > 0 and not tolerant:
            raise NotRead("is damaged: some of its rows are missing: save it again in an image editor")
        return np.frombuffer(parts[0].ljust(rows * line, b"\0"), np.uint8, rows * line).reshape(rows, line)
    tags: Directory = {
        Base.ImageWidth: tag_of(LONG, line),
        Base.ImageLength: tag_of(LONG, rows * len(parts)),
        Base.BitsPerSample: tag_of(SHORT, 8),
        Base.Compression: tag_of(SHORT, STREAMS[compression]),
        Base.PhotometricInterpretation: tag_of(SHORT, 1),
        Base.SamplesPerPixel: tag_of(SHORT, 1),
        Base.RowsPerStrip: tag_of(LONG, rows),
        Base.StripByteCounts: tag_of(LONG, *map(len, parts)),
    }
    places = np.cumsum([8, *map(len, parts)])
    tags[Base.StripOffsets] = tag_of(LONG, *places[:-1].tolist())
    data = b"II*\0" + int(places[-1]).to_bytes(4, "little") + b"".join(parts) + packed(tags, int(places[-1]))
    try:
        with Image.open(BytesIO(data), formats=["TIFF"]) as image:
            return np.asarray(image)
    except OSError:
        if not tolerant:
            raise
        return np.zeros((rows * len(parts), line), np.uint8)


def _samples(data: np.ndarray, layout: Layout, wide: int, per: int, order: str) -> np.ndarray:
    """Bytes `(rows, line)` as samples `(rows, wide, per)` of the layout's dtype."""
    rows, size = len(data), layout.dtype.itemsize
    if layout.bits not in (8, 16, 32, 64):
        lines = np.unpackbits(data, axis=1)[:, : wide * per * layout.bits].reshape(rows, wide * per, layout.bits)
        whole = np.pad(lines, ((0, 0), (0, 0), (8 * size - layout.bits, 0)))
        return np.packbits(whole, axis=-1).view(f">u{size}").astype(layout.dtype).reshape(rows, wide, per)
    if layout.predictor == 3 and layout.format == FLOAT:
        summed = np.cumsum(data.reshape(rows, -1, per), axis=1, dtype=np.uint8).reshape(rows, size, wide * per)
        values = np.ascontiguousarray(summed.transpose(0, 2, 1)).view(f">f{size}")
        return values.astype(layout.dtype).reshape(rows, wide, per)
    values = data.view(layout.dtype.newbyteorder(order)).astype(layout.dtype).reshape(rows, wide, per)
    if layout.predictor == 2:
        whole = np.dtype(f"u{size}")
        values = np.cumsum(values.view(whole), axis=1, dtype=whole).view(layout.dtype)
    return values
