"""What a large store costs those who read it: `python -m benchmarks.stored`, against the bars.

A store of 100,000 trials (5 backends, 2 modes, 5 seeds, 50 by 40 cells) and 10,000 more in a second experiment, with
curves of 30 epochs, confusion matrices and parity, is filled with made-up results in some minutes. Each command then
runs in a process of its own, of which CPU seconds and the peak of memory are taken; a resumed run is stopped at the
line that says what is left to train. `--store FILE` keeps the store for the next time, `--only` leaves commands out.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.__main__ import invoke, names_of, tell
from tests.synthetic import grid, write_store

MIB = 2**20
TICKS = os.sysconf("SC_CLK_TCK")

LARGE = grid(50, 40, seeds=5, modes=("controlled", "native")) | {"name": "large"}
SMALL = grid(20, 20, seeds=5) | {"name": "small"}
EXPERIMENT = """\
name = "large"
title = "Made-up digits"
data = {name = "digits", test_fraction = 0.2, validation_fraction = 0.1, scale = 16}
network = {hidden = [50], activation = "sigmoid"}
training = {batch_size = 100, epochs = 30}
sweep = {learning_rate = {logspace = [-5, 1, 50]}, l2 = {logspace = [-5, 1, 40]}}
run = {backends = ["numpy", "sklearn", "tensorflow", "keras", "torch"], modes = ["controlled", "native"], seeds = 5}
"""
"""`LARGE` as a file."""


@dataclass(frozen=True)
class Case:
    """A command, what it may cost, and the text on standard error at which it is stopped."""

    name: str
    arguments: tuple[str, ...]
    seconds: float
    mebibytes: float | None = 500
    until: str | None = None


CASES = (
    Case("status", ("status",), 10),
    Case("csv", ("export", "--format", "csv", "-o", "rows.csv"), 10),
    Case("json", ("export", "--format", "json", "-o", "rows.json"), 10),
    Case("parquet", ("export", "--format", "parquet", "-o", "rows.parquet"), 10),
    Case("run", ("run", "large.toml"), 10, until="to train:"),
    Case("report", ("report", "--experiment", "small", "--out", "report"), 60, None),
)


def measure(case: Case, store: Path, folder: Path) -> tuple[float, float]:
    """CPU seconds and MiB of one command. Raises `RuntimeError` where it fails."""
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", *case.arguments, "--store", str(store.absolute())],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    told = []
    for line in process.stderr:
        told.append(line)
        if case.until is not None and case.until in line:
            found = _so_far(process.pid)
            process.kill()
            process.communicate()
            return found
    _, code, usage = os.wait4(process.pid, 0)
    if code or case.until:
        raise RuntimeError(f"{case.name}: {' '.join(told[-1:]).strip() or code}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def _so_far(pid: int) -> tuple[float, float]:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    peak = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return (int(fields[11]) + int(fields[12])) / TICKS, int(peak.split()[1]) / 1024


def fill(store: Path) -> None:
    """Write the two experiments, where the file is not there yet."""
    if store.exists():
        return
    started = time.perf_counter()
    partial = store.with_name(f"{store.name}.partial")
    partial.unlink(missing_ok=True)
    # in a process of its own: the peak of a child begins at what its parent holds when it starts
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        for table in (LARGE, SMALL):
            tell(f"filling {table['name']}")
            pool.submit(write_store, f"sqlite:///{partial}", table).result()
    partial.rename(store)
    tell(f"filled in {time.perf_counter() - started:.0f} s, {store.stat().st_size / MIB:.0f} MiB")


def lines(chosen: list[str], store: Path, folder: Path) -> Iterator[tuple[str, bool]]:
    """A line a command, and whether it keeps its bars."""
    (folder / "large.toml").write_text(EXPERIMENT)
    for case in CASES:
        if case.name not in chosen:
            continue
        seconds, mebibytes = measure(case, store, folder)
        within = seconds < case.seconds and (case.mebibytes is None or mebibytes < case.mebibytes)
        bar = "" if case.mebibytes is None else f" of {case.mebibytes:.0f}"
        told = f"{case.name:10}{seconds:8.1f} CPU s of {case.seconds:2.0f}{mebibytes:8.0f} MiB{bar}"
        yield f"{told:46}{'ok' if within else 'MISSED'}", within


def main(
    store: Annotated[Path | None, typer.Option(metavar="FILE", help="Where the store is kept.")] = None,
    only: Annotated[str, typer.Option(metavar="A,B", help="These commands.")] = ",".join(case.name for case in CASES),
) -> None:
    """Read a store of 100,000 trials by every command; exit code 1 where one misses a bar."""
    chosen = names_of("command", only, [case.name for case in CASES])
    with tempfile.TemporaryDirectory() as place:
        store = store or Path(place) / "store.db"
        fill(store)
        kept = True
        for line, within in lines(chosen, store, Path(place)):
            print(line, flush=True)
            kept &= within
    if not kept:
        raise RuntimeError("a bar was missed")


if __name__ == "__main__":
    sys.exit(invoke(main))
