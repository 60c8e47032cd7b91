"""Batches for training: squares are fetched ahead; cropping, flipping and colour conversion run on the device."""

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from fastai.data.core import DataLoaders
from torch import Tensor, nn

from fastcolor import processes
from fastcolor.color.aging import age
from fastcolor.data.cache import Squares, on_device, take
from fastcolor.data.photos import Photos
from fastcolor.data.points import sample_points
from fastcolor.device import largest_batch
from fastcolor.errors import UserError
from fastcolor.files import in_order
from fastcolor.runs.run import Run

BATCH = 32  # photos per batch, by default
FEWEST_STEPS = 40  # per epoch: a larger batch would be faster, but learn less from the same photos (`--bs auto`)


@dataclass
class Crops:
    """Where a batch is cut from, per photo: row, top and left edge in pixels, and whether it is mirrored and aged."""

    rows: np.ndarray
    top: np.ndarray
    left: np.ndarray
    flip: np.ndarray
    aged: np.ndarray
    seed: int  # for the aging

    def __getitem__(self, part: slice) -> "Crops":
        arrays = (each[part] for each in (self.rows, self.top, self.left, self.flip, self.aged))
        return Crops(*arrays, self.seed + (part.start or 0))

Pictures = list[list[tuple[str, Tensor]]]
"""For each photo of a batch, the pictures that show it: a title, and sRGB `(3, H, W)`, 0..1."""


class Showable:
    """What fastai's `dls.show_batch`, `Learner.show_results` and `Learner.get_preds` need from batches.

    `pictures(*batch)` gives the Pictures of a batch, `pictures(*batch, out)` those of a batch and the network's output.
    """

    pictures: Callable[..., Pictures]

    def one_batch(self) -> tuple[Tensor, Tensor]:
        """The first batch of the epoch."""
        return self.first(self.bs)

    def show_batch(self, b: tuple | None = None, max_n: int = 9, figsize: tuple[float, float] | None = None) -> None:
        """Draw at most `max_n` photos of the batch `b` (default: the epoch's first); `figsize` is in inches."""
        show(self.pictures(*(self.one_batch() if b is None else b))[:max_n], figsize)

    def show_results(self, b: tuple, out: Tensor, max_n: int = 9, figsize: tuple[float, float] | None = None) -> None:
        """As `show_batch`, with the network's output `out` for that batch."""
        show(self.pictures(*b, out)[:max_n], figsize)


