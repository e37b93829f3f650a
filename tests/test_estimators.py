"""The estimators: scikit-learn's own checks, one network whichever backend trains it, and no trace in the process."""

import copy
import io
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils.estimator_checks import parametrize_with_checks

import harness
from harness import NetworkClassifier, NetworkRegressor, RequestError, registry
from harness.draws.batches import draw_batches
from harness.draws.recipe import Recipe
from harness.draws.starts import draw_start
from harness.execution.executor import ENVIRONMENT
from harness.manifest import Backend
from harness.reference.trainer import Reference
from harness.registry import BUILT_IN

ROOT = Path(__file__).resolve().parent.parent
QUICK = ("numpy", "torch")
NAMES = tuple(backend.name for backend in BUILT_IN)


@pytest.fixture(autouse=True)
def skip_what_is_not_installed(request):
    given = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    for value in given.values():
        name = getattr(value, "backend", value)
        missing = registry.backends()[name].missing() if name in NAMES else None
        if missing:
            pytest.skip(missing)


@pytest.fixture
def iris():
    X, y = load_iris(return_X_y=True)
    return scale(X), y


def in_backends(*names):
    return [kind(name) for name in names for kind in (NetworkClassifier, NetworkRegressor)]


def all_but_quick(names=NAMES):
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.conformance) for name in names]


def apart(a, b):
    """The largest difference of two networks' weights."""
    pairs = zip(a.weights_, b.weights_, strict=True)
    return max(np.abs(one[key] - other[key]).max() for one, other in pairs for key in one)


@parametrize_with_checks(in_backends(*QUICK))
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.mark.conformance
@parametrize_with_checks(in_backends(*(name for name in NAMES if name not in QUICK)))
def test_scikit_learns_own_checks_in_every_backend(estimator, check):
    check(estimator)


# --- one network -------------------------------------------------------------------------------------------------

NETWORKS = {
    "binary": (NetworkClassifier(), load_breast_cancer),
    "multiclass": (
        NetworkClassifier(hidden=(8, 5), activation="tanh", optimizer="sgd", learning_rate=0.2, l2=0.001),
        load_iris,
    ),
    "regression": (NetworkRegressor(optimizer="nesterov", learning_rate=0.01, batch_size=64), load_diabetes),
    "float32": (NetworkClassifier(activation="sigmoid", dtype="float32"), load_iris),
}


@pytest.mark.parametrize("case", NETWORKS)
@pytest.mark.parametrize("backend", all_but_quick())
def test_every_backend_trains_the_reference_from_the_harness_start_on_its_batches(backend, case):
    estimator, load = NETWORKS[case]
    X, y = load(return_X_y=True)
    X, y = scale(X), y if case != "regression" else scale(y)
    fitted = clone(estimator).set_params(backend=backend, random_state=5).fit(X, y)
    config = fitted.config_
    reference = Reference(config, draw_start(config, Recipe(), 5, 0))
    targets = y if case in ("multiclass", "float32") else y[:, None].astype(config.dtype)
    reference.train(X.astype(config.dtype), targets, draw_batches(config, Recipe(), len(y), 5, 0), lambda epoch: False)
    found = max(
        np.abs(layer[key] - other[key]).max()
        for layer, other in zip(fitted.weights_, reference.weights(), strict=True)
        for key in layer
    )
    assert found < (1e-4 if case == "float32" else 1e-12)
    assert {value.dtype for layer in fitted.weights_ for value in layer.values()} == {np.dtype(config.dtype)}
    assert fitted.score(X, y) > {"regression": 0.6}.get(case, 0.95)


def test_two_backends_fit_the_same_network(iris):
    a, b = NetworkClassifier("numpy").fit(*iris), NetworkClassifier("sklearn").fit(*iris)
    assert 0 < apart(a, b) < 1e-12  # not the same code
    for one, other in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)
    np.testing.assert_allclose(a.loss_curve_, b.loss_curve_, atol=1e-12)
    np.testing.assert_allclose(a.predict_proba(iris[0]), b.predict_proba(iris[0]), atol=1e-12)


def test_an_estimator_is_the_trial_of_a_sweep_without_a_split(iris, store):
    settings = {"hidden": (6,), "activation": "tanh", "optimizer": "momentum", "l2": 0.1, "batch_size": 20, "epochs": 7}
    results = harness.sweep(
        *iris,
        learning_rate=0.02,
        test_fraction=0.0,
        validation_fraction=0.0,
        seed=11,
        backends=["numpy"],
        store=store,
        progress=False,
        **settings,
    )
    fitted = NetworkClassifier(learning_rate=0.02, random_state=11, **settings).fit(*iris)
    curve = results.curves()["train_loss"]
    np.testing.assert_allclose(fitted.loss_curve_, curve, rtol=1e-12)
    assert fitted.n_iter_ == 7
    assert fitted.score(*iris) == results.frame()["train_accuracy"].item()


