"""The profiles of course codes, each against the code itself, written out here as its authors have it."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import tomlkit

import harness
from experiments.datasets import DATASETS
from harness import registry
from harness.contract import Config, vary
from harness.conventions.table import CONVENTIONS, Row
from harness.data.prepared import Part, Prepared
from harness.draws.recipe import Recipe
from harness.experiment.file import load, parse
from harness.registry import PROFILES, native_row, profiles, row_of
from harness.replay.profile_trainer import profile_trainer
from harness.replay.stack import replay
from harness.replay.training import drawn_member
from harness.support.errors import RequestError
from harness.training.parity import deviation
from harness.training.trial import train_native
from tests.conftest import small_table
from tests.course_2024 import SCHEDULERS, course_2024

CONFIG = Config.of(
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


# ---------------------------------------------------------------- the course of 2024

TASKS = {
    "multiclass": {},
    "binary": {"task": "binary", "loss": "binary_cross_entropy", "output_activation": "sigmoid", "n_outputs": 1},
    "multilabel": {
        "task": "multilabel",
        "loss": "binary_cross_entropy",
        "output_activation": "sigmoid",
        "n_outputs": 3,
    },
    "regression": {"task": "regression", "loss": "mse", "output_activation": "identity", "n_outputs": 2},
}
TARGETS = {
    "multiclass": lambda y: y,
    "binary": lambda y: (y > 4).astype(float)[:, None],
    "multilabel": lambda y: np.stack([y % 2, y > 4, np.isin(y, [0, 6, 8, 9])], axis=1).astype(float),
    "regression": lambda y: np.stack([y / 10, np.sin(y)], axis=1),
}
RATE = {"sgd": 1e-4, "momentum": 3e-4, "adagrad": 0.03, "adagrad_momentum": 0.01, "rmsprop": 3e-3, "adam": 0.01}


def of_2024(optimizer, task, digits, **changes):
    """A member under the row of 2024, and how many batches of it are asked for."""
    X, y = digits
    settings = {"hidden": (30, 8), "activation": ("leaky_relu", "relu"), "learning_rate": RATE[optimizer]}
    config = vary(CONFIG, optimizer=optimizer, **{**settings, **TASKS[task], **changes})
    row = row_of("course-2024", config, Recipe())
    return drawn_member(config, Recipe(), row, X, TARGETS[task](y), (0, 0)), len(y) // config.batch_size


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("optimizer", SCHEDULERS)
def test_course_2024_is_its_own_training_loop(optimizer, task, digits):
    """Six schedulers, every task: the weights, and the cost that is logged after every epoch."""
    member, batches = of_2024(optimizer, task, digits)
    ended, replayed = course_2024(member, batches), replay([member])[0]
    assert deviation(replayed.weights, ended.weights) < 1e-12
    assert replayed.logged_loss == pytest.approx(ended.costs, rel=1e-12, abs=1e-15)
    assert deviation(ended.weights, tuple({"W": w["W"], "b": 0.01 * w["b"]} for w in member.start)) > 1e-3


@pytest.mark.parametrize("batch_size", [83, 100, 120, 249, 500])
def test_course_2024_is_asked_for_a_number_of_batches(batch_size, digits):
    """They are alike, and the last takes what is left; a batch size says how many there are."""
    member, batches = of_2024("sgd", "multiclass", digits, batch_size=batch_size)
    sizes = [len(rows) for rows in member.batches[0].batches()]
    assert sizes == [500 // batches] * (batches - 1) + [500 - 500 // batches * (batches - 1)]
    assert deviation(replay([member])[0].weights, course_2024(member, batches).weights) < 1e-12


# at this rate softmax and plain steps are lost after an epoch that is finite, all others at once
LATE = 1e-3


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("optimizer", SCHEDULERS)
def test_course_2024_diverges_when_its_own_loop_does(optimizer, task, digits):
    late = task == "multiclass" and optimizer in ("sgd", "momentum")
    rate = LATE if late else 1e200 if task == "multiclass" else 1e60
    member, batches = of_2024(optimizer, task, digits, learning_rate=rate, epochs=4)
    finite = course_2024(member, batches).finite
    members = [replace(member, batches=First(member.batches, epochs)) for epochs in range(1, 5)]
    assert [result.weights is not None for result in replay(members)] == finite
    assert finite[0] == late
    assert not finite[-1]


# what of its row shows in a training by which optimizer, and what it could be instead
MUTANTS = {
    "batch_size": ("given", "n"),
    "init": ("glorot_uniform", "normal(0.5)"),
    "bias": (0.0, "as_weights", "normal(1)"),
    "batches": ("permutation", "independent", "replacement", "in_order", "one_permutation"),
    "last_batch": ("keep", "drop", "drop stride"),
    "bias_unit": (1.0, 0.1),
    "leaky_slope": (0.01, 0.2),
    "epsilon": (1e-7, 1e-10),
    "initial_accumulator": (0.1,),
    "momentum": (0.0, 0.5),
    "rho": (0.99,),
    "beta_1": (0.5,),
    "beta_2": (0.99,),
    "momentum_form": ("outside", "dampened"),
}
ELSEWHERE = {"accuracy", "metric_rows", "auc", "stop"}  # which change no weights here: tests/test_declared.py
GIVEN = {"hidden", "activation", "epochs", "learning_rate", "n_batches", "optimizer", "nesterov"}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("optimizer", SCHEDULERS)
def test_another_value_of_any_line_of_course_2024_is_noticed(optimizer, task, digits):
    """Whatever convention is switched has an effect, and what comes out is no longer the course's own."""
    changes = {"batch_size": 130, "learning_rate": RATE[optimizer] * (100 if task != "multiclass" else 1)}
    changes |= {"l2": 0.01, "epochs": 2}
    member, batches = of_2024(optimizer, task, digits, **(changes if optimizer == "sgd" else {"batch_size": 130}))
    ended = course_2024(member, batches)
    given = vary(member.config, batch_size=130)
    for name, convention in CONVENTIONS.items():
        if name in ELSEWHERE | GIVEN or not convention.applies(member.config, member.row):
            continue
        own = getattr(member.row, name)
        for wrong in (value for value in MUTANTS.get(name, convention.values) if value not in (own, "number", "name")):
            row = replace(member.row, **{name: wrong})
            (other,) = replay([drawn_member(given, Recipe(), row, member.X, member.y, (0, 0))])
            off = deviation(other.weights, ended.weights)
            logged = np.max(np.abs(np.subtract(other.logged_loss, ended.costs)))
            assert not (off <= 1e-11 and logged <= 1e-11) or same(name, wrong, member), (name, wrong, off)


