"""The report: one self-contained HTML page, the figures as PNG and the tables as CSV."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from reports import best, pictures, published, style, tables
from reports.legible import cleaned, legible
from reports.payload import as_json, payload
from reports.pictures import Picture, Section
from reports.study import Study
from reports.svg import inline, width
from reports.written import written

TEMPLATES = Path(__file__).parent / "templates"
DPI = 160
LISTED = 200
"""How many of the trials outside are listed on the page; the rest stand in `tables/outside.csv`."""

SCRIPTS = ("dom", "numbers", "rows", "state", "colours", "tiles", "heatmap", "scatter", "cells", "curve", "card",
           "trials", "controls", "theme", "main")  # fmt: skip
"""The files of the page's one script, in their order."""

_TABLES = ("trials", "cells", "curves", "status", "best", "metrics", "points", "outside", "timing", "parity",
           "native_ranges", "published", "reproduced")  # fmt: skip

OWN_FILES = (*(f"{name}.png" for name in pictures.NAMES), *(f"{name}.csv" for name in _TABLES))
"""Every file that a report may put into `figures` or `tables`."""


def write(study: Study, out: Path) -> Path:
    """Write `report.html`, `figures/*.png` and `tables/*.csv` into the folder `out`; gives the page's path.

    The page needs nothing but itself: figures are inline SVG, its one script is part of it, and it loads nothing.
    """
    out = Path(out)
    for folder in (out / "figures", out / "tables"):
        folder.mkdir(parents=True, exist_ok=True)
        for name in OWN_FILES:  # of an earlier report; whatever else stands in that folder is not ours to touch
            (folder / name).unlink(missing_ok=True)
    study = cleaned(study)
    for name, frame in _csv_tables(study).items():
        frame.rename(columns=as_csv).map(as_csv).to_csv(out / "tables" / f"{name}.csv", index=False)
    shown = legible(study)
    heatmaps, deviations, sections = pictures.heatmaps(shown), pictures.deviations(shown), pictures.sections(shown)
    for picture in [*heatmaps, *deviations, *(picture for section in sections for picture in section.pictures)]:
        _save_png(picture.figure, out / "figures" / f"{picture.name}.png")
    for name, figure in pictures.overviews(shown).items():
        _save_png(figure, out / "figures" / f"{name}.png", dpi=200)
    page = out / "report.html"
    page.write_text(_render(study, shown, heatmaps, deviations, sections), encoding="utf-8")
    return page


def _csv_tables(study: Study) -> dict[str, pd.DataFrame]:
    return {
        "trials": study.rows,
        "cells": tables.cells_table(study),
        "curves": study.curves,
        "status": tables.status_table(study),
        "best": pd.concat([tables.best_table(study, mode) for mode in study.modes], ignore_index=True),
        "outside": tables.outside(study),
        "timing": tables.timing_table(study),
        **({"parity": tables.parity_table(study)} if "controlled" in study.modes else {}),
        **({"native_ranges": pd.concat(ranges, ignore_index=True)} if (ranges := _ranges(study)) else {}),
        **({"metrics": metrics} if len(metrics := tables.metrics_table(study)) else {}),
        **({"points": tables.best_points(study)} if study.sampled else {}),
        **({"published": study.published} if study.published is not None else {}),
        **({"reproduced": published.reproduced_table(study)} if pictures.published_here(study) else {}),
    }


def _ranges(study: Study) -> list[pd.DataFrame]:
    """How far native test scores lie apart: with a column that names the score where there are two."""
    frames = {score: tables.native_ranges(study, "test", score) for score in study.scores if study.has(f"test_{score}")}
    if len(study.scores) < 2:
        return list(frames.values())
    return [frame.assign(score=style.named(score)) for score, frame in frames.items()]


def as_csv(value: Any) -> Any:
    """Lists as JSON; text that a spreadsheet would take for a formula gets an apostrophe before it."""
    if isinstance(value, (list, tuple)):
        return json.dumps(list(value))
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") else value


def _render(
    study: Study,
    shown: Study,
    heatmaps: list[Picture],
    deviations: list[Picture],
    sections: list[Section],
) -> str:
    """The page as text: every name in it is escaped; `shown` is the study with its long names cut."""
    script = _script()
    rows = payload(study) | {"picture": pictures.panels(shown, heatmaps)}
    chosen = pd.concat([tables.best_table(shown, mode) for mode in shown.modes], ignore_index=True)
    outside = tables.outside(shown)
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            study=shown,
            rows=Markup(as_json(rows)),
            script=Markup(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            sentences=tables.summary_sentences(shown),
            heatmaps=heatmaps,
            deviations=deviations,
            sections=sections,
            parity=written(shown, tables.parity_table(shown)) if "controlled" in shown.modes else None,
            chances=_chances(shown),
            scores=" or ".join(style.named(score) for score in shown.scores),
            learned=" or ".join(f"{_split(shown, score)} {style.named(score)}" for score in shown.scores),
            reproduced=written(shown, published.reproduced_table(shown)) if pictures.published_here(shown) else None,
            points=written(shown, best.once(tables.best_points(shown))) if shown.sampled else None,
            metrics=written(shown, metrics) if len(metrics := tables.metrics_table(shown)) else None,
            best=written(shown, chosen) if len(chosen) else None,
            each=f" of each {best.kind(shown)}" if best.kind(shown) else "",
            outside=written(shown, outside.head(LISTED)) if len(outside) else None,
            unlisted=max(len(outside) - LISTED, 0),
            status=written(shown, tables.status_table(shown)),
            timing=written(shown, tables.timing_table(shown)),
            versions=_versions(shown),
            stale=int(shown.rows["stale"].astype(bool).sum()),
        )
    )


def environment() -> Environment:
    """Templates in which every name is escaped, with a figure's SVG and width as filters."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["inline"] = lambda picture: Markup(inline(picture.figure, picture.name, picture.alt))
    found.filters["width"] = lambda picture: width(picture.figure)
    return found


def _script() -> str:
    """All files of the script as one, in strict mode and in a scope of its own."""
    parts = [(TEMPLATES / "script" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    return '(() => {\n"use strict";\n' + "\n".join(parts) + "})();\n"


def _save_png(figure: Figure, path: Path, dpi: int = DPI) -> None:
    """At most 32,000 pixels high, which is half of what the drawing library can hold."""
    dpi = min(dpi, int(32_000 / max(figure.get_size_inches())))
    with matplotlib.rc_context(style.RC):
        figure.savefig(path, dpi=dpi)


def _split(study: Study, score: str) -> str:
    return "test" if study.split(score) == "test" else "training"


def _chances(study: Study) -> str:
    """The scores of guessing: `0.1`, or with two scores `0.1 for accuracy, 0 for R²`."""
    texts = {score: " or ".join(f"{chance:.2g}" for chance in study.chances(score)) for score in study.scores}
    if len(texts) == 1:
        return next(iter(texts.values())) or style.MISSING
    return ", ".join(f"{text or style.MISSING} for {style.named(score)}" for score, text in texts.items())


def _versions(study: Study) -> dict[str, str]:
    """The versions in the rows: every backend's and the harness's."""
    found = {}
    for backend in study.backends:
        seen = study.rows.loc[study.rows["backend"] == backend, "backend_version"].dropna().unique()
        found[backend] = ", ".join(map(str, seen)) or style.MISSING
    found["harness"] = ", ".join(map(str, study.rows["harness_version"].dropna().unique())) or style.MISSING
    return found
