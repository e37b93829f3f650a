"""The activation functions as formulas, for figures and for what a regression's output layer answers.

A derivative at a kink is the one from the left, as in every trainer of the harness.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772  # Klambauer et al., 2017


@dataclass(frozen=True)
class Activation:
    """`value` and `derivative` of z, elementwise, and the formula in words.

    The second argument of both, and what `{}` in `formula` stands for, is the slope of `leaky_relu` or the alpha of
    `elu`; `usual` is its default. The others ignore it.
    """

    formula: str
    value: Callable[[np.ndarray, float], np.ndarray]
    derivative: Callable[[np.ndarray, float], np.ndarray]
    usual: float = 1.0


def _elu(z: np.ndarray, alpha: float) -> np.ndarray:
    return np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))


def _elu_derivative(z: np.ndarray, alpha: float) -> np.ndarray:
    return np.where(z > 0, 1.0, alpha * np.exp(np.minimum(z, 0)))


ACTIVATIONS = {
    "identity": Activation("z", lambda z, _: np.asarray(z, float), lambda z, _: np.ones_like(z)),
    "sigmoid": Activation("1 / (1 + exp(−z))", lambda z, _: expit(z), lambda z, _: expit(z) * expit(-z)),
    "tanh": Activation("tanh(z)", lambda z, _: np.tanh(z), lambda z, _: 1 - np.tanh(z) ** 2),
    "relu": Activation("max(0, z)", lambda z, _: np.maximum(z, 0), lambda z, _: np.where(z > 0, 1.0, 0.0)),
    "leaky_relu": Activation(
        "z if z > 0, else {} z",
        lambda z, slope: np.where(z > 0, z, slope * z),
        lambda z, slope: np.where(z > 0, 1.0, slope),
        usual=0.01,
    ),
    "elu": Activation("z if z > 0, else {} (exp(z) − 1)", _elu, _elu_derivative),
    "selu": Activation(
        "1.051 z if z > 0, else 1.758 (exp(z) − 1)",
        lambda z, _: SELU_SCALE * _elu(z, SELU_ALPHA),
        lambda z, _: SELU_SCALE * _elu_derivative(z, SELU_ALPHA),
    ),
    "softplus": Activation("log(1 + exp(z))", lambda z, _: np.logaddexp(0, z), lambda z, _: expit(z)),
}
"""Name -> formula, in the order in which figures show them."""
