"""The page of a comparison: what changed between two runs of one experiment."""

from pathlib import Path

import pandas as pd

from reports import comparison, figures, style
from reports.comparison import Comparison
from reports.page import LISTED, as_csv, environment
from reports.pictures import Picture
from reports.study import Study
from reports.written import Table, written


def write_comparison(compared: Comparison, out: Path) -> Path:
    """Write `comparison.html` and `changes.csv`, a row a trial that both have, into `out`; gives the page's path."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    compared.pairs.map(as_csv).to_csv(out / "changes.csv", index=False)
    shown = comparison.printable(compared)
    trials, moved = comparison.worse_trials(shown), shown.moved
    page = out / "comparison.html"
    text = (
        environment()
        .get_template("comparison.html.j2")
        .render(
            study=shown.new,
            sentences=comparison.sentences(shown),
            changes=written(shown.both, comparison.changes_table(shown)),
            pictures=_pictures(shown),
            worse=_listed(shown.both, trials),
            more_worse=max(len(trials) - LISTED, 0),
            moved=_listed(shown.both, moved),
            more_moved=max(len(moved) - LISTED, 0),
        )
    )
    page.write_text(text, encoding="utf-8")
    return page


def _listed(study: Study, frame: pd.DataFrame) -> Table | None:
    return written(study, frame.head(LISTED)) if len(frame) else None


def _pictures(compared: Comparison) -> list[Picture]:
    """A map of new minus old a mode and score, of the backends in which any score moved; none for a random search."""
    study, moved, found = compared.both, compared.moved, []
    if study.sampled or moved.empty:
        return []
    for (mode, column), mine in moved.groupby(["mode", "score"], sort=False):
        names = [name for name in compared.backends if name in set(mine["backend"])]
        pairs = [(compared.names_new[name], compared.names_old[name]) for name in names]
        figure = figures.difference_heatmaps(study, mode, pairs, column)
        what = f"Heatmaps of the change of {style.named(column)} in mode {mode}"
        alt = f"{what}, one panel a backend: {style.listed(names)}."
        found.append(Picture(f"changed-{mode}-{column}", figure, alt))
    return found
