"""Sweeps in real worker processes, into SQLite and PostgreSQL: what is trained, what is skipped, what a fault costs."""

import copy
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlalchemy.exc import DBAPIError

import harness
from harness import manifest, registry
from harness.experiment.file import parse
from harness.manifest import Backend
from harness.storage.store import Store
from tests import faults
from tests.conftest import small_table
from tests.servers import sql

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def store(any_store):
    return any_store


@pytest.fixture
def extra_backends(monkeypatch):
    """The adapters of `tests.faults`, and one whose framework nobody has."""
    extra = (
        Backend("faulty", "tests.faults:Faulty", ("numpy",)),
        Backend("slow", "tests.faults:Slow", ("numpy",)),
        Backend("absent", "absent:Trainer", ("no_such_framework",), "pip install no-such-framework"),
        Backend("broken", "no_such_module:Trainer"),
    )
    monkeypatch.setattr(registry, "BUILT_IN", registry.BUILT_IN + extra)
    registry.backends.cache_clear()
    yield
    registry.backends.cache_clear()


def experiment(**run):
    table = copy.deepcopy(small_table())
    table["run"].update(run)
    return parse(table)


def faulty(*momenta, **run):
    table = copy.deepcopy(small_table())
    table["training"].update(optimizer="momentum", learning_rate=0.1)
    table["sweep"] = {"momentum": list(momenta)}
    table["run"] = {"backends": ["faulty"], "modes": ["controlled"], "time_limit": 30.0, **run}
    return parse(table)


def sweep(experiment, store, **kwargs):
    return harness.run(experiment, store=store, progress=False, **kwargs)


def by_momentum(results):
    return results.frame().set_index("momentum")


def test_every_trial_agrees_and_has_its_metrics(small_experiment, store):
    frame = sweep(small_experiment, store).frame()
    assert (len(frame), set(frame["status"])) == (16, {"ok"})
    controlled, native = (frame[frame["mode"] == mode] for mode in ("controlled", "native"))
    assert set(controlled["verdict"]) == {"agrees"}
    assert (controlled["deviation"] <= 1e-12).all()
    assert (controlled["deviation_first_epoch"] <= 1e-12).all()
    assert (controlled["floor"] > 0).all()
    assert native[["deviation", "floor", "verdict"]].isna().all(axis=None)
    metrics = [f"{part}_{metric}" for part in ("train", "validation", "test") for metric in ("accuracy", "loss")]
    assert frame[metrics].notna().all(axis=None)
    assert (frame[["build_seconds", "train_seconds", "predict_seconds"]] >= 0).all(axis=None)


def test_backends_share_split_start_and_batches_and_repeats_do_not(store):
    frame = sweep(experiment(seeds=2, modes=["controlled"]), store).frame()
    numpy, sklearn = (frame[frame["backend"] == name].reset_index() for name in ("numpy", "sklearn"))
    assert np.allclose(numpy["test_loss"], sklearn["test_loss"], rtol=1e-12)
    first, second = (numpy[numpy["seed"] == seed]["test_loss"].to_numpy() for seed in (0, 1))
    assert not np.isclose(first, second).any()


def test_curves_start_before_training_and_end_with_the_final_metrics(small_experiment, store):
    results = sweep(small_experiment, store)
    frame, curves = results.frame().set_index("trial_id"), results.curves()
    for trial_id, curve in curves.groupby("trial_id"):
        row = frame.loc[trial_id]
        if row["mode"] == "controlled":
            assert curve["epoch"].tolist() == [0, 1, 2, 3]
            assert curve["test_loss"].iloc[-1] == pytest.approx(row["test_loss"], rel=1e-12)
        else:
            assert curve["test_loss"].isna().all()
    assert frame.index.isin(curves["trial_id"])[frame["mode"] == "controlled"].all()


def test_curves_can_be_turned_off_without_changing_a_result(store, tmp_path):
    with_curves = sweep(experiment(), store).frame()
    other = f"sqlite:///{tmp_path / 'other.db'}"
    without = sweep(experiment(curves=False), other)
    controlled = without.frame()["mode"] == "controlled"
    assert not set(without.frame().loc[controlled, "trial_id"]) & set(without.curves()["trial_id"])
    columns = ["trial_id", "test_loss", "deviation"]
    pd.testing.assert_frame_equal(with_curves[columns], without.frame()[columns])


def test_a_second_run_trains_nothing(small_experiment, store):
    first = sweep(small_experiment, store).frame()
    second = sweep(small_experiment, store).frame()
    pd.testing.assert_frame_equal(first, second)  # finished_at included


