"""Starts of native fits, from each framework's own generator: what `init` and `bias` are measured by."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from scipy.stats import truncnorm

from harness.conventions.table import Row
from tests.declared import SEED, Case, Fit, distance

# a law of the table -> the law of its unit draws, and their scale from n_in and n_out; the formulas of the table
LAWS: dict[str, tuple[str, Callable[[int, int], float]]] = {
    "glorot_uniform": ("uniform", lambda n_in, n_out: np.sqrt(6 / (n_in + n_out))),
    "sklearn_uniform": ("uniform", lambda n_in, n_out: np.sqrt(2 / (n_in + n_out))),
    "torch_uniform": ("uniform", lambda n_in, n_out: 1 / np.sqrt(n_in)),
    "normal(1)": ("normal", lambda n_in, n_out: 1.0),
    "truncated_normal(0.1)": ("truncated", lambda n_in, n_out: 0.1),
}


def start_case(watched: Fit) -> Case:
    """The start, tensor by tensor, from the framework's own generator under the same seed."""
    recording, layers = watched.recording, watched.config.network.units

    def off(row: Row) -> float:
        draw, (kind, scale) = UNIT_DRAWS[watched.backend](recording.dtype), LAWS[row.init]
        start = []
        for n_in, n_out in pairwise(layers):
            W = scale(n_in, n_out) * draw(kind, (n_in, n_out))
            if row.bias == "as_weights":
                b = scale(n_in, n_out) * draw(kind, (n_out,))
            else:
                b = np.full(n_out, row.bias) if isinstance(row.bias, float) else 0.01 * draw("normal", (n_out,))
            start.append({"W": W, "b": b})
        return distance(tuple(start), recording.weights_at(0))

    return Case(watched.row, off, 1e-7)  # Keras rounds the bound to float32 in a float64 network too


Draw = Callable[[str, tuple[int, ...]], np.ndarray]


def numpy_draws(rng: np.random.Generator | np.random.RandomState) -> Draw:
    kinds = {
        "uniform": lambda shape: rng.uniform(-1, 1, shape),
        "normal": lambda shape: rng.standard_normal(shape),
        "truncated": lambda shape: truncnorm.rvs(-2, 2, size=shape, random_state=rng),
    }
    return lambda kind, shape: kinds[kind](shape)


def torch_draws(dtype: str) -> Draw:
    import torch

    torch.manual_seed(SEED)
    kinds = {"uniform": lambda w: w.uniform_(-1, 1), "normal": lambda w: w.normal_()}
    kinds["truncated"] = lambda w: torch.nn.init.trunc_normal_(w)
    return lambda kind, shape: kinds[kind](torch.empty(shape[::-1], dtype=getattr(torch, dtype))).numpy().T


def tensorflow_draws(dtype: str) -> Draw:
    import tensorflow as tf

    tf.random.set_seed(SEED)
    kinds = {"uniform": lambda *shape, **d: tf.random.uniform(*shape, -1, 1, **d), "normal": tf.random.normal}
    kinds["truncated"] = tf.random.truncated_normal
    return lambda kind, shape: kinds[kind](shape, dtype=dtype).numpy()


def keras_draws(dtype: str) -> Draw:
    import keras

    keras.utils.set_random_seed(SEED)
    of = keras.initializers
    kinds = {
        "uniform": lambda: of.RandomUniform(-1, 1),
        "normal": lambda: of.RandomNormal(stddev=1.0),
        "truncated": lambda: of.TruncatedNormal(stddev=1.0),
    }
    return lambda kind, shape: np.array(kinds[kind]()(shape, dtype))


UNIT_DRAWS: dict[str, Callable[[str], Draw]] = {
    "numpy": lambda dtype: numpy_draws(np.random.default_rng(SEED)),
    "sklearn": lambda dtype: numpy_draws(np.random.RandomState(SEED)),
    "tensorflow": tensorflow_draws,
    "keras": keras_draws,
    "torch": torch_draws,
}
"""How each framework draws from U(-1, 1), N(0, 1), and N(0, 1) cut at 2, one tensor after the other."""
