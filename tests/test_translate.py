"""Large photos in overlapping tiles: what a local network gives at once, and no seams where one is not local."""

from itertools import pairwise

import numpy as np
import pytest

from fastcolor.colorize import tiles as translate
from fastcolor.colorize.tiles import in_tiles, starts, translated


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """Tiles of 48 px that overlap by 16."""
    monkeypatch.setattr(translate, "TILE", 48)
    monkeypatch.setattr(translate, "OVERLAP", 16)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, np.float32)


@pytest.mark.parametrize("side", [1, 16, 47, 48, 49, 80, 81, 200, 1000])
def test_tiles_cover_a_side_overlap_enough_and_stay_within(side):
    begins = starts(side)
    assert begins[0] == 0
    assert min(begins[-1] + 48, side) == side
    assert begins[-1] + 48 <= max(side, 48)
    assert all(second <= first + 48 - 16 for first, second in pairwise(begins))
    assert len(begins) == 1 or (len(begins) - 1) * (48 - 16) + 16 < side + 32  # not one more than needed


@pytest.mark.parametrize("size", [(1, 1), (48, 48), (49, 40), (150, 70), (61, 203)])
def test_every_pixels_own_color_comes_back_as_it_was(size):
    photo = noise(1, 3, *size)
    np.testing.assert_allclose(in_tiles(photo, lambda tile: tile), photo, rtol=0, atol=1e-6)


def blurred(photo: np.ndarray) -> np.ndarray:
    """The mean of 3 x 3 pixels, with the outermost ones repeated."""
    padded = np.pad(photo, [(0, 0), (0, 0), (1, 1), (1, 1)], mode="edge")
    rows = sum(padded[..., i : i + photo.shape[-2], :] for i in range(3))
    return sum(rows[..., i : i + photo.shape[-1]] for i in range(3)) / 9


def test_a_local_network_gives_in_tiles_what_it_gives_at_once():
    """Pixel by pixel: everywhere; 3x3: all but the rows and columns at which a tile ends."""
    photo = noise(1, 3, 130, 170)
    np.testing.assert_allclose(in_tiles(photo, np.square), np.square(photo), rtol=0, atol=1e-5)
    # repetition is wrong at a tile's outermost pixels alone, which weigh 1/32 beside a neighbour that is right
    apart = np.abs(in_tiles(photo, blurred) - blurred(photo)).max((0, 1))
    cut_hard = np.abs(blurred(photo[..., :48, :48])[..., -1, :] - blurred(photo)[..., 47, :48]).max()
    assert apart.max() < 0.1 * cut_hard
    inside = np.ones(apart.shape, bool)
    for begins, along in ((starts(130), inside), (starts(170), inside.T)):
        for begin in begins:
            for border in (begin, begin + 47):
                along[border] = False
    assert apart[inside].max() < 1e-5


@pytest.mark.parametrize("size", [(60, 60), (130, 170), (49, 300)])
def test_tiles_of_different_moods_leave_no_seam(size):
    """Each tile is lifted by its own mean: cut hard, neighbours would jump by most of that difference."""
    ramp = np.linspace(0, 1, size[0])[:, None] * 0.5 + np.linspace(0, 1, size[1]) * 0.5
    photo = np.stack([ramp.astype(np.float32)] * 3)[None]
    painted = in_tiles(photo, lambda tile: np.full_like(tile, tile.mean()))
    jumps = max(np.abs(np.diff(painted, axis=axis)).max() for axis in (2, 3))
    means = [photo[..., t : t + 48, s : s + 48].mean().item() for t in starts(size[0]) for s in starts(size[1])]
    assert max(means) - min(means) > 0.05
    assert jumps < 0.3 * (max(means) - min(means))
    assert jumps < 2 / 16 * max(abs(a - b) for a in means for b in means)
    assert min(means) - 1e-6 <= painted.min() <= painted.max() <= max(means) + 1e-6


def test_each_tile_is_as_large_as_promised_and_no_larger():
    seen = []
    in_tiles(noise(1, 3, 130, 170), lambda tile: seen.append(tuple(tile.shape)) or tile)
    assert set(seen) == {(1, 3, 48, 48)}
    assert len(seen) == len(starts(130)) * len(starts(170)) == 4 * 5


def photo_of(dtype, shape=(70, 90, 3)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_depth_stays_and_nothing_is_lost_on_the_way(dtype):
    photo = photo_of(dtype)
    same = translated(photo, lambda tile: tile)
    assert same.dtype == dtype
    assert np.abs(same.astype(int) - photo).max() <= (0 if dtype == np.uint8 else 1)  # float32 has 24 bits
    inverted = translated(photo, lambda tile: 1 - tile)
    assert np.abs(inverted.astype(int) + photo - np.iinfo(dtype).max).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_strength_mixes_with_the_photo(dtype):
    photo, white = photo_of(dtype), np.iinfo(dtype).max

    def paint(tile):
        return np.ones_like(tile)

    assert np.array_equal(translated(photo, paint, strength=0.0), photo)
    assert (translated(photo, paint) == white).all()
    half = translated(photo, paint, strength=0.5).astype(float)
    np.testing.assert_allclose(half, (photo.astype(float) + white) / 2, atol=1)


def test_a_grey_photo_becomes_one_of_three_channels():
    grey = photo_of(np.uint8, (20, 30))
    assert np.array_equal(translated(grey, lambda tile: tile, strength=0.0), np.repeat(grey[..., None], 3, 2))
    assert translated(grey, lambda tile: tile).shape == (20, 30, 3)


@pytest.mark.parametrize("shape", [(70, 90, 3), (90, 70, 3), (20, 400, 3), (1, 1, 3), (500, 1, 3)])
def test_with_a_size_the_network_sees_the_short_side_at_it_and_the_photo_keeps_its_own(shape):
    seen = []

    def paint(tile):
        seen.append(tuple(tile.shape[-2:]))
        return tile

    smooth = np.full(shape, 90, np.uint8)
    assert np.array_equal(translated(smooth, paint, size=32), smooth)
    assert all(min(side) == 32 for side in seen)


def test_interpolation_does_not_leave_the_range():
    """Bicubic overshoots beside a hard edge: in 8 bits white would become black there."""
    edge = np.zeros((80, 80, 3), np.uint8)
    edge[:, 40:] = 255
    out = translated(edge, lambda tile: tile.round(), size=32).astype(int)
    assert (np.diff(out, axis=1) >= 0).all()
    assert (out.min(), out.max()) == (0, 255)