def test_a_wider_run_trains_only_what_is_missing(store):
    first = sweep(experiment(backends=["numpy"]), store).frame()
    second = sweep(experiment(), store).frame()
    kept = second[second["backend"] == "numpy"].reset_index(drop=True)
    pd.testing.assert_frame_equal(first.reset_index(drop=True), kept)
    assert set(second["verdict"].dropna()) == {"agrees"}


@pytest.mark.usefixtures("extra_backends")
def test_a_fault_costs_one_trial(store):
    momenta = (
        faults.FINE,
        faults.RAISE,
        faults.EXIT,
        faults.SEGFAULT,
        faults.HANG,
        faults.OVERFLOW,
        faults.REFUSE,
        faults.SKIP,
        0.7,
    )
    rows = by_momentum(sweep(faulty(*momenta, time_limit=5.0), store))
    assert rows["status"].to_dict() == {
        faults.FINE: "ok",
        faults.RAISE: "crashed",
        faults.EXIT: "crashed",
        faults.SEGFAULT: "crashed",
        faults.HANG: "timeout",
        faults.OVERFLOW: "diverged",
        faults.REFUSE: "unsupported",
        faults.SKIP: "crashed",
        0.7: "ok",
    }
    assert "RuntimeError: the framework fell over (faults.py:" in rows.loc[faults.RAISE, "reason"]
    assert "exit code 3" in rows.loc[faults.EXIT, "reason"]
    assert "signal 11" in rows.loc[faults.SEGFAULT, "reason"]
    assert "time limit of 5 s" in rows.loc[faults.HANG, "reason"]
    assert "called after_epoch for 1 of 3 epochs" in rows.loc[faults.SKIP, "reason"]
    assert rows.loc[faults.REFUSE, "reason"] == "this backend has no such momentum"
    assert rows.loc[faults.OVERFLOW, "deviation"] == np.inf  # the reference did not diverge
    assert rows.loc[faults.OVERFLOW, "verdict"] == "differs"
    failed = [faults.RAISE, faults.EXIT, faults.SEGFAULT, faults.HANG]
    assert rows.loc[failed, ["deviation", "test_accuracy"]].isna().all(axis=None)
    assert set(rows.loc[failed, "verdict"]) == {"unchecked"}


@pytest.mark.usefixtures("extra_backends")
def test_no_chatter_of_an_adapter_reaches_the_screen(store, capfd):
    sweep(faulty(faults.FINE, faults.RAISE), store)
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("extra_backends")
def test_what_is_unsupported_is_looked_at_again(store, monkeypatch):
    assert by_momentum(sweep(faulty(faults.REFUSE), store)).loc[faults.REFUSE, "status"] == "unsupported"
    monkeypatch.setattr(registry, "BUILT_IN", (Backend("faulty", "backends.numpy.trainer:NumpyTrainer", ("numpy",)),))
    registry.backends.cache_clear()
    assert by_momentum(sweep(faulty(faults.REFUSE), store)).loc[faults.REFUSE, "status"] == "ok"


def test_a_row_of_another_backend_version_is_stale(store, monkeypatch):
    sweep(experiment(backends=["numpy", "sklearn"], modes=["controlled"]), store)
    monkeypatch.setattr(manifest, "version_of", lambda package: "0.1" if package == "sklearn" else np.__version__)
    rows = sweep(experiment(backends=["numpy", "sklearn"], modes=["controlled"]), store).frame()
    assert set(rows.loc[rows["stale"], "backend"]) == {"sklearn"}


def test_constant_columns_are_named_in_a_warning(store):
    table = copy.deepcopy(small_table())
    table["data"].update(name="digits", scale="minmax")
    table["run"] = {"backends": ["numpy"]}
    (warning,) = sweep(parse(table), store).study().warnings
    assert "of digits" in warning
    assert {"0", "32", "39"} <= set(warning.replace(",", "").split())


def test_refreshing_the_best_cell_keeps_its_weights(store, monkeypatch):
    sweep(experiment(backends=["numpy"]), store)
    monkeypatch.setattr("harness.support.environment.__version__", "99.0")
    frame = sweep(experiment(backends=["numpy"]), store, refresh=True).frame()
    opened = Store(store)
    assert len(opened.artefacts("weights", frame["trial_id"])) == 2  # one for each mode
    opened.close()


def test_the_kept_weights_are_those_of_the_report_s_best_cell(small_experiment, store):
    from reports.tables import best_table

    results = sweep(small_experiment, store)
    frame = results.frame()
    opened = Store(store)
    kept = frame[frame["trial_id"].isin(opened.artefacts("weights", frame["trial_id"]))]
    opened.close()
    for mode in ("controlled", "native"):
        best = best_table(results.study(), mode).set_index("backend")[["learning_rate", "l2"]]
        mine = kept[kept["mode"] == mode].set_index("backend")[["learning_rate", "l2"]]
        assert best.sort_index().to_dict() == mine.sort_index().to_dict()


