"""Half steps: one network moves, all others stand still to the last bit; losses as worked out by hand."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from helpers import LR, PAIR, Painter, loaders, plain, scalars, state, trained
from torch import nn

from fastcolor.errors import UserError
from fastcolor.networks.classic import (
    ColorCritic,
    ColorCriticConfig,
    EncoderDecoder,
    EncoderDecoderConfig,
    PatchGAN,
    PatchGANConfig,
    Resnet,
    ResnetConfig,
    SkipUNet,
    SkipUNetConfig,
)
from fastcolor.recipes.cyclegan import CRITICS, GENERATORS, CycleStep
from fastcolor.recipes.lab_cgan import LabCGANStep
from fastcolor.recipes.lab_gan import LabGANStep
from fastcolor.recipes.pix2pix import Pix2PixStep
from fastcolor.training.adversarial import adversarial_loss, bce, gradient_penalty, least_squares, wasserstein
from fastcolor.training.steps import ImagePool, Networks, Step, recipe_learner, together
from fastcolor.training.stop import StopOnNaN


def same(before: dict, after: dict) -> bool:
    return all(torch.equal(before[name], after[name]) for name in before)


def thin_networks(recipe: str) -> tuple[Step, Networks, list[list[str]]]:
    """A recipe's step around its own kinds of networks, made thin."""
    torch.manual_seed(0)
    lab = {"space": "lab_unit"}
    if recipe == "pix2pix":
        critic = PatchGAN(PatchGANConfig(inputs=6, widths=(4, 8, 8, 8)))
        generator = SkipUNet(SkipUNetConfig(depth=5, channels=4))
        return Pix2PixStep(100.0), Networks(generator=generator, critic=critic), PAIR
    if recipe.startswith("lab_cgan"):
        # batch norm here, which the recipe has not: a harder test of standing still
        generator = SkipUNet(SkipUNetConfig(**lab, depth=5, channels=4, norm="batch"))
        critic = PatchGAN(PatchGANConfig(**lab, inputs=3, widths=(4, 8, 8, 8), norm="batch"))
        return LabCGANStep(recipe.partition(" ")[2], 100.0), Networks(generator=generator, critic=critic), PAIR
    if recipe == "lab_gan":
        critic = ColorCritic(ColorCriticConfig(size=32, channels=4))
        return LabGANStep(2), Networks(generator=EncoderDecoder(EncoderDecoderConfig(channels=4)), critic=critic), PAIR
    # batch norm in the critics, as above
    networks = {name: Resnet(ResnetConfig(channels=4, blocks=1)) for name in GENERATORS}
    networks |= {name: PatchGAN(PatchGANConfig(inputs=3, widths=(4, 8, 8), norm="batch")) for name in CRITICS}
    return CycleStep(10.0, 0.5, lambda steps: None), Networks(**networks), [GENERATORS, CRITICS]


TURNS = {
    "pix2pix": [("critic",), ("generator",)] * 5,
    "lab_cgan bce": [("critic",), ("generator",)] * 5,
    "lab_cgan lsgan": [("critic",), ("generator",)] * 5,
    "lab_cgan wgan-gp": [("critic",)] * 5 + [("generator",)],
    "lab_gan": [("critic",), ("critic",), ("generator",)] * 5,
    "cyclegan": [tuple(GENERATORS), tuple(CRITICS)] * 5,
}


@pytest.mark.parametrize("recipe", TURNS)
def test_in_every_half_step_only_the_networks_whose_turn_it_is_move(recipe, monkeypatch):
    """To the last bit, batch norm's statistics too. The forward pass before the first turn serves both (pix2pix)."""
    step, networks, groups = thin_networks(recipe)
    seen, turn = [], Step.turn

    @contextmanager
    def watched(self, *names):
        before = {name: state(network) for name, network in networks.named_children()}
        with turn(self, *names):
            yield
        changed = {name for name, network in networks.named_children() if not same(before[name], state(network))}
        seen.append((names, changed))
        assert all(parameter.requires_grad and parameter.grad is None for parameter in networks.parameters())

    def watched_backward(self, loss):
        backward(self, loss)
        for network in networks.children():  # no gradient is worked out for those that rest
            learns = {parameter.requires_grad for parameter in network.parameters()}
            assert len(learns) == 1
            assert any(parameter.grad is not None for parameter in network.parameters()) is learns.pop()

    backward = Step.backward
    monkeypatch.setattr(Step, "turn", watched)
    monkeypatch.setattr(Step, "backward", watched_backward)
    channels = 1 if recipe.startswith("lab") else 3
    batches = [(torch.rand(4, channels, 32, 32) * 2 - 1, torch.rand(4, 3, 32, 32) * 2 - 1) for _ in range(5)]
    trained(step, networks, groups, batches, lr=2e-4)
    assert [names for names, _ in seen] == TURNS[recipe]
    assert all(changed == set(names) for names, changed in seen)


