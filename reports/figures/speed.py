"""Pictures of a benchmark: a heatmap of ratios, and speed against size below the machine's own limit.

Both take a summary, as `reports/speed.py` describes it. The axis that runs across is the size with most values.
"""

import itertools
import math
from collections.abc import Mapping

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from reports import style
from reports.figures.panels import Band, Panel, Scale, Ticks, Tile, draw

SIZES = {"width": "width of a hidden layer", "rows": "rows", "batch_size": "batch size", "depth": "hidden layers"}
_NAMES = {"batch_size": "batch", "depth": "depth", "rows": "rows", "width": "width"}
_PANEL, _GAP = (3.5, 2.5), 0.28  # inches


def ratio_heatmaps(summary: pd.DataFrame, base: str) -> Figure:
    """Backends down, sizes across: an epoch's time against that of the base above, the time itself below.

    "=" stands where the interval of the paired ratio includes 1.
    """
    epochs = _of_epochs(summary)
    axis, others = across(epochs)
    backends = list(dict.fromkeys(epochs["backend"]))
    values = sorted(epochs[axis].dropna().unique())
    ratios = epochs["ratio"].dropna()
    reach = max(1, math.ceil(max((abs(math.log10(ratio)) for ratio in ratios), default=1)))
    bands = []
    combinations = _combinations(epochs, others)
    for fixed in combinations:
        here = epochs[_at(epochs, fixed) | epochs[axis].isna()]
        panels = []
        for (mode, threads), group in here.groupby(["mode", "threads"], sort=False):
            tiles = [[_tile(group, backend, axis, value, base) for value in values] for backend in backends]
            panels.append(Panel(f"{mode}, {style.count(threads, 'thread')}", tiles))
        bands.append(Band(panels, _named(fixed, _varying(combinations))))
    return draw(
        f"Time of an epoch, {base} = 1",
        f"{_title(combinations)}“=”: no difference; below, the median",
        bands,
        Ticks("backend", backends, SIZES[axis], style.labels(values)),
        Scale(style.DIFFERENCE, -reach, reach, f"times {base}", logarithmic=True),
        ["differs"] if (epochs["status"] == "differs").any() else [],
    )


def _tile(group: pd.DataFrame, backend: str, axis: str, value: int, base: str) -> Tile:
    rows = group[(group["backend"] == backend) & ((group[axis] == value) | group[axis].isna())]
    if not len(rows):
        return Tile(text=style.MISSING, blank=True)
    row = rows.iloc[0]
    if row["status"] != "ok":
        return Tile(note=str(row["status"]).replace("_", "\n"), alarm=row["status"] == "differs")
    note = style.seconds(row["median"])
    if backend == base:
        return Tile(0.0, "1", note)
    if style.missing(row["ratio"]):
        return Tile(note=note)
    same = row["verdict"] == "no difference"
    ratio = row["ratio"]
    text = f"{ratio:.0f}" if ratio >= 9.95 else f"{ratio:.1f}" if ratio >= 1.995 else f"{ratio:.2f}"
    return Tile(math.log10(ratio), "=" if same else text, note)


