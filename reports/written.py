"""Tables as text, for the page and for Markdown: each column in the way in which people write such numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports import style
from reports.study import Study, words


@dataclass(frozen=True)
class Table:
    """A table ready to be shown: headings, cells as text, and which columns hold numbers."""

    headings: list[str]
    rows: list[list[str]]
    numeric: list[bool]


def written(study: Study, frame: pd.DataFrame) -> Table:
    """Cells as text: scores with three decimals, deviations with two digits, axis values as people type them."""
    given = (*study.axes, *study.sampled)
    letters = {column for column in frame if column in given and any(isinstance(v, str) for v in frame[column])}
    numeric = [
        column not in letters and (column in given or pd.api.types.is_numeric_dtype(frame[column])) for column in frame
    ]
    writers = {column: _writer(column, given) for column in frame}
    rows = [[writers[column](value) for column, value in record.items()] for record in frame.to_dict("records")]
    headings = [column if column in given else style.named(column) for column in frame]
    return Table(headings, rows, numeric)


def _writer(column: str, given: tuple[str, ...]) -> Callable[[Any], str]:
    if column in given:
        return style.plain
    if column.endswith(("_accuracy", "_r2", "_auc", "_f1")):
        return style.score
    if column in ("difference", "low", "high", "largest_change"):
        return style.signed
    if column in ("deviation", "floor", "largest_deviation") or column.endswith("largest_difference"):
        return style.deviation
    if column.endswith("seconds"):
        return style.seconds
    if column == "score":
        return style.named
    if column == "trial_id":
        return lambda value: value[:12]
    if column in ("status", "verdict", "status_old", "status_new"):
        return lambda value: words(value) if isinstance(value, str) else style.MISSING
    return style.plain
