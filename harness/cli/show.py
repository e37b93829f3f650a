"""How commands show tables: plain columns that survive a pipe."""

import sys
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

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


def show_summary(results: Results, folder: Path, page: Path) -> None:
    """What a run found, in sentences and one table, and where everything is."""
    from reports import tables

    study = results.study()
    print()
    for sentence in tables.summary_sentences(study):
        print(sentence)
    if "controlled" in study.modes:
        print()
        show_table(_brief(tables.parity_table(study)))
    print(flush=True)
    for warning in study.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"report   {page}", file=sys.stderr)
    print(f"pictures {folder / 'figures'}", file=sys.stderr)
    print(f"tables   {folder / 'tables'}", file=sys.stderr)
    print(f"store    {results.store_url}", file=sys.stderr)
