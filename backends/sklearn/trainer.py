"""scikit-learn: the real `MLPClassifier` and `MLPRegressor`, taught the harness's conventions through small hooks.

- Start: `_init_coef` hands over the given weights in place of random ones.
- Batches: one `partial_fit` a run of equally long batches, without shuffling; the tail batch is a run of its own.
- Checks: the harness has looked at the data once; `_validate_input` would do it again, and binarize the labels anew, in
  every epoch, which took nearly half of the time.
- Loss: theirs is a mean over the rows, and over the outputs a sum, of log losses or of *halves* of squared errors. The
  gradient is scaled by what makes it ours before the optimizer sees it (`gradient_scale`).
- L2: the gradient is `(X' delta + alpha W) / n`, so `alpha` is `l2 * n` for a batch of n rows, over that scale.
- Learning rate: its velocities contain the learning rate, so the SGD optimizer runs at 1 and its updates are scaled
  by the step's own rate. That is `v = m*v + g; w -= lr*v` for any schedule, zeros included.
- Adam: written with "epsilon hat". The paper's epsilon times `sqrt(1 - beta_2**t)` makes the two equal.
"""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer
from sklearn.preprocessing import LabelBinarizer

from harness import network
from harness.contract import OPTIMIZER_CONSTANTS, AfterEpoch, Batches, Config, Diverged, NativeFit, Trainer, Weights

ACTIVATION = {"identity": "identity", "sigmoid": "logistic", "tanh": "tanh", "relu": "relu"}
SOLVER = {"sgd": "sgd", "momentum": "sgd", "nesterov": "sgd", "adam": "adam"}

_SOLVERS = "its solvers are lbfgs, sgd and adam"
_ACTIVATIONS = "its activations are identity, logistic, tanh and relu"
_LOSSES = "its losses are squared_error and poisson"
LACKS = {
    "perceptron": "perceptron rule: its solvers follow a gradient, which a step does not have",
    "adagrad": f"Adagrad: {_SOLVERS}",
    "adagrad_momentum": f"Adagrad with momentum: {_SOLVERS}",
    "rmsprop": f"RMSprop: {_SOLVERS}",
    "leaky_relu": f"leaky ReLU: {_ACTIVATIONS}",
    "elu": f"ELU: {_ACTIVATIONS}",
    "selu": f"SELU: {_ACTIVATIONS}",
    "softplus": f"softplus: {_ACTIVATIONS}",
    "mae": f"absolute error: {_LOSSES}",
    "huber": f"Huber loss: {_LOSSES}",
    "l1": "L1 penalty: its alpha is that of L2",
    "dropout": "dropout",
    "batch_norm": "batch normalisation",
    "clip_norm": "clipping of the gradient's norm",
    "clip_value": "clipping of the gradient's elements",
}
"""What neither class has: the harness's name -> how to say so after "has no"."""


class Given:
    """A model with the start it is given, on data that are in its own form already: for either class."""

    def build(self, layers: tuple[int, ...], start: Weights) -> None:
        """What the first `partial_fit` would do: so `logits` answers before the training begins."""
        self._start = iter(start)
        self.n_features_in_ = layers[0]
        self._initialize(np.empty((0, layers[-1])), layers, start[0]["W"].dtype)

    def _init_coef(self, fan_in, fan_out, dtype):
        layer = next(self._start)
        return np.array(layer["W"], dtype), np.array(layer["b"], dtype)

    def _validate_input(self, X, y, incremental, reset):
        return X, y


class Classifier(Given, MLPClassifier):
    """An `MLPClassifier` that knows every class from the first, so that a batch may lack any of them."""

    def know(self, classes: np.ndarray) -> None:
        """The classes from labels that name each of them; these also decide between softmax and logistic units."""
        self._label_binarizer = LabelBinarizer().fit(classes)
        self.classes_ = self._label_binarizer.classes_


class Regressor(Given, MLPRegressor):
    """An `MLPRegressor` on a given start and given data."""


def given_model(config: Config, start: Weights) -> Classifier | Regressor:
    """The network on its start, for `partial_fit` in the order of the rows."""
    options = {"solver": SOLVER[config.optimizer.name], "shuffle": False, "tol": 0, "n_iter_no_change": np.inf}
    if config.task == "regression":
        model = Regressor(**network(config), **options)
    else:
        model = Classifier(**network(config), **options)
        model.know(every_class(config))
    model.build(config.network.units, start)
    return model


def every_class(config: Config) -> np.ndarray:
    """Labels in which each class occurs; for several logistic units indicators, `(n_outputs, n_outputs)`."""
    if config.task == "multiclass":
        return np.arange(config.network.n_outputs)
    return np.arange(2) if config.network.n_outputs == 1 else np.eye(config.network.n_outputs, dtype=int)


