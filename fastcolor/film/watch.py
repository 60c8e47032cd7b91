"""A film to look at in a browser: a few of its frames, and it before and after, in one film that any browser plays.

In that film, each frame shows before above after, so that both are always at the same moment.
"""

from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from heapq import merge
from pathlib import Path

import av
import cv2
import numpy as np

from fastcolor.files import write_whole
from fastcolor.film.kinds import CODECS
from fastcolor.film.light import Planes
from fastcolor.film.progress import Progress, Tell
from fastcolor.film.read import TO_YUV, About, look_at, open_film, read_frames
from fastcolor.film.write import frame_of, set_up

SIDE = 960  # pixels, at most, of the long side of what is looked at
CRF = 20  # of the film that is looked at
KEY_SECONDS = 2  # between frames that a browser can jump to at once
SOUND = 48_000  # samples a second
FORMATS = CODECS["ffv1"].formats  # in which frames are taken


@dataclass
class Looked:
    """What a film is like, and some of its frames: RGB `(h, w, 3)` uint8, upright, of square pixels."""

    seconds: float
    frames: int  # about
    shape: tuple[int, int]  # width and height, as it is shown
    interlaced: bool
    sound: bool
    notes: list[str]
    times: list[float]  # seconds, of each still
    stills: list[np.ndarray]


def look_through(path: Path, count: int) -> Looked:
    """A film's looks: at most `count` frames, spread over it. Raises UnreadablePhoto for what can't be coloured."""
    about = look_at(path, FORMATS)
    notes, about = about.notes, replace(about, notes=[])  # what is damaged is said of the coloured film
    shape = _shown(about, SIDE)
    times, stills = [], []
    for number in range(count):
        at = about.begin + round((number + 0.5) / count * about.seconds / about.time_base)
        with suppress(av.FFmpegError):  # this film can't be wound on
            frame = _next(path, about, at, wind=True)
            if frame and frame.time not in times:
                times.append(frame.time)
                stills.append(_rgb(frame.own, about, shape))
    if not stills:
        frame = _next(path, about, about.begin, wind=False)
        times, stills = [frame.time], [_rgb(frame.own, about, shape)]
    with closing(open_film(path)) as film:
        sound = bool(film.streams.audio)
    height, width = _shown(about, max(about.width * about.aspect, about.height))
    return Looked(
        about.seconds, about.frames, (width, height), about.top_first is not None, sound, notes, times, stills
    )


def _next(path: Path, about: About, after: int, wind: bool):
    with closing(read_frames(path, about, (16, 16), keep_own=True, after=after, wind=wind)) as frames:
        return next(frames, None)


def _rgb(planes: Planes, about: About, size: tuple[int, int]) -> np.ndarray:
    height, width = size if about.orientation < 5 else size[::-1]
    ranged = av.video.reformatter.ColorRange.JPEG if about.light.full else av.video.reformatter.ColorRange.MPEG
    frame = frame_of(planes, about).reformat(
        width, height, "rgb24", src_colorspace=TO_YUV.get(about.light.matrix), src_color_range=ranged
    )
    return np.ascontiguousarray(about.upright(frame.to_ndarray()))


def _shown(about: About, most: float) -> tuple[int, int]:
    """Height and width of a film as it is shown, upright with square pixels; even, and `most` on the long side."""
    height, width = about.shown[0], about.shown[1] * float(about.aspect)
    scale = min(1.0, float(most) / max(height, width))
    size = tuple(max(2, 2 * round(scale * length / 2)) for length in (height, width))
    return size if about.orientation < 5 else size[::-1]


def write_pair(before: Path, after: Path, target: Path, tell: Tell | None = None) -> None:
    """Write a film in which each frame shows that of `before` above that of `after`, with the sound of `before`.

    MP4 with H.264 and AAC, at most SIDE pixels on the long side of each. Raises UnreadablePhoto, OSError.
    """
    about = look_at(after, FORMATS)
    height, width = _shown(about, SIDE)
    pair = replace(about, width=width, height=2 * height, aspect=1, format="yuv420p", matrix=None, top_first=None)
    pair = replace(pair, light=about.light._replace(bits=8))
    with (
        closing(open_film(before)) as old,
        write_whole(target) as temporary,
        av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as new,
    ):
        stream = new.add_stream("libx264", rate=about.rate)
        set_up(stream.codec_context, pair, "h264", CRF)
        stream.time_base, stream.codec_context.gop_size = about.time_base, max(1, round(KEY_SECONDS * about.rate))
        heard = next(iter(old.streams.audio), None)
        spoken = new.add_stream("aac", rate=SOUND, layout="stereo") if heard else None
        new.start_encoding()
        pictures = _pictures(_both(before, after, about, (height, width)), pair, stream, tell)
        sounds = _sounds(old, heard, spoken) if heard else ()
        for packet in merge(pictures, sounds, key=lambda packet: packet.dts * packet.time_base):
            new.mux_one(packet)


def _both(before: Path, after: Path, about: About, size: tuple[int, int]) -> Iterator[tuple[int, Planes]]:
    """The time of each frame, and before above after."""
    own = look_at(before, FORMATS)
    with (
        closing(read_frames(before, own, (16, 16), keep_own=True)) as old,
        closing(read_frames(after, about, (16, 16), keep_own=True)) as new,
    ):
        for one, other in zip(old, new):  # noqa: B905 (where the film is damaged, one may have a frame more)
            halves = zip(_small(one.own, own, size), _small(other.own, about, size), strict=True)
            yield other.pts, Planes(*map(np.vstack, halves))


def _small(planes: Planes, about: About, size: tuple[int, int]) -> Planes:
    """Planes at another size, upright, of 8 bits, with a quarter of the chroma."""
    upright = [np.ascontiguousarray(about.upright(plane)) for plane in planes]
    if about.light.bits > 8:
        upright = [(plane >> (about.light.bits - 8)).astype(np.uint8) for plane in upright]
    height, width = size
    wanted = [(width, height), *[(width // 2, height // 2)] * 2]
    pairs = zip(upright, wanted, strict=True)
    return Planes(*(cv2.resize(plane, to, interpolation=cv2.INTER_AREA) for plane, to in pairs))


def _pictures(both: Iterator[tuple[int, Planes]], pair: About, stream, tell: Tell | None) -> Iterator["av.Packet"]:
    progress = Progress(pair.frames, tell=tell)
    with closing(both):
        for pts, planes in both:
            frame = frame_of(planes, pair)
            frame.pts, frame.time_base = pts, pair.time_base
            yield from stream.encode(frame)
            progress.add()
    progress.end()
    yield from stream.encode(None)


def _sounds(film, heard, spoken) -> Iterator["av.Packet"]:
    """The sound, as browsers can play it; where it is damaged, it ends."""
    resampler = av.AudioResampler("fltp", "stereo", SOUND)
    with suppress(av.FFmpegError):
        for frame in film.decode(heard):
            for part in resampler.resample(frame):
                yield from spoken.encode(part)
        for part in resampler.resample(None):
            yield from spoken.encode(part)
    yield from spoken.encode(None)
