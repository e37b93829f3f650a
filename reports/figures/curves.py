"""Learning curves: by epoch, one line a backend; or one line a cell, where the backends agree."""

import math
from dataclasses import dataclass
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from reports import style
from reports.figures.text import wrapped
from reports.study import SPLITS, Cell, Problem, Study, best_cell

LOWEST = -1.0  # of an R² that is drawn: before training it may be at any depth
DASH = 2.2  # in line widths
LOGGED = ("logged_loss", "logged_accuracy")


MOST_CASES = 12  # of the lines of `case_curves`


@dataclass(frozen=True)
class Line:
    """The curves of the seeds of one backend at one cell; `restored`: the epochs whose weights early stopping kept."""

    backend: str
    label: str
    points: pd.DataFrame  # of all its trials, sorted by trial and epoch
    restored: tuple[int, ...] = ()

    @property
    def n(self) -> int:
        """How many trials it has."""
        return int(self.points["trial_id"].nunique())

    def over_seeds(self, column: str) -> pd.DataFrame:
        """`mean` and `std` (sample standard deviation, NaN of one trial) by epoch, as long as all its trials last.

        Beyond the end of the shortest the others would be a mean of their own.
        """
        known = self.points[self.points[column].notna()]
        table = known.pivot(index="epoch", columns="trial_id", values=column).dropna()
        return pd.DataFrame({"mean": table.mean(axis=1), "std": table.std(axis=1)})


def learning_curves(
    study: Study, mode: str = "controlled", score: str = "accuracy", problem: Problem | None = None
) -> Figure | None:
    """Loss and score by epoch for one problem (the first that has this `score`), or None when no curve is known.

    Mode `controlled` shows one cell for all backends, the best by mean validation score over them: each backend
    draws its own dashes in turn, so lines that coincide make one line of all colours. Mode `native` shows each
    backend's own best cell, and only what its framework logs itself. With several seeds a line is their mean and the
    band around it one standard deviation to each side. A dot marks the epoch that early stopping kept; of several seeds
    the subtitle tells them.
    """
    shown = controlled_lines if mode == "controlled" else native_lines
    lines, which = shown(study, score, problem)
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


def controlled_lines(study: Study, score: str = "accuracy", problem: Problem | None = None) -> tuple[list[Line], str]:
    """The shared best cell of every backend that has curves there, and its name.

    A line has the seeds that all of these finished, so that backends that agree have the same mean.
    """
    cell, why = best_of_all(study, score, problem)
    if cell is None:
        return [], ""
    backends = study.backends_of("controlled")
    recorded = set(study.curves["trial_id"].unique())
    rows = {name: [row for row in cell.rows if row["backend"] == name] for name in backends}
    rows = {name: found for name in backends if (found := [r for r in rows[name] if r["trial_id"] in recorded])}
    common = set.intersection(*({row["seed"] for row in found} for found in rows.values())) if rows else set()
    lines = [_line(study, [r for r in found if r["seed"] in common], name) for name, found in rows.items() if common]
    lacking = {name: study.cell("controlled", name, cell.position).mark for name in backends if name not in rows}
    parts = [study.describe(cell.position), why, averaged(lines, study)]
    parts += [f"without {name} ({mark or 'no curve'})" for name, mark in lacking.items()] if lines else []
    return lines, ", ".join(filter(None, parts))


def best_of_all(study: Study, score: str, problem: Problem | None = None) -> tuple[Cell | None, str]:
    """The best cell over the finished controlled trials of all backends together, and why it is that one."""
    joined, backends = [], study.backends_of("controlled")
    for position in study.positions:
        cells = [study.cell("controlled", backend, position) for backend in backends]
        joined.append(Cell(position, tuple(row for cell in cells for row in cell.ok)))
    return shared_cell(_of(study, joined, score, problem), score)


def averaged(lines: list[Line], study: Study) -> str:
    """What a line and its band are, where several seeds were planned."""
    planned, repeats = study.n_seeds, f"{study.repeat}s"
    fewest, most = min((line.n for line in lines), default=0), max((line.n for line in lines), default=0)
    if planned < 2 or not lines:
        return ""
    if most == 1:
        return f"1 of {planned} {repeats}"
    number = str(fewest) if fewest == most else f"{fewest} to {most}"
    return f"mean ± standard deviation of {number}{f' of {planned}' if fewest < planned else ''} {repeats}"


def _of(study: Study, cells: list[Cell], score: str, problem: Problem | None) -> list[Cell]:
    """The cells of `problem` or, where none is given, of the first that is judged by `score`."""
    wanted = problem or next(iter(study.problems(score)), None)
    return [cell for cell in cells if cell.problem == wanted]


