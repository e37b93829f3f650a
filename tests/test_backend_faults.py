"""Whatever a backend does or says, it costs its own trials, and each of them has a row that says what it was."""

import copy
import signal
import sqlite3

import pytest

import harness
from harness import registry
from harness.experiment.file import parse
from harness.manifest import Backend
from harness.storage.store import METRICS, Store
from tests import faults
from tests.conftest import small_table

EXACT = [*METRICS, "deviation", "deviation_first_epoch", "floor", "verdict", "epochs_run", "stack_size", "reason"]


@pytest.fixture(autouse=True)
def extra_backends(monkeypatch):
    extra = (
        Backend("faulty", "tests.faults:Faulty", ("numpy",)),
        Backend("dying-stack", "tests.faults:DyingStack", ("numpy",)),
        Backend("faulty-stack", "tests.faults:FaultyStack", ("numpy",)),
        Backend("broken", "tests.no_import:Trainer", ("numpy",)),
    )
    monkeypatch.setattr(registry, "BUILT_IN", registry.BUILT_IN + extra)
    registry.backends.cache_clear()
    yield
    registry.backends.cache_clear()


def sweep(store, backend, momenta, **run):
    table = copy.deepcopy(small_table())
    table["training"].update(optimizer="momentum", learning_rate=0.1)
    table["sweep"] = {"momentum": list(momenta)}
    table["run"] = {"backends": [backend], "modes": ["controlled"], "time_limit": 60.0, **run}
    return harness.run(parse(table), store=store, progress=False).frame().set_index("momentum")


@pytest.mark.parametrize(
    ("fault", "status", "told"),
    [
        (faults.QUIT, "crashed", "the worker process died (exit code 0)"),
        (faults.KILLED, "crashed", "the worker process died 3 times (signal 9)"),
        (faults.SPOIL, "crashed", "TypeError: 'NoneType' object is not callable (trial.py:"),
        (faults.HALF, "crashed", "ValueError: half a ? and an end (faults.py:"),
        (faults.NO_FILES, "crashed", "OSError: [Errno 24] Too many open files: '/dev/null' (faults.py:"),
        (faults.OTHER_SHAPE, "crashed", "its result cannot be stored: ValueError: "),
        (faults.NO_NUMBERS, "crashed", "TypeError: weights() gave W as <U32"),
        (faults.NO_TEXT, "unsupported", "{'of': 'no\\x00type'}"),
        (faults.MUCH_TEXT, "unsupported", "x?x?x?"),
        (faults.LEAVE, "crashed", "SystemExit: no more of this (faults.py:"),
    ],
)
def test_a_fault_costs_its_own_trial_and_the_reason_fits_a_row(store, fault, status, told):
    rows = sweep(store, "faulty", (faults.FINE, fault, 0.7, 0.9))
    assert rows["status"].to_dict() == {faults.FINE: "ok", fault: status, 0.7: "ok", 0.9: "ok"}
    assert set(rows.loc[[faults.FINE, 0.7, 0.9], "verdict"]) == {"agrees"}
    reason = rows.loc[fault, "reason"]
    assert reason.startswith(told)
    assert reason.isprintable()
    assert len(reason) < 1100
    again = sweep(store, "faulty", (faults.FINE, fault, 0.7, 0.9))
    assert again["reason"].to_dict() == rows["reason"].to_dict()


def test_a_limit_of_nearly_zero_is_one(store):
    rows = sweep(store, "faulty", (faults.FINE, 0.7), time_limit=1e-9, parity="none")
    assert set(rows["status"]) == {"timeout"}


def test_a_row_that_the_store_refuses_is_crashed_with_what_it_said(store):
    Store(store).close()
    with sqlite3.connect(store.removeprefix("sqlite:///")) as database:
        database.execute(
            "create trigger refuse before insert on trials when new.status = 'ok' and new.epochs_run = 3 "
            "and (select json_extract(settings, '$.momentum') from planned where trial_id = new.trial_id) = 0.7 "
            "begin select raise(abort, 'no such momentum'); end"
        )
    rows = sweep(store, "numpy", (0.1, 0.7, 0.9))  # one stack, written together
    assert rows["status"].to_dict() == {0.1: "ok", 0.7: "crashed", 0.9: "ok"}
    assert set(rows.loc[[0.1, 0.9], "stack_size"]) == {3}
    assert rows.loc[0.7, "reason"].startswith("its result cannot be stored: IntegrityError: no such momentum")
    assert set(rows.loc[[0.1, 0.9], "verdict"]) == {"agrees"}


def test_a_backend_that_cannot_be_imported_says_why_in_every_row(store):
    rows = sweep(store, "broken", [i / 20 for i in range(20)])
    assert set(rows["status"]) == {"crashed"}
    told = "the import of tests.no_import:Trainer failed 3 times: RuntimeError: this module cannot be imported"
    assert rows["reason"].str.startswith(told).all()


def dying(store, tmp_path, monkeypatch, number, times):
    folder = tmp_path / f"{int(number)} {times}"
    folder.mkdir()
    monkeypatch.setenv("DYING_FOLDER", str(folder))
    monkeypatch.setenv("DYING_SIGNAL", str(int(number)))
    monkeypatch.setenv("DYING_TIMES", str(times))
    return sweep(store, "dying-stack", [i / 20 for i in range(12)])


@pytest.mark.parametrize(
    ("number", "times"), [(signal.SIGKILL, 1), (signal.SIGKILL, 2), (signal.SIGTERM, 2), (signal.SIGSEGV, 1)]
)
def test_a_stack_whose_process_was_killed_is_repeated_whole(store, tmp_path, monkeypatch, number, times):
    rows = dying(store, tmp_path, monkeypatch, number, times)
    undisturbed = dying(f"sqlite:///{tmp_path / 'undisturbed.db'}", tmp_path, monkeypatch, number, 0)
    assert set(undisturbed["stack_size"]) == {12}
    assert rows[EXACT].equals(undisturbed[EXACT])  # to the bit, and without a reason


@pytest.mark.parametrize(
    ("number", "times", "told"),
    [
        (signal.SIGSEGV, 2, "the worker process died (signal 11)"),
        (signal.SIGKILL, 3, "the worker process died 3 times (signal 9)"),
    ],
)
def test_a_stack_that_dies_again_is_taken_apart_and_its_rows_say_so(store, tmp_path, monkeypatch, number, times, told):
    rows = dying(store, tmp_path, monkeypatch, number, times)
    assert set(rows["status"]) == {"ok"}
    assert set(rows["stack_size"]) == {1}
    assert set(rows["reason"]) == {f"trained alone, since the stack failed: {told}"}


def test_a_stack_that_hangs_is_taken_apart_and_its_rows_say_so(store):
    rows = sweep(store, "faulty-stack", (faults.FINE, faults.HANG, 0.9), time_limit=3.0)
    assert rows["status"].to_dict() == {faults.FINE: "ok", faults.HANG: "timeout", 0.9: "ok"}
    for momentum in (faults.FINE, 0.9):
        assert rows.loc[momentum, "reason"] == "trained alone, since the stack failed: it ran out of time"
