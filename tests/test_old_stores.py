"""Stores of earlier days open, say what they said, and are not trained again (see tests/stores/README.md)."""

import csv
import gzip
import io
import json
import shutil
import sqlite3
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

import harness
from harness.cli import invoke
from harness.cli.export import table_bytes
from harness.storage import schema
from harness.storage.opening import upgrade
from harness.storage.results import HYPERPARAMETERS, Results
from harness.storage.store import Store
from tests.servers import sql

FIRST = Path(__file__).with_name("stores") / "first"
NAMES = ("batch-norm", "both-modes", "folds", "published")


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "store.db"
    with gzip.open(FIRST / "store.db.gz") as packed, path.open("wb") as file:
        shutil.copyfileobj(packed, file)
    return path


def opened(path, name):
    store = Store(str(path), must_exist=True)
    try:
        return Results(store, name)
    finally:
        store.close()


def rows_of(path):
    with sqlite3.connect(path) as database:
        names = [name for (name,) in database.execute("SELECT name FROM pragma_table_info('trials')")]
        found = {row[0]: dict(zip(names, row, strict=True)) for row in database.execute("SELECT * FROM trials")}
    database.close()
    return found


def of_then(text):
    """A CSV without the columns that came later, which are empty."""
    header, *rows = csv.reader(io.StringIO(text))
    (then, *_) = csv.reader(io.StringIO((FIRST / "expected/export.csv").read_text()))
    later = [k for k, name in enumerate(header) if name in HYPERPARAMETERS and name not in then]
    assert later
    assert all(row[k] == "" for row in rows for k in later)
    kept = io.StringIO()
    writer = csv.writer(kept, lineterminator="\n")
    writer.writerows([value for k, value in enumerate(row) if k not in later] for row in [header, *rows])
    return kept.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_said(old, name):
    results = opened(old, name)
    frame = results.frame().drop(columns="stale")
    assert of_then(frame.to_csv(index=False)) == (FIRST / f"expected/{name}.frame.csv").read_text()
    assert results.curves().to_csv(index=False) == (FIRST / f"expected/{name}.curves.csv").read_text()
    known = json.loads((FIRST / "expected/dtypes.json").read_text())[name]
    for column, dtype in frame[list(known)].dtypes.items():  # what a text's type is called is pandas's affair
        is_text = known[column] in ("str", "object")
        assert str(dtype) in ("str", "object") if is_text else str(dtype) == known[column], column


def test_it_is_exported_as_it_was(old, capfd):
    assert invoke(["export", "--store", str(old)]) == 0
    assert of_then(capfd.readouterr().out) == (FIRST / "expected/export.csv").read_text()


def test_every_format_holds_what_a_frame_of_all_would(old, tmp_path):
    for format in ("csv", "json", "parquet"):
        assert invoke(["export", "--store", str(old), "--format", format, "-o", str(tmp_path / format)]) == 0
    whole = pd.concat([opened(old, name).export() for name in NAMES], ignore_index=True)
    assert pq.read_table(tmp_path / "parquet").equals(pq.read_table(io.BytesIO(table_bytes(whole, "parquet"))))
    for format in ("csv", "json"):
        assert (tmp_path / format).read_bytes() == table_bytes(whole, format)


def test_nothing_in_it_is_trained_again(old):
    before = rows_of(old)
    for name in NAMES:
        harness.run(FIRST / f"{name}.toml", store=str(old), progress=False)
    after = rows_of(old)
    asked_again = {"unsupported", "not_installed"}  # which costs no training
    kept = {key: row for key, row in before.items() if row["status"] not in asked_again}
    assert len(kept) > 30
    for key, row in kept.items():
        same = {column: value for column, value in after[key].items() if column in row}
        assert same == {column: row[column] for column in same}


def test_opening_it_copies_it_first_and_says_so_once(old, capfd):
    before = old.read_bytes()
    assert invoke(["status", "--store", str(old)]) == 0
    out, err = capfd.readouterr()
    copy = old.with_name("store.db.before-0001")
    assert out.count("controlled") + out.count("native") == 10
    assert err.count("\n") == 1
    assert str(copy) in err
    assert rows_of(copy)["4396085e759462bfb4372f14eec0612785551195dcde94800e4094f3671832d3"]["train_accuracy"] == 0.8
    assert invoke(["status", "--store", str(old)]) == 0
    assert capfd.readouterr().err == ""
    assert len(before) == copy.stat().st_size


def test_its_report_is_written(old, tmp_path):
    assert invoke(["report", "--experiment", "batch-norm", "--store", str(old), "--out", str(tmp_path / "out")]) == 0
    assert "batch normalisation" in (tmp_path / "out/report.html").read_text()


