"""How good an epoch's colours are on held-out photos. The best epoch's weights are the ones that a run keeps.

Not by PSNR or MSE: both like grey, as a pale guess is never far off (see nbs/bench/README.md for the measurements). An
epoch is better if its photos' colourfulness lies in ENOUGH and, among those, if it is nearer to the photos in what a
network sees: one photo at a time (`feature_distance`), and all together (`frechet`).
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from fastcolor import processes
from fastcolor.color.lab import rgb_to_lab
from fastcolor.color.metrics import ciede2000
from fastcolor.errors import UserError
from fastcolor.networks.checkpoint import load_network, load_tensors, save_tensors, save_vivid
from fastcolor.training.features import Features, feature_distance

ENOUGH = (0.5, 1.05)  # of the photos' colourfulness: what is paler, `enliven` can't mend; what is stronger, looks gaudy
SHARE = 0.6  # of the trained weights in a mixture with those from before
LIVELY = 0.75  # of the photos' colourfulness: what `enliven` brings it to, by the least of
FACTORS = tuple(1 + step / 20 for step in range(15))
ENLIVENED = 0.92  # what it brings it to where no features tell what is best


@lru_cache
def _note(text: str) -> None:
    """Say it once, however many stages have a judge."""
    print(f"note: {text}")


class HeldOutJudge:
    """Figures of generated images against photos. Without SqueezeNet's weights, a download, CIEDE2000 alone."""

    def __init__(self, device: torch.device):
        self.seen = None
        try:
            self.seen = Features().to(device, memory_format=torch.channels_last)
        except UserError as error:
            _note(f"photos are judged by CIEDE2000 alone, as {error}")

    @torch.no_grad()
    def __call__(self, fake: Tensor, real: Tensor) -> dict[str, Tensor]:
        """The figures of sRGB images `(N, 3, H, W)`, 0..1, with the photos that they should be.

        CIEDE2000 and `feature_distance` per photo, `(N,)` each, and what `frechet_distance` compares, `(N, 2, D)`.
        """
        found = {"ciede2000": ciede2000(rgb_to_lab(fake), rgb_to_lab(real))}
        if self.seen:
            fakes, reals = self.seen(fake), self.seen(real)
            means = [layers[-1].mean(dim=(2, 3)) for layers in (fakes, reals)]
            found |= {"feature_distance": feature_distance(fakes, reals), "frechet": torch.stack(means, dim=1)}
        return found


def colorful(row: dict[str, str]) -> float:
    """The colourfulness of a row of the history, as a share of the photos'."""
    return float(row["colorfulness"]) / float(row["colorfulness_real"])


def rank(row: dict[str, str]) -> tuple[float, float]:
    """How far a row of the history is from the best: smaller is better. Rows without these figures come last."""
    if not row.get("ciede2000") or not float(row.get("colorfulness_real") or 0):
        return float("inf"), 0.0
    share = colorful(row)
    outside = max(ENOUGH[0] - share, share - ENOUGH[1], 0.0)
    if row.get("feature_distance"):
        return outside, float(row["feature_distance"]) * float(row["frechet"])
    return outside, float(row["ciede2000"])


Judged = Callable[[nn.Module, float], dict[str, str]]
"""What gives the row of a generator on held-out photos, its chroma multiplied by a factor."""


def mix(weights: Path, before: Path, judged: Judged) -> None:
    """Replace kept weights by a mixture with those from `before` training, if that is better by `rank`; in place, once.

    Those of before know many photos, the kept ones know these: what lies between paints both well (WiSE-FT, Wortsman
    et al. 2022, section 3.1). Weights of another network are left as they are.
    """
    (old, old_about), (new, about) = (load_tensors(path, "generator weights") for path in (before, weights))
    if "mixed" in about or old_about["config"] != about["config"]:
        return
    tensors = {name: torch.lerp(old[name].float(), new[name].float(), SHARE).to(new[name].dtype) for name in new}
    network, _ = load_network(weights, "generator")
    row = judged(network, 1.0)
    network.load_state_dict(tensors)
    if rank(judged(network, 1.0)) < rank(row):
        processes.by_first(lambda: save_tensors(weights, tensors, {**about, "mixed": SHARE}))


def enliven(weights: Path, row: dict[str, str], judged: Judged | None = None) -> None:
    """Bring up the chroma of the kept weights, in place; `row` is their row in the history.

    Losses pull uncertain colours towards grey; a factor undoes that where the hue is right, and makes what is wrong
    worse. With `judged`, it is the least of FACTORS that brings held-out photos up to LIVELY. Without, they get
    ENLIVENED of the photos' colourfulness. Weights that are colourful enough stay as they are.
    """
    if judged:
        network, _ = load_network(weights, "generator")
        factor = next((factor for factor in FACTORS if colorful(judged(network, factor)) >= LIVELY), FACTORS[-1])
    else:
        factor = ENLIVENED * float(row["colorfulness_real"]) / max(float(row["colorfulness"]), 1e-6)
        factor = min(max(factor, FACTORS[0]), FACTORS[-1])
    processes.by_first(lambda: save_vivid(weights, factor))
