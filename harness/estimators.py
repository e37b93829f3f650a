"""scikit-learn estimators over the controlled trainers of every backend, trained in the caller's own process.

    from harness import NetworkClassifier

    model = make_pipeline(StandardScaler(), NetworkClassifier("torch", hidden=(30,)))
    search = GridSearchCV(model, {"networkclassifier__l2": [0.0, 1e-3]}, n_jobs=2).fit(X, y)

An estimator is a trial of `harness.sweep` without a split: the same start, batches and meaning of every number, so
`NetworkClassifier("numpy").fit(X, y)` and `NetworkClassifier("torch").fit(X, y)` are the same network to rounding.
Once fitted it holds numbers only, no object of a framework: it is pickled, copied and sent to other processes as
weights and configuration, and a prediction builds the network anew from them, in `backend` as it then is.
"""

import os
import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from inspect import Parameter, Signature
from numbers import Integral
from typing import Any, Self

import numpy as np
from scipy.special import expit, softmax  # type: ignore[import-untyped]
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from harness import registry
from harness.contract import OPTIMIZER_CONSTANTS, Config, Trainer, Weights
from harness.data.prepared import Dataset
from harness.draws.recipe import SCHEDULES
from harness.experiment.arguments import as_written
from harness.experiment.file import parse
from harness.experiment.rules import SHORT
from harness.experiment.sections import ARRAYS, Network, Training
from harness.manifest import Backend
from harness.network import LOSSES
from harness.planning.plan import Trial, plan
from harness.registry import BY_DEFAULT
from harness.support.errors import NotInstalled, RequestError, unknown
from harness.support.packages import check_not_shadowed
from harness.training.trial import train_controlled

_NOT_HERE = {
    *("loss", *(constant.key for loss in LOSSES.values() for constant in loss.constants()), "output_activation"),
    *("schedule", *(key for keys in SCHEDULES.values() for key in keys)),
    *("n_batches", "batches", "last_batch", "patience", "min_delta"),
}
"""Keys of an experiment that an estimator has no argument for."""

_DEFAULTS: dict[str, Any] = {"hidden": (50,), "activation": "relu", "optimizer": "adam", "learning_rate": 0.01}
_DEFAULTS |= {"batch_size": 32, "epochs": 50}
"""Defaults of an estimator that are not those of an experiment file, or that a file has to give."""


def _parameters() -> Iterator[Parameter]:
    """The arguments of an estimator: its backend, the keys of `[network]` and `[training]`, and what it draws from."""
    yield Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)
    yield Parameter("backend", Parameter.POSITIONAL_OR_KEYWORD, default=BY_DEFAULT[0])
    for section in (Network, Training):
        for key, info in section.model_fields.items():
            if key not in _NOT_HERE:
                yield Parameter(key, Parameter.KEYWORD_ONLY, default=_DEFAULTS.get(key, info.default))
    yield Parameter("random_state", Parameter.KEYWORD_ONLY, default=0)


_SIGNATURE = Signature(list(_parameters()))


