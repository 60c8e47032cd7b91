"""Teach a network that listens how far points of colour reach: at last, when all else of it is trained.

In most photos one thing gets another colour, in the points and in what is wanted: so the ears learn where things end.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor, nn

from fastcolor.color.lab import rgb_to_lab
from fastcolor.color.spaces import AB_SPREAD, SPACES
from fastcolor.data.cache import take
from fastcolor.data.photos import Photos
from fastcolor.files import progress_bar
from fastcolor.networks.checkpoint import load_network, save_tensors
from fastcolor.training.heads import listens

PHOTOS, STEPS, BATCH, LR = 1800, 2200, 16, 2e-3
GRID = 8  # pixels of a side of the ears' grid
STOP, MOST = 0.16, 24  # after each point, how likely it is the last one; the most of a photo
STRANGE = 0.6  # of the photos have a thing in another colour
AWAY = (15.0, 60.0)  # how far that colour is, in units of a and b
THING = (0.02, 0.4)  # of the photo, how large a thing is
ALIKE = (6.0, 20.0)  # units of Lab by which a thing's colours differ from those of one place of it
LIGHT = 0.7  # what a unit of L counts there: shadows are no edges


class Lessons:
    """What the ears learn from, of photos: what they see, colours without points, and real ones twice as fine."""

    def __init__(self, network: nn.Module, photos: Photos, rows: np.ndarray, size: int, device: torch.device):
        space, found = SPACES["lab"], []
        with torch.inference_mode():
            for some in progress_bar(np.array_split(rows, max(len(rows) // BATCH, 1))):
                rgb = take(photos.squares, some, device)[..., 1:].permute(0, 3, 1, 2).float() / 255
                lab = rgb_to_lab(F.interpolate(rgb, (size, size), mode="bilinear", antialias=True, align_corners=False))
                seen, ab = network.unheard(space.inputs(lightness=lab[:, :1]))
                found.append([seen.half(), ab.float(), F.avg_pool2d(lab, GRID // 2).float()])
        self.seen, self.ab, self.lab = (torch.cat(each) for each in zip(*found, strict=True))

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Random photos: what is seen, ab without points, planes of points, and ab as it should be, standardised."""
        chosen = rng.integers(0, len(self.seen), BATCH)
        lab = self.lab[chosen].cpu()
        real = torch.stack([strange(each, rng) if rng.random() < STRANGE else each[1:] for each in lab]) / AB_SPREAD
        side = real.shape[-1]
        points = torch.zeros(BATCH, 3, side // 2, side // 2)
        for planes, colors, count in zip(points, real, rng.geometric(STOP, BATCH), strict=True):
            y, x = rng.integers(0, side, (2, min(count, MOST)))
            planes[:2, y // 2, x // 2], planes[2, y // 2, x // 2] = colors[:, y, x], 1.0
        device = self.ab.device
        return self.seen[chosen].float(), self.ab[chosen], points.to(device), F.avg_pool2d(real, 2).to(device)


def strange(lab: Tensor, rng: np.random.Generator) -> Tensor:
    """a and b of a photo `(3, h, w)`, Lab, in which one thing has another colour, if it has things of such a size.

    A thing is what hangs together with a random place and has nearly its colour.
    """
    height, width = lab.shape[1:]
    y, x = int(rng.integers(height)), int(rng.integers(width))
    apart = (lab - lab[:, y, x, None, None]) * lab.new_tensor([LIGHT, 1, 1])[:, None, None]
    parts, _ = ndimage.label((apart.norm(dim=0) < rng.uniform(*ALIKE)).numpy())
    thing = parts == parts[y, x]
    if not THING[0] <= thing.mean() <= THING[1]:
        return lab[1:]
    angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(*AWAY)
    change = lab.new_tensor([np.cos(angle), np.sin(angle)]) * far
    return lab[1:] + change[:, None, None] * torch.from_numpy(thing)


def teach(weights: Path, photos: Photos, size: int, device: torch.device, seed: int) -> None:
    """Train the ears of a weights file, in place, once, on at most PHOTOS training photos: squares of `size` pixels.

    All else stays as it is, to the last bit. Weights of a network that does not listen are left as they are. It takes
    about a quarter of an hour on one core of a CPU.
    """
    network, about = load_network(weights, "generator")
    if not listens(network) or "taught" in about:
        return
    print(f"\n{weights}: the network learns how far points of colour reach")
    rng = np.random.default_rng([seed, 3])
    network.to(device).requires_grad_(False)
    network.ears.requires_grad_(True)
    lessons = Lessons(network, photos, rng.permutation(photos.train)[:PHOTOS], size, device)
    optimizer = torch.optim.AdamW(network.ears.parameters(), lr=LR, weight_decay=1e-2)
    pace = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=STEPS, pct_start=0.05)
    for _ in progress_bar(range(STEPS)):
        seen, ab, points, wanted = lessons.batch(rng)
        apart = (ab + network.ears(seen, ab, points) - wanted) * (AB_SPREAD / 10)
        F.smooth_l1_loss(apart, torch.zeros_like(apart)).backward()
        optimizer.step()
        pace.step()
        optimizer.zero_grad()
    save_tensors(weights, network.state_dict(), {**about, "taught": size})
