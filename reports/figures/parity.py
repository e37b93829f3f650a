"""Parity over the epochs: where rounding enters, and whether it stays rounding."""

import math
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports import style
from reports.figures.curves import best_of_all, headed
from reports.figures.panels import exponents
from reports.study import Position, Problem, Study

FLOORS, LEAST = 100, {"float64": 1e-12, "float32": 1e-4}
"""A trial agrees up to so many floors, and up to this in any case (see "What the numbers mean" in the README)."""

MARKED = 20  # epochs at most where each point has a mark


def parity_over_epochs(study: Study, position: Position | None = None, problem: Problem | None = None) -> Figure | None:
    """Deviation of every backend from the reference, and the floor, by epoch on a logarithmic axis, mode `controlled`.

    Of the cell at `position`; where none is given, of the best cell by validation score over all backends (of `problem`
    or, where none is given, of the first). None where no parity is stored there. With several seeds a line is the worst
    of them, and the band goes down to the best. The dashed line is the deviation up to which the strictest seed agrees.
    "0" is equality to the last bit, "∞" that one of the two diverged by then; an epoch that was not measured is left
    out.
    """
    why = ""
    if position is None:
        score = next(iter(study.scores))
        cell, why = best_of_all(study, score, problem)
        if cell is None:
            return None
        position = cell.position
    rows = [row for name in study.backends_of("controlled") for row in study.cell("controlled", name, position).rows]
    stored = study.artefacts("parity", [row["trial_id"] for row in rows])
    rows = [row for row in rows if row["trial_id"] in stored]
    if not rows:
        return None
    found = pd.concat([_measured(row, stored[row["trial_id"]]) for row in rows], ignore_index=True)
    seeds = found["seed"].nunique()
    told = [
        study.describe(position),
        why,
        f"the worst of {seeds} {study.repeat}s, the band down to the best" if seeds > 1 else "",
    ]
    note = " · ".join(filter(None, [study.title, ", ".join(filter(None, told))]))
    with matplotlib.rc_context(style.RC):
        return _draw(note, found, study.colours)


def _measured(row: dict[str, Any], stored: dict[str, np.ndarray]) -> pd.DataFrame:
    """One row an epoch: `backend, seed, epoch, deviation, floor, allowed`."""
    least = LEAST.get(str(row.get("dtype")), LEAST["float64"])
    floor = stored["floor"].astype(float)
    return pd.DataFrame(
        {
            "backend": row["backend"],
            "seed": row["seed"],
            "epoch": stored["epoch"],
            "deviation": stored["deviation"].astype(float),
            "floor": floor,
            "allowed": np.fmax(FLOORS * floor, least),
        }
    )


def _draw(note: str, found: pd.DataFrame, palette: dict[str, str]) -> Figure:
    total, plot, backends = 9.0, 3.4, list(found["backend"].unique())
    figure, height = headed("Parity over the epochs, mode controlled", note, total, plot + 0.25)
    ax = figure.add_axes((0.8 / total, 0.5 / height, (total - 3.1) / total, plot / height))
    low, high = _limits(ax, found)
    floor = found.groupby("epoch")["floor"].agg(["min", "max"])
    ax.fill_between(floor.index, *(_heights(floor[name], low, high) for name in ("min", "max")), color=style.MUTED,
                    alpha=0.25, linewidth=0)  # fmt: skip
    ax.plot(floor.index, _heights(floor["max"], low, high), color=style.MUTED, linewidth=2.4,
            label=f"floor: {style.deviation(floor['max'].iloc[-1])}")  # fmt: skip
    few = found["epoch"].nunique() <= MARKED
    for i, name in enumerate(backends):
        mine = found[found["backend"] == name].groupby("epoch")["deviation"].agg(["min", "max"])
        worst = _heights(mine["max"], low, high)
        if not np.array_equal(mine["min"], mine["max"], equal_nan=True):
            ax.fill_between(mine.index, _heights(mine["min"], low, high), worst, color=palette[name], alpha=0.12,
                            linewidth=0)  # fmt: skip
        ax.plot(mine.index, worst, color=palette[name], linewidth=1.6, marker=style.MARKERS[i % len(style.MARKERS)],
                markersize=4.5 if few else 0, markeredgecolor="white", markeredgewidth=0.5,
                label=f"{name}: {style.deviation(mine['max'].iloc[-1])}")  # fmt: skip
    allowed = found.groupby("epoch")["allowed"].min()
    ax.plot(allowed.index, _heights(allowed, low, high), color=style.INK, linewidth=1.0, linestyle=(0, (4, 3)),
            label=f"agrees up to {FLOORS} floors,\nat least {style.number(allowed.min())}")  # fmt: skip
    beside = ((total - 2.2) / total, (plot + 0.5) / height)
    figure.legend(*ax.get_legend_handles_labels(), loc="upper left", bbox_to_anchor=beside, frameon=False, fontsize=8.5,
                  title="at the last epoch", title_fontsize=8.5, alignment="left", borderaxespad=0)  # fmt: skip
    return figure


def _limits(ax: Axes, found: pd.DataFrame) -> tuple[float, float]:
    """Where equality and divergence are drawn: a decade and more below and above what is finite. Sets the ticks."""
    values = found[["deviation", "floor", "allowed"]].to_numpy()
    powers = np.log10(values[np.isfinite(values) & (values > 0)])
    low, high = math.floor(powers.min(initial=-12)) - 1.0, math.ceil(powers.max(initial=-12)) + 1.0
    ticks = exponents(low + 1, high - 1)
    labels = [style.magnitude(10.0**tick) for tick in ticks]
    equal, diverged = bool((values == 0).any()), bool(np.isinf(values).any())
    ticks, labels = ticks + equal * [low] + diverged * [high], labels + equal * ["0"] + diverged * ["∞"]
    ax.set_yticks(ticks, labels)
    ax.set_ylim(low + (-0.4 if equal else 0.6), high + (0.4 if diverged else -0.6))
    ax.set_ylabel("deviation of the weights", size=8.5)
    ax.set_xlabel("epoch", size=8.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9, steps=[1, 2, 5, 10]))
    return low, high


def _heights(values: pd.Series, low: float, high: float) -> np.ndarray:
    """Logarithms; `low` for exactly 0, `high` for infinity, NaN where nothing was measured."""
    with np.errstate(divide="ignore"):
        return np.clip(np.log10(values.to_numpy()), low, high)
