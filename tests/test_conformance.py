"""Every backend passes every check; every mutant is rejected by the check that is named for its fault."""

import os
import random
import re

import numpy as np
import pytest

from harness import registry
from harness.checks import CHECKS, arithmetic, run_check
from harness.cli import invoke
from harness.manifest import Backend
from harness.registry import BUILT_IN, load_trainer
from tests.mutants import MUTANTS, Correct, L2OffByTwo, NativeOfNoIdiom, TextAsArithmetic
from tests.mutants_at_large import MUTANTS_AT_LARGE, NamesOnePrecision, OneFunctionForEachPrecision
from tests.mutants_of_parts import MUTANTS_OF_PARTS
from tests.mutants_of_stacks import MUTANTS_OF_STACKS, CorrectStack

# what scikit-learn itself cannot express, with its own reason; the perceptron rule is for the reference and numpy alone
SKLEARN = {
    **dict.fromkeys(("mixed_activations",), "one activation for all hidden layers"),
    **dict.fromkeys(("loss[mae]", "loss[huber]"), "squared_error"),
    **{name: "output" for name in CHECKS if name.startswith("output_activation[")},
    **dict.fromkeys(("dropout", "input_dropout"), "dropout"),
    **dict.fromkeys(("batch_norm", "batch_norm_in_inference", "batch_norm_of_one_row"), "batch norm"),
    **dict.fromkeys(("clip_norm", "clip_value"), "clip"),
    **{name: "solvers" for name in CHECKS if name.startswith(("five_epochs[adagrad", "five_epochs[rmsprop"))},
    "activation_constants": "activations",
    "layers_in_any_order": "hidden and activation",
    "l1": "L1",
    "all_regularisers": "MLPClassifier has no",
    **{name: "one network at a time" for name in CHECKS if name.startswith("stack_")},
    **{
        name: "activations"
        for name in CHECKS
        if name.startswith("five_epochs[") and any(word in name for word in ("leaky_relu", "elu-", "selu", "softplus"))
    },
}
for name in list(SKLEARN):
    if "-relu-" in name:
        del SKLEARN[name]
UNSUPPORTED = {("sklearn", name): reason for name, reason in SKLEARN.items()} | {
    (backend, "perceptron"): "perceptron" for backend in ("sklearn", "tensorflow", "keras", "torch", "torch-manual")
}
UNSUPPORTED["torch-manual", "native"] = "native mode"  # PyTorch's own way is that of the backend torch

COMPILED = ("tensorflow", "keras")
QUICK = ("five_epochs[adam", "declaration", "weights_round_trip", "one_step", "logits", "native", "own_arithmetic")
"""Of what compiles for every network these are looked at each time, and the others with the suites."""


def _case(backend, name):
    slow = backend.name in COMPILED and not name.startswith(QUICK)
    return pytest.param(backend, name, id=f"{backend.name}-{name}", marks=[pytest.mark.suite] if slow else [])


CASES = [_case(backend, name) for backend in BUILT_IN for name in CHECKS]


@pytest.mark.parametrize(("backend", "name"), CASES)
def test_backend_conforms(backend, name):
    if backend.missing():
        pytest.skip(backend.missing())
    result = run_check(name, load_trainer(backend.trainer))
    expected = UNSUPPORTED.get((backend.name, name))
    assert result.status == ("unsupported" if expected else "passed"), result.message
    assert (expected or "").lower() in result.message.lower()
    if backend.name != "sklearn":  # a check that passed for half of its part says so
        assert "in part" not in result.message


def _named(mutants):
    for mutant, names in mutants.items():
        for name in (names,) if isinstance(names, str) else names:
            yield pytest.param(mutant, name, id=f"{mutant.__name__}-{name}")


TABLES = (MUTANTS, MUTANTS_AT_LARGE, MUTANTS_OF_PARTS, MUTANTS_OF_STACKS)
ALL_MUTANTS = [case for table in TABLES for case in _named(table)]


@pytest.mark.parametrize(("mutant", "name"), ALL_MUTANTS)
def test_mutant_is_rejected_by_the_check_named_for_it(mutant, name):
    if "torch" in mutant.requires:
        pytest.importorskip("torch", reason="this mutant pretends to be torch")
    result = run_check(name, mutant)
    assert result.status == "failed", f"{mutant.__name__} got through: {result.message}"


