"""One trial, from arrays to an outcome: the part that runs inside a worker, and knows neither store nor plan."""

import math
import time
from dataclasses import dataclass, field, replace

import numpy as np

from harness.data import Part, Prepared
from harness.metrics import confusion, evaluate, loss
from harness.parity import ReversedInputs, ReversedRows, deviation, reverse_inputs
from harness.reference import Reference
from harness.trainer import NATIVE_CURVES, Batches, Config, Diverged, NativeFit, Trainer, Weights

Curves = dict[str, list[float]]
"""Metric -> one value an epoch; `"epoch"` holds the epochs' numbers, from 0, before training."""


@dataclass(frozen=True)
class Outcome:
    """What came out of one training. Metrics are empty where it diverged."""

    status: str
    reason: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    curves: Curves = field(default_factory=dict)
    epochs_run: int | None = None
    build_seconds: float | None = None
    train_seconds: float | None = None
    predict_seconds: float | None = None
    weights: Weights | None = None
    first_epoch_weights: Weights | None = None
    test_logits: np.ndarray | None = None
    confusion: dict[str, np.ndarray] = field(default_factory=dict)


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


@dataclass(frozen=True)
class ReferenceOutcome:
    """The reference's weights (None where it diverged) at the end and after epoch 1, and its floor."""

    weights: Weights | None
    first_epoch_weights: Weights | None
    floor: float | None


def is_finite(weights: Weights) -> bool:
    """Whether no weight or bias is infinite or NaN."""
    return all(bool(np.isfinite(value).all()) for layer in weights for value in layer.values())


class Watcher:
    """The harness's eyes during a training: the `after_epoch` that a trainer calls.

    Records the curves and the weights after epoch 1, stops a training whose weights or losses are no longer finite
    or whose patience has run out, and keeps account of the time that looking takes, which is not the backend's.
    """

    def __init__(
        self,
        trainer: Trainer,
        config: Config,
        prepared: Prepared,
        curves: bool,
        stopping: EarlyStopping | None = None,
    ) -> None:
        self.trainer = trainer
        self.config = config
        self.best = None if stopping is None else BestEpoch(stopping)
        self.parts = prepared.parts()
        self.prepared = prepared
        self.X = np.concatenate([part.X for part in self.parts.values()])
        self.wants_curves = curves
        self.curves: Curves = {}
        self.first_epoch_weights: Weights | None = None
        self.epochs_run = 0
        self.fault: str | None = None
        self.stopped = False
        self.seconds = 0.0
        if curves:
            self._record(0)

    def __call__(self, epoch: int) -> bool:
        """Look at the training after `epoch` epochs; True stops it."""
        started = time.perf_counter()
        self.epochs_run = epoch
        weights = self.trainer.weights()
        if epoch == 1 and is_finite(weights):
            self.first_epoch_weights = weights
        if not is_finite(weights):
            self.fault = f"weights not finite after epoch {epoch}"
        elif self.wants_curves and not all(map(math.isfinite, self._record(epoch).values())):
            self.fault = f"loss not finite after epoch {epoch}"
        stop = self.fault is not None or (self.best is not None and self.best(self._validation_loss(), weights))
        self.seconds += time.perf_counter() - started
        self.stopped = stop
        return stop

    def _validation_loss(self) -> float:
        if self.wants_curves:
            return self.curves["validation_loss"][-1]
        part = self.prepared.validation
        with np.errstate(all="ignore"):
            return loss(self.config, self.trainer.logits(part.X), part.y)

    def _record(self, epoch: int) -> dict[str, float]:
        metrics = evaluate(self.config, self._logits(), self.prepared)
        for name, value in {"epoch": float(epoch), **metrics}.items():
            self.curves.setdefault(name, []).append(value)
        return metrics

    def _logits(self) -> dict[str, np.ndarray]:
        """The logits of every part, from one pass over all rows."""
        ends = np.cumsum([len(part.y) for part in self.parts.values()])[:-1]
        return dict(zip(self.parts, np.split(self.trainer.logits(self.X), ends), strict=True))


def train_controlled(
    trainer_class: type[Trainer],
    config: Config,
    start: Weights,
    batches: Batches,
    prepared: Prepared,
    curves: bool = False,
    stopping: EarlyStopping | None = None,
) -> Outcome:
    """Train under the harness's own conventions, from its start, on its batches, until it says stop.

    Raises `RuntimeError` when the trainer skipped epochs, and whatever the trainer raises but `Diverged`.
    """
    started = time.perf_counter()
    trainer = trainer_class(config, start)
    built = time.perf_counter()
    watcher = Watcher(trainer, config, prepared, curves, stopping)
    before = time.perf_counter()
    try:
        trainer.train(prepared.train.X, prepared.train.y, batches, watcher)
    except Diverged as error:
        watcher.fault = f"the framework refused to go on: {error}"
    done = time.perf_counter()
    seconds = {"build_seconds": built - started, "train_seconds": done - before - watcher.seconds}
    if not watcher.stopped and watcher.fault is None and watcher.epochs_run != len(batches):
        raise RuntimeError(f"called after_epoch for {watcher.epochs_run} of {len(batches)} epochs")
    if watcher.fault is None and watcher.best is not None and watcher.best.weights is not None:
        trainer.set_weights(watcher.best.weights)
    return _finish(
        trainer,
        config,
        prepared,
        fault=watcher.fault,
        curves=watcher.curves,
        epochs_run=watcher.epochs_run,
        first_epoch_weights=watcher.first_epoch_weights,
        seconds=seconds,
    )


