"""From a named dataset to the scaled arrays of one repeat."""

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.draws import draw_split

Scale = Literal["none", "minmax", "standard"] | float


@dataclass(frozen=True)
class Dataset:
    """Inputs `X` `(n, n_inputs)`, labels `y` `(n,)` int64 from 0, and the classes' names."""

    name: str
    X: np.ndarray
    y: np.ndarray
    classes: tuple[str, ...]

    @property
    def n_classes(self) -> int:
        """How many classes there are: the network's outputs."""
        return len(self.classes)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of values and shapes: two datasets with one fingerprint are the same data, whatever their names."""
        digest = hashlib.sha256()
        for array in (np.ascontiguousarray(self.X, np.float64), np.ascontiguousarray(self.y, np.int64)):
            digest.update(str(array.shape).encode())
            digest.update(array.tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Part:
    """Scaled inputs, labels, and the numbers of the dataset's rows that they came from."""

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


def load_dataset(name: str) -> Dataset:
    """The dataset of that name. The caller has checked that there is one."""
    from experiments.datasets import DATASETS

    X, y, classes = DATASETS[name].load()
    return Dataset(name, np.asarray(X, np.float64), np.asarray(y, np.int64), classes)


def prepare(
    dataset: Dataset,
    *,
    test_fraction: float,
    validation_fraction: float,
    scale: Scale,
    dtype: str,
    seed: int,
    repeat: int,
) -> Prepared:
    """Split and scale one repeat. Offsets and factors are fitted on the training rows alone."""
    rows = draw_split(len(dataset.y), test_fraction, validation_fraction, seed, repeat)
    offset, factor, _ = fit_scale(dataset.X[rows.train], scale)

    def part(numbers: np.ndarray) -> Part:
        return Part(((dataset.X[numbers] - offset) / factor).astype(dtype), dataset.y[numbers], numbers)

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
