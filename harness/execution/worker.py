"""What happens inside a worker process: one framework, imported once, one trial after another.

The parent pins threads through the environment before the process starts (see `executor.py`), so that they are in force
before NumPy or a framework is imported.
"""

import os
import sys
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from harness.checks import CheckResult, run_check
from harness.checks.covering import Case, Measured, covering, measure, supported_levels
from harness.contract import StackTrainer, Trainer, Weights
from harness.conventions.profile import native_only
from harness.conventions.table import Row
from harness.data.prepared import Dataset, Datasets, Prepared
from harness.draws.generators import native_seed
from harness.execution.surface import grid_inputs, has_plane
from harness.planning.plan import Trial
from harness.registry import PROFILES, load_trainer
from harness.replay.scores import Scores, score_rows
from harness.support.denormals import flush_denormals
from harness.support.errors import RequestError, plain_text
from harness.training.extras import Keep
from harness.training.floor import ReferenceOutcome, train_reference
from harness.training.metrics import NO_SCORE
from harness.training.trial import Outcome, train_native, train_stack

_datasets: Datasets = {}
_prepared: dict[Hashable, Prepared] = {}


@dataclass(frozen=True)
class SavedDataset:
    """A dataset whose arrays lie in files, where every worker maps them: one copy in memory serves all."""

    dataset: Dataset  # without its arrays
    X: Path
    y: Path

    def load(self) -> Dataset:
        """The dataset; nobody can write into its arrays."""
        X, y = (np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray) for path in (self.X, self.y))
        return replace(self.dataset, X=X, y=y)


def save_datasets(datasets: Datasets, folder: Path) -> dict[str, SavedDataset]:
    """Write the arrays into the folder. Raises `RequestError` where there is no room."""
    saved = {}
    nothing = np.empty(0)
    for number, (key, dataset) in enumerate(datasets.items()):
        X, y = (folder / f"{number}-{name}.npy" for name in ("X", "y"))
        try:
            np.save(X, dataset.X, allow_pickle=False)
            np.save(y, dataset.y, allow_pickle=False)
        except OSError as error:
            told = f"the data cannot be written into {folder.parent}: {error.strerror or error}"
            raise RequestError(f"{told}; set TMPDIR to a folder with more room") from None
        saved[key] = SavedDataset(replace(dataset, X=nothing, y=nothing), X, y)
    return saved


def begin(saved: Mapping[str, SavedDataset], trainer: str | None) -> None:
    """Called once in a new worker, apart from any trial, so that no trial's time limit pays for the import."""
    initialize({key: dataset.load() for key, dataset in saved.items()})
    if trainer is not None:
        load_trainer(trainer)


def initialize(datasets: Datasets) -> None:
    """Keep the data for the trials to come, and the framework's chatter to this process."""
    global _datasets
    _datasets = datasets
    _prepared.clear()
    flush_denormals()
    _silence()


def _silence() -> None:
    """Frameworks write to the file descriptors from C++, so it is those that have to be closed."""
    sys.stdout.flush()
    sys.stderr.flush()
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)


def warm_up(trainer: str) -> str:
    """Import the framework; gives the class's name."""
    return str(load_trainer(trainer).name)


def trains_stacks(trainer: str) -> bool:
    """Whether the trainer at `"module:Class"` can be given more than one trial at once."""
    return issubclass(load_trainer(trainer), StackTrainer)


def run_chunk(trials: Sequence[Trial], trainer: str, width: int = 1, keep: Keep | None = None) -> list[Outcome]:
    """Train the trials of a chunk together, and give an outcome for each; see `harness.planning.cohorts`.

    Weights and logits are most of what has to be sent back: `keep` says whose; without it all come as they are.
    Raises what the adapter raises: the process may then be in any state, and is fit for no further trial.
    """
    trainer_class = load_trainer(trainer)
    reasons = [unsupported(trial, trainer_class) for trial in trials]
    able = [trial for trial, reason in zip(trials, reasons, strict=True) if reason is None]
    trained = iter(_train_all(able, trainer_class, width, keep))
    outcomes = [next(trained) if reason is None else Outcome("unsupported", reason) for reason in reasons]
    if keep is None:
        return outcomes
    chosen = keep.chosen(outcomes)
    return [
        _over_grid(trials[i], outcome, trainer_class) if i in chosen else keep.lightened(outcome)
        for i, outcome in enumerate(outcomes)
    ]


def _over_grid(trial: Trial, outcome: Outcome, trainer_class: type[Trainer]) -> Outcome:
    """The outcome of a chosen trial with its logits over the plane of two inputs, where there is one.

    A controlled one is computed by a network of its own, not by the whole stack, which may have 512 members.
    """
    grid = None if trial.mode == "native" else _grid(trial)
    if grid is None:
        return outcome
    logits = trainer_class(trial.config, outcome.weights).logits(grid)
    return replace(outcome, grid_logits=logits.astype(np.float32))


def _grid(trial: Trial) -> np.ndarray | None:
    """The points of the plane as the network is given them; None where its inputs are no plane."""
    dataset = _datasets[trial.data.key]
    return grid_inputs(trial, dataset, prepared_for(trial)) if has_plane(trial, dataset) else None


