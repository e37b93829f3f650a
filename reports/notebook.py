"""A study as it shows itself in a notebook: what was found, what became of the trials, and one picture."""

import base64
import html
from functools import partial
from io import BytesIO

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from reports import figures, style, tables
from reports.agreement import parity_table
from reports.legible import cleaned, legible
from reports.study import Study
from reports.svg import inline, width
from reports.written import Table, written

SAID = 4
"""Sentences that are said; the report has the others."""

LARGEST = 1000
"""Trials in a picture that becomes part of the notebook as SVG; a larger one becomes a PNG, which does not grow."""

_COLOURS = {
    "--ink": "var(--jp-content-font-color1, var(--vscode-editor-foreground, #1f2328))",
    "--soft": "var(--jp-content-font-color2, var(--vscode-descriptionForeground, #59636e))",
    "--line": "var(--jp-border-color2, var(--vscode-editorWidget-border, #d8dee4))",
    "--paper": "var(--jp-layout-color0, var(--vscode-editor-background, #ffffff))",
    "--panel": "var(--jp-layout-color1, var(--vscode-editorWidget-background, #f6f8fa))",
    "--alarm": "var(--jp-error-color1, #c8102e)",
    "--sans": "var(--jp-content-font-family, system-ui, sans-serif)",
}
"""The colours of `reports.svg.inline`, from the theme of the notebook where that has one."""


def fragment(study: Study) -> str:
    """The study as HTML for the output of a notebook's cell: no script, no style sheet, every text escaped."""
    study = legible(cleaned(study))
    colours = "; ".join(f"{name}: {value}" for name, value in _COLOURS.items())
    sentences = tables.summary_sentences(study)
    said = " ".join(sentences[:SAID])
    if len(sentences) > SAID:
        said += " The report has more: results.report('folder')."
    return (
        f'<div style="{colours}; overflow-wrap: anywhere">'
        f'<p style="max-width: 50em">{html.escape(said)}</p>{_table(written(study, status(study)))}{_picture(study)}'
        "</div>"
    )


def status(study: Study) -> pd.DataFrame:
    """One row a backend and mode: its trials by status, and by verdict where they were compared with the reference."""
    found = tables.status_table(study)
    if not found["stale"].any():
        found = found.drop(columns="stale")
    if not study.checked:
        return found
    verdicts = parity_table(study).assign(mode="controlled")
    shown = ["agree", "differ", "chaotic", "unchecked", "largest_deviation"]
    return found.merge(verdicts[["backend", "mode", *shown]], "left", ["backend", "mode"])


def _picture(study: Study) -> str:
    """Heatmaps of the score that is looked at first, or, of a random search, a scatter plot."""
    score = study.scores[0]
    drawn = figures.score_scatter(study, study.spoken, score) if study.sampled else figures.overview(study, score)
    text = f"{style.named(f'{study.split(score)}_{score}')} of every cell: {study.title}"
    if len(study.rows) <= LARGEST:
        picture = inline(drawn, study.name, text)
    else:
        data = base64.b64encode(_png(drawn)).decode()
        picture = f'<img style="width: 100%" alt="{html.escape(text)}" src="data:image/png;base64,{data}"/>'
    return f'<div style="max-width: {width(drawn)}px; margin-top: 1em">{picture}</div>'


def shown(figure: Figure) -> Figure:
    """The same figure, which a notebook shows as a picture even where nobody has imported pyplot."""
    figure._repr_png_ = partial(_sized_png, figure)
    return figure


def _sized_png(figure: Figure) -> tuple[bytes, dict[str, int]]:
    """The picture in twice its size, and that size, as IPython wants them."""
    wide, high = figure.get_size_inches()
    return _png(figure, dpi=192), {"width": round(wide * 96), "height": round(high * 96)}


def _png(figure: Figure, dpi: int = 96) -> bytes:
    stream = BytesIO()
    with matplotlib.rc_context(style.RC):
        figure.savefig(stream, format="png", dpi=dpi)
    return stream.getvalue()


def _table(shown: Table) -> str:
    aligned = ["right" if numeric else "left" for numeric in shown.numeric]
    head = "".join(_cell("th", text, side) for text, side in zip(shown.headings, aligned, strict=True))
    rows = ["".join(_cell("td", text, side) for text, side in zip(row, aligned, strict=True)) for row in shown.rows]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(tag: str, text: str, side: str) -> str:
    return f'<{tag} style="text-align: {side}">{html.escape(text)}</{tag}>'
