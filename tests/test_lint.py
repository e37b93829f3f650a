"""What is warned of before any training: each finding where it belongs, and nowhere else; no training is stopped."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import harness
from harness.checks import run_check
from harness.cli import invoke
from harness.experiment.datasets import load_datasets
from harness.experiment.file import load, parse, suites
from harness.linting import linter, losses
from harness.linting.linter import lint_plan
from harness.planning.plan import plan
from harness.reference.activations import softmax
from harness.reference.trainer import Reference
from tests.conftest import small_table
from tests.test_run import write_experiment

N = 60
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 4))
Y = np.arange(N) % 3
LOGITS = RNG.normal(size=(N, 3))
ONE_HOT = np.eye(3)[Y]
TWO = Y > 1
COLUMN = X[:, :1]


def names(*args, **kwargs):
    return [finding.name for finding in harness.lint(*args, **kwargs)]


def message(*args, **kwargs):
    (finding,) = harness.lint(*args, **kwargs)
    return str(finding)


def lint_table(**changes):
    """The lint of the small experiment with other keys in its tables; `sweep` and `run` are replaced."""
    table = small_table()
    for section, values in changes.items():
        table[section] = values if section == "sweep" else {**table[section], **values}
    experiment = parse(table)
    datasets = load_datasets(experiment)
    return lint_plan(experiment, datasets, plan(experiment, datasets))


# --- arrays --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "logits"),
    [
        (COLUMN, X[:, 0]),
        (X[:, 0], COLUMN),
        (TWO, COLUMN),
        (Y[:, None], LOGITS),
        (Y[:, None], None),
        (np.array(["a", "b", "c"])[Y][:, None], None),
        (pd.DataFrame({"kind": Y}), None),
        (Y[:-1], LOGITS),
    ],
)
def test_targets_that_do_not_fit_the_predictions_are_named(y, logits):
    assert names(X if len(y) == N else X[:-1], y, logits=logits) == ["target-shape"]


@pytest.mark.parametrize(
    ("y", "logits", "task"),
    [
        (COLUMN, COLUMN, None),
        (X[:, 0], X[:, 0], None),
        (TWO[:, None], COLUMN, None),
        (Y, LOGITS, None),
        (Y, None, None),
        (COLUMN, None, None),
        (Y[:, None], None, "regression"),
        (X[:, :2], LOGITS[:, :2], None),
    ],
)
def test_targets_that_fit_are_left_alone(y, logits, task):
    assert names(X, y, logits=logits, task=task) == []


def test_outputs_for_an_unknown_loss_are_told_what_holds_for_any():
    p = softmax(LOGITS)
    for y in (Y, Y[:, None], ONE_HOT):
        assert names(X, y, outputs=p) == names(X, y, outputs=LOGITS) == []
    assert names(X, X[:, 0], outputs=COLUMN) == ["target-shape"]
    assert names(X, Y + 1, outputs=p) == ["labels-outside"]
    assert names(X, Y[:-1], outputs=p) == ["target-shape", "target-shape"]  # of X, and of the outputs


def test_one_row_is_broadcast_to_nothing_else():
    assert names(X[:1], [[1]], logits=[0.3]) == []
    assert names(X[:1], [[1]]) == []


def test_a_finding_says_what_where_and_what_to_do():
    told = message(X, COLUMN, logits=X[:, 0])
    assert told.startswith("target-shape: y has the shape (60, 1) and the logits have (60,)")
    assert "(60, 60)" in told
    assert told.endswith("hand over y.reshape((60,))")


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_probabilities_in_place_of_logits_are_named(dtype):
    assert names(X, Y, logits=softmax(LOGITS).astype(dtype)) == ["double-softmax"]


P = 1 / (1 + np.exp(-LOGITS[:, 0]))


@pytest.mark.parametrize("logits", [P, P[:, None], P.astype(np.float16)], ids=["vector", "column", "float16"])
@pytest.mark.parametrize(("y", "task"), [(TWO, None), (TWO.astype(float), None), (TWO, "binary")], ids=str)
def test_probabilities_of_one_output_are_named(y, task, logits):
    y = y.reshape(logits.shape)
    assert "double-softmax" in names(X, y, logits=logits, task=task)


@pytest.mark.parametrize(
    ("y", "logits", "task"),
    [
        (TWO, LOGITS[:, 0], None),
        (TWO, P + 0.5, None),
        (TWO, TWO.astype(float), None),  # answers, not probabilities
        (X[:, 0], P, None),  # quantities
        (TWO.astype(float), P, "regression"),
        (TWO[:1], P[:1], "binary"),
    ],
)
def test_one_output_that_is_no_probability_is_left_alone(y, logits, task):
    assert "double-softmax" not in names(X[: len(y)], y, logits=logits, task=task)


@pytest.mark.parametrize(
    ("logits", "task"),
    [
        (LOGITS, None),
        (np.log(softmax(LOGITS)), None),
        (np.abs(LOGITS), None),
        (LOGITS - LOGITS.mean(axis=1, keepdims=True) + 1 / 3, None),  # sums to 1, with negative numbers
        (softmax(LOGITS), "regression"),
    ],
)
def test_logits_are_left_alone(logits, task):
    assert "double-softmax" not in names(X, Y, logits=logits, task=task)


def test_an_adapter_whose_logits_are_probabilities_fails_its_check_by_that_name():
    class Probabilities(Reference):
        def logits(self, X):
            return softmax(super().logits(X))

    failed = run_check("logits", Probabilities)
    assert failed.status == "failed"
    assert "double-softmax" in failed.message
    assert "double-softmax" not in run_check("logits", Reference).message


@pytest.mark.parametrize("dtype", [float, int, bool])
def test_one_column_a_class_is_named(dtype):
    told = message(X, ONE_HOT.astype(dtype))
    assert told.startswith("one-hot: each of the 60 rows of y holds a single 1 in 3 columns")
    assert "y.argmax(axis=1)" in told


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (ONE_HOT, "multilabel"),
        (ONE_HOT, "regression"),
        (2 * ONE_HOT, None),
        (np.full((N, 2), 0.5), None),
        (np.vstack([ONE_HOT[:-1], [1, 1, 0]]), None),
        (np.vstack([ONE_HOT[:-1], [0, 0, 0]]), None),
    ],
)
def test_labels_of_which_a_row_may_have_several_are_left_alone(y, task):
    assert names(X, y, task=task) == []


@pytest.mark.parametrize(
    ("y", "arguments", "part"),
    [
        (Y, {"classes": 2}, "y holds 2 in 20 of 60 rows"),
        (Y + 1, {"logits": LOGITS}, "y holds 3 in 20 of 60 rows"),
        (Y - 1, {"classes": 3}, "y holds -1 in 20 of 60 rows"),
        (np.where(TWO, 7.0, 0.0), {"logits": LOGITS}, "y holds 7 in 20 of 60 rows"),
        (Y - 1, {}, "y holds -1 in 20 of 60 rows"),
        (Y + (Y == 2), {}, "skip from 1 to 3"),
        (Y * 1000, {}, "skip from 0 to 1000"),
        (Y + 1, {}, "go from 1 to 3, and none is 0"),
        ((Y + 1.0), {"task": "multiclass", "logits": X[:, 0]}, "go from 1 to 3, and none is 0"),
    ],
)
def test_labels_that_no_class_has_are_named(y, arguments, part):
    assert part in message(X, y, **arguments)
    assert names(X, y, **arguments) == ["labels-outside"]


@pytest.mark.parametrize(
    ("y", "arguments"),
    [
        (Y, {"classes": 3}),
        (Y, {"logits": LOGITS}),
        (Y + 1, {"task": "regression"}),
        (np.where(TWO, 2, 1), {}),
        (np.where(TWO, 1, -1), {}),
        (np.array(["a", "b", "d"])[Y], {"classes": 3}),
        (np.arange(N) * 7, {}),  # more than 20 values: quantities
        (Y * 1000, {"task": "regression"}),
        (Y * 1000, {"task": "regression", "classes": 3}),
        (Y * 1.5, {"classes": 2}),
    ],
)
def test_labels_that_have_a_class_are_left_alone(y, arguments):
    assert names(X, y, **arguments) == []


# --- networks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"activation": "sigmoid"},
        {"activation": "tanh"},
        {"activation": ["relu", "tanh"]},
        {"activation": "sigmoid", "hidden": (100,), "init": "lecun_normal"},
        {"activation": "sigmoid", "init": "normal(1)", "dtype": "float32"},
        {"activation": "sigmoid", "modes": ["native"]},
    ],
)
def test_large_inputs_of_saturating_units_are_named(digits, changes):
    told = message(*digits, **changes)
    assert told.startswith("unscaled-features: ")
    assert "the inputs go from 0 to 16" in told
    assert 'scale = "standard"' in told


@pytest.mark.parametrize(
    "changes",
    [
        {"scale": 16},
        {"scale": "standard"},
        {"scale": "minmax", "activation": "tanh"},
        {"scale": 16, "activation": "tanh", "init": "normal(1)"},  # saturated by its start, not by its inputs
        {"activation": "relu"},
        {"batch_norm": True},
        {"hidden": ()},
        {"init": "normal(0.001)"},
    ],
)
def test_inputs_that_saturate_nothing_are_left_alone(digits, changes):
    assert names(*digits, **changes) == []


@pytest.fixture(scope="module")
def digits():
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rate": 1e300, "activation": "relu"},
        {"learning_rate": 1e12, "optimizer": "adam"},
        {"learning_rate": 1e12, "dropout": 0.5},
        {"learning_rate": 1e36, "dtype": "float32", "l2": 1e6},
        {"learning_rate": 0.1, "l2": 1e200},
    ],
)
def test_a_first_step_that_overflows_is_named(changes):
    told = message(X, Y, **changes)
    assert told.startswith("first-step: one step of ")
    assert f"learning_rate = {changes['learning_rate']:g} from the start" in told


def test_a_first_step_tells_what_is_not_finite():
    assert "weights that are not finite" in message(X, Y, learning_rate=1e300, l2=1e300)
    assert "weights that are not finite" in message(X * 1e160, Y, batch_norm=True)  # only the running variance is not
    assert "not finite" not in message(X, Y, learning_rate=1e12)
    assert "takes its loss from inf to inf;" in message(np.abs(COLUMN) * 1e160, X[:, 0], hidden=(), clip_value=1.0)


def test_a_first_step_on_unscaled_targets_says_to_scale_them():
    assert 'target_scale = "standard"' in message(X, X[:, 0] * 1e3, learning_rate=1e4, hidden=())
    assert "target_scale" not in message(X, Y, learning_rate=1e12)


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rate": 10.0},
        {"learning_rate": 1e12, "optimizer": "adam", "modes": ["native"]},  # the step there is the framework's own
        {"learning_rate": 1e300, "activation": "relu", "clip_value": 1e-300},
    ],
)
def test_a_first_step_that_does_not_is_left_alone(changes):
    assert names(X, Y, **changes) == []


def test_a_start_that_answers_without_any_error_is_left_alone():
    assert names(X, np.zeros(N), task="regression", init="zeros", learning_rate=1e12) == []


def test_the_cells_of_a_sweep_are_counted_and_the_first_is_named():
    (finding,) = lint_table(sweep={"l2": [0.0, 0.1], "learning_rate": [0.1, 1e12, 1e13]})
    assert finding.message.startswith("in 4 of 6 cells, first l2=0,learning_rate=1e+12: one step of sgd")
    (finding,) = lint_table(sweep={"learning_rate": [1e12, 1e13]})
    assert finding.message.startswith("in all 2 cells: ")
    told = message(X, Y, learning_rate=[0.1, 1e12], scale=[1, 1e-9], activation="relu")
    assert told.startswith("first-step: in 3 of 4 cells, first learning_rate=0.1,scale=1e-09: ")


def test_cells_are_looked_at_in_their_first_repeat():
    axis = {"learning_rate": [0.1, 1e12]}
    assert lint_table(sweep=axis, run={"seeds": 3}) == lint_table(sweep=axis)


def test_of_many_cells_some_are_looked_at_and_the_rest_is_told(monkeypatch):
    monkeypatch.setattr(linter, "MOST_CELLS", 20)
    (finding,) = lint_table(sweep={"l2": {"linspace": [0, 0.1, 10]}, "learning_rate": [0.1, 1e12, 0.2, 0.3, 0.4]})
    count, _, rest = finding.message.removeprefix("in ").partition(" ")
    assert rest.startswith("of the 20 cells looked at, of 50, first l2=")
    assert 0 < int(count) < 10


def test_a_network_too_large_for_many_looks_is_looked_at_once(monkeypatch):
    monkeypatch.setattr(linter, "_MOST_WORK", 1)
    (finding,) = lint_table(sweep={"learning_rate": [1e12, 1e13]})
    assert finding.message.startswith("in all the 1 cells looked at, of 2: ")


def test_the_network_of_a_user_s_own_is_not_taken_for_ours(digits):
    X, y = digits
    logits = np.eye(10)[y] * 5
    assert names(X, y) == ["unscaled-features"]
    assert names(X, y, logits=logits) == []
    assert names(X, y, logits=logits, activation="tanh") == ["unscaled-features"]
    assert names(X.reshape(-1, 1, 8, 8), y) == []  # images, which no network of ours takes


def test_a_loss_beside_logits_is_a_setting_of_the_network_too(digits):
    X, y = digits
    two, logits = y > 4, 5.0 * (y > 4) - 2
    assert names(X, two, logits=logits, loss="binary_cross_entropy", activation="tanh") == ["unscaled-features"]
    assert names(X, y * 1.0, loss="mae", activation="tanh", task="regression") == ["unscaled-features"]
    assert names(X / 16, y, logits=np.eye(10)[y], loss="cross_entropy", learning_rate=1e12) == [
        "double-softmax",
        "first-step",
    ]


def test_a_suite_is_warned_of_only_where_it_leaves_pixels_as_they_are():
    found = {}
    for name in suites():
        experiment = load(name)
        datasets = load_datasets(experiment)
        found[name] = [finding.name for finding in lint_plan(experiment, datasets, plan(experiment, datasets))]
        assert found[name] == [] or (found[name], experiment.data.scale) == (["unscaled-features"], "none")
    assert found["published-digits-2023"] == ["unscaled-features"]
    assert found["digits-grid"] == []


# --- experiments, files, and how findings are told --------------------------------------------------------------------


@pytest.fixture
def dry_run(tmp_path, capsys):
    """What `harness run --dry-run` says on standard error of an experiment on a file of the user's own."""

    def run(path, target, **changes):
        table = small_table()
        table["data"] = {"path": str(path), "target": target, "scale": "standard", **changes}
        table["run"] = {"backends": ["numpy"], "seeds": 2}
        assert invoke(["run", str(write_experiment(tmp_path, table)), "--dry-run"]) == 0
        return capsys.readouterr().err.splitlines()

    return run


