"""From two names to the conventions that part them: in real fits, in games whose answer is known, and in words."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import harness
from harness.checks.problem import N_ROWS, problem
from harness.cli import invoke
from harness.cli.explain import show
from harness.contract import Config, vary
from harness.conventions.table import Row
from harness.conventions.translation import config_under, controlled_row, recipe_under
from harness.draws.batches import draw_batches
from harness.draws.recipe import Recipe
from harness.draws.starts import draw_start
from harness.experiment.datasets import load_datasets
from harness.experiment.file import parse
from harness.explaining import explainer
from harness.explaining.choice import telling
from harness.explaining.explainer import findings_of
from harness.explaining.measuring import Measured
from harness.explaining.sentences import WIDTH, table_lines
from harness.explaining.switching import Game, Replays, in_force, play, resolved
from harness.planning.plan import plan
from harness.registry import native_row
from harness.replay.scores import LOST, Scores, score_rows
from harness.replay.stack import replay
from harness.replay.training import Member
from harness.support.errors import RequestError
from tests.a_a import rates
from tests.test_run import write_experiment


def small(**training):
    return {
        "name": "small",
        "data": {"name": "iris", "test_fraction": 0.4, "scale": "standard"},
        "network": {"hidden": [5], "activation": "sigmoid"},
        "training": {"learning_rate": 0.05, "batch_size": 15, "epochs": 4, "l2": 0.01, **training},
        "run": {"backends": ["numpy", "sklearn"], "modes": ["native"]},
    }


@pytest.fixture(scope="module")
def found():
    return harness.explain(parse(small()), "sklearn", "numpy", seeds=4, progress=False)


# -- a real pair


def test_the_shares_add_up_to_the_replay_s_gap_and_the_remainder_is_what_is_left(found):
    parts = found.findings
    assert sum(share.mean for share in parts.shares) == pytest.approx(parts.replayed.mean, abs=1e-12)
    assert parts.remainder.mean == pytest.approx(found.gap.mean - parts.replayed.mean, abs=1e-12)
    assert {name for share in parts.shares for name in share.names} == {switch.name for switch in parts.switches}


def test_the_gap_is_that_of_real_fits_with_the_seeds_of_a_run(found, store):
    rows = harness.run(parse(small()), store=store, seeds=4, progress=False).frame()
    for side, name in enumerate(("sklearn", "numpy")):
        of_side = rows[rows["backend"] == name].sort_values("seed")
        assert found.losses[side] == tuple(of_side["test_loss"])
        assert found.scores[side] == tuple(of_side["test_accuracy"])


def test_the_table_the_words_and_the_chart_hold_the_same_shares(found):
    table = found.table()
    parts = table[~table["convention"].isin(["unexplained remainder", "measured gap"])]["share"].sum()
    assert parts == pytest.approx(found.findings.replayed.mean)
    assert {"sklearn", "numpy", "formula of sklearn", "alone_from_a"} <= set(table.columns)
    largest = max(found.findings.shares, key=lambda share: abs(share.mean))
    assert largest.title in found.text.lower()
    assert "Unexplained remainder" in found.text
    assert "%" not in found.text.replace("95 %", "")
    assert largest.title in [label.get_text() for label in found.figure().axes[0].get_yticklabels()]


def test_a_gap_comes_with_the_lines_that_make_the_pair_agree(found):
    assert found.findings.closing
    assert any(found.keywords.values())


def test_a_against_itself_has_other_seeds_and_no_gap():
    """Were the seeds the same, the two would be equal, and nothing would have been tested."""
    same = harness.explain(parse(small()), "numpy", "numpy", seeds=4, progress=False)
    assert same.losses[0] != same.losses[1]
    assert not same.gap.differs
    assert same.findings is None
    assert "Inside the noise" in same.text
    assert "onvention" not in same.text
    assert table_lines(same) == []
    with pytest.raises(RequestError, match="no shares"):
        same.figure()


@pytest.mark.suite
def test_a_against_a_claims_a_difference_in_five_of_a_hundred_and_sees_a_planted_one():
    for false, seen in rates().values():
        assert false <= 0.07
        assert seen >= 0.75


def test_two_profiles_are_measured_by_the_replay_itself():
    found = harness.explain(parse(small()), "course-2018-keras", "controlled", seeds=3, progress=False)
    assert found.findings.remainder.mean == 0
    assert "none, since both were measured by the replay" in found.text


def test_codes_that_are_no_framework_have_a_word_in_place_of_keyword_arguments(found, capsys):
    show([replace(found, a="course-2018-keras", b="controlled", keywords={})])
    expected = "to agree, in course-2018-keras and controlled: no framework, so no keyword arguments; see harness"
    assert expected in capsys.readouterr().out


def test_a_replay_that_diverges_where_the_fit_did_not_is_told_and_has_no_shares(monkeypatch):
    losses = {"numpy": (0.1, 0.2), "sklearn": (0.5, 0.6)}
    monkeypatch.setattr(explainer, "fitted", lambda name, *_: Measured(losses[name], (0.9, 0.9)))
    table = small(learning_rate=1e30)
    table["network"]["activation"] = "relu"
    found = harness.explain(parse(table), "numpy", "sklearn", seeds=2, progress=False)
    assert found.gap.differs
    assert found.findings is None
    assert "the replay of numpy diverges, which its own fit did not" in found.text


def test_cells_are_chosen_by_a_repeat_that_is_not_measured(monkeypatch):
    looked, measured = [], []
    choose, explain = explainer._Work.choose, explainer._Work.explain

    def note_choice(self, name, trials):
        looked.extend(trial.seed for trial in trials)
        return choose(self, name, trials)

    def note_measured(self, name, chosen):
        measured.extend(trial.seed for trials, _ in chosen for trial in trials)
        return explain(self, name, chosen)

    monkeypatch.setattr(explainer._Work, "choose", note_choice)
    monkeypatch.setattr(explainer._Work, "explain", note_measured)
    table = {**small(epochs=1), "sweep": {"l2": [0.0, 0.01]}}
    del table["training"]["l2"]
    harness.explain_cells(parse(table), "course-2018-numpy", "controlled", seeds=2, progress=False)
    assert looked == [2, 2]
    assert measured == [0, 1, 0, 1]


def test_codes_that_only_take_their_metric_differently_have_no_gap_and_are_told_apart():
    table = small()
    table["data"] |= {"name": "breast-cancer"}
    found = harness.explain(parse(table), "assignment-2019", "assignment-2019-svm", seeds=2, progress=False)
    assert found.losses[0] == found.losses[1]
    assert not found.gap.differs
    assert set(found.printed) == {"accuracy", "ROC AUC"}
    assert found.printed["ROC AUC"][0] > found.printed["ROC AUC"][1]
    assert "take their ROC AUC differently" in found.text


@pytest.mark.parametrize(
    ("data", "taken", "metric"),
    [("breast-cancer", {"auc": "labels"}, "auc"), ("iris", {"accuracy": "thresholded"}, "printed")],
)
def test_a_row_s_own_way_to_take_a_metric_changes_that_metric_alone(data, taken, metric):
    table = small()
    table["data"] |= {"name": data}
    experiment = parse(table)
    datasets = load_datasets(experiment)
    trial = plan(experiment, datasets)[0]
    row = native_row("sklearn", trial.config)
    usual, own = score_rows([(trial, row), (trial, replace(row, **taken))], datasets)
    assert getattr(own, metric) != getattr(usual, metric)
    assert own._replace(**{metric: 0}) == pytest.approx(usual._replace(**{metric: 0}), nan_ok=True)


def test_a_training_that_diverges_has_no_gap_in_numbers():
    table = small(learning_rate=1e30)
    table["network"]["activation"] = "relu"
    found = harness.explain(parse(table), "course-2024", "numpy", seeds=2, progress=False)
    assert found.gap is None
    assert found.findings is None
    assert "numpy diverged in 2 of 2 seeds" in found.text
    assert not found.failed


# -- the command


def test_the_command_writes_picture_and_numbers(tmp_path, capsys):
    code = invoke(
        ["explain", str(write_experiment(tmp_path, small())), "sklearn", "numpy", "-o", str(tmp_path / "new")]
    )
    out = capsys.readouterr().out
    assert code == 0
    assert "small: sklearn against numpy" in out
    assert max(map(len, out.splitlines())) <= WIDTH + 20  # keyword arguments are not broken
    kept = json.loads((tmp_path / "new/explain-sklearn-numpy.json").read_text())["cells"][0]
    assert kept["gap"]["n"] == 5
    assert len(kept["losses"][0]) == 5
    assert {"harness", "NumPy", "sklearn", "numpy", "Python"} <= set(kept["made_on"])
    assert (tmp_path / "new/explain-sklearn-numpy.png").stat().st_size > 10_000
    assert "to agree, in sklearn:" in out
    assert "no keyword arguments" not in out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["sklearn", "numpi"], "did you mean 'numpy'"),
        (["sklearn", "course-2018-nump"], "did you mean 'course-2018-numpy'"),
        (["sklearn", "numpy", "--seeds", "1"], "at least 2"),
        (["sklearn", "numpy", "--cell", "l2=1"], "is not AXIS=VALUE"),
        (["sklearn"], "B is missing"),
        (["recorded.npz", "--seeds", "3"], "--seeds, --out: needs A and B"),
        (["recorded.npz", "--ladder"], "--ladder, --out: needs A and B"),
        (["sklearn", "numpy", "--ladder", "--seeds", "5"], "--seeds: stands beside --ladder"),
    ],
)
def test_a_wrong_request_is_one_line(arguments, expected, tmp_path, capsys):
    arguments += ["-o", str(tmp_path / "out")]
    assert invoke(["explain", str(write_experiment(tmp_path, small())), *arguments]) == 2
    err = capsys.readouterr().err
    assert expected in err
    assert err.count("\n") == 1


def test_what_native_mode_does_not_have_is_refused(tmp_path, capsys):
    path = write_experiment(tmp_path, small(l1=0.1))
    assert invoke(["explain", str(path), "sklearn", "numpy", "-o", str(tmp_path)]) == 2
    assert "native mode has no L1" in capsys.readouterr().err
    path = write_experiment(tmp_path, small(optimizer="rmsprop"))
    assert invoke(["explain", str(path), "sklearn", "numpy", "-o", str(tmp_path)]) == 2
    assert "sklearn" in capsys.readouterr().err


@pytest.mark.parametrize("sweep", [{}, {"l2": [0.0, 0.1]}], ids=["one cell", "two"])
def test_it_is_refused_by_name_before_anything_is_trained(sweep, tmp_path, capsys, monkeypatch):
    def trains(*_, **__):
        raise AssertionError("a training was started")

    monkeypatch.setattr(explainer, "submit_fits", trains)
    monkeypatch.setattr(Replays, "submit", trains)
    table = {**small(schedule="cosine"), "sweep": sweep}
    if sweep:
        del table["training"]["l2"]
    path = str(write_experiment(tmp_path, table))
    cell = ["--cell", "l2=0.1"] if sweep else []
    assert invoke(["explain", path, "sklearn", "numpy", *cell, "-o", str(tmp_path)]) == 2
    where = "small, l2=0.1" if sweep else "small"
    assert capsys.readouterr().err.startswith(f"harness: {where}: native mode has no learning-rate schedule:")


def test_a_cell_has_to_be_single():
    table = {**small(), "sweep": {"l2": [0.0, 0.1]}}
    del table["training"]["l2"]
    with pytest.raises(RequestError, match="singles out 2 cells"):
        harness.explain(parse(table), "sklearn", "numpy")
    with pytest.raises(RequestError, match=r"unknown axis 'l3' \(axes: l2\)"):
        harness.explain(parse(table), "sklearn", "numpy", cell={"l3": 0})


# -- rows between two rows

CONFIG = Config.of(5, 4, (7,), ("tanh",), optimizer="sgd", learning_rate=0.1, batch_size=6, epochs=2, l2=0.01)


class Known:
    """Replays whose losses are a function of the row and the seed."""

    def __init__(self, loss):
        self.loss, self.seen, self.results = loss, set(), {}

    def replay(self, tasks):
        self.seen |= {row for _, row in tasks}

    def __call__(self, trials, row):
        assert row in self.seen, "asked for a row that was not replayed"
        losses = [self.loss(row, trial.seed) for trial in trials]
        return [LOST if np.isnan(loss) else Scores(loss, 0.0, 0.0, 0.0) for loss in losses]


def split_of(a, b, loss, config=CONFIG):
    game = Game(tuple(SimpleNamespace(config=config, seed=seed) for seed in range(3)), a, b)
    replays = Known(loss)
    replays.replay(game.tasks(game.singles()))
    return game, play([game], replays, replays.replay)[0], replays


A = Row(momentum=0.9, l2_factor="half", reduction="mean", bias=0.0, dtype="float64", init="normal(1)")
B = Row(momentum=0.0, l2_factor="full", reduction="sum", bias=0.01, dtype="float32", init="normal(2)")


def test_an_additive_gap_is_shared_as_it_was_made_and_the_rest_is_one_player():
    def loss(row, seed):
        return seed + 5 * (row.momentum == 0) - 3 * (row.l2_factor == "full") + 0.03 * (row.bias == 0.01)

    game, split, replays = split_of(A, B, loss)
    assert split.teams[:2] == [("momentum",), ("l2_factor",)]
    assert split.rest
    assert set(split.teams[-1]) == set(game.names) - {"momentum", "l2_factor"}
    assert split.shares.mean(axis=1) == pytest.approx([5, -3, 0.03])
    assert split.closing == (0, 1)
    sides = [Measured(losses, losses) for losses in ((0, 1, 2), (2, 3, 4))]
    found = findings_of(*sides, game, split, replays)
    assert set(found.closing) == {"momentum", "l2_factor"}
    assert found.left == pytest.approx(0.03)  # B less the switched A


def test_what_acts_only_between_the_two_is_taken_out_of_the_rest():
    """With B's momentum and A's reduction, and there alone, the start counts: at both ends its switch is nothing."""

    def loss(row, seed):
        between = row.momentum == 0 and row.reduction == "mean"
        return 10 * (row.momentum == 0) - 9 * (row.reduction == "sum") + 6 * (between and row.init == "normal(2)")

    _, split, _ = split_of(A, B, loss)
    assert ("init",) in split.teams
    means = dict(zip(split.teams, split.shares.mean(axis=1), strict=True))
    assert means[("init",)] == pytest.approx(1)
    assert sum(means.values()) == pytest.approx(1)
    assert abs(means[split.teams[-1]]) < 1e-12


def test_a_mix_that_diverges_leaves_no_shares():
    def loss(row, seed):
        return np.nan if row.momentum == 0.9 and row.reduction == "sum" else 1.0 + 4 * (row.momentum == 0)

    _, split, _ = split_of(A, B, loss)
    assert split.shares is None
    assert split.closing is not None


def test_what_is_the_same_training_is_one_row():
    a = replace(A, momentum=0.9, nesterov=True, momentum_form="inside")
    game = Game((SimpleNamespace(config=CONFIG, seed=0),), a, replace(a, momentum=0.0, nesterov=False))
    assert game.names == ["momentum", "nesterov"]
    assert game.mixed(["momentum"]) == game.mixed(["momentum", "nesterov"])
    assert game.mixed(["nesterov"]) != game.mixed([])


def test_the_ways_to_take_a_metric_are_no_players():
    game = Game(
        (SimpleNamespace(config=CONFIG, seed=0),), A, replace(A, accuracy="thresholded", metric_rows="training")
    )
    assert game.names == []


def test_layers_and_their_activations_go_together_where_one_needs_the_other():
    deep = vary(CONFIG, hidden=(7, 3), activation=("tanh", "relu"))
    own = resolved(deep, controlled_row(deep, Recipe()), 100)
    other = replace(own, hidden=(4,), activation="sigmoid")
    assert Game((SimpleNamespace(config=deep, seed=0),), own, other).groups == [("hidden", "activation")]


def test_a_number_that_is_given_is_the_experiment_s():
    row = resolved(CONFIG, replace(native_row("sklearn", CONFIG), batch_size="min(200, n)"), 90)
    assert (row.hidden, row.activation, row.epochs, row.learning_rate, row.batch_size) == ((7,), "tanh", 2, 0.1, 90)


VALUES = {
    "momentum": [0.0, 0.9],
    "nesterov": [False, True],
    "momentum_form": ["outside", "inside"],
    "epsilon": [1e-8, 1e-2],
    "rho": [0.9, 0.5],
    "beta_2": [0.999, 0.9],
    "initial_accumulator": [0.0, 0.1],
    "accumulator": ["weight", "row"],
    "l2_factor": ["half", "full"],
    "l2_tensors": ["weights", "hidden"],
    "leaky_slope": [0.01, 0.2],
    "softplus_threshold": [None, 0.1],
    "constants": ["exact", "float32"],
    "bias_correction": ["step", "epoch"],
    "optimizer": ["sgd", "adam", "rmsprop", "adagrad"],
    "dtype": ["float64", "float32"],
    "outputs": ["mean", "sum"],
}


@given(
    row=st.fixed_dictionaries({name: st.sampled_from(values) for name, values in VALUES.items()}),
    l2=st.sampled_from([0.0, 0.1]),
    activation=st.sampled_from(["tanh", "leaky_relu", "softplus"]),
)
@settings(max_examples=60, deadline=None)
def test_what_has_no_effect_in_the_table_has_none_in_the_replay(row, l2, activation):
    config = vary(CONFIG, l2=l2, activation=(activation,))
    given_row = replace(controlled_row(config, Recipe()), **row)
    first, second = (replay([member(config, one)])[0].weights for one in (given_row, in_force(config, given_row)))
    assert all(np.array_equal(x[key], y[key]) for x, y in zip(first, second, strict=True) for key in x)


def member(config, row):
    own, recipe = config_under(config, row, N_ROWS), recipe_under(row, Recipe())
    X, y = problem(own)
    return Member(own, row, draw_start(own, recipe, 0, 0), draw_batches(own, recipe, N_ROWS, 0, 0), X, y)


# -- which cells


def test_the_cells_that_are_told_are_the_widest_the_best_of_each_and_some_far_ones():
    rng = np.random.default_rng(0)
    losses = 0.5 + 0.01 * rng.random((49, 2))
    losses[10] = 0.5, 1.5
    losses[20, 0], losses[30, 1] = 0.1, 0.2
    losses[40] = np.nan, 0.01  # diverges, and is nobody's best
    losses[41] = 9, 99  # nobody learns there
    losses[42] = 2, 99  # the one learns a little, and the other is far worse than guessing
    places = np.array([[i / 6, j / 6] for i in range(7) for j in range(7)])
    chosen = dict(telling(losses, np.full(49, 2.3), places, ("a", "b")))
    assert len(chosen) == 5
    assert chosen[10] == "the largest gap"
    assert chosen[20] == "the lowest loss of a"
    assert chosen[30] == "the lowest loss of b"
    assert not {40, 41} & set(chosen)
    far = [places[i] for i, why in chosen.items() if "far" in why]
    assert len(far) == 2
    assert all(min(np.abs(place - places[i]).sum() for i in (10, 20, 30)) > 0.4 for place in far)


def test_a_cell_is_told_once_whatever_the_reasons_and_few_cells_are_all_told():
    losses = np.array([[0.1, 0.2], [0.5, 0.4]])
    chosen = telling(losses, np.array([2.3, 2.3]), np.array([[0.0], [1.0]]), ("a", "b"))
    assert chosen[0] == (0, "the largest gap, the lowest loss of a, the lowest loss of b")
    assert [i for i, _ in chosen] == [0, 1]


def test_five_telling_cells_of_a_grid_are_explained():
    table = {**small(epochs=2), "sweep": {"learning_rate": [0.01, 0.03, 0.1, 0.3], "l2": [0.0, 0.01]}}
    del table["training"]["l2"], table["training"]["learning_rate"]
    found = harness.explain_cells(parse(table), "sklearn", "controlled", seeds=2, progress=False)
    assert len({tuple(each.cell.items()) for each in found}) == 5
    assert all(each.chosen for each in found)
    assert any("largest gap" in each.chosen for each in found)
