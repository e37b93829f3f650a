"""`python -m benchmarks.reports`: how long a large report takes, and how many bytes its page has, against the bars."""

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.storage.results import Results
from harness.storage.store import Store
from tests.synthetic import grid, lively, write_store

MB = 1_000_000


@dataclass(frozen=True)
class Case:
    """A study of a shape, and what its report may cost."""

    name: str
    table: dict[str, Any]
    seconds: float
    bytes: int


CASES = (
    Case("5 backends x 49 cells x 5 seeds", grid(7, 7, seeds=5), 20, 3 * MB),
    # twice the trials, and so twice the bars
    Case("the same in both modes", grid(7, 7, seeds=5, modes=("controlled", "native")), 40, 6 * MB),
    Case("5 backends x 400 cells x 5 seeds", grid(20, 20, seeds=5), 60, 15 * MB),
    Case("5 backends x 2000 cells x 1 seed", grid(40, 50, seeds=1), 60, 15 * MB),
)


def measure(case: Case, folder: Path) -> tuple[float, int]:
    """Seconds from the store to the written report, and the bytes of its page. The store is made before."""
    url = f"sqlite:///{folder / 'store.db'}"
    name = write_store(url, case.table, lively)
    started = time.perf_counter()
    store = Store(url, must_exist=True)
    page = Results(store, name).report(folder / "report")
    store.close()
    return time.perf_counter() - started, page.stat().st_size


def main() -> int:
    """Print a line a case; 1 where any missed a bar."""
    missed = 0
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            seconds, size = measure(case, Path(folder))
        within = seconds < case.seconds and size < case.bytes
        missed += not within
        print(
            f"{case.name:34} {seconds:6.1f} s of {case.seconds:2.0f}   {size / MB:6.2f} MB of {case.bytes / MB:2.0f}"
            f"   {'ok' if within else 'MISSED'}",
            flush=True,
        )
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
