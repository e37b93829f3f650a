"""What a store does when two write at once, when its database is away, broken, read-only or secret."""

import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

import harness
from harness.cli import invoke
from harness.experiment.file import parse
from harness.registry import BUILT_IN
from harness.storage import database as databases
from harness.storage import opening
from harness.storage.arrays import pack, unpack
from harness.storage.database import shown
from harness.storage.store import Planned, Store
from harness.support.errors import RequestError
from harness.support.secrets import without_secrets
from tests.conftest import small_table
from tests.servers import PASSWORD, sql
from tests.synthetic import grid, write_store


def planned(number, trial_id=None):
    return Planned(
        "numpy", "native", 0, number, trial_id or f"{number:064d}", lambda: ({"l2": number}, {"hidden": [4]})
    )


def save_plan(store, plan, definition="{}"):
    store.save_plan("small", "Small", definition, {}, {}, plan)


def row(number, **others):
    made = {"backend_version": "1", "numpy_version": "2", "harness_version": "3", "machine": {"system": "none"}}
    return {"trial_id": f"{number:064d}", "status": "ok", "test_loss": 0.5} | made | others


# -- writers beside each other


def test_many_runs_can_begin_at_once(any_store):
    def begin(number):
        with closing(Store(any_store)) as store:
            save_plan(store, [planned(each) for each in range(200)])
            store.save_results([(row(each), {"curves": pack({"epoch": np.arange(3)})}) for each in range(20)])

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(begin, range(8)))
    with closing(Store(any_store)) as store:
        rows = store.rows("small")
    assert len(rows) == 200
    assert sum(each["status"] == "ok" for each in rows) == 20


def test_what_a_metric_was_is_what_is_read(any_store):
    values = {"test_loss": float("inf"), "test_mse": float("nan"), "test_f1": 0.1 + 0.2, "train_loss": 5e-324}
    with closing(Store(any_store)) as store:
        save_plan(store, [planned(0)])
        store.save_results([(row(0, **values, deviation=float("inf")), {})])
        (found,) = store.rows("small")
    assert {name: repr(found[name]) for name in values} == {name: repr(value) for name, value in values.items()}
    assert found["deviation"] == float("inf")
    assert found["validation_loss"] is None


def test_a_trial_that_became_another_is_planned_anew(any_store):
    with closing(Store(any_store)) as store:
        save_plan(store, [planned(0), planned(1)])
        save_plan(store, [planned(0, "f" * 64), planned(1)])  # a file of weights was edited: the same key, another id
        assert [each["trial_id"][-1] for each in store.rows("small")] == ["f", "1"]


def test_artefacts_of_a_trial_that_another_experiment_has_planned_stay(any_store):
    with closing(Store(any_store)) as store:
        save_plan(store, [planned(0), planned(1)])
        store.save_plan("other", "", "{}", {}, {}, [planned(0)])
        heavy = {"weights": pack({"0/W": np.ones(2)}), "curves": pack({"epoch": np.ones(2)})}
        store.save_results([(row(0), heavy), (row(1), heavy)])
        ids = [f"{number:064d}" for number in (0, 1)]
        store.drop_artefacts(ids, ["weights"], but_of="small")
        assert list(store.artefacts("weights", ids)) == ids[:1]
        assert list(store.artefacts("curves", ids)) == ids


# -- a database that is away


def test_a_server_that_stops_costs_a_wait_with_a_line(server, capfd):
    url = server.database()
    with closing(Store(url)) as store:
        save_plan(store, [planned(0)])
        server.stop()
        threading.Timer(3, server.start).start()
        store.save_results([(row(0), {})])
        assert [each["status"] for each in store.rows("small")] == ["ok"]
    told = capfd.readouterr().err.splitlines()
    assert len(told) == 2
    assert "the server does not answer; waiting for it" in told[0]
    assert "there again, after" in told[1]


def test_rows_that_are_being_read_go_on_when_the_server_is_back(server, capfd, monkeypatch):
    read_rows = databases.Database.read_rows
    monkeypatch.setattr(databases.Database, "read_rows", lambda self, query: read_rows(self, query, at_a_time=2))
    with closing(Store(server.database())) as store:
        save_plan(store, [planned(number) for number in range(9)])
        reading = store.each_row("small")
        found = [next(reading)]
        server.stop()
        threading.Timer(3, server.start).start()
        found += reading
    assert [each["position"] for each in found] == list(range(9))
    assert "the server does not answer; waiting for it" in capfd.readouterr().err


