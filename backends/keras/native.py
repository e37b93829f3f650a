"""Keras the way its own tutorial trains: `Dense` layers, `compile` and `fit`, with Keras's own defaults."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend.common import global_state

from harness import network
from harness.contract import Config, NativeFit, Weights

KERAS_NAME = {"initial_accumulator": "initial_accumulator_value"}  # of the constants that have another name there


@contextlib.contextmanager
def precision(dtype: str) -> Iterator[None]:
    """Keras reads its dtype from two globals, a layer's `dtype` alone is not enough: both are set, on a clean state.

    `keras.utils.clear_session` would empty that state, which grows with every model; but names, seeds and policy in it
    may be those of a user in whose process we train. So it is set aside and put back, and so is TensorFlow's logger:
    every structure traces functions of its own, on purpose, and it would warn about the number of them.
    """
    state, floatx = vars(global_state.GLOBAL_STATE_TRACKER), keras.config.floatx()
    before = dict(state)
    logger = tf.get_logger()
    level = logger.level
    state.clear()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        state.clear()
        state.update(before)
        keras.config.set_floatx(floatx)
        logger.setLevel(level)


LOSS: dict[type[network.Loss], Callable[..., keras.losses.Loss]] = {
    network.CrossEntropy: lambda it, **o: keras.losses.SparseCategoricalCrossentropy(from_logits=True, **o),
    network.BinaryCrossEntropy: lambda it, **o: keras.losses.BinaryCrossentropy(from_logits=True, **o),
    network.MSE: lambda it, **o: keras.losses.MeanSquaredError(**o),
    network.MAE: lambda it, **o: keras.losses.MeanAbsoluteError(**o),
    network.Huber: lambda it, **o: keras.losses.Huber(delta=it.delta, **o),
}
"""Keras's own loss of that name; the mean over a row's outputs is ours."""


class NativeKeras:
    """A `keras.Sequential` that `fit` makes and trains; then `logits` and `weights` answer, as in `Trainer`."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def fit(self, X: np.ndarray, y: np.ndarray, seed: int) -> NativeFit:
        """`Trainer.fit_native`."""
        config = self.config
        # beside the loss Keras logs how often the largest logit, or the sign of the only one, is right
        metrics = {"multiclass": ["accuracy"], "binary": [keras.metrics.BinaryAccuracy("accuracy", threshold=0)]}
        with precision(config.dtype if "dtype" in config.written else "float32"):
            keras.utils.set_random_seed(seed)
            activations = [
                native_activation(name, config) for name in (*config.network.dense["activation"], "identity")
            ]
            layers = [
                keras.layers.Dense(units, activation, kernel_regularizer=keras.regularizers.L2(config.penalty.l2))
                for units, activation in zip(config.network.units[1:], activations, strict=True)
            ]
            self.network = model = keras.Sequential([keras.Input((config.network.units[0],)), *layers])
            if config.task == "regression" and config.loss.output.name != "identity":
                output = keras.layers.Activation(native_activation(config.loss.output.name, config))
                model = keras.Sequential([self.network, output])
            model.compile(
                optimizer=native_optimizer(config),
                loss=LOSS[type(config.loss)](config.loss),
                metrics=metrics.get(config.task),
            )
            history = model.fit(X, y, batch_size=config.batch_size, epochs=config.epochs, verbose=0)
        curves = {name: [float(value) for value in values] for name, values in history.history.items()}
        return NativeFit(epochs_run=len(history.epoch), curves=curves)

    def logits(self, X: np.ndarray) -> np.ndarray:
        dtype = self.network.dtype
        with precision(dtype):
            return self.network(tf.constant(X, dtype), training=False).numpy()

    def weights(self) -> Weights:
        return tuple({"W": np.array(W), "b": np.array(b)} for W, b in (layer.weights for layer in self.network.layers))


def native_activation(name: str, config: Config) -> str | Callable:
    """Keras's own, with its own slope (0.2) and alpha (1) unless the experiment writes another."""
    if name == "leaky_relu" and "leaky_slope" in config.written:
        return functools.partial(keras.activations.leaky_relu, negative_slope=config.value("leaky_slope"))
    if name == "elu" and "elu_alpha" in config.written:
        return functools.partial(keras.activations.elu, alpha=config.value("elu_alpha"))
    return {"identity": "linear"}.get(name, name)


OPTIMIZER: dict[type[network.Optimizer], type[keras.optimizers.Optimizer]] = {
    **dict.fromkeys((network.SGD, network.Momentum, network.Nesterov), keras.optimizers.SGD),
    network.Adagrad: keras.optimizers.Adagrad,
    network.RMSprop: keras.optimizers.RMSprop,
    network.Adam: keras.optimizers.Adam,
}


def constants_of(config: Config) -> dict[str, Any]:
    """The arguments of Keras's own optimizer: its own defaults, but for constants that the experiment writes."""
    it = config.optimizer
    constants: dict[str, Any] = {"learning_rate": config.optimizer.learning_rate}
    if isinstance(it, network.Momentum | network.Nesterov):
        return constants | {"momentum": it.momentum, "nesterov": isinstance(it, network.Nesterov)}
    written = {name: value for name, value in it.numbers().items() if name in config.written}
    return constants | {KERAS_NAME.get(name, name): value for name, value in written.items()}


def native_optimizer(config: Config) -> keras.optimizers.Optimizer:
    """Keras's own optimizer."""
    return OPTIMIZER[type(config.optimizer)](**constants_of(config))


VOCABULARY = (
    *(network.Dense, *LOSS, *OPTIMIZER),
    *(each for each in network.ACTIVATIONS.values() if each.hidden),
)
"""What Keras has of its own."""
