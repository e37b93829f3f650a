"""The heatmaps of a study: what each tile says. Rows are learning rates and columns L2 wherever these are swept.

With more than two axes there is one line of panels for each combination of the others; with one axis a panel is a
single column, and with none a single tile. Any two axes may be named as `rows` and `columns` instead.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from reports import style
from reports.figures.panels import Band, Panel, Ticks, draw
from reports.figures.tiles import Scale, Tile
from reports.study import SPLITS, Cell, Position, Study, is_finite, score_of

MEANING = {
    "controlled": "the same start, batches and conventions for all",
    "native": "the same numbers, with each framework's own defaults",
}

JUDGED_BY = {"accuracy": "accuracy", "auc": "accuracy", "f1": "accuracy", "r2": "r2", "mse": "r2", "mae": "r2"}
"""The score of the tasks that have a metric; every task has the metrics that are not named here."""

FillCell = Callable[[str, Position], Tile]

DEVIATIONS = Scale(style.DEVIATION, -17, 0, "deviation", logarithmic=True)

DECADES = 2
"""How far a logarithmic scale goes beyond the middle nine tenths of the values, at most."""


@dataclass(frozen=True)
class Grid:
    """Which axis runs down a panel, which across, and which make further lines of panels."""

    row: str | None
    column: str | None
    others: tuple[str, ...]


def grid(axes: Sequence[str], rows: str | None = None, columns: str | None = None) -> Grid:
    """Down: `rows`, else `learning_rate` if swept, else the first axis. Across: `columns`, else `l2`, else the next.

    Lists of layers are long texts, and stand down wherever nothing else is asked for. Raises `ValueError` for a name
    that is no axis, or given twice.
    """
    for name in (rows, columns):
        if name is not None and (name not in axes or rows == columns):
            told = f"there is no axis {name!r}" if name not in axes else f"{name!r} cannot run down and across"
            raise ValueError(f"{told}: the axes are {', '.join(axes) or 'none'}")
    left = [axis for axis in axes if axis not in (rows, columns)]
    column = columns or ("l2" if "l2" in left and len(axes) > 1 else None)
    left = [axis for axis in left if axis != column]
    first = next((axis for axis in ("layers", "learning_rate") if axis in left), next(iter(left), None))
    row = rows or first
    left = [axis for axis in left if axis != row]
    column = column or next(iter(left), None)
    return Grid(row, column, tuple(axis for axis in left if axis != column))


def metric_heatmaps(
    study: Study, mode: str, column: str = "test_accuracy", rows: str | None = None, columns: str | None = None
) -> Figure:
    """One panel a backend: the mean of `column` of each cell over its seeds, a score, loss, time or count of the rows.

    With several seeds the standard deviation stands under the mean. The colours run over the same range in both modes
    and all splits, along the logarithm of a loss or a time. The outlined cell is the best of its problem by validation
    score. A cell in which a trial did not finish says so in words, with the mean of the others if there are any; a cell
    whose task has no such metric stays blank. `statistics.with_epochs_to` adds the columns `test_epochs_to_95`, ….
    """
    where = grid(list(study.axes), rows, columns)
    tile, outlined = metric_tiles(study, mode, column)
    return draw(
        f"{titled(column)}, mode {mode}",
        subtitle(study, seeds(study)),
        bands(study, mode, study.backends_of(mode), tile, where=where),
        axis_ticks(study, where),
        metric_scale(study, column),
        legend(study, [mode], judged_by(study, column), best=outlined),
    )


def score_heatmaps(study: Study, mode: str, split: str, score: str = "accuracy") -> Figure:
    """`metric_heatmaps` of a score on the split "train", "validation" or "test"."""
    return metric_heatmaps(study, mode, f"{split}_{score}")


def overview(study: Study, score: str) -> Figure:
    """The study in one picture: the score on the test set, one line of panels a mode, on one colour scale.

    With more than two axes only the first combination of the others is drawn, and the heading says which. Without a
    test set, the score on the training set is drawn.
    """
    split = study.split(score)
    lines, outlined = [], False
    for mode in study.spoken:
        tile, any_best = metric_tiles(study, mode, f"{split}_{score}")
        outlined |= any_best
        band = bands(study, mode, study.backends_of(mode), tile)[0]
        lines.append(Band(band.panels, ", ".join(filter(None, [f"{mode}: {MEANING[mode]}", band.heading]))))
    return draw(
        study.title,
        ", ".join(filter(None, [f"{split} {style.named(score)}", seeds(study)])),
        lines,
        axis_ticks(study),
        metric_scale(study, f"{split}_{score}"),
        legend(study, study.spoken, [score], best=outlined),
    )


def metric_tiles(study: Study, mode: str, column: str) -> tuple[FillCell, bool]:
    """What fills the cells of a mode with a column, and whether any is outlined as its backend's best of a problem."""
    scores = judged_by(study, column)
    best = {
        backend: {cell.position for score in scores for cell in study.best(mode, backend, score).values()}
        for backend in study.backends_of(mode)
    }

    def tile(backend: str, position: Position) -> Tile:
        cell = study.cell(mode, backend, position)
        if not any(cell.has_score(score) for score in scores):
            return Tile(text=style.MISSING, blank=True)
        return metric_tile(cell, mode, column, outlined=position in best[backend])

    return tile, any(best.values())


