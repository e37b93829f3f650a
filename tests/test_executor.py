"""Worker processes: pinned before anything is imported, one a lane, replaced when they die or are used up."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from harness.data.prepared import Dataset
from harness.execution import executor, processes
from harness.execution.executor import LocalExecutor, NotStarted
from harness.execution.processes import Raised
from tests import faults

ROOT = Path(__file__).resolve().parent.parent

posix = pytest.mark.skipif(os.name != "posix", reason="signals and groups of processes are POSIX's")


@pytest.fixture
def lane():
    with LocalExecutor() as pool:
        yield lambda function, *args, **kwargs: pool.submit("lane", None, function, *args, **kwargs)


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Lets every process that is started from here run a text first, and count itself."""

    def write(text):
        folder = tmp_path / "site"
        folder.mkdir()
        count = f"import os, sys\nopen({str(tmp_path / 'starts')!r}, 'a').write('x')\n"
        (folder / "sitecustomize.py").write_text(count + text)
        monkeypatch.setenv("PYTHONPATH", str(folder))

    return write


def starts(tmp_path):
    return len((tmp_path / "starts").read_text())


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)


def is_running(pid):
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


# -- what a process is


def test_a_worker_has_one_thread_whatever_the_parent_has(lane):
    threads = lane(faults.threads_in_use).result()
    assert threads
    assert set(threads) == {1}


def test_torch_has_one_thread_too(lane):
    pytest.importorskip("torch", reason="torch is not installed")
    assert lane(faults.torch_threads).result() == 1


