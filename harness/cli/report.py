"""`harness report`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import STORE, StoreOption
from harness.cli.show import show_summary
from harness.errors import RequestError
from harness.results import Results
from harness.store import Store

EXAMPLES = (
    "harness report",
    "harness report --experiment digits-quick --out my-report",
)


def command(
    experiment: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which experiment, where the store has several.")
    ] = None,
    store: StoreOption = STORE,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the report goes (default: results/NAME/).")
    ] = None,
) -> None:
    """Write the report of an experiment again, from the stored rows alone; nothing is trained."""
    from harness.cli.run import make_folder

    opened = Store(store, must_exist=True)
    results = Results(opened, experiment or _only(opened))
    opened.close()
    folder = out or Path("results") / results.name
    make_folder(folder)
    show_summary(results, folder, results.report(folder))


def _only(store: Store) -> str:
    names = store.experiment_names()
    if len(names) != 1:
        known = ", ".join(names) or "none"
        raise RequestError(f"store {store.url}: holds {len(names)} experiments ({known}); say --experiment NAME")
    return names[0]
