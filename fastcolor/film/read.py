"""Reads a film: its frames with their exact times, upright for the network, and what the file says of itself."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.video.reformatter import Colorspace

from fastcolor.errors import UnreadablePhoto, one_line
from fastcolor.files import cores
from fastcolor.film.light import Light, Planes
from fastcolor.photo.page import TURNS

MOST_PIXELS = 8192 * 4320  # of a frame: an 8K film
LEAST_SIDE = 16
IDENTITY, HALF = (1 << 16, 0, 0, 0, 1 << 16), 1 << 15  # of display matrices, whose 1 is 65536
HD = (
    1280,
    576,
)  # from this width, or above this height, films that don't say so have BT.709's matrix, as players assume
_MATRICES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}  # ITU-T H.273
NUMBERS = {"bt709": 1, "fcc": 4, "bt601": 6, "smpte240m": 7, "bt2020": 9}
"""The numbers of matrices: ITU-T H.273, table 4."""
TO_YUV = {"bt709": Colorspace.ITU709, "bt601": Colorspace.ITU601}  # as far as ffmpeg has it
_HDR = {16: "PQ", 18: "HLG"}
_ORIENTATIONS = {
    (1, 0, 0, 1): 1,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}
"""EXIF's number of what a display matrix does, by the signs of its a, b, c and d: x and y become ax + cy, bx + dy."""


SAFE = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,matroska,avi,mpeg,mpegvideo,mpegts,flv,ogg,asf,dv,mxf,nut,rm,ivf,h264,hevc,m4v,gif,apng",
}
"""Only films are opened, by ffmpeg's names: its playlists would read whatever file or address they name."""


class Frame(NamedTuple):
    """A frame on its way: its time, in the film's units, its grey plane, and its own planes where colours are mixed."""

    time: float  # seconds since the film began
    pts: int
    duration: int
    grey: np.ndarray
    small: np.ndarray  # upright, as the network sees it
    own: Planes | None


@dataclass(frozen=True)
class About:
    """What is known of a film before it is decoded, and how its frames are stored."""

    width: int
    height: int
    aspect: Fraction  # of a pixel
    format: str  # pixel format in which frames are taken, and written
    light: Light
    tags: tuple[int, int]  # colour primaries and transfer curve: ITU-T H.273
    time_base: Fraction
    rate: Fraction  # frames a second, in the mean
    begin: int  # the first frame's time, in units of `time_base`
    seconds: float
    matrix: tuple[int, ...] | None  # of its display, as ISO/IEC 14496-12, 6.2.2 has it: what makes frames upright
    shown: tuple[int, int]  # height and width of what is stored; films that are written have even sides
    top_first: bool | None  # the order of an interlaced film's fields; None: it is not interlaced
    notes: list[str] = field(default_factory=list)

    @property
    def frames(self) -> int:
        """About how many frames there are."""
        return max(1, round(self.seconds * self.rate))

    def deinterlaced(self) -> "About":
        """The same film with whole frames."""
        return replace(self, top_first=None)

    @property
    def chroma(self) -> tuple[int, int]:
        """Height and width of the planes of chroma."""
        across, down = {"0": (2, 2), "2": (2, 1), "4": (1, 1)}[self.format[5]]
        return self.height // down, self.width // across

    @property
    def orientation(self) -> int:
        """What makes a stored frame upright, by EXIF's numbers; from 5 on, width and height change places."""
        a, b, _, c, d = self.matrix[:5] if self.matrix else IDENTITY
        return _ORIENTATIONS.get(tuple((value > HALF) - (value < -HALF) for value in (a, b, c, d)), 1)

    def upright(self, plane: np.ndarray) -> np.ndarray:
        """A stored plane `(h, w, ...)` as it is shown."""
        return TURNS[self.orientation](plane)

    def stored(self, plane: np.ndarray) -> np.ndarray:
        """An upright plane `(h, w, ...)` as the film stores it."""
        return TURNS[{8: 6, 6: 8}.get(self.orientation, self.orientation)](plane)


