"""Opening a store: its tables are made where there are none, and those of an earlier harness brought up to date.

A file is copied before it is changed, and then changed in one transaction. A server may serve other people's harness
too: there `harness store upgrade` is asked for.
"""

import shutil
import sqlite3
import sys
import tempfile
import weakref
from pathlib import Path

from sqlalchemy import Connection, insert, inspect, select, text

from harness.storage import schema
from harness.storage.database import Database, StoreError, connect
from harness.support.errors import RequestError

DEFAULT_STORE = "sqlite:///results/harness.db"

MIGRATIONS = Path(__file__).with_name("migrations")
"""Where Alembic finds the revisions."""

_TABLES = ("experiments", "planned", "trials", "references", "artefacts")


class EmptyStore(RequestError):
    """There is a database, and nothing of the harness in it."""


def open_database(store: str, must_exist: bool = False, upgrade: bool = True) -> Database:
    """The database of a store, its tables as this harness knows them; with `upgrade` false as they are.

    With `must_exist` nothing is made. Raises `RequestError`.
    """
    database = connect(store)
    if database.is_file:
        _prepare_file(database, store, must_exist)
    found = _look(database)
    if found is None:
        if must_exist:
            raise EmptyStore(f"store {database.name}: holds no results of the harness; harness run fills it")
        database.write(_make)
    elif found != schema.HEAD and upgrade:
        _bring_up_to_date(database, found, must_exist)
    return database


def upgrade(store: str) -> tuple[Database, str, str | None]:
    """Bring a store up to date, on a server too: the database, the revision before, and where the copy is."""
    database = open_database(store, must_exist=True, upgrade=False)
    found = _look(database)
    assert found is not None
    if found == schema.HEAD:
        return database, found, None
    copy = _upgrade_file(database) if database.is_file else database.write(_upgrade_server)
    return database, found, copy


def revision_of(connection: Connection, shown: str) -> str | None:
    """The revision of the tables in a database, or None where there are none.

    Raises `RequestError` for those of a later harness, or of another program; `shown` is the store's name.
    """
    inspector = inspect(connection)
    names = set(inspector.get_table_names())
    has_version = schema.version.name in names
    told = connection.scalar(select(schema.version.c.version_num)) if has_version else None
    if has_version and told is None:
        raise RequestError(
            f"store {shown}: its table {schema.version.name!r} has no row, which says the schema of the others; "
            "give another store, or a copy of this one from before"
        )
    if told is not None and told not in schema.REVISIONS:
        raise RequestError(
            f"store {shown}: written by a later harness (schema {told}; this one knows {schema.HEAD}); "
            "run: pip install -U backend-harness"
        )
    present = [name for name in _TABLES if name in names]
    for name in present:
        columns = {column["name"] for column in inspector.get_columns(name)}
        known = set(schema.metadata.tables[name].columns.keys())
        if told is None and name == "trials":
            known -= schema.NEWER_THAN_FIRST
        if not columns >= known:
            raise RequestError(f"store {shown}: its table {name!r} is not the harness's; give another store")
    if len(present) < len(_TABLES):
        return None
    return told or schema.REVISIONS[0]


def _look(database: Database) -> str | None:
    """The revision of a store; a file that cannot be written is opened as one that is only read."""

    def look(connection: Connection) -> str | None:
        return revision_of(connection, database.name)

    try:
        return database.read(look)
    except StoreError as refused:
        path = Path(str(database.url.database))
        if not (database.is_file and refused.is_unwritable and path.is_file()):
            raise
    wal = path.with_name(f"{path.name}-wal")  # what it holds belongs to the file, and has to be read with it
    database.open_read_only(immutable=not (wal.exists() and wal.stat().st_size))
    return database.read(look)


def _make(connection: Connection) -> None:
    """Make what is missing of the tables. Another run may have done it since we looked, or stopped half-way."""
    names = set(inspect(connection).get_table_names())
    if schema.version.name in names:
        return
    if names & set(_TABLES):  # begun by an earlier harness, which was stopped between two of them
        _migrate(connection)
        return
    schema.metadata.create_all(connection)
    connection.execute(insert(schema.version), {"version_num": schema.HEAD})


