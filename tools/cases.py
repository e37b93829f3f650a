"""The covering cases of `harness check --full` as experiments: the tables that a user would write."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from harness.checks.covering import FACTORS, covering, training_of
from harness.checks.problem import N_ROWS, problem
from harness.contract import Config, constants_of
from harness.data.prepared import Dataset
from harness.draws.recipe import Recipe
from harness.experiment.file import Experiment, parse

_PLAIN = Recipe()

BACKENDS = ("numpy", "sklearn", "tensorflow", "keras", "torch")


def cases() -> Iterator[tuple[str, Experiment, Dataset]]:
    """Label, experiment and data of every case; once with the constants left out, once with them written."""
    for number, case in enumerate(covering({factor: list(levels) for factor, levels in FACTORS.items()})):
        for written in (False, True):
            label = f"case {number:03d} {'written' if written else 'unwritten'}"
            experiment, dataset = experiment_of(case, written)
            yield label, experiment, dataset


def experiment_of(case: Mapping[str, str], written: bool) -> tuple[Experiment, Dataset]:
    """One case; `written` says whether the constants of optimizer and activations stand in the table."""
    config, recipe, stopping = training_of(dict(case))
    network: dict[str, Any] = {
        "hidden": list(config.network.dense["hidden"]),
        "activation": list(config.network.dense["activation"]),
    }
    network |= {"init": recipe.init, "bias": recipe.bias}
    if config.task == "regression":
        network["output_activation"] = config.loss.output.name
    if config.network.dense["dropout"]:
        network |= {
            "input_dropout": config.network.dense["dropout"][0],
            "dropout": list(config.network.dense["dropout"][1:]),
        }
    if config.network.dense["batch_norm"]:
        network["batch_norm"] = True
    training: dict[str, Any] = {
        key: config.value(key)
        for key in ("optimizer", "learning_rate", "l1", "l2", "loss", "reduction", "dtype", "epochs")
    }
    training |= {key: value for key in ("clip_norm", "clip_value") if (value := config.value(key)) is not None}
    drawn = ("batches", "n_batches", "last_batch", "schedule", "decay_rate", "decay_steps")
    training |= {key: value for key in drawn if (value := getattr(recipe, key)) != getattr(_PLAIN, key)}
    if recipe.n_batches is None:
        training["batch_size"] = "full" if config.batch_size == N_ROWS else config.batch_size
    if stopping is not None:
        training |= asdict(stopping)
    if written:
        for key in constants_of(config.optimizer.name, config.network.dense["activation"]):
            (network if key in ("leaky_slope", "elu_alpha") else training)[key] = config.value(key)
    table = {
        "name": "covering",
        "data": {"name": "arrays", "task": config.task, "test_fraction": 0.0, "validation_fraction": 0.2},
        "network": network,
        "training": training,
        "run": {"backends": list(BACKENDS), "modes": ["controlled", "native"]},
    }
    return parse(table), _dataset(config)


def _dataset(config: Config) -> Dataset:
    """Twice the rows of the checks' small problem, so that there are some for validation."""
    X, y = problem(config, 2 * N_ROWS)
    if config.task == "binary":
        y = y.ravel().astype(np.int64)
    names = tuple(map(str, range(2 if config.task == "binary" else config.network.n_outputs)))
    return Dataset("arrays", X.astype(np.float64), y, names, config.task)
