"""The reference's own training of a cell, and its floor: how far it moves from itself under rounding alone."""

from dataclasses import dataclass, replace

import numpy as np

from harness.data import Part
from harness.metrics import loss
from harness.parity import ReversedInputs, ReversedRows, deviation, reverse_inputs
from harness.reference import Reference
from harness.trainer import Batches, Config, Weights
from harness.training import BestEpoch, EarlyStopping, is_finite


@dataclass(frozen=True)
class ReferenceOutcome:
    """The reference's weights (None where it diverged) at the end and after epoch 1, and its floor."""

    weights: Weights | None
    first_epoch_weights: Weights | None
    floor: float | None


def train_reference(
    config: Config,
    start: Weights,
    batches: Batches,
    train: Part,
    validation: Part | None = None,
    stopping: EarlyStopping | None = None,
) -> ReferenceOutcome:
    """Train the reference, and three times more with other roundings, which gives its floor.

    The rows of every batch reversed; the input columns reversed; and each activation one unit in the last place nearer
    to 0. Without the last a saturated unit would go unnoticed: `a * (1 - a)` is 0 where `a` rounds to 1, and 1e-16
    where it does not, which an optimizer can make much of.
    """
    validation = None if stopping is None else validation
    weights, first = _train(Reference(config, start), batches, train, validation, stopping)
    reversed_rows, _ = _train(Reference(config, start), ReversedRows(batches), train, validation, stopping)
    nudged, _ = _train(Reference(config, start, nudged=True), batches, train, validation, stopping)
    turned = ReversedInputs(batches, drops_inputs=0 in config.dropout_layers)
    reversed_inputs, _ = _train(
        Reference(config, reverse_inputs(start)),
        turned,
        _turned(train),
        None if validation is None else _turned(validation),
        stopping,
    )
    if reversed_inputs is not None:
        reversed_inputs = reverse_inputs(reversed_inputs)
    floors = [deviation(other, weights) for other in (reversed_rows, reversed_inputs, nudged)]
    return ReferenceOutcome(weights, first, max((floor for floor in floors if floor is not None), default=None))


def _turned(part: Part) -> Part:
    """The same rows with their columns in reversed order."""
    return replace(part, X=part.X[:, ::-1].copy())


def _train(
    trainer: Reference, batches: Batches, train: Part, validation: Part | None, stopping: EarlyStopping | None
) -> tuple[Weights | None, Weights | None]:
    """The weights at the end and after epoch 1, None where they are not finite."""
    best = None if stopping is None else BestEpoch(stopping)
    first: list[Weights] = []

    def after_epoch(epoch: int) -> bool:
        weights = trainer.weights()
        if not is_finite(weights):
            return True
        if epoch == 1:
            first.append(weights)
        if best is None or validation is None:
            return False
        with np.errstate(all="ignore"):
            return best(loss(trainer.config, trainer.logits(validation.X), validation.y), weights)

    trainer.train(train.X, train.y, batches, after_epoch)
    weights = trainer.weights() if is_finite(trainer.weights()) else None
    if weights is not None and best is not None and best.weights is not None:
        weights = best.weights
    return weights, (first[0] if first else None)
