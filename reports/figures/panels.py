"""Drawing of heatmaps: tiles in panels, panels in bands, one colour scale for all.

Everything here is about ink; what a tile says is decided in `reports/figures/heatmaps.py`. All lengths are inches.
"""

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import matplotlib
import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from reports import style
from reports.figures.text import fitted, wrapped

CELL_WIDTH, CELL_HEIGHT = 0.43, 0.40
PANEL_WIDTH, PANEL_HEIGHT = 1.5, 1.1  # at least
GAP = 0.17
HATCH = 0.085  # between two diagonals
CHARACTER = 0.085  # width of one in a tick label

MEANINGS = {
    "best_accuracy": "best by validation accuracy",
    "best_r2": "best by validation R²",
    "chaotic": "chaotic: rounding alone decides the result",
    "differs": "differs from the reference by more than rounding",
    "missing": "no result: the word says why",
    "partial": "no result from all or some seeds: the word says why",
    "blank": "another task, which has no such score",
    "equal": "equal to the published number to 1e-9",
    "unsupported": "unsupported by that backend",
    "not installed": "not installed",
}
"""What the legend says about each mark."""

SYMBOLS = {"blank": style.MISSING, "equal": "✓", "unsupported": "×", "not installed": "○"}
"""The marks that are a sign in a cell."""

SMALLEST = 5.0
"""Points: where a word would have to be smaller, its sign of `SYMBOLS` stands in its place."""


@dataclass(frozen=True)
class Tile:
    """One cell as it is drawn: a colour (NaN: neutral grey), a number, a smaller note under it, and marks."""

    value: float = math.nan
    text: str = ""
    note: str = ""
    hatched: bool = False
    outlined: bool = False
    alarm: bool = False
    blank: bool = False  # nothing to expect here: white, and `text` muted


@dataclass(frozen=True)
class Panel:
    """The tiles of one backend, `tiles[row][column]`; with a `placeholder` this text is shown in their place."""

    title: str
    tiles: list[list[Tile]]
    subtitle: str = ""
    placeholder: str = ""


@dataclass(frozen=True)
class Band:
    """One line of panels under an optional heading."""

    panels: list[Panel]
    heading: str = ""


@dataclass(frozen=True)
class Scale:
    """The colour scale that all panels of a figure share."""

    name: str
    low: float
    high: float
    label: str
    logarithmic: bool = False  # the values are exponents of ten

    def colour(self, value: float) -> tuple[float, float, float]:
        """The colour of `value`, clipped to the ends of the scale."""
        position = min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)
        return _colormap(self.name)(position)[:3]


@dataclass(frozen=True)
class Ticks:
    """The names and values of the two axes of every panel; an empty name is an axis that is not there."""

    row_name: str
    rows: list[str]
    column_name: str
    columns: list[str]


def draw(title: str, subtitle: str, bands: list[Band], ticks: Ticks, scale: Scale, legend: list[str]) -> Figure:
    """All bands below one another, one colour bar at the right, and a legend of the marks at the bottom.

    `legend` lists which marks to explain, of those in `MEANINGS`.
    """
    with matplotlib.rc_context(style.RC):
        return _draw(title, subtitle, bands, ticks, scale, legend)


