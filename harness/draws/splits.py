"""Which rows are for training, validation and testing."""

import math
from dataclasses import dataclass

import numpy as np

from harness.draws.generators import generator


@dataclass(frozen=True)
class Rows:
    """Which rows of the data set are for training, validation and testing: three `(n,)` int64 arrays."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def draw_split(
    n: int,
    test_fraction: float,
    validation_fraction: float,
    seed: int,
    repeat: int,
    labels: np.ndarray | None = None,
    folds: int | None = None,
    fold: int = 0,
) -> Rows:
    """Test rows are `ceil(test_fraction * n)`, validation rows likewise, the rest is for training.

    With `labels`, `(n,)`, the split is stratified: each class has its share of every part, to one row. With `folds`
    the rows that are not for testing are cut into that many parts of equal length, to one row, and the one with the
    number `fold` is for validation. Rows stand in the order of the dataset.
    """
    order = generator(seed, "split", repeat).permutation(n)
    if labels is None:
        labels = np.zeros(n, np.int64)
    test, rest = _take(order, share(n, test_fraction), labels)
    if folds is None:
        validation, train = _take(rest, share(n, validation_fraction), labels)
    else:
        number = np.empty(len(rest), np.int64)
        number[np.argsort(labels[rest], kind="stable")] = np.arange(len(rest)) % folds
        validation, train = rest[number == fold], rest[number != fold]
    return Rows(train=np.sort(train), validation=np.sort(validation), test=np.sort(test))


def _take(order: np.ndarray, count: int, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`count` of the rows, and the others; from each class alike. The first rows where there is but one class."""
    if len(np.unique(labels)) < 2:
        return order[:count], order[count:]
    by_class = np.argsort(labels[order], kind="stable")
    # rows at equal distances of the list sorted by class: of m in a row, count * m / n are taken, to one
    marks = np.arange(len(order) + 1) * count // max(len(order), 1)
    taken = np.zeros(len(order), bool)
    taken[by_class] = np.diff(marks) > 0
    return order[taken], order[~taken]


def share(n: int, fraction: float) -> int:
    """`ceil(fraction * n)`, after shaving the last bits off the product: 0.1 of 30 rows is 3, not 4."""
    return math.ceil(round(fraction * n, 9))
