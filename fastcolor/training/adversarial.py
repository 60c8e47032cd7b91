"""Losses of a critic's scores. A new loss is a function and a row in ADVERSARIAL."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from fastcolor import processes
from fastcolor.flags import one_of


def bce(logits: Tensor, is_real: bool) -> Tensor:
    """Binary cross-entropy of logits of any shape, with one label for all: a scalar."""
    logits = logits.float()
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(is_real)))


def critic_loss(judge: Callable[[Tensor, bool], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """The mean of a critic's losses on real and fake scores, each by `judge` (one of ADVERSARIAL): a scalar."""
    return (judge(real, True) + judge(fake, False)) / 2


def least_squares(scores: Tensor, is_real: bool) -> Tensor:
    """LSGAN (Mao et al. 2017, equation 9, a = 0, b = c = 1), without the factor 1/2: a scalar."""
    return (scores.float() - float(is_real)).square().mean()


def wasserstein(scores: Tensor, is_real: bool) -> Tensor:
    """WGAN (Arjovsky et al. 2017, algorithm 1): a scalar without bounds; the critic learns to score real above fake."""
    return -scores.float().mean() if is_real else scores.float().mean()


ADVERSARIAL: dict[str, Callable[[Tensor, bool], Tensor]] = {"bce": bce, "lsgan": least_squares, "wgan-gp": wasserstein}
"""What `--adversarial` can name: the loss of scores `(N, patches)` that should say real, or fake."""


def adversarial_loss(name: str) -> Callable[[Tensor, bool], Tensor]:
    """The loss that `--adversarial` names. Raises UserError for an unknown name."""
    one_of("adversarial", name, ADVERSARIAL)
    return ADVERSARIAL[name]


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """WGAN-GP's penalty: the mean of (gradient norm - 1) squared, at points between real and fake images `(N, ...)`.

    Gulrajani et al. 2017, algorithm 1, lines 4 to 7, without the factor 10. An image's score is its patches' mean.
    """
    count = processes.share_of(real).count
    share = processes.own(torch.rand(count, *[1] * (real.dim() - 1), device=real.device))
    between = (share * real + (1 - share) * fake).detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(critic(between).float().mean(dim=1).sum(), between, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1).square().mean()


def right(logits: Tensor, is_real: Tensor) -> Tensor:
    """Whether each image's mean logit `(N, patches)` is above 0 exactly if its label `(N,)` is 1: floats `(N,)`."""
    return ((logits.mean(dim=1) > 0) == (is_real > 0.5)).float()


def cross_entropy(logits: Tensor, is_real: Tensor) -> Tensor:
    """Binary cross-entropy of each image's logits `(N, patches)` with its label `(N,)`, mean over patches: `(N,)`."""
    return F.binary_cross_entropy_with_logits(logits, is_real[:, None].expand_as(logits), reduction="none").mean(dim=1)
