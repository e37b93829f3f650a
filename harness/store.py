"""The store: plans, results, references and artefacts in SQLite (or another database, by URL), through SQLAlchemy.

A row is written in one transaction when its trial is finished, never before: what is not finished is not in it.
"""

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    delete,
    event,
    inspect,
    select,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, SQLAlchemyError

from harness import metrics
from harness.errors import RequestError
from harness.trainer import Weights

DEFAULT_STORE = "sqlite:///results/harness.db"

_ROWS_AT_A_TIME = 5000  # of a plan, which may have 100,000

_metadata = MetaData()

METRICS = tuple(f"{part}_{metric}" for metric in metrics.METRICS for part in ("train", "validation", "test"))

experiments = Table(
    "experiments",
    _metadata,
    Column("name", String, primary_key=True),
    Column("title", String, nullable=False),
    Column("definition", String, nullable=False),  # canonical JSON of what makes its cells
    Column("axes", JSON, nullable=False),
    Column("facts", JSON, nullable=False),
)

planned = Table(
    "planned",
    _metadata,
    Column("experiment", String, primary_key=True),
    Column("backend", String, primary_key=True),
    Column("mode", String, primary_key=True),
    Column("seed", Integer, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("trial_id", String(64), nullable=False, index=True),
    Column("cell", JSON, nullable=False),
    Column("settings", JSON, nullable=False),
)

trials = Table(
    "trials",
    _metadata,
    Column("trial_id", String(64), primary_key=True),
    Column("status", String, nullable=False),
    Column("reason", String),
    *(Column(name, Float) for name in METRICS),
    Column("deviation", Float),
    Column("deviation_first_epoch", Float),
    Column("floor", Float),
    Column("verdict", String),
    Column("epochs_run", Integer),
    Column("stack_size", Integer),
    Column("build_seconds", Float),
    Column("train_seconds", Float),
    Column("predict_seconds", Float),
    Column("backend_version", String, nullable=False),
    Column("numpy_version", String, nullable=False),
    Column("harness_version", String, nullable=False),
    Column("machine", JSON, nullable=False),
    Column("finished_at", String, nullable=False),
)

references = Table(
    "references",
    _metadata,
    Column("reference_id", String(64), primary_key=True),
    Column("floor", Float),
    Column("weights", LargeBinary),
    Column("first_epoch_weights", LargeBinary),
    Column("numpy_version", String, nullable=False),
    Column("harness_version", String, nullable=False),
)

artefacts = Table(
    "artefacts",
    _metadata,
    Column("trial_id", String(64), primary_key=True),  # or the id of a reference, which has "checkpoints"
    Column("kind", String, primary_key=True),  # "curves", "confusion", "parity", "weights", "predictions", "plane"
    Column("payload", LargeBinary, nullable=False),
)


def pack(arrays: Mapping[str, Any]) -> bytes:
    """Named arrays as the bytes of an NPZ file; nothing in it is pickled.

    Uncompressed: the small arrays of a trial would take three times as long, and weights hardly shrink.
    """
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{key: np.asarray(value) for key, value in arrays.items()})
    return buffer.getvalue()


def unpack(payload: bytes) -> dict[str, np.ndarray]:
    """The arrays that `pack` packed. Pickled content is refused."""
    with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
        return dict(arrays)


def flatten(weights: Weights, prefix: str = "") -> dict[str, np.ndarray]:
    """Weights as `{"0/W": …, "0/b": …}`, the layout of every NPZ that we write."""
    return {f"{prefix}{k}/{key}": value for k, layer in enumerate(weights) for key, value in layer.items()}


def unflatten(arrays: Mapping[str, np.ndarray]) -> Weights:
    """The weights that `flatten` flattened."""
    layers: dict[int, dict[str, np.ndarray]] = {}
    for name, value in arrays.items():
        k, key = name.split("/")
        layers.setdefault(int(k), {})[key] = value
    return tuple(layers[k] for k in sorted(layers))


def store_url(store: str) -> str:
    """The URL of a store: what is not a URL is the name of an SQLite file."""
    return store if "://" in store else f"sqlite:///{store}"