def test_several_targets_are_several_outputs():
    X, y = load_diabetes(return_X_y=True)
    Y = scale(np.column_stack([y, X[:, 0] - y]))
    a, b = (NetworkRegressor(name, epochs=5).fit(X, Y) for name in ("numpy", "sklearn"))
    assert a.predict(X).shape == Y.shape
    assert apart(a, b) < 1e-12
    assert NetworkRegressor(epochs=1).fit(X, y).predict(X).shape == y.shape


def test_parts_of_a_network_that_not_every_backend_has(iris):
    parts = {"hidden": (9, 4), "activation": ("relu", "elu"), "dropout": (0.2, 0.0), "batch_norm": True, "l1": 1e-3}
    fitted = NetworkClassifier(**parts, optimizer="rmsprop", clip_norm=1.0, epochs=5).fit(*iris)
    assert [set(layer) for layer in fitted.weights_[:2]] == [{"W"}, {"gamma", "beta", "mean", "variance"}]
    assert [b.shape for b in fitted.intercepts_] == [(9,), (4,), (3,)]
    assert fitted.config_.value("dropout") == (0.0, 0.2, 0.0)
    assert fitted.config_.value("clip_norm") == 1.0


def test_probabilities_follow_from_the_logits(iris):
    X, y = iris
    fitted = NetworkClassifier(epochs=5).fit(X, y)
    z, p = fitted.decision_function(X), fitted.predict_proba(X)
    np.testing.assert_allclose(p, np.exp(z) / np.exp(z).sum(axis=1, keepdims=True))
    two = NetworkClassifier(epochs=5).fit(X[y < 2], np.array(["no", "yes"])[y[y < 2]])
    z, p = two.decision_function(X), two.predict_proba(X)
    assert two.config_.network.n_outputs == 1
    np.testing.assert_allclose(p[:, 1], 1 / (1 + np.exp(-z)))
    assert (two.predict(X) == np.where(z > 0, "yes", "no")).all()


# --- as scikit-learn's own ---------------------------------------------------------------------------------------


def test_a_search_over_a_pipeline_in_two_processes(iris):
    model = make_pipeline(StandardScaler(), NetworkClassifier("sklearn", epochs=10))
    grid = {
        "networkclassifier__batch_size": np.array([16, 32]),
        "networkclassifier__hidden": [(), (5,)],
        "networkclassifier__optimizer": ["adam", "momentum"],
    }
    search = GridSearchCV(model, grid, n_jobs=2, cv=2).fit(*iris)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_score_ > 0.8
    assert search.predict(iris[0]).shape == iris[1].shape


def test_a_clone_is_unfitted_and_trains_the_same(iris):
    fitted = NetworkClassifier(hidden=[7], l2=0.1, epochs=3).fit(*iris)
    again = clone(fitted)
    with pytest.raises(NotFittedError):
        again.predict(iris[0])
    assert apart(again.fit(*iris), fitted) == 0
    assert apart(copy.deepcopy(fitted), fitted) == 0


def test_random_state_is_meant_as_in_scikit_learn(iris):
    def fit(random_state):
        return NetworkClassifier(epochs=1, random_state=random_state).fit(*iris)

    assert apart(fit(3), fit(np.int64(3))) == 0
    assert apart(fit(3), fit(4)) > 0.01
    assert apart(fit(None), fit(None)) > 0.01
    one, other = np.random.RandomState(7), np.random.RandomState(7)
    assert apart(fit(one), fit(other)) == 0
    assert apart(fit(one), fit(other)) == 0
    assert apart(fit(one), fit(np.random.RandomState(7))) > 0.01  # the instance has gone on


@pytest.mark.parametrize("random_state", [0, None])
def test_no_global_generator_is_drawn_from(iris, random_state):
    before = pickle.dumps(np.random.get_state())
    NetworkClassifier(epochs=1, dropout=0.1, random_state=random_state).fit(*iris).predict(iris[0])
    assert pickle.dumps(np.random.get_state()) == before


def test_a_batch_larger_than_the_rows_is_all_rows(iris):
    large, full = (NetworkClassifier(batch_size=size, epochs=2).fit(*iris) for size in (1000, "full"))
    assert large.config_.batch_size == 150
    assert apart(large, full) == 0


# --- pickles -----------------------------------------------------------------------------------------------------


def test_a_pickle_holds_weights_and_configuration_and_nothing_of_the_framework(iris):
    seen = set()

    class Watched(pickle.Unpickler):
        def find_class(self, module, name):
            seen.add(module.partition(".")[0])
            return super().find_class(module, name)

    data = pickle.dumps(NetworkClassifier("torch", epochs=2).fit(*iris))
    Watched(io.BytesIO(data)).load()
    assert seen == {"harness", "numpy"}
    assert len(data) < 10_000


