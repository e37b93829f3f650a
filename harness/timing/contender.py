"""The parent's end of one timed process, and of the short-lived one that only imports."""

import multiprocessing
import os
import subprocess
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from harness.executor import environment, worker_conditions
from harness.timing.work import serve

SECONDS = 600.0
"""How long one request may take before the process is ended."""

_IMPORT = """
import importlib, sys, time
before = time.perf_counter()
importlib.import_module(sys.argv[1])
print(time.perf_counter() - before)
"""


class Failed(Exception):
    """A request that gave no timing: `status` in one word, and why."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason


@dataclass
class Contender:
    """A backend in a process of its own with its own number of threads; a new process where the last one died."""

    name: str
    trainer: str
    threads: int

    def __post_init__(self) -> None:
        self._process: Any = None
        self._connection: Connection | None = None

    def ask(self, name: str, *arguments: object) -> Any:
        """Send a request and wait for its answer. Raises `Failed`."""
        if self._connection is None:
            self._open()
        return self._exchange((name, arguments))

    def ask_waiting(self, word: str) -> Any:
        """The same with a word to a training that waits between two slices."""
        return self._exchange(word)

    def _exchange(self, message: object) -> Any:
        connection = self._connection
        if connection is None:
            raise Failed("crashed", "the process ended")
        try:
            connection.send(message)
            if not connection.poll(SECONDS):
                self.close()
                raise Failed("timeout", f"no answer in {SECONDS:.0f} s")
            status, value = connection.recv()
        except (EOFError, OSError):
            self._process.join(1)
            code = self._process.exitcode
            self.close()
            raise Failed("crashed", f"the process ended (exit code {code})") from None
        if status != "ok":
            raise Failed(status, value)
        return value

    def _open(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, self.trainer), daemon=True)
        with worker_conditions(environment(self.threads)):
            self._process.start()
        theirs.close()

    def close(self) -> None:
        """End the process."""
        if self._connection is not None:
            self._connection.close()
            self._process.kill()
            self._process.join()
        self._connection = self._process = None


def import_seconds(module: str, threads: int) -> float:
    """Seconds of importing `module` in a fresh process. Raises `Failed`."""
    command = [sys.executable, "-c", _IMPORT, module]
    where = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **environment(threads), **where},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
        )
        return float(done.stdout.split()[-1])
    except subprocess.CalledProcessError as error:
        raise Failed("crashed", (error.stderr.strip().splitlines() or ["import failed"])[-1]) from None
    except subprocess.TimeoutExpired:
        raise Failed("timeout", f"not imported in {SECONDS:.0f} s") from None
