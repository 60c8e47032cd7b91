"""A photo as grey of the same lightness."""

import numpy as np
import torch
from PIL import Image

from fastcolor.color.lab import grey_of


def grey_photo(photo: Image.Image) -> Image.Image:
    """An RGB image as 8-bit grey ("L") whose CIE lightness is that of the colours, within 8-bit rounding."""
    rgb = torch.from_numpy(np.array(photo)).permute(2, 0, 1)
    return Image.fromarray(grey_of(rgb).numpy())
