"""Drawing of heatmaps: tiles in panels, panels in bands, one colour scale for all.

Everything here is about ink; what a tile says is decided in `reports/figures/heatmaps.py`. All lengths are inches.
"""

import math
import textwrap
from dataclasses import dataclass, field

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from reports import style

CELL_WIDTH, CELL_HEIGHT = 0.43, 0.40
PANEL_WIDTH, PANEL_HEIGHT = 1.5, 1.1  # at least
GAP = 0.2
CHARACTER = 0.078  # width of one in a tick label


@dataclass(frozen=True)
class Tile:
    """One cell as it is drawn: a colour (NaN: neutral grey), a number, a smaller note under it, and marks."""

    value: float = math.nan
    text: str = ""
    note: str = ""
    hatched: bool = False
    outlined: bool = False
    alarm: bool = False


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

    def colour(self, value: float) -> tuple[float, float, float]:
        """The colour of `value`, clipped to the ends of the scale."""
        return _colormap(self.name)(Normalize(self.low, self.high, clip=True)(value))[:3]


@dataclass(frozen=True)
class Ticks:
    """The names and values of the two axes of every panel; an empty name is an axis that is not there."""

    row_name: str
    rows: list[str]
    column_name: str
    columns: list[str]
    cell: tuple[float, float] = field(init=False)

    def __post_init__(self) -> None:
        width = max(CELL_WIDTH, PANEL_WIDTH / len(self.columns))
        height = max(CELL_HEIGHT, PANEL_HEIGHT / len(self.rows))
        object.__setattr__(self, "cell", (width, height))

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of a panel."""
        return self.cell[0] * len(self.columns), self.cell[1] * len(self.rows)

    @property
    def rotated(self) -> bool:
        """Whether the column labels are too wide to stand side by side."""
        return max(map(len, self.columns)) * CHARACTER > self.cell[0]


def draw(title: str, subtitle: str, bands: list[Band], ticks: Ticks, scale: Scale, legend: list[str]) -> Figure:
    """All bands below one another, one colour bar at the right, and a legend of the marks at the bottom.

    `legend` lists which marks to explain, of "best", "chaotic", "differs" and "missing".
    """
    with matplotlib.rc_context(style.RC):
        return _draw(title, subtitle, bands, ticks, scale, legend)


def _draw(title: str, subtitle: str, bands: list[Band], ticks: Ticks, scale: Scale, legend: list[str]) -> Figure:
    width, height = ticks.size
    n = max(len(band.panels) for band in bands)
    left = 0.3 + (CHARACTER * max(map(len, ticks.rows)) + 0.25 if ticks.row_name else 0)
    below = (CHARACTER * max(map(len, ticks.columns)) if ticks.rotated else 0.18) + 0.27 if ticks.column_name else 0.1
    titles = 0.46 if any(panel.subtitle for band in bands for panel in band.panels) else 0.28
    bar = left + n * width + (n - 1) * GAP + 0.2
    total_width = max(bar + 0.95, 7.0)
    heights = [(0.3 if band.heading else 0) + titles + height + below for band in bands]
    top, bottom = 0.62, 0.42 if legend else 0.08
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

    write(0.12, 0.26, title, size=13, weight="bold", va="center")
    write(0.12, 0.49, subtitle, size=8.5, color=style.MUTED, va="center")
    y = top
    for band, band_height in zip(bands, heights, strict=True):
        if band.heading:
            write(left, y + 0.13, band.heading, size=10.5, weight="bold", va="center", color=style.INK)
        at = y + band_height - below - height
        for i, panel in enumerate(band.panels):
            ax = place(left + i * (width + GAP), at, width, height)
            write(left + i * (width + GAP), at - titles + 0.15, panel.title, size=10, weight="bold", va="center")
            write(left + i * (width + GAP), at - 0.13, panel.subtitle, size=7.5, color=style.MUTED, va="center")
            _panel(ax, panel, ticks, scale, first=i == 0)
        y += band_height + 0.14
    first = top + heights[0] - below - height
    _colour_bar(place(bar, first, 0.13, min(y - 0.14 - below - first, 3.2)), scale)
    if legend:
        _legend(place(left, total_height - 0.36, total_width - left, 0.24), legend, total_width - left)
    return figure


def _panel(ax: Axes, panel: Panel, ticks: Ticks, scale: Scale, first: bool) -> None:
    ax.set(xlim=(0, len(ticks.columns)), ylim=(len(ticks.rows), 0), xticks=[], yticks=[])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    if panel.placeholder:
        ax.set_facecolor("#f3f4f6")
        text = "\n".join(textwrap.wrap(panel.placeholder, max(int(ticks.size[0] / 0.085), 12)))
        ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", size=8, color=style.MUTED)
        return
    colours = np.array([[_fill(tile, scale) for tile in row] for row in panel.tiles])
    ax.pcolormesh(colours, edgecolors="white", linewidth=1.0)
    for r, row in enumerate(panel.tiles):
        for c, tile in enumerate(row):
            _tile(ax, r, c, tile, colours[r, c], ticks.cell)
    if ticks.row_name and first:
        ax.set_yticks(np.arange(len(ticks.rows)) + 0.5, ticks.rows)
        ax.set_ylabel(ticks.row_name, size=8.5)
    if ticks.column_name:
        ax.set_xticks(np.arange(len(ticks.columns)) + 0.5, ticks.columns, rotation=90 if ticks.rotated else 0)
        ax.set_xlabel(ticks.column_name, size=8.5)
    ax.tick_params(pad=3)


def _colormap(name: str) -> ListedColormap:
    """A named colour map; `Blues` without its darkest third, so that its numbers stay easy to read."""
    colormap = matplotlib.colormaps[name]
    return ListedColormap(colormap(np.linspace(0.02, 0.75, 256))) if name == style.DEVIATION else colormap


def _fill(tile: Tile, scale: Scale) -> tuple[float, float, float]:
    if tile.alarm:
        return matplotlib.colors.to_rgb(style.ALARM)
    return matplotlib.colors.to_rgb(style.NEUTRAL) if math.isnan(tile.value) else scale.colour(tile.value)


def _tile(ax: Axes, row: int, column: int, tile: Tile, fill: np.ndarray, cell: tuple[float, float]) -> None:
    dark = fill @ (0.299, 0.587, 0.114) < 0.55
    ink = "white" if dark else style.INK
    if tile.hatched:
        ax.add_patch(Rectangle((column, row), 1, 1, fill=False, hatch="////", linewidth=0, alpha=0.55, edgecolor=ink))
    # the plate under the number keeps it legible on the hatching
    plate = {"facecolor": fill, "edgecolor": "none", "pad": 0.9} if tile.hatched else None
    size = 8 if cell[0] < 0.6 else 9.5
    middle = {"ha": "center", "va": "center", "color": ink, "bbox": plate, "linespacing": 1.05}
    weight = "bold" if tile.alarm else "normal"
    if tile.text and tile.note:
        lines = tile.note.count("\n") + 1
        ax.text(column + 0.5, row + 0.36 - 0.08 * (lines - 1), tile.text, size=size, weight=weight, **middle)
        ax.text(column + 0.5, row + 0.72, tile.note, size=_fit(tile.note, cell[0]), **middle)
    elif tile.text:
        ax.text(column + 0.5, row + 0.5, tile.text, size=size, weight=weight, **middle)
    elif tile.note:
        ax.text(column + 0.5, row + 0.5, tile.note, size=_fit(tile.note, cell[0]), **middle)
    if tile.outlined:
        for line, colour in ((3.4, "white"), (1.9, style.OUTLINE)):
            ax.add_patch(
                Rectangle((column, row), 1, 1, fill=False, linewidth=line, edgecolor=colour, zorder=5, clip_on=False)
            )


def _fit(text: str, width: float) -> float:
    """The font size, at most 7, at which the longest line of `text` fits into a cell."""
    longest = max(map(len, text.split("\n")))
    return min(7.0, 72 * width * 0.95 / (0.60 * longest))


def _colour_bar(ax: Axes, scale: Scale) -> None:
    mappable = ScalarMappable(Normalize(scale.low, scale.high), _colormap(scale.name))
    bar = ax.figure.colorbar(mappable, cax=ax)
    bar.outline.set_visible(False)
    bar.set_label(scale.label, size=8.5)
    ax.grid(False)


def _legend(ax: Axes, legend: list[str], width: float) -> None:
    """Small swatches with their meaning, in one line."""
    ax.set(xlim=(0, width), ylim=(0, 0.24))
    ax.axis("off")
    x = 0.0
    meanings = {
        "best": "best by validation accuracy",
        "chaotic": "chaotic: rounding alone decides the result",
        "differs": "differs from the reference by more than rounding",
        "missing": "no result, or not from every seed: the word says why",
    }
    for mark in legend:
        swatch = {"best": "white", "chaotic": "#b9c3cf", "differs": style.ALARM, "missing": style.NEUTRAL}[mark]
        ax.add_patch(Rectangle((x, 0.05), 0.2, 0.15, facecolor=swatch, linewidth=0))
        if mark == "chaotic":
            ax.add_patch(
                Rectangle((x, 0.05), 0.2, 0.15, fill=False, hatch="//////", linewidth=0, edgecolor=style.INK, alpha=0.6)
            )
        if mark == "best":
            ax.add_patch(Rectangle((x, 0.05), 0.2, 0.15, fill=False, linewidth=1.9, edgecolor=style.OUTLINE))
        ax.text(x + 0.27, 0.12, meanings[mark], size=8, va="center", color=style.MUTED)
        x += 0.27 + 0.069 * len(meanings[mark]) + 0.25