class Store:
    """One database, at a URL or in an SQLite file. Opening it makes the tables where they are missing."""

    def __init__(self, url: str, must_exist: bool = False) -> None:
        self.url = store_url(url)
        self.engine = _engine(self.url, must_exist)
        try:
            self._make_tables(must_exist)
        except SQLAlchemyError as error:
            raise RequestError(f"store {url}: cannot be opened: {_first_line(error)}; give another --store") from None

    def _make_tables(self, must_exist: bool) -> None:
        """Make what is missing, but nothing in a database that is only to be read, or is another program's."""
        inspector = inspect(self.engine)
        present = set(inspector.get_table_names()) & set(_metadata.tables)
        for name in present:
            columns = {column["name"] for column in inspector.get_columns(name)}
            if not columns >= set(_metadata.tables[name].columns.keys()):
                raise RequestError(f"store {self.url}: its table {name!r} is not the harness's; give another store")
        if present == set(_metadata.tables):
            return
        if must_exist:
            raise RequestError(f"store {self.url}: holds no results of the harness; harness run fills it")
        _metadata.create_all(self.engine)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """All or nothing. What the database refuses (a full disk, a read-only file) is told in one line."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise RequestError(f"store {self.url}: {_first_line(error)}; what was stored before is kept") from None

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()

    # -- plans

    def save_plan(
        self,
        name: str,
        title: str,
        definition: str,
        axes: dict[str, Any],
        facts: dict[str, Any],
        rows: Iterable[dict[str, Any]],
    ) -> None:
        """Add planned trials to the experiment; those of an earlier, other definition under this name are dropped."""
        with self._transaction() as connection:
            known = connection.scalar(select(experiments.c.definition).where(experiments.c.name == name))
            if known != definition:
                connection.execute(delete(planned).where(planned.c.experiment == name))
            connection.execute(delete(experiments).where(experiments.c.name == name))
            connection.execute(
                experiments.insert(),
                {"name": name, "title": title, "definition": definition, "axes": axes, "facts": facts},
            )
            key = (planned.c.backend, planned.c.mode, planned.c.seed, planned.c.position)
            there = {tuple(row) for row in connection.execute(select(*key).where(planned.c.experiment == name))}
            missing = (
                {"experiment": name, **row}
                for row in rows
                if (row["backend"], row["mode"], row["seed"], row["position"]) not in there
            )
            while some := list(islice(missing, _ROWS_AT_A_TIME)):
                connection.execute(planned.insert(), some)

    def experiment_names(self) -> list[str]:
        """The experiments that this store knows, in alphabetical order."""
        with self._transaction() as connection:
            return list(connection.scalars(select(experiments.c.name).order_by(experiments.c.name)))

    def experiment(self, name: str) -> dict[str, Any]:
        """Title, axes and facts of an experiment."""
        with self._transaction() as connection:
            row = connection.execute(select(experiments).where(experiments.c.name == name)).mappings().one()
            return dict(row)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Every planned trial of the experiment with its result, or with the status "pending"."""
        query = (
            select(planned, *(column for column in trials.c if column.name != "trial_id"))
            .join_from(planned, trials, planned.c.trial_id == trials.c.trial_id, isouter=True)
            .where(planned.c.experiment == name)
            .order_by(planned.c.seed, planned.c.position, planned.c.mode)
        )
        with self._transaction() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        for row in rows:
            row["status"] = row["status"] or "pending"
        return rows

    # -- results

    def scored(self, name: str) -> list[dict[str, Any]]:
        """What the best cell is chosen by: id, status, verdict and metrics of the experiment's finished trials."""
        measured = (trials.c.status, trials.c.verdict, *(trials.c[metric] for metric in METRICS))
        query = (
            select(planned.c.trial_id, *measured)
            .join_from(planned, trials, planned.c.trial_id == trials.c.trial_id)
            .where(planned.c.experiment == name)
            .order_by(planned.c.seed, planned.c.position, planned.c.mode)
        )
        with self._transaction() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def finished(self) -> dict[str, dict[str, Any]]:
        """Trial id -> status, verdict and versions, of everything that is stored."""
        names = ("trial_id", "status", "verdict", "backend_version", "numpy_version", "harness_version")
        columns = [trials.c[name] for name in names]
        with self._transaction() as connection:
            return {row["trial_id"]: dict(row) for row in connection.execute(select(*columns)).mappings()}

    def save_results(self, results: Iterable[tuple[Mapping[str, Any], Mapping[str, bytes]]]) -> None:
        """Write finished trials, their artefacts included, in one transaction. Earlier results are replaced."""
        finished_at = datetime.now(UTC).isoformat(timespec="seconds")
        rows, payloads = [], []
        for row, artefacts_of_row in results:
            rows.append({**row, "finished_at": finished_at})
            payloads += [
                {"trial_id": row["trial_id"], "kind": kind, "payload": payload}
                for kind, payload in artefacts_of_row.items()
            ]
        written = [row["trial_id"] for row in rows]
        with self._transaction() as connection:
            for table in (trials, artefacts):
                connection.execute(delete(table).where(table.c.trial_id.in_(written)))
            connection.execute(trials.insert(), rows)
            if payloads:
                connection.execute(artefacts.insert(), payloads)

    def drop_artefacts(self, trial_id: str, kinds: Iterable[str]) -> None:
        """Forget artefacts of a trial that is no longer the best of its backend."""
        with self._transaction() as connection:
            connection.execute(
                delete(artefacts).where(artefacts.c.trial_id == trial_id, artefacts.c.kind.in_(list(kinds)))
            )

    def artefacts(self, kind: str, trial_ids: Iterable[str]) -> dict[str, dict[str, np.ndarray]]:
        """Trial id -> arrays of one kind, for those of the trials that have it."""
        found: dict[str, dict[str, np.ndarray]] = {}
        wanted = iter(dict.fromkeys(trial_ids))
        with self._transaction() as connection:
            while some := list(islice(wanted, _ROWS_AT_A_TIME)):
                query = select(artefacts.c.trial_id, artefacts.c.payload).where(
                    artefacts.c.kind == kind, artefacts.c.trial_id.in_(some)
                )
                found |= {row.trial_id: unpack(row.payload) for row in connection.execute(query)}
        return found

    # -- references

    def reference_versions(self) -> dict[str, tuple[str, str]]:
        """Reference id -> the versions of harness and NumPy that it was trained with."""
        columns = (references.c.reference_id, references.c.harness_version, references.c.numpy_version)
        with self._transaction() as connection:
            return {key: (harness, numpy) for key, harness, numpy in connection.execute(select(*columns))}

    def floors(self) -> dict[str, float | None]:
        """Reference id -> its floor."""
        with self._transaction() as connection:
            rows = connection.execute(select(references.c.reference_id, references.c.floor))
            return {row.reference_id: row.floor for row in rows}

    def save_reference(self, row: Mapping[str, Any], checkpoints: Mapping[str, Any]) -> None:
        """Write one reference, and what it kept on the way. An earlier one is replaced."""
        key = row["reference_id"]
        with self._transaction() as connection:
            connection.execute(delete(references).where(references.c.reference_id == key))
            connection.execute(delete(artefacts).where(artefacts.c.trial_id == key))
            connection.execute(references.insert(), dict(row))
            connection.execute(
                artefacts.insert(), {"trial_id": key, "kind": "checkpoints", "payload": pack(checkpoints)}
            )

    def references(self, reference_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Reference id -> floor and weights (None where it diverged), of those that are stored.

        Under "checkpoints" the arrays that it kept on the way; none where an earlier version trained it.
        """
        wanted = list(dict.fromkeys(reference_ids))
        with self._transaction() as connection:
            rows = connection.execute(select(references).where(references.c.reference_id.in_(wanted))).mappings()
            found = {row["reference_id"]: dict(row) for row in rows}
        checkpoints = self.artefacts("checkpoints", found)
        for key, reference in found.items():
            for name in ("weights", "first_epoch_weights"):
                reference[name] = None if reference[name] is None else unflatten(unpack(reference[name]))
            reference["checkpoints"] = checkpoints.get(key, {})
        return found


def _engine(url: str, must_exist: bool) -> Engine:
    try:
        parsed = make_url(url)
        engine = create_engine(parsed, json_serializer=_to_json, json_deserializer=_from_json)
    except (ArgumentError, NoSuchModuleError):
        raise RequestError(f"store {url!r}: not a store; write FILE.db or postgresql+psycopg://HOST/NAME") from None
    except ModuleNotFoundError as error:
        raise RequestError(f"store {url}: needs the package {error.name}; run: pip install {error.name}") from None
    if parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
        _prepare_file(url, Path(str(parsed.database)), must_exist)
        event.listen(engine, "connect", _configure_sqlite)
    return engine


def _prepare_file(url: str, path: Path, must_exist: bool) -> None:
    if must_exist and not path.is_file():
        raise RequestError(f"store {url}: there is no such file; `harness run` makes one, or give --store FILE.db")
    if url == DEFAULT_STORE and not must_exist:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RequestError(f"store {url}: its folder cannot be made: {error.strerror}; give another") from None
    if not path.parent.is_dir():
        raise RequestError(f"store {url}: the folder {str(path.parent)!r} does not exist; make it first")


def _configure_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout = 60000")
    try:
        cursor.execute("PRAGMA journal_mode = WAL")  # readers and the writer do not wait for each other
    except Exception as error:
        # a file that cannot be written can still be read: reports of an archived store
        if "readonly" not in str(error):
            raise
    cursor.close()


def _from_json(text: str) -> Any:
    """The parsed JSON. Half a character (a lone surrogate), which no text can hold, becomes "?"; we write none."""
    value = json.loads(text)
    if r"\ud" not in text.lower():
        return value
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


_to_json = json.JSONEncoder(default=lambda item: item.item() if hasattr(item, "item") else list(item)).encode


def _first_line(error: SQLAlchemyError) -> str:
    original = error.orig if isinstance(error, DatabaseError) else error
    return str(original).splitlines()[0]
