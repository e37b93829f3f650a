"""Small data sets: name -> rows and targets in float64, scaled as a user would scale them."""

from functools import cache

import numpy as np
from sklearn.datasets import load_digits, load_iris, load_wine

SETS = {
    "multiclass": ("iris", "wine", "digits"),
    "binary": ("two irises", "two wines"),
    "regression": ("waves",),
    "multilabel": ("signs",),
}


@cache
def load(name: str, n_outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """`X` `(n, n_inputs)`, `y`: labels `(n,)`, or numbers `(n, n_outputs)`, `(n,)` of two classes; read only."""
    if name == "digits":
        X, y = load_digits(return_X_y=True)
        return X[:300] / 16, y[:300]
    if name in ("waves", "signs"):
        rng = np.random.default_rng(7)
        X = rng.uniform(-1, 1, (130, 5))
        y = np.sin(3 * X @ rng.normal(0, 1, (5, n_outputs))) + 0.1 * rng.normal(0, 1, (130, n_outputs))
        return X, y if name == "waves" else (y > 0).astype(float)
    X, y = (load_iris if "iris" in name else load_wine)(return_X_y=True)
    if name.startswith("two"):
        X, y = X[y < 2], y[y < 2]
    return (X - X.mean(axis=0)) / X.std(axis=0), y
