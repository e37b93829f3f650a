"""What one side of a pair comes to, one value a repeat: by its own fits, or by the replay where it is a row only."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Protocol

from harness import registry
from harness.draws.generators import native_seed
from harness.execution import worker
from harness.execution.sweeper import outcome_of
from harness.planning.plan import Trial
from harness.replay.scores import Scores
from harness.training.metrics import SCORE
from harness.training.trial import Outcome

FAILED = ("crashed", "timeout")


class Executor(Protocol):
    """Anything that takes a function and returns a future, see `harness.execution.executor`."""

    def submit(  # noqa: D102
        self, lane: str, trainer: str | None, function: Callable[..., Any], *args: Any, timeout: float | None = None
    ) -> Future[Any]: ...


@dataclass(frozen=True)
class Measured:
    """Loss and score in every repeat, NaN where there is none: then `faults` say in how many, and why.

    `status` is "ok", or the worst of those that the trainings had.
    """

    losses: tuple[float, ...]
    scores: tuple[float, ...]
    faults: tuple[str, ...] = ()
    status: str = "ok"


def submit_fits(executor: Executor, name: str, trials: Sequence[Trial], again: bool = False) -> list[Future[Outcome]]:
    """Real fits in native mode, one a repeat, with the seeds of `harness run`, or `again` with others: A against A."""
    trainer = registry.backend(name).trainer
    futures = []
    for trial in trials:
        own = replace(trial, backend=name)
        seed = native_seed(trial.base_seed, trial.seed + len(trials) if again else trial.seed)
        futures.append(executor.submit(name, trainer, worker.run_trial, own, trainer, seed, timeout=trial.time_limit))
    return futures


def fitted(
    name: str,
    trials: Sequence[Trial],
    futures: Sequence[Future[Outcome]],
    finished: Callable[[str, str], None] = lambda lane, status: None,
) -> Measured:
    """What came out of the fits of one backend; waits for them, and tells `finished` of each."""
    outcomes = []
    for trial, future in zip(trials, futures, strict=True):
        outcomes.append(outcome_of(future, trial))
        finished(name, outcomes[-1].status)
    lost = [outcome for outcome in outcomes if outcome.status != "ok"]
    status = next((word for word in ("unsupported", *FAILED, "diverged") if any(o.status == word for o in lost)), "ok")
    reasons: dict[tuple[str, str], int] = {}
    for outcome in lost:
        key = (outcome.status, outcome.reason or "")
        reasons[key] = reasons.get(key, 0) + 1
    score = SCORE[trials[0].config.task]
    return Measured(
        tuple(_metric(outcome, "loss") for outcome in outcomes),
        tuple(_metric(outcome, score) for outcome in outcomes),
        tuple(
            f"{name} {word} in {count} of {len(trials)} seeds: {reason}" for (word, reason), count in reasons.items()
        ),
        status if status != "ok" or not lost else lost[0].status,
    )


def _metric(outcome: Outcome, metric: str) -> float:
    """On the test rows, or the training rows where there are no others."""
    return outcome.metrics.get(f"test_{metric}", outcome.metrics.get(f"train_{metric}", math.nan))


def replayed(name: str, scores: Sequence[Scores]) -> Measured:
    """What came out of the replay of a profile, or of the harness's own row: it is the training itself."""
    lost = sum(math.isnan(one.loss) for one in scores)
    return Measured(
        tuple(one.loss for one in scores),
        tuple(one.score for one in scores),
        (f"{name} diverged in {lost} of {len(scores)} seeds: weights or losses not finite",) if lost else (),
        "diverged" if lost else "ok",
    )
