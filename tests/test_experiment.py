"""Experiment files: what is read, and the one line that says what is wrong."""

import copy

import pytest

from harness.errors import RequestError
from harness.experiment import load, parse, suites
from tests.conftest import small_table


def changed(section, **changes):
    """The small experiment with some keys of one section set, or (None) removed."""
    table = copy.deepcopy(small_table())
    target = table if section is None else table.setdefault(section, {})
    for key, value in changes.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = value
    return table


BAD = [
    (
        changed("training", learning_rat=0.1),
        ["[training]", "unknown key 'learning_rat'", "did you mean 'learning_rate'"],
    ),
    (changed(None, swep={}), ["unknown key 'swep'", "did you mean 'sweep'"]),
    (changed("data", name="digit"), ["data.name", "unknown dataset 'digit'", "did you mean 'digits'", "iris"]),
    (changed("training", optimizer="adm"), ["training.optimizer", "'adm'", "did you mean 'adam'", "nesterov"]),
    (changed("network", activation="rleu"), ["network.activation", "did you mean 'relu'"]),
    (changed("run", backends=["numpi"]), ["run.backends", "unknown backend 'numpi'", "did you mean 'numpy'"]),
    (changed("run", modes=["nativ"]), ["run.modes", "did you mean 'native'"]),
    (changed("training", epochs=0), ["training.epochs = 0", "at least 1"]),
    (changed("training", epochs=2.5), ["training.epochs = 2.5", "whole number"]),
    (changed("training", batch_size="big"), ["training.batch_size = 'big'", "whole number"]),
    (changed("training", momentum=0.5), ["training.momentum", "no effect", "'sgd'", "nesterov"]),
    (changed("training", learning_rate=0.1), ["sweep.learning_rate", "both swept and fixed", "[training]"]),
    (changed("sweep", learning_rate=[]), ["sweep.learning_rate", "empty"]),
    (changed("sweep", learning_rate=[0.1, -1]), ["sweep.learning_rate = -1", "greater than 0"]),
    (changed("sweep", learning_rate=[0.1, float("inf")]), ["sweep.learning_rate = inf", "finite"]),
    (changed("sweep", learning_rate=[0.1, 0.1]), ["sweep.learning_rate", "twice"]),
    (changed("sweep", learning_rate=[1, 1.0]), ["sweep.learning_rate = [1, 1.0]", "twice"]),
    (changed("sweep", l2=[0.1, -1]), ["sweep.l2 = -1", "at least 0"]),
    (changed("sweep", l2=[0.0, -0.0]), ["sweep.l2", "twice"]),
    (changed("training", beta_1=1.9), ["training.beta_1 = 1.9", "less than 1"]),
    (changed("training", beta1=0.9), ["[training]", "unknown key 'beta1'", "did you mean 'beta_1'"]),
    (changed("training", epochs=10**400), ["training.epochs = 1000", "at most 1000000000"]),
    (changed("data", name=["iris"]), ["data.name", "unknown dataset"]),
    (changed(None, training=5), ["training = 5", "table"]),
    (changed("sweep", l2={"logspace": [1, 2, 3], "linspace": [1, 2, 3]}), ["sweep.l2", "one of logspace and linspace"]),
    (changed("sweep", l2={"logspace": [10**400, 1, 2]}), ["sweep.l2.logspace", "finite numbers"]),
    (changed("run", backends=["numpy", "numpy"]), ["run.backends", "twice"]),
    (changed("sweep", learning_rate={"logspase": [1, 2, 3]}), ["did you mean 'logspace'"]),
    (changed("sweep", learning_rate={"logspace": [1, 2]}), ["[first, last, count]"]),
    (changed("sweep", learning_rate={"logspace": [1, 999, 2]}), ["not a finite number"]),
    (changed("sweep", learning_rat=[1]), ["[sweep]", "did you mean 'learning_rate'"]),
    (changed("sweep", learning_rate=None), ["training.learning_rate is required", "[sweep]"]),
    (changed("network", hidden=4), ["network.hidden = 4", "list"]),
    (changed("network", hidden=[4, 0]), ["network.hidden.1 = 0", "at least 1"]),
    (changed("network", activation=["tanh", "relu"]), ["2 names for 1 hidden"]),
    (changed("data", test_fraction=1.0), ["data.test_fraction = 1.0", "less than 1"]),
    (changed("data", scale=-2), ["data.scale = -2", "positive number"]),
    (changed("data", scale="minmx"), ["did you mean 'minmax'"]),
    (changed(None, name="../escape"), ["name = '../escape'", "letters"]),
    (changed(None, data=3), ["data = 3", "table"]),
    (changed("run", seeds=0), ["run.seeds = 0", "at least 1"]),
    (changed("run", parity="some"), ["run.parity", "all, none"]),
]


