"""`harness check`."""

import difflib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import cycle
from pathlib import Path
from typing import Annotated, Any

import typer

from harness import registry
from harness.checks import CHECKS, CheckResult, nothing_trained
from harness.checks.covering import Case, Measured
from harness.checks.matrix import Coverage, to_markdown
from harness.cli import completion
from harness.cli.options import JsonOption, QuietOption
from harness.cli.output import Output
from harness.execution import worker
from harness.execution.executor import LocalExecutor
from harness.manifest import Backend
from harness.support.environment import harness_version, machine, numpy_version
from harness.support.errors import RequestError, describe, short

EXAMPLES = (
    "harness check torch",
    "harness check mylib --only l2          # the checks with l2 in their names",
    "harness check numpy keras --full",
    "harness check mylib --full --workers 4",
    "harness check --full -o parity.md      # every installed backend, as a page",
    "harness check torch --json",
)

SECONDS = 300.0


def command(
    backend: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[BACKEND]...",
            help="Their names (default: all that are installed).",
            autocompletion=completion.backend_name,
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="PATTERN", help="The checks with this in their names, such as l2 or stack_*."),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="And train every pair of parts together: a covering array.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE.md", help="With --full: write the matrix there.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Tell each unsupported check too, with the reason.")
    ] = False,
    time_limit: Annotated[
        float, typer.Option("--time-limit", metavar="SECONDS", help="For one check: what takes longer is stopped.")
    ] = SECONDS,
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=64, help="How many processes check one backend side by side.")
    ] = 1,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> int:
    """Prove that backends do what the contract says: each check by name, against the reference.

    Exit code: 0 every check passed (or the backend says that it does not support it), 1 one failed, or was stopped by
    the time limit, which says nothing of the backend.
    """
    if output is not None and not full:
        raise RequestError(f"-o {output}: the matrix is what --full measures; add --full")
    if not 0 < time_limit < math.inf:
        raise RequestError(f"--time-limit {time_limit:g}: must be a number of seconds above 0")
    if only is not None and full:
        raise RequestError(f"--only {only}: --full runs every check; leave one of them out")
    names = _matching(only) if only is not None else list(CHECKS)
    asked = [_installed(name) for name in backend or ()]
    chosen = asked or [found for found in registry.backends().values() if found.missing() is None]
    if output is not None:
        _writable(output)
    told = Output("check", quiet, as_json)
    if not full:
        each = verbose or only is not None
        checked = {found.name: _check(found, told, names, each, time_limit, workers) for found in chosen}
        result = [{"backend": name, "checks": [vars(each) for each in results]} for name, results in checked.items()]
        return told.finish(result, int(not all(map(_passed, checked.values()))))
    coverages = [_cover(found, told, verbose, time_limit, workers) for found in chosen]
    if output is not None:
        made_on = {"harness": harness_version(), "NumPy": numpy_version(), **machine()}
        output.write_text(to_markdown(coverages, made_on), encoding="utf-8")
        told.note(f"wrote {output}")
    for coverage in coverages:
        told.say(coverage.sentence)
    return told.finish(list(map(_plain, coverages)), int(any(coverage.failed for coverage in coverages)))


def _matching(pattern: str) -> list[str]:
    """The checks whose names contain `pattern`, or match it: `*` and `?` as in a shell, brackets as they stand."""
    glob = pattern.replace("[", "[[]")
    names = [name for name in CHECKS if pattern in name or fnmatchcase(name, glob)]
    if not names:
        near = difflib.get_close_matches(pattern, CHECKS, n=1)
        hint = f": did you mean {near[0]!r}?" if near else ""
        raise RequestError(
            f"--only {short(pattern)}: no check has such a name{hint}; all names: harness check numpy --verbose"
        )
    return names


def _installed(name: str) -> Backend:
    """The backend of that name, if it can be checked here."""
    found = registry.backend(name)
    if name in registry.profiles():
        raise RequestError(
            f"{name!r} is a profile: it is trained in mode native only, and checks are of mode controlled "
            f"(backends: {', '.join(registry.backends())})"
        )
    if found.missing():
        raise RequestError(f"backend {name!r}: {found.missing()}")
    return found


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