def same(name, value, member):
    """Where two values of a convention are one by their definitions."""
    config, softmax = member.config, member.config.task == "multiclass"
    return {
        "probabilities": not softmax and value != "logits",
        "outputs": config.network.n_outputs == 1,
        "l2_form": config.optimizer.name == "sgd" or value == "after clipping",  # nothing is clipped
        "momentum_form": value == "outside" or config.optimizer.name != "momentum",
        "epsilon_place": value == "hat" and config.optimizer.name != "adam",
    }.get(name, False)


class First:
    """The first of some epochs."""

    def __init__(self, batches, epochs):
        self.batches, self.epochs = batches, epochs

    def __len__(self):
        return self.epochs

    def __getitem__(self, epoch):
        return self.batches[epoch]


# ---------------------------------------------------------------- the other codes


def softmax(z):
    """As the texts of 2018, 2019 and 2023 have it: without a shift."""
    e = np.exp(z)
    return e / e.sum(axis=1, keepdims=True)


@np.errstate(all="ignore")
def lecture(member):
    """The classes of 2018 and 2023: sums over each batch, all gradients first."""
    W1, b1, W2, b2 = (layer[key].copy() for layer in member.start for key in ("W", "b"))
    eta, l2, t = member.config.optimizer.learning_rate, member.config.penalty.l2, np.eye(10)[member.y]
    for epoch in range(member.config.epochs):
        for rows in member.batches[epoch].batches():
            x = member.X[rows]
            a = 1 / (1 + np.exp(-(x @ W1 + b1)))
            delta = softmax(a @ W2 + b2) - t[rows]
            back = delta @ W2.T * a * (1 - a)
            W2, b2, W1, b1 = (
                W2 - eta * (a.T @ delta + l2 * W2),
                b2 - eta * delta.sum(axis=0),
                W1 - eta * (x.T @ back + l2 * W1),
                b1 - eta * back.sum(axis=0),
            )
    return ({"W": W1, "b": b1}, {"W": W2, "b": b2})


