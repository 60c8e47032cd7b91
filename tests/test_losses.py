"""The losses: worked out by hand, and of what they are to notice."""

import pytest
import torch
from torch import nn

from fastcolor.color.spaces import SPACES
from fastcolor.errors import UserError
from fastcolor.training import features, losses
from fastcolor.training.losses import LOSSES, ChromaLoss, PhotoLoss, make_loss, usual_loss

CPU = torch.device("cpu")


@pytest.fixture
def any_squeezenet(monkeypatch):
    """Random weights instead of ImageNet's, which are a download."""
    monkeypatch.setattr(features, "load_imagenet", lambda arch, load: None)
    torch.manual_seed(0)


def image(a: float, b: float) -> torch.Tensor:
    """One pixel in standardised Lab."""
    return torch.tensor([0.3, a, b]).view(1, 3, 1, 1)


def test_chroma_loss_is_smooth_l1_weighted_by_the_real_chroma():
    fake = torch.cat([image(0, 0), image(0, 0)], dim=3)
    real = torch.cat([image(0.4, 0), image(3, 4)], dim=3)
    # smooth L1, mean of a and b: (0.5 * 0.4^2 + 0) / 2 = 0.04 and (2.5 + 3.5) / 2 = 3; weights 1 + 0.75 x 0.4 and x 5
    assert ChromaLoss("lab")(fake, real).item() == pytest.approx((1.3 * 0.04 + 4.75 * 3) / (1.3 + 4.75))


def test_chroma_loss_pays_no_heed_to_light():
    fake, real = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    brighter = real + torch.tensor([1.0, 0, 0]).view(3, 1, 1)
    assert torch.equal(ChromaLoss("lab")(fake, real), ChromaLoss("lab")(fake, brighter))


def test_both_spaces_are_judged_alike():
    rgb = torch.rand(2, 2, 3, 40, 40)
    grey = torch.rand(2, 1, 40, 40)
    in_lab, in_rgb = ([SPACES[s].image(grey, each) for each in rgb] for s in ("lab", "rgb"))
    assert ChromaLoss("lab")(*in_lab).item() == pytest.approx(ChromaLoss("rgb")(*in_rgb).item(), rel=1e-3)


def test_photo_loss_is_zero_for_the_photo_itself_and_grows_with_the_error(any_squeezenet):
    loss = PhotoLoss("lab")
    real = 0.5 * torch.randn(2, 3, 64, 64)
    errors = [loss(real + torch.tensor([0, shift, -shift]).view(3, 1, 1), real).item() for shift in (0.0, 0.3, 1.0)]
    assert errors[0] == pytest.approx(0, abs=1e-6)
    assert errors[0] < errors[1] < errors[2]


def test_photo_loss_is_chroma_loss_plus_the_distance_of_normalised_features(any_squeezenet):
    loss = PhotoLoss("lab")
    fake, real = 0.4 * torch.randn(1, 3, 48, 48), 0.4 * torch.randn(1, 3, 48, 48)
    kept = []
    for part in loss.seen.layers:
        part.register_forward_hook(lambda module, inputs, output: kept.append(output))
    found = loss(fake, real).item()
    unit = [each / each.square().sum(1, keepdim=True).sqrt() for each in kept]
    apart = sum((a - b).square().sum(1).mean().item() for a, b in zip(unit[:7], unit[7:], strict=True))
    assert found == pytest.approx(ChromaLoss("lab")(fake, real).item() + losses.FEATURE_WEIGHT * apart, rel=1e-3)


def test_photo_loss_teaches_the_image_and_not_its_own_features(any_squeezenet):
    loss = PhotoLoss("lab")
    fake = (0.4 * torch.randn(1, 3, 48, 48)).requires_grad_()
    loss(fake, torch.zeros(1, 3, 48, 48)).backward()
    assert fake.grad[:, 1:].abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in loss.parameters())


def test_a_loss_that_does_not_exist_is_refused():
    assert make_loss("mse", "lab", CPU)(torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)).item() == 1
    assert isinstance(make_loss("chroma", "rgb", CPU), nn.Module)
    with pytest.raises(UserError, match="--loss l1 is unknown: choose mse, chroma, photo"):
        make_loss("l1", "lab", CPU)


@pytest.mark.parametrize(
    ("is_sample", "hears", "name"), [(True, True, "chroma"), (False, False, "photo"), (False, True, "felt")]
)
def test_stage_4_learns_from_photos_as_its_generator_did(is_sample, hears, name, any_squeezenet):
    assert usual_loss(is_sample, hears) == name


def test_without_squeezenet_stage_4_learns_chroma_and_says_so(capsys):
    assert usual_loss(is_sample=False, hears=True) == "chroma"
    assert capsys.readouterr().out.startswith("note: the loss is chroma instead of felt, as squeezenet1_1's")


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_nothing_for_the_photo_itself_and_teaches_what_differs(name, any_squeezenet):
    loss, real = make_loss(name, "lab", CPU), 0.3 * torch.randn(1, 3, 48, 48)
    fake = real.clone().requires_grad_()
    assert loss(fake, real).item() == pytest.approx(0, abs=1e-6)
    loss(fake + 0.1 * torch.randn(1, 3, 48, 48), real).backward()
    assert fake.grad[:, 1:].abs().sum() > 0
