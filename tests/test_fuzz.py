"""Broken photo files by the hundred: each is coloured or refused in one sentence, in seconds and within 2 GB."""

import json
import random
import struct
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from photo_files import exif, icc_profile, png

from fastcolor.photo.formats import knows_heic
from fastcolor.scenes.landscapes import draw_scene

COUNT = 1200
SECONDS = 10  # for one file
MEMORY = 2 * 10**9  # bytes of address space, which is more than what is really used

CHILD = """
import faulthandler, json, resource, sys
import numpy as np
from pathlib import Path
from fastcolor.colorize.folder import Job, color_all

class Painter:
    def pixels(self, pixels):
        return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels.copy()

source, target, memory, seconds = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
kinds = sys.argv[5:]
jobs = [Job(path, target / (path.name + kinds[n % len(kinds)])) for n, path in enumerate(sorted(source.iterdir()))]
resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
faulthandler.dump_traceback_later(seconds, exit=True)
for job, outcome in color_all(jobs, Painter()):
    print(json.dumps([job.source.name, outcome]), flush=True)
    faulthandler.dump_traceback_later(seconds, exit=True)
"""


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


def test_mutated_files_are_coloured_or_refused_in_one_sentence(tmp_path):
    pytest.importorskip("resource")  # Windows has no limits to memory
    rng, files = random.Random(0), whole_files()
    (tmp_path / "in").mkdir()
    for name, data in files.items():
        (tmp_path / "in" / f"whole-{name}").write_bytes(data)
    for number in range(COUNT):
        name, other = rng.choice(list(files)), rng.choice(list(files))
        (tmp_path / "in" / f"{number}-{name}").write_bytes(mutated(files[name], files[other], rng))
    argv = [tmp_path / "in", tmp_path / "out", MEMORY, SECONDS, ".jpg", ".png", ".tif", ".webp", ".bmp", ".gif"]
    child = subprocess.run([sys.executable, "-c", CHILD, *map(str, argv)], capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr[-2000:]
    assert not child.stderr
    outcomes = dict(map(json.loads, child.stdout.splitlines()))
    assert len(outcomes) == COUNT + len(files)
    written = {path.stem for path in Path(tmp_path / "out").iterdir()}
    assert written == {name for name, outcome in outcomes.items() if isinstance(outcome, list)}
    assert {f"whole-{name}" for name in files if name != "pages.tif"} <= written
    refused = {name: outcome for name, outcome in outcomes.items() if name not in written}
    assert COUNT / 4 < len(refused) < COUNT * 3 / 4
    for name, sentence in refused.items():
        assert name in sentence.replace("/out/", "/in/")
        assert "\n" not in sentence and len(sentence) < 400
        assert sentence.split(": ", 1)[1]
