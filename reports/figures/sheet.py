"""A sheet of equal axes under a title: what the figures of single networks stand on. All lengths are inches."""

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reports import style
from reports.figures.text import fitted, wrapped

NARROWEST = 6.0  # of a figure
BOLD = 0.108
"""The width of a character of a title."""


@dataclass(frozen=True)
class Layout:
    """Sizes: of each axes, of the room at its left, above and below, and of the strips beside and under all of them."""

    width: float
    height: float
    across: int
    left: float = 0.5
    above: float = 0.5
    below: float = 0.45
    right: float = 0.15
    bottom: float = 0.1


@dataclass(frozen=True)
class Sheet:
    """A figure with its axes, row by row."""

    figure: Figure
    axes: list[Axes]
    layout: Layout

    def strip(self, ax: Axes | None = None, width: float = 0.13) -> Axes:
        """Axes for a colour bar, as high as `ax` and beside it (the last of the first line)."""
        at = (ax or self.axes[min(len(self.axes), self.layout.across) - 1]).get_position()
        total = self.figure.get_figwidth()
        return self.figure.add_axes((at.x1 + 0.15 / total, at.y0, width / total, at.height))

    def head(self, ax: Axes, title: str, text: str = "") -> None:
        """The title of one axes, and a smaller line under it, cut to its width."""
        room = (self.layout.left + self.layout.width) if self.layout.across > 1 else self.figure.get_size_inches()[0]
        up = 1 / self.layout.height
        ax.text(0, 1 + (0.25 if text else 0.12) * up, fitted(title, room, 0.2, 10), transform=ax.transAxes, size=10,
                weight="bold", va="center")  # fmt: skip
        if text:
            ax.text(0, 1 + 0.09 * up, fitted(text, room * 1.15, 0.15), transform=ax.transAxes, size=8,
                    color=style.MUTED, va="center")  # fmt: skip


def sheet(title: str, note: str, n: int, layout: Layout) -> Sheet:
    """`n` axes, `layout.across` of them in a line. To be called, and drawn upon, under `style.RC`."""
    across = min(n, layout.across)
    lines = -(-n // across)
    total_width = max(across * (layout.left + layout.width) + layout.right + 0.05, NARROWEST, 0.3 + BOLD * len(title))
    told = wrapped(note, total_width - 0.3, 8.5)
    top = 0.45 + 0.16 * len(told)
    total_height = top + lines * (layout.above + layout.height + layout.below) + layout.bottom
    figure = Figure(figsize=(total_width, total_height))
    FigureCanvasAgg(figure)
    figure.text(0.12 / total_width, 1 - 0.26 / total_height, title, size=13, weight="bold", va="center")
    for i, text in enumerate(told):
        figure.text(0.12 / total_width, 1 - (0.49 + 0.16 * i) / total_height, text, size=8.5, va="center",
                    color=style.MUTED)  # fmt: skip
    axes = []
    for k in range(n):
        x = (k % across) * (layout.left + layout.width) + layout.left
        y = top + (k // across) * (layout.above + layout.height + layout.below) + layout.above
        axes.append(
            figure.add_axes(
                (
                    x / total_width,
                    1 - (y + layout.height) / total_height,
                    layout.width / total_width,
                    layout.height / total_height,
                )
            )
        )
    return Sheet(figure, axes, layout)
