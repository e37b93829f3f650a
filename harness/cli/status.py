"""`harness status`."""

import pandas as pd

from harness.cli.options import STORE, StoreOption
from harness.cli.show import show_table
from harness.results import open_results
from harness.store import Store

EXAMPLES = (
    "harness status",
    "harness status --store sqlite:///my.db",
)


def command(store: StoreOption = STORE) -> None:
    """Show how far each experiment in a store has come: trials by status, per backend and mode."""
    opened = Store(store, must_exist=True)
    counts = [_counts(results.frame()) for results in open_results(opened)]
    opened.close()
    if not counts:
        print("no experiment in this store yet")
        return
    frame = pd.concat(counts, ignore_index=True)
    totals = [column for column in frame.columns if pd.api.types.is_numeric_dtype(frame[column])]
    frame[totals] = frame[totals].fillna(0).astype(int)
    show_table(frame)


def _counts(rows: pd.DataFrame) -> pd.DataFrame:
    groups = ["experiment", "backend", "mode"]
    counts = rows.pivot_table(index=groups, columns="status", values="trial_id", aggfunc="count", sort=False)
    counts["planned"] = rows.groupby(groups, sort=False).size()
    counts["stale"] = rows.groupby(groups, sort=False)["stale"].sum()
    counts.columns.name = None
    return counts.fillna(0).astype(int).reset_index()
