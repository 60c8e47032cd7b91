"""What a generator makes of a run's photos, for a critic to learn from."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from fastcolor import processes
from fastcolor.data.batches import BATCH
from fastcolor.data.cache import CHANNELS, OnDemand, Squares, cached, resident, take
from fastcolor.data.photos import Photos, file_stamp
from fastcolor.errors import UnreadablePhoto, UserError
from fastcolor.files import in_threads, progress_bar
from fastcolor.networks.painter import Painter
from fastcolor.photo.read import open_photo
from fastcolor.photo.write import save_photo
from fastcolor.runs.run import Run


@torch.no_grad()
def paint(run: Run, network: nn.Module, squares: Tensor) -> np.ndarray:
    """Fakes `(n, side, side, 3)`, sRGB uint8, of squares `(n, side, side, 4)` uint8; only their grey is used."""
    grey = squares.permute(0, 3, 1, 2)[:, :1].contiguous()
    rgb = Painter(network, run.machine.autocast).rgb(grey)
    return (rgb * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def fake_files(run: Run, photos: Photos) -> dict[int, Path]:
    """Where stage 2 keeps the fake of each training photo, by its row."""
    return {row: run.folder.output("stage2") / f"{photos.names[row]}.png" for row in photos.train}


def write_fakes(run: Run, photos: Photos, generator: nn.Module, bs: int) -> int:
    """Paint the fakes of the training photos that are not there yet, `bs` at once, as PNG; how many were written.

    Several processes divide them.
    """
    files = fake_files(run, photos)
    missing = processes.by_first(lambda: {row for row, file in files.items() if not file.exists()})
    parts = [photos.train[i : i + bs] for i in range(0, len(photos.train), bs)]
    # whole batches, always the same: the last digits depend on how many photos a network sees at once
    parts = [rows for rows in parts if missing.intersection(rows)]
    for rows in progress_bar(parts[processes.own_rows()]):
        fakes = paint(run, generator, take(photos.squares, rows, run.machine.device))
        made = [(fake, files[row]) for fake, row in zip(fakes, rows, strict=True) if row in missing]
        for _ in in_threads(lambda pair: save_photo(Image.fromarray(pair[0]), pair[1]), made):
            pass
    processes.wait()
    return len(missing)


def load_fakes(run: Run, photos: Photos, generator: nn.Module, at_once: int = BATCH) -> Squares:
    """Fakes of all photos as squares, with an empty grey channel.

    Those of training photos come from stage 2. Held-out photos are painted now, at most `at_once` in a batch. Raises
    UserError if a fake can't be read.
    """
    count, side = photos.squares.shape[:2]
    files, painted = fake_files(run, photos), {}
    for rows in np.array_split(photos.valid, -(-len(photos.valid) // at_once)):
        painted |= zip(rows, paint(run, generator, take(photos.squares, rows, run.machine.device)), strict=True)

    def decode(row: int) -> np.ndarray:
        square = np.zeros((side, side, CHANNELS), np.uint8)
        try:
            if row in painted:
                square[..., 1:] = painted[row]
            elif row in files:  # else it was left out
                square[..., 1:] = np.array(open_photo(files[row]))
        except UnreadablePhoto as error:
            command = f"python -m fastcolor.stage2_generate_fakes --run {run.folder.path} --force"
            raise UserError(f"{error}: run `{command}`") from None
        return square

    if run.cache is None:
        return OnDemand(decode, count, side)
    held_out = [run.photos / photos.names[row] for row in photos.valid]
    made_of = [run.folder.output("stage1"), *held_out, *files.values()]
    stamps = [run.machine.precision, at_once, [file_stamp(file) for file in made_of]]

    def from_cache() -> Squares:
        with run.held():
            return cached(run.folder.cache, run.folder.output("stage2"), photos.names, stamps, decode, side)[0]

    if processes.count() > 1:
        processes.by_first(lambda: len(from_cache()))  # the others find it made
    return resident(from_cache(), run.machine.device)
