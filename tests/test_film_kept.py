"""What a film says of itself stays: XMP, tags, how it is mirrored; what can't stay is said. No other file is opened."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")

from film_files import greys, write_clip
from test_film import by_light, colored

from fastcolor.errors import UnreadablePhoto
from fastcolor.film.frames import HowFilm, Network
from fastcolor.film.read import open_film
from fastcolor.film.watch import look_through
from fastcolor.film.write import XMP_BOX
from fastcolor.photo.boxes import film_xmp
from fastcolor.photo.xmp import Mark

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:source>attic</dc:source>'
    b"</rdf:Description></rdf:RDF></x:xmpmeta>"
)
MARKED = HowFilm(mark=Mark("fastcolor", "1"))


def box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content


def xmp_of(path: Path) -> bytes | None:
    with open(path, "rb") as file:
        return film_xmp(file)


@pytest.mark.parametrize("how", [MARKED, HowFilm()])
@pytest.mark.parametrize("where", ["uuid", "udta"])
def test_xmp_stays_beside_the_mark(how, where, tmp_path):
    old = write_clip(tmp_path / "old.mp4", greys(2))
    told = box(b"uuid", XMP_BOX + XMP) if where == "uuid" else box(b"moov", box(b"udta", box(b"XMP_", XMP)))
    old.write_bytes(old.read_bytes() + told)
    colored(old, tmp_path / "new.mp4", how)
    kept = xmp_of(tmp_path / "new.mp4")
    assert b"<dc:source>attic</dc:source>" in kept
    assert (b"AISystemUsed>fastcolor<" in kept) == (how is MARKED)
    assert "XMP left out: only MP4 and MOV hold it" in colored(old, tmp_path / "new.mkv", how).notes


def test_cameras_own_tags_stay_and_lost_ones_are_said(tmp_path):
    apple = {"com.apple.quicktime.make": "Apple", "com.apple.quicktime.creationdate": "2021-05-01T10:00:00+0200"}
    with av.open(str(tmp_path / "old.mov"), "w", options={"movflags": "+use_metadata_tags"}) as film:
        stream = film.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 80, "yuv420p"
        film.metadata.update(apple)
        for frame in greys(2):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        film.mux(stream.encode(None))
    for suffix in (".mov", ".mp4", ".mkv"):
        assert colored(tmp_path / "old.mov", tmp_path / f"new{suffix}", MARKED).notes == []
        with av.open(str(tmp_path / f"new{suffix}")) as film:
            told = {name.lower(): value for name, value in film.metadata.items()}
        assert apple.items() <= told.items()
    old = write_clip(tmp_path / "old.mkv", greys(2), tags={"title": "Beach", "mood": "sunny"})
    notes = colored(old, tmp_path / "other.mp4").notes
    assert notes == ["tags left out, which the container can't hold: MOOD"]


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_mirrored_films_stay_so_and_the_network_sees_them_as_they_are_shown(degrees, tmp_path):
    with av.open(str(tmp_path / "old.mov"), "w") as film:
        stream = film.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 80, "yuv420p"
        stream.set_display_rotation(degrees, hflip=True)
        for frame in greys(2):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        film.mux(stream.encode(None))
    seen = []
    network = Network(lambda grey, points: seen.append(grey) or by_light(grey, points), lambda h, w: (h, w))
    assert colored(tmp_path / "old.mov", tmp_path / "new.mov", network=network).notes == []
    shown = [
        np.rot90(frame[..., 0], degrees // 90)[:, ::-1].astype(float) for frame in greys(2)
    ]  # turned, then mirrored
    assert np.abs(seen[0] - shown[0]).mean() < 6
    assert np.abs(look_through(tmp_path / "old.mov", 1).stills[0][..., 1] - shown[1]).mean() < 10
    assert matrix_of(tmp_path / "new.mov") == matrix_of(tmp_path / "old.mov") != []
    notes = colored(tmp_path / "old.mov", tmp_path / "new.mkv").notes
    assert notes == ["mirrored: that is left out, only MP4 and MOV hold it"]


def matrix_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as film:
        frame = next(film.decode(video=0))
        return [bytes(side) for side in frame.side_data if side.type == av.sidedata.sidedata.Type.DISPLAYMATRIX]


def test_transparency_that_is_left_out_is_said(tmp_path):
    old = write_clip(tmp_path / "old.webm", greys(2), "libvpx-vp9", "yuva420p")
    assert colored(old, tmp_path / "new.webm").notes == ["transparency left out"]


@pytest.mark.parametrize("text", [
    "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile '{}'\n",
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
])  # fmt: skip
def test_a_playlist_opens_no_other_file(text, tmp_path):
    other = write_clip(tmp_path / "secret.mp4", greys(2))
    (tmp_path / "list.mp4").write_text(text.format(other))
    with pytest.raises(UnreadablePhoto, match="is not a film"):
        open_film(tmp_path / "list.mp4")


MEASURED = """
import resource, sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from test_film import colored
made = colored(Path(sys.argv[1]), Path(sys.argv[2]))
print(made.frames, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is measured as Linux tells it")
def test_memory_does_not_grow_with_the_film(tmp_path):
    """With a network that takes no room. In the film a camera moves, and there is a cut every two seconds."""
    scenes = [[frame.repeat(3, axis=0) for frame in greys(50, seed, 320)] for seed in (20, 4)]
    used = {}
    for seconds in (4, 40):
        frames = (scenes[0] + scenes[1]) * (seconds // 4)
        old = write_clip(tmp_path / f"{seconds}.mp4", frames, sound=True)
        command = [sys.executable, "-c", MEASURED, old, tmp_path / f"new{seconds}.mp4", Path(__file__).parent]
        done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
        count, kilobytes = done.stdout.split()[-2:]
        assert int(count) == 25 * seconds
        used[seconds] = int(kilobytes) / 1000
    assert used[40] - used[4] < 40, used  # MB: as greys alone, the frames that the longer one has more would take 69
