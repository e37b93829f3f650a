"""The long form of a network, which is the short form where that can say it; and other people's layers."""

import importlib.metadata
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV

import harness
from harness.calls.stored import config_of
from harness.checks.layers import of_layer, with_layers
from harness.checks.problem import CheckFailed, problem, start_of
from harness.estimators import NetworkClassifier
from harness.experiment.datasets import load_datasets
from harness.experiment.file import parse
from harness.experiment.layers import network_of, read_layers
from harness.network import ELU, BatchNorm, Dense, Dropout, LeakyReLU, Tanh, installed
from harness.network.written import layer_of, text_of
from harness.planning.plan import plan
from harness.reference.layers import forward, passes
from harness.reference.trainer import Reference
from harness.storage.results import Results
from harness.storage.store import Store
from harness.support.errors import RequestError
from harness.training.parity import deviation, reverse_inputs
from tests.test_new_backend import Environment

ROOT = Path(__file__).resolve().parent.parent
MAXOUT = ROOT / "tests/third_party/maxout_layer"


def table(network, modes=("controlled",), **training):
    return {
        "name": "mine",
        "data": {"name": "iris", "scale": "standard"},
        "network": network,
        "training": {"learning_rate": 0.1, "batch_size": 20, "epochs": 2, **training},
        "run": {"backends": ["numpy", "torch"], "modes": list(modes)},
    }


def trials(network, **options):
    experiment = parse(table(network, **options))
    return plan(experiment, load_datasets(experiment))


def refused(network, **options):
    with pytest.raises(RequestError) as error:
        trials(network, **options)
    return str(error.value)


SAME = {
    "no hidden layer": ({"hidden": []}, {"layers": []}),
    "dense": (
        {"hidden": [8, 5], "activation": ["relu", "tanh"]},
        {"layers": [{"dense": 8}, "relu", {"dense": 5}, "tanh"]},
    ),
    "a default that is written": (
        {"hidden": [8], "activation": "elu"},
        {"layers": [{"dense": 8, "use_bias": True}, "elu"]},
    ),
    "a constant": ({"hidden": [8], "activation": "elu", "elu_alpha": 0.5}, {"layers": [{"dense": 8}, {"elu": 0.5}]}),
    "texts": (
        {"hidden": [8], "activation": "elu", "elu_alpha": 0.5},
        {"layers": ["dense(8)", "elu(alpha=0.5)"]},
    ),
    "everything": (
        {
            "hidden": [8, 5],
            "activation": "leaky_relu",
            "leaky_slope": 0.2,
            "dropout": [0.3, 0.2],
            "input_dropout": 0.1,
            "batch_norm": True,
            "batch_norm_epsilon": 1e-3,
        },
        {
            "layers": [
                {"dropout": 0.1},
                {"dense": 8, "use_bias": False},
                {"batch_norm": 0.9, "epsilon": 1e-3},
                {"leaky_relu": 0.2},
                {"dropout": 0.3},
                {"dense": 5, "use_bias": False},
                {"batch_norm": 0.9, "epsilon": 1e-3},
                {"leaky_relu": 0.2},
                {"dropout": 0.2},
            ]
        },
    ),
}


@pytest.mark.parametrize("mode", ["controlled", "native"])
@pytest.mark.parametrize("name", SAME)
def test_two_ways_to_write_one_network_have_one_id(name, mode):
    short, long = (trials(network, modes=[mode]) for network in SAME[name])
    assert [trial.id for trial in long] == [trial.id for trial in short]
    assert [trial.reference_id for trial in long] == [trial.reference_id for trial in short]
    if "batch_norm" not in str(SAME[name]):  # whose constants the long form has to write both
        assert [trial.config for trial in long] == [trial.config for trial in short]


def test_what_differs_has_another_id():
    networks = [
        [{"dense": 8}, "relu"],
        [{"dense": 8, "use_bias": False}, "relu"],
        [{"dense": 8}],
        [{"dense": 8}, "relu", "relu"],
        ["relu", {"dense": 8}],
        [{"dense": 8}, {"elu": 0.5}, {"dense": 8}, {"elu": 0.6}],
        [{"dense": 8}, {"elu": 0.5}, {"dense": 8}, {"elu": 0.5}],
        [{"dense": 8}, {"batch_norm": 0.9}, "relu"],
        [{"dense": 8}, {"batch_norm": 0.9, "epsilon": 1e-3}, "relu"],
    ]
    found = [trial.id for network in networks for trial in trials({"layers": network})]
    assert len(set(found)) == len(found) == 2 * len(networks)


