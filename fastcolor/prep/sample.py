"""Writes the drawn sample set as a folder of photos, so that everything can be tried without a download."""

from pathlib import Path

from fastcolor.errors import UserError
from fastcolor.scenes.folder import write_scenes


def sample(
    dst: Path,  # folder for the pictures
    count: int = 320,  # how many pictures
    size: int = 128,  # side of the pictures in pixels
    seed: int = 0,  # another seed draws other pictures
):
    """Draw the sample set: small landscapes with flowers.

    Their colours follow from shape and texture, so that a network can learn them.
    """
    for name, value, least in (("count", count, 1), ("size", size, 1), ("seed", seed, 0)):
        if value < least:
            raise UserError(f"--{name} must be {least} or more, not {value}")
    print(write_scenes(dst, count, size, seed))