@pytest.mark.parametrize("name", ["course-2018-numpy", "course-2023-numpy"])
def test_the_classes_of_2018_and_2023_are_their_own_training_loop(name, digits):
    member = member_under(name, CONFIG, digits)
    assert [layer["W"].shape[1] for layer in member.start] == [50, 10]
    assert {len(rows) for rows in member.batches[0].batches()} == {83}
    assert len(member.batches[0].batches()) == 500 // 83
    assert deviation(replay([member])[0].weights, lecture(member)) < 1e-12


def test_without_its_shift_a_softmax_that_overflows_leaves_no_number(digits):
    """Logits of more than 709, where the same training with the shift goes on."""
    member = member_under("course-2018-numpy", vary(CONFIG, learning_rate=100.0), digits)
    assert not np.isfinite(lecture(member)[0]["W"]).any()
    shifted = replace(member, row=replace(member.row, probabilities="logits"))
    assert [result.weights is None for result in replay([member, shifted])] == [True, False]


@pytest.mark.parametrize(("rate", "status"), [(100.0, "diverged"), (0.01, "ok")])
def test_a_network_without_numbers_answers_with_the_first_class(rate, status, digits):
    """What the classes of 2018 and 2023 print of it: the share of class 0; of others an accuracy is not known."""
    X, y = digits
    parts = Prepared(*(Part(X[rows], y[rows], rows) for rows in (np.arange(300), np.arange(0), np.arange(300, 500))))
    config = vary(CONFIG, optimizer="sgd", activation=("sigmoid",), learning_rate=rate)
    outcome = train_native(profile_trainer("course-2018-numpy"), config, 0, parts)
    assert outcome.status == status
    if status == "diverged":
        assert outcome.metrics == {"train_accuracy": np.mean(y[:300] == 0), "test_accuracy": np.mean(y[300:] == 0)}
        lost = train_native(profile_trainer("assignment-2019"), config, 0, parts)
        assert lost.metrics == {} or lost.status == "ok"
    else:
        assert outcome.metrics["test_accuracy"] > 0.3
        assert "test_loss" in outcome.metrics


def test_the_class_of_2023_is_seeded_with_0_before_every_training(digits):
    """Whatever the harness's seed: the legacy generator's first numbers are its weights."""
    trainers = [profile_trainer("course-2023-numpy")(vary(CONFIG, learning_rate=0.0), None) for _ in range(2)]
    for seed, trainer in enumerate(trainers):
        trainer.fit_native(*digits, seed)
    first = np.random.RandomState(0).randn(64, 50)
    assert all(np.array_equal(trainer.weights()[0]["W"], first) for trainer in trainers)


def test_course_2018_sklearn_is_the_default_of_mlpclassifier_with_50_logistic_units():
    adam = vary(CONFIG, activation=("sigmoid",))
    declared = replace(native_row("sklearn", adam), hidden=(50,), activation="sigmoid", batch_size="min(200, n)")
    assert row_of("course-2018-sklearn", vary(CONFIG, optimizer="sgd"), Recipe()) == declared


