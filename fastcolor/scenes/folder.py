"""Drawn scenes, written as a folder of photos."""

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from fastcolor.files import in_threads, progress_bar
from fastcolor.photo.folders import Summary
from fastcolor.photo.write import save_photo
from fastcolor.scenes.landscapes import draw_scene

SEEDS_PER_SET = 1_000_000  # so that sets of different seeds share no scene: train on one, validate on another


def write_scenes(
    folder: Path, count: int = 320, size: int = 128, seed: int = 0, draw: Callable[[int, int], Image.Image] = draw_scene
) -> Summary:
    """Write `count` scenes, drawn by `draw(seed, size)`, into `folder`: scene_0000.png and so on.

    It uses all cores and shows a progress bar. A file that is there is kept, and each appears whole or not at all, so
    the same call goes on where an earlier one was stopped. Sets of different `seed` share no scene.
    """
    paths = [Path(folder) / f"scene_{n:04d}.png" for n in range(count)]
    waiting = [n for n, path in enumerate(paths) if not path.exists()]

    def write(n: int) -> None:
        save_photo(draw(seed * SEEDS_PER_SET + n, size), paths[n])

    for _ in progress_bar(in_threads(write, waiting), total=len(waiting)):
        pass
    return Summary(len(waiting), count - len(waiting))
