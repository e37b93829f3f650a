"""What this commit plans, draws and says, as plain data by which two commits can be compared.

Looked at are the suites that ship with the harness, and the covering cases of `harness check --full`, in which every
pair of parts meets (no suite has dropout, batch normalisation, clipping or L1), in both modes.

    python -m tools.snapshot FOLDER

Ids, counts, batches, masks, rows of the conventions table and lines of code are the same on every machine: their
digests are committed (`tools/golden.py`). Bits of starts, weights and scores depend on the processor:
`tools/compare.py` looks at them, for two commits on one machine.
"""

import argparse
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from harness.calls.keywords import agree
from harness.conventions.table import CONVENTIONS
from harness.data.prepared import Datasets
from harness.experiment.datasets import load_datasets
from harness.experiment.file import load, suites
from harness.planning.cohorts import chunks
from harness.planning.plan import Trial, plan
from harness.registry import CONTROLLED, row_of
from harness.support.errors import RequestError
from tools.cases import BACKENDS, cases

Entry = dict[str, Any]
Planned = tuple[list[Trial], Datasets]


def planned_suites() -> Iterator[tuple[str, Planned]]:
    """Every suite with its trials in both modes and at least two repeats."""
    for name in suites():
        experiment = load(name)
        experiment = experiment.override(modes=("controlled", "native"), seeds=max(2, experiment.run.seeds))
        datasets = same_everywhere(load_datasets(experiment))
        yield name, (plan(experiment, datasets), datasets)


def planned_cases() -> Iterator[tuple[str, Planned]]:
    """Every covering case with its trials."""
    for label, experiment, dataset in cases():
        datasets = same_everywhere(load_datasets(experiment, dataset))
        yield label, (plan(experiment, datasets), datasets)


def same_everywhere(datasets: Datasets) -> Datasets:
    """Targets with nine decimals: last bits of a function depend on the processor, and ids on them."""
    return {key: replace(d, y=d.y.round(9)) if d.y.dtype.kind == "f" else d for key, d in datasets.items()}


# -- what is looked at


def planning(trials: Sequence[Trial]) -> Entry:
    """The ids in the order of the plan, and the lengths of the chunks."""
    names = dict.fromkeys(trial.backend for trial in trials)
    cut = {name: chunks([trial for trial in trials if trial.backend == name], stacks=True) for name in names}
    return {
        "trials": len(trials),
        "ids": [f"{t.backend} {t.mode} {t.seed} {t.position} {t.id}" for t in trials],
        "references": sorted({t.reference_id for t in trials if t.mode == "controlled"}),
        "chunks": {name: [len(chunk.trials) for chunk in found] for name, found in cut.items()},
    }


def batches(trials: Sequence[Trial], datasets: Datasets) -> Entry:
    """Batches and masks of each training of the plan: the first two epochs and the last."""
    return {key: _drawn(trial, datasets, ("rows", "masks")) for key, trial in _trainings(trials)}


def floats(trials: Sequence[Trial], datasets: Datasets) -> Entry:
    """Starts and learning rates of each training, whose last bits depend on the processor's library."""
    return {key: _drawn(trial, datasets, ("start", "rates")) for key, trial in _trainings(trials)}


def _trainings(trials: Sequence[Trial]) -> Iterator[tuple[str, Trial]]:
    yield from {t.reference_id: t for t in trials if t.mode == "controlled"}.items()


def _drawn(trial: Trial, datasets: Datasets, what: Sequence[str]) -> Entry:
    drawn = trial.batches(len(trial.rows(datasets[trial.data.key]).train))
    epochs = [drawn[epoch] for epoch in sorted({0, min(1, len(drawn) - 1), len(drawn) - 1})]
    arrays = {
        "rows": lambda: [epoch.rows for epoch in epochs],
        "masks": lambda: [mask for epoch in epochs for mask in epoch.masks],
        "rates": lambda: [epoch.learning_rate for epoch in epochs],
        "start": lambda: [layer[key] for layer in trial.start() for key in sorted(layer)],
    }
    return {name: digest_of(arrays[name]()) for name in what}


def rows(trials: Sequence[Trial]) -> Entry:
    """The row of the conventions table that each backend has for each cell of mode native."""
    found: Entry = {}
    for trial in _cells(trials):
        for name in (*BACKENDS, CONTROLLED):
            try:
                row = row_of(name, trial.config, trial.recipe)
            except RequestError:  # a start that is read from a file is no law
                found[f"{trial.position} {name}"] = "refused"
            else:
                found[f"{trial.position} {name}"] = {key: str(getattr(row, key)) for key in CONVENTIONS}
    return found


def lines(trials: Sequence[Trial]) -> Entry:
    """What each backend is given to agree with each other one, for the first and the last cell."""
    cells = list(_cells(trials))
    found: Entry = {}
    for trial in cells[:: max(1, len(cells) - 1)]:
        for a, b in permutations((*BACKENDS, CONTROLLED), 2):
            try:
                found[f"{trial.position} {a} {b}"] = agree(a, b, tuple(CONVENTIONS), trial.config, trial.recipe)
            except RequestError:
                found[f"{trial.position} {a} {b}"] = "refused"
    return found


def _cells(trials: Sequence[Trial]) -> Iterator[Trial]:
    yield from {t.position: t for t in reversed(trials) if t.mode == "native"}.values()


# -- digests


def digest_of(value: Any) -> str:
    """The first 16 digits of the SHA-256 of arrays (dtype, shape and bytes) or of a value's JSON."""
    digest = hashlib.sha256()
    if isinstance(value, list) and all(isinstance(item, np.ndarray) for item in value):
        for array in value:
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    else:
        digest.update(json.dumps(value, sort_keys=True).encode())
    return digest.hexdigest()[:16]


def snapshot() -> dict[str, dict[str, Entry]]:
    """Part -> suite or case -> what was found."""
    parts: dict[str, dict[str, Entry]] = {name: {} for name in ("plans", "batches", "floats", "rows", "lines")}
    for planned in (planned_suites(), planned_cases()):
        for label, (trials, datasets) in planned:
            parts["plans"][label] = planning(trials)
            parts["batches"][label] = batches(trials, datasets)
            parts["floats"][label] = floats(trials, datasets)
            parts["rows"][label] = rows(trials)
            parts["lines"][label] = lines(trials)
    return parts


def main() -> None:
    """Write a snapshot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in snapshot().items():
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
