"""The page on adding an optimizer, a layer, a loss: what it shows is added to a copy of the tree, and trains there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs/adding-to-the-vocabulary.md").read_text()
PIECE = re.compile(
    r"<!-- not run: tests/test_adding\.py adds it to a copy; (\S+), (before|in): (.+?) -->\n\n```python\n(.*?)```",
    re.DOTALL,
)
PIECES = PIECE.findall(PAGE)
MAXOUT = ROOT / "tests/third_party/maxout_layer"


def added(source, how, where, code):
    """A module with a piece of the page in its place; its modules of the vocabulary are imported by name."""
    lines = source.splitlines(keepends=True)
    pattern = re.compile(rf"{re.escape(where.split(') class ')[-1] if ') class ' in where else where)}\b")
    prefix = "class " if ") class " in where else ""
    at = next(k for k, line in enumerate(lines) if line.startswith(prefix) and pattern.match(line, len(prefix)))
    if how == "before":
        while lines[at - 1].startswith("@"):
            at -= 1
        lines[at:at] = [code, "\n\n"]
    else:
        while not lines[at].rstrip().endswith("{"):
            at += 1
        lines[at + 1 : at + 1] = [f"    {line}" for line in code.splitlines(keepends=True)]
    module = {"optimizers.": "optimizers", "activations.": "activations", "losses.": "losses"}
    used = [name for dotted, name in module.items() if re.search(rf"\b{re.escape(dotted)}[A-Z]", code)]
    first = next(k for k, line in enumerate(lines) if line.startswith(("import ", "from ")))
    lines[first:first] = [f"from harness.network import {name}\n" for name in used]
    return "".join(lines)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the programme with the page's optimizer, activation and loss in it."""
    folder = tmp_path_factory.mktemp("tree")
    for name in ("harness", "backends", "experiments", "reports"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path, how, where, code in PIECES:
        file = folder / path
        file.write_text(added(file.read_text(), how, where, code))
    return folder


def python(tree, *arguments, code=0):
    env = {**os.environ, "PYTHONPATH": str(tree)}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr if code == 2 else done.stdout


def run(tree, *arguments, code=0):
    return python(tree, "-m", "harness", *arguments, code=code)


def test_the_page_names_two_files_and_one_more_for_each_backend():
    parts = dict(zip(*[iter(re.split(r"^## (.+)\n", PAGE, flags=re.MULTILINE)[1:])] * 2, strict=True))
    for title in ("An optimizer", "An activation", "A loss"):
        files = dict.fromkeys(path for path, *_ in PIECE.findall(parts[title]))
        outside = [path for path in files if not path.startswith("backends/")]
        assert len(outside) == 2
        backends = [path.split("/")[1] for path in files if path.startswith("backends/")]
        assert sorted(backends) == ["keras", "numpy", "tensorflow", "torch"]


@pytest.mark.parametrize("backend", ["numpy", "torch", "tensorflow", "keras"])
def test_what_the_page_adds_trains_in_every_backend(tree, backend):
    names = ["five_epochs[signum-tanh-mean-float64]", "five_epochs[sgd-arctan-sum-float64]", "loss[quantile]"]
    for name in names:
        told = run(tree, "check", backend, "--only", name)
        assert re.search(rf"^passed +{re.escape(name)} ", told, flags=re.MULTILINE), told


@pytest.mark.parametrize("backend", ["sklearn", "torch-manual"])
def test_a_backend_without_a_part_says_so(tree, backend):
    told = run(tree, "check", backend, "--only", "loss[quantile]", "--verbose")
    assert re.search(r"^unsupported +loss\[quantile\] .*has no quantile", told, flags=re.MULTILINE), told


FILE = """
name = "mine"
[data]
name = "diabetes"
scale = "standard"
target_scale = "standard"
[network]
hidden = [8]
activation = "arctan"
[training]
optimizer = "signum"
momentum = 0.5
loss = "quantile"
quantile = 0.9
learning_rate = 0.001
batch_size = 40
epochs = 3
[run]
backends = ["numpy", "torch"]
modes = ["controlled", "native"]
"""


def test_a_file_an_estimator_and_a_schema_know_it(tree):
    (tree / "mine.toml").write_text(FILE)
    told = run(tree, "run", "mine.toml", "--store", "mine.db")
    assert "Both backends agree in the one cell" in told
    assert "torch has no arctan, quantile, signum of its own" in told
    assert '"signum"' in run(tree, "schema")
    assert "quantile" in run(tree, "export", "--store", "mine.db").splitlines()[0].split(",")
    (tree / "wrong.toml").write_text(FILE.replace('"signum"', '"adam"'))
    assert "training.momentum has no effect" in run(tree, "run", "wrong.toml", "--dry-run", code=2)
    estimator = "from harness.estimators import NetworkRegressor as R; print(R(optimizer='signum'))"
    assert "signum" in python(tree, "-c", estimator)


def test_the_layer_of_the_page_is_that_of_the_package():
    source = (MAXOUT / "maxout_layer.py").read_text()
    (layer,) = re.findall(r"compares it with the package -->\n\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert layer in source
    (entry,) = re.findall(r"compares it with the package -->\n\n```toml\n(.*?)```", PAGE, re.DOTALL)
    assert entry in (MAXOUT / "pyproject.toml").read_text()
