"""Near duplicates: fingerprints of photos, and which of the photos show the same."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

HASH_BITS = 12  # of 64 that may differ between duplicates; this only finds candidates quickly
LIKENESS = 0.3  # of the contrast: on average the thumbnails of duplicates differ by less


def fingerprint(photo: Image.Image) -> dict[str, str]:
    """What tells whether two photos show the same: hex strings of an RGB image, of any size.

    `dhash` is 64 bits, whether each of 8 x 8 cells is lighter than the one before; `thumbnail` is 16 x 16 x 3 uint8.
    """
    small = photo.resize((64, 64), Image.Resampling.BOX)
    cells = np.asarray(small.convert("L").resize((9, 8), Image.Resampling.BOX))
    bits = np.packbits(cells[:, 1:] > cells[:, :-1])
    return {"dhash": bits.tobytes().hex(), "thumbnail": small.reduce(4).tobytes().hex()}


def alike(prints: list[dict[str, str]]) -> Iterator[tuple[int, int, float, float]]:
    """Which `fingerprint`s belong to near duplicates of an earlier one.

    Gives for each: the index of the first photo that shows the same, its own index, by what share of the contrast the
    two differ (0 to `LIKENESS`), and in how many of 64 hash bits.
    """
    bits, thumbnails = (_bytes_of(prints, name) for name in ("dhash", "thumbnail"))
    signs = np.unpackbits(bits, axis=1).astype(np.float32) * 2 - 1
    # Relative to the contrast, else all pale skies would be alike; Rec. 601 weights, 1 so that nothing divides by 0.
    contrast = (thumbnails.reshape(-1, 256, 3) @ np.float32([0.299, 0.587, 0.114])).std(axis=1).clip(min=1)
    keeper = np.full(len(prints), -1)
    for start in range(0, len(prints), 256):
        # Products of signs count equal bits minus different ones: 50,000 photos are compared in seconds.
        different = 32 - signs[start : start + 256] @ signs[start:].T / 2
        for row in np.flatnonzero((different <= HASH_BITS).sum(axis=1) > 1):
            n = start + row
            others = start + np.flatnonzero(different[row] <= HASH_BITS)
            others = others[(others > n) & (keeper[others] < 0)]
            if keeper[n] >= 0 or not len(others):
                continue
            apart = np.abs(thumbnails[others].astype(np.float32) - thumbnails[n]).mean(axis=1)
            apart /= np.minimum(contrast[others], contrast[n])
            keeper[others[apart < LIKENESS]] = n
            for other, share in zip(others, apart, strict=True):
                if share < LIKENESS:
                    yield n, other, share, different[row, other - start]


def _bytes_of(prints: list[dict[str, str]], name: str) -> np.ndarray:
    rows = [np.frombuffer(bytes.fromhex(each[name]), np.uint8) for each in prints]
    return np.stack(rows) if rows else np.zeros((0, 768), np.uint8)
