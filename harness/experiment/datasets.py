"""The data that an experiment names: a dataset of ours, a file, or arrays that were given."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.prepared import Dataset
from harness.data.tables import load_table
from harness.experiment.file import Experiment
from harness.experiment.sections import Data
from harness.support.errors import RequestError
from harness.support.limits import check_size, size


def load_datasets(experiment: Experiment, given: Dataset | None = None) -> dict[str, Dataset]:
    """Every dataset that the experiment names, read once. `given` is the one that came as arrays."""
    datasets = {}
    for data in {data.key: data for data in (experiment.at(cell).data for cell in _dataset_cells(experiment))}.values():
        dataset = given if given is not None else _load(data, experiment.source)
        datasets[data.key] = _with_degree(dataset, data.degree, experiment.source)
    return datasets


def _dataset_cells(experiment: Experiment) -> list[dict[str, Any]]:
    """The first cell, and one for each dataset that an axis or a case names."""
    first = {axis: values[0] for axis, values in experiment.sweep.items()}
    others = [{**first, axis: value} for axis in ("dataset", "case") for value in experiment.sweep.get(axis, ())]
    return [first, *others]


def _load(data: Data, source: str) -> Dataset:
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


def _load_file(data: Data, source: str) -> Dataset:
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
