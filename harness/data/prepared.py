"""From a named dataset, a file or arrays to the scaled arrays of one repeat."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from harness.draws.splits import Rows
from harness.support.errors import RequestError

Scale = Literal["none", "minmax", "standard"] | float

# natural task -> the tasks that its targets can be trained as
_TASKS = {
    "multiclass": ("multiclass",),
    "binary": ("binary", "multiclass", "regression"),
    "multilabel": ("multilabel", "regression"),
    "regression": ("regression",),
}


@dataclass(frozen=True)
class Dataset:
    """Inputs `X` `(n, n_inputs)` and targets `y` of a task, with the names of classes, labels or targets.

    `y` holds labels `(n,)` int64 from 0 for "multiclass" and "binary", else `(n, len(names))` numbers. `column` says
    that a user's own targets came as a column `(n, 1)`.
    """

    name: str
    X: np.ndarray
    y: np.ndarray
    names: tuple[str, ...]
    task: str = "multiclass"
    column: bool = False

    @property
    def fingerprint(self) -> str:
        """SHA-256 of values and shapes: two datasets with one fingerprint are the same data, whatever their names."""
        kind = np.int64 if self.task in ("multiclass", "binary") else np.float64
        digest = hashlib.sha256()
        for array in (np.ascontiguousarray(self.X, np.float64), np.ascontiguousarray(self.y, kind)):
            digest.update(str(array.shape).encode())
            digest.update(array.reshape(-1).data)  # no copy of it
        return digest.hexdigest()

    def n_outputs(self, task: str) -> int:
        """The outputs of a network that is trained on these targets as `task`."""
        return 1 if self.task == "binary" and task != "multiclass" else len(self.names)

    def targets(self, rows: np.ndarray, task: str) -> np.ndarray:
        """The targets of some rows as a trainer sees them: labels for "multiclass", else `(n, n_outputs)` numbers."""
        y: np.ndarray = self.y[rows]
        if task == "multiclass":
            return y
        numbers: np.ndarray = y.reshape(len(rows), self.n_outputs(task)).astype(np.float64)
        return numbers

    @cached_property
    def largest_share(self) -> float:
        """The accuracy of always giving the most frequent answer."""
        return float(np.unique(self.y, axis=0, return_counts=True)[1].max()) / len(self.y)

    @property
    def labels(self) -> np.ndarray | None:
        """What a stratified split keeps in proportion: the labels, or None where there are no classes."""
        return self.y if self.task in ("multiclass", "binary") else None


@dataclass(frozen=True)
class Part:
    """Scaled inputs, targets, and the numbers of the dataset's rows that they came from."""

    X: np.ndarray
    y: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True)
class Prepared:
    """The three parts that every backend is given in one repeat, scaled, in one dtype."""

    train: Part
    validation: Part
    test: Part

    def parts(self) -> dict[str, Part]:
        """The parts that have rows, by the name that metrics carry."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in named.items() if len(part.y)}


Datasets = Mapping[str, Dataset]
"""The datasets of an experiment, by `Data.key`."""


def task_of(dataset: Dataset, asked: str | None, source: str) -> str:
    """The task that a dataset is trained as: its own, or the one asked for where its targets allow it."""
    task = asked or dataset.task
    allowed = _TASKS[dataset.task] + (("binary",) if dataset.task == "multiclass" and len(dataset.names) == 2 else ())
    if task not in allowed:
        raise RequestError(
            f"{source}: data.task = {task!r}: {dataset.name!r} is {dataset.task}; allowed: {', '.join(allowed)}"
        )
    return task


def prepare(dataset: Dataset, rows: Rows, task: str, scale: Scale, target_scale: Scale, dtype: str) -> Prepared:
    """Scale the rows of one repeat. Offsets and factors are fitted on the training rows alone."""
    offset, factor, _ = fit_scale(dataset.X[rows.train], scale)
    shift, unit = 0.0, 1.0
    if task == "regression":
        shift, unit, _ = fit_scale(dataset.targets(rows.train, task), target_scale)  # type: ignore[assignment]

    def part(numbers: np.ndarray) -> Part:
        X = dataset.X[numbers].astype(np.float64, copy=False)  # a copy of the rows, which is scaled where it lies
        X -= offset
        X /= factor
        X = X.astype(dtype, copy=False)
        y = dataset.targets(numbers, task)
        return Part(X, y if task == "multiclass" else ((y - shift) / unit).astype(dtype), numbers)

    return Prepared(part(rows.train), part(rows.validation), part(rows.test))


def fit_scale(X: np.ndarray, scale: Scale) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Offset and factor of every column, each `(n_inputs,)`, and the numbers of the columns that are constant.

    "minmax" maps each column to 0..1, "standard" to mean 0 and deviation 1, a number divides. A constant column is
    scaled by 1.
    """
    constant = np.flatnonzero(X.max(axis=0) == X.min(axis=0))
    if scale == "minmax":
        offset, factor = X.min(axis=0), X.max(axis=0) - X.min(axis=0)
    elif scale == "standard":
        offset, factor = X.mean(axis=0), X.std(axis=0)
    elif scale == "none":
        return np.zeros(X.shape[1]), np.ones(X.shape[1]), constant
    else:
        return np.zeros(X.shape[1]), np.full(X.shape[1], float(scale)), constant
    factor = factor.copy()
    factor[constant] = 1.0
    return offset, factor, constant
