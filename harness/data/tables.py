"""A user's own data: a CSV, Parquet or NPZ file, or arrays from Python, checked and coded for a task.

Both ways give `(X, y, names, task, columns, column)`: inputs `(n, n_inputs)` float64, with 0 and 1 for False and True;
labels `(n,)` int64 from 0 in the sorted order of the classes ("binary", "multiclass"), or `(n, k)` ("multilabel": 0 and
1; "regression": float64); the names of the classes, the labels or the targets; the task; the names of the input
columns; and whether a single target came as a column of an array, `(n, 1)`.
"""

import csv
import difflib
import itertools
import warnings
from collections import Counter
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.contract import TASKS
from harness.support.errors import RequestError, unknown
from harness.support.limits import check_file, check_size, limit, size
from harness.support.npz import read_arrays

Table = tuple[np.ndarray, np.ndarray, tuple[str, ...], str, tuple[str, ...], bool]

MOST_CLASSES = 20
"""Whole numbers with at most so many distinct values are taken for classes, unless a task is given."""

NUMERIC = ("boolean", "integer", "float")
LABELS = ("boolean", "integer", "text", "categorical")


def load_table(path: Path, target: str | tuple[str, ...], task: str | None) -> Table:
    """Read a file. `target` names the target's column, or several; in an NPZ file it names the array of targets."""
    targets = (target,) if isinstance(target, str) else tuple(target)
    if path.suffix.lower() not in _READERS:
        raise RequestError(f"{path}: {unknown('kind of file', path.suffix, _READERS)}")
    check_file(path, str(path))
    if not targets:
        raise RequestError(f"{path}: target: name at least one column")
    for name in targets:
        if targets.count(name) > 1:
            raise RequestError(f"{path}: target {name!r} is listed twice; leave one out")
    inputs, outputs = _READERS[path.suffix.lower()](path, targets)
    return _check(inputs, outputs, task, str(path), str(path))


def check_arrays(X: Any, y: Any, task: str | None) -> Table:
    """The same for arrays, lists or data frames: inputs `(n, n_inputs)`, targets `(n,)` or `(n, k)`."""
    inputs, targets, names, found, columns, column = _check(
        _frame(X, "X", "X"), _frame(y, "y", "y", or_vector=True), task, "X", "y"
    )
    return inputs.copy(), targets.copy(), names, found, columns, column  # never the caller's own arrays


# --- readers: a file -> a frame of inputs and a frame of targets --------------------------------------------------


_CSV: dict[str, Any] = {"encoding": "utf-8-sig", "skipinitialspace": True, "index_col": False}


def csv_names(path: Path) -> list[str]:
    """The names in the first line of a CSV as they stand there: pandas renames the second of two equal ones.

    Raises `OSError` and `ValueError` as pandas does.
    """
    header = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False, **_CSV)
    return [str(name) for name in header.iloc[0]]


