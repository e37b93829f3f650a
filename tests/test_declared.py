"""Declared conventions are true, and a wrong one is caught: native fits that were watched, beside the replay."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from harness.contract import vary
from harness.conventions.table import CONVENTIONS, GIVEN, LOG_OF_P, Row
from harness.conventions.translation import controlled_row
from harness.draws.recipe import Recipe
from harness.draws.starts import draw_start
from harness.experiment.datasets import load_datasets
from harness.experiment.file import parse
from harness.planning.plan import plan
from harness.reference.trainer import logits_of
from harness.registry import BUILT_IN, declared_by, native_backends, native_row, row_of
from harness.replay.outputs import answered
from harness.replay.scores import score_rows
from harness.replay.stack import replay
from harness.replay.training import member_of
from tests import by_hand
from tests.course_2024 import SCHEDULERS, course_2024
from tests.declared import (
    SEED,
    SKLEARN_LACKS,
    TASKS,
    Case,
    Fit,
    digits,
    drawn,
    fit,
    judged,
    law_of,
    measured,
    order_case,
    settings,
    written_out,
)
from tests.starts import LAWS, start_case
from tests.watch import watch

INSTALLED = [backend.name for backend in BUILT_IN if backend.name in native_backends() and backend.missing() is None]
everything = pytest.mark.skipif(len(INSTALLED) < len(native_backends()), reason="needs every framework")

# every optimizer and every activation once, and every task
NAMES = (
    *("sgd", "momentum sigmoid", "nesterov relu", "adam", "adagrad leaky_relu", "rmsprop elu", "loud softplus"),
    *TASKS,
)
LONGER = ("loud", "plateau", "changing rate")


def lacks(backend: str, name: str) -> bool:
    return backend == "sklearn" and any(word in SKLEARN_LACKS for word in name.split())


def in_single(backend: str, name: str) -> Fit:
    """In float32: as the framework has it by default, or, where it has float64, because that is written."""
    return fit(backend, name, "float32" if backend in ("numpy", "sklearn") else "default")


SINGLE_FITS = [(backend, name) for backend in INSTALLED for name in NAMES if not lacks(backend, name)]
FITS = [*SINGLE_FITS, *((backend, name) for backend in INSTALLED for name in LONGER)]
LOGGING = [backend for backend in INSTALLED if "logged_loss" in declared_by(backend)]


@pytest.mark.parametrize(("backend", "name"), FITS)
def test_a_native_fit_and_its_declared_row_follow_each_other_in_float64(backend, name):
    watched = fit(backend, name)
    assert watched.recording.dtype == "float64"
    assert watched.floor < 1e-13
    assert watched.trained.own <= watched.tolerance


@pytest.mark.parametrize(("backend", "name"), SINGLE_FITS)
def test_and_in_float32(backend, name):
    watched = in_single(backend, name)
    assert watched.recording.dtype == "float32"
    assert watched.trained.own <= watched.tolerance


@pytest.mark.parametrize("dtype", ["default", "float64"])
@pytest.mark.parametrize("backend", INSTALLED)
def test_start_and_batches_are_drawn_by_their_laws(backend, dtype):
    watched = fit(backend, "sgd", dtype)
    assert start_case(watched).own <= start_case(watched).tolerance
    assert watched.ordered.own == 0


@pytest.mark.parametrize("law", LAWS)
def test_the_harness_draws_by_these_laws_too(law):
    kind, scale = LAWS[law]
    W = draw_start(settings("sgd", hidden=(1000,)), Recipe(init=law), 0, 0)[0]["W"] / scale(64, 1000)
    spread = {"uniform": np.sqrt(1 / 3), "normal": 1.0, "truncated": 0.8796}[kind]
    assert abs(W.std() - spread) < 0.01
    assert 0.99 < np.abs(W).max() <= {"uniform": 1, "truncated": 2}.get(kind, np.inf)


@pytest.mark.parametrize("name", ["sgd", "regression", "multilabel", "plateau"])
@pytest.mark.parametrize("backend", LOGGING)
def test_the_logged_loss_is_the_fit_s_own(backend, name):
    for watched in (fit(backend, name), in_single(backend, "sgd")):
        assert watched.logged.own <= watched.logged.tolerance


@pytest.mark.parametrize("name", ["plateau", "long"])
def test_the_replay_stops_where_scikit_learn_stops(name):
    watched = fit("sklearn", name)
    stopped = watched.recording.settings["epochs"]
    assert stopped == 12 if name == "plateau" else 50 < stopped < watched.config.epochs
    assert watched.replayed(watched.row).epochs_run == stopped
    assert watched.replayed(replace(watched.row, stop="never")).epochs_run == watched.config.epochs


@everything
def test_what_is_used_where_nothing_is_given():
    import keras
    import torch
    from sklearn.neural_network import MLPClassifier

    def rates(optimizers, rate):
        return [f"{rate(optimizer):.3g}" for optimizer in optimizers]

    def says(backend, name):
        return declared_by(backend)[name].says

    of = keras.optimizers
    sgd, *others = rates([of.SGD(), of.Adam(), of.Adagrad(), of.RMSprop()], lambda o: float(o.learning_rate))
    assert len(set(others)) == 1
    for backend in ("keras", "tensorflow"):
        assert says(backend, "learning_rate") == f"{others[0]}, for sgd {sgd}, unless given"
    of, weight = torch.optim, [torch.zeros(1)]
    kinds = (of.SGD, of.Adam, of.Adagrad, of.RMSprop)
    sgd, adam, *others = rates([kind(weight) for kind in kinds], lambda o: o.defaults["lr"])
    assert sgd == adam
    assert len(set(others)) == 1
    assert says("torch", "learning_rate") == f"{sgd}, for Adagrad and RMSprop {others[0]}, unless given"
    assert says("torch", "batch_size") == f"{torch.utils.data.DataLoader(range(3)).batch_size} unless given"
    assert says("sklearn", "learning_rate") == f"{MLPClassifier().learning_rate_init} unless given"

    X, y = digits(300)
    unsaid = {"epochs": 1, "batch_size": None}
    keras_fit = watch("keras", settings("sgd", **unsaid), X, y, SEED)
    assert says("keras", "batch_size") == f"{len(keras_fit.batch(0))} unless given"
    assert says("sklearn", "batch_size") == "min(200, n) unless given"  # "default batches" below


# what the wrong values of a convention are, where the table has a number or a law, or not all of its values there
VALUES: dict[str, tuple] = {
    "hidden": (GIVEN, (100,), (50,)),
    "activation": (GIVEN, "sigmoid", "tanh"),
    "epochs": (GIVEN, 3, 4),
    "learning_rate": (GIVEN, 0.05, 0.001),
    "batch_size": (GIVEN, 1, 50, "min(200, n)", "n", "n // (n // b)"),
    "init": tuple(LAWS),
    "bias": (0.0, 0.1, 0.01, "as_weights", "normal(0.01)"),
    "n_batches": (None, 6, 5),
    "optimizer": ("sgd", "adam", "rmsprop", "adagrad"),
    "momentum": (0.0, 0.9, 0.5),
    "nesterov": (False, True),
    "beta_1": (0.9, 0.5),
    "beta_2": (0.999, 0.99),
    "rho": (0.9, 0.99),
    "epsilon": (1e-7, 1e-8, 1e-10),
    "initial_accumulator": (0.0, 0.1),
    "leaky_slope": (0.01, 0.2, 1e-3),
    "bias_unit": (1.0, 0.01),
    "elu_alpha": (1.0, 0.5),
    "softplus_threshold": (None, 20.0),
}


def values(name: str) -> tuple:
    return VALUES.get(name, tuple(CONVENTIONS[name].values))


# the native fits in which a convention shows; the others show in plain SGD
SHOWN_IN: dict[str, tuple[str, ...]] = {
    "outputs": ("regression", "multilabel"),
    "probabilities": ("sgd", "loud"),
    "l2_form": ("momentum sigmoid", "adam"),
    "momentum": ("sgd", "momentum sigmoid", "nesterov relu"),
    "nesterov": ("momentum sigmoid", "nesterov relu"),
    "momentum_form": ("changing rate",),  # at one rate for all steps both are the same
    **dict.fromkeys(("beta_1", "beta_2", "bias_correction"), ("adam",)),
    "rho": ("rmsprop elu",),
    **dict.fromkeys(("epsilon", "epsilon_place", "moments_reset"), ("adam", "adagrad leaky_relu", "rmsprop elu")),
    **dict.fromkeys(("initial_accumulator", "accumulator", "leaky_slope"), ("adagrad leaky_relu",)),
    "elu_alpha": ("rmsprop elu",),
    "softplus_threshold": ("loud softplus",),
    "constants": ("sgd", "momentum sigmoid", "adam", "adagrad leaky_relu"),
    "stop": ("plateau",),
}


UNSEEN = {
    "after clipping": "no native way clips",
    "drop stride": "no native way skips rows",
    "unshifted": "nothing overflows",
    LOG_OF_P: "its 1e-9 is not seen in the loss of a softmax",
}
"""Values that train as another one does in every native fit, and are caught in the codes that are written out."""


def seen_in_native_fits(name: str) -> list:
    """The values that could show."""
    return [value for value in values(name) if value not in UNSEEN]


def native_cases(backend: str, name: str) -> list[Case]:
    """The cases in which one declared convention of a backend shows."""
    if name in ("accuracy", "auc", "metric_rows"):
        tasks = {"accuracy": ["multiclass"], "auc": ["binary"]}.get(name, ["multiclass", "binary"])
        return [judged(backend, task) for task in tasks]
    if name in ("init", "bias"):
        return [start_case(fit(backend, "sgd"))]
    if name in ("batches", "batch_size", "last_batch"):
        return [fit(backend, "sgd").ordered]
    if name == "logged_loss":
        return [fit(backend, "sgd").logged]
    if name == "dtype":  # squares that are infinite in float32 show it, which its rounding does not
        return [fit(backend, "sgd" if backend == "sklearn" else "overflow", "default").trained]
    return [fit(backend, shown).trained for shown in SHOWN_IN.get(name, ("sgd",)) if not lacks(backend, shown)]


DECLARED = [(backend, name) for backend in INSTALLED for name in declared_by(backend)]


@pytest.mark.parametrize(("backend", "name"), DECLARED)
def test_another_value_of_a_declared_convention_is_caught(backend, name):
    cases = native_cases(backend, name)
    for case in cases:
        assert case.own <= case.tolerance
        assert any(case.catches(name, wrong) for wrong in seen_in_native_fits(name))
    for wrong in seen_in_native_fits(name):
        others = [case for case in cases if getattr(case.row, name) != wrong]
        assert any(case.catches(name, wrong) for case in others) or not others


def of_profile(profile: str, code: Callable, name: str, own: dict, **changes: object) -> Callable[[], Case]:
    """A profile's own code beside the profile's row with `own` conventions."""

    def case() -> Case:
        config = settings(name, "float64", **changes)
        return written_out(config, replace(row_of(profile, config, Recipe()), **own), code)

    return case


def of_2024(optimizer: str, scheduler: Callable | None = None, **changes: object) -> Callable[[], Case]:
    """Three batches of 200 rows: 66, 66 and 68."""
    code = lambda m: course_2024(m, 3, scheduler).weights  # noqa: E731
    return of_profile("course-2024", code, f"{optimizer} leaky_relu", {"n_batches": 3}, **changes)


def at_last(memory: dict, g: np.ndarray, eta: float, epoch: int) -> np.ndarray:
    """After infinitely many epochs nothing is left to correct."""
    return SCHEDULERS["adam"](memory, g, eta, np.inf)


def uncorrected() -> Case:
    case = of_2024("adam", at_last)()
    return replace(case, row=replace(case.row, bias_correction="none"))


def asked_for_batches() -> Case:
    """A batch size in place of the number of batches."""
    return of_profile("course-2024", lambda m: course_2024(m, 3).weights, "adam leaky_relu", {}, batch_size=60)()


def answers() -> Case:
    """The loss that the course of 2024 logs after every epoch."""
    config = settings("adam leaky_relu", "float64", batch_size=60)
    row = row_of("course-2024", config, Recipe())
    logged = course_2024(drawn(config, row, "sgd"), 3).costs

    def off(other: Row) -> float:
        (replayed,) = replay([drawn(config, other, "sgd")])
        return float(np.max(np.abs(np.subtract(replayed.logged_loss, logged))))

    return Case(row, off, 1e-12)


def logistic() -> Case:
    """A logistic unit whose loss is that of p + 1e-9: once its answers are nearly certain, it is another gradient."""
    config = settings("binary", "float64", activation=("leaky_relu",), learning_rate=0.05)
    row = replace(row_of("course-2024", config, Recipe()), n_batches=3)
    return written_out(config, row, lambda m: course_2024(m, 3).weights, "binary")


def unshifted() -> Case:
    """A softmax that overflows: the weights are no numbers, and those of every other form are."""
    config = settings("loud", "float64", learning_rate=1.0)
    row = replace(controlled_row(config, Recipe()), probabilities="unshifted", init="normal(1)")
    lost = replay([drawn(config, row, "loud")])[0].weights is None

    def off(other: Row) -> float:
        return float((replay([drawn(config, other, "loud")])[0].weights is None) != lost)

    return Case(row, off, 0.0)


def first_without_a_number() -> Case:
    """The answers that NumPy's `argmax` gives where some probabilities are no numbers."""
    config = settings("sgd")
    logits = np.random.default_rng(0).normal(size=(200, 10)) * 500
    with np.errstate(all="ignore"):
        e = np.exp(logits)
        said = np.argmax(e / e.sum(axis=1, keepdims=True), axis=1)
    row = replace(controlled_row(config, Recipe()), probabilities="unshifted", accuracy="argmax over NaN")
    return Case(row, lambda other: float(np.mean(answered(other, logits) != said)), 0.0)


