"""Files from elsewhere that mean harm: each is refused in one sentence, in seconds, and nothing in it is ever run.

pytest -m faults tests/faults/test_hostile.py                  # 21,000 files, in about three minutes
FUZZ_SEED=7 pytest -m faults tests/faults/test_hostile.py      # 21,000 others
"""

import io
import json
import os
import pickle
import random
import struct
import tarfile
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import opened, prepared
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from photo_files import exif, mutated, noise, save, whole_files
from PIL import Image
from safetensors.torch import load as deserialized
from safetensors.torch import save as serialized

import fastcolor
from fastcolor import stage1_pretrain_gen
from fastcolor.colorize import export
from fastcolor.colorize.colorizer import Colorizer
from fastcolor.data.cache import MAGIC, open_cache
from fastcolor.errors import UnreadablePhoto, UserError, one_line
from fastcolor.evaluate.photos import painters_of
from fastcolor.networks import pretrained
from fastcolor.networks.checkpoint import checksum, load_network, load_tensors, save_network, save_tensors
from fastcolor.networks.classic import (
    ColorCriticConfig,
    EncoderDecoderConfig,
    PatchGANConfig,
    ResnetConfig,
    SkipUNetConfig,
)
from fastcolor.networks.critics import PatchCriticConfig
from fastcolor.networks.registry import build
from fastcolor.photo.opening import needs_of
from fastcolor.photo.page import Photo
from fastcolor.photo.read import open_photo, read_photo
from fastcolor.photo.write import write_photo
from fastcolor.prep.download import BrokenArchive, unpack
from fastcolor.runs.run import open_run
from fastcolor.training import resume

WEIGHTS, PHOTOS = 8_000, 13_000  # files that the fuzzer tries
SECONDS = 5  # of the processor, for one of them
MEMORY = 2 * 2**30  # bytes that the process may grow by: photos of up to 1.4 GB are read

