"""The lines that each adapter runs in controlled mode, with every number filled in; the adapters have the helpers.

What a network has beyond plain layers and L2 is named in a comment: there the adapter itself is the shorter text.
"""

from collections.abc import Callable
from typing import Any

from harness import registry
from harness.calls.native_calls import (
    CLASS,
    KERAS_NAME,
    TORCH_ACTIVATION,
    TORCH_NAME,
    call,
    code,
    keras_loss,
    keywords,
    sklearn_network,
    torch_model,
)
from harness.contract import OPTIMIZER_CONSTANTS, Config

_FORMULA = {
    "sgd": "w -= lr * g",
    "momentum": "v = m * v + g; w -= lr * v",
    "nesterov": "v = m * v + g; w -= lr * (g + m * v)",
    "adagrad": "G += g**2; w -= lr * g / (sqrt(G) + eps)",
    "adagrad_momentum": "G += g**2; v = m * v + lr * g / (sqrt(G) + eps); w -= v",
    "rmsprop": "v = rho * v + (1 - rho) * g**2; w -= lr * g / (sqrt(v) + eps)",
    "adam": "w -= lr * m_hat / (sqrt(v_hat) + eps)",
    "perceptron": "w -= lr * x * (step(z) - y)",
}


def _beyond(config: Config, backend: str) -> list[str]:
    """A comment that names what the lines below leave out."""
    path, _ = _adapter(backend)
    return [f"# and {', '.join(config.regularisation)}: {path.replace('.', '/')}.py"] if config.regularisation else []


def _adapter(name: str) -> tuple[str, str]:
    """The module and the class of a backend's adapter."""
    module, _, trainer = registry.backend(name).trainer.partition(":")
    return module, trainer


def _by_hand(backend: str) -> Callable[[Config], list[str]]:
    """A backend whose arithmetic is written out in its adapter: the formulas, and the adapter itself."""

    def lines(config: Config) -> list[str]:
        constants = [f"{name} = {getattr(config, name)!r}" for name in OPTIMIZER_CONSTANTS.get(config.optimizer, ())]
        rows = "mean" if config.reduction == "mean" else "sum"
        module, trainer = _adapter(backend)
        numbers = ", ".join([f"lr = {config.learning_rate!r} or the schedule's", *constants])
        return [
            f"# loss: {rows} over the rows + ({config.l2!r} / 2) * sum(W**2), in {config.dtype}",
            f"# {config.optimizer}: {_FORMULA[config.optimizer]}",
            f"# {numbers}",
            *_beyond(config, backend),
            f"from {module} import {trainer}",
            f"trainer = {trainer}(config, start)",
            "trainer.train(X, y, batches, after_epoch=lambda epoch: False)",
        ]

    return lines


def _sklearn(config: Config) -> list[str]:
    regression = config.task == "regression"
    name = "Regressor" if regression else "Classifier"
    optimizer = "PaperAdam" if config.optimizer == "adam" else "ScheduledSGD"
    arguments = [
        *keywords({**sklearn_network(config), "solver": "adam" if config.optimizer == "adam" else "sgd"}),
        *("shuffle=False", "tol=0", "n_iter_no_change=np.inf"),
    ]
    if config.optimizer == "adam":
        constants = keywords({key: getattr(config, key) for key in OPTIMIZER_CONSTANTS["adam"]})
    else:
        momentum = 0.0 if config.optimizer == "sgd" else config.momentum
        heavy: dict[str, Any] = {"momentum": momentum, "nesterov": config.optimizer == "nesterov"}
        constants = keywords({"learning_rate_init": 1, **heavy})
    return [
        "from itertools import groupby",
        "import numpy as np",
        f"from backends.sklearn.trainer import {name}, {optimizer}",
        "from backends.sklearn.trainer import checked_targets, every_class, gradient_scale",
        *call(f"model = {name}(", arguments),
        *([] if regression else ["model.know(every_class(config))"]),
        f"model.build({config.layers}, start)",
        *call(f"model._optimizer = {optimizer}(", ["model.coefs_ + model.intercepts_", *constants]),
        "y = checked_targets(config, y)",
        "for e in range(len(batches)):",
        "    model._optimizer.step_rates = iter(batches[e].learning_rate.tolist())",
        "    for n, run in groupby(batches[e].batches(), key=len):",
        "        rows, scale = np.concatenate(list(run)), gradient_scale(config, n)",
        f"        model.batch_size, model.alpha = n, {config.l2!r} * (n / scale)",
        "        model._optimizer.gradient_scale = scale",
        "        model.partial_fit(X[rows], y[rows])",
    ]


