"""Samples and mistakes: single test rows with what they are and what was answered."""

import math
from collections.abc import Sequence

import matplotlib
import numpy as np
import seaborn
from matplotlib.figure import Figure

from reports import models, style
from reports.figures.sheet import Layout, sheet
from reports.figures.text import fitted
from reports.models import Model
from reports.study import Problem, Study

IMAGES = Layout(width=1.0, height=1.0, across=9, left=0.22, above=0.1, below=0.42)
ROW, COLUMN = 0.24, 0.62  # inches of a row of a table, and of a column
MOST_NUMBERS = 12  # inputs of which the values are written
WIDE = 6.0  # inches of a table whose values are colours only
SMALLEST_IMAGE = 9  # inputs: 3 x 3 pixels
REACH = 2.5  # standard deviations
LONGEST = 3.0  # inches of what is said of a row
WRONG = style.ALARM


def samples(
    study: Study,
    mode: str = "controlled",
    backend: str | None = None,
    problem: Problem | None = None,
    names: Sequence[str] = (),
) -> Figure | None:
    """The first 25 test rows, each with its true class and the predicted one (or the values of a regression).

    Images where the number of inputs is a square, else a table of the inputs; a mistake is red and says "wrongly". Of
    `backend`, or of the first that has predictions (see `models.models` for which trial). `names` are those of the
    classes, which are numbered where it is empty. None where nothing is stored. The targets of a regression are as the
    network was given them, scaled.
    """
    model = _model(study, "sample_inputs", mode, backend, problem)
    if model is None:
        return None
    title = f"The first {style.count(len(model.arrays['sample_rows']), 'test row')}, {model.backend}, mode {mode}"
    return _draw(study, model, "sample", title, names)


def misclassified(
    study: Study,
    mode: str = "controlled",
    backend: str | None = None,
    problem: Problem | None = None,
    names: Sequence[str] = (),
) -> Figure | None:
    """The same for up to 25 test rows that a backend answers wrong; None where it makes no mistake."""
    model = _model(study, "misclassified_inputs", mode, backend, problem)
    if model is None:
        return None
    wrong, shown = int(model.mistakes.sum()), len(model.arrays["misclassified_rows"])
    some = f"{shown} of {wrong}" if shown < wrong else f"All {wrong}" if wrong > 1 else "The one"
    title = f"{some} misclassified test row{'s' if wrong > 1 else ''}, {model.backend}, mode {mode}"
    return _draw(study, model, "misclassified", title, names)


def _model(study: Study, name: str, mode: str, backend: str | None, problem: Problem | None) -> Model | None:
    found = [m for m in models.models(study, "predictions", mode, problem) if backend in (None, m.backend)]
    return next((m for m in found if len(m.arrays.get(name, ()))), None)


def _draw(study: Study, model: Model, kind: str, title: str, names: Sequence[str]) -> Figure:
    a = model.arrays
    inputs, rows = np.asarray(a[f"{kind}_inputs"], float), a[f"{kind}_rows"]
    place = {row: i for i, row in enumerate(a["rows"].tolist())}
    some = [place[row] for row in rows.tolist()]
    answers = model.answers(a["logits"])
    texts = [(said(model.task, a["targets"][i], names), said(model.task, answers[i], names)) for i in some]
    marked = model.mistakes[some] if kind == "sample" and model.task != "regression" else np.full(len(some), False)
    note = f"{models.about(study, [model])} · n = {len(a['logits'])} test rows"
    with matplotlib.rc_context(style.RC):
        draw = _images if is_image(inputs.shape[1]) else _table
        return draw(title, note, inputs, rows.tolist(), texts, marked.tolist())


def is_image(n_inputs: int) -> bool:
    """Whether so many inputs make a square picture: 64 are 8 x 8 pixels."""
    return n_inputs >= SMALLEST_IMAGE and math.isqrt(n_inputs) ** 2 == n_inputs


def said(task: str, answer: np.ndarray, names: Sequence[str]) -> str:
    """A class, a set of labels, or the values of a regression, as text."""
    values = np.asarray(answer).ravel()
    if task == "regression":
        return ", ".join(style.number(float(value), 3) for value in values)
    if task == "multilabel":
        values = np.flatnonzero(values)
        return ", ".join(str(names[k]) if len(names) else str(k) for k in values) or "none"
    return str(names[int(values[0])]) if len(names) else str(int(values[0]))


def _images(title: str, note: str, inputs: np.ndarray, rows: list, texts: list, marked: list[bool]) -> Figure:
    side, low, high = math.isqrt(inputs.shape[1]), inputs.min(), inputs.max()
    note += f" · {side} x {side} pixels, {style.number(low)} white to {style.number(high)} black"
    drawing = sheet(title, note, len(inputs), IMAGES)
    for ax, pixels, (true, answer), wrong in zip(drawing.axes, inputs, texts, marked, strict=True):
        ax.imshow(pixels.reshape(side, side), cmap="gray_r", vmin=low, vmax=high, interpolation="nearest")
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        for spine in ax.spines.values():
            spine.set(visible=True, color=WRONG if wrong else style.NEUTRAL, linewidth=2 if wrong else 0.7)
        room = IMAGES.width + IMAGES.left
        lines = [fitted(line, room, 0.1, 8) for line in (f"true {true}", _answered(answer, wrong))]
        ax.set_xlabel("\n".join(lines), size=8, labelpad=3, linespacing=1.15, color=WRONG if wrong else style.INK)
    return drawing.figure


def _table(title: str, note: str, inputs: np.ndarray, rows: list, texts: list, marked: list[bool]) -> Figure:
    n, width = inputs.shape
    written = width <= MOST_NUMBERS
    labels = [
        f"row {row}: {fitted(f'true {true}, {_answered(answer, wrong)}', LONGEST, 0.1, 8)}"
        for row, (true, answer), wrong in zip(rows, texts, marked, strict=True)
    ]
    left = 0.2 + 0.068 * max(map(len, labels))
    layout = Layout(COLUMN * width if written else WIDE, ROW * n, 1, left=left, above=0.15, right=0.9)
    note += " · colour: how far a value lies from the mean of its column here, in standard deviations"
    drawing = sheet(title, note, 1, layout)
    (ax,) = drawing.axes
    spread = inputs.std(axis=0)
    far = (inputs - inputs.mean(axis=0)) / np.where(spread > 0, spread, 1)
    seaborn.heatmap(
        far,
        ax=ax,
        cmap=style.DIFFERENCE,
        vmin=-REACH,
        vmax=REACH,
        annot=np.array([[style.plain(value, 3) for value in row] for row in inputs]) if written else False,
        fmt="",
        annot_kws={"size": 8},
        cbar_ax=drawing.strip(),
        cbar_kws={"extend": "both"},
        linewidths=0.6 if written else 0,
        linecolor="white",
    )
    ax.set_yticks(np.arange(n) + 0.5, labels, rotation=0, size=8)
    for label, wrong in zip(ax.get_yticklabels(), marked, strict=True):
        label.set(color=WRONG if wrong else style.INK, weight="bold" if wrong else "normal")
    every = max(1, math.ceil(width / 20))
    ax.set_xticks(np.arange(0, width, every) + 0.5, [str(k + 1) for k in range(0, width, every)], rotation=0)
    ax.set_xlabel("input", size=8.5)
    return drawing.figure


def _answered(answer: str, wrong: bool) -> str:
    return f"{'wrongly' if wrong else 'predicted'} {answer}"
