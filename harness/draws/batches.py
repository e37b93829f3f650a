"""The rows, the masks and the learning rate of every step."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from harness.contract import Batches, Config, Epoch
from harness.draws.generators import generator
from harness.draws.recipe import Recipe


def batch_sizes(n: int, batch_size: int, recipe: Recipe) -> list[int]:
    """The rows of every step of an epoch.

    A number of batches is met exactly, with lengths that differ by one row, or, merged, in all but the last by none.
    """
    if recipe.n_batches is not None:
        if recipe.batches == "skipping":  # between two batches one row is left out
            n -= recipe.n_batches - 1
        each = n // recipe.n_batches
        if recipe.last_batch == "merge":
            return [each] * (recipe.n_batches - 1) + [n - each * (recipe.n_batches - 1)]
        return [len(part) for part in np.array_split(np.arange(n), recipe.n_batches)]
    stride = batch_size + 1 if recipe.batches == "skipping" else batch_size
    if recipe.last_batch == "drop stride":
        return [batch_size] * (n // stride)
    sizes = [min(batch_size, n - first) for first in range(0, n, stride)]
    short = sizes[-1] if sizes[-1] < batch_size else 0
    if short and recipe.last_batch == "drop":
        return sizes[:-1]
    if short and recipe.last_batch == "merge" and len(sizes) > 1:
        return [*sizes[:-2], batch_size + short]
    return sizes


def scheduled(config: Config, recipe: Recipe, step: np.ndarray, total: int) -> np.ndarray:
    """The learning rate at each of the steps (0 is the first) of a training of `total` steps.

    With `t` the step, `r` decay_rate, `s` decay_steps and `f` final_factor, the learning rate is multiplied by

        step           r ** floor(t / s)        exponential   r ** (t / s)        inverse_time   1 / (1 + r * t / s)
        cosine         f + (1 - f) * (1 + cos(pi * min(t / s, 1))) / 2, where `s` is the whole training unless given
    """
    if recipe.schedule == "constant":
        return np.full(len(step), config.optimizer.learning_rate)
    t = step / (recipe.decay_steps or total)
    rate = recipe.decay_rate if recipe.decay_rate is not None else math.nan
    factor: np.ndarray
    if recipe.schedule == "step":
        factor = rate ** np.floor(t)
    elif recipe.schedule == "exponential":
        factor = rate**t
    elif recipe.schedule == "inverse_time":
        factor = 1 / (1 + rate * t)
    else:
        f = recipe.final_factor
        factor = f + (1 - f) * (1 + np.cos(np.pi * np.minimum(t, 1))) / 2
    return config.optimizer.learning_rate * factor


@dataclass(frozen=True)
class DrawnBatches:
    """The batches of a training on `n` rows, as `recipe` says. Implements `harness.contract.Batches`."""

    n: int
    config: Config
    recipe: Recipe
    seed: int
    repeat: int

    def __len__(self) -> int:
        return self.config.epochs

    def __getitem__(self, epoch: int) -> Epoch:
        if not 0 <= epoch < len(self):
            raise IndexError(f"epoch {epoch} of {len(self)}")
        rows = self.rows(epoch)
        steps, batch = rows.shape
        numbers = epoch * steps + np.arange(steps)
        learning_rate = scheduled(self.config, self.recipe, numbers, len(self) * steps)
        return Epoch(rows, learning_rate, self._masks(epoch, steps, batch))

    def rows(self, epoch: int) -> np.ndarray:
        """The rows of each step of one epoch, in the form of `Epoch.rows`; not to be changed."""
        sizes = tuple(batch_sizes(self.n, self.config.batch_size, self.recipe))
        law = self.recipe.batches
        drawn_at = 0 if law in ("bootstrap", "one_permutation") else epoch
        return _drawn_once(law, self.n, sizes, self.seed, self.repeat, drawn_at)

    def _masks(self, epoch: int, steps: int, batch: int) -> tuple[np.ndarray, ...]:
        """Which inputs and units are kept in one epoch, in the form of `Epoch.masks`."""
        dropped = tuple(self.config.network.drawn())
        shapes = tuple((key, (steps, batch, *shape)) for key, _, shape in dropped)
        drawn = _uniform_once(shapes, self.seed, self.repeat, epoch)
        return tuple(u >= layer.rate for (_, layer, _), u in zip(dropped, drawn, strict=True))


# The cells of one repeat share their rows, and what their masks are cut from: each is drawn once for all of them.
@lru_cache(maxsize=64)
def _drawn_once(law: str, n: int, sizes: tuple[int, ...], seed: int, repeat: int, epoch: int) -> np.ndarray:
    return padded(_draw_rows(law, n, sizes, generator(seed, "batches", repeat, epoch)))


@lru_cache(maxsize=1)  # large, and the members of a stack ask for one epoch after the other
def _uniform_once(
    shapes: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...], seed: int, repeat: int, epoch: int
) -> list[np.ndarray]:
    return [generator(seed, "dropout", repeat, epoch, *key).random(shape) for key, shape in shapes]


def padded(drawn: Sequence[np.ndarray]) -> np.ndarray:
    """The rows of each step as one read-only array, `(steps, batch)`, filled up with -1."""
    rows = np.full((len(drawn), max(map(len, drawn), default=0)), -1, np.int64)
    for step, chosen in enumerate(drawn):
        rows[step, : len(chosen)] = chosen
    rows.setflags(write=False)
    return rows


def _draw_rows(law: str, n: int, sizes: Sequence[int], rng: np.random.Generator) -> list[np.ndarray]:
    if law == "independent":
        return [rng.choice(n, size=size, replace=False) for size in sizes]
    if law == "replacement":
        return [rng.integers(0, n, size=size) for size in sizes]
    if law == "skipping":
        first = np.cumsum([0, *(size + 1 for size in sizes)])[: len(sizes)]
        return [np.arange(begin, begin + size) for begin, size in zip(first, sizes, strict=True)]
    order = np.arange(n)
    if law in ("permutation", "one_permutation"):
        order = rng.permutation(n)
    elif law == "bootstrap":
        order = rng.integers(0, n, size=n)
    return np.split(order[: sum(sizes)], np.cumsum(sizes)[:-1])


def draw_batches(config: Config, recipe: Recipe, n: int, seed: int, repeat: int) -> Batches:
    """The batches that every backend sees when it trains `config` on `n` rows in this repeat."""
    return DrawnBatches(n, config, recipe, seed, repeat)
