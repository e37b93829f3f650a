"""Experiment files: what is read, and the one line that says what is wrong."""

import copy
import json
import tomllib

import jsonschema
import pytest

from harness.cli import invoke
from harness.experiment.file import load, parse, suites
from harness.experiment.schema import schema
from harness.support.errors import RequestError
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
    (changed("training", batch_size="big"), ["training.batch_size = 'big'", "whole number", '"full"']),
    (changed("training", rho=0.5), ["training.rho", "no effect", "'sgd'", "rmsprop"]),
    (changed("training", batch_size=None), ["training.batch_size is required", "n_batches"]),
    (changed("training", n_batches=3), ["training.n_batches = 3", "beside batch_size"]),
    (changed("training", batches="in_ordr"), ["training.batches", "did you mean 'in_order'"]),
    (changed("training", schedule="cosin"), ["training.schedule", "did you mean 'cosine'"]),
    (changed("training", schedule="step"), ["training.decay_rate is required", "'step'"]),
    (changed("training", decay_rate=0.5), ["training.decay_rate has no effect", "exponential"]),
    (changed("training", clip_norm=1.0, clip_value=1.0), ["training.clip_value = 1", "beside clip_norm"]),
    (changed("training", loss="hubr"), ["training.loss", "did you mean 'huber'"]),
    (changed("training", huber_delta=2.0), ["training.huber_delta has no effect", 'loss = "huber"']),
    (changed("training", min_delta=0.1), ["training.min_delta has no effect", "patience"]),
    (changed("training", optimizer="perceptron"), ["network.hidden = [4]", "perceptron", "hidden = []"]),
    (changed("network", activation="heaviside"), ["network.activation", "back propagation", "perceptron"]),
    (changed("network", leaky_slope=0.2), ["network.leaky_slope has no effect", "leaky_relu"]),
    (changed("network", init="glorot"), ["network.init", "did you mean 'glorot_normal'", "truncated_normal(number)"]),
    (changed("network", init="normal(-1)"), ["network.init = 'normal(-1)'", "must be positive"]),
    (changed("network", init="normal(x)"), ["network.init", "unknown init"]),
    (changed("network", bias="uniform(1)"), ["network.bias", "normal(0.1)"]),
    (changed("network", dropout=1.0), ["network.dropout = 1.0", "less than 1"]),
    (changed("network", dropout=[0.1, 0.2]), ["network.dropout = [0.1, 0.2]", "2 rates for 1 hidden"]),
    (changed("network", batch_norm_momentum=0.5), ["network.batch_norm_momentum has no effect", "batch_norm = true"]),
    (changed("network", output_activation="softmax"), ["network.output_activation", "softplus"]),
    (changed("data", task="multilable"), ["data.task", "did you mean 'multilabel'"]),
    (changed("data", folds=1), ["data.folds = 1", "at least 2"]),
    (changed("data", folds=3), ["data.validation_fraction = 0.2", "folds"]),
    (changed("data", fold=1), ["data.fold = 1", "read with folds"]),
    (changed("sweep", fold=[0, 1]), ["data.fold = 0", "read with folds"]),
    (changed("training", batch_norm_momentum=0.5), ["[training]", "'batch_norm_momentum' belongs in [network]"]),
    (changed("data", title="x"), ["[data]", "'title' belongs at the top level"]),
    (changed("data", name=None), ["data.name is required", "data.path"]),
    (changed("run", draws="legacy"), ["run.draws", "numpy-legacy-2023"]),
    (changed("run", draws="numpy-legacy-2023"), ["data.validation_fraction", "no validation rows"]),
    (changed("sweep", case=[{"label": "a"}, {"label": "a"}]), ["sweep.case", "twice"]),
    (changed("sweep", case=[{"hidden": [3]}]), ["sweep.case.0.label", "text"]),
    (changed("sweep", case="a"), ["sweep.case = 'a'", "list of tables"]),
    (changed("sweep", case=[{"label": "a", "optimzer": "adam"}]), ["sweep.case", "did you mean 'optimizer'"]),
    (changed("sweep", case=[{"label": "a", "l2": 0.1}]), ["l2 is swept by sweep.l2"]),
    (changed("sweep", case=[{"label": "a", "epochs": 3}]), ["sweep.case.epochs", "both swept and fixed"]),
    (
        changed("sweep", case=[{"label": "deep", "momentum": 2.0, "optimizer": "momentum"}]),
        ["case 'deep'", "less than 1"],
    ),
    (changed("search", trials=0, beta_1={"uniform": [0, 1]}), ["search.trials = 0", "1 to 100000"]),
    (changed("search", trials=5), ["search: names no key"]),
    (changed("search", trials=5, beta_1=0.5), ["search.beta_1 = 0.5", "loguniform"]),
    (changed("search", trials=5, beta_1={"uniform": [1, 0]}), ["search.beta_1.uniform = [1, 0]", "least"]),
    (changed("search", trials=5, beta_1={"loguniform": [0, 1]}), ["search.beta_1.loguniform", "greater than 0"]),
    (changed("search", trials=5, beta_1={"unifrom": [0, 1]}), ["did you mean 'uniform'"]),
    (changed("search", trials=5, l2={"uniform": [0, 1]}), ["search", "l2 is swept by sweep.l2"]),
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
    (changed("training", epochs=10**400), ["training.epochs", "over 300 digits"]),
    (changed("data", name=["iris"]), ["data.name", "unknown dataset"]),
    (changed(None, training=5), ["training = 5", "table"]),
    (changed("sweep", l2={"logspace": [1, 2, 3], "linspace": [1, 2, 3]}), ["sweep.l2", "one of logspace and linspace"]),
    (changed("sweep", l2={"logspace": [10**400, 1, 2]}), ["sweep.l2.logspace.0", "over 300 digits"]),
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


