"""Batches: what they hold, what is random in them, and that it does not matter where the photos are kept."""

import itertools
import time

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from helpers import before_each_forward, opened, prepared
from PIL import Image
from skimage.color import lab2rgb, rgb2lab
from torch import nn

from fastcolor.color.spaces import SPACES
from fastcolor.data import cache
from fastcolor.data.batches import PhotoBatches, Unpaired, batch_size, color_batches, critic_batches, unpaired_batches
from fastcolor.data.cache import OnDemand
from fastcolor.device import Machine, largest_batch
from fastcolor.errors import UserError
from fastcolor.networks.critics import PatchCriticConfig
from fastcolor.networks.fastai_nets import DynamicUnetConfig
from fastcolor.networks.registry import build
from fastcolor.networks.unet import UNetConfig
from fastcolor.scenes.landscapes import draw_scene
from fastcolor.stage1_pretrain_gen import generator_learner
from fastcolor.stage3_pretrain_critic import critic_learner
from fastcolor.training.gan import GANStep, GeneratorLoss, gan_learner, make_switcher

pytestmark = pytest.mark.usefixtures("thin")

LAB = SPACES["lab"]


def test_a_batch_holds_the_photos_light_and_its_colors(scenes, tmp_path):
    run = opened(scenes, tmp_path / "run")
    photos = prepared(run)
    x, y = next(iter(color_batches(run, photos, LAB).valid))
    row = photos.valid[0]
    side = photos.squares.shape[1]
    with Image.open(scenes / photos.names[row]) as image:
        expected = rgb2lab(np.asarray(image.resize((side, side), Image.Resampling.BOX)))
    spare = (side - 32) // 2
    expected = expected[spare : spare + 32, spare : spare + 32]
    lab = LAB.to_lab(y)[0].permute(1, 2, 0).numpy()
    assert torch.equal(y[:, :1], x)
    # L comes from 8-bit grey, made before the photo is reduced
    assert np.abs(lab[..., 0] - expected[..., 0]).mean() < 1
    np.testing.assert_allclose(lab[..., 1:], expected[..., 1:], atol=1e-2)


def test_both_spaces_give_the_photo_back(scenes, tmp_path):
    run = opened(scenes, tmp_path / "run")
    photos = prepared(run)
    for space in SPACES.values():
        _, y = next(iter(color_batches(run, photos, space).valid))
        rgb = torch.from_numpy(photos.squares[photos.valid, 2:34, 2:34, 1:].copy()).permute(0, 3, 1, 2) / 255
        assert (space.to_rgb(y) - rgb).abs().mean() < 0.02


def numbered(count: int, side: int) -> np.ndarray:
    """Squares whose every pixel names its photo and place."""
    squares = np.zeros((count, side, side, 4), np.uint8)
    squares[..., 0] = np.arange(count)[:, None, None]
    squares[..., 1] = np.arange(side)[None, :, None]
    squares[..., 2] = np.arange(side)[None, None, :]
    return squares


def batches(train: bool, **options) -> PhotoBatches:
    common = {"size": 8, "bs": 5, "device": torch.device("cpu"), "seed": 3, "train": train, **options}
    return PhotoBatches([numbered(12, 12)], np.arange(12), lambda crops: crops.long(), **common)


def test_an_epoch_shows_each_photo_at_most_once_and_crops_within_it():
    loader = batches(train=True)
    seen = torch.cat(list(loader))
    assert len(loader) == 2
    names = seen[:, 0, 0, 0].tolist()
    assert len(set(names)) == len(names) == 10
    assert (seen[:, 0] == seen[:, 0, :1, :1]).all()  # all of a crop is of one photo
    down = seen[:, 1, 1:] - seen[:, 1, :-1]
    across = seen[:, 2, :, 1:] - seen[:, 2, :, :-1]
    assert set(down.flatten().tolist()) == {1}
    assert set(across.flatten().tolist()) == {1, -1}  # neighbours stay neighbours, some photos are mirrored
    assert len(set(seen[:, 1, 0, 0].tolist())) > 1  # crops differ


