"""Films: in and out as they are, but for their colours; resumed to the same frames; bad ones refused in a sentence."""

import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

av = pytest.importorskip("av")

from film_files import decoded, greys, packets, times, write_clip

from fastcolor.cli import run_command
from fastcolor.color.cie import lightness_of, lightness_of_root, luminance_of, root_of
from fastcolor.colorize import folder
from fastcolor.errors import UnreadablePhoto, UserError
from fastcolor.film import make, pictures
from fastcolor.film.frames import HowFilm, Network
from fastcolor.film.kinds import are_all_there
from fastcolor.photo.xmp import Mark
from fastcolor.scenes.clips import draw_clip

DEFAULT, LOSSLESS = HowFilm(), HowFilm("ffv1")
CHAPTERS = [
    {"id": 1, "start": 0, "end": 400, "time_base": Fraction(1, 1000), "metadata": {"title": "Morning"}},
    {"id": 2, "start": 400, "end": 800, "time_base": Fraction(1, 1000), "metadata": {"title": "Noon"}},
]
VARIABLE = np.cumsum([0] + [1001, 3003, 500, 60, 1001] * 3).tolist()


def by_light(grey: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Colours of all hues, that follow the light: bright is yellow, dark is blue, red to the right."""
    across = np.broadcast_to(np.linspace(-30, 30, grey.shape[1], dtype=np.float32), grey.shape)
    return np.stack([across, (grey.astype(np.float32) - 128) / 3], axis=-1)


NETWORK = Network(by_light, lambda height, width: (48, max(1, round(48 * width / height))))


def colored(source: Path, target: Path, how: HowFilm = DEFAULT, network: Network = NETWORK):
    return make.color_job(source, target, network, how)


def light(rgb: np.ndarray) -> np.ndarray:
    return lightness_of_root(root_of(luminance_of(rgb)))


def colorize(*argv) -> int:
    return run_command(folder.main, [str(word) for word in argv], prog="fastcolor colorize")


@pytest.mark.parametrize("suffix, base", [(".mp4", 30000), (".mov", 30000), (".mkv", 1000)])
def test_times_sound_chapters_and_tags_stay(suffix, base, tmp_path):
    pts = [round(time * base / 30000) for time in VARIABLE]
    given = {"sound": True, "chapters": CHAPTERS, "tags": {"title": "Holiday", "comment": "by us"}}
    old = write_clip(tmp_path / f"old{suffix}", greys(16), pts=pts, time_base=Fraction(1, base), **given)
    made = colored(old, new := tmp_path / f"new{suffix}")
    assert (made.frames, made.notes) == (16, [])
    assert times(new) == times(old)
    assert packets(new, "audio") == packets(old, "audio")
    with av.open(str(new)) as film:
        assert [(each["metadata"]["title"], each["start"] * each["time_base"]) for each in film.chapters()] == [
            ("Morning", 0),
            ("Noon", Fraction(2, 5)),
        ]
        tags = {name.lower(): value for name, value in film.metadata.items()}
        assert (tags["title"], tags["comment"]) == ("Holiday", "by us")


@pytest.mark.parametrize("matrix", [1, 5])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("format", ["yuv420p", "yuv444p", "yuv420p10le"])
def test_light_stays_in_all_matrices_ranges_and_depths(matrix, full, format, tmp_path):
    old = write_clip(tmp_path / "old.mkv", greys(3), "ffv1", format, matrix=matrix, full=full)
    colored(old, new := tmp_path / "new.mkv", LOSSLESS)
    with av.open(str(new)) as film:
        context = film.streams.video[0].codec_context
        assert (context.pix_fmt, context.color_range) == (format, 2 if full else 1)
        assert context.colorspace == (1 if matrix == 1 else 6)
    for before, after in zip(decoded(old), decoded(new), strict=True):
        assert np.abs(light(after) - light(before)).mean() < 0.5
        assert np.ptp(after.astype(int), axis=2).mean() > 3000  # of 65,535


def test_a_film_in_colour_keeps_its_light_too(tmp_path):
    frames = [np.asarray(image) for image in draw_clip(3, 3, 96)]
    old = write_clip(tmp_path / "old.mkv", frames, "ffv1", "yuv444p", matrix=1)
    colored(old, new := tmp_path / "new.mkv", LOSSLESS)
    for before, after in zip(decoded(old), decoded(new), strict=True):
        assert np.abs(light(after) - light(before)).mean() < 0.5


def test_light_stays_in_a_near_lossless_h264_film(tmp_path):
    old = write_clip(tmp_path / "old.mp4", greys(12), options={"crf": "1"})
    colored(old, new := tmp_path / "new.mp4", HowFilm(crf=1))
    for before, after in zip(decoded(old), decoded(new), strict=True):
        assert np.abs(light(after) - light(before)).mean() < 1


def test_strength_mixes_old_and_new_colours(tmp_path):
    frames = [np.asarray(image) for image in draw_clip(3, 2, 96)]
    old = write_clip(tmp_path / "old.mkv", frames, "ffv1", "yuv444p", matrix=1)
    colored(old, new := tmp_path / "new.mkv", HowFilm("ffv1", strength=0.0))
    assert np.abs(decoded(new)[0].astype(int) - decoded(old)[0]).mean() < 0.01 * 65535


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_the_network_sees_an_upright_film_and_its_rotation_stays(rotation, tmp_path):
    old = write_clip(tmp_path / "old.mov", greys(4), rotation=rotation)
    seen = []
    network = Network(lambda grey, points: seen.append(grey) or by_light(grey, points), NETWORK.size)
    colored(old, new := tmp_path / "new.mov", network=network)
    upright = np.rot90(greys(4)[0][..., 0], rotation // 90)
    assert seen[0].shape == NETWORK.size(*upright.shape)
    small = np.asarray(Image.fromarray(upright).resize(seen[0].shape[::-1], Image.Resampling.BOX), float)
    assert np.abs(small - seen[0]).mean() < 6
    with av.open(str(new)) as film:
        frame = next(film.decode(video=0))
        assert frame.rotation % 360 == rotation
    shown = np.rot90(decoded(new)[0].astype(float), rotation // 90)
    redness = (shown[..., 0] - shown[..., 1]).mean(axis=0)
    assert redness[-10:].mean() > redness[:10].mean() + 3000  # red to the right, as it is shown


def test_pixels_that_are_not_square_stay_so(tmp_path):
    old = write_clip(tmp_path / "old.mp4", greys(4), aspect=Fraction(16, 11))
    seen = []
    network = Network(lambda grey, points: seen.append(grey.shape) or by_light(grey, points), NETWORK.size)
    colored(old, new := tmp_path / "new.mp4", network=network)
    assert seen[0] == NETWORK.size(80, round(96 * 16 / 11))
    with av.open(str(new)) as film:
        assert film.streams.video[0].sample_aspect_ratio == Fraction(16, 11)


def test_interlaced_films_are_told_and_put_together_if_asked(tmp_path):
    moving = greys(8)
    old = write_clip(tmp_path / "old.mkv", moving, options={"x264-params": "tff=1"})
    assert "interlaced: it stays so without --deinterlace" in colored(old, tmp_path / "as.mkv").notes
    made = colored(old, new := tmp_path / "new.mkv", HowFilm(deinterlace=True))
    assert "interlaced: its two fields were put together" in made.notes
    assert times(new) == times(old)
    for path, is_interlaced in ((tmp_path / "as.mkv", True), (new, False)):
        with av.open(str(path)) as film:
            assert next(film.decode(video=0)).interlaced_frame is is_interlaced


@pytest.mark.parametrize("name, codec, format", [
    ("old.avi", "mpeg4", "yuv420p"), ("old.mpg", "mpeg2video", "yuv420p"), ("old.webm", "libvpx-vp9", "yuv420p"),
    ("old.mov", "prores_ks", "yuv422p10le"), ("old.mkv", "ffv1", "gray"), ("old.mkv", "ffv1", "bgr0"),
])  # fmt: skip
def test_films_of_many_kinds_are_read(name, codec, format, tmp_path, capsys):
    old = write_clip(tmp_path / name, greys(4), codec, format, sound=name != "old.mov")
    frames, sound = times(old), name != "old.mov" and [data for _, data in packets(old, "audio")]
    target = tmp_path / "out" / {"old.avi": "old.mp4", "old.mpg": "old.mp4"}.get(name, name)
    assert colorize(old, "-o", tmp_path / "out", "--size", 32) == 0, capsys.readouterr().err
    gaps = [later - frames[0] for later in frames]
    assert [later - times(target)[0] for later in times(target)] == gaps
    if sound:
        assert [data for _, data in packets(target, "audio")] == sound
    for before, after in zip(decoded(old), decoded(target), strict=True):
        assert np.abs(light(after) - light(before)).mean() < 1.5


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_film_says_that_a_machine_coloured_it(suffix, tmp_path):
    old = write_clip(tmp_path / f"old{suffix}", greys(2))
    colored(old, new := tmp_path / f"new{suffix}", HowFilm(mark=Mark("fastcolor", "fastcolor 1, weights x")))
    assert b"compositeWithTrainedAlgorithmicMedia" in new.read_bytes()
    assert b"fastcolor 1, weights x" in new.read_bytes()
    assert len(times(new)) == 2


class Killed(BaseException):
    pass


@pytest.mark.parametrize("suffix, codec", [(".mp4", "libx264"), (".avi", "mpeg4")])
def test_a_stopped_film_goes_on_to_the_same_frames(suffix, codec, tmp_path, monkeypatch):
    monkeypatch.setattr(make, "PIECE", 10)
    old = write_clip(tmp_path / f"old{suffix}", greys(50) + greys(20, 4), codec, sound=True)
    colored(old, whole := tmp_path / "whole.mp4")
    new = tmp_path / "new.mp4"
    for calls in (4, 3):
        left = [calls]

        def paint(grey, points, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return by_light(grey, points)

        with pytest.raises(Killed):
            colored(old, new, network=Network(paint, NETWORK.size))
        assert not new.exists()
        assert list((tmp_path / ".part-new.mp4").glob("*.npz"))
    seen = []
    colored(old, new, network=Network(lambda grey, points: seen.append(1) or by_light(grey, points), NETWORK.size))
    assert packets(new, "video") == packets(whole, "video")
    assert packets(new, "audio") == packets(whole, "audio")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([old.name, "whole.mp4", "new.mp4"])


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from test_film import NETWORK, Network, by_light, colored, make
make.PIECE = 10
calls = []
def paint(grey, points):
    calls.append(1)
    if len(calls) > 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return by_light(grey, points)
colored(Path(sys.argv[1]), Path(sys.argv[2]), network=Network(paint, NETWORK.size))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_a_killed_film_goes_on_to_the_same_frames(tmp_path, monkeypatch):
    old = write_clip(tmp_path / "old.mp4", greys(60))
    command = [sys.executable, "-c", KILLED, old, tmp_path / "new.mp4", Path(__file__).parent]
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert list((tmp_path / ".part-new.mp4").glob("*.npz"))
    monkeypatch.setattr(make, "PIECE", 10)
    colored(old, tmp_path / "new.mp4")
    colored(old, tmp_path / "whole.mp4")
    assert packets(tmp_path / "new.mp4", "video") == packets(tmp_path / "whole.mp4", "video")


def test_pieces_of_other_settings_and_damaged_ones_are_not_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.setattr(make, "PIECE", 10)
    old = write_clip(tmp_path / "old.mp4", greys(50))

    def stopped(how):
        calls = []

        def paint(grey, points):
            calls.append(1)
            if len(calls) > 4:
                raise Killed
            return by_light(grey, points)

        with pytest.raises(Killed):
            colored(old, tmp_path / "new.mp4", how, Network(paint, NETWORK.size))

    stopped(HowFilm(crf=30))
    (piece,) = sorted((tmp_path / ".part-new.mp4").glob("*.npz"))[:1]
    stopped(HowFilm())
    piece.write_bytes(piece.read_bytes()[:1000])
    colored(old, tmp_path / "new.mp4")
    colored(old, tmp_path / "whole.mp4")
    assert packets(tmp_path / "new.mp4", "video") == packets(tmp_path / "whole.mp4", "video")


def test_a_text_named_mp4_is_refused(tmp_path, capsys):
    (tmp_path / "film.mp4").write_text("no film\n" * 100)
    assert colorize(tmp_path / "film.mp4", "-o", tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert "film.mp4: is not a film, or damaged at its beginning" in said
    assert "Traceback" not in said
    assert list(tmp_path.rglob("*.*")) == [tmp_path / "film.mp4"]


def test_a_film_without_pictures_is_refused(tmp_path):
    with av.open(str(tmp_path / "sound.mp4"), "w") as film:
        stream = film.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.float32), "fltp", "mono")
        frame.sample_rate = 48000
        film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
    with pytest.raises(UnreadablePhoto, match="has no pictures, only sound"):
        colored(tmp_path / "sound.mp4", tmp_path / "new.mp4")


def test_a_missing_film_is_refused(tmp_path):
    with pytest.raises(UnreadablePhoto, match="there is no such file"):
        colored(tmp_path / "film.mp4", tmp_path / "new.mp4")


def test_of_a_truncated_film_what_there_is_is_coloured_and_said(tmp_path):
    old = write_clip(tmp_path / "old.mkv", greys(75), options={"g": "5"})
    data = old.read_bytes()
    old.write_bytes(data[: len(data) * 2 // 3])
    made = colored(old, new := tmp_path / "new.mkv")
    assert 25 < made.frames < 75
    assert len(times(new)) == made.frames


def test_damaged_packets_are_left_out_and_said(tmp_path):
    old = write_clip(tmp_path / "old.mp4", greys(40), options={"g": "5", "crf": "10"})
    data = bytearray(old.read_bytes())
    begin = data.index(b"mdat")
    for at in range(begin + 5000, begin + 5000 + 4000, 7):
        data[at] ^= 0xFF
    old.write_bytes(data)
    made = colored(old, new := tmp_path / "new.mp4")
    assert any("damaged in" in note for note in made.notes)
    assert len(times(new)) == made.frames > 15


@pytest.mark.parametrize("argv, said", [
    (("--codec", "divx"), "--codec divx is unknown"),
    (("--crf", "99"), "--crf must be from 0 to 51, not 99"),
    (("--codec", "ffv1", "--crf", "3"), "--crf is not for --codec ffv1"),
])  # fmt: skip
def test_flags_of_films_are_checked(argv, said, tmp_path, capsys):
    assert colorize("film.mp4", "-o", tmp_path, *argv) == 2
    assert said in capsys.readouterr().err


def test_a_container_that_can_not_hold_the_codec_is_said(tmp_path):
    old = write_clip(tmp_path / "old.mp4", greys(2))
    with pytest.raises(UserError, match="can't hold h264: choose --codec vp9 or av1"):
        colored(old, tmp_path / "new.webm", HowFilm("h264"))


def test_a_missing_package_is_said_in_a_sentence(tmp_path, capsys, monkeypatch):
    old = write_clip(tmp_path / "old.mp4", greys(2))
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert colorize(old, "-o", tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert "colouring films needs cv2: run `pip install av opencv-python-headless`" in said


def test_photos_and_films_of_a_folder_are_coloured_and_skipped_the_second_time(tmp_path, capsys):
    album = tmp_path / "album"
    album.mkdir()
    write_clip(album / "film.mp4", greys(3))
    Image.fromarray(greys(1)[0]).save(album / "photo.png")
    for said in ("2 coloured", "0 coloured, 2 skipped: already done"):
        assert colorize(album, "-o", tmp_path / "out", "--size", 32) == 0
        assert said in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".fastcolor.jsonl", "film.mp4", "photo.png"]


def test_one_film_into_a_named_file(tmp_path):
    old = write_clip(tmp_path / "old.mp4", greys(3))
    assert colorize(old, "-o", tmp_path / "new.mkv", "--size", 32) == 0
    assert len(times(tmp_path / "new.mkv")) == 3


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
def test_moving_pictures_move_again(suffix, tmp_path):
    images = [Image.fromarray(frame) for frame in greys(5)]
    shown = [100, 40, 200, 40, 70]
    images[0].save(old := tmp_path / f"old{suffix}", save_all=True, append_images=images[1:], duration=shown, loop=0)
    assert colorize(old, "-o", tmp_path / "out", "--size", 32) == 0
    with Image.open(tmp_path / "out" / old.name) as new:
        assert new.n_frames == 5
        found = [(np.asarray(frame.convert("RGB")), frame.info["duration"]) for frame in ImageSequence.Iterator(new)]
    assert [round(each) for _, each in found] == shown
    for before, (after, _) in zip(greys(5), found, strict=True):
        assert np.abs(light(after) - lightness_of(before[..., 0])).mean() < 3


def test_numbered_frames_are_coloured_in_their_order_under_their_names(tmp_path, capsys):
    frames = tmp_path / "frames"
    frames.mkdir()
    for number, frame in enumerate(greys(12), 1):
        Image.fromarray(frame[..., 0]).save(frames / f"shot{number}.png")
    assert colorize(frames, "-o", tmp_path / "out", "--frames", "--size", 32) == 0
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert made == sorted(f"shot{number}.png" for number in range(1, 13))
    for number, frame in enumerate(greys(12), 1):
        after = np.asarray(Image.open(tmp_path / "out" / f"shot{number}.png"))
        assert np.abs(light(after) - lightness_of(frame[..., 0])).mean() < 0.5
        assert np.ptp(after.astype(int), axis=2).mean() > 1


def test_stopped_frames_go_on_to_the_same_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "PIECE", 5)
    (tmp_path / "frames").mkdir()
    for number, frame in enumerate(greys(60)):
        Image.fromarray(frame[..., 0]).save(tmp_path / "frames" / f"{number}.png")
    colored(tmp_path / "frames", tmp_path / "whole")
    calls = []

    def paint(grey, points):
        calls.append(1)
        if len(calls) > 3:
            raise Killed
        return by_light(grey, points)

    with pytest.raises(Killed):
        colored(tmp_path / "frames", tmp_path / "new", network=Network(paint, NETWORK.size))
    assert 0 < len(list((tmp_path / "new").iterdir())) < 60
    assert not are_all_there(tmp_path / "frames", tmp_path / "new")
    colored(tmp_path / "frames", tmp_path / "new")
    for whole in (tmp_path / "whole").iterdir():
        assert (tmp_path / "new" / whole.name).read_bytes() == whole.read_bytes()
    assert are_all_there(tmp_path / "frames", tmp_path / "new")
    assert not (tmp_path / ".part-new").exists()


def test_two_processes_do_not_work_on_one_film(tmp_path):
    old = write_clip(tmp_path / "old.mp4", greys(3))

    def paint(grey, points):
        with pytest.raises(UserError, match="another process colours into"):
            colored(old, tmp_path / "new.mp4")
        return by_light(grey, points)

    colored(old, tmp_path / "new.mp4", network=Network(paint, NETWORK.size))
    assert os.listdir(tmp_path).count("new.mp4") == 1


def test_hints_of_a_film_that_can_not_be_read_are_said(tmp_path, capsys):
    old = write_clip(tmp_path / "old.mkv", greys(2))
    hint = '{"x": 0, "y": 0, "color": "red", "time": -1}'
    (tmp_path / "old.mkv.hints.json").write_text(f'{{"version": 1, "hints": [{hint}]}}')
    assert colorize(old, "-o", tmp_path / "out") == 1
    assert "a hint's time must be seconds, 0 or more, not -1" in capsys.readouterr().err
