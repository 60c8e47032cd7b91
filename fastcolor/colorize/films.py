"""The films of `fastcolor colorize`: one after the other, as each uses all cores."""

import os
import time
from collections.abc import Iterator
from typing import NamedTuple

from fastcolor.colorize.flow import STOPPING, How, Outcome
from fastcolor.colorize.like import Reference
from fastcolor.colorize.plan import Job
from fastcolor.errors import UserError, one_line, printable
from fastcolor.film.kinds import CODECS, check_packages
from fastcolor.flags import one_of


class FilmFlags(NamedTuple):
    """The flags of the command that are for films."""

    codec: str | None = None
    crf: int | None = None
    deinterlace: bool = False

    def check(self) -> None:
        """Raise UserError for a codec that is unknown, and for a CRF that it doesn't have."""
        if self.codec is not None:
            one_of("codec", self.codec, CODECS)
        kind = CODECS[self.codec or "h264"]
        if self.crf is not None and kind.crf is None:
            raise UserError(f"--crf is not for --codec {self.codec}, which loses nothing: leave it out")
        if self.crf is not None and not 0 <= self.crf <= kind.most:
            raise UserError(f"--crf must be from 0 to {kind.most}, not {self.crf}")


def check_film(job: Job) -> None:
    """Raise UnreadablePhoto unless a film can be coloured, as far as its first frame tells; UserError without `av`."""
    check_packages()
    from fastcolor.film.make import look_at_job

    look_at_job(job.source)


def color_films(
    jobs: list[Job],
    colorizer: "Colorizer",  # noqa: F821 (not imported here: that loads what runs networks)
    flags: FilmFlags,
    settings: dict,
    how: How,
    like: Reference | None = None,
) -> Iterator[tuple[Job, Outcome]]:
    """Colour films, and give each job with what became of it. Raises OSError where no later film could be written."""
    for job in jobs:
        begun, outcome = time.monotonic(), Outcome()
        try:
            if not os.path.lexists(job.source):  # says so where the packages are missing, too
                raise UserError("there is no such file")
            more = {"settings": settings, "mark": how.mark is not None, "like": like, "hints": job.hints}
            made = colorizer.film(job.source, job.target, **flags._asdict(), **more)
            outcome.frames, outcome.shape, outcome.notes = made.frames, (made.width, made.height), made.notes
            if how.side_by_side:
                outcome.notes.append("--side-by-side is for photos: films are written alone")
        except UserError as error:
            outcome.failure = str(error).removeprefix(printable(f"{job.source}: "))
        except MemoryError:
            outcome.failure = "needs more memory than there is: make it smaller first"
        except OSError as error:
            if error.errno in STOPPING:
                raise
            outcome.failure = f"{job.target} can't be written ({error.strerror or one_line(error)})"
        outcome.seconds = time.monotonic() - begun
        yield job, outcome