def open_film(path: Path) -> "av.container.InputContainer":
    """A film, opened. Raises UnreadablePhoto, with the reason."""
    try:
        container = av.open(str(path), metadata_errors="replace", options=SAFE)
    except FileNotFoundError:
        raise UnreadablePhoto(path, "there is no such file") from None
    except PermissionError:
        raise UnreadablePhoto(path, "can't be read: check its permissions") from None
    except (av.FFmpegError, ValueError) as error:
        raise UnreadablePhoto(path, f"is not a film, or damaged at its beginning ({_words(error)})") from None
    if picture_of(container) is None:
        container.close()
        raise UnreadablePhoto(path, "has no pictures, only sound or other things: give a film")
    return container


def picture_of(container: "av.container.Container") -> "av.VideoStream | None":
    """The stream with the film's pictures; a cover is none."""
    cover = av.stream.Disposition.attached_pic
    return next((stream for stream in container.streams.video if not stream.disposition & cover), None)


def look_at(path: Path, formats: tuple[str, ...]) -> About:
    """What a film is like, by its first frame; `formats` are the pixel formats that can be written.

    Raises UnreadablePhoto for what is no film, and for one that can't be coloured.
    """
    with closing(open_film(path)) as container:
        stream = picture_of(container)
        _check_size(path, stream.codec_context.width, stream.codec_context.height)
        first = next(_decoded(container, stream, []), None)
        if first is None:
            raise UnreadablePhoto(path, "has no frame that can be decoded")
        _check_size(path, first.width, first.height)
        if first.color_trc in _HDR:
            wrong = f"is an HDR film ({_HDR[first.color_trc]}), whose light would come out wrong"
            raise UnreadablePhoto(path, f"{wrong}: convert it to SDR first")
        notes = []
        has_alpha = stream.metadata.get("alpha_mode") == "1"  # of VP8 and VP9, whose decoders leave it out
        format, light = _stored(first, stream.codec_context.name, formats, notes, has_alpha)
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        if not 0 < rate <= 1000:
            rate = Fraction(25)
        duration = stream.duration * stream.time_base if stream.duration else (container.duration or 0) / av.time_base
        if not duration and stream.frames:
            duration = stream.frames / rate
        width, height = first.width + first.width % 2, first.height + first.height % 2
        if (width, height) != (first.width, first.height):
            notes.append(f"{first.width} x {first.height} pixels became {width} x {height}: films have even sides")
        order = stream.codec_context.field_order
        top_first = order not in (3, 5) if first.interlaced_frame or order in (2, 3, 4, 5) else None
        return About(
            width,
            height,
            stream.sample_aspect_ratio or Fraction(1),
            format,
            light,
            (first.color_primaries, first.color_trc),
            stream.time_base,
            rate,
            stream.start_time or 0,
            float(duration),
            _matrix_of(first),
            (first.height, first.width),
            top_first,
            notes,
        )


def _matrix_of(frame: av.VideoFrame) -> tuple[int, ...] | None:
    """The display matrix of a frame; None for none that changes anything."""
    for side in frame.side_data:
        if side.type == av.sidedata.sidedata.Type.DISPLAYMATRIX:
            matrix = tuple(np.frombuffer(side, "i4", 9).tolist())
            return None if matrix[:2] + matrix[3:5] == IDENTITY[:2] + IDENTITY[3:] else matrix
    return None


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise UnreadablePhoto(
            path, f"has frames of {width:,} x {height:,} pixels, too large to colour: make it smaller first"
        )
    if 0 < min(width, height) < LEAST_SIDE:
        raise UnreadablePhoto(path, f"has frames of {width} x {height} pixels, too small to show anything")


