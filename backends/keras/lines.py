"""Keras' lines: `compile` and `fit`."""

from itertools import pairwise
from typing import Any

from harness.calls.backend_lines import BackendLines
from harness.calls.start import FAMILY, law_in_code
from harness.calls.switch import Switch
from harness.calls.text import Lines, call, code, keywords, number, product, written
from harness.contract import OPTIMIZER_CONSTANTS, Config
from harness.conventions.table import activations_under
from harness.draws.starts import parse_law

_LOSS = {"mse": "MeanSquaredError", "mae": "MeanAbsoluteError", "huber": "Huber"}
_LOSS |= {"cross_entropy": "SparseCategoricalCrossentropy", "binary_cross_entropy": "BinaryCrossentropy"}
NAME = {"initial_accumulator": "initial_accumulator_value"}
CLASS = {"adagrad": "Adagrad", "rmsprop": "RMSprop", "adam": "Adam"}
PAPER = {"adam": "PaperAdam", "adagrad": "PaperAdagrad", "rmsprop": "PaperRMSprop"}
_OURS = {"sgd": "keras.optimizers.SGD", "momentum": "PaperMomentum", "nesterov": "PaperMomentum"}
_OURS |= {"adagrad": "PaperAdagrad", "adagrad_momentum": "PaperAdagrad", "rmsprop": "PaperRMSprop"}
_OURS |= {"adam": "PaperAdam"}
_INITIALIZER = {"uniform": "RandomUniform(-{s}, {s})", "normal": "RandomNormal(stddev={s})", "zeros": "Zeros()"}
_INITIALIZER |= {"truncated_normal": "TruncatedNormal(stddev={s})"}


