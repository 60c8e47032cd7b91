"""What a critic's scores are judged by: a loss is a function and a row in ADVERSARIAL."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from fastcolor.flags import one_of


def bce(logits: Tensor, is_real: bool) -> Tensor:
    """Binary cross-entropy of logits with one label for all: a scalar."""
    logits = logits.float()
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(is_real)))


def critic_loss(judge: Callable[[Tensor, bool], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """The mean of the halves real and fake of a critic's scores, judged by one of ADVERSARIAL: a scalar."""
    return (judge(real, True) + judge(fake, False)) / 2


def least_squares(scores: Tensor, is_real: bool) -> Tensor:
    """LSGAN (Mao et al. 2017, equation 9, a = 0, b = c = 1), without the halves: a scalar."""
    return (scores.float() - float(is_real)).square().mean()


def wasserstein(scores: Tensor, is_real: bool) -> Tensor:
    """WGAN (Arjovsky et al. 2017, algorithm 1): a scalar, unbounded; the critic tries to score real above fake."""
    return -scores.float().mean() if is_real else scores.float().mean()


ADVERSARIAL: dict[str, Callable[[Tensor, bool], Tensor]] = {"bce": bce, "lsgan": least_squares, "wgan-gp": wasserstein}
"""What `--adversarial` names: the loss of a critic's scores that should say real, or fake."""


def adversarial_loss(name: str) -> Callable[[Tensor, bool], Tensor]:
    """The loss of that name. Raises UserError for another one."""
    one_of("adversarial", name, ADVERSARIAL)
    return ADVERSARIAL[name]


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """How far the critic's slope is from one between real and fake images `(N, ...)`: mean of (norm - 1) squared.

    Gulrajani et al. 2017, algorithm 1, lines 4 to 7, without the factor of 10. The score of an image is its patches' mean.
    """
    share = torch.rand(len(real), *[1] * (real.dim() - 1), device=real.device)
    between = (share * real + (1 - share) * fake).detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(critic(between).float().mean(dim=1).sum(), between, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1).square().mean()


def right(logits: Tensor, is_real: Tensor) -> Tensor:
    """Whether each image's mean logit `(N, patches)` is on the right side of 0 for its label `(N,)`: floats `(N,)`."""
    return ((logits.mean(dim=1) > 0) == (is_real > 0.5)).float()


def cross_entropy(logits: Tensor, is_real: Tensor) -> Tensor:
    """Binary cross-entropy of each image's logits `(N, patches)` with its label `(N,)`, mean over patches: `(N,)`."""
    return F.binary_cross_entropy_with_logits(logits, is_real[:, None].expand_as(logits), reduction="none").mean(dim=1)
