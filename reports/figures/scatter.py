"""The scatter figures of a random search: a dot a point, at the values that were drawn for it.

What a dot says is what a tile of a heatmap would: see `reports/figures/heatmaps.py`. All lengths are inches.
"""

import math
from dataclasses import dataclass

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from reports import style
from reports.figures.heatmaps import DEVIATIONS, FillCell, deviation_tile, metric_scale, metric_tiles, seeds, verdicts
from reports.figures.panels import colour_bar
from reports.figures.text import fitted
from reports.figures.tiles import Scale, Tile
from reports.study import Position, Study, words

PANEL_WIDTH, PANEL_HEIGHT = 2.75, 2.3
GAP = 0.2
LOG_FROM = 50  # max / min above which an axis is logarithmic
LOWEST = -0.2  # of an R² that has a height of its own
DOT, RING, CROSS = 34, 95, 30  # areas in points

MARKS = {
    "best": ("best by validation {score}", {"marker": "o", "mfc": "none", "mec": style.OUTLINE, "mew": 1.9, "ms": 9}),
    "chaotic": (
        "hollow: chaotic, rounding alone decides the result",
        {"marker": "o", "mfc": "white", "mec": style.MUTED, "mew": 1.7, "ms": 6},
    ),
    "differs": (
        "differs from the reference by more than rounding",
        {"marker": "s", "mfc": style.ALARM, "mec": "white", "ms": 7},
    ),
    "failed": (
        "no result from all or some seeds",
        {"marker": "x", "mec": style.INK, "mew": 1.2, "ms": 5.5},
    ),
    "below": ("{score} below −0.2", {"marker": "v", "mfc": style.MUTED, "mec": "white", "ms": 7}),
}
"""Every mark with its meaning and its look in the legend."""


@dataclass(frozen=True)
class Direction:
    """What runs across or up: its name and the value at every point."""

    name: str
    values: dict[Position, float]

    @property
    def logarithmic(self) -> bool:
        """Whether the values span more than a factor of 50."""
        low, high = min(self.values.values()), max(self.values.values())
        return low > 0 and high / low > LOG_FROM


def directions(study: Study) -> list[Direction]:
    """The first two sampled hyperparameters that are numbers; the number of the point where there is none."""
    found = []
    for name in study.sampled:
        given = {position: study.drawn(position).get(name) for position in study.positions}
        if not any(isinstance(value, (bool, np.bool_, str, list, tuple)) for value in given.values()):
            numbers = pd.to_numeric(pd.Series(given.values(), index=list(range(len(given))), dtype="float64"))
            if numbers.notna().all():
                found.append(Direction(name, dict(zip(given, map(float, numbers), strict=True))))
    return found[:2] or [Direction("point", {p: float(study.axes["point"][p[0]]) for p in study.positions})]


def shown_split(study: Study, score: str) -> str:
    """The split whose score is drawn: the test set, else the validation set, else the training set."""
    return next((split for split in ("test", "validation") if study.has(f"{split}_{score}")), "train")


def score_scatter(study: Study, modes: list[str], score: str) -> Figure:
    """One line of panels a mode, one panel a backend: the mean score of every point, as a colour.

    Across and up are the first two sampled hyperparameters that are numbers; with a single one, up is the score
    itself. A point that no seed finished is a cross, a chaotic one is hollow, the best by validation score is ringed.
    """
    split = shown_split(study, score)
    fills = {mode: metric_tiles(study, mode, f"{split}_{score}")[0] for mode in modes}
    name = f"{split} {style.named(score)}"
    one = len(modes) == 1
    title = f"{split.capitalize()} {style.named(score)}, mode {modes[0]}" if one else study.title
    about = ", ".join(filter(None, [name, seeds(study, spread=False)])) if not one else seeds(study, spread=False)
    with matplotlib.rc_context(style.RC):
        return _Drawing(study, score, metric_scale(study, f"{split}_{score}"), name).draw(
            title, " · ".join(filter(None, [study.title if one else "", _searched(study), about])), fills
        )


def deviation_scatter(study: Study) -> Figure:
    """Is it rounding? The deviation from the reference of every point (of its worst seed), mode `controlled`."""

    def fill(backend: str, position: Position) -> Tile:
        return deviation_tile(study.cell("controlled", backend, position))

    with matplotlib.rc_context(style.RC):
        return _Drawing(study, "", DEVIATIONS, "deviation").draw(
            "Deviation from the reference, mode controlled",
            f"{study.title} · {_searched(study)}",
            {"controlled": fill},
        )