def test_crops_reach_every_place_that_fits_and_none_beyond():
    loader = batches(train=True)
    corners = set()
    for epoch in range(40):
        loader.start(epoch)
        for seen in loader:
            corners |= {(int(photo[1, 0, 0]), int(photo[2].min())) for photo in seen}
    assert corners == {(top, left) for top in range(5) for left in range(5)}


def test_what_an_epoch_shows_follows_from_seed_and_epoch():
    loader, twin, other = batches(train=True), batches(train=True), batches(train=True, seed=4)
    for each in (loader, twin, other):
        each.start(2)
    first, again, seeded = (torch.cat(list(each)) for each in (loader, twin, other))
    loader.start(3)
    assert torch.equal(first, again)
    assert not torch.equal(first, seeded)
    assert not torch.equal(first, torch.cat(list(loader)))


@pytest.mark.parametrize("make", [lambda: batches(train=True), lambda: both(count=12)])
def test_an_epoch_begun_at_a_later_batch_shows_what_it_would_have_shown(make):
    loader = make()
    loader.start(3)
    _, second = loader
    loader.start(3, batch=1)
    (again,) = loader
    assert all(torch.equal(*pair) for pair in zip(second, again, strict=True))
    loader.start(4)
    assert len(list(loader)) == 2


def test_some_photos_of_an_epoch_get_the_light_of_old_prints_but_keep_their_colors():
    plain, aged = batches(True, bs=12), batches(True, bs=12, aged=0.5)
    for each in (plain, aged):
        each.start(1)
    (before,), (after,) = plain, aged
    changed = (before != after).flatten(2).any(2)
    assert 0 < changed[:, 0].sum() < 12
    assert not changed[:, 1:].any()
    (again,) = aged
    assert torch.equal(after, again)
    assert all(torch.equal(*pair) for pair in zip(batches(False), batches(False, aged=1.0), strict=True))


def test_validation_shows_every_photos_centre_in_order():
    seen = torch.cat(list(batches(train=False)))
    assert seen[:, 0, 0, 0].tolist() == list(range(12))
    assert seen[0, 1, :, 0].tolist() == list(range(2, 10))


def test_a_critics_batch_is_half_real_half_fake_of_the_same_crops(scenes, tmp_path):
    run = opened(scenes, tmp_path / "run")
    photos = prepared(run)
    fakes = photos.squares.copy()
    fakes[..., 0] = 0  # a fake's light is the photo's own
    fakes[..., 1:] = photos.squares[..., :0:-1]  # red and blue exchanged
    images, is_real = next(iter(critic_batches(run, photos, fakes, LAB, bs=6).train))
    assert is_real.tolist() == [1, 1, 1, 0, 0, 0]
    assert torch.equal(images[:3, :1], images[3:, :1])
    real, fake = LAB.to_rgb(images[:3]), LAB.to_rgb(images[3:])
    assert (real - fake).abs().mean() > 0.01
    # the same crops: exchanging the channels back gives nearly the same colours (light stays the photo's)
    assert (fake.flip(1) - real).abs().mean() < (fake - real).abs().mean()


def epoch_of(run, photos) -> list[torch.Tensor]:
    loader = color_batches(run, photos, LAB, bs=5).train
    loader.start(1)
    return [tensor for batch in loader for tensor in batch]


