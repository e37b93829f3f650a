"""Activations and their derivatives: one pair for each class of `harness/network/activations.py`.

A constant may be an array of one number a member, in a shape that meets those of the activations.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.network.activations import (
    ELU,
    SELU,
    SELU_ALPHA,
    SELU_SCALE,
    Activation,
    Heaviside,
    Identity,
    LeakyReLU,
    ReLU,
    Sigmoid,
    Softmax,
    Softplus,
    Tanh,
)


def sigmoid(z: np.ndarray) -> np.ndarray:
    """`1 / (1 + exp(-z))`, written so that neither tail overflows."""
    small = np.exp(-np.abs(z))
    a: np.ndarray = np.where(z >= 0, 1, small) / (1 + small)
    return a


def softplus(z: np.ndarray) -> np.ndarray:
    """`log(1 + exp(z))`, written so that it does not overflow."""
    a: np.ndarray = np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))
    return a


def softmax(z: np.ndarray) -> np.ndarray:
    """`exp(z) / sum(exp(z))` of each row, shifted by the row's maximum, which changes nothing but the range."""
    e: np.ndarray = np.exp(z - z.max(axis=-1, keepdims=True))
    e /= e.sum(axis=-1, keepdims=True)
    return e


def _elu(z: np.ndarray, alpha: Any) -> np.ndarray:
    a: np.ndarray = np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))
    return a


@dataclass(frozen=True)
class Function:
    """`value(it, z)`, and the derivative by z written with the value a: `slope(it, a)`; at a kink the left one."""

    value: Callable[[Any, np.ndarray], np.ndarray]
    slope: Callable[[Any, np.ndarray], np.ndarray]


FUNCTIONS: dict[type[Activation], Function] = {
    Identity: Function(lambda it, z: z, lambda it, a: np.ones_like(a)),
    Sigmoid: Function(lambda it, z: sigmoid(z), lambda it, a: a * (1 - a)),
    Tanh: Function(lambda it, z: np.tanh(z), lambda it, a: 1 - a * a),
    ReLU: Function(lambda it, z: np.maximum(z, 0), lambda it, a: (a > 0).astype(a.dtype)),
    LeakyReLU: Function(
        lambda it, z: np.where(z > 0, z, it.slope * z), lambda it, a: np.where(a > 0, 1, it.slope).astype(a.dtype)
    ),
    ELU: Function(lambda it, z: _elu(z, it.alpha), lambda it, a: np.where(a > 0, 1, a + it.alpha).astype(a.dtype)),
    SELU: Function(
        lambda it, z: SELU_SCALE * _elu(z, SELU_ALPHA),
        lambda it, a: np.where(a > 0, SELU_SCALE, a + SELU_SCALE * SELU_ALPHA).astype(a.dtype),
    ),
    Softplus: Function(lambda it, z: softplus(z), lambda it, a: -np.expm1(-a)),
    Heaviside: Function(lambda it, z: (z > 0).astype(z.dtype), lambda it, a: np.zeros_like(a)),
    # whose derivative nobody asks for: the loss cancels it, see `harness/reference/losses.py`
    Softmax: Function(lambda it, z: softmax(z), lambda it, a: np.full_like(a, np.nan)),
}


def activate(it: Activation, z: np.ndarray) -> np.ndarray:
    """The value of an activation, of the shape of `z`."""
    return FUNCTIONS[type(it)].value(it, z)


def derivative(it: Activation, a: np.ndarray) -> np.ndarray:
    """The derivative of an activation by its argument, where its value is `a`."""
    return FUNCTIONS[type(it)].slope(it, a)
