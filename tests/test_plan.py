"""Trial ids: made of all that decides a result, and of nothing else."""

import copy
from dataclasses import replace

import pytest

from harness.data import Dataset, load_dataset
from harness.errors import RequestError
from harness.experiment import parse
from harness.plan import plan
from tests.conftest import small_table

IRIS = load_dataset("iris")


def trials(section=None, dataset=IRIS, **changes):
    table = copy.deepcopy(small_table())
    (table if section is None else table[section]).update(changes)
    return plan(parse(table), dataset)


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
        ("run", {"seed": 1}),
        ("sweep", {"learning_rate": [0.1 + 1e-9, 0.5 + 1e-9]}),
    ],
)
def test_what_decides_a_result_is_in_its_id(section, changes):
    assert not set(ids(section, **changes).values()) & set(ids().values())


@pytest.mark.parametrize(
    ("section", "changes"), [("network", {"init": "he_normal"}), ("training", {"reduction": "sum"})]
)
def test_what_is_never_handed_to_a_framework_leaves_its_native_trials_alone(section, changes):
    before, after = ids(), ids(section, **changes)
    for key, trial_id in before.items():
        assert (after[key] == trial_id) is (key[1] == "native")


def test_data_are_known_by_content_not_by_name():
    renamed = replace(IRIS, name="flowers")
    touched = Dataset("iris", IRIS.X + 1e-9, IRIS.y, IRIS.classes)
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
    with pytest.raises(RequestError, match="trials planned; at most 1000000"):
        trials("run", seeds=1_000_000_000)