def test_a_network_at_rest_does_not_move_even_where_its_fakes_were_not_detached():
    class Careless(Step):
        def take(self, x, y):
            fake = self.generator(x)
            with self.turn("critic"):
                loss = bce(self.critic(fake), False)  # not detached
                self.backward(loss)
            return {"critic_loss": loss}

    step, (_, networks, groups) = Careless(), scalars("bce")
    trained(step, networks, groups, [(plain(0.5), plain(0.5, -0.2, -0.4))] * 3, LR)
    assert networks.generator.factor.item() == pytest.approx(0.6, abs=1e-7)
    assert networks.critic.factor.item() != 1.0


@pytest.mark.parametrize("recipe", ["pix2pix", "lab_cgan bce", "lab_gan", "cyclegan"])
def test_a_loss_that_is_no_number_ends_the_fit_before_any_weight_is_spoilt(recipe):
    step, networks, groups = thin_networks(recipe)
    channels = 1 if recipe.startswith("lab") else 3
    batches = [(torch.rand(4, channels, 32, 32), torch.rand(4, 3, 32, 32)) for _ in range(2)]
    batches[1][1][:] = float("nan")
    stop = StopOnNaN()
    trained(step, networks, groups, batches, lr=2e-4, cbs=stop)
    assert "epoch 1, batch 2" in stop.failed
    assert all(parameter.isfinite().all() for parameter in networks.parameters())


def test_validation_moves_nothing():
    step, networks, groups = thin_networks("pix2pix")
    learn = recipe_learner(loaders((torch.rand(4, 3, 32, 32), torch.rand(4, 3, 32, 32))), networks, step, groups=groups)
    before = state(networks)
    with learn.no_bar(), learn.no_logging():
        learn.validate()
    assert same(before, state(networks))


class Rates(Callback):
    """The learning rates of each half step."""

    order = 99

    def before_fit(self):
        self.seen = []

    def after_batch(self):
        if self.training:
            self.seen.append([hyper["lr"] for hyper in self.opt.hypers])


def test_a_schedule_reaches_the_half_steps():
    """fastai sets a batch's learning rate before the batch begins: the step must come after that."""
    from fastai.callback.schedule import ParamScheduler, SchedLin

    step, networks, groups = scalars("pix2pix")
    moves, rates = [], Rates()
    step_of = Step.turn

    @contextmanager
    def watched(self, *names):
        before = networks.critic.factor.item()
        with step_of(self, *names):
            yield
        if "critic" in names:
            moves.append(abs(networks.critic.factor.item() - before))

    batches = [(torch.full((1, 3, 2, 2), 0.5), torch.full((1, 3, 2, 2), -0.2))] * 4
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Step, "turn", watched)
        trained(step, networks, groups, batches, lr=0.01, cbs=[ParamScheduler({"lr": SchedLin(0.01, 0.0)}), rates])
    assert [first for first, _ in rates.seen] == pytest.approx([0.01, 0.0075, 0.005, 0.0025])
    assert moves[0] == pytest.approx(0.01, rel=1e-3)  # Adam's first step is the learning rate
    assert moves[3] < 0.5 * moves[0]


def test_bce_is_that_of_the_sigmoid():
    logits = torch.tensor([[0.0, 1.0], [-2.0, 3.0]])
    # -log sigmoid(v) = log(1 + e^-v); -log(1 - sigmoid(v)) = log(1 + e^v)
    real = (0.693147 + 0.313262 + 2.126928 + 0.048587) / 4
    fake = (0.693147 + 1.313262 + 0.126928 + 3.048587) / 4
    assert bce(logits, True).item() == pytest.approx(real, abs=1e-5)
    assert bce(logits, False).item() == pytest.approx(fake, abs=1e-5)


def test_least_squares_and_wasserstein_are_means_over_patches():
    scores = torch.tensor([[0.0, 1.0], [-2.0, 3.0]])
    assert least_squares(scores, True).item() == pytest.approx((1 + 0 + 9 + 4) / 4)
    assert least_squares(scores, False).item() == pytest.approx((0 + 1 + 4 + 9) / 4)
    assert wasserstein(scores, True).item() == pytest.approx(-0.5)
    assert wasserstein(scores, False).item() == pytest.approx(0.5)


def test_an_adversarial_loss_that_does_not_exist_is_named():
    assert adversarial_loss("lsgan") is least_squares
    with pytest.raises(UserError, match="--adversarial hinge is unknown: choose bce, lsgan or wgan-gp"):
        adversarial_loss("hinge")


@pytest.mark.parametrize("slope", [0.0, 1.0, 3.0])
def test_the_gradient_penalty_of_a_critic_of_slope_k_is_k_minus_1_squared(slope):
    torch.manual_seed(0)
    direction = torch.randn(2 * 4 * 4)
    direction /= direction.norm()

    def critic(images):  # three patches, whose mean has that slope
        score = images.flatten(1) @ direction
        return torch.stack([2 * slope * score, slope * score, torch.ones_like(score)], dim=1)

    penalty = gradient_penalty(critic, torch.randn(5, 2, 4, 4), torch.randn(5, 2, 4, 4))
    assert penalty.item() == pytest.approx((slope - 1) ** 2, abs=1e-5)


