"""Laws that no replay shows, of the start and of the batches: is a named one as likely as the true one?"""

import re
from math import ceil, log, pi, sqrt
from typing import Any

import numpy as np
from scipy.stats import truncnorm

from tests.foreign.replay import Recorded

MARGIN = 4.0
"""By so much a named law's log-likelihood may lie below the true one's: about what chance alone does."""


def start_fits(name: Any, true: Any, tensors: list[np.ndarray], sizes: list[tuple[int, int]], weights: Any) -> bool:
    """Whether a law explains the numbers of a start as well as the true one does.

    `sizes` are (n_in, n_out) of each tensor's layer; `weights` is the law of the weights, for biases `as_weights`.
    """
    if name == true:
        return True
    named = sum(log_likelihood(name, tensor, *size, weights) for tensor, size in zip(tensors, sizes, strict=True))
    at_best = sum(log_likelihood(true, tensor, *size, weights) for tensor, size in zip(tensors, sizes, strict=True))
    return bool(named >= at_best - MARGIN)


def log_likelihood(law: Any, values: np.ndarray, n_in: int, n_out: int, weights: Any = None) -> float:
    """Of all numbers of a tensor; minus infinity for a law that cannot have drawn them, or that is unknown."""
    values = np.asarray(values, np.float64).ravel()
    if isinstance(law, int | float):
        return 0.0 if np.allclose(values, law, rtol=1e-6, atol=0) else -np.inf
    if law == "as_weights":
        law = weights
    parts = re.fullmatch(r"(\w+)(?:\((.+)\))?", str(law))
    if parts is None:
        return -np.inf
    kind, size = parts.groups()
    if kind == "zeros":
        return 0.0 if not values.any() else -np.inf
    if kind == "normal" or (kind.endswith("_normal") and kind != "truncated_normal"):
        return normal(values, float(size) if size else deviation(kind, n_in, n_out))
    if kind == "truncated_normal":
        return float(truncnorm(-2, 2, scale=float(size) * (1 + 1e-6)).logpdf(values).sum())
    bound = float(size) if size else limit(kind, n_in, n_out)
    if not bound or np.abs(values).max() > bound * (1 + 1e-6):
        return -np.inf
    return -len(values) * log(2 * bound)


def normal(values: np.ndarray, s: float) -> float:
    if not s:
        return -np.inf
    return float(-0.5 * ((values / s) ** 2).sum() - len(values) * log(s * sqrt(2 * pi)))


def deviation(kind: str, n_in: int, n_out: int) -> float:
    return sqrt({"glorot_normal": 2 / (n_in + n_out), "he_normal": 2 / n_in, "lecun_normal": 1 / n_in}.get(kind, 0))


def limit(kind: str, n_in: int, n_out: int) -> float:
    return sqrt(
        {
            "glorot_uniform": 6 / (n_in + n_out),
            "sklearn_uniform": 2 / (n_in + n_out),
            "torch_uniform": 1 / n_in,
            "he_uniform": 6 / n_in,
            "lecun_uniform": 3 / n_in,
        }.get(kind, 0)
    )


SPECIFIC = ("in_order", "one_permutation", "permutation", "independent", "replacement")
"""From the law that allows least to the one that allows most."""


def order_fits(name: Any, true: str, recorded: Recorded) -> bool:
    """Whether a law of the batches allows what was recorded, and no more than the true one does."""
    if name == true:
        return True
    if name not in SPECIFIC or not allows(name, recorded):
        return False
    sets = [frozenset(rows.tolist()) for rows in recorded.rows]
    if len(set(sets)) == 1 and all(len(rows) == len(recorded.X) for rows in recorded.rows):
        return name != "replacement"  # every step sees every row
    if true not in SPECIFIC:
        return False
    return SPECIFIC.index(name) <= SPECIFIC.index(true)


def allows(name: str, recorded: Recorded) -> bool:
    orders = [np.concatenate(batches) for batches in epochs_of(recorded)]
    if name == "independent":
        return all(len(set(rows)) == len(rows) for rows in map(np.ndarray.tolist, recorded.rows))
    if name == "replacement":
        return True
    distinct = all(len(np.unique(order)) == len(order) for order in orders)
    same = all(np.array_equal(order, orders[0]) for order in orders)
    in_order = all(np.array_equal(order, np.arange(len(order))) for order in orders)
    return bool({"permutation": distinct, "one_permutation": distinct and same, "in_order": in_order}[name])


def epochs_of(recorded: Recorded) -> list[list[np.ndarray]]:
    epochs: list[list[np.ndarray]] = [[] for _ in range(int(recorded.epoch[-1]) + 1)]
    for epoch, rows in zip(recorded.epoch, recorded.rows, strict=True):
        epochs[int(epoch)].append(rows)
    return epochs


def last_batch_fits(name: Any, true: str, recorded: Recorded) -> bool:
    """Whether batches of the recorded lengths come about under a name."""
    if name == true:
        return True
    lengths = [len(rows) for rows in epochs_of(recorded)[0]]
    n, size = len(recorded.X), lengths[0]
    expected = {
        "keep": [min(size, n - size * k) for k in range(ceil(n / size))],
        "drop": [size] * (n // size),
        "merge": [size] * (n // size - 1) + [size + n % size],
    }
    return lengths == expected.get(str(name))
