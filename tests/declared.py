"""What really ran, beside what the harness makes of a row: the cases that declared conventions are measured by.

A case has the row that it ran under, and says of any row how far what the harness makes of it is from what happened.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import cache, cached_property
from unittest.mock import patch

import numpy as np
from sklearn.metrics import accuracy_score, roc_auc_score

from experiments.datasets import DATASETS
from harness.contract import Batches, Config, Epoch, Weights, vary
from harness.conventions.table import Row
from harness.conventions.translation import config_under, recipe_under
from harness.data.prepared import Part, Prepared
from harness.draws.batches import draw_batches
from harness.draws.recipe import Recipe
from harness.draws.starts import draw_start
from harness.recording.file import RecordedBatches, Recording
from harness.reference.trainer import logits_of
from harness.registry import backend as find
from harness.registry import load_trainer, native_row
from harness.replay.stack import Replayed, replay
from harness.replay.training import Member
from harness.training.parity import ReversedRows, deviation, largest, reverse_inputs
from harness.training.trial import train_native
from tests.watch import watch

SEED, L2, UNITS, BATCH, EPOCHS = 3, 0.01, 12, 64, 10
RATE = {"sgd": 0.1, "momentum": 0.05, "nesterov": 0.05, "adam": 0.01, "adagrad": 0.05, "rmsprop": 0.003}
OPTIMIZERS = tuple(RATE)
ACTIVATIONS = ("tanh", "sigmoid", "relu", "leaky_relu", "elu", "softplus")
SKLEARN_LACKS = ("adagrad", "rmsprop", "leaky_relu", "elu", "softplus")


@dataclass(frozen=True)
class Case:
    """Something that ran under `row`: `deviation` of that row is at most `tolerance`, which rounding accounts for."""

    row: Row
    deviation: Callable[[Row], float]
    tolerance: float

    @cached_property
    def own(self) -> float:
        """The deviation of the row that it ran under."""
        return self.deviation(self.row)

    def catches(self, name: str, wrong: object) -> bool:
        """Whether a wrong value is outside the tolerance, and a hundred times as far away as the right one."""
        if getattr(self.row, name) == wrong:
            return False
        found = self.deviation(replace(self.row, **{name: wrong}))
        return self.own <= self.tolerance < found and found >= 100 * self.own


@cache
def digits(n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    X, y, _ = DATASETS["digits"].load()
    return X[:n] / 16, y[:n]


def indicators(y: np.ndarray) -> np.ndarray:
    """Is it even, is it a large one, has it a hole: three targets of each digit."""
    return np.stack([y % 2 == 0, y > 4, np.isin(y, [0, 6, 8, 9])], axis=1).astype(np.float64)


TASKS = {
    "binary": {"task": "binary", "loss": "binary_cross_entropy", "output_activation": "sigmoid", "n_outputs": 1},
    "multilabel": {
        "task": "multilabel",
        "loss": "binary_cross_entropy",
        "output_activation": "sigmoid",
        "n_outputs": 3,
    },
    "regression": {"task": "regression", "loss": "mse", "output_activation": "identity", "n_outputs": 3},
}
OWN_SETTINGS: dict[str, dict] = {
    **TASKS,
    # inputs so large that probabilities come to 0 and 1, and a softplus to its linear part
    "loud": {"activation": ("relu",), "learning_rate": 1e-3},
    "loud softplus": {"activation": ("softplus",), "learning_rate": 1e-2},
    # targets so large that the squares of their gradients are infinite in float32
    "overflow": {**TASKS["regression"], "optimizer": "rmsprop", "learning_rate": 0.01},
    # all rows in one batch, whose loss does not depend on what was drawn
    "plateau": {"learning_rate": 1e-6, "batch_size": 200, "epochs": 15},
    "long": {"learning_rate": 0.2, "epochs": 400},
    "changing rate": {"optimizer": "momentum", "learning_rate": 1 / 16},
}
TARGETS = {
    "binary": lambda y: indicators(y)[:, :1],
    "multilabel": indicators,
    "regression": lambda y: indicators(y) * [1, 2, 3],
    "overflow": lambda y: (1 + indicators(y)) * 1e30,
}


def problem(name: str) -> tuple[np.ndarray, np.ndarray]:
    X, y = digits()
    return X * 60 if name.startswith("loud") else X, TARGETS.get(name, lambda y: y)(y)


def settings(name: str, dtype: str = "default", **changes: object) -> Config:
    """The config by the name of an optimizer, of an activation (of plain SGD), of both ("adam relu"), or of its own."""
    optimizer = next((word for word in name.split() if word in OPTIMIZERS), "sgd")
    activation = next((word for word in name.split() if word in ACTIVATIONS), "tanh")
    base = {"optimizer": optimizer, "activation": (activation,), "learning_rate": RATE[optimizer]}
    base |= {"n_inputs": 64, "n_outputs": 10, "hidden": (UNITS,), "batch_size": BATCH, "epochs": EPOCHS, "l2": L2}
    written = {} if dtype == "default" else {"dtype": dtype, "written": frozenset({"dtype"})}
    return Config.of(**{**base, **OWN_SETTINGS.get(name, {}), **written, **changes})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Extended:
    """As many epochs as are asked for: the last one again and again where the training itself had fewer."""

    batches: Batches
    epochs: int

    def __len__(self) -> int:
        return self.epochs

    def __getitem__(self, epoch: int) -> Epoch:
        return self.batches[min(epoch, len(self.batches) - 1)]


@dataclass(frozen=True)
class Fit:
    """A native fit that was watched."""

    backend: str
    config: Config
    recording: Recording

    @cached_property
    def row(self) -> Row:
        return native_row(self.backend, self.config)

    @cached_property
    def end(self) -> Weights:
        return self.recording.weights_at(self.recording.steps)

    def member(self, row: Row) -> Member:
        """The row's training from the recorded start on the recorded batches."""
        recording = self.recording
        config = config_under(self.config, row, len(recording.X))
        batches = Extended(RecordedBatches(recording, config.optimizer.learning_rate), config.epochs)
        y = recording.y if config.task == "multiclass" else recording.y.astype(config.dtype)
        return Member(config, row, recording.weights_at(0), batches, recording.X.astype(config.dtype), y)

    def replayed(self, row: Row) -> Replayed:
        return replay([self.member(row)])[0]

    @cached_property
    def floor(self) -> float:
        """How far the replay parts from itself where only roundings change."""
        member = self.member(self.row)
        turned = replace(member, start=reverse_inputs(member.config.network, member.start), X=member.X[:, ::-1].copy())
        own, rows, inputs = (
            result.weights for result in replay([member, replace(member, batches=ReversedRows(member.batches)), turned])
        )
        return max(distance(rows, own), distance(inputs and reverse_inputs(member.config.network, inputs), own))

    @cached_property
    def tolerance(self) -> float:
        return max(1e-12, 100 * self.floor) if self.recording.dtype == "float64" else 1e-5 * largest(self.end)

    @cached_property
    def trained(self) -> Case:
        """The weights at the end."""
        return Case(self.row, lambda row: distance(self.replayed(row).weights, self.end), self.tolerance)

    @cached_property
    def ordered(self) -> Case:
        """The law that the batches follow, and how long they are."""
        config, recording = self.config, self.recording
        epochs = [
            [recording.batch(step) for step in np.flatnonzero(recording.epoch == epoch)]
            for epoch in range(recording.epoch[-1] + 1)
        ]
        return order_case(self.row, config, len(recording.X), epochs)

    @cached_property
    def logged(self) -> Case:
        """What the fit logged as its loss after each epoch."""
        told = np.array(self.recording.settings["logged"]["loss"])

        def off(row: Row) -> float:
            mine = np.array(self.replayed(row).logged_loss)
            return float(np.max(np.abs(mine - told))) if len(mine) == len(told) else np.inf

        return Case(self.row, off, 1e-12 if self.recording.dtype == "float64" else 1e-5 * float(np.max(told)))


