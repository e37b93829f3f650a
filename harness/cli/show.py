"""How commands show tables: plain columns that survive a pipe."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import pandas as pd
from rich.table import Table

from harness.cli.output import Output
from harness.linting.findings import LintWarning
from harness.storage.results import Results
from harness.support.terminal import console


def show_table(frame: pd.DataFrame) -> None:
    """A DataFrame as a table on standard output."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in frame.columns:
        table.add_column(str(column), justify="right" if pd.api.types.is_numeric_dtype(frame[column]) else "left")
    for row in frame.itertuples(index=False):
        table.add_row(*(_text(value) for value in row))
    console().print(table)


def _text(value: object) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _brief(parity: pd.DataFrame) -> pd.DataFrame:
    """The parity table without what never happened, so that it fits into 80 columns."""
    rare = [name for name in ("diverged", "failed", "not_run", "chaotic", "unchecked") if not parity[name].any()]
    brief = parity.drop(columns=["planned", *rare])
    return brief.rename(columns={"not_run": "not run", "largest_deviation": "largest deviation"})


@contextmanager
def warnings_as_lines(output: Output) -> Iterator[list[str]]:
    """Each finding of the lint as one note, at once; gives those that were told so far."""
    told: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", LintWarning)  # whatever a user's own filters make of warnings
        others = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, LintWarning):
                told.append(str(message))
                output.note(f"warning: {message}")
            else:
                others(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield told


def show_summary(
    results: Results, folder: Path, page: Path, output: Output, told: Sequence[str] = ()
) -> dict[str, Any]:
    """What a run found, in sentences and one table, and where everything is; gives the same as plain data.

    `told` are warnings already given.
    """
    from reports import tables

    study = results.study()
    parity = tables.parity_table(study) if "controlled" in study.modes else pd.DataFrame()
    sentences = tables.summary_sentences(study)
    if not output.as_json:
        print("", *sentences, sep="\n")
        if len(parity):
            print()
            show_table(_brief(parity))
        print(flush=True)
    for warning in [warning for warning in study.warnings if warning not in told]:
        output.note(f"warning: {warning}")
    files = {"report": page, "pictures": folder / "figures", "tables": folder / "tables"}
    for name, path in {**files, "store": results.store_url}.items():
        output.note(f"{name:<8} {path}")
    return {
        "experiment": results.name,
        "title": results.title,
        "summary": sentences,
        "trials": tables.status_table(study).to_dict("records"),
        "parity": parity.to_dict("records"),
        "warnings": study.warnings,
        "store": results.store_url,
        "files": files,
    }