def judged_by(study: Study, column: str) -> Sequence[str]:
    """The scores of the tasks that have this column."""
    score = JUDGED_BY.get(column.rpartition("_")[2])
    return [score] if score else study.scores


def metric_tile(cell: Cell, mode: str, column: str, outlined: bool = False) -> Tile:
    """The mean of a cell's trials, their standard deviation, what did not finish or has no value, and its marks."""
    measure = style.measure(column)
    found = [row[column] for row in cell.ok if is_finite(row.get(column))]
    n, value = len(found), cell.mean(column)
    with np.errstate(over="ignore"):  # the square of a huge loss
        spread = f"±{measure.write_spread(float(np.std(found, ddof=1)))}" if n > 1 else ""
    if measure.logarithmic:
        value = math.log10(value) if value > 0 else -math.inf if value == 0 else value
    return Tile(
        value,
        measure.write(cell.mean(column)) if n else "",
        wrap(lacking(cell, column)),
        spread,
        hatched=mode == "controlled" and cell.chaotic,
        outlined=outlined,
    )


def lacking(cell: Cell, column: str) -> str:
    """What did not finish or has no finite value, in words: "", "no value", or with several seeds "1/3 no value"."""
    n, absent = sum(not is_finite(row.get(column)) for row in cell.ok), style.measure(column).absent
    lack = "" if n == 0 else absent if n == len(cell.rows) else f"{n}/{len(cell.rows)} {absent}"
    return ", ".join(filter(None, [cell.mark, lack]))


def deviation_heatmaps(study: Study) -> Figure:
    """Is it rounding? One panel a backend, mode `controlled`.

    The upper number of a tile is the deviation from the reference (of the worst seed), the lower one the floor: how
    far the reference moves from itself when only its rounding changes. "0" is equality to the last bit. The colour
    follows the logarithm of the deviation; a cell that differs by more than rounding is solid red and says "differs".
    """
    backends = study.backends_of("controlled")

    def tile(backend: str, position: Position) -> Tile:
        return deviation_tile(study.cell("controlled", backend, position))

    return draw(
        "Deviation from the reference, mode controlled",
        subtitle(
            study, "above, the deviation of the weights; below, the floor: how far rounding alone moves the reference"
        ),
        bands(study, "controlled", backends, tile, lambda backend: verdicts(study, backend)),
        axis_ticks(study),
        DEVIATIONS,
        legend(study, ["controlled"], differs=True),
    )


def verdicts(study: Study, backend: str) -> str:
    """`2 differ, 40 agree`: the controlled trials of a backend."""
    rows = [row for cell in study.cells("controlled", backend) for row in cell.rows]
    # nobody could have compared what is unsupported
    found = ["unsupported" if row["status"] == "unsupported" else row["verdict"] for row in rows]
    known = ("differs", "agrees", "chaotic", "unchecked", "unsupported")
    counts = {verdict: found.count(verdict) for verdict in known}
    words = {"agrees": "agree", "differs": "differ"}
    return ", ".join(f"{n} {words.get(verdict, verdict)}" for verdict, n in counts.items() if n)


def deviation_tile(cell: Cell) -> Tile:
    """A cell's deviation from the reference over its floor."""
    compared = [row for row in cell.rows if not math.isnan(row["deviation"])]
    if not compared:
        return Tile(note=wrap(cell.mark or "unchecked"), hatched=cell.chaotic, alarm=cell.differs)
    worst = max(compared, key=lambda row: (row["verdict"] == "differs", row["deviation"]))
    deviation = worst["deviation"]
    value = -math.inf if deviation == 0 else math.log10(deviation)
    note = ", ".join(filter(None, ["differs" if cell.differs else "", cell.mark]))
    floor = "" if note else style.magnitude(worst["floor"])
    return Tile(value, style.magnitude(deviation), wrap(note), floor, hatched=cell.chaotic, alarm=cell.differs)


def wrap(mark: str) -> str:
    """A mark on lines short enough for a cell: "1/3 diverged" on two, "not installed" on two."""
    return mark.replace(", ", ",\n").replace(" ", "\n")


