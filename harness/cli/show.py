"""How commands show tables: plain columns that survive a pipe."""

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pandas as pd
from rich.console import Console
from rich.table import Table

from harness.linting.findings import LintWarning
from harness.results import Results


def show_table(frame: pd.DataFrame) -> None:
    """A DataFrame as a table on standard output."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in frame.columns:
        table.add_column(str(column), justify="right" if pd.api.types.is_numeric_dtype(frame[column]) else "left")
    for row in frame.itertuples(index=False):
        table.add_row(*(_text(value) for value in row))
    console = Console(highlight=False)
    if not console.is_terminal:  # a pipe or a file has no width to fit
        console = Console(highlight=False, width=1000)
    console.print(table)


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
def warnings_as_lines() -> Iterator[list[str]]:
    """Each finding of the lint as one line on standard error, at once; gives those that were told so far."""
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
                print(f"warning: {message}", file=sys.stderr, flush=True)
            else:
                others(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield told


def show_summary(results: Results, folder: Path, page: Path, told: Sequence[str] = ()) -> None:
    """What a run found, in sentences and one table, and where everything is. `told` are warnings already given."""
    from reports import tables

    study = results.study()
    print()
    for sentence in tables.summary_sentences(study):
        print(sentence)
    if "controlled" in study.modes:
        print()
        show_table(_brief(tables.parity_table(study)))
    print(flush=True)
    for warning in [warning for warning in study.warnings if warning not in told]:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"report   {page}", file=sys.stderr)
    print(f"pictures {folder / 'figures'}", file=sys.stderr)
    print(f"tables   {folder / 'tables'}", file=sys.stderr)
    print(f"store    {results.store_url}", file=sys.stderr)
