"""The report: one self-contained HTML page, the figures as PNG and the tables as CSV."""

import html
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from reports import figures, style, tables
from reports.study import SPLITS, Study, words

TEMPLATES = Path(__file__).parent / "templates"
DPI = 160
LISTED = 200
"""How many of the trials outside are listed on the page; the rest stand in `tables/outside.csv`."""

OWN_FILES = (
    *(f"{mode}-{split}.png" for mode in ("controlled", "native") for split in SPLITS),
    *("controlled-deviation.png", "controlled-curves.png", "native-difference.png", "native-curves.png"),
    "overview.png",
    *(f"{name}.csv" for name in ("trials", "curves", "status", "best", "outside", "timing", "parity", "native_ranges")),
)
"""Every file that a report may put into `figures` or `tables`."""

_FONTS = "system-ui, -apple-system, &quot;Segoe UI&quot;, Roboto, &quot;Helvetica Neue&quot;, sans-serif"


@dataclass(frozen=True)
class Picture:
    """A figure on the page: its file name, what it shows for those who cannot see it, and a caption."""

    name: str
    figure: Figure
    alt: str
    caption: str = ""
    svg: str = field(default="", compare=False)


@dataclass(frozen=True)
class Section:
    """A heading with its pictures."""

    heading: str
    pictures: list[Picture]


@dataclass(frozen=True)
class Table:
    """A table ready for the page: headings, cells as text, and which columns hold numbers."""

    headings: list[str]
    rows: list[list[str]]
    numeric: list[bool]


def write(study: Study, out: Path) -> Path:
    """Write `report.html`, `figures/*.png` and `tables/*.csv` into the folder `out`; gives the page's path.

    The page needs nothing but itself: its figures are inline SVG, and it holds no script and loads nothing.
    """
    out = Path(out)
    for folder in (out / "figures", out / "tables"):
        folder.mkdir(parents=True, exist_ok=True)
        for name in OWN_FILES:  # of an earlier report; whatever else stands in that folder is not ours to touch
            (folder / name).unlink(missing_ok=True)
    sections = [section for section in _sections(study) if section.pictures]
    for section in sections:
        for picture in section.pictures:
            _save_png(picture.figure, out / "figures" / f"{picture.name}.png")
    _save_png(figures.overview(study), out / "figures" / "overview.png", dpi=200)
    for name, frame in _csv_tables(study).items():
        frame.map(_as_csv).to_csv(out / "tables" / f"{name}.csv", index=False)
    page = out / "report.html"
    page.write_text(_render(study, sections), encoding="utf-8")
    return page


def _sections(study: Study) -> list[Section]:
    return [
        Section("Controlled: every convention the same", _controlled(study)),
        Section("Native: each framework's own defaults", _native(study)),
    ]


def _controlled(study: Study) -> list[Picture]:
    if "controlled" not in study.modes:
        return []
    pictures = _accuracies(study, "controlled")
    if study.checked:
        pictures.append(
            Picture(
                "controlled-deviation",
                figures.deviation_heatmaps(study),
                f"Heatmaps of the deviation from the reference, one panel a backend. {_parity_alt(study)}",
                "How far each backend's final weights are from the reference's. The lower number is how far the "
                "reference moves from itself when only its rounding changes: where the two are alike, it is rounding.",
            )
        )
    curves = figures.learning_curves(study, "controlled")
    if curves is not None:
        pictures.append(
            Picture(
                "controlled-curves",
                curves,
                "Loss and accuracy by epoch in mode controlled, one line a backend.",
                "Each backend draws its own dashes in turn: lines that coincide make one line of all colours.",
            )
        )
    return pictures


def _native(study: Study) -> list[Picture]:
    if "native" not in study.modes:
        return []
    pictures = _accuracies(study, "native")
    split = "test" if study.has("test_accuracy") else "train"
    if len(study.backends_of("native")) > 1 and study.has(f"{split}_accuracy"):
        base = study.native_base
        pictures.append(
            Picture(
                "native-difference",
                figures.native_difference_heatmaps(study, split),
                f"Heatmaps of native {split} accuracy minus that of {base}, one panel a backend.",
                f"White: the same accuracy as {base}. Red: higher, blue: lower.",
            )
        )
    curves = figures.learning_curves(study, "native")
    if curves is not None:
        pictures.append(
            Picture(
                "native-curves",
                curves,
                "Loss and accuracy by epoch as each framework logs them itself in mode native.",
                "Each backend at its own best cell. Only what a framework logs by itself is shown, by its own "
                "definition: losses may be sums or means, with or without the penalty, and need not be comparable.",
            )
        )
    return pictures


