"""One trial, from arrays to an outcome: the part that runs inside a worker, and knows neither store nor plan."""

import math
import operator
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from harness.contract import (
    NATIVE_CURVES,
    Batches,
    Config,
    Diverged,
    NativeFit,
    StackedBatches,
    StackTrainer,
    Trainer,
    Weights,
    member,
    stacked,
)
from harness.data.prepared import Prepared
from harness.support.errors import plain_text
from harness.training.checkpoints import flat_stack
from harness.training.lifted import lifted
from harness.training.metrics import (
    NO_SCORE,
    Score,
    confusion,
    confusion_stack,
    evaluate,
    evaluate_stack,
    loss,
    score_of,
)

Curves = dict[str, list[float]]
"""Metric -> one value an epoch; `"epoch"` holds the epochs' numbers, from 0, before training."""


@dataclass(frozen=True)
class Outcome:
    """What came out of one training. Metrics are empty where it diverged, but for the accuracy of `Trainer.answers`.

    `checkpoints` holds the weights, flat, after the epochs that were asked for; `grid_logits` those over the plane.
    """

    status: str
    reason: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    curves: Curves = field(default_factory=dict)
    epochs_run: int | None = None
    stack_size: int | None = None
    build_seconds: float | None = None
    train_seconds: float | None = None
    predict_seconds: float | None = None
    weights: Weights | None = None
    first_epoch_weights: Weights | None = None
    checkpoints: dict[int, np.ndarray] = field(default_factory=dict)
    test_logits: np.ndarray | None = None
    grid_logits: np.ndarray | None = None
    confusion: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.reason is not None:  # whatever a backend said: it has to fit a row, a terminal and a page
            object.__setattr__(self, "reason", plain_text(self.reason, 1000))


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when the validation loss has not fallen by more than `min_delta` for `patience` epochs.

    The harness decides it, from its own loss, for every backend alike; the weights of the best epoch are restored,
    whether the training was stopped or came to its end. Source: Prechelt, "Early stopping - but when?", 1998.
    """

    patience: int
    min_delta: float = 0.0


class BestEpoch:
    """The best weights so far, and whether patience has run out."""

    def __init__(self, rule: EarlyStopping) -> None:
        self.rule = rule
        self.loss = math.inf
        self.weights: Weights | None = None
        self.waited = 0

    def __call__(self, validation_loss: float, weights: Weights) -> bool:
        """Look at one more epoch; True stops the training."""
        if validation_loss < self.loss - self.rule.min_delta:
            self.loss, self.weights, self.waited = validation_loss, weights, 0
        else:
            self.waited += 1
        return self.waited >= self.rule.patience


def as_arrays(weights: Weights) -> Weights:
    """The weights of a trainer as plain arrays of numbers, which need no framework to be read.

    Raises `TypeError` for what cannot be one.
    """
    arrays = tuple({str(key): np.asarray(value) for key, value in layer.items()} for layer in weights)
    for layer in arrays:
        for key, value in layer.items():
            if value.dtype.kind != "f":
                raise TypeError(f"weights() gave {key} as {value.dtype}, not as numbers of floating point")
    return arrays


def is_finite(weights: Weights) -> bool:
    """Whether no weight or bias is infinite or NaN."""
    return all(bool(np.isfinite(value).all()) for layer in weights for value in layer.values())


def finite_members(weights: Weights) -> np.ndarray:
    """Which members of a stack have weights that are all finite, `(members,)`."""
    values = [np.isfinite(value).reshape(len(value), -1).all(axis=1) for layer in weights for value in layer.values()]
    finite: np.ndarray = np.logical_and.reduce(values)
    return finite


class MemberWatch:
    """What the harness has seen of one member of a stack."""

    def __init__(self, stopping: EarlyStopping | None) -> None:
        self.best = None if stopping is None else BestEpoch(stopping)
        self.curves: Curves = {}
        self.first_epoch_weights: Weights | None = None
        self.checkpoints: dict[int, np.ndarray] = {}
        self.weights: Weights | None = None  # what it left the stack with
        self.epochs_run = 0
        self.fault: str | None = None

    def record(self, epoch: int, metrics: dict[str, float]) -> None:
        """Add one epoch to the curves; before training that is epoch 0."""
        for name, value in {"epoch": float(epoch), **metrics}.items():
            self.curves.setdefault(name, []).append(value)
        if epoch > 0 and not all(map(math.isfinite, metrics.values())):
            self.fault = f"loss not finite after epoch {epoch}"


class Watcher:
    """The harness's eyes during the training of a stack: the `after_epoch` that a trainer calls.

    Records the curves and the weights after epoch 1 and after those of `epochs`, takes members whose weights or losses
    are no longer finite or whose patience has run out off the stack, and keeps account of the time that looking takes,
    which is not the backend's.
    """

    def __init__(
        self,
        trainer: StackTrainer,
        configs: Sequence[Config],
        prepared: Prepared,
        curves: bool,
        stopping: EarlyStopping | None = None,
        epochs: tuple[int, ...] = (),
    ) -> None:
        self.trainer = trainer
        self.config = configs[0]  # what metrics depend on is the same for all
        self.members = [MemberWatch(stopping) for _ in configs]
        self.still = list(range(len(configs)))
        self.prepared = prepared
        self.parts = prepared.parts()
        self.X = np.concatenate([part.X for part in self.parts.values()])
        self.wants_curves = curves
        self.kept_epochs = epochs
        self.seconds = 0.0
        if curves:
            self._record(0)

    def __call__(self, epoch: int) -> np.ndarray:
        """Look at the training after `epoch` epochs: which of the members that are left have to leave, `(members,)`."""
        started = time.perf_counter()
        epoch = operator.index(epoch)
        weights = self.weights()
        flat = flat_stack(weights) if epoch in self.kept_epochs else None
        for k, (i, finite) in enumerate(zip(self.still, finite_members(weights), strict=True)):
            self.members[i].epochs_run = epoch
            if not finite:
                self.members[i].fault = f"weights not finite after epoch {epoch}"
            elif epoch == 1:
                self.members[i].first_epoch_weights = member(weights, k)
            elif flat is not None:
                self.members[i].checkpoints[epoch] = flat[k]
        if self.wants_curves:
            self._record(epoch)
        leave = np.array([self.members[i].fault is not None for i in self.still])
        if self.members[0].best is not None:
            leave |= self._out_of_patience(weights)
        self.still = [i for i, leaves in zip(self.still, leave, strict=True) if not leaves]
        self.seconds += time.perf_counter() - started
        return leave

    def weights(self) -> Weights:
        """The weights of the members that are still there; `RuntimeError` where there are more, or fewer."""
        weights = as_arrays(self.trainer.stack_weights())
        held = {len(value) for layer in weights for value in layer.values()}
        if held != {len(self.still)}:
            raise RuntimeError(f"stack_weights() holds {max(held, default=0)} members, expected {len(self.still)}")
        return weights

    def logits(self, X: np.ndarray, members: int | None = None) -> np.ndarray:
        """Their logits, or those of all members; `RuntimeError` where the shape is not the contract's."""
        logits = np.asarray(self.trainer.stack_logits(X))
        expected = (len(self.still) if members is None else members, len(X), self.config.network.n_outputs)
        if logits.shape != expected:
            raise RuntimeError(f"stack_logits() has shape {logits.shape}, expected {expected}")
        return logits

    def _out_of_patience(self, weights: Weights) -> np.ndarray:
        """Tell each member's patience of its validation loss."""
        validation = self.prepared.validation
        logits = None if self.wants_curves else self.logits(validation.X)
        out = np.zeros(len(self.still), bool)
        for k, i in enumerate(self.still):
            watch = self.members[i]
            if watch.fault is not None or watch.best is None:
                continue
            if logits is None:
                validation_loss = watch.curves["validation_loss"][-1]
            else:
                with np.errstate(all="ignore"):
                    validation_loss = loss(self.config, logits[k], validation.y)
            watch.weights = member(weights, k)
            out[k] = watch.best(validation_loss, watch.weights)
        return out

    def _record(self, epoch: int) -> None:
        """Add an epoch to the curves of every member that has finite weights."""
        ends = np.cumsum([len(part.y) for part in self.parts.values()])[:-1]
        logits = dict(zip(self.parts, np.split(self.logits(self.X), ends, axis=1), strict=True))
        for i, metrics in zip(self.still, evaluate_stack(self.config, logits, self.prepared), strict=True):
            if self.members[i].fault is None:
                self.members[i].record(epoch, metrics)