class KerasLines(BackendLines):
    """Most conventions are arguments of layers, losses and optimizers."""

    override = "override `update_step` of its optimizer"
    step = "model.train_on_batch(X[rows], y[rows])"
    from_logits = True
    shuffling = "one_permutation"
    exact_constants = "# constants: np.float64(0.9) for 0.9 in optimizers; L2 by Penalty of backends/keras/trainer.py"

    def native(self, config: Config, seed: int) -> Lines:
        dtype = code(config.dtype if "dtype" in config.written else "float32")
        regularizer = f"kernel_regularizer=keras.regularizers.L2({config.penalty.l2!r})"
        lines = ["import keras"]
        if "dtype" in config.written:
            lines += [f"keras.config.set_floatx({dtype})", f"keras.config.set_dtype_policy({dtype})"]
        lines += [f"keras.utils.set_random_seed({seed})", "model = keras.Sequential(["]
        lines += [f"    keras.Input(({config.network.units[0]},)),"]
        for units, name in zip(config.network.units[1:], (*config.network.dense["activation"], None), strict=True):
            activation = [] if name is None else [f"activation={activation_of(config, name)}"]
            lines += call("    keras.layers.Dense(", [str(units), *activation, regularizer], "),")
        if config.task == "regression" and config.loss.output.name != "identity":
            lines.append(f"    keras.layers.Activation({activation_of(config, config.loss.output.name)}),")
        compiled = [f"optimizer={optimizer_of(config)}", f"loss={loss_of(config)}"]
        return [
            *lines,
            "])",
            *call("model.compile(", compiled),
            f"model.fit(X, y, batch_size={config.batch_size}, epochs={config.epochs})",
        ]

    def controlled(self, config: Config) -> Lines:
        name = config.optimizer.name
        if name not in _OURS:
            return super().controlled(config)
        if name in ("momentum", "nesterov") and config.value("momentum") == 0:
            name = "sgd"
        constants = [f"{NAME.get(key, key)}=np.float64({config.value(key)!r})" for key in OPTIMIZER_CONSTANTS[name]]
        constants += ["nesterov=True"] if name == "nesterov" else []
        optimizer = call(f"optimizer = {_OURS[name]}(", ["learning_rate=learning_rate", *constants])
        reduction = {"mean": "sum_over_batch_size", "sum": "sum"}[config.reduction]
        loss = loss_of(config, reduction=reduction)
        if config.loss.name == "binary_cross_entropy":
            loss = loss.removeprefix("keras.losses.")
        kind, _, arguments = loss.partition("(")
        layers: list[str] = []
        for units, activation in zip(
            config.network.units[1:], (*config.network.dense["activation"], None), strict=True
        ):
            shown = [] if activation is None else [f"activation={_our_activation(config, activation)}"]
            penalty = f"kernel_regularizer=Penalty({config.penalty.l2!r}, {config.penalty.l1!r})"
            layers += call("    keras.layers.Dense(", [str(units), *shown, penalty], "),")
        if config.task == "regression" and config.loss.output.name != "identity":
            layers.append(f"    keras.layers.Activation({_our_activation(config, config.loss.output.name)}),")
        return [
            *self.beyond(config),
            "import numpy as np",
            "from backends.keras.trainer import *",
            "from backends.keras.optimizers import *",
            "import keras",
            f"keras.config.set_floatx({code(config.dtype)})",
            f"keras.config.set_dtype_policy({code(config.dtype)})",
            f"learning_rate = EpochTable({code(config.dtype)})",
            "model = keras.Sequential([",
            f"    keras.Input(({config.network.units[0]},)),",
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

    def network(self, s: Switch) -> Lines:
        names = activations_under(s.config, s.row)
        return [f'keras.layers.Dense({n}, activation="{name}"),' for n, name in zip(s.hidden, names, strict=True)]

    def start(self, s: Switch) -> Lines:
        return [*(self._kernel(s) if "init" in s.changed else []), *(self._bias(s) if "bias" in s.changed else [])]

    def _kernel(self, s: Switch) -> Lines:
        law, scale = law_in_code(s.row.init, "n_in", "n_out")
        family = parse_law(s.row.init)[0].rpartition("_")[0]
        if family not in FAMILY:
            return [f"kernel_initializer=keras.initializers.{_INITIALIZER[law].format(s=scale)}"]
        variance, mode = FAMILY[family]
        kind = "uniform" if law == "uniform" else "untruncated_normal"
        shown = "1 / 3" if variance < 1 else repr(variance)
        return [f'kernel_initializer=keras.initializers.VarianceScaling({shown}, "{mode}", "{kind}")']

    def _bias(self, s: Switch) -> Lines:
        if s.row.bias in ("as_weights", "torch_uniform"):
            drawn, lines = s.row.init if s.row.bias == "as_weights" else str(s.row.bias), []
            units = (s.config.network.units[0], *s.hidden, s.config.network.n_outputs)
            for k, (n_in, n_out) in enumerate(pairwise(units), start=1):
                law, scale = law_in_code(drawn, str(n_in), str(n_out))
                initializer = f"keras.initializers.{_INITIALIZER[law].format(s='s')}"
                lines += [f"s = {scale}  # layer {k}", f"bias_initializer={initializer}"]
            return lines
        if isinstance(s.row.bias, str):
            law, deviation = parse_law(s.row.bias)
            return [f"bias_initializer=keras.initializers.{_INITIALIZER[law].format(s=deviation)}"]
        return [f"bias_initializer=keras.initializers.Constant({float(s.row.bias)})"]

    def probabilities(self, s: Switch) -> str:
        if s.row.probabilities == "clipped 1e-7":
            last = "keras.layers.Dense(…, activation=lambda z: keras.ops.exp(keras.ops.log_softmax(z)))"
            return f"{last} at the end, and a loss with from_logits=False; behind a softmax it takes the logits"
        return super().probabilities(s)

    def scaled(self, s: Switch) -> Lines:
        rows = s.row.reduction
        if "outputs" not in s.changed:
            reduction = {"mean": "sum_over_batch_size", "sum": "sum"}[rows]
            return [f"loss={loss_of(s.config, reduction=reduction)}"]
        factor = number(self.factor(s))
        if rows == "sum":
            return [f"loss=lambda y, z: {factor} * {loss_of(s.config, reduction='sum')}(y, z)"]
        return [f"loss={loss_of(s.config)}, loss_weights={factor}"]

    def coupled(self, s: Switch, strength: float) -> str:
        return product(strength / 2, divisors=[s.batch] if s.row.l2_divisor != "none" else [])

    def penalty(self, s: Switch, value: str) -> Lines:
        lines = [f"kernel_regularizer=keras.regularizers.L2({value})"]
        if s.row.l2_tensors == "weights and biases":
            lines.append(f"bias_regularizer=keras.regularizers.L2({value})")
        return [*lines, *(["# not in the last layer"] if s.row.l2_tensors == "hidden" else [])]

    def decoupled(self, s: Switch, value: str) -> Lines:
        return decoupled(value)

    def made(self, s: Switch, constants: dict[str, Any]) -> Lines:
        return made("keras", s, constants)

    def epsilon(self, s: Switch) -> Lines:
        return epsilon_outside(self, s)

    def activation_constants(self, s: Switch) -> dict[str, str]:
        slope, alpha, threshold = s.row.leaky_slope, s.row.elu_alpha, s.row.softplus_threshold
        return {
            "leaky_slope": f"activation=lambda z: keras.activations.leaky_relu(z, negative_slope={slope!r})",
            "elu_alpha": f"activation=lambda z: keras.activations.elu(z, alpha={alpha!r})",
            "softplus_threshold": f"activation=lambda z: keras.ops.where(z > {threshold}, z, keras.ops.softplus(z))",
        }

    def dtype(self, s: Switch) -> Lines:
        return [f'keras.config.set_floatx("{s.row.dtype}")', f'keras.config.set_dtype_policy("{s.row.dtype}")']

    def stop(self, s: Switch) -> Lines:
        if s.row.stop == "never":
            return super().stop(s)
        stopping = 'keras.callbacks.EarlyStopping("loss", min_delta=1e-4, patience=11)'
        return [f"callbacks=[{stopping}]", "# stop: nearly the same: its best is the last loss that counted"]


def decoupled(value: str) -> Lines:
    """A decay of the weights beside the gradient, in Keras' optimizers."""
    return [f"weight_decay={value}", 'optimizer.exclude_from_weight_decay(var_names=["bias"])']


def made(module: str, s: Switch, constants: dict[str, Any]) -> Lines:
    """One of Keras' optimizers, out of a module."""
    arguments = {"learning_rate": s.learning_rate, **{NAME.get(k, k): v for k, v in constants.items()}}
    return call(f"optimizer={module}.optimizers.{CLASS.get(s.kind, 'SGD')}(", keywords(arguments))


def epsilon_outside(lines: BackendLines, s: Switch) -> Lines:
    """Epsilon outside the root, which the adapter has written out."""
    if s.row.epsilon_place != "outside" or s.row.optimizer not in PAPER:
        return []
    helper = f"see {PAPER[s.row.optimizer]} in backends/keras/optimizers.py"
    return [lines.no_keyword(s, "epsilon_place", helper)]


def activation_of(config: Config, name: str) -> str:
    """Keras's own, its constant only where the experiment writes one."""
    if name == "leaky_relu" and "leaky_slope" in config.written:
        return f"lambda z: keras.activations.leaky_relu(z, negative_slope={config.value('leaky_slope')!r})"
    if name == "elu" and "elu_alpha" in config.written:
        return f"lambda z: keras.activations.elu(z, alpha={config.value('elu_alpha')!r})"
    return code({"identity": "linear"}.get(name, name))


def loss_of(config: Config, **reduction: str) -> str:
    """The loss, from logits where it is a cross entropy."""
    arguments: dict[str, Any] = {"from_logits": True} if "entropy" in config.loss.name else {}
    if config.loss.name == "huber":
        arguments = {"delta": config.value("huber_delta")}
    return f"keras.losses.{_LOSS[config.loss.name]}({', '.join(keywords(arguments | reduction))})"


def optimizer_of(config: Config) -> str:
    """The optimizer, its constants only where the experiment writes them."""
    rate = {"learning_rate": config.optimizer.learning_rate}
    if config.optimizer.name in ("sgd", "momentum", "nesterov"):
        heavy = {} if config.optimizer.name == "sgd" else {"momentum": config.value("momentum")}
        heavy |= {"nesterov": True} if config.optimizer.name == "nesterov" else {}
        return f"keras.optimizers.SGD({', '.join(keywords(rate | heavy))})"
    constants = written(config, NAME)
    return f"keras.optimizers.{CLASS[config.optimizer.name]}({', '.join(keywords(rate | constants))})"


def _our_activation(config: Config, name: str) -> str:
    """Those that the adapter writes out are its own functions."""
    own = {
        "sigmoid": "sigmoid",
        "leaky_relu": f"lambda z: ops.where(z > 0, z, rounded({config.value('leaky_slope')!r}, z) * z)",
        "elu": f"lambda z: elu(z, {config.value('elu_alpha')!r})",
        "selu": "lambda z: elu(z, network.SELU_ALPHA, network.SELU_SCALE)",
    }
    return own.get(name) or code({"identity": "linear"}.get(name, name))