def distance(weights: Weights | None, end: Weights | None) -> float:
    """`deviation`, infinite for two networks of other shapes; 0 where both diverged."""
    shapes = [[layer["W"].shape for layer in each or ()] for each in (weights, end)]
    return np.inf if shapes[0] != shapes[1] else deviation(weights, end) or 0.0


@cache
def fit(backend: str, name: str, dtype: str = "float64") -> Fit:
    """The backend's native fit of `settings(name)`, watched once."""
    config = settings(name, dtype)
    if backend == "numpy" and config.optimizer.name in ("sgd", "momentum", "nesterov"):
        config = vary(config, learning_rate=config.optimizer.learning_rate / BATCH)  # its gradients are summed
    X, y = problem(name)
    if name != "changing rate":
        return Fit(backend, config, watch(backend, config, X, y, SEED))
    rates = np.where(
        np.arange(EPOCHS * 4) < FALLS_AFTER, config.optimizer.learning_rate, config.optimizer.learning_rate / 4
    )
    with changing_rate(backend, rates) as told:
        recording = watch(backend, vary(config, learning_rate=told or config.optimizer.learning_rate), X, y, SEED)
    return Fit(backend, config, replace(recording, learning_rate=rates[: recording.steps]))


FALLS_AFTER = 15


@contextmanager
def changing_rate(backend: str, rates: np.ndarray) -> Iterator[object]:
    """The learning rate of every step, by each framework's own means; where that is a schedule, it is handed over."""
    if backend in ("keras", "tensorflow"):
        import keras

        fall = keras.optimizers.schedules.PiecewiseConstantDecay([FALLS_AFTER - 1], [rates[0], rates[-1]])
        yield fall
    elif backend == "torch":
        from torch.optim.optimizer import register_optimizer_step_pre_hook

        upcoming = iter(rates.tolist())
        handle = register_optimizer_step_pre_hook(lambda sgd, *_: sgd.param_groups[0].update(lr=next(upcoming)))
        yield None
        handle.remove()
    elif backend == "sklearn":
        from sklearn.neural_network._stochastic_optimizers import SGDOptimizer

        with before_each(SGDOptimizer, "_get_updates", rates, lambda sgd, rate: setattr(sgd, "learning_rate", rate)):
            yield None
    else:
        from backends.numpy.native import NeuralNetwork

        def tell(network: NeuralNetwork, rate: float) -> None:
            network.config.learning_rate = rate

        with before_each(NeuralNetwork, "update", rates, tell):
            yield None


