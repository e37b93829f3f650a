"""From a cold start to the finished store, all five backends, against the five loops one after the other.

As a module, `python -m benchmarks.cold DTYPE PARITY STORE [BACKENDS]`, it is our side: one `harness.run` without the
report.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from typing import Any

from benchmarks.loops import LECTURE
from harness.execution.executor import ENVIRONMENT


def seconds_of(*arguments: str) -> float:
    """Wall time of `python -m …` from start to end, one thread a process. Raises `RuntimeError` where it fails."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", *arguments], env=os.environ | ENVIRONMENT, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)}: {(done.stderr.strip() or 'failed').splitlines()[-1]}")
    return time.perf_counter() - started


def once(dtype: str) -> dict[str, Any]:
    """Seconds of ours, and of each loop over all 49 cells."""
    with tempfile.TemporaryDirectory() as folder:
        ours = seconds_of("benchmarks.cold", dtype, "none", f"sqlite:///{folder}/cold.db")
    loops = {name: seconds_of("benchmarks.loops", name, dtype) for name in LECTURE}
    return {"dtype": dtype, "ours": ours, "loops": loops}


def verify(dtype: str, backends: list[str]) -> dict[str, Any]:
    """The same cells once with `parity = "all"`: the verdicts by backend, the largest deviation, and what it took."""
    from harness.storage.results import open_results
    from harness.storage.store import Store

    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/verified.db"
        seconds = seconds_of("benchmarks.cold", dtype, "all", url, ",".join(backends))
        store = Store(url)
        try:
            (results,) = open_results(store)
            rows = results.frame()
        finally:
            store.close()
    found = {
        name: {"verdicts": dict(Counter(own["verdict"])), "deviation": float(own["deviation"].max())}
        for name, own in rows.groupby("backend")
    }
    return {"dtype": dtype, "seconds": seconds, "backends": found, "floor": float(rows["floor"].max())}


if __name__ == "__main__":
    import harness
    from benchmarks.contenders import experiment

    dtype, parity, url, *names = sys.argv[1:]
    chosen = {"backends": names[0].split(",")} if names else {}
    harness.run(experiment(dtype, parity=parity, **chosen), store=url, progress=False)