@pytest.mark.parametrize("lock", ["LOCK TABLE trials", "SELECT pg_advisory_xact_lock({})"])
def test_a_lock_of_somebody_else_s_on_a_server_is_waited_for_and_said(server, capfd, monkeypatch, lock):
    monkeypatch.setattr(databases, "_LOCK_SECONDS", 0.2)
    monkeypatch.setattr(databases, "_SILENT_SECONDS", 0.5)
    url = server.database()
    with closing(Store(url)) as opened, closing(databases.connect(url)) as other:
        save_plan(opened, [planned(0)])
        holding = other.engine.connect()
        holding.execute(text(lock.format(databases._LOCK)))
        threading.Timer(3, holding.close).start()
        opened.save_results([(row(0), {})])
        assert [each["status"] for each in opened.rows("small")] == ["ok"]
    assert "it is locked by another program; waiting for it" in capfd.readouterr().err


def test_a_run_goes_on_when_its_server_was_away(server, capfd):
    url = server.database()
    table = small_table()
    table["run"] |= {"backends": ["numpy"], "seeds": 3}

    def restart():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if sql(url, "select count(*) from planned")[0][0]:
                    break
            except Exception:
                time.sleep(0.05)
        server.stop()
        time.sleep(2)
        server.start()

    restarting = threading.Thread(target=restart)
    restarting.start()
    try:
        frame = harness.run(parse(table), store=url, progress=False).frame()
    finally:
        restarting.join()
    assert set(frame["status"]) == {"ok"}
    assert len(frame) == 24


def test_a_server_that_never_was_there_is_refused_at_once(capfd):
    assert invoke(["status", "--store", f"postgresql+psycopg://me:{PASSWORD}@127.0.0.1:1/none"]) == 2
    told = capfd.readouterr().err
    assert told.count("\n") == 1
    assert "cannot be opened" in told
    assert PASSWORD not in told


def test_a_locked_file_is_waited_for_and_says_so(store, capfd, monkeypatch):
    monkeypatch.setattr(databases, "_LOCK_SECONDS", 0.2)
    monkeypatch.setattr(databases, "_SILENT_SECONDS", 0.5)
    with closing(Store(store)) as opened:
        save_plan(opened, [planned(0)])
        other = sqlite3.connect(store.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(3, other.rollback).start()
        opened.save_results([(row(0), {})])
        other.close()
    assert "it is locked by another program; waiting for it" in capfd.readouterr().err


def test_patience_has_an_end(store, monkeypatch):
    monkeypatch.setattr(databases, "_LOCK_SECONDS", 0.1)
    monkeypatch.setattr(databases, "PATIENCE", 0.5)
    with closing(Store(store)) as opened, closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RequestError, match=r"database is locked; what was stored before is kept"):
            save_plan(opened, [planned(0)])


# -- secrets


SECRET_URLS = (
    "postgresql+psycopg://me:{}@127.0.0.1:1/none",
    "postgresql+psycopg://127.0.0.1:1/none?user=me&password={}",
    "postgresql+psycopg://me:half@{}@127.0.0.1:1/none",
    "nosuchdatabase://me:{}@host/none",
    "postgresql+psycopg://me:{}@host:port/none",
    "mysql+pymysql://me:{}@127.0.0.1/none",
    "postgresql+psycopg:/me:{}@h/db",
    "postgresql+psycopg:me:{}@h/db",
    "me:{}@h/db",
    "host=h dbname=db password={}",
    "sqlite://me:{}@/x",
    "sqlite:///no/such/x.db?key={}",
    "postgresql+psycopg://127.0.0.1:1/none?pass={}",
    "postgresql+psycopg://127.0.0.1:1/none?PASSWORD={}",
    "postgresql+psycopg://127.0.0.1:1/none?pasword={}",
    "postgresql+psycopg://127.0.0.1:1/none?oauth_client_secret={}",
    "postgresql+psycopg://127.0.0.1:1/none?password=p@{}",
    "postgresql+psycopg://127.0.0.1:1/none?password=a&{}=b",
    "postgresql+psycopg://me:{}h/db",
)


