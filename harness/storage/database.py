"""The database behind a store's URL: transactions that wait for one that is away, and errors in one line."""

import re
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, func, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)

from harness.support.errors import RequestError
from harness.support.secrets import is_address, without, without_secrets

Result = TypeVar("Result")


class StoreError(RequestError):
    """What a database refused, in one line; `error` is what it said itself."""

    def __init__(self, message: str, error: SQLAlchemyError) -> None:
        super().__init__(message)
        self.error = error

    @property
    def is_unwritable(self) -> bool:
        """Whether a file, or the folder around it, cannot be written."""
        code = getattr(getattr(self.error, "orig", None), "sqlite_errorcode", 0) & 0xFF
        return code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)


PATIENCE = 3600.0
"""Seconds for which a server that went away, or the lock of a file, is waited for."""

_LOCKED = "it is locked by another program"
_LOCK_SECONDS = 2.0  # that the database itself waits at a time; Ctrl-C is heard between two
_SILENT_SECONDS = 10.0  # of a lock
_PAUSE = 0.5
_ATTEMPTS = 5  # at writing what another run is writing at the same moment
_LOCK = 0x6861726E  # of PostgreSQL, held by whoever writes: "harn"
_SHOWN = ("host", "port", "sslmode", "uri", "mode", "immutable")  # of the query of a URL
_PLAIN = {"user", "password", "dbname", "options"}  # names in a query that are no part of a secret
_WRITE = "write FILE.db or postgresql+psycopg://USER@HOST/NAME"
_NO_LOCK = "55P03"  # lock not available
_CLASHES = ("40001", "40P01")  # serialization failure, deadlock: a second attempt finds what the other has done


class Database:
    """A database. `name` is its URL as it may be shown: without a password."""

    def __init__(self, url: URL, name: str) -> None:
        self.url = url
        self.name = name
        self.is_file = url.get_backend_name() == "sqlite"
        self.opened = False  # once it was: then it is waited for when it is away
        self.engine = self._engine(url)

    def read(self, work: Callable[[Connection], Result]) -> Result:
        """What `work` reads, in one transaction."""
        return self._patiently(work, writes=False)

    def write(self, work: Callable[[Connection], Result]) -> Result:
        """Do `work` in one transaction: all or nothing. It may be begun again, so it leaves nothing else behind."""
        return self._patiently(work, writes=True)

    def read_rows(self, query: Any, at_a_time: int = 2000) -> Iterator[Any]:
        """The rows of an ordered query as they come, a few in memory at a time.

        From one transaction, unless the server goes away: then from another behind the last row that came.
        """
        patience, seen = _Patience(self), 0
        while True:
            try:
                with self._transaction(writes=False) as connection:
                    rows = connection.execution_options(yield_per=at_a_time).execute(query)
                    for row in islice(rows, seen, None):
                        seen += 1
                        yield row
                patience.end()
                return
            except SQLAlchemyError as error:
                patience.wait(error)

    def close(self) -> None:
        """Let go of it."""
        self.engine.dispose()

    def open_read_only(self, immutable: bool) -> None:
        """From now on as a file that nobody writes: of a folder that is read-only, or an archive."""
        self.close()
        path = quote(str(Path(str(self.url.database)).absolute()))
        location = f"file:{path}?mode=ro" + ("&immutable=1" if immutable else "")
        self.engine = self._engine(self.url, lambda: sqlite3.connect(location, uri=True, check_same_thread=False))

    def move_to(self, path: Path) -> None:
        """From now on another file, under the same name."""
        self.close()
        self.engine = self._engine(self.url.set(database=str(path)))

    def refusal(self, error: SQLAlchemyError) -> StoreError:
        """What a user is told of an error of the database."""
        told = self._first_line(error)
        if self.opened:
            return StoreError(f"store {self.name}: {told}; what was stored before is kept", error)
        return StoreError(f"store {self.name}: cannot be opened: {told}; give another --store", error)

    def _engine(self, url: URL, creator: Callable[[], Any] | None = None) -> Engine:
        given: dict[str, Any] = {} if creator is None else {"creator": creator, "poolclass": QueuePool}
        engine = create_engine(url, **given)
        if self.is_file:
            event.listen(engine, "connect", _configure_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
        return engine

    @contextmanager
    def _transaction(self, writes: bool) -> Iterator[Connection]:
        with self.engine.connect().execution_options(writes=writes) as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SET LOCAL lock_timeout = {1000 * _LOCK_SECONDS:.0f}"))
                if writes:  # one writer at a time, as in a file
                    connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
            yield connection
            self.opened = True

    def _patiently(self, work: Callable[[Connection], Result], writes: bool) -> Result:
        patience, clashes = _Patience(self), 0
        while True:
            try:
                with self._transaction(writes) as connection:
                    result = work(connection)
                patience.end()
                return result
            except SQLAlchemyError as error:
                if writes and _is_clash(error) and clashes < _ATTEMPTS:
                    clashes += 1
                else:
                    patience.wait(error)

    def passing(self, error: SQLAlchemyError) -> str | None:
        """What is waited for, or None where waiting would not help."""
        if not isinstance(error, DBAPIError):
            return None
        if self.is_file:
            code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
            return _LOCKED if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) else None
        if getattr(error.orig, "sqlstate", None) == _NO_LOCK:
            return _LOCKED
        gone = error.connection_invalidated or (error.statement is None and isinstance(error, OperationalError))
        return "the server does not answer" if gone and self.opened else None

    def tell(self, line: str) -> None:
        """Say what becomes of it, on standard error."""
        print(f"store {self.name}: {line}", file=sys.stderr, flush=True)

    def _first_line(self, error: SQLAlchemyError) -> str:
        original = error.orig if isinstance(error, DBAPIError) else error
        line = (str(original).strip() or type(original).__name__).splitlines()[0]
        tail = (self.url.host or "").rpartition("@")[0]  # of a password with an @ in it
        query = {name: value for name, value in self.url.query.items() if name not in _SHOWN}
        for secret in (self.url.password, tail, *query.values(), *(query.keys() - _PLAIN)):
            if isinstance(secret, str) and secret:
                line = without(line, secret)
        return without_secrets(line)


