"""The datasets that an experiment can name. Nothing is downloaded: all of them come with scikit-learn."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Source:
    """One named dataset: what `harness list` says of it, and how to load it."""

    description: str
    load: Callable[[], tuple[np.ndarray, np.ndarray, tuple[str, ...]]]


def _sklearn(name: str) -> Callable[[], tuple[np.ndarray, np.ndarray, tuple[str, ...]]]:
    def load() -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        from sklearn import datasets

        bunch = getattr(datasets, f"load_{name}")()
        return bunch.data, bunch.target, tuple(str(label) for label in bunch.target_names)

    return load


DATASETS: dict[str, Source] = {
    "digits": Source("1797 handwritten digits, 8 x 8 pixels from 0 to 16, 10 classes", _sklearn("digits")),
    "iris": Source("150 iris flowers, 4 measurements, 3 classes", _sklearn("iris")),
    "wine": Source("178 wines, 13 measurements, 3 classes", _sklearn("wine")),
}
"""Name -> source. A loader returns inputs `(n, n_inputs)`, integer labels `(n,)` from 0, and the classes' names."""