@pytest.mark.parametrize(("table", "expected"), BAD, ids=[" ".join(expected)[:60] for _, expected in BAD])
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


def test_cases_set_several_keys_at_once():
    table = changed("sweep", l2=None, learning_rate=None)
    table["sweep"]["case"] = [
        {"label": "line", "hidden": [], "learning_rate": 1, "dataset": "wine"},
        {"label": "deep", "hidden": [8, 4], "learning_rate": 0.1, "dataset": "iris"},
    ]
    del table["network"]["hidden"]
    del table["data"]["name"]
    experiment = parse(table)
    assert list(experiment.cells()) == [{"case": "line"}, {"case": "deep"}]
    line, deep = map(experiment.at, experiment.cells())
    assert (line.network.hidden, line.training.learning_rate, line.data.name) == ((), 1.0, "wine")
    assert (deep.network.hidden, deep.training.learning_rate, deep.data.name) == ((8, 4), 0.1, "iris")


def test_what_one_case_sets_is_at_its_default_in_another():
    table = changed("sweep", l2=None)
    table["sweep"]["case"] = [
        {"label": "first", "optimizer": "momentum", "momentum": 0.5, "scale": "minmax"},
        {"label": "second", "batches": "in_order"},
    ]
    del table["data"]["scale"]
    first, second = (parse(table).at({"learning_rate": 0.1, "case": label}) for label in ("first", "second"))
    assert (first.training.momentum, second.training.momentum) == (0.5, 0.9)
    assert (first.training.batches, second.training.batches) == ("permutation", "in_order")
    assert (first.training.optimizer, second.training.optimizer) == ("momentum", "sgd")
    assert (first.data.scale, second.data.scale) == ("minmax", "none")
    assert "momentum" in first.training.model_fields_set
    assert "momentum" not in second.training.model_fields_set


def searched(**laws):
    table = changed("sweep", l2=None, learning_rate=None)
    table["search"] = {"trials": 200, "learning_rate": {"loguniform": [1e-4, 1.0]}, **laws}
    return table


