"""The recipes' objectives: losses, their order and their steps, worked out by hand on networks of one number each."""

import copy
import math
from types import SimpleNamespace

import pytest
import torch
from helpers import LR, PAIR, loaders, plain, scalars, state, trained
from torch import nn

from fastcolor import processes
from fastcolor.networks.classic import PatchGAN, PatchGANConfig, SkipUNet, SkipUNetConfig
from fastcolor.recipes.lab_gan import LabGANStep
from fastcolor.recipes.pix2pix import Pix2PixStep
from fastcolor.training.adversarial import bce
from fastcolor.training.steps import Networks, Step, recipe_learner


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


def losses_of(step) -> dict[str, float]:
    return {name: value.item() for name, value in step.losses.items()}


def test_pix2pixs_losses_are_those_of_its_docstring():
    step, networks, groups = scalars("pix2pix")
    trained(step, networks, groups, [(plain(0.5, 0.5, 0.5), plain(-0.2, -0.2, -0.2))], LR)
    # the fake is 0.6 x 0.5 = 0.3; the critic sees grey beside it: (0.5 + 0.3) / 2 = 0.4, and (0.5 - 0.2) / 2 = 0.15
    # d/dw of the critic's loss, (0.4 sigmoid(0.4) - 0.15 sigmoid(-0.15)) / 2, is above 0: the judge moves to 0.9 first
    assert losses_of(step) == pytest.approx(
        {
            "critic_loss": (softplus(0.4) + softplus(-0.15)) / 2,
            "gen_adversarial": softplus(-0.9 * 0.4),
            "gen_l1": 0.5,
        },
        abs=1e-5,
    )
    assert networks.critic.factor.item() == pytest.approx(0.9, abs=1e-4)
    # 100 x L1 falls with the factor (slope 100 x 0.5), the adversarial loss grows (slope below 0.3): L1 decides
    assert networks.generator.factor.item() == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize("name", ["bce", "lsgan"])
def test_lab_cgans_losses_are_the_mean_of_real_and_fake_and_l1_of_ab(name):
    step, networks, groups = scalars(name)
    trained(step, networks, groups, [(plain(0.5), plain(0.5, -0.2, -0.4))], LR)
    fake, real = (0.5 + 0.3 + 0.3) / 3, (0.5 - 0.2 - 0.4) / 3
    if name == "bce":  # the critic's loss grows with its factor
        critic, adversarial, moved = (softplus(fake) + softplus(-real)) / 2, softplus(-0.9 * fake), 0.9
    else:
        critic, adversarial, moved = (fake**2 + (real - 1) ** 2) / 2, (0.9 * fake - 1) ** 2, 0.9
    expected = {"critic_loss": critic, "gen_adversarial": adversarial, "gen_l1": (0.5 + 0.7) / 2}
    assert losses_of(step) == pytest.approx(expected, abs=1e-5)
    assert networks.critic.factor.item() == pytest.approx(moved, abs=1e-4)
    assert networks.generator.factor.item() == pytest.approx(0.5, abs=1e-4)


def test_wgan_gps_loss_is_the_sum_of_its_halves_and_ten_times_the_penalty():
    step, networks, groups = scalars("wgan-gp")
    trained(step, networks, groups, [(plain(0.5), plain(0.5, -0.2, -0.4))], LR, betas=(0.0, 0.9))
    fake, real, slope = 1.1 / 3, -0.1 / 3, 1 / math.sqrt(12)  # a mean of 12 numbers
    found = losses_of(step)
    assert found["wasserstein_loss"] == pytest.approx(fake - real + 10 * (slope - 1) ** 2, abs=1e-4)
    assert math.isnan(found["gen_adversarial"])  # the generator's turn is every fifth batch
    assert networks.generator.factor.item() == pytest.approx(0.6)
    trained(step, networks, groups, [(plain(0.5), plain(0.5, -0.2, -0.4))] * 5, 0.0, betas=(0.0, 0.9))
    found = losses_of(step)
    assert found["gen_adversarial"] == pytest.approx(-networks.critic.factor.item() * fake, abs=1e-4)
    assert found["gen_l1"] == pytest.approx(0.6, abs=1e-5)


