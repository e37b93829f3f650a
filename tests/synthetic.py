"""Stores as a run would leave them, of any size, without the hours of training: made-up results of a real plan.

Everything goes through the harness's own planner and store, so `harness report` and all other readers work on them. The
numbers are smooth in the cell, noisy in the seed, the same for all backends in mode controlled, and the same at every
call.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.prepared import Dataset, Datasets
from harness.execution.runner import register
from harness.experiment.datasets import load_datasets
from harness.experiment.file import parse
from harness.planning.plan import Trial, plan
from harness.registry import backend
from harness.storage.results import Results
from harness.storage.store import METRICS, Store, pack
from harness.support.environment import harness_version, numpy_version
from harness.training.parity import judge

PARTS = ("train", "validation", "test")
BACKENDS = ("numpy", "sklearn", "tensorflow", "keras", "torch")


@dataclass(frozen=True)
class Fate:
    """What became of a trial; a floor above 1e-6 makes it chaotic, a deviation above 1e-12 makes it differ."""

    status: str = "ok"
    reason: str | None = None
    deviation: float | None = None
    floor: float | None = None


WELL = Fate()

Fates = Callable[[Trial], Fate | None]
"""A trial's fate; None leaves it pending."""


def grid(
    rates: int = 7,
    penalties: int = 7,
    seeds: int = 5,
    backends: tuple[str, ...] = BACKENDS,
    modes: tuple[str, ...] = ("controlled",),
    epochs: int = 30,
) -> dict[str, Any]:
    """An experiment like `digits-grid`, with as many learning rates and values of L2 as wanted."""
    return {
        "name": "synthetic",
        "title": "Made-up digits",
        "data": {"name": "digits", "test_fraction": 0.2, "validation_fraction": 0.1, "scale": 16},
        "network": {"hidden": [50], "activation": "sigmoid"},
        "training": {"batch_size": 100, "epochs": epochs},
        "sweep": {
            "learning_rate": {"logspace": [-5, 1, rates]},
            "l2": {"logspace": [-5, 1, penalties]},
        },
        "run": {"backends": list(backends), "modes": list(modes), "seeds": seeds},
    }


def as_stored(assignments: str) -> str:
    """SQL assignments to columns of a frame, `"status = 'ok', test_loss = test_loss + 1"`, as the table has them."""
    others, metrics = [], "metrics"
    for assignment in re.split(r", (?=\w+ = )", assignments):
        name, value = assignment.split(" = ", 1)
        value = re.sub("|".join(METRICS), lambda found: f"json_extract(metrics, '$.{found[0]}')", value)
        if name in METRICS:
            metrics = f"json_set({metrics}, '$.{name}', {value})"
        else:
            others.append(f"{name} = {value}")
    return ", ".join([*others, *([f"metrics = {metrics}"] if metrics != "metrics" else [])])


def all_well(trial: Trial) -> Fate:
    """Every trial is ok."""
    return WELL


def lively(trial: Trial) -> Fate | None:
    """One of each kind: the highest learning rate diverges; near the start of the grid every other mishap occurs."""
    if trial.config.optimizer.learning_rate > 9:
        return Fate("diverged", "the loss is not finite after epoch 2")
    if trial.position == 0:
        return Fate(floor=2e-3, deviation=5e-2)
    if trial.position == 1 and trial.seed == 1:
        return Fate("diverged", "a weight is not finite after epoch 9")
    if trial.position == 2 and trial.backend == "torch" and trial.seed == 0:
        return Fate(deviation=3.5e-4)
    if trial.position == 3 and trial.backend == "sklearn" and trial.seed == 0:
        return Fate("crashed", "ValueError: planted")
    if trial.position == 4 and trial.backend == "numpy" and trial.mode == "native":
        return Fate("timeout", "killed after 300 s")
    if trial.position == 5 and trial.backend == "torch" and trial.mode == "native":
        return None
    return WELL


def write_store(url: str, table: Mapping[str, Any], fates: Fates = all_well) -> str:
    """Plan the experiment of `table` in the store at `url` and give each trial its fate; returns its name."""
    experiment = parse(table, "synthetic.toml")
    datasets = load_datasets(experiment)
    trials = plan(experiment, datasets)
    store = Store(url)
    register(store, experiment, datasets, trials)
    results = _results(trials, datasets, fates)
    while some := list(islice(results, 500)):
        store.save_results(some)
    store.close()
    return experiment.name


