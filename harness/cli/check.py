"""`harness check`."""

from collections import Counter
from typing import Annotated

import typer

from harness import registry, worker
from harness.check import CHECKS
from harness.errors import RequestError, describe
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
    trained = False
    with LocalExecutor() as executor:
        unusable = executor.submit(backend, None, worker.warm_up, found.trainer, timeout=_SECONDS).exception()
        if unusable is not None:
            print(f"failed: {found.trainer} cannot be imported: {describe(unusable)}")
            return 1
        for name in CHECKS:
            future = executor.submit(backend, None, worker.check, name, found.trainer, timeout=_SECONDS)
            error = future.exception()
            if error is not None:
                status, message = "failed", describe(error)
            else:
                status, message = future.result().status, future.result().message
            counts[status] += 1
            trained |= status == "passed" and name.startswith("five_epochs")
            print(f"{status:<12} {name:<42} {message}", flush=True)
    told = ", ".join(f"{counts[status]} {status}" for status in ("passed", "unsupported", "failed") if counts[status])
    print(f"{backend}: {told}, of {len(CHECKS)} checks")
    if not trained:
        print(f"{backend}: not one network could be trained")
    return int(counts["failed"] > 0 or not trained)
