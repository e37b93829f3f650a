"""What the TensorFlow adapter adds to the contract: one trace for every number of members."""

import numpy as np
import pytest

from harness.checks.problem import SMALL, batches_of, problem, start_of
from harness.contract import StackedBatches, stacked, vary
from harness.registry import backend

tf = pytest.importorskip("tensorflow", reason=backend("tensorflow").missing())

from backends.tensorflow import trainer as adapter  # noqa: E402


def train_stack(config, members, after_epoch):
    trainer = adapter.TensorFlowTrainer(config, None)
    configs = [vary(config, l2=0.01 * member) for member in range(members)]
    trainer.build_stack(configs, stacked([start_of(config)] * members))
    trainer.train_stack(*problem(config), StackedBatches((batches_of(config),) * members), after_epoch(members))
    return trainer


def nobody_leaves(members):
    return lambda epoch: np.zeros(members, bool)


def one_leaves_each_epoch(members):
    return lambda epoch: np.arange(members - epoch + 1) == 0


def test_one_trace_serves_every_number_of_members_and_of_epochs():
    config = vary(SMALL, hidden=(13,), epochs=3)  # a width used nowhere else: nothing is traced yet
    for members in (5, 4):  # the second makes it general
        structure = train_stack(config, members, nobody_leaves).structure
    run_epoch = adapter.epoch_traced_once(structure)
    before = run_epoch.experimental_get_tracing_count()
    for members in (1, 2, 7):
        train_stack(vary(config, epochs=2, learning_rate=0.1, momentum=0.5), members, nobody_leaves)
    train_stack(config, 6, one_leaves_each_epoch)
    assert run_epoch.experimental_get_tracing_count() == before


def test_who_leaves_is_cut_out_of_every_variable():
    trainer = train_stack(vary(SMALL, optimizer="adam", epochs=3), 6, one_leaves_each_epoch)
    variables = tf.nest.flatten([trainer.owners, trainer.slots])
    assert {variable.read_value().shape[0] for variable in variables} == {3}
    assert [len(number) for number in trainer.numbers.values()] == [3] * len(trainer.numbers)
