"""When a stored row is stale: what made it is no longer here, be it a library, the adapter's code, or a profile."""

import shutil
import subprocess
import sys

import pytest

import harness
from harness import manifest, registry
from harness.experiment.file import parse
from harness.manifest import Backend
from harness.support import source
from harness.support.source import required_by, source_of_function, source_of_module
from tests.conftest import small_table
from tests.servers import sql

ADAPTER = '''
"""A backend."""

from backends.numpy.trainer import NumpyTrainer

from {package}.parts import RATE


class Own(NumpyTrainer):
    """What it is."""

    requires = ("numpy", "pydantic")  # a comment
    factor = RATE
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with an adapter, which can be imported here and in workers; gives its folder."""
    folder = tmp_path / "packages" / "own_backend"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise_if_imported = True\n")
    (folder / "adapter.py").write_text(ADAPTER.format(package="own_backend"))
    (folder / "parts.py").write_text("RATE = 1.0\n")
    monkeypatch.syspath_prepend(str(folder.parent))
    monkeypatch.setenv("PYTHONPATH", str(folder.parent))
    own = Backend("own", "own_backend.adapter:Own")
    monkeypatch.setattr(registry, "BUILT_IN", (*registry.BUILT_IN, own))
    forget()
    yield folder
    forget()


def forget():
    """As another process would begin."""
    registry.backends.cache_clear()
    for cached in (source_of_module, required_by, source_of_function, source._trees):
        cached.cache_clear()


def run(store, **options):
    table = small_table()
    table["sweep"] = {"learning_rate": [0.1]}
    table["run"] = {"backends": ["own"], "modes": ["controlled"]}
    forget()
    return harness.run(parse(table), store=store, progress=False, **options).frame().iloc[0]


def test_an_edited_adapter_makes_its_rows_stale_and_refresh_trains_them_again(package, store):
    assert run(store)["status"] == "ok"
    assert not run(store)["stale"]
    (package / "parts.py").write_text("RATE = 2.0\n")
    assert run(store)["stale"]
    before = sql(store, "select finished_at, source from trials")
    sql(store, "update trials set finished_at = 'once'")
    assert not run(store, refresh=True)["stale"]
    ((finished_at, after),) = sql(store, "select finished_at, source from trials")
    assert finished_at != "once"
    assert after != before[0][1]


def test_what_a_person_reads_beside_the_code_stales_nothing(package, store):
    run(store)
    text = (package / "adapter.py").read_text()
    text = text.replace("What it is.", "Something else.").replace("# a comment", "").replace("\n\n\n", "\n\n\n\n\n")
    (package / "adapter.py").write_text(f"# first\n{text}")
    assert not run(store)["stale"]


def test_a_file_that_moves_unchanged_stales_nothing(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("one_adapter", "another_adapter"):
        (tmp_path / f"{name}.py").write_text("class Own:\n    pass\n")
    (tmp_path / "third_adapter.py").write_text("class Own:\n    other = 1\n")
    first, second, third = map(source_of_module, ("one_adapter", "another_adapter", "third_adapter"))
    assert first == second != third


def test_a_row_without_a_hash_is_not_stale(package, store):
    run(store)
    sql(store, "update trials set source = null, versions = null")
    (package / "parts.py").write_text("RATE = 2.0\n")
    assert not run(store)["stale"]


def test_an_upgrade_of_anything_that_is_required_makes_rows_stale(package, store, monkeypatch):
    run(store)
    real = manifest.version_of
    monkeypatch.setattr(manifest, "version_of", lambda name: "99.0" if name == "pydantic" else real(name))
    assert run(store)["stale"]
    assert not run(store, refresh=True)["stale"]


def test_the_report_names_the_versions_of_what_is_required(package, store):
    table = small_table()
    table["run"] = {"backends": ["own"], "modes": ["controlled"]}
    results = harness.run(parse(table), store=store, progress=False)
    pydantic = manifest.version_of("pydantic")
    assert f"pydantic {pydantic}" in results.study().facts["own"]
    assert set(results.study().rows["backend_version"]) == {results.study().facts["own"]}
    assert "pydantic" not in results.frame()["backend_version"].iloc[0]


def test_no_adapter_is_imported_to_be_hashed(package):
    code = (
        "import sys\nfrom harness.support.source import source_of_module\n"
        "found = source_of_module('own_backend.adapter')\nprint(len(found), 'own_backend' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "64 False\n"


def test_only_the_profiles_of_the_function_that_was_edited_are_stale(tmp_path):
    from experiments import profiles

    file = tmp_path / "profiles.py"
    shutil.copy(profiles.__file__, file)
    rows = {name: profile.row.__name__ for name, profile in profiles.PROFILES.items()}

    def hashes():
        source_of_function.cache_clear()
        return {name: source_of_function(file, row, ("harness.replay.stack",)) for name, row in rows.items()}

    before = hashes()
    assert None not in before.values()
    edited = rows["course-2018-numpy"]
    text = file.read_text()
    begin = text.index(f"def {edited}")
    file.write_text(text[:begin] + text[begin:].replace("    return ", "    config = config\n    return ", 1))
    after = hashes()
    assert {name for name in rows if before[name] != after[name]} == {"course-2018-numpy", "course-2023-numpy"}


def test_a_trial_is_the_same_whatever_the_adapter_s_code(package):
    from harness.experiment.datasets import load_datasets
    from harness.planning.plan import plan

    table = small_table()
    table["run"] = {"backends": ["own"], "modes": ["controlled"]}
    experiment = parse(table)
    datasets = load_datasets(experiment)
    before = [trial.id for trial in plan(experiment, datasets)]
    (package / "parts.py").write_text("RATE = 2.0\n")
    forget()
    assert [trial.id for trial in plan(experiment, datasets)] == before


def test_status_counts_what_is_stale(package, store, capfd):
    from harness.cli import invoke

    run(store)
    (package / "parts.py").write_text("RATE = 2.0\n")
    forget()
    assert invoke(["status", "--store", store]) == 0
    header, line = capfd.readouterr().out.strip().splitlines()
    assert dict(zip(header.split(), line.split(), strict=True))["stale"] == "1"


def test_so_does_one_beside_an_adapter_that_has_no_package(tmp_path, monkeypatch):
    for name, text in (("flat_adapter", "import json\nimport flat_parts"), ("flat_parts", "RATE = 1"), ("other", "")):
        (tmp_path / f"{name}.py").write_text(text + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    forget()
    before = source_of_module("flat_adapter")
    (tmp_path / "other.py").write_text("RATE = 2\n")
    forget()
    assert source_of_module("flat_adapter") == before
    (tmp_path / "flat_parts.py").write_text("RATE = 2\n")
    forget()
    assert source_of_module("flat_adapter") != before


def test_every_module_that_an_adapter_imports_counts():
    assert len(source._trees("backends.torch.trainer")) == 5  # and its native way, layers, losses and optimizers
