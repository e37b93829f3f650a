"""TensorFlow: tensors, `tf.GradientTape` and updates written by hand, as in its classic tutorials.

How the conventions of `harness/reference.py` were matched:

- The losses are those of `tf.nn`, or plain arithmetic on the error, reduced by mean or sum, plus
  `l2 * tf.nn.l2_loss(W)`: TensorFlow's `l2_loss` has the half that our definition has.
- The sigmoid, ELU and SELU are written out: those of `tf.nn` round otherwise where they saturate, or have no alpha.
- Batch normalisation is written out: `tf.nn.batch_normalization` computes `z*s + (beta - mean*s)`, which cancels.
- TensorFlow's fused optimizer kernels put epsilon elsewhere; the updates below are those of the papers.
- Every constant enters as a float64 tensor and is rounded once. `tf.cast(0.9, tf.float64)` would go through float32.

The native mode is the classic lecture network, step by step: truncated normal weights, biases of 0.1, each batch an
independent draw, and an optimizer of `tf.keras` (which keeps its learning rate in float32 whatever the weights are).
"""

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # `tf.keras`, used by the native optimizers, reads it at import

import numpy as np
import tensorflow as tf

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

# Every structure traces functions of its own, on purpose, and TensorFlow would warn about the number of them.
tf.get_logger().setLevel("ERROR")

Activation = Callable[[tf.Tensor], tf.Tensor]
Layers = Sequence[dict[str, tf.Variable]]
# A constant by name, or what is derived from it in float64: 1 - 0.999 loses digits in float32.
Constant = Callable[..., tf.Tensor]


@tf.custom_gradient
def sigmoid(z: tf.Tensor):
    """`1 / (1 + exp(-z))`, with the gradient `a * (1 - a)` that `tf.nn.sigmoid` has too.

    The kernel of `tf.nn.sigmoid` divides `exp(z)` by `1 + exp(z)`. That is as exact, but near 1 it rounds to other
    numbers, so `1 - a`, all that is left of the gradient of a saturated unit, can be twice as large, or 0.
    """
    a = 1 / (1 + tf.exp(-z))
    return a, lambda upstream: upstream * a * (1 - a)


def elu(z: tf.Tensor, alpha: float | tf.Tensor, scale: float = 1.0) -> tf.Tensor:
    """`scale * z` above 0, else `scale * alpha * (exp(z) - 1)`, with a derivative of `a + scale * alpha` there.

    `tf.nn.elu` has no alpha, and `tf.nn.selu` has the right derivative at 0.
    """

    @tf.custom_gradient
    def activate(z):
        a = scale * tf.where(z > 0, z, alpha * tf.math.expm1(tf.minimum(z, 0)))
        return a, lambda upstream: upstream * tf.where(z > 0, tf.constant(scale, z.dtype), a + scale * alpha)

    return activate(z)


@tf.custom_gradient
def binary_cross_entropy(z: tf.Tensor, y: tf.Tensor):
    """`-y log(o) - (1 - y) log(1 - o)`, with the gradient `o - y`, which the derivative of TensorFlow's own sum of
    three terms is but for the rounding of a saturated output."""
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=z)
    return losses, lambda upstream: (upstream * (sigmoid(z) - y), None)


def activation_of(name: str, constant: Constant) -> Activation:
    """A hidden layer's activation, or the output's; the derivative at a kink is the left one."""
    return {
        "identity": tf.identity,
        "sigmoid": sigmoid,
        "tanh": tf.nn.tanh,
        "relu": tf.nn.relu,
        # the slope of `tf.nn.leaky_relu` is a float32
        "leaky_relu": lambda z: tf.where(z > 0, z, constant("leaky_slope") * z),
        "elu": lambda z: elu(z, constant("elu_alpha")),
        "selu": lambda z: elu(z, SELU_ALPHA, SELU_SCALE),
        "softplus": tf.nn.softplus,
    }[name]


def forward(
    config: Config,
    activation: Sequence[Activation],
    constant: Constant,
    layers: Layers,
    X: tf.Tensor,
    masks: Sequence[tf.Tensor] | None = None,
) -> tf.Tensor:
    """The logits: in training with the masks of dropout (`()` where nothing is dropped), in inference without."""
    kept = {} if masks is None else dict(zip(config.dropout_layers, masks, strict=True))
    a = X
    for k, layer in enumerate(layers):
        if k in kept:
            a = a * tf.cast(kept[k], a.dtype) / constant("dropout", lambda rate, k=k: 1 - rate[k])
        z = tf.matmul(a, layer["W"])
        z = batch_norm(layer, z, constant, training=masks is not None) if "gamma" in layer else z + layer["b"]
        a = activation[k](z) if k < len(activation) else z
    return a