@pytest.mark.parametrize(
    ("name", "half", "hidden_only"), [("course-2018-tensorflow", 0.5, False), ("course-2018-keras", 1.0, True)]
)
def test_the_two_deep_codes_of_2018_penalise_what_they_say(name, half, hidden_only, digits):
    """One step of plain gradient descent on mean cross-entropy and the code's own penalty, by hand."""
    member = member_under(name, vary(CONFIG, epochs=1, batch_size=500, l2=0.1), digits)
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


@pytest.mark.parametrize(("n", "slices"), [(500, 9), (101, 1), (102, 2), (60, 1)])
def test_assignment_2019_skips_a_row_after_every_slice_and_drops_the_last_part(n, slices, digits):
    """Also a whole slice that no row follows; the gradients are divided by 51, and nothing is penalised."""
    X, y = digits
    member = member_under("assignment-2019", vary(CONFIG, optimizer="sgd", l2=0.1), (X[:n], y[:n]))
    drawn = member.batches[0].batches()
    assert [rows.tolist() for rows in drawn] == [list(range(first, first + 50)) for first in range(0, 51 * slices, 51)]
    W1, b1, W2, b2 = (layer[key].copy() for layer in member.start for key in ("W", "b"))
    for _ in range(3):
        for first in range(0, 51 * slices, 51):
            x, t = X[first : first + 50], np.eye(10)[y[first : first + 50]]
            a = 1 / (1 + np.exp(-(x @ W1 + b1)))
            delta = (softmax(a @ W2 + b2) - t) / 51
            back = delta @ W2.T * a * (1 - a)
            W2, b2 = W2 - 0.01 * a.T @ delta, b2 - 0.01 * delta.sum(axis=0)
            W1, b1 = W1 - 0.01 * x.T @ back, b1 - 0.01 * back.sum(axis=0)
    assert deviation(replay([member])[0].weights, ({"W": W1, "b": b1}, {"W": W2, "b": b2})) < 1e-12


def test_assignment_2019_stays_at_its_start_where_there_is_no_slice(digits):
    X, y = digits
    member = member_under("assignment-2019", CONFIG, (X[:50], y[:50]))
    assert deviation(replay([member])[0].weights, member.start) == 0


def test_assignment_2019_knows_plain_descent_alone():
    """Whatever optimizer the experiment has: the code has no other."""
    assert row_of("assignment-2019", CONFIG, Recipe()).optimizer == "sgd"


def test_a_profile_in_mode_controlled_is_unsupported(tmp_path):
    table = {
        "name": "modes",
        "title": "Modes",
        "data": {"name": "iris", "test_fraction": 0.2},
        "network": {"hidden": [4], "activation": "sigmoid"},
        "training": {"batch_size": 20, "epochs": 2},
        "sweep": {"learning_rate": [0.01]},
        "run": {"backends": ["numpy", "course-2018-numpy"], "modes": ["controlled", "native"]},
    }
    rows = harness.run(parse(table), store=f"sqlite:///{tmp_path}/s.db", progress=False).frame()
    told = {(row.backend, row.mode): (row.status, row.reason) for row in rows.itertuples()}
    assert told["course-2018-numpy", "controlled"][0] == "unsupported"
    assert "has native mode only" in told["course-2018-numpy", "controlled"][1]
    assert {told["numpy", mode][0] for mode in ("controlled", "native")} == {"ok"}
    assert told["course-2018-numpy", "native"][0] == "ok"


def test_what_a_code_has_no_form_of_is_unsupported_by_its_profile():
    regression = vary(CONFIG, **TASKS["regression"])
    assert profile_trainer("course-2024").refuses(regression) is None
    assert "classes only" in profile_trainer("course-2018-numpy").refuses(regression)
    assert "has no 'nesterov'" in profile_trainer("course-2024").refuses(vary(CONFIG, optimizer="nesterov"))


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


@pytest.mark.parametrize("name", ["notebook-2018", "course-2024", "assignment-2019", "published-digits-2023"])
def test_the_suites_of_profiles_load(name):
    assert set(load(name).run.backends) & set(PROFILES)


# -- profiles of a user's own


