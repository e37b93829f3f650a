"""Heatmaps one after the other, each with one convention more of another code than the one before."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from reports import style
from reports.figures.heatmaps import grid
from reports.figures.panels import Band, Panel, Scale, Ticks, Tile, draw
from reports.figures.text import fitted

_ACROSS = 4


def ladder(
    title: str,
    subtitle: str,
    score: str,
    axes: dict[str, list],
    rungs: Sequence[tuple[str, str, np.ndarray]],
) -> Figure:
    """One heatmap a rung: (what was switched, a note, one value a cell in the order of the product of the axes)."""
    where = grid(list(axes))
    shape = tuple(len(values) for values in axes.values())
    panels = [
        Panel(_titled(switched), _tiles(values.reshape(shape), axes, where.row), note)
        for switched, note, values in rungs
    ]
    lines = [Band(panels[first : first + _ACROSS]) for first in range(0, len(panels), _ACROSS)]
    low = min((float(np.nanmin(values)) for _, _, values in rungs if not np.isnan(values).all()), default=0.0)
    scale = Scale(style.SCORE, max(0.0, min(math.floor(low * 10 + 1e-9) / 10, 0.9)), 1.0, f"test {style.named(score)}")
    ticks = Ticks(
        where.row or "",
        style.labels(axes[where.row]) if where.row else [""],
        where.column or "",
        style.labels(axes[where.column]) if where.column else [""],
    )
    missing = any(np.isnan(values).any() for _, _, values in rungs)
    return draw(title, subtitle, lines, ticks, scale, ["missing"] if missing else [])


def _titled(switched: str) -> str:
    return fitted(switched, 3.0, 0.25)


def _tiles(values: np.ndarray, axes: dict[str, list], row: str | None) -> list[list[Tile]]:
    """The tiles of one heatmap, the axis `row` running down."""
    table = values.reshape(-1, 1) if values.ndim == 1 else values
    if values.ndim == 2 and next(iter(axes)) != row:
        table = table.T
    return [
        [Tile(value, style.score(value)) if not math.isnan(value) else Tile(note="diverged") for value in line]
        for line in table
    ]
