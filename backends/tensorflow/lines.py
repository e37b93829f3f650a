"""TensorFlow's lines: a loop of its own operations, with Keras' optimizers."""

from itertools import pairwise
from typing import Any

from backends.keras.lines import decoupled, epsilon_outside, made, optimizer_of
from harness.calls.backend_lines import BackendLines
from harness.calls.switch import Switch
from harness.calls.text import Lines, call
from harness.contract import Config

_ACTIVATION = {"identity": "tf.identity", "tanh": "tf.nn.tanh", "sigmoid": "tf.nn.sigmoid"}


class TensorFlowLines(BackendLines):
    """The loss is the user's own line, so that most conventions are, too."""

    override = "override `update_step` of its optimizer"
    step = "train_step(tf.constant(X[rows]), tf.constant(y[rows]))"
    drawn = {
        "uniform": "tf.random.uniform({shape}, -{s}, {s})",
        "normal": "tf.random.normal({shape}, stddev={s})",
        "truncated_normal": "tf.random.truncated_normal({shape}, stddev={s})",
        "zeros": "tf.zeros({shape})",
        "constant": "tf.fill({shape}, {s})",
    }
    from_logits = True
    exact_constants = '# constants: np.float64(0.9) for 0.9 in every optimizer, and keras.config.set_floatx("float64")'

    def native(self, config: Config, seed: int) -> Lines:
        dtype = config.dtype if "dtype" in config.written else "float32"
        output = config.loss.output.name if config.task == "regression" else "identity"
        activations = [_activation(config, name) for name in (*config.network.dense["activation"], output)]
        return [
            "import numpy as np",
            "import tensorflow as tf",
            f"tf.random.set_seed({seed})",
            f"rng = np.random.default_rng({seed})",
            "layers = []",
            f"for shape in {list(pairwise(config.network.units))}:",
            f"    W = tf.Variable(tf.random.truncated_normal(shape, stddev=0.1, dtype=tf.{dtype}))",
            f"    layers.append((W, tf.Variable(tf.constant(0.1, tf.{dtype}, shape=shape[1:]))))",
            "variables = [variable for layer in layers for variable in layer]",
            *call("activations = [", activations, "]"),
            f"optimizer = tf.{optimizer_of(config)}",
            "@tf.function",
            "def train_step(a, labels):",
            "    with tf.GradientTape() as tape:",
            "        for (W, b), activation in zip(layers, activations):",
            "            a = activation(tf.matmul(a, W) + b)",
            f"        losses = {_loss(config)}",
            "        loss = tf.reduce_mean(losses)",
            f"        loss += {config.penalty.l2!r} * tf.add_n([tf.nn.l2_loss(W) for W, b in layers])",
            "    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))",
            f"""X, y = X.astype("{dtype}"), y.astype("{"int64" if config.task == "multiclass" else dtype}")""",
            f"for step in range({config.epochs} * (len(X) // {config.batch_size})):",
            f"    rows = rng.choice(len(X), size={config.batch_size}, replace=False)",
            "    train_step(tf.constant(X[rows]), tf.constant(y[rows]))",
        ]

    def penalty(self, s: Switch, value: str) -> Lines:
        loss, over = {
            "weights": ("W", "W, b in layers"),
            "weights and biases": ("w", "layer in layers for w in layer"),
            "hidden": ("W", "W, b in layers[:-1]"),
            "nothing": ("W", "W, b in layers"),
        }[s.row.l2_tensors]
        return [f"loss += {value} * tf.add_n([tf.nn.l2_loss({loss}) for {over}])"]

    def decoupled(self, s: Switch, value: str) -> Lines:
        return decoupled(value)

    def made(self, s: Switch, constants: dict[str, Any]) -> Lines:
        return made("tf.keras", s, constants)

    def epsilon(self, s: Switch) -> Lines:
        return epsilon_outside(self, s)

    def activation_constants(self, s: Switch) -> dict[str, str]:
        slope, alpha, threshold = s.row.leaky_slope, s.row.elu_alpha, s.row.softplus_threshold
        return {
            "leaky_slope": f"lambda z: tf.nn.leaky_relu(z, alpha={slope!r})",
            "elu_alpha": f"lambda z: tf.keras.activations.elu(z, alpha={alpha!r})",
            "softplus_threshold": f"lambda z: tf.where(z > {threshold}, z, tf.nn.softplus(z))",
        }

    def dtype(self, s: Switch) -> Lines:
        return [f"dtype=tf.{s.row.dtype}  # of every variable", f'X = X.astype("{s.row.dtype}")']


def _activation(config: Config, name: str) -> str:
    if name == "leaky_relu" and "leaky_slope" in config.written:
        return f"lambda z: tf.nn.leaky_relu(z, alpha={config.value('leaky_slope')!r})"
    if name == "elu" and "elu_alpha" in config.written:
        return f"lambda z: tf.keras.activations.elu(z, alpha={config.value('elu_alpha')!r})"
    return _ACTIVATION.get(name, f"tf.nn.{name}")


def _loss(config: Config) -> str:
    if config.loss.name == "cross_entropy":
        return "tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=a)"
    if config.loss.name == "binary_cross_entropy":
        return "tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=a)"
    delta = f", delta={config.value('huber_delta')!r}" if config.loss.name == "huber" else ""
    return f"tf.keras.losses.{config.loss.name}(labels, a{delta})"
