"""`harness check`."""

from collections import Counter
from typing import Annotated

import typer

from harness import registry, worker
from harness.check import CHECKS
from harness.errors import RequestError
from harness.executor import LocalExecutor

EXAMPLES = ("harness check torch",)

_SECONDS = 300.0


def command(
    backend: Annotated[str, typer.Argument(metavar="BACKEND", help="Its name (see: harness list).")],
) -> int:
    """Prove that a backend does what the contract says: each check by name, against the reference.

    Exit code: 0 every check passed (or the backend says that it does not support it), 1 one failed.
    """
    found = registry.backend(backend)
    missing = found.missing()
    if missing:
        raise RequestError(f"backend {backend!r}: {missing}")
    counts: Counter[str] = Counter()
    with LocalExecutor() as executor:
        for name in CHECKS:
            future = executor.submit(backend, found.trainer, worker.check, name, found.trainer, timeout=_SECONDS)
            error = future.exception()
            if error is not None:
                status, message = "failed", worker.describe(error)
            else:
                status, message = future.result().status, future.result().message
            counts[status] += 1
            print(f"{status:<12} {name:<42} {message}", flush=True)
    told = ", ".join(f"{counts[status]} {status}" for status in ("passed", "unsupported", "failed") if counts[status])
    print(f"{backend}: {told}, of {len(CHECKS)} checks")
    if not counts["passed"]:
        print(f"{backend}: nothing could be checked")
    return int(counts["failed"] > 0 or not counts["passed"])
