"""Which trials are trained together, and what becomes of them when one goes wrong."""

import copy
import sqlite3

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness import registry
from harness.contract import structure_of
from harness.execution import worker
from harness.experiment.datasets import load_datasets
from harness.experiment.file import parse
from harness.linting.findings import LintWarning
from harness.manifest import Backend
from harness.planning import cohorts
from harness.planning.cohorts import chunks, most_members
from harness.planning.plan import plan
from harness.training.extras import Keep
from harness.training.metrics import score_of
from harness.training.trial import train_stack
from tests import faults
from tests.conftest import small_table
from tests.mutants_of_stacks import CorrectStack


@pytest.fixture
def stack_backends(monkeypatch):
    """References side by side as a stack, and the same with faults."""
    extra = (
        Backend("mutant", "tests.mutants_of_stacks:CorrectStack", ("numpy",)),
        Backend("faulty-stack", "tests.faults:FaultyStack", ("numpy",)),
        Backend("threes", "tests.faults:OnlyThrees", ("numpy",)),
    )
    monkeypatch.setattr(registry, "BUILT_IN", registry.BUILT_IN + extra)
    registry.backends.cache_clear()
    yield
    registry.backends.cache_clear()


def only_swept(table):
    """A key is set in one place: what is swept is taken out of the other tables."""
    return {
        name: values
        if name == "sweep" or not isinstance(values, dict)
        else {key: value for key, value in values.items() if key not in table["sweep"]}
        for name, values in table.items()
    }


def planned(sweep=None, **tables):
    table = copy.deepcopy(small_table())
    table["run"]["backends"] = ["numpy"]
    table["run"]["modes"] = ["controlled"]
    for name, values in tables.items():
        table[name].update(values)
    table["sweep"] = sweep or table["sweep"]
    experiment = parse(only_swept(table))
    return plan(experiment, load_datasets(experiment))


@pytest.mark.parametrize(
    ("sweep", "expected"),
    [
        ({"learning_rate": [0.1, 0.2], "l2": [0.0, 0.1]}, 1),
        ({"learning_rate": [0.1, 0.2], "l1": [0.01, 0.1]}, 1),
        ({"l1": [0.0, 0.1]}, 2),
        ({"init": ["he_normal", "zeros"], "bias": [0.0, 0.1]}, 1),
        ({"hidden": [[3], [4]]}, 2),
        ({"activation": ["tanh", "relu"]}, 2),
        ({"reduction": ["mean", "sum"]}, 2),
        ({"batch_size": [8, 16]}, 2),
        ({"optimizer": ["sgd", "adam"]}, 2),
        ({"epsilon": [1e-8, 1e-6], "beta_1": [0.8, 0.9], "optimizer": ["adam"]}, 1),
        ({"dropout": [0.1, 0.2]}, 1),
        ({"dropout": [0.0, 0.2]}, 2),
        ({"clip_norm": [0.1, 0.2], "optimizer": ["sgd", "momentum"]}, 2),
        ({"batches": ["permutation", "in_order"]}, 2),
        ({"fold": [0, 1]}, 2),
    ],
)
def test_a_cohort_shares_everything_but_numbers_and_starts(sweep, expected):
    more = {"network": {}, "data": {"folds": 2, "validation_fraction": 0} if "fold" in sweep else {}}
    training = {} if "learning_rate" in sweep else {"learning_rate": 0.1}
    cut = chunks(planned(sweep, training=training, **more), stacks=True)
    assert len(cut) == expected
    for chunk in cut:
        assert len({structure_of(trial.config) for trial in chunk.trials}) == 1


def test_repeats_are_apart_and_so_is_every_native_fit():
    cut = chunks(planned(run={"seeds": 3, "modes": ["controlled", "native"]}), stacks=True)
    assert sorted(len(chunk.trials) for chunk in cut) == [1] * 12 + [4] * 3


def test_a_trainer_of_one_network_gets_one_trial_at_a_time():
    assert {len(chunk.trials) for chunk in chunks(planned(), stacks=False)} == {1}


def iris():
    """The data of `TRIALS`."""
    return load_datasets(parse(small_table()))[TRIALS[0].data.key]


TRIALS = planned({"learning_rate": {"linspace": [0.1, 1.0, 40]}, "l2": [0.0, 0.1]})


