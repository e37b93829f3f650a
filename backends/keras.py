"""Keras 3 on the TensorFlow backend: a model of `Dense` layers, `compile` and `fit`.

How the conventions of `harness/reference.py` were matched:

- Batches: one `tf.data` pipeline that yields the harness's batches, with the masks of dropout as further inputs, and
  one `fit` over all epochs.
- Learning rate: a `LearningRateSchedule` that looks each step up. L2: a regularizer with the half that Keras's lacks.
- Keras's SGD is ours without momentum. With it, Keras keeps `v = m*v - lr*g`, which forgets no old learning rate; its
  Adam is the paper's "epsilon-hat" form, and its Adagrad and RMSprop have epsilon inside the root. Small subclasses
  override `update_step` with the papers' rules.
- Sigmoid, ELU, SELU, and batch normalisation are written out: TensorFlow's round otherwise (see each).
- Constants are `np.float64`: a Python float would go through float32 on its way into a float64 tensor.
"""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # read once, when keras is imported

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from harness.trainer import (
    OPTIMIZER_CONSTANTS,
    SELU_ALPHA,
    SELU_SCALE,
    AfterEpoch,
    Batches,
    Config,
    NativeFit,
    Trainer,
    Weights,
)

if keras.backend.backend() != "tensorflow":
    raise RuntimeError(
        f"Keras runs on {keras.backend.backend()!r}, but backend 'keras' is Keras on TensorFlow: "
        "unset KERAS_BACKEND, or set it to 'tensorflow'"
    )


# Every trial traces functions of its own, on purpose, and TensorFlow would warn about the number of them.
tf.get_logger().setLevel("ERROR")


@contextlib.contextmanager
def precision(dtype: str) -> Iterator[None]:
    """Keras reads its dtype from two globals, a layer's `dtype` alone is not enough: set both, and put them back."""
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])


def rounded(value: float, like: tf.Tensor) -> tf.Tensor:
    """A constant in the dtype of another tensor, rounded once; a bare Python float would go through float32."""
    return ops.cast(np.float64(value), like.dtype)


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

    TensorFlow's SELU has the right derivative at 0, and its ELU no alpha.
    """

    @ops.custom_gradient
    def activate(z):
        a = rounded(scale, z) * ops.where(z > 0, z, rounded(alpha, z) * ops.expm1(ops.minimum(z, 0)))
        return a, lambda upstream: upstream * ops.where(z > 0, rounded(scale, z), a + rounded(scale * alpha, z))

    return activate(z)


def activation_of(name: str, config: Config) -> str | Callable:
    """A hidden layer's activation, or the output's; the derivative at a kink is the left one."""
    written_out = {
        "identity": "linear",
        "sigmoid": sigmoid,
        # the slope of TensorFlow's own is a float32
        "leaky_relu": lambda z: ops.where(z > 0, z, rounded(config.leaky_slope, z) * z),
        "elu": lambda z: elu(z, config.elu_alpha),
        "selu": lambda z: elu(z, SELU_ALPHA, SELU_SCALE),
    }
    return written_out.get(name, name)


class Penalty(keras.regularizers.Regularizer):
    """`(l2/2) * sum(W**2) + l1 * sum(abs(W))`; `keras.regularizers.L2` has no half, and a constant in float32."""

    def __init__(self, l2: float, l1: float) -> None:
        self.l2, self.l1 = l2, l1

    def __call__(self, W):
        penalty = rounded(self.l2 / 2, W) * ops.sum(ops.square(W))
        return penalty + rounded(self.l1, W) * ops.sum(ops.abs(W)) if self.l1 > 0 else penalty


class BatchNormalization(keras.layers.BatchNormalization):
    """`gamma * (z - mean) / sqrt(variance + epsilon) + beta`; the moments of the batch also move the running ones.

    Keras has the same definition, but TensorFlow computes it as `z*s + (beta - mean*s)`, which cancels: in a batch of
    one row, where `z - mean` is 0, something of the size of its rounding, times `1 / sqrt(epsilon)`, would stay.
    """

    def call(self, z, training=None):
        mean, variance = ops.convert_to_tensor(self.moving_mean), ops.convert_to_tensor(self.moving_variance)
        if training:
            mean, variance = ops.moments(z, axes=[0])
            old, fresh = rounded(self.momentum, z), rounded(1 - self.momentum, z)
            self.moving_mean.assign(old * self.moving_mean + fresh * mean)
            self.moving_variance.assign(old * self.moving_variance + fresh * variance)
        return self.gamma * ((z - mean) / ops.sqrt(variance + rounded(self.epsilon, z))) + self.beta


class BinaryCrossentropy(keras.losses.BinaryCrossentropy):
    """Keras's own from logits, but with the gradient `o - y`, as exact as TensorFlow's sum of three terms, and rounded
    as ours where an output saturates."""

    def call(self, y, z):
        @ops.custom_gradient
        def losses(z):
            return ops.binary_crossentropy(y, z, from_logits=True), lambda upstream: upstream * (sigmoid(z) - y)

        return ops.mean(losses(z), axis=-1)


def loss_of(config: Config, binary_cross_entropy: type = keras.losses.BinaryCrossentropy, **reduction: str):
    """Keras's own loss of that name; the mean over a row's outputs is ours."""
    if config.loss == "cross_entropy":
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, **reduction)
    if config.loss == "binary_cross_entropy":
        return binary_cross_entropy(from_logits=True, **reduction)
    if config.loss == "huber":
        return keras.losses.Huber(delta=config.huber_delta, **reduction)
    return {"mse": keras.losses.MeanSquaredError, "mae": keras.losses.MeanAbsoluteError}[config.loss](**reduction)


class EpochTable(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rates of the running epoch, one a step, exact in `dtype`."""

    def __init__(self, dtype: str) -> None:
        self.rates = tf.Variable(np.zeros(1), dtype=dtype, shape=[None], trainable=False)
        self.first = tf.Variable(0, dtype=tf.int64, trainable=False)

    def begin_epoch(self, rates: np.ndarray, iterations: int) -> None:
        """Take the next epoch's learning rates; the optimizer has done `iterations` steps so far."""
        self.rates.assign(tf.constant(rates, self.rates.dtype))
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
        correction_1 = ops.cast(1 - ops.power(self.beta_1, t), variable.dtype)
        correction_2 = ops.cast(1 - ops.power(self.beta_2, t), variable.dtype)
        self.assign(m, constant(self.beta_1) * m + constant(1 - self.beta_1) * gradient)
        self.assign(v, constant(self.beta_2) * v + constant(1 - self.beta_2) * gradient * gradient)
        m_hat, v_hat = m / correction_1, v / correction_2
        self.assign_sub(variable, learning_rate * m_hat / (ops.sqrt(v_hat) + constant(self.epsilon)))


