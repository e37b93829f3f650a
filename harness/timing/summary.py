"""From measurements to what may be said: one row for each backend, case and phase, with its ratio to the base."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from harness.registry import BY_DEFAULT
from harness.timing.intervals import median_interval, paired_ratio
from harness.timing.protocol import COLUMNS, Measurement

BASE = BY_DEFAULT[0]
CASE = ("mode", "threads", "dtype", "width", "depth", "batch_size", "rows")
"""The columns that make two timings comparable, beside the phase."""


def base_of(backends: Sequence[str]) -> str:
    """What others are compared with: numpy where it was timed, else the first backend."""
    return BASE if BASE in backends else backends[0]


def frame(measurements: Sequence[Measurement]) -> pd.DataFrame:
    """The measurements as rows; sizes that an import does not have are `<NA>`."""
    rows = pd.DataFrame([asdict(measurement) for measurement in measurements], columns=list(COLUMNS))
    return rows.astype(dict.fromkeys(("width", "depth", "batch_size", "rows", "repeat"), "Int64"))


def summarise(rows: pd.DataFrame, base: str) -> pd.DataFrame:
    """One row a backend, case and phase (or a backend and case that failed, without phase), in the order of `rows`.

    Beside the columns of the case: `n` repeats, `median`, `low` and `high` in seconds; `ratio`, `ratio_low`,
    `ratio_high` and `verdict` of the backend against `base`, paired by repeat; `speed` in 1e9 operations a second, in
    the phase "epoch" only.
    """
    keys = [*CASE, "backend", "phase", "status", "reason", "parity", "gflops", "peak"]
    grouped = rows.groupby(keys, sort=False, dropna=False)
    seconds = {tuple(map(str, key)): group["seconds"].tolist() for key, group in grouped}
    bases = {(*key[:7], key[8]): values for key, values in seconds.items() if key[7] == base}
    found: list[dict[str, Any]] = []
    for key, group in grouped:
        row: dict[str, Any] = dict(zip(keys, key, strict=True))
        if row["status"] == "ok":
            timings = group["seconds"].tolist()
            interval = median_interval(timings)
            row |= {"n": len(timings), "median": interval.median, "low": interval.low, "high": interval.high}
            row["confidence"] = interval.confidence
            against = bases.get((*map(str, key[:7]), row["phase"]))
            if against is not None and row["backend"] != base:
                ratio = paired_ratio(timings, against)
                row |= {"ratio": ratio.median, "ratio_low": ratio.low, "ratio_high": ratio.high}
                row["verdict"] = ratio.verdict
            if row["phase"] == "epoch":
                row["speed"] = row["gflops"] / interval.median
        found.append(row)
    columns = ["n", "median", "low", "high", "confidence", "ratio", "ratio_low", "ratio_high", "verdict", "speed"]
    return pd.DataFrame(found, columns=[*keys, *columns])
