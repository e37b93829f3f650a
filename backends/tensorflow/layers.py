"""The layers of a stack in TensorFlow, each a function of what it owns and of its inputs.

Inputs and outputs are `(members, units, rows)`, with one member as long as all have the same; weights are
`(members, n_out, n_in)`, vectors `(members, units, 1)`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from harness import network
from harness.contract import Config

Activation = Callable[[tf.Tensor], tf.Tensor]
Owned = dict[str, tf.Variable]


@tf.custom_gradient
def sigmoid(z: tf.Tensor):
    """`1 / (1 + exp(-z))`, with the gradient `a * (1 - a)` that `tf.nn.sigmoid` has too.

    The kernel of `tf.nn.sigmoid` divides `exp(z)` by `1 + exp(z)`. That is as exact, but near 1 it rounds to other
    numbers, so `1 - a`, all that is left of the gradient of a saturated unit, can be twice as large, or 0.
    """
    a = 1 / (1 + tf.exp(-z))
    return a, lambda upstream: tf.raw_ops.SigmoidGrad(y=a, dy=upstream)


def elu(z: tf.Tensor, alpha: float, scale: float = 1.0) -> tf.Tensor:
    """`scale * z` above 0, else `scale * alpha * (exp(z) - 1)`, with a derivative of `a + scale * alpha` there.

    `tf.nn.elu` has no alpha, and `tf.nn.selu` has the right-hand derivative at 0.
    """

    @tf.custom_gradient
    def activate(z):
        a = scale * tf.where(z > 0, z, alpha * tf.math.expm1(tf.minimum(z, 0)))
        return a, lambda upstream: upstream * tf.where(z > 0, tf.constant(scale, z.dtype), a + scale * alpha)

    return activate(z)


ACTIVATION: dict[type[network.Layer], Callable[[Any], Activation]] = {
    network.Identity: lambda it: tf.identity,
    network.Sigmoid: lambda it: sigmoid,
    network.Tanh: lambda it: tf.nn.tanh,
    network.ReLU: lambda it: tf.nn.relu,
    # the slope of `tf.nn.leaky_relu` is a float32
    network.LeakyReLU: lambda it: lambda z: tf.where(z > 0, z, it.slope * z),
    network.ELU: lambda it: lambda z: elu(z, it.alpha),
    network.SELU: lambda it: lambda z: elu(z, network.SELU_ALPHA, network.SELU_SCALE),
    network.Softplus: lambda it: tf.nn.softplus,
}
"""A hidden layer's activation, or the output's; the derivative at a kink is the left one."""


@dataclass(frozen=True)
class Step:
    """What a forward pass in training knows beside its inputs: the masks of dropout and `1 - rate`, and `valid`,
    `(rows,)`, 0 where a row is padding, else 1."""

    dropped: Iterator[tuple[tf.Tensor, tf.Tensor]]
    valid: tf.Tensor


def dense(it: network.Dense, owned: Owned, a: tf.Tensor, step: Step | None) -> tf.Tensor:
    """`W a + b`."""
    z = matmul(owned["W"], a)
    return z + owned["b"] if it.use_bias else z


def dropout(it: network.Dropout, owned: Owned, a: tf.Tensor, step: Step | None) -> tf.Tensor:
    """`a * mask / (1 - rate)` in training."""
    if step is None:
        return a
    mask, kept = next(step.dropped)
    return a * tf.cast(mask, a.dtype) / kept


def batch_norm(it: network.BatchNorm, owned: Owned, z: tf.Tensor, step: Step | None) -> tf.Tensor:
    """`gamma * (z - mean) / sqrt(variance + epsilon) + beta`; in training the moments of the batch, which also move
    the running ones."""
    mean, variance = owned["mean"], owned["variance"]
    if step is not None:
        kept, valid, n = it.momentum, step.valid, tf.reduce_sum(step.valid)
        mean = tf.reduce_sum(z * valid, axis=2, keepdims=True) / n
        variance = tf.reduce_sum(tf.math.squared_difference(z, mean) * valid, axis=2, keepdims=True) / n
        for running, value in ((owned["mean"], mean), (owned["variance"], variance)):
            running.assign(kept * running + (1 - kept) * value)
    return owned["gamma"] * ((z - mean) / tf.sqrt(variance + it.epsilon)) + owned["beta"]


LAYER: dict[type[network.Layer], Callable[[Any, Owned, tf.Tensor, Step | None], tf.Tensor]] = {
    network.Dense: dense,
    network.Dropout: dropout,
    network.BatchNorm: batch_norm,
    **{kind: lambda it, owned, a, step, make=make: make(it)(a) for kind, make in ACTIVATION.items()},
}


def forward(config: Config, owners: Sequence[Owned], X: tf.Tensor, step: Step | None = None) -> tf.Tensor:
    """The logits `(members, rows, n_outputs)` of inputs `(rows, n_inputs)` that all members share.

    In inference without `step`.
    """
    weights = iter(owners)
    a = X if isinstance(config.network.layers[0], network.Dense) else tf.transpose(X)[None]
    for layer, before, _ in config.network.shapes():
        owned = next(weights) if layer.parameters(before) else {}
        part = LAYER.get(type(layer)) or network.part_of(layer, "tensorflow")
        a = part(layer, owned, a, step)
    return tf.linalg.matrix_transpose(a)


def matmul(W: tf.Variable, a: tf.Tensor) -> tf.Tensor:
    """`W a` for every member, `(members, n_out, rows)`; inputs that they share, `(rows, n_in)`, make it one product."""
    if a.shape.rank == 3:
        return tf.matmul(W, a)
    _, n_out, n_in = W.shape
    z = tf.matmul(tf.reshape(W, [-1, n_in]), a, transpose_b=True)
    return tf.reshape(z, [-1, n_out, tf.shape(a)[0]])
