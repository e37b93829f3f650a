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

from reports import best, figures, published, style, tables
from reports.study import MODES, SCORES, SPLITS, Study, words

TEMPLATES = Path(__file__).parent / "templates"
DPI = 160
LISTED = 200
"""How many of the trials outside are listed on the page; the rest stand in `tables/outside.csv`."""

CURVES = 4
"""Of how many problems (data set and task) of one score the learning curves are drawn."""

_TABLES = ("trials", "curves", "status", "best", "metrics", "points", "outside", "timing", "parity", "native_ranges",
           "published", "reproduced")  # fmt: skip

OWN_FILES = (
    *(
        f"{name}{suffix}.png"
        for suffix in ("", *(f"-{score}" for score in SCORES))
        for name in (
            "overview",
            "native-difference",
            *(f"{mode}-{what}" for mode in MODES for what in (*SPLITS, "search", "curves")),
            *(f"{mode}-curves-{i}" for mode in MODES for i in range(2, CURVES + 1)),
            "controlled-cases",
        )
    ),
    "controlled-deviation.png",
    "published.png",
    *(f"{name}.csv" for name in _TABLES),
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
    """A heading with its pictures; or with a sentence, where there is nothing to draw."""

    heading: str
    pictures: list[Picture]
    text: str = ""


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
    sections = [section for section in _sections(study) if section.pictures or section.text]
    for section in sections:
        for picture in section.pictures:
            _save_png(picture.figure, out / "figures" / f"{picture.name}.png")
    for score in study.scores:
        one = figures.score_scatter(study, study.spoken, score) if study.sampled else figures.overview(study, score)
        _save_png(one, out / "figures" / f"overview{_suffix(study, score)}.png", dpi=200)
    for name, frame in _csv_tables(study).items():
        frame.map(_as_csv).to_csv(out / "tables" / f"{name}.csv", index=False)
    page = out / "report.html"
    page.write_text(_render(study, sections), encoding="utf-8")
    return page


def _sections(study: Study) -> list[Section]:
    return [
        Section("Published and ours", _published(study)),
        Section("Controlled: every convention the same", _controlled(study), _silent(study, "controlled")),
        Section("Native: each framework's own defaults", _native(study), _silent(study, "native")),
    ]


def _silent(study: Study, mode: str) -> str:
    return tables.silence(study, mode) if study.silence(mode) else ""


def _suffix(study: Study, score: str) -> str:
    """The figures of a study's first score have plain names; those of a second one say which it is."""
    return "" if score == study.scores[0] else f"-{score}"


def _published(study: Study) -> list[Picture]:
    if not _published_here(study):
        return []
    return [
        Picture(
            "published",
            figures.published_heatmaps(study),
            f"Heatmaps of the published accuracy and of each backend's. {' '.join(published.sentences(study))}",
            "Left, the published numbers; then ours, on the same colours. A tick: the published number, to 1e-9.",
        )
    ]


def _controlled(study: Study) -> list[Picture]:
    if "controlled" not in study.modes or study.silence("controlled"):
        return []
    pictures = _scores(study, "controlled")
    if study.checked:
        what, lower = "Scatter plots", ""
        if not study.sampled:
            what = "Heatmaps"
            lower = (
                " The lower number is how far the reference moves from itself when only its rounding changes: where "
                "the two are alike, it is rounding."
            )
        pictures.append(
            Picture(
                "controlled-deviation",
                figures.deviation_scatter(study) if study.sampled else figures.deviation_heatmaps(study),
                f"{what} of the deviation from the reference, one panel a backend. {_parity_alt(study)}",
                f"How far each backend's final weights are from the reference's.{lower}",
            )
        )
    for score in study.scores:
        cases = figures.case_curves(study, score)
        if cases is not None:
            (axis,) = study.axes
            alt = f"Training loss by epoch on a logarithmic axis, one line a {axis}."
            caption = f"The {style.named(score)} is the same in all, so the loss tells them apart."
            pictures.append(Picture(f"controlled-cases{_suffix(study, score)}", cases, alt, caption))
        pictures += _curves(
            study,
            "controlled",
            score,
            f"Loss and {style.named(score)} by epoch in mode controlled, one line a backend",
            "Each backend draws its own dashes in turn: lines that coincide make one line of all colours.",
        )
    return pictures


def _curves(study: Study, mode: str, score: str, alt: str, caption: str) -> list[Picture]:
    """Learning curves of each problem, of at most `CURVES` of them."""
    pictures: list[Picture] = []
    problems = study.problems(score)
    for problem in problems:
        curves = figures.learning_curves(study, mode, score, problem) if len(pictures) < CURVES else None
        if curves is not None:
            number = f"-{len(pictures) + 1}" if pictures else ""
            name = study.problem_name(problem)
            told = f"{alt}{f': {name}' if name else ''}."
            pictures.append(Picture(f"{mode}-curves{number}{_suffix(study, score)}", curves, told, caption))
    return pictures


def _native(study: Study) -> list[Picture]:
    if "native" not in study.modes or study.silence("native"):
        return []
    pictures = _scores(study, "native")
    for score in study.scores:
        split, named, suffix = study.split(score), style.named(score), _suffix(study, score)
        if len(study.backends_of("native")) > 1 and study.has(f"{split}_{score}") and not study.sampled:
            base = study.native_base
            pictures.append(
                Picture(
                    f"native-difference{suffix}",
                    figures.native_difference_heatmaps(study, split, score),
                    f"Heatmaps of native {split} {named} minus that of {base}, one panel a backend.",
                    f"White: the same {named} as {base}. Red: higher, blue: lower.",
                )
            )
        pictures += _curves(
            study,
            "native",
            score,
            f"Loss and {named} by epoch as each framework logs them itself in mode native",
            "Each backend at its own best cell. Only what a framework logs by itself is shown, by its own definition: "
            "losses may be sums or means, with or without the penalty, and need not be comparable.",
        )
    return pictures


def _scores(study: Study, mode: str) -> list[Picture]:
    pictures, backends = [], ", ".join(study.backends_of(mode))
    for score in study.scores:
        named, suffix = style.named(score), _suffix(study, score)
        if study.sampled:
            figure = figures.score_scatter(study, [mode], score)
            alt = f"Scatter plots of the {named} of every random point in mode {mode}, one panel a backend: {backends}."
            pictures.append(Picture(f"{mode}-search{suffix}", figure, alt))
            continue
        for split in [split for split in ("train", "test") if study.has(f"{split}_{score}")] or ["train"]:
            figure = figures.score_heatmaps(study, mode, split, score)
            alt = f"Heatmaps of {split} {named} in mode {mode}, one panel a backend: {backends}."
            pictures.append(Picture(f"{mode}-{split}{suffix}", figure, alt))
    return pictures


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
        **({"native_ranges": pd.concat(ranges, ignore_index=True)} if (ranges := _ranges(study)) else {}),
        **({"metrics": metrics} if len(metrics := tables.metrics_table(study)) else {}),
        **({"points": tables.best_points(study)} if study.sampled else {}),
        **({"published": study.published} if study.published is not None else {}),
        **({"reproduced": published.reproduced_table(study)} if _published_here(study) else {}),
    }


