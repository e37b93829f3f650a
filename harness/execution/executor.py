"""Local execution: one long-lived process a lane (a backend), replaced when it crashes, hangs or is killed.

An executor is anything that takes a function and returns a future; this one adds the lane, so that a process imports
one framework once, and a hard time limit.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Literal

from harness.data.prepared import Datasets
from harness.execution.processes import Died, Home, Process
from harness.execution.worker import SavedDataset, begin, save_datasets
from harness.registry import backends
from harness.support.environment import THREADS
from harness.support.errors import NotInstalled, Told, describe
from harness.support.interrupts import interrupts_wait

WARM_UP_SECONDS = 300.0

CALLS_A_PROCESS = 250  # Keras keeps 1 to 2 MB for every model that it ever fitted: a fresh process gives them back

_TRIES = 3
"""How many processes a call may lose that somebody else killed, and how many may fail to start."""

_KILLED_STARTS = 10
"""How many processes in a row may be killed by somebody else while they start."""


def environment(threads: int = THREADS) -> dict[str, str]:
    """The variables that a worker starts with: the same for all backends, and what their manifests ask for."""
    of_backends = [backend.environment for backend in backends().values()]
    return {
        **{name: value for variables in reversed(of_backends) for name, value in variables.items()},
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
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


ENVIRONMENT = environment()


class NotStarted(Told):
    """No process of a lane gets as far as its first call; `status` is that of the trials that it was to train."""

    def __init__(self, status: Literal["timeout", "crashed"], reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Lane:
    """One worker process, and the thread that waits for it. The framework is imported ahead of the first call."""

    def __init__(self, home: Home, trainer: str | None, datasets: dict[str, SavedDataset]) -> None:
        self.home, self.trainer, self.datasets = home, trainer, datasets
        self._process: Process | None = None
        self._changing = threading.Lock()  # held while a process is started or ended
        self._closed = False
        self._calls = 0
        self._broken: Exception | None = None  # why no process starts
        self._queue: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def submit(self, function: Callable[..., Any], *args: Any, timeout: float | None = None) -> Future[Any]:
        """Schedule one call, after the last one has ended.

        The future raises what `Process.ask` raises, or `NotStarted`. Another process takes the place of one that had
        to go; a call whose process was killed by somebody else is made again, up to twice.
        """
        future: Future[Any] = Future()
        self._queue.put((future, lambda: self._call(function, args, timeout)))
        return future

    def stop(self) -> None:
        """End the process, and what it was doing."""
        self._closed = True
        self._end()
        self._queue.put(None)
        self._thread.join(10)

    def _work(self) -> None:
        while (task := self._queue.get()) is not None:
            future, call = task
            if self._closed or not future.set_running_or_notify_cancel():
                future.cancel()
                continue
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)

    def _call(self, function: Callable[..., Any], args: tuple[Any, ...], timeout: float | None) -> Any:
        for tried in range(1, _TRIES + 1):
            process = self._ready()
            self._calls += 1
            try:
                return process.ask(function, *args, seconds=timeout)
            except Died as death:
                self._end()
                innocent = death.was_killed or not death.begun
                if self._closed or not innocent or tried == _TRIES:
                    raise Died(death.code, times=tried) from None
            except BaseException:  # an adapter that fell over may have left the process in any state
                self._end()
                raise
        raise AssertionError

    def _ready(self) -> Process:
        """A process that has imported what it needs. Raises what hinders it, also the next time."""
        if self._calls >= CALLS_A_PROCESS:
            self._end()
        if self._broken is not None:
            raise self._broken.with_traceback(None)
        failed = killed = 0
        while self._process is None:
            try:
                self._start()
            except TimeoutError:
                self._broken = NotStarted("timeout", f"{self._what} took longer than {WARM_UP_SECONDS:g} s")
            except NotInstalled as error:
                self._broken = error
            except (Told, OSError) as error:
                if isinstance(error, Died) and error.was_killed:
                    killed += 1
                else:
                    failed += 1
                if self._closed or failed == _TRIES or killed == _KILLED_STARTS:
                    told = f"{self._what} failed {failed + killed} times: {describe(error)}"
                    self._broken = NotStarted("crashed", told)
            if self._broken is not None:
                self._end()
                raise self._broken.with_traceback(None)
        return self._process

    @property
    def _what(self) -> str:
        return "the start of a process" if self.trainer is None else f"the import of {self.trainer}"

    def _start(self) -> None:
        """Start a process and let it import what it needs."""
        self._end()
        with self._changing:
            if self._closed:
                raise Told("the run is over")
            process = self._process = Process(self.home, ENVIRONMENT)
        self._calls = 0
        try:
            process.wait_until_ready(WARM_UP_SECONDS)
            process.ask(begin, self.datasets, self.trainer, seconds=WARM_UP_SECONDS)
        except BaseException:
            self._end()
            raise

    def _end(self) -> None:
        with self._changing:
            if self._process is not None:
                self._process.end()
            self._process = None


class LocalExecutor:
    """Lanes by name, each started when it is first used. A context manager: leaving it ends every process."""

    def __init__(self, datasets: Datasets | None = None) -> None:
        self.datasets = datasets or {}
        self.lanes: dict[str, Lane] = {}
        self._home: Home | None = None
        self._saved: dict[str, SavedDataset] = {}

    def submit(
        self, lane: str, trainer: str | None, function: Callable[..., Any], *args: Any, timeout: float | None = None
    ) -> Future[Any]:
        """Run `function(*args)` in the lane's process; `trainer` is the class that this lane's process imports."""
        if self._home is None:
            self._home = Home()
            self._saved = save_datasets(self.datasets, self._home.path)
        if lane not in self.lanes:
            self.lanes[lane] = Lane(self._home, trainer, self._saved)
        return self.lanes[lane].submit(function, *args, timeout=timeout)

    def __enter__(self) -> "LocalExecutor":
        return self

    def __exit__(self, *exception: object) -> None:
        with interrupts_wait():
            for lane in self.lanes.values():
                lane.stop()
            if self._home is not None:
                self._home.close()
