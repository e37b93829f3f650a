"""The reference's own training of a cell, and its floor: how far it moves from itself under rounding alone."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.contract import Batches, Config, Weights
from harness.data.prepared import Part
from harness.network import Dropout, Network
from harness.reference.trainer import Reference
from harness.training.checkpoints import Checkpoints, Path, distance, flat
from harness.training.metrics import loss
from harness.training.parity import ReversedInputs, ReversedRows, deviation, reverse_inputs
from harness.training.trial import BestEpoch, EarlyStopping, is_finite


@dataclass(frozen=True)
class ReferenceOutcome:
    """The reference's weights (None where it diverged) at the end and after epoch 1, its floor, and both on the way."""

    weights: Weights | None
    first_epoch_weights: Weights | None
    floor: float | None
    checkpoints: Checkpoints


def train_reference(
    config: Config,
    start: Weights,
    batches: Batches,
    train: Part,
    validation: Part | None = None,
    stopping: EarlyStopping | None = None,
    epochs: tuple[int, ...] = (),
) -> ReferenceOutcome:
    """Train the reference, and three times more with other roundings, which gives its floor.

    The rows of every batch reversed; the input columns reversed; and each activation one unit in the last place nearer
    to 0. Without the last a saturated unit would go unnoticed: `a * (1 - a)` is 0 where `a` rounds to 1, and 1e-16
    where it does not, which an optimizer can make much of.

    `epochs` are those on the way whose weights and floors are kept too, beside the first.
    """
    validation = None if stopping is None else validation
    own = _Run(stopping, epochs)
    own.train(Reference(config, start), batches, train, validation)
    reversed_rows, nudged, turned = (_Run(stopping, epochs) for _ in range(3))
    reversed_rows.train(Reference(config, start), ReversedRows(batches), train, validation)
    nudged.train(Reference(config, start, nudged=True), batches, train, validation)
    turned.train(
        Reference(config, reverse_inputs(config.network, start)),
        ReversedInputs(batches, _masks_of_inputs(config.network)),
        _turned(train),
        None if validation is None else _turned(validation),
    )
    turned.turn_back(config.network)
    others = (reversed_rows, turned, nudged)
    floors = [deviation(other.weights, own.weights) for other in others]
    return ReferenceOutcome(
        own.weights,
        own.seen.get(1),
        max((floor for floor in floors if floor is not None), default=None),
        _checkpoints(own.path(), [other.path() for other in others], (1, *epochs)),
    )


def _checkpoints(path: Path, others: Sequence[Path], epochs: Sequence[int]) -> Checkpoints:
    """The floor after each of the epochs that the reference has reached."""
    floors = {}
    for epoch in epochs:
        if path.reaches(epoch):
            apart = [distance(other, path, epoch) for other in others]
            floors[epoch] = max((value for value in apart if not math.isnan(value)), default=math.nan)
    return Checkpoints(path, floors)


def _turned(part: Part) -> Part:
    """The same rows with their columns in reversed order."""
    return replace(part, X=part.X[:, ::-1].copy())


def _masks_of_inputs(network: Network) -> int:
    """How many layers drop units before the first that mixes them."""
    before = itertools.takewhile(lambda layer: not layer.mixes, network.layers)
    return sum(isinstance(layer, Dropout) for layer in before)


class _Run:
    """One training of the reference: its weights at the end, None where they are not finite, and on the way."""

    def __init__(self, stopping: EarlyStopping | None, epochs: tuple[int, ...]) -> None:
        self.best = None if stopping is None else BestEpoch(stopping)
        self.kept = {1, *epochs}
        self.seen: dict[int, Weights] = {}
        self.weights: Weights | None = None
        self.diverged_at: int | None = None

    def train(self, trainer: Reference, batches: Batches, train: Part, validation: Part | None) -> None:
        def after_epoch(epoch: int) -> bool:
            weights = trainer.weights()
            if not is_finite(weights):
                self.diverged_at = epoch
                return True
            if epoch in self.kept:
                self.seen[epoch] = weights
            if self.best is None or validation is None:
                return False
            with np.errstate(all="ignore"):
                return self.best(loss(trainer.config, trainer.logits(validation.X), validation.y), weights)

        trainer.train(train.X, train.y, batches, after_epoch)
        if self.diverged_at is None:
            self.weights = trainer.weights() if self.best is None or self.best.weights is None else self.best.weights

    def turn_back(self, network: Network) -> None:
        """Give the weights their own order again, where the inputs were reversed."""
        self.weights = None if self.weights is None else reverse_inputs(network, self.weights)
        self.seen = {epoch: reverse_inputs(network, weights) for epoch, weights in self.seen.items()}

    def path(self) -> Path:
        return Path({epoch: flat(weights) for epoch, weights in self.seen.items()}, self.diverged_at)