def test_the_gradient_penalty_is_measured_between_real_and_fake():
    """The slope of a sum of squares is twice the distance from the origin, so the penalty tells where it is taken."""
    torch.manual_seed(1)
    real, fake = torch.full((2000, 1, 1, 1), 1.0), torch.full((2000, 1, 1, 1), 3.0)
    penalty = gradient_penalty(lambda images: images.square().flatten(1), real, fake).item()
    # slope 2t with t uniform in 1..3: the mean of (2t - 1)^2 is (5^3 - 1^3) / (6 x 2) = 10.33
    assert penalty == pytest.approx(10.33, rel=0.03)


def test_the_gradient_penalty_teaches_the_critic_its_slope():
    critic = nn.Sequential(nn.Flatten(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(critic.parameters(), lr=0.2)
    for _ in range(60):
        optimizer.zero_grad()
        gradient_penalty(critic, torch.rand(4, 2, 2, 2), torch.rand(4, 2, 2, 2)).backward()
        optimizer.step()
    assert critic[1].weight.norm().item() == pytest.approx(1, abs=1e-3)


def images(count: int, begin: int = 0) -> torch.Tensor:
    return torch.arange(begin, begin + count).float().view(-1, 1, 1, 1).expand(-1, 3, 2, 2).clone()


def test_an_image_pool_gives_back_what_it_gets_until_it_is_full():
    pool = ImagePool(6)
    for begin in (0, 4):
        assert torch.equal(pool(images(4, begin))[: 6 - begin], images(4, begin)[: 6 - begin])
    assert len(pool.images) == 6


def test_a_full_image_pool_gives_a_mix_and_loses_nothing():
    torch.manual_seed(0)
    pool = ImagePool(5)
    pool(images(5))
    given = torch.cat([pool(images(4, 5 + 4 * n)) for n in range(100)])[:, 0, 0, 0]
    new = torch.arange(5, 405).float()
    late = (given != new).float().mean().item()
    assert 0.42 < late < 0.58  # half of the time; deviation 0.025
    # what came in is what came out and what is still there
    there = torch.cat([given, pool.images[:, 0, 0, 0]])
    assert sorted(there.tolist()) == list(range(405))
    assert all(given[i] <= new[i] for i in range(400))  # nothing comes before its time


def test_an_image_pool_follows_from_torchs_seed_and_keeps_no_graph():
    given = []
    for _ in range(2):
        torch.manual_seed(7)
        pool = ImagePool(3)
        fakes = images(10).requires_grad_(True)
        given.append(pool(fakes))
        assert not pool.images.requires_grad
        assert not given[-1].requires_grad
    assert torch.equal(*given)
    assert not torch.equal(given[0], images(10))


def test_a_pool_is_not_changed_by_what_happens_to_its_images_later():
    torch.manual_seed(0)
    pool, fakes = ImagePool(2), images(2)
    pool(fakes)
    fakes += 100
    given = pool(images(2, 2))
    kept = pool.images.clone()
    given += 100
    assert torch.equal(pool.images, kept)
    assert pool.images.max() < 100


def test_a_pool_resumes_where_it_was():
    step, other = (CycleStep(10.0, 0.5, lambda steps: None) for _ in "ab")
    step.pools["monet"](images(50)), step.pools["photo"](images(7))
    other.load_resume_state({name: value.clone() for name, value in step.resume_state().items()})
    given = []
    for each in (step, other):
        torch.manual_seed(3)
        given.append(torch.cat([each.pools["monet"](images(20, 50)), each.pools["photo"](images(20, 50))]))
    assert torch.equal(*given)
    assert not np.array_equal(given[0][:20], images(20, 50))


def test_in_bf16_a_second_turn_sees_the_weights_that_the_first_has_moved():
    """autocast keeps the bf16 copy of a weight until its context ends, which is after the whole batch."""
    seen = []

    class Twice(Step):
        def take(self, x, y):
            with torch.autocast("cpu", torch.bfloat16):
                for _ in "ab":
                    with self.turn("critic"):
                        scores = self.critic(x.flatten(1))
                        seen.append(scores.float().mean().item())
                        self.backward(scores.float().mean())
            return {"critic_loss": scores.mean()}

    networks = Networks(generator=Painter(1.0), critic=nn.Linear(12, 1))
    trained(Twice(), networks, PAIR, [(plain(1.0, 1.0, 1.0), plain(1.0, 1.0, 1.0))], LR)
    assert seen[1] == pytest.approx(seen[0] - 13 * LR, abs=0.1)  # 12 weights and a bias, LR each


@pytest.mark.parametrize(
    "network", [Resnet(ResnetConfig(channels=4, blocks=1)), PatchGAN(PatchGANConfig(inputs=3, norm="group"))]
)
def test_batches_that_go_through_a_network_together_come_out_as_one_by_one(network):
    batches = [torch.rand(count, 3, 48, 48) for count in (1, 3)]
    with torch.no_grad():
        for found, batch in zip(together(network, *batches), batches, strict=True):
            torch.testing.assert_close(found, network(batch), rtol=1e-4, atol=1e-5)