def shared_cell(cells: list[Cell], score: str) -> tuple[Cell | None, str]:
    """The best of `cells` and why: by validation score or, where there is none, by the lowest training loss."""
    best = best_cell(cells, score)
    if best is not None:
        return best, "" if len(cells) == 1 else f"the best by validation {style.named(score)}"
    calm = [cell for cell in cells if cell.rows and not cell.chaotic and not math.isnan(cell.mean("train_loss"))]
    chosen = min(calm, key=lambda cell: cell.mean("train_loss"), default=None)
    return chosen, "" if len(cells) == 1 else "the lowest training loss (there is no validation split)"


def native_lines(study: Study, score: str = "accuracy", problem: Problem | None = None) -> tuple[list[Line], str]:
    """The finished seeds of each backend's own best cell, where the framework logged a curve."""
    lines = []
    for backend in study.backends_of("native"):
        cell, _ = shared_cell(_of(study, study.cells("native", backend), score, problem), score)
        if cell is not None and cell.ok:
            where = study.describe(cell.position)
            lines.append(_line(study, cell.ok, f"{backend}: {where}" if where else backend))
    seen = [name for name in LOGGED if name in study.curves]
    drawn = [line for line in lines if len(line.points) and line.points[seen].notna().any(axis=None)]
    what = "only what each framework logs itself, by its own definition"
    return drawn, ", ".join(filter(None, [what, averaged(drawn, study)]))


def case_lines(study: Study, score: str) -> list[Line]:
    """A line a cell, where the score tells them not apart: it is the same, to 3 decimals, in every cell that finished.

    For a single axis of words with at most 12 values; of the first backend that finished the most cells.
    """
    if len(study.axes) != 1 or "controlled" not in study.modes or "train_loss" not in study.curves:
        return []
    (values,) = study.axes.values()
    if not 2 <= len(values) <= MOST_CASES or not all(isinstance(value, str) for value in values):
        return []
    done = {
        name: [cell for cell in study.cells("controlled", name) if cell.ok and cell.has_score(score)]
        for name in study.backends_of("controlled")
    }
    backend = max(done, key=lambda name: len(done[name]))
    scores = {style.score(cell.mean(f"{study.split(score)}_{score}")) for cell in done[backend]}
    if len(scores) != 1 or len(done[backend]) < 2:
        return []
    lines = [_line(study, cell.ok, values[cell.position[0]]) for cell in done[backend]]
    return [line for line in lines if line.points["train_loss"].notna().any()]


def case_curves(study: Study, score: str) -> Figure | None:
    """The training loss of every cell by epoch, on a logarithmic axis; None where `case_lines` finds nothing."""
    lines = case_lines(study, score)
    if not lines:
        return None
    (axis,) = study.axes
    total, plot, legend = 9.0, 3.4, 0.1 + 0.22 * -(-len(lines) // 3)
    note = f"{study.title} · {lines[0].backend}, mode controlled; {style.named(score)} is the same in all"
    note = ", ".join(filter(None, [note, averaged(lines, study)]))
    with matplotlib.rc_context(style.RC):
        figure, height = headed(f"Training loss of each {axis}", note, total, plot + 0.3 + legend)
        ax = figure.add_axes((0.8 / total, (legend + 0.45) / height, (total - 1.0) / total, plot / height))
        colours = style.SERIES
        for i, line in enumerate(lines):
            loss = line.over_seeds("train_loss")
            loss = loss.where(loss["mean"] > 0)  # a loss of exactly 0 has no place on this axis
            _band(ax, loss, colours[i % len(colours)])
            ax.plot(loss.index, loss["mean"], color=colours[i % len(colours)], label=line.label,
                    linewidth=1.7, linestyle="solid" if i < len(colours) else "dashed")  # fmt: skip
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: style.magnitude(value)))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.set_xlabel("epoch", size=8.5)
        figure.legend(*ax.get_legend_handles_labels(), loc="lower left", bbox_to_anchor=(0.7 / total, 0.0),
                      frameon=False, ncols=3, fontsize=8.5)  # fmt: skip
    return figure


def spread(lines: list[Line], column: str) -> float:
    """The largest distance between any two lines at one epoch."""
    table = pd.concat([line.over_seeds(column)["mean"] for line in lines], axis=1)
    return float((table.max(axis=1) - table.min(axis=1)).max())


def _line(study: Study, rows: list[dict[str, Any]], label: str) -> Line:
    points = study.curves[study.curves["trial_id"].isin([row["trial_id"] for row in rows])]
    points = points.sort_values(["trial_id", "epoch"])
    kept = [restored_epoch(row, points[points["trial_id"] == row["trial_id"]]) for row in rows]
    return Line(str(rows[0]["backend"]), label, points, tuple(epoch for epoch in kept if epoch is not None))


