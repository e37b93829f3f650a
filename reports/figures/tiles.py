"""The tiles of one panel: what a tile says, its colour on a scale, its numbers and marks. All lengths are inches.

A figure of very many cells has tiles too small for numbers: there a panel is one image of a pixel a cell, and every
mark is a stroke across its pixel.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from reports import style

HATCH = 0.085  # between two diagonals
LETTER, DIGIT = 0.59, 0.66  # mean widths in words and in numbers with a sign, for each point of size

SYMBOLS = {"blank": style.MISSING, "equal": "✓", "masked": "≈", "unsupported": "×", "not installed": "○"}
"""The marks that are a sign in a cell."""

STROKES = {
    "chaotic": [((0.0, 1.0), (1.0, 0.0))],
    "failed": [((0.25, 0.25), (0.75, 0.75)), ((0.25, 0.75), (0.75, 0.25))],
    "differs": [((0.2, 0.5), (0.8, 0.5)), ((0.5, 0.2), (0.5, 0.8))],
    "masked": [((0.3, 0.5), (0.7, 0.5))],
}
"""The marks of a small tile: a diagonal, a cross, a plus, a dash, from (0, 0) at its upper left to (1, 1)."""


@dataclass(frozen=True)
class Tile:
    """One cell as it is drawn: a colour (NaN: neutral grey), a number, under it a smaller one and a note, and marks."""

    value: float = math.nan
    text: str = ""
    note: str = ""  # a word, or a sign of `SYMBOLS`: what is the matter here
    second: str = ""  # a number that belongs to `text`: its spread, a floor, a share
    hatched: bool = False
    outlined: bool = False
    alarm: bool = False
    masked: bool = False  # a number that shows nothing: it stays, without its colour
    blank: bool = False  # nothing to expect here: white, and `text` muted

    @property
    def below(self) -> str:
        """What stands under `text`, line by line."""
        return "\n".join(filter(None, [self.second, self.note]))

    @property
    def strokes(self) -> list[str]:
        """The marks of `STROKES` that stand for its words where there is no room for them."""
        has = {
            "chaotic": self.hatched,
            "failed": bool(self.note) and self.note not in SYMBOLS.values() and not self.alarm,
            "differs": self.alarm,
            "masked": self.masked,
        }
        return [mark for mark, there in has.items() if there]


@dataclass(frozen=True)
class Scale:
    """The colour scale that all panels of a figure share; `write` writes a value beside its colour bar."""

    name: str
    low: float
    high: float
    label: str
    logarithmic: bool = False  # the values are exponents of ten
    write: Callable[[float], str] = style.magnitude

    def colour(self, value: float) -> tuple[float, float, float]:
        """The colour of `value`, clipped to the ends of the scale."""
        return tuple(self.colours(np.array([value]))[0, :3].tolist())

    def colours(self, values: np.ndarray) -> np.ndarray:
        """The colours (…, 4) of `values`, clipped to the ends of the scale; neutral where they are NaN."""
        position = np.clip((values - self.low) / (self.high - self.low), 0.0, 1.0)
        return colormap(self.name)(np.ma.masked_invalid(position))


class Shape(NamedTuple):
    """A tile's width and height, and the font size of its number in points: the same in every tile of a figure."""

    width: float
    height: float
    text: float


@cache
def colormap(name: str) -> ListedColormap:
    """A named colour map; `Blues` without its darkest third, so that its numbers stay easy to read."""
    found = matplotlib.colormaps[name]
    if name == style.DEVIATION:
        found = ListedColormap(found(np.linspace(0.02, 0.75, 256)))
    return found.with_extremes(bad=style.NEUTRAL)


def fills(tiles: list[list[Tile]], scale: Scale) -> np.ndarray:
    """The colours (rows, columns, 3) of the tiles of one panel."""
    found = scale.colours(np.array([[tile.value for tile in row] for row in tiles]))[..., :3]
    for mark, colour in (("masked", style.MASKED), ("blank", "white"), ("alarm", style.ALARM)):
        found[[[getattr(tile, mark) for tile in row] for row in tiles]] = to_rgb(colour)
    return found


def paint(ax: Axes, tiles: list[list[Tile]], scale: Scale) -> None:
    """The colours alone, as a heatmap of Seaborn; those that are not of the scale lie over it."""
    seaborn.heatmap(
        # a deviation of exactly 0 is -∞ on its scale, which Seaborn would take for no value
        np.clip([[tile.value for tile in row] for row in tiles], scale.low, scale.high),
        ax=ax,
        cmap=colormap(scale.name),
        vmin=scale.low,
        vmax=scale.high,
        cbar=False,
        linewidths=1.0,
        linecolor="white",
        xticklabels=False,
        yticklabels=False,
    )
    colours = fills(tiles, scale)
    for r, row in enumerate(tiles):
        for c, tile in enumerate(row):
            if tile.alarm or tile.masked or tile.blank:
                ax.add_patch(Rectangle((c, r), 1, 1, facecolor=colours[r, c], edgecolor="white", linewidth=1.0))