def show(photos: Pictures, figsize: tuple[float, float] | None = None) -> None:
    """Draw pictures into a new matplotlib figure, about six in a row, those of one photo side by side.

    `figsize` is matplotlib's, in inches.
    """
    from fastai.torch_core import show_image
    from fastai.vision.data import get_grid  # imported here, so that training starts without it

    pictures = [picture for photo in photos for picture in photo]
    of_one = len(photos[0])
    axes = get_grid(len(pictures), ncols=min(6 // of_one, len(photos)) * of_one, figsize=figsize)
    for axis, (title, image) in zip(axes, pictures, strict=True):
        show_image(image.permute(1, 2, 0).cpu().numpy(), ctx=axis, title=title)


def beside(**columns: Tensor) -> Pictures:
    """The Pictures of named columns of images, each sRGB `(N, 3, H, W)`, 0..1."""
    return [list(zip(columns, images, strict=True)) for images in zip(*columns.values(), strict=True)]


class PhotoBatches(Showable):
    """Batches from one or more arrays of squares. In training they are shuffled, cropped and flipped at random.

    The arrays, `(N, side, side, 4)` uint8, share rows and crops. A batch is `make_batch(*crops)`, with one tensor
    `(bs, 4, size, size)` uint8 per array, on `device`. Validation takes the centre crops, in order.

    In training, a share `aged` of the photos gets the light of an old print (see `aging`) instead of its own grey. At
    last `vary(x, y, seed, share)` may change a batch. An epoch has at most `most` batches. `start` sets the epoch:
    everything random follows from it, `seed` and `order`. For `pictures`, see Showable.
    """

    def __init__(
        self,
        arrays: list[Squares],
        rows: np.ndarray,
        make_batch: Callable[..., tuple[Tensor, Tensor]],
        pictures: Callable[..., Pictures] | None = None,
        *,
        size: int,
        bs: int,
        device: torch.device,
        seed: int,
        train: bool,
        aged: float = 0.0,
        vary: Callable[[Tensor, Tensor, int, processes.Share | None], tuple[Tensor, Tensor]] | None = None,
        most: int | None = None,
        order: int = 0,
    ):
        self.arrays, self.rows, self.make_batch, self.pictures = arrays, rows, make_batch, pictures
        self.size, self.bs, self.device, self.seed, self.train, self.aged = size, bs, device, seed, train, aged
        self.vary, self.most, self.order = vary if train else None, most, order
        self.start(0)

    def start(self, epoch: int, batch: int = 0) -> None:
        """Set the next iteration: it gives the batches of `epoch`, beginning with number `batch` (from 0)."""
        self.epoch, self.begin = epoch, batch

    def __len__(self) -> int:
        whole, rest = divmod(len(self.rows), self.bs)
        if not self.train:
            return whole + (rest > 0)
        return min(whole, self.most or whole)  # no rest: batch norm can't work with a last batch of one photo

    @property
    def share(self) -> processes.Share:
        """This process's share of a training batch, which has an image of each array."""
        own = processes.share_of_batch(self.bs).rows
        rows = tuple(i * self.bs + row for i in range(len(self.arrays)) for row in own)
        return processes.Share(len(self.arrays) * self.bs, rows)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches; with several processes this one's share of each, in validation every so many whole ones."""
        crops, share = self._crops(), None
        parts = [crops[i * self.bs : (i + 1) * self.bs] for i in range(self.begin, len(self))]
        if self.train and processes.count() > 1:
            share = processes.share_of_batch(self.bs)
        elif not self.train:
            parts = parts[processes.own_rows()]
        for part, squares in in_order(partial(self._fetch, share=share), parts):
            yield self._cut(part, squares, share)

    def first(self, count: int) -> tuple[Tensor, Tensor]:
        """A batch of the first `count` rows, or of all if there are fewer."""
        return self._cut(*self._fetch(self._crops()[:count]))

    def new(self, shuffle: bool = False, **_) -> "PhotoBatches":
        """A copy for fastai to predict with: shuffled by numpy's global random state, or in order as in validation."""
        other = copy(self)
        other.train = self.train and shuffle
        other.vary = self.vary if shuffle else None
        if shuffle:
            other.rows = np.random.permutation(self.rows)
        return other

    def _crops(self) -> Crops:
        count, spare = len(self.rows), self.arrays[0].shape[1] - self.size
        if not self.train:
            middle = np.full(count, spare // 2)
            return Crops(self.rows, middle, middle, np.zeros(count, bool), np.zeros(count, bool), 0)
        rng = np.random.default_rng([self.seed, self.epoch, self.order])
        top, left = rng.integers(0, spare, (2, count), endpoint=True)
        rows, flip, aged = rng.permutation(self.rows), rng.random(count) < 0.5, rng.random(count) < self.aged
        return Crops(rows, top, left, flip, aged, int(rng.integers(2**62)))

    def _fetch(self, crops: Crops, share: processes.Share | None = None) -> tuple[Crops, list[Tensor]]:
        rows = crops.rows if share is None else crops.rows[list(share.rows)]
        return crops, [take(array, rows, self.device) for array in self.arrays]

    def _cut(self, crops: Crops, squares: list[Tensor], share: processes.Share | None = None) -> tuple[Tensor, Tensor]:
        """A batch of the photos of `crops`, or of those among them that are this process's `share`."""
        own = slice(None) if share is None else list(share.rows)
        top, left, flip = (on_device(each[own], self.device) for each in (crops.top, crops.left, crops.flip))
        pieces = [cut(each, top, left, flip, self.size) for each in squares]
        aged = np.flatnonzero(crops.aged)
        if len(aged):
            chosen = on_device(np.flatnonzero(crops.aged[own]), self.device)
            its = share and processes.Share(len(aged), tuple(np.flatnonzero(np.isin(aged, share.rows))))
            light = age(pieces[0][chosen, 1:], crops.seed, its)
            for piece in pieces:
                piece[chosen, :1] = light
        batch = self.make_batch(*pieces)
        return self.vary(*batch, crops.seed, share) if self.vary else batch


def cut(squares: Tensor, top: Tensor, left: Tensor, flip: Tensor, size: int) -> Tensor:
    """Crops `(n, 4, size, size)` of squares `(n, side, side, 4)`, both uint8.

    `top` and `left`, `(n,)` in pixels, say where each one begins; those with `flip`, `(n,)` bool, are mirrored.
    """
    if not len(squares):  # a process that has no share of a batch
        return squares.new_zeros(0, squares.shape[-1], size, size)
    along = torch.arange(size, device=squares.device)
    rows = top[:, None] + along
    columns = left[:, None] + torch.where(flip[:, None], size - 1 - along, along)
    photos = torch.arange(len(squares), device=squares.device)
    pixels = squares.view(torch.int32)[..., 0]  # four bytes as one number: three times as fast
    picked = pixels[photos[:, None, None], rows[:, :, None], columns[:, None, :]]
    return picked[..., None].view(torch.uint8).permute(0, 3, 1, 2).contiguous()


def color_batches(
    run: Run,
    photos: Photos,
    space,
    bs: int = BATCH,
    often: str | None = None,
    points: bool = False,
    saturation: float = 1.0,
    **variety,
) -> DataLoaders:
    """fastai DataLoaders of (the generator's input, image): grey photos and colour photos, in `space`.

    For `often`, see `shown_often`. The others go to the training batches. With `points`, for a generator that listens,
    the input has points of colour too (see `sample_points`). `saturation` multiplies a and b of the image. `variety` is
    `aged` and `most`, see PhotoBatches.
    """
    photos = replace(photos, train=shown_often(photos, often))

    def make_batch(crops: Tensor) -> tuple[Tensor, Tensor]:
        grey, rgb = crops.split([1, 3], dim=1)
        return space.inputs(grey), space.image(grey, rgb)

    def vary(x: Tensor, y: Tensor, seed: int, share: processes.Share | None) -> tuple[Tensor, Tensor]:
        if saturation != 1:
            y = space.saturated(y, saturation)
        return (torch.cat([x, sample_points(y[:, 1:], seed, share)], dim=1) if points else x), y

    def pictures(x: Tensor, real: Tensor, fake: Tensor | None = None) -> Pictures:
        x = x[:, :3]  # without the mask: points are seen in their colours
        grey = space.to_rgb(F.pad(x, (0, 0, 0, 0, 0, 3 - x.shape[1])))  # light alone: a and b are 0
        if fake is None:
            return beside(grey=grey, colour=space.to_rgb(real))
        return beside(grey=grey, fake=space.to_rgb(fake), real=space.to_rgb(real))

    return _loaders(run, [photos.squares], photos, make_batch, pictures, bs, vary=vary, **variety)


def shown_often(photos: Photos, often: str | None) -> np.ndarray:
    """The rows to train on, with the photos of some folders repeated: `often` is "people*4,cats*2", say.

    A folder without training photos is only reported, because a preset may name folders that not everybody has. Raises
    UserError for text of another form.
    """
    rows = [photos.train]
    for word in often.split(",") if often else []:
        folder, _, times = word.partition("*")
        if not times.isdigit() or int(times) < 1:
            raise UserError(f"--often must be FOLDER*TIMES, or several of them with commas between, not {often}")
        mine = np.array([row for row in photos.train if photos.names[row].startswith(f"{folder}/")], int)
        if not len(mine):
            print(f"--often {word}: there are no training photos in {folder}")
        rows += [mine] * (int(times) - 1)
    return np.concatenate(rows)


def critic_batches(run: Run, photos: Photos, fakes: Squares, space, bs: int = BATCH) -> DataLoaders:
    """fastai DataLoaders of (image, label): `bs` images, half of them photos (1), half fakes of the same photos (0).

    `fakes` are squares in the order of the photos. Their light is taken from the photos.
    """

    def make_batch(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        images = torch.cat([space.image(real[:, :1], crops[:, 1:]) for crops in (real, fake)])
        return images, torch.arange(2, device=images.device).flip(0).repeat_interleave(len(real)).float()

    def pictures(images: Tensor, is_real: Tensor, logits: Tensor | None = None) -> Pictures:
        titles = ["real" if label else "fake" for label in is_real]
        if logits is not None:
            titles = [
                f"{title}: {score:.0%} real" for title, score in zip(titles, logits.sigmoid().mean(dim=1), strict=True)
            ]
        each = list(zip(titles, space.to_rgb(images), strict=True))
        return [list(pair) for pair in zip(each[: len(each) // 2], each[len(each) // 2 :], strict=True)]

    return _loaders(run, [photos.squares, fakes], photos, make_batch, pictures, max(bs // 2, 1))


class Unpaired(Showable):
    """Batches of two sets of photos side by side, each set in its own order; as many as the smaller set has."""

    def __init__(self, first: PhotoBatches, second: PhotoBatches, pictures: Callable[..., Pictures] | None = None):
        self.both, self.bs, self.device, self.pictures = (first, second), first.bs, first.device, pictures

    def start(self, epoch: int, batch: int = 0) -> None:
        """See PhotoBatches."""
        for batches in self.both:
            batches.start(epoch, batch)

    def __len__(self) -> int:
        return min(map(len, self.both))

    @property
    def share(self) -> processes.Share:
        """See PhotoBatches; x and y have the same."""
        return self.both[0].share

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for (_, first), (_, second) in zip(*self.both, strict=False):
            count = min(len(first), len(second))  # they differ in validation's last batch
            yield first[:count], second[:count]

    def first(self, count: int) -> tuple[Tensor, Tensor]:
        """The first `count` photos of each set, or as many as the smaller set has."""
        count = min(count, *(len(batches.rows) for batches in self.both))
        return tuple(batches.first(count)[1] for batches in self.both)

    def new(self, shuffle: bool = False, **_) -> "Unpaired":
        """See PhotoBatches."""
        return Unpaired(*(batches.new(shuffle) for batches in self.both), self.pictures)


def unpaired_batches(run: Run, photos: Photos, space, bs: int) -> DataLoaders:
    """fastai DataLoaders of (image, image): photos of the run's first and second `--folders`, in their own colours.

    Raises UserError if a folder has less than a batch of photos to train on, or none held out.
    """

    def make_batch(crops: Tensor) -> tuple[Tensor, Tensor]:
        grey, rgb = crops.split([1, 3], dim=1)
        return grey, space.image(grey, rgb)

    folders = run.settings.folders.split(",")

    def pictures(x: Tensor, y: Tensor, out: Tensor | None = None) -> Pictures:
        titles = folders if out is None else [folders[0], f"as {folders[1]}"]
        return beside(**dict(zip(titles, map(space.to_rgb, (x, y if out is None else out)), strict=True)))

    sides = []
    for i, folder in enumerate(folders):
        train, valid = (
            np.array([row for row in rows if Path(photos.names[row]).parts[0] == folder])
            for rows in (photos.train, photos.valid)
        )
        if len(train) < bs or not len(valid):
            raise UserError(
                f"{run.photos / folder} gives {len(train)} photos to train on and {len(valid)} to hold out, but "
                f"{bs} and 1 are needed: add photos or give a larger --limit, and another --run"
            )
        mine = replace(photos, train=train, valid=valid)
        sides.append(_loaders(run, [mine.squares], mine, make_batch, None, bs, order=i))
    return DataLoaders(*(Unpaired(*pair, pictures) for pair in zip(*sides, strict=True)), path=run.folder.path)


def _loaders(
    run: Run, arrays: list[Squares], photos: Photos, make_batch: Callable, pictures: Callable | None, bs: int, **variety
) -> DataLoaders:
    common = {"size": run.settings.size, "bs": bs, "device": run.machine.device, "seed": run.settings.seed}
    train = PhotoBatches(arrays, photos.train, make_batch, pictures, **common, train=True, **variety)
    valid = PhotoBatches(arrays, photos.valid, make_batch, pictures, **{**common, "bs": min(bs, BATCH)}, train=False)
    return DataLoaders(train, valid, path=run.folder.path)


def batch_size(run: Run, stage: str, photos: Photos, channels: int, *networks: nn.Module, usual: int = BATCH) -> int:
    """The photos per batch that `--bs` asks for; by default `usual`, or all training photos if there are fewer.

    For auto on a GPU, see `largest_batch`: a training step runs through `networks` in order, and the first one has
    `channels` input channels. A resumed stage keeps the batch size that it began with. Raises UserError if not even
    `usual` photos fit into the GPU's memory.
    """
    if isinstance(run.bs, int):
        return run.bs
    usual = min(usual, len(photos.train))
    begun = run.folder.config["stages"].get(stage)
    if run.bs == "auto" and begun and run.resume:
        return begun["bs"]
    if run.bs == "auto" and run.machine.device.type == "cuda":
        several, most = processes.count(), len(photos.train) // FEWEST_STEPS
        least, most = -(-usual // several), most // several
        of_one = processes.by_first(
            lambda: largest_batch(networks, channels, run.settings.size, run.machine, least, most)
        )
        return several * of_one
    return usual
