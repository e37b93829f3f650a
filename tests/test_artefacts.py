"""What is stored beside the rows for the figures: every array against a computation of its own."""

import copy
import json
import math
import sqlite3
from concurrent.futures import Future

import numpy as np
import pytest

import harness
from harness import registry
from harness.calls.keywords import controlled_call, native_call
from harness.calls.stored import stored_call
from harness.contract import Config, Diverged, vary
from harness.conventions.declared import Declared
from harness.data.prepared import Dataset
from harness.data.tables import check_arrays
from harness.draws.generators import native_seed
from harness.execution import sweeper, worker
from harness.execution.sweeper import Sweep
from harness.experiment.arguments import parse_arguments
from harness.experiment.datasets import load_datasets
from harness.experiment.file import load, parse, suites
from harness.experiment.sections import ARRAYS
from harness.network.weights import unflatten
from harness.planning.plan import plan
from harness.reference.trainer import Reference
from harness.registry import declared_by, load_trainer
from harness.storage.store import Store, unpack
from harness.training import checkpoints
from harness.training.checkpoints import Checkpoints, Path, distance, kept_epochs, parity_arrays
from harness.training.extras import Keep
from harness.training.floor import _checkpoints
from harness.training.metrics import score_of
from harness.training.parity import ReversedInputs, ReversedRows, reverse_inputs
from harness.training.trial import Outcome
from tests.conftest import small_table

GENERATOR = np.random.default_rng(1)
POINTS = GENERATOR.normal([3.0, -40.0], [1.0, 9.0], (60, 2))
LABELS = (POINTS[:, 0] > 3 + 0.05 * (POINTS[:, 1] + 40)).astype(int) + 2 * (POINTS[:, 1] > -35)


class InThisProcess:
    """An executor that runs everything at once, here: what workers give, without starting any."""

    def __init__(self, datasets):
        worker._datasets = datasets
        worker._prepared.clear()

    def submit(self, lane, trainer, function, *args, timeout=None):
        future = Future()
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        worker._datasets = {}


@pytest.fixture
def processes():
    """Asked for by a test that is about real worker processes."""


@pytest.fixture(autouse=True)
def executor(request, monkeypatch):
    if "processes" not in request.fixturenames:
        monkeypatch.setattr(sweeper, "LocalExecutor", InThisProcess)


def table(**changes):
    given = copy.deepcopy(small_table())
    for section, keys in changes.items():
        given[section] = {**given.get(section, {}), **keys}
    return given


def run(given, store, **options):
    return harness.run(parse(given) if isinstance(given, dict) else given, store=store, progress=False, **options)


def points_experiment(X=POINTS, y=LABELS, **settings):
    """An experiment on arrays, with their dataset."""
    X, y, names, task, _, column = check_arrays(X, y, None)
    given = {"name": "points", "hidden": (5, 20), "activation": "tanh", "epochs": 3, "scale": "standard"}
    given |= {"backends": ["numpy", "sklearn"], "modes": ["controlled", "native"], "learning_rate": 0.1, **settings}
    return parse_arguments(given.pop("name"), len(X), given), Dataset(ARRAYS, X, y, names, task, column)


def sweep(X, y, store, save_weights=False, **settings):
    experiment, data = points_experiment(X, y, **settings)
    return harness.run(experiment, store=store, progress=False, dataset=data, save_weights=save_weights)


def stored(results, kind):
    """Row -> arrays of a kind, for the trials that have it."""
    study = results.study()
    rows = {row["trial_id"]: row for row in study.rows.to_dict("records")}
    found = study.artefacts(kind, list(rows))
    return [(rows[trial_id], arrays) for trial_id, arrays in found.items()]


def tanh_network(weights, X):
    """Hidden activations, then logits, of a stored tanh network."""
    a = [X]
    for layer in weights[:-1]:
        a.append(np.tanh(a[-1] @ layer["W"] + layer["b"]))
    return [*a[1:], a[-1] @ weights[-1]["W"] + weights[-1]["b"]]


def weights_of(results, row):
    return unflatten(results._store.artefacts("weights", [row["trial_id"]])[row["trial_id"]])


# -- predictions