def train_native(trainer_class: type[Trainer], config: Config, seed: int, prepared: Prepared) -> Outcome:
    """Let the framework train in its own way: its start, its batches, its defaults.

    Raises `ValueError` when what it tells of itself cannot be true, and whatever it raises but `Diverged`.
    """
    started = time.perf_counter()
    trainer = trainer_class(config, None)
    built = time.perf_counter()
    try:
        fit = trainer.fit_native(prepared.train.X, prepared.train.y, seed)
    except Diverged as error:
        return Outcome("diverged", f"the framework refused to go on: {error}")
    seconds = {"build_seconds": built - started, "train_seconds": time.perf_counter() - built}
    validate_native_fit(fit, config)
    curves = {f"logged_{name}": list(map(float, values)) for name, values in fit.curves.items()}
    if curves:
        curves["epoch"] = [float(epoch) for epoch in range(1, fit.epochs_run + 1)]
    return _finish(trainer, config, prepared, fault=None, curves=curves, epochs_run=fit.epochs_run, seconds=seconds)


def validate_native_fit(fit: NativeFit, config: Config) -> None:
    """Raise `ValueError` when what `fit_native` gave cannot be true, before it is stored."""
    if not 1 <= fit.epochs_run <= config.epochs:
        raise ValueError(f"fit_native says that it ran {fit.epochs_run} epochs of {config.epochs}")
    for name, values in fit.curves.items():
        if name not in NATIVE_CURVES:
            raise ValueError(f"fit_native gave a curve {name!r}; known are {', '.join(NATIVE_CURVES)}")
        if len(values) != fit.epochs_run:
            raise ValueError(f"fit_native gave {len(values)} values of {name!r} for {fit.epochs_run} epochs")


def _finish(
    trainer: Trainer,
    config: Config,
    prepared: Prepared,
    *,
    fault: str | None,
    curves: Curves,
    epochs_run: int,
    seconds: dict[str, float],
    first_epoch_weights: Weights | None = None,
) -> Outcome:
    weights = trainer.weights()
    if fault is None and not is_finite(weights):
        fault = "weights not finite at the end"
    logits: dict[str, np.ndarray] = {}
    for name, part in prepared.parts().items():  # the test rows come last, where there are any: theirs is the time
        before = time.perf_counter()
        logits[name] = trainer.logits(part.X)
        seconds["predict_seconds"] = time.perf_counter() - before
    metrics = evaluate(config, logits, prepared, full=fault is None)
    if fault is None and not all(map(math.isfinite, metrics.values())):
        fault = "loss not finite at the end"
    common = {"curves": curves, "epochs_run": epochs_run, "first_epoch_weights": first_epoch_weights, **seconds}
    if fault is not None:
        return Outcome("diverged", fault, **common)  # type: ignore[arg-type]
    matrices = {name: confusion(config, logits[name], part.y) for name, part in prepared.parts().items()}
    return Outcome(
        "ok",
        metrics=metrics,
        weights=weights,
        test_logits=logits.get("test"),
        confusion={name: matrix for name, matrix in matrices.items() if matrix is not None},
        **common,  # type: ignore[arg-type]
    )


def train_reference(
    config: Config,
    start: Weights,
    batches: Batches,
    train: Part,
    validation: Part | None = None,
    stopping: EarlyStopping | None = None,
) -> ReferenceOutcome:
    """Train the reference, and three times more with other roundings, which gives its floor.

    The rows of every batch reversed; the input columns reversed; and each activation one unit in the last place nearer
    to 0. Without the last a saturated unit would go unnoticed: `a * (1 - a)` is 0 where `a` rounds to 1, and 1e-16
    where it does not, which an optimizer can make much of.
    """
    validation = None if stopping is None else validation
    weights, first = _train(Reference(config, start), batches, train, validation, stopping)
    reversed_rows, _ = _train(Reference(config, start), ReversedRows(batches), train, validation, stopping)
    nudged, _ = _train(Reference(config, start, nudged=True), batches, train, validation, stopping)
    turned = ReversedInputs(batches, drops_inputs=0 in config.dropout_layers)
    reversed_inputs, _ = _train(
        Reference(config, reverse_inputs(start)),
        turned,
        _turned(train),
        None if validation is None else _turned(validation),
        stopping,
    )
    if reversed_inputs is not None:
        reversed_inputs = reverse_inputs(reversed_inputs)
    floors = [deviation(other, weights) for other in (reversed_rows, reversed_inputs, nudged)]
    return ReferenceOutcome(weights, first, max((floor for floor in floors if floor is not None), default=None))


def _turned(part: Part) -> Part:
    """The same rows with their columns in reversed order."""
    return replace(part, X=part.X[:, ::-1].copy())


def _train(
    trainer: Reference, batches: Batches, train: Part, validation: Part | None, stopping: EarlyStopping | None
) -> tuple[Weights | None, Weights | None]:
    """The weights at the end and after epoch 1, None where they are not finite."""
    best = None if stopping is None else BestEpoch(stopping)
    first: list[Weights] = []

    def after_epoch(epoch: int) -> bool:
        weights = trainer.weights()
        if not is_finite(weights):
            return True
        if epoch == 1:
            first.append(weights)
        if best is None or validation is None:
            return False
        with np.errstate(all="ignore"):
            return best(loss(trainer.config, trainer.logits(validation.X), validation.y), weights)

    trainer.train(train.X, train.y, batches, after_epoch)
    weights = trainer.weights() if is_finite(trainer.weights()) else None
    if weights is not None and best is not None and best.weights is not None:
        weights = best.weights
    return weights, (first[0] if first else None)