def _searched(study: Study) -> str:
    return f"{style.count(len(study.positions), 'random point')}"


class _Drawing:
    """One figure being drawn: the scale, the two directions, and the marks that occurred, for the legend."""

    def __init__(self, study: Study, score: str, scale: Scale, name: str) -> None:
        self.study, self.score, self.scale, self.name = study, score, scale, name
        self.x, *rest = directions(study)
        self.y = rest[0] if rest else None

    def draw(self, title: str, subtitle: str, fills: dict[str, FillCell]) -> Figure:
        study = self.study
        tiles = {
            (mode, backend): {position: fill(backend, position) for position in study.positions}
            for mode, fill in fills.items()
            for backend in study.backends_of(mode)
            if not study.absence(mode, backend)
        }
        occurring = {mark for panel in tiles.values() for tile in panel.values() for mark in self._marks(tile)}
        marks = [mark for mark in MARKS if mark in occurring]
        n = max(len(study.backends_of(mode)) for mode in fills)
        left, above, below, top, bottom = 0.85, 0.48, 0.55, 0.62, 0.36
        bar = left + n * PANEL_WIDTH + (n - 1) * GAP + 0.2
        headings = 0.28 if len(fills) > 1 else 0.0
        line = headings + above + PANEL_HEIGHT + below
        width = max(bar + 0.95, 0.3 + 0.13 * len(title), 0.3 + 0.077 * len(subtitle))
        width = max(width, left + sum(0.4 + 0.067 * len(self._meaning(mark)) for mark in marks))
        height = top + line * len(fills) + bottom
        figure = Figure(figsize=(width, height))
        FigureCanvasAgg(figure)

        def write(x: float, y: float, text: str, **kwargs: object) -> None:
            figure.text(x / width, 1 - y / height, text, va="center", **kwargs)

        def place(x: float, y: float, w: float, h: float) -> Axes:
            return figure.add_axes((x / width, 1 - (y + h) / height, w / width, h / height))

        write(0.12, 0.26, title, size=13, weight="bold")
        write(0.12, 0.49, subtitle, size=9, color=style.MUTED)
        for i, mode in enumerate(fills):
            y = top + i * line
            if headings:
                write(left, y + 0.13, f"mode {mode}", size=10.5, weight="bold")
            for j, backend in enumerate(study.backends_of(mode)):
                x = left + j * (PANEL_WIDTH + GAP)
                write(x, y + headings + 0.15, backend, size=10, weight="bold")
                write(x, y + headings + 0.35, self._counts(mode, backend), size=8, color=style.MUTED)
                ax = place(x, y + headings + above, PANEL_WIDTH, PANEL_HEIGHT)
                hint = study.absence(mode, backend)
                if hint:
                    _placeholder(ax, hint)
                else:
                    self._panel(ax, tiles[mode, backend], first=j == 0)
        colour_bar(place(bar, top + headings + above, 0.13, PANEL_HEIGHT), self.scale)
        if marks:
            self._legend(figure, marks, left / width, 0.08 / height)
        return figure

    def _counts(self, mode: str, backend: str) -> str:
        """What did not finish, in words; for deviations the verdicts."""
        if self.study.absence(mode, backend):
            return ""
        if not self.score:
            return verdicts(self.study, backend)
        counts = self.study.rows_of(mode, backend)["status"].value_counts()
        return ", ".join(f"{n} {words(status)}" for status, n in counts.items())

    def _marks(self, tile: Tile) -> list[str]:
        """The marks of one point: none where it has another score, or nothing to tell beside its value."""
        if tile.blank:
            return []
        known = not math.isnan(tile.value)
        has = {
            "best": tile.outlined,
            "chaotic": known and tile.hatched,
            "differs": tile.alarm,
            "failed": not (known or tile.alarm) or bool(self.score and tile.note),
            "below": known and not self.y and self.score == "r2" and tile.value < LOWEST,
        }
        return [mark for mark, there in has.items() if there]

    def _panel(self, ax: Axes, tiles: dict[Position, Tile], first: bool) -> None:
        self._limits(ax, first)
        for position, tile in tiles.items():
            if tile.blank:
                continue
            marks, known = self._marks(tile), not math.isnan(tile.value)
            x = self.x.values[position]
            y = self.y.values[position] if self.y else self._height(tile.value) if known else 0.04
            # without a second hyperparameter, what has no score lies on the floor of the panel
            where = {} if self.y or known else {"transform": ax.get_xaxis_transform()}
            if known or "differs" in marks:
                label = next((mark for mark in ("differs", "below", "chaotic") if mark in marks), "trial")
                colour = style.ALARM if tile.alarm else self.scale.colour(tile.value)
                hollow = "chaotic" in marks
                shape = {"differs": "s", "below": "v"}.get(label, "o")
                ax.scatter(
                    [x],
                    [y],
                    s=DOT,
                    marker=shape,
                    facecolors="white" if hollow else [colour],
                    edgecolors=[colour] if hollow else style.MUTED,
                    linewidths=1.9 if hollow else 0.4,
                    zorder=3,
                    label=label,
                    **where,
                )
            if "failed" in marks:
                ax.scatter([x], [y], s=CROSS, marker="x", color=style.INK, linewidths=1.1, clip_on=False,
                           zorder=4 if known else 2, label="failed", **where)  # fmt: skip
            if "best" in marks:
                ax.scatter([x], [y], s=RING, marker="o", facecolors="none", edgecolors=style.OUTLINE, linewidths=1.9,
                           label="best", zorder=5)  # fmt: skip

    def _height(self, value: float) -> float:
        """Where a value lies in a panel of one hyperparameter: nothing is lower than the lowest tick."""
        return max(value, LOWEST if self.score == "r2" else self.scale.low)

    def _limits(self, ax: Axes, first: bool) -> None:
        """The same limits and ticks in every panel, so that a point has the same place in all of them."""
        _direction(ax.xaxis, self.x)
        if self.y:
            _direction(ax.yaxis, self.y)
        else:
            low, high = LOWEST if self.score == "r2" else self.scale.low, self.scale.high
            if not self.score:
                ax.yaxis.set_major_locator(MaxNLocator(6, integer=True))
                ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: style.magnitude(10.0**value)))
            ax.set_ylim(low - 0.1 * (high - low), high + 0.05 * (high - low))
            ax.set_ylabel(self.name, size=9)
        ax.tick_params(labelleft=first, pad=3)
        if not first:
            ax.set_ylabel("")

    def _meaning(self, mark: str) -> str:
        return MARKS[mark][0].format(score=style.named(self.score))

    def _legend(self, figure: Figure, marks: list[str], x: float, y: float) -> None:
        figure.legend(
            [Line2D([], [], linestyle="none", **MARKS[mark][1]) for mark in marks],
            [self._meaning(mark) for mark in marks],
            loc="lower left",
            bbox_to_anchor=(x, y),
            borderaxespad=0,
            borderpad=0,
            frameon=False,
            ncols=len(marks),
            fontsize=8.5,
            handletextpad=0.3,
            labelcolor=style.MUTED,
        )


