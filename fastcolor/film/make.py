"""A film from its file to a coloured film: frames are read, coloured and encoded at the same time, piece by piece.

    read ─▶ small greys ─ follow ─▶ a, b ─ light ─▶ planes ─ encoder ─▶ pieces ─ write ─▶ the film, whole
     └────────────── grey planes wait ─────────┘

One thread decodes, one follows the motion and runs the network, this one colours and feeds the encoder, which has
threads of its own. What waits between them is bounded, so memory does not grow with the film.
"""

import errno
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import av
import numpy as np

from fastcolor.errors import UserError, one_line
from fastcolor.files import write_whole
from fastcolor.film.follow import Key
from fastcolor.film.frames import HowFilm, Made, Network, colored_frames, from_the_scenes_start
from fastcolor.film.kinds import CODECS, WRITTEN, codec_for, numbered
from fastcolor.film.pictures import color_frames, color_moving
from fastcolor.film.pieces import Pieces
from fastcolor.film.read import About, Frame, look_at, read_frames
from fastcolor.film.write import Encoder, write_film

PIECE = 240  # frames, at least, that are kept together: some ten seconds are lost when a run is stopped


def color_job(source: Path, target: Path, network: Network, how: HowFilm) -> Made:
    """Colour a film, a picture that moves, or a folder of numbered frames: see `Colorizer.film`."""
    if source.is_dir():
        return color_frames(source, target, network, how)
    return (color_film if target.suffix.lower() in WRITTEN else color_moving)(source, target, network, how)


def look_at_job(source: Path) -> None:
    """Raise UserError or UnreadablePhoto unless it can be coloured, as far as its first frame tells."""
    numbered(source) if source.is_dir() else look_at(source, CODECS["h264"].formats)


def color_film(source: Path, target: Path, network: Network, how: HowFilm) -> Made:
    """Colour a film, whole or not at all. What a stopped run has finished is gone on with, to the same frames.

    Raises UnreadablePhoto for what is no film, UserError for what can't be written as asked, OSError for a full disk.
    """
    codec = codec_for(target, how.codec)
    about = look_at(source, CODECS[codec].formats)
    if about.top_first is not None:
        done = "its two fields were put together" if how.deinterlace else "it stays so without --deinterlace"
        about.notes.append(f"interlaced: {done}")
    found = source.stat()
    settings = {"bytes": found.st_size, "time": found.st_mtime_ns, "codec": codec, "crf": how.crf}
    settings |= {"deinterlace": how.deinterlace, "strength": how.strength, **how.settings}
    about = about.deinterlaced() if how.deinterlace else about
    target.parent.mkdir(parents=True, exist_ok=True)
    with _told_of(target), Pieces(target, settings) as pieces:
        frames = _encode(source, about, network, how, codec, pieces)
        with write_whole(target, lasting=True) as temporary:
            encoded = pieces.encoded()
            notes = write_film(source, temporary, target, about, encoded, codec, how.crf, how.mark)
        pieces.remove()
    return Made(frames, about.width, about.height, list(dict.fromkeys(about.notes + notes)))


@contextmanager
def _told_of(target: Path) -> Iterator[None]:
    """Make ffmpeg's errors those of a file, or of a user."""
    try:
        yield
    except av.FFmpegError as error:
        words = one_line(error.strerror or error)
        if error.errno in errno.errorcode:
            raise OSError(error.errno, words, str(target)) from error
        raise UserError(f"{target} can't be made ({words}): try another --codec") from error


def _encode(source: Path, about: About, network: Network, how: HowFilm, codec: str, pieces: Pieces) -> int:
    """Colour and encode all frames that no piece has yet. Gives how many the film has."""
    height, width = about.height, max(1, round(about.width * about.aspect))
    small = network.size(*((height, width) if about.orientation < 5 else (width, height)))
    told = _told_early(source, about, small, network, how)
    frames, *before = _frames_left(source, about, small, how, pieces)
    done = before[0]
    encoder, encoded, since, last = None, [], 0, None
    with closing(colored_frames(frames, told, about.frames, *before, how.tell)) as coming:
        for frame, ab, key in coming:
            encoder = encoder or Encoder(about, codec, how.crf)
            planes = about.light.colored(frame.grey, about.stored(ab), about.chroma, frame.own, how.strength)
            encoded += encoder.encode(planes, frame.pts, frame.duration)
            since += 1
            last = (frame.pts, key) if key else last
            if key and since >= PIECE:
                pieces.add(encoded + encoder.encode(None), since, *last)
                done, since, encoded, encoder = done + since, 0, [], None
    if encoder:  # a film ends with a key frame
        pieces.add(encoded + encoder.encode(None), since, *last)
    return done + since


def _told_early(source: Path, about: About, small: tuple[int, int], network: Network, how: HowFilm) -> Network:
    """The network, to which is told at each scene's start what is told of the scene."""
    about = replace(about, notes=[])  # what is damaged is noted when all of it is read

    def frames(time: float) -> Iterator[Frame]:
        after = None if time <= 0 else about.begin + round(time / about.time_base)
        if after is not None:
            wound = read_frames(source, about, small, False, how.deinterlace, after, wind=True)
            with suppress(av.FFmpegError), closing(wound):  # some films can't be wound on, or not to the same frames
                first = next(wound, None)
                if first and first.time < time + 1:
                    yield first
                    yield from wound
                    return
        yield from read_frames(source, about, small, False, how.deinterlace, after)

    return from_the_scenes_start(network, frames, float(about.rate)) if network.moments else network


def _frames_left(
    source: Path, about: About, small: tuple[int, int], how: HowFilm, pieces: Pieces
) -> tuple[Iterator[Frame], int, Key | None, float]:
    """The frames that no piece has yet, how many are done, and colours and time of the last one of these."""

    def read(after: int | None = None, wind: bool = False) -> Iterator[Frame]:
        return read_frames(source, about, small, how.strength < 1, how.deinterlace, after, wind)

    last = pieces.last()
    if last:
        done, pts, key = last
        for wind in (True, False):  # some files can't be wound on, or not to the same frames
            frames = read(pts, wind)
            frame = next(frames, None)
            if frame and frame.pts == pts and np.array_equal(frame.small, key.grey):
                return frames, done, key, frame.time
            frames.close()
        pieces.clear()
    return read(), 0, None, -1.0
