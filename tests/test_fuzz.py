"""Whatever a file or a command line holds: a result or one line, never a traceback, within bounds of time and memory.

A few hundred cases here, always the same ones; `make fuzz` runs some thousands, drawn anew.
"""

import os
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import data as files
from tests.fuzz import experiments, lines, recordings
from tests.fuzz.guard import Tally, load_all, run

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="each case is a fork of this process")

SHARE = float(os.environ.get("HARNESS_FUZZ", 0))
"""Set by `make fuzz` to 1: all cases, drawn anew each time; 0.1 is a tenth of them."""

OWN = experiments.SMALL.replace('name = "iris"', "{}")


def cases(whole, few):
    """So many cases of a strategy."""
    return settings(
        max_examples=max(1, round(whole * SHARE)) if SHARE else few,
        deadline=None,  # what a case may take is bounded by processor time
        derandomize=not SHARE,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )


@pytest.fixture(scope="module")
def tally():
    load_all()
    counted = Tally()
    yield counted
    print(f"\n{counted}")


@pytest.fixture
def folder(tmp_path):
    """A folder with a small experiment and data beside it, as it is before each case."""
    np.savez(tmp_path / "my.npz", X=np.random.default_rng(0).random((30, 2)), y=np.arange(30) % 2)
    (tmp_path / "my.csv").write_bytes(files.csv_bytes())
    (tmp_path / "small.toml").write_text(experiments.SMALL)
    (tmp_path / "run.npz").write_bytes(
        files.archive({f"{k}.npy": files.npy(a) for k, a in recordings.recorded().items()})
    )
    return tmp_path


def ends_well(tally, folder, *arguments):
    ended = run(list(arguments), folder)
    tally.add(ended)
    fault = ended.fault()
    assert fault is None, f"{' '.join(arguments)[:300]}: {fault}\n{ended.err[-3000:]}"
    return ended


@cases(1700, 15)
@given(text=experiments.mutated_text())
def test_any_bytes_of_an_experiment_file_are_a_plan_or_one_line(tally, folder, text):
    (folder / "fuzz.toml").write_bytes(text)
    ends_well(tally, folder, "run", "fuzz.toml", "--dry-run")


@cases(1700, 15)
@given(text=experiments.mutated_table(sensible=False))
def test_any_values_in_an_experiment_file_are_a_plan_or_one_line(tally, folder, text):
    (folder / "fuzz.toml").write_text(text)
    ends_well(tally, folder, "run", "fuzz.toml", "--dry-run")


@cases(1700, 15)
@given(text=experiments.mutated_table(sensible=True))
def test_any_likely_values_in_an_experiment_file_are_a_plan_or_one_line(tally, folder, text):
    (folder / "fuzz.toml").write_text(text)
    ends_well(tally, folder, "run", "fuzz.toml", "--dry-run")


def plans(tally, folder, name, data, target="y"):
    (folder / name).write_bytes(data)
    (folder / "fuzz.toml").write_text(OWN.format(f'path = "{name}"\ntarget = "{target}"'))
    ends_well(tally, folder, "run", "fuzz.toml", "--dry-run")
    if name.endswith(".csv"):
        ends_well(tally, folder, "init", "new.toml", "--force", "--data", name)


@cases(300, 10)
@given(data=files.npz_file())
def test_any_npz_file_is_data_or_one_line(tally, folder, data):
    plans(tally, folder, "fuzz.npz", data)


@cases(300, 10)
@given(data=files.csv_file())
def test_any_csv_file_is_data_or_one_line(tally, folder, data):
    plans(tally, folder, "fuzz.csv", data)


@cases(200, 5)
@given(data=files.parquet_file)
def test_any_parquet_file_is_data_or_one_line(tally, folder, data):
    pytest.importorskip("pyarrow", reason="reads Parquet files")
    plans(tally, folder, "fuzz.parquet", data)


@cases(200, 5)
@given(found=files.idx_files())
def test_any_idx_files_are_data_or_one_line(tally, folder, found):
    place = folder / "idx"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for name, data in found.items():
        (place / name).write_bytes(data)
    (folder / "fuzz.toml").write_text(OWN.format('name = "mnist"\nfolder = "idx"'))
    ends_well(tally, folder, "run", "fuzz.toml", "--dry-run")


@cases(500, 10)
@given(data=recordings.recording_file(), first=st.booleans())
def test_any_recording_is_walked_or_refused_in_one_line(tally, folder, data, first):
    (folder / "fuzz.npz").write_bytes(data)
    pair = ("fuzz.npz", "run.npz") if first else ("run.npz", "fuzz.npz")
    ends_well(tally, folder, "trace", *pair)


@cases(300, 20)
@given(line=lines.command_line())
def test_any_command_line_is_obeyed_or_refused_in_one_line(tally, folder, line):
    ends_well(tally, folder, *line)