def _bring_up_to_date(database: Database, found: str, must_exist: bool) -> None:
    if not database.is_file:
        raise RequestError(
            f"store {database.name}: written by an earlier harness (schema {found}; this one writes {schema.HEAD}); "
            "run: harness store upgrade --store URL, which copies its tables first"
        )
    try:
        copy = _upgrade_file(database)
    except RequestError:
        if not must_exist:
            raise
        _read_a_copy(database)  # of a file, or a folder, that cannot be written
        return
    if copy:
        print(
            f"store {database.name}: brought up to date (schema {schema.HEAD}); as it was, it is kept in {copy}",
            file=sys.stderr,
            flush=True,
        )


def _upgrade_file(database: Database) -> str | None:
    """Upgrade an SQLite file; gives the name of the copy, or None where another process was faster."""
    path = Path(str(database.url.database))
    database.write(lambda connection: None)  # before anything is copied: can it be written?
    copy = _free_name(path)
    try:
        _copy(database, copy)
        changed = database.write(_migrate)
    except BaseException:
        copy.unlink(missing_ok=True)
        raise
    if not changed:
        copy.unlink()
    return str(copy) if changed else None


def _upgrade_server(connection: Connection) -> str | None:
    """Upgrade the tables of a server, copied beside themselves before, all in one transaction."""
    suffix = f"_before_{schema.HEAD}"
    if _is_up_to_date(connection):
        return None
    quoted = connection.dialect.identifier_preparer.quote
    for name in _TABLES:
        connection.execute(text(f"CREATE TABLE {quoted(name + suffix)} AS SELECT * FROM {quoted(name)}"))
    _migrate(connection)
    return f"the tables *{suffix}"


def _read_a_copy(database: Database) -> None:
    """Go on with an upgraded copy of a file that cannot be written itself; it is gone with the process."""
    folder = Path(tempfile.mkdtemp(prefix="harness-store-"))
    weakref.finalize(database, shutil.rmtree, folder, ignore_errors=True)
    copy = folder / Path(str(database.url.database)).name
    _copy(database, copy)
    database.move_to(copy)
    database.write(_migrate)


def _copy(database: Database, copy: Path) -> None:
    """Copy an SQLite file as it is at one moment, whoever writes to it; the copy is whole or not there."""
    partial = copy.with_name(f"{copy.name}.partial")
    try:
        source = database.engine.raw_connection()
        try:
            target = sqlite3.connect(partial)
            try:
                source.driver_connection.backup(target)  # type: ignore[union-attr]
            finally:
                target.close()
        finally:
            source.close()
        partial.replace(copy)
    except (sqlite3.Error, OSError) as error:
        partial.unlink(missing_ok=True)
        raise RequestError(
            f"store {database.name}: written by an earlier harness, and cannot be copied to {copy} to be brought up to "
            f"date: {error}; make room there"
        ) from None


def _free_name(path: Path) -> Path:
    name = f"{path.name}.before-{schema.HEAD}"
    taken = 1
    while (copy := path.with_name(name if taken == 1 else f"{name}-{taken}")).exists():
        taken += 1
    return copy


def _migrate(connection: Connection) -> bool:
    """Run the revisions that are missing, in the transaction of `connection`; False where none was."""
    from alembic import command
    from alembic.config import Config

    if _is_up_to_date(connection):
        return False
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return True


def _is_up_to_date(connection: Connection) -> bool:
    there = schema.version.name in inspect(connection).get_table_names()
    return there and connection.scalar(select(schema.version.c.version_num)) == schema.HEAD


def _prepare_file(database: Database, store: str, must_exist: bool) -> None:
    path = Path(str(database.url.database))
    if must_exist and not path.is_file():
        raise RequestError(
            f"store {database.name}: there is no such file; `harness run` makes one, or give --store FILE.db"
        )
    if store == DEFAULT_STORE and not must_exist:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RequestError(
                f"store {database.name}: its folder cannot be made: {error.strerror}; give another"
            ) from None
    if not path.parent.is_dir():
        raise RequestError(f"store {database.name}: the folder {str(path.parent)!r} does not exist; make it first")
