"""What the README shows is run here, word for word."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.checks import CHECKS, run_check
from harness.experiment import suites
from harness.registry import load_trainer
from harness.sections import SECTIONS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def block(language, word):
    (found,) = [text for text in blocks(language) if word in text]
    return found


def run(*command, cwd, env=None):
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


HARNESS = (sys.executable, "-m", "harness")


def test_the_experiment_runs_as_it_stands(tmp_path):
    (tmp_path / "iris.toml").write_text(block("toml", 'name = "iris"'))
    run(*HARNESS, "run", "iris.toml", cwd=tmp_path)
    assert (tmp_path / "results/iris/report.html").is_file()
    exported = run(*HARNESS, "export", cwd=tmp_path).splitlines()
    assert len(exported) == 1 + 3 * 3 * 2 * 2 * 2


def test_the_python_lines_run_as_they_stand(tmp_path):
    (tmp_path / "script.py").write_text(block("python", "import harness\n"))
    out = run(sys.executable, "script.py", cwd=tmp_path)
    assert "sklearn" in out
    assert (tmp_path / "heatmap.png").stat().st_size > 10_000


def test_the_lines_for_one_s_own_arrays_run_as_they_stand(tmp_path):
    (tmp_path / "script.py").write_text("import harness\n" + block("python", "load_breast_cancer") + "print(results)\n")
    assert "4 ok" in run(sys.executable, "script.py", cwd=tmp_path)


def test_every_key_of_an_experiment_is_in_the_docs():
    page = (ROOT / "docs/experiment-file.md").read_text()
    for name, section in SECTIONS.items():
        part = page.partition(f"## `[{name}]`")[2].partition("\n## ")[0]
        for key in section.model_fields:
            assert f"`{key}`" in part, f"[{name}] {key}"


def test_every_suite_is_in_the_readme():
    assert all(f"`{name}`" in README for name in suites())


def test_the_backend_passes_its_conformance_suite_as_it_stands(tmp_path):
    package, site = tmp_path / "package", tmp_path / "site"
    package.mkdir()
    (package / "einsum_backend.py").write_text(block("python", "class EinsumTrainer"))
    (package / "pyproject.toml").write_text(block("toml", "einsum-backend"))
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation")
    run(*pip, "--target", site, package, cwd=tmp_path)
    env = {"PYTHONPATH": str(site)}
    assert "einsum" in run(*HARNESS, "list", cwd=tmp_path, env=env)
    checks = run(*HARNESS, "check", "einsum", cwd=tmp_path, env=env)
    assert "passed       own_arithmetic" in checks
    assert "passed       five_epochs[sgd-tanh-mean-float64]" in checks
    assert "unsupported  five_epochs[adam-tanh-mean-float64]" in checks
    assert "failed  " not in checks


@pytest.mark.parametrize("line", [line for line in block("console", "harness list").splitlines() if line])
def test_every_command_shown_is_one_that_there_is(line, tmp_path):
    command = line.partition("#")[0].split()
    assert command[0] == "harness"
    usage = run(*HARNESS, command[1], "--help", cwd=tmp_path)
    for option in [word for word in command if word.startswith("-")]:
        assert option in usage


def test_the_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make (\w+)", README):
        assert f"\n{target}:" in makefile


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_every_link_leads_somewhere(page):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_stack_backend_of_the_docs_passes_every_check_as_it_stands(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/stacks.md").read_text(), flags=re.DOTALL)
    (tmp_path / "einsum_stack.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    trainer = load_trainer("einsum_stack:EinsumStack")
    statuses = {name: run_check(name, trainer) for name in CHECKS}
    assert {name: result.message for name, result in statuses.items() if result.status == "failed"} == {}
    stacks = {name for name, result in statuses.items() if name.startswith("stack_") and result.status == "passed"}
    assert len(stacks) == 6  # all but the regularisers, which it says that it has not
