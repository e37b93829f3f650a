"""What the lint finds: the findings themselves, how they are told, and the checks that need nothing but arrays.

Each check yields findings, or none; whatever the arrays hold, it raises nothing.
"""

import inspect
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from harness.data.tables import MOST_CLASSES


class LintWarning(UserWarning):
    """A finding, as `harness.run` and `harness.sweep` warn of it."""


@dataclass(frozen=True)
class Finding:
    """One mistake: a short name that stays the same, and a sentence of what, where, how much, and what to do."""

    name: str
    message: str

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"


def warn(findings: Iterable[Finding]) -> None:
    """Each finding as a `LintWarning` at the line, outside this package, that asked for the training."""
    frame, level = inspect.currentframe(), 1
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] == "harness":
        frame, level = frame.f_back, level + 1
    for finding in findings:
        warnings.warn(str(finding), LintWarning, stacklevel=level)


def rows_apart(y: np.ndarray, other: np.ndarray, has: str) -> Iterator[Finding]:
    """Another number of rows than there are targets; `has` is the beginning of the sentence, such as "X has"."""
    if y.ndim and other.ndim and len(other) != len(y):
        yield Finding("target-shape", f"{has} {len(other)} rows and y has {len(y)}: hand over one target a row")


def shapes(y: np.ndarray, outputs: np.ndarray | None, task: str | None, called: str) -> Iterator[Finding]:
    """Columns beside vectors, which broadcasting turns into matrices, whichever loss they are for.

    `outputs` are `called` so.
    """
    if not y.ndim:
        return
    n = len(y)
    if outputs is not None and n > 1 and {y.shape, outputs.shape} == {(n,), (n, 1)}:
        yield Finding(
            "target-shape",
            f"y has the shape {y.shape} and the {called} have {outputs.shape}: their difference is broadcast to "
            f"{(n, n)}, every row against every other, unless the loss aligns them, as those of Keras do (say which it "
            f"is: loss = …); hand over y.reshape({outputs.shape})",
        )
    elif called == "outputs":  # of several classes: a loss of labels takes a column, or refuses it
        return
    elif y.shape == (n, 1) and are_labels(y, task) and (outputs is None or outputs.shape != y.shape):
        yield from column_of_labels(n, "y")


def column_of_labels(n: int, where: str) -> Iterator[Finding]:
    """Labels `(n, 1)`. One row is broadcast to nothing else."""
    if n > 1:
        yield Finding(
            "target-shape",
            f"the labels of {where} are a column {(n, 1)}, where a vector {(n,)} is wanted: its difference from "
            f"predictions {(n,)} would be broadcast to {(n, n)}; hand over y.ravel()",
        )


def are_labels(y: np.ndarray, task: str | None) -> bool:
    """Whether targets stand for classes: as the task says, or else texts, booleans and few whole numbers."""
    if task is not None:
        return task in ("binary", "multiclass")
    if y.dtype.kind == "O":
        return all(isinstance(value, str) for value in y.flat)
    return y.dtype.kind in "bU" or (y.dtype.kind in "iu" and len(np.unique(y)) <= MOST_CLASSES)


SPREAD = 0.5
"""How far apart outputs between 0 and 1 lie at least, to be taken for sigmoids by their numbers alone.

Measured, 300 starts each of networks with 16 hidden units on the breast-cancer rows: up to 44 % of those without a
sigmoid answer between 0 and 1 in every row, at most 7 % so far apart.
"""


def look_like_sigmoids(outputs: np.ndarray) -> bool:
    """Whether numbers lie from 0 to 1, far enough apart, and are no plain answers 0 and 1."""
    if not ((outputs >= 0) & (outputs <= 1)).all() or ((outputs == 0) | (outputs == 1)).all():
        return False
    return float(outputs.max()) - float(outputs.min()) >= SPREAD


def are_probabilities(outputs: np.ndarray) -> bool:
    """Whether no number of `(n, k)` is negative, and each row sums to 1."""
    p = outputs.astype(np.float64)
    return bool(len(p) and (p >= 0).all() and (np.abs(p.sum(axis=1) - 1) < 1e-3).all())  # float16 rounds as coarsely


def double_softmax(logits: np.ndarray, task: str | None = None, sure: bool = False) -> Iterator[Finding]:
    """Logits that are probabilities: none of `(n, k)` negative, and each row sums to 1; `(n,)` or `(n, 1)` in 0 to 1.

    One output is looked at only where the task is binary: the predictions of a regression may well lie there. `sure`:
    it is known to be out of a sigmoid.
    """
    if task == "regression" or logits.dtype.kind not in "iuf":
        return
    if task == "binary" and len(logits) > 1 and logits.shape in ((logits.size,), (logits.size, 1)):
        if sure or look_like_sigmoids(logits):
            yield Finding(
                "double-softmax",
                f"the logits look like probabilities (all {logits.size} lie from 0 to 1), so that a loss of logits "
                "applies the sigmoid twice; hand over what stands before the sigmoid, or to a loss of probabilities "
                "as outputs = …, loss = …",
            )
    elif logits.ndim == 2 and logits.shape[1] > 1 and are_probabilities(logits):
        yield Finding(
            "double-softmax",
            f"the logits are probabilities already (none of the {logits.size} is negative, and each of the "
            f"{len(logits)} rows sums to 1), so that a loss of logits applies softmax twice; hand over what stands "
            "before the softmax, or to a loss of probabilities as outputs = …, loss = …",
        )


