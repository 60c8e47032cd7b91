"""The drawn sample set as a folder of photos, so that everything can be tried without a download."""

from pathlib import Path

from fastcolor.errors import UserError
from fastcolor.scenes.folder import write_scenes


def sample(
    dst: Path,  # folder for the scenes
    count: int = 320,  # scenes
    size: int = 128,  # side in pixels
    seed: int = 0,  # sets of different seeds share no scene
):
    """Draw the sample set: small landscapes with flowers whose colours follow from shape and texture."""
    for name, value, least in (("count", count, 1), ("size", size, 1), ("seed", seed, 0)):
        if value < least:
            raise UserError(f"--{name} {value}: give {least} or more")
    print(write_scenes(dst, count, size, seed))
