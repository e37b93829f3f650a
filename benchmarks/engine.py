"""What the engine itself costs: `python -m benchmarks.engine`, a table on standard output, some minutes.

Own cost is the wall time of `harness.run` on the numpy backend with one worker, `parity = "none"` and `curves = false`,
less the seconds that its rows say were spent building, training and predicting (the test rows; the others in
proportion), by trial; the start of the worker is in it. Planning is data, plan, lint and the plan's rows in the store,
in a fresh process, with its peak of memory.
"""

import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from typing import Any

TRIALS = (1_000, 3_000, 10_000)
PLANNED = 100_000

DIGITS = {"data": {"name": "digits", "validation_fraction": 0.1, "scale": 16}, "hidden": [50], "batch_size": 100}
DIGITS |= {"predicted": 0.2}  # the share of the rows whose prediction a row of results gives the time of
PROBLEMS: dict[str, dict[str, Any]] = {
    "xor": {"data": {"name": "xor", "test_fraction": 0.0}, "hidden": [2], "batch_size": 4, "predicted": 1.0},
    "digits": DIGITS,
}
PLANS: dict[str, dict[str, Any]] = {
    "20,000 points, 5 backends": {"points": 20_000, "backends": ["numpy", "sklearn", "tensorflow", "keras", "torch"]},
    "100,000 points, numpy": {"points": 100_000, "backends": ["numpy"]},
}


def table(problem: dict[str, Any], points: int, backends: list[str]) -> dict[str, Any]:
    """An experiment of so many random cells, one epoch each."""
    law = {"loguniform": [1e-5, 1.0]}
    return {
        "name": "engine",
        "data": problem["data"],
        "network": {"hidden": problem["hidden"]},
        "training": {"batch_size": problem["batch_size"], "epochs": 1},
        "search": {"trials": points, "learning_rate": law, "l2": law},
        "run": {"backends": backends, "parity": "none", "curves": False},
    }


def sweep(name: str, trials: int) -> dict[str, float]:
    """Seconds of a whole sweep in this process, and of what its backend did. Raises `RuntimeError` for a lost trial."""
    import harness
    from harness.experiment.file import parse

    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        experiment = parse(table(PROBLEMS[name], trials, ["numpy"]))
        results = harness.run(experiment, store=f"sqlite:///{folder}/engine.db", workers=1, progress=False)
        wall = time.perf_counter() - started
        rows = results.frame()
    lost = int((~rows["status"].isin(["ok", "diverged"])).sum())
    if lost or len(rows) != trials:
        raise RuntimeError(f"{name}: {lost} of {len(rows)} trials were not trained")
    seconds = rows[["build_seconds", "train_seconds", "predict_seconds"]].sum()
    seconds["predict_seconds"] /= PROBLEMS[name]["predicted"]
    backend = float(seconds.sum())
    return {"wall": wall, "backend": backend, "peak": peak()}


def planning(name: str) -> dict[str, float]:
    """Seconds of planning and registering in this process, and its peak of memory."""
    from harness.execution.runner import register
    from harness.experiment.datasets import load_datasets
    from harness.experiment.file import parse
    from harness.linting.linter import lint_plan
    from harness.planning.plan import plan
    from harness.storage.store import Store

    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        experiment = parse(table(DIGITS, **PLANS[name]))
        datasets = load_datasets(experiment)
        trials = plan(experiment, datasets)
        findings = lint_plan(experiment, datasets, trials)
        planned = time.perf_counter()
        store = Store(f"sqlite:///{folder}/engine.db")
        register(store, experiment, datasets, trials, findings)
        store.close()
        wall = time.perf_counter() - started
    if len(trials) != PLANNED:
        raise RuntimeError(f"{name}: {len(trials)} trials planned")
    return {"plan": planned - started, "wall": wall, "peak": peak()}


def peak() -> float:
    """The most memory that this process has held, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def fresh(*arguments: str) -> dict[str, float]:
    """One measurement in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "benchmarks.engine", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {(done.stderr.strip() or 'failed').splitlines()[-1]}")
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def main() -> None:
    """Measure and print."""
    print(f"{'sweep':<8}{'trials':>8}{'wall s':>9}{'backend s':>11}{'own ms a trial':>16}{'peak MiB':>10}")
    for name in PROBLEMS:
        own = {}
        for trials in TRIALS:
            found = fresh("sweep", name, str(trials))
            own[trials] = found["wall"] - found["backend"]
            print(
                f"{name:<8}{trials:>8}{found['wall']:>9.2f}{found['backend']:>11.2f}"
                f"{1e3 * own[trials] / trials:>16.3f}{found['peak']:>10.0f}",
                flush=True,
            )
        growth = math.log(own[TRIALS[-1]] / own[TRIALS[0]]) / math.log(TRIALS[-1] / TRIALS[0])
        print(f"{name:<8}own cost grows as trials to the power {growth:.2f}")
    print(f"\n{PLANNED:,} trials planned{'':<14}{'plan s':>8}{'and stored s':>14}{'peak MiB':>10}")
    for name in PLANS:
        found = fresh("plan", name)
        print(f"{name:<35}{found['plan']:>8.2f}{found['wall']:>14.2f}{found['peak']:>10.0f}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        what, name, *count = sys.argv[1:]
        print(json.dumps(sweep(name, int(count[0])) if what == "sweep" else planning(name)))
    else:
        main()