def decoupled() -> Case:
    config = settings("adam", "float64")
    row = replace(controlled_row(config, Recipe()), l2_form="decoupled")
    return written_out(config, row, by_hand.in_torch(by_hand.adamw))


def dampened() -> Case:
    config = settings("momentum", "float64")
    row = replace(controlled_row(config, Recipe()), momentum_form="dampened", batches="replacement")
    return written_out(config, row, by_hand.in_torch(by_hand.dampened))


def bounded() -> Case:
    config = settings("momentum", "float64", clip_value=0.01)
    row = replace(controlled_row(config, Recipe()), l2_form="after clipping")
    return written_out(config, row, by_hand.in_torch(by_hand.bounded))


def clipped() -> Case:
    config = settings("loud", "float64")
    own = {"batches": "in_order", "l2_tensors": "hidden", "probabilities": "clipped 1e-7"}
    row = replace(native_row("keras", config), **own)
    return written_out(config, row, by_hand.in_keras(by_hand.probabilities), "loud")


def default_batches() -> Case:
    """A real fit without a batch size, which `MLPClassifier` calls "auto"."""
    X, y = digits(300)
    config = settings("sgd", epochs=2)
    recording = watch("sklearn", vary(config, batch_size="auto"), X, y, SEED)  # type: ignore[arg-type]
    epochs = [[recording.batch(step) for step in np.flatnonzero(recording.epoch == epoch)] for epoch in (0, 1)]
    return order_case(replace(native_row("sklearn", config), batch_size="min(200, n)"), config, 300, epochs)


