"""Drawing of heatmaps: tiles in panels, panels in bands, one colour scale for all.

Everything here is about ink; what a tile says is decided in `reports/figures/heatmaps.py`. All lengths are inches.
"""

import math
from dataclasses import dataclass, replace

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from reports import style
from reports.figures import tiles
from reports.figures.text import fitted, wrapped
from reports.figures.tiles import SYMBOLS, Scale, Shape, Tile

CELL_WIDTH, CELL_HEIGHT = 0.43, 0.40
PANEL_WIDTH, PANEL_HEIGHT = 1.5, 1.1  # at least
GAP = 0.17
CHARACTER = 0.085  # width of one in a tick label
LINE = 0.14  # height of a tick label

MOST_TILES, MOST_CELLS = 1200, 400
"""Tiles of a figure, and of one of its panels, from which on they are too many for a number in each."""

SMALL_WIDTH, SMALL_HEIGHT = 2.9, 2.6
"""Of a panel without numbers, at most."""

MEANINGS = {
    "best_accuracy": "best by validation accuracy",
    "best_r2": "best by validation R²",
    "chaotic": "chaotic: rounding alone decides the result",
    "differs": "differs from the reference by more than rounding",
    "missing": "no result: the word says why",
    "partial": "no result from all or some seeds: the word says why",
    "failed": "no result from all or some seeds",
    "masked": "no difference shown by the seeds",
    "alone": "1 seed in both: no estimate of its noise",
    "blank": "another task, which has no such score",
    "equal": "equal to the published number to 1e-9",
    "unsupported": "unsupported by that backend",
    "not installed": "not installed",
}
"""What the legend says about each mark."""

SMALLEST = 5.0
"""Points: where a word would have to be smaller, its sign of `SYMBOLS` stands in its place."""


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
class Ticks:
    """The names and values of the two axes of every panel; an empty name is an axis that is not there."""

    row_name: str
    rows: list[str]
    column_name: str
    columns: list[str]


def draw(title: str, subtitle: str, bands: list[Band], ticks: Ticks, scale: Scale, legend: list[str]) -> Figure:
    """All bands below one another, one colour bar at the right, and a legend of the marks at the bottom.

    Where no tile has a value there is no colour bar. `legend` lists which marks to explain, of those in `MEANINGS`.
    """
    with matplotlib.rc_context(style.RC):
        return _draw(title, subtitle, bands, ticks, scale, legend)


def _draw(title: str, subtitle: str, bands: list[Band], ticks: Ticks, scale: Scale, legend: list[str]) -> Figure:
    if not any(tile.blank for tile in _tiles(bands)):
        legend = [mark for mark in legend if mark != "blank"]
    coloured = any(not math.isnan(tile.value) for tile in _tiles(bands))
    small = _small(bands)
    cell = _shape(bands, ticks, small)
    if small:
        subtitle = f"{subtitle} · too many cells for numbers, which stand in the tables"
        legend = ["failed" if mark in ("missing", "partial") else mark for mark in legend]
    else:
        bands, legend = _signs(bands, cell, legend)
    width, height = cell.width * len(ticks.columns), cell.height * len(ticks.rows)
    rotated = _rotated(ticks, cell)
    n = max(len(band.panels) for band in bands)
    left = 0.3 + (CHARACTER * max(map(len, ticks.rows)) + 0.25 if ticks.row_name else 0)
    below = (CHARACTER * max(map(len, ticks.columns)) if rotated else 0.18) + 0.27 if ticks.column_name else 0.1
    titles = 0.48 if any(panel.subtitle for band in bands for panel in band.panels) else 0.28
    bar = left + n * width + (n - 1) * GAP + 0.2
    headings = max(len(band.heading) for band in bands)
    explained = left + sum(_legend_width(MEANINGS[mark]) for mark in legend)
    total_width = max(
        bar + (0.95 if coloured else 0),
        explained,
        0.3 + 0.13 * len(title),
        min(8.0, 0.3 + 0.077 * len(subtitle)),
        left + 0.105 * headings,
    )
    about = wrapped(subtitle, total_width - 0.3, 9)
    heights = [(0.3 if band.heading else 0) + titles + height + below for band in bands]
    top, bottom = 0.62 + 0.17 * (len(about) - 1), 0.42 if legend else 0.08
    total_height = top + sum(heights) + 0.14 * (len(bands) - 1) + bottom

    figure = Figure(figsize=(total_width, total_height))
    FigureCanvasAgg(figure)

    def place(x: float, y: float, w: float, h: float) -> Axes:
        """Axes from inches, `y` measured from the top; without ticks, which take long to draw."""
        where = (x / total_width, 1 - (y + h) / total_height, w / total_width, h / total_height)
        return figure.add_axes(where, xticks=[], yticks=[])

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
            if not panel.placeholder:
                (tiles.paint_small if small else tiles.paint)(ax, panel.tiles, scale)
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
            _panel(ax, panel, ticks, cell, first=i == 0)
            if not panel.placeholder and not small:
                tiles.write(ax, panel.tiles, scale, cell)
        y += band_height + 0.14
    first = top + heights[0] - below - height
    if coloured:
        colour_bar(place(bar, first, 0.13, height), scale)
    if legend:
        _legend(place(left, total_height - 0.36, total_width - left, 0.24), legend, total_width - left, small)
    return figure