OPTIMIZER = {
    "sgd": keras.optimizers.SGD,
    "momentum": PaperMomentum,
    "nesterov": functools.partial(PaperMomentum, nesterov=True),
    "adagrad": PaperAdagrad,
    "adagrad_momentum": PaperAdagrad,
    "rmsprop": PaperRMSprop,
    "adam": PaperAdam,
}
KERAS_NAME = {"initial_accumulator": "initial_accumulator_value"}  # of the constants that have another name there


def paper_optimizer(config: Config, learning_rate: EpochTable) -> keras.optimizers.Optimizer:
    """The optimizer in the reference's form, with constants that Keras does not round to float32."""
    name = config.optimizer
    if name in ("momentum", "nesterov") and config.momentum == 0:
        name = "sgd"  # which they are then; Keras keeps no velocities to work with
    read = OPTIMIZER_CONSTANTS[name]
    constants = {KERAS_NAME.get(constant, constant): np.float64(getattr(config, constant)) for constant in read}
    optimizer = OPTIMIZER[name](learning_rate=learning_rate, clipvalue=config.clip_value, **constants)
    if config.clip_norm is not None:  # Keras refuses `global_clipnorm` beside `clipvalue`
        apply, c = optimizer.apply, config.clip_norm
        optimizer.apply = lambda gradients, variables=None: apply(clipped_by_norm(gradients, c), variables)
    return optimizer


def clipped_by_norm(gradients: Sequence[tf.Tensor], c: float) -> list[tf.Tensor]:
    """`g * min(1, c / norm)`, the norm over all tensors together, penalties included."""
    norm = ops.sqrt(sum(ops.sum(ops.square(ops.cast(g, "float64"))) for g in gradients))
    return [g * ops.cast(ops.minimum(np.float64(1), np.float64(c) / norm), g.dtype) for g in gradients]