def _stored(
    frame: av.VideoFrame, codec: str, formats: tuple[str, ...], notes: list[str], has_alpha: bool
) -> tuple[str, Light]:
    """The pixel format in which frames are taken and written, and how it stores light."""
    kind = frame.format
    is_rgb, is_grey = kind.is_rgb or kind.has_palette, len(kind.components) < 3
    sampling = "420"
    if not is_rgb and not is_grey:
        across, down = 64 // kind.chroma_width(64), 64 // kind.chroma_height(64)
        sampling = {(1, 1): "444", (2, 1): "422"}.get((across, down), "420")
    deepest = max(part.bits for part in kind.components)
    if deepest > 10:
        notes.append(f"{deepest} bits reduced to 10")
    if len(kind.components) in (2, 4) or has_alpha:
        notes.append("transparency left out")
    depth = "10le" if deepest > 8 else ""
    choices = (f"yuv{sampling}p{depth}", f"yuv420p{depth}", f"yuv{sampling}p", "yuv420p")
    format = next(each for each in choices if each in formats)
    if depth and not format.endswith(depth):
        notes.append("10 bits reduced to 8: this codec can't hold more, --codec h264 and hevc can")
    is_hd = frame.width >= HD[0] or frame.height > HD[1]
    matrix = _MATRICES.get(0 if is_rgb else frame.colorspace, "bt709" if is_hd else "bt601")
    full = frame.color_range == 2 or kind.name.startswith("yuvj")
    if is_grey and frame.color_range == 0:  # as ffmpeg has it, but for codecs of films
        full = codec not in ("h264", "hevc", "av1", "vp9")
    return format, Light(matrix, full and not is_rgb, 10 if format.endswith("10le") else 8)


def read_frames(
    path: Path,
    about: About,
    small: tuple[int, int],
    keep_own: bool = False,
    deinterlace: bool = False,
    after: int | None = None,
    wind: bool = False,
) -> Iterator[Frame]:
    """The frames of a film in their order; with `after`, from that time on. To `wind` there is faster than to read all.

    `small` is the upright size, height and width, at which the network sees them. Where the file is damaged, what can
    be decoded comes, and `about.notes` says so.
    """
    damaged: list[str] = []
    with closing(open_film(path)) as container:
        stream = picture_of(container)
        if wind:  # a little further back: a frame's neighbours play a part in deinterlacing
            container.seek(max(after - round(2 / stream.time_base), stream.start_time or 0), stream=stream)
        frames = _decoded(container, stream, damaged)
        frames = _deinterlaced(frames, stream) if deinterlace else frames
        step = max(1, round(1 / (about.rate * about.time_base)))
        end = last = None
        for frame in frames:
            pts = frame.pts
            if pts is None or (last is not None and pts <= last):
                pts = 0 if last is None else last + (step if pts is None else 1)
            last, end = pts, pts + (frame.duration or step)
            if after is None or pts >= after:
                yield _taken(frame, pts, frame.duration or step, about, small, keep_own)
    if damaged:
        places = f"{len(damaged):,} place{'s' * (len(damaged) > 1)}"
        about.notes.append(f"damaged in {places} ({damaged[0]}): what can be decoded was coloured")
    reached = 0.0 if end is None else float((end - about.begin) * about.time_base)
    if about.seconds - reached > max(1.0, 0.02 * about.seconds):
        about.notes.append(f"ends after {reached:.1f} of {about.seconds:.1f} s: the rest is missing")


def _decoded(container, stream, damaged: list[str]) -> Iterator[av.VideoFrame]:
    """All frames that can be decoded; `damaged` gets a line for each place where that is not so."""
    stream.thread_type, stream.thread_count = "AUTO", cores()
    packets = container.demux(stream)
    while True:
        packet = None
        try:
            packet = next(packets)
            frames = packet.decode()
        except (StopIteration, av.error.EOFError):
            return
        except av.FFmpegError as error:
            damaged.append(_words(error))
            if packet is None:  # what is left of the file can't be read
                return
            continue
        for frame in frames:
            if frame.is_corrupt:
                damaged.append("a frame is incomplete")
            yield frame


