"""`harness run`."""

import tempfile
from collections import Counter
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from harness import registry
from harness.cli.options import STORE, ExperimentArgument, StoreOption, names
from harness.cli.show import show_summary, warnings_as_lines
from harness.data import load_datasets
from harness.errors import RequestError
from harness.experiment import Experiment, load
from harness.linting.findings import warn
from harness.linting.linter import lint_plan
from harness.plan import plan
from harness.runner import prepare_request, read_published, run

EXAMPLES = (
    "harness run digits-quick",
    "harness run digits-quick --backends numpy,sklearn --modes controlled",
    "harness run my.toml --store sqlite:///my.db --out my-report",
    "harness run digits-grid --dry-run",
)


def command(
    experiment: ExperimentArgument,
    backends: Annotated[str | None, typer.Option(metavar="A,B", help="These backends instead of the file's.")] = None,
    modes: Annotated[str | None, typer.Option(metavar="A,B", help="controlled, native, or both.")] = None,
    seeds: Annotated[int | None, typer.Option(metavar="N", help="Repeats 0 to N-1 instead of the file's.")] = None,
    store: StoreOption = STORE,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the report goes (default: results/NAME/).")
    ] = None,
    workers: Annotated[int | None, typer.Option(metavar="N", help="Processes busy at once (default: cores).")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Train crashes and time-outs again.")] = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Train again what other versions made.")] = False,
    retrain: Annotated[bool, typer.Option("--retrain", help="Train everything again: an adapter was edited.")] = False,
    save_weights: Annotated[
        bool, typer.Option("--save-weights", help="Keep final weights and test logits of every trial.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
) -> int:
    """Run an experiment, or what is still missing of it, and write its report.

    Exit code: 0 every trial has a result; 1 some trial crashed or timed out, or a controlled trial that is not
    chaotic does not agree with the reference; 2 the request itself was wrong.
    """
    asked = prepare_request(load(experiment), names(backends), names(modes), seeds)
    read_published(asked)
    if dry_run:
        _print_plan(asked)
        return 0
    folder = out or Path("results") / asked.name
    make_folder(folder)
    with warnings_as_lines() as told:
        results = run(
            asked,
            store=store,
            workers=workers,
            retry_failed=retry_failed,
            refresh=refresh,
            save_weights=save_weights,
            retrain=retrain,
        )
    show_summary(results, folder, results.report(folder), told)
    rows, wanted = results.frame(), asked.run
    requested = rows["backend"].isin(wanted.backends) & rows["mode"].isin(wanted.modes) & (rows["seed"] < wanted.seeds)
    return exit_code(rows[requested])


def _print_plan(experiment: Experiment) -> None:
    datasets = load_datasets(experiment)
    trials = plan(experiment, datasets)
    with warnings_as_lines():
        warn(lint_plan(experiment, datasets, trials))
    axes = " x ".join(f"{len(values)} {key}" for key, values in experiment.sweep.items()) or "nothing swept"
    planned = f"{len(trials)} trial" + ("s" if len(trials) > 1 else "")
    print(f"{experiment.name}: {planned} ({axes}; seeds: {experiment.run.seeds})")
    for (backend, mode), count in Counter((trial.backend, trial.mode) for trial in trials).items():
        missing = registry.backend(backend).missing()
        print(f"  {backend:<12} {mode:<12} {count:>6}" + (f"   {missing}" if missing else ""))


def make_folder(folder: Path) -> None:
    """Before hours of training, not after them: can the report be written there?"""
    try:
        for place in (folder, folder / "figures", folder / "tables"):
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=place):
                pass
        if (folder / "report.html").is_dir():
            raise IsADirectoryError(0, "report.html is a folder there")
    except OSError as error:
        raise RequestError(f"--out {folder}: cannot be written: {error.strerror}; give another folder") from None


def exit_code(rows: pd.DataFrame) -> int:
    """1 where a trial crashed, timed out or does not agree, else 0."""
    failed = rows["status"].isin(["crashed", "timeout", "pending"]) | (rows["verdict"] == "differs")
    return int(failed.any())