def _draw(title: str, subtitle: str, bands: list[Band], ticks: Ticks, scale: Scale, legend: list[str]) -> Figure:
    if not any(tile.blank for band in bands for panel in band.panels for row in panel.tiles for tile in row):
        legend = [mark for mark in legend if mark != "blank"]
    cell = _shape(bands, ticks)
    bands, legend = _signs(bands, cell, legend)
    width, height = cell.width * len(ticks.columns), cell.height * len(ticks.rows)
    rotated = _rotated(ticks, cell)
    n = max(len(band.panels) for band in bands)
    left = 0.3 + (CHARACTER * max(map(len, ticks.rows)) + 0.25 if ticks.row_name else 0)
    below = (CHARACTER * max(map(len, ticks.columns)) if rotated else 0.18) + 0.27 if ticks.column_name else 0.1
    titles = 0.48 if any(panel.subtitle for band in bands for panel in band.panels) else 0.28
    bar = left + n * width + (n - 1) * GAP + 0.2
    headings = max(len(band.heading) for band in bands)
    explained = left + sum(map(_legend_width, legend))
    total_width = max(
        bar + 0.95, explained, 0.3 + 0.13 * len(title), min(8.0, 0.3 + 0.077 * len(subtitle)), left + 0.105 * headings
    )
    about = wrapped(subtitle, total_width - 0.3, 9)
    heights = [(0.3 if band.heading else 0) + titles + height + below for band in bands]
    top, bottom = 0.62 + 0.17 * (len(about) - 1), 0.42 if legend else 0.08
    total_height = top + sum(heights) + 0.14 * (len(bands) - 1) + bottom

    figure = Figure(figsize=(total_width, total_height))
    FigureCanvasAgg(figure)

    def place(x: float, y: float, w: float, h: float) -> Axes:
        """Axes from inches, `y` measured from the top."""
        return figure.add_axes(
            (x / total_width, 1 - (y + h) / total_height, w / total_width, h / total_height), frameon=True
        )

    def write(x: float, y: float, text: str, **kwargs: object) -> None:
        figure.text(x / total_width, 1 - y / total_height, text, **kwargs)

    # Each call of seaborn.heatmap draws the whole figure once, to see whether tick labels overlap: so all of them come
    # first, while there is little to draw.
    axes = []
    y = top
    for band, band_height in zip(bands, heights, strict=True):
        at = y + band_height - below - height
        axes.append([place(left + i * (width + GAP), at, width, height) for i in range(len(band.panels))])
        for ax, panel in zip(axes[-1], band.panels, strict=True):
            _heatmap(ax, panel, scale)
        y += band_height + 0.14
    write(0.12, 0.26, title, size=13, weight="bold", va="center")
    for i, text in enumerate(about):
        write(0.12, 0.49 + 0.17 * i, text, size=9, color=style.MUTED, va="center")
    y = top
    for band, band_height, row in zip(bands, heights, axes, strict=True):
        if band.heading:
            write(left, y + 0.13, band.heading, size=10.5, weight="bold", va="center", color=style.INK)
        at = y + band_height - below - height
        for i, (ax, panel) in enumerate(zip(row, band.panels, strict=True)):
            write(left + i * (width + GAP), at - titles + 0.15, panel.title, size=10, weight="bold", va="center")
            write(left + i * (width + GAP), at - 0.13, panel.subtitle, size=8, color=style.MUTED, va="center")
            _panel(ax, panel, ticks, scale, cell, first=i == 0)
        y += band_height + 0.14
    first = top + heights[0] - below - height
    colour_bar(place(bar, first, 0.13, height), scale)
    if legend:
        _legend(place(left, total_height - 0.36, total_width - left, 0.24), legend, total_width - left)
    return figure


class _Shape(NamedTuple):
    """A tile's width and height, and the font size of its number in points: the same in every tile of a figure."""

    width: float
    height: float
    text: float


def _shape(bands: list[Band], ticks: Ticks) -> _Shape:
    """Room for the longest number and note, and no panel too small for its title."""
    tiles = [tile for band in bands for panel in band.panels for row in panel.tiles for tile in row]
    lines = max((tile.note.count("\n") + 1 for tile in tiles if tile.text and tile.note), default=1)
    width = max(CELL_WIDTH, PANEL_WIDTH / len(ticks.columns))
    height = max(CELL_HEIGHT + 0.1 * (lines - 1), PANEL_HEIGHT / len(ticks.rows))
    longest = max((len(tile.text) for tile in tiles), default=0)
    return _Shape(width, height, min(9.0, 72 * width * 0.88 / (0.62 * max(longest, 1))))


def _signs(bands: list[Band], cell: _Shape, legend: list[str]) -> tuple[list[Band], list[str]]:
    """Words that would be too small to read become signs, which the legend then explains."""
    used = dict.fromkeys(SYMBOLS, False)

    def short(tile: Tile) -> Tile:
        note = tile.note
        for word in ("unsupported", "not\ninstalled"):
            if word in note and _fit(note, cell.width) < SMALLEST:
                name = word.replace("\n", " ")
                note, used[name] = note.replace(word, SYMBOLS[name]), True
        return replace(tile, note=note)

    bands = [
        replace(band, panels=[replace(p, tiles=[[short(t) for t in row] for row in p.tiles]) for p in band.panels])
        for band in bands
    ]
    tiles = [tile for band in bands for panel in band.panels for row in panel.tiles for tile in row]
    said = [tile.note for tile in tiles if math.isnan(tile.value) or "partial" in legend]
    if not any(note and note not in SYMBOLS.values() for note in said):
        legend = [mark for mark in legend if mark not in ("missing", "partial")]
    return bands, [*legend, *(mark for mark, there in used.items() if there)]


