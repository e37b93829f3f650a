"""`harness.run`: from an experiment to its results, by way of the store."""

import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from harness import registry
from harness.conventions.translation import config_under
from harness.data.prepared import Dataset, Datasets, fit_scale, task_of
from harness.data.tables import check_arrays, check_csv
from harness.execution.sweeper import Sweep
from harness.execution.writer import ALL_WEIGHTS
from harness.experiment.arguments import parse_arguments
from harness.experiment.datasets import load_datasets
from harness.experiment.file import Cell, Experiment, load
from harness.experiment.sections import ARRAYS
from harness.linting.findings import Finding, warn
from harness.linting.linter import lint_plan
from harness.planning.plan import Trial, plan, split
from harness.registry import PROFILES
from harness.storage.results import KEYS_OF_0_1, Results
from harness.storage.store import DEFAULT_STORE, Planned, Store
from harness.support.errors import RequestError
from harness.support.packages import check_not_shadowed
from harness.support.progress import make_progress


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
    retrain: bool = False,
    progress: bool = True,
    dataset: Dataset | None = None,
) -> Results:
    """Run an experiment, or what is still missing of it, and give its results.

    `experiment` is a path, the name of a suite, or what `load` gave. `backends`, `modes` and `seeds` stand in for
    those of the file. `workers` is how many processes train at once (default: the cores). `retry_failed` trains
    again what crashed or ran out of time, `refresh` what other versions or other code of an adapter made, `retrain`
    everything. `dataset` stands in for the data that the file names. What looks wrong before any training is
    warned of (`LintWarning`, see `lint`). Raises `RequestError` for a request that is wrong; a trial that fails is a
    row with its status, never an exception.
    """
    check_not_shadowed()
    if not isinstance(experiment, Experiment):
        experiment = load(experiment)
    experiment = prepare_request(experiment, backends, modes, seeds)
    if workers is not None and workers < 1:
        raise RequestError(f"workers = {workers}: must be at least 1")
    datasets = load_datasets(experiment, dataset)
    trials = plan(experiment, datasets)
    findings = lint_plan(experiment, datasets, trials)
    opened = Store(store)
    try:
        register(opened, experiment, datasets, trials, findings, save_weights)
        warn(findings)
        sweep = Sweep(opened, experiment, datasets, trials, retry_failed, refresh, save_weights, retrain)
        sweep.train(workers or os.cpu_count() or 1, make_progress(progress))
        return Results(opened, experiment.name)
    finally:
        opened.close()


def prepare_request(
    experiment: Experiment, backends: Sequence[str] | None, modes: Sequence[str] | None, seeds: int | None
) -> Experiment:
    """The experiment with what the request says in place of the file's `[run]`; a single name stands for a list."""
    backends, modes = ([given] if isinstance(given, str) else given for given in (backends, modes))
    for name in backends or ():
        registry.backend(name)
    return experiment.override(
        backends=tuple(backends) if backends is not None else None,
        modes=tuple(modes) if modes is not None else None,
        seeds=seeds,
    )


def sweep(
    X: Any,
    y: Any,
    *,
    hidden: Any = (50,),
    learning_rate: Any = 0.1,
    name: str = "sweep",
    title: str = "",
    task: str | None = None,
    store: str = DEFAULT_STORE,
    progress: bool = True,
    **settings: Any,
) -> Results:
    """Train a network on arrays of one's own, in every backend, and give the results.

        harness.sweep(X, y, hidden=(50,), learning_rate=[0.01, 0.1], l2=[0.0, 1e-3], backends=["numpy", "torch"])

    `X` is `(n, n_inputs)`, `y` `(n,)` or `(n, n_targets)`. The store knows the results by `name`; pictures are headed
    by `title`. `settings` are the keys of an experiment file, whatever their table; one that is given a list or an
    array is an axis (for `hidden` and `layers` a list of lists or tuples); with `layers` there is no `hidden`. Batches
    have 32 rows (a third of all rows, where that is less) and epochs number 20 unless told otherwise. `lint` warns of
    the same before. Raises `RequestError` for a request that is wrong.
    """
    X, y, names, found, _, column = check_arrays(X, y, task)
    shape = {"hidden": hidden} if settings.get("layers") is None else {}
    settings = {**shape, "learning_rate": learning_rate, **settings}
    experiment = parse_arguments(name, len(X), settings if task is None else {**settings, "task": task})
    experiment = experiment.model_copy(update={"title": title})
    dataset = Dataset(ARRAYS, X, y, names, found, column)
    return run(experiment, store=store, progress=progress, dataset=dataset)


