"""The figures of single networks: what is drawn is what is stored, read back from the artists."""

import itertools
import math

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_rgb

import harness
from harness.contract import Config
from harness.data.prepared import Part, Prepared
from harness.reference.activations import activate, derivative
from harness.training import metrics
from reports import figures, models, style
from reports.activations import ACTIVATIONS
from reports.figures.activations import Z, flat_regions
from reports.figures.boundary import pale
from reports.figures.confusion import SHARE, percent
from reports.figures.plane import MOST, colour_of, marker_of
from reports.model_pictures import FILE_NAMES, pictures_of_models
from reports.study import Study
from tests.baseline import assert_same_picture

RANDOM = np.random.default_rng(6)
NAMES = ["setosa", "versicolor", "virginica"]
COUNTS = np.array([[8, 2, 0], [1, 9, 0], [0, 3, 297]])


def make(
    task="multiclass", stored=None, backends=("numpy", "torch"), modes=("controlled",), axes=None, seeds=1, edit=None
):
    """A study whose trials all have the arrays `stored` (kind -> arrays); `edit(row, arrays)` may change a trial's."""
    axes = axes or {}
    rows, kept = [], {}
    for mode, backend in itertools.product(modes, backends):
        for *values, seed in itertools.product(*axes.values(), range(seeds)):
            score = "r2" if task == "regression" else "accuracy"
            row = {
                "trial_id": f"t{len(rows)}",
                "backend": backend,
                "mode": mode,
                "seed": seed,
                "status": "ok",
                "reason": None,
                "task": task,
                "dataset": "dots",
                "chance": 0.1,
                "hidden": [2],
                "activation": "tanh",
                "verdict": "agrees" if mode == "controlled" else None,
                f"train_{score}": 0.9,
                f"validation_{score}": 0.8,
                f"test_{score}": 0.7,
                "train_loss": 0.3,
                "validation_loss": 0.4,
                "deviation": 1e-15,
                "floor": 1e-15,
                "stale": False,
            } | dict(zip(axes, values, strict=True))
            arrays = {kind: {name: np.array(a) for name, a in some.items()} for kind, some in (stored or {}).items()}
            if edit:
                edit(row, arrays)
            rows.append(row)
            kept[row["trial_id"]] = arrays

    def artefacts(kind, trial_ids):
        return {name: kept[name][kind] for name in trial_ids if kind in kept[name]}

    curves = pd.DataFrame(columns=["trial_id", "epoch"])
    return Study("dots", "Dots in the plane", pd.DataFrame(rows), axes, curves, {}, [], artefacts=artefacts)


def predictions(logits, targets, inputs=4, classification=True):
    """The artefact "predictions" of test rows that are numbered from 100."""
    n = len(logits)
    rows = np.arange(100, 100 + n)
    X = RANDOM.integers(0, 16, size=(n, inputs)).astype(float)
    found = {"logits": logits, "targets": targets, "rows": rows, "sample_rows": rows[:25], "sample_inputs": X[:25]}
    if classification:
        answers = logits.argmax(axis=1) if logits.shape[1] > 1 else (logits > 0).astype(int)
        wrong = (answers.reshape(n, -1) != targets.reshape(n, -1)).any(axis=1)
        found |= {"misclassified_rows": rows[wrong][:25], "misclassified_inputs": X[wrong][:25]}
    return {"predictions": found}


def plane(weights, targets, n_inputs=2, hidden=2):
    """The artefact "plane" of a network whose logits are `inputs @ weights[:-1] + weights[-1]`."""
    n = len(targets)
    inputs = np.random.default_rng(1).uniform(-1, 1, size=(n, n_inputs))
    lines = [np.linspace(-1.1, 1.1, 100)] * n_inputs
    grid = np.stack(np.meshgrid(*lines), axis=-1)
    logits = (grid @ weights[:-1] + weights[-1]).astype(np.float32)
    every = (slice(None, None, 2),) * n_inputs
    units = np.tanh(grid[every] @ np.linspace(-2, 2, n_inputs * hidden).reshape(n_inputs, hidden)).astype(np.float32)
    part = np.arange(n) % 5 // 3 * 2  # three fifths are training points, the others test points
    found = dict(zip("xy", lines, strict=False))
    return {"plane": found | {"logits": logits, "hidden/0": units, "inputs": inputs, "targets": targets, "part": part}}


BINARY = plane(np.array([[2.0], [1.0], [0.5]]), (np.arange(40) % 2)[:, None])
THREE = plane(np.array([[3.0, 0.0, -3.0], [0.0, 2.0, 0.0], [0.0, 0.1, 0.0]]), np.arange(40) % 3)
SURFACE = plane(np.array([[1.0], [-2.0], [0.25]]), np.linspace(-3, 3, 40)[:, None])
CURVE = plane(np.array([[1.5], [0.25]]), np.linspace(-2, 2, 40)[:, None], n_inputs=1)
LOGITS, TARGETS = np.random.default_rng(2).normal(size=(40, 3)), np.arange(40) % 3
DIGITS = predictions(LOGITS, TARGETS, inputs=64)
FLOWERS = predictions(LOGITS, TARGETS, inputs=4)