def test_wgan_gps_generator_has_every_fifth_turn_of_short_epochs_too():
    step, networks, groups = scalars("wgan-gp")
    batch = (plain(0.5), plain(0.5, -0.2, -0.4))
    learn = recipe_learner(loaders(batch, batch, batch), networks, step, groups=groups)
    turns, turn = [], Step.turn
    with pytest.MonkeyPatch.context() as patch, learn.no_bar(), learn.no_logging():
        patch.setattr(Step, "turn", lambda self, name: turns.append(name) or turn(self, name))
        learn.fit(4, lr=1e-3)
    assert turns == (["critic"] * 5 + ["generator"]) * 2 + ["critic"] * 2


def test_lab_gans_critic_learns_from_real_then_from_fakes_and_the_generator_from_the_critic_alone():
    step, networks, groups = scalars("lab_gan")
    light, photos = torch.cat([plain(0.9), plain(0.5)]), torch.cat([plain(0.5, 0.2, 0.2), plain(9.0, 9.0, 9.0)])
    trained(step, networks, groups, [(light, photos)], [LR, LR])
    # the first half real, the second half faked
    real, late, early = 0.3, (0.5 + 0.3 + 0.3) / 3, (0.9 + 0.54 + 0.54) / 3
    first = -real / (1 + math.exp(real))  # gradient of softplus(-0.3 w) at w = 1
    after_real = 1 + LR
    second = late / (1 + math.exp(-after_real * late))  # of softplus(late x w)
    # Adam's second step, betas 0.5 and 0.999, written out with its corrections of the bias
    mean = (0.5 * 0.5 * first + 0.5 * second) / (1 - 0.5**2)
    square = (0.999 * 0.001 * first**2 + 0.001 * second**2) / (1 - 0.999**2)
    after_fake = after_real - LR * mean / math.sqrt(square)
    expected = {
        "critic_loss": (softplus(-real) + softplus(after_real * late)) / 2,
        "gen_adversarial": (softplus(-after_fake * early) + softplus(-after_fake * late)) / 2,
    }
    assert losses_of(step) == pytest.approx(expected, abs=1e-5)
    assert networks.critic.factor.item() == pytest.approx(after_fake, abs=1e-5)
    assert networks.generator.factor.item() == pytest.approx(0.7, abs=1e-4)


def test_cyclegans_losses_are_the_papers():
    step, networks, groups = scalars("cyclegan")
    trained(step, networks, groups, [(plain(0.5, 0.5, 0.5), plain(-0.4, -0.4, -0.4))], LR)
    monet, photo = 0.6 * 0.5, -0.8 * -0.4
    cycle = abs(-0.8 * monet - 0.5) + abs(0.6 * photo + 0.4)
    same_ones = abs(0.6 * -0.4 + 0.4) + abs(-0.8 * 0.5 - 0.5)
    # the generators move first, yet their fakes are judged as they were painted
    of_monet = ((-0.4 - 1) ** 2 + monet**2) / 2
    of_photo = ((2 * 0.5 - 1) ** 2 + (2 * photo) ** 2) / 2
    expected = {
        "gen_adversarial": (monet - 1) ** 2 + (2 * photo - 1) ** 2,
        "cycle_l1": cycle,
        "identity_l1": same_ones,
        "critic_loss": (of_monet + of_photo) / 2,
    }
    assert losses_of(step) == pytest.approx(expected, abs=1e-5)


def test_cyclegans_generators_step_along_the_gradient_of_the_whole_objective():
    """Adversarial + 10 cycle + 5 identity, differentiated by finite differences; weights and signs as in the paper."""
    x, y, judge_monet, judge_photo = 0.5, -0.4, 1.0, 2.0

    def objective(to_monet, to_photo):
        monet, photo = to_monet * x, to_photo * y
        adversarial = (judge_monet * monet - 1) ** 2 + (judge_photo * photo - 1) ** 2
        cycle = abs(to_photo * monet - x) + abs(to_monet * photo - y)
        return adversarial + 10 * cycle + 5 * (abs(to_monet * y - y) + abs(to_photo * x - x))

    step, networks, groups = scalars("cyclegan")
    gradients = []
    learn = recipe_learner(loaders((plain(x, x, x), plain(y, y, y))), networks, step, groups=groups)
    learn.create_opt()
    move = learn.opt.step
    learn.opt.step = lambda: (gradients.append([networks.to_monet.factor.grad, networks.to_photo.factor.grad]), move())
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, lr=0.0)
    at, h = (0.6, -0.8), 1e-5
    expected = [
        (objective(at[0] + h, at[1]) - objective(at[0] - h, at[1])) / (2 * h),
        (objective(at[0], at[1] + h) - objective(at[0], at[1] - h)) / (2 * h),
    ]
    assert [gradient.item() for gradient in gradients[0]] == pytest.approx(expected, rel=1e-4)
    assert gradients[1] == [None, None]