def csv(path, y):
    frame = pd.DataFrame(X, columns=list("abcd"))
    columns = {"y": y} if np.ndim(y) == 1 else {f"y{k}": column for k, column in enumerate(np.transpose(y))}
    frame.assign(**columns).to_csv(path, index=False)
    return path


def test_a_file_is_linted_before_it_is_trained_on(dry_run, tmp_path):
    path = tmp_path / "my.csv"
    columns = ["y0", "y1", "y2"]
    assert dry_run(csv(path, Y), "y") == []
    (line,) = dry_run(csv(path, ONE_HOT.astype(int)), columns)
    assert line.startswith("warning: one-hot: each of the 60 rows of my holds a single 1 in 3 columns")
    assert dry_run(path, columns, task="multilabel") == []
    (line,) = dry_run(csv(path, Y * 2), "y")
    assert line.startswith("warning: labels-outside: the labels of my skip from 0 to 2")
    (line,) = dry_run(csv(path, Y - 1), "y")
    assert line.startswith("warning: labels-outside: my holds -1 in 20 of 60 rows")
    np.savez(tmp_path / "column.npz", X=X, y=Y[:, None])
    (line,) = dry_run(tmp_path / "column.npz", "y")
    assert line.startswith("warning: target-shape: the labels of column are a column (60, 1)")
    np.savez(tmp_path / "vector.npz", X=X, y=Y)
    assert dry_run(tmp_path / "vector.npz", "y") == []


