"""Trial ids: made of all that decides a result, and of nothing else."""

import copy
import hashlib
from dataclasses import replace

import numpy as np
import pytest

from harness.experiment.datasets import load_datasets
from harness.experiment.file import load, parse
from harness.planning.plan import make_config, plan
from harness.support.errors import RequestError
from tests.conftest import small_table

IRIS = load_datasets(parse(small_table()))["iris"]


def trials(section=None, dataset=None, **changes):
    table = copy.deepcopy(small_table())
    (table if section is None else table[section]).update(changes)
    experiment = parse(table)
    return plan(experiment, {"iris": dataset} if dataset else load_datasets(experiment))


def ids(*args, **kwargs):
    return {(t.backend, t.mode, t.seed, t.position): t.id for t in trials(*args, **kwargs)}


def test_one_trial_for_every_setting():
    assert len(trials()) == 2 * 2 * 2 * 2
    assert len(set(ids(section="run", seeds=3).values())) == 2 * 2 * 2 * 2 * 3


@pytest.mark.parametrize(
    ("section", "changes"),
    [
        (None, {"name": "other", "title": "Other"}),
        ("run", {"time_limit": 5.0, "curves": False, "parity": "none"}),
        ("sweep", {"learning_rate": [0.1 + 1e-15, 0.5]}),
        ("training", {"optimizer": "sgd"}),  # the default, said aloud
    ],
)
def test_what_does_not_decide_a_result_is_not_in_its_id(section, changes):
    assert ids(section, **changes) == ids()


@pytest.mark.parametrize(
    ("section", "changes"),
    [
        ("data", {"test_fraction": 0.3}),
        ("data", {"validation_fraction": 0.1}),
        ("data", {"scale": "minmax"}),
        ("network", {"hidden": [5]}),
        ("network", {"activation": "relu"}),
        ("training", {"optimizer": "adam"}),
        ("training", {"epochs": 4}),
        ("training", {"batch_size": 17}),
        ("training", {"dtype": "float32"}),
        ("data", {"stratify": False}),
        ("data", {"degree": 2}),
        ("network", {"activation": "leaky_relu"}),
        ("training", {"l1": 0.1}),
        ("network", {"dropout": 0.5}),
        ("network", {"input_dropout": 0.5}),
        ("network", {"batch_norm": True}),
        ("training", {"clip_norm": 1.0}),
        ("training", {"clip_value": 1.0}),
        ("training", {"schedule": "cosine"}),
        ("training", {"patience": 3}),
        ("run", {"seed": 1}),
        ("sweep", {"learning_rate": [0.1 + 1e-9, 0.5 + 1e-9]}),
    ],
)
def test_what_decides_a_result_is_in_its_id(section, changes):
    assert not set(ids(section, **changes).values()) & set(ids().values())


@pytest.mark.parametrize(
    ("section", "changes"),
    [
        ("network", {"init": "he_normal"}),
        ("network", {"bias": 0.1}),
        ("training", {"reduction": "sum"}),
        ("training", {"batches": "independent"}),
        ("training", {"last_batch": "drop"}),
    ],
)
def test_what_is_never_handed_to_a_framework_leaves_its_native_trials_alone(section, changes):
    before, after = ids(), ids(section, **changes)
    for key, trial_id in before.items():
        assert (after[key] == trial_id) is (key[1] == "native")


def test_data_are_known_by_content_not_by_name():
    renamed = replace(IRIS, name="flowers")
    touched = replace(IRIS, X=IRIS.X + 1e-9)
    assert ids(dataset=renamed) == ids()
    assert not set(ids(dataset=touched).values()) & set(ids().values())


def test_list_positions_are_not_in_an_id():
    turned = {t.cell["learning_rate"]: t.id for t in trials("sweep", learning_rate=[0.5, 0.1], l2=[0.0])}
    straight = {t.cell["learning_rate"]: t.id for t in trials("sweep", learning_rate=[0.1, 0.5], l2=[0.0])}
    assert turned == straight


def test_a_batch_larger_than_the_data():
    with pytest.raises(RequestError, match=r"batch_size = 91: larger than the 90 training rows of 'iris'"):
        trials("training", batch_size=91)


def test_a_split_that_leaves_nothing():
    with pytest.raises(RequestError, match="leave no training rows"):
        trials("data", test_fraction=0.6, validation_fraction=0.4)


def test_constants_are_written_only_where_the_file_writes_them():
    unsaid, said = trials("training", optimizer="adam")[0], trials("training", optimizer="adam", epsilon=1e-8)[0]
    assert (unsaid.config.written, said.config.written) == (frozenset(), frozenset({"epsilon"}))
    assert unsaid.id == said.id  # controlled: the same number either way


def test_native_mode_is_given_float64_unless_the_file_says_a_dtype():
    for changes, expected in (({}, "float64"), ({"dtype": "float32"}, "float32")):
        native = next(t for t in trials("training", **changes) if t.mode == "native")
        assert native.prepare(IRIS).train.X.dtype == expected


def test_large_seeds_are_told_apart():
    first, second = (ids("run", seed=10**12 + k) for k in (1, 2))
    assert not set(first.values()) & set(second.values())


def test_too_many_trials_are_refused_before_they_are_planned():
    with pytest.raises(RequestError, match="trials planned; at most 100000;"):
        trials("run", seeds=1_000_000_000)