def train_controlled(
    trainer_class: type[Trainer],
    config: Config,
    start: Weights,
    batches: Batches,
    prepared: Prepared,
    curves: bool = False,
    stopping: EarlyStopping | None = None,
) -> Outcome:
    """Train one network under the harness's own conventions: a stack of one, see `train_stack`."""
    return train_stack(trainer_class, (config,), (start,), (batches,), prepared, curves, stopping)[0]


def train_stack(
    trainer_class: type[Trainer],
    configs: Sequence[Config],
    starts: Sequence[Weights],
    batches: Sequence[Batches],
    prepared: Prepared,
    curves: bool = False,
    stopping: EarlyStopping | None = None,
    width: int = 1,
    epochs: tuple[int, ...] = (),
) -> list[Outcome]:
    """Train a stack under the harness's own conventions, from its starts, on its batches, until it says stop.

    More than one member needs a `StackTrainer`; one that compiles gets copies of the last member up to `width`. Weights
    are kept after `epochs` too. Times are the stack's over its members. Raises `RuntimeError` when the trainer skipped
    epochs, and whatever the trainer raises; `Diverged` from a single network is an outcome.
    """
    count = len(configs)
    stack_class = lifted(trainer_class)
    if stack_class.compiles:
        configs, starts, batches = ([*given, *[given[-1]] * (width - count)] for given in (configs, starts, batches))
    started = time.perf_counter()
    trainer = stack_class(configs[0], None)
    trainer.build_stack(configs, stacked(starts))
    built = time.perf_counter()
    watcher = Watcher(trainer, configs, prepared, curves, stopping, epochs)
    before = time.perf_counter()
    try:
        trainer.train_stack(prepared.train.X, prepared.train.y, StackedBatches(tuple(batches)), watcher)
    except Diverged as error:
        if len(configs) > 1:
            raise
        watcher.members[0].fault = f"the framework refused to go on: {error}"
    seconds = {"build_seconds": built - started, "train_seconds": time.perf_counter() - before - watcher.seconds}
    for i in watcher.still:
        watch = watcher.members[i]
        if watch.fault is None and watch.epochs_run != len(batches[i]):
            raise RuntimeError(f"called after_epoch for {watch.epochs_run} of {len(batches[i])} epochs")
    return _finish_stack(watcher, {name: value / count for name, value in seconds.items()}, count)


