"""The statistics of an explanation, on games whose answer is known."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.explaining.shares import (
    MOST_PLAYERS,
    diverging,
    gap,
    players,
    rest_counts,
    shapley,
    smallest_closing,
    standard_error,
)

SEEDS = 3
FINITE = st.floats(-1e3, 1e3, allow_nan=False)


def subsets(k):
    return [tuple(j for j in range(k) if subset >> j & 1) for subset in range(1 << k)]


def game(k, value, noise=0.0):
    """A game from a function of the set of players, one column a seed."""
    jitter = noise * np.arange(SEEDS)
    return np.array([[value(set(subset)) + one for one in jitter] for subset in subsets(k)], float)


@st.composite
def games(draw):
    k = draw(st.integers(1, 5))
    numbers = draw(st.lists(FINITE, min_size=SEEDS << k, max_size=SEEDS << k))
    return np.array(numbers).reshape(1 << k, SEEDS)


# -- the gap


def test_the_interval_is_student_s():
    """Of the differences 1, 2 and 3: mean 2, standard error 1 / sqrt(3), t(0.975, 2) = 4.303."""
    found = gap([0, 0, 0], [1, 2, 3])
    assert (found.mean, found.n) == (2, 3)
    assert found.half_width == pytest.approx(4.302652729911275 / math.sqrt(3))
    assert found.t == pytest.approx(2 * math.sqrt(3))
    assert not found.differs


def test_the_gap_is_paired_and_is_what_b_has_more():
    a = np.array([10.0, 20, 30, 40, 50])
    b = a + np.array([0.9, 1.0, 1.1, 1.0, 1.0])
    found = gap(a, b)
    assert found.differs
    assert found.low < 1 < found.high
    assert gap(b, a).mean == pytest.approx(-1)


def test_a_difference_that_two_standard_errors_would_claim_is_none_at_five_seeds():
    d = np.array([-1.0, 0, 0, 0, 1])
    b = d + 2.4 * standard_error(d)
    assert not gap(np.zeros(5), b).differs
    assert gap(np.zeros(5), d + 2.9 * standard_error(d)).differs


def test_equal_values_do_not_differ_and_a_constant_difference_does():
    assert not gap([1, 1], [1, 1]).differs
    assert gap([1, 1], [1.5, 1.5]).differs
    assert math.isinf(gap([1, 1], [1.5, 1.5]).t)


def test_what_rounding_makes_is_no_difference():
    assert not gap([1, 1, 1], [1 + 1e-15] * 3).differs


@pytest.mark.parametrize(
    ("a", "b"), [([1], [2]), ([1, 2], [1, 2, 3]), ([1, math.nan], [1, 2]), ([1, 2], [1, math.inf])]
)
def test_a_gap_needs_two_finite_pairs(a, b):
    with pytest.raises(ValueError, match="value"):
        gap(a, b)


# -- Shapley values


def test_the_shares_of_the_glove_game_are_known():
    """One left glove, two right ones, a pair is worth 1: the left one gets 2/3. Source: Shapley, 1953."""
    values = game(3, lambda s: float(0 in s and len(s) > 1))
    assert shapley(values)[:, 0] == pytest.approx([2 / 3, 1 / 6, 1 / 6])


def test_the_shares_are_the_mean_over_all_orders():
    values = np.random.default_rng(0).normal(size=(16, SEEDS))
    means = np.zeros((4, SEEDS))
    for order in itertools.permutations(range(4)):
        before = 0
        for j in order:
            means[j] += (values[before | 1 << j] - values[before]) / math.factorial(4)
            before |= 1 << j
    assert np.allclose(shapley(values), means)


@given(games())
@settings(deadline=None)
def test_the_shares_add_up_to_the_gap(values):
    assert np.allclose(shapley(values).sum(axis=0), values[-1] - values[0], atol=1e-9 * np.abs(values).max())


@given(games(), st.data())
@settings(deadline=None)
def test_a_player_that_changes_nothing_has_no_share(values, data):
    k = len(values).bit_length() - 1
    j = data.draw(st.integers(0, k - 1))
    for subset in range(len(values)):
        values[subset | 1 << j] = values[subset & ~(1 << j)]
    assert np.abs(shapley(values)[j]).max() == 0


@given(games(), st.data())
@settings(deadline=None)
def test_two_players_that_do_the_same_have_the_same_share(values, data):
    k = len(values).bit_length() - 1
    i, j = data.draw(st.integers(0, k - 1)), data.draw(st.integers(0, k - 1))
    for subset in range(len(values)):
        if (subset >> i & 1) and not subset >> j & 1:
            values[subset & ~(1 << i) | 1 << j] = values[subset]
    shares = shapley(values)
    assert np.allclose(shares[i], shares[j], atol=1e-9 * np.abs(values).max())


@given(games(), games())
@settings(deadline=None)
def test_the_shares_of_a_sum_are_the_sums_of_the_shares(first, second):
    if first.shape == second.shape:
        assert np.allclose(shapley(first + second), shapley(first) + shapley(second), atol=1e-8)


def test_a_game_has_a_power_of_two_of_subsets():
    with pytest.raises(ValueError, match="2\\*\\*k"):
        shapley(np.zeros((6, 2)))


# -- who plays


def ends(*pairs):
    return np.array([[a] * SEEDS for a, _ in pairs], float), np.array([[b] * SEEDS for _, b in pairs], float)


def test_what_has_little_effect_at_both_ends_is_the_rest():
    chosen, rest = players(*ends((1, 0.5), (0.019, -0.019), (0, -0.03), (0.01, 0), (-2, 0)))
    assert (chosen, rest) == ([4, 0], [1, 2, 3])


def test_an_effect_at_one_end_alone_is_enough_to_play():
    assert players(*ends((1, 0), (0, 1), (0.03, 0))) == ([0, 1, 2], [])


def test_at_most_six_play():
    chosen, rest = players(*ends(*((k, 0) for k in range(1, 9))))
    assert chosen == [7, 6, 5, 4, 3, 2]
    assert len(chosen) == MOST_PLAYERS
    assert rest == [0, 1]


def test_a_switch_that_diverges_plays_first():
    assert players(*ends((5, 1), (math.nan, 0), (0.01, 0))) == ([1, 0], [2])


def test_nobody_plays_where_nothing_has_an_effect():
    assert players(*ends((0, 0), (0, 0))) == ([], [0, 1])


def test_the_rest_counts_above_two_hundredths_of_the_largest_share():
    assert rest_counts(np.array([[1.0, 1], [0.021, 0.021]]))
    assert not rest_counts(np.array([[1.0, 1], [0.019, 0.019]]))


# -- the smallest set


def test_the_smallest_set_is_found_where_greed_takes_too_much():
    """Player 0 alone comes nearest, so greed begins with it; but 1 and 2 together close the gap, and no pair with 0."""
    worth = {(): 0, (0,): 6, (1,): 2, (2,): 2, (0, 1): 8, (0, 2): 8, (1, 2): 10, (0, 1, 2): 10}
    assert smallest_closing(game(3, lambda s: worth[tuple(sorted(s))])) == (1, 2)


def test_of_sets_of_one_size_the_one_with_the_smallest_residual_is_taken():
    worth = {(): 0, (0,): 9.9, (1,): 10.05, (0, 1): 10}
    assert smallest_closing(game(2, lambda s: worth[tuple(sorted(s))])) == (1,)


def test_what_goes_beyond_the_gap_does_not_close_it():
    """0 and 1 cancel: either alone goes far beyond."""
    assert smallest_closing(game(2, lambda s: 1.0 + 8 * (0 in s) - 7 * (1 in s))) == (0, 1)


def test_two_hundredths_of_the_gap_may_be_left():
    assert smallest_closing(game(2, lambda s: 10.0 * (0 in s) + 0.19 * (1 in s))) == (0,)
    assert smallest_closing(game(2, lambda s: 10.0 * (0 in s) + 0.21 * (1 in s))) == (0, 1)


def test_a_residual_within_its_own_noise_closes_the_gap():
    values = game(2, lambda s: 10.0 * (0 in s) + 1.0 * (1 in s))
    values[1] += [-0.9, 0.1, 0.8]
    assert smallest_closing(values) == (0,)


def test_a_residual_that_nothing_is_known_of_closes_nothing():
    values = game(2, lambda s: 10.0 * (0 in s) + 10.0 * (1 in s))
    values[1] += [-90, 0, 90]
    values[2] += [-80, 0, 80]
    assert smallest_closing(values) == (0, 1)


def test_a_mix_that_diverges_closes_nothing():
    values = game(2, lambda s: 10.0 * (0 in s))
    values[1, 2] = math.nan
    assert smallest_closing(values) == (0, 1)


def test_where_there_is_no_gap_nothing_closes_it():
    assert smallest_closing(game(2, lambda s: 0.0)) is None


@given(games())
@settings(deadline=None)
def test_no_smaller_set_closes_the_gap(values):
    found = smallest_closing(values)
    whole = gap(values[0], values[-1])
    assert (found is None) == (not whole.differs)
    for subset in subsets(len(values).bit_length() - 1):
        if found is None or not 0 < len(subset) < len(found):
            continue
        left = gap(values[sum(1 << j for j in subset)], values[-1])
        assert abs(left.mean) > 0.02 * abs(whole.mean)
        assert abs(left.mean) > left.half_width or abs(left.mean) + left.half_width >= abs(whole.mean) / 2


# -- what diverges


def test_the_players_whose_switch_makes_a_mix_diverge_are_named():
    values = game(3, lambda s: math.nan if {0, 2} <= s else 1.0)
    values[0b110] = math.nan
    assert diverging(values) == [2, 0, 1]
    assert diverging(game(3, lambda s: math.nan if 1 in s else 1.0)) == [1]
