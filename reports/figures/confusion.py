"""Confusion matrices: which classes are taken for which."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from reports import models, style
from reports.figures.panels import CELL_WIDTH, GAP, PANEL_WIDTH, Band, Panel, Ticks, draw
from reports.figures.text import fitted
from reports.figures.tiles import Scale, Tile
from reports.study import Problem, Study

WIDEST = 14.0  # inches of one line of panels
SHARE = Scale(style.DEVIATION, 0.0, 1.0, "share of true class")
LONGEST = 1.6  # inches of a class's name


def confusion_matrices(
    study: Study,
    mode: str = "controlled",
    part: str = "test",
    problem: Problem | None = None,
    names: Sequence[str] = (),
) -> Figure | None:
    """A panel a backend: how many rows of each true class (down) were answered as each class (across).

    The upper number of a tile counts rows, the lower one and the colour are their share of the true class; a count of
    0 is left out. `part` is "train", "validation" or "test"; `names` are those of the classes, which are numbered
    where it is empty. None where no trial has a matrix of that part (see `models.models` for which are shown).
    """
    shown = [model for model in models.models(study, "confusion", mode, problem) if part in model.arrays]
    if not shown:
        return None
    panels = []
    for model in shown:
        counts = model.arrays[part]
        n, correct = int(counts.sum()), int(np.trace(counts))
        panels.append(Panel(model.backend, _tiles(counts), f"n = {n}, accuracy {style.score(correct / n)}"))
    classes = [str(names[k]) if len(names) else str(k) for k in range(len(shown[0].arrays[part]))]
    classes = [fitted(name, LONGEST, 0.15) for name in classes]
    width = max(CELL_WIDTH * len(classes), PANEL_WIDTH) + GAP
    across = max(int(WIDEST / width), 1)
    return draw(
        f"Confusion matrix of the {'training' if part == 'train' else part} rows, mode {mode}",
        models.about(study, shown),
        [Band(panels[first : first + across]) for first in range(0, len(panels), across)],
        Ticks("true class", classes, "predicted class", classes),
        SHARE,
        [],
    )


def _tiles(counts: np.ndarray) -> list[list[Tile]]:
    tiles = []
    for row in counts.astype(int).tolist():
        n = sum(row)
        tiles.append([_tile(count, n) for count in row])
    return tiles


def _tile(count: int, n: int) -> Tile:
    if n == 0:
        return Tile(note="no rows")
    return Tile(count / n, str(count), second=percent(count / n)) if count else Tile(0.0)


def percent(share: float) -> str:
    """A share above 0 in per cent, which is neither rounded up to all of it nor down to nothing: "<1 %", ">99 %"."""
    if 0 < share < 0.005:
        return "<1 %"
    return ">99 %" if 0.995 <= share < 1 else f"{share:.0%}".replace("%", " %")