def of_own(**changes):
    table = {
        "title": "lecture of 2025",
        "like": "numpy",
        "init": "normal(0.5)",
        "when": [{"optimizer": "adam", "epsilon_place": "inside"}],
        **changes,
    }
    return {key: value for key, value in table.items() if value is not None}


@pytest.fixture
def forgotten():
    yield
    registry._OWN.clear()
    registry._TABLES.clear()
    os.environ.pop(registry._OWN_TABLES, None)


def brings_along(**tables):
    return parse({**small_table(), "run": {"backends": ["numpy"], "modes": ["native"]}, "profile": tables})


def test_a_table_is_a_profile(forgotten):
    brings_along(mine=of_own())
    sgd = vary(CONFIG, optimizer="sgd")
    assert registry.row_of("mine", sgd, Recipe()) == replace(registry.native_row("numpy", sgd), init="normal(0.5)")
    adam = vary(CONFIG, optimizer="adam")
    expected = replace(registry.native_row("numpy", adam), init="normal(0.5)", epsilon_place="inside")
    assert registry.row_of("mine", adam, Recipe()) == expected
    assert registry.backend("mine").description == "lecture of 2025"


def test_its_edited_table_makes_its_results_stale(forgotten):
    brings_along(mine=of_own())
    before = registry.backend("mine").source()
    brings_along(mine=of_own(init="normal(0.6)"))
    assert before != registry.backend("mine").source()
    brings_along(mine=of_own())
    assert before == registry.backend("mine").source()


def test_it_is_trained_and_explained_like_any_other(forgotten, tmp_path):
    table = {**small_table(), "profile": {"mine": of_own(init="normal(5)")}}
    table["run"] = {"backends": ["numpy", "mine"], "modes": ["native"], "seeds": 2}
    file = tmp_path / "mine.toml"
    file.write_text(tomlkit.dumps(table))
    results = harness.run(file, store=f"sqlite:///{tmp_path / 'mine.db'}", progress=False)
    assert set(results.frame().query("backend == 'mine'")["status"]) == {"ok"}
    found = harness.explain(str(file), "numpy", "mine", cell={"learning_rate": 0.1, "l2": 0.0}, seeds=3, progress=False)
    assert "start of the weights" in found.text or "Inside the noise" in found.text
    done = subprocess.run(
        [sys.executable, "-m", "harness", "conventions", str(file), "numpy", "mine"], capture_output=True, text=True
    )
    assert "normal(5)" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("name", "table", "told"),
    [
        ("mine", of_own(like="numpi"), "profile.mine.like: unknown backend or profile 'numpi': did you mean 'numpy'?"),
        ("mine", of_own(like=None), "profile.mine.like: unknown backend or profile None"),
        ("mine", of_own(inot="zeros"), "profile.mine: unknown convention 'inot'"),
        ("mine", of_own(l2_form="couple"), "profile.mine.l2_form = 'couple'"),
        ("mine", of_own(init="normal(x)"), "profile.mine.init = 'normal(x)'"),
        ("mine", of_own(when=[{"epsilon_place": "inside"}]), "profile.mine.when.0: says of no training when it holds"),
        ("mine", of_own(when=[{"optimizer": "adm"}]), "profile.mine.when.0.optimizer: unknown optimizer 'adm'"),
        ("mine", of_own(when="adam"), "profile.mine.when = 'adam': must be a list of tables"),
        ("mine", of_own(title=3), "profile.mine.title = 3"),
        ("mine", 3, "profile.mine = 3: must be a table"),
        ("numpy", of_own(), "profile.numpy: numpy is a backend already"),
        ("course-2024", of_own(), "profile.course-2024: course-2024 is a profile"),
        ("reference", of_own(), "profile.reference: reference is a word of the harness's own"),
        ("a b", of_own(), "must start with a letter or digit"),
    ],
)
def test_a_wrong_table_is_one_line(name, table, told, forgotten):
    with pytest.raises(RequestError) as error:
        brings_along(**{name: table})
    assert told in str(error.value)
    assert "\n" not in str(error.value)
