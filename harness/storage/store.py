"""The store: plans, results, references and artefacts in SQLite (or another database, by URL), through SQLAlchemy.

A row is written in one transaction when its trial is finished, never before: what is not finished is not in it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Select,
    Text,
    delete,
    exists,
    func,
    insert,
    select,
    type_coerce,
)

from harness.storage.arrays import pack, unpack
from harness.storage.database import shown, store_url
from harness.storage.opening import DEFAULT_STORE, open_database
from harness.storage.schema import JsonText, artefacts, experiments, planned, references, trials
from harness.storage.sound import Rows, arrays_of, weights_of
from harness.storage.staleness import MADE_BY, Made
from harness.training import metrics

__all__ = ["DEFAULT_STORE", "METRICS", "Store", "pack", "shown", "store_url", "unpack"]

METRICS = tuple(f"{part}_{metric}" for metric in metrics.METRICS for part in ("train", "validation", "test"))
"""The metrics of a row, in the order of their columns."""

_ROWS_AT_A_TIME = 5000  # of a plan, which may have 100,000
_JSON = ("cell", "settings", "machine")  # the same in many rows
_RESULT = tuple(column for column in trials.c if column.name != "trial_id")
_MADE_BY = tuple(trials.c[name] for name in MADE_BY)
_KEY = (planned.c.backend, planned.c.mode, planned.c.seed, planned.c.position)
_ORDER = (planned.c.seed, planned.c.position, planned.c.mode, planned.c.backend)


class Planned(NamedTuple):
    """A trial of a plan; `describe` gives its cell and its settings, where they have to be written."""

    backend: str
    mode: str
    seed: int
    position: int
    trial_id: str
    describe: Callable[[], tuple[Mapping[str, Any], Mapping[str, Any]]]


class Finished(NamedTuple):
    """What became of a trial, and by what it was made."""

    status: str
    verdict: str | None
    made: Made


class Store:
    """One database, at a URL or in an SQLite file; `url` is its name, without a password.

    Opening it makes the tables where they are missing (not where it `must_exist`), and brings those of an earlier
    harness up to date, unless `upgrade` is false: then nothing but the names of the experiments can be asked for.
    """

    def __init__(self, url: str, must_exist: bool = False, upgrade: bool = True) -> None:
        self._database = open_database(url, must_exist, upgrade)
        self.url = self._database.name

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    # -- plans

    def save_plan(
        self, name: str, title: str, definition: str, axes: dict[str, Any], facts: dict[str, Any], plan: list[Planned]
    ) -> None:
        """Add planned trials to the experiment; those of an earlier, other definition under this name are dropped."""

        def write(connection: Connection) -> None:
            known = connection.scalar(select(experiments.c.definition).where(experiments.c.name == name))
            if known != definition:
                connection.execute(delete(planned).where(planned.c.experiment == name))
            connection.execute(delete(experiments).where(experiments.c.name == name))
            row = {"name": name, "title": title, "definition": definition, "axes": axes, "facts": facts}
            connection.execute(insert(experiments), row)
            query = select(*_KEY, planned.c.trial_id).where(planned.c.experiment == name)
            there = {tuple(key): trial_id for *key, trial_id in connection.execute(query)}
            # under one key another trial: what the definition names, such as a file of weights, has changed
            changed = [t[:4] for t in plan if there.get(t[:4], t.trial_id) != t.trial_id]
            for key in changed:
                same = (column == value for column, value in zip(_KEY, key, strict=True))
                connection.execute(delete(planned).where(planned.c.experiment == name, *same))
                del there[key]
            missing = (trial for trial in plan if trial[:4] not in there)
            while some := list(islice(missing, _ROWS_AT_A_TIME)):
                connection.execute(insert(planned), [_planned_row(name, trial) for trial in some])

        self._database.write(write)

    def experiment_names(self) -> list[str]:
        """The experiments that this store knows, in alphabetical order."""
        query = select(experiments.c.name).order_by(experiments.c.name)
        return [name for (name,) in self._checked(query, experiments.c.name)[1]]

    def experiment(self, name: str) -> dict[str, Any]:
        """Title, axes and facts of an experiment."""
        query = select(*_plain(experiments.c)).where(experiments.c.name == name)
        rows, (row,) = self._checked(query, *experiments.c)
        return dict(row._mapping) | {key: rows.parsed(row, key) for key in ("axes", "facts")}

    def facts(self, name: str) -> dict[str, Any]:
        """The facts of an experiment, none where the store does not know it."""
        return self.experiment(name)["facts"] if name in self.experiment_names() else {}

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Every planned trial of the experiment with its result, or with the status "pending".

        Rows share what is the same in several of them: nobody may change it.
        """
        return list(self.each_row(name))

    def each_row(self, name: str) -> Iterator[dict[str, Any]]:
        """The same one after the other, for experiments that memory should not have to hold."""
        columns = (*planned.c, *_RESULT)
        query = (
            select(*_plain(columns))
            .join_from(planned, trials, planned.c.trial_id == trials.c.trial_id, isouter=True)
            .where(planned.c.experiment == name)
            .order_by(*_ORDER)
        )
        names, rows = query.selected_columns.keys(), Rows(self.url, *columns)
        nothing: dict[str, Any] = dict.fromkeys(METRICS)
        for found in self._database.read_rows(query):
            rows.check(found)
            row = nothing | rows.metrics(found) | dict(zip(names, found, strict=True))
            for key in _JSON:
                row[key] = rows.parsed(found, key)
            rows.parsed(found, "versions")  # which stay a text
            row["status"] = row["status"] or "pending"
            del row["metrics"]
            yield row

    def settings(self, name: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Every combination of settings and cell that is planned."""
        columns = (planned.c.settings, planned.c.cell)
        texts, rows = _plain(columns), Rows(self.url, *columns, planned.c.trial_id)
        query = select(*texts, func.min(planned.c.trial_id)).where(planned.c.experiment == name)
        for row in self._database.read_rows(query.group_by(*texts).order_by(func.min(planned.c.trial_id))):
            rows.check(row)
            yield rows.parsed(row, "settings"), rows.parsed(row, "cell")

    def counts(self) -> list[dict[str, Any]]:
        """How many trials there are of each experiment, backend, mode, status and version of what made them.

        In the order in which `rows` has the first of each, experiment by experiment.
        """
        place = func.row_number().over(partition_by=planned.c.experiment, order_by=_ORDER).label("place")
        key = (planned.c.experiment, planned.c.backend, planned.c.mode)
        numbered = select(*key, planned.c.trial_id, place).subquery()
        by: list[ColumnElement[Any]] = [numbered.c[column.name] for column in key]
        by += _plain((trials.c.status, *_MADE_BY))
        first = func.min(numbered.c.place)
        query = (
            select(*by, func.min(numbered.c.trial_id).label("trial_id"), func.count().label("trials"))
            .join_from(numbered, trials, numbered.c.trial_id == trials.c.trial_id, isouter=True)
            .group_by(*by)
            .order_by(numbered.c.experiment, first)
        )
        rows, found = self._checked(query, *key, trials.c.status, *_MADE_BY, planned.c.trial_id)
        for row in found:
            rows.parsed(row, "versions")
        return [row._asdict() | {"status": row.status or "pending"} for row in found]

    # -- results

    def scored(self, name: str) -> list[dict[str, Any]]:
        """What the best cell is chosen by: id, status, verdict and metrics of the experiment's finished trials."""
        columns = (planned.c.trial_id, trials.c.status, trials.c.verdict, trials.c.metrics)
        query = (
            select(*_plain(columns))
            .join_from(planned, trials, planned.c.trial_id == trials.c.trial_id)
            .where(planned.c.experiment == name)
            .order_by(*_ORDER)
        )
        rows, found = self._checked(query, *columns)
        return [
            {"trial_id": row.trial_id, "status": row.status, "verdict": row.verdict} | rows.metrics(row)
            for row in found
        ]

    def finished(self, name: str) -> dict[str, Finished]:
        """Trial id -> status, verdict and versions, of every planned trial of the experiment that is stored."""
        columns = (trials.c.trial_id, trials.c.status, trials.c.verdict, *_MADE_BY)
        query = (
            select(*_plain(columns))
            .join_from(planned, trials, planned.c.trial_id == trials.c.trial_id)
            .where(planned.c.experiment == name)
        )
        shared: dict[Made, Made] = {}
        rows = Rows(self.url, *columns)

        def read(connection: Connection) -> dict[str, Finished]:
            found = {}
            for row in connection.execute(query):
                rows.check(row)
                rows.parsed(row, "versions")
                trial_id, status, verdict, *made = row
                found[trial_id] = Finished(status, verdict, shared.setdefault(tuple(made), tuple(made)))
            return found

        return self._database.read(read)

    def save_results(self, results: Iterable[tuple[Mapping[str, Any], Mapping[str, bytes]]]) -> None:
        """Write finished trials, their artefacts included, in one transaction. Earlier results are replaced.

        What is no column of the table is a metric; one that is None is not defined.
        """
        finished_at = datetime.now(UTC).isoformat(timespec="seconds")
        rows, payloads = [], []
        for row, artefacts_of_row in results:
            rows.append(_result_row(row) | {"finished_at": finished_at})
            payloads += [
                {"trial_id": row["trial_id"], "kind": kind, "payload": payload}
                for kind, payload in artefacts_of_row.items()
            ]
        written = [row["trial_id"] for row in rows]

        def write(connection: Connection) -> None:
            for table in (trials, artefacts):
                connection.execute(delete(table).where(table.c.trial_id.in_(written)))
            connection.execute(insert(trials), rows)
            if payloads:
                connection.execute(insert(artefacts), payloads)

        self._database.write(write)

    def drop_artefacts(self, trial_ids: Iterable[str], kinds: Iterable[str], but_of: str) -> None:
        """Forget artefacts of trials that are no longer the best of the experiment `but_of`.

        Those that another experiment has planned too stay: there they may be the best.
        """
        elsewhere = exists().where(planned.c.trial_id == artefacts.c.trial_id, planned.c.experiment != but_of)
        query = delete(artefacts).where(
            artefacts.c.trial_id.in_(list(trial_ids)),
            artefacts.c.kind.in_(list(kinds)),
            ~elsewhere,
        )
        self._database.write(lambda connection: connection.execute(query))

    def artefacts(self, kind: str, trial_ids: Iterable[str]) -> dict[str, dict[str, np.ndarray]]:
        """Trial id -> arrays of one kind, for those of the trials that have it. Raises `RequestError`."""
        found: dict[str, dict[str, np.ndarray]] = {}
        wanted = iter(dict.fromkeys(trial_ids))
        while some := list(islice(wanted, _ROWS_AT_A_TIME)):
            query = (
                select(artefacts.c.trial_id, artefacts.c.payload)
                .where(artefacts.c.kind == kind, artefacts.c.trial_id.in_(some))
                .order_by(artefacts.c.trial_id)
            )
            for trial_id, payload in self._checked(query, artefacts.c.trial_id)[1]:
                found[trial_id] = arrays_of(self.url, "artefacts", trial_id, kind, payload)
        return found

    # -- references

    def reference_versions(self, reference_ids: Iterable[str]) -> dict[str, tuple[str, str]]:
        """Reference id -> the versions of harness and NumPy that it was trained with, of those that are stored."""
        columns = (references.c.reference_id, references.c.harness_version, references.c.numpy_version)
        found = self._of_references(reference_ids, *columns)
        return {key: (harness, numpy) for key, harness, numpy in found}

    def floors(self, reference_ids: Iterable[str]) -> dict[str, float | None]:
        """Reference id -> its floor, of those that are stored."""
        return dict(self._of_references(reference_ids, references.c.reference_id, references.c.floor))

    def save_reference(self, row: Mapping[str, Any], checkpoints: Mapping[str, Any]) -> None:
        """Write one reference, and what it kept on the way. An earlier one is replaced."""
        key = row["reference_id"]
        payload = {"trial_id": key, "kind": "checkpoints", "payload": pack(checkpoints)}

        def write(connection: Connection) -> None:
            connection.execute(delete(references).where(references.c.reference_id == key))
            connection.execute(delete(artefacts).where(artefacts.c.trial_id == key))
            connection.execute(insert(references), dict(row))
            connection.execute(insert(artefacts), payload)

        self._database.write(write)

    def references(self, reference_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Reference id -> floor and weights (None where it diverged), of those that are stored.

        Under "checkpoints" the arrays that it kept on the way; none where an earlier version trained it.
        """
        found = {row.reference_id: row._asdict() for row in self._of_references(reference_ids, *references.c)}
        checkpoints = self.artefacts("checkpoints", found)
        for key, reference in found.items():
            for name in ("weights", "first_epoch_weights"):
                payload = reference[name]
                if payload is not None:
                    reference[name] = weights_of(self.url, key, name, payload)
            reference["checkpoints"] = checkpoints.get(key, {})
        return found

    def _of_references(self, reference_ids: Iterable[str], *columns: Any) -> Iterator[Any]:
        wanted = iter(dict.fromkeys(reference_ids))
        while some := list(islice(wanted, _ROWS_AT_A_TIME)):
            yield from self._checked(select(*columns).where(references.c.reference_id.in_(some)), *columns)[1]

    def _checked(self, query: Select[Any], *columns: Column[Any]) -> tuple[Rows, Sequence[Any]]:
        """All rows of a query, whose first columns are these of the schema. Raises `RequestError` for a broken one."""
        rows, found = Rows(self.url, *columns), self._database.read(lambda each: each.execute(query).all())
        for row in found:
            rows.check(row)
        return rows, found


def _plain(columns: Iterable[Column[Any]]) -> list[ColumnElement[Any]]:
    """The columns as a query names them: JSON as text."""
    return [type_coerce(each, Text).label(each.name) if isinstance(each.type, JsonText) else each for each in columns]


def _planned_row(name: str, trial: Planned) -> dict[str, Any]:
    cell, settings = trial.describe()
    return {
        "experiment": name,
        "backend": trial.backend,
        "mode": trial.mode,
        "seed": trial.seed,
        "position": trial.position,
        "trial_id": trial.trial_id,
        "cell": cell,
        "settings": settings,
    }


def _result_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as its table has it: what is no column there is a metric."""
    measured = {key: value for key, value in row.items() if key not in trials.c and value is not None}
    return {**dict.fromkeys(trials.c.keys()), **{k: v for k, v in row.items() if k in trials.c}, "metrics": measured}
