"""The lines that a user of each framework writes: what `fit_native` of its adapter runs, the numbers filled in."""

from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from itertools import pairwise
from typing import Any

from harness.contract import OPTIMIZER_CONSTANTS, Config, constants_of
from harness.registry import declared_by

WIDTH = 96

SKLEARN_ACTIVATION = {"identity": "identity", "sigmoid": "logistic", "tanh": "tanh", "relu": "relu"}
TORCH_ACTIVATION = {"identity": "nn.Identity", "sigmoid": "nn.Sigmoid", "tanh": "nn.Tanh", "relu": "nn.ReLU"}
TORCH_ACTIVATION |= {"leaky_relu": "nn.LeakyReLU", "elu": "nn.ELU", "selu": "nn.SELU", "softplus": "nn.Softplus"}
TORCH_LOSS = {"cross_entropy": "CrossEntropyLoss", "binary_cross_entropy": "BCEWithLogitsLoss"}
TORCH_LOSS |= {"mse": "MSELoss", "mae": "L1Loss", "huber": "HuberLoss"}
_KERAS_LOSS = {"mse": "MeanSquaredError", "mae": "MeanAbsoluteError", "huber": "Huber"}
_KERAS_LOSS |= {"cross_entropy": "SparseCategoricalCrossentropy", "binary_cross_entropy": "BinaryCrossentropy"}
KERAS_NAME = {"initial_accumulator": "initial_accumulator_value"}
TORCH_NAME = {"epsilon": "eps", "rho": "alpha", "initial_accumulator": "initial_accumulator_value"}
CLASS = {"adagrad": "Adagrad", "rmsprop": "RMSprop", "adam": "Adam"}


def call(head: str, arguments: Sequence[str], tail: str = ")") -> list[str]:
    """`head(arguments)` on one line, or, where it is too long for one, with the arguments on lines of their own."""
    line = head + ", ".join(arguments) + tail
    if len(line) <= WIDTH:
        return [line]
    indent = " " * (len(head) - len(head.lstrip()))
    lines = [indent + "   "]
    for argument in arguments:
        if len(lines[-1]) + len(argument) + 2 > WIDTH and lines[-1].strip():
            lines.append(indent + "   ")
        lines[-1] += f" {argument},"
    return [head, *lines, indent + tail]


def keywords(values: dict[str, Any]) -> list[str]:
    """`name=value`, as code."""
    return [f"{name}={code(value)}" for name, value in values.items()]


def code(value: Any) -> str:
    """A value as it is typed: strings in double quotes."""
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _written(config: Config, names: dict[str, str]) -> dict[str, Any]:
    """The optimizer's constants that the experiment writes, under the framework's names."""
    read = OPTIMIZER_CONSTANTS[config.optimizer]
    return {names.get(name, name): getattr(config, name) for name in read if name in config.written}


def sklearn_network(config: Config) -> dict[str, Any]:
    """The arguments that describe the network."""
    if not config.hidden:
        return {"hidden_layer_sizes": ()}
    return {"hidden_layer_sizes": config.hidden, "activation": SKLEARN_ACTIVATION[config.activation[0]]}


def _sklearn_model(config: Config) -> str:
    return "MLPRegressor" if config.task == "regression" else "MLPClassifier"


def _sklearn_native(config: Config, seed: int) -> list[str]:
    solver: dict[str, Any] = {"solver": "adam" if config.optimizer == "adam" else "sgd"}
    if config.optimizer == "momentum":
        solver["nesterovs_momentum"] = False
    arguments = {**sklearn_network(config), **solver, **_written(config, {}), "alpha": config.l2}
    arguments |= {"batch_size": config.batch_size, "learning_rate_init": config.learning_rate}
    arguments |= {"max_iter": config.epochs, "random_state": seed}
    X = f"X.astype({code(config.dtype)})" if "dtype" in config.written else "X"
    y = "y.reshape(-1)" if config.n_outputs == 1 else "y"
    y += f".astype({code(config.dtype)})" if "dtype" in config.written and config.task == "regression" else ""
    return [
        f"from sklearn.neural_network import {_sklearn_model(config)}",
        *call(f"model = {_sklearn_model(config)}(", keywords(arguments)),
        f"model.fit({X}, {y})",
    ]


def keras_activation(config: Config, name: str) -> str:
    """Keras's own, its constant only where the experiment writes one."""
    if name == "leaky_relu" and "leaky_slope" in config.written:
        return f"lambda z: keras.activations.leaky_relu(z, negative_slope={config.leaky_slope!r})"
    if name == "elu" and "elu_alpha" in config.written:
        return f"lambda z: keras.activations.elu(z, alpha={config.elu_alpha!r})"
    return code({"identity": "linear"}.get(name, name))


