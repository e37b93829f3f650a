"""The claims that the suites make, seen to hold: all five backends equal to rounding on the handwritten digits."""

import pytest

import harness
from harness.experiment import Experiment
from harness.registry import BUILT_IN

INSTALLED = [backend.name for backend in BUILT_IN if backend.missing() is None]


def controlled(experiment: Experiment, store: str):
    results = harness.run(experiment, store=store, backends=INSTALLED, modes=["controlled"], progress=False)
    return results.frame()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_backend_agrees_on_digits_quick(dtype, store):
    quick = harness.load("digits-quick")
    quick = quick.model_copy(update={"training": quick.training.model_copy(update={"dtype": dtype})})
    rows = controlled(quick, store)
    assert len(rows) == 9 * len(INSTALLED)
    for _, cells in rows.groupby("backend"):
        assert (cells["status"] == "ok").sum() >= 8
        assert cells["test_accuracy"].max() > 0.9
        calm = cells[cells["verdict"] != "chaotic"]
        assert set(calm["verdict"]) == {"agrees"}
        assert len(calm) >= 8
    if dtype == "float64":
        assert rows["deviation"].max() < 1e-13


def test_every_backend_agrees_where_the_digits_grid_is_saturated(store):
    """A sigmoid that rounds otherwise near 1 parts from the reference by 0.4 in these two cells."""
    grid = harness.load("digits-grid")
    corner = grid.model_copy(update={"sweep": {"learning_rate": (10.0,), "l2": (1e-3, 1e-2)}})
    assert set(controlled(corner, store)["verdict"]) == {"agrees"}
