"""Stored rows as CSV, JSON or Parquet, some thousands at a time: what memory holds does not grow with the store.

A column means the same in all rows: whole numbers stand as such unless one is missing or another is none, as in a
`DataFrame` of all. So the planned settings are looked through first, and then the rows are written.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import cycle, islice
from typing import IO, TYPE_CHECKING, Any

import pandas as pd

from harness.storage.results import EXPORTED, FIRST, HYPERPARAMETERS, LISTS, MEASURED, NUMBERS, by_key, export_types
from harness.support.errors import RequestError

if TYPE_CHECKING:
    from harness.storage.store import Store

_ROWS_AT_A_TIME = 5000

Values = list[Any]
Row = tuple[Values, Values, Values]
"""The values of `FIRST`, of `HYPERPARAMETERS`, which neighbours share, and of `MEASURED`; None is missing."""


def write_rows(store: "Store", names: Sequence[str], format: str, file: IO[bytes]) -> None:
    """One row a finished trial of each experiment: as `Results.export` has them, "csv", "json" or "parquet"."""
    writers: dict[str, Callable[[pd.DataFrame, Iterator[list[Row]], IO[bytes]], None]]
    writers = {"csv": _write_csv, "json": _write_json, "parquet": _write_parquet}
    samples = {name: _sample(store, name) for name in names}
    whole = pd.concat(samples.values(), ignore_index=True)
    rows = (row for name in names for row in _rows(store, name, samples[name], whole))
    writers[format](whole, iter(lambda: list(islice(rows, _ROWS_AT_A_TIME)), []), file)


def _sample(store: "Store", name: str) -> pd.DataFrame:
    """A frame with the types of all rows of an experiment: one value of each type that stands in a column."""
    seen: dict[str, dict[type, Any]] = {column: {} for column in HYPERPARAMETERS}
    for settings, cell in store.settings(name):
        for column, value in _values(settings, cell).items():
            seen[column].setdefault(type(value), value)
    length = max(1, *(len(values) for values in seen.values()))
    columns: dict[str, Iterable[Any]] = {
        column: list(islice(cycle(values.values()), length)) if values else [None] * length
        for column, values in seen.items()
    }
    frame = pd.DataFrame.from_records(list(zip(*columns.values(), strict=True)), columns=list(columns))
    texts = {column: "text" for column in (*FIRST, *MEASURED) if column not in NUMBERS}
    frame = frame.assign(**texts, seed=0).astype({"reason": object})  # which most rows have not
    return export_types(frame.reindex(columns=EXPORTED))


def _values(settings: dict[str, Any], cell: dict[str, Any]) -> dict[str, Any]:
    own = by_key(settings)
    values = {**own, **cell}
    lists = {name: json.dumps(own[name]) if name in own else None for name in LISTS}
    return {column: lists[column] if column in lists else values.get(column) for column in HYPERPARAMETERS}


def _rows(store: "Store", name: str, own: pd.DataFrame, whole: pd.DataFrame) -> Iterator[Row]:
    """The finished trials of an experiment as plain values."""
    numbers = {c for c in HYPERPARAMETERS if "float64" in (str(own[c].dtype), str(whole[c].dtype))}
    texts = {c for c in HYPERPARAMETERS if _is_mixed(whole[c])}
    shared: dict[tuple[int, int], tuple[Any, Values]] = {}
    for row in store.each_row(name):
        if row["status"] == "pending":
            continue
        settings, cell = row["settings"], row["cell"]
        key = id(settings), id(cell)
        if key not in shared:
            if len(shared) > _ROWS_AT_A_TIME:
                shared.clear()
            values = _values(settings, cell)
            ready = [_as(value, column in numbers, column in texts) for column, value in values.items()]
            shared[key] = (settings, cell), ready
        measured = [None if (value := row[column]) != value else value for column in MEASURED]
        yield [row[column] for column in FIRST], shared[key][1], measured


def _is_mixed(column: "pd.Series[Any]") -> bool:
    """Whether texts and other values stand in one column: there all become texts, since Parquet has one type."""
    kinds = {type(value) for value in column.dropna()}
    return str in kinds and len(kinds) > 1


def _as(value: Any, number: bool, text: bool) -> Any:
    if value is None or value != value:
        return None
    return float(value) if number else str(value) if text else value


def _write_csv(sample: pd.DataFrame, chunks: Iterator[list[Row]], file: IO[bytes]) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(EXPORTED)
    for rows in chunks:
        writer.writerows([*first, *values, *measured] for first, values, measured in rows)
    text.detach()


def _write_json(sample: pd.DataFrame, chunks: Iterator[list[Row]], file: IO[bytes]) -> None:
    """A list of records, a field a line. JSON has no infinity: an infinite deviation stands as the text "inf"."""
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",\n  ", ": ")).encode

    def fields(names: Sequence[str], values: Values) -> str:
        try:
            return encode(dict(zip(names, values, strict=True)))[1:-1]
        except ValueError:  # infinity, which is rare
            return fields(names, [str(v) if isinstance(v, float) and math.isinf(v) else v for v in values])

    before = "[\n "
    for rows in chunks:
        shared: dict[int, str] = {}
        records = []
        for first, values, measured in rows:
            if id(values) not in shared:
                shared[id(values)] = fields(HYPERPARAMETERS, values)
            record = fields(FIRST, first), shared[id(values)], fields(MEASURED, measured)
            records.append("{\n  " + ",\n  ".join(record) + "\n }")
        file.write((before + ",\n ".join(records)).encode())
        before = ",\n "
    file.write(b"[]\n" if before == "[\n " else b"\n]\n")


def _write_parquet(sample: pd.DataFrame, chunks: Iterator[list[Row]], file: IO[bytes]) -> None:
    try:
        import pyarrow as pa  # type: ignore[import-untyped]
        import pyarrow.parquet as pq  # type: ignore[import-untyped]
    except ImportError:
        raise RequestError("--format parquet: needs the package pyarrow; run: pip install pyarrow") from None
    mixed = [column for column in HYPERPARAMETERS if _is_mixed(sample[column])]
    schema = pa.Schema.from_pandas(sample.astype(dict.fromkeys(mixed, "str")), preserve_index=False)
    with pq.ParquetWriter(file, schema) as writer:
        for rows in chunks:
            parts = [list(zip(*part, strict=True)) for part in zip(*rows, strict=True)]
            columns = zip(EXPORTED, (values for part in parts for values in part), strict=True)
            frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns})
            writer.write_table(pa.Table.from_pandas(frame, schema=schema, preserve_index=False))
