"""One trial, from arrays to an outcome: the part that runs inside a worker, and knows neither store nor plan."""

import math
import time
from dataclasses import dataclass, field

import numpy as np

from harness.data import Prepared
from harness.metrics import evaluate
from harness.parity import ReversedRows, deviation, reverse_inputs
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

    Records the curves and the weights after epoch 1, stops a training whose weights or losses are no longer finite,
    and keeps account of the time that looking takes, which is not the backend's.
    """

    def __init__(self, trainer: Trainer, prepared: Prepared, curves: bool) -> None:
        self.trainer = trainer
        self.parts = prepared.parts()
        self.prepared = prepared
        self.X = np.concatenate([part.X for part in self.parts.values()])
        self.wants_curves = curves
        self.curves: Curves = {}
        self.first_epoch_weights: Weights | None = None
        self.epochs_run = 0
        self.fault: str | None = None
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
        self.seconds += time.perf_counter() - started
        return self.fault is not None

    def _record(self, epoch: int) -> dict[str, float]:
        metrics = evaluate(self._logits(), self.prepared)
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
) -> Outcome:
    """Train under the harness's own conventions, from its start and on its batches.

    Raises `RuntimeError` when the trainer skipped epochs, and whatever the trainer raises but `Diverged`.
    """
    started = time.perf_counter()
    trainer = trainer_class(config, start)
    built = time.perf_counter()
    watcher = Watcher(trainer, prepared, curves)
    before = time.perf_counter()
    try:
        trainer.train(prepared.train.X, prepared.train.y, batches, watcher)
    except Diverged as error:
        watcher.fault = f"the framework refused to go on: {error}"
    done = time.perf_counter()
    seconds = {"build_seconds": built - started, "train_seconds": done - before - watcher.seconds}
    if watcher.fault is None and watcher.epochs_run != len(batches):
        raise RuntimeError(f"called after_epoch for {watcher.epochs_run} of {len(batches)} epochs")
    return _finish(
        trainer,
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
    return _finish(trainer, prepared, fault=None, curves=curves, epochs_run=fit.epochs_run, seconds=seconds)


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
    metrics = evaluate(logits, prepared)
    if fault is None and not all(map(math.isfinite, metrics.values())):
        fault = "loss not finite at the end"
    common = {"curves": curves, "epochs_run": epochs_run, "first_epoch_weights": first_epoch_weights, **seconds}
    if fault is not None:
        return Outcome("diverged", fault, **common)  # type: ignore[arg-type]
    return Outcome("ok", metrics=metrics, weights=weights, test_logits=logits.get("test"), **common)  # type: ignore[arg-type]


def train_reference(config: Config, start: Weights, batches: Batches, X: np.ndarray, y: np.ndarray) -> ReferenceOutcome:
    """Train the reference, and twice more with other roundings, which gives its floor."""
    weights, first = _reference_weights(config, start, batches, X, y)
    reversed_rows, _ = _reference_weights(config, start, ReversedRows(batches), X, y)
    reversed_inputs, _ = _reference_weights(config, reverse_inputs(start), batches, X[:, ::-1].copy(), y)
    if reversed_inputs is not None:
        reversed_inputs = reverse_inputs(reversed_inputs)
    floors = [deviation(other, weights) for other in (reversed_rows, reversed_inputs)]
    return ReferenceOutcome(weights, first, max((floor for floor in floors if floor is not None), default=None))


def _reference_weights(
    config: Config, start: Weights, batches: Batches, X: np.ndarray, y: np.ndarray
) -> tuple[Weights | None, Weights | None]:
    trainer = Reference(config, start)
    first: list[Weights] = []

    def after_epoch(epoch: int) -> bool:
        weights = trainer.weights()
        if epoch == 1 and is_finite(weights):
            first.append(weights)
        return not is_finite(weights)

    trainer.train(X, y, batches, after_epoch)
    return (trainer.weights() if is_finite(trainer.weights()) else None), (first[0] if first else None)
