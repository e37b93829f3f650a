"""`harness dump`: everything that went into one controlled trial and came out of it, as one NPZ file."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from harness import registry
from harness.contract import Config
from harness.execution import worker
from harness.execution.executor import LocalExecutor
from harness.execution.sweeper import outcome_of
from harness.experiment.datasets import load_datasets
from harness.experiment.file import Cell, Experiment
from harness.network import DEFAULTS
from harness.network.weights import flatten
from harness.network.written import text_of
from harness.planning.plan import Trial, plan
from harness.support.errors import RequestError


def dump(experiment: Experiment, backend: str, cell: Cell, seed: int, path: Path) -> None:
    """Train one controlled trial and write what anybody needs to redo it by hand.

    Arrays: `X_train, y_train, X_test, y_test` (after scaling; `X_validation, y_validation` where there are such rows),
    their row numbers in the dataset (`rows_train`, …),
    `batches` (epochs x steps x rows, -1 where a batch is shorter), `learning_rates` (epochs x steps), `masks/K` where
    layer K is dropped out, `start/0/W`, `start/0/b`, …, `final/0/W`, …, `test_logits`, and `config`, a flat JSON text.
    Nothing is pickled. Raises `RequestError` when the trial cannot be trained or the file cannot be written.
    """
    found = registry.backend(backend)
    if found.missing():
        raise RequestError(f"backend {backend!r}: {found.missing()}")
    datasets = load_datasets(experiment)
    asked = experiment.override(backends=(backend,), modes=("controlled",), seeds=seed + 1)
    trial = next(trial for trial in plan(asked, datasets) if trial.cell == cell and trial.seed == seed)
    with LocalExecutor(datasets) as executor:
        limit = trial.time_limit
        future = executor.submit(backend, found.trainer, worker.run_trial, trial, found.trainer, timeout=limit)
        outcome = outcome_of(future, trial)
    if outcome.weights is None:
        why = f"{outcome.status}: {outcome.reason}"
        raise RequestError(f"backend {backend!r}, {cell}: no result to dump: {why}; choose another --cell or --backend")
    prepared = trial.prepare(datasets[trial.data.key])
    batches = trial.batches(len(prepared.train.y))
    epochs = [batches[epoch] for epoch in range(len(batches))]
    dropped = [".".join(map(str, key)) for key, _, _ in trial.config.network.drawn()]
    validation = {"X_validation": prepared.validation.X, "y_validation": prepared.validation.y}
    arrays: dict[str, Any] = {
        "X_train": prepared.train.X,
        "y_train": prepared.train.y,
        **(validation if len(prepared.validation.y) else {}),
        "rows_train": prepared.train.rows,
        "rows_validation": prepared.validation.rows,
        "rows_test": prepared.test.rows,
        "X_test": prepared.test.X,
        "y_test": prepared.test.y,
        "batches": np.stack([epoch.rows for epoch in epochs]),
        "learning_rates": np.stack([epoch.learning_rate for epoch in epochs]),
        **{f"masks/{k}": np.stack([epoch.masks[i] for epoch in epochs]) for i, k in enumerate(dropped)},
        **flatten(trial.start(), "start/"),
        **flatten(outcome.weights, "final/"),
        "config": json.dumps({**_config(trial), "epochs_run": outcome.epochs_run}),
    }
    if outcome.test_logits is not None:
        arrays["test_logits"] = outcome.test_logits
    try:
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)
    except OSError as error:
        raise RequestError(f"-o {path}: cannot be written: {error.strerror}; give another file") from None


def _config(trial: Trial) -> dict[str, Any]:
    """Every value of the trial, all constants included, on one level."""
    config: Config = trial.config
    values = {key: value for key, value in (DEFAULTS | config.keys).items() if key != "written"}
    if "layers" in values:
        values["layers"] = [text_of(layer) for layer in values["layers"]]
    return {
        **{key: list(value) if isinstance(value, tuple) else value for key, value in values.items()},
        "backend": trial.backend,
        "mode": trial.mode,
        "seed": trial.seed,
        "base_seed": trial.base_seed,
        "trial_id": trial.id,
        **trial.settings(),
        "dataset": trial.data.name,
        "test_fraction": trial.data.test_fraction,
        "validation_fraction": trial.data.validation_fraction,
        **{key: getattr(trial.data, key) for key in ("scale", "target_scale", "degree", "stratify", "folds", "fold")},
    }