def keras_loss(config: Config, **reduction: str) -> str:
    """The loss, from logits where it is a cross entropy."""
    arguments: dict[str, Any] = {"from_logits": True} if "entropy" in config.loss else {}
    if config.loss == "huber":
        arguments = {"delta": config.huber_delta}
    return f"keras.losses.{_KERAS_LOSS[config.loss]}({', '.join(keywords(arguments | reduction))})"


def _keras_optimizer(config: Config) -> str:
    rate = {"learning_rate": config.learning_rate}
    if config.optimizer in ("sgd", "momentum", "nesterov"):
        heavy = {} if config.optimizer == "sgd" else {"momentum": config.momentum}
        heavy |= {"nesterov": True} if config.optimizer == "nesterov" else {}
        return f"keras.optimizers.SGD({', '.join(keywords(rate | heavy))})"
    constants = _written(config, KERAS_NAME)
    return f"keras.optimizers.{CLASS[config.optimizer]}({', '.join(keywords(rate | constants))})"


def _keras_native(config: Config, seed: int) -> list[str]:
    dtype = code(config.dtype if "dtype" in config.written else "float32")
    regularizer = f"kernel_regularizer=keras.regularizers.L2({config.l2!r})"
    lines = ["import keras"]
    if "dtype" in config.written:
        lines += [f"keras.config.set_floatx({dtype})", f"keras.config.set_dtype_policy({dtype})"]
    lines += [f"keras.utils.set_random_seed({seed})", "model = keras.Sequential(["]
    lines += [f"    keras.Input(({config.n_inputs},)),"]
    for units, name in zip(config.layers[1:], (*config.activation, None), strict=True):
        activation = [] if name is None else [f"activation={keras_activation(config, name)}"]
        lines += call("    keras.layers.Dense(", [str(units), *activation, regularizer], "),")
    if config.task == "regression" and config.output_activation != "identity":
        lines.append(f"    keras.layers.Activation({keras_activation(config, config.output_activation)}),")
    compiled = [f"optimizer={_keras_optimizer(config)}", f"loss={keras_loss(config)}"]
    return [
        *lines,
        "])",
        *call("model.compile(", compiled),
        f"model.fit(X, y, batch_size={config.batch_size}, epochs={config.epochs})",
    ]


def _torch_activation(config: Config, name: str) -> str:
    constant = {"leaky_relu": "leaky_slope", "elu": "elu_alpha"}.get(name)
    given = repr(getattr(config, constant)) if constant in config.written and constant else ""
    return f"{TORCH_ACTIVATION[name]}({given})"


def torch_model(config: Config, dtype: str, activation: Callable[[Config, str], str]) -> list[str]:
    """`model = nn.Sequential(…)`, the last layer without activation."""
    precision = "" if dtype == "float32" else f", dtype=torch.{dtype}"
    modules = []
    for k, (n_in, n_out) in enumerate(pairwise(config.layers)):
        modules.append(f"nn.Linear({n_in}, {n_out}{precision})")
        modules += [activation(config, config.activation[k])] if k < len(config.hidden) else []
    return call("model = nn.Sequential(", modules)


def _torch_native_optimizer(config: Config) -> list[str]:
    arguments: dict[str, Any] = {"lr": config.learning_rate}
    if config.optimizer in ("momentum", "nesterov"):
        arguments["momentum"] = config.momentum
        arguments |= {"nesterov": True} if config.optimizer == "nesterov" and config.momentum > 0 else {}
        constants = {}
    else:
        constants = _written(config, TORCH_NAME)
        constants = {key: value for key, value in constants.items() if not key.startswith("beta")}
        if config.optimizer == "adam" and config.written & {"beta_1", "beta_2"}:
            constants["betas"] = (config.beta_1, config.beta_2)
    arguments |= {"weight_decay": config.l2, **constants}
    kind = CLASS.get(config.optimizer, "SGD")
    return call(f"optimizer = torch.optim.{kind}(", ["model.parameters()", *keywords(arguments)])


def _torch_native(config: Config, seed: int) -> list[str]:
    dtype = config.dtype if "dtype" in config.written else "float32"
    targets = "torch.int64" if config.task == "multiclass" else f"torch.{dtype}"
    delta = f"delta={config.huber_delta!r}" if config.loss == "huber" else ""
    output = config.output_activation if config.task == "regression" else "identity"
    outputs = "model(inputs)" if output == "identity" else f"{_torch_activation(config, output)}(model(inputs))"
    return [
        "import torch",
        "from torch import nn",
        "from torch.utils.data import DataLoader, TensorDataset",
        f"torch.manual_seed({seed})",
        *torch_model(config, dtype, _torch_activation),
        f"criterion = nn.{TORCH_LOSS[config.loss]}({delta})",
        *_torch_native_optimizer(config),
        f"inputs, labels = torch.tensor(X, dtype=torch.{dtype}), torch.tensor(y, dtype={targets})",
        "dataset = TensorDataset(inputs, labels)",
        "loader = DataLoader(",
        f"    dataset, batch_size={config.batch_size}, shuffle=True, generator=torch.Generator().manual_seed({seed})",
        ")",
        f"for epoch in range({config.epochs}):",
        "    for inputs, labels in loader:",
        "        optimizer.zero_grad()",
        f"        loss = criterion({outputs}, labels)",
        "        loss.backward()",
        "        optimizer.step()",
    ]


