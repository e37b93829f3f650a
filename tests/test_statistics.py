import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from reports import statistics
from reports.statistics import A_HIGHER, B_HIGHER, NOT_COMPARABLE, NOT_SHOWN, cell_statistics, epochs_to, holm, paired
from reports.study import Study


def study(tables, column="test_loss", curves=None):
    """A study of one axis: of each backend a table (cells, seeds); NaN did not finish, None was not planned."""
    records = []
    for backend, table in tables.items():
        for cell, seed in itertools.product(range(len(table)), range(len(table[0]))):
            value = table[cell][seed]
            if value is not None:
                records.append(
                    {
                        "trial_id": f"{backend}-{cell}-{seed}",
                        "backend": backend,
                        "mode": "native",
                        "seed": seed,
                        "status": "diverged" if math.isnan(value) else "ok",
                        "task": "multiclass",
                        "case": cell,
                        column: value,
                    }
                )
    curves = pd.DataFrame(columns=["trial_id", "epoch"]) if curves is None else curves
    n = max(len(table) for table in tables.values())
    return Study("s", "s", pd.DataFrame(records), {"case": list(range(n))}, curves, {}, [])


def compare(a, b, column="test_loss"):
    return paired(study({"a": a, "b": b}, column), "native", "a", "b", column)


losses = st.floats(0.01, 10).map(lambda value: round(value, 6))
tables = st.integers(2, 6).flatmap(
    lambda seeds: st.integers(1, 8).flatmap(
        lambda cells: st.tuples(
            *[
                st.lists(
                    st.lists(st.one_of(losses, st.just(math.nan)), min_size=seeds, max_size=seeds),
                    min_size=cells,
                    max_size=cells,
                )
            ]
            * 2
        )
    )
)


