"""Learning curves: by epoch, one line a backend."""

import math
from dataclasses import dataclass

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from reports import style
from reports.study import SPLITS, Cell, Study, best_cell

LOWEST = -1.0  # of an R² that is drawn: before training it may be at any depth
DASH = 2.2  # in line widths
LOGGED = ("logged_loss", "logged_accuracy")


@dataclass(frozen=True)
class Line:
    """The curve of one trial."""

    backend: str
    label: str
    points: pd.DataFrame  # sorted by epoch


def learning_curves(study: Study, mode: str = "controlled", score: str = "accuracy") -> Figure | None:
    """Loss and score by epoch for the tasks that have this `score`, or None when no curve is known.

    Mode `controlled` shows one cell for all backends, the best by mean validation score over them: each backend
    draws its own dashes in turn, so lines that coincide make one line of all colours. Mode `native` shows each
    backend's own best cell, and only what its framework logs itself.
    """
    lines, which = controlled_lines(study, score) if mode == "controlled" else native_lines(study, score)
    wanted = [f"{split}_{name}" for name in ("loss", score) for split in SPLITS] if mode == "controlled" else LOGGED
    columns = [
        name for name in wanted if any(name in line.points and line.points[name].notna().any() for line in lines)
    ]
    if any(name.startswith("validation") for name in columns):
        columns = [name for name in columns if not name.startswith("test")]
    if not columns:
        return None
    with matplotlib.rc_context(style.RC):
        return _draw(study, mode, lines, which, columns)


def controlled_lines(study: Study, score: str = "accuracy") -> tuple[list[Line], str]:
    """The first finished seed of the shared best cell for every backend that has curves there, and its name."""
    backends = study.backends_of("controlled")
    joined = []
    for position in study.positions:
        cells = [study.cell("controlled", backend, position) for backend in backends]
        joined.append(Cell(position, tuple(row for cell in cells for row in cell.ok)))
    cell, why = shared_cell(joined, score)
    if cell is None:
        return [], ""
    seed = min((row["seed"] for row in cell.rows), default=0)
    lines = [_line(study, row, row["backend"]) for row in cell.rows if row["seed"] == seed]
    where = study.describe(cell.position)
    seeds = f", seed {seed}" if study.n_seeds > 1 else ""
    return [line for line in lines if len(line.points)], f"{where}{seeds}{why}"


def shared_cell(cells: list[Cell], score: str) -> tuple[Cell | None, str]:
    """The best of `cells` and why: by validation score or, where there is none, by the lowest training loss."""
    cells = [cell for cell in cells if cell.has_score(score)]
    best = best_cell(cells, score)
    if best is not None:
        return best, "" if len(cells) == 1 else f", the best by validation {style.named(score)}"
    calm = [cell for cell in cells if cell.rows and not cell.chaotic and not math.isnan(cell.mean("train_loss"))]
    chosen = min(calm, key=lambda cell: cell.mean("train_loss"), default=None)
    return chosen, "" if len(cells) == 1 else ", the lowest training loss (there is no validation split)"


def native_lines(study: Study, score: str = "accuracy") -> tuple[list[Line], str]:
    """The first finished seed of each backend's own best cell, where the framework logged a curve."""
    lines = []
    for backend in study.backends_of("native"):
        cell, _ = shared_cell(study.cells("native", backend), score)
        if cell is not None and cell.ok:
            row = min(cell.ok, key=lambda row: row["seed"])
            where = study.describe(cell.position)
            lines.append(_line(study, row, f"{backend}: {where}" if where else backend))
    seen = [name for name in LOGGED if name in study.curves]
    return [line for line in lines if len(line.points) and line.points[seen].notna().any(axis=None)], ""


def spread(lines: list[Line], column: str) -> float:
    """The largest distance between any two lines at one epoch."""
    table = pd.concat([line.points.set_index("epoch")[column] for line in lines], axis=1)
    return float((table.max(axis=1) - table.min(axis=1)).max())


def _line(study: Study, row: dict[str, object], label: str) -> Line:
    points = study.curves[study.curves["trial_id"] == row["trial_id"]].sort_values("epoch")
    return Line(str(row["backend"]), label, points)


def _draw(study: Study, mode: str, lines: list[Line], which: str, columns: list[str]) -> Figure:
    width, plot = 4.1, 2.5
    total = max(width * len(columns), 9.0)
    longest = max(len(line.label) for line in lines)
    per_row = len(lines) if mode == "controlled" else 2 if 2 * (0.5 + 0.067 * longest) < total else 1
    legend = 0.1 + 0.22 * -(-len(lines) // per_row)
    height = 0.95 + plot + 0.45 + legend
    figure = Figure(figsize=(total, height))
    FigureCanvasAgg(figure)
    note = which if mode == "controlled" else "only what each framework logs itself, by its own definition"
    figure.text(0.12 / total, 1 - 0.26 / height, f"Learning curves, mode {mode}", size=13, weight="bold", va="center")
    subtitle = " · ".join(filter(None, [study.title, note]))
    figure.text(0.12 / total, 1 - 0.49 / height, subtitle, size=8.5, va="center", color=style.MUTED)
    palette = style.colours(study.backends)
    for i, column in enumerate(columns):
        left, bottom = i * width + 0.62, legend + 0.45
        ax = figure.add_axes((left / total, bottom / height, (width - 0.8) / total, plot / height))
        _panel(ax, lines, column, palette, woven=mode == "controlled")
    figure.legend(
        [Line2D([], [], color=palette[line.backend], linewidth=2.8) for line in lines],
        [line.label for line in lines],
        loc="lower left",
        bbox_to_anchor=(0.5 / total, 0.0),
        frameon=False,
        ncols=per_row,
        fontsize=8.5,
        handlelength=1.6,
    )
    return figure


def _panel(ax: Axes, lines: list[Line], column: str, palette: dict[str, str], woven: bool) -> None:
    shown = [line for line in lines if line.points[column].notna().any()]
    weave = woven and len(shown) > 1
    for i, line in enumerate(shown):
        ax.plot(
            line.points["epoch"],
            line.points[column],
            color=palette[line.backend],
            linewidth=2.8 if weave else 1.8,
            linestyle=(DASH * (len(shown) - i), (DASH, DASH * (len(shown) - 1))) if weave else "solid",
            dash_capstyle="butt",
            label=line.label,
            marker="o" if line.points[column].notna().sum() == 1 else None,
        )
    ax.set_xlabel("epoch", size=8.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    split, metric = column.split("_")
    title = f"{'training' if split == 'train' else split} {style.named(metric)}"
    if metric == "r2" and ax.get_ylim()[0] < LOWEST:
        ax.set_ylim(LOWEST, max(ax.get_ylim()[1], LOWEST + 0.1))
        title += f" (cut at {style.score(LOWEST)[:2]})"
    ax.set_title(title, size=9.5, loc="left", weight="bold")
    if weave:
        far = spread(shown, column)
        low, high = ax.get_ylim()
        together = f"{len(shown)} lines lie on one another" if far < 0.002 * (high - low) else f"{len(shown)} lines"
        ax.text(0.97, 0.5, f"{together}\nlargest distance {style.deviation(far)}", transform=ax.transAxes, ha="right",
                va="center", size=8, color=style.MUTED)  # fmt: skip
