"""`harness check`."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from harness import registry, worker
from harness.checks import CHECKS, CheckResult
from harness.checks.covering import Measured
from harness.checks.matrix import Coverage, to_markdown
from harness.cli import completion
from harness.cli.options import JsonOption, QuietOption
from harness.cli.output import Output
from harness.environment import harness_version, machine, numpy_version
from harness.errors import RequestError, describe
from harness.executor import LocalExecutor
from harness.registry import Backend

EXAMPLES = (
    "harness check torch",
    "harness check numpy keras --full",
    "harness check --full -o parity.md      # every installed backend, as a page",
    "harness check torch --json",
)

_SECONDS = 300.0


def command(
    backend: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[BACKEND]...",
            help="Their names (default: all that are installed).",
            autocompletion=completion.backend_name,
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="And train every pair of parts together: a covering array.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE.md", help="With --full: write the matrix there.")
    ] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
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
    told = Output("check", quiet, as_json)
    if not full:
        checked = {found.name: _check(found, told) for found in chosen}
        result = [{"backend": name, "checks": [vars(each) for each in results]} for name, results in checked.items()]
        return told.finish(result, int(not all(map(_passed, checked.values()))))
    coverages = [_cover(found, told) for found in chosen]
    if output is not None:
        made_on = {"harness": harness_version(), "NumPy": numpy_version(), **machine()}
        output.write_text(to_markdown(coverages, made_on), encoding="utf-8")
        told.note(f"wrote {output}")
    for coverage in coverages:
        told.say(coverage.sentence)
    return told.finish(list(map(_plain, coverages)), int(any(coverage.failed for coverage in coverages)))


def _plain(coverage: Coverage) -> dict[str, Any]:
    checks = [{"name": name, "status": status} for name, status in coverage.checks.items()]
    return {"backend": coverage.backend, "checks": checks, "cases": [vars(case) for case in coverage.measured]}


def _writable(path: Path) -> None:
    """Before minutes of training, not after them."""
    try:
        with path.open("a", encoding="utf-8"):
            pass
    except OSError as error:
        raise RequestError(f"-o {path}: cannot be written: {error.strerror}; give another file") from None


def _check(found: Backend, told: Output) -> list[CheckResult]:
    """Run every check on one backend, a line each."""
    results: list[CheckResult] = []
    with LocalExecutor() as executor:
        unusable = _unusable(executor, found)
        if unusable is not None:
            told.tell(f"failed: {unusable}")
            return [CheckResult(name, "failed", unusable) for name in CHECKS]
        for name in CHECKS:
            future = executor.submit(found.name, None, worker.check, name, found.trainer, timeout=_SECONDS)
            error = future.exception()
            results.append(future.result() if error is None else CheckResult(name, "failed", describe(error)))
            told.tell(f"{results[-1].status:<12} {name:<42} {results[-1].message}")
    counts = Counter(result.status for result in results)
    words = [f"{counts[status]} {status}" for status in ("passed", "unsupported", "failed") if counts[status]]
    told.tell(f"{found.name}: {', '.join(words)}, of {len(CHECKS)} checks")
    if not _trained(results):
        told.tell(f"{found.name}: not one network could be trained")
    return results


def _trained(results: Sequence[CheckResult]) -> bool:
    return any(result.status == "passed" for result in results if result.name.startswith("five_epochs"))


def _passed(results: Sequence[CheckResult]) -> bool:
    return _trained(results) and all(result.status != "failed" for result in results)


def _unusable(executor: LocalExecutor, found: Backend) -> str | None:
    """Why no check can be run at all, or None."""
    named = executor.submit(found.name, None, worker.warm_up, found.trainer, timeout=_SECONDS)
    error = named.exception()
    if error is not None:
        return f"{found.trainer} cannot be imported: {describe(error)}"
    if named.result() != found.name:
        return f"{found.trainer} calls itself {named.result()!r}, and its entry point {found.name!r}"
    return None


def _cover(found: Backend, told: Output) -> Coverage:
    """Every check, and then the covering array, a line each."""
    statuses = {result.name: result.status for result in _check(found, told)}
    measured: list[Measured] = []
    with LocalExecutor() as executor:
        unusable = _unusable(executor, found)
        if unusable is not None:
            raise RequestError(f"backend {found.name!r} cannot be used: {unusable}; mend its package first")
        lane = (found.name, None)
        cases, reasons = executor.submit(*lane, worker.covering_cases, found.trainer, timeout=_SECONDS).result()
        for number, case in enumerate(cases, start=1):
            future = executor.submit(*lane, worker.covering_case, case, found.trainer, timeout=_SECONDS)
            error = future.exception()
            result = future.result() if error is None else Measured(case, "differs", reason=describe(error))
            measured.append(result)
            told.tell(_case_line(found.name, f"{number}/{len(cases)}", result))
    return Coverage(found.name, found.version(), tuple(measured), reasons, statuses)


def _case_line(backend: str, number: str, result: Measured) -> str:
    numbers = "" if result.deviation is None else f"deviation {result.deviation:.1e}, floor {result.floor or 0:.1e}"
    told = numbers if result.verdict in ("agrees", "chaotic") else f"{numbers} {result.reason or ''}".strip()
    return f"{backend} {number:<8} {result.verdict:<8} {told:<36} {', '.join(result.case.values())}"
