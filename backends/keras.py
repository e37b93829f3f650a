"""Keras 3 on the TensorFlow backend: a `Sequential` of `Dense` layers, `compile` and `fit`.

How the conventions of `harness/reference.py` were matched:

- Batches: one `tf.data` pipeline that yields the harness's batches, and one `fit` over all epochs.
- Learning rate: a `LearningRateSchedule` that looks each step up. L2: a regularizer with the half that Keras's lacks.
- Keras's SGD is ours without momentum. With it, Keras keeps `v = m*v - lr*g`, which forgets no old learning rate; its
  Adam is the paper's "epsilon-hat" form. Two small subclasses override `update_step` with the papers' rules.
- The sigmoid is written out: TensorFlow's rounds otherwise where it saturates (see `sigmoid`).
- Constants are `np.float64`: a Python float would go through float32 on its way into a float64 tensor.
"""

import contextlib
import os
from collections.abc import Iterator

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # read once, when keras is imported

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from harness.trainer import OPTIMIZER_CONSTANTS, AfterEpoch, Batches, Config, NativeFit, Trainer, Weights

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


@ops.custom_gradient
def sigmoid(z):
    """`1 / (1 + exp(-z))`, with the gradient `a * (1 - a)` that `keras.activations.sigmoid` has too.

    TensorFlow's kernel divides `exp(z)` by `1 + exp(z)`. That is as exact, but near 1 it rounds to other numbers, so
    `1 - a`, all that is left of the gradient of a saturated unit, can be twice as large, or 0.
    """
    a = 1 / (1 + ops.exp(-z))

    def gradient(*args, upstream=None):
        (upstream,) = args if upstream is None else (upstream,)
        return upstream * a * (1 - a)

    return a, gradient


ACTIVATION = {"sigmoid": sigmoid, "tanh": "tanh", "relu": "relu"}


class HalfL2(keras.regularizers.Regularizer):
    """`(l2/2) * sum(W**2)`; `keras.regularizers.L2` has no half."""

    def __init__(self, l2: float) -> None:
        self.l2 = l2

    def __call__(self, W):
        return ops.cast(np.float64(self.l2 / 2), W.dtype) * ops.sum(ops.square(W))


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
        m = ops.cast(self.momentum, variable.dtype)
        self.assign(v, ops.add(ops.multiply(m, v), gradient))
        step = ops.add(gradient, ops.multiply(m, v)) if self.nesterov else v
        self.assign_sub(variable, ops.multiply(learning_rate, step))


class PaperAdam(keras.optimizers.Adam):
    """Kingma and Ba, 2015, Algorithm 1: bias-corrected moments, epsilon outside the root."""

    def update_step(self, gradient, variable, learning_rate):
        def rounded(value):  # once, from float64: 1 - 0.999**t loses digits in float32
            return ops.cast(value, variable.dtype)

        index = self._get_variable_index(variable)
        m, v = self._momentums[index], self._velocities[index]
        t = ops.cast(self.iterations + 1, "float64")
        correction_1 = rounded(1 - ops.power(self.beta_1, t))
        correction_2 = rounded(1 - ops.power(self.beta_2, t))
        self.assign(m, rounded(self.beta_1) * m + rounded(1 - self.beta_1) * gradient)
        self.assign(v, rounded(self.beta_2) * v + rounded(1 - self.beta_2) * gradient * gradient)
        m_hat, v_hat = m / correction_1, v / correction_2
        self.assign_sub(variable, learning_rate * m_hat / (ops.sqrt(v_hat) + rounded(self.epsilon)))


def paper_optimizer(config: Config, learning_rate: EpochTable) -> keras.optimizers.Optimizer:
    """The optimizer in the reference's form, with constants that Keras does not round to float32."""
    constants = {name: np.float64(getattr(config, name)) for name in OPTIMIZER_CONSTANTS[config.optimizer]}
    if config.optimizer == "sgd":
        return keras.optimizers.SGD(learning_rate=learning_rate)
    if config.optimizer == "adam":
        return PaperAdam(learning_rate=learning_rate, **constants)
    return PaperMomentum(learning_rate=learning_rate, nesterov=config.optimizer == "nesterov", **constants)


