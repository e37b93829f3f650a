"""`harness doctor`: a verdict on everything that can be wrong here, and never a traceback."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from harness import registry
from harness.cli import invoke
from harness.execution.doctor import environment, look_at_store, try_backends
from harness.execution.runner import run
from harness.experiment.file import parse
from harness.manifest import Backend
from tests.conftest import small_table

BROKEN = {
    "right": Backend("right", "tests.mutants:Correct", ("numpy",)),
    "wrong": Backend("wrong", "tests.mutants:L2OffByTwo", ("numpy",)),
    "dying": Backend("dying", "tests.sick:Dies", ("numpy",)),
    "raising": Backend("raising", "tests.sick:Raises", ("numpy",)),
    "hanging": Backend("hanging", "tests.sick:Hangs", ("numpy",)),
    "idle": Backend("idle", "tests.faults:SupportsNothing", ("numpy",)),
    "absent": Backend("absent", "absent:Trainer", ("no_such_framework",), "pip install no-such-framework"),
    "half": Backend("half", "no_such_module:Trainer"),
}


def tried(*names, seconds=300.0):
    return {found.backend: found for found in try_backends([BROKEN[name] for name in names], seconds)}


def test_each_backend_gets_its_own_verdict():
    found = tried("right", "wrong", "dying", "raising", "idle", "absent", "half")
    assert {name: each.verdict for name, each in found.items()} == {
        "right": "ok",
        "wrong": "differs",
        "dying": "crashed",
        "raising": "crashed",
        "idle": "unsupported",
        "absent": "not_installed",
        "half": "not_installed",
    }
    assert list(found) == ["right", "wrong", "dying", "raising", "idle", "absent", "half"]
    assert "deviation" in found["right"].told
    assert "harness check wrong" in found["wrong"].told
    assert "exit code 3" in found["dying"].told
    assert "RuntimeError: the driver is too old" in found["raising"].told
    assert "pip install no-such-framework" in found["absent"].told


def test_a_backend_that_hangs_is_given_up():
    found = tried("hanging", seconds=3.0)
    assert found["hanging"].verdict == "timeout"
    assert "no step within 3 s" in found["hanging"].told


def test_a_real_backend_makes_its_step(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert invoke(["doctor", "--backends", "numpy,sklearn"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert "2 of 2 backends work, and the store can be written" in out
    for part in (
        "harness  ",
        "NumPy  ",
        "BLAS  ",
        "cores  ",
        "threads a worker  1",
        "results/harness.db: not there yet",
    ):
        assert part in out
    assert not list(tmp_path.iterdir())  # it only looks


def test_what_is_wrong_is_exit_code_1_and_told_at_the_end(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "BUILT_IN", (BROKEN["right"], BROKEN["wrong"]))
    registry.backends.cache_clear()
    try:
        assert invoke(["doctor"]) == 1
        assert capfd.readouterr().out.splitlines()[-1].startswith("to mend: wrong: differs: deviation")
        assert invoke(["doctor", "--json", "--quiet"]) == 1
        out, err = capfd.readouterr()
    finally:
        registry.backends.cache_clear()
    assert err == ""
    whole = json.loads(out)
    assert (whole["command"], whole["exit_code"]) == ("doctor", 1)
    assert [found["verdict"] for found in whole["result"]["backends"]] == ["ok", "differs"]
    assert whole["result"]["store"]["fault"] is None
    assert len(whole["result"]["faults"]) == 1


def test_the_environment_names_what_multiplies_matrices():
    facts = environment()
    assert list(facts)[:3] == ["harness", "NumPy", "BLAS"]
    assert facts["BLAS"] != "unknown"
    assert "threads here" in facts["BLAS"]


def test_the_store_is_looked_at_and_left_alone(tmp_path):
    missing = look_at_store(f"sqlite:///{tmp_path}/none.db")
    assert (missing.exists, missing.fault) == (False, None)
    assert missing.free_bytes > 0
    assert not list(tmp_path.iterdir())
    url = f"sqlite:///{tmp_path}/there.db"
    table = small_table()
    table["run"] = {"backends": ["numpy"]}
    run(parse(table), store=url, progress=False)
    assert (look_at_store(url).experiments, look_at_store(url).fault) == (1, None)
    (tmp_path / "text.db").write_text("this is a text, and long enough to be seen as one by anybody who looks")
    assert "cannot be opened" in look_at_store(f"sqlite:///{tmp_path}/text.db").fault
    by_name, by_url = look_at_store(f"{tmp_path}/there.db"), look_at_store(url)
    assert replace(by_name, free_bytes=0) == replace(by_url, free_bytes=0)  # other programs write beside us
    assert "not a store" in look_at_store("nosuchdatabase://x.db").fault


def test_a_server_is_asked(postgres):
    place = look_at_store(postgres)
    assert (place.path, place.exists, place.experiments, place.fault) == (None, True, 0, None)
    away = look_at_store("postgresql+psycopg://me@127.0.0.1:1/none")
    assert away.exists is False
    assert "cannot be opened" in away.fault


def test_a_folder_that_cannot_be_written_is_a_fault():
    if not os.path.isdir("/proc"):  # noqa: PTH112
        pytest.skip("this system has no /proc, a folder that nobody can write")
    assert "cannot be written" in look_at_store("sqlite:////proc/harness.db").fault


def test_it_runs_as_a_process_too(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "harness", "doctor", "--backends", "nump"], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean 'numpy'" in done.stderr