def write(ax: Axes, tiles: list[list[Tile]], scale: Scale, shape: Shape) -> None:
    """The numbers, notes and marks of all tiles."""
    colours = fills(tiles, scale)
    for r, row in enumerate(tiles):
        for c, tile in enumerate(row):
            _tile(ax, r, c, tile, colours[r, c], shape)


def paint_small(ax: Axes, tiles: list[list[Tile]], scale: Scale) -> None:
    """The panel as an image, and its marks as strokes: dark ones, and white ones on dark tiles."""
    colours = fills(tiles, scale)
    rows, columns, _ = colours.shape
    ax.imshow(colours, extent=(0, columns, rows, 0), aspect="auto", interpolation="none")
    dark = _dark(colours)
    for mark, lines in STROKES.items():
        marked = np.array([[mark in tile.strokes for tile in row] for row in tiles])
        for places, ink in ((marked & ~dark, style.INK), (marked & dark, "white")):
            if places.any():
                ax.add_patch(_strokes(np.argwhere(places)[:, ::-1], lines, ink, mark))
    for r, row in enumerate(tiles):
        for c, tile in enumerate(row):
            if tile.outlined:
                _outline(ax, r, c)


def _strokes(corners: np.ndarray, lines: list[Any], ink: str, mark: str) -> PathPatch:
    """The lines of one mark in all tiles whose upper left `corners` (n, 2) are given."""
    path = _path(corners[:, None, None, :] + np.array(lines))
    faint = 0.35 if mark == "masked" else 0.75
    return PathPatch(path, fill=False, edgecolor=ink, linewidth=0.6, alpha=faint, label=mark)


def _dark(fill: np.ndarray) -> np.ndarray:
    """Whether a colour, or each of (…, 3), is dark enough for white letters."""
    return fill @ (0.299, 0.587, 0.114) < 0.55


def _tile(ax: Axes, row: int, column: int, tile: Tile, fill: np.ndarray, shape: Shape) -> None:
    muted = tile.blank or tile.masked
    ink = "white" if _dark(fill) else style.MUTED if muted else style.INK
    if tile.hatched:
        ax.add_patch(hatching((column, row), (1, 1), (shape.width, shape.height), ink))
    # the plate under the number keeps it legible on the hatching
    plate = {"facecolor": fill, "edgecolor": "none", "pad": 0.9} if tile.hatched else None
    middle = {"ha": "center", "va": "center", "color": ink, "bbox": plate, "linespacing": 1.05}
    weight = "bold" if tile.alarm else "normal"
    sign = tile.below in SYMBOLS.values() and not tile.text
    small = shape.text if sign else min(fit(tile.note, shape.width), fit(tile.second, shape.width, DIGIT))
    # the number stands above the middle by as much as the lines below it need
    block = (tile.below.count("\n") + 1) * small * 1.2 / 72 / shape.height if tile.below else 0
    line = shape.text * 1.2 / 72 / shape.height if tile.text else 0
    top = row + 0.5 - (block + line) / 2
    if tile.text:
        ax.text(column + 0.5, top + line / 2, tile.text, size=shape.text, weight=weight, **middle)
    if tile.below:
        ax.text(column + 0.5, top + line + block / 2, tile.below, size=small, **middle)
    if tile.masked:
        ax.text(column + 0.95, row + 0.04, SYMBOLS["masked"], size=7, ha="right", va="top", color=style.MUTED)
    if tile.outlined:
        _outline(ax, row, column)


def _outline(ax: Axes, row: int, column: int) -> None:
    for width, colour in ((3.4, "white"), (1.9, style.OUTLINE)):
        ax.add_patch(
            Rectangle((column, row), 1, 1, fill=False, linewidth=width, edgecolor=colour, zorder=5, clip_on=False)
        )


def hatching(
    corner: tuple[float, float], extent: tuple[float, float], inches: tuple[float, float], ink: str
) -> PathPatch:
    """Diagonals over the rectangle at `corner`, `extent` in data units and `inches` on paper.

    Matplotlib's own hatch comes out denser in SVG than in PNG; these lines are the same in both. One path for all of
    them is a quarter of the SVG of a path each.
    """
    width, height = inches
    lines = []
    for at in np.arange(HATCH / 2, width + height, HATCH):
        across = np.array([max(0.0, at - height), min(width, at)])
        x = corner[0] + extent[0] * across / width
        y = corner[1] + extent[1] * (at - across) / height
        lines.append(np.column_stack([x, y]))
    return PathPatch(_path(np.array(lines)), fill=False, edgecolor=ink, linewidth=0.8, alpha=0.6, label="chaotic")


def _path(lines: np.ndarray) -> Path:
    """Straight lines (…, 2 ends, x and y) as one path."""
    return Path(lines.reshape(-1, 2), np.tile([Path.MOVETO, Path.LINETO], lines[..., 0].size // 2))


def fit(text: str, width: float, letter: float = LETTER) -> float:
    """The font size, at most 7, at which the longest line of `text` fits into a tile."""
    longest = max(map(len, text.split("\n")))
    return min(7.0, 72 * width * 0.92 / (letter * longest)) if longest else 7.0
