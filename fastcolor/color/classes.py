"""Colours as classes: the cells of a grid in the ab plane, as in Zhang et al. 2016 (section 2).

A network that says how likely each class is knows of several answers: a dress is red, or blue. Regression knows one.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from fastcolor import processes
from fastcolor.color import ab_grid
from fastcolor.color.cie import AB_RANGE

CENTRES = torch.from_numpy(ab_grid.CENTRES)
"""a and b of the middle of each class, `(CLASSES, 2)`."""
CLASSES = len(CENTRES)

NEAREST, SIGMA = 5, 5.0  # a colour belongs to its 5 nearest classes, by a Gaussian of this deviation (section 2.2)
EVEN_SHARE = 0.5  # lambda of section 2.2: how far rare classes are brought up


@cache
def _table(device: torch.device) -> tuple[Tensor, Tensor]:
    """The NEAREST classes of every whole a and b, and their shares: `(side, side, NEAREST)` each."""
    along = torch.arange(-AB_RANGE, AB_RANGE + 1)
    ab = torch.cartesian_prod(along, along)
    far, classes = torch.cdist(ab, CENTRES).topk(NEAREST, largest=False)
    shares = torch.softmax(-far.square() / (2 * SIGMA**2), dim=1)
    return tuple(each.view(len(along), len(along), NEAREST).to(device) for each in (classes, shares))


def encode(ab: Tensor) -> tuple[Tensor, Tensor]:
    """a and b `(N, 2, H, W)` as soft classes: the NEAREST classes, and their shares, which sum to 1.

    Both are `(N, NEAREST, H, W)`, the nearest class first. a and b are rounded to whole units, and cut at AB_RANGE.
    """
    a, b = (ab.float().round().clamp(-AB_RANGE, AB_RANGE) + AB_RANGE).long().unbind(1)
    classes, shares = (table[a, b].permute(0, 3, 1, 2) for table in _table(ab.device))
    return classes, shares


def frequencies(ab: Tensor) -> Tensor:
    """How often each class occurs in a and b `(N, 2, H, W)`, softly: `(CLASSES,)`, sums to N H W."""
    classes, shares = encode(ab)
    return torch.zeros(CLASSES, device=ab.device).index_add_(0, classes.flatten(), shares.flatten())


def rebalanced(frequencies: Tensor) -> Tensor:
    """The weight of each class, `(CLASSES,)`: rare ones count more, and the mean over all pixels is 1.

    Zhang et al. 2016, equation 4, without its smoothing, as `frequencies` are smooth.
    """
    share = frequencies / frequencies.sum()
    weights = 1 / ((1 - EVEN_SHARE) * share + EVEN_SHARE / CLASSES)
    return weights / (share * weights).sum()


def cross_entropy(logits: Tensor, ab: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy of logits `(N, CLASSES, H, W)` with the soft classes of a and b `(N, 2, H, W)`: a scalar.

    A pixel counts with the weight of its nearest class, of `weights` `(CLASSES,)` (Zhang et al. 2016, equations 2, 3).
    """
    classes, shares = encode(ab)
    of_pixel = weights[classes[:, 0]]
    own = F.log_softmax(logits.float(), dim=1).gather(1, classes)
    return processes.ratio(-(of_pixel * (shares * own).sum(dim=1)).sum(), of_pixel.sum())


def likely(logits: Tensor, weights: Tensor) -> Tensor:
    """How likely each class is, `(N, CLASSES, H, W)`, of logits that were trained with `weights` `(CLASSES,)`.

    Weighted by w, cross-entropy teaches shares in proportion to p w: dividing by w gives back p.
    """
    return (logits.float() - weights.log().view(1, -1, 1, 1)).softmax(dim=1)
