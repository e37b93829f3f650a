"""What the commands say of cells, comparisons, time limits and machines is so."""

import re
import time

import pytest

from harness.checks import CheckResult
from harness.cli import bench as bench_command
from harness.cli import check as check_command
from harness.cli import invoke
from harness.experiment.cells import single_cell
from harness.experiment.file import parse
from harness.support.progress import Tally
from harness.timing.busy import busy_with
from reports import comparison
from reports.speed import page, tables
from tests.conftest import small_table
from tests.fuzz.slow import never_ends
from tests.test_cli import refused
from tests.test_comparison import changed, compared, old  # noqa: F401 (fixtures)
from tests.test_timing import STEADY, measured, summary_of

# --- cells -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "axis"), [("lr", "learning_rate"), ("eta", "learning_rate"), ("wd", "l2"), ("alpha", "l2")]
)
def test_an_axis_by_another_library_s_name_is_recognised(capsys, given, axis):
    told = refused(capsys, "explain", "digits-quick", "numpy", "torch", "--cell", f"{given}=0.1")
    assert f"unknown axis '{given}': did you mean '{axis}'? (axes: learning_rate, l2)" in told


def test_a_name_that_is_like_no_axis_suggests_none(capsys):
    told = refused(capsys, "explain", "digits-quick", "numpy", "torch", "--cell", "banana=0.1")
    assert "unknown axis 'banana' (axes: learning_rate, l2)" in told


def test_a_value_off_its_axis_names_the_values_of_that_axis_alone(capsys):
    told = refused(capsys, "explain", "digits-quick", "numpy", "torch", "--cell", "learning_rate=0.3")
    assert "learning_rate has no value '0.3'; its values: 0.01, 0.1, 1" in told
    assert "l2=" not in told


def test_of_many_values_twenty_are_named():
    table = small_table()
    table["sweep"]["learning_rate"] = {"linspace": [0.001, 1, 40_000]}
    with pytest.raises(ValueError, match="learning_rate has no value 7; its values:") as caught:
        single_cell(parse(table), {"learning_rate": 7}, "asked for")
    assert str(caught.value).endswith(" …")
    assert str(caught.value).count(",") == 19


def test_conventions_picks_a_cell_where_none_is_named_and_says_which(capsys):
    assert invoke(["conventions", "digits-quick", "keras", "torch"]) == 0
    captured = capsys.readouterr()
    chosen = re.search(r"--cell (\S+);", captured.err)[1]
    assert chosen == "learning_rate=0.1,l2=0.001"
    assert invoke(["conventions", "digits-quick", "keras", "torch", "--cell", chosen]) == 0
    assert capsys.readouterr().out == captured.out


# --- comparisons -----------------------------------------------------------------------------------------------------


def one_seed(position):
    return (
        "verdict = 'differs', deviation = 0.1, test_accuracy = test_accuracy - 0.1",
        "controlled",
        position,
        "0, 1, 2",
    )


def test_controlled_trials_that_part_from_the_reference_are_no_noise(old, changed):  # noqa: F811
    found = compared(old, changed(one_seed(0), one_seed(1)))
    told = comparison.sentences(found)
    assert "numpy, controlled: 6 trials agreed with the reference and now differ from it." in told
    (moved,) = [line for line in told if "moved in" in line]
    assert moved.endswith("in all of them a trial agreed with the reference and now differs from it.")
    assert "noise" not in moved


def test_a_controlled_score_that_moved_within_rounding_is_no_noise_of_a_seed(old, changed):  # noqa: F811
    edits = [("test_accuracy = test_accuracy - 0.1", "controlled", 0, "0, 1, 2"), one_seed(1)]
    (moved,) = [line for line in comparison.sentences(compared(old, changed(*edits))) if "moved in" in line]
    assert "in 1 of them a trial agreed" in moved
    (moved,) = [line for line in comparison.sentences(compared(old, changed(edits[0]))) if "moved in" in line]
    assert moved.endswith("start and batches are the same in both stores, so this is no noise of a seed.")


