"""A waterfall: from one number to another, over the shares that make the difference."""

from collections.abc import Callable, Sequence

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reports import style
from reports.figures.text import fitted, wrapped

RISES, FALLS, ENDS = "#D55E00", "#0072B2", "#656d76"
_ROW = 0.42  # inches


def waterfall(
    title: str,
    note: str,
    unit: str,
    first: tuple[str, float],
    bars: Sequence[tuple[str, float, float]],
    last: tuple[str, float],
    number: Callable[[float, bool], str],
) -> Figure:
    """Bars from the value of `first`, one (label, change, half of its error bar) below the other, to that of `last`.

    `unit` names the axis, and `number` writes a value, with its sign or without. A change that raises the value is
    orange, one that lowers it is blue. The bars of both ends begin at 0; where that would leave the changes less than
    half of the width, these two bars are cut, and a break in each says so.
    """
    steps = [first[1]]
    for _, change, _ in bars:
        steps.append(steps[-1] + change)
    labels = [first[0], *(label for label, _, _ in bars), last[0]]
    total, left = 9.0, 2.6
    lines = wrapped(note, total - 0.3, 8.5)
    plot = _ROW * len(labels)
    height = 0.55 + 0.16 * len(lines) + plot + 0.5
    with matplotlib.rc_context(style.RC):
        figure = Figure(figsize=(total, height))
        FigureCanvasAgg(figure)
        figure.text(0.12 / total, 1 - 0.26 / height, title, size=13, weight="bold", va="center")
        for i, text in enumerate(lines):
            figure.text(0.12 / total, 1 - (0.49 + 0.16 * i) / height, text, size=8.5, va="center", color=style.MUTED)
        ax = figure.add_axes((left / total, 0.5 / height, (total - left - 0.9) / total, plot / height))
        tips = [tip for end, (_, _, error) in zip(steps[1:], bars, strict=True) for tip in (end - error, end + error)]
        low, high = min(*steps, last[1], *tips), max(*steps, last[1], *tips)
        reach = (high - low) or abs(high) or 1.0
        broken = low > reach
        start = low - 0.15 * reach if broken else 0.0
        left_end = start if low >= 0 else low - 0.05 * reach
        for y, (_, value) in ((0, first), (len(labels) - 1, last)):
            ax.barh(y, value - start, left=start, height=0.62, color=ENDS)
            if broken:
                ax.text(start + 0.06 * reach, y, "//", va="center", ha="center", size=17, weight="bold", color="white")
            ax.text(max(value, start) + 0.015 * reach, y, number(value, False), va="center", size=8.5, color=style.INK)
        for i, (_, change, error) in enumerate(bars):
            y, begin = i + 1, steps[i]
            ax.barh(y, change, left=begin, height=0.62, color=RISES if change > 0 else FALLS)
            ax.errorbar(begin + change, y, xerr=error, color=style.INK, capsize=2.5, linewidth=0.9)
            ax.plot([begin, begin], [y - 0.69, y + 0.31], color=style.MUTED, linewidth=0.7)
            ax.text(max(begin, begin + change + error) + 0.015 * reach, y, number(change, True), va="center", size=8.5)
        y = len(labels) - 1
        ax.plot([steps[-1], steps[-1]], [y - 0.69, y + 0.31], color=style.MUTED, linewidth=0.7)
        ax.set_yticks(range(len(labels)), [fitted(label, left - 0.3, _ROW) for label in labels])
        ax.set_ylim(len(labels) - 0.4, -0.6)
        ax.set_xlim(left_end, max(high, 0.0) + 0.14 * reach)
        ax.grid(visible=False, axis="y")
        ax.set_xlabel(unit, size=8.5)
    return figure