def pipeline(X: np.ndarray, y: np.ndarray, batches: Batches, dtype: str) -> tf.data.Dataset:
    """All steps of all epochs in the harness's order, each batch drawn when it is near; the last one may be shorter."""
    X, y = tf.constant(X, dtype), tf.constant(y, tf.int64)

    def select(rows):
        rows = tf.boolean_mask(rows, rows >= 0)
        return tf.gather(X, rows), tf.gather(y, rows)

    epochs = tf.data.Dataset.from_generator(
        lambda: (batches[e].rows for e in range(len(batches))),
        output_signature=tf.TensorSpec([None, None], tf.int64),
    )
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
    """A `keras.Sequential` of `Dense` layers, the last without activation."""

    name = "keras"
    requires = ("keras", "tensorflow")
    arithmetic = (
        "keras.src.ops.matmul",
        "keras.src.ops.sparse_categorical_crossentropy",
        "keras.optimizers.SGD.update_step",
    )

    def __init__(self, config: Config, start: Weights | None) -> None:
        keras.utils.clear_session(free_memory=False)  # what Keras kept for earlier models; living ones go on unharmed
        self.config = config
        if start is None:
            return  # `fit_native` makes the model
        with precision(config.dtype):
            self.model = keras.Sequential([keras.Input((config.n_inputs,))])
            for units, activation in zip(config.hidden, config.activation, strict=True):
                dense = keras.layers.Dense(units, ACTIVATION[activation], kernel_regularizer=HalfL2(config.l2))
                self.model.add(dense)
            self.model.add(keras.layers.Dense(config.n_outputs, kernel_regularizer=HalfL2(config.l2)))
            self.learning_rate = EpochTable(config.dtype)
            self.optimizer = paper_optimizer(config, self.learning_rate)
        self.set_weights(start)

    def train(self, X: np.ndarray, y: np.ndarray, batches: Batches, after_epoch: AfterEpoch) -> None:
        if len(batches) == 0:
            return
        steps = len(batches[0].rows)
        mean_or_sum = {"mean": "sum_over_batch_size", "sum": "sum"}[self.config.reduction]
        with precision(self.config.dtype):
            self.model.compile(
                optimizer=self.optimizer,
                loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=mean_or_sum),
                steps_per_execution=steps,  # an epoch without a return to Python: three times faster
                jit_compile=False,
            )
            self.model.fit(
                pipeline(X, y, batches, self.config.dtype),
                epochs=len(batches),
                steps_per_epoch=steps,
                shuffle=False,
                callbacks=[EveryEpoch(batches, self.learning_rate, after_epoch)],
                verbose=0,
            )

    def logits(self, X: np.ndarray) -> np.ndarray:
        dtype = self.model.dtype
        with precision(dtype):
            return self.model(tf.constant(X, dtype), training=False).numpy()

    def weights(self) -> Weights:
        values = [np.array(value) for value in self.model.get_weights()]
        return tuple({"W": W, "b": b} for W, b in zip(values[::2], values[1::2], strict=True))

    def set_weights(self, weights: Weights) -> None:
        self.model.set_weights([layer[key] for layer in weights for key in ("W", "b")])

    def fit_native(self, X: np.ndarray, y: np.ndarray, seed: int) -> NativeFit:
        config = self.config
        with precision(config.dtype if "dtype" in config.written else "float32"):
            keras.utils.set_random_seed(seed)
            self.model = keras.Sequential([keras.Input((config.n_inputs,))])
            for units, activation in zip(config.hidden, config.activation, strict=True):
                l2 = keras.regularizers.L2(config.l2)
                self.model.add(keras.layers.Dense(units, activation=activation, kernel_regularizer=l2))
            self.model.add(keras.layers.Dense(config.n_outputs, kernel_regularizer=keras.regularizers.L2(config.l2)))
            self.model.compile(
                optimizer=native_optimizer(config),
                loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                metrics=["accuracy"],
            )
            history = self.model.fit(X, y, batch_size=config.batch_size, epochs=config.epochs, verbose=0)
        curves = {name: [float(value) for value in history.history[name]] for name in ("loss", "accuracy")}
        return NativeFit(epochs_run=len(history.epoch), curves=curves)


def native_optimizer(config: Config) -> keras.optimizers.Optimizer:
    """Keras's own optimizer with its own defaults; only constants that the experiment writes are handed over."""
    if config.optimizer == "adam":
        written = {name: getattr(config, name) for name in OPTIMIZER_CONSTANTS["adam"] if name in config.written}
        return keras.optimizers.Adam(learning_rate=config.learning_rate, **written)
    if config.optimizer == "sgd":
        return keras.optimizers.SGD(learning_rate=config.learning_rate)
    return keras.optimizers.SGD(
        learning_rate=config.learning_rate, momentum=config.momentum, nesterov=config.optimizer == "nesterov"
    )
