"""The fused Adam against fastai's own: the same steps, the same state, whatever the memory layout."""

import copy
from functools import partial

import pytest
import torch
from fastai import optimizer as fastais
from fastai.learner import Learner
from helpers import loaders
from torch import nn

from fastcolor.training.optimizer import Adam

BATCHES = [(torch.rand(4, 3, 8, 8), torch.rand(4, 1)) for _ in range(3)]


def network() -> nn.Module:
    """Convolutions with channels last, some of which have a side or a channel count of 1, and a norm and biases."""
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(3, 4, 4, 2, 1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 6, 1),
        nn.Conv2d(6, 1, 3, padding=1),
    ]
    layers += [nn.ConvTranspose2d(1, 5, 2, 2), nn.Conv2d(5, 2, 8), nn.Flatten(), nn.Linear(2, 1)]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def learner(opt_func, **options) -> Learner:
    return Learner(
        loaders(*BATCHES), network(), loss_func=nn.MSELoss(), opt_func=partial(opt_func, **options),
        splitter=lambda net: [list(net[:4].parameters()), list(net[4:].parameters())],
    )  # fmt: skip


def fitted(learn: Learner, epochs: int = 2) -> Learner:
    with learn.no_bar(), learn.no_logging():
        learn.fit(epochs, lr=[1e-3, 1e-2])
    return learn


OPTIONS = [
    {"wd": 0.0, "mom": 0.5, "sqr_mom": 0.999, "eps": 1e-8},  # recipes
    {"mom": 0.0, "sqr_mom": 0.99, "wd": 1e-3},  # stage 4
    {"wd": 0.1},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_it_moves_every_parameter_as_fastais_adam_does(options):
    ours, theirs = fitted(learner(Adam, **options)), fitted(learner(fastais.Adam, **options))
    for mine, wanted in zip(ours.model.parameters(), theirs.model.parameters(), strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-5, atol=1e-6)
    states = (learn.opt.state_dict()["state"] for learn in (ours, theirs))
    for mine, wanted in zip(*states, strict=True):
        assert mine.keys() == wanted.keys()
        assert (mine["step"], type(mine["step"])) == (wanted["step"], int)
        for name in ("grad_avg", "sqr_avg"):
            torch.testing.assert_close(mine[name], wanted[name], rtol=1e-4, atol=1e-7)


def test_it_goes_on_from_a_state_of_fastais_adam():
    theirs = fitted(learner(fastais.Adam))
    ours = learner(Adam)
    ours.create_opt()
    ours.model.load_state_dict(theirs.model.state_dict())
    ours.opt.load_state_dict(copy.deepcopy(theirs.opt.state_dict()))
    for learn in (ours, theirs):
        learn.model.train()
        learn.opt.set_hypers(lr=[1e-3, 1e-2])
        learn.loss_func(learn.model(BATCHES[0][0]), BATCHES[0][1]).backward()
        learn.opt.step()
    for mine, wanted in zip(ours.model.parameters(), theirs.model.parameters(), strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-5, atol=1e-6)


def test_what_lies_otherwise_in_memory_is_moved_all_the_same():
    """torch's kernel for CPUs would pair numbers by their place in memory."""
    moved = []
    for layout in (torch.channels_last, torch.contiguous_format):
        torch.manual_seed(1)
        parameter = nn.Parameter(torch.rand(4, 3, 2, 2).to(memory_format=torch.channels_last))
        parameter.grad = torch.rand(4, 3, 2, 2).to(memory_format=layout)
        optimizer = Adam([parameter], lr=0.1)
        optimizer.state[parameter] = {
            name: torch.rand(4, 3, 2, 2).to(memory_format=layout) for name in ("grad_avg", "sqr_avg")
        }
        optimizer.step()
        moved.append(parameter.detach())
    torch.testing.assert_close(*moved)


def test_a_parameter_without_a_gradient_stands_still_and_keeps_its_state():
    parameters = [nn.Parameter(torch.ones(3)) for _ in "ab"]
    optimizer = Adam([parameters], lr=0.1, wd=0.1)
    for parameter in parameters:
        parameter.grad = torch.ones(3)
    optimizer.step()
    parameters[1].grad = None
    before, state = parameters[1].clone(), copy.deepcopy(optimizer.state[parameters[1]])
    optimizer.step()
    assert torch.equal(parameters[1], before)
    assert str(optimizer.state[parameters[1]]) == str(state)
    assert optimizer.state[parameters[0]]["step"] == 2
