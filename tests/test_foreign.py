"""The judge of foreign trainings is right itself: each verdict can be reached, and none by mistake.

`python -m tests.foreign` asks the harness; nothing here does.
"""

from dataclasses import replace

import numpy as np
import pytest

from harness.registry import backend

for framework in ("torch", "keras"):
    if reason := backend(framework).missing():
        pytest.skip(reason, allow_module_level=True)

from tests.foreign import outside  # noqa: E402
from tests.foreign.__main__ import recording, train_all  # noqa: E402
from tests.foreign.ask import Answer  # noqa: E402
from tests.foreign.draw import FRAMEWORKS, Training, draw  # noqa: E402
from tests.foreign.judge import DEFAULTS, ROUNDING, important, judge, judge_outside  # noqa: E402
from tests.foreign.reading import read  # noqa: E402
from tests.foreign.replay import left  # noqa: E402

SEEDS = (
    1, 3, 5, 8, 9, 10, 11, 12, 15, 16, 20, 22, 23, 24, 26, 31, 32, 34, 36, 43, 58, 61, 100, 109, 119, 124,
)  # fmt: skip
"""Between them every optimizer of every framework, every value of every convention that a replay shows, every loss."""
JUDGED = (1, 3, 5, 9, 12, 61)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("foreign")


@pytest.fixture(scope="module")
def trained(folder):
    """training -> its recording; the seeds of a framework are trained together, when one of them is asked for."""

    def read_or_train(training):
        own = [draw(seed) for seed in SEEDS]
        together = own if training in own else [training]
        train_all([each for each in together if each.framework == training.framework], folder)
        return read(recording(training, folder))

    return read_or_train


@pytest.fixture(scope="module")
def plain():
    """SGD, mean, L2 with a half: what other words say too."""
    own = {"l2": 0.02, "init": "normal(0.1)", "dtype": "float64", "learning_rate": 0.1, "schedule": "constant"}
    truth = DEFAULTS | own | {"task": "multiclass", "loss": "cross_entropy", "outputs": "sum", "activation": ["tanh"]}
    recorded = {"full": False, "rate": "settings", "settings": {}}
    return Training(1000, "numpy", "sgd, L2", "iris", 3, (8,), 20, 4, truth, {"optimizer": "sgd"}, recorded)


def said(training, followed=True, **changed):
    """An answer in the layout of `harness explain --json`: the truth, but for what is changed."""
    row = DEFAULTS | training.truth | changed
    config = {name: row.get(name) for name in ("task", "loss", "huber_delta", "learning_rate", "l2")}
    config |= {name: row.get(name) for name in ("clip_norm", "clip_value", "activation")}
    return Answer(0, {"row": row | {"activation": "given"}, "config": config, "followed": followed}, "", 1.0)


def test_a_seed_draws_the_same_training_again():
    assert draw(7) == draw(7) != draw(8)


def test_everything_that_is_promised_is_drawn():
    drawn = [draw(seed) for seed in range(600)]
    assert {t.framework for t in drawn} == set(FRAMEWORKS)
    assert {t.way["optimizer"] for t in drawn} >= {"adam", "adamw", "sgd", "momentum", "nesterov", "rmsprop", "adagrad"}
    assert {t.truth["dtype"] for t in drawn if t.framework == "keras"} == {"float32", "float64"}
    assert {t.recorded["full"] for t in drawn} == {True, False}
    for name, values in {
        "l2_form": {"coupled", "decoupled"},
        "l2_factor": {"half", "full"},
        "l2_divisor": {"none", "rows of the batch"},
        "l2_tensors": {"weights", "weights and biases", "hidden"},
        "reduction": {"mean", "sum", "mean of n + 1"},
        "outputs": {"mean", "sum", "half sum"},
        "momentum_form": {"outside", "inside", "dampened", None},
        "schedule": {"constant", "step", "exponential", "inverse_time", "cosine"},
        "batches": {"permutation", "independent", "replacement", "in_order", "one_permutation", "bootstrap"},
    }.items():
        assert {t.truth.get(name) for t in drawn} == values, name
    assert any(t.truth["clip_norm"] for t in drawn)
    assert any(t.truth["clip_value"] for t in drawn)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_judges_replay_gives_what_the_framework_trained(trained, seed):
    training = draw(seed)
    assert left(training.truth, trained(training)).worst < ROUNDING


@pytest.mark.parametrize("seed", JUDGED)
def test_the_truth_is_named_and_a_mutated_one_is_not(trained, seed):
    training = draw(seed)
    recorded = trained(training)
    assert judge(said(training), training, recorded).kind == "named"
    mutants = {"learning_rate": training.truth["learning_rate"] * 1.001} if recorded.rates is None else {}
    if training.truth["l2"]:
        mutants |= {"l2": training.truth["l2"] * 1.05}
    if training.truth["optimizer"] == "adam":
        mutants |= {"beta_1": training.truth["beta_1"] - 0.01, "bias_correction": "none"}
    mutants |= {"reduction": "mean of n + 1", "dtype": {"float32": "float64", "float64": "float32"}[recorded.dtype]}
    for name, value in mutants.items():
        assert judge(said(training, **{name: value}), training, recorded).kind == "false", name


