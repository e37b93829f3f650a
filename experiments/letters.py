"""The letters L and V as dots in the plane: two classes whose border has straight and slanted parts."""

from itertools import pairwise

import numpy as np

STROKES = (
    ((-0.70, 0.38), (-0.70, -0.38), (-0.25, -0.38)),
    ((0.20, 0.38), (0.47, -0.38), (0.74, 0.38)),
)
"""The corners that each letter's pen passes, inside the rectangle [-1, 1] x [-0.6, 0.6]."""

HALF_WIDTH = 0.12
"""A dot is on a letter when it lies as near as this to the pen's path."""

GAP = 0.06
"""No dot lies in a seam of this width around a letter. Without it no small network gets the dots along the border."""


def letters(rows: int = 3000) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Dots uniform over the rectangle, seam left out; label 1 on a letter. Fewer rows are the first of more."""
    generator = np.random.Generator(np.random.PCG64(7))
    # the seam takes one dot in six; any block that is surely enough gives the same first dots
    dots = (2 * generator.random((2 * rows + 100, 2)) - 1) * (1.0, 0.6)
    distance = distance_to_strokes(dots)
    kept = np.flatnonzero((distance <= HALF_WIDTH) | (distance > HALF_WIDTH + GAP))[:rows]
    return dots[kept], (distance[kept] <= HALF_WIDTH).astype(np.int64), ("background", "letter")


def distance_to_strokes(dots: np.ndarray) -> np.ndarray:
    """Distance `(n,)` of dots `(n, 2)` to the nearest point of the pen's path."""
    nearest = np.full(len(dots), np.inf)
    for corners in STROKES:
        for start, end in pairwise(np.array(corners)):
            along = (dots - start) @ (end - start) / np.sum((end - start) ** 2)
            foot = start + np.clip(along, 0, 1)[:, None] * (end - start)
            nearest = np.minimum(nearest, np.hypot(*(dots - foot).T))
    return nearest