@pytest.mark.parametrize("kept", ["nowhere", "in the device's memory"])
def test_batches_are_the_same_wherever_the_photos_are_kept(kept, scenes, tmp_path, monkeypatch):
    run = opened(scenes, tmp_path / "cached")
    photos = prepared(run)
    assert isinstance(photos.squares, np.memmap)
    if kept == "nowhere":
        other = prepared(opened(scenes, tmp_path / "other", no_cache=True))
        assert isinstance(other.squares, OnDemand)
    else:
        monkeypatch.setattr(cache, "free_memory", lambda device: 3 * photos.squares.nbytes)
        other = prepared(opened(scenes, tmp_path / "other"))
        assert isinstance(other.squares, torch.Tensor)
    first, second = epoch_of(run, photos), epoch_of(run, other)
    assert len(first) == 8
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_photos_that_would_crowd_the_devices_memory_stay_outside(monkeypatch):
    squares = numbered(12, 12)
    monkeypatch.setattr(cache, "free_memory", lambda device: 2 * squares.nbytes)
    assert cache.resident(squares, torch.device("cpu")) is squares


def test_the_batch_size_is_32_or_all_photos_or_what_is_told(scenes, tmp_path):
    photos = prepared(opened(scenes, tmp_path / "run"))
    for told, expected in ((None, 22), ("auto", 22), ("7", 7), (7, 7)):
        assert batch_size(opened(scenes, tmp_path / "run", bs=told), "stage1", photos, 1) == expected
    photos.train = np.arange(1000)
    assert batch_size(opened(scenes, tmp_path / "run"), "stage1", photos, 1) == 32


def test_a_batch_of_more_photos_than_there_are_is_refused_and_nothing_is_left(scenes, tmp_path):
    with pytest.raises(UserError, match="--bs must be 22 or less, the number of training photos, not 23"):
        prepared(opened(scenes, tmp_path / "run", bs=23))
    assert not (tmp_path / "run").exists()


def test_a_resumed_stage_goes_on_with_the_batch_size_that_auto_had_found(scenes, tmp_path):
    photos = prepared(opened(scenes, tmp_path / "run"))
    run = opened(scenes, tmp_path / "run", bs="auto", resume=True)
    run.folder.config["stages"]["stage1"] = {"bs": 11, "finished": False}
    assert batch_size(run, "stage1", photos, 1) == 11
    assert batch_size(run, "stage3", photos, 1) == 22


MACHINE = Machine.choose("cpu", "fp32", False)


class Memory(torch.nn.Conv2d):
    """A network that has memory for so many photos."""

    def __init__(self, room: int):
        super().__init__(1, 3, 1)
        self.config = room

    def forward(self, x):
        if len(x) > self.config:
            raise torch.OutOfMemoryError("out of memory")
        return super().forward(x)


@pytest.mark.parametrize(
    ("room", "usual", "most", "expected"),
    [(300, 32, 10_000, 256), (10_000, 32, 128, 128), (10_000, 32, 100, 64), (64, 20, 5, 20), (39, 20, 1000, 20)],
)
def test_auto_finds_the_largest_batch_that_fits_and_leaves_steps_enough(
    room, usual, most, expected, scenes, tmp_path, monkeypatch
):
    monkeypatch.setattr(time, "perf_counter", itertools.count().__next__)  # all steps take the same time
    network = Memory(room)
    before = network.weight.clone()
    assert largest_batch([network], 1, 32, MACHINE, usual, most) == expected
    assert torch.equal(network.weight, before)
    assert network.weight.grad is None


def test_auto_stops_where_a_larger_batch_is_no_faster(scenes, tmp_path, monkeypatch):
    now = [0.0]

    class Busy(Memory):
        def forward(self, x):
            now[0] += max(len(x) / 130, 1)  # seconds: 130 photos/s at most
            return super().forward(x)

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    assert largest_batch([Busy(10_000)], 1, 32, MACHINE, 32, 10_000) == 128


def test_auto_says_so_where_nothing_fits(scenes, tmp_path):
    with pytest.raises(UserError, match="20 photos of 32 px needs too much memory: give a smaller --bs"):
        largest_batch([Memory(10)], 1, 32, MACHINE, 20, 1000)


