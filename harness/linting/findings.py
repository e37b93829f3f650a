"""What the lint finds: the findings themselves, how they are told, and the checks that need nothing but arrays.

Each check yields findings, or none; whatever the arrays hold, it raises nothing.
"""

import inspect
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from harness.tables import MOST_CLASSES


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


def shapes(X: np.ndarray, y: np.ndarray, logits: np.ndarray | None, task: str | None) -> Iterator[Finding]:
    """Rows that do not match, and columns beside vectors, which broadcasting turns into matrices."""
    if not y.ndim:
        return
    n = len(y)
    for name, other in (("X has", X), ("the logits have", logits)):
        if other is not None and other.ndim and len(other) != n:
            yield Finding("target-shape", f"{name} {len(other)} rows and y has {n}: hand over one target a row")
    if logits is not None and n > 1 and {y.shape, logits.shape} == {(n,), (n, 1)}:
        yield Finding(
            "target-shape",
            f"y has the shape {y.shape} and the logits have {logits.shape}: their difference is broadcast to {(n, n)}, "
            f"every row against every other; hand over y.reshape({logits.shape})",
        )
    elif y.shape == (n, 1) and are_labels(y, task) and (logits is None or logits.shape != y.shape):
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


def double_softmax(logits: np.ndarray, task: str | None = None) -> Iterator[Finding]:
    """Logits that are probabilities: none of `(n, k)` negative, and each row sums to 1; `(n,)` or `(n, 1)` in 0 to 1.

    One output is looked at only where the task is binary: the predictions of a regression may well lie there.
    """
    if task == "regression" or logits.dtype.kind not in "iuf":
        return
    if task == "binary" and len(logits) > 1 and logits.shape in ((logits.size,), (logits.size, 1)):
        if ((logits >= 0) & (logits <= 1)).all() and not ((logits == 0) | (logits == 1)).all():
            yield Finding(
                "double-softmax",
                f"the logits look like probabilities (all {logits.size} lie from 0 to 1), so that the sigmoid is "
                "applied twice; hand over what stands before the sigmoid",
            )
        return
    if logits.ndim != 2 or logits.shape[1] < 2:
        return
    p = logits.astype(np.float64)
    if len(p) and (p >= 0).all() and (np.abs(p.sum(axis=1) - 1) < 1e-3).all():  # 1e-3: float16 rounds as coarsely
        yield Finding(
            "double-softmax",
            f"the logits are probabilities already (none of the {p.size} is negative, and each of the {len(p)} rows "
            "sums to 1), so that softmax is applied twice; hand over what stands before the softmax",
        )


def two_values(y: np.ndarray) -> bool:
    """Whether targets `(n,)` or `(n, 1)` hold two values, as those of two classes do."""
    if y.shape not in ((y.size,), (y.size, 1)) or (y.dtype.kind not in "biufU" and not are_labels(y, None)):
        return False
    return len(np.unique(y)) == 2


def one_hot(y: np.ndarray, task: str | None, where: str) -> Iterator[Finding]:
    """Targets `(n, k)` of which each row names one class, unless the task says that this is meant."""
    if task in ("multilabel", "regression") or y.ndim != 2 or min(y.shape) < 2 or y.dtype.kind not in "biuf":
        return
    if ((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all():
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