def _accuracies(study: Study, mode: str) -> list[Picture]:
    splits = [split for split in ("train", "test") if study.has(f"{split}_accuracy")] or ["train"]
    return [
        Picture(
            f"{mode}-{split}",
            figures.accuracy_heatmaps(study, mode, split),
            f"Heatmaps of {split} accuracy in mode {mode}, one panel a backend: {', '.join(study.backends_of(mode))}.",
        )
        for split in splits
    ]


def _parity_alt(study: Study) -> str:
    return " ".join(
        f"{row.backend}: {row.agree} agree, {row.differ} differ, {row.chaotic} chaotic."
        for row in tables.parity_table(study).itertuples()
    )


def _csv_tables(study: Study) -> dict[str, pd.DataFrame]:
    return {
        "trials": study.rows,
        "curves": study.curves,
        "status": tables.status_table(study),
        "best": pd.concat([tables.best_table(study, mode) for mode in study.modes], ignore_index=True),
        "outside": tables.outside(study),
        "timing": tables.timing_table(study),
        **({"parity": tables.parity_table(study)} if "controlled" in study.modes else {}),
        **({"native_ranges": tables.native_ranges(study)} if study.has("test_accuracy") else {}),
    }


def _as_csv(value: Any) -> Any:
    return json.dumps(list(value)) if isinstance(value, (list, tuple)) else value


def _render(study: Study, sections: list[Section]) -> str:
    """The page as text. Everything from the study is escaped, the figures' own text by Matplotlib."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rendered = [
        Section(
            section.heading,
            [Picture(p.name, p.figure, p.alt, p.caption, _svg(p.figure, p.name, p.alt)) for p in section.pictures],
        )
        for section in sections
    ]
    best = [tables.best_table(study, mode) for mode in study.modes]
    outside = tables.outside(study)
    return environment.get_template("report.html.j2").render(
        study=study,
        sentences=tables.summary_sentences(study),
        parity=_table(study, tables.parity_table(study)) if "controlled" in study.modes else None,
        sections=rendered,
        best=_table(study, pd.concat(best, ignore_index=True)) if best else None,
        outside=_table(study, outside.head(LISTED)) if len(outside) else None,
        unlisted=max(len(outside) - LISTED, 0),
        status=_table(study, tables.status_table(study)),
        timing=_table(study, tables.timing_table(study)),
        versions=_versions(study),
        stale=int(study.rows["stale"].astype(bool).sum()),
    )


def _versions(study: Study) -> dict[str, str]:
    """The versions in the rows: every backend's and the harness's."""
    found = {}
    for backend in study.backends:
        seen = study.rows.loc[study.rows["backend"] == backend, "backend_version"].dropna().unique()
        found[backend] = ", ".join(map(str, seen)) or style.MISSING
    found["harness"] = ", ".join(map(str, study.rows["harness_version"].dropna().unique())) or style.MISSING
    return found


def _table(study: Study, frame: pd.DataFrame) -> Table:
    """Cells as text: accuracies with three decimals, deviations with two digits, axis values as people type them."""

    def writer(column: str) -> Callable[[Any], str]:
        if column.endswith("accuracy"):
            return style.accuracy
        if column in ("deviation", "floor", "largest_deviation"):
            return style.deviation
        if column.endswith("seconds"):
            return style.seconds
        if column == "trial_id":
            return lambda value: value[:12]
        if column in ("status", "verdict"):
            return lambda value: words(value) if isinstance(value, str) else style.MISSING
        return style.plain

    numeric = [column not in study.axes and pd.api.types.is_numeric_dtype(frame[column]) for column in frame]
    numeric = [n or column in study.axes for n, column in zip(numeric, frame, strict=True)]
    rows = [[writer(column)(value) for column, value in record.items()] for record in frame.to_dict("records")]
    headings = [column if column in study.axes else words(column) for column in frame]
    return Table(headings, rows, numeric)


def _save_png(figure: Figure, path: Path, dpi: int = DPI) -> None:
    """At most 32,000 pixels high, which is half of what the drawing library can hold."""
    dpi = min(dpi, int(32_000 / max(figure.get_size_inches())))
    with matplotlib.rc_context(style.RC):
        figure.savefig(path, dpi=dpi)


def _svg(figure: Figure, name: str, alt: str) -> str:
    """The figure as an `<svg>` element for the page: text stays text, identifiers do not clash between figures."""
    stream = StringIO()
    with matplotlib.rc_context(style.RC | {"svg.hashsalt": name}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r"\n\s*", "\n", text).replace("'DejaVu Sans'", _FONTS)
    head, body = text.split(">", 1)
    width = round(figure.get_size_inches()[0] * 96)
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{html.escape(alt)}" style="--width: {width}px">{body}'
