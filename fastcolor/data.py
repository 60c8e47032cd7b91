"""From folders to batches: photos are decoded once into a memory-mapped array, crops and flips are cut from it.

The array is `(photos, side, side, 4)` uint8: grey (from the grey mirror) and sRGB. Split and rows are written down once
per run and kept by all stages, so that no validation photo is ever trained on.
"""

import csv
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from fastai.data.core import DataLoaders
from PIL import Image, ImageOps
from torch import Tensor

from fastcolor.errors import UnreadablePhoto, UserError
from fastcolor.files import find_photos, in_threads, open_photo, progress_bar, write_csv, write_unreadable, write_whole
from fastcolor.prep.greyscale import grey_photo, mirror_grey
from fastcolor.run import SAMPLE_COUNT, SAMPLE_SIDE, Run
from fastcolor.scenes import write_scenes

MARGIN = 1.125  # photos are kept an eighth larger than the training size, so that crops differ
VALID_SHARE, VALID_MOST = 0.1, 500  # a tenth is held out, but no more than give steady figures
LEFT_OUT = "unreadable"  # what stands in split.csv instead of train or valid
FEWEST = 8  # photos: below it there is nothing to learn from and nothing to hold out


@dataclass
class Photos:
    """All photos of a run: `pixels` `(N, side, side, 4)` uint8 (grey, R, G, B), their names, and the split."""

    pixels: np.ndarray
    names: list[str]
    train: np.ndarray  # rows
    valid: np.ndarray  # rows


def load_photos(run: Run) -> Photos:
    """The photos of a run, prepared as far as they are not yet: sample drawn, grey mirror made, split written, decoded.

    Raises UserError for a folder without enough readable photos and for photos that have gone since the split.
    """
    if run.path.resolve().is_relative_to(run.photos.resolve()):
        raise UserError(f"the run folder {run.path} lies in the photo folder {run.photos}: give another --run")
    is_new = not (run.path / "config.json").exists()
    if not run.is_sample:
        find_photos(run.photos)  # before anything is made or deleted
    if run.is_changed:
        run.clear()
    try:
        run.save()
        return _prepare(run)
    except UserError:
        if is_new:  # nothing was begun: leave no folder behind that a better try would trip over
            shutil.rmtree(run.path, ignore_errors=True)
        raise


def _prepare(run: Run) -> Photos:
    if run.is_sample:
        write_scenes(run.photos, SAMPLE_COUNT, SAMPLE_SIDE)
    split = _read_split(run)
    names = list(split) if split else _choose(run)
    grey = Path(run.settings["grey"]) if run.settings["grey"] else _mirror(run, names)
    pixels, unreadable = _decoded(run, names, grey)
    if not split:
        _report_unreadable(run, unreadable, len(names))
        split = _write_split(run, names, {name for name, _ in unreadable})
    for name, reason in unreadable:
        if split[name] != LEFT_OUT:
            raise UserError(f"{run.photos / name} {reason}, but the run needs it: put it back, or give another --run")
    rows = {name: row for row, name in enumerate(names)}
    parts = {part: np.array([rows[n] for n, p in split.items() if p == part]) for part in ("train", "valid")}
    np.random.default_rng(run.seed).shuffle(parts["valid"])  # the first few of them, by name, would be all of one kind
    if run.bs and run.bs > len(parts["train"]):
        raise UserError(f"--bs {run.bs} is larger than the {len(parts['train'])} training photos: give at most that")
    return Photos(pixels, names, **parts)


def _choose(run: Run) -> list[str]:
    """Names of the photos, or of the `--limit` of them that the seed picks, sorted."""
    names = [str(path) for path in find_photos(run.photos)]
    if run.settings["limit"]:
        picked = np.random.default_rng(run.seed).permutation(len(names))[: run.settings["limit"]]
        names = [names[i] for i in sorted(picked)]
    return names


def _mirror(run: Run, names: list[str]) -> Path:
    """The grey mirror in the run folder. Unreadable photos are met again, and reported, when they are decoded."""
    for name in names:  # a photo that has changed gets a new partner: `mirror_grey` gives partners their photo's time
        photo, partner = run.photos / name, run.path / "grey" / name
        if partner.exists() and photo.exists() and partner.stat().st_mtime_ns != photo.stat().st_mtime_ns:
            partner.unlink()
    summary = mirror_grey(run.photos, run.path / "grey", photos=[Path(name) for name in names])
    if summary.written:
        print(f"grey mirror in {run.path / 'grey'}: {summary}")
    return run.path / "grey"


