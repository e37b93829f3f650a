"""What happens inside a worker process: one framework, imported once, one trial after another.

The parent pins threads through the environment before the process starts (see `harness.executor`), so that they
are in force before NumPy or a framework is imported.
"""

import multiprocessing
import os
import sys
import threading
from multiprocessing.connection import wait
from pathlib import Path

from harness.check import CheckResult, run_check
from harness.data import Dataset
from harness.draws import native_seed
from harness.errors import describe
from harness.plan import Trial
from harness.registry import load_trainer
from harness.trainer import Trainer
from harness.training import Outcome, ReferenceOutcome, train_controlled, train_native, train_reference

_dataset: Dataset | None = None


def initialize(dataset: Dataset | None) -> None:
    """Called once in a new worker: keep the data, end with the parent, keep the framework's chatter to itself."""
    global _dataset
    _dataset = dataset
    _end_with_parent()
    _silence()


def _end_with_parent() -> None:
    """A worker whose parent was killed, in the middle of a trial too, ends by itself."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _silence() -> None:
    """Frameworks write to the file descriptors from C++, so it is those that have to be closed."""
    sys.stdout.flush()
    sys.stderr.flush()
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)


def warm_up(trainer: str) -> None:
    """Import the framework, apart from any trial, so that no trial's time limit pays for it."""
    load_trainer(trainer)


def run_trial(trial: Trial, trainer: str) -> Outcome:
    """Train one trial. An adapter's own exception costs this trial, and comes back as its reason."""
    assert _dataset is not None
    trainer_class = load_trainer(trainer)
    reason = trainer_class.unsupported(trial.config)
    if reason is not None:
        return Outcome("unsupported", reason)
    if trial.mode == "native" and trainer_class.fit_native is Trainer.fit_native:
        return Outcome("unsupported", f"backend {trial.backend!r} has no native mode")
    prepared = trial.prepare(_dataset)
    try:
        if trial.mode == "native":
            return train_native(trainer_class, trial.config, native_seed(trial.base_seed, trial.seed), prepared)
        batches = trial.batches(len(prepared.train.y))
        return train_controlled(trainer_class, trial.config, trial.start(), batches, prepared, trial.curves)
    except Exception as error:
        return Outcome("crashed", describe(error))


def run_reference(trial: Trial) -> ReferenceOutcome:
    """Train the reference of one controlled trial, and its floor."""
    assert _dataset is not None
    prepared = trial.prepare(_dataset)
    batches = trial.batches(len(prepared.train.y))
    return train_reference(trial.config, trial.start(), batches, prepared.train.X, prepared.train.y)


def check(name: str, trainer: str) -> CheckResult:
    """Run one conformance check against the trainer at `"module:Class"`."""
    return run_check(name, load_trainer(trainer))
