"""One run of a plan against a store: skip what is there, train the rest chunk by chunk, write one row a trial."""

from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any

from harness import registry
from harness.data.prepared import Datasets
from harness.execution import worker
from harness.execution.executor import WARM_UP_SECONDS, LocalExecutor, NotStarted
from harness.execution.processes import Died
from harness.execution.writer import Writer
from harness.experiment.file import Experiment
from harness.planning.cohorts import MOST_MEMBERS, Chunk, chunks
from harness.planning.plan import Trial
from harness.storage.staleness import Staleness
from harness.storage.store import Finished, Store
from harness.support.environment import harness_version, numpy_version
from harness.support.errors import NotInstalled, describe
from harness.support.progress import Progress
from harness.training.checkpoints import kept_epochs
from harness.training.metrics import score_of
from harness.training.trial import Outcome

REFERENCE = "reference"  # the lane that trains references
_REFERENCE_TRAININGS = 4  # itself, and three times with other roundings


@dataclass(frozen=True)
class Queued:
    """A chunk that waits for its turn, and the ids of the references that have to be there before it.

    `died` says that its process died once, `why` of a trial that stands alone what became of its stack.
    """

    chunk: Chunk
    references: frozenset[str]
    died: bool = False
    why: str | None = None


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
        self.name = experiment.name
        self.datasets = datasets
        self.parity = experiment.run.parity == "all"
        self.retry_failed = retry_failed
        self.refresh = refresh
        self.retrain = retrain
        self.stale = Staleness()
        self.trials = {trial.id: trial for trial in trials}
        self.todo = self._missing()
        self.references = self._missing_references()
        self.epochs = self._kept_epochs()
        self.writer = Writer(store, experiment.name, datasets, trials, self.parity, save_weights, set(self.todo))

    # -- what is missing

    def _missing(self) -> dict[str, Trial]:
        """The trials of the plan that have no result that stands, by id."""
        stored = self.store.finished(self.name)
        return {
            key: trial for key, trial in self.trials.items() if key not in stored or self._again(trial, stored[key])
        }

    def _again(self, trial: Trial, row: Finished) -> bool:
        if self.retrain:
            return True
        if row.status in ("unsupported", "not_installed"):
            return True
        if row.status in ("timeout", "crashed"):
            return self.retry_failed
        unchecked = self.parity and trial.mode == "controlled" and row.verdict == "unchecked"
        return unchecked or (self.refresh and self.stale.of(trial.backend, row.status, row.made))

    def _missing_references(self) -> dict[str, Trial]:
        """Reference id -> a trial that needs it, for those that the store does not have."""
        if not self.parity:
            return {}
        needed = {
            trial.reference_id: trial
            for trial in reversed(self.todo.values())
            if trial.mode == "controlled" and registry.backend(trial.backend).missing() is None
        }
        stored = self.store.reference_versions(needed)
        current = (harness_version(), numpy_version())
        return {
            key: trial
            for key, trial in needed.items()
            if key not in stored or (self.refresh and stored[key] != current)
        }

    def _kept_epochs(self) -> tuple[int, ...]:
        """The epochs on the way after which parity is measured; the plan decides, not what is missing of it."""
        if not self.parity:
            return ()
        cells = {(t.seed, t.position): t.config for t in self.trials.values() if t.mode == "controlled"}
        return kept_epochs(cells.values())

    # -- training

    def train(self, workers: int, progress: Progress) -> None:
        """Train everything that is missing, `workers` processes busy at once."""
        totals = {REFERENCE: len(self.references)} if self.references else {}
        for trial in self.todo.values():
            totals[trial.backend] = totals.get(trial.backend, 0) + 1
        progress.start(totals, len(self.trials) - len(self.todo))
        try:
            present = [name for name in totals if name != REFERENCE and not self._absent(name, progress)]
            with LocalExecutor(self.datasets) as executor:
                lanes = Lanes(self, executor, progress, present)
                lanes.work(workers)
        finally:
            progress.close()

    def _absent(self, name: str, progress: Progress) -> bool:
        """A backend that is not installed costs a row a trial, and no process."""
        reason = registry.backend(name).missing()
        if reason is None:
            return False
        trials = [trial for trial in self.todo.values() if trial.backend == name]
        for first in range(0, len(trials), MOST_MEMBERS):
            some = trials[first : first + MOST_MEMBERS]
            self.writer.save(some, [Outcome("not_installed", reason)] * len(some))
            for _ in some:
                progress.finished(name, "not_installed")
        return True

    def queue(self, name: str, stacks: bool) -> deque[Queued]:
        """The chunks of one backend of which anything is missing. A chunk is what it is in the whole plan."""
        planned = chunks((trial for trial in self.trials.values() if trial.backend == name), stacks)
        return deque(
            Queued(chunk, self._references_of(chunk))
            for chunk in planned
            if any(trial.id in self.todo for trial in chunk.trials)
        )

    def _references_of(self, chunk: Chunk) -> frozenset[str]:
        if not self.references:
            return frozenset()
        controlled = (trial for trial in chunk.trials if trial.mode == "controlled")
        return frozenset(trial.reference_id for trial in controlled) & self.references.keys()

    def missing(self, chunk: Chunk) -> list[bool]:
        """Which trials of a chunk have no result that stands."""
        return [trial.id in self.todo for trial in chunk.trials]

    def save(self, chunk: Chunk, outcomes: list[Outcome]) -> list[Outcome]:
        """Store what was missing of a chunk, and give its outcomes as they are stored."""
        missing = self.missing(chunk)
        return self.writer.save(list(compress(chunk.trials, missing)), list(compress(outcomes, missing)))


