"""From what workers give to what the store keeps: rows with their parity, and the artefacts of the best cells."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import cached_property
from typing import Any

import numpy as np
from sqlalchemy.exc import OperationalError

from harness import registry
from harness.data.prepared import Dataset, Datasets
from harness.execution.surface import plane
from harness.network.weights import flatten
from harness.planning.plan import Trial
from harness.storage.database import StoreError
from harness.storage.store import METRICS, Store, pack
from harness.support.environment import harness_version, machine, numpy_version
from harness.support.errors import describe
from harness.training.checkpoints import Path, flat, parity_arrays, read_checkpoints
from harness.training.extras import Keep
from harness.training.floor import ReferenceOutcome
from harness.training.metrics import NO_SCORE, Score, right, score_of
from harness.training.parity import deviation, is_chaotic, judge, largest
from harness.training.trial import Outcome

ALL_WEIGHTS = "all weights"
"""The fact of an experiment that says whether any run was asked to keep those of every trial."""

_SHOWN = 25  # inputs of the test rows: the first, and the first that are misclassified
_HEAVY = ("weights", "predictions", "plane")  # artefacts kept only for the best cell


Rivals = tuple[str, str, int, str, str]
"""Backend, mode, repeat, data set and task: the trials that compete for being the best."""


class Writer:
    """Writes the results of one run of the `planned` trials. `again` are the ids of those that it is about to train."""

    def __init__(
        self,
        store: Store,
        name: str,
        datasets: Datasets,
        planned: Sequence[Trial],
        parity: bool,
        save_weights: bool,
        again: set[str],
    ) -> None:
        self.store = store
        self.name = name
        self.datasets = datasets
        self.parity = parity
        self.save_weights = save_weights
        self.asked_before = store.facts(name).get(ALL_WEIGHTS, True)  # so that what earlier runs wrote is not dropped
        self.kept: set[str] = set()  # trials whose heavy artefacts this run has written
        self._planned, self._again = planned, again

    @cached_property  # read before anything is trained; a run that trains nothing does not ask
    def floors(self) -> dict[str, float | None]:
        """The floors of the references, by id."""
        controlled = (trial.reference_id for trial in self._planned if trial.mode == "controlled")
        return self.store.floors(controlled) if self.parity else {}

    @cached_property
    def best(self) -> dict[Rivals, tuple[Score, str]]:
        """Of those that compete the best so far: of what is stored, and is not trained again, and then of all."""
        rivals = {trial.id: _rivals(trial) for trial in self._planned if trial.id not in self._again}
        best: dict[Rivals, tuple[Score, str]] = {}
        for row in self.store.scored(self.name):
            key, score = rivals.get(row["trial_id"]), _score(row)
            if key is not None and score > best.get(key, (NO_SCORE, ""))[0]:
                best[key] = (score, row["trial_id"])
        return best

    def keep(self, trials: Sequence[Trial], missing: Sequence[bool], epochs: tuple[int, ...]) -> Keep:
        """What a worker has to send back of a chunk, of whose trials some are `missing` in the store.

        All weights where they are compared with the reference's; heavier things only of what can become the best.
        """
        if self.save_weights:
            return Keep(tuple(missing), every=True, weights=True, epochs=epochs)
        able = tuple(wanted and not self._chaotic(trial) for trial, wanted in zip(trials, missing, strict=True))
        bar, _ = self.best.get(_rivals(trials[0]), (NO_SCORE, ""))
        return Keep(able, bar, weights=self.parity, epochs=epochs)

    def _chaotic(self, trial: Trial) -> bool:
        compared = self.parity and trial.mode == "controlled"
        return compared and is_chaotic(self.floors.get(trial.reference_id), trial.config.dtype)

    def save_reference(self, trial: Trial, future: Future[ReferenceOutcome]) -> str:
        """Keep a reference. What failed is not kept: its trials are stored as unchecked, and looked at again."""
        error = future.exception()
        if error is not None:
            return "timeout" if isinstance(error, TimeoutError) else "crashed"
        outcome = future.result()
        pair = (outcome.weights, outcome.first_epoch_weights)
        weights, first = (None if item is None else pack(flatten(item)) for item in pair)
        self.store.save_reference(
            {
                "reference_id": trial.reference_id,
                "floor": outcome.floor,
                "weights": weights,
                "first_epoch_weights": first,
                "numpy_version": numpy_version(),
                "harness_version": harness_version(),
            },
            outcome.checkpoints.arrays(),
        )
        self.floors[trial.reference_id] = outcome.floor
        return "ok"

    def save(self, trials: Sequence[Trial], outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Write the rows of some trials in one transaction, and give the outcomes that are stored.

        A trial whose result cannot be measured or written is `crashed`, for that reason. Raises `RequestError` where
        the store can take nothing at all.
        """
        try:
            self._save(trials, outcomes)
            return list(outcomes)
        except Exception as error:
            said = error.error if isinstance(error, StoreError) else None
            if isinstance(said, OperationalError):  # the disk is full, the server is gone
                raise
            if len(trials) > 1:
                return [self.save([trial], [outcome])[0] for trial, outcome in zip(trials, outcomes, strict=True)]
            cause = getattr(said, "orig", None) or error
            crashed = Outcome("crashed", f"its result cannot be stored: {describe(cause)}")
            self._save(trials, [crashed])
            return [crashed]

    def _save(self, trials: Sequence[Trial], outcomes: Sequence[Outcome]) -> None:
        results = list(zip(trials, outcomes, strict=True))
        compared = [trial.reference_id for trial in trials if self.parity and trial.mode == "controlled"]
        references = self.store.references(compared)
        measured = [_parity_of(trial, outcome, references) for trial, outcome in results]
        rows = [_row(*result, parity) for result, (parity, _) in zip(results, measured, strict=True)]
        best, heavy, superseded = self._with_weights(trials, outcomes, rows)
        payloads = [
            self._payloads(trial, outcome, trial.id in heavy) | paths
            for (trial, outcome), (_, paths) in zip(results, measured, strict=True)
        ]
        self.store.save_results(zip(rows, payloads, strict=True))
        self.best |= best
        self.kept |= heavy
        if superseded:
            self.store.drop_artefacts(superseded, _HEAVY, but_of=self.name)

    def _with_weights(
        self, trials: Sequence[Trial], outcomes: Sequence[Outcome], rows: Sequence[dict[str, Any]]
    ) -> tuple[dict[Rivals, tuple[Score, str]], set[str], set[str]]:
        """What is better than the best so far, and the trials whose weights are to be kept: those, or all.

        And those that lose theirs: what was the best before, unless an earlier run was asked for the weights of all.
        """
        best: dict[Rivals, tuple[Score, str]] = {}
        dropped: set[str] = set()
        trained = [k for k, outcome in enumerate(outcomes) if outcome.weights is not None]
        heavy = {trials[k].id for k in trained} if self.save_weights else set()
        for k in trained:
            trial, score = trials[k], _score(rows[k])
            key = _rivals(trial)
            before, superseded = best.get(key) or self.best.get(key, (NO_SCORE, ""))
            if score <= before:
                continue
            best[key] = (score, trial.id)
            heavy.add(trial.id)
            if not self.save_weights:
                heavy.discard(superseded)
                if superseded and (superseded in self.kept or not self.asked_before):
                    dropped.add(superseded)
        return best, heavy, dropped

    def _payloads(self, trial: Trial, outcome: Outcome, heavy: bool) -> dict[str, bytes]:
        """Curves and confusion matrices always; weights, predictions and the plane where they are `heavy`."""
        payloads = {"curves": pack(outcome.curves)} if outcome.curves else {}
        if outcome.confusion:
            payloads["confusion"] = pack(outcome.confusion)
        if heavy and outcome.weights is not None:
            dataset = self.datasets[trial.data.key]
            payloads["weights"] = pack(flatten(outcome.weights))
            if outcome.test_logits is not None:
                payloads["predictions"] = pack(_predictions(trial, dataset, outcome.test_logits))
            if outcome.grid_logits is not None:
                payloads["plane"] = pack(plane(trial, dataset, outcome.weights, outcome.grid_logits))
        return payloads


