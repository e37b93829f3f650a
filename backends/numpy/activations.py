"""Activations for the NumPy backend, each with its way back, in place on arrays `(members, units, rows)`."""

from collections.abc import Callable
from typing import Any

import numpy as np

from harness import network

# An activation and what it does to the error on the way back, both in place. The way back may spend `a`.
Forward = Callable[[np.ndarray], object]
Back = Callable[[np.ndarray, np.ndarray], object]


def sigmoid(z: np.ndarray) -> None:
    """`1 / (1 + exp(-z))` in place. Where `exp` overflows the quotient is 0, as it should be."""
    np.negative(z, out=z)
    np.exp(z, out=z)
    z += 1
    np.divide(1, z, out=z)  # twice as fast as np.reciprocal


def sigmoid_back(delta: np.ndarray, a: np.ndarray) -> None:
    """`delta * a * (1 - a)` in place; `a` is spent."""
    delta *= a
    np.subtract(1, a, out=a)
    delta *= a


def tanh_back(delta: np.ndarray, a: np.ndarray) -> None:
    """`delta * (1 - a**2)` in place; `a` is spent."""
    a *= a
    np.subtract(1, a, out=a)
    delta *= a


def leaky_relu(slope: float) -> tuple[Forward, Back]:
    """`z` where it is positive, else `slope * z`."""
    larger = np.maximum if slope <= 1 else np.minimum

    def forward(z: np.ndarray) -> None:
        larger(z, slope * z, out=z)

    def back(delta: np.ndarray, a: np.ndarray) -> None:
        positive = (a > 0).astype(a.dtype)  # a factor, as an operation under a mask is ten times slower
        np.subtract(1, positive, out=a)
        a *= slope
        a += positive
        delta *= a

    return forward, back


def elu(alpha: float, scale: float = 1.0) -> tuple[Forward, Back]:
    """`scale * z` where it is positive, else `scale * alpha * (exp(z) - 1)`."""

    def forward(z: np.ndarray) -> None:
        below = np.minimum(z, 0)
        np.expm1(below, out=below)
        below *= alpha
        np.maximum(z, 0, out=z)
        z += below
        z *= scale

    def back(delta: np.ndarray, a: np.ndarray) -> None:
        positive = (a > 0).astype(a.dtype)
        np.minimum(a, 0, out=a)
        a += scale * alpha
        a *= 1 - positive
        positive *= scale
        a += positive
        delta *= a

    return forward, back


def softplus(z: np.ndarray) -> None:
    """`max(z, 0) + log1p(exp(-abs(z)))` in place, which is `log(1 + exp(z))` without overflow."""
    tail = np.abs(z)
    np.negative(tail, out=tail)
    np.exp(tail, out=tail)
    np.log1p(tail, out=tail)
    np.maximum(z, 0, out=z)
    z += tail


def softmax(z: np.ndarray) -> None:
    """Softmax over the units in place, shifted by their maximum so that `exp` cannot overflow."""
    z -= np.maximum.reduce(z, axis=1, keepdims=True)
    np.exp(z, out=z)
    z /= np.add.reduce(z, axis=1, keepdims=True)


ACTIVATION: dict[type[network.Layer], Callable[[Any], tuple[Forward, Back]]] = {
    network.Identity: lambda it: (lambda z: None, lambda delta, a: None),
    network.Sigmoid: lambda it: (sigmoid, sigmoid_back),
    network.Tanh: lambda it: (lambda z: np.tanh(z, out=z), tanh_back),
    network.ReLU: lambda it: (
        lambda z: np.maximum(z, 0, out=z),
        lambda delta, a: np.multiply(delta, a > 0, out=delta),
    ),
    network.LeakyReLU: lambda it: leaky_relu(it.slope),
    network.ELU: lambda it: elu(it.alpha),
    network.SELU: lambda it: elu(network.SELU_ALPHA, network.SELU_SCALE),
    network.Softplus: lambda it: (softplus, lambda delta, a: np.multiply(delta, -np.expm1(-a), out=delta)),
    # two outputs whose losses know the way back
    network.Softmax: lambda it: (softmax, lambda delta, a: None),
    network.Heaviside: lambda it: (lambda z: np.heaviside(z, 0, out=z), lambda delta, a: None),
}
