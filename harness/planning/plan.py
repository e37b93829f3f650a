"""From an experiment to its trials, each with an id made of all that decides its result, and nothing else."""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from harness.contract import KEYS, PLAIN_MEMBER_NUMBERS, Batches, Config, Weights, constants_of, vary
from harness.data.prepared import Dataset, Datasets, Prepared, prepare, task_of
from harness.draws.recipe import SCHEDULES, Recipe
from harness.draws.sources import DRAWS
from harness.draws.splits import Rows
from harness.draws.weight_file import GivenStart, read_start
from harness.experiment.file import Cell, Experiment
from harness.experiment.layers import network_of
from harness.experiment.rules import SHORT, Settings, activations, dropout, faults, task_faults
from harness.experiment.sections import Data
from harness.network import Activation, BatchNorm, Dense, Dropout
from harness.planning.identity import SPLIT, canonical, data_text, digest, settings_of, settings_text
from harness.support.errors import RequestError, short
from harness.support.limits import check_size, few, size
from harness.training.trial import EarlyStopping


@dataclass(frozen=True)
class Trial:
    """One setting of an experiment: a backend, a mode, one value on every axis, one repeat (`seed`)."""

    backend: str
    mode: str
    seed: int
    cell: Cell
    position: int
    config: Config
    recipe: Recipe
    data: Data
    fingerprint: str
    base_seed: int
    time_limit: float
    curves: bool
    draws: str = "harness"
    stopping: EarlyStopping | None = None
    given_start: GivenStart | None = None
    n_rows: int = 0  # of the dataset

    @cached_property
    def id(self) -> str:
        """SHA-256 of the canonical JSON of all that decides the result; no name, title, position or version in it."""
        return digest(**self._identity(), backend=canonical(self.backend), mode=canonical(self.mode))

    @cached_property
    def reference_id(self) -> str:
        """The id of the reference training that a controlled trial is compared with."""
        return digest(**self._identity(), reference="true")

    def _identity(self) -> dict[str, str]:
        start = None if self.given_start is None else self.given_start.digest
        return {
            "data": data_text(self.fingerprint, *(getattr(self.data, key) for key in SPLIT)),
            "config": settings_text(self.config, self.recipe, self.stopping, self.mode, start),
            "seed": f"[{self.base_seed},{self.seed}]",
            "draws": canonical(self.draws),
        }

    def settings(self) -> dict[str, Any]:
        """The values that take part in this trial. In native mode an unwritten one is the framework's, so not ours."""
        return settings_of(self.config, self.recipe, self.stopping, self.mode)

    def not_native(self) -> str | None:
        """Why this trial has no native form, or None."""
        layers = self.config.network.layers
        dropped = [isinstance(layer, Dropout) for layer in layers]
        plain = (Dense, Activation, Dropout, BatchNorm)
        parts = {
            "perceptron rule": self.config.optimizer.name == "perceptron",
            "L1": self.config.penalty.l1 > 0,
            "input dropout": dropped[0],
            "dropout": any(dropped[1:]),
            "batch normalisation": any(isinstance(layer, BatchNorm) for layer in layers),
            **{layer.name: True for layer in layers if not isinstance(layer, plain)},
            "list of layers that hidden and activation cannot write": not self.config.network.dense,
            "clipping": self.config.clipping is not None,
            "learning-rate schedule": self.recipe.schedule != "constant",
            "early stopping by the harness": self.stopping is not None,
        }
        beyond = ", ".join(part for part, used in parts.items() if used)
        return f"native mode has no {beyond}: it hands over plain hyperparameters only" if beyond else None

    def start(self) -> Weights:
        """The initial weights that all backends of this repeat share, in the trial's dtype."""
        if self.given_start is not None:
            return self.given_start.weights(self.config)
        return DRAWS[self.draws].start(self.config, self.recipe, self.base_seed, self.seed)

    def batches(self, n: int) -> Batches:
        """The batches that all backends of this repeat share, for `n` training rows."""
        return DRAWS[self.draws].batches(self.config, self.recipe, n, self.base_seed, self.seed)

    def rows(self, dataset: Dataset) -> Rows:
        """Which rows of the dataset are for training, validation and testing in this repeat."""
        return split(dataset, self.data, self.draws, self.base_seed, self.seed)

    def prepare(self, dataset: Dataset) -> Prepared:
        """The split and scaled arrays of this repeat. Native mode is given float64 unless the file says a dtype."""
        written = self.mode == "controlled" or "dtype" in self.config.written
        return prepare(
            dataset,
            self.rows(dataset),
            self.config.task,
            self.data.scale,  # type: ignore[arg-type]
            self.data.target_scale,  # type: ignore[arg-type]
            self.config.dtype if written else "float64",
        )


def split(dataset: Dataset, data: Data, drawn: str, seed: int, repeat: int) -> Rows:
    """Which rows are for training, validation and testing in one repeat."""
    return DRAWS[drawn].split(
        len(dataset.y),
        data.test_fraction,
        data.validation_fraction,
        seed,
        repeat,
        labels=dataset.labels if data.stratify else None,
        folds=data.folds,
        fold=data.fold or 0,
    )