def test_a_library_may_have_a_function_for_each_precision():
    result = run_check("own_arithmetic", OneFunctionForEachPrecision)
    assert result.status == "passed", result.message
    assert result.message.count("gemm") == 2
    assert "is used in float32" in run_check("own_arithmetic", NamesOnePrecision).message


def test_a_native_fit_may_say_that_there_is_no_idiom_for_it():
    result = run_check("native", NativeOfNoIdiom)
    assert (result.status, result.message) == ("unsupported", "this framework has no idiom for that")


def test_a_text_for_a_tuple_is_told_as_that():
    assert "expected a tuple of texts" in run_check("own_arithmetic", TextAsArithmetic).message


def test_a_check_of_the_process_leaves_the_process_alone():
    before = random.getstate(), repr(np.random.get_state()), np.geterr(), dict(os.environ)
    for mutant, name in MUTANTS_AT_LARGE.items():
        if name == "process_left_alone":
            run_check(name, mutant)
    assert (random.getstate(), repr(np.random.get_state()), np.geterr(), dict(os.environ)) == before


@pytest.fixture
def mutant(monkeypatch):
    """The backend `mutant` as the only one there is."""
    monkeypatch.setattr(registry, "BUILT_IN", (Backend("mutant", "tests.mutants:L2OffByTwo", ("numpy",)),))
    registry.backends.cache_clear()
    yield
    registry.backends.cache_clear()


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("logits", [name for name in CHECKS if "logits" in name]),
        ("bias*", ["biases_not_penalised"]),
        ("task[b", ["task[binary]"]),
        ("task[*l]", ["task[multilabel]"]),
    ],
)
def test_only_the_checks_that_are_asked_for_are_run(pattern, names, mutant, capfd):
    code = invoke(["check", "mutant", "--only", pattern])
    *lines, total = capfd.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == names
    assert total.endswith(f", of {len(names)} checks" if len(names) > 1 else ", of 1 check")
    assert code == any(line.startswith("failed") for line in lines)


def test_unsupported_checks_are_one_line_until_each_is_asked_for(mutant, capfd):
    lacking = [name for name in CHECKS if name.startswith("stack_")] + ["native"]
    assert invoke(["check", "mutant"]) == 1
    told = capfd.readouterr().out
    assert [line for line in told.splitlines() if line.startswith("unsupported")] == [
        f"unsupported  {len(lacking)} checks: --verbose tells each, with the reason"
    ]
    assert invoke(["check", "mutant", "--only", "native"]) == 0
    assert re.match("unsupported +native +no native mode\n", capfd.readouterr().out)
    assert invoke(["check", "mutant", "--verbose"]) == 1
    told = [line.split()[1] for line in capfd.readouterr().out.splitlines() if line.startswith("unsupported")]
    assert sorted(told) == sorted(lacking)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["numpy", "--only", "onestep"], ["--only 'onestep'", "did you mean 'one_step'"]),
        (["numpy", "--only", "zzz"], ["no check has such a name; all names: "]),
        (["numpy", "--only", "l2", "--full"], ["--full runs every check"]),
        (["course-2024"], ["'course-2024' is a profile", "mode native only"]),
    ],
)
def test_a_check_that_there_is_not_is_refused_in_one_line(arguments, expected, capfd):
    assert invoke(["check", *arguments]) == 2
    out, told = capfd.readouterr()
    assert out == ""
    assert told.count("\n") == 1
    assert all(text in told for text in expected)


@pytest.mark.parametrize("name", [name for name in CHECKS if name not in ("own_arithmetic", "native")])
def test_the_mutants_origin_passes(name):
    if not name.startswith("stack_"):
        assert run_check(name, Correct).status == "passed"
    assert run_check(name, CorrectStack).status == "passed"


def test_every_check_has_a_mutant_that_it_rejects():
    named = {case.values[1] for case in ALL_MUTANTS}
    # the others repeat a training with another shape, batch size, optimizer or activation
    others = {"batch_of_one", "no_hidden_layer", "two_hidden_layers", *arithmetic.FIVE_EPOCHS}
    assert set(CHECKS) - named <= others
    for name in set(CHECKS) - named:
        assert run_check(name, L2OffByTwo).status == "failed"
