"""The profiles of course codes, each against the code itself, written out here as its authors have it."""

from dataclasses import replace

import numpy as np
import pytest

from backends.lecture import NeuralNetwork
from experiments.datasets import DATASETS
from harness.conventions import Row
from harness.draws import Recipe
from harness.errors import RequestError
from harness.experiment import load
from harness.member import drawn_member
from harness.native import native_row
from harness.parity import deviation
from harness.profiles import PROFILES, row_of
from harness.registry import profiles
from harness.replay import replay
from harness.trainer import Config

CONFIG = Config(
    n_inputs=64,
    n_outputs=10,
    hidden=(30,),
    activation=("leaky_relu",),
    optimizer="adam",
    learning_rate=0.01,
    batch_size=83,  # six batches, the last of 85 rows
    epochs=3,
    l2=1e-3,
)


@pytest.fixture(scope="module")
def digits():
    X, y, _ = DATASETS["digits"].load()
    return X[:500] / 16, y[:500]


def member_under(name, config, digits):
    return drawn_member(config, Recipe(), row_of(name, config, Recipe()), *digits, (0, 0))


def softmax(z):
    e = np.exp(z)
    return e / (e.sum(axis=1, keepdims=True) + 1e-9)


def course_2024(member, adaptive):
    """The training loop of 2024: `adaptive` is one of its schedulers, made anew for every tensor."""
    config = member.config
    tensors = [layer[key].copy() for layer in member.start for key in ("W", "b")]
    schedulers = [adaptive(config.learning_rate) for _ in tensors]
    rows = np.concatenate(member.batches[0].batches())  # one bootstrap, then always its order
    X, t = member.X[rows], np.eye(10)[member.y[rows]]
    batches = 6
    size = len(X) // batches
    for _ in range(config.epochs):
        for i in range(batches):
            part = slice(i * size, (i + 1) * size) if i < batches - 1 else slice(i * size, None)
            x, target = X[part], t[part]
            W1, b1, W2, b2 = tensors
            z = x @ W1 + b1
            a = np.where(z > 0, z, 1e-3 * z)
            delta = (softmax(a @ W2 + b2) - target) / len(x)
            back = delta @ W2.T * np.where(z > 0, 1, 1e-3)
            l2 = config.l2
            gradients = [x.T @ back + l2 * W1, back.sum(axis=0), a.T @ delta + l2 * W2, delta.sum(axis=0)]
            for w, g, scheduler in zip(tensors, gradients, schedulers, strict=True):
                w -= scheduler.change(g)
        for scheduler in schedulers:
            scheduler.reset()
    return ({"W": tensors[0], "b": tensors[1]}, {"W": tensors[2], "b": tensors[3]})


class CourseAdam:
    def __init__(self, eta):
        self.eta, self.moment, self.second, self.n_epochs = eta, 0, 0, 1

    def change(self, g):
        self.moment = 0.9 * self.moment + (1 - 0.9) * g
        self.second = 0.999 * self.second + (1 - 0.999) * g * g
        moment = self.moment / (1 - 0.9**self.n_epochs)
        second = self.second / (1 - 0.999**self.n_epochs)
        return self.eta * moment / np.sqrt(second + 1e-8)

    def reset(self):
        self.n_epochs += 1
        self.moment, self.second = 0, 0


class CourseRMSprop:
    def __init__(self, eta):
        self.eta, self.second = eta, 0.0

    def change(self, g):
        self.second = 0.9 * self.second + (1 - 0.9) * g * g
        return self.eta * g / np.sqrt(self.second + 1e-8)

    def reset(self):
        self.second = 0.0


class CourseAdagrad:
    def __init__(self, eta):
        self.eta, self.G = eta, None

    def change(self, g):
        rows = np.atleast_2d(g)  # a bias is one row
        if self.G is None:
            self.G = np.zeros((len(rows), len(rows)))
        self.G += rows @ rows.T
        inverse = 1 / (1e-8 + np.sqrt(np.diagonal(self.G))).reshape(-1, 1)
        return (self.eta * rows * inverse).reshape(g.shape)

    def reset(self):
        self.G = None


@pytest.mark.parametrize(
    ("optimizer", "code"), [("adam", CourseAdam), ("rmsprop", CourseRMSprop), ("adagrad", CourseAdagrad)]
)
def test_course_2024_is_its_own_training_loop(optimizer, code, digits):
    member = member_under("course-2024", replace(CONFIG, optimizer=optimizer), digits)
    assert deviation(replay([member])[0].weights, course_2024(member, code)) < 1e-12


class Replayed:
    """A generator that hands out what the replay was given: the start, then the rows of each step."""

    def __init__(self, member):
        self.starts = iter([layer["W"] for layer in member.start])
        self.rows = (rows for e in range(len(member.batches)) for rows in member.batches[e].batches())

    def standard_normal(self, shape):
        return next(self.starts).copy()

    def choice(self, n, size, replace):
        return next(self.rows)