def _train_all(trials: Sequence[Trial], trainer_class: type[Trainer], width: int, keep: Keep | None) -> list[Outcome]:
    """Controlled trials together; native ones, of which a chunk has one, in the framework's own way."""
    if trials and trials[0].mode == "controlled":
        return _train_together(trials, trainer_class, width, keep)
    return [_train_natively(trial, trainer_class, native_seed(trial.base_seed, trial.seed), keep) for trial in trials]


def _train_natively(trial: Trial, trainer_class: type[Trainer], seed: int, keep: Keep | None) -> Outcome:
    grid, bar = (None, NO_SCORE) if keep is None else (_grid(trial), keep.bar)
    try:
        return train_native(trainer_class, trial.config, seed, prepared_for(trial), grid, bar)
    except NotImplementedError as error:  # what the framework has no idiom of its own for
        return Outcome("unsupported", plain_text(error))


def prepared_for(trial: Trial) -> Prepared:
    """The arrays of a trial's repeat; its neighbours in the plan share them, so the last ones are kept."""
    config, written = trial.config, trial.mode == "controlled" or "dtype" in trial.config.written
    key = (trial.data, trial.draws, trial.base_seed, trial.seed, config.task, config.dtype if written else None)
    if key not in _prepared:
        prepared = trial.prepare(_datasets[trial.data.key])
        for part in prepared.parts().values():  # an adapter that writes into them would reach the next trials
            part.X.setflags(write=False)
            part.y.setflags(write=False)
        _prepared.clear()
        _prepared[key] = prepared
    return _prepared[key]


def _train_together(
    trials: Sequence[Trial], trainer_class: type[Trainer], width: int, keep: Keep | None
) -> list[Outcome]:
    first = trials[0]
    prepared = prepared_for(first)
    n = len(prepared.train.y)
    return train_stack(
        trainer_class,
        [trial.config for trial in trials],
        _starts(trials),
        [trial.batches(n) for trial in trials],
        prepared,
        first.curves,
        first.stopping,
        width,
        () if keep is None else keep.epochs,
    )


def _starts(trials: Sequence[Trial]) -> list[Weights]:
    """The starts of trials of one structure and repeat: those of one law are one, and drawn once."""
    drawn: dict[Hashable, Weights] = {}
    starts = []
    for trial in trials:
        given = trial.given_start
        law = (trial.recipe.init, trial.recipe.bias, None if given is None else given.digest)
        if law not in drawn:
            drawn[law] = trial.start()
        starts.append(drawn[law])
    return starts


def run_trial(trial: Trial, trainer: str, seed: int | None = None) -> Outcome:
    """Train one trial. A native fit is given the seed of the trial's repeat, or `seed` in its place.

    Raises what the adapter raises.
    """
    if seed is None or trial.mode == "controlled":
        return run_chunk((trial,), trainer)[0]
    trainer_class = load_trainer(trainer)
    reason = unsupported(trial, trainer_class)
    if reason is not None:
        return Outcome("unsupported", reason)
    return _train_natively(trial, trainer_class, seed, None)


def unsupported(trial: Trial, trainer_class: type[Trainer]) -> str | None:
    """Why this backend cannot train this trial, or None when it can."""
    if trial.mode == "controlled" and trial.backend in PROFILES:
        return native_only(trial.backend)
    if trial.mode == "native":
        if trainer_class.fit_native is Trainer.fit_native:
            return f"backend {trial.backend!r} has no native mode"
        if reason := trial.not_native():
            return reason
    reason = trainer_class.refuses(trial.config, trial.mode)
    return None if reason is None else plain_text(reason)


def unsupported_trials(trials: Sequence[Trial], trainer: str) -> list[str | None]:
    """For each trial why this backend cannot train it, or None; nothing is trained."""
    trainer_class = load_trainer(trainer)
    return [unsupported(trial, trainer_class) for trial in trials]


def run_replays(tasks: Sequence[tuple[Trial, Row]]) -> list[Scores]:
    """Replay rows of the conventions table, each in the repeat of its trial."""
    return score_rows(tasks, _datasets)


def run_reference(trial: Trial, epochs: tuple[int, ...]) -> ReferenceOutcome:
    """Train the reference of one controlled trial, and its floor; both are kept after `epochs` too."""
    prepared = prepared_for(trial)
    batches = trial.batches(len(prepared.train.y))
    parts = (prepared.train, prepared.validation)
    return train_reference(trial.config, trial.start(), batches, *parts, trial.stopping, epochs)


def check(name: str, trainer: str) -> CheckResult:
    """Run one conformance check against the trainer at `"module:Class"`."""
    return run_check(name, load_trainer(trainer))


def covering_cases(trainer: str) -> tuple[list[Case], dict[tuple[str, str], str]]:
    """The covering array of the trainer at `"module:Class"`, and its reasons for what is not in it."""
    trainer_class = load_trainer(trainer)
    levels, reasons = supported_levels(trainer_class)
    return covering(levels), reasons


def covering_case(case: Case, trainer: str) -> Measured:
    """Train one case of the covering array."""
    return measure(case, load_trainer(trainer))