def _words(error: Exception) -> str:
    return one_line(getattr(error, "strerror", None) or error)


def _deinterlaced(frames: Iterator[av.VideoFrame], stream) -> Iterator[av.VideoFrame]:
    """A frame for each frame, without the comb of its two fields: ffmpeg's bwdif."""
    graph = None
    for frame in frames:
        if graph is None:
            graph = av.filter.Graph()
            source = graph.add_buffer(template=stream, time_base=frame.time_base)
            graph.link_nodes(source, graph.add("bwdif", "mode=send_frame"), graph.add("buffersink")).configure()
        yield from _through(graph, frame)
    if graph is not None:
        yield from _through(graph, None)


def _through(graph: "av.filter.Graph", frame: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
    graph.vpush(frame)
    while True:
        try:
            done = graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        done.pts //= 2  # the filter counts fields
        yield done


def _taken(
    frame: av.VideoFrame, pts: int, duration: int, about: About, small: tuple[int, int], keep_own: bool
) -> Frame:
    planes = _planes(frame, about)
    grey = about.light.grey(planes)
    height, width = small if about.orientation < 5 else small[::-1]
    seen = about.upright(about.light.small(grey, height, width))
    time, own = float((pts - about.begin) * about.time_base), planes if keep_own else None
    return Frame(time, pts, duration, grey, np.ascontiguousarray(seen), own)


def _planes(frame: av.VideoFrame, about: About) -> Planes:
    """A frame's own planes, in the format of the film, as they are stored wherever that can be."""
    kind, (height, width) = frame.format, about.shown
    is_rgb, is_grey = kind.is_rgb or kind.has_palette, len(kind.components) < 3
    is_same_size = (frame.height, frame.width) == (height, width)
    if is_grey and is_same_size:
        bits, depth = kind.components[0].bits, about.light.bits
        luma = _plane(frame, 0, "u2" if bits > 8 else "u1", height, width)[:, :: len(kind.components)]
        luma = luma >> (bits - depth) if bits > depth else luma
        luma = _padded(luma.astype(np.uint16 if depth > 8 else np.uint8), (about.height, about.width))
        return Planes(luma, *(np.full(about.chroma, 1 << (depth - 1), luma.dtype) for _ in "br"))
    if not is_same_size or kind.name.replace("yuvj", "yuv") != about.format:
        ranged = av.video.reformatter.ColorRange.JPEG if about.light.full else av.video.reformatter.ColorRange.MPEG
        to = {"dst_colorspace": TO_YUV[about.light.matrix]} if is_rgb else {"src_color_range": ranged}
        frame = frame.reformat(width, height, about.format, dst_color_range=ranged, **to)
    dtype = "u2" if about.light.bits > 8 else "u1"
    down, across = about.height // about.chroma[0], about.width // about.chroma[1]
    sizes = [(height, width), *[(-(-height // down), -(-width // across))] * 2]
    parts = (_plane(frame, i, dtype, *size) for i, size in enumerate(sizes))
    shapes = [(about.height, about.width), about.chroma, about.chroma]
    return Planes(*(_padded(part, shape) for part, shape in zip(parts, shapes, strict=True)))


def _plane(frame: av.VideoFrame, number: int, dtype: str, height: int, width: int) -> np.ndarray:
    plane = frame.planes[number]
    samples = np.frombuffer(plane, dtype).reshape(plane.height, -1)
    across = len(frame.format.components) if number == 0 and len(frame.format.components) == 2 else 1
    return samples[:height, : width * across]


def _padded(plane: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A copy of a plane, which no longer holds its frame, with its last row and column again where films need it."""
    more = [(0, want - have) for want, have in zip(shape, plane.shape, strict=True)]
    return np.pad(plane, more, mode="edge") if any(map(any, more)) else plane.copy()
