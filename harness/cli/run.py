"""`harness run`."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness import registry
from harness.cli import completion
from harness.cli.options import (
    STORE,
    ExperimentArgument,
    JsonOption,
    QuietOption,
    StoreOption,
    make_folder,
    names,
    writing_into,
)
from harness.cli.output import Output
from harness.support.errors import RequestError

if TYPE_CHECKING:
    import pandas as pd

    from harness.experiment.file import Experiment

EXAMPLES = (
    "harness run digits-quick",
    "harness run digits-quick --backends numpy,sklearn --modes controlled",
    "harness run my.toml --store my.db --out my-report",
    "harness run digits-grid --dry-run",
    "harness run digits-quick --quiet --json > result.json",
)


def command(
    experiment: ExperimentArgument,
    backends: Annotated[
        str | None,
        typer.Option(
            metavar="A,B", help="These backends instead of the file's.", autocompletion=completion.backend_names
        ),
    ] = None,
    modes: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="controlled, native, or both.", autocompletion=completion.mode_names),
    ] = None,
    seeds: Annotated[int | None, typer.Option(metavar="N", help="Repeats 0 to N-1 instead of the file's.")] = None,
    store: StoreOption = STORE,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the report goes (default: results/NAME/).")
    ] = None,
    workers: Annotated[int | None, typer.Option(metavar="N", help="Processes busy at once (default: cores).")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Train crashes and time-outs again.")] = False,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Train again what other versions, or other code of an adapter, made.")
    ] = False,
    retrain: Annotated[bool, typer.Option("--retrain", help="Train everything again.")] = False,
    save_weights: Annotated[
        bool, typer.Option("--save-weights", help="Keep final weights and test logits of every trial.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> int:
    """Run an experiment, or what is still missing of it, and write its report.

    While it trains, each backend's best score so far is shown: accuracy (or R²) of the validation rows, or of the
    training rows where there are none. Interrupted (Ctrl-C, SIGTERM, SIGHUP) or killed, and run again, it goes on
    where it was.

    Exit code: 0 every trial has a result; 1 some trial crashed or timed out, or a controlled trial that is not
    chaotic does not agree with the reference; 2 the request itself was wrong; 130 interrupted.
    """
    from harness.cli.show import show_summary, warnings_as_lines
    from harness.execution.runner import prepare_request, read_published, run
    from harness.experiment.file import load

    output = Output("run", quiet, as_json)
    asked = prepare_request(load(experiment), names(backends), names(modes), seeds)
    read_published(asked)
    if dry_run:
        return output.finish(_show_plan(asked, output))
    folder = out or Path("results") / asked.name
    make_report_folder(folder)
    with warnings_as_lines(output) as told:
        results = run(
            asked,
            store=store,
            workers=workers,
            retry_failed=retry_failed,
            refresh=refresh,
            save_weights=save_weights,
            retrain=retrain,
            progress=not quiet,
        )
    output.note("writing the report …")
    with writing_into(folder, "; the results are stored: harness report --out DIR writes it elsewhere"):
        page = results.report(folder)
    result = show_summary(results, folder, page, output, told)
    rows, wanted = results.frame(), asked.run
    requested = rows["backend"].isin(wanted.backends) & rows["mode"].isin(wanted.modes) & (rows["seed"] < wanted.seeds)
    return output.finish(result, exit_code(rows[requested]))


def _show_plan(experiment: "Experiment", output: Output) -> dict[str, object]:
    """Print what would be trained; gives the same as plain data."""
    from harness.cli.show import warnings_as_lines
    from harness.experiment.datasets import load_datasets
    from harness.linting.findings import warn
    from harness.linting.linter import lint_plan
    from harness.planning.plan import plan

    datasets = load_datasets(experiment)
    trials = plan(experiment, datasets)
    with warnings_as_lines(output) as warnings:
        warn(lint_plan(experiment, datasets, trials))
    axes = " x ".join(f"{len(values)} {key}" for key, values in experiment.sweep.items()) or "nothing swept"
    planned = f"{len(trials)} trial" + ("s" if len(trials) > 1 else "")
    output.say(f"{experiment.name}: {planned} ({axes}; seeds: {experiment.run.seeds})")
    lanes = []
    for (backend, mode), count in Counter((trial.backend, trial.mode) for trial in trials).items():
        missing = registry.backend(backend).missing()
        output.say(f"  {backend:<12} {mode:<12} {count:>6}" + (f"   {missing}" if missing else ""))
        lanes.append({"backend": backend, "mode": mode, "trials": count, "missing": missing})
    return {
        "experiment": experiment.name,
        "trials": len(trials),
        "axes": dict(experiment.sweep),
        "seeds": experiment.run.seeds,
        "plan": lanes,
        "warnings": warnings,
    }


def make_report_folder(folder: Path) -> None:
    """Before hours of training, not after them: can the report be written there?"""
    make_folder(folder, "figures", "tables")
    if (folder / "report.html").is_dir():
        raise RequestError(f"--out {folder}: cannot be written: report.html is a folder there; give another folder")


def exit_code(rows: "pd.DataFrame") -> int:
    """1 where a trial crashed, timed out or does not agree, else 0."""
    failed = rows["status"].isin(["crashed", "timeout", "pending"]) | (rows["verdict"] == "differs")
    return int(failed.any())