@given(st.integers(1, len(TRIALS)), st.integers(cohorts.FEWEST_MEMBERS, 30))
def test_chunks_hold_every_trial_once_in_at_most_two_shapes(count, most):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cohorts, "MOST_MEMBERS", most)
        cut = chunks(TRIALS[:count], stacks=True)
    assert [trial for chunk in cut for trial in chunk.trials] == TRIALS[:count]
    sizes = {len(chunk.trials) for chunk in cut}
    assert len(sizes) <= 2
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1
    assert {chunk.width for chunk in cut} == {max(sizes)}


def test_a_chunk_fits_the_cache():
    wide = planned({"learning_rate": [0.1]}, network={"hidden": [2000, 2000]})[0].config
    small = TRIALS[0].config
    assert most_members(wide) == cohorts.FEWEST_MEMBERS
    assert most_members(small) == cohorts.MOST_MEMBERS
    assert most_members(small, n_rows=1_000_000) == 128 * 2**20 // (8 * 1_000_000 * 7)


def stacked_table(sweep, **run):
    table = copy.deepcopy(small_table())
    table["training"].update(optimizer="momentum", learning_rate=0.1)
    table["sweep"] = sweep
    table["run"] = {"backends": ["mutant"], "modes": ["controlled"], "time_limit": 30.0, **run}
    return parse(only_swept(table))


def sweep(experiment, store, **kwargs):
    return harness.run(experiment, store=store, progress=False, **kwargs).frame()


@pytest.mark.usefixtures("stack_backends")
def test_trials_of_a_chunk_share_its_time_and_say_how_many_they_are(store):
    frame = sweep(stacked_table({"learning_rate": [0.1, 0.2, 0.3]}), store)
    assert set(frame["stack_size"]) == {3}
    assert frame["train_seconds"].nunique() == 1
    assert set(frame["verdict"]) == {"agrees"}


@pytest.mark.usefixtures("stack_backends")
@pytest.mark.parametrize("backend", ["mutant", "numpy"])
def test_a_missing_trial_is_trained_in_its_whole_chunk_and_stored_alone(store, backend):
    experiment = stacked_table({"learning_rate": [0.1, 0.2, 0.3]}, backends=[backend])
    first = sweep(experiment, store)
    with sqlite3.connect(store.removeprefix("sqlite:///")) as connection:
        connection.execute("UPDATE trials SET finished_at = 'then'")
        connection.execute("DELETE FROM trials WHERE trial_id = ?", [first["trial_id"][1]])
    again = sweep(experiment, store)
    assert (again["finished_at"] == "then").tolist() == [True, False, True]
    same = ["trial_id", "test_loss", "train_loss", "deviation", "stack_size"]
    pd.testing.assert_frame_equal(first[same], again[same])  # to the last bit


@pytest.mark.usefixtures("stack_backends")
@pytest.mark.parametrize("parity", ["all", "none"])
def test_a_chunk_that_goes_down_costs_only_the_guilty(store, parity):
    momenta = [faults.FINE, faults.EXIT, 0.9, faults.RAISE, faults.OVERFLOW]
    experiment = stacked_table({"momentum": momenta}, backends=["faulty-stack"], parity=parity)
    frame = sweep(experiment, store).set_index("momentum")
    assert frame["status"].to_dict() == {
        faults.FINE: "ok",
        faults.EXIT: "crashed",
        0.9: "ok",
        faults.RAISE: "crashed",
        faults.OVERFLOW: "diverged",
    }
    assert "exit code 3" in frame.loc[faults.EXIT, "reason"]
    assert "one of these cannot be trained" in frame.loc[faults.RAISE, "reason"]
    assert set(frame["stack_size"].dropna()) == {1}


@pytest.mark.usefixtures("stack_backends")
def test_a_chunk_that_hangs_costs_only_the_guilty(store):
    experiment = stacked_table({"momentum": [faults.HANG, 0.9]}, backends=["faulty-stack"], time_limit=3.0)
    frame = sweep(experiment, store).set_index("momentum")
    assert frame["status"].to_dict() == {faults.HANG: "timeout", 0.9: "ok"}


