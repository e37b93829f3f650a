"""One training under the harness's eyes: when it stops, what it keeps."""

import numpy as np
import pytest

from backends.numpy.trainer import NumpyTrainer
from harness.checks.problem import SMALL, batches_of, problem, rows_of, start_of
from harness.contract import vary
from harness.data.prepared import Part, Prepared
from harness.reference.trainer import Reference
from harness.training.floor import train_reference
from harness.training.parity import deviation
from harness.training.trial import BestEpoch, EarlyStopping, train_controlled

CONFIG = vary(SMALL, hidden=(30,), activation=("tanh",), optimizer="adam", learning_rate=0.05, epochs=60, l2=0.0)


def prepared(config=CONFIG):
    """Validation rows of other labels: a network that learns the training rows soon does worse on them."""
    X, y = problem(config)
    validation = Part(X + 0.3, np.roll(y, 1), np.arange(len(y)))
    return Prepared(rows_of(config), validation, Part(X[:0], y[:0], np.arange(0)))


def train(stopping, trainer=NumpyTrainer, curves=True, config=CONFIG):
    return train_controlled(trainer, config, start_of(config), batches_of(config), prepared(config), curves, stopping)


def weights_after(epochs):
    return train(None, config=vary(CONFIG, epochs=epochs)).weights


@pytest.mark.parametrize("curves", [True, False])
def test_early_stopping_waits_for_its_patience_and_restores_the_best_epoch(curves):
    losses = train(None).curves["validation_loss"]
    best = int(np.argmin(losses[1:6])) + 1
    assert losses[best] < losses[best + 1] < losses[best + 3]  # it gets worse, or the test says nothing
    outcome = train(EarlyStopping(patience=3), curves=curves)
    assert outcome.epochs_run == best + 3
    assert deviation(outcome.weights, weights_after(best)) == 0
    if curves:
        assert outcome.metrics["validation_loss"] == pytest.approx(losses[best], abs=1e-15)


def test_a_training_that_ends_before_its_patience_is_given_its_best_epoch_too():
    outcome = train(EarlyStopping(patience=1000))
    assert outcome.epochs_run == CONFIG.epochs
    assert outcome.metrics["validation_loss"] == pytest.approx(min(outcome.curves["validation_loss"][1:]))


def test_the_reference_stops_by_the_same_rule():
    parts = prepared()
    stopping = EarlyStopping(patience=3)
    reference = train_reference(CONFIG, start_of(CONFIG), batches_of(CONFIG), parts.train, parts.validation, stopping)
    for trainer in (Reference, NumpyTrainer):
        assert deviation(train(stopping, trainer).weights, reference.weights) < 1e-12
    assert reference.floor < 1e-12


def test_a_fall_that_is_smaller_than_min_delta_is_no_improvement():
    watch = BestEpoch(EarlyStopping(patience=2, min_delta=0.1))
    assert [watch(loss, ()) for loss in (1.0, 0.95, 0.85, 0.8, 0.79)] == [False, False, False, False, True]
    assert watch.loss == 0.85


def test_a_loss_that_is_not_a_number_never_is_the_best():
    watch = BestEpoch(EarlyStopping(patience=2))
    assert [watch(loss, ()) for loss in (float("nan"), float("nan"))] == [False, True]
    assert watch.weights is None