def test_what_is_planned_and_not_yet_trained_is_pending(small_experiment, store):
    sweep(small_experiment, store)
    sql(store, "delete from trials where verdict is not null")  # as if the run had been killed
    opened = Store(store)
    results = harness.Results(opened, "small")
    opened.close()
    rows = results.frame()
    pending = rows[rows["status"] == "pending"]
    assert (len(rows), len(pending)) == (16, 8)
    assert set(pending["verdict"]) == {"unchecked"}
    assert len(results.export()) == 8
    assert "8 pending" in repr(results)
    assert results.study().facts["seeds"] == "1"


@pytest.mark.usefixtures("extra_backends")
def test_failed_trials_are_trained_again_only_on_request(store):
    first = by_momentum(sweep(faulty(faults.FINE, faults.RAISE), store))
    again = by_momentum(sweep(faulty(faults.FINE, faults.RAISE), store))
    assert again.loc[faults.RAISE, "finished_at"] == first.loc[faults.RAISE, "finished_at"]
    time.sleep(1.1)  # finished_at counts seconds
    retried = by_momentum(sweep(faulty(faults.FINE, faults.RAISE), store, retry_failed=True))
    assert retried.loc[faults.RAISE, "finished_at"] > first.loc[faults.RAISE, "finished_at"]
    assert retried.loc[faults.FINE, "finished_at"] == first.loc[faults.FINE, "finished_at"]


@pytest.mark.usefixtures("extra_backends")
def test_an_absent_framework_is_a_row_with_the_command_that_installs_it(store):
    rows = sweep(experiment(backends=["numpy", "absent", "broken"], modes=["controlled"]), store).frame()
    absent, broken = (rows[rows["backend"] == name] for name in ("absent", "broken"))
    assert set(absent["status"]) == set(broken["status"]) == {"not_installed"}
    assert set(absent["reason"]) == {"no_such_framework not installed; run: pip install no-such-framework"}
    assert "no_such_module" in broken["reason"].iloc[0]
    assert set(rows[rows["backend"] == "numpy"]["status"]) == {"ok"}


@pytest.mark.usefixtures("extra_backends")
def test_what_was_not_installed_is_looked_at_again(store, monkeypatch):
    sweep(experiment(backends=["absent"], modes=["controlled"]), store)
    monkeypatch.setattr(registry, "BUILT_IN", (Backend("absent", "backends.numpy.trainer:NumpyTrainer", ("numpy",)),))
    registry.backends.cache_clear()
    assert set(sweep(experiment(backends=["absent"], modes=["controlled"]), store).frame()["status"]) == {"ok"}


@pytest.mark.usefixtures("extra_backends")
def test_rows_of_another_version_are_stale_and_trained_anew_on_request(store, monkeypatch):
    sweep(experiment(backends=["numpy"]), store)
    monkeypatch.setattr("harness.support.environment.__version__", "99.0")
    assert sweep(experiment(backends=["numpy"]), store).frame()["stale"].all()
    refreshed = sweep(experiment(backends=["numpy"]), store, refresh=True).frame()
    assert not refreshed["stale"].any()
    assert set(refreshed["harness_version"]) == {"99.0"}


def test_parity_can_be_left_out_and_made_up_for(store):
    unchecked = sweep(experiment(parity="none", modes=["controlled"]), store).frame()
    assert set(unchecked["verdict"]) == {"unchecked"}
    assert unchecked[["deviation", "floor"]].isna().all(axis=None)
    assert set(sweep(experiment(modes=["controlled"]), store).frame()["verdict"]) == {"agrees"}


def test_the_best_cell_keeps_its_weights_and_predictions(small_experiment, store):
    frame = sweep(small_experiment, store).frame()
    opened = Store(store)
    kept = opened.artefacts("weights", frame["trial_id"])
    predictions = opened.artefacts("predictions", frame["trial_id"])
    opened.close()
    assert kept.keys() == predictions.keys()
    for _, group in frame.groupby(["backend", "mode", "seed"]):
        best = group.loc[group["trial_id"].isin(kept)]
        assert len(best) == 1
        assert best["validation_accuracy"].iloc[0] == group["validation_accuracy"].max()
        stored = predictions[best["trial_id"].iloc[0]]
        assert np.mean(stored["logits"].argmax(axis=1) == stored["targets"]) == best["test_accuracy"].iloc[0]
        assert len(stored["misclassified_inputs"]) == len(stored["misclassified_rows"]) <= 25