class Lanes:
    """The work of one run, a queue a backend: hands it out to processes, and takes back what they give."""

    def __init__(self, sweep: Sweep, executor: LocalExecutor, progress: Progress, names: list[str]) -> None:
        self.sweep = sweep
        self.executor = executor
        self.progress = progress
        self.new = deque(names)  # backends that have not said yet whether they train stacks
        self.queues: dict[str, deque[Queued]] = {}
        self.left: Counter[str] = Counter()  # trials in each queue
        self.references = deque(reversed(sweep.references.values()))
        self.waiting = set(sweep.references)  # references that are not there yet
        self.running: dict[Future[Any], tuple[str, Callable[[Future[Any]], None]]] = {}

    def work(self, workers: int) -> None:
        """Until nothing is left."""
        while self.new or self.references or any(self.queues.values()) or self.running:
            self._fill(workers)
            done, _ = wait(self.running, return_when=FIRST_COMPLETED)
            for future in done:
                _, take = self.running.pop(future)
                take(future)

    def _fill(self, workers: int) -> None:
        """Hand out work until all workers are busy: references first, then the backend with most left to do."""
        busy = {lane for lane, _ in self.running.values()}
        if self.references and REFERENCE not in busy and len(self.running) < workers:
            self._submit_reference(self.references.popleft())
        while self.new and len(self.running) < workers:
            self._ask(self.new.popleft())
        for name in sorted(self.queues, key=lambda name: -self.left[name]):
            if len(self.running) >= workers:
                return
            queued = None if name in busy else self._next_ready(self.queues[name])
            if queued is not None:
                self._submit(name, queued)

    def _next_ready(self, queue: deque[Queued]) -> Queued | None:
        """The first chunk whose references are there."""
        for index, queued in enumerate(queue):
            if not queued.references & self.waiting:
                del queue[index]
                return queued
        return None

    # -- what is handed out, and what becomes of it

    def _ask(self, name: str) -> None:
        """Start a backend's process and ask whether it trains stacks. What cannot be imported says so in its trials."""
        path = registry.backend(name).trainer

        def take(future: Future[bool]) -> None:
            queue = self.sweep.queue(name, stacks=future.exception() is None and future.result())
            self.queues[name] = queue
            self.left[name] = sum(len(queued.chunk.trials) for queued in queue)

        future = self.executor.submit(name, path, worker.trains_stacks, path, timeout=WARM_UP_SECONDS)
        self.running[future] = (name, take)

    def _submit_reference(self, trial: Trial) -> None:
        def take(future: Future[Any]) -> None:
            self.waiting.discard(trial.reference_id)
            self.progress.finished(REFERENCE, self.sweep.writer.save_reference(trial, future))

        limit = _REFERENCE_TRAININGS * trial.time_limit
        future = self.executor.submit(REFERENCE, None, worker.run_reference, trial, self.sweep.epochs, timeout=limit)
        self.running[future] = (REFERENCE, take)

    def _submit(self, name: str, queued: Queued) -> None:
        chunk = queued.chunk
        self.left[name] -= len(chunk.trials)

        def take(future: Future[list[Outcome]]) -> None:
            error = future.exception()
            if error is not None and len(chunk.trials) > 1 and not isinstance(error, NotStarted | NotInstalled):
                self._again(name, queued, error)
                return
            outcomes = future.result() if error is None else [failed(error, trial) for trial in chunk.trials]
            outcomes = [replace(outcome, reason=outcome.reason or queued.why) for outcome in outcomes]
            for outcome in self.sweep.save(chunk, outcomes):
                self.progress.finished(name, outcome.status, score_of(outcome.metrics)[0])

        path = registry.backend(name).trainer
        keep = self.sweep.writer.keep(chunk.trials, self.sweep.missing(chunk), self.sweep.epochs)
        arguments = (chunk.trials, path, chunk.width, keep)
        future = self.executor.submit(name, path, worker.run_chunk, *arguments, timeout=chunk.time_limit)
        self.running[future] = (name, take)

    def _again(self, name: str, queued: Queued, error: BaseException) -> None:
        """Give a stack that failed back to the queue: whole where its process died once, so that its bits stay.

        Otherwise one by one, so that only the guilty one pays.
        """
        chunk = queued.chunk
        if isinstance(error, Died) and not error.was_killed and not queued.died:
            again = [replace(queued, died=True)]
        else:
            told = "it ran out of time" if isinstance(error, TimeoutError) else describe(error)
            why = f"trained alone, since the stack failed: {told}"
            missing = compress(chunk.alone(), self.sweep.missing(chunk))
            again = [Queued(each, queued.references, why=why) for each in missing]
        self.queues[name].extendleft(reversed(again))
        self.left[name] += sum(len(each.chunk.trials) for each in again)


def outcome_of(future: Future[Outcome], trial: Trial) -> Outcome:
    """What a worker's future says of one trial, a process that died or hung included."""
    error = future.exception()
    return future.result() if error is None else failed(error, trial)


def failed(error: BaseException, trial: Trial) -> Outcome:
    """The outcome of a trial whose process died or hung, or never started, or whose adapter raised something."""
    if isinstance(error, TimeoutError):
        return Outcome("timeout", f"stopped after the time limit of {trial.time_limit:g} s")
    if isinstance(error, NotStarted):
        return Outcome(error.status, str(error))
    if isinstance(error, NotInstalled):
        return Outcome("not_installed", str(error))
    return Outcome("crashed", describe(error))