def _finish_stack(watcher: Watcher, seconds: dict[str, float], count: int) -> list[Outcome]:
    """The outcomes of the first `count` members, metrics from the weights that each ended with."""
    finals = _final_weights(watcher)
    present = [i for i, weights in enumerate(finals[:count]) if weights is not None]
    results: dict[int, dict[str, Any]] = {}
    if present:
        if len(watcher.still) < len(finals) or watcher.members[0].best is not None:  # not what the trainer has
            some = finals[present[0]]
            watcher.trainer.set_stack_weights(stacked([weights or some for weights in finals]))  # type: ignore[misc]
        logits: dict[str, np.ndarray] = {}
        for name, part in watcher.parts.items():  # the test rows come last, where there are any: theirs is the time
            before = time.perf_counter()
            logits[name] = watcher.logits(part.X, len(finals))[present]
            seconds["predict_seconds"] = (time.perf_counter() - before) / count
        metrics = evaluate_stack(watcher.config, logits, watcher.prepared, full=True)
        tables = {name: confusion_stack(watcher.config, z, watcher.parts[name].y) for name, z in logits.items()}
        for k, i in enumerate(present):
            results[i] = {
                "metrics": metrics[k],
                "weights": finals[i],
                "test_logits": logits["test"][k] if "test" in logits else None,
                "confusion": {name: table[k] for name, table in tables.items() if table[k] is not None},
            }
    outcomes = []
    for i, watch in enumerate(watcher.members[:count]):
        fault = watch.fault
        if i in results and not all(map(math.isfinite, results[i]["metrics"].values())):
            fault = "loss not finite at the end"
        common: dict[str, Any] = {
            "curves": watch.curves,
            "epochs_run": watch.epochs_run,
            "stack_size": count,
            **seconds,
        }
        common |= {"first_epoch_weights": watch.first_epoch_weights, "checkpoints": watch.checkpoints}
        if fault is not None:
            outcomes.append(Outcome("diverged", fault, **common))
        else:
            outcomes.append(Outcome("ok", **results[i], **common))
    return outcomes


