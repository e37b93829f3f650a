"""A figure as an `<svg>` element of the page: small, inert, and legible in the light and in the dark theme.

What stands on the paper of a figure (titles, ticks, axes) takes the page's own colours, as CSS variables; what stands
on a colour of the data (the numbers in a tile) keeps its own.
"""

import html
import re
from collections.abc import Iterator
from io import StringIO

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_hex
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

from reports import style

_MARKED = {
    style.INK: "#010203",
    "#000000": "#010203",
    style.MUTED: "#010204",
    "#ffffff": "#010205",
    style.ALARM: "#010206",
}
"""Colours that also occur on data, and what stands for them where they are on paper until the SVG is written."""

_JOINED = "stroke-linejoin: round; stroke-linecap: butt"

_THEMED = {
    "#010203": "var(--ink)",
    "#010204": "var(--soft)",
    "#010205": "var(--paper)",
    "#010206": "var(--alarm)",
    "#424a53": "var(--soft)",  # labels
    "#8c959f": "var(--soft)",  # edges of axes
    "#e6e9ed": "var(--line)",  # grids
    "#f3f4f6": "var(--panel)",  # a panel without anything
}


def inline(figure: Figure, name: str, alt: str) -> str:
    """The figure as an `<svg>` element: text stays text, and identifiers do not clash between figures.

    It is drawn for the page alone: the colours of its paper are changed for good.
    """
    for artist in _on_paper(figure):
        _mark(artist)
    stream = StringIO()
    with matplotlib.rc_context(style.RC | {"svg.hashsalt": name}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None}, facecolor="none")
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    # Matplotlib's own style sheet would hold for the whole page
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r"\n\s*", "\n", text).replace("'DejaVu Sans', sans-serif", "var(--sans)")
    text = text.replace("stroke: #ffffff", "stroke: var(--paper)")  # the gaps between tiles
    text = re.sub("|".join(_THEMED), lambda found: _THEMED[found[0]], text)
    head, body = text.split(">", 1)
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{html.escape(alt)}" style="--width: {width(figure)}px; {_JOINED}">{body}'


def width(figure: Figure) -> int:
    """Of the figure in its own size, in CSS pixels."""
    return round(figure.get_size_inches()[0] * 96)


def _on_paper(figure: Figure) -> Iterator[Artist]:
    """The artists that lie on nothing but paper: all of them, in axes without colours of data."""
    axes = figure.findobj(Axes)  # insets too
    on_data = {text for ax in axes if _coloured(ax) for text in ax.texts if _inside(ax, text)}
    yield from (text for text in figure.findobj(Text) if text not in on_data)
    for ax in axes:
        yield ax.patch
        if not _coloured(ax):
            yield from ax.patches
            yield from ax.lines
    for legend in figure.findobj(matplotlib.legend.Legend):
        yield legend.get_frame()
        yield from legend.findobj(Line2D)


def _coloured(ax: Axes) -> bool:
    return any(isinstance(artist, (QuadMesh, AxesImage, ContourSet)) for artist in ax.get_children())


def _inside(ax: Axes, text: Text) -> bool:
    return bool(ax.bbox.contains(*text.get_transform().transform(text.get_position())))


def _mark(artist: Artist) -> None:
    """Change the colours of an artist to those that stand for the theme's."""
    if isinstance(artist, Patch):
        artist.set_facecolor(_themed(artist.get_facecolor()))
    elif isinstance(artist, (Text, Line2D)):
        artist.set_color(_themed(artist.get_color()))


def _themed(colour: object) -> object:
    """The mark of a colour, as opaque as before; the colour itself, where the theme does not change it."""
    if isinstance(colour, str) and colour == "none":
        return colour
    mark = _MARKED.get(to_hex(colour))
    return colour if mark is None else (*matplotlib.colors.to_rgb(mark), matplotlib.colors.to_rgba(colour)[3])
