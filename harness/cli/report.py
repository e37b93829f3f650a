"""`harness report`."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.export import table_bytes, write
from harness.cli.options import STORE, JsonOption, QuietOption, StoredOption, StoreOption, make_folder, writing_into
from harness.cli.output import Output
from harness.cli.run import make_report_folder
from harness.cli.show import show_summary, show_table
from harness.storage.results import Results
from harness.storage.store import Store, shown
from harness.support.errors import RequestError

if TYPE_CHECKING:
    from reports import Study
    from reports.comparison import Comparison

EXAMPLES = (
    "harness report",
    "harness report --experiment digits-quick --out my-report",
    "harness report --experiment digits-quick --format markdown > report.md",
    "harness report --compare old.db new.db",
    "harness report --compare old.db new.db --format markdown -o changes.md",
)


class Format(StrEnum):
    """What `harness report` can write."""

    html = "html"
    markdown = "markdown"
    csv = "csv"
    json = "json"
    parquet = "parquet"


def command(
    experiment: StoredOption = None,
    store: StoreOption = STORE,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the page goes (default: results/NAME/).")
    ] = None,
    format: Annotated[
        Format,
        typer.Option("--format", help="html: a page; markdown: for a pull request; csv, json, parquet: a row a cell."),
    ] = Format.html,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Instead of the screen; not for html.")
    ] = None,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="OLD NEW",
            help="Two stores (files or URLs) with the same experiment: what changed from the one to the other. "
            "Exit code 1 if anything got worse.",
        ),
    ] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> int:
    """Write the report of an experiment again, from the stored rows alone; nothing is trained.

    With --compare, what changed between two runs of it: before and after a new version of a library, or of an adapter.
    """
    if format is Format.html and output is not None:
        raise RequestError(f"-o {output}: a page has pictures and tables beside it; give a folder with --out DIR")
    if format is not Format.html and out is not None:
        raise RequestError(f"--out {out}: is for pages; --format {format} goes to the screen, or into -o FILE")
    if format is not Format.html and as_json:
        raise RequestError(f"--json: the result of --format {format} is the {format} itself; leave one of the two out")
    told = Output("report", quiet, as_json)
    if compare is not None:
        return _compare(*compare, experiment, out, format, output, told)
    results = _open(store, experiment)
    if format is not Format.html:
        write(_study_text(results.study(), format), output)
        return 0
    folder = out or Path("results") / results.name
    make_report_folder(folder)
    with writing_into(folder):
        page = results.report(folder)
    return told.finish(show_summary(results, folder, page, output=told))


def _open(store: str, experiment: str | None) -> Results:
    opened = Store(store, must_exist=True)
    try:
        return Results(opened, experiment or _only(opened))
    finally:
        opened.close()


def _only(store: Store) -> str:
    names = store.experiment_names()
    if len(names) != 1:
        known = ", ".join(names) or "none"
        raise RequestError(f"store {store.url}: holds {len(names)} experiments ({known}); say --experiment NAME")
    return names[0]


def _study_text(study: "Study", format: Format) -> bytes:
    from reports import markdown, tables

    if format is Format.markdown:
        return str(markdown.study_report(study)).encode()
    return table_bytes(tables.cells_table(study), format)


def _compare(
    old: str, new: str, experiment: str | None, out: Path | None, format: Format, output: Path | None, told: Output
) -> int:
    from reports import comparison, markdown

    sides = [_open(side, experiment) for side in (old, new)]
    old, new = (shown(side) if "://" in side else side for side in (old, new))
    names = [side.name for side in sides]
    if names[0] != names[1]:
        raise RequestError(
            f"--compare {old} {new}: the one holds {names[0]}, the other {names[1]}; run the same experiment into both"
        )
    try:
        compared = comparison.compare(*(side.study() for side in sides))
    except RequestError:  # of a row that is broken
        raise
    except ValueError as error:
        raise RequestError(f"--compare {old} {new}: {error}; run the same experiment file into both") from None
    code = int(comparison.worse(compared))
    if format is Format.html:
        return _show(compared, out or Path("results") / f"{names[0]}-compared", told, code)
    if format is Format.markdown:
        write(markdown.comparison_report(compared).encode(), output)
    else:
        write(table_bytes(compared.pairs, format), output)
    return code


def _show(compared: "Comparison", folder: Path, told: Output, code: int) -> int:
    from reports import comparison, comparison_page

    make_folder(folder)
    with writing_into(folder):
        page = comparison_page.write_comparison(compared, folder)
    sentences, changes = comparison.sentences(compared), comparison.changes_table(compared)
    told.say("\n".join(["", *sentences, ""]))
    if not told.as_json:
        show_table(changes)
    told.note(f"report   {page}")
    result = {
        "experiment": compared.new.name,
        "summary": sentences,
        "changes": changes.to_dict("records"),
        "worse": comparison.worse_trials(compared).to_dict("records"),
        "moved": compared.moved.to_dict("records"),
        "files": {"report": page, "changes": folder / "changes.csv"},
    }
    return told.finish(result, code)
