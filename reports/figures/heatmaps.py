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
from reports.study import SPLITS, Cell, Position, Study, score_of

MEANING = {
    "controlled": "the same start, batches and conventions for all",
    "native": "the same numbers, with each framework's own defaults",
}

FillCell = Callable[[str, Position], Tile]

DEVIATIONS = Scale(style.DEVIATION, -17, 0, "deviation", logarithmic=True)


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


def score_heatmaps(study: Study, mode: str, split: str, score: str = "accuracy") -> Figure:
    """One panel a backend: the mean `score` of each cell over its seeds, on the split "train", "validation" or "test".

    The colours run over the same range in both modes and all splits. The outlined cell is the best of its problem by
    validation score. A cell in which a trial did not finish says so in words, with the mean of the others if there are
    any; a cell whose task has another score stays blank.
    """
    tile, outlined = score_tiles(study, mode, split, score)
    return draw(
        f"{split.capitalize()} {style.named(score)}, mode {mode}",
        subtitle(study, seeds(study)),
        bands(study, mode, study.backends_of(mode), tile),
        axis_ticks(study),
        score_scale(study, split, score),
        legend(study, [mode], score, best=outlined),
    )


def overview(study: Study, score: str) -> Figure:
    """The study in one picture: the score on the test set, one line of panels a mode, on one colour scale.

    With more than two axes only the first combination of the others is drawn, and the heading says which. Without a
    test set, the score on the training set is drawn.
    """
    split = study.split(score)
    lines, outlined = [], False
    for mode in study.spoken:
        tile, any_best = score_tiles(study, mode, split, score)
        outlined |= any_best
        band = bands(study, mode, study.backends_of(mode), tile)[0]
        lines.append(Band(band.panels, ", ".join(filter(None, [f"{mode}: {MEANING[mode]}", band.heading]))))
    return draw(
        study.title,
        ", ".join(filter(None, [f"{split} {style.named(score)}", seeds(study)])),
        lines,
        axis_ticks(study),
        score_scale(study, split, score),
        legend(study, study.spoken, score, best=outlined),
    )


def score_tiles(study: Study, mode: str, split: str, score: str) -> tuple[FillCell, bool]:
    """What fills the cells of a mode with a score, and whether any is outlined as its backend's best of a problem."""
    best = {
        backend: {cell.position for cell in study.best(mode, backend, score).values()}
        for backend in study.backends_of(mode)
    }

    def tile(backend: str, position: Position) -> Tile:
        cell = study.cell(mode, backend, position)
        return score_tile(cell, mode, split, score, outlined=position in best[backend])

    return tile, any(best.values())


def score_tile(cell: Cell, mode: str, split: str, score: str, outlined: bool = False) -> Tile:
    """A cell's mean score, what did not finish, and its marks."""
    if not cell.has_score(score):
        return Tile(text=style.MISSING, blank=True)
    value = cell.mean(f"{split}_{score}")
    return Tile(
        value,
        "" if math.isnan(value) else style.score(value),
        wrap(cell.mark or ("no value" if math.isnan(value) else "")),
        hatched=mode == "controlled" and cell.chaotic,
        outlined=outlined,
    )


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


def native_difference_heatmaps(study: Study, split: str = "test", score: str = "accuracy") -> Figure:
    """Native score of each other backend minus that of numpy (or of the first backend), cell by cell.

    The mean over the seeds in which both finished, on a diverging scale that is white at 0.
    """
    base = study.native_base
    others = [backend for backend in study.backends_of("native") if backend != base]
    column = f"{split}_{score}"

    def difference(backend: str, position: Position) -> tuple[float, str]:
        mine, theirs = study.cell("native", backend, position), study.cell("native", base, position)
        return mine.minus(theirs, column), _pair_mark(mine, theirs, base)

    def tile(backend: str, position: Position) -> Tile:
        if not study.cell("native", backend, position).has_score(score):
            return Tile(text=style.MISSING, blank=True)
        value, mark = difference(backend, position)
        return Tile(value, "" if math.isnan(value) else style.signed(value), wrap(mark))

    values = [difference(backend, position)[0] for backend in others for position in study.positions]
    reach = max((abs(value) for value in values if not math.isnan(value)), default=0)
    # an R² has no lower end: a difference beyond 1 has the last colour, and its number is written
    reach = min(max(math.ceil(reach * 10 - 1e-9) / 10, 0.1), 1.0)
    return draw(
        f"{split.capitalize()} {style.named(score)} minus that of {base}, mode native",
        subtitle(study, "the same hyperparameter numbers, handed to each framework's own knobs"),
        bands(study, "native", others, tile) if others else [Band([Panel(base, [[Tile(note="no other backend")]])])],
        axis_ticks(study) if others else Ticks("", [""], "", [""]),
        Scale(style.DIFFERENCE, -reach, reach, "difference"),
        legend(study, ["native"], score),
    )