def plan(experiment: Experiment, datasets: Datasets) -> list[Trial]:
    """Every trial of the experiment: by repeat, then cell, then backend and mode."""
    run = experiment.run
    planned = math.prod(map(len, (*experiment.sweep.values(), run.modes, run.backends))) * run.seeds
    check_size("HARNESS_MAX_TRIALS", planned, f"{experiment.source}: {few(planned)} trials planned")
    fingerprints = {key: dataset.fingerprint for key, dataset in datasets.items()}
    counted: dict[Data, int] = {}
    shared: dict[Hashable, dict[str, Any]] = {}
    cells = []
    for position, cell in enumerate(experiment.cells()):
        values = experiment.values(cell)
        # which no rule looks at: cells that differ in these alone are checked once for all
        numbers = {key: value for key, value in values.items() if key in PLAIN_MEMBER_NUMBERS}
        others = (*numbers, *((key, value) for key, value in values.items() if key not in numbers))
        if others not in shared:
            settings = experiment.at(cell)
            key = settings.data.key
            if settings.data not in counted:
                counted[settings.data] = _training_rows(experiment, settings.data, datasets[key])
            shared[others] = {
                "data": settings.data,
                "fingerprint": fingerprints[key],
                "n_rows": len(datasets[key].y),
                **_training(experiment, settings, datasets[key], counted[settings.data]),
            }
        config = vary(shared[others]["config"], **numbers)
        cells.append((position, cell, config, shared[others]))
    return [
        Trial(
            backend=backend,
            mode=mode,
            seed=seed,
            base_seed=run.seed,
            time_limit=run.time_limit,
            draws=run.draws,
            **{**rest, "cell": cell, "position": position, "config": config},
        )
        for seed in range(run.seeds)
        for position, cell, config, rest in cells
        for mode in run.modes
        for backend in run.backends
    ]


def _training(experiment: Experiment, settings: Settings, dataset: Dataset, n_train: int) -> dict[str, Any]:
    """What `Trial` has to know of the training of one cell."""
    task = task_of(dataset, settings.data.task, experiment.source)
    for fault in (*faults(settings), *task_faults(settings, task)):
        raise RequestError(f"{experiment.source}: {fault}")
    training = settings.training
    size = training.batch_size
    if isinstance(size, int) and size > n_train:
        raise RequestError(
            f"{experiment.source}: training.batch_size = {size}: larger than the {n_train} training rows of "
            f"{dataset.name!r}; allowed: 1 to {n_train}"
        )
    if training.n_batches is not None and training.n_batches > n_train:
        raise RequestError(
            f"{experiment.source}: training.n_batches = {training.n_batches}: more than the {n_train} training rows of "
            f"{dataset.name!r}; allowed: 1 to {n_train}"
        )
    config = make_config(settings, dataset, n_train)
    network = settings.network
    _check_memory(config, experiment.source)
    given = read_start(network.init, config, experiment.source) if network.init.endswith(".npz") else None
    asked = experiment.run.curves
    return {
        "config": config,
        "recipe": make_recipe(settings),
        "stopping": None if training.patience is None else EarlyStopping(training.patience, training.min_delta),
        "given_start": given,
        # metrics after every epoch: as the file says; by default for small experiments, where they cost little
        "curves": config.epochs * n_train <= 1_000_000 if asked is None else asked,
    }


def _check_memory(config: Config, source: str) -> None:
    """Count what the training of a network takes before anything of it is made."""
    weights, outputs = config.network.size
    taken = np.dtype(config.dtype).itemsize * (4 * weights + config.batch_size * outputs)
    short_form = config.network.dense
    where = f"hidden = {short(list(short_form['hidden']))}" if short_form else "layers"
    told = f"{source}: network.{where}: {weights} weights and batches of {config.batch_size} rows"
    check_size("HARNESS_MAX_MEMORY", taken, f"{told} take {size(taken)} to train")


def make_recipe(settings: Settings) -> Recipe:
    """How start, batches and learning rates of one cell are drawn."""
    training = settings.training
    return Recipe(
        init=settings.network.init,
        bias=settings.network.bias,
        batches=training.batches,
        n_batches=training.n_batches,
        last_batch=training.last_batch,
        schedule=training.schedule,
        **{key: getattr(training, key) for key in SCHEDULES[training.schedule]},
    )


def make_config(settings: Settings, dataset: Dataset, n_train: int) -> Config:
    """The numbers of one cell, every one written out."""
    network, training = settings.network, settings.training
    task = settings.data.task or dataset.task
    sections = {**dict(network), **dict(training)}
    given = {key: sections[key] for key in KEYS if key in sections}
    written = network.model_fields_set | training.model_fields_set
    if network.layers is None:
        given |= {"activation": activations(network), "dropout": dropout(network)}
        read = constants_of(training.optimizer, activations(network))
    else:
        layers, own = network_of(network.layers)
        given = {key: value for key, value in given.items() if key not in SHORT} | {"layers": layers}
        read = (*constants_of(training.optimizer, ()), *own)
        written = written | own
    given |= {
        "batch_size": _batch_size(training.batch_size, training.n_batches, n_train),
        "written": written & {*read, "dtype"},
    }
    return Config.of(dataset.X.shape[1], dataset.n_outputs(task), task=task, **given)


def _batch_size(size: int | str | None, n_batches: int | None, n_train: int) -> int:
    """The rows of the largest batch."""
    if n_batches is not None:
        return math.ceil(n_train / n_batches)
    return n_train if size == "full" else int(size or n_train)


def _training_rows(experiment: Experiment, data: Data, dataset: Dataset) -> int:
    """How many rows there are to train on in the smallest training part: at least one, else `RequestError`."""
    n = len(dataset.y)
    rows = split(dataset, data, experiment.run.draws, experiment.run.seed, 0)
    if len(rows.train) < 1:
        raise RequestError(
            f"{experiment.source}: data.test_fraction = {data.test_fraction} and validation_fraction = "
            f"{data.validation_fraction} leave no training rows of the {n} of {dataset.name!r}; lower one of them"
        )
    if data.folds is not None and data.folds > len(rows.train) + len(rows.validation):
        most = len(rows.train) + len(rows.validation)
        raise RequestError(f"{experiment.source}: data.folds = {data.folds}: more than the rows; allowed: 2 to {most}")
    return len(rows.train)
