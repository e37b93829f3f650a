"""Difference maps: one backend minus another, cell by cell, and which of these differences the seeds show."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from reports import statistics, style
from reports.figures.heatmaps import axis_ticks, bands, grid, judged_by, lacking, legend, subtitle, titled, wrap
from reports.figures.panels import draw
from reports.figures.tiles import Scale, Tile
from reports.study import Cell, Position, Study

Pair = tuple[str, str]
"""The backend whose values are taken, and the one from which they are measured."""

TEST = "coloured where a paired t test over them, Holm-corrected over the cells, has p\u00a0<\u00a00.05"


def difference_heatmaps(
    study: Study,
    mode: str,
    pairs: Sequence[Pair],
    column: str = "test_accuracy",
    rows: str | None = None,
    columns: str | None = None,
) -> Figure:
    """One panel a pair (a, b), of which there is at least one: the mean of a minus b over the seeds that both finished.

    With several seeds, half of its 95 % interval stands under it, and a difference that they do not show (see
    `statistics.paired`) keeps its number, without a colour and with the sign "≈". A single seed has no noise to
    compare with: then every difference has its colour, and the figure says so.
    """
    where = grid(list(study.axes), rows, columns)
    bases = {b for _, b in pairs}
    named = {a if len(bases) == 1 else f"{a} − {b}": (a, b) for a, b in pairs}
    found = {name: statistics.paired(study, mode, a, b, column) for name, (a, b) in named.items()}
    at = {name: dict(zip(study.positions, frame.to_dict("records"), strict=True)) for name, frame in found.items()}

    def tile(name: str, position: Position) -> Tile:
        a, b = named[name]
        mine, theirs = study.cell(mode, a, position), study.cell(mode, b, position)
        if not any(mine.has_score(score) for score in judged_by(study, column)):
            return Tile(text=style.MISSING, blank=True)
        return difference_tile(at[name][position], mine, theirs, b, column)

    def absence(name: str) -> str:
        missing = [f"{backend} is {why}" for backend in named[name] if (why := study.absence(mode, backend))]
        return missing[0] if missing else ""

    several = study.n_seeds > 1
    counted = several and not where.others  # a panel then holds all cells
    of = f" minus that of {next(iter(bases))}" if len(bases) == 1 else ", differences"
    masks = {"masked": statistics.NOT_SHOWN, "alone": statistics.NOT_COMPARABLE}
    drawn = pd.concat(found.values()).dropna(subset="difference")
    masked = [mark for mark, shown in masks.items() if several and (drawn["shown"] == shown).any()]
    noise = f"mean of {study.n_seeds} {study.repeat}s, ± half of its 95 % interval; {TEST}"
    return draw(
        f"{titled(column)}{of}, mode {mode}",
        subtitle(study, noise if several else "one seed, so the noise is not known and nothing is masked"),
        bands(study, mode, list(named), tile, lambda name: counts(found[name]) if counted else "", where, absence),
        axis_ticks(study, where),
        difference_scale(drawn, column),
        [*masked, *legend(study, [mode], judged_by(study, column))],
    )


def native_difference_heatmaps(study: Study, split: str = "test", score: str = "accuracy") -> Figure:
    """Native score of each other backend minus that of numpy (or of the first backend): see `difference_heatmaps`."""
    base = study.native_base
    pairs = [(backend, base) for backend in study.backends_of("native") if backend != base]
    return difference_heatmaps(study, "native", pairs, f"{split}_{score}")


def difference_tile(row: dict[str, Any], mine: Cell, theirs: Cell, base: str, column: str) -> Tile:
    """A mean difference, half of its interval, what did not finish, and whether it is shown at all."""
    measure = style.measure(column)
    several = max(len(mine.rows), len(theirs.rows)) > 1
    known = not math.isnan(row["difference"])
    alone = "1\u00a0seed" if several and row["n"] == 1 else ""
    return Tile(
        row["difference"],
        style.signed(row["difference"], measure.write_spread) if known else "",
        wrap(", ".join(filter(None, [alone, _pair_mark(lacking(mine, column), lacking(theirs, column), base)]))),
        "" if math.isnan(row["high"]) else f"±{measure.write_spread(row['high'] - row['difference'])}",
        hatched=mine.chaotic or theirs.chaotic,
        masked=known and several and row["shown"] in (statistics.NOT_SHOWN, statistics.NOT_COMPARABLE),
    )


def difference_scale(found: pd.DataFrame, column: str) -> Scale:
    """White at 0, and as far to both sides as the differences that are shown; without seeds to show any, as all.

    Scores end at a tenth, at most 1: an R² has no lower end. The others end at 1, 2 or 5 times a power of ten; one in
    20 may lie beyond, with the last colour and its number.
    """
    measure = style.measure(column)
    shown = found["shown"].isin([statistics.A_HIGHER, statistics.B_HIGHER])
    coloured = shown if (found["shown"] != statistics.NOT_COMPARABLE).any() else ~shown  # with one seed, all
    sizes = found.loc[coloured if coloured.any() else ~coloured, "difference"].abs().dropna()
    if measure.write is style.score:
        reach, cut = min(max(math.ceil(max(sizes, default=0) * 10 - 1e-9) / 10, 0.1), 1.0), False
    else:
        most = float(np.quantile(sizes, 0.95)) if len(sizes) else 0.0
        reach = _round_up(most) if most > 0 else 1.0
        cut = bool((found.loc[coloured, "difference"].abs() > reach).any())
    label = "difference (outliers cut)" if cut else "difference"
    return Scale(style.DIFFERENCE, -reach, reach, label, write=lambda value: style.signed(value, measure.write))


def counts(found: pd.DataFrame) -> str:
    """`3 higher, 5 lower of 48`: what the seeds show, of the cells in which there are two of them."""
    higher, lower, neither = (
        int((found["shown"] == shown).sum())
        for shown in (statistics.A_HIGHER, statistics.B_HIGHER, statistics.NOT_SHOWN)
    )
    return f"{higher} higher, {lower} lower of {higher + lower + neither}"


def _round_up(value: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))


def _pair_mark(mine: str, theirs: str, base: str) -> str:
    if theirs and mine == theirs:
        return f"both {mine}"
    return ", ".join(filter(None, [mine, f"{base} {theirs}" if theirs else ""]))