def test_all_weights_are_kept_on_request(small_experiment, store):
    frame = sweep(small_experiment, store, save_weights=True).frame()
    opened = Store(store)
    assert set(opened.artefacts("weights", frame["trial_id"])) == set(frame["trial_id"])
    opened.close()


def test_an_edited_experiment_drops_its_old_plan_but_not_its_rows(store):
    sweep(experiment(backends=["numpy"], modes=["controlled"]), store)
    table = copy.deepcopy(small_table())
    table["sweep"]["l2"] = [0.0]
    table["run"] = {"backends": ["numpy"]}
    frame = sweep(parse(table), store).frame()
    assert len(frame) == 2
    assert sql(store, "select count(*) from trials") == [(4,)]


def test_float32_agrees_too(store):
    table = copy.deepcopy(small_table())
    table["training"]["dtype"] = "float32"
    frame = sweep(parse(table), store).frame()
    assert set(frame.loc[frame["mode"] == "controlled", "verdict"]) == {"agrees"}
    assert (frame.loc[frame["mode"] == "controlled", "deviation"] > 1e-12).any()  # really in single precision


SCRIPT = """
import harness
results = harness.run({path!r}, store={store!r}, progress=False)
print(len(results), sorted(set(results.frame()["status"])))
"""


def write_experiment(tmp_path, table=None):
    import json

    table = table or small_table()
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items() if not isinstance(value, dict)]
    for section, keys in table.items():
        if isinstance(keys, dict):
            lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
    path = tmp_path / "experiment.toml"
    path.write_text("\n".join(lines))
    return path


def test_a_three_line_script_without_a_guard_works(tmp_path, store):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(path=str(write_experiment(tmp_path)), store=store))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert (done.stdout, done.stderr) == ("16 ['ok']\n", "")


KILLED = """
import sys
sys.path.insert(0, {root!r})
from harness import registry
from harness.manifest import Backend
registry.BUILT_IN += (Backend("slow", "tests.faults:Slow", ("numpy",)),)
from harness import run
run({path!r}, store={store!r}, progress=False)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL on Windows")
@pytest.mark.parametrize("rows_before_the_kill", [0, 1, 7])
def test_kill_9_loses_nothing_doubles_nothing_and_leaves_no_worker(tmp_path, store, rows_before_the_kill):
    table = small_table()
    table["run"]["backends"] = ["numpy", "slow"]
    table["run"]["modes"] = ["controlled"]
    table["run"]["seeds"] = 3
    script = tmp_path / "script.py"
    script.write_text(KILLED.format(root=str(ROOT), path=str(write_experiment(tmp_path, table)), store=store))
    process = subprocess.Popen([sys.executable, script], start_new_session=True)
    rows = wait_for_rows(store, rows_before_the_kill, process)
    workers = children_of(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert workers
    deadline = time.monotonic() + 20
    while any(map(is_running, workers)):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.05)
    before = stored_rows(store)
    assert rows.items() <= before.items()
    assert len(before) < 24
    assert subprocess.run([sys.executable, script], timeout=120).returncode == 0
    after = stored_rows(store)
    assert len(after) == 24
    assert before.items() <= after.items()  # the same rows, untouched


def wait_for_rows(store, count, process):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        rows = stored_rows(store)
        if len(rows) >= count and children_of(process.pid):
            return rows
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)
    raise AssertionError("the run did not come so far")


def stored_rows(store):
    try:
        return dict(sql(store, "select trial_id, finished_at || machine || train_seconds from trials"))
    except DBAPIError:  # the tables are not there yet
        return {}


def children_of(pid):
    listing = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return [int(line) for line in listing.stdout.split()]


def is_running(pid):
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def test_arrays_of_one_s_own_can_be_swept_again_and_again(store):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    for y, task in ((X[:, 0] > 0, "binary"), (X @ [[1.0], [2.0], [3.0]], "regression")):
        results = harness.sweep(
            X, y, name=task, hidden=[(), (4,)], learning_rate=[0.01, 0.1], backends=["numpy"], epochs=2, store=store,
            progress=False,
        )  # fmt: skip
        rows = results.frame()
        assert len(rows) == 4
        assert set(rows["task"]) == {task}
        assert set(rows["verdict"]) == {"agrees"}
    with pytest.raises(harness.RequestError, match=r"unknown setting 'lerning_rate': did you mean 'learning_rate'"):
        harness.sweep(X, X[:, 0], lerning_rate=0.1)