def test_samples_and_misclassified_inputs_are_rows_of_the_dataset(store):
    results = run(table(training={"epochs": 1}, data={"test_fraction": 0.4}), store)
    dataset = next(iter(load_datasets(parse(small_table())).values()))
    predictions = stored(results, "predictions")
    assert {(row["backend"], row["mode"]) for row, _ in predictions} == {
        (backend, mode) for backend in ("numpy", "sklearn") for mode in ("controlled", "native")
    }
    for _, arrays in predictions:
        assert (len(arrays["rows"]), len(arrays["sample_rows"])) == (60, 25)
        assert (arrays["sample_rows"] == arrays["rows"][:25]).all()
        assert (arrays["sample_inputs"] == dataset.X[arrays["sample_rows"]]).all()
        assert (arrays["targets"] == dataset.y[arrays["rows"]]).all()
        wrong = arrays["rows"][arrays["logits"].argmax(axis=1) != dataset.y[arrays["rows"]]][:25]
        assert len(wrong) > 0
        assert (arrays["misclassified_rows"] == wrong).all()
        assert (arrays["misclassified_inputs"] == dataset.X[wrong]).all()


def test_a_regression_has_samples_too(store):
    X = GENERATOR.random((40, 3))
    for _, arrays in stored(sweep(X, X.sum(axis=1), store), "predictions"):
        assert arrays.keys() == {"logits", "targets", "rows", "sample_rows", "sample_inputs"}
        assert (arrays["sample_inputs"] == X[arrays["rows"]]).all()  # 8 test rows: all of them


# -- the plane


