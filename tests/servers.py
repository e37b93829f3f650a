"""PostgreSQL for tests: a server of one's own, which can be stopped and started, or one that is named.

`HARNESS_POSTGRES=postgresql+psycopg://me:secret@host/` names a running server in which databases can be made. Otherwise
one is started wherever its programs are found; where there are none the tests are skipped with that reason, or fail
with HARNESS_REQUIRE_POSTGRES=1. From Python, for scripts:

    with Server.running(folder) as server:     # an empty folder, which other users may enter
        url = server.database()                # a new database, as the URL of a store
        server.stop(); server.start()          # as an administrator would restart it
"""

import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PASSWORD = "s3cret-and-long"


def programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`: on the path, or where Debian has them."""
    found = shutil.which("initdb")
    if found and (Path(found).resolve().parent / "pg_ctl").exists():
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    return next((folder for folder in reversed(folders) if (folder / "initdb").exists()), None)


class Server:
    """A server on a free port of this machine, its files in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        found = programs()
        if found is None:
            raise RuntimeError("no PostgreSQL server here: apt-get install postgresql")
        self.programs = found
        self.data = folder / "data"
        self.log = folder / "log"
        self.port = _free_port()
        if _is_root():
            shutil.chown(folder, "postgres")
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run("initdb", "-D", self.data, "-U", "harness", "-A", "scram-sha-256", "--pwfile", secret, "-N")

    @classmethod
    @contextmanager
    def running(cls, folder: Path) -> Iterator["Server"]:
        """A started server, stopped at the end."""
        server = cls(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        self._run("pg_ctl", "-D", self.data, "-l", self.log, "-w", "-t", "120", "-o", options, "start")

    def stop(self) -> None:
        """Stop it as `systemctl` would: open connections are closed, what is committed is kept."""
        self._run("pg_ctl", "-D", self.data, "-w", "-t", "120", "-m", "fast", "stop")

    def database(self) -> str:
        """A new, empty database."""
        return new_database(f"postgresql+psycopg://harness:{PASSWORD}@127.0.0.1:{self.port}/postgres")

    def _run(self, program: str, *arguments: object) -> None:
        """As a user that is not root, whom the server refuses. No pipe: the server would hold its other end."""
        as_user = {"user": "postgres", "group": "postgres", "extra_groups": []} if _is_root() else {}
        command = [str(self.programs / program), *map(str, arguments)]
        with tempfile.TemporaryFile("w+") as told:
            done = subprocess.run(command, cwd="/", stdout=told, stderr=told, **as_user)  # type: ignore[call-overload]
            told.seek(0)
            if done.returncode:
                raise RuntimeError(f"{program} ended with {done.returncode}: {told.read()}")


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def new_database(url: str) -> str:
    """A new database in the server of `url`, as the URL of a store."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.engine import make_url

    name = f"harness_{uuid.uuid4().hex}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def sql(url: str, statement: str, **values: object) -> list[tuple[Any, ...]]:
    """Run a statement in the database of a store, as somebody else would, and give its rows."""
    from sqlalchemy import create_engine, text

    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            done = connection.execute(text(statement), values)
            return [tuple(row) for row in done] if done.returns_rows else []
    finally:
        engine.dispose()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server of our own, one a process of the tests."""
    if programs() is None:
        _absent()
    # not in pytest's own folder, which only its owner may enter: root does not run the server
    place = tempfile.TemporaryDirectory(prefix="harness-postgres-", ignore_cleanup_errors=True)
    with place as folder, Server.running(Path(folder)) as running:
        yield running


@pytest.fixture
def postgres(request: pytest.FixtureRequest) -> str:
    """The URL of a new, empty database."""
    named = os.environ.get("HARNESS_POSTGRES")
    if named:
        return new_database(named)
    return str(request.getfixturevalue("server").database())


def _absent() -> None:
    told = "no PostgreSQL server here: apt-get install postgresql"
    if os.environ.get("HARNESS_REQUIRE_POSTGRES") == "1":
        pytest.fail(told)
    pytest.skip(told)