@pytest.mark.parametrize("url", SECRET_URLS)
def test_no_command_prints_a_password(url, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = url.format(PASSWORD)
    first = str(Path(__file__).with_name("stores") / "first/folds.toml")
    commands = (["status"], ["export"], ["report"], ["report", "--json"], ["run", first], ["store", "upgrade"])
    for arguments in commands:
        assert invoke([*arguments, "--store", store]) == 2
        out, err = capfd.readouterr()
        assert err.count("\n") == 1, err
        assert PASSWORD not in out + err
    assert invoke(["report", "--compare", store, store]) == 2
    assert PASSWORD not in "".join(capfd.readouterr())
    from harness.execution.doctor import look_at_store

    assert PASSWORD not in repr(look_at_store(store))


@pytest.mark.parametrize("url", SECRET_URLS)
def test_nor_where_it_was_given_as_something_else(url, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = url.format(PASSWORD)
    commands = (
        *(
            ["status", store],
            ["run", store],
            ["report", "--experiment", store],
            ["store", store],
            ["trace", store, store],
        ),
        *(["explain", store], ["conventions", store, "torch", "keras"], ["dump", store], ["export", store], [store]),
        ["run", "digits-quick", "--out", "out", "--backends", store],
    )
    for arguments in commands:
        assert invoke(arguments) == 2
        out, err = capfd.readouterr()
        assert err.count("\n") == 1, err
        assert PASSWORD not in out + err


def test_one_letter_of_a_password_does_not_spoil_a_line(capfd):
    assert invoke(["status", "--store", "postgresql+psycopg://me:a@127.0.0.1:1/none"]) == 2
    told = capfd.readouterr().err
    assert told.count("***") == 1
    assert "cannot be opened" in told


@pytest.mark.parametrize(
    "line",
    [
        "store sqlite:///x.db: there is no such file",
        "store sqlite:////tmp/x.db: locked by another program; waiting for it, up to 60 min",
        "see https://docs.example.org:8080/a/b.html#c: it says so",
        "http://127.0.0.1:8000/report.html",
        "experiment.toml: training.optimizer = 'adm': unknown optimizer 'adm': did you mean 'adam'?",
        "store postgresql+psycopg://me:***@host:5432/db?sslmode=require: the server does not answer",
        "12:30 C:\\x.db a.npz and b.npz: weights/0/W (7, 6, 7)",
    ],
)
def test_what_is_no_secret_stays(line):
    assert without_secrets(line) == line


def test_no_output_of_a_run_holds_the_password(postgres, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    secret = PASSWORD if PASSWORD in postgres else None
    if secret is None:
        pytest.skip("the server that HARNESS_POSTGRES names has a password of its own")
    first = str(Path(__file__).with_name("stores") / "first/folds.toml")
    for arguments in (["run", first], ["run", first, "--json"], ["status"], ["report", "--json"], ["export"]):
        assert invoke([*arguments, "--store", postgres]) == 0
        assert secret not in "".join(capfd.readouterr())
    assert "***" in shown(postgres)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if secret.encode() in path.read_bytes()]
    for table in ("experiments", "planned", "trials"):
        assert secret not in repr(sql(postgres, f"select * from {table}"))


# -- stores that are no good


@pytest.mark.parametrize(
    "name", ["", "  ", "sqlite://", ":memory:", "sqlite:///:memory:", "sqlite:///file::memory:?uri=true"]
)
def test_a_store_that_would_be_lost_is_refused(name, capfd, tmp_path):
    first = str(Path(__file__).with_name("stores") / "first/folds.toml")
    assert invoke(["run", first, "--store", name, "--out", str(tmp_path)]) == 2
    told = capfd.readouterr().err
    assert told.count("\n") == 1
    assert "write FILE.db" in told


_CURVES = "trial_id = :key AND kind = 'curves'"
BROKEN = {
    "half a payload": (f"UPDATE artefacts SET payload = substr(payload, 1, 100) WHERE {_CURVES}", "curves"),
    "another payload": (f"UPDATE artefacts SET payload = X'504b0304' WHERE {_CURVES}", "curves"),
    "a text for a deviation": ("UPDATE trials SET deviation = 'much' WHERE trial_id = :key", "deviation"),
    "a text for a metric": ("UPDATE trials SET metrics = '{\"test_loss\": \"much\"}' WHERE trial_id = :key", "metrics"),
    "no JSON": ("UPDATE planned SET settings = '{' WHERE trial_id = :key", "settings"),
}  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_row_is_one_line_that_names_it(broken, store, capfd, tmp_path):
    write_store(store, grid(2, 1, seeds=1, backends=("numpy",)))
    (key,) = sql(store, "select trial_id from trials limit 1")[0]
    statement, column = BROKEN[broken]
    sql(store, statement, key=key)
    assert invoke(["report", "--store", store, "--out", str(tmp_path / "out")]) == 2
    told = capfd.readouterr().err
    assert told.count("\n") == 1
    assert key in told
    assert f"its {column} cannot be read" in told
    assert invoke(["status", "--store", store]) == 0  # which reads none of it


def test_status_reads_no_array(store, monkeypatch, capfd):
    write_store(store, grid(2, 1, seeds=1, backends=("numpy",)))
    sql(store, "drop table artefacts")
    sql(store, "create table artefacts (trial_id varchar, kind varchar, payload blob)")
    assert invoke(["status", "--store", store]) == 0
    assert "numpy" in capfd.readouterr().out


@pytest.fixture
def as_nobody():
    """In a folder that this user cannot write; root, whom nothing keeps out, becomes somebody else for a while."""
    is_root = os.geteuid() == 0
    folder = Path(tempfile.mkdtemp(prefix="harness-read-only-"))

    def close_folder():
        folder.chmod(0o555)
        if is_root:
            os.seteuid(65534)

    yield folder, close_folder
    if is_root:
        os.seteuid(0)
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="folders of Windows are kept read-only in another way")
@pytest.mark.parametrize("first", [False, True], ids=["of today", "of earlier days"])
def test_a_store_in_a_read_only_folder_is_read(first, as_nobody, capfd):
    import gzip

    folder, close_folder = as_nobody
    path = folder / "store.db"
    with gzip.open(Path(__file__).with_name("stores") / "first/store.db.gz") as packed:
        path.write_bytes(packed.read())
    if not first:
        opening.upgrade(str(path))[0].close()
        next(folder.glob("*.before-*")).unlink()
    assert invoke(["export", "--store", str(path)]) == 0  # as root, so that everything is imported
    whole = capfd.readouterr().out
    if first:
        path.unlink()
        next(folder.glob("*.before-*")).rename(path)
    before = path.read_bytes()
    close_folder()
    assert invoke(["status", "--store", str(path)]) == 0
    assert invoke(["export", "--store", str(path)]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert out.endswith(whole)
    assert path.read_bytes() == before
    with pytest.raises(RequestError, match=r"readonly|read-only|unable to open"):
        save_plan(Store(str(path)), [planned(0)])


# -- arrays


def test_arrays_come_back_as_numpy_itself_reads_them():
    import io

    rng = np.random.default_rng(0)
    arrays = {
        "0/W": rng.normal(size=(3, 4)),
        "columns first": np.asfortranarray(rng.normal(size=(3, 4)).astype(np.float32)),
        "whole": np.arange(5),
        "none": np.empty((0, 3)),
        "one": np.float64(2.5),
        "words": np.array(["a", "längeres Wort"]),
        "yes": np.array([True, False]),
    }
    payload = pack(arrays)
    mine = unpack(payload)
    with np.load(io.BytesIO(payload), allow_pickle=False) as theirs:
        assert list(mine) == list(theirs)
        for name in theirs:
            assert mine[name].dtype == theirs[name].dtype
            assert mine[name].flags.writeable
            np.testing.assert_array_equal(mine[name], theirs[name])


def test_nothing_pickled_compressed_or_damaged_is_unpacked():
    import io

    pickled = io.BytesIO()
    np.savez(pickled, a=np.array([{}], dtype=object))
    packed = io.BytesIO()
    np.savez_compressed(packed, a=np.zeros(100))
    whole = pack({"a": np.zeros(100)})
    damaged = whole.replace(bytes(100), bytes(50) + b"x" + bytes(49), 1)
    assert damaged != whole
    for payload in (pickled.getvalue(), packed.getvalue(), damaged, whole[:-20], whole[20:], b"", b"PK"):
        with pytest.raises(ValueError, match=r"."):
            unpack(payload)


# -- the report's folder


def test_a_full_disk_names_the_folder_of_the_report(store, tmp_path):
    name = write_store(store, grid(2, 1, seeds=1, backends=("numpy",)))
    limited = f"""
import resource, sys
from harness.cli import invoke
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))  # as if the disk ended there
sys.exit(invoke(["report", "--experiment", {name!r}, "--store", {store!r}, "--out", {str(tmp_path / "out")!r}]))
"""
    done = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert f"--out {tmp_path / 'out'}: cannot be written" in done.stderr


def test_a_newer_best_takes_the_place_of_what_an_earlier_run_kept(store):
    table = small_table()
    table["run"] = {"backends": ["numpy"], "modes": ["controlled"]}
    table["sweep"] = {"learning_rate": [1e-6]}
    harness.run(parse(table), store=store, progress=False)
    table["sweep"] = {"learning_rate": [1e-6, 0.5]}
    frame = harness.run(parse(table), store=store, progress=False).frame()
    with closing(Store(store)) as opened:
        kept = opened.artefacts("weights", frame["trial_id"])
    assert frame.loc[frame["trial_id"].isin(kept), "learning_rate"].tolist() == [0.5]


def test_weights_that_were_asked_for_are_never_dropped(store):
    table = small_table()
    table["run"] = {"backends": ["numpy"], "modes": ["controlled"]}
    table["sweep"] = {"learning_rate": [1e-6]}
    harness.run(parse(table), store=store, progress=False, save_weights=True)
    table["sweep"] = {"learning_rate": [1e-6, 0.5]}
    frame = harness.run(parse(table), store=store, progress=False).frame()
    with closing(Store(store)) as opened:
        assert len(opened.artefacts("weights", frame["trial_id"])) == 2


def test_every_backend_knows_its_source_and_what_it_needs():
    for backend in BUILT_IN:
        assert len(backend.source()) == 64
        if backend.missing() is None:
            assert backend.versions().keys() == set(backend.requires)
