"""`harness check`."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from harness import registry, worker
from harness.checks import CHECKS
from harness.checks.covering import Measured
from harness.checks.matrix import Coverage, to_markdown
from harness.environment import harness_version, machine, numpy_version
from harness.errors import RequestError, describe
from harness.executor import LocalExecutor
from harness.registry import Backend

EXAMPLES = (
    "harness check torch",
    "harness check numpy keras --full",
    "harness check --full -o parity.md      # every installed backend, as a page",
)

_SECONDS = 300.0


def command(
    backend: Annotated[
        list[str] | None, typer.Argument(metavar="[BACKEND]...", help="Their names (default: all that are installed).")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="And train every pair of parts together: a covering array.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE.md", help="With --full: write the matrix there.")
    ] = None,
) -> int:
    """Prove that backends do what the contract says: each check by name, against the reference.

    Exit code: 0 every check passed (or the backend says that it does not support it), 1 one failed.
    """
    if output is not None and not full:
        raise RequestError(f"-o {output}: the matrix is what --full measures; add --full")
    asked = [registry.backend(name) for name in backend or ()]
    for found in asked:
        if found.missing():
            raise RequestError(f"backend {found.name!r}: {found.missing()}")
    chosen = asked or [found for found in registry.backends().values() if found.missing() is None]
    if output is not None:
        _writable(output)
    if not full:
        return max(_check(found)[0] for found in chosen)
    coverages = [_cover(found) for found in chosen]
    if output is not None:
        made_on = {"harness": harness_version(), "NumPy": numpy_version(), **machine()}
        output.write_text(to_markdown(coverages, made_on), encoding="utf-8")
        print(f"wrote {output}")
    for coverage in coverages:
        print(coverage.sentence)
    return int(any(coverage.failed for coverage in coverages))


def _writable(path: Path) -> None:
    """Before minutes of training, not after them."""
    try:
        with path.open("a", encoding="utf-8"):
            pass
    except OSError as error:
        raise RequestError(f"-o {path}: cannot be written: {error.strerror}") from None


def _check(found: Backend) -> tuple[int, dict[str, str]]:
    """Run every check on one backend, a line each: the exit code, and the status of each."""
    statuses: dict[str, str] = {}
    with LocalExecutor() as executor:
        if not _usable(executor, found):
            return 1, dict.fromkeys(CHECKS, "failed")
        for name in CHECKS:
            future = executor.submit(found.name, None, worker.check, name, found.trainer, timeout=_SECONDS)
            error = future.exception()
            if error is not None:
                status, message = "failed", describe(error)
            else:
                status, message = future.result().status, future.result().message
            statuses[name] = status
            print(f"{status:<12} {name:<42} {message}", flush=True)
    counts = Counter(statuses.values())
    trained = any(status == "passed" for name, status in statuses.items() if name.startswith("five_epochs"))
    told = ", ".join(f"{counts[status]} {status}" for status in ("passed", "unsupported", "failed") if counts[status])
    print(f"{found.name}: {told}, of {len(CHECKS)} checks")
    if not trained:
        print(f"{found.name}: not one network could be trained")
    return int(counts["failed"] > 0 or not trained), statuses


def _usable(executor: LocalExecutor, found: Backend) -> bool:
    named = executor.submit(found.name, None, worker.warm_up, found.trainer, timeout=_SECONDS)
    unusable = named.exception()
    if unusable is not None:
        print(f"failed: {found.trainer} cannot be imported: {describe(unusable)}")
    elif named.result() != found.name:
        print(f"failed: {found.trainer} calls itself {named.result()!r}, and its entry point {found.name!r}")
    return unusable is None and named.result() == found.name


def _cover(found: Backend) -> Coverage:
    """Every check, and then the covering array, a line each."""
    _, statuses = _check(found)
    measured: list[Measured] = []
    with LocalExecutor() as executor:
        if not _usable(executor, found):
            raise RequestError(f"backend {found.name!r} cannot be used")
        lane = (found.name, None)
        cases, reasons = executor.submit(*lane, worker.covering_cases, found.trainer, timeout=_SECONDS).result()
        for number, case in enumerate(cases, start=1):
            future = executor.submit(*lane, worker.covering_case, case, found.trainer, timeout=_SECONDS)
            error = future.exception()
            result = future.result() if error is None else Measured(case, "differs", reason=describe(error))
            measured.append(result)
            _print_case(found.name, f"{number}/{len(cases)}", result)
    return Coverage(found.name, found.version(), tuple(measured), reasons, statuses)


def _print_case(backend: str, number: str, result: Measured) -> None:
    numbers = "" if result.deviation is None else f"deviation {result.deviation:.1e}, floor {result.floor or 0:.1e}"
    told = numbers if result.verdict in ("agrees", "chaotic") else f"{numbers} {result.reason or ''}".strip()
    print(f"{backend} {number:<8} {result.verdict:<8} {told:<36} {', '.join(result.case.values())}", flush=True)