_KERAS_OPTIMIZER = {"sgd": "keras.optimizers.SGD", "momentum": "PaperMomentum", "nesterov": "PaperMomentum"}
_KERAS_OPTIMIZER |= {"adagrad": "PaperAdagrad", "adagrad_momentum": "PaperAdagrad", "rmsprop": "PaperRMSprop"}
_KERAS_OPTIMIZER |= {"adam": "PaperAdam"}


def _keras_controlled_activation(config: Config, name: str) -> str:
    """Those that the adapter writes out are made by its `activation_of`."""
    own = name in ("sigmoid", "leaky_relu", "elu", "selu")
    return f"activation_of({code(name)}, config)" if own else code({"identity": "linear"}.get(name, name))


def _keras(config: Config) -> list[str]:
    name = config.optimizer
    if name in ("momentum", "nesterov") and config.momentum == 0:
        name = "sgd"
    constants = [
        f"{KERAS_NAME.get(key, key)}=np.float64({getattr(config, key)!r})" for key in OPTIMIZER_CONSTANTS[name]
    ]
    constants += ["nesterov=True"] if name == "nesterov" else []
    optimizer = call(f"optimizer = {_KERAS_OPTIMIZER[name]}(", ["learning_rate=learning_rate", *constants])
    reduction = {"mean": "sum_over_batch_size", "sum": "sum"}[config.reduction]
    loss = keras_loss(config, reduction=reduction)
    if config.loss == "binary_cross_entropy":
        loss = loss.removeprefix("keras.losses.")
    kind, _, arguments = loss.partition("(")
    layers: list[str] = []
    for units, activation in zip(config.layers[1:], (*config.activation, None), strict=True):
        shown = [] if activation is None else [f"activation={_keras_controlled_activation(config, activation)}"]
        penalty = f"kernel_regularizer=Penalty({config.l2!r}, {config.l1!r})"
        layers += call("    keras.layers.Dense(", [str(units), *shown, penalty], "),")
    if config.task == "regression" and config.output_activation != "identity":
        layers.append(f"    keras.layers.Activation({_keras_controlled_activation(config, config.output_activation)}),")
    return [
        *_beyond(config, "keras"),
        "import numpy as np",
        "from backends.keras.trainer import *",
        "from backends.keras.optimizers import *",
        "import keras",
        f"keras.config.set_floatx({code(config.dtype)})",
        f"keras.config.set_dtype_policy({code(config.dtype)})",
        f"learning_rate = EpochTable({code(config.dtype)})",
        "model = keras.Sequential([",
        f"    keras.Input(({config.n_inputs},)),",
        *layers,
        "])",
        "for layer, given in zip(model.layers, start):",
        '    layer.set_weights([given["W"], given["b"]])',
        "steps = len(batches[0].rows)",
        *optimizer,
        *call(f"loss = {kind}(", arguments.removesuffix(")").split(", ")),
        *call("model.compile(", ["optimizer=optimizer", "loss=loss", "steps_per_execution=steps"]),
        "each_epoch = EveryEpoch(batches, learning_rate, after_epoch=lambda epoch: False)",
        *call(
            "model.fit(",
            [
                "pipeline(X, y, batches, config)",
                *("epochs=len(batches)", "steps_per_epoch=steps", "shuffle=False", "callbacks=[each_epoch]"),
            ],
        ),
    ]


