"""The heatmaps of a study: what each tile says. Rows are learning rates and columns L2 wherever these are swept.

With more than two axes there is one line of panels for each combination of the others; with one axis a panel is a
single column, and with none a single tile.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from reports import style
from reports.figures.panels import Band, Panel, Scale, Ticks, Tile, draw
from reports.study import Cell, Position, Study, best_cell

MEANING = {
    "controlled": "the same start, batches and conventions for all",
    "native": "the same numbers, with each framework's own defaults",
}

FillCell = Callable[[str, Position], Tile]


@dataclass(frozen=True)
class Grid:
    """Which axis runs down a panel, which across, and which make further lines of panels."""

    row: str | None
    column: str | None
    others: tuple[str, ...]


def grid(axes: list[str]) -> Grid:
    """Down: `learning_rate` if swept, else the first axis. Across: `l2` if swept, else the next one."""
    if len(axes) == 1:
        return Grid(axes[0], None, ())
    left = list(axes)
    column = "l2" if "l2" in left else None
    row = "learning_rate" if "learning_rate" in left else next((axis for axis in left if axis != column), None)
    column = column or next((axis for axis in left if axis != row), None)
    return Grid(row, column, tuple(axis for axis in left if axis not in (row, column)))


def accuracy_heatmaps(study: Study, mode: str, split: str) -> Figure:
    """One panel a backend: the mean `split` accuracy ("train", "validation", "test") of each cell over its seeds.

    The colours run over the same range in both modes and all splits. The outlined cell is the best by validation
    accuracy. A cell in which a trial did not finish says so in words, with the mean of the others if there are any.
    """
    best = {backend: best_cell(study.cells(mode, backend)) for backend in study.backends_of(mode)}

    def tile(backend: str, position: Position) -> Tile:
        return _accuracy_tile(study.cell(mode, backend, position), mode, f"{split}_accuracy", best[backend])

    return draw(
        f"{split.capitalize()} accuracy, mode {mode}",
        _subtitle(study, f"mean of {study.n_seeds} seeds" if study.n_seeds > 1 else ""),
        _bands(study, mode, study.backends_of(mode), tile),
        _ticks(study),
        _accuracy_scale(study, f"{split} accuracy"),
        _legend(study, [mode], best=any(best.values())),
    )


def overview(study: Study) -> Figure:
    """The study in one picture: accuracy on the test set, one line of panels a mode, on one colour scale.

    With more than two axes only the first combination of the others is drawn, and the heading says which. Without a
    test set, the training accuracy is drawn.
    """
    split = "test" if study.has("test_accuracy") else "train"
    bands, outlined = [], False
    for mode in study.modes:
        best = {backend: best_cell(study.cells(mode, backend)) for backend in study.backends_of(mode)}
        outlined = outlined or any(best.values())

        def tile(backend: str, position: Position, mode: str = mode, best: dict[str, Cell | None] = best) -> Tile:
            return _accuracy_tile(study.cell(mode, backend, position), mode, f"{split}_accuracy", best[backend])

        band = _bands(study, mode, study.backends_of(mode), tile)[0]
        bands.append(Band(band.panels, ", ".join(filter(None, [f"{mode}: {MEANING[mode]}", band.heading]))))
    return draw(
        study.title,
        f"{split} accuracy" + (f", mean of {study.n_seeds} seeds" if study.n_seeds > 1 else ""),
        bands,
        _ticks(study),
        _accuracy_scale(study, f"{split} accuracy"),
        _legend(study, study.modes, best=outlined),
    )


def deviation_heatmaps(study: Study) -> Figure:
    """Is it rounding? One panel a backend, mode `controlled`.

    The upper number of a tile is the deviation from the reference (of the worst seed), the lower one the floor: how
    far the reference moves from itself when only its rounding changes. "0" is equality to the last bit. The colour
    follows the logarithm of the deviation; a cell that differs by more than rounding is solid red and says "differs".
    """
    backends = study.backends_of("controlled")

    def tile(backend: str, position: Position) -> Tile:
        return _deviation_tile(study.cell("controlled", backend, position))

    def subtitle(backend: str) -> str:
        verdicts = [row["verdict"] for cell in study.cells("controlled", backend) for row in cell.rows]
        counts = {verdict: verdicts.count(verdict) for verdict in ("differs", "agrees", "chaotic", "unchecked")}
        return ", ".join(f"{n} {'agree' if v == 'agrees' else 'differ' if v == 'differs' else v}"
                         for v, n in counts.items() if n)  # fmt: skip

    return draw(
        "Deviation from the reference, mode controlled",
        _subtitle(
            study, "above, the deviation of the weights; below, the floor: how far rounding alone moves the reference"
        ),
        _bands(study, "controlled", backends, tile, subtitle),
        _ticks(study),
        Scale(style.DEVIATION, -17, 0, "deviation", logarithmic=True),
        _legend(study, ["controlled"], best=False, differs=True),
    )


def native_difference_heatmaps(study: Study, split: str = "test") -> Figure:
    """Native accuracy of each other backend minus that of numpy (or of the first backend), cell by cell.

    The mean over the seeds in which both finished, on a diverging scale that is white at 0.
    """
    base = study.native_base
    others = [backend for backend in study.backends_of("native") if backend != base]
    column = f"{split}_accuracy"

    def difference(backend: str, position: Position) -> tuple[float, str]:
        mine, theirs = study.cell("native", backend, position), study.cell("native", base, position)
        return mine.minus(theirs, column), _pair_mark(mine, theirs, base)

    def tile(backend: str, position: Position) -> Tile:
        value, mark = difference(backend, position)
        return Tile(value, "" if math.isnan(value) else style.signed(value), _wrap(mark))

    values = [difference(backend, position)[0] for backend in others for position in study.positions]
    reach = max((abs(value) for value in values if not math.isnan(value)), default=0)
    reach = max(math.ceil(reach * 10 - 1e-9) / 10, 0.1)
    return draw(
        f"{split.capitalize()} accuracy minus that of {base}, mode native",
        _subtitle(study, "the same hyperparameter numbers, handed to each framework's own knobs"),
        _bands(study, "native", others, tile) if others else [Band([Panel(base, [[Tile(note="no other backend")]])])],
        _ticks(study) if others else Ticks("", [""], "", [""]),
        Scale(style.DIFFERENCE, -reach, reach, "difference"),
        _legend(study, ["native"], best=False),
    )


def _pair_mark(mine: Cell, theirs: Cell, base: str) -> str:
    if theirs.mark and mine.mark == theirs.mark:
        return f"both {mine.mark}"
    return ", ".join(filter(None, [mine.mark, f"{base} {theirs.mark}" if theirs.mark else ""]))


def _accuracy_tile(cell: Cell, mode: str, column: str, best: Cell | None) -> Tile:
    value = cell.mean(column)
    return Tile(
        value,
        "" if math.isnan(value) else style.accuracy(value),
        _wrap(cell.mark or ("no value" if math.isnan(value) else "")),
        hatched=mode == "controlled" and cell.chaotic,
        outlined=best is not None and best.position == cell.position,
    )


def _deviation_tile(cell: Cell) -> Tile:
    compared = [row for row in cell.rows if not math.isnan(row["deviation"])]
    if not compared:
        return Tile(note=_wrap(cell.mark or "unchecked"), hatched=cell.chaotic, alarm=cell.differs)
    worst = max(compared, key=lambda row: (row["verdict"] == "differs", row["deviation"]))
    deviation = worst["deviation"]
    value = -math.inf if deviation == 0 else math.log10(deviation)
    note = "differs" if cell.differs else cell.mark or style.magnitude(worst["floor"])
    if cell.differs and cell.mark:
        note = f"differs, {cell.mark}"
    return Tile(value, style.magnitude(deviation), _wrap(note), hatched=cell.chaotic, alarm=cell.differs)


def _wrap(mark: str) -> str:
    """A mark on lines short enough for a cell: "1/3 diverged" on two, "not installed" on two."""
    return mark.replace(", ", ",\n").replace(" ", "\n")


def _accuracy_scale(study: Study, label: str) -> Scale:
    """From the lowest mean accuracy of the study, rounded down to a tenth, to 1."""
    columns = [name for name in ("train_accuracy", "validation_accuracy", "test_accuracy") if study.has(name)]
    ok = study.rows[study.rows["status"] == "ok"]
    low = ok[columns].min().min() if columns and len(ok) else 0
    return Scale(style.ACCURACY, min(math.floor(low * 10 + 1e-9) / 10, 0.9), 1.0, label)


def _bands(
    study: Study, mode: str, backends: list[str], tile: FillCell, subtitle: Callable[[str], str] = lambda backend: ""
) -> list[Band]:
    """One line of panels for each combination of the axes that are neither rows nor columns."""
    where = grid(list(study.axes))
    bands = []
    for combination in itertools.product(*(range(len(study.axes[axis])) for axis in where.others)):
        fixed = dict(zip(where.others, combination, strict=True))
        panels = []
        for backend in backends:
            hint = study.absence(mode, backend)
            rows = range(len(study.axes[where.row]) if where.row else 1)
            columns = range(len(study.axes[where.column]) if where.column else 1)
            tiles = [
                [tile(backend, _position(study, where, r, c, fixed)) for c in columns]
                for r in (rows if not hint else [])
            ]
            panels.append(Panel(backend, tiles, "" if hint else subtitle(backend), hint))
        heading = ", ".join(f"{axis} = {style.labels(study.axes[axis])[i]}" for axis, i in fixed.items())
        bands.append(Band(panels, heading))
    return bands


def _position(study: Study, where: Grid, row: int, column: int, fixed: dict[str, int]) -> Position:
    index = {where.row: row, where.column: column} | fixed
    return tuple(index[axis] for axis in study.axes)


def _ticks(study: Study) -> Ticks:
    where = grid(list(study.axes))
    return Ticks(
        where.row or "",
        style.labels(study.axes[where.row]) if where.row else [""],
        where.column or "",
        style.labels(study.axes[where.column]) if where.column else [""],
    )


def _subtitle(study: Study, text: str) -> str:
    return f"{study.title} · {text}" if text else study.title


def _legend(study: Study, modes: list[str], best: bool, differs: bool = False) -> list[str]:
    """The marks that occur in a figure of `modes`."""
    rows = study.rows[study.rows["mode"].isin(modes)]
    return [
        *(["best"] if best else []),
        *(["chaotic"] if (rows["verdict"] == "chaotic").any() else []),
        *(["differs"] if differs and (rows["verdict"] == "differs").any() else []),
        *(["partial" if study.n_seeds > 1 else "missing"] if (rows["status"] != "ok").any() else []),
    ]
