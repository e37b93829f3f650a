"""The parent's end of one timed process, and of the short-lived one that only imports."""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from harness.execution.executor import environment
from harness.execution.processes import Died, Home, Process
from harness.support.errors import describe
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
        self._home: Home | None = None
        self._process: Process | None = None

    def ask(self, name: str, *arguments: object) -> Any:
        """Send a request and wait for its answer. Raises `Failed`."""
        if self._process is None:
            self._open()
        return self._exchange((name, arguments))

    def ask_waiting(self, word: str) -> Any:
        """The same with a word to a training that waits between two slices."""
        return self._exchange(word)

    def _exchange(self, message: object) -> Any:
        if self._process is None:
            raise Failed("crashed", "the process ended")
        with self._failing():
            status, value = pickle.loads(self._process.exchange(pickle.dumps(message), SECONDS))
        if status != "ok":
            raise Failed(status, value)
        return value

    def _open(self) -> None:
        self._home = self._home or Home()
        self._process = Process(self._home, environment(self.threads))
        with self._failing():
            self._process.wait_until_ready(SECONDS)
            self._process.channel.send((serve, (self.trainer,)))

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """What ends the process is told as `Failed`."""
        try:
            yield
        except (TimeoutError, Died, OSError) as error:
            self.close()
            if isinstance(error, TimeoutError):
                raise Failed("timeout", f"no answer in {SECONDS:.0f} s") from None
            raise Failed("crashed", describe(error)) from None

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.end()
        if self._home is not None:
            self._home.close()
        self._home = self._process = None


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