def _published_here(study: Study) -> bool:
    return "controlled" in study.modes and bool(published.splits(study))


def _ranges(study: Study) -> list[pd.DataFrame]:
    """How far native test scores lie apart: with a column that names the score where there are two."""
    frames = {score: tables.native_ranges(study, "test", score) for score in study.scores if study.has(f"test_{score}")}
    if len(study.scores) < 2:
        return list(frames.values())
    return [frame.assign(score=style.named(score)) for score, frame in frames.items()]


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
            section.text,
        )
        for section in sections
    ]
    chosen = pd.concat([tables.best_table(study, mode) for mode in study.modes], ignore_index=True)
    outside = tables.outside(study)
    return environment.get_template("report.html.j2").render(
        study=study,
        sentences=tables.summary_sentences(study),
        parity=_table(study, tables.parity_table(study)) if "controlled" in study.modes else None,
        sections=rendered,
        chances=_chances(study),
        scores=" or ".join(style.named(score) for score in study.scores),
        learned=" or ".join(f"{_split(study, score)} {style.named(score)}" for score in study.scores),
        reproduced=_table(study, published.reproduced_table(study)) if _published_here(study) else None,
        points=_table(study, best.once(tables.best_points(study))) if study.sampled else None,
        metrics=_table(study, metrics) if len(metrics := tables.metrics_table(study)) else None,
        best=_table(study, chosen) if len(chosen) else None,
        each=f" of each {best.kind(study)}" if best.kind(study) else "",
        outside=_table(study, outside.head(LISTED)) if len(outside) else None,
        unlisted=max(len(outside) - LISTED, 0),
        status=_table(study, tables.status_table(study)),
        timing=_table(study, tables.timing_table(study)),
        versions=_versions(study),
        stale=int(study.rows["stale"].astype(bool).sum()),
    )


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


def _table(study: Study, frame: pd.DataFrame) -> Table:
    """Cells as text: scores with three decimals, deviations with two digits, axis values as people type them."""
    given = (*study.axes, *study.sampled)

    def writer(column: str) -> Callable[[Any], str]:
        if column in given:
            return style.plain
        if column.endswith(("_accuracy", "_r2", "_auc", "_f1")):
            return style.score
        if column in ("deviation", "floor", "largest_deviation") or column.endswith("largest_difference"):
            return style.deviation
        if column.endswith("seconds"):
            return style.seconds
        if column == "trial_id":
            return lambda value: value[:12]
        if column in ("status", "verdict"):
            return lambda value: words(value) if isinstance(value, str) else style.MISSING
        return style.plain

    letters = {column for column in frame if column in given and any(isinstance(v, str) for v in frame[column])}
    numeric = [
        column not in letters and (column in given or pd.api.types.is_numeric_dtype(frame[column])) for column in frame
    ]
    rows = [[writer(column)(value) for column, value in record.items()] for record in frame.to_dict("records")]
    headings = [column if column in given else style.named(column) for column in frame]
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
