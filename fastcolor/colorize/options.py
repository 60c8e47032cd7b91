"""Which sizes and strengths photos can be coloured with."""

from fastcolor.errors import UserError

LEAST_SIZE = 32  # pixels: below, the networks' inner pictures are a pixel or two


def check_options(size: int | None, strength: float) -> None:
    """Raise UserError unless `size` is at least LEAST_SIZE pixels, or None, and `strength` lies within 0..1."""
    if size is not None and size < LEAST_SIZE:
        raise UserError(f"size must be at least {LEAST_SIZE} pixels, not {size}")
    if not 0 <= strength <= 1:
        raise UserError(f"strength must be from 0 (the photo as it is) to 1 (the network's colours), not {strength}")