@pytest.mark.parametrize(
    "config",
    [UNetConfig(), pytest.param(DynamicUnetConfig(arch="resnet18", size=32), marks=pytest.mark.slow)],
)
def test_auto_tries_every_network_with_every_batch_size_and_leaves_them_as_they_were(config, scenes, tmp_path):
    space, generator, critic = SPACES[config.space], build(config), build(PatchCriticConfig(space=config.space))
    before = {name: value.clone() for network in (generator, critic) for name, value in network.state_dict().items()}
    tried = []

    def note(network, given):
        if isinstance(network, type(generator) | type(critic)):
            tried.append((type(network), len(given[0])))

    with before_each_forward(note):
        largest_batch([generator, critic], space.channels, 32, MACHINE, 2, 4)
    assert set(tried) == {(type(network), bs) for network in (generator, critic) for bs in (2, 4)}
    after = {name: value for network in (generator, critic) for name, value in network.state_dict().items()}
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("count", [50, 5000])
def test_a_batch_reads_its_own_photos_and_no_others(count):
    read = []

    def decode(row: int) -> np.ndarray:
        read.append(row)
        return np.zeros((12, 12, 4), np.uint8)

    options = {"size": 8, "bs": 5, "device": torch.device("cpu"), "seed": 3, "train": True, "most": 2}
    assert len(list(PhotoBatches([OnDemand(decode, count, 12)], np.arange(count), lambda crops: crops, **options))) == 2
    assert len(read) == len(set(read)) == 10


def test_an_epoch_may_have_fewer_batches_of_photos_drawn_anew_each_time():
    loader = batches(train=True, most=1)
    seen = []
    for epoch in range(30):
        loader.start(epoch)
        (batch,) = loader
        seen.append(frozenset(batch[:, 0, 0, 0].tolist()))
    assert len(loader) == 1
    assert all(len(each) == 5 for each in seen)
    assert frozenset().union(*seen) == set(range(12))
    assert len(set(seen)) > 20
    assert [len(batches(train=True, most=most)) for most in (None, 1, 2, 9)] == [2, 1, 2, 2]
    assert len(batches(train=False, most=1)) == 3  # all are held against it


def both(train: bool = True, count: int = 7) -> Unpaired:
    """Two sets, of 12 and of `count` numbered photos."""
    first, second = batches(train), batches(train, order=1)
    second.rows = np.arange(count)
    for each in (first, second):
        each.make_batch = lambda crops: (crops[:, :1], crops.long())  # as spaces do: the generator's input, the image
    return Unpaired(first, second)


def test_unpaired_photos_come_in_orders_of_their_own_as_many_as_the_smaller_set_has():
    loader = both()
    assert len(loader) == len(list(loader)) == 1
    partners = set()
    for epoch in range(200):
        loader.start(epoch)
        for first, second in loader:
            assert first.shape == second.shape == (5, 4, 8, 8)
            partners.add((int(first[0, 0, 0, 0]), int(second[0, 0, 0, 0])))
    assert len(partners) > 0.9 * 12 * 7  # anybody meets anybody
    (first, second), *_ = both(count=12)
    assert all((first[:, i] != second[:, i]).any() for i in range(3))  # where they are as many, too: photo, top, left


def test_unpaired_photos_held_out_are_shown_in_order_the_last_ones_too():
    loader = both(train=False)
    shown = [[side[:, 0, 0, 0].tolist() for side in sides] for sides in loader]
    assert shown == [[[0, 1, 2, 3, 4]] * 2, [[5, 6]] * 2]
    assert len(loader) == 2
    assert [side[:, 0, 0, 0].tolist() for side in loader.first(3)] == [[0, 1, 2]] * 2


def test_unpaired_photos_follow_from_seed_and_epoch():
    one, other = both(), both()
    one.start(4)
    other.start(4)
    (first,), (again,) = one, other
    assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))
    one.start(5)
    (later,) = one
    assert not torch.equal(first[0], later[0])
    assert not torch.equal(first[1], later[1])