def write_report(folder: Path, table: Mapping[str, Any], fates: Fates = all_well) -> Path:
    """The same, with its report beside it in the folder; returns the page's path."""
    url = f"sqlite:///{folder / 'store.db'}"
    name = write_store(url, table, fates)
    store = Store(url, must_exist=True)
    try:
        return Results(store, name).report(folder)
    finally:
        store.close()


def _results(
    trials: list[Trial], datasets: Datasets, fates: Fates
) -> Iterator[tuple[dict[str, Any], dict[str, bytes]]]:
    best: dict[tuple[str, str, int], tuple[float, str]] = {}  # only these have predictions, as in a real store
    scored = []
    for trial in trials:
        fate = fates(trial)
        if fate is not None:
            row, curves = _measured(trial, fate, datasets[trial.data.key])
            scored.append((trial, row, curves))
            key, score = (trial.backend, trial.mode, trial.seed), _score(row)
            if row["verdict"] != "chaotic" and score > best.get(key, (-math.inf, ""))[0]:
                best[key] = (score, trial.id)
    kept = {trial_id for _, trial_id in best.values()}
    for trial, row, curves in scored:
        payloads = {"curves": pack(curves)} if curves else {}
        if row["status"] == "ok":
            payloads |= _artefacts(trial, row, datasets[trial.data.key], trial.id in kept)
        yield row, payloads


def _score(row: Mapping[str, Any]) -> float:
    found = [row.get(f"{part}_{name}") for part in ("validation", "train") for name in ("accuracy", "r2")]
    return next((value for value in found if value is not None), -math.inf)


def _measured(trial: Trial, fate: Fate, dataset: Dataset) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The stored row of a trial, and its curves."""
    noise = np.random.default_rng([trial.position, trial.seed, *_own(trial)])
    row: dict[str, Any] = {
        "trial_id": trial.id,
        "status": fate.status,
        "reason": fate.reason,
        **dict.fromkeys((*METRICS, "deviation", "deviation_first_epoch", "floor", "verdict")),
        "epochs_run": trial.config.epochs if fate.status == "ok" else 2 if fate.status == "diverged" else None,
        "stack_size": 1,
        "build_seconds": None,
        "train_seconds": None,
        "predict_seconds": None,
        "backend_version": backend(trial.backend).version() or "1.0",  # of what is installed, so that no row is stale
        "numpy_version": numpy_version(),
        "harness_version": harness_version(),
        "machine": {"system": "a made-up machine"},
    }
    curves: dict[str, np.ndarray] = {}
    if fate.status == "ok":
        metrics, curves = _learned(trial, dataset, noise)
        row |= metrics
        own = np.random.default_rng([trial.position, trial.seed, 1 + BACKENDS.index(trial.backend)])
        row |= {f"{what}_seconds": float(s * own.lognormal(0, 0.3)) for what, s in _SECONDS.items()}
    if trial.mode == "controlled":
        row |= _parity(trial, fate)
    return row, curves


_SECONDS = {"build": 2e-3, "train": 0.3, "predict": 4e-4}


def _own(trial: Trial) -> tuple[int, ...]:
    """What beside cell and seed the noise of a trial depends on: in mode native its backend."""
    return () if trial.mode == "controlled" else (1 + BACKENDS.index(trial.backend),)


def _parity(trial: Trial, fate: Fate) -> dict[str, Any]:
    if fate.status not in ("ok", "diverged"):
        return {"verdict": "unchecked"}
    noise = np.random.default_rng([7, trial.position, trial.seed, BACKENDS.index(trial.backend)])
    floor = float(10 ** noise.uniform(-15.5, -14)) if fate.floor is None else fate.floor
    deviation = float(floor * noise.uniform(0, 3)) if fate.deviation is None else fate.deviation
    if fate.status == "diverged":
        deviation = None
    verdict = judge(fate.status, deviation, floor, trial.config.dtype)
    first = None if deviation is None else deviation / 10
    return {"deviation": deviation, "deviation_first_epoch": first, "floor": floor, "verdict": verdict}


def _learned(
    trial: Trial, dataset: Dataset, noise: np.random.Generator
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Metrics of a trial that finished, and the curves that end in them."""
    config = trial.config
    regression = config.task == "regression"
    chance = 0.0 if regression else dataset.largest_share
    # best near a learning rate of 0.1 and without penalty
    quality = math.exp(-((math.log10(config.optimizer.learning_rate) + 1) ** 2) / 4) / (1 + 3 * config.penalty.l2)
    sizes = trial.rows(dataset)
    metrics: dict[str, float] = {}
    epoch = np.arange(config.epochs + 1.0)
    rise = (1 - np.exp(-3 * epoch * quality / config.epochs)) / (1 - math.exp(-3 * quality))
    curves = {"epoch": epoch}
    for part, handicap in zip(PARTS, (0.0, 0.02, 0.03), strict=True):
        n = len(getattr(sizes, part))
        if n == 0:
            continue
        score = chance + (0.99 - chance) * quality - handicap + noise.normal(0, 0.008)
        score = min(max(score, 0.0), 1.0)
        loss = 0.02 + 2.3 * (1 - score) + noise.uniform(0, 0.02)
        if regression:
            metrics |= {f"{part}_r2": score, f"{part}_mse": loss, f"{part}_mae": math.sqrt(loss), f"{part}_loss": loss}
        else:
            score = round(score * n) / n
            metrics |= {f"{part}_accuracy": score, f"{part}_loss": loss}
            metrics |= {f"{part}_auc": (1 + score) / 2, f"{part}_f1": max(score - 0.01, 0.0)}
        curves[f"{part}_{'r2' if regression else 'accuracy'}"] = chance + (score - chance) * rise
        curves[f"{part}_loss"] = 2.5 + (loss - 2.5) * rise
    if trial.mode == "native":
        if trial.backend == "sklearn":
            return metrics, {"epoch": epoch[1:], "logged_loss": curves["train_loss"][1:]}
        return metrics, {}
    return metrics, curves if trial.curves else {}


