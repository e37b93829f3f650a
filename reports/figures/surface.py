"""Regression surfaces: what a network answers over its one or two inputs, beside the points that it learned from."""

from collections.abc import Sequence
from dataclasses import replace

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from reports import models, style
from reports.figures.plane import (
    BAR,
    PANEL,
    RINGS,
    draw_image,
    frame,
    one_input,
    planes,
    points,
    scatter,
)
from reports.figures.sheet import sheet
from reports.models import Model
from reports.study import Problem, Study

LINES = 12  # of equal prediction


def regression_surfaces(
    study: Study, mode: str = "controlled", problem: Problem | None = None, names: Sequence[str] = (), output: int = 0
) -> Figure | None:
    """A panel a backend: the prediction as filled contours over two inputs, or as a line over one, with the points.

    The points have the colours of their targets on the same scale, so one that vanishes in the surface is met. Where
    there are several targets `output` is drawn, and the title says which; `names` are those of the targets. None where
    no regression of one or two inputs is stored (see `models.models` for which trials are shown).
    """
    shown = [model for model in planes(study, mode, problem) if model.task == "regression"]
    if not shown:
        return None
    n_outputs = shown[0].arrays["logits"].shape[-1]
    name = str(names[output]) if len(names) else "target" if n_outputs == 1 else f"target {output + 1} of {n_outputs}"
    flat = one_input(shown[0])
    with matplotlib.rc_context(style.RC):
        note = f"{models.about(study, shown)} · {points(shown[0]).counted}"
        layout = replace(PANEL, right=PANEL.right if flat else BAR)
        what = "curve" if flat else "surface"
        drawing = sheet(
            f"Regression {what}{'' if n_outputs == 1 else f' of {name}'}, mode {mode}", note, len(shown), layout
        )
        norm = _range(shown, output)
        for ax, model in zip(drawing.axes, shown, strict=True):
            drawing.head(ax, model.backend)
            _curve(ax, model, output, norm) if flat else _surface(ax, model, output, norm)
            frame(ax, model, name if flat else "input 2")
        if not flat:
            bar = drawing.figure.colorbar(ScalarMappable(norm, style.SCORE), cax=drawing.strip())
            bar.set_label(f"{name}, predicted (areas) and given (points)", size=8)
            bar.outline.set_visible(False)
    return drawing.figure


def predicted(model: Model, output: int) -> np.ndarray:
    """What the network answers on the grid, in the units of the targets."""
    a = model.arrays
    scaled = model.outputs(a["logits"].astype(float)) * a.get("target_unit", 1.0) + a.get("target_shift", 0.0)
    return scaled[..., output]


def _range(shown: list[Model], output: int) -> Normalize:
    """One scale for all panels: that of the targets, widened by what most of the surfaces reach."""
    targets = np.concatenate([points(model).targets[:, output] for model in shown])
    reached = np.concatenate([predicted(model, output).ravel() for model in shown])
    low, high = np.nanpercentile(reached, [2, 98])
    return Normalize(float(min(targets.min(), low)), float(max(targets.max(), high)))


def _surface(ax: Axes, model: Model, output: int, norm: Normalize) -> None:
    x, y, z = model.arrays["x"], model.arrays["y"], predicted(model, output)
    draw_image(ax, model, z, style.SCORE, norm)
    levels = [level for level in np.linspace(norm.vmin, norm.vmax, LINES) if z.min() < level < z.max()]
    if levels:  # a constant has none
        ax.contour(x, y, z, levels=levels, colors="white", linewidths=0.6, linestyles="solid", alpha=0.6)
    drawn = points(model)
    for ring in RINGS:
        some, look = drawn.tested == ring, drawn.look(ring)
        ax.scatter(*drawn.inputs[some].T, c=drawn.targets[some, output], norm=norm, cmap=style.SCORE,
                   s=look["markersize"] ** 2, edgecolors=look["markeredgecolor"], linewidths=look["markeredgewidth"],
                   zorder=4 + ring)  # fmt: skip


def _curve(ax: Axes, model: Model, output: int, norm: Normalize) -> None:
    drawn = points(model)
    scatter(ax, drawn, drawn.targets[:, output], np.full(len(drawn.inputs), True), style.MUTED, "o")
    ax.plot(model.arrays["x"], predicted(model, output), color=style.OUTLINE, linewidth=2, zorder=6)
    room = 0.05 * (norm.vmax - norm.vmin)
    ax.set_ylim(norm.vmin - room, norm.vmax + room)
