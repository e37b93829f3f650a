"""TensorFlow's own way: the classic lecture network, step by step.

Truncated normal weights, biases of 0.1, each batch an independent draw, the losses and activations of `tf.nn`, and an
optimizer of `tf.keras` (which keeps its learning rate in float32 whatever the weights are).
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import tensorflow as tf

from harness import network
from harness.contract import Config, NativeFit, Weights

Activation = Callable[[tf.Tensor], tf.Tensor]


@contextmanager
def quiet() -> Iterator[None]:
    """Every structure traces functions of its own, on purpose, and TensorFlow would warn about the number of them."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


class NativeNetwork:
    """The network that `fit` makes and trains; before that it has no layers."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.activation = [activation_of(name, config) for name in config.network.dense["activation"]]
        self.layers: list[dict[str, tf.Variable]] = []

    @quiet()
    def fit(self, X: np.ndarray, y: np.ndarray, seed: int) -> NativeFit:
        """See `Trainer.fit_native`."""
        config, layers = self.config, self.layers
        dtype = tf.as_dtype(config.dtype) if "dtype" in config.written else tf.float32
        tf.random.set_seed(seed)
        rng = np.random.default_rng(seed)

        for n_in, n_out in pairwise(config.network.units):
            W = tf.Variable(tf.random.truncated_normal([n_in, n_out], stddev=0.1, dtype=dtype))
            layers.append({"W": W, "b": tf.Variable(tf.constant(0.1, dtype, shape=[n_out]))})
        variables = [value for layer in layers for value in layer.values()]
        optimizer = optimizer_of(config)

        @tf.function
        def train_step(X_batch, y_batch):
            with tf.GradientTape() as tape:
                logits = forward(layers, self.activation, X_batch)
                loss = tf.reduce_mean(losses_of(config, logits, y_batch))
                loss += config.penalty.l2 * tf.add_n([tf.nn.l2_loss(layer["W"]) for layer in layers])
            gradients = tape.gradient(loss, variables)
            optimizer.apply_gradients(zip(gradients, variables, strict=True))
            return loss

        n = len(X)
        batch_size = min(config.batch_size, n)
        X = X.astype(dtype.as_numpy_dtype)
        y = y.astype(np.int64 if config.task == "multiclass" else dtype.as_numpy_dtype)
        average_loss = []
        for _ in range(config.epochs):
            losses = []
            for _ in range(n // batch_size):
                batch = rng.choice(n, size=batch_size, replace=False)
                losses.append(float(train_step(tf.constant(X[batch]), tf.constant(y[batch]))))
            average_loss.append(float(np.mean(losses)))
        return NativeFit(epochs_run=config.epochs, curves={"loss": average_loss})

    def logits(self, X: np.ndarray) -> np.ndarray:
        """The outputs before their activation, `(n, n_outputs)`."""
        return forward(self.layers, self.activation, tf.constant(X, self.layers[0]["W"].dtype)).numpy()

    def weights(self) -> Weights:
        """A copy of the weights as they are now."""
        return tuple({key: np.array(value) for key, value in layer.items()} for layer in self.layers)


def forward(layers: Sequence[dict[str, tf.Variable]], activation: Sequence[Activation], X: tf.Tensor) -> tf.Tensor:
    """The logits."""
    a = X
    for layer, activate in zip(layers, [*activation, tf.identity], strict=True):
        a = activate(tf.matmul(a, layer["W"]) + layer["b"])
    return a


def activation_of(name: str, config: Config) -> Activation:
    """TensorFlow's own, with its own slope (0.2) and alpha (1) unless the experiment writes another."""
    if name == "leaky_relu" and "leaky_slope" in config.written:
        return functools.partial(tf.nn.leaky_relu, alpha=config.value("leaky_slope"))
    if name == "elu" and "elu_alpha" in config.written:
        return functools.partial(tf.keras.activations.elu, alpha=config.value("elu_alpha"))
    return tf.identity if name == "identity" else getattr(tf.nn, name)


def losses_of(config: Config, logits: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """TensorFlow's own losses, one a row or one an output: the mean over them is what a step minimises."""
    if config.loss.name == "cross_entropy":
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)
    if config.loss.name == "binary_cross_entropy":
        return tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=logits)
    output = activation_of(config.loss.output.name, config)(logits)
    if config.loss.name == "huber":
        return tf.keras.losses.huber(y, output, delta=config.value("huber_delta"))
    return {"mse": tf.keras.losses.mse, "mae": tf.keras.losses.mae}[config.loss.name](y, output)


def optimizer_of(config: Config) -> "tf.keras.optimizers.Optimizer":
    """TensorFlow's own optimizer with its own defaults; only constants that the experiment writes are handed over."""
    if tf.keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"tf.keras runs on {tf.keras.backend.backend()!r}; the native mode of backend 'tensorflow' needs "
            "'tensorflow': unset KERAS_BACKEND, or set it to 'tensorflow'"
        )
    return getattr(tf.keras.optimizers, OPTIMIZER[type(config.optimizer)])(**_constants(config))


def _constants(config: Config) -> dict[str, Any]:
    it = config.optimizer
    constants: dict[str, Any] = {"learning_rate": config.optimizer.learning_rate}
    if isinstance(it, network.Momentum | network.Nesterov):
        return constants | {"momentum": it.momentum, "nesterov": isinstance(it, network.Nesterov)}
    renamed = {"initial_accumulator": "initial_accumulator_value"}
    written = {name: value for name, value in it.numbers().items() if name in config.written}
    return constants | {renamed.get(name, name): value for name, value in written.items()}


OPTIMIZER: dict[type[network.Optimizer], str] = {
    **dict.fromkeys((network.SGD, network.Momentum, network.Nesterov), "SGD"),
    network.Adagrad: "Adagrad",
    network.RMSprop: "RMSprop",
    network.Adam: "Adam",
}

VOCABULARY = (
    *(network.Dense, network.CrossEntropy, network.BinaryCrossEntropy, network.MSE, network.MAE, network.Huber),
    *(each for each in network.ACTIVATIONS.values() if each.hidden),
    *OPTIMIZER,
)
"""What TensorFlow has of its own."""