def _tiles(bands: list[Band]) -> list[Tile]:
    return [tile for band in bands for panel in band.panels for row in panel.tiles for tile in row]


def _small(bands: list[Band]) -> bool:
    """Whether there are too many tiles for a number in each."""
    panels = [sum(map(len, panel.tiles)) for band in bands for panel in band.panels]
    return sum(panels) > MOST_TILES or max(panels) > MOST_CELLS


def _shape(bands: list[Band], ticks: Ticks, small: bool) -> Shape:
    """Room for the longest number and what stands under it, and no panel too small for its title."""
    found = _tiles(bands)
    lines = max((tile.below.count("\n") + 1 for tile in found if tile.text and tile.below), default=1)
    width = max(CELL_WIDTH, PANEL_WIDTH / len(ticks.columns))
    signs = 0.1 if any(tile.masked for tile in found) else 0.0
    height = max(CELL_HEIGHT + 0.1 * (lines - 1) + signs, PANEL_HEIGHT / len(ticks.rows))
    if small:
        width, height = min(width, SMALL_WIDTH / len(ticks.columns)), min(height, SMALL_HEIGHT / len(ticks.rows))
    longest = max((len(tile.text) for tile in found), default=0)
    return Shape(width, height, min(9.0, 72 * width * 0.9 / (tiles.DIGIT * max(longest, 1))))


def _signs(bands: list[Band], cell: Shape, legend: list[str]) -> tuple[list[Band], list[str]]:
    """Words that would be too small to read become signs, which the legend then explains."""
    used = dict.fromkeys(SYMBOLS, False)

    def short(tile: Tile) -> Tile:
        note = tile.note
        for word in ("unsupported", "not\ninstalled"):
            if word in note and tiles.fit(note, cell.width) < SMALLEST:
                name = word.replace("\n", " ")
                note, used[name] = note.replace(word, SYMBOLS[name]), True
        return replace(tile, note=note)

    bands = [
        replace(band, panels=[replace(p, tiles=[[short(t) for t in row] for row in p.tiles]) for p in band.panels])
        for band in bands
    ]
    said = [tile.note for tile in _tiles(bands) if math.isnan(tile.value) or "partial" in legend]
    if not any(note and note not in SYMBOLS.values() for note in said):
        legend = [mark for mark in legend if mark not in ("missing", "partial")]
    return bands, [*legend, *(mark for mark, there in used.items() if there)]


def _rotated(ticks: Ticks, cell: Shape) -> bool:
    """Whether the column labels are too wide to stand side by side."""
    return max(map(len, ticks.columns)) * CHARACTER > cell.width