def test_course_2018_numpy_is_the_lecture_class(digits, monkeypatch):
    member = member_under("course-2018-numpy", CONFIG, digits)
    monkeypatch.setattr(np.random, "default_rng", lambda seed: Replayed(member))
    network = NeuralNetwork(member.config, member.X, np.eye(10)[member.y], seed=0)
    network.train()
    trained = tuple({"W": W, "b": b} for W, b in zip(network.weights, network.biases, strict=True))
    assert deviation(replay([member])[0].weights, trained) < 1e-12


def test_course_2018_sklearn_is_the_default_of_mlpclassifier_with_50_logistic_units():
    adam = replace(CONFIG, activation=("sigmoid",))
    declared = replace(native_row("sklearn", adam), hidden=(50,), activation="sigmoid", batch_size="min(200, n)")
    assert row_of("course-2018-sklearn", replace(CONFIG, optimizer="sgd"), Recipe()) == declared


@pytest.mark.parametrize(
    ("name", "half", "hidden_only"), [("course-2018-tensorflow", 0.5, False), ("course-2018-keras", 1.0, True)]
)
def test_the_two_deep_codes_of_2018_penalise_what_they_say(name, half, hidden_only, digits):
    """One step of plain gradient descent on mean cross-entropy and the code's own penalty, by hand."""
    member = member_under(name, replace(CONFIG, epochs=1, batch_size=500, l2=0.1), digits)
    assert [layer["W"].shape[1] for layer in member.start] == [100, 50, 10]
    x, t = member.X[member.batches[0].batches()[0]], np.eye(10)[member.y[member.batches[0].batches()[0]]]
    a = [x]
    for k, layer in enumerate(member.start):
        z = a[-1] @ layer["W"] + layer["b"]
        a.append(1 / (1 + np.exp(-z)) if k < 2 else z)
    delta = (np.exp(a[3]) / np.exp(a[3]).sum(axis=1, keepdims=True) - t) / len(x)
    expected = []
    for k in (2, 1, 0):
        W, b = member.start[k]["W"], member.start[k]["b"]
        penalty = 0.0 if hidden_only and k == 2 else 0.1 * half * 2 * W
        expected.insert(0, {"W": W - 0.01 * (a[k].T @ delta + penalty), "b": b - 0.01 * delta.sum(axis=0)})
        delta = delta @ W.T * a[k] * (1 - a[k])
    assert deviation(replay([member])[0].weights, tuple(expected)) < 1e-6  # float32


def test_assignment_2019_skips_a_row_after_every_slice_and_divides_by_51(digits):
    member = member_under("assignment-2019", replace(CONFIG, optimizer="sgd", epochs=1), digits)
    W1, b1, W2, b2 = (layer[key].copy() for layer in member.start for key in ("W", "b"))
    X, t = member.X, np.eye(10)[member.y]
    for first in range(0, 500, 51):
        x, target = X[first : first + 50], t[first : first + 50]
        a = 1 / (1 + np.exp(-(x @ W1 + b1)))
        z = a @ W2 + b2
        delta = (np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) - target) / (len(x) + 1)
        back = delta @ W2.T * a * (1 - a)
        W2, b2, W1, b1 = (
            W2 - 0.01 * (a.T @ delta + 1e-3 * W2),
            b2 - 0.01 * delta.sum(axis=0),
            W1 - 0.01 * (x.T @ back + 1e-3 * W1),
            b1 - 0.01 * back.sum(axis=0),
        )
    assert deviation(replay([member])[0].weights, ({"W": W1, "b": b1}, {"W": W2, "b": b2})) < 1e-12


def test_a_profile_is_a_backend_in_native_mode_only():
    trainer = profiles()["course-2024"]
    assert trainer.missing() is None
    assert set(profiles()) == set(PROFILES)


def test_the_svm_s_auc_differs_in_how_it_is_taken_and_in_nothing_else():
    plain, svm = (row_of(name, CONFIG, Recipe()) for name in ("assignment-2019", "assignment-2019-svm"))
    assert svm == replace(plain, auc="labels", metric_rows="training")


def test_a_row_by_a_misspelt_name_is_one_line_with_the_nearest():
    with pytest.raises(RequestError, match="did you mean 'course-2024'"):
        row_of("course-2042", CONFIG, Recipe())
    assert row_of("controlled", CONFIG, Recipe()) == Row(optimizer="adam", momentum=0.9)


@pytest.mark.parametrize("name", ["notebook-2018", "course-2024", "assignment-2019"])
def test_the_suites_of_profiles_load(name):
    assert set(load(name).run.backends) & set(PROFILES)