def pipeline(X: np.ndarray, y: np.ndarray, batches: Batches, config: Config) -> tf.data.Dataset:
    """All steps of all epochs in the harness's order, each batch drawn when it is near; any of them may be shorter."""
    X, y = tf.constant(X, config.dtype), tf.constant(y, tf.int64 if config.task == "multiclass" else config.dtype)

    def draw():
        for e in range(len(batches)):
            epoch = batches[e]
            yield epoch.rows, *epoch.masks

    def select(rows, *masks):
        real = rows >= 0
        rows = tf.boolean_mask(rows, real)
        kept = (tf.cast(tf.boolean_mask(mask, real), config.dtype) for mask in masks)
        factors = tuple(
            mask / np.asarray(1 - config.dropout[k], config.dtype) for k, mask in zip(dropped, kept, strict=True)
        )
        return (tf.gather(X, rows), *factors) if factors else tf.gather(X, rows), tf.gather(y, rows)

    dropped = config.dropout_layers
    masks = (tf.TensorSpec([None, None, config.layers[k]], tf.bool) for k in dropped)
    epochs = tf.data.Dataset.from_generator(draw, output_signature=(tf.TensorSpec([None, None], tf.int64), *masks))
    return epochs.unbatch().map(select)


class EveryEpoch(keras.callbacks.Callback):
    """Hands each epoch's learning rates to the optimizer, and asks the harness after each whether to stop."""

    def __init__(self, batches: Batches, learning_rate: EpochTable, after_epoch: AfterEpoch) -> None:
        super().__init__()
        self.batches, self.learning_rate, self.after_epoch = batches, learning_rate, after_epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.learning_rate.begin_epoch(self.batches[epoch].learning_rate, int(self.model.optimizer.iterations))

    def on_epoch_end(self, epoch, logs=None):
        if self.after_epoch(epoch + 1):
            self.model.stop_training = True


class KerasTrainer(Trainer):
    """A `keras.Sequential` of `Dense` layers, the last without activation, and the model that is trained around it."""

    name = "keras"
    requires = ("keras", "tensorflow")
    arithmetic = (
        "keras.src.ops.matmul",
        "keras.src.ops.sparse_categorical_crossentropy",
        "keras.optimizers.SGD.update_step",
    )

    @classmethod
    def unsupported(cls, config: Config) -> str | None:
        reason = "the perceptron rule is no gradient descent: its step has no derivative; only numpy has it"
        return reason if config.optimizer == "perceptron" else None

    def __init__(self, config: Config, start: Weights | None) -> None:
        keras.utils.clear_session(free_memory=False)  # what Keras kept for earlier models; living ones go on unharmed
        self.config = config
        if start is None:
            return  # `fit_native` makes the model
        with precision(config.dtype):
            self.blocks = controlled_blocks(config)
            self.network = keras.Sequential([keras.Input((config.n_inputs,)), *chain.from_iterable(self.blocks)])
            self.model = model_to_train(config, self.network, self.blocks)
            self.learning_rate = EpochTable(config.dtype)
            self.optimizer = paper_optimizer(config, self.learning_rate)
        self.set_weights(start)

    def train(self, X: np.ndarray, y: np.ndarray, batches: Batches, after_epoch: AfterEpoch) -> None:
        if len(batches) == 0:
            return
        steps = len(batches[0].rows)
        reduction = {"mean": "sum_over_batch_size", "sum": "sum"}[self.config.reduction]
        with precision(self.config.dtype):
            self.model.compile(
                optimizer=self.optimizer,
                loss=loss_of(self.config, BinaryCrossentropy, reduction=reduction),
                steps_per_execution=steps,  # an epoch without a return to Python: three times faster
                jit_compile=False,
            )
            self.model.fit(
                pipeline(X, y, batches, self.config),
                epochs=len(batches),
                steps_per_epoch=steps,
                shuffle=False,
                callbacks=[EveryEpoch(batches, self.learning_rate, after_epoch)],
                verbose=0,
            )

    def logits(self, X: np.ndarray) -> np.ndarray:
        dtype = self.network.dtype
        with precision(dtype):
            return self.network(tf.constant(X, dtype), training=False).numpy()

    def variables(self) -> list[dict[str, keras.Variable]]:
        """The variables of each layer under the contract's names."""
        found = []
        for block in self.blocks:
            variables = [variable for layer in block for variable in layer.weights]
            names = ("W", "b") if len(variables) == 2 else ("W", "gamma", "beta", "mean", "variance")
            found.append(dict(zip(names, variables, strict=True)))
        return found

    def weights(self) -> Weights:
        return tuple({key: np.array(value) for key, value in layer.items()} for layer in self.variables())

    def set_weights(self, weights: Weights) -> None:
        for layer, given in zip(self.variables(), weights, strict=True):
            for key, variable in layer.items():
                variable.assign(np.asarray(given[key], variable.dtype))

    def fit_native(self, X: np.ndarray, y: np.ndarray, seed: int) -> NativeFit:
        config = self.config
        # beside the loss Keras logs how often the largest logit, or the sign of the only one, is right
        metrics = {"multiclass": ["accuracy"], "binary": [keras.metrics.BinaryAccuracy("accuracy", threshold=0)]}
        with precision(config.dtype if "dtype" in config.written else "float32"):
            keras.utils.set_random_seed(seed)
            activations = [native_activation(name, config) for name in (*config.activation, "identity")]
            self.blocks = [
                [keras.layers.Dense(units, activation, kernel_regularizer=keras.regularizers.L2(config.l2))]
                for units, activation in zip(config.layers[1:], activations, strict=True)
            ]
            self.network = keras.Sequential([keras.Input((config.n_inputs,)), *chain.from_iterable(self.blocks)])
            model = self.network
            if config.task == "regression" and config.output_activation != "identity":
                output = keras.layers.Activation(native_activation(config.output_activation, config))
                model = keras.Sequential([self.network, output])
            model.compile(optimizer=native_optimizer(config), loss=loss_of(config), metrics=metrics.get(config.task))
            history = model.fit(X, y, batch_size=config.batch_size, epochs=config.epochs, verbose=0)
        curves = {name: [float(value) for value in values] for name, values in history.history.items()}
        return NativeFit(epochs_run=len(history.epoch), curves=curves)