def scaling_curves(summary: pd.DataFrame, display: Mapping[str, str]) -> Figure:
    """Operations a second against size, both axes logarithmic, one line a backend; dashed, what the machine can do.

    Counted are the operations of the matrix products. The limit is the most that NumPy's BLAS reached in a product of
    two matrices, with these threads. Bars are the intervals of the medians.
    """
    epochs = _of_epochs(summary)
    axis, others = across(epochs)
    combinations = _combinations(epochs, others)
    groups = list(dict.fromkeys(zip(epochs["mode"], epochs["threads"], strict=True)))
    ok = epochs[epochs["status"] == "ok"]
    backends = [name for name in dict.fromkeys(epochs["backend"]) if name in set(ok["backend"])]
    colours = style.colours(backends, display)
    speeds = ok["gflops"] / ok["high"]
    low, high = float(speeds.min()) / 1.6, max(float(ok["peak"].max()), float((ok["gflops"] / ok["low"]).max())) * 1.8
    width, height = _PANEL
    total_width = max(0.75 + len(groups) * width + (len(groups) - 1) * _GAP + 0.15, 6.9, 0.95 * len(backends) + 1.4)
    top = 1.15
    total_height = top + len(combinations) * (height + 0.75) - 0.2
    with matplotlib.rc_context(style.RC):
        figure = Figure(figsize=(total_width, total_height))
        FigureCanvasAgg(figure)

        def write(x: float, y: float, text: str, **kwargs: object) -> None:
            figure.text(x / total_width, 1 - y / total_height, text, va="center", **kwargs)

        write(0.12, 0.26, "Speed against size", size=13, weight="bold")
        about = "operations of the matrix products of an epoch; bars: interval of the median"
        write(0.12, 0.5, _title(combinations) + about, size=8.5, color=style.MUTED)
        lines = [Line2D([], [], color=colours[name], marker="o", markersize=4, label=name) for name in backends]
        lines.append(Line2D([], [], color=style.INK, linestyle="--", linewidth=1, label="GEMM peak"))
        figure.legend(handles=lines, loc="center left", bbox_to_anchor=(0.02, 1 - 0.75 / total_height), frameon=False,
                      ncols=len(lines), fontsize=8.5, columnspacing=1.3, handlelength=1.6)  # fmt: skip
        for (i, fixed), (j, (mode, threads)) in itertools.product(enumerate(combinations), enumerate(groups)):
            x, y = 0.75 + j * (width + _GAP), top + i * (height + 0.75)
            ax = figure.add_axes(
                (x / total_width, 1 - (y + height) / total_height, width / total_width, height / total_height)
            )
            here = ok[_at(ok, fixed) & (ok["mode"] == mode) & (ok["threads"] == threads)]
            _curves(ax, here, axis, backends, colours)
            name = f"{mode}, {style.count(threads, 'thread')}"
            name = ", ".join(filter(None, [name, _named(fixed, _varying(combinations))]))
            ax.set_title(name, loc="left", size=9.5, weight="bold")
            ax.set_ylim(low, high)
            ax.tick_params(labelleft=j == 0)
            ax.set_xlabel(SIZES[axis], size=9)
            if j == 0:
                ax.set_ylabel("GFLOP/s", size=9)
    return figure


def _curves(ax: Axes, rows: pd.DataFrame, axis: str, backends: list[str], colours: dict[str, str]) -> None:
    ax.set(xscale="log", yscale="log")
    for name in backends:
        mine = rows[rows["backend"] == name].sort_values(axis)
        x, y = mine[axis].astype(float), mine["speed"].astype(float)
        below, above = y - mine["gflops"] / mine["high"], mine["gflops"] / mine["low"] - y
        ax.errorbar(x, y, yerr=[below, above], color=colours[name], marker="o", linewidth=1.4,
                    markersize=4, elinewidth=1.0, capsize=2)  # fmt: skip
    if len(rows):
        values = sorted(rows[axis].unique())
        ax.set_xlim(0.85 * float(values[0]), float(values[-1]) / 0.85)  # one value alone has no limits of its own
        peak = float(rows["peak"].max())
        ax.axhline(peak, color=style.INK, linestyle="--", linewidth=1)
        ax.annotate(f"{style.number(peak, 3)} GFLOP/s", (0, peak), xycoords=("axes fraction", "data"), size=8,
                    xytext=(3, 3), textcoords="offset points", ha="left", color=style.INK)  # fmt: skip
        ax.set_xticks([float(value) for value in values], style.labels([int(value) for value in values]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: style.number(value, 3)))


def across(epochs: pd.DataFrame) -> tuple[str, list[str]]:
    """The size with most values, and those of the others."""
    axis = max(SIZES, key=lambda name: epochs[name].nunique())
    return axis, [name for name in SIZES if name != axis]


def _of_epochs(summary: pd.DataFrame) -> pd.DataFrame:
    """The rows of epochs, and those that say why there are none."""
    return summary[(summary["phase"] == "epoch") | ((summary["status"] != "ok") & (summary["mode"] != ""))]


def _combinations(epochs: pd.DataFrame, others: list[str]) -> list[dict[str, int]]:
    found = epochs[others].dropna().drop_duplicates().sort_values(others)
    return [dict(zip(others, map(int, line), strict=True)) for line in found.itertuples(index=False)]


def _at(rows: pd.DataFrame, fixed: dict[str, int]) -> pd.Series:
    return (rows[list(fixed)] == list(fixed.values())).all(axis=1).fillna(False)


def _named(fixed: dict[str, int], names: list[str]) -> str:
    return ", ".join(f"{_NAMES[name]} {value}" for name, value in fixed.items() if name in names)


def _varying(combinations: list[dict[str, int]]) -> list[str]:
    """The sizes that tell the panels apart."""
    return [name for name in combinations[0] if len({fixed[name] for fixed in combinations}) > 1]


def _title(combinations: list[dict[str, int]]) -> str:
    """What all panels have in common."""
    varying = _varying(combinations)
    common = _named(combinations[0], [name for name in combinations[0] if name not in varying])
    return f"{common} · " if common else ""