def printed(dataset: str, scale: object, own: dict) -> Case:
    """What a code prints as its accuracy or AUC, beside the same by scikit-learn."""
    experiment = parse(
        {
            "name": "printed",
            "title": "Printed",
            "data": {"name": dataset, "test_fraction": 0.5, "scale": scale},
            "network": {"hidden": [4], "activation": "tanh"},
            "training": {"batch_size": 32, "epochs": 10},
            "sweep": {"learning_rate": [0.5]},
            "run": {"backends": ["numpy"], "modes": ["controlled"]},
        },
        "printed.toml",
    )
    datasets = load_datasets(experiment)
    (trial,) = plan(experiment, datasets)
    row = replace(controlled_row(trial.config, trial.recipe), metric_rows="training", **own)
    train = trial.prepare(datasets[trial.data.key]).train
    (result,) = replay([member_of(trial, row, train)])
    expected = measured(row, trial.config, logits_of(trial.config.network, result.weights, train.X), train.y)

    def off(other: Row) -> float:
        (scores,) = score_rows([(trial, other)], datasets)
        return abs((scores.auc if trial.config.task == "binary" else scores.printed) - expected)

    return Case(row, off, 1e-12)


BY_HAND: dict[str, Callable[[], Case]] = {
    "hand-in": of_profile("assignment-2019", by_hand.hand_in, "sgd", {"epochs": 3, "learning_rate": 0.05}),
    "course of 2024, Adam": of_2024("adam", batch_size=30),  # which would be another number of batches
    "course of 2024, RMSprop": of_2024("rmsprop"),
    "course of 2024, Adagrad": of_2024("adagrad"),
    "uncorrected": uncorrected,
    "asked for batches": asked_for_batches,
    "loss of answers": answers,
    "logistic": logistic,
    "unshifted": unshifted,
    "first without a number": first_without_a_number,
    "AdamW": decoupled,
    "weight decay behind clipping": bounded,
    "dampened": dampened,
    "clipped": clipped,
    "default batches": default_batches,
    "entries": lambda: printed("digits", 16, {"accuracy": "thresholded"}),
    "answers": lambda: printed("breast-cancer", "standard", {"auc": "labels"}),
}
"""Codes that are no backend's native way."""