def _report_unreadable(run: Run, unreadable: list[tuple[str, str]], count: int) -> None:
    write_unreadable(run.path / "unreadable.csv", [(Path(name), reason) for name, reason in unreadable])
    if unreadable:
        print(f"{len(unreadable):,} of {count:,} photos left out, see {run.path / 'unreadable.csv'}")
    if count - len(unreadable) < FEWEST:
        first = f"; {unreadable[0][0]} {unreadable[0][1]}" if unreadable else ""
        raise UserError(
            f"{run.photos} holds {count - len(unreadable)} readable photos{first}: training needs at least {FEWEST}"
        )


def _read_split(run: Run) -> dict[str, str]:
    path = run.path / "split.csv"
    if not path.exists():
        return {}
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return {row["file"]: row["part"] for row in csv.DictReader(file)}


def _write_split(run: Run, names: list[str], unreadable: set[str]) -> dict[str, str]:
    """Hold out a seeded tenth of the readable photos; once written, split.csv decides."""
    readable = [name for name in names if name not in unreadable]
    count = min(max(round(VALID_SHARE * len(readable)), 2), VALID_MOST)
    held_out = {readable[i] for i in np.random.default_rng(run.seed).permutation(len(readable))[:count]}
    split = {name: LEFT_OUT if name in unreadable else "valid" if name in held_out else "train" for name in names}
    write_csv(run.path / "split.csv", ("file", "part"), split.items())
    return split


def _decoded(run: Run, names: list[str], grey: Path) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """The array of the photos `names`, from the cache if no file has changed, and what could not be read."""
    side = round(run.size * MARGIN)
    stamps = [[name, _stamp(run.photos / name), _stamp(grey / name)] for name in names]
    fingerprint = hashlib.sha256(json.dumps([side, stamps]).encode()).hexdigest()
    array, note = run.path / "cache" / "photos.npy", run.path / "cache" / "photos.json"
    if array.exists() and note.exists():
        known = json.loads(note.read_text())
        if known["fingerprint"] == fingerprint:
            return np.load(array, mmap_mode="r"), [tuple(pair) for pair in known["unreadable"]]
    note.unlink(missing_ok=True)
    shape = (len(names), side, side, 4)
    print(f"decoding {len(names):,} photos to {side} px: {np.prod(shape) / 1e6:,.0f} MB in {array}")
    with write_whole(array) as temporary:
        with open(temporary, "wb") as file:  # written in full first: a mapped file on a full disk would kill the process
            np.lib.format.write_array_header_1_0(file, {"shape": shape, "fortran_order": False, "descr": "|u1"})
            file.writelines(bytes(side * side * 4) for _ in names)
        pixels = np.load(temporary, mmap_mode="r+")

        def decode(row: int) -> tuple[str, str] | None:
            try:
                pixels[row] = _square(run.photos / names[row], grey / names[row], side)
            except UnreadablePhoto as error:
                return names[row], error.reason
            return None

        results = progress_bar(in_threads(decode, range(len(names))), total=len(names))
        unreadable = sorted(result for result in results if result)
        pixels.flush()
    with write_whole(note) as temporary:
        temporary.write_text(json.dumps({"fingerprint": fingerprint, "unreadable": unreadable}))
    return np.load(array, mmap_mode="r"), unreadable


def _stamp(path: Path) -> list[int]:
    """Size in bytes and time of change in nanoseconds; zeros for a file that isn't there."""
    try:
        status = path.stat()
    except OSError:
        return [0, 0]
    return [status.st_size, status.st_mtime_ns]


def _square(color: Path, grey: Path, side: int) -> np.ndarray:
    """Centre square of a photo and its grey partner, `(side, side, 4)` uint8."""
    photo = open_photo(color)
    if not grey.exists():
        raise UnreadablePhoto(color, f"has no grey partner {grey}")
    partner = open_photo(grey)
    if partner.size != photo.size:
        raise UnreadablePhoto(color, f"is {photo.size} pixels, its grey partner {grey} {partner.size}")
    fit = [np.array(ImageOps.fit(image, (side, side), Image.Resampling.BOX)) for image in (grey_photo(partner), photo)]
    return np.dstack(fit)


