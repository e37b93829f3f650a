"""The border of the store: what is read from it is looked at here, and what the harness never wrote is named.

A store is a file that anybody can edit, and that can rot; SQLite keeps a text in a column of numbers. What a column
may hold stands in the schema; what its JSON and its arrays are stands here. All that is broken is one line.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sqlalchemy import Column, Float, Integer, LargeBinary, Row

from harness.contract import ACTIVATIONS, TASKS, Weights
from harness.network.weights import unflatten
from harness.storage.arrays import unpack
from harness.storage.schema import from_json
from harness.support.errors import RequestError, short

_MOST_SHARED = 5000  # texts of a column whose JSON is kept to be used again
_NUMBER = (int, float)
_TYPES = {Integer: (int,), Float: _NUMBER, LargeBinary: (bytes,)}
_NOUNS = {int: "whole number", float: "number", bytes: "payload", str: "text"}

_ROWS = {
    "experiments": ("name", "experiment", "writes it again"),
    "planned": ("trial_id", "trial", "plans it again"),
    "trials": ("trial_id", "trial", "trains it again"),
    "references": ("reference_id", "reference", "trains it again"),
    "artefacts": ("trial_id", "trial", "trains it again"),
}
"""Of each table the column by which its rows are named, what a row is, and what a run does where it is missing."""


class Rows:
    """Looks at the rows of a query, whose first columns are `columns` of the schema, and reads their JSON."""

    def __init__(self, store: str, *columns: Column[Any]) -> None:
        self._store = store
        self._columns = columns
        self._place = {column.name: place for place, column in reversed(list(enumerate(columns)))}
        self._sound: set[tuple[type, ...]] = set()
        self._parsed: dict[str, dict[str | None, Any]] = {name: {} for name in _JSON}

    def check(self, row: Row[Any]) -> None:
        """Raises `RequestError` for a value of another type than its column's."""
        types = (*map(type, row),)  # the same few combinations in all rows
        if types not in self._sound:
            self._look(row)
            self._sound.add(types)

    def parsed(self, row: Row[Any], name: str) -> Any:
        """The JSON in the column `name`; rows that have the same text share it. Raises `RequestError`."""
        text, known = row[self._place[name]], self._parsed[name]
        if text not in known:
            if len(known) > _MOST_SHARED:
                known.clear()
            known[text] = None if text is None else self._parse(row, name, text)
        return known[text]

    def metrics(self, row: Row[Any]) -> dict[str, float | None]:
        """The metrics of a row, which hardly two share; none of a trial that is not finished. Raises `RequestError`."""
        text = row[self._place["metrics"]]
        if text is None:
            return {}
        try:
            measured = json.loads(text)
            if set(map(type, measured.values())) - {float}:  # "inf" and "nan" are told so
                measured = {name: _number(value) for name, value in measured.items()}
        except (ValueError, TypeError, AttributeError, RecursionError, OverflowError):
            raise self._broken(row, "metrics", f"{short(text)} is no object of numbers") from None
        return measured  # type: ignore[no-any-return]

    def _look(self, row: Row[Any]) -> None:
        values = list(zip(self._columns, row, strict=False))
        present = {column.table.name for column, value in values if value is not None}
        for column, value in values:
            if value is None and (column.nullable or column.table.name not in present):  # the other side of a join
                continue
            allowed = _types(column)
            if type(value) not in allowed:
                told = f"{short(value)} is no {_NOUNS[allowed[-1]]}"
                raise self._broken(row, column.name, "it is empty" if value is None else told)

    def _parse(self, row: Row[Any], name: str, text: str) -> Any:
        try:
            value = from_json(text)
        except (ValueError, TypeError, RecursionError):
            raise self._broken(row, name, f"{short(text)} is no JSON") from None
        noun, is_sound = _JSON[name]
        if not is_sound(value):
            raise self._broken(row, name, f"{short(text)} is no {noun}")
        return value

    def _broken(self, row: Row[Any], name: str, told: str) -> RequestError:
        table = self._columns[self._place[name]].table.name
        key = row[self._place[_ROWS[table][0]]]
        return broken(self._store, table, key, name, told)


def broken(store: str, table: str, key: Any, name: str, told: str) -> RequestError:
    """What a user is told of a row that the harness did not write so."""
    _, kind, again = _ROWS[table]
    named = key if isinstance(key, str) else short(key)
    at = "trials" if table == "artefacts" else table  # a trial that has a result is not trained again
    return RequestError(
        f"store {store}: table {table}, {kind} {named}: its {name} cannot be read: {told}; "
        f"delete that row of the table {at}, and harness run {again}"
    )


def _types(column: Column[Any]) -> tuple[type, ...]:
    return next((types for kind, types in _TYPES.items() if isinstance(column.type, kind)), (str,))


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if type(value) not in (*_NUMBER, str):
        raise TypeError
    return float(value)


# -- JSON


def _is_object(value: Any, of: Callable[[Any], bool] = lambda item: True) -> bool:
    return isinstance(value, dict) and all(map(of, value.values()))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_list(value: Any, of: Callable[[Any], bool] = lambda item: True) -> bool:
    return isinstance(value, list) and all(map(of, value))


def _are_texts(value: Any) -> bool:
    return _is_list(value, _is_text)


