"""Parity over epochs: after which epochs weights are kept on the way, and how far two trainings are apart there."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from harness.contract import Config, Weights, stacked

BUDGET = 32 << 20
"""Bytes that the references of an experiment may keep between their first and their last epoch, all together."""

_MARKS = ((1, 2, 3, 5), (1, 3), ())  # in every power of ten; the finest that the budget allows, each part of the last


def kept_epochs(references: Iterable[Config]) -> tuple[int, ...]:
    """The epochs 2, 3, 5, 10, 20, … after which weights are kept, in trainings that have not ended there.

    Fewer, or none, where the weights of these references, one config each, would take more than `BUDGET`.
    """
    sizes: Counter[int] = Counter()  # epochs -> bytes of one copy of the weights of all that run so long
    for config in references:
        sizes[config.epochs] += _values(config) * np.dtype(config.dtype).itemsize
    longest = max(sizes, default=0)
    for marks in _MARKS:
        epochs = sorted(mark * 10**power for power in range(len(str(longest))) for mark in marks)
        epochs = [epoch for epoch in epochs if 1 < epoch < longest]
        if sum(size * sum(epoch < last for epoch in epochs) for last, size in sizes.items()) <= BUDGET:
            break
    return tuple(epochs)


def _values(config: Config) -> int:
    """How many numbers the weights of a network are."""
    return sum(math.prod(each.shape) for _, parameters in config.network.owners() for each in parameters.values())


def flat_stack(weights: Weights) -> np.ndarray:
    """The weights of a stack, a row of numbers for each member, the keys of a layer in alphabetical order."""
    values = [layer[key].reshape(len(layer[key]), -1) for layer in weights for key in sorted(layer)]
    return np.concatenate(values, axis=1)


def flat(weights: Weights) -> np.ndarray:
    """The same of one network, `(n,)`."""
    row: np.ndarray = flat_stack(stacked([weights]))[0]
    return row


@dataclass(frozen=True)
class Path:
    """Where a training was after some epochs: its weights, flat, and the epoch by which it had diverged, if it has."""

    weights: Mapping[int, np.ndarray]
    diverged_at: int | None = None

    def reaches(self, epoch: int) -> bool:
        """Whether it is known where this training was then, nowhere included."""
        return epoch in self.weights or (self.diverged_at is not None and epoch >= self.diverged_at)


def distance(path: Path, other: Path, epoch: int) -> float:
    """The largest absolute difference after an epoch.

    Infinite where one of the two had diverged, NaN where both had, or where it is not known.
    """
    if not (path.reaches(epoch) and other.reaches(epoch)):
        return np.nan
    a, b = path.weights.get(epoch), other.weights.get(epoch)
    if a is None or b is None:
        return np.nan if a is b else np.inf
    return float(np.max(np.abs(a.astype(np.float64) - b.astype(np.float64))))


@dataclass(frozen=True)
class Checkpoints:
    """The reference's own path, and its floor after each epoch of that: NaN where it is not known."""

    path: Path
    floors: Mapping[int, float]

    def arrays(self) -> dict[str, np.ndarray]:
        """What is stored: the floor after epoch 1, then those of `epoch` `(k,)`; `weights` `(k, n)`, NaN once diverged.

        The weights after epoch 1 are stored with the reference itself.
        """
        later = [epoch for epoch in self.floors if epoch > 1]
        size = max((value.size for value in self.path.weights.values()), default=1)
        nowhere = np.full(size, np.nan)
        weights = [self.path.weights.get(epoch, nowhere) for epoch in later]
        return {
            "epoch": np.array(later, np.int64),
            "floor": np.array([self.floors.get(1, np.nan), *(self.floors[epoch] for epoch in later)]),
            "weights": np.stack(weights) if later else np.empty((0, size)),
        }


def read_checkpoints(arrays: Mapping[str, np.ndarray], first: Weights | None) -> Checkpoints:
    """What `Checkpoints.arrays` gave, with the weights after epoch 1; nothing more of a reference that kept none."""
    arrays = arrays or Checkpoints(Path({}), {}).arrays()
    later = arrays["epoch"].tolist()
    floors = dict(zip([1, *later], arrays["floor"].tolist(), strict=True))
    weights = {} if first is None else {1: flat(first)}
    weights |= {epoch: row for epoch, row in zip(later, arrays["weights"], strict=True) if np.isfinite(row).all()}
    return Checkpoints(Path(weights, min((epoch for epoch in floors if epoch not in weights), default=None)), floors)


def parity_arrays(
    path: Path, reference: Checkpoints, last: int, deviation: float | None, floor: float | None
) -> dict[str, np.ndarray]:
    """The arrays of the artefact "parity": `epoch`, `deviation` and `floor`, `(k,)` each, see `reports.study.Arrays`.

    After the epochs whose weights both have kept, and at the end, which is after epoch `last`.
    """
    epochs = [
        epoch for epoch in reference.floors if epoch < last and path.reaches(epoch) and reference.path.reaches(epoch)
    ]
    deviations = [distance(path, reference.path, epoch) for epoch in epochs]
    return {
        "epoch": np.array([*epochs, last], np.int64),
        "deviation": np.array([*deviations, deviation], np.float64),  # None becomes NaN
        "floor": np.array([*(reference.floors[epoch] for epoch in epochs), floor], np.float64),
    }
