"""Which figures of single networks are worth a place on the page: for every problem, what one a backend answers."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from reports import models, style
from reports.activations import ACTIVATIONS
from reports.figures.activations import activation_functions
from reports.figures.boundary import decision_boundaries
from reports.figures.confusion import confusion_matrices
from reports.figures.hidden_units import hidden_units
from reports.figures.roc import roc_curves
from reports.figures.samples import is_image, misclassified, samples
from reports.figures.surface import regression_surfaces
from reports.study import MODES, Problem, Study

MOST_PROBLEMS = 4
"""Of how many problems (data set and task) the networks are shown, as of learning curves."""

MOST_CLASSES = 15  # of a confusion matrix that is drawn: with more, its numbers find no room

ModelPicture = tuple[str, Figure, str, str]
"""The name of its file, the figure, what it shows for those who cannot see it, and a caption."""

KINDS = ("boundary", "surface", "hidden-units", "confusion", "roc", "misclassified", "samples")

FILE_NAMES = (
    "activations",
    *(f"{mode}-{kind}" for mode in MODES for kind in KINDS),
    *(f"{mode}-{kind}-{i}" for mode in MODES for kind in KINDS for i in range(2, MOST_PROBLEMS + 1)),
)
"""Every name that `pictures_of_models` may give."""


def pictures_of_models(study: Study) -> list[ModelPicture]:
    """At most seven figures a mode and problem, of one trial of each backend; and the activations, if swept.

    `models.models` chooses the trials, the same for every figure of a problem.

    Of hidden units, samples and mistakes the first backend of mode `controlled` is shown (of `native`, where nothing
    else was run): there all agree.
    """
    found = [_activations(study)] if "activation" in study.axes else []
    problems = [problem for score in study.scores for problem in study.problems(score)][:MOST_PROBLEMS]
    for i, problem in enumerate(problems):
        for mode in study.spoken:
            alone = mode == study.spoken[0]
            for kind, figure, alt, caption in _of(study, mode, problem, study.names.get(problem[0], ()), alone):
                found.append((f"{mode}-{kind}{f'-{i + 1}' if i else ''}", figure, alt, caption))
    return found


def _of(study: Study, mode: str, problem: Problem, names: Sequence[str], alone: bool) -> list[ModelPicture]:
    """The figures of one problem in one mode; with `alone` those too that show a single backend."""
    where = {"study": study, "mode": mode, "problem": problem}
    classes = where | {"names": names}
    stored = models.models(study, "predictions", mode, problem)
    found: list[tuple[str, Figure | None]] = [
        ("boundary", decision_boundaries(**classes)),
        ("surface", regression_surfaces(**classes)),
        ("hidden-units", hidden_units(**where) if alone else None),
        ("confusion", confusion_matrices(**classes) if _few_classes(study, mode, problem) else None),
        ("roc", roc_curves(**classes)),
    ]
    on_the_plane = any(figure is not None for _, figure in found[:2])
    if alone and not on_the_plane:  # there the boundary shows every mistake
        found.append(("misclassified", misclassified(**classes)))
        inputs = stored[0].arrays.get("sample_inputs") if stored else None  # stores of earlier days have none
        if inputs is not None and is_image(inputs.shape[1]):
            found.append(("samples", samples(**classes)))
    drawn = [(kind, figure) for kind, figure in found if figure is not None]
    return [(kind, figure, _alt(kind, study, mode, problem), CAPTION[kind]) for kind, figure in drawn]


def _alt(kind: str, study: Study, mode: str, problem: Problem) -> str:
    """The text of `ALT` with the scores of the trials that are shown."""
    arrays = {"boundary": "plane", "surface": "plane", "confusion": "confusion"}.get(kind, "predictions")
    return ALT[kind].format(mode=mode, scores=_scores(models.models(study, arrays, mode, problem)))


ALT = {
    "boundary": "The plane of the two inputs coloured by the class that is answered there, with the points of the data "
    "over it, mode {mode}, one panel a backend. {scores}",
    "surface": "The prediction over the inputs, with the points of the data over it, mode {mode}, one panel a backend. "
    "{scores}",
    "hidden-units": "How active each hidden unit is over the inputs, mode {mode}, one small map a unit.",
    "confusion": "Confusion matrices of the test rows in mode {mode}, one panel a backend. {scores}",
    "roc": "ROC curves of the test rows in mode {mode}, one panel a backend, one line a class. {scores}",
    "misclassified": "Test rows that are answered wrong in mode {mode}, each with its true and its predicted class.",
    "samples": "The first test rows in mode {mode}, each with its true and its predicted class.",
}
CAPTION = {
    "boundary": "What each network answers everywhere, and where it changes its mind. Points keep the colour of their "
    "true class: one that lies in another colour is a mistake.",
    "surface": "What each network predicts everywhere. A point that vanishes in its surroundings is met.",
    "hidden-units": "What the layers make of the inputs: each map is one unit, blue below 0 and red above.",
    "confusion": "Down, the true class; across, the answer. Upper number: test rows; lower number and colour: their "
    "share of the true class.",
    "roc": "How many of a class are found (up), for how many of the others (across), as the threshold falls.",
    "misclassified": "At most 25 of them are kept.",
    "samples": "",
}


def _scores(shown: list[models.Model]) -> str:
    """`numpy: test accuracy 0.964. torch: …`, of the rows that are shown."""
    texts = []
    for model in shown:
        score = models.judged_by(model.row)[1]
        split = "train" if style.missing(model.row.get(f"test_{score}")) else "test"
        value = model.row.get(f"{split}_{score}")
        texts.append(f"{model.backend}: {style.named(f'{split}_{score}')} {style.score(value)}.")
    return " ".join(texts)


def _few_classes(study: Study, mode: str, problem: Problem) -> bool:
    found = models.models(study, "confusion", mode, problem)
    return bool(found) and all(len(counts) <= MOST_CLASSES for counts in found[0].arrays.values())


def _activations(study: Study) -> ModelPicture:
    """Those that the study sweeps, a list of them by its members, with the slopes that it gives them."""
    swept = [item if isinstance(item, (list, tuple)) else [item] for item in study.axes["activation"]]
    used = [name for name in ACTIVATIONS if any(name in group for group in swept)]
    parameters = {}
    for name, column in (("leaky_relu", "leaky_slope"), ("elu", "elu_alpha")):
        given = study.rows[column].dropna().unique() if column in study.rows else []
        if len(given) == 1:  # several are an axis of their own: then the usual one is drawn
            parameters[name] = float(given[0])
    figure = activation_functions(used, parameters)
    alt = f"The activation functions {style.listed(used)} and their derivatives over the input of a unit."
    return "activations", figure, alt, "Where a derivative is 0 or nearly so, a unit hardly learns."
