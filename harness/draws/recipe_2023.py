"""`draws = "numpy-legacy-2023"`: split, start and batches as a course code of 2023 drew them.

NumPy's legacy generator is seeded once; five numbers are drawn and
thrown away (the course looked at five random images); scikit-learn's `train_test_split` takes the generator's next
numbers. For every training the generator is seeded anew: `randn` gives the weights, layer by layer, and
`choice(n, size, replace=False)` the rows of each step, one step after another. Repeat `r` is seeded with seed + r.
"""

from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np

from harness.contract import Batches, Config, Weights
from harness.draws.batches import DrawnBatches, batch_sizes, padded
from harness.draws.recipe import Recipe
from harness.draws.splits import Rows
from harness.draws.starts import parse_law


def draw_split(
    n: int,
    test_fraction: float,
    validation_fraction: float,
    seed: int,
    repeat: int,
    labels: np.ndarray | None = None,
    folds: int | None = None,
    fold: int = 0,
) -> Rows:
    """The rows of `train_test_split`; there are no validation rows, and nothing is stratified."""
    from sklearn.model_selection import train_test_split

    generator = np.random.RandomState(seed + repeat)
    generator.choice(n, size=5)
    share = 1 - test_fraction  # 0.8, and not 1 - 0.2: what the rounding of the shares is computed from
    train, test = train_test_split(np.arange(n), train_size=share, test_size=1 - share, random_state=generator)
    return Rows(train=train, validation=np.empty(0, np.int64), test=test)


def draw_start(config: Config, recipe: Recipe, seed: int, repeat: int) -> Weights:
    """`randn` times the standard deviation of `init`, for one layer after another; biases are a constant."""
    return _start(np.random.RandomState(seed + repeat), config, recipe)


def _start(generator: np.random.RandomState, config: Config, recipe: Recipe) -> Weights:
    _, scale = parse_law(recipe.init)
    return tuple(
        {
            "W": (scale * generator.randn(n_in, n_out)).astype(config.dtype),
            "b": np.full(n_out, recipe.bias, config.dtype),
        }
        for n_in, n_out in pairwise(config.network.units)
    )


class LegacyBatches(DrawnBatches):
    """Independent draws from the generator that has drawn the start, one step after another."""

    def rows(self, epoch: int) -> np.ndarray:
        return self._all[epoch]

    @cached_property
    def _all(self) -> list[np.ndarray]:
        sizes = tuple(batch_sizes(self.n, self.config.batch_size, self.recipe))
        return _all_rows(self.n, sizes, len(self), self.config.network.units, self.seed + self.repeat)


@lru_cache(maxsize=4)  # the cells of one repeat share their batches
def _all_rows(n: int, sizes: tuple[int, ...], epochs: int, layers: tuple[int, ...], seed: int) -> list[np.ndarray]:
    generator = np.random.RandomState(seed)
    for n_in, n_out in pairwise(layers):
        generator.randn(n_in, n_out)
    return [padded([generator.choice(n, size=size, replace=False) for size in sizes]) for _ in range(epochs)]


def draw_batches(config: Config, recipe: Recipe, n: int, seed: int, repeat: int) -> Batches:
    """The batches that every backend sees when it trains `config` on `n` rows in this repeat."""
    return LegacyBatches(n, config, recipe, seed, repeat)
