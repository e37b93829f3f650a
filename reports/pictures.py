"""Which pictures a study deserves, under which headings, and what they say to those who cannot see them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from reports import figures, published, style, tables
from reports.figures.heatmaps import bands, metric_tiles
from reports.model_pictures import FILE_NAMES, pictures_of_models
from reports.study import MODES, SCORES, SPLITS, Study

CURVES = 4
"""Of how many problems (data set and task) of one score the learning curves are drawn."""

NAMES = (
    *(
        f"{name}{suffix}"
        for suffix in ("", *(f"-{score}" for score in SCORES))
        for name in (
            "overview",
            "native-difference",
            *(f"{mode}-{what}" for mode in MODES for what in (*SPLITS, "search", "curves")),
            *(f"{mode}-curves-{i}" for mode in MODES for i in range(2, CURVES + 1)),
            "controlled-cases",
        )
    ),
    "controlled-deviation",
    "controlled-parity",
    "published",
    *FILE_NAMES,
)
"""Every name that a picture may have."""


@dataclass(frozen=True)
class Picture:
    """A figure on the page: its file name, what it shows for those who cannot see it, and a caption.

    `explored` is one that the page's script can draw too: with scripts it leaves its place to that.
    """

    name: str
    figure: Figure
    alt: str
    caption: str = ""
    explored: bool = False


@dataclass(frozen=True)
class Section:
    """A heading with its pictures; or with a sentence, where there is nothing to draw."""

    heading: str
    pictures: list[Picture]
    text: str = ""


def heatmaps(study: Study) -> list[Picture]:
    """The scores of every mode, the default view first; then the differences of mode `native`."""
    found = [picture for mode in study.modes if not study.silence(mode) for picture in _scores(study, mode)]
    if "native" in study.modes and not study.silence("native"):
        found += [picture for score in study.scores for picture in _native_difference(study, score)]
    return found


def panels(study: Study, drawn: list[Picture]) -> dict[str, Any] | None:
    """Where the panels of the first of the `heatmaps` are: of each its left, top, width and height in percent of it.

    `lines` counts its lines of panels. None where it shows no cells.
    """
    if study.sampled or not drawn:
        return None
    mode, score = study.spoken[0], study.scores[0]
    tile, _ = metric_tiles(study, mode, f"{study.split(score)}_{score}")
    lines = bands(study, mode, study.backends_of(mode), tile)
    places = [ax.get_position() for ax in drawn[0].figure.axes[: sum(len(line.panels) for line in lines)]]
    return {
        "lines": len(lines),
        "boxes": [[round(100 * share, 4) for share in (at.x0, 1 - at.y1, at.width, at.height)] for at in places],
    }


def sections(study: Study) -> list[Section]:
    """What else is drawn."""
    shown = [
        Section("Published and ours", _published(study)),
        Section("Learning curves", [picture for mode in study.modes for picture in _learning(study, mode)]),
        Section("What the best networks do", _networks(study)),
    ]
    return [section for section in shown if section.pictures]


def overviews(study: Study) -> dict[str, Figure]:
    """The study in one picture a score: file name -> figure."""
    draw: Callable[[str], Figure] = (
        (lambda score: figures.score_scatter(study, study.spoken, score))
        if study.sampled
        else (lambda score: figures.overview(study, score))
    )
    return {f"overview{_suffix(study, score)}": draw(score) for score in study.scores}


def _suffix(study: Study, score: str) -> str:
    """The figures of a study's first score have plain names; those of a second one say which it is."""
    return "" if score == study.scores[0] else f"-{score}"


def _scores(study: Study, mode: str) -> list[Picture]:
    pictures, backends = [], ", ".join(study.backends_of(mode))
    for score in study.scores:
        named, suffix = style.named(score), _suffix(study, score)
        if study.sampled:
            figure = figures.score_scatter(study, [mode], score)
            alt = f"Scatter plots of the {named} of every random point in mode {mode}, one panel a backend: {backends}."
            pictures.append(Picture(f"{mode}-search{suffix}", figure, alt, explored=True))
            continue
        for split in [split for split in ("test", "train") if study.has(f"{split}_{score}")] or ["train"]:
            figure = figures.score_heatmaps(study, mode, split, score)
            alt = f"Heatmaps of {split} {named} in mode {mode}, one panel a backend: {backends}."
            pictures.append(Picture(f"{mode}-{split}{suffix}", figure, alt, explored=True))
    return pictures


