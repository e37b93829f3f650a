"""The wheel, installed in an empty environment, works from another folder."""

import gzip
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(*command, cwd):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=cwd, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_the_four_packages_with_their_data_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {
        "harness",
        "backends",
        "experiments",
        "reports",
    }
    for name in (
        *("experiments/digits-grid.toml", "experiments/digits-quick.toml"),
        *("reports/templates/report.html.j2", "harness/templates/backend/adapter.py.template"),
        *("harness/storage/migrations/env.py", "harness/storage/migrations/versions/r0001_metrics.py"),
    ):
        assert name in names
    assert {f"{package}/py.typed" for package in ("harness", "backends", "experiments", "reports")} <= set(names)


@pytest.mark.suite
def test_the_wheel_runs_in_an_empty_environment_from_another_folder(wheel, tmp_path):
    run(sys.executable, "-m", "venv", tmp_path / "env", cwd=tmp_path)
    python = tmp_path / "env/bin/python"
    run(python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel, cwd=tmp_path)
    work = tmp_path / "work"
    work.mkdir()
    harness = tmp_path / "env/bin/harness"

    listing = run(harness, "list", cwd=work)
    for extra in ("torch", "tensorflow"):
        assert f"pip install 'backend-harness[{extra}]'" in listing

    run(harness, "run", "digits-quick", "--backends", "numpy,sklearn", cwd=work)
    page = (work / "results/digits-quick/report.html").read_text()
    assert "<svg" in page
    assert "agree" in page

    # a store of earlier days is brought up to date by the revisions in the wheel
    with gzip.open(ROOT / "tests/stores/first/store.db.gz") as packed:
        (work / "old.db").write_bytes(packed.read())
    assert "from schema 0000 to 0001" in run(harness, "store", "upgrade", "--store", "old.db", cwd=work)

    # the other three are rows that say what to install, and no failure of the run
    run(harness, "run", "digits-quick", "--backends", "numpy,torch,keras", "--modes", "native", cwd=work)
    rows = run(harness, "export", cwd=work).splitlines()
    absent = [row for row in rows if ",torch," in row or ",keras," in row]
    assert len(absent) == 18
    assert all("not_installed" in row and "pip install" in row for row in absent)
