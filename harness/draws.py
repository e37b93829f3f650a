"""Everything that is left to chance, drawn once by the harness and handed to every backend alike.

Each draw has its own generator, keyed by (experiment seed, role, repeat) and never by a backend's name: all
backends, modes and cells of one repeat share split, start and batches, so their differences are paired.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from harness.trainer import Config, Epoch, Weights


def generator(seed: int, role: str, repeat: int, *parts: int) -> np.random.Generator:
    """The generator for one role in one repeat. Roles are words: "split", "start", "batches"."""
    return np.random.Generator(np.random.PCG64(_entropy(seed, role, repeat, *parts)))


def native_seed(seed: int, repeat: int) -> int:
    """The 31-bit seed that a framework's own fit is given in native mode: the same for every backend."""
    return _entropy(seed, "native", repeat) % 2**31


def _entropy(seed: int, role: str, repeat: int, *parts: int) -> int:
    text = f"{seed}/{role}/{repeat}" + "".join(f"/{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")


@dataclass(frozen=True)
class Rows:
    """Which rows of the data set are for training, validation and testing: three `(n,)` int64 arrays."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def draw_split(n: int, test_fraction: float, validation_fraction: float, seed: int, repeat: int) -> Rows:
    """Test rows are `ceil(test_fraction * n)`, validation rows likewise, the rest is for training."""
    n_test, n_validation = share(n, test_fraction), share(n, validation_fraction)
    order = generator(seed, "split", repeat).permutation(n)
    return Rows(
        train=order[n_test + n_validation :],
        validation=order[n_test : n_test + n_validation],
        test=order[:n_test],
    )


def share(n: int, fraction: float) -> int:
    """`ceil(fraction * n)`, after shaving the last bits off the product: 0.1 of 30 rows is 3, not 4."""
    return math.ceil(round(fraction * n, 9))


# name -> standard deviation of one weight, from the layer's (n_in, n_out).
# glorot: Glorot and Bengio, 2010. he: He et al., 2015. lecun: LeCun et al., 1998.
_SPREAD: dict[str, Callable[[int, int], float]] = {
    "glorot": lambda n_in, n_out: math.sqrt(2 / (n_in + n_out)),
    "he": lambda n_in, n_out: math.sqrt(2 / n_in),
    "lecun": lambda n_in, n_out: math.sqrt(1 / n_in),
}
INITS: tuple[str, ...] = tuple(f"{family}_{law}" for family in _SPREAD for law in ("uniform", "normal"))


def draw_start(layers: tuple[int, ...], init: str, dtype: str, seed: int, repeat: int) -> Weights:
    """Initial weights for layers `(n_inputs, …, n_outputs)`: drawn in float64, then rounded to `dtype`. Biases are 0.

    "uniform" draws from ±sqrt(3) standard deviations, so both laws of a family have the same spread.
    """
    family, law = init.rsplit("_", 1)
    rng = generator(seed, "start", repeat)
    start = []
    for n_in, n_out in pairwise(layers):
        spread = _SPREAD[family](n_in, n_out)
        if law == "uniform":
            W = rng.uniform(-math.sqrt(3) * spread, math.sqrt(3) * spread, (n_in, n_out))
        else:
            W = rng.normal(0.0, spread, (n_in, n_out))
        start.append({"W": W.astype(dtype), "b": np.zeros(n_out, dtype)})
    return tuple(start)


@dataclass(frozen=True)
class Permutations:
    """The batches of a training: a new permutation of the `n` training rows each epoch, cut into `batch_size`.

    The last, shorter batch is kept. Implements `harness.trainer.Batches`.
    """

    n: int
    batch_size: int
    epochs: int
    learning_rate: float
    seed: int
    repeat: int

    def __len__(self) -> int:
        return self.epochs

    def __getitem__(self, epoch: int) -> Epoch:
        if not 0 <= epoch < self.epochs:
            raise IndexError(f"epoch {epoch} of {self.epochs}")
        steps = math.ceil(self.n / self.batch_size)
        rows = np.full(steps * self.batch_size, -1, np.int64)
        rows[: self.n] = generator(self.seed, "batches", self.repeat, epoch).permutation(self.n)
        return Epoch(rows.reshape(steps, self.batch_size), np.full(steps, self.learning_rate))


def draw_batches(config: Config, n: int, seed: int, repeat: int) -> Permutations:
    """The batches that every backend sees when it trains `config` on `n` rows in this repeat."""
    return Permutations(n, config.batch_size, config.epochs, config.learning_rate, seed, repeat)
