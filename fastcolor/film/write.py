"""Writes a film: frames are encoded piece by piece; at the end all pieces, sound and the rest go into one file."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from fractions import Fraction
from heapq import merge
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from fastcolor.film.kinds import CODECS, WRITTEN
from fastcolor.film.light import Planes
from fastcolor.film.read import NUMBERS, About, open_film, picture_of
from fastcolor.photo.boxes import film_xmp
from fastcolor.photo.xmp import SOURCE_TYPE, Mark, marked

BOXED = ("mp4", "mov")
"""Containers of boxes."""
MIRRORED = (2, 4, 5, 7)
"""Orientations, by EXIF's numbers."""
XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")  # ISO 16684-3, 8.1: the box of MP4 and QuickTime with XMP


class Encoded(NamedTuple):
    """What an encoder gives for a frame: times in the film's units."""

    pts: int
    dts: int
    duration: int
    is_key: bool
    data: bytes


class Encoder:
    """Encodes frames. A new one begins each piece, so that a piece depends on no other."""

    def __init__(self, about: About, codec: str, crf: int | None):
        self._about, self._context = about, av.CodecContext.create(CODECS[codec].encoder, "w")
        set_up(self._context, about, codec, crf)
        self._durations: dict[int, int] = {}

    def encode(self, planes: Planes | None, pts: int = 0, duration: int = 0) -> list[Encoded]:
        """What comes out when a frame goes in; None at the end, for what is still inside."""
        frame = None
        if planes is not None:
            self._durations[pts] = duration
            frame = frame_of(planes, self._about)
            frame.pts, frame.time_base = pts, self._about.time_base
        return [
            Encoded(
                packet.pts,
                packet.pts if packet.dts is None else packet.dts,
                self._durations.pop(packet.pts, 0),
                packet.is_keyframe,
                bytes(packet),
            )
            for packet in self._context.encode(frame)
        ]


def set_up(context: "av.VideoCodecContext", about: About, codec: str, crf: int | None) -> None:
    """Make an encoder ready for a film's frames."""
    kind = CODECS[codec]
    context.width, context.height, context.pix_fmt = about.width, about.height, about.format
    context.time_base, context.framerate = about.time_base, about.rate
    context.sample_aspect_ratio = about.aspect
    context.color_range = 2 if about.light.full else 1
    context.colorspace = NUMBERS[about.light.matrix]
    context.color_primaries, context.color_trc = about.tags
    context.flags |= av.codec.context.Flags.global_header
    options = dict(kind.options)
    if kind.crf is not None:
        options["crf"] = str(kind.crf if crf is None else crf)
    if about.top_first is not None and codec == "h264":
        options["x264-params"] = "tff=1" if about.top_first else "bff=1"
    context.options = options


def frame_of(planes: Planes, about: About) -> av.VideoFrame:
    """A frame with these planes, without a time."""
    frame = av.VideoFrame(about.width, about.height, about.format)
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(plane, values.dtype).reshape(plane.height, -1)
        rows[:, : values.shape[1]] = values
    return frame


def write_film(
    source: Path,
    target: Path,
    film: Path,
    about: About,
    encoded: Iterable[Encoded],
    codec: str,
    crf: int | None,
    mark: Mark | None,
) -> list[str]:
    """Write into `target` what was encoded, and all else of the `source`; its name will be `film`. Gives notes."""
    notes, container_name = [], WRITTEN[film.suffix.lower()]
    with closing(open_film(source)) as old:
        tags = {name: value for name, value in old.metadata.items() if name not in _OF_THE_FILE}
    flags = {"movflags": "+faststart"} if container_name in BOXED else {}
    if flags and any(name.startswith("com.") for name in tags):  # cameras' own names: QuickTime's "mdta" keys
        flags["movflags"] += "+use_metadata_tags"
    with closing(open_film(source)) as old, av.open(str(target), "w", format=container_name, options=flags) as new:
        stream = new.add_stream(CODECS[codec].encoder, rate=about.rate)
        set_up(stream.codec_context, about, codec, crf)
        stream.time_base = about.time_base
        picture = picture_of(old)
        stream.metadata.update(picture.metadata)
        stream.set_display_matrix(about.matrix)
        if about.orientation in MIRRORED and container_name not in BOXED:
            notes.append("mirrored: that is left out, only MP4 and MOV hold it")
        copied = _copied_streams(old, new, notes)
        new.metadata.update(tags | _mark_tags(mark, container_name))
        new.set_chapters(old.chapters())
        new.start_encoding()
        pictures = (_packet(each, stream, about.time_base) for each in _in_step(encoded))
        for packet in merge(pictures, _others(old, copied), key=lambda packet: packet.dts * packet.time_base):
            new.mux_one(packet)
    _keep_xmp(source, target, container_name, mark, notes)
    with closing(open_film(target)) as new:
        held = set(new.metadata.values())
    if lost := [name for name, value in tags.items() if value not in held]:
        notes.append(f"tags left out, which the container can't hold: {', '.join(lost)[:200]}")
    return notes


