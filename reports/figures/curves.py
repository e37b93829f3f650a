"""Learning curves: by epoch, one line a backend."""

import math
from dataclasses import dataclass

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports import style
from reports.study import Cell, Study, best_cell

PANELS = ("train_loss", "validation_loss", "test_loss", "train_accuracy", "validation_accuracy", "test_accuracy")
LOGGED = ("logged_loss", "logged_accuracy")


@dataclass(frozen=True)
class Line:
    """The curve of one trial."""

    backend: str
    label: str
    points: pd.DataFrame  # sorted by epoch


def learning_curves(study: Study, mode: str = "controlled") -> Figure | None:
    """Loss and accuracy by epoch, or None when no curve is known.

    Mode `controlled` shows one cell for all backends, the best by mean validation accuracy over them: lines that
    coincide are drawn as bands of decreasing width, one inside the other. Mode `native` shows each backend's own
    best cell, and only what its framework logs itself.
    """
    lines, which = controlled_lines(study) if mode == "controlled" else native_lines(study)
    wanted = PANELS if mode == "controlled" else LOGGED
    columns = [name for name in wanted if any(name in line.points and line.points[name].notna().any() for line in lines)]
    if "validation_loss" in columns or "validation_accuracy" in columns:
        columns = [name for name in columns if not name.startswith("test")]
    if not columns:
        return None
    with matplotlib.rc_context(style.RC):
        return _draw(study, mode, lines, which, columns)


def controlled_lines(study: Study) -> tuple[list[Line], str]:
    """The first finished seed of the shared best cell for every backend that has curves there, and its name."""
    backends = study.backends_of("controlled")
    joined = []
    for position in study.positions:
        cells = [study.cell("controlled", backend, position) for backend in backends]
        joined.append(Cell(position, tuple(row for cell in cells for row in cell.ok)))
    cell, why = shared_cell(study, joined)
    if cell is None:
        return [], ""
    seed = min((row["seed"] for row in cell.rows), default=0)
    lines = [_line(study, row, row["backend"]) for row in cell.rows if row["seed"] == seed]
    where = cell_name(study, cell)
    seeds = f", seed {seed}" if study.n_seeds > 1 else ""
    return [line for line in lines if len(line.points)], f"{where}{seeds}{why}"


def shared_cell(study: Study, cells: list[Cell]) -> tuple[Cell | None, str]:
    """The best of `cells` and why: by validation accuracy or, where there is none, by the lowest training loss."""
    best = best_cell(cells)
    if best is not None:
        return best, "" if len(cells) == 1 else ", the best by validation accuracy"
    calm = [cell for cell in cells if cell.rows and not cell.chaotic and not math.isnan(cell.mean("train_loss"))]
    chosen = min(calm, key=lambda cell: cell.mean("train_loss"), default=None)
    return chosen, "" if len(cells) == 1 else ", the lowest training loss (there is no validation split)"


def native_lines(study: Study) -> tuple[list[Line], str]:
    """The first finished seed of each backend's own best cell, where the framework logged a curve."""
    lines = []
    for backend in study.backends_of("native"):
        cell, _ = shared_cell(study, study.cells("native", backend))
        if cell is not None and cell.ok:
            row = min(cell.ok, key=lambda row: row["seed"])
            where = cell_name(study, cell)
            lines.append(_line(study, row, f"{backend}: {where}" if where else backend))
    seen = [name for name in LOGGED if name in study.curves]
    return [line for line in lines if len(line.points) and line.points[seen].notna().any(axis=None)], ""


def cell_name(study: Study, cell: Cell) -> str:
    """The values of a cell in words: `learning_rate 0.1, l2 1e-3`."""
    places = zip(study.axes, cell.position, strict=True)
    return ", ".join(f"{axis} {style.labels(study.axes[axis])[i]}" for axis, i in places)


def spread(lines: list[Line], column: str) -> float:
    """The largest distance between any two lines at one epoch."""
    table = pd.concat([line.points.set_index("epoch")[column] for line in lines], axis=1)
    return float((table.max(axis=1) - table.min(axis=1)).max())


def _line(study: Study, row: dict[str, object], label: str) -> Line:
    points = study.curves[study.curves["trial_id"] == row["trial_id"]].sort_values("epoch")
    return Line(str(row["backend"]), label, points)


def _draw(study: Study, mode: str, lines: list[Line], which: str, columns: list[str]) -> Figure:
    width = 4.1
    figure = Figure(figsize=(max(width * len(columns), 8.2), 4.1))
    FigureCanvasAgg(figure)
    total = figure.get_size_inches()[0]
    if mode == "controlled":
        title, note = "Learning curves, mode controlled", which
    else:
        title, note = "Learning curves, mode native", "only what each framework logs itself, by its own definition"
    figure.text(0.12 / total, 1 - 0.26 / 4.1, title, size=13, weight="bold", va="center")
    figure.text(0.12 / total, 1 - 0.49 / 4.1, f"{study.title}: {note}" if note else study.title, size=8.5,
                va="center", color=style.MUTED)  # fmt: skip
    palette = style.colours(study.backends)
    for i, column in enumerate(columns):
        ax = figure.add_axes(((i * width + 0.62) / total, 0.62 / 4.1, (width - 0.8) / total, 2.5 / 4.1))
        _panel(ax, lines, column, palette, nested=mode == "controlled")
    handles = {handle.get_label(): handle for ax in figure.axes for handle in ax.get_lines()}
    figure.legend(handles.values(), handles.keys(), loc="lower left", bbox_to_anchor=(0.5 / total, 0.0), frameon=False,
                  ncols=len(handles) if mode == "controlled" else 2, fontsize=8.5, handlelength=3)  # fmt: skip
    return figure


def _panel(ax: Axes, lines: list[Line], column: str, palette: dict[str, str], nested: bool) -> None:
    widths = np.linspace(2 * len(lines) + 0.5, 1.2, len(lines)) if nested else [1.8] * len(lines)
    shown = [(line, w) for line, w in zip(lines, widths, strict=True) if line.points[column].notna().any()]
    for line, line_width in shown:
        marker = "o" if line.points[column].notna().sum() == 1 else None
        ax.plot(line.points["epoch"], line.points[column], color=palette[line.backend], linewidth=line_width,
                label=line.label, marker=marker, solid_capstyle="butt")  # fmt: skip
    ax.set_xlabel("epoch", size=8.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    split, metric = column.split("_")
    ax.set_title({"train": "training"}.get(split, split) + f" {metric}", size=9.5, loc="left", weight="bold")
    if nested and len(shown) > 1:
        far = spread([line for line, _ in shown], column)
        low, high = ax.get_ylim()
        together = f"{len(shown)} lines lie on one another" if far < 0.002 * (high - low) else f"{len(shown)} lines"
        ax.text(0.97, 0.5, f"{together}\nlargest distance {style.number(far, 2)}", transform=ax.transAxes, ha="right",
                va="center", size=8, color=style.MUTED)  # fmt: skip