def _are_facts(value: Any) -> bool:
    """Stores of earlier days have no names."""
    return _is_object(value) and all(is_sound(value.get(name, {})) for name, is_sound in _FACTS.items())


_FACTS: dict[str, Callable[[Any], bool]] = {
    "shown": lambda value: _is_object(value, _is_text) and value.get("base seed", "0").isdecimal(),
    "warnings": _are_texts,
    "sampled": _are_texts,
    "notes": _are_texts,
    "published": lambda value: value is None or _is_object(value, _is_list),
    "names": lambda value: _is_object(value, _is_list),
}

_JSON: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "cell": ("object", _is_object),
    "settings": ("object", _is_object),
    "axes": ("object of lists", lambda value: _is_object(value, _is_list)),
    "facts": ("object of the facts of an experiment", _are_facts),
    "machine": ("object of texts", lambda value: _is_object(value, _is_text)),
    "versions": ("object of texts", lambda value: _is_object(value, lambda item: item is None or _is_text(item))),
}
"""Of each column of JSON, but for metrics, what it holds, in words and as a question."""


def _is_number(value: Any) -> bool:
    return type(value) in _NUMBER


def _are_sizes(value: Any) -> bool:
    return _is_list(value, lambda item: type(item) is int)


_SETTINGS: dict[str, Callable[[Any], bool]] = {
    "task": lambda value: _is_text(value) and value in TASKS,
    "layers": lambda value: _are_sizes(value) and len(value) > 1,
    "hidden": _are_sizes,
    "activation": lambda value: _are_texts(value) and set(value) <= ACTIVATIONS.keys(),
    "optimizer": _is_text,
    "learning_rate": _is_number,
    "batch_size": _is_number,
    "epochs": _is_number,
    "chance": _is_number,
}
"""Those that a report cannot do without."""


def fault_of_settings(settings: Mapping[str, Any]) -> str | None:
    """What a report cannot use in the settings of a trial, or None."""
    wanted = _SETTINGS
    if "network" in settings:  # the long form, which has texts in their place
        wanted = {name: is_sound for name, is_sound in wanted.items() if name not in ("layers", "hidden", "activation")}
        wanted["network"] = _are_texts
    for name, is_sound in wanted.items():
        if name not in settings:
            return f"it has no {name!r}"
        if not is_sound(settings[name]):
            return f"{name} = {short(settings[name])}"
    return None


# -- arrays

_ARRAYS: dict[str, dict[str, str]] = {
    "curves": {"epoch": "epochs"},
    "parity": {"epoch": "epochs", "deviation": "epochs", "floor": "epochs"},
    "predictions": {"logits": "rows outputs", "targets": "rows *", "rows": "rows"},
    "plane": {"x": "lines", "logits": "lines *", "inputs": "points inputs", "targets": "points *", "part": "points"},
    "checkpoints": {"epoch": "epochs", "floor": "*", "weights": "epochs values"},
}
"""Of each kind of artefact the arrays that it needs, and their axes: those of one name are equally long, * is any."""

_BESIDE: dict[str, dict[str, str]] = {
    "predictions": {
        "sample_rows": "samples",
        "sample_inputs": "samples inputs",
        "misclassified_rows": "wrong",
        "misclassified_inputs": "wrong inputs",
    },
    "plane": {"y": "lines"},
}
"""Those that it may have beside them, see `reports.study.Arrays`."""

_EVERY = {"curves": "epochs", "confusion": "classes classes"}
"""The axes of every array of a kind, whatever its name."""


def arrays_of(store: str, table: str, key: Any, name: str, payload: Any) -> dict[str, np.ndarray]:
    """The arrays in a payload of the kind `name`. Raises `RequestError`."""
    if type(payload) is not bytes:
        raise broken(store, table, key, name, f"{short(payload)} is no {_NOUNS[bytes]}")
    try:
        arrays = unpack(payload)
    except (ValueError, TypeError) as error:
        raise broken(store, table, key, name, str(error)) from None
    fault = _fault(name, arrays)
    if fault:
        raise broken(store, table, key, name, fault)
    return arrays


def weights_of(store: str, key: Any, name: str, payload: bytes) -> Weights:
    """The weights in a payload of a reference. Raises `RequestError`."""
    arrays = arrays_of(store, "references", key, name, payload)
    try:
        weights = unflatten(arrays)
    except ValueError:
        weights = ()
    if not any("W" in layer for layer in weights):
        raise broken(store, "references", key, name, f"{short(sorted(arrays))} are no weights")
    return weights


def _fault(kind: str, arrays: Mapping[str, np.ndarray]) -> str | None:
    """What is wrong with the arrays of an artefact, or None."""
    needed, every = _ARRAYS.get(kind, {}), _EVERY.get(kind)
    rules = needed | _BESIDE.get(kind, {})
    sizes: dict[str, int] = {}
    for name in needed:
        if name not in arrays:
            return f"it has no array {name!r}"
    for name, array in arrays.items():
        axes = rules.get(name, every or "*").split()
        given = array.shape[: len(axes) - 1] if axes[-1] == "*" else array.shape
        if array.dtype.kind not in "biuf":
            return f"its array {name!r} holds no numbers"
        axes = axes[:-1] if axes[-1] == "*" else axes
        if len(given) != len(axes) or any(sizes.setdefault(axis, n) != n for axis, n in zip(axes, given, strict=True)):
            return f"its array {name!r} has the shape {array.shape}"
    return None
