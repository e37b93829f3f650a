"""A against A: how often two fits of the same backend are said to differ, and how often a planted difference is seen.

    python -m tests.a_a [CELLS]

Each cell has a split and seeds of its own, and goes the way of any pair: `submit_fits`, the worker's own function,
`fitted`, `gap`. The planted difference is 4 true standard errors: the standard deviation of the paired difference over
all pairs there are, by the root of the seeds, added to B.
"""

import sys
from concurrent.futures import Future
from dataclasses import replace

import numpy as np

from harness.execution import worker
from harness.experiment.datasets import load_datasets
from harness.experiment.file import parse
from harness.explaining.measuring import fitted, submit_fits
from harness.explaining.shares import gap
from harness.planning.plan import plan
from harness.training import metrics
from harness.training import trial as training

SEEDS = (5, 8)
CELLS = 1000

TABLE = {
    "name": "a-a",
    "data": {"name": "iris", "test_fraction": 0.4, "scale": "standard"},
    "network": {"hidden": [4], "activation": "tanh"},
    "training": {"batch_size": 16, "epochs": 10, "learning_rate": 0.01, "l2": 0.001},
    "run": {"backends": ["numpy"], "modes": ["native"], "seeds": max(SEEDS)},
}


class InThisProcess:
    """An executor that does the work at once."""

    def submit(self, lane, trainer, function, *args, timeout=None):
        future = Future()
        future.set_result(function(*args))
        return future


def losses(cells):
    """The losses of A and of B in every cell and repeat, `(2, cells, seeds)`."""
    experiment = parse(TABLE)
    datasets = worker._datasets = load_datasets(experiment)
    repeats = plan(experiment, datasets)
    sides = np.empty((2, cells, max(SEEDS)))
    for cell in range(cells):
        trials = [replace(trial, base_seed=cell) for trial in repeats]
        for side in (0, 1):
            futures = submit_fits(InThisProcess(), "numpy", trials, again=side == 1)
            measured = fitted("numpy", trials, futures)
            assert not measured.faults, measured.faults
            sides[side, cell] = measured.losses
    return sides


def rates(cells=CELLS):
    """Seeds -> the share of cells in which A and A are said to differ, and in which a planted difference is seen."""
    extras = metrics._more, training.confusion
    metrics._more, training.confusion = lambda *_: {}, lambda *_: None  # F1, AUC, confusion: most of the time, unused
    try:
        a, b = losses(cells)
    finally:
        metrics._more, training.confusion = extras
    spread = (b - a).std(ddof=1)
    found = {}
    for n in SEEDS:
        planted = 4 * spread / np.sqrt(n)
        false = np.mean([gap(x[:n], y[:n]).differs for x, y in zip(a, b, strict=True)])
        seen = np.mean([gap(x[:n], y[:n] + planted).differs for x, y in zip(a, b, strict=True)])
        found[n] = float(false), float(seen)
    return found


if __name__ == "__main__":
    cells = int(sys.argv[1]) if len(sys.argv) > 1 else CELLS
    for n, (false, seen) in rates(cells).items():
        print(f"{cells} cells, {n} seeds: {false:.1%} claim a difference, a planted one is seen in {seen:.1%}")