def batch_norm(layer: dict[str, tf.Variable], z: tf.Tensor, constant: Constant, training: bool) -> tf.Tensor:
    """`gamma * (z - mean) / sqrt(variance + epsilon) + beta`; in training the moments of the batch, which also move
    the running ones."""
    mean, variance = layer["mean"], layer["variance"]
    if training:
        mean, variance = tf.nn.moments(z, axes=[0])
        for running, value in ((layer["mean"], mean), (layer["variance"], variance)):
            fresh = constant("batch_norm_momentum", lambda momentum: 1 - momentum)
            running.assign(constant("batch_norm_momentum") * running + fresh * value)
    return layer["gamma"] * ((z - mean) / tf.sqrt(variance + constant("batch_norm_epsilon"))) + layer["beta"]


def losses_of_rows(config: Config, constant: Constant, logits: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """The loss of each row, `(n,)`: the mean over its outputs."""
    if config.loss == "cross_entropy":
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)
    if config.loss == "binary_cross_entropy":
        return tf.reduce_mean(binary_cross_entropy(logits, y), axis=1)
    error = activation_of(config.output_activation, constant)(logits) - y
    if config.loss == "mse":
        return tf.reduce_mean(tf.square(error), axis=1)
    size = tf.abs(error)
    if config.loss == "huber":
        delta = constant("huber_delta")
        size = tf.where(size <= delta, tf.square(error) / 2, delta * (size - delta / 2))
    return tf.reduce_mean(size, axis=1)


def clipped(config: Config, constant: Constant, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
    """`g * min(1, c / norm)`, the norm over all tensors together, then every element within -c and c.

    `tf.clip_by_global_norm` multiplies by `c * min(1 / norm, 1 / c)`, which is not quite 1 for a small gradient.
    """
    if config.clip_norm is not None:
        norm = tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(tf.cast(g, tf.float64))) for g in gradients]))
        factor = constant("clip_norm", lambda c: tf.minimum(tf.ones_like(c), c / norm))
        gradients = [g * factor for g in gradients]
    if config.clip_value is not None:
        gradients = [tf.clip_by_value(g, -constant("clip_value"), constant("clip_value")) for g in gradients]
    return gradients


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


def adagrad_step(g, G, learning_rate, constant):
    """`G += g**2`, and `lr * g / (sqrt(G) + epsilon)`."""
    G.assign_add(g * g)
    return learning_rate * g / (tf.sqrt(G) + constant("epsilon"))


def adagrad(w, g, slots, learning_rate, constant, t):
    """Duchi, Hazan and Singer, 2011: `w -= lr * g / (sqrt(G) + epsilon)`."""
    w.assign_sub(adagrad_step(g, slots[0], learning_rate, constant))


def adagrad_momentum(w, g, slots, learning_rate, constant, t):
    """Adagrad's step with a memory: `v = m*v + lr * g / (sqrt(G) + epsilon); w -= v`."""
    G, v = slots
    v.assign(constant("momentum") * v + adagrad_step(g, G, learning_rate, constant))
    w.assign_sub(v)


def rmsprop(w, g, slots, learning_rate, constant, t):
    """Tieleman and Hinton, 2012: `v = rho*v + (1 - rho)*g**2; w -= lr * g / (sqrt(v) + epsilon)`."""
    (v,) = slots
    v.assign(constant("rho") * v + constant("rho", lambda rho: 1 - rho) * g * g)
    w.assign_sub(learning_rate * g / (tf.sqrt(v) + constant("epsilon")))


def adam(w, g, slots, learning_rate, constant, t):
    """Kingma and Ba, 2015, Algorithm 1: bias-corrected moments, epsilon outside the root."""
    m, v = slots
    m.assign(constant("beta_1") * m + constant("beta_1", lambda beta: 1 - beta) * g)
    v.assign(constant("beta_2") * v + constant("beta_2", lambda beta: 1 - beta) * g * g)
    m_hat = m / constant("beta_1", lambda beta: 1 - beta**t)
    v_hat = v / constant("beta_2", lambda beta: 1 - beta**t)
    w.assign_sub(learning_rate * m_hat / (tf.sqrt(v_hat) + constant("epsilon")))


# name -> (the update, the slot variables that it keeps for each weight; "G" starts at `initial_accumulator`)
UPDATES: dict[str, tuple[Callable[..., None], tuple[str, ...]]] = {
    "sgd": (sgd, ()),
    "momentum": (momentum, ("v",)),
    "nesterov": (nesterov, ("v",)),
    "adagrad": (adagrad, ("G",)),
    "adagrad_momentum": (adagrad_momentum, ("G", "v")),
    "rmsprop": (rmsprop, ("v",)),
    "adam": (adam, ("m", "v")),
}