# -- what is drawn equals what is stored: each check is also given another drawing, and has to fail


def panels(figure, title):
    """The axes of a backend, by the title above them."""
    return [ax for ax in figure.axes if any(text.get_text() == title for text in ax.texts)]


def check_confusion(figure, stored):
    counts = stored["confusion"]["test"]
    mesh, *_ = (c for ax in figure.axes for c in ax.collections if isinstance(c, QuadMesh) and ax.get_ylim()[0] == 3)
    colours = mesh.to_rgba(mesh.get_array()).reshape(3, 3, 4)
    shares = counts / counts.sum(axis=1, keepdims=True)
    for row, column in np.ndindex(counts.shape):
        inside = [t for t in mesh.axes.texts if (int(t.get_position()[1]), int(t.get_position()[0])) == (row, column)]
        said = [t.get_text() for t in sorted(inside, key=lambda t: t.get_position()[1])]
        expected = [str(counts[row, column]), percent(shares[row, column])] if counts[row, column] else []
        assert said == expected
        assert colours[row, column, :3] == pytest.approx(SHARE.colour(shares[row, column]), abs=0.01)


def check_roc(figure, stored):
    logits, targets = stored["predictions"]["logits"], stored["predictions"]["targets"]
    (ax,) = panels(figure, "numpy")
    odds = [logits[:, k] - np.log(np.exp(np.delete(logits, k, axis=1)).sum(axis=1)) for k in range(3)]
    for k in range(3):
        mine, others = odds[k][targets == k], odds[k][targets != k]
        area = np.mean(mine[:, None] > others[None])  # the share of pairs that are in order
        line = ax.lines[k]
        x, y = line.get_data()
        assert np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2) == pytest.approx(area, abs=1e-12)
        assert line.get_label() == f"class {k}  {area:.3f}"
        assert [t.get_text() for t in ax.get_legend().get_texts()][k] == line.get_label()
    assert list(ax.lines[3].get_xdata()) == list(ax.lines[3].get_ydata()) == [0, 1]


def check_points(ax, stored, classes):
    """Each point stands at its inputs with the colour and the shape of its class, test points with a dark edge."""
    a = stored["plane"]
    for k, test in itertools.product(np.unique(classes), (False, True)):
        some = (classes == k) & ((a["part"] == 2) == test)
        edge = "#000000" if test else "white"
        drawn = [
            line
            for line in ax.lines
            if (line.get_marker(), to_rgb(line.get_color())) == (marker_of(k), to_rgb(colour_of(k)))
            and to_rgb(line.get_markeredgecolor()) == to_rgb(edge)
        ]
        assert any(np.array_equal(line.get_xdata(), a["inputs"][some, 0]) for line in drawn)
        if a["inputs"].shape[1] > 1:
            assert any(np.array_equal(np.column_stack(line.get_data()), a["inputs"][some]) for line in drawn)


def boundary_of(ax):
    """The points of the lines that are drawn as contours."""
    lines = [c for c in ax.collections if type(c).__name__ == "QuadContourSet" and not c.filled]
    return np.concatenate([path.vertices for c in lines for path in c.get_paths()])


def check_binary(figure, stored):
    (ax,) = panels(figure, "numpy")
    p = 1 / (1 + np.exp(-stored["plane"]["logits"][..., 0].astype(float)))
    (image,) = ax.images
    assert np.allclose(image.get_array(), p, atol=1e-6)
    assert image.get_clim() == (0, 1)
    first, last = image.cmap(0.0)[:3], image.cmap(1.0)[:3]
    assert np.allclose([first, last], [pale(colour_of(0), 0.5), pale(colour_of(1), 0.5)], atol=0.01)
    x, y = boundary_of(ax).T
    assert np.allclose(2 * x + y + 0.5, 0, atol=1e-4)
    check_points(ax, stored, stored["plane"]["targets"][:, 0])


def check_three(figure, stored):
    (ax,) = panels(figure, "numpy")
    a = stored["plane"]
    answers = a["logits"].argmax(axis=-1)
    filled = [c for c in ax.collections if type(c).__name__ == "QuadContourSet" and c.filled]
    for row, column in itertools.product(range(3, 100, 13), repeat=2):
        top = np.sort(a["logits"][row, column])
        if top[-1] - top[-2] < 0.1:
            continue  # beside a line
        where = (a["x"][column], a["y"][row])
        here = [c for c in filled if any(path.contains_point(where) for path in c.get_paths())]
        assert [tuple(c.get_facecolor()[0][:3]) for c in here] == [pytest.approx(pale(colour_of(answers[row, column])))]
    check_points(ax, stored, a["targets"])


def check_hidden(figure, stored):
    units = stored["plane"]["hidden/0"]
    axes = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title(loc="left") for ax in axes] == ["unit 1", "unit 2"]
    reach = float(np.abs(units).max())
    for k, ax in enumerate(axes):
        assert np.allclose(ax.images[0].get_array(), units[..., k])
        assert ax.images[0].get_clim() == pytest.approx((-reach, reach))
        assert ax.images[0].get_cmap().name == style.DIFFERENCE
        lowest, *_ = ax.images[0].get_extent()
        assert lowest == pytest.approx(-1.1 - 2.2 / 99)  # half of a pixel, which is two grid lines wide


