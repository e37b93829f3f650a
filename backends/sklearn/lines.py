"""scikit-learn's lines: `MLPClassifier` and `MLPRegressor` by keyword arguments."""

from typing import Any

from harness.calls.backend_lines import BackendLines
from harness.calls.start import NUMPY
from harness.calls.switch import L2, Switch
from harness.calls.text import Lines, call, code, keywords, number, product, written
from harness.contract import OPTIMIZER_CONSTANTS, Config
from harness.conventions.table import activations_under

ACTIVATION = {"identity": "identity", "sigmoid": "logistic", "tanh": "tanh", "relu": "relu"}


class SklearnLines(BackendLines):
    """No argument scales its loss: with SGD the learning rate does it, with Adam epsilon, and `alpha` follows."""

    override = "override `_get_updates` of its optimizer"
    step = "model.partial_fit(X[rows], y[rows])  # of classes at first with classes=np.unique(y)"
    drawn = NUMPY
    fans = ("fan_in", "fan_out")
    shapes = ("(fan_in, fan_out)", "fan_out")
    shuffling = "permutation"
    epochs_argument = "max_iter"
    never_stops = "tol=0.0, n_iter_no_change=np.inf"

    def lacks(self, config: Config, native: bool) -> str | None:
        """As the adapter says it, in fewer words."""
        if (reason := super().lacks(config, native)) is not None:
            return reason
        model = _model(config)
        lacking = [name for name in config.network.dense["activation"] if name not in ACTIVATION]
        lacking += (
            [config.optimizer.name] if config.optimizer.name not in ("sgd", "momentum", "nesterov", "adam") else []
        )
        lacking += [config.loss.name] if config.loss.name in ("mae", "huber") else []
        lacking += config.regularisation
        if lacking:
            return f"{model} has no {', '.join(dict.fromkeys(lacking))}"
        if len(set(config.network.dense["activation"])) > 1:
            return f"{model} has one activation for all hidden layers"
        if config.task == "regression" and config.loss.output.name != "identity":
            return f"{model} has no {config.loss.output.name} at its outputs"
        if config.task == "multiclass" and config.network.n_outputs < 3:
            return f"{model} gives two classes one logistic unit, not a softmax over two"
        return None

    def native(self, config: Config, seed: int) -> Lines:
        solver: dict[str, Any] = {"solver": "adam" if config.optimizer.name == "adam" else "sgd"}
        if config.optimizer.name == "momentum":
            solver["nesterovs_momentum"] = False
        arguments = {**_network(config), **solver, **written(config, {}), "alpha": config.penalty.l2}
        arguments |= {"batch_size": config.batch_size, "learning_rate_init": config.optimizer.learning_rate}
        arguments |= {"max_iter": config.epochs, "random_state": seed}
        X = f"X.astype({code(config.dtype)})" if "dtype" in config.written else "X"
        y = "y.reshape(-1)" if config.network.n_outputs == 1 else "y"
        y += f".astype({code(config.dtype)})" if "dtype" in config.written and config.task == "regression" else ""
        return [
            f"from sklearn.neural_network import {_model(config)}",
            *call(f"model = {_model(config)}(", keywords(arguments)),
            f"model.fit({X}, {y})",
        ]

    def controlled(self, config: Config) -> Lines:
        regression = config.task == "regression"
        name = "Regressor" if regression else "Classifier"
        optimizer = "PaperAdam" if config.optimizer.name == "adam" else "ScheduledSGD"
        arguments = [
            *keywords({**_network(config), "solver": "adam" if config.optimizer.name == "adam" else "sgd"}),
            *("shuffle=False", "tol=0", "n_iter_no_change=np.inf"),
        ]
        if config.optimizer.name == "adam":
            constants = keywords({key: config.value(key) for key in OPTIMIZER_CONSTANTS["adam"]})
        else:
            momentum = 0.0 if config.optimizer.name == "sgd" else config.value("momentum")
            heavy: dict[str, Any] = {"momentum": momentum, "nesterov": config.optimizer.name == "nesterov"}
            constants = keywords({"learning_rate_init": 1, **heavy})
        return [
            "from itertools import groupby",
            "import numpy as np",
            f"from backends.sklearn.trainer import {name}, {optimizer}",
            "from backends.sklearn.trainer import checked_targets, every_class, gradient_scale",
            *call(f"model = {name}(", arguments),
            *([] if regression else ["model.know(every_class(config))"]),
            f"model.build({config.network.units}, start)",
            *call(f"model._optimizer = {optimizer}(", ["model.coefs_ + model.intercepts_", *constants]),
            "y = checked_targets(config, y)",
            "for e in range(len(batches)):",
            "    model._optimizer.step_rates = iter(batches[e].learning_rate.tolist())",
            "    for n, run in groupby(batches[e].batches(), key=len):",
            "        rows, scale = np.concatenate(list(run)), gradient_scale(config, n)",
            f"        model.batch_size, model.alpha = n, {config.penalty.l2!r} * (n / scale)",
            "        model._optimizer.gradient_scale = scale",
            "        model.partial_fit(X[rows], y[rows])",
        ]

    def network(self, s: Switch) -> Lines:
        names = activations_under(s.config, s.row)
        lacking = [name for name in names if name not in ACTIVATION]
        if lacking:
            return [f"# activation: MLPClassifier has no {lacking[0]}"]
        activation = f', activation="{ACTIVATION[names[0]]}"' if names else ""
        return [f"hidden_layer_sizes={s.hidden}{activation}"]

    def start(self, s: Switch) -> Lines:
        scale, W, b = self.start_of(s)
        return [
            "class Started(MLPClassifier):  # no keyword argument for the start: override what draws it",
            "    def _init_coef(self, fan_in, fan_out, dtype):",
            f"        rng, s = self._random_state, {scale}",
            f"        W = {W}",
            f"        b = {b}",
            "        return W.astype(dtype), b.astype(dtype)",
        ]

    def reduced(self, s: Switch) -> Lines:
        changed = ", ".join(sorted(s.changed & {"reduction", "outputs"}))
        what = f"# {changed}: the loss cannot be scaled, but the step can"
        l2 = self.l2(s) if s.config.penalty.l2 > 0 and not s.changed & set(L2) else []
        return [what, *self._scaled_step(s), *l2]

    def _scaled_step(self, s: Switch) -> Lines:
        """The step scaled by the factors of the loss; nothing where `constructed` says that argument anyway."""
        said = "epsilon" if s.row.optimizer == "adam" else "learning_rate"
        if said in s.changed:
            return []
        if said == "epsilon":
            return [f"epsilon={product(s.row.epsilon, divisors=gradient_scale(s))}"]
        return [f"learning_rate_init={product(s.learning_rate, gradient_scale(s))}"]

    def is_exact(self, s: Switch) -> bool:
        return super().is_exact(s) and not gradient_scale(s)

    def coupled(self, s: Switch, strength: float) -> str:
        divided = s.row.l2_divisor != "none"
        return product(strength, [] if divided else [s.batch], gradient_scale(s))

    def penalty(self, s: Switch, value: str) -> Lines:
        takes = "override `_compute_loss_grad`"
        return [f"alpha={value}", *([self.no_keyword(s, "l2_tensors", takes)] if "l2_tensors" in s.changed else [])]

    def constructed(self, s: Switch) -> Lines:
        if s.row.optimizer not in ("sgd", "adam"):
            return [f"# optimizer: MLPClassifier has no {s.row.optimizer}: its solvers are lbfgs, sgd and adam"]
        arguments: dict[str, Any] = {}
        if "optimizer" in s.changed:
            arguments["solver"] = s.row.optimizer
        if "learning_rate" in s.changed:
            arguments["learning_rate_init"] = s.learning_rate
        if s.row.optimizer == "sgd" and s.changed & {"momentum", "nesterov", "optimizer"}:
            nesterov = bool(s.row.nesterov and s.row.momentum > 0)
            arguments |= {"momentum": s.row.momentum, "nesterovs_momentum": nesterov}
        arguments |= {} if s.row.optimizer == "sgd" else self.numbers(s, named=True)
        # these also scale the loss, see `_scaled_step`
        step = {"learning_rate_init": product(s.learning_rate, gradient_scale(s))}
        step = {"epsilon": product(s.row.epsilon, divisors=gradient_scale(s))} if s.row.optimizer == "adam" else step
        said = [f"{key}={step[key]}" if key in step else keywords({key: arguments[key]})[0] for key in arguments]
        return [", ".join(said)] if said else []

    def epsilon(self, s: Switch) -> Lines:
        if not self.is_hat(s):
            return []
        return [f"model._optimizer.epsilon = {s.row.epsilon!r} * (1 - {s.row.beta_2!r}**t) ** 0.5  # before step t"]

    def dtype(self, s: Switch) -> Lines:
        return [f'X = X.astype("{s.row.dtype}")']


def _model(config: Config) -> str:
    return "MLPRegressor" if config.task == "regression" else "MLPClassifier"


def _network(config: Config) -> dict[str, Any]:
    """The arguments that describe the network."""
    if not config.network.dense["hidden"]:
        return {"hidden_layer_sizes": ()}
    return {
        "hidden_layer_sizes": config.network.dense["hidden"],
        "activation": ACTIVATION[config.network.dense["activation"][0]],
    }


def gradient_scale(s: Switch) -> list[str]:
    """By what the gradient of the loss has to be multiplied, as factors; the penalty not included."""
    outputs = {"mean": 1 / s.config.network.n_outputs, "sum": 1.0, "half sum": 0.5}
    factors = []
    if "outputs" in s.changed:
        factors.append(number(outputs[s.row.outputs] / outputs[s.own.outputs]))
    if "reduction" in s.changed:
        factors.append({"sum": s.batch, "mean of n + 1": f"{s.batch} / ({s.batch} + 1)"}[s.row.reduction])
    return factors
