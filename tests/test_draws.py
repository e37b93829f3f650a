"""What chance decides: once for all backends, from (seed, role, repeat) and nothing else."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.checks.problem import SMALL
from harness.contract import vary
from harness.data.prepared import Dataset, fit_scale, prepare
from harness.draws import recipe_2023 as legacy
from harness.draws.batches import draw_batches, scheduled
from harness.draws.recipe import BATCHES, SCHEDULES, Recipe
from harness.draws.splits import draw_split, share
from harness.draws.starts import draw_start

sizes = st.integers(2, 200)
fractions = st.floats(0, 0.4)


@given(n=sizes, test=fractions, validation=fractions, seed=st.integers(0, 99), classes=st.integers(1, 5))
def test_a_split_holds_every_row_once(n, test, validation, seed, classes):
    assume(share(n, test) + share(n, validation) <= n)
    rows = draw_split(n, test, validation, seed, 0, labels=np.arange(n) % classes)
    assert sorted([*rows.train, *rows.validation, *rows.test]) == list(range(n))
    assert len(rows.test) == share(n, test)
    assert len(rows.validation) == share(n, validation)


@given(counts=st.lists(st.integers(1, 60), min_size=2, max_size=5), test=fractions, validation=fractions)
def test_a_stratified_split_gives_every_class_its_share(counts, test, validation):
    labels = np.repeat(np.arange(len(counts)), counts)
    rows = draw_split(len(labels), test, validation, 0, 0, labels=labels)
    for part in (rows.test, rows.validation, rows.train):
        for label, count in enumerate(counts):
            fair = len(part) * count / len(labels)
            assert abs(np.sum(labels[part] == label) - fair) < 2


def test_a_split_without_labels_is_not_stratified():
    labels = np.repeat([0, 1], 50)
    shares = [np.mean(labels[draw_split(100, 0.2, 0.0, seed, 0).test]) for seed in range(20)]
    assert len(set(shares)) > 3


@given(n=sizes, folds=st.integers(2, 7), classes=st.integers(1, 4))
def test_folds_share_out_the_rows_that_are_not_for_testing(n, folds, classes):
    labels = np.arange(n) % classes
    parts = [draw_split(n, 0.2, 0.0, 0, 0, labels=labels, folds=folds, fold=fold) for fold in range(folds)]
    for rows in parts:
        assert np.array_equal(rows.test, parts[0].test)
        assert sorted([*rows.train, *rows.validation, *rows.test]) == list(range(n))
    assert sorted(np.concatenate([rows.validation for rows in parts])) == sorted(
        [*parts[0].train, *parts[0].validation]
    )
    lengths = [len(rows.validation) for rows in parts]
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize(("n", "fraction", "expected"), [(1797, 0.2, 360), (1797, 0.1, 180), (30, 0.1, 3), (7, 0.0, 0)])
def test_test_rows_are_rounded_up(n, fraction, expected):
    assert len(draw_split(n, fraction, 0.0, 0, 0).test) == expected


def epoch_of(n, batch=10, epoch=0, seed=0, repeat=0, dropout=(), **recipe):
    config = vary(SMALL, batch_size=batch, epochs=5, learning_rate=0.1, dropout=dropout)
    return draw_batches(config, Recipe(**recipe), n, seed, repeat)[epoch]


@given(n=sizes, batch=st.integers(1, 50), epoch=st.integers(0, 4), repeat=st.integers(0, 3))
def test_an_epoch_sees_every_row_once_and_keeps_the_short_batch(n, batch, epoch, repeat):
    drawn = epoch_of(n, batch, epoch, repeat=repeat)
    batches = drawn.batches()
    assert sorted(np.concatenate(batches)) == list(range(n))
    assert [len(rows) for rows in batches[:-1]] == [batch] * (math.ceil(n / batch) - 1)
    assert len(drawn.learning_rate) == len(batches)


def test_epochs_and_repeats_differ_and_each_is_the_same_every_time():
    for law in ("permutation", "independent", "replacement"):
        rows = epoch_of(50, epoch=3, batches=law).rows
        assert np.array_equal(rows, epoch_of(50, epoch=3, batches=law).rows)
        for other in ({"epoch": 4}, {"repeat": 1, "epoch": 3}, {"seed": 1, "epoch": 3}):
            assert not np.array_equal(rows, epoch_of(50, batches=law, **other).rows)


@given(n=st.integers(20, 60), batch=st.integers(2, 19))
def test_each_law_of_batches_does_what_its_name_says(n, batch):
    independent, replacement, in_order = (
        epoch_of(n, batch, batches=law).batches() for law in ("independent", "replacement", "in_order")
    )
    assert all(len(set(rows)) == len(rows) for rows in independent)
    assert np.concatenate(in_order).tolist() == list(range(n))
    expected = [len(rows) for rows in in_order]
    assert [len(rows) for rows in independent] == [len(rows) for rows in replacement] == expected


def test_draws_with_replacement_repeat_rows_and_independent_ones_forget_the_last_step():
    assert any(len(set(rows)) < len(rows) for rows in epoch_of(30, batches="replacement").batches())
    first, second, _ = epoch_of(30, batches="independent").batches()
    assert set(first) & set(second)


@given(n=st.integers(10, 100), batch=st.integers(1, 10), law=st.sampled_from(BATCHES))
def test_a_dropped_last_batch_is_not_there(n, batch, law):
    lengths = [len(rows) for rows in epoch_of(n, batch, batches=law, last_batch="drop").batches()]
    each = batch + 1 if law == "skipping" else batch  # the row that is left out is needed after all but the last
    assert lengths == [batch] * ((n + 1) // each if law == "skipping" else n // each)


@given(n=st.integers(10, 100), batch=st.integers(1, 10), law=st.sampled_from(BATCHES))
def test_a_merged_last_batch_takes_what_is_left(n, batch, law):
    kept = [len(rows) for rows in epoch_of(n, batch, batches=law).batches()]
    merged = [len(rows) for rows in epoch_of(n, batch, batches=law, last_batch="merge").batches()]
    short = kept[-1] if kept[-1] < batch else 0
    assert merged == ([*kept[:-2], batch + short] if short else kept)
    count = max(1, n // batch)
    numbered = [len(rows) for rows in epoch_of(n, n_batches=count, last_batch="merge").batches()]
    assert numbered == [n // count] * (count - 1) + [n // count + n % count]


@given(n=st.integers(3, 100), batch=st.integers(1, 10))
def test_skipping_leaves_one_row_out_after_each_batch(n, batch):
    rows = epoch_of(n, batch, batches="skipping").batches()
    assert np.concatenate(rows).tolist() == [row for row in range(n) if row % (batch + 1) != batch]


@pytest.mark.parametrize("law", ["bootstrap", "one_permutation"])
def test_an_order_that_is_drawn_once_is_the_same_in_every_epoch(law):
    first, second = (np.concatenate(epoch_of(50, 10, epoch=e, batches=law).batches()) for e in (0, 1))
    assert first.tolist() == second.tolist()
    assert (len(set(first)) < 50) == (law == "bootstrap")


@given(n=st.integers(10, 100), count=st.integers(1, 10))
def test_a_number_of_batches_is_met_exactly(n, count):
    batches = epoch_of(n, n_batches=count).batches()
    assert len(batches) == count
    assert sorted(np.concatenate(batches)) == list(range(n))
    assert max(map(len, batches)) - min(map(len, batches)) <= 1


def test_masks_keep_a_share_of_the_units_and_are_drawn_anew_each_epoch():
    dropout = (0.25, 0.5)
    inputs, units = epoch_of(2000, 100, dropout=dropout).masks
    assert (inputs.shape, units.shape) == ((20, 100, 5), (20, 100, 5))
    assert inputs.mean() == pytest.approx(0.75, abs=0.02)
    assert units.mean() == pytest.approx(0.5, abs=0.02)
    assert not np.array_equal(units, epoch_of(2000, 100, epoch=1, dropout=dropout).masks[1])
    assert len(epoch_of(20, dropout=(0.0, 0.5)).masks) == 1


# learning rate 2, steps 0, 3, 4 and 8 of 9, each worked out by hand
SCHEDULES_BY_HAND = {
    "constant": ({}, [2, 2, 2, 2]),
    "step": ({"decay_rate": 0.5, "decay_steps": 4}, [2, 2, 1, 0.5]),
    "exponential": ({"decay_rate": 0.25, "decay_steps": 8}, [2, 2 * 0.25**0.375, 1, 0.5]),
    "inverse_time": ({"decay_rate": 1.0, "decay_steps": 4}, [2, 2 / 1.75, 1, 2 / 3]),
    "cosine": ({"decay_steps": 8, "final_factor": 0.5}, [2, 1.5 + 0.5 * math.cos(math.pi * 3 / 8), 1.5, 1.0]),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_worked_out_by_hand(schedule):
    constants, expected = SCHEDULES_BY_HAND[schedule]
    recipe = Recipe(schedule=schedule, **constants)
    seen = scheduled(vary(SMALL, learning_rate=2.0), recipe, np.array([0, 3, 4, 8]), 9)
    assert seen == pytest.approx(expected, rel=1e-14)


def test_a_cosine_without_a_length_ends_with_the_training():
    config, recipe = vary(SMALL, learning_rate=1.0, epochs=4, batch_size=5), Recipe(schedule="cosine")
    rates = np.concatenate([draw_batches(config, recipe, 10, 0, 0)[epoch].learning_rate for epoch in range(4)])
    assert rates == pytest.approx([(1 + math.cos(math.pi * t / 8)) / 2 for t in range(8)])


# the standard deviation of one weight of a layer of 300 inputs and 500 units
SPREADS = {
    "glorot_uniform": math.sqrt(2 / 800),
    "glorot_normal": math.sqrt(2 / 800),
    "he_uniform": math.sqrt(2 / 300),
    "he_normal": math.sqrt(2 / 300),
    "lecun_uniform": math.sqrt(1 / 300),
    "lecun_normal": math.sqrt(1 / 300),
    "normal(0.3)": 0.3,
    "normal": 1.0,
    "truncated_normal(0.3)": 0.3 * 0.87962566,  # what is left of a normal's deviation between -2 and 2
    "uniform(0.3)": 0.3 / math.sqrt(3),
    "zeros": 0.0,
}


@pytest.mark.parametrize("init", SPREADS)
def test_a_start_has_the_spread_of_its_law(init):
    config = vary(SMALL, n_inputs=300, hidden=(), activation=(), n_outputs=500)
    (layer,) = draw_start(config, Recipe(init=init), 0, 0)
    assert np.std(layer["W"]) == pytest.approx(SPREADS[init], rel=0.01)
    assert np.all(layer["b"] == 0)
    bounds = {"truncated_normal(0.3)": 0.6, "uniform(0.3)": 0.3}
    assert np.abs(layer["W"]).max() <= bounds.get(init, math.inf)
    if init in bounds:
        assert np.abs(layer["W"]).max() > 0.99 * bounds[init]


def test_biases_are_zero_a_constant_or_normal():
    config = vary(SMALL, hidden=(400,))
    for bias, mean, spread in ((0.0, 0, 0), (0.25, 0.25, 0), ("normal(0.5)", 0, 0.5)):
        b = draw_start(config, Recipe(bias=bias), 0, 0)[0]["b"]
        assert b.mean() == pytest.approx(mean, abs=0.06)
        assert b.std() == pytest.approx(spread, rel=0.1)


def test_biases_may_keep_what_pytorch_draws_whatever_the_law_of_the_weights():
    config = vary(SMALL, hidden=(400,))
    start = draw_start(config, Recipe(init="normal(2)", bias="torch_uniform"), 0, 0)
    for (n_in, _), layer in zip(pairwise(config.network.units), start, strict=True):
        assert np.abs(layer["b"]).max() <= n_in**-0.5
    assert np.abs(start[0]["b"]).max() > 0.99 * config.network.units[0] ** -0.5
    assert start[0]["W"].std() == pytest.approx(2, rel=0.1)


def test_two_laws_of_one_repeat_are_images_of_the_same_draw():
    glorot, normal = (draw_start(SMALL, Recipe(init=init), 0, 0)[0]["W"] for init in ("glorot_uniform", "normal(2)"))
    assert np.array_equal(np.argsort(glorot.ravel()), np.argsort(normal.ravel()))


def test_batch_normalisation_starts_at_the_identity():
    hidden, norm, last = draw_start(vary(SMALL, batch_norm=True), Recipe(), 0, 0)
    assert (set(hidden), set(last)) == ({"W"}, {"W", "b"})
    assert [norm[key][0] for key in ("gamma", "beta", "mean", "variance")] == [1, 0, 0, 1]


def test_the_float32_start_is_the_float64_start_rounded():
    double, single = (draw_start(vary(SMALL, dtype=dtype), Recipe(), 0, 0) for dtype in ("float64", "float32"))
    for layer, rounded in zip(double, single, strict=True):
        assert np.array_equal(layer["W"].astype("float32"), rounded["W"])


def test_the_legacy_recipe_is_the_course_code_s():
    """Split, start and batches against the few lines of NumPy and scikit-learn that the course had."""
    from sklearn.model_selection import train_test_split

    np.random.seed(0)
    np.random.choice(np.arange(100), size=5)
    train, test = train_test_split(np.arange(100), train_size=0.8, test_size=1 - 0.8)
    rows = legacy.draw_split(100, 0.2, 0.0, 0, 0)
    assert (rows.train.tolist(), rows.test.tolist()) == (train.tolist(), test.tolist())

    config = vary(SMALL, n_inputs=4, hidden=(3,), n_outputs=2, batch_size=7, epochs=2)
    recipe = Recipe(init="normal(1)", bias=0.01, batches="independent", last_batch="drop")
    np.random.seed(0)
    weights = [np.random.randn(4, 3), np.random.randn(3, 2)]
    start = legacy.draw_start(config, recipe, 0, 0)
    assert all(
        np.array_equal(layer["W"], W) and np.all(layer["b"] == 0.01) for layer, W in zip(start, weights, strict=True)
    )
    batches = legacy.draw_batches(config, recipe, 80, 0, 0)
    for epoch in range(2):
        for rows in batches[epoch].batches():
            assert rows.tolist() == np.random.choice(np.arange(80), size=7, replace=False).tolist()
        assert len(batches[epoch].rows) == 80 // 7


def test_scaling_is_fitted_on_the_training_rows_alone():
    rng = np.random.default_rng(0)
    dataset = Dataset("d", rng.normal(5, 3, (40, 2)), np.arange(40) % 2, ("a", "b"))
    rows = draw_split(40, 0.25, 0.25, 0, 0)

    def scaled(scale):
        return prepare(dataset, rows, "multiclass", scale, "none", "float64")

    prepared = scaled("standard")
    assert prepared.train.X.mean(axis=0) == pytest.approx(0, abs=1e-12)
    assert prepared.train.X.std(axis=0) == pytest.approx(1)
    assert prepared.test.X.mean() != pytest.approx(0, abs=1e-3)
    minmax = scaled("minmax").train.X
    assert (minmax.min(axis=0), minmax.max(axis=0)) == (pytest.approx(0), pytest.approx(1))
    assert np.array_equal(scaled(16).test.X, dataset.X[prepared.test.rows] / 16)


@pytest.mark.parametrize("scale", ["minmax", "standard"])
def test_a_constant_column_is_scaled_by_one_and_named(scale):
    X = np.column_stack([np.arange(4.0), np.full(4, 7.0)])
    _, factor, constant = fit_scale(X, scale)
    assert factor[1] == 1
    assert constant.tolist() == [1]


def test_targets_of_a_regression_are_scaled_on_request_by_the_training_rows():
    rng = np.random.default_rng(0)
    dataset = Dataset("d", rng.normal(size=(40, 2)), rng.normal(100, 7, (40, 1)), ("t",), "regression")
    rows = draw_split(40, 0.25, 0.0, 0, 0)
    plain = prepare(dataset, rows, "regression", "none", "none", "float64")
    scaled = prepare(dataset, rows, "regression", "none", "standard", "float64")
    assert np.array_equal(plain.test.y, dataset.y[rows.test])
    assert (scaled.train.y.mean(), scaled.train.y.std()) == (pytest.approx(0, abs=1e-12), pytest.approx(1))
    assert scaled.test.y == pytest.approx((plain.test.y - plain.train.y.mean()) / plain.train.y.std())