WRONG = {
    "no layer": ([{"dens": 8}], "layer 1: unknown layer 'dens': did you mean 'dense'?"),
    "no list": ("dense", "must be a list of layers"),
    "a number": ([{"dense": 8}, 3], "3 is no layer"),
    "nothing": ([{}], "no layer"),
    "no units": (["dense"], "layer 1: dense needs its units: {dense = …}"),
    "units of 0": ([{"dense": 0}], "layer 1: dense: units = 0: must be at least 1"),
    "half a unit": ([{"dense": 2.5}], "units = 2.5: must be a whole number"),
    "another key": ([{"dense": 8, "bias": False}], "layer 1: unknown key of dense 'bias'"),
    "no flag": ([{"dense": 8, "use_bias": 1}], "use_bias = 1: must be true or false"),
    "a number too much": ([{"dense": 8}, {"relu": 1}], "layer 2: relu has no number; write 'relu'"),
    "out of range": ([{"dropout": 1.0}], "layer 1: dropout: rate = 1.0: must be less than 1"),
    "epsilon": ([{"batch_norm": 0.9, "epsilon": 0}], "epsilon = 0: must be greater than 0"),
    "not finite": ([{"elu": float("nan")}], "must be a finite number"),
    "an output": ([{"dense": 8}, "softmax"], "layer 2: unknown layer 'softmax'"),
    "twice": ([{"dense": 3, "units": 4}], "layer 1: dense: units is given twice"),
    "two numbers": (["dense(3, 4)"], "layer 1: dense: units is given twice"),
    "brackets": (["dense(8"], "'dense(8' is no layer"),
    "a text for a number": (["dense(x)"], "units = 'x': must be a whole number"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_layer_is_one_line(name):
    layers, told = WRONG[name]
    said = refused({"layers": layers})
    assert told in said
    assert said.startswith("experiment: network.layers")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("network", "told"),
    [
        ({"layers": [], "hidden": [3]}, "network.hidden: stands beside layers"),
        ({"layers": [], "activation": "relu"}, "network.activation: stands beside layers"),
        ({"layers": [], "batch_norm": False}, "network.batch_norm: stands beside layers"),
        ({"layers": [{"dense": 3}, "elu"], "elu_alpha": 0.5}, "network.elu_alpha has no effect"),
        ({}, "network.hidden is required (there, or as an axis under [sweep]), or network.layers"),
    ],
)
def test_the_long_form_stands_alone(network, told):
    assert told in refused(network)


def test_what_cannot_train_a_list_of_layers_says_so():
    assert "perceptron rule trains one layer" in refused({"layers": [{"dense": 3}]}, optimizer="perceptron")
    legacy = {
        **table({"layers": [], "init": "normal(1.0)"}, batches="independent"),
        "run": {"draws": "numpy-legacy-2023"},
    }
    with pytest.raises(RequestError, match=r"network\.layers: write hidden and activation in its place"):
        parse(legacy)


LAYERS = st.one_of(
    st.builds(Dense, st.integers(1, 9), st.booleans()),
    st.builds(Dropout, st.floats(0, 0.9)),
    st.builds(BatchNorm, st.floats(0, 0.99), st.floats(1e-9, 1)),
    st.builds(ELU, st.floats(1e-3, 9)),
    st.builds(LeakyReLU, st.floats(0, 9)),
    st.just(Tanh()),
)


@given(LAYERS)
def test_a_layer_is_read_as_it_is_written(layer):
    text = text_of(layer)
    (read,), _ = network_of(read_layers([text]))
    assert text_of(read) == text == read_layers([text])[0]
    assert layer_of(text, installed.layers()) == read
    assert all(np.isclose(getattr(read, c.field), getattr(layer, c.field), rtol=1e-11) for c in layer.constants())


@given(st.lists(LAYERS, max_size=6))
def test_settings_of_a_stored_trial_are_its_network(layers):
    config = with_layers(layers)
    from harness.draws.recipe import Recipe
    from harness.planning.identity import settings_of

    settings = json.loads(json.dumps(settings_of(config, Recipe(), None, "controlled")))
    back = config_of(settings, native=False)
    assert [text_of(layer) for layer in back.network.layers] == [text_of(layer) for layer in config.network.layers]
    assert back.network.input_shape == config.network.input_shape


@given(st.lists(LAYERS, max_size=6))
def test_the_order_of_the_inputs_is_turned_in_every_layer_that_sees_it(layers):
    config = with_layers(layers)
    X, _ = problem(config)
    start = start_of(config)
    turned = reverse_inputs(config.network, start)
    masks = [np.ones((len(X), *shape), bool) for _, _, shape in config.network.drawn()]
    with np.errstate(all="ignore"):
        for drawn in (None, masks):
            forwards = forward(passes(config.network, start), X, drawn)[-1]
            backwards = forward(passes(config.network, turned), X[:, ::-1], drawn)[-1]
            np.testing.assert_allclose(backwards, forwards, rtol=1e-6, atol=1e-6)
    assert deviation(reverse_inputs(config.network, turned), start) == 0


def test_both_forms_draw_the_same_start_and_masks():
    short, long = (trials(network)[0] for network in SAME["everything"])
    assert deviation(long.start(), short.start()) == 0
    for ours, theirs in zip(long.batches(100)[0].masks, short.batches(100)[0].masks, strict=True):
        assert (ours == theirs).all()


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep over networks, one of which both forms can write."""
    store = f"sqlite:///{tmp_path_factory.mktemp('swept') / 'store.db'}"
    networks = [
        [{"dense": 6}, "tanh"],
        [{"dense": 6, "use_bias": False}, {"batch_norm": 0.8, "epsilon": 1e-4}, "tanh", "elu"],
    ]
    iris = load_iris()
    options = {"layers": networks, "learning_rate": [0.1, 0.2], "epochs": 2, "backends": ["numpy", "torch"]}
    options["scale"] = "standard"
    return harness.sweep(iris.data, iris.target, store=store, progress=False, **options)


def test_networks_are_an_axis(swept):
    frame = swept.frame()
    assert set(frame["verdict"]) == {"agrees"}
    assert swept.axes["layers"] == [
        ["dense(6)", "tanh"],
        ["dense(6, use_bias=false)", "batch_norm(0.8, epsilon=0.0001)", "tanh", "elu"],
    ]
    assert {tuple(value) for value in frame["layers"]} == {tuple(value) for value in swept.axes["layers"]}
    assert frame["hidden"].notna().sum() == frame["activation"].notna().sum() == 4  # of what they can write
    exported = swept.export()
    assert [json.loads(value)[0] for value in exported["layers"].dropna()] == ["input(4)"] * 4
    assert swept.heatmap() is not None


def test_a_stored_list_of_layers_is_read_again(swept):
    for row in Store(swept.store_url).rows(swept.name):
        assert config_of(row["settings"], native=False).network.n_outputs == 3
    assert len(Results(Store(swept.store_url), swept.name).frame()) == 8


def test_a_cell_is_asked_for_by_its_layers(tmp_path, capfd):
    from harness.cli import invoke

    file = tmp_path / "mine.toml"
    file.write_text(
        'name = "mine"\n[data]\nname = "iris"\n[training]\nlearning_rate = 0.1\nbatch_size = 20\nepochs = 1\n'
        '[sweep]\nlayers = [[{dense = 3}, "tanh"], [{dense = 3}, {batch_norm = 0.9, epsilon = 0.001}, "tanh"]]\n'
    )
    cell = "layers=[dense(3), batch_norm(0.9, epsilon=0.001), tanh]"
    assert invoke(["dump", str(file), "--backend", "numpy", "--cell", cell, "-o", str(tmp_path / "d.npz")]) == 0
    assert "1/gamma" in "".join(np.load(tmp_path / "d.npz").files)
    assert invoke(["conventions", str(file), "--cell", cell]) == 2
    assert invoke(["trace", str(file), "keras", "torch", "--cell", cell]) == 2
    told = capfd.readouterr().err
    assert "hidden and activation can write" in told
    assert "without a list of layers" in told


def test_an_estimator_takes_layers_in_place_of_hidden():
    X, y = load_iris(return_X_y=True)
    layers = [{"dense": 6}, "tanh", {"dense": 4}, {"elu": 0.5}]
    model = NetworkClassifier("numpy", layers=layers, hidden=(99,), activation=("relu",), epochs=2)
    assert clone(model).get_params()["layers"] == layers
    fitted = clone(model).fit(X, y)
    assert [W.shape for W in fitted.coefs_] == [(4, 6), (6, 4), (4, 3)]
    short = NetworkClassifier("numpy", hidden=(6, 4), activation=("tanh", "elu"), elu_alpha=0.5, epochs=2).fit(X, y)
    assert deviation(fitted.weights_, short.weights_) == 0
    search = GridSearchCV(model, {"layers": [None, layers], "hidden": [(3,)], "activation": ["relu"]}, cv=2).fit(X, y)
    assert search.cv_results_["rank_test_score"].min() == 1


# -- other people's layers


@pytest.fixture
def points(monkeypatch):
    """Entry points of `harness.layers`, by the names and values that a test says."""

    def use(**values):
        real = importlib.metadata.entry_points
        made = [importlib.metadata.EntryPoint(name, value, installed.ENTRY_POINTS) for name, value in values.items()]
        monkeypatch.setattr(
            importlib.metadata,
            "entry_points",
            lambda **given: made if given == {"group": installed.ENTRY_POINTS} else real(**given),
        )
        installed._found.cache_clear()

    monkeypatch.syspath_prepend(str(MAXOUT))
    yield use
    monkeypatch.undo()
    installed._found.cache_clear()
    for name in [name for name in sys.modules if name.startswith("maxout_")]:
        del sys.modules[name]


def test_a_layer_that_cannot_be_used_costs_one_line(points, tmp_path, monkeypatch):
    (tmp_path / "theirs.py").write_text(
        "from dataclasses import dataclass\nfrom harness.network import Layer\n"
        "class Plain: pass\n"
        "@dataclass(frozen=True, slots=True)\nclass Named(Layer):\n    name = 'other'\n"
        "@dataclass(frozen=True, slots=True)\nclass Bare(Layer):\n    name = 'bare'\n"
    )
    (tmp_path / "raises.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(str(tmp_path))
    points(
        plain="theirs:Plain",
        named="theirs:Named",
        bare="theirs:Bare",
        gone="theirs:Gone",
        raises="raises:Layer",
        nowhere="no_such_module:Layer",
        relu="theirs:Bare",
        maxout="maxout_layer:Maxout",
    )
    for name, told in (
        ("plain", "must be a frozen dataclass that is a subclass of harness.network.Layer"),
        ("named", "its name is 'other', and that of its entry point 'named'"),
        ("bare", "has no part for the reference"),
        ("gone", "has no attribute 'Gone'"),
        ("raises", "SystemExit"),
        ("nowhere", "No module named 'no_such_module'"),
    ):
        said = refused({"layers": [name]})
        assert f"layer 1: {name}: of the package " in said
        assert told in said
    assert trials({"layers": [{"maxout": 3, "pieces": 4}, "relu"]})
    assert "layer 1: unknown key of maxout 'piece': did you mean 'pieces'" in refused(
        {"layers": [{"maxout": 3, "piece": 4}]}
    )


def test_a_wrong_reference_of_a_layer_is_found(points, monkeypatch):
    points(maxout="maxout_layer:Maxout")
    import maxout_reference
    from maxout_layer import Maxout

    check = of_layer(Maxout)
    assert check(Reference)
    everywhere = lambda self, delta: (delta[..., None] * np.ones_like(self.largest)).reshape(*delta.shape[:-1], -1)  # noqa: E731
    for name, value, told in (
        ("_spread", everywhere, "central differences give"),
        ("back", lambda self, delta: 2 * self._spread(delta) @ self.owned["W"].T, "central differences give"),
        ("forward", lambda self, a, training: (a @ self.owned["W"])[..., :3], "it says"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(maxout_reference.MaxoutPass, name, value)
            with pytest.raises(CheckFailed, match=told):
                check(Reference)


def test_a_package_adds_a_layer_and_its_checks(tmp_path):
    environment = Environment(tmp_path)
    shutil.copytree(MAXOUT, tmp_path / "maxout_layer", ignore=shutil.ignore_patterns("__pycache__"))
    environment.type("pip install ./maxout_layer")
    for backend in ("numpy", "torch"):
        told = environment.type(f"harness check {backend} --only layer_maxout")
        assert re.search(r"^passed +layer_maxout ", told, flags=re.MULTILINE), told
    told = environment.type("harness check sklearn --only layer_maxout")
    assert "unsupported" in told
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\n[data]\nname = "iris"\n[network]\nlayers = [{maxout = 5, pieces = 3}, {maxout = 4}, "tanh"]\n'
        "[training]\nlearning_rate = 0.05\nbatch_size = 20\nepochs = 3\nl2 = 0.01\n"
        '[run]\nbackends = ["numpy", "torch", "torch-manual"]\n'
    )
    told = environment.type("harness run mine.toml --store mine.db")
    assert "numpy and torch agree in the one cell" in told
    assert "torch-manual is unsupported: torch-manual has no maxout" in told
    broken = (MAXOUT / "maxout_numpy.py").read_text().replace("spread.sum(axis=2", "2 * spread.sum(axis=2")
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong/maxout_numpy.py").write_text(broken)
    wrong = {"PYTHONPATH": str(tmp_path / "wrong")}
    told = environment.type("harness check numpy --only layer_maxout", code=1, env=wrong)
    assert re.search(r"^failed +layer_maxout ", told, flags=re.MULTILINE)
