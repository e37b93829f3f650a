"""The losses of a stack in TensorFlow: those of `tf.nn`, or plain arithmetic."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from backends.tensorflow.layers import ACTIVATION, sigmoid
from harness import network
from harness.contract import Config


@tf.custom_gradient
def binary_cross_entropy(z: tf.Tensor, y: tf.Tensor):
    """`-y log(o) - (1 - y) log(1 - o)`, with the gradient `o - y`, which the derivative of TensorFlow's own sum of
    three terms is but for the rounding of a saturated output."""
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.broadcast_to(y, tf.shape(z)), logits=z)
    return losses, lambda upstream: (upstream * (sigmoid(z) - y), None)


def huber(it: network.Huber, o: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """`e**2 / 2` up to `delta`, then `delta * (abs(e) - delta / 2)`."""
    error = o - y
    size = tf.abs(error)
    return tf.where(size <= it.delta, tf.square(error) / 2, it.delta * (size - it.delta / 2))


LOSS: dict[type[network.Loss], Callable[[Any, tf.Tensor, tf.Tensor], tf.Tensor]] = {
    network.BinaryCrossEntropy: lambda it, z, y: binary_cross_entropy(z, y),
    network.MSE: lambda it, o, y: tf.square(o - y),
    network.MAE: lambda it, o, y: tf.abs(o - y),
    network.Huber: huber,
}
"""The loss of each output, from the logits, or in a regression from what the network answers."""


def losses_of_rows(config: Config, logits: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """The loss of each row, `(members, rows)`: the mean over its outputs."""
    loss = config.loss
    if isinstance(loss, network.CrossEntropy):
        y = tf.broadcast_to(y, tf.shape(logits)[:2])
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)
    outputs = ACTIVATION[type(loss.output)](loss.output)(logits) if config.task == "regression" else logits
    return tf.reduce_mean(LOSS[type(loss)](loss, outputs, y), axis=2)