_TF_ACTIVATION = {"identity": "tf.identity", "tanh": "tf.nn.tanh", "sigmoid": "tf.nn.sigmoid"}


def _tensorflow_activation(config: Config, name: str) -> str:
    if name == "leaky_relu" and "leaky_slope" in config.written:
        return f"lambda z: tf.nn.leaky_relu(z, alpha={config.leaky_slope!r})"
    if name == "elu" and "elu_alpha" in config.written:
        return f"lambda z: tf.keras.activations.elu(z, alpha={config.elu_alpha!r})"
    return _TF_ACTIVATION.get(name, f"tf.nn.{name}")


def _tensorflow_loss(config: Config) -> str:
    if config.loss == "cross_entropy":
        return "tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=a)"
    if config.loss == "binary_cross_entropy":
        return "tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=a)"
    delta = f", delta={config.huber_delta!r}" if config.loss == "huber" else ""
    return f"tf.keras.losses.{config.loss}(labels, a{delta})"


def _tensorflow_native(config: Config, seed: int) -> list[str]:
    dtype = config.dtype if "dtype" in config.written else "float32"
    output = config.output_activation if config.task == "regression" else "identity"
    activations = [_tensorflow_activation(config, name) for name in (*config.activation, output)]
    return [
        "import numpy as np",
        "import tensorflow as tf",
        f"tf.random.set_seed({seed})",
        f"rng = np.random.default_rng({seed})",
        "layers = []",
        f"for shape in {list(pairwise(config.layers))}:",
        f"    W = tf.Variable(tf.random.truncated_normal(shape, stddev=0.1, dtype=tf.{dtype}))",
        f"    layers.append((W, tf.Variable(tf.constant(0.1, tf.{dtype}, shape=shape[1:]))))",
        "variables = [variable for layer in layers for variable in layer]",
        *call("activations = [", activations, "]"),
        f"optimizer = tf.{_keras_optimizer(config)}",
        "@tf.function",
        "def train_step(a, labels):",
        "    with tf.GradientTape() as tape:",
        "        for (W, b), activation in zip(layers, activations):",
        "            a = activation(tf.matmul(a, W) + b)",
        f"        losses = {_tensorflow_loss(config)}",
        "        loss = tf.reduce_mean(losses)",
        f"        loss += {config.l2!r} * tf.add_n([tf.nn.l2_loss(W) for W, b in layers])",
        "    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))",
        f"""X, y = X.astype("{dtype}"), y.astype("{"int64" if config.task == "multiclass" else dtype}")""",
        f"for step in range({config.epochs} * (len(X) // {config.batch_size})):",
        f"    rows = rng.choice(len(X), size={config.batch_size}, replace=False)",
        "    train_step(tf.constant(X[rows]), tf.constant(y[rows]))",
    ]


def config_lines(config: Config, **changes: Any) -> list[str]:
    """`config = Config(…)` with the fields that are not at their defaults, or in `changes`."""
    required = [field.name for field in fields(Config) if field.default is MISSING and field.name != "written"]
    others = [
        field.name
        for field in fields(Config)
        if field.name not in (*required, "written") and getattr(config, field.name) != field.default
    ]
    return call("config = Config(", keywords({name: getattr(config, name) for name in (*required, *others)} | changes))


def _numpy_native(config: Config, seed: int) -> list[str]:
    targets = f"np.eye({config.n_outputs})[y]" if config.task == "multiclass" else "y"
    read = constants_of(config.optimizer, config.activation)
    declared = {name: declared_by("numpy")[name].at(config) for name in (*read, "dtype")}
    own = {name: value for name, value in declared.items() if name not in config.written | {"momentum"}}
    return [
        "import numpy as np",
        "from backends.numpy.native import NeuralNetwork",
        "from harness import Config",
        *config_lines(config, **own),
        f"network = NeuralNetwork(config, X, {targets}, seed={seed})",
        "network.train()",
    ]


NATIVE_LINES: dict[str, Callable[[Config, int], list[str]]] = {
    "numpy": _numpy_native,
    "sklearn": _sklearn_native,
    "tensorflow": _tensorflow_native,
    "keras": _keras_native,
    "torch": _torch_native,
}
"""Backend -> what writes its lines for a config and a seed."""
