"""Every backend passes every check; every mutant is rejected by the check that is named for its fault."""

import pytest

from harness.checks import CHECKS, arithmetic, run_check
from harness.registry import BUILT_IN, load_trainer
from tests.mutants import MUTANTS, Correct, L2OffByTwo
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

CASES = [pytest.param(backend, name, id=f"{backend.name}-{name}") for backend in BUILT_IN for name in CHECKS]


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


@pytest.mark.parametrize(("mutant", "name"), [*_named(MUTANTS), *_named(MUTANTS_OF_PARTS), *_named(MUTANTS_OF_STACKS)])
def test_mutant_is_rejected_by_the_check_named_for_it(mutant, name):
    if "torch" in mutant.requires:
        pytest.importorskip("torch", reason="this mutant pretends to be torch")
    result = run_check(name, mutant)
    assert result.status == "failed", f"{mutant.__name__} got through: {result.message}"


@pytest.mark.parametrize("name", [name for name in CHECKS if name not in ("own_arithmetic", "native")])
def test_the_mutants_origin_passes(name):
    if not name.startswith("stack_"):
        assert run_check(name, Correct).status == "passed"
    assert run_check(name, CorrectStack).status == "passed"


def test_every_check_has_a_mutant_that_it_rejects():
    named = {case.values[1] for case in (*_named(MUTANTS), *_named(MUTANTS_OF_PARTS), *_named(MUTANTS_OF_STACKS))}
    # the others repeat a training with another shape, batch size, optimizer or activation
    others = {"batch_of_one", "no_hidden_layer", "two_hidden_layers", *arithmetic.FIVE_EPOCHS}
    assert set(CHECKS) - named <= others
    for name in set(CHECKS) - named:
        assert run_check(name, L2OffByTwo).status == "failed"
