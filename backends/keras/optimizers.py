"""Keras's optimizers in the form of the papers, with constants that are exact, one number or one a member."""

import functools
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from harness import network
from harness.contract import OPTIMIZER_CONSTANTS, Config


def rounded(value, like: tf.Tensor) -> tf.Tensor:
    """A constant, one number or one a member, in the dtype of another tensor, rounded once.

    A bare Python float would go through float32.
    """
    return ops.cast(tf.convert_to_tensor(value, tf.float64), like.dtype)


class EpochTable(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rates of the running epoch, exact in `dtype`: a number a step, or `(members, 1, 1)` in a stack."""

    def __init__(self, dtype: str) -> None:
        self.rates = tf.Variable(np.zeros(1), dtype=dtype, shape=tf.TensorShape(None), trainable=False)
        self.first = tf.Variable(0, dtype=tf.int64, trainable=False)

    def begin_epoch(self, rates: np.ndarray, iterations: int) -> None:
        """Take the next epoch's, `(steps,)` or `(members, steps)`; the optimizer has done `iterations` steps so far."""
        by_step = rates if rates.ndim == 1 else rates.T[:, :, None, None]
        with np.errstate(over="ignore"):  # a rate that no float32 can hold becomes infinite
            self.rates.assign(by_step.astype(self.rates.dtype.as_numpy_dtype))
        self.first.assign(iterations)

    def __call__(self, step):
        return tf.gather(self.rates, tf.cast(step, tf.int64) - self.first)


class PaperMomentum(keras.optimizers.SGD):
    """`v = m*v + g; w -= lr*v`, or with Nesterov `w -= lr*(g + m*v)`: right for a learning rate that changes, too."""

    def update_step(self, gradient, variable, learning_rate):
        v = self.momentums[self._get_variable_index(variable)]
        m = rounded(self.momentum, variable)
        self.assign(v, ops.add(ops.multiply(m, v), gradient))
        step = ops.add(gradient, ops.multiply(m, v)) if self.nesterov else v
        self.assign_sub(variable, ops.multiply(learning_rate, step))


class PaperAdagrad(keras.optimizers.Adagrad):
    """Duchi, Hazan and Singer, 2011: `G += g**2`, and a step of `lr * g / (sqrt(G) + epsilon)`.

    With `momentum` the step has a memory: `v = m*v + lr * g / (sqrt(G) + epsilon); w -= v`.
    """

    def __init__(self, momentum: float = 0.0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.momentum = momentum

    def build(self, variables):
        if not self.built:
            super().build(variables)
            self.steps = self.add_optimizer_variables(variables, "step")

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        G, v = self._accumulators[index], self.steps[index]
        self.assign_add(G, ops.square(gradient))
        step = learning_rate * gradient / (ops.sqrt(G) + rounded(self.epsilon, variable))
        self.assign(v, ops.multiply(rounded(self.momentum, variable), v) + step)
        self.assign_sub(variable, v)


class PaperRMSprop(keras.optimizers.RMSprop):
    """Tieleman and Hinton, 2012: `v = rho*v + (1 - rho)*g**2; w -= lr * g / (sqrt(v) + epsilon)`."""

    def update_step(self, gradient, variable, learning_rate):
        v = self._velocities[self._get_variable_index(variable)]
        old, fresh = rounded(self.rho, variable), rounded(1 - self.rho, variable)
        self.assign(v, ops.multiply(old, v) + fresh * gradient * gradient)
        self.assign_sub(variable, learning_rate * gradient / (ops.sqrt(v) + rounded(self.epsilon, variable)))


class PaperAdam(keras.optimizers.Adam):
    """Kingma and Ba, 2015, Algorithm 1: bias-corrected moments, epsilon outside the root."""

    def update_step(self, gradient, variable, learning_rate):
        def constant(value):
            return rounded(value, variable)

        index = self._get_variable_index(variable)
        m, v = self._momentums[index], self._velocities[index]
        t = ops.cast(self.iterations + 1, "float64")  # 1 - 0.999**t loses digits in float32
        correction_1 = constant(1 - ops.power(self.beta_1, t))
        correction_2 = constant(1 - ops.power(self.beta_2, t))
        self.assign(m, constant(self.beta_1) * m + constant(1 - self.beta_1) * gradient)
        self.assign(v, constant(self.beta_2) * v + constant(1 - self.beta_2) * gradient * gradient)
        m_hat, v_hat = m / correction_1, v / correction_2
        self.assign_sub(variable, learning_rate * m_hat / (ops.sqrt(v_hat) + constant(self.epsilon)))


OPTIMIZER: dict[type[network.Optimizer], Callable[..., keras.optimizers.Optimizer]] = {
    network.SGD: keras.optimizers.SGD,
    network.Momentum: functools.partial(PaperMomentum, momentum=0.9),  # without any, Keras keeps no velocities
    network.Nesterov: functools.partial(PaperMomentum, momentum=0.9, nesterov=True),
    network.Adagrad: PaperAdagrad,
    network.AdagradMomentum: PaperAdagrad,
    network.RMSprop: PaperRMSprop,
    network.Adam: PaperAdam,
}


def paper_optimizer(
    structure: Config, variables: list[keras.Variable], learning_rate: EpochTable, numbers: dict[str, tf.Variable]
) -> keras.optimizers.Optimizer:
    """The optimizer in the reference's form, with the constants that `numbers` holds of each member.

    Keras's own arguments are one Python float each, so the constants are put in place behind them.
    """
    optimizer = OPTIMIZER[type(structure.optimizer)](learning_rate=learning_rate)
    optimizer.build(variables)
    for constant in OPTIMIZER_CONSTANTS[structure.optimizer.name]:
        setattr(optimizer, constant, numbers[constant])
    if structure.clipping is not None:
        apply = optimizer.apply
        optimizer.apply = lambda gradients, variables: apply(clipped(structure, gradients, numbers), variables)
    return optimizer


def clipped(structure: Config, gradients: Sequence[tf.Tensor], numbers: dict[str, tf.Variable]) -> Sequence[tf.Tensor]:
    """`g * min(1, c / norm)`, the norm over all tensors of a member, penalties included; then within -c and c."""
    if isinstance(structure.clipping, network.ClipNorm):
        squares = (ops.sum(ops.square(ops.cast(g, "float64")), axis=(1, 2), keepdims=True) for g in gradients)
        factor = ops.minimum(np.float64(1), numbers["clip_norm"] / ops.sqrt(sum(squares)))
        gradients = [g * rounded(factor, g) for g in gradients]
    if isinstance(structure.clipping, network.ClipValue):
        bounds = [rounded(numbers["clip_value"], g) for g in gradients]
        gradients = [ops.clip(g, -c, c) for g, c in zip(gradients, bounds, strict=True)]
    return gradients


def reset(optimizer: keras.optimizers.Optimizer, numbers: dict[str, tf.Variable]) -> None:
    """Back to step 0, with all states at their first values."""
    for variable in optimizer.variables:
        variable.assign(np.zeros(variable.shape, variable.dtype))
    for G in getattr(optimizer, "_accumulators", ()):
        G.assign(ops.broadcast_to(rounded(numbers["initial_accumulator"], G), G.shape))
