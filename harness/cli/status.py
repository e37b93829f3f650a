"""`harness status`."""

from typing import TYPE_CHECKING

from harness.cli.options import STORE, JsonOption, StoreOption
from harness.cli.output import Output

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = (
    "harness status",
    "harness status --store my.db",
    "harness status --json",
)


def command(store: StoreOption = STORE, as_json: JsonOption = False) -> int:
    """Show how far each experiment in a store has come: trials by status, per backend and mode."""
    import pandas as pd

    from harness.cli.show import show_table
    from harness.storage.staleness import MADE_BY, Staleness
    from harness.storage.store import Store

    output = Output("status", as_json=as_json)
    opened = Store(store, must_exist=True)
    groups, stale = pd.DataFrame(opened.counts()), Staleness()
    opened.close()
    if groups.empty:
        output.say("no experiment in this store yet; harness run EXP adds one")
        return output.finish([])
    made = groups[list(MADE_BY)].astype(object).where(groups[list(MADE_BY)].notna(), None).itertuples(index=False)
    alike = zip(groups["backend"], groups["status"], map(tuple, made), strict=True)
    groups["stale"] = groups["trials"].where([stale.of(*group) for group in alike], 0)
    counts = [_counts(rows) for _, rows in groups.groupby("experiment", sort=False)]
    frame = pd.concat(counts, ignore_index=True)
    totals = [column for column in frame.columns if pd.api.types.is_numeric_dtype(frame[column])]
    frame[totals] = frame[totals].fillna(0).astype(int)
    if not as_json:
        show_table(frame)
    return output.finish(frame.to_dict("records"))


def _counts(rows: "pd.DataFrame") -> "pd.DataFrame":
    groups = ["experiment", "backend", "mode"]
    counts = rows.pivot_table(index=groups, columns="status", values="trials", aggfunc="sum", sort=False)
    counts["planned"] = rows.groupby(groups, sort=False)["trials"].sum()
    counts["stale"] = rows.groupby(groups, sort=False)["stale"].sum()
    counts.columns.name = None
    return counts.fillna(0).astype(int).reset_index()