def test_two_folders_become_two_sides_and_held_out_photos_stay_out(tmp_path):
    for folder, color, count in (("sea", (0, 0, 250), 14), ("fire", (250, 0, 0), 12)):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for n in range(count):
            Image.new("RGB", (40, 40), tuple(v and v - 4 * n for v in color)).save(
                tmp_path / "data" / folder / f"{n}.png"
            )
    run = opened(tmp_path / "data", tmp_path / "run", folders="sea,fire")
    photos = prepared(run, needs_color=False)
    space = SPACES["rgb_unit"]
    dls = unpaired_batches(run, photos, space, 2)
    seen = {"train": [set(), set()], "valid": [set(), set()]}
    for part, loader in (("train", dls.train), ("valid", dls.valid)):
        for epoch in range(12):
            loader.start(epoch)
            for sides in loader:
                for i, side in enumerate(sides):
                    seen[part][i] |= {
                        tuple((space.to_rgb(image[None])[0, :, 0, 0] * 255).round().int().tolist()) for image in side
                    }
    for sea, fire in seen.values():
        assert sea
        assert fire
        assert all(red == 0 < blue for red, _, blue in sea)
        assert all(blue == 0 < red for red, _, blue in fire)
    assert not seen["train"][0] & seen["valid"][0]
    assert not seen["train"][1] & seen["valid"][1]


def test_a_folder_without_a_batch_or_a_photo_held_out_is_named(tmp_path):
    for folder, count in (("many", 16), ("few", 3)):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for n in range(count):
            draw_scene(100 * count + n, 40).save(tmp_path / "data" / folder / f"{n}.png")
    run = opened(tmp_path / "data", tmp_path / "run", folders="many,few")
    with pytest.raises(
        UserError, match="few gives [123] photos to train on and [012] to hold out, but 4 and 1 are needed"
    ):
        unpaired_batches(run, prepared(run, needs_color=False), SPACES["rgb_unit"], 4)


@pytest.fixture
def drawn():
    """A function that gives titles and pixels of the pictures in the figure that was drawn last."""
    plt.switch_backend("agg")

    def pictures() -> list[tuple[str, np.ndarray]]:
        return [(axis.get_title(), np.asarray(axis.images[0].get_array())) for axis in plt.gcf().axes if axis.images]

    yield pictures
    plt.close("all")


def photo_as_shown(path, side: int) -> np.ndarray:
    """The middle 32 px of a photo reduced to `side`, sRGB 0..1, by Pillow."""
    spare = (side - 32) // 2
    with Image.open(path) as image:
        reduced = np.asarray(image.resize((side, side), Image.Resampling.BOX)) / 255
    return reduced[spare : spare + 32, spare : spare + 32]


def greyed(rgb: np.ndarray) -> np.ndarray:
    return lab2rgb(rgb2lab(rgb) * [1, 0, 0])


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_show_batch_draws_photos_beside_their_grey(space, scenes, tmp_path, drawn):
    run = opened(scenes, tmp_path / "run")
    photos = prepared(run)
    photos.valid = np.arange(7)
    dls = color_batches(run, photos, space, bs=5)
    dls.valid.show_batch(max_n=3)
    pictures = drawn()
    assert [title for title, _ in pictures] == ["grey", "colour"] * 3
    for row in range(3):
        real = photo_as_shown(scenes / photos.names[row], photos.squares.shape[1])
        assert np.abs(pictures[2 * row + 1][1] - real).mean() < 0.01  # light comes from 8-bit grey, reduced by itself
        assert np.abs(pictures[2 * row][1] - greyed(real)).mean() < 0.01
    dls.show_batch()  # of training photos, 9 at most
    assert len(drawn()) == 2 * 5


class Painter(nn.Module):
    """A generator that paints everything in one colour, and has a parameter to learn."""

    def __init__(self):
        super().__init__()
        self.ab = nn.Parameter(torch.tensor([2.0, 1.0]))

    def forward(self, x):
        return torch.cat([x, self.ab.view(1, 2, 1, 1).expand(len(x), 2, *x.shape[-2:])], dim=1)

    def layer_groups(self):
        return [nn.ModuleList(), self]


