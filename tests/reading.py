"""What a store holds, by plain SQL, and whether a text is one of its numbers: nothing of `reports` is used."""

import io
import json
import math
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

_UNITS = {"": 1.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6}
_METRICS = ("accuracy", "loss", "auc", "f1", "mse", "mae", "r2")
_NUMBER = re.compile(r"([+−-]?)(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?(?: (s|ms|µs))?")


def stored(database: Path) -> pd.DataFrame:
    """A row a planned trial: `planned` and `trials` joined, with a column for every metric, axis and setting.

    The file stands in its `attrs`.
    """
    with closing(sqlite3.connect(database)) as connection:
        rows = pd.read_sql(
            "SELECT planned.*, trials.* FROM planned LEFT JOIN trials USING (trial_id) ORDER BY seed, position, mode",
            connection,
        )
    rows = rows.loc[:, ~rows.columns.duplicated()]
    rows["status"] = rows["status"].fillna("pending")
    names = [f"{part}_{name}" for part in ("train", "validation", "test") for name in _METRICS]
    texts = rows.pop("metrics").fillna("{}")  # a pending trial has none
    metrics = pd.DataFrame([json.loads(text) for text in texts]).reindex(columns=names)
    settings = pd.DataFrame([json.loads(text) for text in rows.pop("settings")])
    cells = pd.DataFrame([json.loads(text) for text in rows.pop("cell")])
    settings = settings[[name for name in settings if name not in cells]]
    found = pd.concat([rows, metrics.astype(float), cells, settings], axis=1)
    found.attrs["database"] = database
    return found


def shows(text: str, value: float, significant: int | None = None) -> bool:
    """Whether `text` is `value`, rounded to the digits that are shown; or to so many significant ones, less zeros."""
    if value is None or math.isnan(value):
        return text == "–"
    if math.isinf(value):
        return text == ("∞" if value > 0 else "-∞")
    found = _NUMBER.fullmatch(text)
    if found is None:
        return False
    sign, whole, fraction, exponent, unit = found.groups(default="")
    size = _UNITS[unit] * 10.0 ** int(exponent or 0)
    read = float(f"{whole}.{fraction or 0}") * size * (-1 if sign in ("−", "-") else 1)
    step = size * 10.0 ** -len(fraction)
    if significant is not None and value:
        step = min(step, 10.0 ** (math.floor(math.log10(abs(value))) + 1 - significant))
    return abs(read - value) <= step * (0.5 + 1e-9)


def artefact(database: Path, kind: str, trial_id: str) -> dict[str, np.ndarray]:
    """The stored arrays of a trial; none where there are none."""
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute(
            "SELECT payload FROM artefacts WHERE kind = ? AND trial_id = ?", (kind, trial_id)
        ).fetchone()
    if found is None:
        return {}
    with np.load(io.BytesIO(found[0]), allow_pickle=False) as arrays:
        return dict(arrays)


def best_cell(rows: pd.DataFrame) -> pd.DataFrame:
    """Of one backend in one mode the trials of its best cell: all ok, none chaotic, the highest validation accuracy."""
    cells = [cell for _, cell in rows.groupby("position") if (cell["status"] == "ok").all()]
    calm = [cell for cell in cells if not (cell["verdict"] == "chaotic").any()]
    return max(calm, key=lambda cell: (cell["validation_accuracy"].mean(), -cell["validation_loss"].mean()))


def paired(mine: pd.DataFrame, theirs: pd.DataFrame, column: str) -> np.ndarray:
    """The differences over the seeds in which both finished, the first minus the second."""
    both = mine[mine["status"] == "ok"].merge(theirs[theirs["status"] == "ok"], on="seed")
    apart = (both[f"{column}_x"] - both[f"{column}_y"]).to_numpy(float)
    return np.where(np.abs(apart) > 1e-9 * both[f"{column}_x"].abs(), apart, 0.0)


def comparison(mine: pd.DataFrame, theirs: pd.DataFrame, column: str) -> pd.DataFrame:
    """Paired t tests of two backends, cell by cell: `n, mean, half` of the 95 % interval, `p` by Holm over the cells.

    Differences that are all the same, but not 0, have the noise of values that are rounded to a step.
    """
    values = pd.concat([part.loc[part["status"] == "ok", column] for part in (mine, theirs)])
    gaps = np.diff(np.sort(values.unique()))
    step = gaps[gaps > 1e-9 * values.abs().max()].min(initial=math.inf)
    found = {}
    for position in sorted(set(mine["position"])):
        apart = paired(mine[mine["position"] == position], theirs[theirs["position"] == position], column)
        n = len(apart)
        if n == 0:
            continue
        spread = apart.std(ddof=1) if n > 1 else math.nan
        if n > 1 and apart.mean() and spread <= 1e-9 * values.abs().max():
            spread = step / math.sqrt(6)
        error = spread / math.sqrt(n)
        t = 0.0 if apart.mean() == 0 else abs(apart.mean()) / error
        p = 2 * stats.t.sf(t, n - 1) if n > 1 else math.nan
        found[position] = {"n": n, "mean": apart.mean(), "half": error * stats.t.ppf(0.975, max(n - 1, 1)), "p": p}
    told = pd.DataFrame.from_dict(found, orient="index", columns=["n", "mean", "half", "p"])
    tested = told["p"].notna()
    told.loc[tested, "p"] = _holm(told.loc[tested, "p"].to_numpy())
    return told


def _holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down correction."""
    order = np.argsort(p)
    corrected = np.maximum.accumulate(np.minimum(1.0, p[order] * np.arange(len(p), 0, -1)))
    return corrected[np.argsort(order)]
