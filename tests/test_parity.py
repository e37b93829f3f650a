"""Deviation, floor and verdict, at their edges."""

import math

import numpy as np
import pytest

from harness.checks.problem import SMALL, batches_of, problem, rows_of, start_of
from harness.contract import vary
from harness.reference.layers import forward, hidden_units
from harness.reference.trainer import Reference
from harness.training.floor import train_reference
from harness.training.parity import ReversedInputs, ReversedRows, deviation, judge, largest, reverse_inputs, tolerance


def weights(*values):
    return tuple({"W": np.full((2, 2), value), "b": np.zeros(2)} for value in values)


def test_deviation_is_the_largest_difference():
    assert deviation(weights(1.0, 2.0), weights(1.0, 2.5)) == 0.5


def test_deviation_when_trainings_diverge():
    assert deviation(None, weights(1.0)) == math.inf
    assert deviation(weights(1.0), None) == math.inf
    assert deviation(None, None) is None


def test_a_nan_never_passes_as_agreement():
    assert judge("ok", deviation(weights(math.nan), weights(1.0)), 0.0, "float64") == "differs"


@pytest.mark.parametrize(
    ("status", "deviation", "floor", "dtype", "expected"),
    [
        ("ok", 0.9e-12, 0.0, "float64", "agrees"),
        ("ok", 1.1e-12, 0.0, "float64", "differs"),
        ("ok", 0.9e-11, 1e-13, "float64", "agrees"),
        ("ok", 1.1e-11, 1e-13, "float64", "differs"),
        ("ok", 1.0, 1.1e-6, "float64", "chaotic"),
        ("ok", 1.0, 0.9e-6, "float64", "differs"),
        ("ok", 0.9e-4, 0.0, "float32", "agrees"),
        ("ok", 1.1e-4, 1e-7, "float32", "differs"),
        ("ok", 5.0, 1.1e-2, "float32", "chaotic"),
        ("ok", math.inf, None, "float64", "differs"),
        ("diverged", math.inf, 1e-15, "float64", "differs"),
        ("diverged", None, None, "float64", "agrees"),
        ("ok", math.inf, math.inf, "float64", "chaotic"),
        ("crashed", None, 1e-15, "float64", "unchecked"),
        ("timeout", None, 1e-15, "float64", "unchecked"),
    ],
)
def test_verdict(status, deviation, floor, dtype, expected):
    assert judge(status, deviation, floor, dtype) == expected


def test_large_weights_are_judged_by_their_own_size():
    assert judge("ok", 1e85, 1e-8, "float64", scale=1e99) == "agrees"
    assert judge("ok", 1e88, 1e-8, "float64", scale=1e99) == "differs"
    assert largest(weights(0.1, -3.0)) == 3.0
    assert largest(weights(0.1)) == largest(None) == 1.0


def test_the_tolerance_without_a_floor():
    assert (tolerance(None, "float64"), tolerance(None, "float32")) == (1e-12, 1e-4)


def test_reversed_rows_are_the_same_batches():
    batches = batches_of(SMALL)
    for rows, reversed_rows in zip(batches[1].batches(), ReversedRows(batches)[1].batches(), strict=True):
        assert rows.tolist() == reversed_rows.tolist()[::-1]


def test_reversed_inputs_are_the_same_network():
    X, _ = problem()
    start = start_of(SMALL)
    forwards = Reference(SMALL, start).logits(X)
    backwards = Reference(SMALL, reverse_inputs(SMALL.network, start)).logits(X[:, ::-1])
    assert backwards == pytest.approx(forwards, abs=1e-14)
    assert deviation(reverse_inputs(SMALL.network, reverse_inputs(SMALL.network, start)), start) == 0


def test_at_batch_size_one_the_floor_comes_from_the_reversed_inputs():
    config = vary(SMALL, batch_size=1)
    assert train_reference(config, start_of(config), batches_of(config), rows_of(config)).floor > 0


def test_without_hidden_layers_the_floor_comes_from_rows_and_columns():
    config = vary(SMALL, hidden=(), activation=())
    nudged = Reference(config, start_of(config), nudged=True)
    assert np.array_equal(nudged.logits(problem()[0]), Reference(config, start_of(config)).logits(problem()[0]))


def test_a_nudge_is_one_unit_in_the_last_place():
    X, _ = problem()
    plain, nudged = (Reference(SMALL, start_of(SMALL), nudged) for nudged in (False, True))
    plain, nudged = (hidden_units(each.layers, forward(each.layers, X))[0] for each in (plain, nudged))
    assert np.all(np.abs(nudged) < np.abs(plain))
    assert np.array_equal(np.nextafter(nudged, np.sign(plain) * 9), plain)


def test_a_chaotic_training_has_a_large_floor():
    config = vary(SMALL, hidden=(20, 20), activation=("tanh", "tanh"), learning_rate=4.0, l2=0.0, epochs=60)
    outcome = train_reference(config, start_of(config), batches_of(config), rows_of(config))
    assert outcome.weights is not None
    assert outcome.floor > 1e-6


def test_a_reference_that_diverges_has_no_weights():
    config = vary(SMALL, activation=("relu",), learning_rate=1e200, l2=1.0)
    outcome = train_reference(config, start_of(config), batches_of(config), rows_of(config))
    assert (outcome.weights, outcome.floor) == (None, None)


def test_masks_go_with_their_rows_and_their_columns():
    config = vary(SMALL, dropout=(0.3, 0.5))
    drawn = batches_of(config)[1]
    reversed_rows = ReversedRows(batches_of(config))[1]
    last = len(drawn.rows) - 1
    for mask, other in zip(drawn.step_masks(last), reversed_rows.step_masks(last), strict=True):
        assert mask.shape[0] == 5
        assert np.array_equal(mask[::-1], other)
    turned = ReversedInputs(batches_of(config), masks=1)[1]
    assert np.array_equal(turned.masks[0], drawn.masks[0][:, :, ::-1])
    assert np.array_equal(turned.masks[1], drawn.masks[1])


def test_the_floor_of_a_training_with_dropout_is_rounding():
    config = vary(SMALL, dropout=(0.3, 0.5))
    floor = train_reference(config, start_of(config), batches_of(config), rows_of(config)).floor
    assert 0 < floor < 1e-14