def learners(dls) -> dict:
    critic = build(PatchCriticConfig(channels=8))
    return {
        "stage 1": generator_learner(dls, Painter()),
        "stage 4": gan_learner(
            dls, Painter(), critic, GANStep(GeneratorLoss(8), "gen_mse"), make_switcher("adaptive", 0.6, None, 1, 1)
        ),
    }


@pytest.mark.parametrize("stage", ["stage 1", "stage 4"])
@pytest.mark.parametrize("part", [0, 1])
def test_show_results_draws_grey_fake_and_real_of_the_same_photo(stage, part, scenes, tmp_path, drawn):
    run = opened(scenes, tmp_path / "run")
    learn = learners(color_batches(run, prepared(run), LAB, bs=4))[stage]
    for _ in range(2):  # after a fit as well as before any
        with learn.no_bar(), learn.no_logging():
            learn.show_results(ds_idx=part, max_n=2)
            pictures = drawn()
            learn.fit(1)
    assert [title for title, _ in pictures] == ["grey", "fake", "real"] * 2
    for i in (0, 3):
        grey, fake, real = (picture for _, picture in pictures[i : i + 3])
        assert np.abs(grey - greyed(real)).mean() < 0.01
        lab = rgb2lab(fake)
        assert np.abs(lab[..., 0] - rgb2lab(real)[..., 0]).mean() < 0.5
        colored = np.hypot(lab[..., 1], lab[..., 2]) > 10  # not black and white, which have no hue
        hue = learn.model.generator.ab if stage == "stage 4" else learn.model.ab
        expected = np.arctan2(*hue.detach().flip(0).numpy())
        assert np.abs(np.arctan2(lab[..., 2], lab[..., 1])[colored] - expected).max() < 0.2
    assert np.abs(pictures[2][1] - pictures[5][1]).mean() > 0.02  # two photos


def test_predictions_are_of_all_photos_in_their_order(scenes, tmp_path):
    run = opened(scenes, tmp_path / "run")
    photos = prepared(run)
    learn = generator_learner(color_batches(run, photos, LAB, bs=5), Painter())
    for part, rows in enumerate((photos.train, photos.valid)):
        with learn.no_bar():
            fakes, reals = learn.get_preds(ds_idx=part)
        assert len(fakes) == len(reals) == len(rows)
        for row, fake, real in zip(rows, fakes, reals, strict=True):
            light = rgb2lab(photo_as_shown(scenes / photos.names[row], photos.squares.shape[1]))[..., 0]
            for image in (fake, real):
                assert np.abs(LAB.to_lab(image[None])[0, 0].numpy() - light).mean() < 1


def test_results_are_of_other_photos_each_time_unless_told():
    valid = batches(False)
    orders = {
        tuple(valid.new(shuffle=shuffle).one_batch()[:, 0, 0, 0].tolist()) for shuffle in (False, False, *[True] * 9)
    }
    assert len(orders) > 5
    assert (0, 1, 2, 3, 4) in orders
    assert valid.one_batch()[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]


class Constant(nn.Module):
    """A critic that says the same of every patch."""

    def __init__(self, share: float):
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(share).logit())

    def forward(self, images):
        return self.logit.expand(len(images), 4)


