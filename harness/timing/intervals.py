"""What repeated timings can say: a median with its interval, and whether two series of timings differ.

Intervals come from order statistics, so nothing is assumed of the noise but that repeats are exchangeable: of n values
the number below the true median is binomial with p = 1/2, hence the interval from the k-th smallest to the k-th
largest holds it with probability `1 - 2 P(B(n, 1/2) < k)`. Seven repeats give smallest to largest, 98.4 %.
Source: Conover, "Practical Nonparametric Statistics", 3rd edition, section 3.2; Hoefler and Belli, "Scientific
Benchmarking of Parallel Computing Systems", 2015.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import binom  # type: ignore[import-untyped]

CONFIDENCE = 0.95
"""What an interval reaches at least."""

Claim = Literal["faster", "slower", "no difference"]


@dataclass(frozen=True)
class Interval:
    """A median, in the unit of the values, and an interval around it that holds the true one with `confidence`."""

    median: float
    low: float
    high: float
    confidence: float


@dataclass(frozen=True)
class Ratio:
    """How many times as long A took as B: the median of the paired ratios, its interval, and what may be claimed.

    `verdict` speaks of A: "slower" where the whole interval lies above 1, "faster" where it lies below, otherwise "no
    difference".
    """

    median: float
    low: float
    high: float
    confidence: float
    verdict: Claim


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """The median and the narrowest interval of two order statistics, equally far in, of at least this confidence.

    `Interval.confidence` is what the interval has in truth. Raises `ValueError` for values that are not finite and for
    too few of them: six are needed for 95 %.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = len(ordered)
    if not np.isfinite(ordered).all():
        raise ValueError("an interval needs finite values")
    ranks = np.arange(1, (n + 1) // 2 + 1)
    reached = 1 - 2 * binom.cdf(ranks - 1, n, 0.5)
    enough = ranks[reached >= confidence]
    if not len(enough):
        raise ValueError(f"{n} values cannot give an interval of {100 * confidence:g} %")
    k = int(enough[-1])
    return Interval(float(np.median(ordered)), float(ordered[k - 1]), float(ordered[n - k]), float(reached[k - 1]))


def paired_ratio(a: Sequence[float], b: Sequence[float], confidence: float = CONFIDENCE) -> Ratio:
    """A against B, where `a[i]` and `b[i]` (positive) were measured in the same repeat.

    Dividing within a repeat takes out what drifts from repeat to repeat: a machine that heats up, a neighbour's job.
    Raises `ValueError` where the two are not pairs, and what `median_interval` raises.
    """
    if len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} timings are no pairs")
    if min(*a, *b) <= 0:
        raise ValueError("a ratio needs timings above 0")
    found = median_interval(np.divide(a, b).tolist(), confidence)
    verdict: Claim = "slower" if found.low > 1 else "faster" if found.high < 1 else "no difference"
    return Ratio(found.median, found.low, found.high, found.confidence, verdict)
