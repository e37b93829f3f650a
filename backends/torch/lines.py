"""PyTorch's lines: `torch.nn`, `torch.optim` and a loop over a `DataLoader`."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from harness.calls.backend_lines import BackendLines
from harness.calls.switch import L2, Switch
from harness.calls.text import Lines, call, keywords, written
from harness.contract import OPTIMIZER_CONSTANTS, Config
from harness.conventions.table import activations_under

ACTIVATION = {"identity": "nn.Identity", "sigmoid": "nn.Sigmoid", "tanh": "nn.Tanh", "relu": "nn.ReLU"}
ACTIVATION |= {"leaky_relu": "nn.LeakyReLU", "elu": "nn.ELU", "selu": "nn.SELU", "softplus": "nn.Softplus"}
_MODULE_LOSS = {"cross_entropy": "CrossEntropyLoss", "binary_cross_entropy": "BCEWithLogitsLoss"}
_MODULE_LOSS |= {"mse": "MSELoss", "mae": "L1Loss", "huber": "HuberLoss"}
_FUNCTION_LOSS = {"cross_entropy": "cross_entropy", "binary_cross_entropy": "binary_cross_entropy_with_logits"}
_FUNCTION_LOSS |= {"mse": "mse_loss", "mae": "l1_loss", "huber": "huber_loss"}
NAME = {"epsilon": "eps", "rho": "alpha", "initial_accumulator": "initial_accumulator_value"}
CLASS = {"adagrad": "Adagrad", "rmsprop": "RMSprop", "adam": "Adam"}
_TO = {"float64": "double", "float32": "float"}


class TorchLines(BackendLines):
    """The loop is the user's own; what PyTorch decides are its layers' start and its optimizers' constants."""

    step = "inputs, labels = dataset[rows]  # and the step as it stands"
    drawn = {
        "uniform": "nn.init.uniform_({shape}, -{s}, {s})",
        "normal": "nn.init.normal_({shape}, std={s})",
        "truncated_normal": "nn.init.trunc_normal_({shape}, std={s}, a=-2 * {s}, b=2 * {s})",
        "zeros": "nn.init.zeros_({shape})",
        "constant": "nn.init.constant_({shape}, {s})",
    }
    fans = ("layer.in_features", "layer.out_features")
    shapes = ("layer.weight", "layer.bias")
    from_logits = True

    def native(self, config: Config, seed: int) -> Lines:
        dtype = config.dtype if "dtype" in config.written else "float32"
        targets = "torch.int64" if config.task == "multiclass" else f"torch.{dtype}"
        delta = f"delta={config.value('huber_delta')!r}" if config.loss.name == "huber" else ""
        output = config.loss.output.name if config.task == "regression" else "identity"
        outputs = "model(inputs)" if output == "identity" else f"{_own_activation(config, output)}(model(inputs))"
        return [
            "import torch",
            "from torch import nn",
            "from torch.utils.data import DataLoader, TensorDataset",
            f"torch.manual_seed({seed})",
            *_model(config, dtype, _own_activation),
            f"criterion = nn.{_MODULE_LOSS[config.loss.name]}({delta})",
            *_own_optimizer(config),
            f"inputs, labels = torch.tensor(X, dtype=torch.{dtype}), torch.tensor(y, dtype={targets})",
            "dataset = TensorDataset(inputs, labels)",
            "loader = DataLoader(",
            f"    dataset, batch_size={config.batch_size}, shuffle=True, "
            f"generator=torch.Generator().manual_seed({seed})",
            ")",
            f"for epoch in range({config.epochs}):",
            "    for inputs, labels in loader:",
            "        optimizer.zero_grad()",
            f"        loss = criterion({outputs}, labels)",
            "        loss.backward()",
            "        optimizer.step()",
        ]

    def controlled(self, config: Config) -> Lines:
        """Plain PyTorch, which ends where the adapter's stacks end, to rounding."""
        if config.optimizer.name not in self.optimizers:  # torch.optim has none
            return super().controlled(config)
        labels = "int64" if config.task == "multiclass" else config.dtype
        return [
            *self.beyond(config),
            "import torch",
            "import torch.nn.functional as F",
            "from torch import nn",
            *_model(config, config.dtype, _our_activation),
            "weights, biases = [layer.weight for layer in model[::2]], [layer.bias for layer in model[::2]]",
            "with torch.no_grad():",
            "    for weight, bias, given in zip(weights, biases, start):",
            '        weight.T.copy_(torch.tensor(given["W"]))',
            '        bias.copy_(torch.tensor(given["b"]))',
            *_our_optimizer(config),
            f"X, y = torch.tensor(X, dtype=torch.{config.dtype}), torch.tensor(y, dtype=torch.{labels})",
            "for e in range(len(batches)):",
            "    for rows, rate in zip(batches[e].batches(), batches[e].learning_rate.tolist()):",
            "        for group in optimizer.param_groups:",
            '            group["lr"] = rate',
            f"        loss = {_batch_loss(config)}",
            "        optimizer.zero_grad()",
            "        loss.backward()",
            "        optimizer.step()",
        ]

    def network(self, s: Switch) -> Lines:
        units = (s.config.network.units[0], *s.hidden)
        sizes = zip(units, s.hidden, activations_under(s.config, s.row), strict=False)
        return [f"nn.Linear({n}, {m}), {ACTIVATION[name]}()," for n, m, name in sizes]

    def start(self, s: Switch) -> Lines:
        scale, W, b = self.start_of(s)
        lines = ["for layer in model[::2]:", f"    s = {scale}"]
        return [*lines, *([f"    {W}"] if "init" in s.changed else []), *([f"    {b}"] if "bias" in s.changed else [])]

    def order(self, s: Switch) -> Lines:
        law, last = s.row.batches, s.row.last_batch
        if s.row.n_batches is None and last in ("keep", "drop") and law in ("permutation", "in_order"):
            return [f"shuffle={law == 'permutation'}" + (", drop_last=True" if last == "drop" else "")]
        return super().order(s)

    def penalty(self, s: Switch, value: str) -> Lines:
        if s.row.l2_tensors == "weights and biases":
            return [] if self.is_rebuilt(s) else [f"weight_decay={value}"]
        last = "[:-2]" if s.row.l2_tensors == "hidden" else ""
        return [
            f"weights = [w for w in list(model.parameters()){last} if w.ndim == 2]",
            "rest = [w for w in model.parameters() if id(w) not in set(map(id, weights))]",
            f'groups = {{"params": weights, "weight_decay": {value}}}, {{"params": rest, "weight_decay": 0.0}}',
            *([] if self.is_rebuilt(s) else self.constructed(s)),
        ]

    def decoupled(self, s: Switch, value: str) -> Lines:
        if s.row.optimizer != "adam":
            return super().decoupled(s, value)
        return [] if self.is_rebuilt(s) else self.constructed(s)

    def made(self, s: Switch, constants: dict[str, Any]) -> Lines:
        decoupled = s.row.l2_form == "decoupled" and s.kind == "adam"
        whole = decoupled or not s.changed & set(L2) or s.row.l2_tensors == "weights and biases"
        if "beta_1" in constants or "beta_2" in constants:
            constants = {"betas": (s.row.beta_1, s.row.beta_2)} | {
                name: value for name, value in constants.items() if not name.startswith("beta")
            }
        arguments = {"lr": s.learning_rate, **{NAME.get(name, name): v for name, v in constants.items()}}
        params, decay = ("model.parameters()", [f"weight_decay={self.strength(s)}"]) if whole else ("groups", [])
        name = "AdamW" if decoupled else CLASS.get(s.kind, "SGD")
        return call(f"optimizer = torch.optim.{name}(", [params, *keywords(arguments), *decay])

    def epsilon(self, s: Switch) -> Lines:
        if not self.is_hat(s):
            return []
        loop = "for group in optimizer.param_groups:  # before step t = 1, 2, …"
        return [loop, f'    group["eps"] = {s.row.epsilon!r} / (1 - {s.row.beta_2!r}**t) ** 0.5']

    def activation_constants(self, s: Switch) -> dict[str, str]:
        return {
            "leaky_slope": f"nn.LeakyReLU({s.row.leaky_slope!r})",
            "elu_alpha": f"nn.ELU({s.row.elu_alpha!r})",
            # beyond 40 the two are the same number, and much higher exp would overflow
            "softplus_threshold": f"nn.Softplus(threshold={s.row.softplus_threshold or 40.0})",
        }

    def dtype(self, s: Switch) -> Lines:
        dtype = s.row.dtype
        return [f"torch.set_default_dtype(torch.{dtype})  # before the model", f"X = torch.tensor(X).{_TO[dtype]}()"]