_TORCH_LOSS = {"cross_entropy": "cross_entropy", "binary_cross_entropy": "binary_cross_entropy_with_logits"}
_TORCH_LOSS |= {"mse": "mse_loss", "mae": "l1_loss", "huber": "huber_loss"}


def _torch_activation(config: Config, name: str) -> str:
    constants = {"leaky_relu": config.leaky_slope, "elu": config.elu_alpha}
    given = repr(constants[name]) if name in constants else "threshold=40" if name == "softplus" else ""
    return f"{TORCH_ACTIVATION[name]}({given})"


def _torch_optimizer(config: Config) -> list[str]:
    """Two groups, because `weight_decay` reaches the biases of a single one."""
    name, rate = config.optimizer, {"lr": config.learning_rate}
    if name in ("sgd", "momentum", "nesterov"):
        heavy = {} if name == "sgd" or config.momentum == 0 else {"momentum": config.momentum}
        constants: dict[str, Any] = heavy | ({"nesterov": True} if name == "nesterov" and heavy else {})
    elif name == "adam":
        constants = {"betas": (config.beta_1, config.beta_2), "eps": config.epsilon}
    else:
        constants = {TORCH_NAME.get(key, key): getattr(config, key) for key in OPTIMIZER_CONSTANTS[name]}
    groups = f'[{{"params": weights, "weight_decay": {config.l2!r}}}, {{"params": biases, "weight_decay": 0.0}}]'
    return call(f"optimizer = torch.optim.{CLASS.get(name, 'SGD')}(", [groups, *keywords(rate | constants)])


def _torch_batch_loss(config: Config) -> str:
    """The loss of a batch; its mean over the outputs has to be asked for in a sum over the rows."""
    output = config.output_activation if config.task == "regression" else "identity"
    outputs = "model(X[rows])" if output == "identity" else f"{_torch_activation(config, output)}(model(X[rows]))"
    options = {"reduction": config.reduction} | ({"delta": config.huber_delta} if config.loss == "huber" else {})
    divided = f" / {config.n_outputs}" if config.reduction == "sum" and config.loss != "cross_entropy" else ""
    return f"F.{_TORCH_LOSS[config.loss]}({', '.join([outputs, 'y[rows]', *keywords(options)])}){divided}"


def _torch(config: Config) -> list[str]:
    """Plain PyTorch, which ends where the adapter's stacks end, to rounding."""
    if config.optimizer == "adagrad_momentum":  # torch.optim has none
        return _by_hand("torch")(config)
    labels = "int64" if config.task == "multiclass" else config.dtype
    return [
        *_beyond(config, "torch"),
        "import torch",
        "import torch.nn.functional as F",
        "from torch import nn",
        *torch_model(config, config.dtype, _torch_activation),
        "weights, biases = [layer.weight for layer in model[::2]], [layer.bias for layer in model[::2]]",
        "with torch.no_grad():",
        "    for weight, bias, given in zip(weights, biases, start):",
        '        weight.T.copy_(torch.tensor(given["W"]))',
        '        bias.copy_(torch.tensor(given["b"]))',
        *_torch_optimizer(config),
        f"X, y = torch.tensor(X, dtype=torch.{config.dtype}), torch.tensor(y, dtype=torch.{labels})",
        "for e in range(len(batches)):",
        "    for rows, rate in zip(batches[e].batches(), batches[e].learning_rate.tolist()):",
        "        for group in optimizer.param_groups:",
        '            group["lr"] = rate',
        f"        loss = {_torch_batch_loss(config)}",
        "        optimizer.zero_grad()",
        "        loss.backward()",
        "        optimizer.step()",
    ]


CONTROLLED_LINES: dict[str, Callable[[Config], list[str]]] = {
    "numpy": _by_hand("numpy"),
    "sklearn": _sklearn,
    "tensorflow": _by_hand("tensorflow"),
    "keras": _keras,
    "torch": _torch,
    "torch-manual": _by_hand("torch-manual"),
}
"""Backend -> what writes its lines for a config."""