def _direction(axis: matplotlib.axis.Axis, direction: Direction) -> None:
    """Scale, limits, ticks and name of one axis."""
    low, high = min(direction.values.values()), max(direction.values.values())
    vertical = axis.axis_name == "y"
    set_scale, set_limits = (axis.axes.set_yscale, axis.axes.set_ylim) if vertical else (
        axis.axes.set_xscale, axis.axes.set_xlim)  # fmt: skip
    if direction.logarithmic:
        set_scale("log")
        room = (high / low) ** 0.06
        set_limits(low / room, high * room)
        axis.set_major_locator(LogLocator(base=10, numticks=6))
        axis.set_minor_locator(NullLocator())
    else:
        room = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
        set_limits(low - room, high + room)
        axis.set_major_locator(MaxNLocator(5, integer=all(value.is_integer() for value in direction.values.values())))
    axis.set_major_formatter(FuncFormatter(lambda value, _: style.plain(value)))
    axis.set_label_text(direction.name, size=9)


def _placeholder(ax: Axes, hint: str) -> None:
    ax.set(xticks=[], yticks=[], facecolor="#f3f4f6")
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    text = fitted(hint, PANEL_WIDTH - 0.2, PANEL_HEIGHT - 0.2)
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", size=8, color=style.MUTED, clip_on=True)
