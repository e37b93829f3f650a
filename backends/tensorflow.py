"""TensorFlow: tensors, `tf.GradientTape` and updates written by hand, as in its classic tutorials.

How the conventions of `harness/reference.py` were matched:

- The loss is `tf.nn.sparse_softmax_cross_entropy_with_logits`, reduced by mean or sum, plus `l2 * tf.nn.l2_loss(W)`:
  TensorFlow's `l2_loss` has the half that our definition has.
- The sigmoid is written out: that of `tf.nn` rounds otherwise where it saturates (see `sigmoid`).
- TensorFlow's fused optimizer kernels put epsilon elsewhere; the updates below are those of the papers.
- Every constant enters as a float64 tensor and is rounded once. `tf.cast(0.9, tf.float64)` would go through float32.

The native mode is the classic lecture network, step by step: truncated normal weights, biases of 0.1, each batch an
independent draw, and an optimizer of `tf.keras` (which keeps its learning rate in float32 whatever the weights are).
"""

import functools
import os
from collections.abc import Callable, Sequence

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # `tf.keras`, used by the native optimizers, reads it at import

import numpy as np
import tensorflow as tf

from harness.trainer import OPTIMIZER_CONSTANTS, AfterEpoch, Batches, Config, NativeFit, Trainer, Weights

# Every structure traces functions of its own, on purpose, and TensorFlow would warn about the number of them.
tf.get_logger().setLevel("ERROR")


@tf.custom_gradient
def sigmoid(z: tf.Tensor):
    """`1 / (1 + exp(-z))`, with the gradient `a * (1 - a)` that `tf.nn.sigmoid` has too.

    The kernel of `tf.nn.sigmoid` divides `exp(z)` by `1 + exp(z)`. That is as exact, but near 1 it rounds to other
    numbers, so `1 - a`, all that is left of the gradient of a saturated unit, can be twice as large, or 0.
    """
    a = 1 / (1 + tf.exp(-z))
    return a, lambda upstream: upstream * a * (1 - a)


Activation = Callable[[tf.Tensor], tf.Tensor]
CONTROLLED: dict[str, Activation] = {"sigmoid": sigmoid, "tanh": tf.nn.tanh, "relu": tf.nn.relu}
NATIVE: dict[str, Activation] = {"sigmoid": tf.nn.sigmoid, "tanh": tf.nn.tanh, "relu": tf.nn.relu}


def forward(variables: Sequence[tf.Variable], activation: Sequence[Activation], X: tf.Tensor) -> tf.Tensor:
    """The logits of the network `[W_1, b_1, W_2, b_2, …]`."""
    a = X
    for W, b, activate in zip(variables[0:-2:2], variables[1:-2:2], activation, strict=True):
        a = activate(tf.matmul(a, W) + b)
    return tf.matmul(a, variables[-2]) + variables[-1]


def sgd(w, g, slots, learning_rate, constant, t):
    """`w -= lr * g`."""
    w.assign_sub(learning_rate * g)


def momentum(w, g, slots, learning_rate, constant, t):
    """Heavy ball: `v = m*v + g; w -= lr * v`."""
    (v,) = slots
    v.assign(constant("momentum") * v + g)
    w.assign_sub(learning_rate * v)


def nesterov(w, g, slots, learning_rate, constant, t):
    """`v = m*v + g; w -= lr * (g + m*v)`."""
    (v,) = slots
    v.assign(constant("momentum") * v + g)
    w.assign_sub(learning_rate * (g + constant("momentum") * v))


def adam(w, g, slots, learning_rate, constant, t):
    """Kingma and Ba, 2015, Algorithm 1: bias-corrected moments, epsilon outside the root."""
    m, v = slots
    m.assign(constant("beta_1") * m + constant("beta_1", lambda beta: 1 - beta) * g)
    v.assign(constant("beta_2") * v + constant("beta_2", lambda beta: 1 - beta) * g * g)
    m_hat = m / constant("beta_1", lambda beta: 1 - beta**t)
    v_hat = v / constant("beta_2", lambda beta: 1 - beta**t)
    w.assign_sub(learning_rate * m_hat / (tf.sqrt(v_hat) + constant("epsilon")))


# name -> (the update, how many slot variables it keeps for each weight)
UPDATES: dict[str, tuple[Callable[..., None], int]] = {
    "sgd": (sgd, 0),
    "momentum": (momentum, 1),
    "nesterov": (nesterov, 1),
    "adam": (adam, 2),
}


@functools.lru_cache(maxsize=64)
def epoch_traced_once(layers: tuple[int, ...], activation: tuple[str, ...], optimizer: str, reduction: str, dtype: str):
    """One epoch as a `tf.function`, shared by all trainers of one structure: tracing costs more than an epoch.

    Whatever may differ between such trainers (variables, data, learning rates, constants) is therefore an argument.
    """
    update, _ = UPDATES[optimizer]
    activate = [CONTROLLED[name] for name in activation]

    @tf.function(reduce_retracing=True)
    def run_epoch(variables, slots, t, X, y, rows, sizes, learning_rates, constants):
        def constant(name, derive=lambda value: value):
            """A constant, or what is derived from it, computed in float64 and rounded once: 1 - 0.999 loses digits."""
            return tf.cast(derive(constants[name]), dtype)

        for step in tf.range(tf.shape(rows)[0]):
            batch = rows[step, : sizes[step]]  # cuts the padding off a shorter batch
            with tf.GradientTape() as tape:
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                    labels=tf.gather(y, batch), logits=forward(variables, activate, tf.gather(X, batch))
                )
                loss = tf.reduce_mean(losses) if reduction == "mean" else tf.reduce_sum(losses)
                loss += constant("l2") * tf.add_n([tf.nn.l2_loss(W) for W in variables[::2]])
            gradients = tape.gradient(loss, variables)
            t.assign_add(1.0)
            for w, g, own in zip(variables, gradients, slots, strict=True):
                update(w, g, own, learning_rates[step], constant, t)

    return run_epoch


