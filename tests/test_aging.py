"""Photos aged: still recognisable, each in its own way, and worse in the ways of old prints."""

import numpy as np
import torch

from fastcolor.color.aging import age
from fastcolor.scenes.landscapes import draw_scene


def photos(count: int = 12, side: int = 96) -> torch.Tensor:
    return torch.stack([torch.from_numpy(np.array(draw_scene(i, side))) for i in range(count)]).permute(0, 3, 1, 2)


def test_an_aged_photo_still_shows_the_same():
    real = photos()
    aged = age(real, 1)
    assert (aged.shape, aged.dtype) == ((12, 1, 96, 96), torch.uint8)
    alike = [np.corrcoef(a.flatten(), r.float().mean(0).flatten())[0, 1] for a, r in zip(aged, real, strict=True)]
    assert min(alike) > 0.3
    assert np.mean(alike) > 0.75


def test_ageing_follows_from_its_seed_and_differs_from_photo_to_photo():
    same = photos(1).repeat(4, 1, 1, 1)
    first = age(same, 5)
    assert torch.equal(first, age(same, 5))
    assert not torch.equal(first, age(same, 6))
    assert all((first[i].float() - first[j].float()).abs().mean() > 2 for i in range(4) for j in range(i))


def test_prints_fade_blacks_get_lighter_and_whites_darker():
    stripes = torch.zeros(64, 3, 32, 32, dtype=torch.uint8)
    stripes[..., 16:] = 255
    aged = age(stripes, 2).float()
    dark, light = aged[..., 2:14].mean((1, 2, 3)), aged[..., 18:30].mean((1, 2, 3))
    assert (dark > 5).float().mean() > 0.5
    assert (light < 250).float().mean() > 0.5
    assert (dark < light).all()


def test_early_film_is_blind_to_red():
    """Pure red and pure blue: luminance has red three times as light, an orthochromatic film blue ten times."""
    red, blue = torch.zeros(64, 3, 32, 32, dtype=torch.uint8), torch.zeros(64, 3, 32, 32, dtype=torch.uint8)
    red[:, 0], blue[:, 2] = 255, 255
    difference = (age(blue, 3).float() - age(red, 3).float()).mean((1, 2, 3))
    assert 0.2 < (difference > 5).float().mean() < 0.6
    assert (difference < -5).float().mean() > 0.3