@pytest.mark.parametrize("micro", [1, 3, 8])
def test_micro_batches_give_the_gradient_of_one_large_batch(micro):
    """Exact without batch norm, whose statistics are those of a part."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(3 * 16, 1))
    images = torch.randn(8, 2, 6, 6)
    step = LabGANStep(micro)
    step.learn = SimpleNamespace()
    loss = step.accumulate(images, processes.share_of(images), lambda part: bce(network(part), True))
    found = [parameter.grad.clone() for parameter in network.parameters()]
    whole = bce(network(images), True)
    expected = torch.autograd.grad(whole, list(network.parameters()))
    assert loss.item() == pytest.approx(whole.item(), rel=1e-5)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_networks_see_no_more_than_a_micro_batch_at_once():
    step, networks, groups = scalars("lab_gan")
    step.micro, counts = 3, set()
    for network in networks.children():
        network.register_forward_pre_hook(lambda module, images: counts.add(len(images[0])))
    trained(step, networks, groups, [(plain(0.5, count=8), plain(0.5, 0.1, 0.1, count=8))], [LR, LR])
    assert counts == {1, 2, 3, 8}  # halves of 4 as 3 + 1, all 8 as 3 + 3 + 2; validation's 8


def first_steps_by_hand(generator, critic, batches) -> None:
    """pix2pix as its docstring has it, with torch.optim and without any of the package's own functions."""
    adam = {"lr": 2e-4, "betas": (0.5, 0.999)}
    move_generator, move_critic = (torch.optim.Adam(each.parameters(), **adam) for each in (generator, critic))
    for x, y in batches:
        fake = generator(x)
        move_critic.zero_grad()
        on_fake, on_real = critic(torch.cat((x, fake.detach()), 1)), critic(torch.cat((x, y), 1))
        (0.5 * (-torch.log(1 - torch.sigmoid(on_fake)).mean() - torch.log(torch.sigmoid(on_real)).mean())).backward()
        move_critic.step()
        move_generator.zero_grad()
        fooled = -torch.log(torch.sigmoid(critic(torch.cat((x, fake), 1)))).mean()
        (fooled + 100 * (fake - y).abs().mean()).backward()
        move_generator.step()


def test_pix2pixs_first_steps_are_those_of_an_independent_implementation():
    """Batch norm and dropout at work, the same seed; weights of both networks to 1e-6."""
    torch.manual_seed(0)
    generator = SkipUNet(SkipUNetConfig(depth=6, channels=4))
    critic = PatchGAN(PatchGANConfig(inputs=6, widths=(4, 8, 8, 8)))
    mine = Networks(generator=copy.deepcopy(generator), critic=copy.deepcopy(critic))
    batches = [(torch.rand(3, 3, 64, 64) * 2 - 1, torch.rand(3, 3, 64, 64) * 2 - 1) for _ in range(2)]
    before = state(generator)
    torch.manual_seed(5)
    first_steps_by_hand(generator, critic, batches)
    torch.manual_seed(5)
    trained(Pix2PixStep(100.0), mine, PAIR, batches, lr=2e-4)
    for theirs, ours in ((generator, mine.generator), (critic, mine.critic)):
        for (name, one), other in zip(theirs.named_parameters(), ours.parameters(), strict=True):
            torch.testing.assert_close(other, one, rtol=0, atol=1e-6, msg=name)
    assert max((before[name] - value).abs().max() for name, value in generator.named_parameters()) > 1e-4  # it did move