class _Network(BaseEstimator):  # type: ignore[misc]
    """What classifier and regressor share: the settings, the training, the logits."""

    weights_: Weights
    config_: Config

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        try:
            given = _SIGNATURE.bind(self, *arguments, **settings)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {error}") from None
        given.apply_defaults()
        for name, value in given.arguments.items():
            if name != "self":
                setattr(self, name, value)

    __init__.__signature__ = _SIGNATURE  # type: ignore[attr-defined] # where scikit-learn looks for the settings

    @property
    def coefs_(self) -> list[np.ndarray]:
        """The weight matrix of each dense layer, `(n_in, n_out)`."""
        return [layer["W"] for layer in self.weights_ if "W" in layer]

    @property
    def intercepts_(self) -> list[np.ndarray]:
        """The bias of each layer, `(n_out,)`; of a normalised one its beta."""
        return [layer[key] for layer in self.weights_ for key in ("b", "beta") if key in layer]

    def _train(self, dataset: Dataset) -> Self:
        """Train on all rows. Raises `RequestError` for a wrong setting, and where the training diverges."""
        trial = self._trial(dataset)
        start, batches, prepared = trial.start(), trial.batches(len(dataset.y)), trial.prepare(dataset)
        with self._trainer(trial.config) as trainer:
            outcome = train_controlled(trainer, trial.config, start, batches, prepared, trial.curves)
        if outcome.weights is None:
            raise RequestError(
                f"{self._name}: the training diverged: {outcome.reason}; lower learning_rate, now "
                f"{self.learning_rate}, or scale the inputs, for example by StandardScaler"
            )
        self.weights_, self.config_ = outcome.weights, trial.config
        self.loss_curve_ = outcome.curves["train_loss"]
        self.n_iter_ = outcome.epochs_run
        return self

    def _logits(self, X: Any) -> np.ndarray:
        """The outputs before softmax or logistic function, `(n, n_outputs)`."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        with self._trainer(self.config_) as trainer:
            return trainer(self.config_, self.weights_).logits(X)

    def _trial(self, dataset: Dataset) -> Trial:
        """The settings as the one trial of an experiment, checked as those of a file are."""
        given = {key: as_written(value) for key, value in self.get_params(deep=False).items()}
        if given["optimizer"] not in tuple(OPTIMIZER_CONSTANTS):
            raise RequestError(f"{self._name}: {unknown('optimizer', given['optimizer'], OPTIMIZER_CONSTANTS)}")
        if isinstance(given["batch_size"], int):
            given["batch_size"] = min(given["batch_size"], len(dataset.y))
        if given["layers"] is not None:
            given = {key: value for key, value in given.items() if key not in SHORT}
        elif not given["hidden"]:
            del given["activation"], given["dropout"]  # which may be lists for the layers of another network
        table = {
            "name": "estimator",
            "data": {"name": ARRAYS, "test_fraction": 0.0},
            "network": {key: given[key] for key in Network.model_fields if given.get(key) is not None},
            "training": {key: given[key] for key in Training.model_fields if given.get(key) is not None},
            "run": {"backends": [self._backend().name], "seed": self._seed(), "curves": True},
        }
        # what a training does not read is no mistake here: a search varies the optimizer, and leaves its constants
        return plan(parse(table, self._name, all_read=False), {ARRAYS: dataset})[0]

    def _seed(self) -> int:
        if self.random_state is None:
            return secrets.randbits(31)
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _backend(self) -> Backend:
        known = registry.backends()
        if self.backend not in tuple(known):
            raise RequestError(f"{self._name}: {unknown('backend', self.backend, known)}")
        return known[self.backend]

    @contextmanager
    def _trainer(self, config: Config) -> Iterator[type[Trainer]]:
        """The backend's class, to be used within: afterwards variables and warning filters are as they were before."""
        check_not_shadowed()
        backend = self._backend()
        where = f"{self._name}: backend {backend.name!r}"
        missing = backend.missing()
        if missing:
            raise RequestError(f"{where}: {missing}")
        for framework in backend.requires:
            import_module(framework)  # what it sets of its own stays, as if the caller had imported it
        with _put_back():
            try:
                trainer = registry.load_trainer(backend.trainer)
            except NotInstalled as error:
                raise RequestError(f"{where}: {error}") from None
            reason = trainer.refuses(config)
            if reason:
                raise RequestError(f"{where} cannot train this network: {reason}")
            yield trainer

    @property
    def _name(self) -> str:
        return type(self).__name__


@contextmanager
def _put_back() -> Iterator[None]:
    """Environment variables and warning filters are afterwards what they were.

    Seeds, dtypes, threads and the other settings of a framework are its adapter's to leave alone, or to put back.
    """
    before = dict(os.environ)
    try:
        with warnings.catch_warnings():
            yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if os.environ.get(name) != value})