def test_a_critics_photos_stand_beside_their_fakes_with_label_and_verdict(scenes, tmp_path, drawn):
    run = opened(scenes, tmp_path / "run")
    photos = prepared(run)
    fakes = photos.squares.copy()
    fakes[..., 1:] = photos.squares[..., :0:-1]  # red and blue exchanged
    dls = critic_batches(run, photos, fakes, LAB, bs=8)
    dls.valid.show_batch(max_n=2)
    pictures = drawn()
    assert [title for title, _ in pictures] == ["real", "fake"] * 2
    for i in (0, 1):
        real = photo_as_shown(scenes / photos.names[photos.valid[i]], photos.squares.shape[1])
        assert np.abs(pictures[2 * i][1] - real).mean() < 0.01
        assert np.abs(pictures[2 * i + 1][1] - real).mean() > np.abs(pictures[2 * i + 1][1] - real[..., ::-1]).mean()
    learn = critic_learner(dls, Constant(0.75))
    with learn.no_bar():
        learn.show_results(max_n=2)
    assert [title for title, _ in drawn()] == ["real: 75% real", "fake: 75% real"] * 2


def test_unpaired_photos_are_shown_side_by_side_under_their_folders_names(tmp_path, drawn):
    for folder, color in (("sea", (0, 0, 250)), ("fire", (250, 0, 0))):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for n in range(14):
            Image.new("RGB", (40, 40), tuple(v and v - 4 * n for v in color)).save(
                tmp_path / "data" / folder / f"{n}.png"
            )
    run = opened(tmp_path / "data", tmp_path / "run", folders="sea,fire")
    dls = unpaired_batches(run, prepared(run, needs_color=False), SPACES["rgb_unit"], 2)
    dls.show_batch()
    pictures = drawn()
    assert [title for title, _ in pictures] == ["sea", "fire"] * 2
    for title, picture in pictures:
        red, green, blue = picture.reshape(-1, 3).mean(0)
        assert (red, blue) == (pytest.approx(0, abs=0.01), pytest.approx(0.9, abs=0.1))[:: 1 if title == "sea" else -1]
        assert green == pytest.approx(0, abs=0.01)
    x, y = dls.valid.one_batch()
    dls.valid.show_results((x, y), torch.ones_like(x))
    (before, sea), (after, white) = drawn()[:2]
    assert (before, after) == ("sea", "as fire")
    assert sea[..., 2].min() > 0.5 > sea[..., 0].max()
    assert white.min() == 1


def test_points_and_saturation_are_for_training_and_follow_from_the_seed(scenes, tmp_path):
    run = opened(scenes, tmp_path / "run")
    photos = prepared(run)
    plain, told = (color_batches(run, photos, LAB, 4, **more) for more in ({}, {"points": True, "saturation": 1.2}))
    pairs = list(zip(plain.train, told.train, strict=True))
    for (x, y), (heard, vivid) in pairs:
        assert torch.equal(heard[:, :1], x)
        assert torch.equal(vivid[:, :1], y[:, :1])
        torch.testing.assert_close(vivid[:, 1:], 1.2 * y[:, 1:])
        on = heard[:, 3:].bool().expand(-1, 2, -1, -1)
        assert not heard[:, 1:3][~on].any()
    assert any(heard[:, 3].any() for _, (heard, _) in pairs)
    again = color_batches(run, photos, LAB, 4, points=True, saturation=1.2)
    assert all(torch.equal(first, second) for (_, (first, _)), (second, _) in zip(pairs, again.train, strict=True))
    for (x, y), (heard, vivid) in zip(plain.valid, told.valid, strict=True):
        assert torch.equal(x, heard)
        assert torch.equal(y, vivid)


def test_more_saturated_colors_of_rgb_stay_within_it(scenes, tmp_path):
    run = opened(scenes, tmp_path / "run")
    _, y = next(iter(color_batches(run, prepared(run), SPACES["rgb"]).valid))
    before, after = (SPACES["rgb"].to_lab(image) for image in (y, SPACES["rgb"].saturated(y, 1.2)))
    inside = before[:, 1:].norm(dim=1) < 10
    torch.testing.assert_close(
        after[:, 1:].norm(dim=1)[inside], 1.2 * before[:, 1:].norm(dim=1)[inside], rtol=0.05, atol=0.1
    )
    assert SPACES["rgb"].to_rgb(SPACES["rgb"].saturated(y, 3.0)).isfinite().all()
