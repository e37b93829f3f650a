"""The statistics of an explanation: whether there is a gap, whose share of it is whose, and what closes it.

A *game* holds a number for every subset of k players: `values`, `(2**k, seeds)`. In row `S`, a number whose bit `j` is
set where player `j` is in the subset, those players have B's conventions and the others A's: row 0 is A, the last B.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats  # type: ignore[import-untyped]

CONFIDENCE = 0.95
NEGLIGIBLE = 0.02
"""Of the largest effect: what has less at both ends is no player of its own. Of the gap: what may be left of it."""

MOST_PLAYERS = 6
"""Beside "the rest": the lattice of 7 players has 128 subsets."""

_ROUNDING = 1e-9  # of the values: what floating point itself makes of two ways to write one formula


@dataclass(frozen=True)
class Gap:
    """B less A, paired over seeds: the mean, its 95 % interval by Student's t, and whether that excludes 0."""

    mean: float
    low: float
    high: float
    t: float
    n: int
    differs: bool

    @property
    def half_width(self) -> float:
        """Half the interval."""
        return (self.high - self.low) / 2


def gap(a_values: Sequence[float] | np.ndarray, b_values: Sequence[float] | np.ndarray) -> Gap:
    """Decide whether A and B differ, from one finite value a seed of each.

    The interval is mean ± t(0.975, n - 1) s / sqrt(n), with s the standard deviation of the n paired differences. Two
    standard errors would claim a difference between equals in 11 % of all cases at 5 seeds; Student's t does in 5 %.
    Source: Student, "The probable error of a mean", 1908. Raises `ValueError` for fewer than two seeds, or for values
    that are not finite: a training that diverged has no loss.
    """
    a, b = np.asarray(a_values, np.float64), np.asarray(b_values, np.float64)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 2:
        raise ValueError(f"values of shapes {a.shape} and {b.shape}: needed are two or more of each, one a seed")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("a value that is not finite has no difference from another")
    mean, error = float((b - a).mean()), float((b - a).std(ddof=1)) / math.sqrt(len(a))
    half = half_width(error, len(a))
    rounding = _ROUNDING * float(max(np.abs(a).max(), np.abs(b).max()))
    t = mean / error if error > 0 else math.copysign(math.inf, mean) if mean else 0.0
    return Gap(mean, mean - half, mean + half, t, len(a), abs(mean) > max(half, rounding))


def half_width(error: float, n: int) -> float:
    """Half the 95 % interval of a mean over n seeds, from its standard error, by Student's t."""
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * error


def standard_error(values: np.ndarray) -> np.ndarray:
    """The standard error of the mean over the last axis, which are the seeds."""
    error: np.ndarray = values.std(axis=-1, ddof=1) / math.sqrt(values.shape[-1])
    return error


def players(alone_from_a: np.ndarray, alone_from_b: np.ndarray) -> tuple[list[int], list[int]]:
    """Which conventions play, largest effect first, and which make up "the rest", from their effects at both ends.

    Both `(conventions, seeds)`: what the metric changes by where one convention alone goes from A's value to B's, with
    all others as in A, and as in B. The rest are those whose mean effect is within 2 % of the largest at both ends,
    and whatever comes after the six largest. An effect that is not finite counts as the largest.
    """
    with np.errstate(invalid="ignore"):
        ends = np.abs(np.stack([alone_from_a.mean(axis=1), alone_from_b.mean(axis=1)]))
    effects = np.where(np.isfinite(ends), ends, np.inf).max(axis=0)
    finite = effects[np.isfinite(effects)]
    least = NEGLIGIBLE * finite.max(initial=0.0)
    order = [int(j) for j in np.argsort(-effects, kind="stable")]
    chosen = [j for j in order if effects[j] > least][:MOST_PLAYERS]
    return chosen, [j for j in range(len(effects)) if j not in chosen]


def shapley(values: np.ndarray) -> np.ndarray:
    """The exact Shapley value of every player for every seed, `(k, seeds)`; over the players they add up to the gap.

    A player's share is what its switch changes, averaged over every order in which the players can be switched:

        share_j = sum over S without j of |S|! (k - |S| - 1)! / k! (v(S with j) - v(S))

    Source: Shapley, "A value for n-person games", 1953.
    """
    k = _players_of(values)
    subsets = np.arange(len(values))
    sizes = np.array([subset.bit_count() for subset in range(len(values))])
    shares = np.empty((k, values.shape[1]))
    for j in range(k):
        without = subsets[(subsets >> j) & 1 == 0]
        weights = np.array([1 / (k * math.comb(k - 1, int(size))) for size in sizes[without]])
        shares[j] = weights @ (values[without | 1 << j] - values[without])
    return shares


def rest_counts(shares: np.ndarray) -> bool:
    """Whether the last player, "the rest", has more than 2 % of the largest share, `(k, seeds)`, after all.

    So it is where the largest effects are those of mixes that neither side is near to, beside which all else looks
    small, and cancel in the gap.
    """
    means = np.abs(shares.mean(axis=1))
    return bool(means[-1] > NEGLIGIBLE * means.max())


def smallest_closing(values: np.ndarray) -> tuple[int, ...] | None:
    """The smallest set of players whose switch in A closes the gap; None where there is no gap to close.

    It closes it where the mean residual, B less the switched A, is within 2 % of the gap, or within the half width of
    its own 95 % interval; an interval that reaches to half the gap tells too little for that. Every subset is looked
    at, since a set that is built one by one can be much too large. Of several of one size the one with the smallest
    residual; subsets that diverge in some seed are no candidates.
    """
    k = _players_of(values)
    whole = gap(values[0], values[-1])
    if not whole.differs:
        return None
    best: tuple[int, float, int] | None = None
    for subset in range(1, len(values)):
        if not np.isfinite(values[subset]).all():
            continue
        left = gap(values[subset], values[-1])
        noise = left.half_width if abs(left.mean) + left.half_width < abs(whole.mean) / 2 else 0.0
        if abs(left.mean) <= max(noise, NEGLIGIBLE * abs(whole.mean)):
            found = (subset.bit_count(), abs(left.mean), subset)
            best = found if best is None else min(best, found)
    assert best is not None  # all players together leave nothing
    return tuple(j for j in range(k) if best[2] >> j & 1)


def diverging(values: np.ndarray) -> list[int]:
    """The players whose switch makes a finite training diverge, or a diverging one finite, most frequent first."""
    k = _players_of(values)
    finite = np.isfinite(values)
    subsets = np.arange(len(values))
    changes = []
    for j in range(k):
        without = subsets[(subsets >> j) & 1 == 0]
        changes.append(int((finite[without] != finite[without | 1 << j]).sum()))
    return [j for j in sorted(range(k), key=lambda j: -changes[j]) if changes[j]]


def _players_of(values: np.ndarray) -> int:
    k = len(values).bit_length() - 1
    if len(values) != 1 << k:
        raise ValueError(f"{len(values)} values a seed: a game of k players has 2**k subsets")
    return k
