"""What a trace names: causes that were planted by codes that share nothing with the harness, and told to nobody."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="the independent code that plants the causes is written in PyTorch")

from harness import registry
from harness.cli import invoke
from harness.contract import Config
from harness.conventions.table import CONVENTIONS
from harness.conventions.translation import differing
from harness.draws.batches import draw_batches
from harness.draws.recipe import Recipe
from harness.draws.starts import INITS, draw_start
from harness.experiment.datasets import load_datasets
from harness.experiment.file import parse
from harness.manifest import Backend
from harness.recording.file import read, write
from harness.registry import row_of
from harness.support.errors import RequestError
from harness.tracing.identify import identify
from harness.tracing.runs import controlled_side, draws_of, train_watched, trial_of, watched
from harness.tracing.settings import config_of
from harness.tracing.start_and_batches import law_of_biases, law_of_weights, laws_of_batches
from harness.tracing.trace import trace, trace_names
from tests.conftest import small_table
from tests.planted import Training, record
from tests.plants import pairs, planted, singles

SINGLES = singles(0)
EACH_TIME = (
    *("momentum value", "nesterov", "dampening", "learning rate", "epsilon-hat", "beta_1", "no correction", "n + 1"),
    *("accumulator a row", "L2 on biases", "decoupled L2", "size of L2", "clipping by norm", "leaky slope"),
)
"""Of the single causes; all of them with the suites."""


def shared_out(first, *others):
    """One seed with the suites, the others with the proofs."""
    return [pytest.param(first, marks=pytest.mark.suite), *(pytest.param(s, marks=pytest.mark.proof) for s in others)]


def close(name, found, value):
    """A threshold is known to lie between two of the numbers that were seen."""
    if isinstance(value, float) and isinstance(found, float | int):
        return found == pytest.approx(value, rel=0.1 if name == "softplus_threshold" else 1e-4)
    return str(found) == str(value)


def named(trace, causes):
    found = {cause.name: cause.found for cause in trace.causes}
    return found.keys() == causes.keys() and all(close(name, found[name], value) for name, value in causes.items())


@pytest.mark.parametrize(
    "name", [name if name in EACH_TIME else pytest.param(name, marks=pytest.mark.suite) for name in SINGLES]
)
def test_a_single_cause_is_found_where_it_grows_and_by_its_name(name):
    plant = SINGLES[name]
    found = trace(*planted(plant, 0))
    assert (found.free.phase, found.free.step) == (plant.phase, plant.step)
    assert found.free.tensor.startswith(plant.tensor)
    assert named(found, plant.causes), found.causes
    assert found.unnamed == found.unnamed_a == ""


@pytest.mark.parametrize("seed", shared_out(1, 2, 3))
def test_of_all_single_causes_with_other_constants_the_right_one_comes_first(seed):
    plants = singles(seed)
    traces = {name: trace(*planted(plant, seed)) for name, plant in plants.items()}
    places = [
        (found.free.phase, found.free.step) == (plants[name].phase, plants[name].step) for name, found in traces.items()
    ]
    missed = [name for name, found in traces.items() if not named(found, plants[name].causes)]
    assert all(places)
    assert len(missed) <= len(plants) // 24, missed


@pytest.mark.parametrize("seed", shared_out(0, 1, 2, 3))
def test_of_40_pairs_of_causes_both_are_named_in_36(seed):
    plants = pairs(seed, 40)
    missed = [p.causes for i, p in enumerate(plants) if not named(trace(*planted(p, 1000 * seed + i)), p.causes)]
    assert len(missed) <= 4, missed


@pytest.mark.parametrize("i", [0, 1, 2, 3, 6])
def test_two_causes_at_once_are_peeled_one_by_one(i):
    plant = pairs(0, 7)[i]
    found = trace(*planted(plant, i))
    assert named(found, plant.causes)
    assert found.unnamed == ""


# Where only the weights after each step were recorded, gradients and activations are not there to be compared.
@pytest.mark.parametrize("name", ["beta_2", "nesterov", "L2 on biases", "summed loss in Adam", "leaky slope", "rho"])
def test_the_weights_alone_are_enough(name):
    found = trace(*planted(SINGLES[name], 0, watched=()))
    assert named(found, SINGLES[name].causes)
    assert (found.free.phase, found.free.step) == (SINGLES[name].phase, SINGLES[name].step)


SOIL = {"layers": (20, 30, 6), "l2": 0.02, "epochs": 2}  # weights enough to tell the law of a start


def last(training):
    """All weights at the end of a planted training."""
    recording = record(training)
    return np.concatenate(
        [value.ravel() for layer in recording.weights_at(recording.steps) for value in layer.values()]
    )


@pytest.mark.parametrize(
    ("soil", "planted_causes"),
    [
        ({}, {"l2_factor": {"l2_factor": 2.0}, "reduction": {"reduction": "sum"}}),
        ({}, {"l2_tensors": {"l2_tensors": "weights and biases"}, "init": {"init": "torch_uniform"}}),
        ({"optimizer": "adam", "learning_rate": 0.01}, {"beta_1": {"beta_1": 0.5}, "epsilon": {"epsilon": 1e-4}}),
        ({}, {"batches": {"batches": "in_order"}, "l2_factor": {"l2_factor": 2.0}}),
    ],
)
def test_causes_are_ordered_by_what_each_does_to_the_weights(soil, planted_causes):
    """What each does is counted by the code that planted them: B with that cause undone, and B with all of them."""
    soil = Training(**SOIL, **soil)
    faulty = replace(soil, **{key: value for changes in planted_causes.values() for key, value in changes.items()})
    found = trace(record(soil), record(faulty, soil)).causes
    assert {cause.name for cause in found} == set(planted_causes)
    whole, both = last(faulty), np.linalg.norm(last(soil) - last(faulty))
    for cause in found:
        without = replace(faulty, **{key: getattr(soil, key) for key in planted_causes[cause.name]})
        assert cause.effect == pytest.approx(np.linalg.norm(last(without) - whole) / both, rel=1e-6)
    assert [cause.effect for cause in found] == sorted((cause.effect for cause in found), reverse=True)


def test_the_evidence_is_a_regression_that_anybody_can_redo():
    plant = SINGLES["L2 without a half"]
    a, b = planted(plant, 0)
    (cause,) = trace(a, b).causes
    assert f"g_B = 1 g_A + {2 * plant.soil['l2']:.6g} W, R² 1.000000" in cause.evidence
    assert cause.before > 1e6
    assert cause.after < 10


def test_other_roundings_are_no_divergence():
    """The same training in PyTorch, and in NumPy with the rows of each batch reversed."""
    a = record(Training(optimizer="adam", learning_rate=0.01, l2=0.01))
    turned = np.array([[*rows[rows >= 0][::-1], *rows[rows < 0]] for rows in a.rows])
    found = identify(replace(a, rows=turned, activations=None, logits=None), config_of(a))
    assert not found.causes
    assert found.followed
    same = trace(a, record(Training(optimizer="adam", learning_rate=0.01, l2=0.01)))
    assert (same.free, same.forced, same.causes, same.unnamed) == (None, None, (), "")


def test_other_draws_of_one_law_are_no_cause():
    a, b = record(Training(layers=(20, 30, 6))), record(Training(layers=(20, 30, 6), start_seed=1, order_seed=1))
    found = trace(a, b)
    assert found.causes == ()
    assert found.free.phase == "data order"
    assert found.forced is None
    assert len(found.notes) == 2


def small(**training):
    table = small_table()
    table["training"] |= training
    table["sweep"] = {"learning_rate": [0.05], "l2": [0.01]}
    return parse(table)


FAULTS = {
    "DoubledL2": ("l2_factor", "full", {}),
    "OwnBeta": ("beta_2", 0.97, {"optimizer": "adam"}),
    "Summing": ("reduction", "sum", {}),
    "SteepLeak": ("leaky_slope", 0.2, {"activation": "leaky_relu"}),
    "DecayingBiases": ("l2_tensors", "weights and biases", {}),
}


def adapter_trace(adapter, steps=30, **changes):
    table = small_table()
    table["network"]["hidden"] = [6]
    table["network"] |= {key: changes.pop(key) for key in ("activation",) if key in changes}
    table["training"] |= {"epochs": 8, **changes}
    table["sweep"] = {"learning_rate": [0.05], "l2": [0.01]}
    experiment = parse(table)
    datasets = load_datasets(experiment)
    trial = trial_of(experiment, datasets, next(iter(experiment.cells())), 0, "controlled")
    member = controlled_side(trial, datasets, steps)
    theirs = train_watched(f"tests.planted_adapters:{adapter}", adapter, member)
    return trace(watched(member, steps, "controlled"), theirs, member.config, member.row)


@pytest.mark.parametrize("adapter", FAULTS)
def test_an_adapter_s_fault_is_named_through_the_contract_alone(adapter):
    name, value, changes = FAULTS[adapter]
    found = adapter_trace(adapter, **changes)
    assert named(found, {name: value}), found.causes
    assert found.unnamed == ""


def test_what_the_table_has_not_is_located_and_said_to_have_no_name():
    found = adapter_trace("Forgetful", steps=8)
    assert (found.free.step, found.free.phase) == (3, "updated weights")
    assert "step 3" in found.unnamed


@pytest.mark.parametrize(
    ("a", "b", "training"),
    [
        ("keras", "torch", {}),
        ("sklearn", "torch", {"optimizer": "adam"}),
        ("torch", "keras", {"optimizer": "rmsprop"}),
        ("sklearn", "numpy", {"optimizer": "nesterov"}),
        ("controlled", "course-2024", {"optimizer": "adam"}),
        ("controlled", "assignment-2019", {}),
    ],
)
def test_the_walk_finds_what_the_rows_differ_in_from_what_they_do(a, b, training):
    experiment = small(epochs=6, **training)
    found = trace_names(experiment, (a, b), next(iter(experiment.cells())))
    datasets = load_datasets(experiment)
    trial = trial_of(experiment, datasets, next(iter(experiment.cells())), 0, "native")
    rows = [row_of(name, trial.config, trial.recipe) for name in (a, b)]
    phases = {name: CONVENTIONS[name].phase for name in differing(trial.config, *rows)}
    # with a constant learning rate the two forms of momentum are one, and so are the constants' dtypes of float32
    same = {"momentum_form", "constants", "hidden", "activation", "epochs", "batch_size"}
    # and where nothing overflows, so are softmax with its shift and without
    same |= {"probabilities"} if "unshifted" in {row.probabilities for row in rows} else set()
    expected = {name for name, phase in phases.items() if phase not in ("metric", "stop", "order")} - same
    names = {"l2_tensors" if cause.name == "l2" else cause.name for cause in found.causes}  # an L2 of 0, or on nothing
    seen = {name for name in names if CONVENTIONS[name].phase != "order"} - same
    assert found.unnamed == found.unnamed_a == ""
    assert seen == expected
    assert (found.drawn is not None) == bool({"init", "bias", "dtype"} & set(phases) or "order" in phases.values())


@pytest.mark.parametrize("init", [init for init in INITS if "(" not in init] + ["normal(0.3)", "uniform(0.2)"])
@pytest.mark.parametrize("bias", [0.0, 0.1, "as_weights", "torch_uniform"])
def test_the_law_of_a_start_is_told_from_its_draws(init, bias):
    config = Config.of(30, 5, (40,), ("tanh",), optimizer="sgd", learning_rate=0.1, batch_size=10, epochs=1)
    if init == "zeros" and bias == "as_weights":
        bias = 0.0
    if init == bias:
        bias = "as_weights"  # the two are one law
    for repeat in range(5):
        start = draw_start(config, Recipe(init=init, bias=bias), 0, repeat)
        law = law_of_weights(start)
        # LeCun's normal law and PyTorch's uniform one are each alone with their spread; glorot's and he's too
        assert law.value == init
        assert law_of_biases(start, law.value).value == bias


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_start_that_is_not_finite_has_no_law(value):
    start = ({"W": np.array([[0.1, value], [0.2, 0.3]]), "b": np.array([0.1, value])},)
    assert law_of_weights(start).value is law_of_biases(start, None).value is None


@pytest.mark.parametrize("batches", ["permutation", "independent", "replacement", "in_order", "bootstrap", "skipping"])
@pytest.mark.parametrize("last_batch", ["keep", "drop", "merge"])
def test_the_law_of_batches_is_told_from_their_rows(batches, last_batch):
    from harness.replay.training import Member

    config = Config.of(3, 2, (4,), ("tanh",), optimizer="sgd", learning_rate=0.1, batch_size=12, epochs=3)
    if batches == "skipping" and last_batch == "merge":
        last_batch = "keep"
    recipe = Recipe(batches=batches, last_batch=last_batch)
    drawn = draw_batches(config, recipe, 67, 0, 0)
    member = Member(config, None, draw_start(config, recipe, 0, 0), drawn, np.zeros((67, 3)), np.zeros(67, int))
    laws = laws_of_batches(draws_of(member, "x"))
    assert laws["batches"].value == batches
    assert laws["batch_size"].value == 12
    assert laws["last_batch"].value == last_batch


@pytest.mark.parametrize(("backend", "optimizer"), [("sklearn", "sgd"), ("torch", "adam"), ("numpy", "rmsprop")])
def test_a_watched_native_fit_is_identified_as_what_it_is(backend, optimizer):
    from tests.test_watch import watched as fitted

    recording = fitted(backend, optimizer)
    found = identify(recording, config_of(recording))
    assert (found.nearest, found.differs, found.unnamed) == (backend, (), "")
    assert found.followed
    assert found.deviation <= 100 * max(found.floor, 1e-14)


@pytest.fixture
def files(tmp_path):
    paths = []
    for name, recording in zip("ab", planted(SINGLES["epsilon-hat"], 0), strict=True):
        paths.append(str(tmp_path / f"{name}.npz"))
        write(recording, tmp_path / f"{name}.npz")
    return paths


def test_a_recording_keeps_its_activations(files, tmp_path):
    a, _ = planted(SINGLES["epsilon-hat"], 0)
    kept = read(tmp_path / "a.npz")
    assert all(np.array_equal(x, y) for x, y in zip(kept.activations, a.activations, strict=True))


def test_the_command_tells_it_in_plain_text_and_in_json(files, tmp_path, capsys):
    assert invoke(["trace", *files, "-o", str(tmp_path / "trace.json")]) == 0
    told = capsys.readouterr().out
    assert "step 1 (epoch 1), updated weights, weights/0/W" in told
    assert "1. place of epsilon: outside -> hat  (epsilon_place)" in told
    assert "effect: 100 % of what all causes together do to the last weights" in told
    assert "Only rounding is left" in told
    assert max(map(len, told.splitlines())) <= 100
    written = json.loads((tmp_path / "trace.json").read_text())
    assert written["causes"][0]["name"] == "epsilon_place"


def test_the_command_trains_adapters_in_workers(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        registry, "BUILT_IN", (*registry.BUILT_IN, Backend("summing", "tests.planted_adapters:Summing", ("numpy",)))
    )
    registry.backends.cache_clear()
    experiment = small(epochs=6)
    found = trace_names(experiment, ("numpy", "summing"), next(iter(experiment.cells())), mode="controlled")
    registry.backends.cache_clear()
    assert named(found, {"reduction": "sum"})


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nowhere.npz", "b.npz"], ["nowhere.npz", "no such file"]),
        (["keras", "torch"], ["keras", "EXP A B"]),
        (["one"], ["expected EXP A B"]),
        (["digits-quick", "keras", "torhc", "--cell", "learning_rate=0.1,l2=0.001"], ["did you mean 'torch'"]),
        (["digits-quick", "keras", "torch"], ["--cell"]),
        (["digits-quick", "keras", "torch", "--mode", "nativ"], ["did you mean 'native'"]),
        (["digits-quick", "keras", "torch", "--steps", "0"], ["--steps 0"]),
    ],
)
def test_a_wrong_request_is_one_line(arguments, expected, capsys):
    assert invoke(["trace", *arguments]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert all(text in told for text in expected), told


def test_targets_and_weights_that_cannot_be_walked_are_named():
    recording = record(Training())
    overflown = tuple({**layer, "W": layer["W"] * np.inf} for layer in recording.weights)
    for change, told in (
        ({"y": recording.y + 1}, "from 0 to 3"),
        ({"y": recording.X[:, :4]}, "y has shape \\(46, 4\\), float64; allowed for several classes"),
        ({"weights": overflown}, "not finite before the first step"),
    ):
        with pytest.raises(RequestError, match=told):
            trace(recording, replace(recording, **change))


def test_settings_that_are_missing_or_cannot_be_are_named():
    recording = record(Training())
    for settings, told in (
        ({"learning_rate": 0.1}, "activation"),
        ({"learning_rate": 0.1, "activation": "tahn"}, "tahn"),
        ({"learning_rate": 0.1, "activation": "tanh", "task": "multi"}, "task"),
        ({"learning_rate": 0.1, "activation": "tanh", "loss": "mse"}, "loss"),
        ({"learning_rate": "much", "activation": "tanh"}, "learning_rate"),
        ({"learning_rate": 0.1, "activation": "tanh", "optimizer": "adm"}, "did you mean 'adam'"),
    ):
        with pytest.raises(RequestError, match=told):
            config_of(replace(recording, settings=settings))