# The numbers of a `Config` that a traced epoch takes as arguments.
NUMBERS = (
    *("l2", "l1", "dropout", "clip_norm", "clip_value", "huber_delta", "leaky_slope", "elu_alpha"),
    *("batch_norm_momentum", "batch_norm_epsilon"),
    *("momentum", "beta_1", "beta_2", "rho", "epsilon"),
)


def constants_of(config: Config) -> dict[str, tf.Tensor]:
    """Every one of `NUMBERS` that is set, in float64."""
    values = {name: getattr(config, name) for name in NUMBERS}
    return {name: tf.constant(value, tf.float64) for name, value in values.items() if value is not None}


def rounded(constants: dict[str, tf.Tensor], dtype: str) -> Constant:
    """Looks a constant up and rounds it, or what is derived from it, once."""
    return lambda name, derive=lambda value: value: tf.cast(derive(constants[name]), dtype)


def structure_of(config: Config) -> Config:
    """What a traced epoch depends on: `config` with all that is an argument of it struck out, but for on or off."""
    on_or_off = {
        "l1": float(config.l1 > 0),
        "dropout": tuple(float(rate > 0) for rate in config.dropout),
        "clip_norm": None if config.clip_norm is None else 1.0,
        "clip_value": None if config.clip_value is None else 1.0,
    }
    unseen = ("learning_rate", "batch_size", "epochs", "initial_accumulator", "written")
    return replace(config, **{**dict.fromkeys((*NUMBERS, *unseen), 0), **on_or_off})


@functools.lru_cache(maxsize=64)
def epoch_traced_once(config: Config):
    """One epoch as a `tf.function`, shared by all trainers of one structure: tracing costs more than an epoch.

    `config` comes from `structure_of`. Whatever may differ between such trainers (variables, data, learning rates,
    constants) is an argument.
    """
    update, _ = UPDATES[config.optimizer]

    @tf.function(reduce_retracing=True)
    def run_epoch(layers, slots, t, X, y, rows, sizes, masks, learning_rates, constants):
        constant = rounded(constants, config.dtype)
        activation = [activation_of(name, constant) for name in config.activation]
        variables = trained(layers)
        for step in tf.range(tf.shape(rows)[0]):
            batch = rows[step, : sizes[step]]  # cuts the padding off a shorter batch
            kept = [mask[step, : sizes[step]] for mask in masks]
            with tf.GradientTape() as tape:
                logits = forward(config, activation, constant, layers, tf.gather(X, batch), kept)
                losses = losses_of_rows(config, constant, logits, tf.gather(y, batch))
                loss = tf.reduce_mean(losses) if config.reduction == "mean" else tf.reduce_sum(losses)
                loss += constant("l2") * tf.add_n([tf.nn.l2_loss(layer["W"]) for layer in layers])
                if config.l1 > 0:
                    loss += constant("l1") * tf.add_n([tf.reduce_sum(tf.abs(layer["W"])) for layer in layers])
            gradients = clipped(config, constant, tape.gradient(loss, variables))
            t.assign_add(1.0)
            for w, g, own in zip(variables, gradients, slots, strict=True):
                update(w, g, own, learning_rates[step], constant, t)

    return run_epoch


def trained(layers: Layers) -> list[tf.Variable]:
    """The variables that have a gradient: all but the running moments of batch normalisation."""
    return [value for layer in layers for key, value in layer.items() if key not in ("mean", "variance")]


