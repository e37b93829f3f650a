"""A traced Keras model is used again, but never by two trainers at once, and keeps nothing of its last training."""

import gc
from dataclasses import replace

import numpy as np
import pytest

from harness.checks.problem import SMALL, batches_of, problem, start_of
from harness.contract import vary
from harness.registry import backend
from harness.training.parity import deviation

pytest.importorskip("keras", reason=backend("keras").missing())

from backends.keras.trainer import KerasTrainer

CONFIG = vary(SMALL, optimizer="adagrad_momentum", learning_rate=0.05, initial_accumulator=0.1, epochs=2)


def trained(config):
    """A trainer that has trained the small problem, two epochs."""
    trainer = KerasTrainer(config, start_of(config))
    trainer.train(*problem(config), batches_of(config), lambda epoch: False)
    return trainer


def test_the_model_of_a_trainer_that_is_gone_serves_the_next_and_remembers_nothing():
    first = trained(CONFIG)
    weights, network = first.weights(), first.stack.model
    traced = network.train_function
    del first
    gc.collect()
    again = trained(vary(CONFIG, momentum=0.5, l2=0.3))
    assert again.stack.model is network
    assert deviation(again.weights(), weights) > 1e-3
    del again
    gc.collect()
    third = trained(CONFIG)
    assert third.stack.model is network
    assert network.train_function is traced
    assert deviation(third.weights(), weights) == 0


def test_two_living_trainers_of_one_structure_share_nothing():
    one, other = trained(CONFIG), KerasTrainer(CONFIG, start_of(CONFIG))
    assert deviation(other.weights(), start_of(CONFIG)) == 0
    weights = one.weights()
    other.train(*problem(CONFIG), batches_of(CONFIG), lambda epoch: False)
    other.set_weights(tuple({key: value * 2 for key, value in layer.items()} for layer in other.weights()))
    assert deviation(one.weights(), weights) == 0


def test_another_number_of_steps_is_traced_anew():
    weights = trained(vary(CONFIG, epochs=1)).weights()
    gc.collect()
    X, y = problem(CONFIG)
    batches = batches_of(vary(CONFIG, epochs=1))
    trainer = KerasTrainer(vary(CONFIG, epochs=1), start_of(CONFIG))
    trainer.train(X, y, [replace(batches[0], rows=batches[0].rows[:2], learning_rate=np.full(2, 0.05))], lambda e: True)
    assert deviation(trainer.weights(), weights) > 1e-3
    trainer.train(X, y, [replace(batches[0], rows=batches[0].rows[2:], learning_rate=np.full(2, 0.05))], lambda e: True)
    assert deviation(trainer.weights(), weights) < 1e-12