def _read_csv(path: Path, targets: tuple[str, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    check_csv(path, str(path))
    try:
        names = csv_names(path)
        if "" in names:
            raise RequestError(
                f"{path}: column {names.index('') + 1} has no name (a row number? drop it; in pandas: index=False)"
            )
        _check_distinct(names, str(path))  # before pandas gives each of them another name, which it does one by one
        with warnings.catch_warnings():
            # pandas would drop the values that stand beyond the last name
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(path, low_memory=False, **_CSV)
    except pd.errors.EmptyDataError:
        raise RequestError(f"{path}: the file is empty; its first line names the columns") from None
    except pd.errors.ParserWarning:
        header = _count(len(names), "name")
        raise RequestError(f"{path}: its rows are longer than its header of {header}; name every column") from None
    except RequestError:
        raise
    except (OSError, ValueError) as error:  # pandas' ParserError and a wrong encoding are ValueErrors
        raise RequestError(f"{path}: cannot be read as CSV: {_line(error)}; save it as UTF-8, with commas") from None
    if len(names) == 1 and (";" in names[0] or "\t" in names[0]):
        raise RequestError(f"{path}: its one column is {_listed(names)}: the values must be separated by commas")
    return _part(frame.set_axis(names, axis=1), targets, path)


def check_csv(path: Path, where: str) -> None:
    """Count the columns of a CSV and its lines before it is parsed: short lines are filled up to all columns."""
    check_file(path, where)
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as text:
            head = text.readline(limit("HARNESS_MAX_TEXT") + 1)
            check_size("HARNESS_MAX_COLUMNS", head.count(",") + 1, f"{where}: {head.count(',') + 1} columns, or more")
            check_size("HARNESS_MAX_TEXT", len(head), f"{where}: its first line, the names of its columns, goes on")
            lines = itertools.chain([head], text)
            columns = len(next((record for record in csv.reader(lines, skipinitialspace=True) if record), []))
        with path.open("rb") as file:
            rows = 1 + sum(
                max(block.count(b"\n"), block.count(b"\r")) for block in iter(lambda: file.read(1 << 20), b"")
            )
    except OSError as error:
        raise RequestError(f"{where}: cannot be read: {error.strerror}; give another file") from None
    except csv.Error as error:
        raise RequestError(f"{where}: cannot be read as CSV: its first line names no columns: {error}") from None
    _check_extent(rows, columns, 16, where)  # a value as text and as a number, which parsing holds side by side


def _check_extent(rows: int, columns: int, each: int, where: str) -> None:
    check_size("HARNESS_MAX_COLUMNS", columns, f"{where}: {columns} columns")
    taken = rows * columns * each
    check_size("HARNESS_MAX_MEMORY", taken, f"{where}: {rows} rows of {columns} columns take {size(taken)} to read")


def _read_parquet(path: Path, targets: tuple[str, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    try:
        read_metadata = import_module("pyarrow.parquet").read_metadata
        described = read_metadata(path)
        _check_extent(described.num_rows, described.num_columns, 16, str(path))
        frame = pd.read_parquet(path)
    except ImportError:
        raise RequestError(f"{path}: needs the package pyarrow; run: pip install pyarrow") from None
    except RequestError:
        raise
    except Exception as error:  # a broken file ends in any error of pyarrow, or of pandas about what stands in it
        raise RequestError(f"{path}: cannot be read as Parquet: {_line(error)}; write it again, or as CSV") from None
    names = [str(name) for name in frame.columns]
    _check_distinct(names, str(path))
    return _part(frame.set_axis(names, axis=1), targets, path)


def _read_npz(path: Path, targets: tuple[str, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    if len(targets) > 1:
        raise RequestError(f"{path}: target: name one array, of shape (n,) or (n, k); {len(targets)} are named")
    (target,) = targets
    inputs = ""

    def choose(names: list[str]) -> list[str]:
        nonlocal inputs
        _check_known(targets, names, "array", path)
        others = [name for name in names if name != target]
        if not others:
            raise RequestError(f"{path}: holds no array of inputs beside the target {target!r}; name it 'X'")
        if "X" not in others and len(others) > 1:
            raise RequestError(f"{path}: which array holds the inputs? name it 'X' (found: {_listed(others)})")
        inputs = "X" if "X" in others else others[0]
        return [inputs, target]

    try:
        arrays = read_arrays(path, choose)
    except RequestError:
        raise
    except ValueError as error:
        raise RequestError(f"{path}: cannot be read as NPZ: {error}") from None
    return (
        _frame(arrays[inputs], inputs, f"{path}: array {inputs!r}"),
        _frame(arrays[target], target, f"{path}: array {target!r}", or_vector=True),
    )


_READERS = {".csv": _read_csv, ".parquet": _read_parquet, ".npz": _read_npz}


def _part(frame: pd.DataFrame, targets: tuple[str, ...], path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    _check_known(targets, list(frame.columns), "column", path)
    return frame.drop(columns=list(targets)), frame[list(targets)]


_COLUMN = "column"  # which frames remember that they were a column `(n, 1)` of an array


def _frame(values: Any, name: str, at: str, or_vector: bool = False) -> pd.DataFrame:
    """A frame of an array: columns `name[0]`, `name[1]`, …; one column `name` of a vector."""
    vector = isinstance(values, pd.Series) and or_vector
    if vector:
        values = values.to_frame(name if values.name is None else values.name)
    if isinstance(values, pd.DataFrame):
        names = [str(column) for column in values.columns]
        _check_distinct(names, at)
        frame = values.set_axis(names, axis=1)
        frame.attrs = {_COLUMN: or_vector and not vector and len(names) == 1}
        return frame
    array = as_array(values, at)
    if array.ndim != 2 and not (or_vector and array.ndim == 1):
        allowed = "(n,) or (n, k)" if or_vector else "(n, n_inputs)"
        raise RequestError(f"{at}: has the shape {array.shape}; needed: {allowed}")
    try:
        frame = pd.DataFrame(array, copy=False)
    except ValueError as error:  # dates beyond those that pandas can count
        raise RequestError(f"{at}: {_line(error)}; give numbers or texts") from None
    single = or_vector and len(frame.columns) == 1
    frame.attrs = {_COLUMN: single and array.ndim == 2}
    return frame.set_axis([name] if single else [f"{name}[{i}]" for i in range(len(frame.columns))], axis=1)


def as_array(values: Any, at: str) -> np.ndarray:
    """The values as an array in the machine's own byte order, the only one that pandas reads; or `RequestError`."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise RequestError(f"{at}: is no array: {_line(error)}; give one row a sample") from None
    return array.astype(array.dtype.newbyteorder("="), copy=False)


# --- checks ------------------------------------------------------------------------------------------------------


def _check(inputs: pd.DataFrame, outputs: pd.DataFrame, task: str | None, at_inputs: str, at_outputs: str) -> Table:
    if task is not None and task not in TASKS:
        raise RequestError(f"{at_outputs}: {unknown('task', task, TASKS)}")
    if len(inputs) != len(outputs):
        rows = _count(len(inputs), "row")
        raise RequestError(f"{at_inputs}: {rows} of inputs, but {len(outputs)} of targets; give one target a row")
    if len(inputs) < 2:
        raise RequestError(f"{at_inputs}: {_count(len(inputs), 'row')}; at least 2 are needed")
    if not inputs.shape[1]:
        raise RequestError(f"{at_inputs}: no input columns; keep one beside the target")
    if not outputs.shape[1]:
        raise RequestError(f"{at_outputs}: no target columns; give one at least")
    for frame, at in ((inputs, at_inputs), (outputs, at_outputs)):
        _check_present(frame, at)
    others = _not_numeric(inputs)
    if others:
        raise RequestError(f"{at_inputs}: {_columns(others)}: {_kinds(inputs[others])}; give numbers, or drop them")
    X = _numbers(inputs, at_inputs)
    if task is None:
        task = _infer(outputs)
    code = _labels if task in ("binary", "multiclass") else _indicators if task == "multilabel" else _values
    y, names = code(outputs, task, at_outputs)
    return X, y, names, task, tuple(inputs.columns), bool(outputs.attrs.get(_COLUMN))


def _infer(outputs: pd.DataFrame) -> str:
    """The task that the targets suggest. What they cannot be is refused afterwards."""
    if outputs.shape[1] > 1:
        return "multilabel" if _all_zero_or_one(outputs) else "regression"
    column = outputs.iloc[:, 0]
    kind = _kind(column)
    if kind == "float" or (kind == "integer" and column.nunique() > MOST_CLASSES):
        return "regression"
    return "binary" if kind in LABELS and column.nunique() == 2 else "multiclass"


def _labels(outputs: pd.DataFrame, task: str, at: str) -> tuple[np.ndarray, tuple[str, ...]]:
    if outputs.shape[1] > 1:
        raise RequestError(f"{at}: task {task!r} has one target column, not {_listed(outputs.columns)}")
    name, column = outputs.columns[0], outputs.iloc[:, 0]
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)  # so that unused categories are no classes
    kind = _kind(column)
    if kind == "float":
        numbers = _numbers(outputs, at)
        if np.any(np.mod(numbers, 1) != 0) or np.any(np.abs(numbers) >= 2**53):
            raise RequestError(f"{at}: target {name!r} holds fractions; classes are whole numbers or texts")
        column = column.astype(np.int64)
    elif kind not in LABELS:
        raise RequestError(f"{at}: target {name!r} holds {kind} values; classes are whole numbers or texts")
    codes, classes = pd.factorize(column, sort=True)
    if len(classes) == 1:
        raise RequestError(f"{at}: target {name!r} has a single class, {str(classes[0])!r}; at least 2 are needed")
    if task == "binary" and len(classes) != 2:
        raise RequestError(f"{at}: target {name!r} has {len(classes)} classes, {_listed(classes)}; 'binary' has 2")
    return np.asarray(codes, np.int64), tuple(str(label) for label in classes)


def _indicators(outputs: pd.DataFrame, task: str, at: str) -> tuple[np.ndarray, tuple[str, ...]]:
    wrong = [name for name in outputs if not _all_zero_or_one(outputs[[name]])]
    if wrong:
        raise RequestError(f"{at}: target {_columns(wrong)}: not all 0 or 1, as task 'multilabel' needs")
    return _numbers(outputs, at).astype(np.int64), tuple(outputs.columns)


def _values(outputs: pd.DataFrame, task: str, at: str) -> tuple[np.ndarray, tuple[str, ...]]:
    wrong = _not_numeric(outputs)
    if wrong:
        raise RequestError(f"{at}: target {_columns(wrong)}: {_kinds(outputs[wrong])}; task {task!r} needs numbers")
    return _numbers(outputs, at), tuple(outputs.columns)


def _kind(column: "pd.Series[Any]") -> str:
    """ "boolean", "integer", "float", "text", or pandas' own word for anything else."""
    kind = pd.api.types.infer_dtype(column, skipna=True)
    return {"floating": "float", "mixed-integer-float": "float", "string": "text"}.get(kind, str(kind))


def _kinds(frame: pd.DataFrame) -> str:
    return " and ".join(sorted({_kind(frame[name]) for name in frame})) + ", not numbers"


def _not_numeric(frame: pd.DataFrame) -> list[str]:
    return [name for name in frame if _kind(frame[name]) not in NUMERIC]


def _all_zero_or_one(frame: pd.DataFrame) -> bool:
    return not _not_numeric(frame) and bool(frame.isin([0, 1]).all(axis=None))


def _numbers(frame: pd.DataFrame, at: str) -> np.ndarray:
    """The frame as float64, which may be the array that it is made of; infinite values are refused."""
    values = np.ascontiguousarray(frame.to_numpy(np.float64), np.float64)
    finite = np.isfinite(values)
    if not finite.all():
        columns = _columns(frame.columns[~finite.all(axis=0)])
        rows = _count((~finite).any(axis=1).sum(), "row")
        raise RequestError(f"{at}: infinite values in {rows}, {columns}: put numbers there, or drop them")
    return values


def _check_present(frame: pd.DataFrame, at: str) -> None:
    missing = frame.isna()
    columns = frame.columns[missing.any(axis=0)]
    if len(columns):
        rows = _count(missing.any(axis=1).sum(), "row")
        raise RequestError(f"{at}: missing values in {rows}, {_columns(columns)}: fill them in, or drop them")


def _check_distinct(names: list[str], at: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise RequestError(f"{at}: {_columns(twice)}: the name stands there more than once; rename one")


def _check_known(targets: tuple[str, ...], names: list[str], kind: str, path: Path) -> None:
    for target in targets:
        if target not in names:
            lower = {name.lower(): name for name in names}
            near = difflib.get_close_matches(target.lower(), lower, n=1, cutoff=0.5)
            hint = f": did you mean {lower[near[0]]!r}?" if near else ""
            raise RequestError(f"{path}: target {target!r}: no such {kind}{hint} ({kind}s: {_listed(names)})")


# --- words -------------------------------------------------------------------------------------------------------


def _listed(names: Iterable[Any], most: int = 8) -> str:
    names = list(names)
    rest = [f"… ({len(names) - most} more)"] if len(names) > most else []
    return ", ".join([repr(str(name)) for name in names[:most]] + rest)


def _columns(names: Iterable[Any]) -> str:
    names = list(names)
    return f"column{'s' if len(names) > 1 else ''} {_listed(names)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