def _check(
    found: Backend, told: Output, names: Sequence[str], each: bool, limit: float, workers: int
) -> list[CheckResult]:
    """Run these checks on one backend, a line each: the unsupported ones in one line, unless `each` is asked for."""
    results: list[CheckResult] = []
    with LocalExecutor() as executor:
        unusable = _unusable(executor, found, limit)
        if unusable is not None:
            told.tell(f"{unusable.status}: {unusable.message}")
            return [replace(unusable, name=name) for name in names]
        for name, future in _asked(executor, found, worker.check, names, limit, workers):
            error = future.exception()
            results.append(future.result() if error is None else _lost(name, error, limit))
            if each or results[-1].status != "unsupported":
                told.tell(f"{results[-1].status:<12} {name:<42} {results[-1].message}")
    counts = Counter(result.status for result in results)
    if counts["unsupported"] and not each:
        told.tell(f"{'unsupported':<12} {counts['unsupported']} checks: --verbose tells each, with the reason")
    words = [
        f"{counts[status]} {status}" for status in ("passed", "unsupported", "failed", "stopped") if counts[status]
    ]
    told.tell(f"{found.name}: {', '.join(words)}, of {len(names)} check{'s' * (len(names) > 1)}")
    if (untrained := nothing_trained(results)) is not None:
        told.tell(f"{found.name}: {untrained}")
    return results


def _asked(
    executor: LocalExecutor,
    found: Backend,
    function: Callable[..., Any],
    arguments: Sequence[Any],
    limit: float,
    workers: int,
) -> list[tuple[Any, Future[Any]]]:
    """Every call of a function, dealt out to so many processes."""
    lanes = [found.name, *(f"{found.name} {number}" for number in range(2, workers + 1))]
    calls = zip(cycle(lanes), arguments, strict=False)
    return [(each, executor.submit(lane, None, function, each, found.trainer, timeout=limit)) for lane, each in calls]


def _passed(results: Sequence[CheckResult]) -> bool:
    return nothing_trained(results) is None and all(result.status not in ("failed", "stopped") for result in results)


def _lost(name: str, error: BaseException, limit: float) -> CheckResult:
    """The result of a check whose process gave none: it died, or our own limit ended it, no fault of the backend."""
    if isinstance(error, TimeoutError):
        told = f"stopped by the time limit of {limit:g} s, which says nothing of the backend; --time-limit raises it"
        return CheckResult(name, "stopped", told)
    return CheckResult(name, "failed", describe(error))


def _unusable(executor: LocalExecutor, found: Backend, limit: float) -> CheckResult | None:
    """Why no check can be run at all, or None."""
    named = executor.submit(found.name, None, worker.warm_up, found.trainer, timeout=max(limit, SECONDS))
    error = named.exception()
    if error is not None:
        lost = _lost("", error, max(limit, SECONDS))
        what = "cannot be imported" if lost.status == "failed" else "its import"
        return replace(lost, message=f"{found.trainer} {what}: {lost.message}")
    if named.result() != found.name:
        told = f"{found.trainer} calls itself {named.result()!r}, and its entry point {found.name!r}"
        return CheckResult("", "failed", told)
    return None


def _cover(found: Backend, told: Output, verbose: bool, limit: float, workers: int) -> Coverage:
    """Every check, and then the covering array, a line each."""
    statuses = {result.name: result.status for result in _check(found, told, list(CHECKS), verbose, limit, workers)}
    measured: list[Measured] = []
    with LocalExecutor() as executor:
        unusable = _unusable(executor, found, limit)
        if unusable is not None:
            raise RequestError(f"backend {found.name!r} cannot be used: {unusable.message}; mend its package first")
        listed = executor.submit(found.name, None, worker.covering_cases, found.trainer, timeout=max(limit, SECONDS))
        cases, reasons = listed.result()
        asked = _asked(executor, found, worker.covering_case, cases, limit, workers)
        for number, (case, future) in enumerate(asked, start=1):
            error = future.exception()
            result = future.result() if error is None else _unmeasured(case, _lost("", error, limit))
            measured.append(result)
            told.tell(_case_line(found.name, f"{number}/{len(cases)}", result))
    return Coverage(found.name, found.version(), tuple(measured), reasons, statuses)


def _unmeasured(case: Case, lost: CheckResult) -> Measured:
    """A case without a measure: a crash is a difference, what was stopped is not judged."""
    return Measured(case, "differs" if lost.status == "failed" else "unchecked", reason=lost.message)


def _case_line(backend: str, number: str, result: Measured) -> str:
    numbers = "" if result.deviation is None else f"deviation {result.deviation:.1e}, floor {result.floor or 0:.1e}"
    told = numbers if result.verdict in ("agrees", "chaotic") else f"{numbers} {result.reason or ''}".strip()
    return f"{backend} {number:<8} {result.verdict:<8} {told:<36} {', '.join(result.case.values())}"
