"""What colouring a photo file costs: seconds and memory at 1 to 100 megapixels, each size in a process of its own."""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from fastcolor.bench.measure import spread
from fastcolor.errors import UserError
from fastcolor.scenes.landscapes import draw_scene

MEGAPIXELS = (1, 4, 12, 24, 50, 100)
SCENE_SIDE = 512  # pixels
GRAIN = 6  # standard deviation in 8-bit steps: about a camera's noise, so that files are as large as a camera's

# Reads, colours and writes a photo as `fastcolor colorize` does, and prints seconds: until the first is done, since the
# process began, and those of each later one, by part.
CHILD = """
import json, sys, time
import psutil
source, target, weights, rounds = sys.argv[1:]
from fastcolor.colorize.colorizer import Colorizer
from fastcolor.photo.read import read_photo
from fastcolor.photo.write import write_photo
colorizer, later, first = Colorizer(weights or None), [], None
for _ in range(1 + int(rounds)):
    marks = [time.perf_counter()]
    photo = read_photo(source)
    marks.append(time.perf_counter())
    for page in photo.pages:
        page.pixels = colorizer.pixels(page.pixels)
    marks.append(time.perf_counter())
    write_photo(photo, target, 95)
    marks.append(time.perf_counter())
    del photo, page
    if first is None:
        first = time.time() - psutil.Process().create_time()
    else:
        parts = [b - a for a, b in zip(marks, marks[1:])]
        later.append(dict(zip(("decode", "color", "encode", "all"), (*parts, sum(parts)))))
print(json.dumps({"first": first, "later": later}))
"""


def inference(rounds: int, weights: str | None, megapixels: tuple[float, ...] = MEGAPIXELS) -> dict:
    """Seconds and peak memory of colouring a JPEG file of each size; `weights` None: the ones of fastcolor itself."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="fastcolor-bench-") as top:
        source, target = Path(top, "photo.jpg"), Path(top, "coloured.jpg")
        _write_photo(source, megapixels[0])
        _run_child([str(source), str(target), weights or "", "0"])  # the first start reads from the disk, and compiles
        for size in megapixels:
            width, height = _write_photo(source, size)
            figures, peak = _run_child([str(source), str(target), weights or "", str(rounds)])
            later = {part: spread([each[part] for each in figures["later"]]) for part in figures["later"][0]}
            rows.append({"megapixels": size, "width": width, "height": height, "file_mb": source.stat().st_size / 1e6})
            rows[-1] |= {"first": figures["first"], "later": later, "peak_mb": peak}
            print(f"{size} Mpx: {later['all']['median']:.2f} s, {peak:,.0f} MB", flush=True)
    return {"rows": rows, "rounds_each": rounds}


def _write_photo(path: Path, megapixels: float) -> tuple[int, int]:
    """Write a JPEG of `megapixels`, 4:3: drawn scenes side by side, with grain. Returns width and height."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = round(megapixels * 1e6 / height)
    scene, rng = np.asarray(draw_scene(1, SCENE_SIDE)), np.random.default_rng(0)
    grain = (GRAIN * rng.standard_normal((2 * SCENE_SIDE, 2 * SCENE_SIDE, 1), np.float32)).astype(np.int16)
    tile = (np.tile(scene, (2, 2, 1)) + grain).clip(0, 255).astype(np.uint8)
    times = -(-height // len(tile)), -(-width // len(tile)), 1
    Image.fromarray(np.ascontiguousarray(np.tile(tile, times)[:height, :width])).save(path, quality=90)
    return width, height


def _run_child(arguments: list[str]) -> tuple[dict, float]:
    """What the child printed, and the most memory that it took, in MB."""
    # some environments forbid bytecode: then each start would compile numpy and Pillow, which no user's does
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as wrong:
        child = psutil.Popen([sys.executable, "-c", CHILD, *arguments], stdout=said, stderr=wrong, env=own)
        peak = 0
        while child.poll() is None:
            try:
                peak = max(peak, child.memory_info().rss)
            except psutil.Error:  # it has just ended
                break
            time.sleep(0.005)
        said.seek(0), wrong.seek(0)
        if child.wait():
            raise UserError(f"colouring failed: {wrong.read().strip().splitlines()[-1]}")
        return json.loads(said.read()), peak / 1e6