def test_a_class_without_training_rows_is_named(dry_run, tmp_path):
    for rare in range(4):
        path = csv(tmp_path / "my.csv", np.where(np.arange(N) == rare, "rare", np.where(TWO, "this", "that")))
        assert dry_run(path, "y", test_fraction=0) == []
        (line,) = dry_run(path, "y", test_fraction=0.7, stratify=False)
        assert line.startswith("warning: labels-outside: in repeat ")
        assert "no training row of my has the label rare, which 1 of the other rows have" in line


def test_a_run_tells_each_finding_once_before_any_training_and_the_report_keeps_it(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    table = small_table()
    table["sweep"] = {"learning_rate": [0.1, 1e12]}
    table["run"] = {"backends": ["numpy"]}
    assert invoke(["run", str(write_experiment(tmp_path, table)), "--store", "sqlite:///s.db"]) == 0
    lines = capfd.readouterr().err.splitlines()
    assert lines[0].startswith("warning: first-step: in 1 of 2 cells, first learning_rate=1e+12: ")
    assert lines[1].startswith("to train")
    assert sum("first-step" in line for line in lines) == 1
    page = Path("results/small/report.html").read_text()
    assert '<p class="warning">first-step: in 1 of 2 cells' in page
    assert invoke(["report", "--store", "sqlite:///s.db"]) == 0
    assert "warning: first-step" in capfd.readouterr().err


def test_a_sweep_warns_at_the_caller_s_line_of_what_lint_finds(store):
    arguments = {"learning_rate": [0.1, 1e12], "activation": "tanh", "epochs": 1}
    with pytest.warns(harness.LintWarning) as seen:
        results = harness.sweep(X * 100, Y[:, None], backends=["numpy"], store=store, progress=False, **arguments)
    told = [str(warning.message) for warning in seen]
    assert told == [
        str(finding).replace("of y", "of arrays") for finding in harness.lint(X * 100, Y[:, None], **arguments)
    ]
    assert [text.partition(":")[0] for text in told] == ["target-shape", "unscaled-features", "first-step"]
    assert {Path(warning.filename).name for warning in seen} == {"test_lint.py"}
    assert results.study().warnings == told
    assert len(results) == 2


@pytest.mark.parametrize(("y", "task"), [(Y, None), (ONE_HOT, "multilabel"), (COLUMN, None)])
def test_a_sweep_without_findings_warns_of_nothing(y, task, store):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = harness.sweep(X, y, task=task, backends=["numpy"], epochs=1, store=store, progress=False)
    assert set(results.frame()["status"]) == {"ok"}


def test_the_fewest_rows_that_can_be_split_can_be_swept_as_they_are(store):
    results = harness.sweep(X[:6], Y[:6], task="regression", backends=["numpy"], store=store, progress=False)
    assert set(results.frame()["status"]) == {"ok"}


# --- whatever comes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"activaton": "tanh"}, "unknown setting 'activaton': did you mean 'activation'"),
        ({"activation": "tan"}, "unknown activation 'tan': did you mean 'tanh'"),
        ({"task": "multilable"}, "unknown task 'multilable': did you mean 'multilabel'"),
        ({"classes": 2.5}, "classes = 2.5: must be a whole number"),
        ({"classes": 1}, "classes = 1: must be at least 2"),
        ({"logits": [[1, 2], [3]]}, "logits: is no array"),
        ({"logits": LOGITS, "outputs": LOGITS}, "outputs and logits are given"),
        (
            {"outputs": LOGITS, "loss": "crossentropyloss"},
            "unknown loss 'crossentropyloss': did you mean 'CrossEntropyLoss'",
        ),
        ({"outputs": LOGITS, "loss": "torch.nn.MSELos"}, "unknown loss 'torch.nn.MSELos': did you mean 'MSELoss'"),
        ({"outputs": LOGITS, "loss": ""}, "unknown loss ''"),
        ({"outputs": LOGITS, "loss": "binary_cross_entropy"}, "or of logits (BCEWithLogitsLoss)? say which"),
        ({"outputs": LOGITS, "loss": "BCELoss(1)"}, "give its arguments as name=value"),
        ({"outputs": LOGITS, "loss": "CategoricalCrossentropy(from_logits=x)"}, "give its arguments as name=value"),
        ({"loss": "BCELoss"}, "loss = 'BCELoss': give what it receives too, outputs = model(X)"),
        ({"loss": max}, "give what it receives too"),
        ({"loss": "msee"}, "unknown loss 'msee': did you mean 'mse'"),
    ],
)
def test_a_wrong_request_is_one_line(arguments, expected):
    with pytest.raises(harness.RequestError, match=r"^[^\n]*$") as refused:
        harness.lint(X, Y, **arguments)
    assert expected in str(refused.value)


