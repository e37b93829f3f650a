"""Reports as Markdown, for a pull request or a wiki: the sentences and tables of the page, without its pictures."""

import re

import pandas as pd

from reports import comparison, style, tables
from reports.comparison import Comparison
from reports.legible import cleaned, legible
from reports.study import Cell, Study
from reports.written import Table, written

LISTED = 50
"""How many rows a table has at most; the CSV files have all."""

TILES = 400
"""The largest grid of cells that is written out."""

_SPECIAL = re.compile(r"[&\\`*{}\[\]<>#|~$@]|(?<!\w)_|_(?!\w)")


def escaped(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no line break, no mention of a user."""
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", " ".join(text.split()))


def table(shown: Table) -> str:
    """A pipe table; columns of numbers are aligned to the right."""
    rule = ["---:" if numeric else "---" for numeric in shown.numeric]
    lines = [[escaped(heading) for heading in shown.headings], rule]
    lines += [[escaped(cell) for cell in row] for row in shown.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def study_report(study: Study) -> str:
    """A study: what was found, parity, the best cells, a grid of scores a backend, failures and versions."""
    study = legible(cleaned(study))
    parts = [f"# {escaped(study.title)}", _bullets(tables.summary_sentences(study))]
    parts += [f"> **Warning**: {escaped(warning)}" for warning in study.warnings]
    if "controlled" in study.modes:
        parts += ["## Parity", _listed(study, tables.parity_table(study))]
    chosen = pd.concat([tables.best_table(study, mode) for mode in study.modes], ignore_index=True)
    if len(chosen):
        parts += ["## Best cells", _listed(study, chosen)]
    parts += _grids(study)
    outside = tables.outside(study)
    parts += ["## What became of the trials", _listed(study, tables.status_table(study))]
    parts += [_listed(study, outside)] if len(outside) else []
    facts = pd.DataFrame({"": list(study.facts), "made with": list(study.facts.values())})
    parts += ["## Made with", _listed(study, facts)]
    return "\n\n".join(parts) + "\n"


def comparison_report(compared: Comparison) -> str:
    """What changed between two runs: sentences, the table of changes, what got worse, and the cells that moved."""
    compared = comparison.printable(compared)
    study = compared.both
    parts = [f"# {escaped(compared.new.title)}: what changed", _bullets(comparison.sentences(compared))]
    parts += [_listed(study, comparison.changes_table(compared))]
    trials, moved = comparison.worse_trials(compared), compared.moved
    parts += ["## Worse", _listed(study, trials)] if len(trials) else []
    parts += ["## Moved", _listed(study, moved)] if len(moved) else []
    return "\n\n".join(parts) + "\n"


def _bullets(sentences: list[str]) -> str:
    return "\n".join(f"- {escaped(sentence)}" for sentence in sentences)


def _listed(study: Study, frame: pd.DataFrame) -> str:
    text = table(written(study, frame.head(LISTED)))
    more = len(frame) - LISTED
    return f"{text}\n\nAnd {more} more." if more > 0 else text


def _grids(study: Study) -> list[str]:
    """A folded table of scores a mode and backend; none for a random search or a very large grid."""
    if study.sampled or not study.axes or len(study.positions) > TILES:
        return []
    parts = []
    for score in study.scores:
        column = f"{study.split(score)}_{score}"
        for mode in study.modes:
            for backend in study.backends_of(mode):
                if not study.absence(mode, backend):
                    title = f"{style.named(column)}, mode {mode}, {backend}"
                    grid = table(_grid(study, mode, backend, column, score))
                    parts.append(f"<details><summary>{escaped(title)}</summary>\n\n{grid}\n\n</details>")
    return ["## Every cell", *parts] if parts else []


def _grid(study: Study, mode: str, backend: str, column: str, score: str) -> Table:
    """The last axis runs across, all others down."""
    *down, across = study.axes
    values = style.labels(study.axes[across])
    cells = study.cells(mode, backend)
    rows = []
    for start in range(0, len(cells), len(values)):
        line = cells[start : start + len(values)]
        place = zip(down, line[0].position, strict=False)
        rows.append([style.labels(study.axes[axis])[i] for axis, i in place] + [_tile(c, column, score) for c in line])
    heads = [f"{across} {value}" for value in values]
    return Table([*down, *heads], rows, [True] * (len(down) + len(heads)))


def _tile(cell: Cell, column: str, score: str) -> str:
    """A mean with its spread, what did not finish in words, and a word for what rounding decides."""
    if not cell.has_score(score):
        return style.MISSING
    value = style.mean_and_spread([row[column] for row in cell.ok])
    marks = [value if value != style.MISSING else "", cell.mark, "chaotic" if cell.chaotic else ""]
    return ", ".join(filter(None, marks)) or style.MISSING
