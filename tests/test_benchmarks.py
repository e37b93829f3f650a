"""The benchmarks: loops that learn, ratios that are paired, a page that says no more than its timings."""

import ast
import importlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import loops, page, process
from benchmarks.__main__ import invoke
from benchmarks.contenders import COMPARISONS, NAMES, Comparison, chosen, contenders, experiment, missing
from benchmarks.floor import floor_ms, operations
from benchmarks.rounds import ratio_of
from harness import registry

FOLDER = Path(loops.__file__).parent
ROOT = FOLDER.parent.parent
CLASS = Comparison("numpy", "numpy_class", (6, 2.5))


@pytest.mark.parametrize("name", ["numpy_class", "mlp_classifier", "torch_loader", "torch_plain"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_loop_learns_the_digits(name, dtype):
    if missing(name):
        pytest.skip(missing(name))
    loop = importlib.import_module(f"benchmarks.loops.{name}")
    X_train, y_train, X_test, y_test = loops.digits(dtype)
    model = loop.train(X_train, y_train, 1.0, 1e-5)
    assert loop.accuracy(model, X_test, y_test) > 0.9


def test_the_numpy_class_trains_in_the_dtype_of_its_data():
    loop = importlib.import_module("benchmarks.loops.numpy_class")
    X, y, *_ = loops.digits("float32")
    model = loop.train(X[:200], y[:200], 0.1, 1e-3)
    assert {model.W1.dtype, model.b2.dtype, model.probabilities.dtype} == {np.dtype("float32")}


def test_the_loops_know_nothing_of_the_harness():
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] in ("harness", "backends", "experiments")], path


def test_loops_and_harness_run_the_same_sweep():
    ours = experiment("float64")
    assert ours.sweep == {"learning_rate": pytest.approx(loops.LEARNING_RATES), "l2": pytest.approx(loops.L2S)}
    training = ours.training
    assert (training.epochs, training.batch_size, training.dtype) == (loops.EPOCHS, loops.BATCH_SIZE, "float64")
    assert ours.network.hidden == (loops.HIDDEN,)
    assert (ours.run.parity, ours.run.curves) == ("none", False)


def test_every_comparison_names_a_contender_that_exists():
    assert set(loops.LOOPS) | set(loops.SEARCHES) == set(NAMES)
    for row in COMPARISONS:
        assert row.theirs in NAMES
        assert (FOLDER / f"{row.theirs}.py").is_file()
        assert row.ours in registry.backends() or missing(row.ours) == f"there is no backend {row.ours}"
    assert len(set(contenders())) == len(contenders())


def test_seven_cells_are_the_diagonal_of_the_grid():
    cells = [loops.CELLS[i] for i in chosen(7)]
    assert cells == list(zip(loops.LEARNING_RATES, loops.L2S, strict=True))


def test_a_ratio_is_taken_within_rounds_and_says_how_many_times_as_fast_ours_is():
    drift = [1, 5, 2, 9, 1, 3, 7]  # the machine is slow in some rounds: for both
    timings = [
        {"dtype": "float32", "contender": name, "round": i, "train": factor * slow}
        for name, factor in (("numpy", 1.0), ("numpy_class", 4.0))
        for i, slow in reversed(list(enumerate(drift)))
    ]
    ratio = ratio_of(timings, "float32", CLASS)
    assert (ratio.median, ratio.low, ratio.high) == (4, 4, 4)
    assert ratio_of(timings, "float64", CLASS) is None


def test_the_operations_of_a_trial_epoch_are_those_of_the_docs():
    products, exponentials = operations((64, 50, 10), 1437)
    assert products == 1437 * 15_800  # 22.7 MFLOP
    assert exponentials == 1437 * 60
    assert floor_ms((64, 50, 10), 1437, 1e11, 1e9) == pytest.approx(0.2270 + 0.0862, abs=1e-4)


def _found(train, absent=()):
    """Stored timings in which the class takes 4 ms and ours `train`."""
    timings = [
        {"dtype": "float32", "contender": name, "round": i, "train": value, "build": None, "predict": None}
        for name, value in (("numpy", train), ("numpy_class", 4.0))
        for i in range(7)
    ]
    births = [{"dtype": "float32", "contender": name, "import": 1.0, "first": 2.0} for name in ("numpy", "numpy_class")]
    return {
        "timings": timings,
        "births": births,
        "absent": list(absent),
        **{key: [] for key in ("cold", "verified", "floor", "members")},
    }


@pytest.mark.parametrize(("train", "told"), [(0.5, "6 ✓"), (2.0, "6 ✗")])
def test_the_page_says_whether_a_bar_is_reached(train, told):
    line = page.comparison_table(_found(train)).splitlines()[2]
    assert f"**{4 / train:g}** ({4 / train:g} to {4 / train:g}) | {told}" in line


def test_what_was_not_timed_has_its_reason_on_the_page():
    absent = [{"dtype": "float32", "contender": "keras_fit", "reason": "keras is not installed"}]
    table = page.comparison_table(_found(1.0, absent))
    (line,) = [line for line in table.splitlines() if line.startswith("| `keras`")]
    assert "keras is not installed | 15 | not timed | 8 |" in line


def test_the_page_in_the_docs_is_the_one_of_the_stored_timings():
    found = json.loads((ROOT / "benchmarks/results/timings.json").read_text())
    assert (ROOT / "docs/benchmarks.md").read_text() == page.render(found)
    for target in re.findall(r"\]\(([^)]+)\)", page.render(found)):
        assert (ROOT / "docs" / target).exists(), target


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--parts", "rouns"], "unknown part 'rouns': did you mean 'rounds'?"),
        (["--dtypes", "float16"], "unknown dtype 'float16'"),
        (["--rounds", "5"], "--rounds 5: must be 6 to 1000"),
        (["--cells", "50"], "--cells 50: must be 1 to 49"),
        (["--round", "7"], "No such option"),
    ],
)
def test_a_wrong_request_is_one_line(arguments, told, capsys):
    assert invoke(arguments=arguments) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_contender_is_asked_in_its_own_process_and_times_itself():
    contender = process.Contender("sklearn", "float32", 1)
    try:
        timing = contender.run()
    finally:
        contender.stop()
    assert timing["train"] > 0
    assert timing["build"] > 0
    assert contender.import_seconds > 0 < contender.first_seconds


def test_a_contender_that_fails_says_why():
    with pytest.raises(RuntimeError, match="nobody: "):
        process.Contender("nobody", "float32", 1)


def test_the_file_of_the_large_store_is_the_experiment_that_fills_it():
    import tomllib

    from benchmarks.stored import EXPERIMENT, LARGE
    from harness.experiment.file import parse

    asked, filled = parse(tomllib.loads(EXPERIMENT)), parse(LARGE)
    assert asked.model_dump(exclude={"source"}) == filled.model_dump(exclude={"source"})