@pytest.mark.parametrize("mode", ["controlled", "native"])
def test_the_plane_is_what_the_network_answers_over_the_range_of_the_data(store, mode):
    results = sweep(POINTS, LABELS, store, modes=[mode], validation_fraction=0.2)
    planes = stored(results, "plane")
    assert {row["backend"] for row, _ in planes} == {"numpy", "sklearn"}
    for row, arrays in planes:
        for column, key in enumerate("xy"):
            low, high = POINTS[:, column].min(), POINTS[:, column].max()
            margin = 0.05 * (high - low)
            assert np.allclose(arrays[key], np.linspace(low - margin, high + margin, 100))
        train = arrays["inputs"][arrays["part"] == 0]
        scaled = [(arrays[key] - train[:, column].mean()) / train[:, column].std() for column, key in enumerate("xy")]
        assert (arrays["logits"].shape, arrays["logits"].dtype) == ((100, 100, 4), np.float32)
        for i, j in ((0, 0), (10, 80), (80, 10), (99, 98)):
            first, second, logits = tanh_network(weights_of(results, row), np.array([[scaled[0][j], scaled[1][i]]]))
            assert np.allclose(arrays["logits"][i, j], logits, atol=1e-4)
            if i % 2 == j % 2 == 0:
                assert np.allclose(arrays["hidden/0"][i // 2, j // 2], first, atol=1e-5)
                assert np.allclose(arrays["hidden/1"][i // 2, j // 2], second[:, :16], atol=1e-5)
        assert (arrays["hidden/0"].shape, arrays["hidden/1"].shape) == ((50, 50, 5), (50, 50, 16))
        assert np.abs(np.diff(arrays["logits"], axis=0)).max() > 1e-4
        assert np.abs(np.diff(arrays["logits"], axis=1)).max() > 1e-4


def test_the_hidden_units_of_the_plane_drop_nothing_and_have_running_statistics(store):
    settings = {"batch_norm": True, "dropout": 0.5, "hidden": (4,), "scale": "none"}
    results = sweep(POINTS, LABELS, store, backends=["numpy"], modes=["controlled"], **settings)
    ((row, arrays),) = stored(results, "plane")
    first, norm, last = weights_of(results, row)
    z = np.stack(np.meshgrid(arrays["x"], arrays["y"]), axis=-1) @ first["W"]
    z = norm["gamma"] * (z - norm["mean"]) / np.sqrt(norm["variance"] + 1e-5) + norm["beta"]
    assert np.allclose(arrays["hidden/0"], np.tanh(z[::2, ::2]), atol=1e-5)
    assert np.allclose(arrays["logits"], np.tanh(z) @ last["W"] + last["b"], atol=1e-4)


def test_the_points_of_the_plane_are_the_data_with_their_parts(store):
    results = sweep(POINTS, LABELS, store, backends=["numpy"], modes=["controlled"], validation_fraction=0.3)
    ((row, arrays),) = stored(results, "plane")
    assert np.bincount(arrays["part"]).tolist() == [30, 18, 12]
    order = [int(np.flatnonzero((point == POINTS).all(axis=1))[0]) for point in arrays["inputs"]]
    assert sorted(order) == list(range(60))
    assert (arrays["targets"] == LABELS[order]).all()
    test = results.study().artefacts("predictions", [row["trial_id"]])[row["trial_id"]]["rows"]
    assert [order[k] for k in np.flatnonzero(arrays["part"] == 2)] == test.tolist()


def test_of_many_points_a_thousand_are_kept(store):
    X = GENERATOR.random((2500, 2))
    results = sweep(X, (X[:, 0] > 0.5).astype(int), store, backends=["numpy"], modes=["controlled"], epochs=1)
    ((_, arrays),) = stored(results, "plane")
    assert np.bincount(arrays["part"]).tolist() == [600, 200, 200]


def test_a_network_in_a_native_way_has_the_constants_of_its_framework_in_its_hidden_units(store, monkeypatch):
    X = np.linspace(-1, 1, 30)[:, None]
    settings = {"activation": "leaky_relu", "backends": ["numpy"], "modes": ["native"], "hidden": (4,), "scale": "none"}
    monkeypatch.setitem(declared_by("numpy"), "leaky_slope", Declared(0.5, "backends/numpy/conventions.py"))
    results = sweep(X, X[:, 0], store, **settings)
    ((row, arrays),) = stored(results, "plane")
    first = weights_of(results, row)[0]
    z = arrays["x"][::2, None] @ first["W"] + first["b"]
    assert np.allclose(arrays["hidden/0"], np.where(z > 0, z, 0.5 * z), atol=1e-6)


def test_one_input_is_a_line_and_its_targets_have_a_scale(store):
    x = np.linspace(0, 10, 40)[:, None]
    y = 300 + 50 * x[:, 0]
    results = sweep(x, y, store, hidden=(5,), epochs=300, target_scale="standard", modes=["controlled"])
    planes = stored(results, "plane")
    assert len(planes) == 2
    for row, arrays in planes:
        assert "y" not in arrays
        assert (arrays["logits"].shape, arrays["hidden/0"].shape, arrays["inputs"].shape) == (
            (100, 1),
            (50, 5),
            (40, 1),
        )
        train = arrays["part"] == 0
        hidden, logits = tanh_network(
            weights_of(results, row),
            (arrays["x"][:, None] - arrays["inputs"][train].mean()) / arrays["inputs"][train].std(),
        )
        assert np.allclose(arrays["logits"], logits, atol=1e-5)
        assert np.allclose(arrays["hidden/0"], hidden[::2], atol=1e-5)
        assert np.allclose(arrays["targets"], 300 + 50 * arrays["inputs"])
        assert (arrays["target_shift"], arrays["target_unit"]) == pytest.approx(
            (arrays["targets"][train].mean(), arrays["targets"][train].std())
        )
        fitted = arrays["logits"] * arrays["target_unit"] + arrays["target_shift"]
        assert np.abs(fitted - (300 + 50 * arrays["x"][:, None])).max() < 60


def test_there_is_no_plane_of_powers_or_of_three_inputs(store):
    x = np.linspace(0, 1, 30)[:, None]
    powers = sweep(x, x[:, 0], store, degree=2, name="powers")  # two columns, and one input
    assert len(stored(powers, "predictions")) > 0
    assert stored(powers, "plane") == []
    assert stored(sweep(GENERATOR.random((30, 3)), x[:, 0], store, name="three"), "plane") == []


def test_a_column_that_does_not_vary_still_gives_a_grid(store):
    X = np.column_stack([np.linspace(0, 1, 30), np.full(30, 7.0)])
    results = sweep(X, (X[:, 0] > 0.5).astype(int), store, backends=["numpy"], modes=["controlled"])
    ((_, arrays),) = stored(results, "plane")
    assert (arrays["y"][0], arrays["y"][-1]) == (6.95, 7.05)
    assert np.isfinite(arrays["logits"]).all()


# -- of which trials


def best_rows(results):
    """The trial of each backend and mode that has the highest validation score; of equal ones the lowest loss."""
    rows = results.study().rows.sort_values(["validation_accuracy", "validation_loss"], ascending=[False, True])
    return set(rows.groupby(["backend", "mode"])["trial_id"].first())


RATES = [1e-4, 1e-2, 0.3, 1e-3]  # the second and the third are each the best so far


def test_only_the_best_keep_weights_predictions_and_planes(store, processes):
    results = sweep(POINTS, LABELS, store, learning_rate=RATES, epochs=10)
    best = best_rows(results)
    assert 1e-4 not in set(results.study().rows.set_index("trial_id").loc[list(best), "learning_rate"])
    for kind in ("weights", "predictions", "plane"):
        assert {row["trial_id"] for row, _ in stored(results, kind)} == best
    for kind, modes in (("confusion", 2), ("parity", 1)):
        assert len(stored(results, kind)) == 2 * 4 * modes


@pytest.mark.parametrize("parity", ["all", "none"])
def test_with_save_weights_all_keep_theirs(store, parity):
    results = sweep(POINTS, LABELS, store, learning_rate=RATES, parity=parity, save_weights=True)
    for kind in ("weights", "predictions", "plane"):
        assert len(stored(results, kind)) == 16


def outcome(score, **arrays):
    filled = {key: np.zeros(3) for key in ("weights", "first_epoch_weights", "test_logits", "grid_logits")}
    return Outcome("ok", metrics={"train_accuracy": score, "train_loss": 1.0}, **{**filled, **arrays})


def test_the_best_candidate_is_chosen_where_it_is_above_the_bar():
    outcomes = [outcome(0.5), outcome(0.9), outcome(0.7), outcome(0.8, weights=None)]
    assert Keep((True, True, True, True)).chosen(outcomes) == [1]
    assert Keep((True, False, True, True)).chosen(outcomes) == [2]
    assert Keep((False, False, False, True)).chosen(outcomes) == []
    assert Keep((True, False, True, True), bar=score_of(outcomes[0].metrics)).chosen(outcomes) == [2]
    assert Keep((True, False, True, True), bar=score_of(outcomes[2].metrics)).chosen(outcomes) == []
    assert Keep((True, False, True, True), bar=(1.0, 0.0), every=True).chosen(outcomes) == [0, 2]


def test_what_is_not_chosen_brings_weights_only_where_they_are_compared():
    given = outcome(0.5, checkpoints={2: np.zeros(3)})
    compared, light = Keep((True,), weights=True).lightened(given), Keep((True,)).lightened(given)
    assert compared.test_logits is compared.grid_logits is light.test_logits is light.grid_logits is None
    assert all(array is not None for array in (compared.weights, compared.first_epoch_weights))
    assert light.weights is light.first_epoch_weights is None
    assert (list(compared.checkpoints), list(light.checkpoints)) == ([2], [])


def test_a_worker_looks_at_the_plane_of_the_chosen_trial_alone(monkeypatch):
    experiment, data = points_experiment(learning_rate=RATES, backends=["numpy"], modes=["controlled"])
    datasets = load_datasets(experiment, data)
    trials = plan(experiment, datasets)
    monkeypatch.setattr(worker, "_datasets", datasets)
    monkeypatch.setattr(worker, "_prepared", {})
    path = registry.backend("numpy").trainer
    outcomes = worker.run_chunk(trials, path, 4, Keep((True, True, False, True), weights=True, epochs=(2,)))
    assert [outcome.grid_logits is not None for outcome in outcomes] == [False, True, False, False]
    assert [outcome.test_logits is not None for outcome in outcomes] == [False, True, False, False]
    assert [list(outcome.checkpoints) for outcome in outcomes] == [[2]] * 4


def test_a_chaotic_trial_cannot_become_the_best(store):
    experiment, data = points_experiment(learning_rate=RATES, backends=["numpy"], modes=["controlled"])
    harness.run(experiment, store=store, progress=False, dataset=data)
    datasets = load_datasets(experiment, data)
    trials = plan(experiment, datasets)
    with sqlite3.connect(store.removeprefix("sqlite:///")) as connection:
        connection.execute('UPDATE "references" SET floor = 1.0 WHERE reference_id = ?', (trials[2].reference_id,))
    opened = Store(store)
    again = Sweep(opened, experiment, datasets, trials, retrain=True).writer
    assert again.keep(trials, [True] * 4, ()).candidates == (True, True, False, True)
    resumed = Sweep(opened, experiment, datasets, trials).writer
    assert resumed.keep(trials, [False, True, True, True], ()).candidates == (False, True, False, True)
    rows = {row["trial_id"]: row for row in opened.rows("points")}
    assert resumed.keep(trials, [True] * 4, ()).bar == max(score_of(row) for row in rows.values())
    opened.close()


# -- parity over epochs


def network(epochs, hidden=(2,), dtype="float64", **changes):
    return Config.of(
        3,
        2,
        hidden,
        ("tanh",) * len(hidden),
        optimizer="sgd",
        learning_rate=0.1,
        batch_size=4,
        epochs=epochs,
        dtype=dtype,
        **changes,
    )


def test_epochs_are_kept_at_1_2_3_and_5_of_every_power_of_ten():
    assert kept_epochs([network(1)]) == kept_epochs([network(2)]) == kept_epochs([]) == ()
    assert kept_epochs([network(3)]) == (2,)
    assert kept_epochs([network(30), network(10)]) == (2, 3, 5, 10, 20)
    assert kept_epochs([network(1001)])[-5:] == (100, 200, 300, 500, 1000)


def test_fewer_epochs_are_kept_where_the_references_would_take_more_than_the_budget():
    size = 8 * (3 * 1000 + 1000 + 1000 * 2 + 2)  # bytes of the weights of one network
    wide = network(30, hidden=(1000,))
    for budget, expected in ((5 * 7 * size, (2, 3, 5, 10, 20)), (5 * 7 * size - 1, (3, 10)), (2 * 7 * size - 1, ())):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(checkpoints, "BUDGET", budget)
            assert kept_epochs([wide] * 7) == expected
            assert kept_epochs([network(30, hidden=(1000,), dtype="float32")] * 14) == expected
    normalised = network(30, hidden=(10,), batch_norm=True)
    assert checkpoints._values(normalised) == 3 * 10 + 4 * 10 + 10 * 2 + 2
    assert checkpoints.BUDGET == 32 * 2**20


def flat(weights):
    return np.concatenate([layer[key].ravel() for layer in weights for key in ("W", "b")])


def after(trainer_class, trial, prepared, epochs, turned=False, nudged=False, batches=None):
    """The weights after some epochs, trained for so many and no more, or None where they are not finite."""
    start = reverse_inputs(trial.config.network, trial.start()) if turned else trial.start()
    trainer = trainer_class(trial.config, start, **({"nudged": True} if nudged else {}))
    drawn = trial.batches(len(prepared.train.y)) if batches is None else batches
    X = prepared.train.X[:, ::-1].copy() if turned else prepared.train.X
    try:
        trainer.train(X, prepared.train.y, drawn, lambda epoch: epoch == epochs)
    except Diverged:
        return None
    weights = reverse_inputs(trial.config.network, trainer.weights()) if turned else trainer.weights()
    return flat(weights) if np.isfinite(flat(weights)).all() else None


def apart(a, b):
    if a is None or b is None:
        return math.nan if a is b else math.inf
    return float(np.abs(a - b).max())


@pytest.mark.parametrize(
    ("l2", "ends"),
    [(0.0, 12), (1e10, 5), (1e60, 0)],  # each of the 6 steps of an epoch multiplies the weights by l2
    ids=["lasting", "diverged in epoch 6", "diverged in epoch 1"],
)
def test_deviation_and_floor_are_measured_at_each_of_the_epochs(store, l2, ends):
    training = {"epochs": 12, "learning_rate": 1.0, "l2": l2}
    given = table(training=training, run={"modes": ["controlled"], "seeds": 1 if l2 else 3})
    given["data"]["name"] = "iris" if l2 else "breast-cancer"  # of thirty inputs the order counts
    given["sweep"] = {} if l2 else {"hidden": [[8], []]}
    given["network"] = {"hidden": [8]} if l2 else {}
    results = run(given, store)
    experiment = parse(given)
    datasets = load_datasets(experiment)
    trials = {trial.id: trial for trial in plan(experiment, datasets)}
    found = stored(results, "parity")
    assert len(found) == len(trials)
    assert {row["status"] for row, _ in found} == {"diverged" if l2 else "ok"}
    decides = set()
    for row, arrays in found:
        trial = trials[row["trial_id"]]
        prepared = trial.prepare(datasets[trial.data.key])
        drawn = trial.batches(len(prepared.train.y))
        assert arrays["epoch"].tolist() == [1, 2, 3, 5, 10, 12]
        trainer = load_trainer(registry.backend(row["backend"]).trainer)
        expected = {"deviation": [], "floor": []}
        for epoch in arrays["epoch"]:
            with np.errstate(all="ignore"):
                reference = after(Reference, trial, prepared, epoch)
                others = [
                    after(Reference, trial, prepared, epoch, batches=ReversedRows(drawn)),
                    after(Reference, trial, prepared, epoch, turned=True, batches=ReversedInputs(drawn, False)),
                    after(Reference, trial, prepared, epoch, nudged=True),
                ]
                expected["deviation"].append(apart(after(trainer, trial, prepared, epoch), reference))
            floors = [apart(other, reference) for other in others]
            decides.add(int(np.argmax(floors)))
            expected["floor"].append(max((floor for floor in floors if not math.isnan(floor)), default=math.nan))
        for name in ("deviation", "floor"):
            assert np.array_equal(arrays[name], expected[name], equal_nan=True), (name, arrays[name], expected[name])
        assert (np.isfinite(arrays["deviation"]) == (arrays["epoch"] <= ends)).all()
        if not l2:
            assert (arrays["floor"] > 0).all()
            assert (arrays["deviation"][[0, -1]] == [row["deviation_first_epoch"], row["deviation"]]).all()
            assert arrays["floor"][-1] == row["floor"]
    if not l2:
        assert decides == {0, 1, 2}  # each of the three is the floor somewhere


def test_each_member_of_a_stack_has_a_path_of_its_own_when_another_leaves(store):
    given = table(training={"epochs": 12, "learning_rate": 1.0}, run={"modes": ["controlled"], "backends": ["numpy"]})
    found = stored(run({**given, "sweep": {"l2": [0.0, 1e10, 0.01]}}, store), "parity")
    assert {row["stack_size"] for row, _ in found} == {3}
    for row, arrays in found:
        assert arrays["epoch"].tolist() == [1, 2, 3, 5, 10, 12]
        if row["l2"] == 1e10:
            assert (np.isfinite(arrays["deviation"]) == (arrays["epoch"] <= 5)).all()
        else:
            assert (arrays["deviation"] < 1e-11).all()


def test_the_floor_is_taken_of_those_that_were_still_training():
    here = np.array([1.0])
    stopped, other = Path({1: here}), Path({1: here + 1, 2: here + 2})
    found = _checkpoints(Path({1: here, 2: here}), [stopped, other], (1, 2, 3))
    assert found.floors == {1: 1.0, 2: 2.0}
    alone = _checkpoints(Path({2: here}), [stopped], (2,))
    assert math.isnan(alone.floors[2])


def test_after_early_stopping_the_last_deviation_is_of_the_restored_weights(store):
    training = {"epochs": 200, "learning_rate": 0.5, "patience": 3, "batch_size": 16}
    results = run(table(training=training, sweep={}, run={"modes": ["controlled"]}) | {"sweep": {}}, store)
    for row, arrays in stored(results, "parity"):
        assert 6 < row["epochs_run"] < 200
        marks = [epoch for epoch in (1, 2, 3, 5, 10, 20, 30, 50, 100) if epoch < row["epochs_run"]]
        assert arrays["epoch"].tolist() == [*marks, row["epochs_run"]]
        assert (arrays["deviation"][-1], arrays["floor"][-1]) == (row["deviation"], row["floor"])
        assert (arrays["deviation"] < 1e-11).all()


def test_one_epoch_is_one_point_and_native_trials_have_none(store):
    found = stored(run(table(training={"epochs": 1}), store), "parity")
    assert {row["mode"] for row, _ in found} == {"controlled"}
    assert all(arrays["epoch"].tolist() == [1] for _, arrays in found)
    assert all(arrays["deviation"].tolist() == [row["deviation"]] for row, arrays in found)


def test_without_parity_there_is_no_path(store):
    assert stored(run(table(run={"parity": "none"}), store), "parity") == []


def test_where_one_of_two_diverged_they_are_infinitely_far_apart_and_where_both_did_nothing_is_known():
    here, there = np.array([1.0, 2.0]), np.array([1.0, 2.5])
    lasting, ended = Path({1: here, 3: here}), Path({1: there}, diverged_at=3)
    assert distance(lasting, ended, 1) == 0.5
    assert distance(lasting, ended, 3) == distance(ended, lasting, 3) == math.inf
    assert math.isnan(distance(ended, ended, 3))
    assert math.isnan(distance(lasting, lasting, 2))  # kept by neither


def test_only_epochs_that_both_have_kept_are_compared():
    here = np.array([1.0])
    marks = (1, 2, 3, 5)
    reference = Checkpoints(Path(dict.fromkeys(marks, here)), {epoch: epoch / 10 for epoch in marks})
    arrays = parity_arrays(Path({1: here + 1, 3: here + 3, 5: here}), reference, 5, 7.0, 0.7)
    assert {name: values.tolist() for name, values in arrays.items()} == {
        "epoch": [1, 3, 5],
        "deviation": [1.0, 3.0, 7.0],
        "floor": [0.1, 0.3, 0.7],
    }
    ended = parity_arrays(Path({1: here}, diverged_at=3), reference, 5, math.inf, 0.7)
    assert (ended["epoch"].tolist(), ended["deviation"].tolist()) == ([1, 3, 5], [0.0, math.inf, math.inf])


# -- stores


def payloads(store):
    with sqlite3.connect(store.removeprefix("sqlite:///")) as connection:
        rows = connection.execute("SELECT trial_id, kind, payload FROM artefacts").fetchall()
    return {(trial_id, kind): payload for trial_id, kind, payload in rows}


def same(a, b):
    a, b = unpack(a), unpack(b)
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key], equal_nan=True) for key in a)


def test_a_resumed_sweep_ends_with_the_arrays_of_one_that_was_not_interrupted(store):
    sweep(POINTS, LABELS, store, learning_rate=RATES)
    before = payloads(store)
    lost = sorted({trial_id for trial_id, kind in before if kind in ("plane", "parity")})[::2]
    with sqlite3.connect(store.removeprefix("sqlite:///")) as connection:
        for trial_id in lost:
            for name in ("trials", "artefacts"):
                connection.execute(f"DELETE FROM {name} WHERE trial_id = ?", (trial_id,))
    assert payloads(store).keys() != before.keys()
    sweep(POINTS, LABELS, store, learning_rate=RATES)
    after = payloads(store)
    assert before.keys() <= after.keys()
    assert all(same(after[key], payload) for key, payload in before.items())


OLD_COLUMNS = {
    "artefacts": {"trial_id", "kind", "payload"},
    "references": {"reference_id", "floor", "weights", "first_epoch_weights", "numpy_version", "harness_version"},
}


def test_a_store_from_before_these_arrays_is_read_and_resumed(store):
    """Its tables are those of today; what it lacks are the new kinds of artefacts, and the samples."""
    given = table(training={"epochs": 12})
    run(given, store)
    with sqlite3.connect(store.removeprefix("sqlite:///")) as connection:
        for name, columns in OLD_COLUMNS.items():
            assert {row[1] for row in connection.execute(f'PRAGMA table_info("{name}")')} == columns
        connection.execute("DELETE FROM artefacts WHERE kind IN ('parity', 'plane', 'checkpoints', 'predictions')")
        connection.execute(
            "DELETE FROM trials WHERE trial_id IN (SELECT trial_id FROM planned WHERE backend = 'numpy')"
        )
    old = harness.run(parse(given), store=store, backends=["sklearn"], progress=False)
    assert stored(old, "parity") == stored(old, "plane") == []
    assert set(old.frame()["status"]) == {"ok", "pending"}
    found = stored(run(given, store), "parity")
    assert {row["backend"] for row, _ in found} == {"numpy"}
    for row, arrays in found:
        assert arrays["epoch"].tolist() == [1, 12]
        assert arrays["deviation"].tolist() == [row["deviation_first_epoch"], row["deviation"]]
        assert np.array_equal(arrays["floor"], [np.nan, row["floor"]], equal_nan=True)


def test_artefacts_are_read_of_the_asked_trials_only(store):
    results = run(table(), store)
    study = results.study()
    ids = list(study.rows["trial_id"])
    everything = study.artefacts("confusion", ids)
    assert len(everything) == len(ids)
    some = study.artefacts("confusion", [ids[3], "nobody's", ids[3]])
    assert list(some) == [ids[3]]
    assert (some[ids[3]]["test"] == everything[ids[3]]["test"]).all()
    assert study.artefacts("confusion", []) == study.artefacts("no such kind", ids) == {}


# -- the lines of code behind a row


def written(network=(), **training):
    """An experiment that writes more than it has to, in every backend."""
    given = table(network=dict(network), training={"learning_rate": 0.1, **training})
    return parse({**given, "sweep": {}, "run": {"modes": ["controlled", "native"]}})


EXPERIMENTS = {
    **{name: (lambda name=name: load(name)) for name in suites()},
    "momentum": lambda: written(optimizer="momentum"),
    "momentum, written": lambda: written(optimizer="nesterov", momentum=0.5),
    "adam, written": lambda: written(optimizer="adam", beta_1=0.8, epsilon=1e-6, dtype="float32"),
    "rmsprop": lambda: written(optimizer="rmsprop", rho=0.8),
    "slopes": lambda: written({"activation": "leaky_relu", "leaky_slope": 0.2}),
    "dropout": lambda: written({"dropout": 0.5, "input_dropout": 0.1, "batch_norm": True}, clip_norm=1.0, l1=0.1),
    "sum": lambda: written(reduction="sum", l2=0.3),
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_lines_of_a_stored_row_are_those_of_its_trial(name):
    experiment = EXPERIMENTS[name]()
    for trial in plan(experiment, load_datasets(experiment)):
        if trial.seed or trial.backend not in registry.backends():
            continue
        settings = json.loads(json.dumps(trial.settings()))
        row = {"backend": trial.backend, "mode": trial.mode, "seed": 0, "status": "ok", "settings": settings}
        lines = stored_call(row, base_seed=7)
        config = trial.config
        if trial.mode == "controlled":
            assert lines == controlled_call(trial.backend, config)
        elif trial.not_native() is None:
            assert f"{native_seed(7, 0)}" in "\n".join(lines) or lines[0].startswith("#")
            config = vary(config, reduction="mean")  # which native mode never hands over
            assert lines == native_call(trial.backend, config, native_seed(7, 0))


def test_the_lines_of_a_study_hold_the_numbers_of_their_own_row(store):
    study = run(table(run={"seeds": 2}), store).study()
    for row in study.rows.to_dict("records"):
        text = "\n".join(study.calls(row))
        by_hand = (row["mode"], row["backend"]) == ("controlled", "numpy")
        assert (f"lr = {row['learning_rate']!r} or the schedule's" in text) == by_hand
        if row["mode"] == "native":
            assert f"{row['learning_rate']!r}" in text
            assert str(native_seed(0, row["seed"])) in text


def test_no_lines_where_nothing_was_run_or_nobody_declared_them():
    settings = {"task": "binary", "layers": [2, 1], "activation": [], "optimizer": "sgd", "learning_rate": 0.1}
    settings |= {"loss": "binary_cross_entropy", "l2": 0.0, "batch_size": 4, "epochs": 2}
    row = {"backend": "sklearn", "mode": "native", "seed": 0, "status": "ok", "settings": settings}
    assert any("learning_rate_init=0.1" in line for line in stored_call(row, 0))
    for changes in ({"status": "pending"}, {"status": "unsupported"}, {"status": "not_installed"}):
        assert stored_call({**row, **changes}, 0) == []
    for changes in ({"backend": "autograd"}, {"backend": "course-2024"}, {"backend": "torch-manual"}):
        assert stored_call({**row, **changes}, 0) == []


def test_each_problem_of_an_experiment_keeps_its_own_best(store):
    """XOR is not kept from having a picture by a higher score at AND."""
    results = run("gates", store, backends=["numpy"], modes=["controlled"])
    rows = results.study().rows.set_index("trial_id")
    kept = rows.loc[[row["trial_id"] for row, _ in stored(results, "plane")]]
    assert sorted(zip(kept["dataset"], kept["task"], strict=True)) == sorted(
        set(zip(rows["dataset"], rows["task"], strict=True))
    )