def test_the_parent_s_environment_is_as_it_was(lane, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    assert lane(os.getenv, "OMP_NUM_THREADS").result() == "1"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "TF_CPP_MIN_LOG_LEVEL" not in os.environ


def test_a_lane_is_one_process(lane):
    assert lane(os.getpid).result() == lane(os.getpid).result() != os.getpid()


def test_a_process_is_renewed_after_many_calls(lane, monkeypatch):
    monkeypatch.setattr(executor, "CALLS_A_PROCESS", 3)
    seen = [lane(os.getpid).result() for _ in range(7)]
    assert seen[:3] == seen[:1] * 3
    assert seen[3:6] == seen[3:4] * 3
    assert len(set(seen)) == 3


@posix
def test_the_ctrl_c_of_a_terminal_does_not_reach_a_process(lane):
    assert lane(os.getsid, 0).result() != os.getsid(0)


def test_data_are_mapped_by_every_process_as_they_were():
    X = np.asfortranarray(np.random.default_rng(0).normal(size=(50, 3)))
    data = {"a": Dataset("a", X, np.arange(50) % 2, ("no", "yes"), "binary")}
    with LocalExecutor(data) as pool:
        seen, order, writable, base = pool.submit("lane", None, faults.dataset_of, "a").result()
    assert seen.fingerprint == data["a"].fingerprint
    assert (seen.names, seen.task) == (("no", "yes"), "binary")
    assert (order, writable, base) == (True, False, "mmap")


def test_what_site_prints_in_a_process_disturbs_nothing(lane, site):
    site("sys.stdout.write('chatter without an end'); sys.stdout.flush()")
    assert lane(len, "four").result() == 4


# -- how one ends


def test_a_process_that_hangs_or_dies_is_replaced(lane):
    first = lane(os.getpid).result()
    assert isinstance(lane(time.sleep, 600, timeout=0.5).exception(), TimeoutError)
    second = lane(os.getpid).result()
    assert lane(os._exit, 3).exception().code == 3
    third = lane(os.getpid).result()
    assert len({first, second, third}) == 3


def test_an_exit_without_a_fault_is_a_death_at_once(lane):
    assert str(lane(os._exit, 0, timeout=100_000).exception()) == "the worker process died (exit code 0)"


def test_a_limit_of_nearly_zero_lets_nothing_pass(lane):
    lane(len, "warm").result()
    assert [type(lane(len, "four", timeout=1e-9).exception()) for _ in range(3)] == [TimeoutError] * 3


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_limit_of_centuries_is_none(lane):
    assert lane(len, "four", timeout=1e300).result() == 4


@posix
def test_a_process_that_crashes_is_not_asked_again(lane, tmp_path):
    death = lane(faults.die, tmp_path, signal.SIGSEGV).exception()
    assert (str(death), len(list(tmp_path.iterdir()))) == ("the worker process died (signal 11)", 1)


@posix
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_somebody_killed_is_asked_again_twice(lane, tmp_path, number):
    assert lane(faults.die, tmp_path, number, 2).result() == 3
    death = lane(faults.die, tmp_path, number, 9).exception()
    assert str(death) == f"the worker process died 3 times (signal {int(number)})"
    assert len(list(tmp_path.iterdir())) == 6


@posix
def test_an_idle_process_that_somebody_killed_costs_nothing(lane):
    for _ in range(5):
        first = lane(os.getpid).result()
        os.kill(first, signal.SIGKILL)
        assert lane(os.getpid).result() != first


def test_a_process_that_dies_while_it_is_idle_costs_nothing(lane):
    first = lane(faults.die_soon).result()
    wait_until(lambda: not is_running(first))
    assert lane(os.getpid).result() != first


@posix
def test_a_process_that_hangs_up_is_ended(lane, monkeypatch):
    monkeypatch.setattr(processes, "_DEATH_SECONDS", 0.5)
    assert str(lane(faults.hang_up).exception()) == "the worker process died (it hung up)"
    assert lane(len, "four").result() == 4


@posix
def test_a_child_that_lives_on_does_not_hide_a_death(lane, tmp_path):
    assert lane(faults.fork_and_die, tmp_path / "pid", timeout=100_000).exception().code == 5
    child = int((tmp_path / "pid").read_text())
    wait_until(lambda: not is_running(child))


# -- what a call may give


def test_an_exception_costs_its_process(lane):
    first = lane(os.getpid).result()
    assert isinstance(lane(faults.spoil_numpy).exception(), Raised)
    assert lane(faults.isfinite, 1.0).result() is True
    assert lane(os.getpid).result() != first


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (faults.raise_half_a_character, "ValueError: half a ? and an end (faults.py:"),
        (faults.raise_a_megabyte, "ValueError: xxxxxxx"),
        (faults.raise_what_has_no_text, "NoText: <NoText without a text> (faults.py:"),
        (faults.raise_what_cannot_be_pickled, "Local: of a function (faults.py:"),
        (faults.leave, "SystemExit: 0 (faults.py:"),
        (faults.give_what_cannot_be_pickled, "give_what_cannot_be_pickled.<locals>"),
        (faults.give_what_cannot_be_read, "its answer cannot be read: ZeroDivisionError"),
        (faults.raise_without_file_descriptors, "OSError: [Errno 24]"),
    ],
)
def test_whatever_a_call_raises_or_gives_is_told_in_one_line(lane, function, told):
    error = lane(function).exception()
    assert isinstance(error, Raised)
    assert told in str(error)
    assert str(error).isprintable()
    assert len(str(error)) < 700
    assert lane(len, "four").result() == 4


# -- a process that does not start

MUCH = {"much": Dataset("much", np.zeros((50_000, 4)), np.zeros(50_000, np.int64), ("one",))}


def test_a_process_that_dies_while_it_starts_is_started_three_times(site, tmp_path):
    site("os._exit(7)")
    with LocalExecutor(MUCH) as pool:
        futures = [pool.submit("lane", "tests.faults:Faulty", len, "four") for _ in range(20)]
        errors = [future.exception() for future in futures]
    told = "the import of tests.faults:Faulty failed 3 times: the worker process died (exit code 7)"
    assert [(type(error), error.status, str(error)) for error in errors] == [(NotStarted, "crashed", told)] * 20
    assert starts(tmp_path) == 3


@posix
def test_a_process_that_is_killed_while_it_starts_is_started_again(site, tmp_path):
    site(f"if len(open({str(tmp_path / 'starts')!r}).read()) < 6: os.kill(os.getpid(), 9)")
    with LocalExecutor(MUCH) as pool:
        assert pool.submit("lane", None, len, "four").result() == 4
    assert starts(tmp_path) == 6