class TensorFlowTrainer(Trainer):
    """A network of `tf.Variable`s, trained one traced epoch at a time."""

    name = "tensorflow"
    requires = ("tensorflow",)
    arithmetic = (
        "tensorflow.matmul",
        "tensorflow.nn.sparse_softmax_cross_entropy_with_logits",
        "tensorflow.GradientTape.gradient",
    )

    @classmethod
    def unsupported(cls, config: Config) -> str | None:
        reason = "the perceptron rule is no gradient descent: its step has no derivative; only numpy has it"
        return reason if config.optimizer == "perceptron" else None

    def __init__(self, config: Config, start: Weights | None) -> None:
        self.config = config
        self.constants = constants_of(config)
        self.constant = rounded(self.constants, config.dtype)
        if start is None:
            self.activation = [native_activation(name, config) for name in config.activation]
            return  # `fit_native` makes the variables
        self.activation = [activation_of(name, self.constant) for name in config.activation]
        self.layers = [{key: tf.Variable(value, dtype=config.dtype) for key, value in layer.items()} for layer in start]
        _, slots = UPDATES[config.optimizer]
        starts = {"G": tf.constant(config.initial_accumulator, config.dtype)}
        zero = tf.constant(0, config.dtype)
        self.slots = [
            [tf.Variable(tf.fill(w.shape, starts.get(slot, zero))) for slot in slots] for w in trained(self.layers)
        ]
        self.t = tf.Variable(0.0, dtype=tf.float64)  # steps taken; a float, for the powers of Adam

    def train(self, X: np.ndarray, y: np.ndarray, batches: Batches, after_epoch: AfterEpoch) -> None:
        config = self.config
        run_epoch = epoch_traced_once(structure_of(config))
        X, y = tf.constant(X, config.dtype), tf.constant(y, tf.int64 if config.task == "multiclass" else config.dtype)
        for e in range(len(batches)):
            epoch = batches[e]
            rows, sizes = tf.constant(epoch.rows), tf.constant((epoch.rows >= 0).sum(axis=1), tf.int32)
            masks = [tf.constant(mask) for mask in epoch.masks]
            learning_rates = tf.constant(epoch.learning_rate, config.dtype)
            run_epoch(self.layers, self.slots, self.t, X, y, rows, sizes, masks, learning_rates, self.constants)
            self.layers[-1]["b"].numpy()  # an accelerator works on in the background: wait for the last update
            if after_epoch(e + 1):
                return

    def logits(self, X: np.ndarray) -> np.ndarray:
        X = tf.constant(X, self.layers[0]["W"].dtype)
        return forward(self.config, self.activation, self.constant, self.layers, X).numpy()

    def weights(self) -> Weights:
        return tuple({key: np.array(value) for key, value in layer.items()} for layer in self.layers)

    def set_weights(self, weights: Weights) -> None:
        for layer, given in zip(self.layers, weights, strict=True):
            for key, variable in layer.items():
                variable.assign(tf.constant(given[key], variable.dtype))

    def fit_native(self, X: np.ndarray, y: np.ndarray, seed: int) -> NativeFit:
        config = self.config
        dtype = tf.as_dtype(config.dtype) if "dtype" in config.written else tf.float32
        tf.random.set_seed(seed)
        rng = np.random.default_rng(seed)

        self.layers = layers = []
        for n_in, n_out in pairwise(config.layers):
            W = tf.Variable(tf.random.truncated_normal([n_in, n_out], stddev=0.1, dtype=dtype))
            layers.append({"W": W, "b": tf.Variable(tf.constant(0.1, dtype, shape=[n_out]))})
        variables = trained(layers)
        optimizer = native_optimizer(config)

        @tf.function
        def train_step(X_batch, y_batch):
            with tf.GradientTape() as tape:
                logits = forward(config, self.activation, self.constant, layers, X_batch)
                loss = tf.reduce_mean(native_losses(config, logits, y_batch))
                loss += config.l2 * tf.add_n([tf.nn.l2_loss(layer["W"]) for layer in layers])
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


def native_activation(name: str, config: Config) -> Activation:
    """TensorFlow's own, with its own slope (0.2) and alpha (1) unless the experiment writes another."""
    if name == "leaky_relu" and "leaky_slope" in config.written:
        return functools.partial(tf.nn.leaky_relu, alpha=config.leaky_slope)
    if name == "elu" and "elu_alpha" in config.written:
        return functools.partial(tf.keras.activations.elu, alpha=config.elu_alpha)
    return tf.identity if name == "identity" else getattr(tf.nn, name)


def native_losses(config: Config, logits: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """TensorFlow's own losses, one a row or one an output: the mean over them is what a step minimises."""
    if config.loss == "cross_entropy":
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)
    if config.loss == "binary_cross_entropy":
        return tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=logits)
    output = native_activation(config.output_activation, config)(logits)
    if config.loss == "huber":
        return tf.keras.losses.huber(y, output, delta=config.huber_delta)
    return {"mse": tf.keras.losses.mse, "mae": tf.keras.losses.mae}[config.loss](y, output)


def native_optimizer(config: Config) -> "tf.keras.optimizers.Optimizer":
    """TensorFlow's own optimizer with its own defaults; only constants that the experiment writes are handed over."""
    if tf.keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"tf.keras runs on {tf.keras.backend.backend()!r}; the native mode of backend 'tensorflow' needs "
            "'tensorflow': unset KERAS_BACKEND, or set it to 'tensorflow'"
        )
    if config.optimizer == "adagrad_momentum":
        raise NotImplementedError("TensorFlow's Adagrad has no momentum")
    own = tf.keras.optimizers
    if config.optimizer in ("sgd", "momentum", "nesterov"):
        momentum = 0.0 if config.optimizer == "sgd" else config.momentum
        return own.SGD(config.learning_rate, momentum, nesterov=config.optimizer == "nesterov")
    renamed = {"initial_accumulator": "initial_accumulator_value"}
    written = [name for name in OPTIMIZER_CONSTANTS[config.optimizer] if name in config.written]
    constants = {renamed.get(name, name): getattr(config, name) for name in written}
    kind = {"adagrad": own.Adagrad, "rmsprop": own.RMSprop, "adam": own.Adam}[config.optimizer]
    return kind(learning_rate=config.learning_rate, **constants)
