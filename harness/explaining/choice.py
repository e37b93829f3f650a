"""Which cells of an experiment are worth an explanation."""

from collections.abc import Sequence

import numpy as np

MOST_CELLS = 5
"""How many cells of an experiment are explained where none is named."""


def telling(
    losses: np.ndarray, guessing: np.ndarray, places: np.ndarray, sides: Sequence[str]
) -> list[tuple[int, str]]:
    """Up to five cells by number, each with the reason for it: what a first look says of both sides.

    `losses` `(cells, 2)` are the test losses of A and B, `guessing` `(cells,)` that of answering by frequency alone,
    `places` `(cells, axes)` where each cell lies, each axis from 0 to 1. First the cell with the largest gap, of those
    where one of the two learns (a loss counts as that of guessing where it is worse: how much worse tells nothing), and
    the best of each side; then the farthest from those that are chosen, of those with at least the median gap. Cells
    where a training diverges are chosen only where nothing else is left.
    """
    finite = np.isfinite(losses).all(axis=1)
    learns = finite & (losses.min(axis=1, initial=np.inf, where=np.isfinite(losses)) < guessing)
    pool = next(mask for mask in (learns, finite, np.ones(len(losses), bool)) if mask.any())
    bounded = np.minimum(losses, guessing[:, None])
    gaps = np.where(pool, np.abs(bounded[:, 1] - bounded[:, 0]), -1.0)
    chosen: dict[int, list[str]] = {}

    def take(i: int, why: str) -> None:
        chosen.setdefault(i, []).append(why)

    if finite.any():
        take(int(np.argmax(gaps)), "the largest gap")
        for side, name in enumerate(sides):
            take(int(np.argmin(np.where(finite, losses[:, side], np.inf))), f"the lowest loss of {name}")
    while len(chosen) < min(MOST_CELLS, int(pool.sum())):
        left = [i for i in np.flatnonzero(pool) if i not in chosen]
        wide = [i for i in left if gaps[i] >= np.median(gaps[pool])] or left
        far = [min((float(np.abs(places[i] - places[j]).sum()) for j in chosen), default=0.0) for i in wide]
        i = max(range(len(wide)), key=lambda k: (round(far[k], 9), gaps[wide[k]]))
        take(int(wide[i]), "a wide gap far from the others")
    return [(i, ", ".join(reasons)) for i, reasons in chosen.items()]
