"""Native mode: each framework in its own way, and yet each number that the experiment gives has its effect."""

import re

import numpy as np
import pytest

from experiments.datasets import DATASETS
from harness.contract import Config, vary
from harness.data.prepared import Dataset, prepare
from harness.draws.generators import native_seed
from harness.draws.splits import draw_split
from harness.registry import BUILT_IN, load_trainer, native_backends
from harness.training.metrics import quick
from harness.training.parity import deviation

# torch-manual has no native mode: PyTorch's own way is that of the backend torch
BACKENDS = [backend for backend in BUILT_IN if backend.name in native_backends() and backend.missing() is None]

# A learning rate at which each backend's own SGD learns the digits in ten epochs: their conventions differ that much.
LEARNING_RATE = {"numpy": 0.01, "sklearn": 0.1, "tensorflow": 1.0, "keras": 1.0, "torch": 1.0}

DTYPE = {"numpy": "float64", "sklearn": "float64", "tensorflow": "float32", "keras": "float32", "torch": "float32"}


def prepared(name, task, scale, target_scale="none", change=lambda y: y):
    X, y, names = DATASETS[name].load()
    dataset = Dataset(name, X, change(y), names[:3] if task == "multilabel" else names, task)
    rows = draw_split(len(y), 0.2, 0.0, 0, 0, labels=dataset.labels)
    return prepare(dataset, rows, task, scale, target_scale, "float64")


@pytest.fixture(scope="module")
def digits():
    return prepared("digits", "multiclass", 16)


def config(backend, **changes):
    base = Config.of(
        n_inputs=64,
        n_outputs=10,
        hidden=(30,),
        activation=("sigmoid",),
        optimizer="sgd",
        learning_rate=LEARNING_RATE[backend.name],
        batch_size=50,
        epochs=10,
    )
    return vary(base, **changes)


def fit(backend, digits, seed=3, **changes):
    trainer = load_trainer(backend.trainer)(config(backend, **changes), None)
    told = trainer.fit_native(digits.train.X, digits.train.y, seed)
    return trainer, told


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.name)
def backend(request):
    return request.param


def test_it_learns_and_its_logged_loss_falls(backend, digits):
    trainer, told = fit(backend, digits)
    assert quick(config(backend), trainer.logits(digits.test.X), digits.test.y)["accuracy"] > 0.85
    if "loss" in told.curves:
        assert told.curves["loss"][-1] < 0.5 * told.curves["loss"][0]


@pytest.mark.parametrize(
    "change", [{"learning_rate": 0.005}, {"l2": 0.05}, {"batch_size": 40}, {"epochs": 1}, {"hidden": (20,)}], ids=str
)
def test_every_number_has_its_effect(backend, digits, change):
    before, _ = fit(backend, digits, epochs=2)
    after, _ = fit(backend, digits, **{"epochs": 2, **change})
    if "hidden" in change:
        assert after.weights()[0]["W"].shape == (64, 20)
    else:
        assert deviation(before.weights(), after.weights()) > 1e-6


def test_l2_draws_the_weights_towards_zero(backend, digits):
    def size(l2):
        return sum(np.sum(layer["W"] ** 2) for layer in fit(backend, digits, l2=l2)[0].weights())

    # scikit-learn divides alpha by the rows of the batch; the lecture class takes small steps from large weights
    l2 = {"sklearn": 0.5, "numpy": 0.1}.get(backend.name, 0.01)
    assert size(l2) < 0.9 * size(0.0)


def test_another_seed_gives_another_training(backend, digits):
    first, again, other = (fit(backend, digits, seed, epochs=1)[0].weights() for seed in (1, 1, 2))
    assert deviation(first, again) == 0
    assert deviation(first, other) > 0


def test_every_repeat_has_a_seed_of_its_own():
    assert len({native_seed(0, repeat) for repeat in range(100)}) == 100


@pytest.mark.parametrize(
    ("optimizer", "constant", "value"), [("adam", "epsilon", 0.5), ("adam", "beta_1", 0.5), ("adam", "beta_2", 0.5)]
)
def test_a_constant_is_handed_over_where_it_is_written_and_only_there(backend, digits, optimizer, constant, value):
    common = {"optimizer": optimizer, "learning_rate": 0.01, "epochs": 1}
    default, _ = fit(backend, digits, **common)
    unwritten, _ = fit(backend, digits, **common, **{constant: value})
    written, _ = fit(backend, digits, **common, **{constant: value}, written=frozenset({constant}))
    assert deviation(default.weights(), unwritten.weights()) == 0
    assert deviation(default.weights(), written.weights()) > 1e-4


