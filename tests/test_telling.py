"""What an explanation says: in sentences, in a chart and in a file of numbers."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from harness.conventions.table import CONVENTIONS, Row
from harness.explaining.explanation import Explanation, write
from harness.explaining.findings import Findings, Share, Switch
from harness.explaining.sentences import WIDTH, Amount, table_lines, tell
from harness.explaining.shares import gap
from reports.figures.waterfall import FALLS, RISES, waterfall


def told(made_of, remainder=0.0, **changes):
    """An explanation with these shares, (convention, mean), measured at five seeds."""
    wiggle = np.array([-1, 0, 0, 0, 1]) * 1e-4
    total = sum(mean for _, mean in made_of)
    values = {"momentum": (0.9, 0.0), "batch_size": (100, 32), "dtype": ("float64", "float32")}
    a, b = np.full(5, 0.3), 0.3 + total + remainder + wiggle
    parts = {
        "replayed": gap(np.zeros(5), total + wiggle),
        "remainder": gap(total + wiggle, b - a + wiggle[::-1]),
        "switches": tuple(Switch(name, *values.get(name, ("x", "y")), mean, mean) for name, mean in made_of),
        "shares": tuple(Share(CONVENTIONS[name].title, (name,), mean, 1e-5) for name, mean in made_of),
        "diverging": (),
        "closing": (made_of[0][0],),
        "left": 0.0,
        "trainings": 1,
    } | changes
    return Explanation(
        "digits", "sklearn", "keras", {"l2": 0.1}, "", "test log loss", "test accuracy", (tuple(a), tuple(b)),
        ((0.9,) * 5, (0.8,) * 5), (), False, gap(a, b), gap([0.9] * 5, [0.8] * 5), Findings(**parts),
    )  # fmt: skip


def test_conventions_that_cancel_are_said_to():
    shares = [("momentum", 0.893), ("batch_size", -0.720), ("init", -0.087), ("l2_factor", 0.083)]
    text = tell(told(shares))
    assert "a gap of +0.169" in text
    assert "Momentum (+0.893) and batch-size default (-0.720) nearly cancel; the rest is" in text
    assert "start of the weights (-0.087) and L2 with a half (+0.083)" in text


def test_one_convention_that_makes_the_gap_is_told_with_its_values():
    text = tell(told([("momentum", 0.5), ("init", 0.001)]))
    assert "Momentum (+0.500) makes it: sklearn has 0.9, keras has 0." in text
    text = tell(told([("momentum", 0.5), ("init", 0.1)]))
    assert "Momentum (+0.500) makes most of it: sklearn has 0.9, keras has 0; beside it start of the weights" in text


def test_a_share_larger_than_the_gap_makes_more_than_all_of_it():
    assert "Momentum (+0.500) makes more than all of it" in tell(told([("momentum", 0.5), ("init", -0.1)]))


def test_only_shares_larger_than_the_gap_by_half_are_said_to_cancel():
    cancel = [("momentum", 0.5), ("batch_size", -0.45)]
    assert "nearly cancel" in tell(told([*cancel, ("init", 0.2)]))  # a gap of 0.25
    assert "nearly cancel" not in tell(told([*cancel, ("init", 0.27)]))  # of 0.32


def test_a_share_within_twice_its_error_is_not_worth_a_word():
    def shares(error):
        return (*told([("momentum", 0.5)]).findings.shares, Share("start of the weights", ("init",), 0.1, error))

    pair = [("momentum", 0.5), ("init", 0.1)]
    assert "beside it start of the weights (+0.100)" in tell(told(pair, shares=shares(0.049)))
    assert "start of the weights" not in tell(told(pair, shares=shares(0.051)))
    closing = ("momentum", "init")
    text = tell(told(pair, shares=shares(0.051), closing=closing))
    assert "it takes momentum and start of the weights (within its error): switched" in text
    assert "within its error" not in tell(told(pair, shares=shares(0.049), closing=closing))


def test_conventions_that_are_one_player_have_one_share_and_shares_add_up():
    tied = Share("hidden layers and activation", ("hidden", "activation"), 0.5, 0.01)
    alone = Share("momentum", ("momentum",), 0.2, 0.01)
    one = told([("momentum", 0.2), ("hidden", 0.5), ("activation", 0.5)], -0.5, shares=(tied, alone))
    table = one.table()
    assert table["share"].iloc[:3].sum() == pytest.approx(0.7)
    assert list(table["convention"][:2]) == [CONVENTIONS[name].title for name in ("hidden", "activation")]
    lines = table_lines(one)
    assert sum("+0.500 ± 0.010" in line for line in lines) == 1
    assert "with the above" in lines[2]
    assert {f"{CONVENTIONS[name].title}:" for name in ("hidden", "activation", "momentum")} <= set(lines)


def test_conventions_of_a_size_are_told_together():
    text = tell(told([("momentum", 0.3), ("init", 0.25)]))
    assert "Momentum (+0.300) and start of the weights (+0.250) make it together." in text


def test_what_closes_the_gap_is_told_by_player():
    text = tell(told([("momentum", 0.5), ("init", 0.2)], closing=("momentum", "init"), left=0.01))
    assert "To close the gap it takes momentum and start of the weights: switched in sklearn, +0.010 is left." in text


def test_the_table_fits_into_the_width_whatever_its_values():
    long = told([("momentum_form", 0.5), ("init", 0.2)])
    switches = tuple(
        replace(each, a_value="truncated_normal(0.1)", b_value="uniform" * 8) for each in long.findings.switches
    )
    lines = table_lines(replace(long, findings=replace(long.findings, switches=switches)))
    assert max(len(line) for line in lines if "±" in line) <= WIDTH
    assert any("…" in line for line in lines)
    assert any("uniform" * 8 in line for line in lines)  # in full, below


def test_a_remainder_is_told_and_never_shared_out():
    assert "Unexplained remainder (measured gap less the replay's): +0.200" in tell(told([("momentum", 0.5)], 0.2))
    assert "not explained by this table" in tell(told([("momentum", 0.5)], 0.2))
    assert "inside the noise" in tell(told([("momentum", 0.5)], 1e-6))


def test_mixes_that_diverge_are_told_by_the_convention_that_does_it():
    text = tell(told([("momentum", 0.5)], shares=(), diverging=("momentum",), closing=None))
    assert "diverge, so there are no shares; what makes a training diverge, or saves it, is momentum." in text


def test_a_gap_that_the_replay_does_not_show_blames_nothing():
    flat = gap(np.zeros(5), np.array([-1, 0, 0.1, 0, 1]))
    text = tell(told([("momentum", 0.5)], 0.3, replayed=flat, closing=None))
    assert "they do not account for it" in text
    assert "Momentum" not in text


def test_small_gaps_have_the_digits_that_they_need():
    assert "a gap of +0.00123" in tell(told([("momentum", 0.001234)])).replace("+0.001234", "+0.00123")


def test_numbers_are_kept_without_nan(tmp_path):
    one = told([("momentum", 0.5)])
    lost = replace(one, losses=((np.nan, 1.0), (1.0, 2.0)), gap=None, findings=None, faults=("sklearn diverged",))
    cells = [replace(each, cell={"l2": l2}) for l2, each in enumerate([lost, one, one])]
    (path,) = (path for path in write(cells, tmp_path) if path.suffix == ".json")
    assert path.name == "explain-sklearn-keras.json"
    text = path.read_text()
    assert "NaN" not in text
    assert json.loads(text)["cells"][0]["losses"][0] == [None, 1.0]
    pictures = sorted(path.name for path in tmp_path.glob("*.png"))
    assert pictures == ["explain-sklearn-keras-l2=1.png", "explain-sklearn-keras-l2=2.png"]


def test_files_are_named_by_their_cell_and_a_picture_of_an_earlier_run_does_not_stay(tmp_path):
    one = replace(told([("momentum", 0.5)]), cell={"hidden": (8, 4), "l2": 0.1})
    name = "explain-sklearn-keras-hidden=-8-4-l2=0.1"
    assert [path.name for path in write([one], tmp_path)] == [f"{name}.json", f"{name}.png"]
    other = tmp_path / "explain-sklearn-keras-l2=0.png"
    other.touch()
    assert [path.name for path in write([replace(one, findings=None)], tmp_path)] == [f"{name}.json"]
    assert sorted(path.name for path in tmp_path.glob("*.png")) == [other.name]


@pytest.mark.parametrize("field", fields(Row), ids=lambda field: field.name)
def test_every_default_of_the_table_has_a_formula(field):
    if field.default != "given":
        assert CONVENTIONS[field.name].formula(field.default)


# -- the chart


def test_the_bars_lead_from_one_loss_to_the_other():
    bars = [("momentum", 0.9, 0.01), ("batch size", -0.7, 0.02), ("the rest", 0.2, 0.0)]
    figure = waterfall("From a to b", "a note", "loss", ("a", 0.3), bars, ("b", 0.7), Amount(0.4))
    first, last, *between = (patch for patch in figure.axes[0].patches)
    assert [patch.get_x() + patch.get_width() for patch in (first, last)] == pytest.approx([0.3, 0.7])
    assert [patch.get_width() for patch in between] == pytest.approx([0.9, -0.7, 0.2])
    assert [patch.get_x() for patch in between] == pytest.approx([0.3, 1.2, 0.5])
    assert [patch.get_facecolor() for patch in between] == [to_rgba(colour) for colour in (RISES, FALLS, RISES)]
    assert [patch.get_x() for patch in (first, last)] == [0, 0]
    numbers = [text.get_text() for text in figure.axes[0].texts]
    assert sorted(numbers) == sorted(["0.300", "+0.900", "-0.700", "+0.200", "0.700"])


@pytest.mark.parametrize("first", [0.3, 1.0, 50.0])
def test_the_bars_of_the_ends_begin_at_0_or_are_broken_and_no_whisker_leaves_the_axis(first):
    bars = [("momentum", -0.5, 1.5), ("batch size", 0.4, 0.02)]
    axes = waterfall("From a to b", "", "loss", ("a", first), bars, ("b", first - 0.1), Amount(0.1)).axes[0]
    low, high = axes.get_xlim()
    broken = [text for text in axes.texts if text.get_text() == "//"]
    assert len(broken) == (2 if first == 50 else 0)
    assert all(patch.get_x() == (low if broken else 0) for patch in axes.patches[:2])
    assert low < first - 0.5 - 1.5
    assert high > first - 0.5 + 1.5


def test_every_whisker_is_an_interval_of_95_percent():
    one = told([("momentum", 0.5)], 0.1)
    axes = one.figure().axes[0]
    halves = [np.ptp(each.get_segments()[0][:, 0]) / 2 for each in axes.collections]
    assert halves == pytest.approx([2.776 * 1e-5, one.findings.remainder.half_width], rel=1e-3)
    assert any("95 % intervals" in text.get_text() for text in axes.figure.texts)