class PhotoBatches:
    """Batches of `make_batch(pixels)` from arrays of squares; in training shuffled, cropped and flipped at random.

    `arrays` are `(N, side, side, C)` uint8 that share rows and crops; `make_batch` gets their channels side by side as
    float `(n, C, size, size)`, 0..1, on `device`. Set `epoch` before iterating: everything random follows from it and
    `seed`. Validation takes the centre crop, in order.
    """

    def __init__(
        self,
        arrays: list[np.ndarray],
        rows: np.ndarray,
        make_batch: Callable[[Tensor], tuple[Tensor, Tensor]],
        *,
        size: int,
        bs: int,
        device: torch.device,
        seed: int,
        train: bool,
    ):
        self.arrays, self.rows, self.make_batch = arrays, rows, make_batch
        self.size, self.bs, self.device, self.seed, self.train = size, bs, device, seed, train
        self.epoch = 0

    def __len__(self) -> int:
        whole, rest = divmod(len(self.rows), self.bs)
        return whole if self.train else whole + (rest > 0)  # a last batch of one would upset batch norm

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(self.rows) if self.train else self.rows
        for i in range(len(self)):
            yield self.make_batch(self._pixels(order[i * self.bs : (i + 1) * self.bs], rng))

    def first(self, count: int) -> tuple[Tensor, Tensor]:
        """A batch of the first `count` rows, or of all where there are fewer."""
        return self.make_batch(self._pixels(self.rows[:count], np.random.default_rng(self.seed)))

    def _pixels(self, rows: np.ndarray, rng: np.random.Generator) -> Tensor:
        spare = self.arrays[0].shape[1] - self.size
        cuts = []
        for row in rows:
            top, left = rng.integers(0, spare, 2, endpoint=True) if self.train else (spare // 2, spare // 2)
            cut = [array[row, top : top + self.size, left : left + self.size] for array in self.arrays]
            flip = -1 if self.train and rng.random() < 0.5 else 1
            cuts.append(np.concatenate(cut, axis=2)[:, ::flip])
        pixels = torch.from_numpy(np.stack(cuts)).to(self.device)
        return pixels.permute(0, 3, 1, 2).float() / 255


def color_batches(run: Run, photos: Photos, space) -> DataLoaders:
    """fastai DataLoaders of (generator's input, image): grey and colour photos as `space` has them."""

    def make_batch(pixels: Tensor) -> tuple[Tensor, Tensor]:
        grey, rgb = pixels.split([1, 3], dim=1)
        return space.inputs(grey), space.image(grey, rgb)

    return _loaders(run, [photos.pixels], photos, make_batch, batch_size(run, photos))


def critic_batches(run: Run, photos: Photos, fakes: np.ndarray, space) -> DataLoaders:
    """fastai DataLoaders of (image, label): each photo real (1) and fake (0); `fakes` `(N, side, side, 3)` sRGB uint8."""

    def make_batch(pixels: Tensor) -> tuple[Tensor, Tensor]:
        grey, real, fake = pixels.split([1, 3, 3], dim=1)
        images = torch.cat([space.image(grey, real), space.image(grey, fake)])
        return images, torch.arange(2, device=images.device).flip(0).repeat_interleave(len(grey)).float()

    return _loaders(run, [photos.pixels, fakes], photos, make_batch, max(batch_size(run, photos) // 2, 1))


def batch_size(run: Run, photos: Photos) -> int:
    """Photos per batch: `--bs`, or 32, or all where there are fewer."""
    return run.bs or min(32, len(photos.train))


def _loaders(run: Run, arrays: list, photos: Photos, make_batch: Callable, bs: int) -> DataLoaders:
    common = {"size": run.size, "bs": bs, "device": run.device, "seed": run.seed}
    train = PhotoBatches(arrays, photos.train, make_batch, **common, train=True)
    valid = PhotoBatches(arrays, photos.valid, make_batch, **common, train=False)
    return DataLoaders(train, valid, path=run.path)