def test_the_seeds_have_every_framework_and_every_value_of_a_convention():
    assert {draw(seed).framework for seed in SEEDS} == set(FRAMEWORKS)
    chosen, all_drawn = (
        {
            (name, str(training.truth[name]))
            for training in map(draw, seeds)
            for name in important(training.truth)
            if isinstance(training.truth[name], str | bool) and name not in ("init", "bias", "batches")
        }
        for seeds in (SEEDS, range(130))
    )
    assert chosen == all_drawn


def test_other_words_for_the_same_training_are_equivalent(trained, plain):
    recorded, l2 = trained(plain), plain.truth["l2"]
    for words in (
        {"l2_factor": "full", "l2": l2 / 2},
        {"l2_form": "decoupled"},
        {"l2_factor": "full", "l2": l2 / 2 * (1 + 1e-9)},  # as stated: to six digits
        {"clip_norm": 1e6},
    ):
        verdict = judge(said(plain, **words), plain, recorded)
        assert (verdict.kind, set(verdict.wrong)) == ("equivalent", set(words) & set(verdict.wrong)), words


def test_a_size_that_the_numbers_contradict_is_false(trained, plain):
    recorded, l2 = trained(plain), plain.truth["l2"]
    for words in ({"l2_factor": "full"}, {"l2": l2 * 1.001}, {"l2": 0.0}, {"reduction": "sum"}, {"nesterov": True}):
        expected = "named" if words == {"nesterov": True} else "false"  # plain SGD has no Nesterov
        assert judge(said(plain, **words), plain, recorded).kind == expected, words


def test_a_law_that_chance_could_not_have_drawn_is_false(trained, plain):
    recorded = trained(plain)
    kinds = {
        law: judge(said(plain, init=law), plain, recorded).kind
        for law in ("normal(0.1)", "normal(0.101)", "normal(0.2)", "torch_uniform", "uniform(0.001)", "of my own")
    }
    assert kinds.pop("normal(0.1)") == "named"
    assert kinds.pop("normal(0.101)") == "equivalent"
    assert set(kinds.values()) == {"false"}
    for order, kind in {"in_order": "false", "replacement": "false", "independent": "false"}.items():
        assert judge(said(plain, batches=order), plain, recorded).kind == kind
    assert judge(said(plain, last_batch="drop"), plain, recorded).kind == "false"


def test_what_was_not_called_found_is_never_false(trained, plain):
    recorded = trained(plain)
    partly = judge(said(plain, followed=False, l2=1.0), plain, recorded)
    assert (partly.kind, list(partly.wrong)) == ("partly", ["l2"])
    nothing = {"l2": 1.0, "init": "zeros", "outputs": "mean"}
    assert judge(said(plain, followed=False, **nothing), plain, recorded).kind == "not found"
    assert judge(Answer(1, None, "no answer", 60.0), plain, recorded).kind == "not found"


def test_one_activation_stands_for_all_hidden_layers(trained):
    training = next(draw(seed) for seed in SEEDS if len(draw(seed).hidden) == 2 and draw(seed).framework == "sklearn")
    answer, name = said(training), training.truth["activation"][0]
    answer.result["config"] |= {"activation": [name], "hidden": training.hidden}
    assert judge(answer, training, trained(training)).kind == "named"


def test_a_row_that_the_judge_cannot_replay_is_false(trained, plain):
    assert judge(said(plain, optimizer="lion"), plain, trained(plain)).kind == "false"


def test_no_row_near_by_gives_a_mechanism_outside_the_table(folder):
    around = outside.all_of(5000)
    assert len(around) == len({training.family for training in around}) == 12
    train_all(around, folder)
    for training in around:
        recorded = read(recording(training, folder))
        for row in (
            {"optimizer": "sgd", "momentum": 0.9, "momentum_form": "outside"},
            {"optimizer": "adam", "beta_2": 0.9},
            {"optimizer": "rmsprop", "rho": 0.0, "epsilon": 1e-12},
        ):
            truth = {"dtype": "float32", "batches": "permutation", "l2": 0.0} | training.truth | row
            answer = said(replace(training, truth=truth))
            assert judge_outside(answer, recorded).kind == "false", (training.family, row)
            assert judge_outside(replace(answer, result={"followed": False}), recorded).kind == "not found"


def test_a_row_that_gives_the_weights_of_a_mechanism_is_no_mistake(trained):
    training = draw(SEEDS[0])
    assert judge_outside(said(training), trained(training)).kind == "equivalent"


def test_recordings_of_weights_alone_hold_nothing_else(trained, folder):
    for seed in SEEDS:
        training = draw(seed)
        trained(training)
        with np.load(recording(training, folder)) as file:
            assert ("gradients/0/W" in file) == training.recorded["full"]
            assert training.recorded["full"] or not {"logits", "loss"} & set(file.files)