def targets(config: Config, y: np.ndarray) -> np.ndarray:
    """`y` in the shape that scikit-learn wants: a vector, `(n,)`, where there is one output only."""
    return y.reshape(-1) if config.network.n_outputs == 1 else y


def checked_targets(config: Config, y: np.ndarray) -> np.ndarray:
    """`y` as `_validate_input` gives it on: numbers, or one boolean a class or label, `(n, n_outputs)`."""
    if config.task == "multiclass":
        return y[:, None] == np.arange(config.network.n_outputs)
    return y if config.task == "regression" else y.astype(bool)


def gradient_scale(config: Config, n: int) -> float:
    """The number that scikit-learn's gradient of a batch of `n` rows is multiplied by to be ours.

    Ours is a mean over the outputs too, has no half in its squared error, and may be a sum over the rows.
    """
    rows = n if config.reduction == "sum" else 1
    outputs = {
        "cross_entropy": 1,
        "binary_cross_entropy": 1 / config.network.n_outputs,
        "mse": 2 / config.network.n_outputs,
    }
    return rows * outputs[config.loss.name]


class ScheduledSGD(SGDOptimizer):
    """SGD, momentum and Nesterov at a learning rate of 1, each update scaled by `step_rates` and `gradient_scale`."""

    step_rates: Iterator[float]
    gradient_scale: float

    def _get_updates(self, grads):
        learning_rate = next(self.step_rates)
        updates = super()._get_updates(scaled(grads, self.gradient_scale))
        return [learning_rate * update for update in updates]


class PaperAdam(AdamOptimizer):
    """Adam with the epsilon of Kingma and Ba's Algorithm 1, at the rate that `step_rates` gives next."""

    step_rates: Iterator[float]
    gradient_scale: float

    def __init__(self, params, beta_1, beta_2, epsilon):
        super().__init__(params, beta_1=beta_1, beta_2=beta_2)
        self.paper_epsilon = epsilon

    def _get_updates(self, grads):
        self.learning_rate_init = next(self.step_rates)
        self.epsilon = self.paper_epsilon * math.sqrt(1 - self.beta_2 ** (self.t + 1))
        return super()._get_updates(scaled(grads, self.gradient_scale))


def scaled(grads: list[np.ndarray], scale: float) -> list[np.ndarray]:
    """Each gradient times `scale`; unchanged when that is 1."""
    return grads if scale == 1 else [g * scale for g in grads]


