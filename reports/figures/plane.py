"""What the figures over the inputs share: axes in the units of the data, and the points themselves.

All of them are drawn from the stored arrays of kind "plane" (see `reports.study.Arrays`): of networks with one or two
inputs.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.lines import Line2D

from reports import models, style
from reports.figures.sheet import Layout
from reports.models import Model
from reports.study import Problem, Study

PANEL = Layout(width=2.7, height=2.5, across=3, left=0.7, above=0.45, below=0.45)
BAR = 0.95  # inches beside the axes, for a colour bar
MOST = 250
"""Of the points of a panel: more lie on one another, and make the page large."""

FEW = 20  # points, which can be larger

RINGS = {False: {"markersize": 3.6, "markeredgecolor": "white", "markeredgewidth": 0.4},
         True: {"markersize": 4.8, "markeredgecolor": "#000000", "markeredgewidth": 0.9}}  # fmt: skip
"""The look of points that were trained or chosen by, and of test points."""


def planes(study: Study, mode: str, problem: Problem | None) -> list[Model]:
    """The best trial of each backend that has a plane of finite answers."""
    found = models.models(study, "plane", mode, problem)
    return [model for model in found if np.isfinite(model.arrays["logits"]).all()]


def one_input(model: Model) -> bool:
    """Whether the network has one input, so that its answers make a line and no surface."""
    return "y" not in model.arrays


def frame(ax: Axes, model: Model, up: str = "input 2") -> None:
    """The limits and names of the axes; `up` names the second where the network has one input."""
    x = model.arrays["x"]
    ax.set_xlim(float(x[0]), float(x[-1]))
    ax.set_xlabel("input" if one_input(model) else "input 1", size=8.5)
    ax.set_ylabel(up, size=8.5)
    if not one_input(model):
        y = model.arrays["y"]
        ax.set_ylim(float(y[0]), float(y[-1]))
        ax.grid(False)


@dataclass(frozen=True)
class Points:
    """The points that are drawn: inputs `(n, 1 or 2)`, targets `(n, n_targets)`, and which of them are test rows."""

    inputs: np.ndarray
    targets: np.ndarray
    tested: np.ndarray
    validated: np.ndarray

    def look(self, ring: bool) -> dict[str, Any]:
        """The look of test points (`ring`), or of the others."""
        look = RINGS[ring]
        return look | {"markersize": look["markersize"] * (2 if len(self.inputs) <= FEW else 1)}

    @property
    def counted(self) -> str:
        """How many there are: `240 training points, 60 test points (black rings)`."""
        n = [int((~self.tested & ~self.validated).sum()), int(self.validated.sum()), int(self.tested.sum())]
        names = ("training point", "validation point", "test point")
        texts = [style.count(k, name) for k, name in zip(n, names, strict=True) if k]
        return ", ".join(texts) + (" (black rings)" if n[2] else "") + " drawn"


def points(model: Model) -> Points:
    """At most `MOST` of the stored points, evenly spread over their order."""
    a, n = model.arrays, len(model.arrays["inputs"])
    some = np.linspace(0, n - 1, min(n, MOST)).round().astype(int)
    part = np.asarray(a["part"])[some]
    return Points(a["inputs"][some], np.asarray(a["targets"]).reshape(n, -1)[some], part == 2, part == 1)


def draw_image(ax: Axes, model: Model, values: np.ndarray, colours: Colormap | str, norm: Normalize) -> None:
    """Values on the grid, first index up, as one small picture: filled contours would be ten times as large a page.

    `values` may stand on every grid line or on every second one; a pixel's middle lies on its grid point.
    """
    ends = []
    for axis, n in zip((model.arrays["x"], model.arrays["y"]), values.shape[::-1], strict=True):
        lines = axis[:: len(axis) // n]
        half = (lines[1] - lines[0]) / 2
        ends += [lines[0] - half, lines[-1] + half]
    ax.imshow(values, origin="lower", extent=tuple(ends), aspect="auto", cmap=colours, norm=norm,
              interpolation="bilinear")  # fmt: skip


def scatter(ax: Axes, drawn: Points, up: np.ndarray, some: np.ndarray, colour: str, marker: str) -> None:
    """The points `some`, at the heights `up`, in one look; test points last and with a dark ring."""
    for ring in RINGS:
        those = some & (drawn.tested == ring)
        ax.plot(drawn.inputs[those, 0], up[those], linestyle="none", marker=marker, color=colour, zorder=4 + ring,
                **drawn.look(ring))  # fmt: skip


def legend_of(labels: list[str]) -> list[Line2D]:
    """A sample of the points of each class, for a legend."""
    return [
        Line2D([], [], linestyle="none", marker=marker_of(k), color=colour_of(k), label=label, markersize=5)
        for k, label in enumerate(labels)
    ]


def colour_of(k: int) -> str:
    """The colour of class `k`."""
    return style.CLASSES[k % len(style.CLASSES)]


def marker_of(k: int) -> str:
    """The shape of the points of class `k`."""
    return style.MARKERS[k % len(style.MARKERS)]