def _native_difference(study: Study, score: str) -> list[Picture]:
    split, named, base = study.split(score), style.named(score), study.native_base
    if len(study.backends_of("native")) < 2 or not study.has(f"{split}_{score}") or study.sampled:
        return []
    masked = " Pale, with the sign ≈: no difference shown by the seeds." if study.n_seeds > 1 else ""
    return [
        Picture(
            f"native-difference{_suffix(study, score)}",
            figures.native_difference_heatmaps(study, split, score),
            f"Heatmaps of native {split} {named} minus that of {base}, one panel a backend.",
            f"White: the same {named} as {base}. Red: higher, blue: lower.{masked}",
            explored=True,
        )
    ]


def published_here(study: Study) -> bool:
    """Whether any published number stands in the grid."""
    return "controlled" in study.modes and bool(published.splits(study))


def _published(study: Study) -> list[Picture]:
    if not published_here(study):
        return []
    return [
        Picture(
            "published",
            figures.published_heatmaps(study),
            f"Heatmaps of the published accuracy and of each backend's. {' '.join(published.sentences(study))}",
            "Left, the published numbers; then ours, on the same colours. A tick: the published number, to 1e-9.",
        )
    ]


def deviations(study: Study) -> list[Picture]:
    """How far from the reference the trials of mode `controlled` are."""
    if "controlled" not in study.modes or study.silence("controlled") or not study.checked:
        return []
    what, lower = "Scatter plots", ""
    if not study.sampled:
        what = "Heatmaps"
        lower = (
            " The lower number is how far the reference moves from itself when only its rounding changes: where "
            "the two are alike, it is rounding."
        )
    told = " ".join(
        f"{row.backend}: {row.agree} agree, {row.differ} differ, {row.chaotic} chaotic."
        for row in tables.parity_table(study).itertuples()
    )
    found = [
        Picture(
            "controlled-deviation",
            figures.deviation_scatter(study) if study.sampled else figures.deviation_heatmaps(study),
            f"{what} of the deviation from the reference, one panel a backend. {told}",
            f"How far each backend's final weights are from the reference's.{lower}",
        )
    ]
    by_epoch = figures.parity_over_epochs(study)
    if by_epoch is not None:
        alt = "The deviation of each backend from the reference, and the floor, by epoch on logarithmic axes."
        caption = "Where rounding enters, and how it grows: the floor is what rounding alone does to the reference."
        found.append(Picture("controlled-parity", by_epoch, alt, caption))
    return found


def _learning(study: Study, mode: str) -> list[Picture]:
    if study.silence(mode):
        return []
    pictures = []
    for score in study.scores:
        named = style.named(score)
        if mode == "native":
            pictures += _curves(
                study,
                mode,
                score,
                f"Loss and {named} by epoch as each framework logs them itself in mode native",
                "Each backend at its own best cell. Only what a framework logs by itself is shown, by its own "
                "definition: losses may be sums or means, with or without the penalty, and need not be comparable.",
            )
            continue
        cases = figures.case_curves(study, score)
        if cases is not None:
            (axis,) = study.axes
            alt = f"Training loss by epoch on a logarithmic axis, one line a {axis}."
            caption = f"The {named} is the same in all, so the loss tells them apart."
            pictures.append(Picture(f"controlled-cases{_suffix(study, score)}", cases, alt, caption))
        pictures += _curves(
            study,
            mode,
            score,
            f"Loss and {named} by epoch in mode controlled, one line a backend",
            "Each backend draws its own dashes in turn: lines that coincide make one line of all colours."
            if len(study.backends_of(mode)) > 1
            else "",
        )
    return pictures


def _curves(study: Study, mode: str, score: str, alt: str, caption: str) -> list[Picture]:
    """Learning curves of each problem, of at most `CURVES` of them."""
    pictures: list[Picture] = []
    for problem in study.problems(score):
        curves = figures.learning_curves(study, mode, score, problem) if len(pictures) < CURVES else None
        if curves is not None:
            number = f"-{len(pictures) + 1}" if pictures else ""
            name = study.problem_name(problem)
            told = f"{alt}{f': {name}' if name else ''}."
            pictures.append(Picture(f"{mode}-curves{number}{_suffix(study, score)}", curves, told, caption))
    return pictures


def _networks(study: Study) -> list[Picture]:
    return [Picture(*picture) for picture in pictures_of_models(study)]
