"""Hidden units: how active each of them is everywhere in the plane of the two inputs."""

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports import models, style
from reports.figures.plane import (
    colour_of,
    draw_image,
    frame,
    one_input,
    planes,
)
from reports.figures.sheet import Layout, sheet
from reports.models import Model
from reports.study import Problem, Study

ACROSS = 8
TILES = Layout(width=1.0, height=1.0, across=ACROSS, left=0.14, above=0.52, below=0.0, right=0.85)
LINES = Layout(width=3.6, height=2.4, across=2, left=0.75, below=0.45)


def hidden_units(
    study: Study, mode: str = "controlled", backend: str | None = None, problem: Problem | None = None
) -> Figure | None:
    """A small panel a unit: its activation over the two inputs, on one diverging scale a layer; white is 0.

    Of `backend`, or the first that has any. At most 16 units of each layer are stored; the heading of a layer says of
    how many. A thin line is where an activation changes its sign. With one input, the units of a layer are lines over
    it. None where nothing is stored (see `models.models` for which trial is shown).
    """
    found = planes(study, mode, problem)
    model = next((m for m in found if backend in (None, m.backend) and "hidden/0" in m.arrays), None)
    if model is None:
        return None
    title = f"Hidden units of {model.backend}, mode {mode}"
    x, y = model.arrays["x"], model.arrays.get("y")
    over = f"input from {style.number(x[0])} to {style.number(x[-1])}"
    if y is not None:
        over = f"across, input 1 from {style.number(x[0])} to {style.number(x[-1])}; up, input 2 from "
        over += f"{style.number(y[0])} to {style.number(y[-1])}"
    with matplotlib.rc_context(style.RC):
        return (_lines if one_input(model) else _maps)(model, title, f"{models.about(study, [model])} · {over}")


def layers(model: Model) -> list[np.ndarray]:
    """The stored activations of each hidden layer, float64."""
    stored = [f"hidden/{k}" for k in range(len(model.hidden))]
    return [model.arrays[name].astype(float) for name in stored if name in model.arrays]


def heading(model: Model, k: int, stored: int) -> str:
    """`Layer 1: 16 of 30 units, tanh`."""
    units = model.hidden[k]
    first = f"the first {stored} of " if stored < units else ""
    return f"Layer {k + 1}: {first}{style.count(units, 'unit')}, {model.activation[k]}"


def scale(activations: np.ndarray) -> Normalize:
    """Symmetric about 0, to the largest activation of the layer."""
    reach = float(np.nanmax(np.abs(activations))) or 1.0
    return Normalize(-reach, reach)


def _maps(model: Model, title: str, note: str) -> Figure:
    found = layers(model)
    lines = [-(-a.shape[-1] // ACROSS) for a in found]
    drawing = sheet(title, note, ACROSS * sum(lines), TILES)
    for k, activations in enumerate(found):
        begin, units = ACROSS * sum(lines[:k]), activations.shape[-1]
        own = drawing.axes[begin : begin + ACROSS * lines[k]]
        norm = scale(activations)
        for unit, ax in enumerate(own[:units]):
            _map(ax, model, activations[..., unit], norm)
            name = f"unit {unit + 1}" + ("" if activations[..., unit].any() else ": 0 here")
            ax.set_title(name, size=7, pad=2, loc="left", color=style.MUTED)
        own[0].text(0, 1.2, heading(model, k, units), transform=own[0].transAxes, size=9.5, weight="bold")
        bar = drawing.figure.colorbar(ScalarMappable(norm, style.DIFFERENCE), cax=drawing.strip(own[ACROSS - 1], 0.1))
        bar.set_label("activation", size=8)
        bar.outline.set_visible(False)
        for ax in own[units:]:
            ax.remove()
    return drawing.figure


def _map(ax: Axes, model: Model, activation: np.ndarray, norm: Normalize) -> None:
    x, y = model.arrays["x"], model.arrays["y"]
    draw_image(ax, model, activation, style.DIFFERENCE, norm)
    if activation.min() < 0 < activation.max():
        ax.contour(x[::2], y[::2], activation, levels=[0], colors=style.INK, linewidths=0.7)
    ax.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]), xticks=[], yticks=[])
    ax.grid(False)


def _lines(model: Model, title: str, note: str) -> Figure:
    found = layers(model)
    drawing = sheet(title, note, len(found), LINES)
    for k, (ax, activations) in enumerate(zip(drawing.axes, found, strict=True)):
        for unit in range(activations.shape[-1]):
            ax.plot(model.arrays["x"][::2], activations[:, unit], color=colour_of(unit), linewidth=1.3)
        drawing.head(ax, heading(model, k, activations.shape[-1]))
        frame(ax, model, "activation")
        ax.xaxis.set_major_locator(MaxNLocator(6))
    return drawing.figure