def two_values(y: np.ndarray) -> bool:
    """Whether targets `(n,)` or `(n, 1)` hold two values, as those of two classes do."""
    if y.shape not in ((y.size,), (y.size, 1)) or (y.dtype.kind not in "biufU" and not are_labels(y, None)):
        return False
    return len(np.unique(y)) == 2


def is_one_hot(y: np.ndarray) -> bool:
    """Whether each row of `(n, k)` holds a single 1, and else 0."""
    return y.dtype.kind in "biuf" and bool(((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all())


def one_hot(y: np.ndarray, task: str | None, where: str) -> Iterator[Finding]:
    """Targets `(n, k)` of which each row names one class, unless the task says that this is meant."""
    if task in ("multilabel", "regression") or y.ndim != 2 or min(y.shape) < 2 or y.dtype.kind not in "biuf":
        return
    if is_one_hot(y):
        yield Finding(
            "one-hot",
            f"each of the {len(y)} rows of {where} holds a single 1 in {y.shape[1]} columns, which stand for as many "
            "labels, each with a sigmoid; for classes with one softmax hand over integer labels, y.argmax(axis=1), and "
            'if labels are meant, say task = "multilabel"',
        )


def labels_outside(y: np.ndarray, task: str | None, classes: int | None, where: str) -> Iterator[Finding]:
    """Labels beyond 0 to `classes - 1`; where their number is not known, negative ones, and gaps."""
    labels = _whole(y)
    if labels is None or task in ("multilabel", "regression") or not (classes or are_labels(y, task)):
        return
    distinct, counts = np.unique(labels, return_counts=True)
    if classes is not None:
        outside = (distinct < 0) | (distinct >= classes)
        if outside.any():
            yield Finding(
                "labels-outside",
                f"{where} holds {few(distinct[outside])} in {counts[outside].sum()} of {len(labels)} rows, but the "
                f"{classes} classes are numbered from 0 to {classes - 1}; number the labels so, as in "
                "numpy.unique(y, return_inverse=True)[1], or give the network more outputs",
            )
    elif len(distinct) > 2:  # two labels, such as -1 and 1, are two classes whatever they are called
        negative = distinct < 0
        if negative.any():
            yield Finding(
                "labels-outside",
                f"{where} holds {few(distinct[negative])} in {counts[negative].sum()} of {len(labels)} rows, and each "
                "becomes a class of its own; drop these rows if it stands for a missing label",
            )
        gap = next(((a, b) for a, b in pairwise(distinct.tolist()) if b > a + 1), None)
        if gap:
            yield Finding(
                "labels-outside",
                f"the labels of {where} skip from {gap[0]} to {gap[1]}: they become {len(distinct)} classes, numbered "
                f"from 0 to {len(distinct) - 1}; look whether rows are missing, and if they are quantities, say "
                'task = "regression"',
            )


def labels_from_one(y: np.ndarray, task: str | None, where: str) -> Iterator[Finding]:
    """Labels 1 to K, three at least: a network of one's own with K outputs has no class K."""
    labels = _whole(y)
    if labels is None or task in ("multilabel", "regression") or not are_labels(y, task):
        return
    distinct = np.unique(labels)
    k = len(distinct)
    if k > 2 and np.array_equal(distinct, np.arange(1, k + 1)):
        yield Finding(
            "labels-outside",
            f"the labels of {where} go from 1 to {k}, and none is 0: a network with {k} outputs numbers its classes "
            f"from 0 to {k - 1}; hand over y - 1",
        )


def _whole(y: np.ndarray) -> np.ndarray | None:
    """Targets `(n,)` or `(n, 1)` as whole numbers `(n,)`, or None where they are none."""
    if not y.size or y.shape not in ((y.size,), (y.size, 1)) or y.dtype.kind not in "iuf":
        return None
    y = y.ravel()
    if y.dtype.kind in "iu":
        return y
    y = y.astype(np.float64)
    return y.astype(np.int64) if ((np.mod(y, 1) == 0) & (np.abs(y) < 2**53)).all() else None


def few(values: np.ndarray, most: int = 5) -> str:
    """Some values in a sentence: all of them, or the first and how many more."""
    rest = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(map(str, values[:most].tolist())) + rest
