"""A against A: how often `harness bench` says that a backend is faster than itself, and how often it sees 10 % more.

    python -m tests.a_a_timing [CELLS]

The real protocol with real clocks: in each cell, a network of its own size and seed, three processes train the same
backend. Two are equal; the third spins for another 10 % of every epoch.
"""

import sys
import time
from collections import Counter

import numpy as np

from backends.numpy.trainer import NumpyTrainer
from harness.timing.cases import Case
from harness.timing.contender import Contender
from harness.timing.intervals import paired_ratio
from harness.timing.protocol import Series, steady

REPEATS = 7
CELLS = 400
SLOWER = 0.10


class SlowedTrainer(NumpyTrainer):
    """The same, with every epoch 10 % longer."""

    def train(self, X, y, batches, after_epoch):
        begun = time.perf_counter()

        def slowed(epoch):
            nonlocal begun
            now = time.perf_counter()
            until = now + SLOWER * (now - begun)
            while time.perf_counter() < until:
                pass
            stop = after_epoch(epoch)
            begun = time.perf_counter()
            return stop

        super().train(X, y, batches, slowed)


TRAINERS = {
    "a": "backends.numpy.trainer:NumpyTrainer",
    "again": "backends.numpy.trainer:NumpyTrainer",
    "slowed": "tests.a_a_timing:SlowedTrainer",
}


def verdicts(cells):
    """What is said of each cell: of A against itself, and of the slowed one against A."""
    rng = np.random.default_rng(0)
    contenders = {name: Contender(name, trainer, threads=1) for name, trainer in TRAINERS.items()}
    try:
        for cell in range(cells):
            case = Case(int(rng.choice([16, 32, 64, 128])), 1, int(rng.choice([32, 128])), 500, seed=cell)
            found = {name: Series() for name in contenders}
            steady(contenders, found, case, REPEATS, rng, phases=("epoch",))
            failed = [series.failure for series in found.values() if series.failure]
            assert not failed, failed
            seconds = {name: series.seconds["epoch"] for name, series in found.items()}
            yield paired_ratio(seconds["again"], seconds["a"]), paired_ratio(seconds["slowed"], seconds["a"])
    finally:
        for contender in contenders.values():
            contender.close()


def told(side):
    """`390 cells: no difference 98.2%, …`."""
    counts = Counter(ratio.verdict for ratio in side)
    shares = ", ".join(f"{verdict} {count / len(side):.1%}" for verdict, count in counts.most_common())
    return f"{len(side)} cells: {shares}; median ratio {np.median([ratio.median for ratio in side]):.3f}"


if __name__ == "__main__":
    against_itself, slowed = [], []
    for itself, slower in verdicts(int(sys.argv[1]) if len(sys.argv) > 1 else CELLS):
        against_itself.append(itself)
        slowed.append(slower)
        if len(slowed) % 20 == 0:
            print(f"against itself, {told(against_itself)}; 10 % slower, {told(slowed)}", flush=True)