class TensorFlowTrainer(Trainer):
    """A network of `tf.Variable`s, trained one traced epoch at a time."""

    name = "tensorflow"
    requires = ("tensorflow",)
    arithmetic = (
        "tensorflow.matmul",
        "tensorflow.nn.sparse_softmax_cross_entropy_with_logits",
        "tensorflow.GradientTape.gradient",
    )

    def __init__(self, config: Config, start: Weights | None) -> None:
        self.config = config
        self.activation = [(NATIVE if start is None else CONTROLLED)[name] for name in config.activation]
        if start is None:
            return  # `fit_native` makes the variables
        self.variables = [tf.Variable(layer[key], dtype=config.dtype) for layer in start for key in ("W", "b")]
        _, n_slots = UPDATES[config.optimizer]
        self.slots = [[tf.Variable(tf.zeros_like(w)) for _ in range(n_slots)] for w in self.variables]
        self.t = tf.Variable(0.0, dtype=tf.float64)  # steps taken; a float, for the powers of Adam

    def train(self, X: np.ndarray, y: np.ndarray, batches: Batches, after_epoch: AfterEpoch) -> None:
        config = self.config
        run_epoch = epoch_traced_once(
            config.layers, config.activation, config.optimizer, config.reduction, config.dtype
        )
        constants = {
            name: tf.constant(getattr(config, name), tf.float64)
            for name in ("l2", *OPTIMIZER_CONSTANTS[config.optimizer])
        }
        X, y = tf.constant(X, config.dtype), tf.constant(y, tf.int64)
        for e in range(len(batches)):
            epoch = batches[e]
            rows, sizes = tf.constant(epoch.rows), tf.constant((epoch.rows >= 0).sum(axis=1), tf.int32)
            learning_rates = tf.constant(epoch.learning_rate, config.dtype)
            run_epoch(self.variables, self.slots, self.t, X, y, rows, sizes, learning_rates, constants)
            self.variables[-1].numpy()  # an accelerator works on in the background: wait for the last update
            if after_epoch(e + 1):
                return

    def logits(self, X: np.ndarray) -> np.ndarray:
        return forward(self.variables, self.activation, tf.constant(X, self.variables[0].dtype)).numpy()

    def weights(self) -> Weights:
        W_and_b = zip(self.variables[::2], self.variables[1::2], strict=True)
        return tuple({"W": np.array(W), "b": np.array(b)} for W, b in W_and_b)

    def set_weights(self, weights: Weights) -> None:
        values = (layer[key] for layer in weights for key in ("W", "b"))
        for variable, value in zip(self.variables, values, strict=True):
            variable.assign(tf.constant(value, variable.dtype))

    def fit_native(self, X: np.ndarray, y: np.ndarray, seed: int) -> NativeFit:
        config = self.config
        dtype = tf.as_dtype(config.dtype) if "dtype" in config.written else tf.float32
        tf.random.set_seed(seed)
        rng = np.random.default_rng(seed)

        self.variables = variables = []
        for n_in, n_out in zip(config.layers[:-1], config.layers[1:], strict=True):
            variables.append(tf.Variable(tf.random.truncated_normal([n_in, n_out], stddev=0.1, dtype=dtype)))
            variables.append(tf.Variable(tf.constant(0.1, dtype, shape=[n_out])))
        optimizer = native_optimizer(config)

        @tf.function
        def train_step(X_batch, y_batch):
            with tf.GradientTape() as tape:
                logits = forward(variables, self.activation, X_batch)
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y_batch, logits=logits))
                loss += config.l2 * tf.add_n([tf.nn.l2_loss(W) for W in variables[::2]])
            gradients = tape.gradient(loss, variables)
            optimizer.apply_gradients(zip(gradients, variables, strict=True))
            return loss

        n = len(X)
        batch_size = min(config.batch_size, n)
        X, y = X.astype(dtype.as_numpy_dtype), y.astype(np.int64)
        average_loss = []
        for _ in range(config.epochs):
            losses = []
            for _ in range(n // batch_size):
                batch = rng.choice(n, size=batch_size, replace=False)
                losses.append(float(train_step(tf.constant(X[batch]), tf.constant(y[batch]))))
            average_loss.append(float(np.mean(losses)))
        return NativeFit(epochs_run=config.epochs, curves={"loss": average_loss})


def native_optimizer(config: Config) -> "tf.keras.optimizers.Optimizer":
    """TensorFlow's own optimizer with its own defaults; only constants that the experiment writes are handed over."""
    if tf.keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"tf.keras runs on {tf.keras.backend.backend()!r}; the native mode of backend 'tensorflow' needs "
            "'tensorflow': unset KERAS_BACKEND, or set it to 'tensorflow'"
        )
    if config.optimizer == "adam":
        written = {name: getattr(config, name) for name in OPTIMIZER_CONSTANTS["adam"] if name in config.written}
        return tf.keras.optimizers.Adam(learning_rate=config.learning_rate, **written)
    if config.optimizer == "sgd":
        return tf.keras.optimizers.SGD(learning_rate=config.learning_rate)
    return tf.keras.optimizers.SGD(
        learning_rate=config.learning_rate, momentum=config.momentum, nesterov=config.optimizer == "nesterov"
    )
