"""`harness export`."""

import io
import json
import shutil
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated

import pandas as pd
import typer

from harness.cli.options import STORE, StoredOption, StoreOption
from harness.cli.output import plain
from harness.storage.exporting import write_rows
from harness.storage.store import Store
from harness.support.errors import RequestError, unknown

_IN_MEMORY = 64 * 2**20  # bytes of an export that are held there; more goes through a temporary file

EXAMPLES = (
    "harness export > trials.csv",
    "harness export --experiment digits-quick --format json -o trials.json",
)


class Format(StrEnum):
    """What `harness export` can write."""

    csv = "csv"
    json = "json"
    parquet = "parquet"


def command(
    store: StoreOption = STORE,
    experiment: StoredOption = None,
    format: Annotated[Format, typer.Option("--format", help="csv, json or parquet.")] = Format.csv,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Instead of the screen.")
    ] = None,
) -> None:
    """Write one row a finished trial and experiment. What is missing is empty in CSV and null in JSON."""
    opened = Store(store, must_exist=True)
    names = opened.experiment_names()
    if not names:
        raise RequestError(f"store {opened.url}: no experiment in it yet; harness run EXP adds one")
    if experiment is not None and experiment not in names:
        raise RequestError(f"store {opened.url}: {unknown('experiment', experiment, names)}")
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as rows:  # whole, or nothing at all
        write_rows(opened, names if experiment is None else [experiment], format, rows)
        opened.close()
        rows.seek(0)
        _copy(rows, output)


def write(data: bytes, output: Path | None) -> None:
    """To a file, or to standard output. Raises `RequestError` for a file that cannot be written."""
    _copy(io.BytesIO(data), output)


def _copy(data: IO[bytes], output: Path | None) -> None:
    if output is None:
        shutil.copyfileobj(data, sys.stdout.buffer)
        sys.stdout.flush()
        return
    try:
        with output.open("wb") as file:
            shutil.copyfileobj(data, file)
    except OSError as error:
        raise RequestError(f"-o {output}: cannot be written: {error.strerror}; give another file") from None


def table_bytes(frame: pd.DataFrame, format: str) -> bytes:
    """A table as "csv", "json" or "parquet"; what is missing is empty in CSV and null elsewhere."""
    if format == Format.csv:
        return str(frame.to_csv(index=False)).encode()
    if format == Format.json:
        return _json(frame).encode()
    try:
        return bytes(frame.to_parquet(index=False))
    except ImportError:
        raise RequestError("--format parquet: needs the package pyarrow; run: pip install pyarrow") from None


def _json(frame: pd.DataFrame) -> str:
    """A list of records. JSON has no infinity: an infinite deviation stands as the text "inf"."""
    records = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return json.dumps(plain(records), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