def test_a_search_draws_its_points_from_their_laws():
    table = searched(l2={"uniform": [0.1, 0.3]}, hidden={"choice": [[4], [8, 8]]}, epochs={"uniform": [1, 9]})
    del table["network"]["hidden"], table["training"]["epochs"]
    experiment = parse(table)
    cells = [experiment.at(cell) for cell in experiment.cells()]
    rates = [cell.training.learning_rate for cell in cells]
    assert len(cells) == 200
    assert 1e-4 <= min(rates) < 1e-3
    assert 1e-1 < max(rates) <= 1
    assert 80 < sum(rate < 1e-2 for rate in rates) < 120
    assert all(0.1 <= cell.training.l2 <= 0.3 for cell in cells)
    assert {cell.network.hidden for cell in cells} == {(4,), (8, 8)}
    assert {cell.training.epochs for cell in cells} == set(range(1, 10))
    assert experiment.sampled == ("learning_rate", "l2", "hidden", "epochs")


def test_a_search_is_the_same_every_time_and_another_for_another_seed():
    first, again = (parse(searched()).points for _ in range(2))
    assert first == again
    other = searched()
    other["run"]["seed"] = 1
    assert parse(other).points != first


def test_folds_are_an_axis():
    experiment = parse(changed("data", folds=4, validation_fraction=None))
    assert experiment.sweep["fold"] == (0, 1, 2, 3)
    assert [experiment.at(cell).data.fold for cell in experiment.cells()][:5] == [0, 1, 2, 3, 0]
    assert "fold" not in parse(changed("data", folds=4, fold=2, validation_fraction=None)).sweep


def test_files_lie_beside_the_experiment(tmp_path):
    table = changed("data", name=None, path="my.csv", target="y")
    table["network"]["init"] = "start.npz"
    experiment = parse(table, str(tmp_path / "my.toml"))
    assert experiment.data.path == str(tmp_path / "my.csv")
    assert experiment.network.init == str(tmp_path / "start.npz")


# -- its JSON schema


@pytest.fixture(scope="module")
def validator():
    made = schema()
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


@pytest.mark.parametrize("name", suites())
def test_every_suite_is_valid_by_the_schema(name, validator):
    validator.validate(tomllib.loads(suites()[name].read_text()))


@pytest.mark.parametrize(
    "table",
    [
        changed("training", learning_rat=0.1),
        changed(None, swep={}),
        changed("data", name=3),
        changed("training", optimizer="adm"),
        changed("network", activation=3),
        changed("training", epochs=0),
        changed("training", batch_size="big"),
        changed("network", dropout=1.0),
        changed("network", layers=[{"dens": 8}]),
        changed("network", layers=[{"dense": 8, "use_bia": True}]),
        changed("network", layers=["dense"]),
        changed("network", layers=["reluu"]),
        changed("network", layers=[{"dropout": 1}]),
        changed("sweep", epochs=[]),
        changed("sweep", epochs=[0]),
        changed("sweep", nothing=[0]),
        changed("sweep", l2={"logspace": [1, 2]}),
        changed("sweep", case=[{"epochs": 3}]),
    ],
)
def test_the_schema_finds_what_is_wrong(table, validator):
    assert not validator.is_valid(table)


@pytest.mark.parametrize(
    "table",
    [
        changed("network", layers=[{"dense": 8, "use_bias": False}, {"batch_norm": 0.9, "epsilon": 1e-3}, {"elu": 2}]),
        changed("network", layers=["dense(8)", "relu"]),
        changed("sweep", layers=[[{"dense": 8}], ["relu", {"dropout": 0.5}]], l2={"logspace": [-3, 0, 4]}),
        changed("sweep", case=[{"label": "one", "epochs": 3, "hidden": []}]),
    ],
)
def test_the_schema_takes_what_is_right(table, validator):
    validator.validate(table)


def test_the_schema_is_written(capfd):
    assert invoke(["schema"]) == 0
    assert json.loads(capfd.readouterr().out) == schema()