def _own_activation(config: Config, name: str) -> str:
    constant = {"leaky_relu": "leaky_slope", "elu": "elu_alpha"}.get(name)
    given = repr(config.value(constant)) if constant in config.written and constant else ""
    return f"{ACTIVATION[name]}({given})"


def _model(config: Config, dtype: str, activation: Callable[[Config, str], str]) -> list[str]:
    """`model = nn.Sequential(…)`, the last layer without activation."""
    precision = "" if dtype == "float32" else f", dtype=torch.{dtype}"
    modules = []
    for k, (n_in, n_out) in enumerate(pairwise(config.network.units)):
        modules.append(f"nn.Linear({n_in}, {n_out}{precision})")
        modules += (
            [activation(config, config.network.dense["activation"][k])]
            if k < len(config.network.dense["hidden"])
            else []
        )
    return call("model = nn.Sequential(", modules)


def _own_optimizer(config: Config) -> list[str]:
    arguments: dict[str, Any] = {"lr": config.optimizer.learning_rate}
    if config.optimizer.name in ("momentum", "nesterov"):
        arguments["momentum"] = config.value("momentum")
        arguments |= {"nesterov": True} if config.optimizer.name == "nesterov" and config.value("momentum") > 0 else {}
        constants = {}
    else:
        constants = written(config, NAME)
        constants = {key: value for key, value in constants.items() if not key.startswith("beta")}
        if config.optimizer.name == "adam" and config.written & {"beta_1", "beta_2"}:
            constants["betas"] = (config.value("beta_1"), config.value("beta_2"))
    arguments |= {"weight_decay": config.penalty.l2, **constants}
    kind = CLASS.get(config.optimizer.name, "SGD")
    return call(f"optimizer = torch.optim.{kind}(", ["model.parameters()", *keywords(arguments)])