def test_a_loss_of_another_task_is_refused():
    with pytest.raises(RequestError, match=r"training.loss = 'mse': the task is multiclass; allowed: cross_entropy"):
        trials("training", loss="mse")


def test_a_task_that_the_targets_do_not_allow():
    with pytest.raises(RequestError, match=r"data.task = 'binary': 'iris' is multiclass; allowed: multiclass"):
        trials("data", task="binary")


def test_an_option_that_the_dataset_does_not_take():
    with pytest.raises(RequestError, match=r"data.rows = 9: 'iris' has no such option; taken by: .*moons"):
        trials("data", rows=9)


def test_a_full_batch_and_a_number_of_batches_are_sizes_in_the_end():
    assert trials("training", batch_size="full")[0].config.batch_size == 90
    table = small_table()
    table["training"] = {"epochs": 3, "n_batches": 7}
    experiment = parse(table)
    assert plan(experiment, load_datasets(experiment))[0].config.batch_size == 13


def test_a_fold_of_one_s_own_for_every_trial():
    table = small_table()
    table["data"] = {"name": "iris", "folds": 5}
    experiment = parse(table)
    planned = plan(experiment, load_datasets(experiment))
    assert len(planned) == 5 * len(trials())
    assert len({trial.id for trial in planned}) == len(planned)
    validation = [set(trial.rows(IRIS).validation) for trial in planned if trial.cell["l2"] == 0.0][:40:4]
    assert set.union(*validation) == {*planned[0].rows(IRIS).validation, *planned[0].rows(IRIS).train}


def test_weights_from_a_file_are_known_by_their_values(tmp_path):
    def planned(name, **arrays):
        np.savez(tmp_path / name, **arrays)
        table = small_table()
        table["network"] = {"hidden": [4], "init": name}
        experiment = parse(table, str(tmp_path / "my.toml"))
        return plan(experiment, load_datasets(experiment))[0]

    weights = {"0/W": np.ones((4, 4)), "1/W": np.full((4, 3), 0.5), "1/b": np.arange(3)}
    first = planned("a.npz", **weights)
    assert first.start()[0]["b"].tolist() == [0, 0, 0, 0]
    assert first.start()[1]["b"].tolist() == [0, 1, 2]
    assert planned("b.npz", **weights).id == first.id
    assert planned("c.npz", **{f"start/{key}": value for key, value in weights.items()}).id == first.id
    assert planned("d.npz", **{**weights, "1/W": np.zeros((4, 3))}).id != first.id
    for bad, message in (
        ({**weights, "1/W": np.zeros((3, 4))}, r"1/W has shape \(3, 4\), expected numbers of shape \(4, 3\)"),
        ({**weights, "0/W": np.full((4, 4), np.nan)}, "finite numbers"),
        ({"1/W": weights["1/W"]}, "holds no weights"),
        (
            {**weights, "2/W": np.ones((3, 3))},
            r"2/W do not belong to a network of input\(4\), dense\(4\), sigm",
        ),
        ({"0/W": weights["0/W"]}, "has no array 1/W"),
    ):
        with pytest.raises(RequestError, match=message):
            planned("bad.npz", **bad)
    (tmp_path / "e.npz").write_text("no archive")
    with pytest.raises(RequestError, match="not an NPZ file"):
        trials("network", init=str(tmp_path / "e.npz"))
    with pytest.raises(RequestError, match="no such file"):
        trials("network", init=str(tmp_path / "nowhere.npz"))


def test_a_fault_in_a_far_cell_is_found_when_it_is_planned():
    table = small_table()
    table["network"] = {"activation": ["tanh", "tanh"]}
    del table["training"]["batch_size"]
    table["training"]["learning_rate"] = 0.1
    table["sweep"] = {"hidden": [*([n, 2] for n in range(1, 301)), [3]], "batch_size": list(range(1, 71))}
    experiment = parse(table)
    with pytest.raises(RequestError, match="2 names for 1 hidden layers"):
        plan(experiment, load_datasets(experiment))


PINNED = {  # both modes, two repeats: SHA-256 of all ids and reference ids, its first 16 digits
    "gates": "7a68885d0fe05374",
    "optimizers": "c2ec6ab5dac42e5f",
    "digits-grid": "a52efede1ddb7f38",
    "activations": "af7734f9d532567c",
    "polynomial": "ebd51ba810603256",
    "notebook-2018": "59a5ea69ecd80f38",
    "digits-deep": "4df066ed3d5d0108",
}


@pytest.mark.parametrize("name", PINNED)
def test_ids_are_those_of_the_stores_that_people_have(name):
    experiment = load(name).override(modes=("controlled", "native"), seeds=2)
    planned = plan(experiment, load_datasets(experiment))
    text = "".join(trial.id + trial.reference_id for trial in planned)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == PINNED[name]


def test_cells_that_are_planned_together_have_the_configs_that_they_would_have_alone():
    axes = {"optimizer": ["sgd", "momentum", "adam"], "momentum": [0.5, 0.9], "l1": [0.0, 0.1], "dropout": [0.0, 0.5]}
    experiment = parse(small_table() | {"sweep": {"learning_rate": [0.1, 0.5], **axes}})
    planned = plan(experiment, {"iris": IRIS})
    assert len({trial.position for trial in planned}) == 2 * 3 * 2 * 2 * 2
    for trial in planned:
        assert trial.config == make_config(experiment.at(trial.cell), IRIS, 90)
