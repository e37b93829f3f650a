"""From a named dataset, a file or arrays to the scaled arrays of one repeat."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness.draws import Rows
from harness.errors import RequestError
from harness.limits import check_size, size

if TYPE_CHECKING:
    from harness.experiment import Experiment
    from harness.sections import Data

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


def load_datasets(experiment: "Experiment", given: Dataset | None = None) -> dict[str, Dataset]:
    """Every dataset that the experiment names, read once. `given` is the one that came as arrays."""
    datasets = {}
    for data in {data.key: data for data in (experiment.at(cell).data for cell in _dataset_cells(experiment))}.values():
        dataset = given if given is not None else _load(data, experiment.source)
        datasets[data.key] = _with_degree(dataset, data.degree, experiment.source)
    return datasets


def _dataset_cells(experiment: "Experiment") -> list[dict[str, Any]]:
    """The first cell, and one for each dataset that an axis or a case names."""
    first = {axis: values[0] for axis, values in experiment.sweep.items()}
    others = [{**first, axis: value} for axis in ("dataset", "case") for value in experiment.sweep.get(axis, ())]
    return [first, *others]


def _load(data: "Data", source: str) -> Dataset:
    from experiments.datasets import DATASETS

    if data.path is not None:
        return _load_file(data, source)
    if data.name is None or data.name not in DATASETS:
        told = "its arrays come from Python: harness.sweep(X, y, …); name a dataset (see: harness list), or a path"
        raise RequestError(f"{source}: data.name = {data.name!r}: {told}")
    origin = DATASETS[data.name]
    options = {key: getattr(data, key) for key in ("rows", "noise", "folder") if getattr(data, key) is not None}
    for key, value in options.items():
        if key not in origin.options:
            takers = ", ".join(name for name, other in DATASETS.items() if key in other.options)
            raise RequestError(
                f"{source}: data.{key} = {value!r}: {data.name!r} has no such option; taken by: {takers}"
            )
    X, y, names = origin.load(**options)
    return Dataset(data.name, np.asarray(X, np.float64), np.asarray(y), names, origin.task)


def _load_file(data: "Data", source: str) -> Dataset:
    from harness.tables import load_table

    assert data.path is not None
    for key in ("name", "rows", "noise", "folder"):
        if getattr(data, key) is not None:
            raise RequestError(f"{source}: data.{key} = {getattr(data, key)!r}: stands beside path; leave it out")
    if data.target is None:
        raise RequestError(f"{source}: data.target is required beside path: the name of the target's column")
    path = Path(data.path)
    X, y, names, task, _, column = load_table(path, data.target, data.task)
    return Dataset(path.stem, X, y, names, task, column)


def _with_degree(dataset: Dataset, degree: int, source: str) -> Dataset:
    """The polynomial design matrix of the inputs, without the constant, which the biases are."""
    if degree == 1:
        return dataset
    from sklearn.preprocessing import PolynomialFeatures

    columns = math.comb(dataset.X.shape[1] + degree, degree) - 1
    inputs, rows = f"the {dataset.X.shape[1]} inputs of {dataset.name!r}", len(dataset.X)
    check_size("HARNESS_MAX_COLUMNS", columns, f"{source}: data.degree = {degree}: makes {columns} columns of {inputs}")
    told = f"{source}: data.degree = {degree}: {columns} columns of {rows} rows take {size(8 * columns * rows)}"
    check_size("HARNESS_MAX_MEMORY", 8 * columns * rows, told)
    return replace(dataset, X=PolynomialFeatures(degree, include_bias=False).fit_transform(dataset.X))


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
