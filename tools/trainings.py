"""What this commit trains: weights of the covering cases, a whole sweep, an explanation. For `tools/compare.py`.

    python -m tools.trainings FOLDER

Writes `weights-NAME.npz` for the reference, the replay and every backend (each in a process of its own), the rows of
`digits-quick` as `digits-quick.csv`, and what `explain` says of one of its cells as `explain.txt`. Weights of a network
are numbered in the order of the layers, whatever their layout: `case 007/3 gamma` is its fourth array.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.contract import StackTrainer, Weights, vary
from harness.data.prepared import Prepared
from harness.execution import worker
from harness.planning.plan import Trial
from harness.registry import CONTROLLED, backend, load_trainer, row_of
from harness.replay.stack import replay
from harness.replay.training import member_of
from harness.support.denormals import flush_denormals
from harness.support.errors import RequestError, describe
from harness.training.floor import train_reference
from harness.training.trial import train_stack
from tools.cases import BACKENDS
from tools.snapshot import planned_cases

SEPARATE = {"reference": "the reference and its floor", "replay": "the replay under every row"}
EXPLAINED = ("digits-quick", "sklearn", "keras", "--cell", "learning_rate=0.1,l2=0.001")
_MEASURED_ANEW = ("build_seconds", "train_seconds", "predict_seconds", "backend_version", "harness_version")

Named = Iterator[tuple[str, Weights | str | None]]


def trained(name: str, trial: Trial, prepared: Prepared) -> Named:
    """What one trainer makes of a case: weights, None where it diverged, or why there are none."""
    if name == "reference":
        yield from _reference(trial, prepared)
    elif name == "replay":
        yield from _replays(trial, prepared)
    else:
        yield from _backend(name, trial, prepared)


def _reference(trial: Trial, prepared: Prepared) -> Named:
    parts = (prepared.train, prepared.validation)
    batches = trial.batches(len(prepared.train.y))
    outcome = train_reference(trial.config, trial.start(), batches, *parts, trial.stopping)
    yield "", outcome.weights
    yield "floor", ({"floor": np.array(np.nan if outcome.floor is None else outcome.floor)},)


def _replays(trial: Trial, prepared: Prepared) -> Named:
    for name in (CONTROLLED, *BACKENDS):
        try:
            row = row_of(name, trial.config, trial.recipe)
            yield name, replay([member_of(trial, row, prepared.train)])[0].weights
        except RequestError as error:
            yield name, str(error)


def _backend(name: str, trial: Trial, prepared: Prepared) -> Named:
    """In mode controlled, as a stack of two where it trains stacks."""
    trainer_class = load_trainer(backend(name).trainer)
    reason = worker.unsupported(trial, trainer_class)
    if reason is not None:
        yield "", reason
        return
    configs = [trial.config]
    if issubclass(trainer_class, StackTrainer):
        configs.append(vary(trial.config, learning_rate=trial.config.optimizer.learning_rate / 2))
    starts = [trial.start()] * len(configs)
    batches = [replace(trial, config=config).batches(len(prepared.train.y)) for config in configs]
    try:
        outcomes = train_stack(trainer_class, configs, starts, batches, prepared, stopping=trial.stopping)
    except Exception as error:
        yield "", describe(error)
        return
    for member, outcome in enumerate(outcomes):
        yield str(member), outcome.weights


def write_weights(name: str, path: Path) -> None:
    """Train every case with constants unwritten, and write what came out."""
    flush_denormals()
    arrays: dict[str, np.ndarray] = {}
    for label, (trials, datasets) in planned_cases():
        if label.endswith(" written"):
            continue
        trial = next(trial for trial in trials if trial.mode == "controlled")
        prepared = trial.prepare(datasets[trial.data.key])
        for what, found in trained(name, trial, prepared):
            arrays |= {f"{label} {what}{key}": value for key, value in _named(found)}
    np.savez(path, **arrays)


def _named(found: Weights | str | None) -> Iterator[tuple[str, np.ndarray]]:
    if found is None or isinstance(found, str):
        yield "", np.array("diverged" if found is None else found)
        return
    every = [(key, layer[key]) for layer in found for key in sorted(layer)]
    yield from ((f"/{number} {key}", value) for number, (key, value) in enumerate(every))


def write_sweep(path: Path) -> None:
    """Run `digits-quick` into a fresh store, and write its rows without what is measured anew each time."""
    import harness

    results = harness.run("digits-quick", store=str(path.with_suffix(".db")), progress=False)
    frame = results.export().drop(columns=list(_MEASURED_ANEW))
    frame.sort_values("trial_id").to_csv(path, index=False)


def write_explanation(path: Path) -> None:
    """What the command prints."""
    command = [sys.executable, "-m", "harness", "explain", *EXPLAINED, "--out", str(path.parent / "explained")]
    path.write_text(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


WHOLE: dict[str, Callable[[Path], None]] = {"digits-quick.csv": write_sweep, "explain.txt": write_explanation}


def main() -> None:
    """Write everything, or with `--only` the weights of one trainer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=(*SEPARATE, *BACKENDS))
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if arguments.only:
        write_weights(arguments.only, folder / f"weights-{arguments.only}.npz")
        return
    for name in (*SEPARATE, *BACKENDS):
        print(f"weights of {name}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "tools.trainings", str(folder), "--only", name], check=True)
    for name, write in WHOLE.items():
        print(name, file=sys.stderr)
        write(folder / name)


if __name__ == "__main__":
    main()
