"""Which trials are trained together: cohorts, and their chunks.

A cohort is all trials of one backend, mode and repeat that share data, batches and structure, and differ in numbers
only (`harness.contract.MEMBER_NUMBERS`, the start, the schedule). It is cut into chunks that fit a processor's cache.
Which trials share a chunk follows from the plan alone, never from what is stored already: the bits of a matrix product
depend on its width, so a sweep that was interrupted ends with the bits of one that was not.
"""

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from harness.contract import Config, structure_of
from harness.planning.plan import Trial

CACHE = 1 << 20
"""Bytes that the weights and activations of a chunk may take: about half of a core's own cache."""

FEWEST_MEMBERS, MOST_MEMBERS = 2, 512

PREDICTIONS = 128 << 20
"""Bytes that the activations of a chunk may take when it predicts all rows of the dataset at once."""


@dataclass(frozen=True)
class Chunk:
    """Trials that are trained as one stack. `width` is the number of trials in the largest chunk of their cohort."""

    trials: tuple[Trial, ...]
    width: int

    @property
    def time_limit(self) -> float:
        """Seconds: the sum over the trials."""
        return sum(trial.time_limit for trial in self.trials)

    def alone(self) -> list["Chunk"]:
        """A chunk for each of the trials."""
        return [Chunk((trial,), 1) for trial in self.trials]


def chunks(trials: Iterable[Trial], stacks: bool) -> list[Chunk]:
    """The trials of one backend in chunks, in the order of the plan. Without `stacks`, and in native mode, each alone.

    The chunks of a cohort differ by one trial at most, so they have at most two shapes.
    """
    cohorts: dict[Hashable, list[Trial]] = {}
    structures: dict[int, Config] = {}  # trials of several repeats share their configs
    for trial in trials:
        key: Hashable = trial.id
        if stacks and trial.mode == "controlled":
            if id(trial.config) not in structures:
                structures[id(trial.config)] = structure_of(trial.config)
            key = _cohort(trial, structures[id(trial.config)])
        cohorts.setdefault(key, []).append(trial)
    return [chunk for cohort in cohorts.values() for chunk in _cut(cohort)]


def _cohort(trial: Trial, structure: Config) -> Hashable:
    """What the trials of a cohort have in common."""
    recipe = trial.recipe
    return (
        trial.seed,
        structure,
        trial.data,
        (recipe.batches, recipe.n_batches, recipe.last_batch),
        trial.curves,
        trial.stopping,
    )


def _cut(cohort: list[Trial]) -> list[Chunk]:
    count = math.ceil(len(cohort) / most_members(cohort[0].config, cohort[0].n_rows))
    width = math.ceil(len(cohort) / count)
    ends = [round(part) for part in np.linspace(0, len(cohort), count + 1)]
    return [Chunk(tuple(cohort[begin:end]), width) for begin, end in pairwise(ends)]


def most_members(config: Config, n_rows: int = 0) -> int:
    """The most members of a chunk: those whose weights and activations fit the cache together.

    With many rows fewer: metrics are taken from the predictions of all of them.

    Measured with 5 networks, from 2-2-1 to 784-100-10, batches of 1, 32 and 100 rows, and both dtypes: mostly within a
    tenth of the best number, which lies in a wide trough.
    """
    weights, outputs = config.network.size
    itemsize = np.dtype(config.dtype).itemsize
    predicted = n_rows * (outputs + (math.prod(config.network.input_shape) if config.network.dropouts else 0))
    taken = itemsize * (weights + config.batch_size * outputs)
    most = min(CACHE // taken, PREDICTIONS // (8 * max(1, predicted)))
    return max(FEWEST_MEMBERS, min(MOST_MEMBERS, most))
