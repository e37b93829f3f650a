"""One run of a plan against a store: skip what is there, train the rest, write one row a trial."""

import math
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from pebble import ProcessExpired

from harness import registry, worker
from harness.data import Datasets
from harness.environment import harness_version, machine, numpy_version
from harness.errors import describe
from harness.executor import LocalExecutor
from harness.experiment import Experiment
from harness.metrics import SCORE, right
from harness.parity import deviation, judge, largest
from harness.plan import Trial
from harness.progress import Progress
from harness.results import is_stale
from harness.store import METRICS, Store, flatten, pack
from harness.trainer import NotInstalled
from harness.training import Outcome, ReferenceOutcome

REFERENCE = "reference"  # the lane that trains references
_REFERENCE_TRAININGS = 4  # itself, and three times with other roundings
_MISCLASSIFIED = 25
_HEAVY = ("weights", "predictions")  # artefacts kept only for the best cell

Score = tuple[float, float]
NO_SCORE: Score = (-math.inf, -math.inf)


class Sweep:
    """One run of a plan against a store."""

    def __init__(
        self,
        store: Store,
        experiment: Experiment,
        datasets: Datasets,
        trials: list[Trial],
        retry_failed: bool = False,
        refresh: bool = False,
        save_weights: bool = False,
        retrain: bool = False,
    ) -> None:
        self.store = store
        self.datasets = datasets
        self.parity = experiment.run.parity == "all"
        self.save_weights = save_weights
        self.retry_failed = retry_failed
        self.refresh = refresh
        self.retrain = retrain
        self.trials = {trial.id: trial for trial in trials}
        self.todo = self._missing()
        self.references = self._missing_references()
        self.best = self._best_so_far(experiment.name)
        self.kept: set[str] = set()  # trials whose heavy artefacts this run has written

    # -- what is missing

    def _missing(self) -> list[Trial]:
        """The trials of the plan that have no result that stands."""
        stored = self.store.finished()
        return [trial for key, trial in self.trials.items() if key not in stored or self._again(trial, stored[key])]

    def _again(self, trial: Trial, row: dict[str, Any]) -> bool:
        status = row["status"]
        if self.retrain:
            return True
        if status in ("unsupported", "not_installed"):
            return True
        if status in ("timeout", "crashed"):
            return self.retry_failed
        unchecked = self.parity and trial.mode == "controlled" and row["verdict"] == "unchecked"
        return unchecked or (self.refresh and is_stale({**row, "backend": trial.backend}))

    def _missing_references(self) -> dict[str, Trial]:
        """Reference id -> a trial that needs it, for those that the store does not have."""
        if not self.parity:
            return {}
        stored = self.store.reference_versions()
        current = (harness_version(), numpy_version())
        return {
            trial.reference_id: trial
            for trial in reversed(self.todo)
            if trial.mode == "controlled"
            and registry.backend(trial.backend).missing() is None
            and (trial.reference_id not in stored or (self.refresh and stored[trial.reference_id] != current))
        }

    def _best_so_far(self, name: str) -> dict[tuple[str, str, int], tuple[Score, str]]:
        """By backend, mode and seed: the best stored trial that is not about to be trained again."""
        again = {trial.id for trial in self.todo}
        best: dict[tuple[str, str, int], tuple[Score, str]] = {}
        for row in self.store.rows(name):
            key, score = (row["backend"], row["mode"], row["seed"]), _score(row)
            if row["trial_id"] not in again and score > best.get(key, (NO_SCORE, ""))[0]:
                best[key] = (score, row["trial_id"])
        return best

    # -- training

    def train(self, workers: int, progress: Progress) -> None:
        """Train everything that is missing, `workers` processes busy at once."""
        queues: dict[str, deque[Trial]] = {}
        for trial in self.todo:
            queues.setdefault(trial.backend, deque()).append(trial)
        references = deque(reversed(self.references.items()))
        totals = {REFERENCE: len(references)} if references else {}
        progress.start(
            {**totals, **{name: len(queue) for name, queue in queues.items()}}, len(self.trials) - len(self.todo)
        )
        waiting = {key for key, _ in references}
        running: dict[Future[Any], tuple[str, Trial]] = {}
        try:
            for name in list(queues):
                self._skip_absent(name, queues, progress)
            with LocalExecutor(self.datasets) as executor:
                while references or any(queues.values()) or running:
                    self._fill(executor, workers, references, queues, waiting, running)
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        lane, trial = running.pop(future)
                        if lane == REFERENCE:
                            waiting.discard(trial.reference_id)
                            status = self._save_reference(trial, future)
                        else:
                            status = self._save_trial(trial, outcome_of(future, trial))
                        progress.finished(lane, status)
        finally:
            progress.close()

    def _skip_absent(self, name: str, queues: dict[str, deque[Trial]], progress: Progress) -> None:
        """A backend that is not installed costs a row a trial, and no process."""
        reason = registry.backend(name).missing()
        if reason is None:
            return
        for trial in queues.pop(name):
            progress.finished(name, self._save_trial(trial, Outcome("not_installed", reason)))

    def _fill(
        self,
        executor: LocalExecutor,
        workers: int,
        references: deque[tuple[str, Trial]],
        queues: dict[str, deque[Trial]],
        waiting: set[str],
        running: dict[Future[Any], tuple[str, Trial]],
    ) -> None:
        """Hand out work until all workers are busy: references first, then the backend with most left to do."""
        busy = {lane for lane, _ in running.values()}
        if references and REFERENCE not in busy and len(running) < workers:
            _, trial = references.popleft()
            limit = _REFERENCE_TRAININGS * trial.time_limit
            future = executor.submit(REFERENCE, None, worker.run_reference, trial, timeout=limit)
            running[future] = (REFERENCE, trial)
        for name in sorted(queues, key=lambda name: -len(queues[name])):
            if len(running) >= workers:
                return
            if name in busy:
                continue
            trial_ready = self._next_ready(queues[name], waiting)
            if trial_ready is not None:
                path = registry.backend(name).trainer
                future = executor.submit(
                    name, path, worker.run_trial, trial_ready, path, timeout=trial_ready.time_limit
                )
                running[future] = (name, trial_ready)

    def _next_ready(self, queue: deque[Trial], waiting: set[str]) -> Trial | None:
        """The first trial whose reference, if it needs one, is there."""
        for index, trial in enumerate(queue):
            if trial.mode == "native" or not self.parity or trial.reference_id not in waiting:
                del queue[index]
                return trial
        return None

    # -- saving

    def _save_reference(self, trial: Trial, future: Future[ReferenceOutcome]) -> str:
        error = future.exception()
        if error is not None:  # its trials are stored as unchecked, and looked at again at the next run
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

    def _save_trial(self, trial: Trial, outcome: Outcome) -> str:
        installed = registry.backend(trial.backend)
        row = {
            "trial_id": trial.id,
            "status": outcome.status,
            "reason": outcome.reason,
            **dict.fromkeys(METRICS),
            **(outcome.metrics if outcome.status == "ok" else {}),
            **self._parity_of(trial, outcome),
            "epochs_run": outcome.epochs_run,
            "stack_size": None if outcome.train_seconds is None else 1,
            "build_seconds": outcome.build_seconds,
            "train_seconds": outcome.train_seconds,
            "predict_seconds": outcome.predict_seconds,
            "backend_version": "" if outcome.status == "not_installed" else installed.version(),
            "numpy_version": numpy_version(),
            "harness_version": harness_version(),
            "machine": machine(),
        }
        self.store.save_result(row, self._payloads(trial, outcome, row))
        return outcome.status

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

    def _payloads(self, trial: Trial, outcome: Outcome, row: dict[str, Any]) -> dict[str, bytes]:
        """Curves always; weights and predictions of the best cell of this backend, mode and seed, or of all."""
        payloads = {"curves": pack(outcome.curves)} if outcome.curves else {}
        if outcome.confusion:
            payloads["confusion"] = pack(outcome.confusion)
        key, score = (trial.backend, trial.mode, trial.seed), _score(row)
        before, superseded = self.best.get(key, (NO_SCORE, ""))
        if outcome.weights is None or not (score > before or self.save_weights):
            return payloads
        if score > before:
            self.best[key] = (score, trial.id)
            if superseded in self.kept and not self.save_weights:  # an older one may be the best of another experiment
                self.store.drop_artefacts(superseded, _HEAVY)
        self.kept.add(trial.id)
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
    """What the best cell is chosen by: validation accuracy (or R²), then validation loss, and no chaotic one.

    The training rows stand in where there are no validation rows; the test rows never do.
    """
    if row["status"] != "ok" or row.get("verdict") == "chaotic":
        return NO_SCORE
    part = "train" if row.get("validation_loss") is None else "validation"
    score = next(row[f"{part}_{name}"] for name in dict.fromkeys(SCORE.values()) if row[f"{part}_{name}"] is not None)
    return float(score), -float(row[f"{part}_loss"])


def outcome_of(future: Future[Outcome], trial: Trial) -> Outcome:
    """What a worker's future says, a process that died or hung included."""
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, TimeoutError):
        return Outcome("timeout", f"stopped after the time limit of {trial.time_limit:g} s")
    if isinstance(error, ProcessExpired):
        return Outcome("crashed", f"the worker process died ({_exit(error.exitcode)})")
    if isinstance(error, NotInstalled):
        return Outcome("not_installed", str(error))
    return Outcome("crashed", describe(error))


def _exit(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
