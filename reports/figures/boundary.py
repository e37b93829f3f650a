"""Decision boundaries: what a classifier answers everywhere in the plane of its two inputs."""

from collections.abc import Sequence
from dataclasses import replace

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgb
from matplotlib.figure import Figure

from reports import models, style
from reports.figures.plane import (
    BAR,
    PANEL,
    colour_of,
    draw_image,
    frame,
    legend_of,
    marker_of,
    one_input,
    planes,
    points,
    scatter,
)
from reports.figures.sheet import sheet
from reports.figures.text import fitted
from reports.models import Model
from reports.study import Problem, Study

DASHES = ("solid", (0, (5, 1.5)), (0, (1.5, 1.5)))
PALE = 0.3  # how much of a class's colour its region has; the rest is white


def decision_boundaries(
    study: Study, mode: str = "controlled", problem: Problem | None = None, names: Sequence[str] = ()
) -> Figure | None:
    """A panel a backend: the region of each class over the two inputs, with the points that it learned from.

    Two classes: the colour is the probability of class 1, and the line is where it is 0.5. More: a pale region a class,
    and a line around it. Points have the colour and the shape of their true class. With one input, the probability of
    each class above it. The axes are in the units of the data; `names` are those of the classes. None where no
    classification of one or two inputs is stored (see `models.models` for which trials are shown).
    """
    shown = [model for model in planes(study, mode, problem) if model.task in ("multiclass", "binary")]
    if not shown:
        return None
    n_classes = max(shown[0].arrays["logits"].shape[-1], 2)
    labels = [fitted(names[k], 1.5, 0.15) if len(names) else f"class {k}" for k in range(n_classes)]
    surface = n_classes == 2 and not one_input(shown[0])
    with matplotlib.rc_context(style.RC):
        line = "black line: probability 0.5" if n_classes == 2 else "black lines: where the most probable class changes"
        note = " · ".join([models.about(study, shown), points(shown[0]).counted, line])
        layout = replace(PANEL, bottom=0.35, right=BAR if surface else PANEL.right)
        drawing = sheet(f"Decision boundary, mode {mode}", note, len(shown), layout)
        for ax, model in zip(drawing.axes, shown, strict=True):
            drawing.head(ax, model.backend)
            if one_input(model):
                _probabilities(ax, model)
            elif n_classes == 2:
                _shades(ax, model)
            else:
                _regions(ax, model)
            _points(ax, model)
            frame(ax, model, "probability" if one_input(model) else "input 2")
        if surface:
            bar = drawing.figure.colorbar(ScalarMappable(Normalize(0, 1), _between()), cax=drawing.strip())
            bar.set_label(f"probability of {labels[1]}", size=8.5)
            bar.outline.set_visible(False)
        drawing.figure.legend(handles=legend_of(labels), loc="lower left", frameon=False, fontsize=8.5,
                              ncols=min(n_classes, 8), handletextpad=0.2)  # fmt: skip
    return drawing.figure


def pale(colour: str, share: float = PALE) -> tuple[float, float, float]:
    """`colour` mixed with white."""
    r, g, b = (1 - share + share * channel for channel in to_rgb(colour))
    return r, g, b


def _between() -> LinearSegmentedColormap:
    """From the colour of class 0 over white to that of class 1, none of them at full strength."""
    return LinearSegmentedColormap.from_list("classes", [pale(colour_of(0), 0.5), "white", pale(colour_of(1), 0.5)])


def _shades(ax: Axes, model: Model) -> None:
    a = model.arrays
    p = model.probabilities(a["logits"].astype(float))[..., 1]
    draw_image(ax, model, p, _between(), Normalize(0, 1))
    margin = _margins(a["logits"])[..., 1]
    if margin.min() < 0 < margin.max():  # the logit is smooth where the probability is a step
        ax.contour(a["x"], a["y"], margin, levels=[0], colors=style.INK, linewidths=1.6)


def _regions(ax: Axes, model: Model) -> None:
    a = model.arrays
    margins = _margins(a["logits"])
    for k in range(margins.shape[-1]):
        if margins[..., k].max() > 0:
            ax.contourf(a["x"], a["y"], margins[..., k], levels=[0, np.inf], colors=[pale(colour_of(k))])
    for k in range(margins.shape[-1]):
        if margins[..., k].min() < 0 < margins[..., k].max():
            ax.contour(a["x"], a["y"], margins[..., k], levels=[0], colors=style.INK, linewidths=1.2)


def _margins(logits: np.ndarray) -> np.ndarray:
    """By how much the logit of each class exceeds the largest of the others: above 0 where it is the answer."""
    z = logits.astype(float)
    if z.shape[-1] == 1:
        return np.concatenate([-z, z], axis=-1)
    others = [np.delete(z, k, axis=-1).max(axis=-1) for k in range(z.shape[-1])]
    return z - np.stack(others, axis=-1)


def _probabilities(ax: Axes, model: Model) -> None:
    x, p = model.arrays["x"], model.probabilities(model.arrays["logits"].astype(float))
    for k in range(p.shape[-1]):
        ax.plot(x, p[:, k], color=colour_of(k), linewidth=1.8, linestyle=DASHES[k % len(DASHES)])
    for i in np.flatnonzero(np.diff(p.argmax(axis=-1))):
        ax.axvline((x[i] + x[i + 1]) / 2, color=style.INK, linewidth=1.2)


def _points(ax: Axes, model: Model) -> None:
    drawn = points(model)
    classes = drawn.targets[:, 0].astype(int)
    up = -0.05 - 0.04 * classes if one_input(model) else drawn.inputs[:, 1]
    for k in np.unique(classes).tolist():
        scatter(ax, drawn, up, classes == k, colour_of(k), marker_of(k))
