"""Broken photo files by the hundred: each is coloured or refused in one sentence, in seconds and within 2 GB."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from photo_files import mutated, whole_files

COUNT = 1200
SECONDS = 10  # for one file
MEMORY = 2 * 10**9  # bytes of address space, which is more than what is really used

CHILD = """
import faulthandler, json, resource, sys
import numpy as np
from pathlib import Path
from fastcolor.colorize.flow import color_all
from fastcolor.colorize.plan import Job

class Painter:
    def pixels(self, pixels):
        return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels.copy()

source, target, memory, seconds = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
kinds = sys.argv[5:]
jobs = [Job(path, target / (path.name + kinds[n % len(kinds)])) for n, path in enumerate(sorted(source.iterdir()))]
resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
faulthandler.dump_traceback_later(seconds, exit=True)
for job, outcome in color_all(jobs, Painter().pixels):
    print(json.dumps([job.source.name, outcome.failure or outcome.notes]), flush=True)
    faulthandler.dump_traceback_later(seconds, exit=True)
"""


@pytest.mark.faults
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
    for sentence in refused.values():
        assert "\n" not in sentence and len(sentence) < 400
        assert sentence