def restored_epoch(row: dict[str, Any], points: pd.DataFrame) -> int | None:
    """The epoch after which the validation loss no longer fell by more than `min_delta`; None without `patience`."""
    if style.missing(row.get("patience")) or "validation_loss" not in points:
        return None
    least = 0.0 if style.missing(row.get("min_delta")) else float(row["min_delta"])
    best, found = math.inf, None
    for epoch, loss in zip(points["epoch"], points["validation_loss"], strict=True):
        if epoch > 0 and loss < best - least:
            best, found = loss, int(epoch)
    return found


def headed(title: str, note: str, total: float, below: float) -> tuple[Figure, float]:
    """A figure `total` wide with its title and subtitle, and room `below` them; gives its height too."""
    lines = wrapped(note, total - 0.3, 8.5)
    height = 0.79 + 0.16 * len(lines) + below
    figure = Figure(figsize=(total, height))
    FigureCanvasAgg(figure)
    figure.text(0.12 / total, 1 - 0.26 / height, title, size=13, weight="bold", va="center")
    for i, text in enumerate(lines):
        figure.text(0.12 / total, 1 - (0.49 + 0.16 * i) / height, text, size=8.5, va="center", color=style.MUTED)
    return figure, height


def _draw(study: Study, mode: str, lines: list[Line], which: str, columns: list[str]) -> Figure:
    width, plot = 4.1, 2.5
    total = max(width * len(columns), 9.0)
    longest = max(len(line.label) for line in lines)
    per_row = len(lines) if mode == "controlled" else 2 if 2 * (0.5 + 0.067 * longest) < total else 1
    legend = 0.1 + 0.22 * -(-len(lines) // per_row)
    note = " · ".join(filter(None, [study.title, which, _stopped(lines)]))
    figure, height = headed(f"Learning curves, mode {mode}", note, total, plot + 0.45 + legend)
    palette = study.colours
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


def _stopped(lines: list[Line]) -> str:
    """What early stopping kept: a dot of a single seed, the range of several."""
    kept = [epoch for line in lines for epoch in line.restored]
    if not kept:
        return ""
    if all(line.n == 1 for line in lines):
        return "dot: the epoch that early stopping kept"
    epochs = f"epoch {min(kept)}" if min(kept) == max(kept) else f"epochs {min(kept)} to {max(kept)}"
    return f"early stopping kept {epochs}; lines end where the first seed ends"


def _band(ax: Axes, moments: pd.DataFrame, colour: str) -> None:
    """One standard deviation to both sides of the mean; nothing of a single seed."""
    if moments["std"].notna().any():
        low, high = moments["mean"] - moments["std"], moments["mean"] + moments["std"]
        ax.fill_between(moments.index, low, high, color=colour, alpha=0.15, linewidth=0, label="band")


def _panel(ax: Axes, lines: list[Line], column: str, palette: dict[str, str], woven: bool) -> None:
    shown = [line for line in lines if line.points[column].notna().any()]
    weave = woven and len(shown) > 1
    moments = [line.over_seeds(column) for line in shown]
    for i, (line, found) in enumerate(zip(shown, moments, strict=True)):
        ax.plot(
            found.index,
            found["mean"],
            color=palette[line.backend],
            linewidth=2.8 if weave else 1.8,
            linestyle=(DASH * (len(shown) - i), (DASH, DASH * (len(shown) - 1))) if weave else "solid",
            dash_capstyle="butt",
            label=line.label,
            marker="o" if len(found) == 1 else None,
        )
        kept = found[found.index.isin(line.restored)] if line.n == 1 else found[:0]
        if len(kept):
            ax.plot(kept.index, kept["mean"], "o", color=palette[line.backend], markeredgecolor="white",
                    markersize=8, zorder=5, label="restored")  # fmt: skip
    ax.set_xlabel("epoch", size=8.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    split, metric = column.split("_")
    title = f"{'training' if split == 'train' else split} {style.named(metric)}"
    far = spread(shown, column) if weave else math.inf
    low, high = ax.get_ylim()
    together = far < 0.002 * (high - low)
    for line, found in zip(shown[:1] if together else shown, moments, strict=False):
        _band(ax, found, style.MUTED if together else palette[line.backend])
    if metric == "r2" and ax.get_ylim()[0] < LOWEST:
        ax.set_ylim(LOWEST, max(ax.get_ylim()[1], LOWEST + 0.1))
        title += f" (cut at {style.score(LOWEST)[:2]})"
    ax.set_title(title, size=9.5, loc="left", weight="bold")
    if weave:
        how = f"{len(shown)} lines lie on one another" if together else f"{len(shown)} lines"
        ax.text(0.97, 0.5, f"{how}\nlargest distance {style.deviation(far)}", transform=ax.transAxes, ha="right",
                va="center", size=8, color=style.MUTED)  # fmt: skip
