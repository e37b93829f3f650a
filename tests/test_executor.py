"""Worker processes: pinned before anything is imported, one a lane, replaced when they die or are used up."""

import multiprocessing.context
import os
import signal
import time

import pytest

from harness import executor
from harness.executor import LocalExecutor
from tests import faults


@pytest.fixture
def lane():
    with LocalExecutor() as pool:
        yield lambda function, *args, **kwargs: pool.submit("lane", None, function, *args, **kwargs)


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


def test_a_process_that_hangs_or_dies_is_replaced(lane):
    first = lane(os.getpid).result()
    assert isinstance(lane(time.sleep, 60, timeout=0.5).exception(), TimeoutError)
    second = lane(os.getpid).result()
    assert lane(os._exit, 3).exception().exitcode == 3
    third = lane(os.getpid).result()
    assert len({first, second, third}) == 3


def test_a_process_is_renewed_after_many_calls(lane, monkeypatch):
    monkeypatch.setattr(executor, "CALLS_A_PROCESS", 3)
    seen = [lane(os.getpid).result() for _ in range(7)]
    assert seen[:3] == seen[:1] * 3
    assert seen[3:6] == seen[3:4] * 3
    assert len(set(seen)) == 3


def test_no_process_is_left_when_the_executor_ends():
    with LocalExecutor() as pool:
        pid = pool.submit("lane", None, os.getpid).result()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_ctrl_c_waits_until_a_process_has_started(lane, monkeypatch):
    start, started = multiprocessing.context.SpawnProcess._Popen, []

    def interrupted(process):
        signal.raise_signal(signal.SIGINT)
        started.append(start(process))
        return started[-1]

    monkeypatch.setattr(multiprocessing.context.SpawnProcess, "_Popen", staticmethod(interrupted))
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell runs behind itself ignores Ctrl-C
    try:
        with pytest.raises(KeyboardInterrupt):
            lane(os.getpid)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, heard)
    assert [process.pid for process in started] == [lane(os.getpid).result()]  # the pool is whole, and goes on


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="this system has no signal masks")
def test_the_ctrl_c_of_a_terminal_does_not_reach_a_process(lane):
    assert signal.SIGINT in lane(signal.pthread_sigmask, signal.SIG_BLOCK, ()).result()
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
