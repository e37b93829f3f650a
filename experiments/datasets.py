"""The datasets that an experiment can name. Only "mnist" without a folder is downloaded, once.

Generated sets are drawn by `numpy.random.Generator(PCG64(a fixed number))`, or by scikit-learn's own generator from a
fixed number: one call gives the same data for ever. Points are drawn before noise and do not depend on it.

`eight-features.csv`, beside this file, is the example of a user's own table: 240 rows of made-up
numbers. Eight normal numbers z a row were drawn by PCG64(8), z5 going along with z2 (correlation 0.5). The outcome is 1
where 0.5 z1 + z2 + 0.7 z6 + 0.3 (z7² - 1) + 0.5 z8 > 0.5, then one outcome in ten, at random, was turned over; f1 … f8
are the z, each shifted, stretched (f1, f5, f7: after an exponential) and rounded on a scale of its own, f4 not below 0.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np

from experiments.letters import letters
from experiments.mnist import mnist
from harness.support.errors import RequestError, short

Loaded = tuple[np.ndarray, np.ndarray, tuple[str, ...]]
Loader = Callable[..., Loaded]
MOST_ROWS = 1_000_000


@dataclass(frozen=True)
class Source:
    """One named dataset: what `harness list` says of it, its natural task, how to load it, and with which options.

    `load` gives inputs `(n, n_inputs)`, targets, and the names of the classes, the labels or the targets. Targets are
    labels `(n,)` from 0 for "multiclass" and "binary", and `(n, k)` for "multilabel" (0 or 1) and "regression".
    """

    description: str
    task: str
    load: Loader
    options: tuple[str, ...] = ()


def polynomial(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """`x + 2 y + 3 x² + 4 x y + 5 y²`."""
    return x + 2 * y + 3 * x**2 + 4 * x * y + 5 * y**2


def franke(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Two hills, a smaller one and a dip (Franke 1979, NPS-53-79-003): the usual test of fitting a surface."""
    return (
        0.75 * np.exp(-((9 * x - 2) ** 2) / 4 - (9 * y - 2) ** 2 / 4)
        + 0.75 * np.exp(-((9 * x + 1) ** 2) / 49 - (9 * y + 1) / 10)
        + 0.5 * np.exp(-((9 * x - 7) ** 2) / 4 - (9 * y - 3) ** 2 / 4)
        - 0.2 * np.exp(-((9 * x - 4) ** 2) - (9 * y - 7) ** 2)
    )


def runge(x: np.ndarray) -> np.ndarray:
    """`1 / (1 + 25 x²)` (Runge 1901): polynomials of high degree swing at its ends."""
    return 1 / (1 + 25 * x**2)


def _function(name: str, function: Callable[..., np.ndarray], low: float, inputs: int, usual: int, seed: int) -> Loader:
    """Loads a function at points uniform on [low, 1], plus normal noise of the standard deviation `noise`."""

    def load(*, rows: int = usual, noise: float = 0.0) -> Loaded:
        _check(name, rows, noise)
        generator = np.random.Generator(np.random.PCG64(seed))
        X = low + (1 - low) * generator.random((rows, inputs))
        z = function(*X.T) + noise * generator.standard_normal(rows)
        return X, z[:, None], (name,)

    return load


def _gate(name: str, outputs: tuple[int, int, int, int]) -> Source:
    def load() -> Loaded:
        X = np.array([(0, 0), (0, 1), (1, 0), (1, 1)], np.float64)
        return X, np.array(outputs, np.int64), ("0", "1")

    return Source(f"the logical {name.upper()} of two inputs, 4 rows", "binary", load)


def _sklearn(name: str) -> Loader:
    def load() -> Loaded:
        from sklearn import datasets

        bunch = getattr(datasets, f"load_{name}")()
        return bunch.data, bunch.target.astype(np.int64), tuple(str(label) for label in bunch.target_names)

    return load


def _diabetes() -> Loaded:
    from sklearn.datasets import load_diabetes

    X, y = load_diabetes(return_X_y=True, scaled=False)
    return X, y[:, None], ("progression",)


def _moons(*, rows: int = 500, noise: float = 0.1) -> Loaded:
    from sklearn.datasets import make_moons

    _check("moons", rows, noise)
    X, y = make_moons(rows, noise=noise, random_state=0)
    return X, y.astype(np.int64), ("upper", "lower")


def _circles(*, rows: int = 500, noise: float = 0.05) -> Loaded:
    from sklearn.datasets import make_circles

    _check("circles", rows, noise)
    X, y = make_circles(rows, noise=noise, random_state=0)
    return X, y.astype(np.int64), ("outer", "inner")


def _letters(*, rows: int = 3000) -> Loaded:
    _check("letters", rows, least=10)
    return letters(rows)


def _check(name: str, rows: int, noise: float = 0.0, least: int = 2) -> None:
    if isinstance(rows, bool) or not isinstance(rows, Integral) or not least <= rows <= MOST_ROWS:
        raise RequestError(f"dataset {name}: rows = {short(rows)}: must be a whole number from {least} to {MOST_ROWS}")
    if isinstance(noise, bool) or not isinstance(noise, Real) or not 0 <= noise < math.inf:
        raise RequestError(f"dataset {name}: noise = {short(noise)}: must be a number, 0 or more")


DATASETS: dict[str, Source] = {
    "digits": Source(
        "1797 handwritten digits, 8 x 8 pixels from 0 to 16, 10 classes", "multiclass", _sklearn("digits")
    ),
    "iris": Source("150 iris flowers, 4 measurements, 3 classes", "multiclass", _sklearn("iris")),
    "wine": Source("178 wines, 13 measurements, 3 classes", "multiclass", _sklearn("wine")),
    "breast-cancer": Source("569 tumours, 30 measurements, 2 classes", "binary", _sklearn("breast_cancer")),
    "diabetes": Source("442 patients, 10 measurements, progression after a year", "regression", _diabetes),
    "and": _gate("and", (0, 0, 0, 1)),
    "or": _gate("or", (0, 1, 1, 1)),
    "xor": _gate("xor", (0, 1, 1, 0)),
    "polynomial": Source(
        "x + 2y + 3x² + 4xy + 5y² at 400 points of the square [-1, 1]²",
        "regression",
        _function("polynomial", polynomial, low=-1, inputs=2, usual=400, seed=1),
        ("rows", "noise"),
    ),
    "franke": Source(
        "Franke's surface at 400 points of the square [0, 1]²",
        "regression",
        _function("franke", franke, low=0, inputs=2, usual=400, seed=2),
        ("rows", "noise"),
    ),
    "runge": Source(
        "1 / (1 + 25x²) at 200 points of [-1, 1]",
        "regression",
        _function("runge", runge, low=-1, inputs=1, usual=200, seed=3),
        ("rows", "noise"),
    ),
    "moons": Source("two half moons that interlock, 500 dots", "binary", _moons, ("rows", "noise")),
    "circles": Source("a circle inside a circle, 500 dots", "binary", _circles, ("rows", "noise")),
    "letters": Source("the letters L and V on a background, 3000 dots", "binary", _letters, ("rows",)),
    "mnist": Source(
        "70000 handwritten digits, 28 x 28 pixels, from IDX files or a download", "multiclass", mnist, ("folder",)
    ),
}
"""Name -> source."""
