"""The command line as a person meets it: exit codes, one line for what is wrong, data on standard output only."""

import csv
import io
import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness import registry
from harness.checks import CheckResult, arithmetic, nothing_trained
from harness.cli import COMMANDS, invoke
from harness.cli.options import pick_cell
from harness.experiment.file import parse
from harness.manifest import Backend
from tests.conftest import small_table
from tests.test_run import write_experiment


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return str(write_experiment(tmp_path))


def refused(capsys, *arguments):
    """Run a command that must be refused, and give its one line."""
    code = invoke(arguments)
    captured = capsys.readouterr()
    assert code == 2, captured
    assert captured.out == ""
    assert captured.err.startswith("harness: ")
    assert captured.err.count("\n") == 1, "more than one line"
    return captured.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["rum"], ["rum", "run"]),
        (["run"], ["EXP"]),
        (["run", "digits-quik"], ["unknown suite 'digits-quik'", "did you mean 'digits-quick'"]),
        (["run", "nowhere/x.toml"], ["nowhere/x.toml", "no such experiment file"]),
        (["run", "digits-quick", "--backend", "numpy"], ["--backend", "--backends"]),
        (["run", "digits-quick", "--backends", "numpi"], ["unknown backend 'numpi'", "did you mean 'numpy'"]),
        (["run", "digits-quick", "--backends", ""], ["backends", "empty"]),
        (["run", "digits-quick", "--modes", "nativ"], ["'nativ'", "did you mean 'native'"]),
        (["run", "digits-quick", "--seeds", "0"], ["seeds = 0", "at least 1"]),
        (["run", "digits-quick", "--seeds", "two"], ["--seeds"]),
        (["run", "digits-quick", "--workers", "0"], ["workers = 0", "at least 1"]),
        (["run", "digits-quick", "--store", "nosuch://x.db"], ["store 'nosuch://x.db'", "FILE.db"]),
        (["run", "digits-quick", "--store", "sqlite:///nowhere/x.db"], ["nowhere", "does not exist"]),
        (["run", "digits-quick", "--store", "sqlite:///."], ["sqlite:///.", "cannot be opened"]),
        (["run", "digits-quick", "--out", "/dev/null/x"], ["/dev/null/x", "cannot be written"]),
        (["run", "digits-quick", "--backends", "numpy,numpy"], ["backends", "twice"]),
        (
            ["run", "digits-quick", "--seeds", "1000000000", "--dry-run"],
            ["trials planned", "at most 100000;", "HARNESS_MAX_TRIALS"],
        ),
        (["run", "x" * 300 + ".toml"], ["cannot be read", "name too long"]),
        (["status", "--store", "sqlite:///x.db"], ["sqlite:///x.db", "no such file"]),
        (["status", "--store", "x.db"], ["sqlite:///x.db", "no such file"]),
        (["report", "--store", "sqlite:///x.db"], ["no such file"]),
        (["export", "--store", "sqlite:///x.db"], ["no such file"]),
        (["export", "--format", "xlsx"], ["xlsx", "csv", "parquet"]),
        (["check", "torsh"], ["unknown backend 'torsh'", "did you mean 'torch'"]),
        (["dump", "digits-quick", "--backend", "numpy", "-o", "x.npz"], ["singles out 9 cells", "learning_rate=0.01"]),
        (
            ["dump", "digits-quick", "--backend", "numpy", "--cell", "lr=1", "-o", "x.npz"],
            ["'lr=1'", "unknown axis 'lr'", "axes: learning_rate, l2"],
        ),
        (["dump", "digits-quick", "--backend", "numpi", "--cell", "learning_rate=1,l2=1e-2", "-o", "x"], ["'numpi'"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value[0] in (*COMMANDS, "rum") else "",
)
def test_a_wrong_request_is_one_line_and_exit_code_2(arguments, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = refused(capsys, *arguments)
    for part in expected:
        assert part in line


def test_a_wrong_file_is_one_line_and_exit_code_2(capsys, tmp_path):
    table = small_table()
    table["training"]["batch_size"] = 1000
    line = refused(capsys, "run", str(write_experiment(tmp_path, table)), "--store", f"sqlite:///{tmp_path}/s.db")
    assert "batch_size = 1000" in line
    assert "allowed: 1 to 90" in line


def test_a_file_that_is_no_database(capsys, tmp_path):
    (tmp_path / "text.db").write_text("This is not a database, and it is long enough to be seen as such.")
    assert "cannot be opened" in refused(capsys, "status", "--store", f"sqlite:///{tmp_path}/text.db")


def test_a_database_of_another_program_is_refused_and_left_alone(capsys, tmp_path):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as database:
        database.execute("create table trials (x)")
    for command in (["status"], ["run", "digits-quick", "--backends", "numpy", "--out", str(tmp_path)]):
        line = refused(capsys, *command, "--store", f"sqlite:///{path}")
        assert "its table 'trials' is not the harness's" in line
    with sqlite3.connect(path) as database:
        assert database.execute("select name from sqlite_master").fetchall() == [("trials",)]


def test_an_empty_database_holds_no_results(capsys, tmp_path):
    (tmp_path / "empty.db").touch()
    assert "holds no results" in refused(capsys, "status", "--store", f"sqlite:///{tmp_path}/empty.db")


def test_a_report_folder_that_cannot_take_the_report_is_refused_before_training(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out/report.html").mkdir(parents=True)
    assert "report.html" in refused(capsys, "run", "digits-quick", "--out", "out")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/figures").touch()
    assert "cannot be written" in refused(capsys, "run", "digits-quick", "--out", "taken")
    assert not (tmp_path / "results").exists()


def test_a_folder_of_a_suite_s_name_does_not_hide_the_suite(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits-quick").mkdir()
    assert invoke(["run", "digits-quick", "--dry-run"]) == 0
    assert "90 trials" in capsys.readouterr().out


def test_a_cell_is_picked_by_its_lists_too():
    table = small_table()
    del table["network"]["hidden"], table["sweep"]["l2"]
    table["sweep"]["hidden"] = [[4], [8, 8]]
    cell = pick_cell(parse(table), "hidden=[8, 8],learning_rate=5e-1")
    assert cell == {"learning_rate": 0.5, "hidden": (8, 8)}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_one_line():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-m", "harness", "list"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == "harness: standard output cannot be written: No space left on device\n"


def test_ctrl_c_says_that_nothing_is_lost(path):
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell runs behind itself ignores Ctrl-C
    try:
        command = [sys.executable, "-m", "harness", "run", path]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, heard)
    assert "to train" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again to go on" in err
    assert "Traceback" not in err


def test_a_crash_is_told_with_its_reason_and_exit_code_1(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "BUILT_IN", (Backend("faulty", "tests.faults:Faulty", ("numpy",)),))
    registry.backends.cache_clear()
    table = small_table()
    table["training"].update(optimizer="momentum", learning_rate=0.1)
    table["sweep"] = {"momentum": [0.0, 0.1]}
    table["run"] = {"backends": ["faulty"]}
    try:
        assert invoke(["run", str(write_experiment(tmp_path, table))]) == 1
        assert "RuntimeError: the framework fell over" in capfd.readouterr().out
    finally:
        registry.backends.cache_clear()


def test_a_backend_that_supports_nothing_does_not_pass(monkeypatch, capfd):
    monkeypatch.setattr(registry, "BUILT_IN", (Backend("nothing", "tests.faults:SupportsNothing", ("numpy",)),))
    registry.backends.cache_clear()
    try:
        assert invoke(["check", "nothing"]) == 1
        assert "not one network could be trained" in capfd.readouterr().out
    finally:
        registry.backends.cache_clear()


def test_where_networks_were_trained_and_all_wrong_that_is_said():
    passed, failed, unsupported = (
        [CheckResult(name, status) for name in arithmetic.FIVE_EPOCHS] for status in ("passed", "failed", "unsupported")
    )
    assert nothing_trained(unsupported) == "not one network could be trained"
    assert nothing_trained(failed) == nothing_trained([*failed[:1], *unsupported[1:]])
    assert nothing_trained(failed) == "not one of the checks that train five epochs passed"
    assert nothing_trained([*failed[1:], passed[0]]) is None
    assert nothing_trained(failed[:3]) is None  # only some were run


@pytest.mark.parametrize("command", [["explain", "digits-quick", "own", "torch"], ["conventions", "own", "torch"]])
def test_a_backend_without_conventions_is_told_what_it_can_do(command, monkeypatch, capfd):
    monkeypatch.setattr(registry, "BUILT_IN", (*registry.BUILT_IN, Backend("own", "tests.faults:SupportsNothing")))
    registry.backends.cache_clear()
    try:
        assert invoke(command) == 2
        (line,) = capfd.readouterr().err.splitlines()
        assert "backend 'own' declares no conventions; those that do: numpy" in line
        assert "`harness trace EXP controlled own --mode controlled`" in line
    finally:
        registry.backends.cache_clear()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command, capsys):
    assert invoke([command, "--help"]) == 0
    assert f"  harness {command}" in capsys.readouterr().out


def test_run_writes_a_report_a_table_and_where_everything_is(path, tmp_path, capfd):
    assert invoke(["run", path]) == 0
    out, err = capfd.readouterr()
    assert (tmp_path / "results/small/report.html").is_file()
    assert (tmp_path / "results/harness.db").is_file()
    assert "largest deviation" in out
    assert "results/small/report.html" in err
    assert "sqlite:///results/harness.db" in err
    assert "done," not in out  # no progress on standard output

    assert invoke(["run", path]) == 0
    assert "16 trials already in the store; to train: nothing" in capfd.readouterr().err

    assert invoke(["export", "--store", "results/harness.db", "--format", "json"]) == 0  # a file is a store
    rows = json.loads(capfd.readouterr().out)
    assert len(rows) == 16
    native = next(row for row in rows if row["mode"] == "native")
    assert (native["deviation"], native["init"], native["hidden"]) == (None, None, "[4]")

    assert invoke(["export"]) == 0
    table = list(csv.DictReader(io.StringIO(capfd.readouterr().out)))
    assert [row["trial_id"] for row in table] == [row["trial_id"] for row in rows]
    stacks = {(row["backend"], row["mode"]): row["stack_size"] for row in table}
    assert stacks == {
        ("numpy", "controlled"): "4",
        ("numpy", "native"): "1",
        **dict.fromkeys((("sklearn", "controlled"), ("sklearn", "native")), "1"),
    }
    assert next(row for row in table if row["mode"] == "native")["deviation"] == ""

    assert invoke(["status"]) == 0
    assert "small" in capfd.readouterr().out
    assert invoke(["report", "--out", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again/report.html").is_file()


def test_export_has_the_agreed_columns(path, capfd):
    invoke(["run", path, "--backends", "numpy"])
    capfd.readouterr()
    invoke(["export"])
    header = capfd.readouterr().out.splitlines()[0].split(",")
    agreed = (
        "trial_id experiment backend mode seed status reason learning_rate l2 train_accuracy validation_accuracy "
        "test_accuracy train_loss validation_loss test_loss deviation deviation_first_epoch floor epochs_run "
        "stack_size build_seconds train_seconds predict_seconds backend_version harness_version"
    )
    assert [column for column in header if column in agreed.split()] == agreed.split()


def test_a_dry_run_trains_nothing_and_makes_no_store(path, tmp_path, capsys):
    assert invoke(["run", path, "--dry-run"]) == 0
    assert "small: 16 trials (2 learning_rate x 2 l2; seeds: 1)" in capsys.readouterr().out
    assert not (tmp_path / "results").exists()


def test_a_disagreement_is_exit_code_1(path, tmp_path, monkeypatch, capfd):
    backend = Backend("mutant", "tests.mutants:L2OffByTwo", ("numpy",))
    monkeypatch.setattr(registry, "BUILT_IN", (*registry.BUILT_IN, backend))
    registry.backends.cache_clear()
    try:
        assert invoke(["run", path, "--backends", "mutant", "--modes", "controlled"]) == 1
        assert "differs" in capfd.readouterr().out
        assert invoke(["run", path, "--backends", "mutant", "--modes", "controlled", "--json"]) == 1
        assert json.loads(capfd.readouterr().out)["exit_code"] == 1
        assert invoke(["check", "mutant"]) == 1
        out = capfd.readouterr().out
        assert "failed       l2 " in out
        assert " failed, of " in out
        # right in every training, so that only a named check can fail it: it names no arithmetic
        right = Backend("mutant", "tests.mutants:Correct", ("numpy",))
        monkeypatch.setattr(registry, "BUILT_IN", (right,))
        registry.backends.cache_clear()
        assert invoke(["check", "mutant", "--full"]) == 1
        out = capfd.readouterr().out
        assert "cases, all agree; " in out
        assert "failed       own_arithmetic" in out
        other = Backend("other", "tests.mutants:L2OffByTwo", ("numpy",))
        monkeypatch.setattr(registry, "BUILT_IN", (*registry.BUILT_IN, other))
        registry.backends.cache_clear()
        assert invoke(["check", "other"]) == 1
        assert "calls itself 'mutant', and its entry point 'other'" in capfd.readouterr().out
    finally:
        registry.backends.cache_clear()


def test_dump_holds_all_that_is_needed_to_redo_a_trial_by_hand(path, tmp_path):
    file = tmp_path / "trial.npz"
    arguments = ["--backend", "sklearn", "--cell", "learning_rate=0.5,l2=1e-2", "-o", str(file)]
    assert invoke(["dump", path, *arguments]) == 0
    with np.load(file, allow_pickle=False) as stored:
        trial = dict(stored)
    config = json.loads(str(trial["config"]))
    assert (config["learning_rate"], config["l2"], config["beta_1"]) == (0.5, 0.01, 0.9)
    W0, b0, W1, b1 = (trial[f"start/{name}"].copy() for name in ("0/W", "0/b", "1/W", "1/b"))
    X, y = trial["X_train"], trial["y_train"]
    for epoch in trial["batches"]:
        for rows in epoch:
            rows = rows[rows >= 0]
            a = np.tanh(X[rows] @ W0 + b0)
            p = np.exp(a @ W1 + b1)
            delta = (p / p.sum(axis=1, keepdims=True) - np.eye(3)[y[rows]]) / len(rows)
            back = delta @ W1.T * (1 - a**2)
            W1 -= config["learning_rate"] * (a.T @ delta + config["l2"] * W1)
            b1 -= config["learning_rate"] * delta.sum(axis=0)
            W0 -= config["learning_rate"] * (X[rows].T @ back + config["l2"] * W0)
            b0 -= config["learning_rate"] * back.sum(axis=0)
    for name, value in {"0/W": W0, "0/b": b0, "1/W": W1, "1/b": b1}.items():
        assert np.abs(trial[f"final/{name}"] - value).max() < 1e-12
    logits = np.tanh(trial["X_test"] @ W0 + b0) @ W1 + b1
    assert np.abs(trial["test_logits"] - logits).max() < 1e-12


def test_python_m_harness_is_harness(tmp_path):
    done = subprocess.run([sys.executable, "-m", "harness", "list"], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "digits-grid" in done.stdout
