"""Local execution: one long-lived spawned process a lane (a backend), replaced when it crashes or hangs.

An executor is anything that takes a function and returns a future; this one adds the lane, so that a process
imports one framework once, and a hard time limit.
"""

import multiprocessing
import multiprocessing.context
import multiprocessing.spawn
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from pebble import ProcessExpired, ProcessPool

from harness.data import Datasets
from harness.worker import initialize, warm_up

THREADS = 1

WARM_UP_SECONDS = 300.0

CALLS_A_PROCESS = 250  # Keras keeps 1 to 2 MB for every model that it ever fitted: a fresh process gives them back


def environment(threads: int = THREADS) -> dict[str, str]:
    """The variables that a worker starts with."""
    return {
        # threads, read by OpenMP, the BLAS libraries and TensorFlow when they are loaded, never later
        **dict.fromkeys(
            (
                "OMP_NUM_THREADS",
                "OPENBLAS_NUM_THREADS",
                "MKL_NUM_THREADS",
                "VECLIB_MAXIMUM_THREADS",
                "NUMEXPR_NUM_THREADS",
                "TF_NUM_INTRAOP_THREADS",
                "TF_NUM_INTEROP_THREADS",
            ),
            str(threads),
        ),
        "CUDA_VISIBLE_DEVICES": "-1",  # every backend on the same device: the processor
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


ENVIRONMENT = environment()

_spawning = threading.Lock()


@contextmanager
def worker_conditions(environment: Mapping[str, str] = ENVIRONMENT) -> Iterator[None]:
    """Start a process with the pinned environment, and without importing the user's script once more.

    Spawn makes each child import the parent's `__main__`; a plain script without an `if __name__` guard would then
    start its own sweep in every worker. Nothing that a worker runs lives in `__main__`, so it is left out.
    """
    prepare = multiprocessing.spawn.get_preparation_data

    def without_main(name: str) -> dict[str, Any]:
        data = prepare(name)
        return {key: value for key, value in data.items() if not key.startswith("init_main")}

    with _spawning:
        before = {name: os.environ.get(name) for name in environment}
        os.environ.update(environment)
        multiprocessing.spawn.get_preparation_data = without_main
        try:
            yield
        finally:
            multiprocessing.spawn.get_preparation_data = prepare
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


@contextmanager
def _interrupts_kept_from_children() -> Iterator[None]:
    """A terminal sends Ctrl-C to the whole group, also to a child that is still importing: its parent will end it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # a child inherits it
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Ctrl-C takes effect after this block: a pool that is half started cannot be stopped, and its child complains."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is None:
        yield  # Python raises no interrupt here
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)


class _WorkerProcess(multiprocessing.context.SpawnProcess):
    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        with worker_conditions(), _interrupts_kept_from_children():
            return multiprocessing.context.SpawnProcess._Popen(process_obj)


class _WorkerContext(multiprocessing.context.SpawnContext):
    Process = _WorkerProcess


class Lane:
    """One worker process. The framework is imported ahead of the first task, and again in every new process."""

    def __init__(self, trainer: str | None, datasets: Datasets) -> None:
        self.trainer = trainer
        self.datasets = datasets
        self.last: Future[Any] | None = None
        self._open()

    def _open(self) -> None:
        self.pool = ProcessPool(
            max_workers=1, initializer=initialize, initargs=(self.datasets,), context=_WorkerContext()
        )
        self.calls = 0
        self.warm = False

    def submit(self, function: Callable[..., Any], *args: Any, timeout: float | None = None) -> Future[Any]:
        """Schedule one call, after the last one has ended.

        The future raises `TimeoutError` or `ProcessExpired` when the process had to go; another takes its place.
        """
        if self.calls >= CALLS_A_PROCESS:
            self.stop()
            self._open()
        if self.last is not None and isinstance(self.last.exception(), TimeoutError | ProcessExpired):
            self.warm = False
        with interrupts_wait():
            if not self.warm and self.trainer is not None:
                self.pool.schedule(warm_up, args=(self.trainer,), timeout=WARM_UP_SECONDS)
            self.warm = True
            self.calls += 1
            self.last = self.pool.schedule(function, args=args, timeout=timeout)
        return self.last

    def stop(self) -> None:
        """End the process."""
        self.pool.stop()  # type: ignore[no-untyped-call]
        self.pool.join()


class LocalExecutor:
    """Lanes by name, each started when it is first used. A context manager: leaving it ends every process."""

    def __init__(self, datasets: Datasets | None = None) -> None:
        self.datasets = datasets or {}
        self.lanes: dict[str, Lane] = {}

    def submit(
        self, lane: str, trainer: str | None, function: Callable[..., Any], *args: Any, timeout: float | None = None
    ) -> Future[Any]:
        """Run `function(*args)` in the lane's process; `trainer` is the class that this lane's process imports."""
        if lane not in self.lanes:
            self.lanes[lane] = Lane(trainer, self.datasets)
        return self.lanes[lane].submit(function, *args, timeout=timeout)

    def __enter__(self) -> "LocalExecutor":
        return self

    def __exit__(self, *exception: object) -> None:
        for lane in self.lanes.values():
            lane.stop()