class NetworkClassifier(ClassifierMixin, _Network):  # type: ignore[misc]
    """A classifier: softmax over three classes or more, one logistic unit for two.

    It minimises the cross-entropy. Inputs are taken as they are: scale them in a `Pipeline`. Sample weights,
    `partial_fit` and several labels a row are not supported. Every method raises `RequestError`, a `ValueError`, for a
    setting that is wrong, a backend that is not installed, and a training that diverges.

    Parameters
    ----------
    backend : str
        Who trains and predicts: "numpy", "sklearn", "tensorflow", "keras", "torch", or any that `harness list` shows.
    hidden : sequence of int
        Units of each hidden layer; `()` for none.
    layers : list of str and dict, or None
        The layers one by one, as an experiment file writes them: `[{"dense": 50}, "relu", {"dropout": 0.2}]`. They
        stand in place of `hidden`, `activation`, `dropout`, `input_dropout` and `batch_norm`, which then say nothing.
    activation : str or sequence of str
        "sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "softplus" or "identity": one, or one a hidden layer.
    leaky_slope, elu_alpha : float
        Constants of the activations that are called so.
    init : str
        How the weights are drawn: "glorot_uniform", "he_normal", "normal(0.1)", …, or an NPZ file of them.
    bias : float or str
        Where biases start: a number, or a law, as in an experiment file.
    dropout : float or sequence of float
        The rate at which hidden units are dropped in training: one, or one a hidden layer.
    input_dropout : float
        The rate at which inputs are dropped.
    batch_norm : bool
        Whether hidden layers are normalised by batch; `batch_norm_momentum` and `batch_norm_epsilon` are its constants.
    optimizer : str
        "sgd", "momentum", "nesterov", "adagrad", "adagrad_momentum", "rmsprop" or "adam".
    learning_rate : float
        The learning rate, the same in all epochs.
    momentum, beta_1, beta_2, rho, epsilon, initial_accumulator : float
        Constants of the optimizers; each reads its own and takes no notice of the others.
    l2, l1 : float
        `(l2 / 2) * sum(W**2) + l1 * sum(abs(W))` is added to the loss of a batch.
    clip_norm, clip_value : float or None
        The largest norm of a gradient, over all weights and biases together, or the largest of its elements.
    reduction : str
        Whether the loss of a batch is the "mean" or the "sum" over its rows.
    batch_size : int or "full"
        Rows of a batch; all rows where there are fewer.
    epochs : int
        How often all rows are gone through.
    dtype : str
        "float64" or "float32".
    random_state : int, RandomState or None
        What start and batches are drawn from, the same for every backend. With None each fit draws others and, unlike
        scikit-learn's own, takes nothing from NumPy's global generator.

    Attributes
    ----------
    classes_ : ndarray
        The labels, sorted.
    weights_ : tuple of dict
        For each dense layer `"W"` `(n_in, n_out)` and `"b"` `(n_out,)`; batch normalisation is a layer of its own.
    coefs_, intercepts_ : list of ndarray
        The same under the names that `MLPClassifier` gives them.
    config_ : harness.Config
        The network and its training, every number written out.
    loss_curve_ : list of float
        The loss over all rows, without penalties: before training, then after each epoch.
    n_iter_ : int
        The number of epochs.
    n_features_in_, feature_names_in_
        As in every estimator.
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Train on `X` `(n, n_inputs)` and labels `y` `(n,)`, from the start anew."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, y = np.unique(column_or_1d(y, warn=True), return_inverse=True)
        if len(self.classes_) < 2:
            raise RequestError(f"{self._name}: y has 1 class, {self.classes_[0]}; at least 2 are needed")
        task = "binary" if len(self.classes_) == 2 else "multiclass"
        return self._train(Dataset(ARRAYS, X, y.astype(np.int64), tuple(map(str, self.classes_)), task))

    def decision_function(self, X: Any) -> np.ndarray:
        """The logits, `(n, n_classes)`; of two classes those of the second, `(n,)`."""
        logits = self._logits(X)
        return logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, `(n, n_classes)`, in the order of `classes_`."""
        z = self.decision_function(X)
        p: np.ndarray = softmax(z, axis=1) if z.ndim == 2 else np.column_stack([expit(-z), expit(z)])
        return p

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row, `(n,)`; the first of equally probable ones."""
        z = self.decision_function(X)
        labels: np.ndarray = self.classes_[z.argmax(axis=1) if z.ndim == 2 else (z > 0).astype(np.intp)]
        return labels


class NetworkRegressor(RegressorMixin, _Network):  # type: ignore[misc]
    """A regressor with linear outputs, one or several; it minimises the mean squared error.

    Parameters, attributes (but for `classes_`) and errors are those of `NetworkClassifier`. Targets are taken as they
    are: where they are large, scale them by `TransformedTargetRegressor`.
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Train on `X` `(n, n_inputs)` and targets `y` `(n,)` or `(n, n_targets)`, from the start anew."""
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        targets = y.reshape(len(y), -1).astype(np.float64)
        return self._train(Dataset(ARRAYS, X, targets, tuple(map(str, range(targets.shape[1]))), "regression"))

    def predict(self, X: Any) -> np.ndarray:
        """The outputs, `(n,)` or `(n, n_targets)` as the targets were."""
        outputs = self._logits(X)
        return outputs[:, 0] if self.config_.network.n_outputs == 1 else outputs

    def __sklearn_tags__(self) -> Tags:
        """What scikit-learn's own checks may ask of it."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