@settings(max_examples=40, deadline=None)
@given(tables)
def test_differences_are_those_of_a_paired_t_test_over_the_seeds_that_both_finished(pair):
    a, b = map(np.array, pair)
    found = paired(study({"a": a.tolist(), "b": b.tolist()}), "native", "a", "b", "test_loss")
    for row, x, y in zip(found.itertuples(), a, b, strict=True):
        both = ~np.isnan(x) & ~np.isnan(y)
        d = (x - y)[both]
        assert (row.n, row.planned) == (len(d), len(x))
        assert math.isnan(row.difference) if not len(d) else row.difference == pytest.approx(d.mean(), abs=1e-12)
        if len(d) < 2:
            assert row.shown == NOT_COMPARABLE
            assert all(math.isnan(value) for value in (row.low, row.high, row.p, row.p_holm))
        elif d.std() > 1e-6:
            expected = stats.ttest_rel(x[both], y[both])
            interval = expected.confidence_interval(0.95)
            assert row.p == pytest.approx(expected.pvalue, rel=1e-6)
            assert (row.low, row.high) == pytest.approx((interval.low, interval.high), rel=1e-6, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(tables)
def test_the_other_way_round_every_sign_turns_and_every_probability_stays(pair):
    there, back = compare(*pair), compare(*reversed(pair))
    for one, other in (("difference", "difference"), ("low", "high"), ("high", "low")):
        np.testing.assert_allclose(there[one], -back[other], atol=1e-12)
    np.testing.assert_allclose(there["p_holm"], back["p_holm"])
    turned = {A_HIGHER: B_HIGHER, B_HIGHER: A_HIGHER}
    assert [turned.get(word, word) for word in there["shown"]] == list(back["shown"])


@settings(max_examples=40, deadline=None)
@given(tables)
def test_a_difference_is_shown_only_with_a_corrected_probability_below_5_percent_and_an_interval_without_0(pair):
    found = compare(*pair)
    shown = found["shown"].isin([A_HIGHER, B_HIGHER])
    assert list(shown) == list(found["p_holm"] < 0.05)
    assert (found["p_holm"].dropna() >= found["p"].dropna()).all()
    for row in found[shown].itertuples():
        assert (row.low > 0) if row.shown == A_HIGHER else (row.high < 0)


def test_probabilities_are_corrected_step_down_by_hand():
    # the smallest times 4, the next times 3, …; never below the one before it, never above 1; NaN does not count
    corrected = holm(np.array([0.02, 0.005, math.nan, 0.04, 0.9]))
    assert corrected == pytest.approx([0.06, 0.02, math.nan, 0.08, 0.9], nan_ok=True)
    assert holm(np.array([0.03, 0.025, 0.02])) == pytest.approx([0.06, 0.06, 0.06])
    assert holm(np.array([0.6, 0.7])) == pytest.approx([1.0, 1.0])
    assert len(holm(np.array([]))) == 0


def test_by_hand_four_seeds():
    # differences 1, 2, 3, 2: mean 2, standard deviation √(2/3), error √(2/3)/2, t(0.975, 3) = 3.182446
    (row,) = compare([[2.0, 4.0, 6.0, 8.0]], [[1.0, 2.0, 3.0, 6.0]]).itertuples()
    reach = 3.182446 * math.sqrt(2 / 3) / 2
    assert (row.n, row.planned, row.difference) == (4, 4, 2.0)
    assert (row.low, row.high) == pytest.approx((2 - reach, 2 + reach), rel=1e-6)
    assert row.p == pytest.approx(0.0162776, rel=1e-4)
    assert row.shown == A_HIGHER


def test_the_more_cells_are_compared_the_more_each_has_to_show():
    one, other = [2.0, 4.0, 6.0, 8.0], [1.0, 2.0, 3.0, 6.0]
    noise = [[1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 4.0, 3.0]]
    alone = compare([one], [other])
    among = compare([one] + 3 * [noise[0]], [other] + 3 * [noise[1]])
    assert (alone["shown"][0], among["shown"][0]) == (A_HIGHER, NOT_SHOWN)
    assert among["p"][0] == alone["p"][0]
    assert among["p_holm"][0] == pytest.approx(4 * alone["p"][0])
    assert among["low"][0] == alone["low"][0] > 0  # the interval is that of the cell alone


def test_a_seed_that_did_not_finish_is_counted_and_not_imputed():
    nan = math.nan
    found = compare([[1.0, 2.0, nan], [1.0, nan, 3.0], [nan, nan, 1.0]], [[2.0, 2.5, 0.0], [nan, 1.0, 2.0], [nan] * 3])
    assert list(found["n"]) == [2, 1, 0]
    assert list(found["planned"]) == [3, 3, 3]
    assert list(found["difference"][:2]) == [-0.75, 1.0]
    assert math.isnan(found["difference"][2])
    assert list(found["shown"]) == [NOT_SHOWN, NOT_COMPARABLE, NOT_COMPARABLE]


def test_a_number_that_a_failed_trial_left_behind_counts_for_nothing():
    made = study({"a": [[1.0, 2.0, 3.0]], "b": [[0.5, 1.0, 9.0]]})
    made.rows.loc[made.rows["seed"] == 2, "status"] = "diverged"
    assert list(cell_statistics(made, "native", "b", "test_loss").loc[0]) == [
        2,
        3,
        0.75,
        pytest.approx(math.sqrt(1 / 8)),
    ]
    assert paired(made, "native", "a", "b", "test_loss")["difference"][0] == 0.75


def test_a_cell_that_was_planned_for_one_backend_only_is_not_comparable():
    found = compare([[1.0, 2.0]], [[None, None]])
    assert list(found.loc[0, ["n", "planned", "shown"]]) == [0, 0, NOT_COMPARABLE]


def test_mean_and_standard_deviation_are_those_of_the_trials_that_finished():
    made = study({"a": [[1.0, 2.0, 6.0], [4.0, math.nan, math.nan], [math.nan] * 3, [1.0, None, 2.0]]})
    found = cell_statistics(made, "native", "a", "test_loss")
    assert list(found["n"]) == [3, 1, 0, 2]
    assert list(found["planned"]) == [3, 3, 3, 2]
    assert list(found["mean"]) == pytest.approx([3.0, 4.0, math.nan, 1.5], nan_ok=True)
    assert list(found["std"]) == pytest.approx([math.sqrt(7), math.nan, math.nan, math.sqrt(0.5)], nan_ok=True)


def test_what_is_equal_in_all_seeds_is_no_difference():
    found = compare([[0.25, 0.5, 0.75]], [[0.25, 0.5, 0.75]])
    assert list(found.loc[0]) == [3, 3, 0.0, 0.0, 0.0, 1.0, 1.0, NOT_SHOWN]


def test_rounding_is_no_difference_however_regular():
    a = np.array([[0.3, 0.2, 0.7, 0.4, 0.6], [300.0, 200.0, 0.5, 20.0, 1.0]])
    found = compare((a * (1 + 1e-12)).tolist(), a.tolist())
    assert list(found["difference"]) == list(found["low"]) == list(found["high"]) == [0.0, 0.0]
    assert list(found["shown"]) == [NOT_SHOWN, NOT_SHOWN]
    assert compare([[0.5 + 1e-14] * 5], [[0.5] * 5])["shown"][0] == NOT_SHOWN
    # a huge value elsewhere does not make a small difference into rounding
    found = compare((a + np.array([[1e-3], [1e15]])).tolist(), a.tolist())
    assert found["difference"][0] == pytest.approx(1e-3)


def test_one_answer_more_in_each_of_two_seeds_shows_nothing():
    # of 36 test rows: a coincidence that two random networks have every fifth time
    found = compare([[20 / 36, 25 / 36]], [[19 / 36, 24 / 36]], "test_accuracy")
    assert found["p"][0] == pytest.approx(2 * stats.t.sf(math.sqrt(6 * 2), 1))
    assert found["shown"][0] == NOT_SHOWN
    assert found["low"][0] < 0 < found["high"][0]


def test_the_same_large_difference_in_every_seed_is_shown():
    found = compare([[1.0] * 5, [0.75] * 5], [[0.5] * 5, [0.5, 0.75, 0.5, 0.5, 0.5]], "test_accuracy")
    assert found["shown"][0] == A_HIGHER
    assert 0 < found["low"][0] < 0.5 < found["high"][0]


def test_equal_differences_show_something_as_seldom_as_their_probability_says():
    random = np.random.default_rng(0)
    for seeds in (2, 3, 5):
        a, b = random.binomial(36, 0.9, (2, 1500, seeds)) / 36
        found = compare(a.tolist(), b.tolist(), "test_accuracy")
        assert (found["p"] < 0.05).mean() < 0.06
        assert (found["shown"].isin([A_HIGHER, B_HIGHER])).sum() <= 1


def curves(**scores):
    parts = [pd.DataFrame({"trial_id": name, "epoch": range(len(values)), "test_accuracy": values})
             for name, values in scores.items()]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def test_the_first_epoch_at_a_score_is_found_in_the_whole_curve():
    made = study(
        {"a": [[0.9, 0.9, 0.9]], "b": [[0.9, 0.9, None]]},
        "test_accuracy",
        curves(**{"a-0-0": [0.1, 0.95, 0.2, 0.99], "a-0-1": [0.1, 0.2, 0.9499, 0.94], "b-0-0": [0.96, 0.5]}),
    )
    found = epochs_to(made, "test_accuracy")
    assert dict(found.fillna(-1)) == {"a-0-0": 1, "a-0-1": -1, "b-0-0": 0}
    assert epochs_to(made, "test_accuracy", 0.2)["a-0-1"] == 1
    assert len(epochs_to(made, "validation_accuracy")) == 0
    rows = statistics.with_epochs_to(made).rows.set_index("trial_id")
    assert list(rows.columns[-1:]) == ["test_epochs_to_95"]
    assert rows["test_epochs_to_95"].fillna(-1).to_dict() == {
        "a-0-0": 1,
        "a-0-1": -1,
        "a-0-2": -1,
        "b-0-0": 0,
        "b-0-1": -1,
    }
