"""Stage 2: colour the training photos with stage 1's generator, for the critic to learn from.

    python -m fastcolor.stage2_generate_fakes --run runs/NAME

Leaves `fakes/`, one PNG for each training photo, and a sample grid. Existing fakes are not made again.
"""

import sys

from fastcore.meta import delegates
from PIL import Image

from fastcolor.cli import run_command
from fastcolor.color.spaces import SPACES
from fastcolor.data.batches import batch_size, color_batches
from fastcolor.data.cache import take
from fastcolor.data.fakes import paint
from fastcolor.data.photos import load_photos
from fastcolor.data.prepare import prepare_photos
from fastcolor.files import in_threads, progress_bar
from fastcolor.networks.checkpoint import load_network
from fastcolor.photo.write import save_photo
from fastcolor.runs.run import open_run
from fastcolor.training.report import sample_grid

STAGE = "stage2"


@delegates(open_run)
def main(**options):
    """Colour the training photos with stage 1's generator: the second of the four stages."""
    run = open_run(**options)
    network, _ = load_network(run.require("stage1"), "generator")
    space = SPACES[network.config.space]
    prepare_photos(run)
    photos = load_photos(run)
    run.machine.place(network)
    bs = batch_size(run, STAGE, photos, space.channels, network)
    dls = color_batches(run, photos, space)

    with run.stage(STAGE, bs=bs) as is_needed:
        if not is_needed:
            return
        output = run.folder.output(STAGE)
        files = {row: output / f"{photos.names[row]}.png" for row in photos.train}
        missing = {row for row, file in files.items() if not file.exists()}
        parts = [photos.train[i : i + bs] for i in range(0, len(photos.train), bs)]
        # whole batches, always the same: the last digits depend on how many photos a network sees at once
        for rows in progress_bar([rows for rows in parts if missing.intersection(rows)]):
            fakes = paint(run, network, take(photos.squares, rows, run.machine.device))
            made = [(fake, files[row]) for fake, row in zip(fakes, rows, strict=True) if row in missing]
            for _ in in_threads(lambda pair: save_photo(Image.fromarray(pair[0]), pair[1]), made):
                pass
        print(f"{output}: {len(missing):,} written, {len(files) - len(missing):,} skipped")
        sample_grid(run.folder.sample_grid(STAGE), network, space, dls)


if __name__ == "__main__":
    sys.exit(run_command(main, prog="python -m fastcolor.stage2_generate_fakes"))
