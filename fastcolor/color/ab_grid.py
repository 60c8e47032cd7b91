"""The grid of colours in the ab plane that a network tells the shares of: see `classes`, which needs torch."""

import numpy as np

GRID = 10
"""The width of a cell, in units of a and b."""

# For each a, from -90 on, the first and last b whose cell holds a colour of sRGB (all 256^3 were tried). Zhang et al.
# 2016 list 313 cells, with those at the edge that hold none.
EDGES = (
    (80, 80), (40, 80), (20, 90), (0, 90), (-20, 90), (-30, 90), (-40, 90), (-40, 90), (-50, 90), (-60, 90),
    (-70, 80), (-70, 80), (-80, 80), (-90, 80), (-90, 70), (-100, 70), (-110, 70), (-110, 70), (-90, 0), (-70, -50),
)  # fmt: skip
CENTRES = np.float32(
    [
        (a, b)
        for a, (first, last) in zip(range(-90, 101, GRID), EDGES, strict=True)
        for b in range(first, last + GRID, GRID)
    ]
)
"""a and b of the middle of each class, `(CLASSES, 2)`."""
