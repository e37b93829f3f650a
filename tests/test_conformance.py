"""Every backend passes every check; every mutant is rejected by the check that is named for its fault."""

import pytest

from harness.check import CHECKS, run_check
from harness.registry import BUILT_IN, load_trainer
from tests.mutants import MUTANTS, Correct, L2OffByTwo

# what a framework itself cannot express, with its own reason
UNSUPPORTED = {("sklearn", "mixed_activations"): "one activation for all hidden layers"}

CASES = [pytest.param(backend, name, id=f"{backend.name}-{name}") for backend in BUILT_IN for name in CHECKS]


@pytest.mark.parametrize(("backend", "name"), CASES)
def test_backend_conforms(backend, name):
    if backend.missing():
        pytest.skip(backend.missing())
    result = run_check(name, load_trainer(backend.trainer))
    expected = UNSUPPORTED.get((backend.name, name))
    assert result.status == ("unsupported" if expected else "passed"), result.message
    assert (expected or "") in result.message


@pytest.mark.parametrize(("mutant", "name"), MUTANTS.items(), ids=lambda item: getattr(item, "__name__", item))
def test_mutant_is_rejected_by_the_check_named_for_it(mutant, name):
    if "torch" in mutant.requires:
        pytest.importorskip("torch", reason="this mutant pretends to be torch")
    result = run_check(name, mutant)
    assert result.status == "failed", f"{mutant.__name__} got through: {result.message}"


@pytest.mark.parametrize("name", [name for name in CHECKS if name not in ("own_arithmetic", "native")])
def test_the_mutants_origin_passes(name):
    assert run_check(name, Correct).status == "passed"


def test_every_check_has_a_mutant_that_it_rejects():
    families = {name.partition("[")[0] for name in CHECKS}
    named = {name.partition("[")[0] for name in MUTANTS.values()}
    # the others repeat a training with another shape or batch size; any fault of arithmetic fails them
    assert families - named == {"batch_of_one", "no_hidden_layer", "two_hidden_layers"}
    for name in families - named:
        assert run_check(name, L2OffByTwo).status == "failed"