@pytest.mark.parametrize("optimizer", ["momentum", "nesterov"])
def test_momentum_does_something(backend, digits, optimizer):
    rate = LEARNING_RATE[backend.name] / 10
    plain, _ = fit(backend, digits, learning_rate=rate, epochs=2)
    heavy, _ = fit(backend, digits, learning_rate=rate, epochs=2, optimizer=optimizer)
    if (backend.name, optimizer) == ("sklearn", "nesterov"):
        assert deviation(plain.weights(), heavy.weights()) == 0  # its SGD has Nesterov's momentum by default
    else:
        assert deviation(plain.weights(), heavy.weights()) > 1e-3


def test_the_dtype_is_the_framework_s_own_unless_it_is_written(backend, digits):
    own, _ = fit(backend, digits, epochs=1)
    assert str(own.weights()[0]["W"].dtype) == DTYPE[backend.name]
    for dtype in ("float32", "float64"):
        written, _ = fit(backend, digits, epochs=1, dtype=dtype, written=frozenset({"dtype"}))
        if backend.name != "sklearn":  # there the data's dtype decides, and the harness hands it over
            assert str(written.weights()[0]["W"].dtype) == dtype


# task -> dataset, how it is prepared, what the network is told, the score that it has to reach
TASKS = {
    "binary": (
        prepared("breast-cancer", "binary", "standard"),
        {"loss": "binary_cross_entropy", "output_activation": "sigmoid", "n_outputs": 1},
        0.9,
    ),
    "multilabel": (  # is the digit even, is it a large one, has it a hole
        prepared(
            "digits", "multilabel", 16, change=lambda y: np.stack([y % 2 == 0, y > 4, np.isin(y, [0, 6, 8, 9])], 1)
        ),
        {"loss": "binary_cross_entropy", "output_activation": "sigmoid", "n_outputs": 3},
        0.7,
    ),
    "regression": (
        prepared("franke", "regression", "standard", "standard"),
        {"loss": "mse", "output_activation": "identity", "n_outputs": 1},
        0.6,
    ),
}


@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_learned_by_each_framework_s_own_idiom(backend, task):
    data, told, expected = TASKS[task]
    changes = {"task": task, "n_inputs": data.train.X.shape[1], "optimizer": "adam", "learning_rate": 0.02}
    settings = config(backend, **{**changes, **told, "epochs": 30, "activation": ("tanh",)})
    trainer = load_trainer(backend.trainer)(settings, None)
    trainer.fit_native(data.train.X, data.train.y, 3)
    scores = quick(settings, trainer.logits(data.test.X), data.test.y)
    assert scores["r2" if task == "regression" else "accuracy"] > expected


# what a framework has no idiom of its own for, and may say so
WITHOUT = {
    "sklearn": {"mae", "huber", "adagrad", "adagrad_momentum", "rmsprop", "leaky_relu", "elu", "selu", "softplus"},
    "keras": {"adagrad_momentum"},
    "tensorflow": {"adagrad_momentum"},
    "torch": {"adagrad_momentum"},
    "numpy": set(),
}


@pytest.mark.parametrize(
    "name", ["mae", "huber", "adagrad", "adagrad_momentum", "rmsprop", "leaky_relu", "elu", "selu"]
)
def test_a_part_has_a_native_form_or_a_reason(backend, name):
    data, told, _ = TASKS["regression"]
    part = {"loss": name} if name in ("mae", "huber") else {"optimizer": name}
    part = {"activation": (name,)} if name in ("leaky_relu", "elu", "selu") else part
    settings = {"task": "regression", "n_inputs": 2, "epochs": 2, "learning_rate": 1e-4, **told, **part}
    trainer_class = load_trainer(backend.trainer)
    refused = trainer_class.refuses(config(backend, **settings), "native")
    if name in WITHOUT[backend.name]:
        assert re.search(rf"has no {name} of its own|has no \w+", refused)
    else:
        assert refused is None
        trainer = trainer_class(config(backend, **settings), None)
        trainer.fit_native(data.train.X, data.train.y, 3)
        assert np.isfinite(trainer.logits(data.test.X)).all()
