"""Activation functions and their derivatives."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from reports import style
from reports.activations import ACTIVATIONS, Activation
from reports.figures.sheet import Layout, sheet

LAYOUT = Layout(width=2.3, height=1.9, across=4, left=0.42, above=0.55, below=0.3, bottom=0.35)
REACH = 8.0  # of z, to both sides
Z = np.linspace(-REACH, REACH, 1201)
FAR = 50.0
FLAT = 0.05
"""A unit is marked where the derivative is below this share of its largest value, on its way to 0."""

VALUE, DERIVATIVE = style.CLASSES[0], style.CLASSES[1]


def activation_functions(
    names: Sequence[str] = tuple(ACTIVATIONS), parameters: Mapping[str, float] | None = None
) -> Figure:
    """A panel a function: its value (solid) and its derivative (dashed) over the input z of the unit.

    Grey marks where the derivative is below 5 % of its largest value and goes to 0: there a unit *saturates*, and where
    the derivative is exactly 0 it is *dead*, so that no gradient passes. A dot is the derivative that the harness takes
    at a kink. `parameters` holds the slope of "leaky_relu" and the alpha of "elu" where they are not the usual ones.
    """
    given = {name: ACTIVATIONS[name].usual for name in names} | dict(parameters or {})
    with matplotlib.rc_context(style.RC):
        note = f"grey: the derivative is below {FLAT * 100:.0f} % of its largest value: there a unit hardly learns"
        note += " · dot: the derivative that is taken at a kink"
        drawing = sheet("Activation functions and their derivatives", note, len(names), LAYOUT)
        for ax, name in zip(drawing.axes, names, strict=True):
            function, parameter = ACTIVATIONS[name], given[name]
            drawing.head(ax, name, function.formula.format(style.number(parameter)))
            _panel(ax, function, parameter)
        drawing.figure.legend(
            handles=[
                Line2D([], [], color=VALUE, linewidth=2, label="activation a(z)"),
                Line2D([], [], color=DERIVATIVE, linewidth=2, linestyle=(0, (3, 1)), label="derivative da/dz"),
                Patch(facecolor=style.NEUTRAL, label="saturated or dead"),
            ],
            loc="lower left",
            ncols=3,
            frameon=False,
            fontsize=8.5,
        )
    return drawing.figure


def flat_regions(function: Activation, parameter: float) -> list[tuple[float, float, str]]:
    """Where a unit hardly learns: (from, to, "dead" or "saturates"), within the range that is drawn."""
    slope = function.derivative(Z, parameter)
    flat = slope < FLAT * slope.max()
    regions = []
    for side, end in ((Z <= 0, -FAR), (Z >= 0, FAR)):
        some = flat & side
        if some.any() and function.derivative(np.array(end), parameter) < 1e-9:  # a slope that stays is no plateau
            word = "dead" if not slope[some].any() else "saturates"
            regions.append((float(Z[some].min()), float(Z[some].max()), word))
    return regions


def _panel(ax: Axes, function: Activation, parameter: float) -> None:
    value, slope = function.value(Z, parameter), function.derivative(Z, parameter)
    for begin, end, word in flat_regions(function, parameter):
        ax.axvspan(begin, end, color=style.NEUTRAL, linewidth=0, zorder=0)
        ax.text((begin + end) / 2, 1.75, word, ha="center", va="center", size=7.5, color=style.INK)
    ax.plot(Z, value, color=VALUE, linewidth=2)
    left, right = function.derivative(np.array([0.0, 1e-9]), parameter)
    kink = abs(left - right) > 0.01
    gap = np.flatnonzero(Z > 0)[:1] if kink else []
    ax.plot(np.insert(Z, gap, 0), np.insert(slope, gap, np.nan), color=DERIVATIVE, linewidth=2, linestyle=(0, (3, 1)))
    if kink:
        ax.plot([0], [left], "o", color=DERIVATIVE, markersize=4.5)
    ax.set(xlim=(-REACH, REACH), ylim=(-2.05, 2.05), xticks=range(-8, 9, 4), yticks=range(-2, 3))
    ax.axhline(0, color="#8c959f", linewidth=0.7, zorder=1)
    ax.axvline(0, color="#8c959f", linewidth=0.7, zorder=1)
    ax.set_xlabel("z", size=8.5, labelpad=1)
