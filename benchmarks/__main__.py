"""`python -m benchmarks`: time everything, keep the timings, write docs/benchmarks.md and its figure."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.cold import once, verify
from benchmarks.contenders import COMPARISONS, contenders, missing
from benchmarks.figure import DTYPES
from benchmarks.floor import peaks
from benchmarks.loops import CELLS, EPOCHS
from benchmarks.members import FEW_EPOCHS, compare
from benchmarks.page import write
from benchmarks.rounds import race
from harness.support.environment import machine
from harness.support.errors import RequestError, unknown

RESULTS = Path("benchmarks/results/timings.json")
DOCS = Path("docs")
PARTS = ("rounds", "cold", "verify", "floor", "members", "page")
KEYS = ("timings", "births", "absent", "cold", "verified", "floor", "members")
FEWEST_ROUNDS = 6  # what an interval of 95 % needs


def main(
    parts: Annotated[str, typer.Option(metavar="A,B", help=f"Of {', '.join(PARTS)}; the others stay.")] = ",".join(
        PARTS
    ),
    rounds: Annotated[int, typer.Option(help="How often each contender is asked.")] = 7,
    cells: Annotated[int, typer.Option(help="Cells of a loop in a round, of 49.")] = 7,
    cold: Annotated[int, typer.Option(help="Cold runs of either side, one after the other.")] = 1,
    dtypes: Annotated[str, typer.Option(metavar="A,B", help="float32, float64 or both.")] = ",".join(DTYPES),
    only: Annotated[str, typer.Option(metavar="A,B", help="Of the contenders these; takes --results and --docs.")] = "",
    seed: Annotated[int, typer.Option(help="Of the order within rounds.")] = 0,
    results: Annotated[Path, typer.Option(metavar="FILE", help="Where the timings are kept.")] = RESULTS,
    docs: Annotated[Path, typer.Option(metavar="DIR", help="Where the page and its figure go.")] = DOCS,
) -> None:
    """Time our sweep against what people run today; about 20 minutes on two cores that do nothing else."""
    chosen, wanted = names_of("part", parts, PARTS), names_of("dtype", dtypes, DTYPES)
    names = names_of("contender", only, contenders()) if only else contenders()
    if only and (results == RESULTS or docs == DOCS):
        raise RequestError("--only: the page of the docs has all contenders; give --results and --docs of your own")
    for name, value, low, high in (
        ("rounds", rounds, FEWEST_ROUNDS, 1000),
        ("cells", cells, 1, len(CELLS)),
        ("cold", cold, 1, 100),
    ):
        if not low <= value <= high:
            raise RequestError(f"--{name} {value}: must be {low} to {high}")
    found = read(results)
    backends = [name for name in dict.fromkeys(row.ours for row in COMPARISONS) if missing(name) is None]
    load = round(os.getloadavg()[0], 1)  # what other programs do to the figures
    if set(chosen) - {"page"}:
        stamp(found)
    for folder in (results.parent, docs):
        if not folder.is_dir():
            raise RequestError(f"{folder}: there is no such folder; make it first")
    for dtype in wanted:
        if "verify" in chosen:
            tell(f"{dtype}: parity of {', '.join(backends)}")
            replace(found, "verified", dtype, [verify(dtype, backends)])
        if "rounds" in chosen:
            raced = race(dtype, names, rounds, cells, seed, tell)
            found["settings"] |= {"rounds": rounds, "cells": cells, "seed": seed, "load": load}
            for key in ("timings", "births", "absent"):
                replace(found, key, dtype, raced[key])
        if "floor" in chosen:
            replace(found, "floor", dtype, [peaks(dtype)])
        if "members" in chosen:
            tell(f"{dtype}: members")
            stacks = [name for name in ("numpy", "torch") if name in backends]
            replace(found, "members", dtype, [compare(name, dtype, rounds) for name in stacks])
        if "cold" in chosen:
            tell(f"{dtype}: cold")
            replace(found, "cold", dtype, [once(dtype) for _ in range(cold)])
        results.write_text(json.dumps(found, indent=1) + "\n")
    if "page" in chosen:
        write(found, docs)
        print(docs / "benchmarks.md")


def read(path: Path) -> dict[str, Any]:
    """What was timed before, or nothing yet."""
    parts: dict[str, Any] = {key: [] for key in KEYS}
    empty = {"settings": {"rounds": 0, "cells": 0, "seed": 0, "load": 0.0}, **parts}
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else empty
    return found


def stamp(found: dict[str, Any]) -> None:
    """Say what new timings are made on."""
    found["machine"] = machine()
    found["versions"] = {
        name: version(name) for name in ("numpy", "scikit-learn", "torch", "tensorflow-cpu", "keras", "skorch")
    }
    found["settings"] |= {"epochs": EPOCHS, "few_epochs": FEW_EPOCHS}


def version(distribution: str) -> str:
    """The installed version, or "not installed"."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def replace(found: dict[str, Any], key: str, dtype: str, rows: list[Any]) -> None:
    """Put new rows in the place of those of the same dtype."""
    found[key] = [row for row in found[key] if row["dtype"] != dtype] + rows


def names_of(kind: str, text: str, allowed: Sequence[str]) -> list[str]:
    """The names in a list with commas; `RequestError` with the nearest known one otherwise."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in allowed:
            raise RequestError(unknown(kind, name, allowed))
    return names


def tell(line: str) -> None:
    """Progress."""
    print(line, file=sys.stderr, flush=True)


def invoke(command: Callable[..., None] = main, arguments: list[str] | None = None) -> int:
    """Run the command and give its exit code: 0, 1 where a measurement failed, 2 for a request that is wrong."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(command)
    try:
        app(args=arguments, standalone_mode=False, prog_name="python -m benchmarks")
    except (RequestError, typer.TyperException) as error:
        tell(f"benchmarks: {getattr(error, 'message', error)}")
        return 2
    except RuntimeError as error:
        tell(f"benchmarks: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(invoke())