def _rotated(ticks: Ticks, cell: _Shape) -> bool:
    """Whether the column labels are too wide to stand side by side."""
    return max(map(len, ticks.columns)) * CHARACTER > cell.width


def _panel(ax: Axes, panel: Panel, ticks: Ticks, scale: Scale, cell: _Shape, first: bool) -> None:
    ax.set(xlim=(0, len(ticks.columns)), ylim=(len(ticks.rows), 0), xticks=[], yticks=[])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    if panel.placeholder:
        ax.set_facecolor("#f3f4f6")
        text = fitted(panel.placeholder, cell.width * len(ticks.columns) - 0.1, cell.height * len(ticks.rows) - 0.1)
        ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", size=8, color=style.MUTED,
                clip_on=True)  # fmt: skip
        return
    for r, row in enumerate(panel.tiles):
        for c, tile in enumerate(row):
            _tile(ax, r, c, tile, np.array(_fill(tile, scale)), cell)
    if ticks.row_name and first:
        ax.set_yticks(np.arange(len(ticks.rows)) + 0.5, ticks.rows)
        ax.set_ylabel(ticks.row_name, size=9)
    if ticks.column_name:
        ax.set_xticks(np.arange(len(ticks.columns)) + 0.5, ticks.columns, rotation=90 if _rotated(ticks, cell) else 0)
        ax.set_xlabel(ticks.column_name, size=9)
    ax.tick_params(pad=3)


def _heatmap(ax: Axes, panel: Panel, scale: Scale) -> None:
    """The colours alone: those of the scale, neutral where there is no value, alarming where a tile says so."""
    if panel.placeholder:
        return
    seaborn.heatmap(
        # a deviation of exactly 0 is -∞ on this scale, which Seaborn would take for no value
        np.clip([[tile.value for tile in row] for row in panel.tiles], scale.low, scale.high),
        ax=ax,
        cmap=_colormap(scale.name).with_extremes(bad=style.NEUTRAL),
        vmin=scale.low,
        vmax=scale.high,
        cbar=False,
        linewidths=1.0,
        linecolor="white",
        xticklabels=False,
        yticklabels=False,
    )
    for r, row in enumerate(panel.tiles):
        for c, tile in enumerate(row):
            if tile.alarm or tile.blank:
                colour = style.ALARM if tile.alarm else "white"
                ax.add_patch(Rectangle((c, r), 1, 1, facecolor=colour, edgecolor="white", linewidth=1.0))


@cache
def _colormap(name: str) -> ListedColormap:
    """A named colour map; `Blues` without its darkest third, so that its numbers stay easy to read."""
    colormap = matplotlib.colormaps[name]
    return ListedColormap(colormap(np.linspace(0.02, 0.75, 256))) if name == style.DEVIATION else colormap


def _fill(tile: Tile, scale: Scale) -> tuple[float, float, float]:
    if tile.alarm:
        return matplotlib.colors.to_rgb(style.ALARM)
    if tile.blank:
        return matplotlib.colors.to_rgb("white")
    return matplotlib.colors.to_rgb(style.NEUTRAL) if math.isnan(tile.value) else scale.colour(tile.value)


