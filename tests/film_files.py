"""Drawn clips written as film files of many kinds, and what film files hold."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from fastcolor.scenes.clips import draw_clip

SOUND = {".webm": "libopus", ".mpg": "mp2"}


def greys(count: int, seed: int = 20, size: int = 96) -> list[np.ndarray]:
    """The frames of a clip in grey, as RGB `(h, w, 3)` uint8."""
    return [
        np.repeat(np.asarray(image.convert("L"))[:80, :, None], 3, axis=2) for image in draw_clip(seed, count, size)
    ]


def write_clip(
    path: Path, frames, codec="libx264", format="yuv420p", pts=None, time_base=None, rate=25, **more
) -> Path:
    """Write RGB frames as a film. `more`: rotation, aspect, full, matrix, sound, chapters, tags, options."""
    time_base = time_base or Fraction(1, rate)
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as film:
        stream = film.add_stream(codec, rate=rate, options=more.get("options", {}))
        stream.width, stream.height, stream.pix_fmt = width, height, format
        stream.codec_context.time_base = stream.time_base = time_base
        if "rotation" in more:
            stream.set_display_rotation(more["rotation"])
        if "aspect" in more:
            stream.codec_context.sample_aspect_ratio = more["aspect"]
        spaces = {}
        if "matrix" in more:
            stream.codec_context.colorspace = spaces["dst_colorspace"] = more["matrix"]
        if "full" in more:
            stream.codec_context.color_range = spaces["dst_color_range"] = 2 if more["full"] else 1
        sound = film.add_stream(SOUND.get(path.suffix, "aac"), rate=48000) if more.get("sound") else None
        film.metadata.update(more.get("tags", {}))
        film.set_chapters(more.get("chapters", []))
        for i, values in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(values, "rgb24").reformat(format=format, **spaces)
            frame.pts, frame.time_base = pts[i] if pts else i, time_base
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
        if sound:
            wave = (0.3 * np.sin(np.arange(48000 * len(frames) // rate) / 20)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(wave[None], "flt" if path.suffix == ".webm" else "fltp", "mono")
            frame.sample_rate, frame.pts = 48000, 0
            if path.suffix in (".webm", ".mpg"):
                frame = av.AudioFrame.from_ndarray((wave * 32767).astype(np.int16)[None], "s16", "mono")
                frame.sample_rate, frame.pts = 48000, 0
            film.mux(sound.encode(frame))
            film.mux(sound.encode(None))
    return path


def times(path: Path) -> list[Fraction]:
    """The times of all frames, in seconds."""
    with av.open(str(path)) as film:
        return [frame.pts * frame.time_base for frame in film.decode(video=0)]


def decoded(path: Path) -> list[np.ndarray]:
    """All frames as ffmpeg shows them: RGB `(h, w, 3)` uint16."""
    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="rgb48le") for frame in film.decode(video=0)]


def packets(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    """The first stream of a kind, as it is stored: times and bytes."""
    with av.open(str(path)) as film:
        stream = next(stream for stream in film.streams if stream.type == kind)
        return [(each.pts * each.time_base, bytes(each)) for each in film.demux(stream) if each.size]