def _artefacts(trial: Trial, row: Mapping[str, Any], dataset: Dataset, kept: bool) -> dict[str, bytes]:
    """Confusion matrices of every trial; parity over epochs in mode controlled; predictions of the best trials."""
    payloads = {}
    sizes = trial.rows(dataset)
    if trial.config.task != "regression":
        labels = dataset.y.reshape(len(dataset.y), -1)[:, 0].astype(int)
        n_classes = max(int(labels.max()) + 1, 2)
        payloads["confusion"] = pack(
            {
                part: _confusion(labels[getattr(sizes, part)], row[f"{part}_accuracy"], n_classes)
                for part in PARTS
                if len(getattr(sizes, part))
            }
        )
    if trial.mode == "controlled" and row["deviation"] is not None and trial.config.epochs > 1:
        epochs = trial.config.epochs
        epoch = np.array([e for e in (1, 2, 3, 5, 10, 20, 30, 50) if e < epochs] + [epochs])
        growth = (epoch / epoch[-1]) ** 0.5
        payloads["parity"] = pack(
            {"epoch": epoch, "deviation": row["deviation"] * growth, "floor": row["floor"] * growth}
        )
    if kept:
        payloads["predictions"] = pack(_predictions(trial, dataset))
    return payloads


def _confusion(labels: np.ndarray, accuracy: float, n_classes: int) -> np.ndarray:
    """True classes down, answers across: the first answers are wrong, each by the next class."""
    wrong = len(labels) - round(accuracy * len(labels))
    answers = np.where(np.arange(len(labels)) < wrong, (labels + 1) % n_classes, labels)
    matrix = np.zeros((n_classes, n_classes), np.int64)
    np.add.at(matrix, (labels, answers), 1)
    return matrix


def _predictions(trial: Trial, dataset: Dataset) -> dict[str, Any]:
    rows = trial.rows(dataset).test
    targets = dataset.y[rows]
    noise = np.random.default_rng([11, trial.position, trial.seed])
    logits = noise.normal(0, 1, (len(rows), trial.config.network.n_outputs))
    found = {"logits": logits, "targets": targets, "rows": rows}
    found |= {"sample_rows": rows[:25], "sample_inputs": dataset.X[rows[:25]]}
    if trial.config.task == "regression":
        return found
    if trial.config.task == "multiclass":
        logits[np.arange(len(rows)), targets] += 4
        right = logits.argmax(axis=1) == targets
    else:
        signs = 2.0 * targets.reshape(logits.shape) - 1
        logits += 2 * signs
        right = ((logits > 0) == (signs > 0)).all(axis=1)
    wrong = rows[~right][:25]
    return found | {"misclassified_rows": wrong, "misclassified_inputs": dataset.X[wrong]}