def _tile(ax: Axes, row: int, column: int, tile: Tile, fill: np.ndarray, cell: _Shape) -> None:
    dark = fill @ (0.299, 0.587, 0.114) < 0.55
    ink = "white" if dark else style.MUTED if tile.blank else style.INK
    if tile.hatched:
        ax.add_collection(_hatching((column, row), (1, 1), (cell.width, cell.height), ink))
    # the plate under the number keeps it legible on the hatching
    plate = {"facecolor": fill, "edgecolor": "none", "pad": 0.9} if tile.hatched else None
    size = cell.text
    middle = {"ha": "center", "va": "center", "color": ink, "bbox": plate, "linespacing": 1.05}
    weight = "bold" if tile.alarm else "normal"
    small = size if tile.note in SYMBOLS.values() and not tile.text else _fit(tile.note, cell.width)
    # the number stands above the middle by as much as the lines of the note need below it
    block = (tile.note.count("\n") + 1) * small * 1.2 / 72 / cell.height if tile.note else 0
    line = size * 1.2 / 72 / cell.height if tile.text else 0
    top = row + 0.5 - (block + line) / 2
    if tile.text:
        ax.text(column + 0.5, top + line / 2, tile.text, size=size, weight=weight, **middle)
    if tile.note:
        ax.text(column + 0.5, top + line + block / 2, tile.note, size=small, **middle)
    if tile.outlined:
        for line, colour in ((3.4, "white"), (1.9, style.OUTLINE)):
            ax.add_patch(
                Rectangle((column, row), 1, 1, fill=False, linewidth=line, edgecolor=colour, zorder=5, clip_on=False)
            )


def _hatching(
    corner: tuple[float, float], extent: tuple[float, float], inches: tuple[float, float], ink: str
) -> LineCollection:
    """Diagonals over the rectangle at `corner`, `extent` in data units and `inches` on paper.

    Matplotlib's own hatch comes out denser in SVG than in PNG; these lines are the same in both.
    """
    width, height = inches
    lines = []
    for at in np.arange(HATCH / 2, width + height, HATCH):
        across = np.array([max(0.0, at - height), min(width, at)])
        x = corner[0] + extent[0] * across / width
        y = corner[1] + extent[1] * (at - across) / height
        lines.append(np.column_stack([x, y]))
    return LineCollection(lines, colors=ink, linewidths=0.8, alpha=0.6, label="chaotic")


def _fit(text: str, width: float) -> float:
    """The font size, at most 7, at which the longest line of `text` fits into a cell."""
    longest = max(map(len, text.split("\n")))
    return min(7.0, 72 * width * 0.92 / (0.59 * longest)) if longest else 7.0


def colour_bar(ax: Axes, scale: Scale) -> None:
    """The scale, its label and its ticks, in the axes `ax`."""
    mappable = ScalarMappable(Normalize(scale.low, scale.high), _colormap(scale.name))
    bar = ax.figure.colorbar(mappable, cax=ax)
    bar.outline.set_visible(False)
    bar.set_label(scale.label, size=9)
    if scale.logarithmic:
        apart = 4 if scale.high - scale.low > 8 else 1
        bar.set_ticks(ticks := list(range(math.ceil(scale.low / apart) * apart, int(scale.high) + 1, apart)))
        bar.set_ticklabels([style.magnitude(10.0**tick) for tick in ticks])
    ax.grid(False)


def _legend_width(mark: str) -> float:
    return 0.27 + 0.067 * len(MEANINGS[mark]) + 0.3


def _legend(ax: Axes, legend: list[str], width: float) -> None:
    """Small swatches with their meaning, in one line."""
    ax.set(xlim=(0, width), ylim=(0.24, 0))
    ax.axis("off")
    x = 0.0
    for mark in legend:
        best = mark.startswith("best")
        white = best or mark in SYMBOLS
        swatch = {"chaotic": "#b9c3cf", "differs": style.ALARM}.get(mark, "white" if white else style.NEUTRAL)
        ax.add_patch(Rectangle((x, 0.05), 0.2, 0.15, facecolor=swatch, linewidth=0))
        if mark == "chaotic":
            ax.add_collection(_hatching((x, 0.05), (0.2, 0.15), (0.2, 0.15), style.INK))
        if mark in SYMBOLS:
            ax.text(x + 0.1, 0.12, SYMBOLS[mark], size=8.5, ha="center", va="center", color=style.INK)
        if best:
            ax.add_patch(Rectangle((x, 0.05), 0.2, 0.15, fill=False, linewidth=1.9, edgecolor=style.OUTLINE))
        ax.text(x + 0.27, 0.12, MEANINGS[mark], size=8.5, va="center", color=style.MUTED)
        x += _legend_width(mark)
