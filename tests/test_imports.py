"""Who imports whom: the harness no framework, a backend no other, and nobody a user's folder of the same name."""

import ast
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from harness.registry import BUILT_IN

ROOT = Path(__file__).resolve().parent.parent
FRAMEWORKS = ("sklearn", "torch", "tensorflow", "keras", "jax")

# TensorFlow's own package imports keras, and from there scikit-learn where it is installed
BROUGHT_ALONG = {"tensorflow": {"keras", "sklearn"}, "keras": {"tensorflow", "sklearn"}}


def loaded_by(code):
    code += f"\nimport sys; print(*[name for name in {FRAMEWORKS} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import harness",
        "import harness; harness.run, harness.load, harness.Results",
        "import harness.cli; harness.cli.make_app(harness.cli.COMMANDS)",
        "from harness.cli import invoke; invoke(['list'])",
        "import harness.execution.executor, harness.execution.worker, harness.checks",
    ],
)
def test_the_harness_imports_no_framework(code):
    assert loaded_by(code) == set()


@pytest.mark.parametrize("backend", BUILT_IN, ids=lambda backend: backend.name)
def test_a_backend_imports_no_other(backend):
    if backend.missing():
        pytest.skip(backend.missing())
    seen = loaded_by(f"import {backend.trainer.split(':')[0]}")
    assert seen - BROUGHT_ALONG.get(backend.name, set()) <= {backend.requires[0]}


def imports(path, module_level_only=False):
    tree = ast.parse(path.read_text())
    nodes = tree.body if module_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


SAME_FRAMEWORK = {"torch_manual": "torch", "tensorflow": "keras"}  # whose files a backend may read beside its own


@pytest.mark.parametrize("path", (ROOT / "backends").glob("*/*.py"), ids=lambda path: "/".join(path.parts[-2:]))
def test_a_backend_knows_only_the_contract_and_its_own_files(path):
    own = {name for name in imports(path) if name.split(".")[0] in ("harness", "reports", "experiments", "backends")}
    known = {
        "__init__": {"harness.manifest"},
        "lines": {
            "harness.contract",
            "harness.network",
            "harness.conventions.table",
            "harness.draws.starts",
            *(f"harness.calls.{name}" for name in ("backend_lines", "start", "switch", "text")),
        },
        "conventions": {
            "harness.contract",
            "harness.network",
            "harness.conventions.declared",
            "harness.conventions.table",
        },
    }.get(path.stem, {"harness.contract", "harness", "harness.network"})
    folder = path.parent.name
    folders = {folder, SAME_FRAMEWORK.get(folder, folder)}
    files = {f"backends.{name}.{file.stem}" for name in folders for file in (ROOT / "backends" / name).glob("*.py")}
    assert own <= known | files


@pytest.mark.parametrize("path", (ROOT / "reports").rglob("*.py"), ids=lambda path: path.name)
def test_reports_know_nothing_of_the_harness(path):
    assert not {name for name in imports(path) if name.split(".")[0] in ("harness", "backends", "experiments")}


@pytest.mark.parametrize("path", (ROOT / "harness").rglob("*.py"), ids=lambda path: path.name)
def test_the_harness_reaches_into_other_packages_only_inside_functions(path):
    top = {name.split(".")[0] for name in imports(path, module_level_only=True)}
    assert not top & {"backends", "reports", "experiments"}


@pytest.mark.parametrize("name", ["reports", "backends", "experiments"])
def test_a_folder_that_shadows_a_package_is_named_in_one_line(name, tmp_path):
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("raise RuntimeError('this is not the package you want')")
    done = subprocess.run(
        [sys.executable, "-m", "harness", "run", "digits-quick"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"the package {name!r} was found in {tmp_path / name}" in done.stderr


def test_a_plain_folder_of_the_same_name_is_no_trouble(tmp_path):
    for name in ("reports", "backends", "experiments", "tests"):
        (tmp_path / name).mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "harness", "run", "digits-quick", "--dry-run"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_no_circle_of_imports_is_left_inside_functions_either():
    paths = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in (ROOT / "harness").rglob("*.py")}
    modules = {name.removesuffix(".__init__"): path for name, path in paths.items() if name != "harness.__init__"}
    graph = {module: set(imported(path, modules)) & set(modules) for module, path in modules.items()}
    assert sum(map(len, graph.values())) > 500
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def imported(path, modules):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from full & set(modules) or {node.module}


def test_ls_shows_the_architecture():
    modules = [path.stem for path in (ROOT / "harness").glob("*.py")]
    assert len(modules) <= 8, modules
    floors = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
    rooms = {room.strip() for floor in floors for room in floor.split("|")}
    packages = {f"harness.{path.parent.name}" for path in (ROOT / "harness").glob("*/__init__.py")}
    assert packages <= rooms, "a room without a floor"


NOT_BACKENDS = {
    **dict.fromkeys(("calls/start.py", "draws/starts.py", "tracing/start_and_batches.py"), "laws of a start"),
    **dict.fromkeys(
        ("linting/linter.py", "linting/losses.py", "reference/trainer.py", "registry.py", "replay/profile_trainer.py"),
        "packages",
    ),
    **dict.fromkeys(("storage/staleness.py", "support/environment.py"), "packages"),
    "cli/new_backend.py": "packages",
}
"""Where a constant of the harness is spelt like a backend, and what it is."""


def test_a_report_names_no_backend():
    """Neither do its templates and scripts: what they know of backends comes with the rows."""
    names = {backend.name for backend in BUILT_IN}
    found = [
        (path.name, node.value)
        for path in (ROOT / "reports").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in names
    ]
    quoted = re.compile("|".join(f"[\"'`]{re.escape(name)}[\"'`]" for name in names))
    for path in (ROOT / "reports").rglob("*"):
        if path.suffix in (".html", ".js", ".css", ".md", ".j2"):
            found += [(path.name, text) for text in quoted.findall(path.read_text())]
    assert not found


def test_the_harness_names_no_backend():
    names = {backend.name for backend in BUILT_IN}
    found = {
        str(path.relative_to(ROOT / "harness"))
        for path in (ROOT / "harness").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in names
    }
    assert found == set(NOT_BACKENDS)
