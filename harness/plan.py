"""From an experiment to its trials, each with an id made of all that decides its result, and nothing else."""

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any

from harness.data import Dataset, Prepared, prepare
from harness.draws import Permutations, draw_batches, draw_start, share
from harness.errors import RequestError
from harness.experiment import Cell, Data, Experiment, Network, Training
from harness.trainer import OPTIMIZER_CONSTANTS, Config, Weights

MOST_TRIALS = 1_000_000

_NOT_NATIVE = ("init", "reduction")  # settings of the harness that native mode never hands over
_OPTIONAL = ("momentum", "beta_1", "beta_2", "epsilon", "dtype")  # handed over in native mode only where written


@dataclass(frozen=True)
class Trial:
    """One setting of an experiment: a backend, a mode, one value on every axis, one repeat (`seed`)."""

    backend: str
    mode: str
    seed: int
    cell: Cell
    position: int
    config: Config
    data: Data
    fingerprint: str
    base_seed: int
    time_limit: float
    curves: bool

    @property
    def id(self) -> str:
        """SHA-256 of the canonical JSON of all that decides the result; no name, title, position or version in it."""
        return _digest({**self._identity(), "backend": self.backend, "mode": self.mode})

    @property
    def reference_id(self) -> str:
        """The id of the reference training that a controlled trial is compared with."""
        return _digest({**self._identity(), "reference": True})

    def _identity(self) -> dict[str, Any]:
        return {
            "data": {"fingerprint": self.fingerprint, **self.data.model_dump(exclude={"name"})},
            "config": self.settings(),
            "seed": [self.base_seed, self.seed],
        }

    def settings(self) -> dict[str, Any]:
        """The values that take part in this trial. In native mode an unwritten one is the framework's, so not ours."""
        config = self.config
        settings: dict[str, Any] = {
            "layers": list(config.layers),
            "activation": list(config.activation),
            "optimizer": config.optimizer,
            "learning_rate": config.learning_rate,
            "l2": config.l2,
            "batch_size": config.batch_size,
            "epochs": config.epochs,
        }
        optional = [*OPTIMIZER_CONSTANTS[config.optimizer], "dtype"]
        if self.mode == "controlled":
            settings |= {key: getattr(config, key) for key in (*optional, *_NOT_NATIVE)}
        else:
            settings |= {key: getattr(config, key) for key in optional if key in config.written}
            if config.optimizer in ("momentum", "nesterov"):
                settings["momentum"] = config.momentum  # most frameworks have no default but 0, so it is handed over
        return settings

    def start(self) -> Weights:
        """The initial weights that all backends of this repeat share, in the trial's dtype."""
        return draw_start(self.config.layers, self.config.init, self.config.dtype, self.base_seed, self.seed)

    def batches(self, n: int) -> Permutations:
        """The batches that all backends of this repeat share, for `n` training rows."""
        return draw_batches(self.config, n, self.base_seed, self.seed)

    def prepare(self, dataset: Dataset) -> Prepared:
        """The split and scaled arrays of this repeat. Native mode is given float64 unless the file says a dtype."""
        written = self.mode == "controlled" or "dtype" in self.config.written
        return prepare(
            dataset,
            test_fraction=self.data.test_fraction,
            validation_fraction=self.data.validation_fraction,
            scale=self.data.scale,  # type: ignore[arg-type]
            dtype=self.config.dtype if written else "float64",
            seed=self.base_seed,
            repeat=self.seed,
        )


def plan(experiment: Experiment, dataset: Dataset) -> list[Trial]:
    """Every trial of the experiment: by repeat, then cell, then backend and mode."""
    run = experiment.run
    planned = math.prod(map(len, (*experiment.sweep.values(), run.modes, run.backends))) * run.seeds
    if planned > MOST_TRIALS:
        raise RequestError(f"{experiment.source}: {planned} trials planned; at most {MOST_TRIALS} in one experiment")
    n_train = _training_rows(experiment, dataset)
    fingerprint = dataset.fingerprint
    cells = []
    for position, cell in enumerate(experiment.cells()):
        network, training = experiment.at(cell)
        if training.batch_size > n_train:
            raise RequestError(
                f"{experiment.source}: training.batch_size = {training.batch_size}: larger than the {n_train} training "
                f"rows of {dataset.name!r}; allowed: 1 to {n_train}"
            )
        cells.append((position, cell, make_config(network, training, dataset)))
    return [
        Trial(
            backend=backend,
            mode=mode,
            seed=seed,
            cell=cell,
            position=position,
            config=config,
            data=experiment.data,
            fingerprint=fingerprint,
            base_seed=run.seed,
            time_limit=run.time_limit,
            curves=_wants_curves(experiment, config, n_train),
        )
        for seed in range(run.seeds)
        for position, cell, config in cells
        for mode in run.modes
        for backend in run.backends
    ]


def make_config(network: Network, training: Training, dataset: Dataset) -> Config:
    """The numbers of one cell, every one written out."""
    activation = network.activation
    if isinstance(activation, str):
        activation = (activation,) * len(network.hidden)
    constants = {*OPTIMIZER_CONSTANTS[training.optimizer], "dtype"}
    return Config(
        n_inputs=dataset.X.shape[1],
        n_outputs=dataset.n_classes,
        hidden=network.hidden,
        activation=activation,
        init=network.init,
        **training.model_dump(),
        written=frozenset(training.model_fields_set & set(_OPTIONAL) & constants),
    )


def _training_rows(experiment: Experiment, dataset: Dataset) -> int:
    n, data = len(dataset.y), experiment.data
    rows = n - share(n, data.test_fraction) - share(n, data.validation_fraction)
    if rows < 1:
        raise RequestError(
            f"{experiment.source}: data.test_fraction = {data.test_fraction} and validation_fraction = "
            f"{data.validation_fraction} leave no training rows of the {n} of {dataset.name!r}"
        )
    return rows


def _wants_curves(experiment: Experiment, config: Config, n_train: int) -> bool:
    """Metrics after every epoch: as the file says; by default for small experiments, where they cost little."""
    asked = experiment.run.curves
    return config.epochs * n_train <= 1_000_000 if asked is None else asked


def _digest(identity: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(_rounded(identity), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _rounded(value: Any) -> Any:
    """Floats at 12 significant digits; whole numbers, such as seeds, are kept exact."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return f"{value:.12g}" if isinstance(value, float) else value