def _pair_mark(mine: Cell, theirs: Cell, base: str) -> str:
    if theirs.mark and mine.mark == theirs.mark:
        return f"both {mine.mark}"
    return ", ".join(filter(None, [mine.mark, f"{base} {theirs.mark}" if theirs.mark else ""]))


def deviation_tile(cell: Cell) -> Tile:
    """A cell's deviation from the reference over its floor."""
    compared = [row for row in cell.rows if not math.isnan(row["deviation"])]
    if not compared:
        return Tile(note=wrap(cell.mark or "unchecked"), hatched=cell.chaotic, alarm=cell.differs)
    worst = max(compared, key=lambda row: (row["verdict"] == "differs", row["deviation"]))
    deviation = worst["deviation"]
    value = -math.inf if deviation == 0 else math.log10(deviation)
    note = "differs" if cell.differs else cell.mark or style.magnitude(worst["floor"])
    if cell.differs and cell.mark:
        note = f"differs, {cell.mark}"
    return Tile(value, style.magnitude(deviation), wrap(note), hatched=cell.chaotic, alarm=cell.differs)


def wrap(mark: str) -> str:
    """A mark on lines short enough for a cell: "1/3 diverged" on two, "not installed" on two."""
    return mark.replace(", ", ",\n").replace(" ", "\n")


def score_scale(study: Study, split: str, score: str, beside: float = math.nan) -> Scale:
    """To 1, from 0 for R², from the lowest accuracy of the study (or `beside`), rounded down to a tenth."""
    label = f"{split} {style.named(score)}".strip()
    columns = [f"{name}_{score}" for name in SPLITS if study.has(f"{name}_{score}")]
    ok = study.rows[study.rows["status"] == "ok"]
    low = ok[columns].min().min() if columns and len(ok) else 0
    if score == "r2":
        return Scale(style.SCORE, 0.0, 1.0, label + (" (cut at 0)" if low < 0 else ""))
    low = low if math.isnan(beside) else min(low, beside)
    return Scale(style.SCORE, min(math.floor(low * 10 + 1e-9) / 10, 0.9), 1.0, label)


def bands(
    study: Study, mode: str, backends: list[str], tile: FillCell, subtitle: Callable[[str], str] = lambda backend: ""
) -> list[Band]:
    """One line of panels for each combination of the axes that are neither rows nor columns.

    A line in which every tile is blank, because its tasks have another score, is left out.
    """
    where = grid(list(study.axes))
    lines = []
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
        lines.append(Band(panels, heading))
    return [line for line in lines if not _blank(line)] or lines


def _blank(line: Band) -> bool:
    tiles = [tile for panel in line.panels for row in panel.tiles for tile in row]
    return bool(tiles) and all(tile.blank for tile in tiles)


def _position(study: Study, where: Grid, row: int, column: int, fixed: dict[str, int]) -> Position:
    index = {where.row: row, where.column: column} | fixed
    return tuple(index[axis] for axis in study.axes)


def axis_ticks(study: Study) -> Ticks:
    """The names and values of the axes that run down and across."""
    where = grid(list(study.axes))
    return Ticks(
        where.row or "",
        style.labels(study.axes[where.row]) if where.row else [""],
        where.column or "",
        style.labels(study.axes[where.column]) if where.column else [""],
    )


def seeds(study: Study) -> str:
    """What a number is the mean of; "" with one seed."""
    return f"mean of {study.n_seeds} seeds" if study.n_seeds > 1 else ""


def subtitle(study: Study, text: str) -> str:
    """The study's title, and `text` beside it."""
    return f"{study.title} · {text}" if text else study.title


def legend(
    study: Study, modes: list[str], score: str = "", best: bool = False, differs: bool = False, equal: bool = False
) -> list[str]:
    """The marks that occur in a figure of `modes`, of one `score` or of none."""
    rows = study.rows[study.rows["mode"].isin(modes)]
    if score:
        other = rows["task"].map(score_of) != score
        rows, blank = rows[~other], other.any()
    else:
        blank = False
    return [
        *(["equal"] if equal else []),
        *([f"best_{score}"] if best else []),
        *(["chaotic"] if (rows["verdict"] == "chaotic").any() else []),
        *(["differs"] if differs and (rows["verdict"] == "differs").any() else []),
        *(["partial" if study.n_seeds > 1 else "missing"] if (rows["status"] != "ok").any() else []),
        *(["blank"] if blank else []),
    ]