def _our_activation(config: Config, name: str) -> str:
    constants = {"leaky_relu": config.value("leaky_slope"), "elu": config.value("elu_alpha")}
    given = repr(constants[name]) if name in constants else "threshold=40" if name == "softplus" else ""
    return f"{ACTIVATION[name]}({given})"


def _our_optimizer(config: Config) -> list[str]:
    """Two groups, because `weight_decay` reaches the biases of a single one."""
    name, rate = config.optimizer.name, {"lr": config.optimizer.learning_rate}
    if name in ("sgd", "momentum", "nesterov"):
        heavy = {} if name == "sgd" or config.value("momentum") == 0 else {"momentum": config.value("momentum")}
        constants: dict[str, Any] = heavy | ({"nesterov": True} if name == "nesterov" and heavy else {})
    elif name == "adam":
        constants = {"betas": (config.value("beta_1"), config.value("beta_2")), "eps": config.value("epsilon")}
    else:
        constants = {NAME.get(key, key): config.value(key) for key in OPTIMIZER_CONSTANTS[name]}
    groups = (
        f'[{{"params": weights, "weight_decay": {config.penalty.l2!r}}}, {{"params": biases, "weight_decay": 0.0}}]'
    )
    return call(f"optimizer = torch.optim.{CLASS.get(name, 'SGD')}(", [groups, *keywords(rate | constants)])


def _batch_loss(config: Config) -> str:
    """The loss of a batch; its mean over the outputs has to be asked for in a sum over the rows."""
    output = config.loss.output.name if config.task == "regression" else "identity"
    outputs = "model(X[rows])" if output == "identity" else f"{_our_activation(config, output)}(model(X[rows]))"
    options = {"reduction": config.reduction} | (
        {"delta": config.value("huber_delta")} if config.loss.name == "huber" else {}
    )
    divided = (
        f" / {config.network.n_outputs}" if config.reduction == "sum" and config.loss.name != "cross_entropy" else ""
    )
    return f"F.{_FUNCTION_LOSS[config.loss.name]}({', '.join([outputs, 'y[rows]', *keywords(options)])}){divided}"