# --- the time limit of a check ---------------------------------------------------------------------------------------


def test_a_check_that_our_limit_stops_is_no_fault_of_the_backend(capsys, monkeypatch):
    monkeypatch.setattr(check_command.worker, "check", never_ends)
    assert invoke(["check", "numpy", "--only", "one_step", "--time-limit", "1"]) == 1
    told = capsys.readouterr().out
    assert re.search(r"^stopped +\S*one_step\S* +stopped by the time limit of 1 s", told, re.MULTILINE)
    assert "--time-limit raises it" in told
    assert "failed" not in told


def test_a_case_that_our_limit_stops_differs_from_nothing():
    lost = check_command._lost("", TimeoutError(), 5)
    assert check_command._unmeasured(None, lost).verdict == "unchecked"
    died = check_command._lost("", RuntimeError("no"), 5)
    assert check_command._unmeasured(None, died).verdict == "differs"
    assert not check_command._passed([CheckResult("a", "stopped")])


@pytest.mark.parametrize("limit", ["0", "-1", "nan", "inf"])
def test_a_time_limit_is_a_number_of_seconds(capsys, limit):
    assert "--time-limit" in refused(capsys, "check", "numpy", "--time-limit", limit)


# --- a busy machine --------------------------------------------------------------------------------------------------


def test_a_load_above_the_cores_is_busy():
    assert busy_with(2.0, 2) == ""
    assert busy_with(8.74, 2) == "the machine is busy: a load of 8.7 on 2 cores"
    assert busy_with(1.5, 1).endswith("on 1 core")


def test_tables_and_page_of_a_busy_machine_are_marked():
    summary, busy = summary_of(measured("numpy", STEADY)), "the machine is busy: a load of 9.0 on 2 cores"
    assert f"numpy = 1 ({busy})" in tables(summary, "numpy", busy)
    marked = page(summary, "numpy", 7, {}, {}, [], busy)
    assert marked.index(busy) < marked.index("## Mode controlled")
    assert f"Time of an epoch, numpy = 1 ({busy}):" in marked
    for text in (tables(summary, "numpy"), page(summary, "numpy", 7, {}, {}, [])):
        assert "busy" not in text


def test_bench_warns_before_it_begins_on_a_busy_machine(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bench_command.os, "getloadavg", lambda: (99.0, 0.0, 0.0))
    sizes = ["--widths", "4", "--batch-sizes", "8", "--rows", "20", "--threads", "1"]
    assert invoke(["bench", "--backends", "numpy", *sizes, "--out", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("warning: the machine is busy: a load of 99.0 on")
    assert "numpy = 1 (the machine is busy" in captured.out
    assert "the machine is busy" in (tmp_path / "bench.md").read_text()


# --- time left -------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_quick_backend_does_not_make_a_slow_one_quicker(clock):
    tally = Tally({"numpy": 30, "keras": 10})
    for second in range(1, 7):
        clock[0] = second
        for _ in range(5):
            tally.add("numpy", "ok", None)
        if second % 3 == 0:
            tally.add("keras", "ok", None)
    assert tally.left == pytest.approx(24)  # 8 of keras at 3 s each, not 8 at the 0.19 s of all together
    clock[0] = 7
    assert tally.left == pytest.approx(23)


def test_lanes_that_share_a_process_end_no_sooner_than_at_their_common_pace(clock):
    tally = Tally({"numpy": 10, "torch": 10})
    assert tally.left is None
    for second in range(1, 11):
        clock[0] = second
        tally.add("numpy", "ok", None)
    assert tally.left == pytest.approx(10)


def test_a_name_of_thousands_of_characters_is_not_repeated_whole(capsys):
    for arguments in (["run", "a" * 5000], ["a" * 5000], ["run", "digits-quick", "--backends", "n" * 5000]):
        assert invoke(arguments) == 2
        assert len(capsys.readouterr().err) < 1000
