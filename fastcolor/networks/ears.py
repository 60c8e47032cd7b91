"""How a network listens: from what it sees it finds out to which places the colour of a point belongs."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastcolor.color.spaces import AB_SPREAD

HIDDEN, KEYS = 128, 48
NEAR = (0.05, 0.2)  # of the short side: how near is near
NOWHERE = -1e4  # a logit whose share is 0
BIG = 20 / AB_SPREAD  # a change of colour that is neither small nor large


class Ears(nn.Module):
    """Attention from each place of a photo to its points of colour, or to none, by what both look like and how far.

    How far it counts depends on how much a point changes its own place: small changes are mostly those of the whole
    photo, large ones those of one thing. What a place takes from a point is the point's colour, or the change that it
    made to its own place: a gate mixes the two. Without points nothing changes, to the last bit.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, HIDDEN, 1), nn.GELU(), nn.Conv2d(HIDDEN, HIDDEN, 1), nn.GELU())
        self.key, self.none, self.gate = (nn.Conv2d(HIDDEN, outs, 1) for outs in (KEYS, 1, 1))
        self.far, self.big, self.within = nn.Linear(1 + len(NEAR), 16), nn.Linear(1, 16, bias=False), nn.Linear(16, 1)
        self.sharp = nn.Linear(1, 1)

    def forward(self, features: Tensor, ab: Tensor, points: Tensor) -> Tensor:
        """The change of a and b by points, `(N, 2, h, w)`.

        All are of the same grid: features `(N, C, h, w)`, the colours without points, ab `(N, 2, h, w)`, and planes of
        points a, b, mask `(N, 3, h, w)`, in the units of ab.
        """
        hidden = self.body(features)
        with torch.autocast(ab.device.type, enabled=False):  # distances of keys are small differences of large numbers
            keys, none, gate = (_rows(layer(hidden.float())) for layer in (self.key, self.none, self.gate))
            colors, (told, mask) = _rows(ab), _rows(points).split([2, 1], dim=2)
            # cells with a point in any photo, and one more that counts nowhere, so that there always is one
            cells = F.pad(mask[..., 0].amax(0).nonzero()[:, 0], (0, 1))
            counts = (mask[:, cells, 0] > 0) & (torch.arange(len(cells), device=ab.device) < len(cells) - 1)
            told = told[:, cells]
            change = told - colors[:, cells]
            big = change.norm(dim=2) / BIG
            logits = self._likeness(keys, cells, big) + self._nearness(cells, big, *ab.shape[2:])
            logits = torch.cat([logits.masked_fill(~counts[:, None], NOWHERE), none], dim=2)
            share, gate = torch.softmax(logits, dim=2)[..., :-1], gate.sigmoid()
            replaced = share @ told - share.sum(2, keepdim=True) * colors
            change = gate * (share @ change) + (1 - gate) * replaced
        return change.transpose(1, 2).unflatten(2, ab.shape[2:])

    def _likeness(self, keys: Tensor, cells: Tensor, big: Tensor) -> Tensor:
        """Logits `(N, P, K)` by the distance of the keys `(N, P, KEYS)` of all places to those of `cells` `(K,)`."""
        theirs = keys[:, cells]
        apart = keys.square().sum(2)[:, :, None] + theirs.square().sum(2)[:, None] - 2 * keys @ theirs.transpose(1, 2)
        return -F.softplus(self.sharp(big[:, :, None])).transpose(1, 2) * apart

    def _nearness(self, cells: Tensor, big: Tensor, height: int, width: int) -> Tensor:
        """Logits `(N, P, K)` by how far its `cells` `(K,)` are from all places of a grid, in short sides."""
        rows, columns = (torch.arange(side, device=cells.device) / min(height, width) for side in (height, width))
        places = torch.cartesian_prod(rows, columns)
        far = (places[:, None] - places[cells]).square().sum(2).sqrt()
        far = self.far(torch.stack([far, *(torch.exp(-far / near) for near in NEAR)], dim=2))
        return self.within(F.relu(far + self.big(big[..., None])[:, None]))[..., 0]


def _rows(planes: Tensor) -> Tensor:
    """Planes `(N, C, h, w)` as a row for each place, `(N, h w, C)`, float32."""
    return planes.float().flatten(2).transpose(1, 2)
