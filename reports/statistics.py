"""What the seeds say: the spread of a cell, and differences between two backends, seed by seed.

All backends share the split of a seed (in mode controlled its start and batches too), so they are compared in pairs:
the difference of two backends is taken within each seed, and its noise is the spread of these differences. A seed in
which one of the two did not finish has no difference; it is counted (`n` of `planned`), never imputed.

What is inferred holds for this data set and other draws of split, start and batches: repeated splits of one data set,
and folds even more, share rows, so that for other data of the same kind the intervals are too narrow (Nadeau and
Bengio, "Inference for the generalization error", 2003).
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import stats

from reports.study import SPLITS, Study, score_of

LEVEL = 0.05
"""The probability with which *any* cell of a comparison shows a difference where none of them has one."""

TARGET = 0.95
"""The score whose first epoch is asked for."""

ROUNDING = 1e-9
"""Values that differ by at most this, relative to the larger one, are equal: what differs is rounding."""

A_HIGHER, B_HIGHER, NOT_SHOWN, NOT_COMPARABLE = "a higher", "b higher", "no difference shown", "not comparable"


def cell_statistics(study: Study, mode: str, backend: str, column: str) -> pd.DataFrame:
    """One row a cell, in the order of `study.positions`: `n, planned, mean, std`.

    `n` of the `planned` trials finished and have a value; `mean` and `std`, the sample standard deviation (ddof 1), are
    taken over these. NaN where `n` is too small: 0 for the mean, below 2 for the standard deviation.
    """
    found, planned = _table(study, mode, backend, column)
    n = np.isfinite(found).sum(axis=1)
    mean, std = _moments(found)
    return pd.DataFrame({"n": n, "planned": planned.sum(axis=1), "mean": mean, "std": std})


def paired(study: Study, mode: str, a: str, b: str, column: str) -> pd.DataFrame:
    """Backend `a` minus backend `b`, one row a cell in the order of `study.positions`.

    | column | what it is |
    |---|---|
    | `n`, `planned` | the seeds in which both finished with a value, of those planned for both |
    | `difference` | the mean of `a - b` over these seeds; NaN without any |
    | `low`, `high` | its 95 % interval of Student's t, n - 1 degrees of freedom; NaN below two seeds |
    | `p` | of the paired t test, two-sided; NaN below two seeds |
    | `p_holm` | corrected over the cells of this comparison (Holm, 1979) |
    | `shown` | "a higher" or "b higher" where `p_holm` < 0.05, else "no difference shown"; "not comparable" below two |

    The interval is that of its own cell alone: it may leave out 0 where, over all cells, no difference is shown.

    Equal in all seeds: the interval is 0 alone, and `p` is 1. The same difference other than 0 in all seeds: then the
    spread of the sample is 0 too, but says nothing, since scores are counts of answers, and one answer more in each of
    a few seeds is a common coincidence. There the standard deviation is that of rounding to a step: each value is known
    to one step, with the variance step² / 12 (Sheppard), and the difference has twice that. The step is the smallest
    distance between two values of this comparison.
    """
    (first, planned_a), (second, planned_b) = (_table(study, mode, name, column) for name in (a, b))
    differences = first - second
    known = np.isfinite(differences)
    n = known.sum(axis=1)
    size = np.maximum(np.abs(first), np.abs(second))
    rounding = ROUNDING * np.where(known, size, 0.0)
    differences[np.abs(differences) <= rounding] = 0.0
    mean, std = _moments(differences)
    std = np.where((std <= rounding.max(axis=1)) & (mean != 0), _step(first, second) / np.sqrt(6), std)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = std / np.sqrt(n)
        t = np.where(mean == 0, 0.0, np.abs(mean) / error)
        p = np.where(n < 2, np.nan, 2 * stats.t.sf(t, n - 1))
        reach = np.where(n < 2, np.nan, stats.t.ppf(0.975, n - 1) * error)
    p_holm = holm(p)
    shown = np.select([n < 2, p_holm >= LEVEL, mean > 0], [NOT_COMPARABLE, NOT_SHOWN, A_HIGHER], default=B_HIGHER)
    return pd.DataFrame(
        {
            "n": n,
            "planned": (planned_a & planned_b).sum(axis=1),
            "difference": mean,
            "low": mean - reach,
            "high": mean + reach,
            "p": p,
            "p_holm": p_holm,
            "shown": shown,
        }
    )


def holm(p: np.ndarray) -> np.ndarray:
    """Probabilities corrected for their number, step down (Holm, 1979); NaN stays, and does not count."""
    corrected = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    ascending = known[np.argsort(p[known], kind="stable")]
    steps = p[ascending] * np.arange(len(ascending), 0, -1)
    corrected[ascending] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected


def epochs_to(study: Study, column: str, level: float = TARGET) -> pd.Series:
    """The first epoch at which the curve `column` of a trial reaches `level`, by `trial_id`; 0 is before training.

    NaN where it never does; a trial without such a curve is not in it.
    """
    if column not in study.curves:
        return pd.Series(dtype=float)
    curves = study.curves[study.curves[column].notna()]
    epochs = curves["epoch"].where(curves[column] >= level)
    return epochs.groupby(curves["trial_id"], sort=False).min().astype(float)


def with_epochs_to(study: Study) -> Study:
    """The study with the columns `train_epochs_to_95`, …: `epochs_to` of each trial's score, accuracy or R².

    A split of which there is no curve gets no column.
    """
    scores, columns = study.rows["task"].map(score_of), {}
    for split in SPLITS:
        found = {name: epochs_to(study, f"{split}_{name}") for name in study.scores}
        if any(len(epochs) for epochs in found.values()):
            each = [study.rows["trial_id"].map(epochs).where(scores == name) for name, epochs in found.items()]
            columns[f"{split}_epochs_to_{100 * TARGET:.0f}"] = pd.concat(each, axis=1).max(axis=1)
    return replace(study, rows=study.rows.assign(**columns))


def _table(study: Study, mode: str, backend: str, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Of every cell and seed the value, NaN where there is none, and whether a trial was planned."""
    seeds = {seed: i for i, seed in enumerate(sorted(study.rows["seed"].unique()))}
    cells = study.cells(mode, backend)
    found = np.full((len(cells), len(seeds)), np.nan)
    planned = np.zeros(found.shape, dtype=bool)
    for i, cell in enumerate(cells):
        for row in cell.rows:
            at = i, seeds[row["seed"]]
            planned[at] = True
            if row["status"] == "ok" and row.get(column) is not None:
                found[at] = row[column]
    return found, planned


def _moments(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sample standard deviation of each row over what is finite; NaN where there is too little."""
    known = np.isfinite(table)
    n = known.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        mean = np.where(known, table, 0.0).sum(axis=1) / n
        squares = np.where(known, table - mean[:, None], 0.0) ** 2
        std = np.sqrt(np.where(n < 2, np.nan, squares.sum(axis=1) / (n - 1)))
    return mean, std


def _step(first: np.ndarray, second: np.ndarray) -> float:
    """The smallest distance between two values that is more than rounding; 0 where all are equal."""
    known = np.unique(np.concatenate([first[np.isfinite(first)], second[np.isfinite(second)]]))
    gaps = np.diff(known)
    gaps = gaps[gaps > ROUNDING * np.maximum(np.abs(known[1:]), np.abs(known[:-1]))]
    return float(gaps.min(initial=np.inf)) if len(gaps) else 0.0