def _row(trial: Trial, outcome: Outcome, parity: dict[str, Any]) -> dict[str, Any]:
    """The row of the store."""
    installed = registry.backend(trial.backend)
    return {
        "trial_id": trial.id,
        "status": outcome.status,
        "reason": outcome.reason,
        **dict.fromkeys(METRICS),
        **outcome.metrics,
        **dict.fromkeys(("deviation", "deviation_first_epoch", "floor", "verdict")),
        **parity,
        "epochs_run": outcome.epochs_run,
        "stack_size": outcome.stack_size,
        "build_seconds": outcome.build_seconds,
        "train_seconds": outcome.train_seconds,
        "predict_seconds": outcome.predict_seconds,
        "backend_version": "" if outcome.status == "not_installed" else installed.version(),
        "versions": installed.versions(),
        "source": installed.source(),
        "numpy_version": numpy_version(),
        "harness_version": harness_version(),
        "machine": machine(),
    }


def _parity_of(
    trial: Trial, outcome: Outcome, references: Mapping[str, dict[str, Any]]
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Deviation, floor and verdict of a controlled trial, and both over the epochs; nothing for a native one."""
    if trial.mode == "native":
        return {}, {}
    if trial.reference_id not in references:
        return {"verdict": "unchecked"}, {}
    reference = references[trial.reference_id]
    floor = reference["floor"]
    if outcome.status not in ("ok", "diverged"):
        return {"floor": floor, "verdict": "unchecked"}, {}
    measured = deviation(outcome.weights, reference["weights"])
    parity = {
        "deviation": measured,
        "deviation_first_epoch": deviation(outcome.first_epoch_weights, reference["first_epoch_weights"]),
        "floor": floor,
        "verdict": judge(outcome.status, measured, floor, trial.config.dtype, largest(reference["weights"])),
    }
    own = read_checkpoints(reference["checkpoints"], reference["first_epoch_weights"])
    return parity, {"parity": pack(parity_arrays(_path(outcome), own, _last(trial, outcome), measured, floor))}


def _predictions(trial: Trial, dataset: Dataset, logits: np.ndarray) -> dict[str, np.ndarray]:
    """Test logits with targets and row numbers; up to 25 inputs as the dataset has them, and 25 misclassified ones."""
    test = trial.prepare(dataset).test
    samples = test.rows[:_SHOWN]
    predictions = {"logits": logits, "targets": test.y, "rows": test.rows}
    predictions |= {"sample_rows": samples, "sample_inputs": dataset.X[samples]}
    if trial.config.task == "regression":
        return predictions
    wrong = test.rows[~right(trial.config, logits, test.y)][:_SHOWN]
    return {**predictions, "misclassified_rows": wrong, "misclassified_inputs": dataset.X[wrong]}


def _path(outcome: Outcome) -> Path:
    """Where a controlled training was after some epochs."""
    first = outcome.first_epoch_weights
    seen = outcome.checkpoints if first is None else {1: flat(first), **outcome.checkpoints}
    return Path(seen, (outcome.epochs_run or 1) if outcome.status == "diverged" else None)


def _last(trial: Trial, outcome: Outcome) -> int:
    """The epoch at which a controlled training was at its end, or would have been."""
    return trial.config.epochs if outcome.status == "diverged" else outcome.epochs_run or trial.config.epochs


def _rivals(trial: Trial) -> Rivals:
    return trial.backend, trial.mode, trial.seed, trial.data.key, trial.config.task


def _score(row: dict[str, Any]) -> Score:
    """The score of a row; a chaotic trial has none."""
    return NO_SCORE if row["status"] != "ok" or row.get("verdict") == "chaotic" else score_of(row)
