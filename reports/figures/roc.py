"""ROC curves: what share of the others a class costs at each threshold."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports import models, style
from reports.figures.sheet import Layout, sheet
from reports.figures.text import fitted
from reports.models import Model
from reports.study import Problem, Study

LAYOUT = Layout(width=3.0, height=3.2, across=3, left=0.6, below=0.55)
DASHES = ("solid", (0, (4, 1.2)), (0, (1.2, 1.2)))
HUES = 5  # with three dashes each
CROWDED = 0.95  # where every area is above this, an inset shows the corner in which the curves lie
NAMED = 10
"""How many curves a legend names: of more classes those with the lowest areas, the others are grey."""


@dataclass(frozen=True)
class Curve:
    """False and true positive rates from the highest threshold to the lowest, and the area under them."""

    false: np.ndarray
    true: np.ndarray
    area: float


def roc_curves(
    study: Study, mode: str = "controlled", problem: Problem | None = None, names: Sequence[str] = ()
) -> Figure | None:
    """A panel a backend: the ROC curve of each class against the rest, with its area; the chance line is dashed.

    From the stored logits of the test rows; a binary classification has one curve, that of class 1. A class without
    rows, or without others, has none. `names` are those of the classes (labels), which are numbered where it is empty.
    None where no classification has predictions (see `models.models` for which trials are shown).
    """
    shown = [m for m in models.models(study, "predictions", mode, problem) if m.task != "regression" and curves(m)]
    if not shown:
        return None
    outputs, task = shown[0].arrays["logits"].shape[1], shown[0].task
    what = "label" if task == "multilabel" else "class"
    first = 1 if task == "binary" else 0  # its one output is the odds of class 1
    texts = [str(names[k + first]) if len(names) else f"{what} {k + first}" for k in range(outputs)]
    with matplotlib.rc_context(style.RC):
        note = f"{models.about(study, shown)} · n = {len(shown[0].arrays['targets'])} test rows"
        if outputs > 1:
            note += f", each {what} against the rest; AUC of a backend: the mean of theirs"
        drawing = sheet(f"ROC curves of the test rows, mode {mode}", note, len(shown), LAYOUT)
        for ax, model in zip(drawing.axes, shown, strict=True):
            found = curves(model)
            # where a class has none, the store has no mean either
            mean = np.mean([curve.area for curve in found.values()]) if len(found) == outputs else np.nan
            drawing.head(ax, model.backend, f"AUC {style.score(mean)}")
            _panel(ax, found, texts)
    return drawing.figure


def positives(model: Model) -> np.ndarray:
    """Which test rows belong to each output, `(n, n_outputs)`."""
    targets, outputs = np.asarray(model.arrays["targets"]), model.arrays["logits"].shape[1]
    if model.task == "multiclass":
        return targets[:, None] == np.arange(outputs)
    return targets.reshape(len(targets), outputs) > 0


def curves(model: Model) -> dict[int, Curve]:
    """The curve of each output that has rows of both kinds and finite logits."""
    from sklearn.metrics import auc, roc_curve

    ranking, positive = model.ranking(model.arrays["logits"].astype(float)), positives(model)
    found = {}
    for k in range(positive.shape[1]):
        if 0 < positive[:, k].sum() < len(positive) and np.isfinite(ranking[:, k]).all():
            false, true, _ = roc_curve(positive[:, k], ranking[:, k])
            found[k] = Curve(false, true, float(auc(false, true)))
    return found


def _panel(ax: Axes, found: dict[int, Curve], names: list[str]) -> None:
    named = sorted(sorted(found, key=lambda k: found[k].area)[:NAMED])
    _lines(ax, found, named, names)
    ax.plot([0, 1], [0, 1], color=style.MUTED, linewidth=1.1, linestyle=(0, (2, 2)), label="chance  0.500")
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    ax.set_xlabel("false positive rate", size=8.5)
    ax.set_ylabel("true positive rate", size=8.5)
    title = "AUC" if len(named) == len(found) else f"the {NAMED} lowest of {len(found)} AUC"
    legend = ax.legend(loc="lower right", fontsize=7.5, title=title, title_fontsize=7.5, handlelength=2.2,
                       ncols=1 if len(named) < 6 else 2, columnspacing=1.0, edgecolor="none")  # fmt: skip
    legend.set_zorder(6)
    if CROWDED < min(curve.area for curve in found.values()) < 1:
        corner = ax.inset_axes((0.33, 0.47, 0.62, 0.45), xlim=(-0.005, 0.2), ylim=(0.8, 1.005))
        _lines(corner, found, named, names)
        corner.tick_params(labelsize=7)
        corner.set_xticks([0, 0.1, 0.2], ["0", "0.1", "0.2"])
        corner.set_yticks([0.8, 0.9, 1], ["0.8", "0.9", "1"])
        ax.indicate_inset_zoom(corner, edgecolor=style.MUTED, linewidth=0.8)


def _lines(ax: Axes, found: dict[int, Curve], named: list[int], names: list[str]) -> None:
    for k, curve in found.items():
        if k not in named:
            ax.plot(curve.false, curve.true, color=style.NEUTRAL, linewidth=1.2, zorder=2)
            continue
        i = named.index(k)
        label = f"{fitted(names[k], 0.9, 0.1, 7)}  {style.score(curve.area)}"
        ax.plot(curve.false, curve.true, color=style.CLASSES[i % HUES], linestyle=DASHES[i // HUES], linewidth=1.6,
                label=label)  # fmt: skip
