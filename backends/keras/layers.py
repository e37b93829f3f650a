"""The layers of a stack in Keras: every variable has a leading member axis, vectors are `(members, 1, units)`.

What runs through is `(members, rows, units)`; the inputs of the network, which all share, are `(rows, units)`.

Variables have the names that the contract has for them.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from backends.keras.optimizers import rounded
from harness import network


@ops.custom_gradient
def sigmoid(z):
    """`1 / (1 + exp(-z))`, with the gradient `a * (1 - a)` that `keras.activations.sigmoid` has too.

    TensorFlow's kernel divides `exp(z)` by `1 + exp(z)`. That is as exact, but near 1 it rounds to other numbers, so
    `1 - a`, all that is left of the gradient of a saturated unit, can be twice as large, or 0.
    """
    a = 1 / (1 + ops.exp(-z))
    return a, lambda upstream: upstream * a * (1 - a)


def elu(z, alpha: float, scale: float = 1.0):
    """`scale * z` above 0, else `scale * alpha * (exp(z) - 1)`, with a derivative of `a + scale * alpha` there.

    TensorFlow's SELU has the right-hand derivative at 0, and its ELU no alpha.
    """

    @ops.custom_gradient
    def activate(z):
        a = rounded(scale, z) * ops.where(z > 0, z, rounded(alpha, z) * ops.expm1(ops.minimum(z, 0)))
        return a, lambda upstream: upstream * ops.where(z > 0, rounded(scale, z), a + rounded(scale * alpha, z))

    return activate(z)


ACTIVATION: dict[type[network.Layer], Callable[[Any], str | Callable]] = {
    network.Identity: lambda it: "linear",
    network.Sigmoid: lambda it: sigmoid,
    network.Tanh: lambda it: "tanh",
    network.ReLU: lambda it: "relu",
    # the slope of TensorFlow's own is a float32
    network.LeakyReLU: lambda it: lambda z: ops.where(z > 0, z, rounded(it.slope, z) * z),
    network.ELU: lambda it: lambda z: elu(z, it.alpha),
    network.SELU: lambda it: lambda z: elu(z, network.SELU_ALPHA, network.SELU_SCALE),
    network.Softplus: lambda it: "softplus",
}
"""A hidden layer's activation, or the output's; the derivative at a kink is the left one."""


def activation(it: network.Activation) -> keras.layers.Layer:
    """The layer of an activation."""
    return keras.layers.Activation(ACTIVATION[type(it)](it))


class StackedDense(keras.layers.Layer):
    """A `Dense` layer for each member of a stack.

    Inputs are `(members, rows, n_in)`, or `(rows, n_in)` where all members have the same; without a bias for `None`.
    """

    def __init__(
        self, members: int, n_in: int, n_out: int, penalty: keras.regularizers.Regularizer, use_bias: bool
    ) -> None:
        super().__init__()
        self.kernel = self.add_weight((members, n_in, n_out), "zeros", regularizer=penalty, name="W")
        self.bias = self.add_weight((members, 1, n_out), "zeros", name="b") if use_bias else None
        self.built = True

    def call(self, a):
        z = ops.matmul(a, self.kernel)
        return z if self.bias is None else ops.add(z, self.bias)


class StackedBatchNormalization(keras.layers.Layer):
    """`gamma * (z - mean) / sqrt(variance + epsilon) + beta`; the moments of the batch also move the running ones.

    `keras.layers.BatchNormalization` has the same definition, but TensorFlow computes it as `z*s + (beta - mean*s)`,
    which cancels: in a batch of one row, where `z - mean` is 0, something of the size of its rounding, times
    `1 / sqrt(epsilon)`, would stay.
    """

    def __init__(self, members: int, units: int, momentum: float, epsilon: float) -> None:
        super().__init__()
        self.momentum, self.epsilon = momentum, epsilon
        self.gamma, self.beta = (self.add_weight((members, 1, units), "zeros", name=n) for n in ("gamma", "beta"))
        self.moving_mean, self.moving_variance = (
            self.add_weight((members, 1, units), "zeros", trainable=False, name=n) for n in ("mean", "variance")
        )
        self.built = True

    def call(self, z, training=None):
        z = ops.expand_dims(z, 0) if len(z.shape) == 2 else z
        mean, variance = ops.convert_to_tensor(self.moving_mean), ops.convert_to_tensor(self.moving_variance)
        if training:
            mean, variance = ops.moments(z, axes=[1], keepdims=True)
            old, fresh = rounded(self.momentum, z), rounded(1 - self.momentum, z)
            self.moving_mean.assign(old * self.moving_mean + fresh * mean)
            self.moving_variance.assign(old * self.moving_variance + fresh * variance)
        return self.gamma * ((z - mean) / ops.sqrt(variance + rounded(self.epsilon, z))) + self.beta


class StackedDropout(keras.layers.Layer):
    """Multiplies by what it is handed for the step: 0, or `1 / (1 - rate)`. In inference nothing is handed over."""

    def call(self, a, kept=None):
        return a if kept is None else ops.multiply(a, kept)


LAYER: dict[
    type[network.Layer], Callable[[Any, int, network.Shape, keras.regularizers.Regularizer], keras.layers.Layer]
] = {
    network.Dense: lambda it, members, shape, penalty: StackedDense(members, shape[-1], it.units, penalty, it.use_bias),
    network.BatchNorm: lambda it, members, shape, penalty: StackedBatchNormalization(
        members, shape[-1], it.momentum, it.epsilon
    ),
    network.Dropout: lambda it, members, shape, penalty: StackedDropout(),
    **dict.fromkeys(ACTIVATION, lambda it, members, shape, penalty: activation(it)),
}
"""Layer -> its Keras layer for a number of members, from the shape of a row before it."""


def layer_of(
    it: network.Layer, members: int, shape: network.Shape, penalty: keras.regularizers.Regularizer
) -> keras.layers.Layer:
    """The Keras layer for a layer of the vocabulary, or of somebody else's package."""
    return (LAYER.get(type(it)) or network.part_of(it, "keras"))(it, members, shape, penalty)
