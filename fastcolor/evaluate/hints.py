"""How much hints help: drawn from the real photo, as Zhang et al. 2017 (section 4.1) draw them for their test."""

import zlib
from pathlib import Path

import numpy as np

from fastcolor.color.cie import ab_of
from fastcolor.colorize.hints import MOST_HINTS, Hint
from fastcolor.errors import UserError
from fastcolor.files import write_whole

PATCH = 6 / 256  # of the photo's short side: whose mean colour a hint has
SHOWN = {"psnr": "PSNR, dB", "lpips_squeeze": "LPIPS", "lpips_alex": "LPIPS", "ciede2000": "CIEDE2000"}


def counts_of(text: str | None) -> list[int]:
    """0 and the numbers of hints that `--hints` asks for, sorted. Raises UserError."""
    try:
        counts = sorted({0, *map(int, (text or "0").split(","))})
    except ValueError:
        counts = [-1]
    if not 0 <= counts[0] <= counts[-1] <= MOST_HINTS:
        raise UserError(f"--hints must be numbers from 0 to {MOST_HINTS} with commas between, 0,1,3,10, not {text}")
    return counts


def drawn_hints(real: np.ndarray, count: int) -> list[Hint]:
    """`count` hints at places of a photo, sRGB `(H, W, 3)` uint8, drawn evenly: always the same, 3 the first of 10."""
    height, width = real.shape[:2]
    side = max(1, round(PATCH * min(height, width)))
    rng = np.random.default_rng(zlib.crc32(real.tobytes()))
    hints = []
    for down, along in rng.random((count, 2)):
        top, left = int(down * (height - side + 1)), int(along * (width - side + 1))
        a, b = (float(each.mean()) for each in ab_of(real[top : top + side, left : left + side]))
        hints.append(Hint((left + side / 2) / width, (top + side / 2) / height, (a, b)))
    return hints


def draw_curve(path: Path, figures: dict[str, dict[int, dict]]) -> None:
    """Write a PNG: PSNR, LPIPS and CIEDE2000 against the number of hints; `figures` by weights and number."""
    from matplotlib.figure import Figure

    first = next(iter(figures.values()))
    names = [name for name in SHOWN if all(each.get(name) is not None for each in first.values())]
    picture = Figure(figsize=(4 * len(names), 3), layout="constrained")
    for axis, name in zip(np.atleast_1d(picture.subplots(1, len(names))), names, strict=True):
        for weights, by_count in figures.items():
            axis.plot([*by_count], [each[name] for each in by_count.values()], ".-", label=weights)
        axis.set(xlabel="hints", title=SHOWN[name])
        axis.set_xscale("symlog", linthresh=1)
        axis.set_xticks([*first], [*map(str, first)])
        axis.legend(fontsize=8)
    with write_whole(path) as temporary:
        picture.savefig(temporary, dpi=100)