seeded = settings(
    derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")

GENERATORS = {
    "skip_unet": SkipUNetConfig(depth=4, channels=2),
    "encoder_decoder": EncoderDecoderConfig(channels=2),
    "resnet": ResnetConfig(channels=2, blocks=1),
}
CRITICS = {
    "patchgan": PatchGANConfig(widths=(2, 4)),
    "color_critic": ColorCriticConfig(size=32, channels=2),
    "patch": PatchCriticConfig(channels=2),
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of each kind, by name: tiny generators and critics, a resume state, and one without a checksum."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    for name, config in GENERATORS.items():
        about = {"stage": 1, "size": 32, "keeps_light": name != "resnet"}
        save_network(folder / f"{name}.safetensors", build(config), "generator", **about)
    for name, config in CRITICS.items():
        save_network(folder / f"{name}.safetensors", build(config), "critic", stage=3, size=32)
    state = {"model.a": torch.rand(3, 4), "opt.0.grad_avg": torch.rand(3, 4)}
    about = {"optimizer": [{"step": 3}], "callbacks": {"losses": {"sum": 0.5}}}
    about |= {"epochs": 1, "batches": 0, "pct_train": 0.5}
    save_tensors(folder / "state.safetensors", state, about)
    tensors, metadata = load_tensors(folder / "skip_unet.safetensors", "weights")
    (folder / "old.safetensors").write_bytes(serialized(tensors, {"fastcolor": json.dumps(metadata)}))
    return {path.stem: path.read_bytes() for path in sorted(folder.iterdir())}


def use_weights(path, name):
    """Load a file as what it was made of, and colour with it; gives the sentence with which it is refused, or None."""
    try:
        if name in CRITICS:
            load_network(path, "critic")
        elif name == "state":
            load_tensors(path, "resume state")
        else:
            assert Colorizer(path, device="cpu").pixels(np.full((9, 7), 100, np.uint8)).shape == (9, 7, 3)
    except UserError as error:
        return is_a_sentence(error, path)
    return None


def is_a_sentence(error, path):
    """An error's text, which must be one of those that people are shown."""
    sentence = str(error)
    assert path.name in sentence and sentence.isprintable() and len(sentence) < 600, sentence[:1000]
    return sentence


def framed(header, data):
    """A safetensors file of a header, a dictionary or bytes, and data."""
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + data


def parts(content):
    """Header and data of a safetensors file."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def signed(tensors, metadata):
    """A weights file whose checksum is right."""
    metadata = json.loads(json.dumps({name: value for name, value in metadata.items() if name != "sha256"}))
    return serialized(tensors, {"fastcolor": json.dumps({**metadata, "sha256": checksum(tensors, metadata)})})


# --- what can run code, or hangs


class Bomb:
    """Writes a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def pickles(trace):
    """Files that write `trace` when they are unpickled, by the name of their kind."""
    whole, legacy, array = io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save({"model": Bomb(trace)}, whole)
    torch.save({"model": Bomb(trace)}, legacy, _use_new_zipfile_serialization=False)
    np.save(array, np.array([Bomb(trace)], dtype=object), allow_pickle=True)
    plain = {f"protocol {n}": pickle.dumps(Bomb(trace), protocol=n) for n in range(pickle.HIGHEST_PROTOCOL + 1)}
    return {"torch": whole.getvalue(), "legacy torch": legacy.getvalue(), "numpy": array.getvalue(), **plain}


USES = {
    "predict": lambda path: fastcolor.predict(Image.fromarray(noise()), weights=path),
    "Colorizer": lambda path: Colorizer(str(path)),
    "evaluate --against": lambda path: painters_of(None, str(path)),
    "--pretrained": lambda path: pretrained.load_pretrained(build(GENERATORS["skip_unet"]), str(path)),
    "export": lambda path: export.main(str(path.with_name("out.onnx")), str(path)),
    "critic": lambda path: load_network(path, "critic"),
}


@pytest.mark.parametrize("use", [*USES, "cache"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".onnx"])
def test_no_pickle_is_ever_run_whatever_it_is_given_as(use, suffix, tmp_path):
    trace, path = tmp_path / "trace", tmp_path / f"weights{suffix}"
    for kind, content in pickles(trace).items():
        path.write_bytes(content)
        with pytest.raises(UserError) as caught:
            open_cache(path, 36) if use == "cache" else USES[use](path)
        is_a_sentence(caught.value, path)
        assert not trace.exists(), kind


def test_a_pickle_in_place_of_a_resume_state_is_left_alone(tmp_path, capsys):
    path = tmp_path / "stage1.safetensors"
    for content in pickles(tmp_path / "trace").values():
        path.write_bytes(content)
        assert resume.load_state(path) is None
        assert "stage1.safetensors" in capsys.readouterr().out
        assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("use", USES)
def test_what_is_no_file_is_not_waited_for(use, tmp_path):
    (tmp_path / "folder.safetensors").mkdir()
    os.mkfifo(tmp_path / "pipe.safetensors")
    long = tmp_path / ("x" * 5000)
    nothing = [tmp_path / "folder.safetensors", tmp_path / "pipe.safetensors", Path("/dev/zero"), long, Path("a\0b")]
    for path in [*nothing, long.with_suffix(".onnx"), tmp_path / "\x1b[2J\n.safetensors"]:
        with pytest.raises(UserError) as caught:
            USES[use](path)
        assert str(caught.value).isprintable()


# --- weights


def test_absurd_headers_are_refused_at_once(tmp_path):
    path = tmp_path / "weights.safetensors"
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    most = 2**64 - 1
    contents = {
        "longer than the file": struct.pack("<Q", 1000) + b"{}",
        "longest": struct.pack("<Q", most) + b"{}",
        "a hundred megabytes": framed(b'{"a":"' + b" " * 100_000_000 + b'"}', b""),
        "a million tensors": framed(dict.fromkeys(map(str, range(300_000)), empty), b""),
        "a side too long for torch": framed({"a": {**empty, "shape": [most, 0]}}, b""),
        "deep": framed({"__metadata__": {"fastcolor": "[" * 1_000_000}}, b""),
        "deep objects": framed({"__metadata__": {"fastcolor": '{"a":' * 500_000}}, b""),
        "long number": framed({"__metadata__": {"fastcolor": "9" * 1_000_000}}, b""),
        "no object": framed({"__metadata__": {"fastcolor": "[1]"}}, b""),
        "text as format": framed({"__metadata__": {"fastcolor": '{"format": "1"}'}}, b""),
        "escapes": framed({"a": {**empty, "dtype": "\x1b[2J\n"}}, b""),
        "newer, says a long text": framed(
            {"__metadata__": {"fastcolor": json.dumps({"format": 2, "version": "\x1b\n" * 9999})}}, b""
        ),
    }
    for name, content in contents.items():
        path.write_bytes(content)
        start = time.monotonic()
        with pytest.raises(UserError) as caught:
            load_network(path, "generator")
        is_a_sentence(caught.value, path)
        assert time.monotonic() - start < 2, name


HOSTILE = [
    None, True, False, -1, 0, 1, 7, 2**31, 2**63, 10**400, 0.5, 8.0, float("nan"), float("inf"), "", "lab", "rgb_unit",
    "unet", "resnet", "dynamic_unet", "skip_unet", "x" * 3000, "\x1b[2J\n", "\ud800", "../../etc", [], {}, [[]],
    [1] * 99, {"name": "unet"}, "1e9", "64",
]  # fmt: skip
values = st.recursive(
    st.sampled_from(HOSTILE) | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


def changed(tree, rng, value=None):
    """A copy of what JSON holds, one thing in it taken away, added, or replaced by something hostile."""
    tree = json.loads(json.dumps(tree))
    place = tree
    while isinstance(place, dict) and place:
        key = rng.choice(sorted(place))
        if isinstance(place[key], dict) and place[key] and rng.random() < 0.7:
            place = place[key]
            continue
        match rng.randrange(8):
            case 0:
                del place[key]
            case 1:
                place[rng.choice(["size", "space", "\x1b", "a"])] = place[key]
            case _:
                place[key] = rng.choice(HOSTILE) if value is None else value
        break
    return tree


@pytest.mark.faults
@given(st.data())
@settings(seeded, max_examples=150)
def test_hostile_metadata_with_a_right_checksum_are_refused_in_one_sentence_or_harmless(weights, tmp_path, data):
    name = data.draw(st.sampled_from(sorted({*GENERATORS, *CRITICS})))
    path = tmp_path / "weights.safetensors"
    path.write_bytes(weights[name])
    tensors, metadata = load_tensors(path, "weights")
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    target = data.draw(st.sampled_from([metadata, metadata["config"]]))
    target[data.draw(st.sampled_from([*target, "other"]))] = data.draw(values)
    path.write_bytes(signed(tensors, metadata))
    use_weights(path, name)


@given(
    header=st.binary(max_size=60) | st.dictionaries(st.text(max_size=5), values, max_size=4),
    data=st.binary(max_size=40),
)
@settings(seeded, max_examples=150)
def test_any_header(tmp_path, header, data):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(framed(header, data))
    assert use_weights(path, "skip_unet")


@given(name=st.sampled_from(["skip_unet", "old", "patchgan", "state"]), seed=st.integers(0, 2**32))
@settings(seeded, max_examples=150)
def test_any_change_to_a_weights_file_is_refused_in_one_sentence_or_harmless(weights, tmp_path, name, seed):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(mutated_weights(weights, name, random.Random(seed)))
    use_weights(path, name)


def mutated_weights(weights, name, rng):
    """A weights file, changed byte by byte, in its header, in its metadata or in its tensors."""
    content = weights[name]
    header, data = parts(content)
    metadata = json.loads(header["__metadata__"]["fastcolor"])
    match rng.choice(["bytes", "bytes", "length", "header", "header", "metadata", "metadata", "tensors", "tensors"]):
        case "bytes":
            return mutated(content, weights[rng.choice(sorted(weights))], rng)
        case "length":
            near = len(content) - 8 - len(data) + rng.randint(-9, 9)
            return struct.pack("<Q", rng.choice([0, 1, near, 2**31, 2**32, 2**63, 2**64 - 1])) + content[8:]
        case "header":
            if rng.random() < 0.5:  # or the checksum tells first
                metadata.pop("sha256", None)
                header["__metadata__"]["fastcolor"] = json.dumps(metadata)
            tensor = header[rng.choice(sorted(header.keys() - {"__metadata__"}))]
            match rng.randrange(4):
                case 0:
                    tensor["dtype"] = rng.choice(
                        ["F64", "F16", "BF16", "I8", "BOOL", "C64", "F8_E4M3", "F4", "U64", "x"]
                    )
                case 1:
                    tensor["shape"] = rng.choice(
                        [[], [0], [1], tensor["shape"][::-1], [2**63, 0], [2**64 - 1, 0], [2**32, 2**32], [1] * 70]
                    )
                case 2:
                    tensor["data_offsets"][rng.randrange(2)] += rng.choice([-4, 4, 1, 2**40, -(2**63)])
                case 3:
                    header = changed(header, rng)
            return framed(header, data)
        case "metadata":
            for _ in range(rng.randint(1, 3)):
                metadata = changed(metadata, rng)
            if rng.random() < 0.5 or "sha256" not in metadata:
                metadata.pop("sha256", None)
                header["__metadata__"]["fastcolor"] = json.dumps(metadata)
                return framed(header, data)
            return signed(deserialized(content), metadata)
        case "tensors":
            tensors = deserialized(content)
            for _ in range(rng.randint(1, 3)):
                tensor = rng.choice(sorted(tensors))
                flat = tensors[tensor].reshape(-1)
                match rng.randrange(5):
                    case 0 if flat.is_floating_point() and len(flat):
                        flat[rng.randrange(len(flat))] = rng.choice([float("nan"), float("inf"), 1e38, -1e38, 1e-40])
                    case 1:
                        tensors[tensor] = tensors[tensor].to(
                            rng.choice([torch.float16, torch.float64, torch.int8, torch.complex64])
                        )
                    case 2:
                        tensors[tensor] = tensors[tensor].flatten()
                    case 3:
                        tensors[tensor + "\n"] = tensors.pop(tensor)
                    case _:
                        tensors[tensor] = tensors[tensor] * 0 - 1
            return signed(tensors, metadata)


def test_finite_weights_that_lead_to_no_numbers_are_refused_when_they_paint(weights, tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(weights["skip_unet"])
    tensors, metadata = load_tensors(path, "weights")
    tensors = {name: tensor * 1e38 if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    path.write_bytes(signed(tensors, metadata))
    with pytest.raises(UserError, match="gives no colours") as caught:
        Colorizer(path)(save(tmp_path / "photo.png", noise()))
    is_a_sentence(caught.value, path)


def test_an_errors_sentence_cannot_play_tricks_on_a_terminal():
    assert str(UserError("a\nb\x1b[2J\u202ec")) == r"a\nb\x1b[2J\u202ec"
    error = UnreadablePhoto("photo\n.jpg", "is\x07 broken")
    assert (str(error), error.reason) == (r"photo\n.jpg: is\x07 broken", r"is\x07 broken")
    assert str(UserError("Größe – 写真.jpg")) == "Größe – 写真.jpg"


def test_an_error_about_lists_within_lists_is_a_sentence_all_the_same():
    deep = []
    for _ in range(10_000):
        deep = [deep]
    assert one_line(deep) == "list"


# --- photos


def mutated_photo(files, name, rng):
    """A photo file with some of its bytes changed; PNG's checksums are mended half of the time, or they tell first."""
    content = mutated(files[name], files[rng.choice(sorted(files))], rng)
    return with_right_crcs(content) if name.endswith(".png") and rng.random() < 0.5 else content


def with_right_crcs(content):
    content, place = bytearray(content), 8
    while place + 12 <= len(content):
        end = place + 8 + int.from_bytes(content[place : place + 4], "big")
        if end + 4 > len(content):
            break
        content[end : end + 4] = zlib.crc32(content[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return bytes(content)


def use_photo(path, target=None):
    """Read a file in all ways, and write it to `target`; gives the sentence with which it is refused, or None."""
    needs_of(path)
    sentence = None
    for read in (open_photo, lambda path: open_photo(path, least=16), read_photo):
        try:
            photo = read(path)
            if isinstance(photo, Photo):
                kinds = [(page.pixels.dtype, page.pixels.shape[2:]) for page in photo.pages]
                assert kinds and {*kinds} <= {(np.dtype(f"u{n}"), shape) for n in (1, 2) for shape in ((), (3,))}
            else:
                assert photo.mode == "RGB"
            if isinstance(photo, Photo) and target:
                for page in photo.pages:
                    page.pixels = page.pixels if page.pixels.ndim == 3 else np.repeat(page.pixels[..., None], 3, axis=2)
                write_photo(photo, target)
        except UnreadablePhoto as error:
            sentence = is_a_sentence(error, path)
            assert error.reason.isprintable()
        except UserError as error:  # a picture that the target's format can't hold
            is_a_sentence(error, target)
    return sentence


FILES = whole_files()


@pytest.mark.parametrize("suffix", sorted({Path(name).suffix for name in FILES}))
def test_any_change_to_a_photo_is_refused_in_one_sentence_or_harmless(suffix, tmp_path):
    kinds = sorted(name for name in FILES if name.endswith(suffix))

    @given(name=st.sampled_from(kinds), seed=st.integers(0, 2**32))
    @settings(seeded, max_examples=25)
    def one(name, seed):
        (tmp_path / name).write_bytes(mutated_photo(FILES, name, random.Random(seed)))
        use_photo(tmp_path / name)

    one()


@given(
    content=st.binary(max_size=80),
    kind=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"GIF89a", b"BM", b"RIFF"]),
)
@settings(seeded, max_examples=100)
def test_any_bytes_in_place_of_a_photo(tmp_path, content, kind):
    (tmp_path / "photo.jpg").write_bytes(kind + content)
    assert use_photo(tmp_path / "photo.jpg")


def test_exif_that_names_itself_is_read_once(tmp_path):
    content = exif()
    place = content.index(struct.pack(">HHL", 0x8769, 4, 1)) + 8  # the first directory says here where EXIF's own is
    circle = content[:place] + struct.pack(">L", 8) + content[place + 4 :]
    count = 5000  # directories that lie one upon the other: 25 million entries, if each were followed
    many = b"Exif\0\0MM\0*" + struct.pack(">LH", 8, count) + struct.pack(">HHLL", 0x8769, 4, 1, 10) * count + bytes(4)
    for described in (circle, many):
        save(tmp_path / "photo.jpg", noise(), exif=described)
        start = time.monotonic()
        for target in ("new.jpg", "new.png", "new.webp", "new.tif"):
            write_photo(read_photo(tmp_path / "photo.jpg"), tmp_path / target)
        assert time.monotonic() - start < 3


# --- runs, caches, archives


@pytest.fixture(scope="module")
def cache_file(tmp_path_factory):
    """A cache file of three squares of 8 px."""
    path = tmp_path_factory.mktemp("squares") / "cache.npy"
    note = json.dumps(
        {"photos": "/nowhere", "names": ["a.png", "b/c.png", "d.png"], "unreadable": [[1, "is empty"]]}
    ).encode()
    np.save(path, np.zeros((3, 8, 8, 4), np.uint8))
    with open(path, "ab") as file:
        file.write(note + len(note).to_bytes(8, "little") + MAGIC)
    assert len(open_cache(path, 8)[0]) == 3
    return path.read_bytes()


@given(st.data())
@settings(seeded, max_examples=250)
def test_any_change_to_a_cache_file(cache_file, tmp_path, data):
    path, array = tmp_path / "cache.npy", cache_file.index(b'{"photos"')
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    if data.draw(st.booleans()):
        note = changed(json.loads(cache_file[array:-16]), rng)
        if data.draw(st.booleans()):
            note["names"] = data.draw(st.lists(values, min_size=3, max_size=3))
        text = json.dumps(note).encode()
        content = cache_file[:array] + text + len(text).to_bytes(8, "little") + MAGIC
    else:
        content = mutated(cache_file, cache_file[array:], rng)
    path.write_bytes(content)
    try:
        names, held, unreadable = open_cache(path, 8)
    except UserError as error:
        is_a_sentence(error, path)
        return
    assert held.shape == (len(names), 8, 8, 4) and held.dtype == np.uint8 and held[:].size
    assert all(isinstance(name, str) and (Path("/photos") / name).is_relative_to("/photos") for name in names)
    assert not any(".." in Path(name).parts for name in names)
    assert all(0 <= row < len(names) and isinstance(why, str) for row, why in unreadable)


def test_a_cache_file_nested_deeply_is_refused(cache_file, tmp_path):
    note = b"[" * 200_000
    whole = cache_file[: cache_file.index(b'{"photos"')] + note + len(note).to_bytes(8, "little") + MAGIC
    (tmp_path / "cache.npy").write_bytes(whole)
    with pytest.raises(UserError, match="is damaged or not a cache file"):
        open_cache(tmp_path / "cache.npy", 8)


@pytest.fixture(scope="module")
def split_run(scenes, tmp_path_factory):
    """A run folder whose photos are split."""
    path = tmp_path_factory.mktemp("hostile") / "run"
    prepared(opened(scenes, path))
    return path


def tried(split_run, file, content):
    """What opening a run says whose `file` has that content, or None if it is opened; the file is put back."""
    kept = (split_run / file).read_bytes()
    (split_run / file).write_bytes(content)
    try:
        run = open_run(run=str(split_run), device="cpu", precision="fp32")
        photos = prepared(run)
        assert all((run.photos / name).resolve().is_relative_to(run.photos.resolve()) for name in photos.names)
    except UserError as error:
        assert str(error).isprintable(), str(error)
        return str(error)
    finally:
        (split_run / file).write_bytes(kept)
    return None


def test_what_nobody_changed_is_opened(weights, split_run, tmp_path):
    """Or refusing everything would pass as well."""
    for use, files in ((use_weights, weights), (lambda path, name: use_photo(path), FILES)):
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
            assert use(tmp_path / name, name) is None, name
    for file in ("split.csv", "config.json"):
        assert tried(split_run, file, (split_run / file).read_bytes()) is None
    assert tried(split_run, "split.csv", b"file,part\r\n../../secret.png,train\r\n")
    assert tried(split_run, "config.json", b"{}")


@given(seed=st.integers(0, 2**32), extra=st.text(max_size=20))
@settings(seeded, max_examples=40)
def test_a_changed_split_is_refused_in_one_sentence_or_names_photos_inside(split_run, seed, extra):
    rng, kept = random.Random(seed), (split_run / "split.csv").read_bytes()
    lines = kept.split(b"\r\n")
    hostile = [b"../../secret.png,train", b"/etc/passwd,train", b"a\0b.png,valid", b"\xff.png,train"]
    hostile += [b"a.png", b",", b'"', b"a.png,other"]
    lines[rng.randrange(len(lines))] = rng.choice([*hostile, extra.encode("utf-8", "surrogatepass")])
    content = b"\r\n".join(lines) if rng.random() < 0.7 else mutated(kept, kept, rng)
    tried(split_run, "split.csv", content)


@given(seed=st.integers(0, 2**32))
@settings(seeded, max_examples=40)
def test_a_changed_config_is_refused_in_one_sentence_or_opens(split_run, seed):
    rng, kept = random.Random(seed), (split_run / "config.json").read_bytes()
    content = json.dumps(changed(json.loads(kept), rng)).encode() if rng.random() < 0.7 else mutated(kept, kept, rng)
    tried(split_run, "config.json", content)


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config["settings"].clear(),
        *(lambda config, name=name: config["settings"].update({name: None}) for name in ("size", "seed", "test")),
        *(lambda config, name=name: config["settings"].update({name: "a\0b"}) for name in ("data", "grey", "folders")),
        lambda config: config["settings"].update(size=10**6),
        *(
            lambda config, made=made: config["stages"]["stage1"].update(made_with=made)
            for made in ({}, "", "a", [1], [[]])
        ),
        *(lambda config, bs=bs: config["stages"]["stage1"].update(bs=bs) for bs in (None, "x", 0, -1, 1.5, True, [])),
        lambda config: config["stages"]["stage1"].pop("bs"),
        lambda config: config["stages"]["stage1"].update(finished=None),
        lambda config: config["stages"].update(stage1=[]),
    ],
)
def test_a_config_that_no_run_wrote_is_refused(change, own_run):
    config = json.loads((own_run / "config.json").read_text())
    config["stages"]["stage1"]["finished"] = False
    change(config)
    (own_run / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="config.json is damaged, or not written by fastcolor"):
        options = {"device": "cpu", "precision": "fp32", "pretrained": "none", "epochs": 2}
        stage1_pretrain_gen.main(run=str(own_run), resume=True, bs="auto", **options)


@given(seed=st.integers(0, 2**32))
@settings(seeded, max_examples=100)
def test_any_change_to_a_resume_state(weights, tmp_path, seed):
    path = tmp_path / "stage1.safetensors"
    path.write_bytes(mutated_weights(weights, "state", random.Random(seed)))
    state = resume.load_state(path)
    assert state is None or (isinstance(state[0], dict) and type(state[1]["epochs"]) is int)


names = st.lists(
    st.sampled_from(
        ["..", ".", "", "a", "b", "/", "C:", "\\", "..\\", "CON", "x" * 300, "\x1b", "é", "a.png", "c.jpg", "\0"]
    ),
    min_size=1,
    max_size=4,
).map("/".join)


@given(
    given_names=st.lists(names, max_size=4), kind=st.sampled_from(["zip", "tar"]), damage=st.booleans(), data=st.data()
)
@settings(seeded, max_examples=120)
def test_any_archive_stays_in_its_folder(tmp_path_factory, given_names, kind, damage, data):
    folder = tmp_path_factory.mktemp("archive")
    buffer, photo = io.BytesIO(), FILES["grey.jpg"]
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as archive:
            for name in ["photo.jpg", *given_names]:
                archive.writestr(zipfile.ZipInfo(name or "a"), photo)
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for name in ["photo.jpg", *given_names]:
                member = tarfile.TarInfo(name)
                kinds = [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE]
                member.type = data.draw(st.sampled_from(kinds))
                member.linkname = data.draw(st.sampled_from(["/etc/passwd", "../..", "photo.jpg", ".", "a"]))
                member.size = len(photo) if member.isreg() else 0
                archive.addfile(member, io.BytesIO(photo))
    content = buffer.getvalue()
    if damage:
        content = mutated(content, content, random.Random(data.draw(st.integers(0, 2**32))))
    (folder / "in").mkdir()
    (folder / "in" / "archive").write_bytes(content)
    (folder / "out").mkdir()
    try:
        unpack(folder / "in" / "archive", folder / "out" / "photos")
    except BrokenArchive:
        assert not list((folder / "out").iterdir())
    inside = [path for path in folder.rglob("*") if (folder / "out" / "photos") not in (path, *path.parents)]
    assert sorted(path.name for path in inside) == ["archive", "in", "out"]
    assert not any(path.is_symlink() for path in folder.rglob("*"))


# --- the fuzzer


def hammered(count, seed, tmp_path, one):
    """Call `one(rng)`, which gives a file's path and content and how to use it, so often; how many were refused.

    Fails, naming seed and index, which give the same file again, for any error, or for one that takes too long.
    """
    resource = pytest.importorskip("resource")
    before, refused = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    for index in range(count):
        path, content, use = one(random.Random(f"{seed} {index}"))
        path.write_bytes(content)
        start = time.process_time()  # not the clock: other tests may keep the processor busy
        try:
            refused += use(path) is not None
        except BaseException as error:
            raise AssertionError(
                f"seed {seed}, index {index}, {path.name}: {error!r}; {first_bytes(content)}"
            ) from error
        seconds = time.process_time() - start
        assert seconds < SECONDS, f"seed {seed}, index {index}, {path.name}: {seconds:.1f} s; {first_bytes(content)}"
        path.unlink()
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert grown < MEMORY, f"seed {seed}: {grown / 1e9:.1f} GB"
    return refused


def first_bytes(content):
    return f"{len(content)} bytes, {content[:200]!r}"


SEED = int(os.environ.get("FUZZ_SEED", "0"))


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_thousands_of_hostile_weights(weights, tmp_path):
    def one(rng):
        name = rng.choice(sorted(weights))
        content = mutated_weights(weights, name, rng)
        return tmp_path / f"{name}.safetensors", content, lambda path: use_weights(path, name)

    refused = hammered(WEIGHTS, SEED, tmp_path, one)
    assert WEIGHTS / 2 < refused < WEIGHTS  # some changes are allowed: of a version, say


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_thousands_of_hostile_photos(tmp_path):
    def one(rng):
        name, suffix = rng.choice(sorted(FILES)), rng.choice([".jpg", ".png", ".tif", ".webp", ".bmp"])
        target = tmp_path / f"new{suffix}"
        target = target if rng.random() < 0.2 else None
        return tmp_path / name, mutated_photo(FILES, name, rng), lambda path: use_photo(path, target)

    refused = hammered(PHOTOS, SEED, tmp_path, one)
    assert PHOTOS / 4 < refused < PHOTOS * 3 / 4