class _Patience:
    """How long one piece of work has waited for a database, and whether the user was told."""

    def __init__(self, database: Database) -> None:
        self.database, self.began, self.told = database, time.monotonic(), False

    def wait(self, error: SQLAlchemyError) -> None:
        """A pause after an error that will pass; raises any other, and where it has waited for too long."""
        waited, reason = time.monotonic() - self.began, self.database.passing(error)
        if reason is None or waited > PATIENCE:
            raise self.database.refusal(error) from None
        # writers wait for each other's locks all the time
        if not self.told and (reason != _LOCKED or waited >= _SILENT_SECONDS):
            self.told = True
            self.database.tell(f"{reason}; waiting for it, up to {PATIENCE / 60:.0f} min (what was stored is kept)")
        time.sleep(_PAUSE)

    def end(self) -> None:
        """The work is done."""
        if self.told:
            self.database.tell(f"there again, after {time.monotonic() - self.began:.0f} s")


def connect(store: str) -> Database:
    """The database of a store as users write it: a URL, or the name of an SQLite file. Nothing is opened yet."""
    url = store_url(store)
    name = shown(url)
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite" and _is_no_file(parsed):
            raise RequestError(f"store {name!r}: names no file, and all would be lost at the end; write FILE.db")
        return Database(parsed, name)
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError(f"store {name!r}: not a store; {_WRITE}") from None
    except ModuleNotFoundError as error:
        extra = "'backend-harness[postgres]'" if error.name == "psycopg" else error.name
        raise RequestError(f"store {name}: needs the package {error.name}; run: pip install {extra}") from None


def store_url(store: str) -> str:
    """The URL of a store: what is not a URL is the name of an SQLite file.

    Raises `RequestError` for what is neither: it may hold a password, so it is not repeated.
    """
    if "://" in store:
        if "?" in store.rpartition("@")[0]:  # read as a URL it would have another host
            scheme = store.partition("://")[0]
            raise RequestError(f"store {scheme}://…: an @ behind a ?; in a password write %40 for @ and %3F for ?")
        return store
    if is_address(store):
        raise RequestError(f"store: neither a URL nor a file; {_WRITE}")
    return f"sqlite:///{store.strip()}"


def shown(url: str) -> str:
    """A URL as it may stand in any output: with *** for its password, and of its query what is known to be no secret.

    Of what cannot be read as a URL the scheme alone is shown.
    """
    scheme = url.partition("://")[0]
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return f"{scheme}://…"
    query = {name: value for name, value in parsed.query.items() if name in _SHOWN}
    hidden = "…" if len(query) < len(parsed.query) else ""
    words = "&".join([*(f"{name}={value}" for name, value in query.items()), *filter(None, [hidden])])
    tail = f"?{words}" if words else ""
    if parsed.get_backend_name() == "sqlite":
        return f"{scheme}://{'…' if parsed.host or parsed.username else ''}/{parsed.database or ''}{tail}"
    plain = parsed.set(query={}).render_as_string(hide_password=True).replace("%2A%2A%2A", "***")
    return re.sub(r"://([^:/@]*):.*@", r"://\1:***@", plain) + tail  # an @ in a password ends it too early


def _is_no_file(url: URL) -> bool:
    """Whether SQLite is not told the name of a file: what it calls a URI may be memory by any of several words."""
    name = url.database or ":memory:"
    return name == ":memory:" or ("uri" in url.query and name.startswith("file:"))


def _is_clash(error: SQLAlchemyError) -> bool:
    """Whether another transaction was in the way, one that has ended since."""
    return isinstance(error, IntegrityError) or (
        isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _CLASHES
    )


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.text_factory = _text
    connection.isolation_level = None  # transactions begin where we say so, also before a table is made
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {1000 * _LOCK_SECONDS:.0f}")
    try:
        cursor.execute("PRAGMA journal_mode = WAL")  # readers and the writer do not wait for each other
    except sqlite3.OperationalError as error:
        # a file that cannot be written can still be read: reports of an archived store
        if "readonly" not in str(error):
            raise
    finally:
        cursor.close()


def _text(value: bytes) -> str | bytes:
    """A text of the file; bytes that are none stay such, for whoever reads them to name their row."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _begin_sqlite(connection: Connection) -> None:
    """A writer says so at once: one that has only read when another writes could not become one any more."""
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