def metric_scale(study: Study, column: str, beside: float = math.nan) -> Scale:
    """The colours of a column, over the range that it has in all splits and both modes.

    A score: to 1, from 0 for R², else from the lowest of the study (or `beside`), rounded down to a tenth. A loss, an
    error, a time: along its logarithm, without far outliers. A count: from 0.
    """
    measure = style.measure(column)
    split, _, kind = column.partition("_")
    same = [f"{name}_{kind}" for name in SPLITS] if split in ("", *SPLITS) else [column]
    same = [name for name in same if study.has(name)]
    found = study.rows.loc[study.rows["status"] == "ok", same].to_numpy(dtype=float)
    found = found[np.isfinite(found)]
    low, high, label = min(found, default=0.0), max(found, default=1.0), measure.name.strip()
    if kind == "r2":
        low, high, label = 0.0, 1.0, label + (" (cut at 0)" if low < 0 else "")
    elif measure.write is style.score:
        low = low if math.isnan(beside) else min(low, beside)
        low, high = min(math.floor(low * 10 + 1e-9) / 10, 0.9), 1.0
    elif measure.logarithmic:
        low, high, cut = _decades(found)
        label += " (outliers cut)" if cut else ""
    else:
        low, high = 0.0, max(high, 1.0)
    return Scale(measure.colours, low, high, label, measure.logarithmic, measure.write)


def _decades(found: np.ndarray) -> tuple[float, float, bool]:
    """The range of the logarithms, in tenths of a decade, and whether any lie outside of it."""
    powers = np.log10(found[found > 0])
    if not len(powers):
        return -1.0, 0.0, False
    inner_low, inner_high = np.quantile(powers, (0.05, 0.95))
    low, high = max(powers.min(), inner_low - DECADES), min(powers.max(), inner_high + DECADES)
    cut = bool(low > powers.min() or high < powers.max())
    low, high = math.floor(10 * low + 1e-9) / 10, math.ceil(10 * high - 1e-9) / 10
    return low, max(high, low + 0.3), cut


def bands(
    study: Study,
    mode: str,
    panels: Sequence[str],
    tile: FillCell,
    subtitle: Callable[[str], str] = lambda panel: "",
    where: Grid | None = None,
    absence: Callable[[str], str] | None = None,
) -> list[Band]:
    """One line of panels for each combination of the axes that are neither rows nor columns.

    A panel is a backend, or what else `tile` is asked for; `absence` says why one has nothing to show, "" where it has.
    A line in which every tile is blank, because its tasks have another score, is left out.
    """
    where = where or grid(list(study.axes))
    rows = range(len(study.axes[where.row]) if where.row else 1)
    columns = range(len(study.axes[where.column]) if where.column else 1)
    lines = []
    for combination in itertools.product(*(range(len(study.axes[axis])) for axis in where.others)):
        fixed = dict(zip(where.others, combination, strict=True))
        line = []
        for name in panels:
            hint = absence(name) if absence else study.absence(mode, name)
            found = [] if hint else [
                [tile(name, _position(study, where, r, c, fixed)) for c in columns] for r in rows
            ]  # fmt: skip
            line.append(Panel(name, found, "" if hint else subtitle(name), hint))
        heading = ", ".join(f"{axis} = {style.labels(study.axes[axis])[i]}" for axis, i in fixed.items())
        lines.append(Band(line, heading))
    return [line for line in lines if not _blank(line)] or lines


def _blank(line: Band) -> bool:
    tiles = [tile for panel in line.panels for row in panel.tiles for tile in row]
    return bool(tiles) and all(tile.blank for tile in tiles)


def _position(study: Study, where: Grid, row: int, column: int, fixed: dict[str, int]) -> Position:
    index = {where.row: row, where.column: column} | fixed
    return tuple(index[axis] for axis in study.axes)


def axis_ticks(study: Study, where: Grid | None = None) -> Ticks:
    """The names and values of the axes that run down and across."""
    where = where or grid(list(study.axes))
    return Ticks(
        where.row or "",
        style.labels(study.axes[where.row]) if where.row else [""],
        where.column or "",
        style.labels(study.axes[where.column]) if where.column else [""],
    )


def seeds(study: Study, spread: bool = True) -> str:
    """What a number is the mean of, and what stands under it; "" with one seed."""
    if study.n_seeds < 2:
        return ""
    return f"mean {'± standard deviation ' if spread else ''}of {study.n_seeds} {study.repeat}s"


def subtitle(study: Study, text: str) -> str:
    """The study's title, and `text` beside it."""
    return f"{study.title} · {text}" if text else study.title


def legend(
    study: Study,
    modes: list[str],
    scores: Sequence[str] = (),
    best: bool = False,
    differs: bool = False,
    equal: bool = False,
) -> list[str]:
    """The marks that occur in a figure of `modes`, of the tasks that have one of the `scores`, or of all."""
    rows = study.rows[study.rows["mode"].isin(modes)]
    other = ~rows["task"].map(score_of).isin(scores or study.scores)
    rows = rows[~other]
    return [
        *(["equal"] if equal else []),
        *([f"best_{score}" for score in scores] if best else []),
        *(["chaotic"] if (rows["verdict"] == "chaotic").any() else []),
        *(["differs"] if differs and (rows["verdict"] == "differs").any() else []),
        *(["partial" if study.n_seeds > 1 else "missing"] if (rows["status"] != "ok").any() else []),
        *(["blank"] if other.any() else []),
    ]


def titled(column: str) -> str:
    """A column in words, as the title of a figure begins."""
    name = style.measure(column).name
    return name[:1].upper() + name[1:]