def controlled_blocks(config: Config) -> list[list[keras.layers.Layer]]:
    """The layers of the network, a list for each layer of weights, which its `Dense` begins."""
    blocks = []
    for units, name in zip(config.layers[1:], (*config.activation, "identity"), strict=True):
        penalty, activation = Penalty(config.l2, config.l1), activation_of(name, config)
        if config.batch_norm and len(blocks) < len(config.hidden):
            norm = BatchNormalization(momentum=config.batch_norm_momentum, epsilon=config.batch_norm_epsilon)
            dense = keras.layers.Dense(units, use_bias=False, kernel_regularizer=penalty)
            blocks.append([dense, norm, keras.layers.Activation(activation)])
        else:
            blocks.append([keras.layers.Dense(units, activation, kernel_regularizer=penalty)])
    return blocks


def model_to_train(config: Config, network: keras.Sequential, blocks: list[list[keras.layers.Layer]]) -> keras.Model:
    """`network`, or a model of the same layers that has the masks of dropout as inputs too, or an output activation."""
    if not config.dropout_layers and (config.task != "regression" or config.output_activation == "identity"):
        return network
    masks = {k: keras.Input((config.layers[k],)) for k in config.dropout_layers}
    X = a = keras.Input((config.n_inputs,))
    for k, block in enumerate(blocks):
        if k in masks:
            a = keras.layers.Multiply()([a, masks[k]])
        for layer in block:
            a = layer(a)
    if config.task == "regression":
        a = keras.layers.Activation(activation_of(config.output_activation, config))(a)
    return keras.Model((X, *masks.values()) if masks else X, a)


def native_activation(name: str, config: Config) -> str | Callable:
    """Keras's own, with its own slope (0.2) and alpha (1) unless the experiment writes another."""
    if name == "leaky_relu" and "leaky_slope" in config.written:
        return functools.partial(keras.activations.leaky_relu, negative_slope=config.leaky_slope)
    if name == "elu" and "elu_alpha" in config.written:
        return functools.partial(keras.activations.elu, alpha=config.elu_alpha)
    return {"identity": "linear"}.get(name, name)


def native_optimizer(config: Config) -> keras.optimizers.Optimizer:
    """Keras's own optimizer with its own defaults; only constants that the experiment writes are handed over."""
    if config.optimizer == "adagrad_momentum":
        raise NotImplementedError("Keras's Adagrad has no momentum")
    if config.optimizer in ("sgd", "momentum", "nesterov"):
        momentum = 0.0 if config.optimizer == "sgd" else config.momentum
        return keras.optimizers.SGD(config.learning_rate, momentum, nesterov=config.optimizer == "nesterov")
    own = {"adagrad": keras.optimizers.Adagrad, "rmsprop": keras.optimizers.RMSprop, "adam": keras.optimizers.Adam}
    written = [name for name in OPTIMIZER_CONSTANTS[config.optimizer] if name in config.written]
    constants = {KERAS_NAME.get(name, name): getattr(config, name) for name in written}
    return own[config.optimizer](learning_rate=config.learning_rate, **constants)