@pytest.mark.parametrize(("table", "expected"), BAD, ids=[expected[0] for _, expected in BAD])
def test_bad_input_is_one_line_that_says_what_and_where(table, expected):
    with pytest.raises(RequestError) as error:
        parse(table, "my.toml")
    message = str(error.value)
    assert message.startswith("my.toml")
    assert "\n" not in message
    for part in expected:
        assert part in message


def test_a_file_that_is_no_toml(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text("name = = 3")
    with pytest.raises(RequestError, match=r"bad\.toml: not a TOML file: .*line 1"):
        load(path)


def test_a_misspelt_suite_is_told_the_nearest():
    with pytest.raises(RequestError, match="did you mean 'digits-quick'"):
        load("digits-quik")


def test_a_missing_file_is_told_as_such():
    with pytest.raises(RequestError, match=r"nowhere\.toml: no such experiment file"):
        load("nowhere.toml")


def test_the_grid_is_the_one_that_was_agreed():
    grid = load("digits-grid")
    powers = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
    assert grid.sweep == {"learning_rate": powers, "l2": powers}
    assert len(list(grid.cells())) * len(grid.run.backends) * len(grid.run.modes) == 490
    assert (grid.data.scale, grid.network.hidden, grid.network.activation) == (16, (50,), "sigmoid")
    assert (grid.training.batch_size, grid.training.epochs, grid.training.reduction) == (100, 30, "sum")


def test_quick_is_the_first_look_that_was_agreed():
    quick, grid = load("digits-quick"), load("digits-grid")
    assert quick.sweep == {"learning_rate": (0.01, 0.1, 1.0), "l2": (1e-4, 1e-3, 1e-2)}
    assert (quick.data, quick.network) == (grid.data, grid.network)
    assert (quick.training.optimizer, quick.training.batch_size) == ("sgd", 100)
    assert (quick.training.epochs, quick.training.reduction) == (20, "mean")
    assert quick.run.modes == ("controlled", "native")


@pytest.mark.parametrize("name", suites())
def test_every_suite_loads_and_is_named_after_its_file(name):
    assert load(name).name == name


def test_a_linspace_axis():
    experiment = parse(changed("sweep", l2={"linspace": [0, 0.3, 4]}))
    assert experiment.sweep["l2"] == (0.0, 0.1, 0.2, 0.3)


def test_defaults_are_the_harness_s_own():
    training = parse(small_table()).training
    assert (training.optimizer, training.momentum, training.beta_1, training.beta_2) == ("sgd", 0.9, 0.9, 0.999)
    assert (training.epsilon, training.reduction, training.dtype) == (1e-8, "mean", "float64")


def test_an_axis_of_whole_numbers_may_be_a_linspace():
    table = changed("training", batch_size=None)
    table["sweep"]["batch_size"] = {"linspace": [10, 30, 3]}
    assert parse(table).sweep["batch_size"] == (10, 20, 30)


@pytest.mark.parametrize("text", ["x = " + "[" * 100_000, "x = " + "1" * 5000], ids=["nested", "digits"])
def test_a_hostile_file_is_one_line(tmp_path, text):
    path = tmp_path / "hostile.toml"
    path.write_text(text)
    with pytest.raises(RequestError, match="not a TOML file"):
        load(path)


def test_a_file_with_a_byte_order_mark_is_read(tmp_path):
    path = tmp_path / "bom.toml"
    path.write_bytes(b"\xef\xbb\xbf" + suites()["digits-quick"].read_bytes())
    assert load(path).name == "digits-quick"