def test_an_import_that_hangs_is_waited_for_once(site, tmp_path, monkeypatch):
    site("import time; time.sleep(600)")
    monkeypatch.setattr(executor, "WARM_UP_SECONDS", 0.5)
    with LocalExecutor(MUCH) as pool:
        errors = [pool.submit("lane", "tests.faults:Faulty", len, "four").exception() for _ in range(20)]
    told = "the import of tests.faults:Faulty took longer than 0.5 s"
    assert {(error.status, str(error)) for error in errors} == {("timeout", told)}
    assert starts(tmp_path) == 1


def test_an_import_that_fails_is_not_paid_by_every_call(site, tmp_path):
    site("")
    with LocalExecutor() as pool:
        errors = [pool.submit("lane", "tests.no_import:Trainer", len, "four").exception() for _ in range(20)]
    assert {str(error) for error in errors} == {
        "the import of tests.no_import:Trainer failed 3 times: RuntimeError: this module cannot be imported "
        "(no_import.py:3)"
    }
    assert starts(tmp_path) == 3


def test_a_folder_that_cannot_be_made_is_said_in_one_line(monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/no/such/folder")
    with LocalExecutor() as pool, pytest.raises(ValueError, match=r"no temporary folder can be made: .*; set TMPDIR"):
        pool.submit("lane", None, len, "four")


# -- nothing is left


@posix
def test_nothing_is_left_when_the_executor_ends(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with LocalExecutor(MUCH) as pool:
        pids = pool.submit("lane", None, faults.leave_files_and_children).result()
        pids.append(pool._home.watcher.pid)
        assert all(map(is_running, pids))
    assert [pid for pid in pids if is_running(pid)] == []
    assert list(tmp_path.iterdir()) == []


def test_leaving_does_not_wait_for_what_is_running():
    with LocalExecutor() as pool:
        future = pool.submit("lane", None, time.sleep, 100_000)
        waiting = pool.submit("lane", None, len, "four")
        wait_until(future.running)
    assert waiting.cancelled()
    assert not [thread for thread in threading.enumerate() if thread is pool.lanes["lane"]._thread]


LEFT = """
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from harness.execution.executor import LocalExecutor
from tests import faults
with LocalExecutor() as pool:
    pids = pool.submit("lane", None, faults.leave_files_and_children).result()
    burning = [Path({folder!r}) / f"burns {{i}}" for i in range(2)]
    futures = [pool.submit(f"lane {{i}}", None, faults.burn_in_c, path) for i, path in enumerate(burning)]
    while not all(path.exists() for path in burning): time.sleep(0.1)
    print(*pids, *pool._home.leaders, pool._home.watcher.pid, flush=True)
    time.sleep(600)
"""


@posix
@pytest.mark.parametrize("victims", ["the run", "the run and its group", "the watcher first"])
def test_nothing_is_left_of_a_run_that_was_killed(tmp_path, victims):
    command = [sys.executable, "-c", LEFT.format(root=str(ROOT), folder=str(tmp_path))]
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    run = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    *pids, watcher = map(int, run.stdout.readline().split())
    assert all(map(is_running, [*pids, watcher]))
    assert list(temporary.iterdir())
    if victims == "the watcher first":
        os.kill(watcher, signal.SIGKILL)
    if victims == "the run and its group":
        os.killpg(run.pid, signal.SIGKILL)
    else:
        run.kill()
    run.wait()
    if victims == "the watcher first":  # what is left then: children of adapters, and files
        for child in pids[:2]:
            os.kill(child, signal.SIGKILL)
        pids = pids[2:] if sys.platform == "linux" else []
    else:
        wait_until(lambda: list(temporary.iterdir()) == [])
    wait_until(lambda: not any(map(is_running, pids)))


@posix
def test_a_watcher_that_was_killed_is_replaced():
    with LocalExecutor() as pool:
        pid = pool.submit("lane", None, os.getpid).result()
        first = pool._home.watcher
        first.kill()
        wait_until(lambda: pool._home.watcher is not first)
        assert pool._home.leaders == {pid}
        assert is_running(pool._home.watcher.pid)
