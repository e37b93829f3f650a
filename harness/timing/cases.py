"""What is timed: one network, one batch size, one number of rows, on data that no file is needed for."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import numpy as np

from harness.contract import Config, Epoch, Weights
from harness.draws.batches import draw_batches
from harness.draws.generators import generator
from harness.draws.recipe import Recipe
from harness.draws.starts import draw_start

INPUTS, OUTPUTS = 64, 10  # those of the digits
GATE_RATE = 0.1  # large, so that an error of 1 % shows itself in a few steps
_DRAWN = 4  # epochs that are drawn, and then used in turn


@dataclass(frozen=True)
class Case:
    """`depth` hidden layers of `width` relu units between 64 inputs and 10 classes; plain SGD with L2."""

    width: int
    depth: int
    batch_size: int
    rows: int
    dtype: str = "float32"
    seed: int = 0

    def config(self, epochs: int = 1, twin: int = 0) -> Config:
        """The training. A `twin` has leaky relu units, whose slope no other twin has, so no cache knows the config."""
        return Config.of(
            n_inputs=INPUTS,
            n_outputs=OUTPUTS,
            hidden=(self.width,) * self.depth,
            activation=("leaky_relu" if twin else "relu",) * self.depth,
            optimizer="sgd",
            learning_rate=0.01,
            l2=1e-4,
            batch_size=self.batch_size,
            epochs=epochs,
            dtype=self.dtype,
            leaky_slope=twin / 1000,
            written=frozenset({"dtype"}),
        )

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Normal inputs `(rows, 64)`, and as labels `(rows,)` the largest of ten random projections of them."""
        return _data(self)

    def start(self) -> Weights:
        """The start that all backends share."""
        return draw_start(self.config(), Recipe(), self.seed, 0)

    def batches(self, epochs: int) -> "ReadyBatches":
        """So many epochs, all in memory before the clock runs."""
        drawn = draw_batches(self.config(_DRAWN), Recipe(), self.rows, self.seed, 0)
        return ReadyBatches(tuple(drawn[epoch] for epoch in range(_DRAWN)), epochs)

    def one_step(self) -> "ReadyBatches":
        """An epoch of one batch: what a first step is timed on."""
        first = self.batches(1)[0]
        return ReadyBatches((Epoch(first.rows[:1], first.learning_rate[:1]),), 1)

    def few_steps(self) -> "ReadyBatches":
        """Two epochs of three batches, the last and shorter one among them: what parity is judged on."""
        epochs = []
        for epoch in self.batches(2).epochs[:2]:
            rows = np.concatenate([epoch.rows[:-1][:2], epoch.rows[-1:]])
            epochs.append(replace(epoch, rows=rows, learning_rate=np.full(len(rows), GATE_RATE)))
        return ReadyBatches(tuple(epochs), 2)

    @property
    def flops(self) -> int:
        """Floating-point operations of the matrix products of one epoch: forward, gradient, and error to each layer."""
        pairs = list(pairwise(self.config().network.units))
        products = sum(n_in * n_out for n_in, n_out in pairs)
        errors = sum(n_in * n_out for n_in, n_out in pairs[1:])  # the inputs need none
        return 2 * self.rows * (2 * products + errors)


@dataclass(frozen=True)
class ReadyBatches:
    """Drawn epochs, used in turn: the same rows for every backend, and nothing to draw while the clock runs."""

    epochs: tuple[Epoch, ...]
    length: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, epoch: int) -> Epoch:
        return self.epochs[epoch % len(self.epochs)]


@cache
def _data(case: Case) -> tuple[np.ndarray, np.ndarray]:
    rng = generator(case.seed, "timing", case.rows)
    X = rng.standard_normal((case.rows, INPUTS))
    y = (X @ rng.standard_normal((INPUTS, OUTPUTS))).argmax(axis=1)
    return X.astype(case.dtype), y


def grid(
    widths: Sequence[int],
    depths: Sequence[int],
    batch_sizes: Sequence[int],
    rows: Sequence[int],
    dtype: str = "float32",
    seed: int = 0,
) -> list[Case]:
    """The product of all sizes."""
    return [Case(*sizes, dtype, seed) for sizes in itertools.product(widths, depths, batch_sizes, rows)]
