"""Whatever stands in a column of a store that somebody edited, or that rotted: a result or one line, no traceback.

Every column of every table, by the commands that read it; `make fuzz` has all forms of their results too.
"""

import os
import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest

import harness
from harness.cli import invoke
from harness.execution.runner import register
from harness.execution.sweeper import Sweep
from harness.experiment.datasets import load_datasets
from harness.experiment.file import parse
from harness.planning.plan import plan
from harness.storage.arrays import pack
from harness.storage.schema import JsonText, metadata
from harness.storage.store import Store
from harness.support.errors import RequestError
from tests.conftest import small_table

COLUMNS = [column for table in metadata.tables.values() for column in table.columns]
NO_TEXT = "CAST(X'fffe80' AS TEXT)"
VALUES = {"a blob": "X'c8c9cacbcccd'", "no text": NO_TEXT, "a text": "'x'", "nothing": "NULL"}
JSON = {text: f"'{text}'" for text in ("5", "[]", "null", '"x"', "{}", '{"a": 5}', '{"a": [5]}')}
OTHER_KEYS = f"X'{pack({'x': np.zeros(3)}).hex()}'"

FEW = (["status"], ["export"], ["report", "--format", "csv"])
ALL = (
    *FEW,
    *(["export", "--format", form] for form in ("json", "parquet")),
    ["report", "--format", "markdown"],
    ["report", "--out", "page"],
    ["store", "upgrade"],
)
COMMANDS = ALL if os.environ.get("HARNESS_FUZZ") else FEW


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A small finished store."""
    path = tmp_path_factory.mktemp("sound") / "store.db"
    harness.run(experiment(), store=str(path), progress=False)
    return path


@pytest.fixture
def edit(sound, tmp_path, monkeypatch):
    """Gives a copy of the store with one statement run on it; None where the database itself refuses that."""
    monkeypatch.chdir(tmp_path)

    def edited(statement, *values):
        path = tmp_path / f"{len(list(tmp_path.glob('*.db')))}.db"
        shutil.copy(sound, path)
        with closing(sqlite3.connect(path)) as connection:
            try:
                connection.execute(statement, values)
            except sqlite3.IntegrityError:
                return None
            connection.commit()
        return str(path)

    return edited


def experiment(**run):
    return parse(
        small_table() | {"run": {"backends": ["numpy"], "modes": ["controlled", "native"]} | run}, "small.toml"
    )


def resume(path, retrain=False):
    """All that a run reads before it trains, and when it writes what it has trained."""
    wanted = experiment()
    datasets = load_datasets(wanted)
    trials = plan(wanted, datasets)
    with closing(Store(path)) as store:
        register(store, wanted, datasets, trials)
        sweep = Sweep(store, wanted, datasets, trials, False, True, False, retrain)
        assert sweep.writer.floors
        assert sweep.writer.best or retrain
        store.references(trial.reference_id for trial in trials)


def told_by(arguments, capfd):
    """What a command says where it refuses, else nothing."""
    code = invoke(arguments)
    told = capfd.readouterr().err
    assert code in (0, 1, 2)
    if code != 2:
        return ""
    assert told.count("\n") == 1, told
    return told


@pytest.mark.parametrize("column", COLUMNS, ids=str)
def test_any_value_of_any_column_is_read_or_named(column, edit, sound, capfd):
    table = column.table.name
    for name, value in (VALUES | (JSON if isinstance(column.type, JsonText) else {})).items():
        path = edit(f'UPDATE "{table}" SET {column.name} = {value} WHERE rowid = (SELECT min(rowid) FROM "{table}")')
        if path is None:
            continue
        told = [told_by([*arguments, "--store", path], capfd) for arguments in COMMANDS]
        if COMMANDS is ALL:
            told_by(["report", "--compare", str(sound), path, "--format", "markdown"], capfd)
        if table in ("trials", "references"):
            try:
                resume(path, retrain=table == "references")
            except RequestError as error:
                told.append(str(error))
        told = [line for line in told if line]
        assert table == "harness_schema" or all("table " in line for line in told), (name, told)
        if name in ("a blob", "no text") and column.name not in _NOT_READ.get(table, ()):
            assert told, name


_NOT_READ = {
    "trials": ["trial_id"],  # a row of no trial that is planned
    "references": ["reference_id"],
    "artefacts": ["trial_id", "kind", "payload"],  # payloads have a test of their own, kind by kind
}


@pytest.mark.parametrize(
    ("column", "value", "line"),
    [
        ("planned.seed", "'x'", "its seed cannot be read: 'x' is no whole number"),
        ("planned.settings", "'5'", "its settings cannot be read: '5' is no object"),
        ("planned.cell", """'{"l2": 7}'""", "its cell cannot be read: l2 = 7 is no value of the axis"),
        ("trials.deviation", "X'00'", "its deviation cannot be read: b'\\x00' is no number"),
        ("trials.backend_version", NO_TEXT, "its backend_version cannot be read: b'\\xff\\xfe\\x80' is no text"),
        ("trials.metrics", "'null'", "its metrics cannot be read: 'null' is no object of numbers"),
        ("experiments.axes", "'[]'", "its axes cannot be read: '[]' is no object of lists"),
        ("experiments.axes", """'{"a": [5]}'""", "its axes cannot be read: 'a' is no hyperparameter"),
    ],
)
def test_the_line_names_table_row_and_column(column, value, line, edit, capfd):
    table, name = column.split(".")
    path = edit(f"UPDATE {table} SET {name} = {value} WHERE rowid = 1")
    with closing(sqlite3.connect(path)) as connection:
        (key,) = connection.execute(
            f"SELECT {'name' if table == 'experiments' else 'trial_id'} FROM {table} WHERE rowid = 1"
        ).fetchone()
    told = told_by(["report", "--compare", path, path, "--format", "markdown"], capfd)
    assert told.startswith(f"harness: store sqlite:///{path}: table {table}, ")
    assert f" {key}: {line}; delete that row" in told


@pytest.mark.parametrize("kind", ["curves", "confusion", "parity", "predictions", "plane", "checkpoints"])
@pytest.mark.parametrize("payload", [OTHER_KEYS, "'x'", "5", "X''"], ids=["other keys", "a text", "a number", "empty"])
def test_a_payload_without_its_arrays_is_named(kind, payload, edit):
    path = edit(f"INSERT INTO artefacts (trial_id, kind, payload) VALUES ('that', '{kind}', {payload})")
    with (
        closing(Store(path)) as store,
        pytest.raises(RequestError, match=f"table artefacts, trial that: its {kind} cannot be read"),
    ):
        store.artefacts(kind, ["that"])


@pytest.mark.parametrize("column", ["weights", "first_epoch_weights"])
@pytest.mark.parametrize("payload", [OTHER_KEYS, f"X'{pack({'0/b': np.zeros(3)}).hex()}'"], ids=["no layer", "no W"])
def test_weights_of_a_reference_that_are_none_are_named(column, payload, edit):
    path = edit(f'UPDATE "references" SET {column} = {payload}')
    with pytest.raises(RequestError, match=f"table references, reference .*: its {column} cannot be read"):
        resume(path, retrain=True)


def test_a_run_that_trains_again_names_a_broken_floor(edit):
    path = edit("UPDATE \"references\" SET floor = 'x'")
    with pytest.raises(
        RequestError, match=r"table references, reference .*: its floor cannot be read: 'x' is no number"
    ):
        harness.run(experiment(), store=path, progress=False, retrain=True)


def test_a_store_that_says_no_schema_is_refused(edit, capfd):
    path = edit("DELETE FROM harness_schema")
    for arguments in (*ALL, ["run", "digits-quick"]):
        assert "its table 'harness_schema' has no row" in told_by([*arguments, "--store", path], capfd)


def test_an_experiment_without_a_planned_trial_is_told(edit, capfd):
    path = edit("DELETE FROM planned")
    assert "no trial of experiment 'small'" in told_by(["report", "--format", "markdown", "--store", path], capfd)
