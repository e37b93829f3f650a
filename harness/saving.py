"""From what workers give to what the store keeps: rows with their parity, and the artefacts of the best cells."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from harness import registry
from harness.data import Datasets
from harness.environment import harness_version, machine, numpy_version
from harness.floor import ReferenceOutcome
from harness.metrics import NO_SCORE, Score, right, score_of
from harness.parity import deviation, judge, largest
from harness.plan import Trial
from harness.store import METRICS, Store, flatten, pack
from harness.training import Outcome

_MISCLASSIFIED = 25
_HEAVY = ("weights", "predictions")  # artefacts kept only for the best cell


class Writer:
    """Writes the results of one run. `again` are the ids of the trials that it is about to train."""

    def __init__(
        self, store: Store, name: str, datasets: Datasets, parity: bool, save_weights: bool, again: set[str]
    ) -> None:
        self.store = store
        self.datasets = datasets
        self.parity = parity
        self.save_weights = save_weights
        self.best = self._best_so_far(name, again)
        self.kept: set[str] = set()  # trials whose heavy artefacts this run has written

    def _best_so_far(self, name: str, again: set[str]) -> dict[tuple[str, str, int], tuple[Score, str]]:
        """By backend, mode and seed: the best stored trial that is not about to be trained again."""
        best: dict[tuple[str, str, int], tuple[Score, str]] = {}
        for row in self.store.scored(name):
            key, score = (row["backend"], row["mode"], row["seed"]), _score(row)
            if row["trial_id"] not in again and score > best.get(key, (NO_SCORE, ""))[0]:
                best[key] = (score, row["trial_id"])
        return best

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
            }
        )
        return "ok"

    def save(self, trials: Sequence[Trial], outcomes: Sequence[Outcome]) -> None:
        """Write the rows of some trials in one transaction."""
        rows = [self._row(trial, outcome) for trial, outcome in zip(trials, outcomes, strict=True)]
        heavy, superseded = self._with_weights(trials, outcomes, rows)
        payloads = [
            self._payloads(trial, outcome, trial.id in heavy) for trial, outcome in zip(trials, outcomes, strict=True)
        ]
        self.store.save_results(zip(rows, payloads, strict=True))
        for trial_id in superseded:
            self.store.drop_artefacts(trial_id, _HEAVY)

    def _row(self, trial: Trial, outcome: Outcome) -> dict[str, Any]:
        installed = registry.backend(trial.backend)
        return {
            "trial_id": trial.id,
            "status": outcome.status,
            "reason": outcome.reason,
            **dict.fromkeys(METRICS),
            **(outcome.metrics if outcome.status == "ok" else {}),
            **dict.fromkeys(("deviation", "deviation_first_epoch", "floor", "verdict")),
            **self._parity_of(trial, outcome),
            "epochs_run": outcome.epochs_run,
            "stack_size": outcome.stack_size,
            "build_seconds": outcome.build_seconds,
            "train_seconds": outcome.train_seconds,
            "predict_seconds": outcome.predict_seconds,
            "backend_version": "" if outcome.status == "not_installed" else installed.version(),
            "numpy_version": numpy_version(),
            "harness_version": harness_version(),
            "machine": machine(),
        }

    def _parity_of(self, trial: Trial, outcome: Outcome) -> dict[str, Any]:
        """Deviation, floor and verdict of a controlled trial; nothing for a native one."""
        if trial.mode == "native":
            return {}
        reference = self.store.reference(trial.reference_id) if self.parity else None
        if reference is None:
            return {"verdict": "unchecked"}
        floor = reference["floor"]
        if outcome.status not in ("ok", "diverged"):
            return {"floor": floor, "verdict": "unchecked"}
        measured = deviation(outcome.weights, reference["weights"])
        return {
            "deviation": measured,
            "deviation_first_epoch": deviation(outcome.first_epoch_weights, reference["first_epoch_weights"]),
            "floor": floor,
            "verdict": judge(outcome.status, measured, floor, trial.config.dtype, largest(reference["weights"])),
        }

    def _with_weights(
        self, trials: Sequence[Trial], outcomes: Sequence[Outcome], rows: Sequence[dict[str, Any]]
    ) -> tuple[set[str], set[str]]:
        """The trials whose weights are to be kept: the best of its backend, mode and seed so far, or all.

        And those that lose theirs: what was the best before, and was written by this run. An older one may be that of
        an experiment that shares it.
        """
        dropped: set[str] = set()
        trained = [k for k, outcome in enumerate(outcomes) if outcome.weights is not None]
        heavy = {trials[k].id for k in trained} if self.save_weights else set()
        for k in trained:
            trial, score = trials[k], _score(rows[k])
            key = (trial.backend, trial.mode, trial.seed)
            before, superseded = self.best.get(key, (NO_SCORE, ""))
            if score <= before:
                continue
            self.best[key] = (score, trial.id)
            heavy.add(trial.id)
            if not self.save_weights:
                heavy.discard(superseded)
                dropped |= {superseded} & self.kept
        self.kept |= heavy
        return heavy, dropped

    def _payloads(self, trial: Trial, outcome: Outcome, heavy: bool) -> dict[str, bytes]:
        """Curves and confusion matrices always; weights and predictions where they are `heavy`."""
        payloads = {"curves": pack(outcome.curves)} if outcome.curves else {}
        if outcome.confusion:
            payloads["confusion"] = pack(outcome.confusion)
        if heavy and outcome.weights is not None:
            payloads["weights"] = pack(flatten(outcome.weights))
            if outcome.test_logits is not None:
                payloads["predictions"] = pack(self._predictions(trial, outcome))
        return payloads

    def _predictions(self, trial: Trial, outcome: Outcome) -> dict[str, Any]:
        """Test logits with targets and row numbers, and up to 25 misclassified inputs as the dataset has them."""
        assert outcome.test_logits is not None
        dataset = self.datasets[trial.data.key]
        test = trial.prepare(dataset).test
        predictions = {"logits": outcome.test_logits, "targets": test.y, "rows": test.rows}
        if trial.config.task == "regression":
            return predictions
        wrong = test.rows[~right(trial.config, outcome.test_logits, test.y)][:_MISCLASSIFIED]
        return {**predictions, "misclassified_rows": wrong, "misclassified_inputs": dataset.X[wrong]}


def _score(row: dict[str, Any]) -> Score:
    """The score of a row; a chaotic trial has none."""
    return NO_SCORE if row["status"] != "ok" or row.get("verdict") == "chaotic" else score_of(row)
