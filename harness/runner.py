"""`harness.run`: from an experiment to its results, by way of the store."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import registry
from harness.data import Dataset, fit_scale, load_dataset
from harness.draws import draw_split
from harness.errors import RequestError
from harness.experiment import Experiment, load
from harness.packages import check_not_shadowed
from harness.plan import Trial, plan
from harness.progress import make_progress
from harness.results import Results
from harness.store import DEFAULT_STORE, Store
from harness.sweep import Sweep


def run(
    experiment: Experiment | str | Path,
    *,
    store: str = DEFAULT_STORE,
    backends: Sequence[str] | None = None,
    modes: Sequence[str] | None = None,
    seeds: int | None = None,
    workers: int | None = None,
    retry_failed: bool = False,
    refresh: bool = False,
    save_weights: bool = False,
    progress: bool = True,
) -> Results:
    """Run an experiment, or what is still missing of it, and give its results.

    `experiment` is a path, the name of a suite, or what `load` gave. `backends`, `modes` and `seeds` stand in for
    those of the file. `workers` is how many processes train at once (default: the cores). `retry_failed` trains
    again what crashed or ran out of time, `refresh` what other versions made. Raises `RequestError` for a request
    that is wrong; a trial that fails is a row with its status, never an exception.
    """
    check_not_shadowed()
    if not isinstance(experiment, Experiment):
        experiment = load(experiment)
    experiment = prepare_request(experiment, backends, modes, seeds)
    if workers is not None and workers < 1:
        raise RequestError(f"workers = {workers}: must be at least 1")
    dataset = load_dataset(experiment.data.name)
    trials = plan(experiment, dataset)
    opened = Store(store)
    try:
        register(opened, experiment, dataset, trials)
        sweep = Sweep(opened, experiment, dataset, trials, retry_failed, refresh, save_weights)
        sweep.train(workers or os.cpu_count() or 1, make_progress(progress))
        return Results(opened, experiment.name)
    finally:
        opened.close()


def prepare_request(
    experiment: Experiment, backends: Sequence[str] | None, modes: Sequence[str] | None, seeds: int | None
) -> Experiment:
    """The experiment with what the request says in place of the file's `[run]`."""
    for name in backends or ():
        registry.backend(name)
    return experiment.override(
        backends=tuple(backends) if backends is not None else None,
        modes=tuple(modes) if modes is not None else None,
        seeds=seeds,
    )


def register(store: Store, experiment: Experiment, dataset: Dataset, trials: list[Trial]) -> None:
    """Write the plan into the store, so that a trial that is not trained yet is known to be pending."""
    run_settings = {"backends", "modes", "seeds", "parity", "curves", "time_limit"}
    definition = experiment.model_dump(mode="json", exclude={"title": True, "run": run_settings})
    store.save_plan(
        experiment.name,
        experiment.title,
        json.dumps({**definition, "fingerprint": dataset.fingerprint}, sort_keys=True),
        {key: list(values) for key, values in experiment.sweep.items()},
        {
            "n_classes": dataset.n_classes,
            "warnings": _warnings(experiment, dataset),
            "shown": _facts(experiment, dataset),
        },
        (
            {
                "backend": trial.backend,
                "mode": trial.mode,
                "seed": trial.seed,
                "position": trial.position,
                "trial_id": trial.id,
                "cell": trial.cell,
                "settings": {**trial.settings(), "hidden": list(trial.config.hidden)},
            }
            for trial in trials
        ),
    )


def _facts(experiment: Experiment, dataset: Dataset) -> dict[str, str]:
    data, training = experiment.data, experiment.training
    rows = draw_split(len(dataset.y), data.test_fraction, data.validation_fraction, experiment.run.seed, 0)
    facts = {
        "dataset": f"{dataset.name}: {len(dataset.y)} rows, {dataset.X.shape[1]} inputs, {dataset.n_classes} classes",
        "rows": f"{len(rows.train)} training, {len(rows.validation)} validation, {len(rows.test)} test",
        "scale": data.scale if isinstance(data.scale, str) else f"{data.scale:g}",
    }
    for section, keys in ((experiment.network, ("hidden", "activation")), (training, ("optimizer", "batch_size"))):
        facts |= {key: _shown(getattr(section, key)) for key in keys if key not in experiment.sweep}
    facts |= {
        key: _shown(getattr(training, key)) for key in ("epochs", "reduction", "dtype") if key not in experiment.sweep
    }
    return {**facts, "base seed": str(experiment.run.seed), "parity": experiment.run.parity}


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _warnings(experiment: Experiment, dataset: Dataset) -> list[str]:
    data = experiment.data
    if data.scale not in ("minmax", "standard"):
        return []
    constant: set[int] = set()
    for repeat in range(experiment.run.seeds):
        rows = draw_split(len(dataset.y), data.test_fraction, data.validation_fraction, experiment.run.seed, repeat)
        constant |= set(fit_scale(dataset.X[rows.train], data.scale)[2].tolist())  # type: ignore[arg-type]
    if not constant:
        return []
    columns = ", ".join(map(str, sorted(constant)))
    return [f"constant in the training rows, so left unscaled: input columns {columns} of {dataset.name}"]
