"""Stage 2: colour the training photos with stage 1's generator, for the critic to learn from.

    python -m fastcolor.stage2_generate_fakes --run runs/NAME

Leaves `fakes/`, one PNG for each training photo, and a sample grid. Existing fakes are not made again.
"""

import sys

from fastcore.meta import delegates

from fastcolor import processes
from fastcolor.cli import run_command
from fastcolor.color.spaces import SPACES
from fastcolor.data.batches import batch_size, color_batches
from fastcolor.data.fakes import write_fakes
from fastcolor.data.photos import load_photos
from fastcolor.data.prepare import prepare_photos
from fastcolor.networks.checkpoint import load_network
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
        written = write_fakes(run, photos, network, bs)
        print(f"{run.folder.output(STAGE)}: {written:,} written, {len(photos.train) - written:,} skipped")
        processes.by_first(lambda: sample_grid(run.folder.sample_grid(STAGE), network, space, dls))


if __name__ == "__main__":
    sys.exit(run_command(main, prog="python -m fastcolor.stage2_generate_fakes"))