def register(
    store: Store,
    experiment: Experiment,
    datasets: Datasets,
    trials: list[Trial],
    findings: Sequence[Finding] = (),
    save_weights: bool = False,
) -> None:
    """Write the plan into the store, so that a trial that is not trained yet is known to be pending."""
    before = store.facts(experiment.name)
    run_settings = {"backends", "modes", "seeds", "parity", "curves", "time_limit"}
    hidden = {"title": True, "report": True, "run": run_settings, "data": {"path", "folder"}}
    definition = experiment.model_dump(mode="json", exclude=hidden)  # type: ignore[arg-type]
    for section in (experiment.network, experiment.training):
        of = definition[type(section).__name__.lower()]
        for key, field in type(section).model_fields.items():
            if key not in KEYS_OF_0_1 and getattr(section, key) == field.default:  # an older store has none of it
                del of[key]
    fingerprints = {name: dataset.fingerprint for name, dataset in datasets.items()}
    store.save_plan(
        experiment.name,
        experiment.title,
        json.dumps({**definition, "fingerprints": fingerprints}, sort_keys=True),
        {key: list(values) for key, values in experiment.sweep.items()},
        {
            "sampled": list(experiment.sampled),
            "warnings": [*map(str, findings), *_warnings(experiment, datasets)],
            "shown": _facts(experiment, datasets),
            "names": {dataset.name: list(dataset.names) for dataset in datasets.values()},
            "notes": list(experiment.report.notes),
            "published": read_published(experiment),
            # of a store that does not say so it is not known
            ALL_WEIGHTS: save_weights or bool(before and before.get(ALL_WEIGHTS, True)),
        },
        _planned(trials, datasets),
    )


def _planned(trials: list[Trial], datasets: Datasets) -> list[Planned]:
    """A row a trial. The backends of a cell, which follow each other, share their settings, but for profiles."""
    shared: dict[tuple[int, str], dict[str, Any]] = {}

    def describe(trial: Trial) -> tuple[Cell, dict[str, Any]]:
        key = trial.position, trial.mode
        if key not in shared:
            shared.clear()
            shared[key] = _settings(trial, datasets[trial.data.key])
        return trial.cell, shared[key] | _of_profile(trial)

    return [Planned(t.backend, t.mode, t.seed, t.position, t.id, partial(describe, t)) for t in trials]


def _settings(trial: Trial, dataset: Dataset) -> dict[str, Any]:
    """What a row shows of its trial: every value that took part, its data, and the score of always saying the same."""
    settings = trial.settings()
    init = {"init": Path(settings["init"]).name} if trial.given_start is not None and "init" in settings else {}
    return {
        **settings,
        **init,
        **({"hidden": list(trial.config.network.dense["hidden"])} if trial.config.network.dense else {}),
        "dataset": dataset.name,
        "fold": trial.data.fold,
        "scale": trial.data.scale,
        "chance": 0.0 if trial.config.task == "regression" else dataset.largest_share,
    }


def _of_profile(trial: Trial) -> dict[str, Any]:
    """The settings that a profile has of its own."""
    if trial.backend not in PROFILES:
        return {}
    config = trial.config
    config = config_under(config, PROFILES[trial.backend].row(config), config.batch_size)
    lists = {
        "layers": list(config.network.units),
        "activation": list(config.network.dense["activation"]),
        "hidden": list(config.network.dense["hidden"]),
    }
    return {**lists, "optimizer": config.optimizer.name, "epochs": config.epochs}


