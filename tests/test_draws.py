"""What chance decides: once for all backends, from (seed, role, repeat) and nothing else."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data import Dataset, fit_scale, prepare
from harness.draws import INITS, Permutations, draw_split, draw_start

sizes = st.integers(2, 200)


@given(n=sizes, test=st.floats(0, 0.4), validation=st.floats(0, 0.4), seed=st.integers(0, 99), repeat=st.integers(0, 9))
def test_a_split_holds_every_row_once(n, test, validation, seed, repeat):
    rows = draw_split(n, test, validation, seed, repeat)
    assert sorted([*rows.train, *rows.validation, *rows.test]) == list(range(n))


@pytest.mark.parametrize(("n", "fraction", "expected"), [(1797, 0.2, 360), (1797, 0.1, 180), (30, 0.1, 3), (7, 0.0, 0)])
def test_test_rows_are_rounded_up(n, fraction, expected):
    assert len(draw_split(n, fraction, 0.0, 0, 0).test) == expected


@given(n=sizes, batch=st.integers(1, 50), epoch=st.integers(0, 4), repeat=st.integers(0, 3))
def test_an_epoch_sees_every_row_once_and_keeps_the_short_batch(n, batch, epoch, repeat):
    drawn = Permutations(n, batch, 5, 0.1, 0, repeat)[epoch]
    batches = drawn.batches()
    assert sorted(np.concatenate(batches)) == list(range(n))
    assert [len(rows) for rows in batches[:-1]] == [batch] * (math.ceil(n / batch) - 1)
    assert len(drawn.learning_rate) == len(batches)


def test_epochs_and_repeats_differ_and_each_is_the_same_every_time():
    batches = Permutations(50, 10, 5, 0.1, 0, 0)
    assert np.array_equal(batches[3].rows, batches[3].rows)
    assert not np.array_equal(batches[3].rows, batches[4].rows)
    assert not np.array_equal(batches[3].rows, Permutations(50, 10, 5, 0.1, 0, 1)[3].rows)
    assert not np.array_equal(batches[3].rows, Permutations(50, 10, 5, 0.1, 1, 0)[3].rows)


@pytest.mark.parametrize("init", INITS)
def test_a_start_has_the_spread_of_its_paper(init):
    n_in, n_out = 300, 500
    start = draw_start((n_in, n_out), init, "float64", 0, 0)
    variance = {"glorot": 2 / (n_in + n_out), "he": 2 / n_in, "lecun": 1 / n_in}[init.split("_")[0]]
    assert np.std(start[0]["W"]) == pytest.approx(math.sqrt(variance), rel=0.01)
    assert np.all(start[0]["b"] == 0)


def test_the_float32_start_is_the_float64_start_rounded():
    double, single = (draw_start((5, 4, 3), "glorot_uniform", dtype, 0, 0) for dtype in ("float64", "float32"))
    for layer, rounded in zip(double, single, strict=True):
        assert np.array_equal(layer["W"].astype("float32"), rounded["W"])


def test_scaling_is_fitted_on_the_training_rows_alone():
    rng = np.random.default_rng(0)
    dataset = Dataset("d", rng.normal(5, 3, (40, 2)), np.arange(40) % 2, ("a", "b"))
    kwargs = {"test_fraction": 0.25, "validation_fraction": 0.25, "dtype": "float64", "seed": 0, "repeat": 0}
    prepared = prepare(dataset, scale="standard", **kwargs)
    assert prepared.train.X.mean(axis=0) == pytest.approx(0, abs=1e-12)
    assert prepared.train.X.std(axis=0) == pytest.approx(1)
    assert prepared.test.X.mean() != pytest.approx(0, abs=1e-3)
    minmax = prepare(dataset, scale="minmax", **kwargs).train.X
    assert (minmax.min(axis=0), minmax.max(axis=0)) == (pytest.approx(0), pytest.approx(1))
    assert np.array_equal(prepare(dataset, scale=16, **kwargs).test.X, dataset.X[prepared.test.rows] / 16)


@pytest.mark.parametrize("scale", ["minmax", "standard"])
def test_a_constant_column_is_scaled_by_one_and_named(scale):
    X = np.column_stack([np.arange(4.0), np.full(4, 7.0)])
    _, factor, constant = fit_scale(X, scale)
    assert factor[1] == 1
    assert constant.tolist() == [1]
