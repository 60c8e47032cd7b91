"""Whether a picture is in colour: a grey one is not, nor a print toned brown or blue."""

import numpy as np

SIDE = 32  # pixels to which a picture is reduced: a scanner's noise in its colours goes
LEVELS = 16
APART = 4.0  # 8-bit steps by which colours of the same light differ: noisy sepia has at most 3.7


def is_in_color(pixels: np.ndarray, apart: float = APART) -> bool:
    """Whether sRGB `(H, W)` or `(H, W, 3)`, uint8 or uint16, has colours that its light does not tell.

    A toned print has one colour for each light. Here it is how far red-green and yellow-blue spread around that: by
    more than `apart`, in 8-bit steps.
    """
    if pixels.ndim == 2:
        return False
    step = max(1, min(pixels.shape[:2]) // SIDE)
    rows, columns = (side // step * step for side in pixels.shape[:2])
    part = pixels[:rows, :columns].reshape(rows // step, step, columns // step, step, 3)[:, :8, :, :8]
    small = part.mean(axis=(1, 3), dtype=np.float32).reshape(-1, 3) * (255 / np.iinfo(pixels.dtype).max)
    red, green, blue = small.T
    opponents = np.stack([red - green, (red + green) / 2 - blue])
    level = (small.mean(axis=1) * (LEVELS / 256)).astype(int)
    count = np.bincount(level, minlength=LEVELS).clip(1)
    means = np.stack([np.bincount(level, each, LEVELS) / count for each in opponents])
    return bool(np.sqrt(np.square(opponents - means[:, level]).mean()) > apart)