def _keep_xmp(source: Path, target: Path, container: str, mark: Mark | None, notes: list[str]) -> None:
    """Write the source's XMP, with the mark, to a film's end."""
    with open(source, "rb") as file:
        xmp = film_xmp(file) if file.read(8)[4:] in (b"ftyp", b"moov", b"mdat", b"wide") else None
    if container not in BOXED:
        if xmp:
            notes.append("XMP left out: only MP4 and MOV hold it")
        return
    if mark:
        xmp = marked(xmp, mark, notes)
    if xmp:
        with open(target, "ab") as file:
            file.write((24 + len(xmp)).to_bytes(4, "big") + b"uuid" + XMP_BOX + xmp)


def _in_step(encoded: Iterable[Encoded]) -> Iterator[Encoded]:
    """The same, decoded one after the other across the borders of pieces, where variable frame rates may overlap."""
    last = None
    for each in encoded:
        last = each.dts if last is None else max(each.dts, last + 1)
        yield each._replace(dts=last)


def _copied_streams(old, new, notes: list[str]) -> dict[int, "av.stream.Stream"]:
    """The streams of the new film for what is copied of the old one, by the old one's index."""
    copied, picture = {}, picture_of(old)
    for stream in old.streams:
        if stream is picture or (stream.type == "data" and old.chapters()):  # how mp4 and mov store chapters' titles
            continue
        try:
            if stream.type == "attachment":
                new.add_attachment(stream.name or "", stream.mimetype or "", stream.data)
                continue
            if stream.codec_context is None or stream.codec_context.name not in new.supported_codecs:
                raise ValueError
            copied[stream.index] = new.add_stream_from_template(stream)
            copied[stream.index].metadata.update(stream.metadata)
            copied[stream.index].disposition = stream.disposition
        except (av.FFmpegError, ValueError, AttributeError):
            name = getattr(stream.codec_context, "name", None) or "unknown"
            notes.append(f"{stream.type} ({name}) left out: the container can't hold it (-o NAME.mkv may)")
    return copied


def _others(old, copied: dict[int, "av.stream.Stream"]) -> Iterator["av.Packet"]:
    """What is copied, in its order."""
    wanted = [stream for stream in old.streams if stream.index in copied]
    if not wanted:
        return
    last: dict[int, int] = {}
    packets = old.demux(*wanted)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:  # the file is damaged from here on, which its pictures have told
            return
        if packet is None:
            return
        if packet.dts is None or packet.dts <= last.get(packet.stream_index, packet.dts - 1):
            continue
        last[packet.stream_index] = packet.dts
        packet.stream = copied[packet.stream_index]
        yield packet


def _packet(encoded: Encoded, stream: "av.VideoStream", time_base: Fraction) -> "av.Packet":
    packet = av.Packet(encoded.data)
    packet.stream, packet.time_base = stream, time_base
    packet.pts, packet.dts, packet.duration = encoded.pts, encoded.dts, encoded.duration
    packet.is_keyframe = encoded.is_key
    return packet


def _mark_tags(mark: Mark | None, container: str) -> dict[str, str]:
    """The mark of a machine, where the container holds tags of any name."""
    if not mark or container not in ("matroska", "webm"):
        return {}
    return {"DIGITAL_SOURCE_TYPE": SOURCE_TYPE, "AI_SYSTEM_USED": mark.system, "AI_SYSTEM_VERSION_USED": mark.version}


_OF_THE_FILE = ("major_brand", "minor_version", "compatible_brands", "encoder")
"""What a file says of how it was written, which is no longer so."""