case_of = cache(lambda name: BY_HAND[name]())

SHOWN_BY: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("hidden", "activation", "epochs", "learning_rate", "reduction"), ("hand-in",)),
    "batch_size": ("hand-in", "default batches", "asked for batches"),
    "batches": ("hand-in", "course of 2024, Adam", "dampened", "clipped"),
    **dict.fromkeys(("n_batches", "init", "bias", "bias_unit", "update_order"), ("course of 2024, Adam",)),
    "last_batch": ("course of 2024, Adam", "hand-in"),
    "probabilities": ("course of 2024, Adam", "clipped", "logistic", "unshifted"),
    "l2_tensors": ("clipped", "hand-in"),
    "logged_loss": ("loss of answers",),
    "l2_form": ("AdamW", "weight decay behind clipping"),
    "optimizer": ("AdamW", "course of 2024, RMSprop", "course of 2024, Adagrad", "hand-in"),
    "momentum_form": ("dampened",),
    "epsilon_place": ("course of 2024, Adam", "course of 2024, RMSprop"),
    "bias_correction": ("course of 2024, Adam", "uncorrected"),
    "moments_reset": tuple(name for name in BY_HAND if name.startswith("course of 2024")),
    "accumulator": ("course of 2024, Adagrad",),
    "leaky_slope": ("course of 2024, Adam",),
    "accuracy": ("entries", "first without a number"),
    "auc": ("answers",),
    "metric_rows": ("entries", "answers"),
}