@pytest.mark.parametrize(("inputs", "targets", "which"), [(None, None, "X"), (X, None, "y"), (3, Y, "X")])
def test_what_is_no_array_is_refused(inputs, targets, which):
    with pytest.raises(harness.RequestError, match=rf"^{which} = \w+: is no array"):
        harness.lint(inputs, targets)


SHAPES = st.one_of(
    st.just((6,)), st.just((6, 1)), st.just((6, 3)), arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6)
)
ODD = st.one_of(
    arrays.arrays(arrays.scalar_dtypes(), SHAPES),
    arrays.arrays(np.float64, SHAPES, elements=st.sampled_from([0.0, 1.0, -1.0, np.nan, np.inf, 1e308, 5e-324])),
    arrays.arrays(np.int64, SHAPES, elements=st.integers(-2, 3)),
    arrays.arrays(object, SHAPES, elements=st.sampled_from(["a", 1, 2.5, None, True, (1, 2)])),
    st.sampled_from([None, 3, "text", [], {}, [["a"], ["b"]], pd.Series([1, 2]), pd.DataFrame({"a": [0, 1]})]),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    X=ODD,
    y=ODD,
    logits=st.none() | ODD,
    classes=st.none() | st.integers(2, 5),
    task=st.sampled_from([None, "binary", "multiclass", "multilabel", "regression"]),
)
def test_no_array_is_too_odd(X, y, logits, classes, task):
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            findings = harness.lint(X, y, logits=logits, classes=classes, task=task)
        except harness.RequestError:
            return
    assert all(finding.name in linter.__doc__ for finding in findings)
    assert all("\n" not in str(finding) for finding in findings)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(X=ODD, y=ODD, outputs=ODD, loss=st.sampled_from([*losses.LOSSES, "BinaryCrossentropy(from_logits=True)"]))