def _panel(ax: Axes, panel: Panel, ticks: Ticks, cell: Shape, first: bool) -> None:
    """Limits, ticks and labels; or the placeholder."""
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
    if ticks.row_name and first:
        each = math.ceil(LINE / cell.height)  # of very many values only some are named
        ax.set_yticks(np.arange(len(ticks.rows))[::each] + 0.5, ticks.rows[::each])
        ax.set_ylabel(ticks.row_name, size=9)
    if ticks.column_name:
        each = math.ceil(LINE / cell.width)
        ax.set_xticks(np.arange(len(ticks.columns))[::each] + 0.5, ticks.columns[::each],
                      rotation=90 if _rotated(ticks, cell) else 0)  # fmt: skip
        ax.set_xlabel(ticks.column_name, size=9)
    ax.tick_params(pad=3)


def colour_bar(ax: Axes, scale: Scale) -> None:
    """The scale, its label and its ticks, in the axes `ax`."""
    mappable = ScalarMappable(Normalize(scale.low, scale.high), tiles.colormap(scale.name))
    bar = ax.figure.colorbar(mappable, cax=ax)
    bar.outline.set_visible(False)
    bar.set_label(scale.label, size=9)
    if scale.logarithmic:
        bar.set_ticks(ticks := exponents(scale.low, scale.high))
        bar.set_ticklabels([scale.write(10.0**tick) for tick in ticks])
    ax.grid(False)


def exponents(low: float, high: float) -> list[float]:
    """Round numbers between 10^low and 10^high, as exponents: 1, 2, 5, 10, …, of a wide range every power or fourth."""
    if high - low > 2:
        apart = 4 if high - low > 8 else 1
        return list(range(math.ceil(low / apart) * apart, math.floor(high) + 1, apart))
    steps = [power + math.log10(step) for power in range(math.floor(low), math.ceil(high) + 1) for step in (1, 2, 5)]
    return [tick for tick in steps if low - 1e-9 <= tick <= high + 1e-9]


def _legend_width(meaning: str) -> float:
    return 0.27 + 0.067 * len(meaning) + 0.3


def _legend(ax: Axes, legend: list[str], width: float, small: bool) -> None:
    """Small swatches with their meaning, in one line; of small tiles with the strokes that stand in these."""
    ax.set(xlim=(0, width), ylim=(0.24, 0))
    ax.axis("off")
    colours = {"chaotic": "#b9c3cf", "differs": style.ALARM, "masked": style.MASKED}
    x = 0.0
    for mark in legend:
        meaning = MEANINGS[mark]
        mark = "masked" if mark == "alone" else mark  # the same sign
        best, sign = mark.startswith("best"), mark in SYMBOLS and not small
        swatch = colours.get(mark, "white" if best or mark in SYMBOLS else style.NEUTRAL)
        ax.add_patch(Rectangle((x, 0.05), 0.2, 0.15, facecolor=swatch, linewidth=0))
        if mark == "chaotic":
            ax.add_patch(tiles.hatching((x, 0.05), (0.2, 0.15), (0.2, 0.15), style.INK))
        elif small and mark in tiles.STROKES:
            for ends in np.array(tiles.STROKES[mark]):
                ax.plot(*(ends * (0.15, 0.15) + (x + 0.025, 0.05)).T, color="white" if mark == "differs" else style.INK,
                        linewidth=0.8)  # fmt: skip
        elif sign:
            ax.text(x + 0.1, 0.12, SYMBOLS[mark], size=8.5, ha="center", va="center", color=style.INK)
        if best:
            ax.add_patch(Rectangle((x, 0.05), 0.2, 0.15, fill=False, linewidth=1.9, edgecolor=style.OUTLINE))
        ax.text(x + 0.27, 0.12, meaning, size=8.5, va="center", color=style.MUTED)
        x += _legend_width(meaning)