def _final_weights(watcher: Watcher) -> list[Weights | None]:
    """What each member ended with: the weights of its best epoch, or the last ones; None where they are not finite."""
    if watcher.still:  # else all have been told to leave, and their weights are known
        last = watcher.weights()
        for k, (i, finite) in enumerate(zip(watcher.still, finite_members(last), strict=True)):
            watch = watcher.members[i]
            watch.weights = member(last, k)
            if not finite and watch.fault is None:
                watch.fault = "weights not finite at the end"
    finals: list[Weights | None] = []
    for watch in watcher.members:
        best = None if watch.best is None else watch.best.weights
        finals.append(None if watch.fault is not None else best or watch.weights)
    return finals


def train_native(
    trainer_class: type[Trainer],
    config: Config,
    seed: int,
    prepared: Prepared,
    grid: np.ndarray | None = None,
    bar: Score = NO_SCORE,
) -> Outcome:
    """Let the framework train in its own way: its start, its batches, its defaults.

    Where its score is above `bar`, its logits for the inputs `grid` are taken too.

    Raises `ValueError` when what it tells of itself cannot be true, and whatever it raises but `Diverged`.
    """
    started = time.perf_counter()
    trainer = trainer_class(config, None)
    built = time.perf_counter()
    try:
        fit = trainer.fit_native(prepared.train.X, prepared.train.y, seed)
    except Diverged as error:
        return Outcome("diverged", f"the framework refused to go on: {error}")
    seconds: dict[str, Any] = {"build_seconds": built - started, "train_seconds": time.perf_counter() - built}
    validate_native_fit(fit, config)
    curves = {f"logged_{name}": list(map(float, values)) for name, values in fit.curves.items()}
    if curves:
        curves["epoch"] = [float(epoch) for epoch in range(1, fit.epochs_run + 1)]
    outcome = _finish(trainer, config, prepared, curves, operator.index(fit.epochs_run), seconds)
    if grid is None or not score_of(outcome.metrics) > bar:
        return outcome
    return replace(outcome, grid_logits=trainer.logits(grid).astype(np.float32))


def validate_native_fit(fit: NativeFit, config: Config) -> None:
    """Raise `ValueError` when what `fit_native` gave cannot be true, before it is stored."""
    if not isinstance(fit, NativeFit):
        raise ValueError(f"fit_native gave {fit!r:.80}, expected a harness.NativeFit")
    if not 1 <= fit.epochs_run <= config.epochs:
        raise ValueError(f"fit_native says that it ran {fit.epochs_run} epochs of {config.epochs}")
    for name, values in fit.curves.items():
        if name not in NATIVE_CURVES:
            raise ValueError(f"fit_native gave a curve {name!r}; known are {', '.join(NATIVE_CURVES)}")
        if len(values) != fit.epochs_run:
            raise ValueError(f"fit_native gave {len(values)} values of {name!r} for {fit.epochs_run} epochs")


def _finish(
    trainer: Trainer, config: Config, prepared: Prepared, curves: Curves, epochs_run: int, seconds: dict[str, Any]
) -> Outcome:
    """The outcome of a native fit."""
    weights = as_arrays(trainer.weights())
    common: dict[str, Any] = {"curves": curves, "epochs_run": epochs_run, "stack_size": 1}
    if not is_finite(weights):
        said = {name: trainer.answers(part.X) for name, part in prepared.parts().items()}
        right = {
            name: np.mean(classes == prepared.parts()[name].y) for name, classes in said.items() if classes is not None
        }
        metrics = {f"{name}_accuracy": float(share) for name, share in right.items()}
        return Outcome("diverged", "weights not finite at the end", metrics, **common, **seconds)
    logits: dict[str, np.ndarray] = {}
    for name, part in prepared.parts().items():  # the test rows come last, where there are any: theirs is the time
        before = time.perf_counter()
        logits[name] = np.asarray(trainer.logits(part.X))
        seconds["predict_seconds"] = time.perf_counter() - before
    metrics = evaluate(config, logits, prepared, full=True)
    if not all(map(math.isfinite, metrics.values())):
        return Outcome("diverged", "loss not finite at the end", **common, **seconds)
    matrices = {name: confusion(config, logits[name], part.y) for name, part in prepared.parts().items()}
    return Outcome(
        "ok",
        metrics=metrics,
        weights=weights,
        test_logits=logits.get("test"),
        confusion={name: matrix for name, matrix in matrices.items() if matrix is not None},
        **common,
        **seconds,
    )
