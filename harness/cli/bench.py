"""`harness bench`."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from harness import registry
from harness.cli import completion
from harness.cli.options import JsonOption, QuietOption, make_folder, names
from harness.cli.output import Output
from harness.contract import DTYPES
from harness.manifest import Backend
from harness.support.environment import harness_version, machine, numpy_version
from harness.support.errors import RequestError, unknown
from harness.support.progress import make_progress
from harness.timing.busy import busy_with, cores
from harness.timing.cases import Case, grid
from harness.timing.protocol import Bench, Measurement

EXAMPLES = (
    "harness bench                                     # some minutes on two cores",
    "harness bench --backends numpy,torch --widths 32,128,512,2048 --threads both",
    "harness bench --modes controlled,native --batch-sizes 32,128 --rows 1000,10000",
    "harness bench --widths 64 --rows 1000 --threads 1 --repeats 15 --out results/quick",
)

FEWEST_REPEATS = 7
MODES = ("controlled", "native")
THREADS = ("1", "all", "both")
_FAULTS = ("crashed", "timeout", "differs", "chaotic")

T = TypeVar("T")


def command(
    backends: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Which (default: all, numpy first: others are compared with it).",
            autocompletion=completion.backend_names,
        ),
    ] = None,
    modes: Annotated[
        str, typer.Option(metavar="A,B", help="controlled, native or both.", autocompletion=completion.mode_names)
    ] = "controlled",
    widths: Annotated[str, typer.Option(metavar="N,N", help="Units of each hidden layer.")] = "32,128,512",
    depths: Annotated[str, typer.Option(metavar="N,N", help="Hidden layers.")] = "1",
    batch_sizes: Annotated[str, typer.Option(metavar="N,N", help="Rows of a batch.")] = "128",
    rows: Annotated[str, typer.Option(metavar="N,N", help="Rows of the training set.")] = "1000",
    repeats: Annotated[int, typer.Option(metavar="N", help=f"At least {FEWEST_REPEATS}.")] = FEWEST_REPEATS,
    threads: Annotated[str, typer.Option(metavar="1|all|both", help="Threads of a process: 1, all cores.")] = "both",
    dtype: Annotated[str, typer.Option(help=" or ".join(DTYPES) + ".")] = "float32",
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Where everything is written.")] = Path(
        "results/bench"
    ),
    seed: Annotated[int, typer.Option(metavar="N", help="Of data, start, batches and the order of timings.")] = 0,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> int:
    """Time every backend on a grid of sizes, fairly, and say which differences are real.

    Import, build, first step (trace and compile), steady epoch and prediction are timed apart. A backend that does not
    agree with the reference in a case gets no timing in it. Backends take turns, in random order, in processes of
    their own; a median stands with its interval, and where the interval of a ratio includes 1 there is no difference.

    Exit code: 0; 1 a backend crashed, ran out of time or does not agree; 2 the request itself was wrong.
    """
    chosen = _backends(backends)
    asked = tuple(dict.fromkeys(_each("--modes", modes, lambda text: _one_of("--modes", text, MODES))))
    if repeats < FEWEST_REPEATS:
        raise RequestError(f"--repeats {repeats}: must be at least {FEWEST_REPEATS}, or no interval reaches 95 %")
    if seed < 0:
        raise RequestError(f"--seed {seed}: must be at least 0")
    cases = _cases(widths, depths, batch_sizes, rows, _one_of("--dtype", dtype, DTYPES), seed)
    counts = _threads(threads)
    make_folder(out)

    absent = {backend.name: backend.missing() for backend in chosen if backend.missing()}
    timed = {backend.name: backend.trainer for backend in chosen if backend.name not in absent}
    if not timed:
        raise RequestError(f"--backends: none is installed: {'; '.join(map(str, absent.values()))}")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    output = Output("bench", quiet, as_json)
    busy = busy_with(load, cores())
    if busy:
        output.note(
            f"warning: {busy}: timings spread, and small differences are the machine's; wait, or stop what runs"
        )
    progress = make_progress(not quiet)
    bench = Bench(timed, cases, asked, counts, repeats, seed)
    progress.start(dict.fromkeys(timed, bench.steps), 0)
    try:
        measured = list(bench.measure(progress.finished))
    finally:
        progress.close()
    measured += [
        Measurement(name, mode, count, dtype, status="not_installed", reason=str(reason))
        for name, reason in absent.items()
        for mode in asked
        for count in counts
    ]
    result = _write(measured, {backend.name: backend.version() for backend in chosen}, repeats, load, busy, out, output)
    return output.finish(result, int(any(row.status in _FAULTS for row in measured)))


def _backends(text: str | None) -> list[Backend]:
    known = registry.backends()
    given = tuple(known) if text is None else tuple(_each("--backends", text, str))
    for name in given:
        if name not in known:
            raise RequestError("--backends: " + unknown("backend", name, known))
    return [known[name] for name in dict.fromkeys(given)]


def _one_of(option: str, text: str, allowed: tuple[str, ...]) -> str:
    if text not in allowed:
        raise RequestError(f"{option}: " + unknown(option.strip("-").replace("modes", "mode"), text, allowed))
    return text


def _each(option: str, text: str, read: Callable[[str], T]) -> list[T]:
    found = [read(item) for item in names(text) or ()]
    if not found:
        raise RequestError(f"{option} {text!r}: names nothing; give values with commas between them")
    return found


def _cases(widths: str, depths: str, batch_sizes: str, rows: str, dtype: str, seed: int) -> list[Case]:
    given = {"--widths": widths, "--depths": depths, "--batch-sizes": batch_sizes, "--rows": rows}

    def sizes(option: str) -> list[int]:
        def read(text: str) -> int:
            if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 10**7:
                told = f"{text!r} is not a whole number; allowed: 1 to 10000000"
                raise RequestError(f"{option} {given[option]!r}: {told}")
            return int(text)

        return sorted(set(_each(option, given[option], read)))

    found = grid(sizes("--widths"), sizes("--depths"), sizes("--batch-sizes"), sizes("--rows"), dtype, seed)
    for case in found:
        if case.batch_size > case.rows:
            told = f"a batch of {case.batch_size} is more than the {case.rows} of --rows"
            raise RequestError(f"--batch-sizes: {told}; give smaller batches, or more rows")
    return found


def _threads(text: str) -> tuple[int, ...]:
    _one_of("--threads", text, THREADS)
    return tuple(dict.fromkeys({"1": (1,), "all": (cores(),), "both": (1, cores())}[text]))


def _write(
    measured: list[Measurement],
    versions: dict[str, str],
    repeats: int,
    load: float,
    busy: str,
    out: Path,
    output: Output,
) -> dict[str, Any]:
    """The CSV, the page and its pictures; prints the tables of ratios, and gives what `--json` writes."""
    from harness.timing.summary import base_of, frame, summarise
    from reports.speed import page, pictures, tables

    made_on = {key: value for key, value in machine().items() if "threads" not in key}
    made_on |= {"harness": harness_version(), "NumPy": numpy_version(), "load at the start": f"{load:.1f}"}
    rows = frame(measured)
    base = base_of(list(dict.fromkeys(rows["backend"])))
    summary = summarise(rows, base)
    columns = {key.lower(): value for key, value in made_on.items()} | {
        "backend_version": rows["backend"].map(versions)
    }
    written = [out / "bench.csv", out / "bench.md"]
    rows.assign(**columns).to_csv(written[0], index=False)
    drawn = pictures(summary, base, registry.colours())
    for name, figure in drawn.items():
        written.append(out / name)
        figure.savefig(written[-1], dpi=160)
    written[1].write_text(page(summary, base, repeats, made_on, versions, list(drawn), busy), encoding="utf-8")
    output.say(tables(summary, base, busy))
    for path in written:
        output.note(f"wrote {path}")
    return {
        "base": base,
        "made_on": made_on,
        "busy": busy or None,
        "timings": summary.to_dict("records"),
        "files": written,
    }
