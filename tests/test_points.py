"""Points of colour, as training draws them."""

from functools import cache

import numpy as np
import torch

from fastcolor.data.points import sample_points

SEEDS = range(300)


@cache
def drawn(count: int = 8, side: int = 176) -> list[torch.Tensor]:
    """The points of many batches of one smooth picture."""
    along = torch.linspace(-50, 50, side)
    ab = torch.stack([along.expand(side, side), along[:, None].expand(side, side)])
    return [sample_points(ab.expand(count, 2, side, side), seed) for seed in SEEDS]


def test_a_third_of_the_batches_has_no_points_and_of_the_other_photos_an_eighth():
    """An eighth: with p = 1/8, the first draw says stop (a geometric distribution)."""
    batches = drawn()
    spoken = [batch for batch in batches if batch.any()]
    assert abs(len(spoken) / len(batches) - 2 / 3) < 0.08
    silent = np.mean([not photo.any() for batch in spoken for photo in batch])
    assert abs(silent - 1 / 8) < 0.03


def test_points_have_their_places_mean_color_and_their_mask():
    for batch in [batch for batch in drawn() if batch.any()][:20]:
        on = batch[:, 2] == 1
        assert torch.equal(on, batch[:, 2] != 0)
        assert not batch[:, :2].permute(0, 2, 3, 1)[~on].any()
        a, b = batch[:, 0][on], batch[:, 1][on]
        y, x = (each.float() for each in torch.nonzero(on)[:, 1:].unbind(1))
        own = [each * 100 / 175 - 50 for each in (x, y)]
        # 9 px at most: no pixel is further than 8 of them from the middle of another point's that it covers
        assert (a - own[0]).abs().max() < 8 * 100 / 175
        assert (b - own[1]).abs().max() < 8 * 100 / 175


def test_a_point_by_itself_is_the_mean_of_the_square_below_it():
    ab, squares = torch.randn(16, 2, 64, 96, generator=torch.Generator().manual_seed(0)), 0
    for seed in SEEDS[:40]:
        for planes, real in zip(sample_points(ab, seed), ab, strict=True):
            y, x = torch.nonzero(planes[2], as_tuple=True)
            if len(y) not in (1, 4, 9) or len(planes[0, y, x].unique()) > 1:
                continue  # none, or several
            assert (y.max() - y.min() + 1) * (x.max() - x.min() + 1) == len(y)
            torch.testing.assert_close(planes[:2, y[0], x[0]], real[:, y, x].mean(dim=1))
            squares += 1
    assert squares > 20


def test_places_are_around_the_middle_and_one_photo_in_a_hundred_is_told_all():
    masks = torch.cat([batch[:, 2] for batch in drawn() if batch.any()])
    whole = masks.flatten(1).all(1)
    assert 0.002 < whole.float().mean() < 0.03
    places = torch.nonzero(masks[~whole])[:, 1:].float()
    assert (places.mean(0) - 87.5).abs().max() < 6
    assert 34 < places.std(0).mean() < 50  # a quarter of the side, but for those cut off at the edge


def test_patches_are_smaller_in_smaller_pictures():
    small, large = (torch.cat([b[:, 2] for b in drawn(side=side)]) for side in (88, 176))
    shares = [mask[~mask.flatten(1).all(1)].mean() for mask in (small, large)]
    assert 0.6 < shares[0] / shares[1] < 1.6


def test_the_same_seed_gives_the_same_points():
    ab = torch.randn(4, 2, 32, 32)
    seed = next(seed for seed in SEEDS if sample_points(ab, seed).any())
    assert torch.equal(sample_points(ab, seed), sample_points(ab, seed))
    assert not torch.equal(sample_points(ab, seed), sample_points(ab, seed + 1))
