"""From one heatmap to another, one convention at a time."""

import numpy as np
import pytest

from harness.cli import invoke
from harness.experiment.file import load
from harness.explaining.ladder import climb
from harness.support.errors import RequestError


@pytest.fixture(scope="module")
def small():
    asked = load("digits-quick")
    return asked.model_copy(update={"training": asked.training.model_copy(update={"epochs": 2})})


@pytest.fixture(scope="module")
def ladder(small):
    return climb(small, "numpy", "torch", progress=False)


def test_the_last_rung_is_the_other_code_and_the_first_is_not(ladder):
    n = len(ladder.cells)
    assert (ladder.rungs[-1].equal, ladder.rungs[-1].apart) == (n, 0)
    assert ladder.rungs[0].equal < n
    assert ladder.rungs[0].apart > 0.05


def test_every_rung_switches_one_convention_more_in_the_order_of_a_training(ladder):
    switched = [rung.switched.partition(":")[0] for rung in ladder.rungs]
    assert switched[:5] == ["", "start of the weights", "start of the biases", "how batches are drawn", "last batch"]
    assert switched[-1] == "dtype"


def test_the_way_back_begins_where_the_way_there_ends(small, ladder):
    back = climb(small, "torch", "numpy", progress=False)
    assert np.array_equal(back.rungs[0].losses, ladder.rungs[-1].losses)
    assert np.array_equal(back.rungs[-1].losses, ladder.rungs[0].losses)


def test_it_leaves_a_picture_and_a_table(ladder, tmp_path):
    picture, table = ladder.write(tmp_path)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert len(table.read_text().splitlines()) == 1 + len(ladder.rungs) * len(ladder.cells)
    assert f"{ladder.rungs[-1].apart:.3f}" in ladder.text()


def test_a_ladder_needs_one_or_two_axes(small):
    with pytest.raises(RequestError, match="one or two axes"):
        climb(small.model_copy(update={"sweep": {}}), "numpy", "torch")


def test_the_command_refuses_a_cell_beside_a_ladder(capsys):
    asked = ["explain", "digits-quick", "numpy", "torch", "--ladder", "--cell", "learning_rate=0.1,l2=0.001"]
    assert invoke(asked) == 2
    assert "leave one of them out" in capsys.readouterr().err
