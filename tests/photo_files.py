"""Photo files for tests, written without the code that is tested: by Pillow, by tifffile, or byte by byte."""

import struct
import zlib
from io import BytesIO

import numpy as np
import tifffile
from PIL import Image

from fastcolor.photo.formats import knows_heic
from fastcolor.scenes.landscapes import draw_scene

ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
"""Its primaries relative to D50, as Adobe's own profile has them."""
MAKER_NOTE = b"a maker's own bytes" * 3


def noise(seed=0, height=24, width=32, channels=3, dtype=np.uint8):
    """Random pixels `(height, width, channels)`."""
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, (height, width, channels), dtype=dtype)


def icc_profile(gamma=2.19921875, primaries=ADOBE_RGB, name="Adobe RGB (1998)"):
    """An ICC profile, version 2: RGB of the given primaries, or grey without."""

    def xyz(values):
        return b"XYZ \0\0\0\0" + struct.pack(">3l", *(round(value * 65536) for value in values))

    curve = b"curv\0\0\0\0" + struct.pack(">LH", 1, round(gamma * 256))
    title = name.encode() + b"\0"
    tags = {b"desc": b"desc\0\0\0\0" + struct.pack(">L", len(title)) + title + bytes(78), b"cprt": b"text\0\0\0\0-\0"}
    tags[b"wtpt"] = xyz((0.9642, 1, 0.8249))
    for letter, primary in zip(b"rgb", primaries or (), strict=False):
        tags[bytes([letter]) + b"XYZ"], tags[bytes([letter]) + b"TRC"] = xyz(primary), curve
    if not primaries:
        tags[b"kTRC"] = curve
    table, body = b"", b""
    for tag, value in tags.items():
        table += tag + struct.pack(">LL", 132 + 12 * len(tags) + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    space = b"RGB " if primaries else b"GRAY"
    head = b"test" + struct.pack(">L", 0x02400000) + b"mntr" + space + b"XYZ " + bytes(12) + b"acsp" + bytes(28)
    head += xyz((0.9642, 1, 0.8249))[8:]
    rest = head + bytes(124 - len(head)) + struct.pack(">L", len(tags)) + table + body
    return struct.pack(">L", 4 + len(rest)) + rest


def exif(orientation=1, order=">", size=(9, 9)):
    """EXIF with its header: maker, orientation; colour space, size, maker's note below; and a thumbnail's directory."""

    def directory(entries, start, following=0):
        data, extra = struct.pack(f"{order}H", len(entries)), b""
        after = start + 2 + 12 * len(entries) + 4
        for tag, kind, value in entries:
            if kind == 2 or kind == 7:  # ASCII, UNDEFINED: longer than four bytes here, so elsewhere
                data += struct.pack(f"{order}HHLL", tag, kind, len(value), after + len(extra))
                extra += value
            else:  # SHORT, LONG
                data += struct.pack(f"{order}HHL{ {3: 'Hxx', 4: 'L'}[kind] }", tag, kind, 1, value)
        return data + struct.pack(f"{order}L", following) + extra

    below = [(0x927C, 7, MAKER_NOTE), (0xA001, 3, 2), (0xA002, 4, size[0]), (0xA003, 4, size[1])]
    first = [(0x010F, 2, b"Maker of cameras\0"), (0x0112, 3, orientation), (0x8769, 4, 200)]
    data = {b"<": b"II*\0", b">": b"MM\0*"}[order.encode()] + struct.pack(f"{order}L", 8)
    data = (data + directory(first, 8, following=600)).ljust(200, b"\0")
    data = (data + directory(below, 200)).ljust(600, b"\0")
    thumbnail = directory([(0x0201, 4, 700), (0x0202, 4, 20)], 600).ljust(100, b"\0") + b"\xff\xd8" + bytes(18)
    return b"Exif\0\0" + data + thumbnail


def png(values, bits=16, transparency=None):
    """A PNG file of `values` `(H, W, channels)`, each line with another of the five filters: PNG 3rd edition, 9.2."""
    height, width, channels = values.shape
    lines = np.ascontiguousarray(values.astype(f">u{bits // 8}")).view(np.uint8).reshape(height, -1).astype(int)
    step, above, filtered = channels * bits // 8, np.zeros(lines.shape[1], int), b""
    for number, line in enumerate(lines):
        left, upper_left = (np.concatenate([np.zeros(step, int), row])[: len(line)] for row in (line, above))
        guess = left + above - upper_left
        distance = [np.abs(guess - near) for near in (left, above, upper_left)]
        paeth = np.where(
            (distance[0] <= distance[1]) & (distance[0] <= distance[2]),
            left,
            np.where(distance[1] <= distance[2], above, upper_left),
        )
        expected = (0, left, above, (left + above) // 2, paeth)[number % 5]
        filtered += bytes([number % 5]) + ((line - expected) % 256).astype(np.uint8).tobytes()
        above = line
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    chunks = [(b"IHDR", struct.pack(">LLBBBBB", width, height, bits, kind, 0, 0, 0))]
    if transparency is not None:
        chunks.append((b"tRNS", struct.pack(f">{channels}H", *transparency)))
    return png_of([*chunks, (b"IDAT", zlib.compress(filtered)), (b"IEND", b"")])


def png_of(chunks):
    """A PNG file of (name, data) chunks."""
    file = b"\x89PNG\r\n\x1a\n"
    for name, data in chunks:
        file += struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))
    return file