def before_each(owner: type, method: str, values: np.ndarray, tell: Callable) -> AbstractContextManager:
    """Before each call of a method its object is told the next of some values."""
    original, upcoming = getattr(owner, method), iter(values.tolist())

    def told(self, *arguments):
        tell(self, next(upcoming))
        return original(self, *arguments)

    return patch.object(owner, method, told)


def law_of(epochs: list[list[np.ndarray]]) -> str:
    """Which law the batches of some epochs follow."""
    orders = [np.concatenate(batches) for batches in epochs]
    once = all(len(np.unique(order)) == len(order) for order in orders)
    if all(np.array_equal(order, orders[0]) for order in orders):
        gaps = np.diff(orders[0])
        if once and (gaps > 0).all():
            return "in_order" if (gaps == 1).all() else "skipping"
        return "one_permutation" if once else "bootstrap"
    if once:
        return "permutation"
    return "independent" if all(len(np.unique(b)) == len(b) for batches in epochs for b in batches) else "replacement"


def order_case(row: Row, config: Config, n: int, epochs: list[list[np.ndarray]]) -> Case:
    """Batches as somebody drew them: 1 for another law, and 1 for other lengths, of those that the harness draws."""

    def off(other: Row) -> float:
        batches = draw_batches(config_under(config, other, n), recipe_under(other, Recipe()), n, 0, 0)
        drawn = [batches[e].batches() for e in range(len(epochs))]
        lengths = [[list(map(len, batches)) for batches in each] for each in (drawn, epochs)]
        return float(law_of(drawn) != law_of(epochs)) + float(lengths[0] != lengths[1])

    return Case(row, off, 0.0)


@cache
def judged(backend: str, task: str) -> Case:
    """Accuracy and ROC AUC of a native fit as the harness takes them, beside scikit-learn's own."""
    config = settings(task if task in TASKS else "sgd", learning_rate=RATE["sgd"] / BATCH, epochs=2)
    X, y = problem(task)
    train, test, nothing = np.arange(120), np.arange(120, 200), np.arange(0)
    parts = Prepared(*(Part(X[rows], y[rows], rows) for rows in (train, nothing, test)))
    outcome = train_native(load_trainer(find(backend).trainer), config, SEED, parts)

    def off(row: Row) -> float:
        part = {"test": parts.test, "training": parts.train}[row.metric_rows]
        logits = logits_of(vary(config, **constants).network, outcome.weights, part.X)
        taken = measured(row, config, logits, part.y)
        return abs(taken - outcome.metrics["test_auc" if config.task == "binary" else "test_accuracy"])

    constants = {"dtype": native_row(backend, config).dtype}
    return Case(native_row(backend, config), off, 1e-12)


def measured(row: Row, config: Config, logits: np.ndarray, y: np.ndarray) -> float:
    """The ROC AUC of a binary task or the accuracy of a multiclass one, as a row has it, by scikit-learn."""
    if config.task == "binary":
        scores = {"scores": logits, "labels": logits > 0}[row.auc]
        return float(roc_auc_score(y.ravel(), scores.ravel()))
    if row.accuracy == "argmax":
        return float(accuracy_score(y, logits.argmax(axis=1)))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return float(accuracy_score(np.eye(config.network.n_outputs)[y].ravel(), p.ravel() > 0.5))


def drawn(config: Config, row: Row, name: str) -> Member:
    """The row's training on `problem(name)`, from a start and on batches that the harness draws."""
    X, y = problem(name)
    config, recipe = config_under(config, row, len(X)), recipe_under(row, Recipe())
    start, batches = draw_start(config, recipe, 0, 0), draw_batches(config, recipe, len(X), 0, 0)
    return Member(config, row, start, batches, X.astype(config.dtype), y)


def written_out(config: Config, row: Row, code: Callable[[Member], Weights], name: str = "sgd") -> Case:
    """A training under `row` by a code that shares nothing with the replay, from the same start on the same rows."""
    end = code(drawn(config, row, name))
    return Case(row, lambda other: distance(replay([drawn(config, other, name)])[0].weights, end), 1e-12)