def cases(name: str) -> list[Case]:
    """Every case in which a convention shows."""
    native = (native_cases(backend, name) for backend in INSTALLED if name in declared_by(backend))
    return [*map(case_of, SHOWN_BY.get(name, ())), *(case for each in native for case in each)]


@everything
@pytest.mark.parametrize("code", BY_HAND)
def test_a_code_and_the_replay_of_its_row_follow_each_other(code):
    assert case_of(code).own <= case_of(code).tolerance


@everything
@pytest.mark.parametrize("name", CONVENTIONS)
def test_every_convention_is_true_somewhere_and_caught_where_it_is_wrong(name):
    """Each value of the table is right in some case, and each that is wrong in any is caught in one of those."""
    shown = cases(name)
    assert shown, f"no case shows {name!r}: add one"
    right = {getattr(case.row, name) for case in shown}
    wrong = [value for value in values(name) if right != {value}]
    assert wrong, f"{name} is the same in all cases, and there is no other value in VALUES: add one"
    for value in wrong:
        assert any(case.catches(name, value) for case in shown), f"{name} = {value!r} is caught in no case: add one"
    if name not in VALUES:
        assert right == set(values(name)), f"{name}: some value is right in no case: add one"


def test_every_field_of_a_row_is_a_line_of_the_table():
    assert set(CONVENTIONS) == set(Row.__dataclass_fields__)


@everything
def test_behind_a_softmax_layer_keras_computes_its_loss_from_the_logits():
    row = replace(case_of("clipped").row, probabilities="logits")
    case = written_out(settings("loud", "float64"), row, by_hand.in_keras("softmax"), "loud")
    assert case.own <= case.tolerance
    assert case.catches("probabilities", "clipped 1e-7")


@everything
def test_a_law_of_batches_is_known_by_its_rows():
    import torch

    sampler = torch.utils.data.RandomSampler(range(50), replacement=True, generator=torch.Generator().manual_seed(0))
    loader = torch.utils.data.DataLoader(range(50), batch_size=20, sampler=sampler)
    assert law_of([[batch.numpy() for batch in loader] for _ in range(2)]) == "replacement"
