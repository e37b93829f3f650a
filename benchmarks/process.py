"""A contender in a process of its own: one thread, imported and compiled, asked for a run when it is its turn.

The child is `python -m benchmarks.process NAME DTYPE CELLS`: it reports what coming to life took, then one line of JSON
for every line that it is sent.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from harness.execution.executor import ENVIRONMENT


class Contender:
    """The parent's end. `import_seconds` and `first_seconds` say what the import and the first run, untimed, took."""

    def __init__(self, name: str, dtype: str, cells: int) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.process", name, dtype, str(cells)],
            env=os.environ | ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        ready = self._read()
        self.import_seconds: float = ready["import_seconds"]
        self.first_seconds: float = ready["first_seconds"]

    def run(self) -> dict[str, Any]:
        """One timed run: the fields of `Timing`. Raises `RuntimeError` with the reason where the contender failed."""
        assert self.process.stdin is not None
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        return self._read()

    def stop(self) -> None:
        """End the process."""
        self.process.communicate()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": f"its process ended with code {self.process.wait()}"}
        if "error" in answer:
            self.stop()
            raise RuntimeError(f"{self.name}: {answer['error']}")
        return answer


def serve(load: Callable[[], Callable[[], Any]]) -> None:
    """The child's end: `load` imports and prepares, what it gives runs once and gives a dataclass of timings."""
    answers = os.fdopen(os.dup(1), "w")  # frameworks chatter on the standard output, from C++ too
    os.dup2(2, 1)

    def answer(**fields: Any) -> None:
        print(json.dumps(fields), file=answers, flush=True)

    try:
        started = time.perf_counter()
        run = load()
        loaded = time.perf_counter()
        run()
        answer(import_seconds=loaded - started, first_seconds=time.perf_counter() - loaded)
        for _ in sys.stdin:
            answer(**asdict(run()))
    except Exception as error:
        answer(error=f"{type(error).__name__}: {error}".splitlines()[0])


if __name__ == "__main__":
    name, dtype, cells = sys.argv[1:]

    def load_contender() -> Callable[[], Any]:
        """Imported here, so that its time counts."""
        from benchmarks.contenders import load

        return load(name, dtype, int(cells))

    serve(load_contender)