@contextmanager
def quiet() -> Iterator[None]:
    """Neither overflow nor scikit-learn's advice (short batches, few epochs) is news in a comparison."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="sklearn")
        yield


class SklearnTrainer(Trainer):
    """`MLPClassifier` and `MLPRegressor` of `sklearn.neural_network`."""

    name = "sklearn"
    requires = ("sklearn",)
    vocabulary = (
        *(network.Dense, network.CrossEntropy, network.BinaryCrossEntropy, network.MSE),
        *(network.ACTIVATIONS[name] for name in ACTIVATION),
        *(network.OPTIMIZERS[name] for name in SOLVER),
    )
    arithmetic = (
        "sklearn.neural_network._multilayer_perceptron.safe_sparse_dot",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer._get_updates",
    )

    @classmethod
    def unsupported(cls, config: Config) -> str | None:
        model = "MLPRegressor" if config.task == "regression" else "MLPClassifier"
        if not config.network.dense:
            return f"{model} has no list of layers: it trains what hidden and activation can write"
        if len(set(config.network.dense["activation"])) > 1:
            return (
                f"{model} has one activation for all hidden layers, not {', '.join(config.network.dense['activation'])}"
            )
        for part in (
            config.optimizer.name,
            *config.network.dense["activation"],
            config.loss.name,
            *config.regularisation,
        ):
            if part in LACKS:
                return f"{model} has no {LACKS[part]}"
        if config.task == "regression" and config.loss.output.name != "identity":
            return f"MLPRegressor has no {config.loss.output.name} at its outputs: with squared_error they are linear"
        if config.task == "multiclass" and config.network.n_outputs < 3:
            return "MLPClassifier gives two classes one logistic unit, not a softmax over two"
        return None

    def __init__(self, config: Config, start: Weights | None) -> None:
        self.config = config
        if start is None:
            return
        self.model = given_model(config, start)
        params = self.model.coefs_ + self.model.intercepts_
        if config.optimizer.name == "adam":
            self.model._optimizer = PaperAdam(
                params, config.value("beta_1"), config.value("beta_2"), config.value("epsilon")
            )
        else:
            momentum = 0.0 if config.optimizer.name == "sgd" else config.value("momentum")
            nesterov = config.optimizer.name == "nesterov"
            self.model._optimizer = ScheduledSGD(params, learning_rate_init=1, momentum=momentum, nesterov=nesterov)

    def train(self, X: np.ndarray, y: np.ndarray, batches: Batches, after_epoch: AfterEpoch) -> None:
        y = checked_targets(self.config, y)
        for e in range(len(batches)):
            epoch = batches[e]
            self.model._optimizer.step_rates = iter(epoch.learning_rate.tolist())
            with quiet(), non_finite_is_diverged(self.model):
                for n, run in groupby(epoch.batches(), key=len):
                    rows = np.concatenate(list(run))
                    self._partial_fit(X[rows], y[rows], n)
            if after_epoch(e + 1):
                return

    def _partial_fit(self, X: np.ndarray, y: np.ndarray, n: int) -> None:
        """One step for each `n` rows, in order."""
        scale = gradient_scale(self.config, n)
        self.model.batch_size = n
        self.model.alpha = self.config.penalty.l2 * (n / scale)
        self.model._optimizer.gradient_scale = scale
        self.model.partial_fit(X, y)

    def logits(self, X: np.ndarray) -> np.ndarray:
        model = self.model
        output_activation, model.out_activation_ = model.out_activation_, "identity"
        try:
            with quiet():
                return model._forward_pass_fast(np.asarray(X, model.coefs_[0].dtype), check_input=False)
        finally:
            model.out_activation_ = output_activation

    def weights(self) -> Weights:
        layers = zip(self.model.coefs_, self.model.intercepts_, strict=True)
        return tuple({"W": W.copy(), "b": b.copy()} for W, b in layers)

    def set_weights(self, weights: Weights) -> None:
        for W, b, layer in zip(self.model.coefs_, self.model.intercepts_, weights, strict=True):
            W[...], b[...] = layer["W"], layer["b"]

    def fit_native(self, X: np.ndarray, y: np.ndarray, seed: int) -> NativeFit:
        config = self.config
        reason = self.unsupported(config)
        if reason is not None:
            raise NotImplementedError(reason)
        X = X.astype(config.dtype) if "dtype" in config.written else X
        y = targets(config, y)
        if config.task == "regression":
            model, y = MLPRegressor, y.astype(X.dtype)
        else:
            model = MLPClassifier
            every_class_present(config, y)
        constants = [name for name in OPTIMIZER_CONSTANTS[config.optimizer.name] if name in config.written]
        self.model = model(
            **network(config),
            # "sgd" means this library's own default: momentum 0.9, Nesterov's
            **{
                "sgd": {"solver": "sgd"},
                "momentum": {"solver": "sgd", "nesterovs_momentum": False},
                "nesterov": {"solver": "sgd"},
                "adam": {"solver": "adam"},
            }[config.optimizer.name],
            **{name: config.value(name) for name in constants},
            alpha=config.penalty.l2,
            batch_size=config.batch_size,
            learning_rate_init=config.optimizer.learning_rate,
            max_iter=config.epochs,
            random_state=seed,
        )
        with quiet(), non_finite_is_diverged(self.model):
            self.model.fit(X, y)
        return NativeFit(self.model.n_iter_, {"loss": [float(loss) for loss in self.model.loss_curve_]})


def network(config: Config) -> dict:
    """The arguments that describe the network; without hidden layers the activation is left at its default."""
    if not config.network.dense["hidden"]:
        return {"hidden_layer_sizes": ()}
    return {
        "hidden_layer_sizes": config.network.dense["hidden"],
        "activation": ACTIVATION[config.network.dense["activation"][0]],
    }


@contextmanager
def non_finite_is_diverged(model: MLPClassifier | MLPRegressor) -> Iterator[None]:
    """scikit-learn ends every fit with a check of its weights; any other error of its own passes through."""
    try:
        yield
    except ValueError as error:
        if all(np.isfinite(w).all() for w in [*getattr(model, "coefs_", []), *getattr(model, "intercepts_", [])]):
            raise
        raise Diverged(str(error)) from error


def every_class_present(config: Config, y: np.ndarray) -> None:
    """`fit` counts the classes that it sees: without one of them every later output would stand for another class.

    Indicators, `(n, n_outputs)`, say by their shape what there is: a label may be absent from all rows.
    """
    classes, present = max(config.network.n_outputs, 2), len(np.unique(y))
    if y.ndim == 1 and present < classes:
        raise ValueError(f"the training rows hold {present} of the {classes} classes; fit needs all of them")