@pytest.mark.usefixtures("stack_backends")
def test_a_member_that_diverges_leaves_the_others_as_they_are(store):
    with pytest.warns(LintWarning, match="1 of 3 cells"):
        together = sweep(stacked_table({"l2": [0.0, 1e200, 0.1]}), store).set_index("l2")
    assert together["status"].to_dict() == {0.0: "ok", 1e200: "diverged", 0.1: "ok"}
    assert set(together["verdict"]) == {"agrees"}


@pytest.mark.usefixtures("stack_backends")
def test_members_stop_when_their_own_patience_runs_out(store):
    table = copy.deepcopy(small_table())
    table["training"].update(epochs=40, patience=2, min_delta=0.01)
    table["sweep"] = {"learning_rate": [1e-4, 0.05, 0.5]}
    table["run"] = {"backends": ["mutant", "numpy"], "modes": ["controlled"]}
    frame = sweep(parse(table), store)
    assert set(frame["verdict"]) == {"agrees"}
    epochs = frame[frame["backend"] == "mutant"]["epochs_run"].tolist()
    assert epochs[0] == 3  # after the first nothing gets better at this pace
    assert len(set(epochs)) > 1
    assert frame[frame["backend"] == "numpy"]["epochs_run"].tolist() == epochs


@pytest.mark.usefixtures("stack_backends")
def test_a_trainer_that_compiles_sees_stacks_of_one_width(store, monkeypatch):
    monkeypatch.setattr(cohorts, "MOST_MEMBERS", 3)
    experiment = stacked_table({"learning_rate": [0.1, 0.2, 0.3, 0.4, 0.5]}, backends=["threes"])
    frame = sweep(experiment, store)
    assert frame["status"].tolist() == ["ok"] * 5, frame["reason"].tolist()
    assert set(frame["verdict"]) == {"agrees"}
    assert sorted(frame["stack_size"]) == [2, 2, 3, 3, 3]  # copies that fill up are nobody's result


@pytest.mark.usefixtures("stack_backends")
def test_a_stack_that_fails_is_told_of_in_every_row_that_it_should_have_made(store):
    experiment = stacked_table({"momentum": [faults.FINE, faults.RAISE, 0.9]}, backends=["faulty-stack"])
    frame = sweep(experiment, store).set_index("momentum")
    assert frame["status"].to_dict() == {faults.FINE: "ok", faults.RAISE: "crashed", 0.9: "ok"}
    assert set(frame["stack_size"].dropna()) == {1}
    for momentum in (faults.FINE, 0.9):
        assert frame.loc[momentum, "reason"].startswith("trained alone, since the stack failed: RuntimeError: one of")


class ForgetsOne(CorrectStack):
    def stack_weights(self):
        return tuple({key: value[1:] for key, value in layer.items()} for layer in super().stack_weights())


class OneLogitTooFew(CorrectStack):
    def stack_logits(self, X):
        return super().stack_logits(X)[..., 1:]


@pytest.mark.parametrize(
    ("trainer", "told"),
    [
        (ForgetsOne, r"stack_weights\(\) holds 1 members, expected 2"),
        (OneLogitTooFew, r"stack_logits\(\) has shape \(2, 90, 2\), expected \(2, 90, 3\)"),
    ],
)
def test_a_stack_of_another_shape_is_said_to_be_one(trainer, told):
    trials = TRIALS[:2]
    prepared = trials[0].prepare(iris())
    batches = [trial.batches(len(prepared.train.y)) for trial in trials]
    with pytest.raises(RuntimeError, match=told):
        train_stack(trainer, [t.config for t in trials], [t.start() for t in trials], batches, prepared)


def test_only_the_best_of_the_wanted_trials_brings_its_weights(monkeypatch):
    monkeypatch.setattr(worker, "_datasets", {TRIALS[0].data.key: iris()})
    path = "tests.mutants_of_stacks:CorrectStack"
    every = worker.run_chunk(TRIALS[:6], path)
    assert all(outcome.weights is not None for outcome in every)
    best = max(range(3), key=lambda i: score_of(every[i].metrics))
    light = worker.run_chunk(TRIALS[:6], path, keep=Keep((True,) * 3 + (False,) * 3))
    assert [outcome.weights is not None for outcome in light] == [i == best for i in range(6)]
    assert [outcome.metrics for outcome in light] == [outcome.metrics for outcome in every]
