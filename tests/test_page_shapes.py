"""A study of any shape makes a page that works: real runs of two backends, looked through from end to end."""

import copy
from typing import Any

import pytest

import harness
from harness.experiment.file import parse
from tests.browser import DESKTOP, PHONE, sideways, violations

SHAPES: dict[str, dict[str, Any]] = {
    "one network": {"data": {"name": "iris"}},
    "one axis": {"data": {"name": "iris"}, "sweep": {"hidden": [[], [4], [4, 3]]}},
    "gates, without test rows": {
        "data": {"test_fraction": 0},
        "training": {"batch_size": "full", "epochs": 50, "optimizer": "adam", "learning_rate": 0.1},
        "sweep": {
            "case": [
                {"label": "AND, a line", "dataset": "and", "task": "regression", "hidden": []},
                {"label": "XOR, 4 tanh units", "dataset": "xor", "activation": "tanh", "hidden": [4]},
            ]
        },
    },
    "regression over the plane": {
        "data": {"name": "franke", "rows": 100, "validation_fraction": 0.1},
        "network": {"hidden": [5]},
        "sweep": {"activation": ["tanh", "relu"], "learning_rate": [0.01, 0.1]},
    },
    "folds": {
        "data": {"name": "diabetes", "folds": 3, "scale": "standard"},
        "sweep": {"l2": [0.0, 0.1]},
        "run": {"seeds": 2},
    },
    "search": {
        "data": {"name": "iris", "validation_fraction": 0.2},
        "search": {"trials": 6, "learning_rate": {"loguniform": [1e-3, 1]}, "l2": {"uniform": [0, 0.1]}},
        "run": {"modes": ["controlled", "native"], "seeds": 2},
    },
    "four axes": {
        "data": {"name": "iris"},
        "sweep": {"l2": [0, 0.1], "learning_rate": [0.1, 1], "batch_size": [10, 20], "activation": ["tanh", "relu"]},
    },
    "nothing finished": {
        "data": {"name": "iris"},
        "training": {"learning_rate": 1e200},
        "sweep": {"l2": [1.0, 2.0]},
    },
}

USUAL = {
    "hidden": ("network", [4]),
    "learning_rate": ("training", 0.1),
    "batch_size": ("training", 20),
    "epochs": ("training", 3),
    "backends": ("run", ["numpy", "sklearn"]),
}
"""Where a shape says nothing."""


@pytest.fixture(scope="module", params=SHAPES)
def report(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shape")
    table = {"name": "shape", **copy.deepcopy(SHAPES[request.param])}
    for key, (section, value) in USUAL.items():
        if f"'{key}'" not in str(table):
            table.setdefault(section, {})[key] = value
    results = harness.run(parse(table), store=str(folder / "store.db"), progress=False)
    return results.report(folder)


@pytest.mark.parametrize(
    ("size", "scheme"),
    [(DESKTOP, "dark"), pytest.param(PHONE, "light", marks=pytest.mark.suite)],
    ids=["desktop", "phone"],
)
def test_the_page_of_any_shape_works_and_shuts_nobody_out(open_page, report, size, scheme):
    page = open_page(report, size, scheme=scheme)
    assert violations(page) == []
    assert sideways(page) <= 0


def test_every_choice_of_any_shape_can_be_made(open_page, report):
    page = open_page(report)
    made = 0
    for control in page.locator("#explore select:enabled").all():
        values = control.locator("option:enabled").evaluate_all("options => options.map(option => option.value)")
        for value in values:
            control.select_option(value)
            assert control.input_value() == value
            assert page.locator("#explore [role=gridcell]:visible, #explore figure:visible").count() > 0
            made += 1
        again = page.get_by_role("button", name="Start again")
        if again.is_enabled():
            again.click()
    assert made > 1
    assert sideways(page) <= 0