def check_surface(figure, stored):
    (ax,) = panels(figure, "numpy")
    a = stored["plane"]
    (image,) = ax.images
    assert np.allclose(image.get_array(), a["logits"][..., 0])
    for test, points in zip((False, True), ax.collections[-2:], strict=True):
        some = (a["part"] == 2) == test
        assert np.array_equal(points.get_offsets(), a["inputs"][some])
        expected = matplotlib.colormaps[style.SCORE](image.norm(a["targets"][some, 0]))
        assert np.allclose(points.to_rgba(points.get_array()), expected)


def check_curve(figure, stored):
    (ax,) = panels(figure, "numpy")
    a = stored["plane"]
    assert np.array_equal(ax.lines[-1].get_xdata(), a["x"])
    assert np.allclose(ax.lines[-1].get_ydata(), a["logits"][:, 0])
    for test, points in zip((False, True), ax.lines[:2], strict=True):
        some = (a["part"] == 2) == test
        assert np.array_equal(np.column_stack(points.get_data()), np.c_[a["inputs"][some], a["targets"][some]])


def check_samples(figure, stored):
    a = stored["predictions"]
    answers = a["logits"].argmax(axis=1)
    assert len(figure.axes) == len(a["sample_rows"]) == 25
    for ax, i in zip(figure.axes, a["sample_rows"] - 100, strict=True):
        (image,) = ax.images
        assert np.array_equal(image.get_array(), a["sample_inputs"][i].reshape(8, 8))
        wrong = answers[i] != a["targets"][i]
        assert ax.get_xlabel() == f"true {a['targets'][i]}\n{'wrongly' if wrong else 'predicted'} {answers[i]}"


def check_misclassified(figure, stored):
    a = stored["predictions"]
    ax = figure.axes[0]
    answers, wrong = a["logits"].argmax(axis=1), a["misclassified_rows"] - 100
    labels = [f"row {i + 100}: true {a['targets'][i]}, predicted {answers[i]}" for i in wrong]
    assert [label.get_text() for label in ax.get_yticklabels()] == labels
    written = [style.plain(value, 3) for value in a["misclassified_inputs"].ravel()]
    assert [text.get_text() for text in ax.texts] == written
    far = a["misclassified_inputs"] - a["misclassified_inputs"].mean(axis=0)
    assert np.allclose(ax.collections[0].get_array(), far / a["misclassified_inputs"].std(axis=0))


def shifted(kind, name, index, by):
    """An edit of one stored number."""

    def edit(row, arrays):
        arrays[kind][name] = arrays[kind][name].copy()
        arrays[kind][name][index] += by

    return edit