def test_an_upgrade_that_is_stopped_leaves_the_store_as_it_was(old, monkeypatch):
    from harness.storage.opening import MIGRATIONS

    before = rows_of(old)
    folder = old.parent / "migrations"
    shutil.copytree(MIGRATIONS, folder)
    last = folder / "versions/r0001_metrics.py"
    last.write_text(last.read_text().replace('op.drop_table("trials")', 'op.drop_table("trials")\n    1 / 0'))
    monkeypatch.setattr("harness.storage.opening.MIGRATIONS", folder)
    with pytest.raises(ZeroDivisionError):
        upgrade(str(old))
    assert rows_of(old) == before
    assert not list(old.parent.glob("*.before-*"))


def test_a_store_of_a_later_harness_is_refused_in_one_line(old, capfd):
    upgrade(str(old))[0].close()
    with sqlite3.connect(old) as database:
        database.execute("UPDATE harness_schema SET version_num = '0099'")
    database.close()
    for arguments in (["status"], ["export"], ["run", str(FIRST / "folds.toml"), "--out", str(old.parent / "out")]):
        assert invoke([*arguments, "--store", str(old)]) == 2
        out, err = capfd.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert "written by a later harness (schema 0099; this one knows 0001)" in err


def test_looking_for_the_store_changes_nothing(old):
    from harness.execution.doctor import look_at_store

    before = old.read_bytes()
    assert look_at_store(str(old)).experiments == 4
    assert old.read_bytes() == before


def test_a_new_store_has_the_tables_that_the_revisions_make(tmp_path, old):
    Store(str(tmp_path / "new.db")).close()
    upgrade(str(old))[0].close()

    def columns(path):
        with sqlite3.connect(path) as database:
            query = 'SELECT m.name, p.name, p.pk, p."notnull" FROM sqlite_master m, pragma_table_info(m.name) p'
            found = set(database.execute(f"{query} WHERE m.type = 'table'"))
            found |= {
                (name, sql)
                for name, sql in database.execute("SELECT name, sql FROM sqlite_master WHERE sql LIKE 'CREATE INDEX%'")
            }
        database.close()
        return found

    assert columns(tmp_path / "new.db") == columns(old)


def test_the_last_revision_is_the_one_that_is_written():
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    from harness.storage.opening import MIGRATIONS

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    script = ScriptDirectory.from_config(config)
    assert script.get_heads() == [schema.HEAD]
    assert tuple(reversed([revision.revision for revision in script.walk_revisions()])) == schema.REVISIONS


def test_a_metric_that_nobody_knew_is_kept_without_a_revision(tmp_path):
    from tests.synthetic import grid, write_store

    path = tmp_path / "store.db"
    name = write_store(f"sqlite:///{path}", grid(2, 1, seeds=1, backends=("numpy",)))
    with sqlite3.connect(path) as database:
        database.execute("UPDATE trials SET metrics = json_set(metrics, '$.test_brier', 0.25)")
    database.close()
    assert len(opened(path, name).frame()) == 2
    assert opened(path, name)._rows[0]["test_brier"] == 0.25


# -- on a server


@pytest.fixture
def old_server(postgres, old):
    """The tables of the first revision in PostgreSQL, with the rows of the kept store."""
    from sqlalchemy import create_engine, insert

    from harness.storage.migrations.versions.r0000_first import metadata

    engine = create_engine(postgres)
    with engine.begin() as connection, sqlite3.connect(old) as kept:
        metadata.create_all(connection)
        for name, table in metadata.tables.items():
            columns = list(table.columns.keys())
            rows = kept.execute(f'SELECT {", ".join(columns)} FROM "{name}"').fetchall()
            given = [dict(zip(columns, row, strict=True)) for row in rows]
            for row in given:
                row |= {
                    key: json.loads(row[key]) for key in ("axes", "facts", "cell", "settings", "machine") if key in row
                }
            connection.execute(insert(table), given)
    kept.close()
    engine.dispose()
    return postgres


def test_a_server_is_brought_up_to_date_when_asked(old_server, capfd):
    assert invoke(["status", "--store", old_server]) == 2
    assert "run: harness store upgrade" in capfd.readouterr().err
    assert invoke(["store", "upgrade", "--store", old_server]) == 0
    assert "from schema 0000 to 0001; as it was, it is kept in the tables *_before_0001" in capfd.readouterr().out
    assert invoke(["export", "--store", old_server]) == 0
    assert of_then(capfd.readouterr().out) == (FIRST / "expected/export.csv").read_text()
    assert sql(old_server, "select count(*), count(train_accuracy) from trials_before_0001") == [(48, 30)]
    assert invoke(["store", "upgrade", "--store", old_server]) == 0
    assert "up to date" in capfd.readouterr().out


def test_a_server_that_was_brought_up_to_date_has_the_tables_of_a_new_one(old_server, server):
    from sqlalchemy import create_engine, inspect

    def tables(url):
        engine = create_engine(url)
        found = inspect(engine)
        shapes = {
            name: (
                [(column["name"], str(column["type"]), column["nullable"]) for column in found.get_columns(name)],
                found.get_pk_constraint(name),
                found.get_indexes(name),
            )
            for name in schema.metadata.tables
        }
        engine.dispose()
        return shapes

    upgrade(old_server)[0].close()
    new = server.database()
    Store(new).close()
    assert tables(old_server) == tables(new)