def test_a_pickle_needs_no_framework_until_it_predicts(iris, tmp_path):
    fitted = NetworkClassifier("torch", epochs=2).fit(*iris)
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(fitted))
    np.savez(tmp_path / "data.npz", X=iris[0], p=fitted.predict_proba(iris[0]))
    code = """
        import pickle, sys
        import numpy as np
        with open("model.pickle", "rb") as file:
            model = pickle.load(file)
        data = np.load("data.npz")
        assert "torch" not in sys.modules
        elsewhere = model.set_params(backend="numpy").predict_proba(data["X"])
        assert "torch" not in sys.modules
        here = model.set_params(backend="torch").predict_proba(data["X"])
        assert "torch" in sys.modules
        assert (here == data["p"]).all()
        assert np.abs(elsewhere - here).max() < 1e-14
    """
    code = "\n".join(line[8:] for line in code.splitlines())
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# --- what a process has after a fit ------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", NAMES)
def test_a_fit_leaves_every_global_setting_as_it_was(backend):
    environment = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    command = [sys.executable, "-m", "tests.global_settings", backend]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *changed, last = done.stdout.splitlines()
    assert changed == []
    assert int(last.split()[0]) > 15  # settings looked at


# --- errors ------------------------------------------------------------------------------------------------------


@pytest.fixture
def other_backends(monkeypatch):
    extra = (
        Backend("absent", "absent:Trainer", ("no_such_framework",), "pip install no-such-framework"),
        Backend("theirs", "backends.numpy.trainer:NumpyTrainer"),
        Backend("broken", "no_such_module:Trainer"),
    )
    monkeypatch.setattr(registry, "BUILT_IN", registry.BUILT_IN + extra)
    registry.backends.cache_clear()
    yield
    registry.backends.cache_clear()


def test_a_backend_of_another_package_is_as_good_as_ours(iris, other_backends):
    assert apart(NetworkClassifier("theirs").fit(*iris), NetworkClassifier("numpy").fit(*iris)) == 0


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"backend": "tortch"}, "unknown backend 'tortch': did you mean 'torch'?"),
        ({"backend": "lecture-2023"}, "unknown backend 'lecture-2023'"),
        (
            {"backend": "absent"},
            "backend 'absent': no_such_framework not installed; run: pip install no-such-framework",
        ),
        ({"backend": "broken"}, "backend 'broken': no_such_module not installed"),
        (
            {"backend": "sklearn", "dropout": 0.5},
            "backend 'sklearn' cannot train this network: MLPClassifier has no dropout",
        ),
        ({"optimizer": "adm"}, "unknown optimizer 'adm': did you mean 'adam'?"),
        ({"optimizer": "perceptron"}, "unknown optimizer 'perceptron'"),
        ({"activation": "tan"}, "network.activation = 'tan': unknown activation 'tan': did you mean 'tanh'?"),
        ({"learning_rate": -1}, "training.learning_rate = -1: must be greater than 0"),
        ({"learning_rate": [0.1, 0.2]}, "training.learning_rate"),
        ({"hidden": 50}, "network.hidden = 50: must be a list"),
        ({"hidden": (5, 5), "activation": ("relu",)}, "1 names for 2 hidden layers"),
        ({"epochs": 0}, "training.epochs = 0: must be at least 1"),
        ({"random_state": -1}, "run.seed = -1"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_a_wrong_setting_is_one_line(iris, other_backends, settings, told):
    with pytest.raises(RequestError) as caught:
        NetworkClassifier(**settings).fit(*iris)
    assert str(caught.value).startswith("NetworkClassifier: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_class_is_too_few(iris):
    with pytest.raises(RequestError, match=r"y has 1 class, .*; at least 2 are needed"):
        NetworkClassifier().fit(iris[0], np.zeros(len(iris[0]), int))


def test_a_training_that_diverges_is_an_error_and_a_search_goes_on(iris):
    X, y = load_diabetes(return_X_y=True)
    model = NetworkRegressor(hidden=(), optimizer="sgd", learning_rate=10.0)
    with pytest.raises(RequestError, match=r"the training diverged: .* lower learning_rate, now 10\.0, or scale the"):
        model.fit(X, y)
    with pytest.warns(FitFailedWarning):
        search = GridSearchCV(model, {"learning_rate": [10.0, 1e-3]}, cv=2).fit(X, y)
    assert np.isnan(search.cv_results_["mean_test_score"][0])
    assert search.best_params_ == {"learning_rate": 1e-3}


def test_a_fit_that_fails_leaves_filters_and_variables_alone(iris):
    before = list(warnings.filters)
    with pytest.raises(RequestError):
        NetworkClassifier("sklearn", dropout=0.5).fit(*iris)
    assert warnings.filters == before


def test_cross_validation_scores_a_regression():
    X, y = load_diabetes(return_X_y=True)
    scores = cross_val_score(make_pipeline(StandardScaler(), NetworkRegressor(l2=0.01)), X, scale(y), cv=3)
    assert scores.mean() > 0.3