CASES = {
    "confusion": (figures.confusion_matrices, "multiclass", {"confusion": {"test": COUNTS}}, check_confusion,
                  [shifted("confusion", "test", (0, 1), 1), shifted("confusion", "test", (2, 2), -150)]),
    "roc": (figures.roc_curves, "multiclass", FLOWERS, check_roc,
            [shifted("predictions", "logits", (7, 1), 5), shifted("predictions", "targets", 3, 1)]),
    "boundary": (figures.decision_boundaries, "binary", BINARY, check_binary,
                 [shifted("plane", "logits", (50, 50), 3), shifted("plane", "targets", 4, 1),
                  shifted("plane", "inputs", (8, 1), 0.1), shifted("plane", "part", 8, -2)]),
    "regions": (figures.decision_boundaries, "multiclass", THREE, check_three,
                [shifted("plane", "logits", (slice(10, 30), slice(10, 30), 0), 9), shifted("plane", "targets", 4, 1)]),
    "hidden": (figures.hidden_units, "binary", BINARY, check_hidden,
               [shifted("plane", "hidden/0", (20, 20, 1), 0.5), shifted("plane", "hidden/0", (0, 0, 0), 3)]),
    "surface": (figures.regression_surfaces, "regression", SURFACE, check_surface,
                [shifted("plane", "logits", (50, 50), 0.5), shifted("plane", "targets", 4, 0.5),
                 shifted("plane", "inputs", (8, 1), 0.1), shifted("plane", "part", 8, -2)]),
    "curve": (figures.regression_surfaces, "regression", CURVE, check_curve,
              [shifted("plane", "logits", 50, 0.5), shifted("plane", "targets", 4, 0.5)]),
    "samples": (figures.samples, "multiclass", DIGITS, check_samples,
                [shifted("predictions", "sample_inputs", (3, 30), 1), shifted("predictions", "logits", (7, 1), 5),
                 shifted("predictions", "targets", 3, 1)]),
    "misclassified": (figures.misclassified, "multiclass", FLOWERS, check_misclassified,
                      [shifted("predictions", "misclassified_inputs", (3, 2), 1),
                       shifted("predictions", "targets", FLOWERS["predictions"]["misclassified_rows"][0] - 100, 1)]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_drawn_is_what_is_stored(name):
    draw, task, stored, check, _ = CASES[name]
    check(draw(make(task, stored)), stored)


@pytest.mark.parametrize(("name", "i"), [(name, i) for name, case in CASES.items() for i in range(len(case[4]))])
def test_another_stored_value_is_drawn_otherwise(name, i):
    draw, task, stored, check, edits = CASES[name]
    with pytest.raises(AssertionError):
        check(draw(make(task, stored, edit=edits[i])), stored)


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_drawn_over_the_edge_of_the_picture(name):
    draw, task, stored, *_ = CASES[name]
    figure = draw(make(task, stored))
    box, (width, height) = figure.get_tightbbox(figure.canvas.get_renderer()), figure.get_size_inches()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= width
    assert box.y1 <= height


@pytest.mark.parametrize("name", CASES)
def test_nothing_stored_is_no_figure(name):
    draw, task, *_ = CASES[name]
    assert draw(make(task)) is None


# -- the confusion matrix


def test_the_confusion_matrix_has_not_changed_its_looks():
    stored = {"confusion": {"test": COUNTS}}
    assert_same_picture(figures.confusion_matrices(make(stored=stored), names=NAMES), "confusion")


def test_a_single_digit_more_is_another_picture():
    edit = shifted("confusion", "test", (1, 0), 1)
    changed = figures.confusion_matrices(make(stored={"confusion": {"test": COUNTS}}, edit=edit), names=NAMES)
    with pytest.raises(AssertionError, match="pixels are not those of"):
        assert_same_picture(changed, "confusion", may_renew=False)


def test_a_class_without_rows_says_so_and_has_no_share():
    figure = figures.confusion_matrices(make(stored={"confusion": {"test": np.array([[3, 1], [0, 0]])}}))
    assert [text.get_text() for text in figure.axes[0].texts].count("no rows") == 2


def test_a_share_is_never_rounded_to_all_or_to_nothing():
    assert [percent(s) for s in (1.0, 0.9999, 0.5, 0.001)] == ["100 %", ">99 %", "50 %", "<1 %"]


def test_the_parts_of_the_data_have_matrices_of_their_own():
    study = make(stored={"confusion": {"train": COUNTS * 2, "test": COUNTS}})
    texts = [text.get_text() for text in figures.confusion_matrices(study, part="train").findobj(matplotlib.text.Text)]
    assert "Confusion matrix of the training rows, mode controlled" in texts
    assert "n = 640, accuracy 0.981" in texts


# -- ROC curves


def config(task, outputs):
    loss, activation = {"multiclass": ("cross_entropy", "softmax")}.get(task, ("binary_cross_entropy", "sigmoid"))
    return Config.of(
        2,
        outputs,
        (),
        (),
        optimizer="sgd",
        learning_rate=0.1,
        batch_size=4,
        epochs=1,
        task=task,
        loss=loss,
        output_activation=activation,
    )


@pytest.mark.parametrize(("task", "outputs"), [("multiclass", 4), ("binary", 1), ("multilabel", 3)])
@pytest.mark.parametrize("size", [1.0, 60.0, 2000.0])
def test_the_area_in_the_figure_is_the_auc_in_the_row(task, outputs, size):
    logits = size * RANDOM.normal(size=(60, outputs))  # saturated: most probabilities are 0 or 1
    logits[10:20] = logits[:10]  # ties
    y = RANDOM.integers(0, outputs, 60) if task == "multiclass" else RANDOM.integers(0, 2, (60, outputs)) * 1.0
    none, test = Part(np.zeros((0, 2)), y[:0], np.arange(0)), Part(np.zeros((60, 2)), y, np.arange(60))
    prepared = Prepared(none, none, test)
    stored = metrics.evaluate(config(task, outputs), {"test": logits}, prepared, full=True)["test_auc"]
    (ax, *_) = figures.roc_curves(make(task, predictions(logits, y))).axes
    assert [text.get_text() for text in ax.texts][1] == f"AUC {stored:.3f}"


def test_a_class_without_rows_has_no_curve_and_the_backend_no_area():
    logits = RANDOM.normal(size=(30, 3))
    (ax, *_) = figures.roc_curves(make(stored=predictions(logits, np.arange(30) % 2))).axes
    assert [text.get_text().split("  ")[0] for text in ax.get_legend().get_texts()] == ["class 0", "class 1", "chance"]
    assert [text.get_text() for text in ax.texts][1] == "AUC –"


@pytest.mark.parametrize(("names", "label"), [((), "class 1"), (["no", "yes"], "yes")])
def test_the_curve_of_a_binary_classification_has_the_name_of_class_1(names, label):
    targets = np.arange(30)[:, None] % 2
    logits = RANDOM.normal(size=(30, 1)) + targets
    figure = figures.roc_curves(make("binary", predictions(logits, targets)), names=names)
    assert [text.get_text().split("  ")[0] for text in figure.axes[0].get_legend().get_texts()] == [label, "chance"]


def test_of_many_classes_the_worst_are_named_and_the_others_grey():
    y = np.arange(60) % 12
    logits = RANDOM.normal(size=(60, 12))
    logits[y == 4, 4] = logits[y == 7, 7] = 9
    (ax, *_) = figures.roc_curves(make(stored=predictions(logits, y))).axes
    named = [text.get_text().split("  ")[0] for text in ax.get_legend().get_texts()]
    assert named == [f"class {k}" for k in range(12) if k not in (4, 7)] + ["chance"]
    assert sum(to_rgb(line.get_color()) == to_rgb(style.NEUTRAL) for line in ax.lines) == 2


# -- boundaries, surfaces, hidden units


def test_with_one_input_the_probabilities_are_lines_and_the_decisions_stand_upright():
    stored = plane(np.array([[2.0], [0.5]]), np.arange(20)[:, None] % 2, n_inputs=1)
    (ax,) = panels(figures.decision_boundaries(make("binary", stored)), "numpy")
    p = 1 / (1 + np.exp(-stored["plane"]["logits"][:, 0].astype(float)))
    assert np.allclose(ax.lines[0].get_ydata(), 1 - p)
    assert np.allclose(ax.lines[1].get_ydata(), p)
    assert ax.lines[2].get_xdata() == pytest.approx([-0.25, -0.25], abs=2.2 / 99)
    check_points(ax, stored, stored["plane"]["targets"][:, 0])


def test_a_panel_has_no_more_points_than_can_be_told_apart_and_says_how_many():
    stored = plane(np.array([[2.0], [1.0], [0.5]]), (np.arange(900) % 2)[:, None])
    figure = figures.decision_boundaries(make("binary", stored))
    (ax,) = panels(figure, "numpy")
    assert sum(len(line.get_xdata()) for line in ax.lines) == MOST
    counts = [int(text.get_text().split(" training points")[0].split()[-1]) for text in figure.texts[1:2]]
    part = stored["plane"]["part"][np.linspace(0, 899, MOST).round().astype(int)]
    assert counts == [int((part == 0).sum())]


def test_few_points_are_larger():
    sizes = []
    for n in (4, 40):
        stored = plane(np.array([[2.0], [1.0], [0.5]]), (np.arange(n) % 2)[:, None])
        (ax,) = panels(figures.decision_boundaries(make("binary", stored)), "numpy")
        sizes.append(ax.lines[0].get_markersize())
    assert sizes[0] == 2 * sizes[1]


def test_the_names_of_the_classes_stand_in_the_legend():
    figure = figures.decision_boundaries(make("binary", BINARY), names=["upper", "lower"])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["upper", "lower"]
    assert [text.get_text() for text in figures.decision_boundaries(make("binary", BINARY)).legends[0].get_texts()] == [
        "class 0",
        "class 1",
    ]


def test_a_regression_is_drawn_behind_its_output_activation_in_the_units_of_its_targets():
    def edit(row, arrays):
        row["output_activation"] = "softplus"
        arrays["plane"] |= {"target_shift": np.array([10.0]), "target_unit": np.array([4.0])}

    (ax,) = panels(figures.regression_surfaces(make("regression", SURFACE, edit=edit)), "numpy")
    z = SURFACE["plane"]["logits"][..., 0].astype(float)
    assert np.allclose(ax.images[0].get_array(), 10 + 4 * np.log1p(np.exp(z)))


def test_a_constant_prediction_has_a_surface_without_lines_and_without_a_warning(recwarn):
    stored = plane(np.array([[0.0], [0.0], [0.5]]), np.full((20, 1), 0.5))
    (ax,) = panels(figures.regression_surfaces(make("regression", stored)), "numpy")
    assert np.allclose(ax.images[0].get_array(), 0.5)
    assert [str(warning.message) for warning in recwarn] == []


def test_answers_that_are_not_finite_are_not_drawn():
    def edit(row, arrays):
        if row["backend"] == "torch":
            arrays["plane"]["logits"][3, 4] = np.inf

    figure = figures.decision_boundaries(make("binary", BINARY, edit=edit))
    assert (len(panels(figure, "numpy")), len(panels(figure, "torch"))) == (1, 0)


def test_of_several_targets_the_title_says_which_is_drawn():
    stored = plane(np.array([[1.0, 2.0], [0.0, 1.0], [0.0, 0.0]]), np.zeros((20, 2)))
    figure = figures.regression_surfaces(make("regression", stored), output=1)
    assert figure.texts[0].get_text() == "Regression surface of target 2 of 2, mode controlled"
    (ax,) = panels(figure, "numpy")
    assert np.allclose(ax.images[0].get_array(), stored["plane"]["logits"][..., 1])


def test_a_layer_says_how_many_of_its_units_are_shown_and_a_silent_unit_that_it_is_0():
    def edit(row, arrays):
        row["hidden"], row["activation"] = [30], ["relu"]
        arrays["plane"]["hidden/0"] = np.maximum(arrays["plane"]["hidden/0"], 0) * [1, 0]

    figure = figures.hidden_units(make("binary", BINARY, edit=edit))
    words = [text.get_text() for text in figure.findobj(matplotlib.text.Text)]
    assert "Layer 1: the first 2 of 30 units, relu" in words
    assert "unit 2: 0 here" in words


def test_the_units_of_one_input_are_lines():
    (ax,) = (ax for ax in figures.hidden_units(make("regression", CURVE)).axes)
    for k, line in enumerate(ax.lines):
        assert np.array_equal(line.get_xdata(), CURVE["plane"]["x"][::2])
        assert np.allclose(line.get_ydata(), CURVE["plane"]["hidden/0"][:, k])


# -- activations

INPUTS = np.concatenate([np.linspace(-40, 40, 4001), [-700.0, 700.0, 0.0, -1e-12, 1e-12]])


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("parameter", [None, 0.3])
def test_the_formulas_are_those_of_the_reference(name, parameter):
    function = ACTIVATIONS[name]
    given = function.usual if parameter is None else parameter
    options = {"leaky_relu": "leaky_slope", "elu": "elu_alpha"}
    own = Config.of(
        1,
        1,
        (1,),
        (name,),
        optimizer="sgd",
        learning_rate=0.1,
        batch_size=1,
        epochs=1,
        **({options[name]: given} if name in options else {}),
    )
    (it,) = own.network.layers[1:2]
    a = activate(it, INPUTS)
    assert np.abs(function.value(INPUTS, given) - a).max() <= 1e-15 * max(1, np.abs(a).max())
    assert np.abs(function.derivative(INPUTS, given) - derivative(it, a)).max() <= 1e-15


def test_every_activation_of_a_hidden_layer_has_a_formula():
    from harness.contract import ACTIVATIONS as KNOWN

    assert set(ACTIVATIONS) == set(KNOWN)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_drawn_lines_are_the_function_and_its_derivative(name):
    figure = figures.activation_functions([name])
    value, slope, *_ = figure.axes[0].lines
    assert np.array_equal(value.get_ydata(), ACTIVATIONS[name].value(Z, ACTIVATIONS[name].usual))
    drawn = np.isfinite(slope.get_ydata())  # at a kink the line is broken
    assert np.array_equal(slope.get_xdata()[drawn], Z)
    assert np.array_equal(slope.get_ydata()[drawn], ACTIVATIONS[name].derivative(Z, ACTIVATIONS[name].usual))
    assert (not drawn.all()) == (name in ("relu", "leaky_relu", "selu"))


def test_where_a_unit_saturates_or_dies_is_marked():
    found = {name: flat_regions(f, f.usual) for name, f in ACTIVATIONS.items()}
    words = {name: [word for *_, word in regions] for name, regions in found.items()}
    saturating = {"sigmoid": 2, "tanh": 2, "elu": 1, "selu": 1, "softplus": 1}
    assert words == {name: ["saturates"] * saturating.get(name, 0) for name in ACTIVATIONS} | {"relu": ["dead"]}
    (_, left, _), (right, _, _) = found["tanh"]
    assert left == pytest.approx(-np.arctanh(np.sqrt(0.95)), abs=0.02)  # 1 - tanh² = 0.05
    assert right == pytest.approx(-left)
    assert [span.get_x() for span in figures.activation_functions(["tanh"]).axes[0].patches] == [-8, right]


def test_a_slope_of_0_makes_a_leaky_relu_dead():
    assert [word for *_, word in flat_regions(ACTIVATIONS["leaky_relu"], 0.0)] == ["dead"]
    words = [
        text.get_text() for text in figures.activation_functions(["leaky_relu"], {"leaky_relu": 0.2}).axes[0].texts
    ]
    assert "z if z > 0, else 0.2 z" in words


# -- samples


def test_classes_labels_and_values_are_said_in_words():
    texts = figures.samples(make(stored=DIGITS), names=["zero", "one", "two"]).axes[1].get_xlabel()
    assert texts.startswith("true one\n")
    labels = predictions(np.array([[1.0, -1, 2], [-1, -1, -1]]), np.array([[1.0, 0, 0], [0, 0, 0]]), inputs=9)
    wrong, right = (ax.get_xlabel() for ax in figures.samples(make("multilabel", labels)).axes)
    assert (wrong, right) == ("true 0\nwrongly 0, 2", "true none\npredicted none")
    values = predictions(np.array([[0.5], [2.0]]), np.array([[0.25], [2.0]]), inputs=9, classification=False)
    assert figures.samples(make("regression", values)).axes[0].get_xlabel() == "true 0.25\npredicted 0.5"


def test_the_title_says_how_many_mistakes_there_are_beside_those_that_are_shown():
    logits, y = np.tile([1.0, 0.0], (80, 1)), np.arange(80) % 2
    figure = figures.misclassified(make(stored=predictions(logits, y)))
    assert figure.texts[0].get_text() == "25 of 40 misclassified test rows, numpy, mode controlled"
    assert figures.misclassified(make(stored=predictions(logits, np.zeros(80, int)))) is None


# -- which trials are shown


def shown(study, kind="confusion", mode="controlled"):
    return {model.backend: model.row["trial_id"] for model in models.models(study, kind, mode)}


def with_rows(**changes):
    """Two cells of each of two backends, `t0, t1` and `t2, t3`; `changes` holds what differs in some of them."""
    names = iter(["t0", "t1", "t2", "t3"])

    def edit(row, arrays):
        row |= changes.get(next(names), {})

    return make(stored={"confusion": {"test": COUNTS}}, axes={"l2": [0.0, 0.1]}, edit=edit)


def test_the_best_by_validation_score_is_shown():
    study = with_rows(t1={"validation_accuracy": 0.81}, t3={"test_accuracy": 0.99})
    assert shown(study) == {"numpy": "t1", "torch": "t2"}


def test_a_tie_goes_to_the_lower_loss_and_without_validation_the_training_score_decides():
    assert shown(with_rows(t1={"validation_loss": 0.3})) == {"numpy": "t1", "torch": "t2"}
    none = {"validation_accuracy": math.nan, "validation_loss": math.nan}
    assert shown(with_rows(t0=none, t1=none | {"train_accuracy": 0.95}))["numpy"] == "t1"


@pytest.mark.parametrize("change", [{"verdict": "chaotic"}, {"status": "diverged"}])
def test_a_chaotic_and_a_failed_trial_are_not_shown(change):
    assert shown(with_rows(t1={"validation_accuracy": 0.99} | change))["numpy"] == "t0"


def test_of_equally_good_trials_every_figure_shows_the_one_whose_predictions_were_kept():
    def edit(row, arrays):
        if row["l2"] == 0:
            arrays.pop("predictions")

    study = make(stored=FLOWERS | {"confusion": {"test": COUNTS}}, axes={"l2": [0.0, 0.1]}, edit=edit)
    assert shown(study, "confusion") == shown(study, "predictions") == {"numpy": "t1", "torch": "t3"}


def test_a_lesser_trial_never_stands_in_for_the_best():
    def edit(row, arrays):
        row["validation_loss"] = 0.4 - row["l2"]
        if row["l2"] == 0.1:
            arrays.pop("predictions")

    study = make(stored=FLOWERS | {"confusion": {"test": COUNTS}}, axes={"l2": [0.0, 0.1]}, edit=edit)
    assert shown(study, "predictions") == {}
    assert shown(study, "confusion") == {"numpy": "t1", "torch": "t3"}


def test_another_problem_is_another_figure():
    def edit(row, arrays):
        row["dataset"] = "dots" if row["l2"] == 0 else "lines"

    study = make(stored={"confusion": {"test": COUNTS}}, axes={"l2": [0.0, 0.1]}, edit=edit)
    found = models.models(study, "confusion", "controlled", ("lines", "multiclass"))
    assert [model.row["dataset"] for model in found] == ["lines", "lines"]


def test_where_backends_have_cells_of_their_own_each_says_which():
    study = with_rows(t1={"validation_accuracy": 0.9})
    words = " ".join(text.get_text() for text in figures.confusion_matrices(study).texts)
    assert "numpy: l2 0.1; torch: l2 0, each the best cell by validation accuracy" in words


def two_seeds(kept, changes=None):
    """Of numpy `t0, t1` at l2 0 and `t2, t3` at 0.1, of torch the same from t4; `kept` have predictions.

    The best trial of seed 0 is t0, that of seed 1 is t3, and the best cell by the mean over both is that of t2 and t3.
    """
    scores = {"t0": 0.95, "t1": 0.5, "t2": 0.9, "t3": 0.9}

    def edit(row, arrays):
        name = row["trial_id"]
        number = int(name[1:])
        row |= {"validation_accuracy": scores[f"t{number % 4}"], "test_accuracy": number / 100}
        row |= (changes or {}).get(name, {})
        if name not in kept:
            arrays.pop("predictions")

    stored = FLOWERS | {"confusion": {"test": COUNTS}}
    return make(stored=stored, axes={"l2": [0.0, 0.1]}, seeds=2, edit=edit)


def said(figure):
    return " ".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


DRAWN = (figures.confusion_matrices, figures.roc_curves, figures.misclassified, figures.samples)


@pytest.mark.parametrize("draw", DRAWN)
def test_a_kept_trial_of_the_best_cell_is_shown_whichever_its_seed(draw):
    study = two_seeds({"t0", "t3", "t4", "t7"})  # as a run keeps them: the best of each seed
    assert shown(study) == shown(study, "predictions") == {"numpy": "t3", "torch": "t7"}
    assert ", l2 0.1, the best cell by validation accuracy, seed 1" in said(draw(study)).replace(" · ", ", ")


@pytest.mark.parametrize("draw", DRAWN)
def test_where_none_of_the_best_cell_is_kept_the_best_trial_of_a_seed_is_shown_and_called_that(draw):
    study = two_seeds({"t0", "t4"})
    assert shown(study) == shown(study, "predictions") == {"numpy": "t0", "torch": "t4"}
    words = said(draw(study)).replace(" · ", ", ")
    assert ", l2 0, the best trial of seed 0 by validation accuracy" in words
    assert "best cell" not in words


def test_backends_whose_trials_are_shown_for_different_reasons_each_say_theirs():
    assert (
        "numpy: l2 0, the best trial of seed 0 by validation accuracy; "
        "torch: l2 0.1, the best cell by validation accuracy, seed 1"
    ) in said(figures.roc_curves(two_seeds({"t0", "t4", "t7"})))


def test_of_a_kept_cell_the_first_seed_is_shown():
    assert shown(two_seeds({f"t{i}" for i in range(8)})) == {"numpy": "t2", "torch": "t6"}


def test_without_validation_no_cell_is_called_the_best():
    none = {"validation_accuracy": math.nan, "validation_loss": math.nan}
    names = [f"t{i}" for i in range(8)]
    study = two_seeds(names, {name: none | {"train_accuracy": 0.99 if name in "t2 t6" else 0.9} for name in names})
    assert "l2 0.1, the best trial of seed 0 by training accuracy" in said(figures.roc_curves(study))


def test_where_nothing_is_chosen_only_the_seed_is_said():
    words = said(figures.roc_curves(make(stored=FLOWERS, seeds=2)))
    assert "Dots in the plane · seed 0 · n = 40 test rows" in words


def test_the_scores_beside_a_figure_are_those_of_the_trial_that_it_shows():
    for kept, scores in (
        ({"t0", "t3", "t4", "t7"}, "numpy: test accuracy 0.030. torch: test accuracy 0.070."),
        (
            {"t0", "t4"},
            "numpy: test accuracy 0.000. torch: test accuracy 0.040.",
        ),
    ):
        alts = {name: alt for name, _, alt, _ in pictures_of_models(two_seeds(kept))}
        assert alts["controlled-confusion"].endswith(f" {scores}")
        assert alts["controlled-roc"].endswith(f" {scores}")


def test_the_scores_beside_a_figure_are_of_the_backends_that_it_shows():
    alts = {name: alt for name, _, alt, _ in pictures_of_models(two_seeds({"t0", "t3"}))}
    assert alts["controlled-confusion"].endswith(" numpy: test accuracy 0.030. torch: test accuracy 0.060.")
    assert alts["controlled-roc"].endswith(" a class. numpy: test accuracy 0.030.")


# -- the page


def test_the_page_shows_what_a_study_has_and_names_its_files():
    stored = BINARY | predictions(LOGITS[:, :1], TARGETS[:, None] % 2, inputs=2)
    pictures = pictures_of_models(make("binary", stored, modes=("controlled", "native")))
    names = [name for name, *_ in pictures]
    of_controlled = ["controlled-boundary", "controlled-hidden-units", "controlled-roc"]
    assert names == [*of_controlled, "native-boundary", "native-roc"]
    assert set(names) <= set(FILE_NAMES)
    alt = pictures[0][2]
    assert "numpy: test accuracy 0.700. torch: test accuracy 0.700." in alt


def test_images_are_shown_with_their_mistakes():
    names = [name for name, *_ in pictures_of_models(make(stored=DIGITS))]
    assert names == ["controlled-roc", "controlled-misclassified", "controlled-samples"]


def test_the_activations_are_drawn_where_they_are_swept():
    def edit(row, arrays):
        row["leaky_slope"] = 0.25 if row["activation"] == "leaky_relu" else math.nan

    ((name, figure, alt, _),) = pictures_of_models(make(axes={"activation": ["leaky_relu", "sigmoid"]}, edit=edit))
    assert name == "activations"
    assert "sigmoid and leaky_relu" in alt
    assert "z if z > 0, else 0.25 z" in [text.get_text() for text in figure.axes[1].texts]


def test_a_study_without_artefacts_has_no_pictures():
    assert pictures_of_models(make()) == []


def test_what_a_real_run_keeps_is_drawn(tmp_path):
    experiment = tmp_path / "moons.toml"
    experiment.write_text("""
name = "moons"
[data]
name = "moons"
rows = 80
test_fraction = 0.25
scale = "standard"
[network]
hidden = [5]
activation = "tanh"
[training]
optimizer = "adam"
batch_size = 10
epochs = 20
[sweep]
learning_rate = [0.001, 0.1]
[run]
backends = ["numpy"]
modes = ["controlled"]
""")
    results = harness.run(experiment, store=f"sqlite:///{tmp_path / 'store.db'}")
    pictures = {name: figure for name, figure, *_ in pictures_of_models(results.study())}
    assert list(pictures) == [f"controlled-{what}" for what in ("boundary", "hidden-units", "confusion", "roc")]
    best = results.frame().sort_values(["train_accuracy", "train_loss"], ascending=[True, False]).iloc[-1]
    for figure in pictures.values():
        assert f"learning_rate {style.number(best.learning_rate)}" in " ".join(text.get_text() for text in figure.texts)
    words = [text.get_text() for text in pictures["controlled-roc"].axes[0].texts]
    assert f"AUC {best.test_auc:.3f}" in words
    counts = results.confusion(best.trial_id).to_numpy()
    check = [str(count) for count in counts.ravel() if count]
    texts = [text.get_text() for ax in pictures["controlled-confusion"].axes for text in ax.texts]
    assert [text for text in texts if text in check] == check
    (ax,) = panels(pictures["controlled-boundary"], "numpy")
    assert len(boundary_of(ax))
    assert sum(len(line.get_xdata()) for line in ax.lines) == 80