def read_published(experiment: Experiment) -> dict[str, list[Any]] | None:
    """The table of figures printed elsewhere that the experiment names: a column an axis, and accuracies."""
    path = experiment.report.published
    if path is None:
        return None
    where = f"{experiment.source}: report.published = {path!r}"
    known = [*experiment.sweep, "train_accuracy", "test_accuracy"]
    check_csv(Path(path), where)
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise RequestError(f"{where}: cannot be read as CSV: {error}; expected columns: {', '.join(known)}") from None
    if not set(experiment.sweep) <= set(frame.columns) <= set(known):
        raise RequestError(f"{where}: has columns {', '.join(frame.columns)}; expected: {', '.join(known)}")
    return {name: [None if pd.isna(value) else value for value in frame[name].tolist()] for name in frame.columns}


def _facts(experiment: Experiment, datasets: Datasets) -> dict[str, str]:
    """What the report says of the data, and of every key that the file writes and no axis varies."""
    swept = {*experiment.sweep, *experiment.sampled, *(key for case in experiment.cases.values() for key in case)}
    facts = {"dataset": "; ".join(_describe(dataset) for dataset in datasets.values())}
    if len(datasets) == 1:
        dataset = next(iter(datasets.values()))
        rows = split(dataset, experiment.data, experiment.run.draws, experiment.run.seed, 0)
        facts["rows"] = f"{len(rows.train)} training, {len(rows.validation)} validation, {len(rows.test)} test"
        if "task" not in swept:
            facts["task"] = task_of(dataset, experiment.data.task, experiment.source)
    always = {"scale", "hidden", "activation", "optimizer", "batch_size", "epochs", "reduction", "dtype"}
    never = {"name", "path", "folder", "task", "test_fraction", "validation_fraction"}
    network = experiment.network
    if not network.hidden and "hidden" not in swept:
        never |= {"activation"}
    if network.layers is not None or "layers" in swept:
        never |= {"hidden", "activation"}
    for section in (experiment.data, experiment.network, experiment.training):
        for key in type(section).model_fields:
            value = getattr(section, key)
            shown = key in always or key in section.model_fields_set
            if shown and value is not None and key not in swept | never:
                facts[key] = Path(value).name if key == "init" else _shown(value)
    for label, case in experiment.cases.items():
        settings = ", ".join(f"{key} {_shown(value)}" for key, value in case.items() if key != "init")
        facts[f"case {label}"] = settings + (f", init {Path(case['init']).name}" if "init" in case else "")
    drawn = {} if experiment.run.draws == "harness" else {"draws": experiment.run.draws}
    return {**facts, **drawn, "base seed": str(experiment.run.seed), "parity": experiment.run.parity}


def _describe(dataset: Dataset) -> str:
    n, n_inputs = dataset.X.shape
    kinds = {"multiclass": "classes", "binary": "classes", "multilabel": "labels", "regression": "target"}
    count = len(dataset.names)
    kind = kinds[dataset.task] + ("s" if dataset.task == "regression" and count > 1 else "")
    return f"{dataset.name}: {n} rows, {n_inputs} input{'s' if n_inputs > 1 else ''}, {count} {kind}"


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _warnings(experiment: Experiment, datasets: Datasets) -> list[str]:
    """Columns that are constant in the training rows: they tell a network nothing."""
    warnings = []
    data = experiment.data
    for dataset in datasets.values():
        constant: set[int] = set()
        for repeat in range(experiment.run.seeds):
            rows = split(dataset, data, experiment.run.draws, experiment.run.seed, repeat)
            constant |= set(fit_scale(dataset.X[rows.train], "none")[2].tolist())
        if constant and len(dataset.y) > 1:
            columns = ", ".join(map(str, sorted(constant)))
            scaled = ", so left unscaled" if data.scale in ("minmax", "standard") else ""
            warnings.append(f"constant in the training rows{scaled}: input columns {columns} of {dataset.name}")
    return warnings