def save(path, pixels, **options):
    """Write pixels by Pillow alone, in the format of the path's suffix."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.copy().save(path, **options)  # a copy, because Pillow's encoders leave their settings with the image
    return path


def encoded(image, kind, **options):
    buffer = BytesIO()
    image.copy().save(buffer, kind, **options)  # a copy: Pillow's encoders leave their settings with the image
    return buffer.getvalue()


def tiff(*pages, **options):
    buffer = BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        for page in pages:
            file.write(page, photometric="rgb" if page.ndim == 3 else "minisblack", **options)
    return buffer.getvalue()


def tiff_of(pixels, photometric, **options):
    """One page of another kind of samples."""
    buffer = BytesIO()
    tifffile.imwrite(buffer, pixels, photometric=photometric, metadata=None, **options)
    return buffer.getvalue()


def rle_bmp(image):
    """A palette image as BMP compressed by RLE8, which Pillow can read but not write."""
    lines = b"".join(b"".join(bytes([1, value]) for value in line) + b"\0\0" for line in np.asarray(image)[::-1])
    lines += b"\0\1"
    colors = (image.getpalette() + [0] * 768)[:768]
    palette = b"".join(bytes([*colors[n : n + 3][::-1], 0]) for n in range(0, 768, 3))
    head = struct.pack("<LllHHLLllLL", 40, *image.size, 1, 8, 1, len(lines), 0, 0, 256, 0)
    return b"BM" + struct.pack("<LHHL", 1078 + len(lines), 0, 0, 1078) + head + palette + lines


def whole_files():
    """A small photo in every format and most of their kinds."""
    color = draw_scene(3, 48)
    grey, pixels = color.convert("L"), np.asarray(color)
    clear, palette, deep = color.copy(), color.quantize(16), pixels.astype(np.uint16) * 257
    clear.putalpha(grey)
    several = {"save_all": True, "append_images": [color.rotate(90)]}
    described = {"exif": exif(6), "icc_profile": icc_profile(), "dpi": (300, 300)}
    xmp = b'<x:xmpmeta tiff:Orientation="6"/>'
    files = {
        "described.jpg": encoded(color, "JPEG", **described, xmp=xmp, comment="attic"),
        "progressive.jpg": encoded(color, "JPEG", progressive=True),
        "grey.jpg": encoded(grey, "JPEG"),
        "cmyk.jpg": encoded(color.convert("CMYK"), "JPEG"),
        "several.jpg": encoded(color, "MPO", **several),
        "described.png": encoded(color, "PNG", **described),
        "palette.png": encoded(palette, "PNG", bits=4, transparency=3),
        "two.png": encoded(color.convert("1"), "PNG"),
        "moves.png": encoded(color, "PNG", **several),
        **{f"deep{channels}.png": png(deep[..., :1].repeat(channels, -1)) for channels in (1, 2, 3, 4)},
        "described.tif": encoded(color, "TIFF", **described),
        **{
            f"{compression}.tif": encoded(color, "TIFF", compression=compression)
            for compression in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
        },
        "fax.tif": encoded(color.convert("1"), "TIFF", compression="group4"),
        "float.tif": tiff(pixels[..., 0].astype(np.float32)),
        "pages.tif": tiff(pixels, deep[:9], pixels[..., 0]),
        "tiles.tif": tiff(deep, tile=(16, 16), compression="zlib", predictor=True),
        "planes.tif": tiff_of(np.moveaxis(deep, -1, 0), "rgb", planarconfig="separate"),
        "negative.tif": tiff_of(65535 - deep[..., 0], "miniswhite", compression="lzw"),
        "lab.tif": tiff_of(pixels, "cielab"),
        "extra.tif": tiff_of(deep[..., :2], "minisblack", planarconfig="contig", extrasamples=["assocalpha"]),
        "photo.avif": encoded(color, "AVIF"),
        "scan.jp2": encoded(color, "JPEG2000"),
        "scan.pgm": encoded(grey, "PPM"),
        "scan.tga": encoded(clear, "TGA", compression="tga_rle"),
        "lossy.webp": encoded(color, "WEBP", exif=exif(6), icc_profile=icc_profile(), xmp=xmp),
        "lossless.webp": encoded(clear, "WEBP", lossless=True),
        "moves.webp": encoded(color, "WEBP", **several),
        "color.bmp": encoded(color, "BMP"),
        "two.bmp": encoded(color.convert("1"), "BMP"),
        "rle.bmp": rle_bmp(palette),
        "palette.gif": encoded(palette, "GIF"),
        "moves.gif": encoded(color, "GIF", **several),
    }
    if knows_heic():
        files["clear.heic"] = encoded(clear, "HEIF")
    return files


def mutated(data, other, rng):
    """A file with a few of its bits or bytes changed, cut short, with a piece of another, or with an extreme number."""
    data, length = bytearray(data), len(data)
    place, size = rng.randrange(length), rng.randint(1, 400)
    match rng.choice(["bits", "header", "cut", "splice", "zeros", "repeat", "number"]):
        case "bits":
            for _ in range(rng.randint(1, 20)):
                data[rng.randrange(length)] ^= 1 << rng.randrange(8)
        case "header":
            for _ in range(rng.randint(1, 6)):
                data[rng.randrange(min(length, 200))] = rng.randrange(256)
        case "cut":
            del data[place:]
        case "splice":
            start = rng.randrange(len(other))
            data[place : place + size] = other[start : start + size]
        case "zeros":
            data[place : place + size] = bytes(size)
        case "repeat":
            data[place:place] = data[place : place + size] * rng.randint(1, 5)
        case "number":
            width, place = rng.choice([2, 4]), rng.randrange(min(length - 4, 300))
            number = rng.choice([0, 1, 127, 255, 12_000, 32_767, 65_500, 65_535, 2**31 - 1, 2**32 - 1]) % 256**width
            data[place : place + width] = number.to_bytes(width, rng.choice(["big", "little"]))
    return bytes(data)