def test_no_array_is_too_odd_for_any_loss(X, y, outputs, loss):
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            findings = harness.lint(X, y, outputs=outputs, loss=loss)
        except harness.RequestError:
            return
    assert all(finding.name in linter.__doc__ for finding in findings)
    assert all("\n" not in str(finding) for finding in findings)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    size=st.sampled_from([1e-300, 1.0, 1e150, 1e300]),
    y=st.sampled_from([Y, COLUMN, ONE_HOT, TWO]),
    learning_rate=st.sampled_from([1e-300, 0.1, 1e300]),
    layers=st.sampled_from([{"hidden": ()}, {"hidden": (1,)}, {"hidden": (3, 2), "activation": "tanh"}]),
    changes=st.fixed_dictionaries(
        {},
        optional={
            "scale": st.sampled_from(["none", "standard", "minmax", 1e-300]),
            "optimizer": st.sampled_from(["momentum", "adam", "rmsprop", "adagrad"]),
            "batches": st.sampled_from(["independent", "replacement", "in_order"]),
            "last_batch": st.just("drop"),
            "schedule": st.just("cosine"),
            "clip_norm": st.just(1.0),
            "input_dropout": st.just(0.5),
            "l1": st.just(1e300),
            "dtype": st.just("float32"),
            "stratify": st.just(False),
        },
    ),
)
def test_no_network_is_too_odd(size, y, learning_rate, layers, changes):
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        harness.lint(X * size, y, learning_rate=learning_rate, **layers, **changes)
