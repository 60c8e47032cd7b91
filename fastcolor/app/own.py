"""Points of colour on the page: read and kept as `PHOTO.hints.json`, and what there is to choose from at a place."""

from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from fastcolor.app.handed import Handed
from fastcolor.color.cie import AB_RANGE
from fastcolor.color.fullsize import ab_in_gamut, rgb_of
from fastcolor.colorize.hints import Hint, hints_file, read_hints, write_hints
from fastcolor.colorize.prepared import Prepared
from fastcolor.errors import UserError

FIELD = 221  # steps of a and of b that are tried for the field of colours: whole ones


def read(photo: Handed, text: str) -> list[Hint]:
    """The points in the text of a `PHOTO.hints.json`. Raises UserError, OSError."""
    given = hints_file(photo.folder / "given")
    given.write_text(text, encoding="utf-8")
    try:
        return read_hints(given)
    except UserError as error:
        raise UserError(str(error).replace(str(given), name(photo))) from None
    finally:
        given.unlink(missing_ok=True)


def keep(photo: Handed, hints: list[Hint]) -> None:
    """Keep a photo's points beside it."""
    write_hints(kept(photo), hints) if hints else kept(photo).unlink(missing_ok=True)


def kept(photo: Handed) -> Path:
    """Where a photo's points are kept, in the layout of `PHOTO.hints.json`."""
    return hints_file(photo.source)


def name(photo: Handed) -> str:
    """What they are called when they are downloaded."""
    return hints_file(photo.name).name


def describe(hints: list[Hint], photo: Prepared) -> list[dict]:
    """Points as the page shows them: as they were given, and as the photo can have them at its lightness.

    `shown` is the colour as hex, `ab` the same as a and b, `note` what had to be changed.
    """
    light = np.float32([photo.lightness(hint.x, hint.y) for hint in hints])
    wanted = np.float32([hint.ab for hint in hints]).reshape(-1, 2).T
    found = ab_in_gamut(light, wanted)
    described = []
    for hint, rgb, ab, was in zip(hints, rgb_of(light, found).tolist(), found.T, wanted.T, strict=True):
        note = None if np.array_equal(ab, was) else next(iter(photo.notes([hint])), None)
        shown = {
            "shown": "#{:02x}{:02x}{:02x}".format(*rgb),
            "ab": [round(float(value), 1) for value in ab],
            "note": note,
        }
        described.append({**vars(hint), **shown})
    return described


class Field(NamedTuple):
    """All colours of one lightness as a PNG: a to the right, b upwards, nothing where sRGB has no colour.

    `left`, `bottom`, `right` and `top` are the a and b of its borders.
    """

    picture: bytes
    left: float
    bottom: float
    right: float
    top: float


@lru_cache(101)
def field(lightness: int) -> Field:
    """The field of colours of a lightness, 0..100."""
    along = np.linspace(-AB_RANGE, AB_RANGE, FIELD, dtype=np.float32)
    ab = np.stack(np.meshgrid(along, along[::-1])).reshape(2, -1)
    light = np.full(ab.shape[1], lightness, np.float32)
    exists = (np.abs(ab_in_gamut(light, ab) - ab).max(0) < 0.5)[:, None]
    pixels = np.concatenate([rgb_of(light, ab), np.where(exists, 255, 0).astype(np.uint8)], axis=1)
    image, file = Image.fromarray(pixels.reshape(FIELD, FIELD, 4)), BytesIO()
    left, top, right, bottom = image.getchannel("A").getbbox()
    image.crop((left, top, right, bottom)).save(file, "PNG")
    half = FIELD / 2
    return Field(file.getvalue(), left - half, half - bottom, right - half, half - top)
