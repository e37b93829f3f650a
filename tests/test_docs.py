"""Every command and snippet of the documentation is run, word for word, and what the pages show is what is printed.

`tests/pages.py` says how. Pages that train with several frameworks, or for long, are run by `make suites`.
"""

import re
import subprocess
import sys
import tomllib

import pytest

from docs import generate
from harness.checks import CHECKS, run_check
from harness.cli import COMMANDS
from harness.experiment.file import suites
from harness.experiment.sections import SECTIONS
from harness.registry import load_trainer
from tests.pages import DOCS, LANGUAGES, ROOT, Session, completed, fences, first_missing

README = ROOT / "README.md"
PAGES = {page.name: page for page in [README, *sorted(DOCS.glob("*.md"))]}
ELSEWHERE = {  # pages whose blocks need more than a folder, and the tests that run them
    "adding-a-backend.md": "test_new_backend.py",
    "adding-to-the-vocabulary.md": "test_adding.py",
    "compiled-frameworks.md": "test_new_backend.py",
    "recording.md": "test_recorders.py",
}
SLOW = {
    **dict.fromkeys(("explain.md", "first-steps.md", "questions.md", "why.md"), pytest.mark.suite),
    "tutorial.md": pytest.mark.proof,
}


def marked(names):
    return [pytest.param(name, marks=SLOW.get(name, ())) for name in names]


@pytest.mark.parametrize("name", marked(name for name in PAGES if name not in ELSEWHERE))
def test_what_a_page_shows_is_what_happens(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    session = Session(tmp_path)
    for fence in fences(PAGES[name]):
        try:
            if fence.language == "console" and (fence.reason or installs(fence) or name == "README.md"):
                for command, _ in fence.commands:
                    exists(command)
            elif not fence.reason and fence.language:
                session.run(fence)
        except Exception as error:
            error.add_note(f"{name}, line {fence.line}")
            raise


def installs(fence):
    """Whether a block installs something or works on the repository, which a test of a page must not do."""
    return all(command.split()[0] in ("make", "pip", "uv", "git") for command, _ in fence.commands)


def exists(command):
    """A command that is not run: its words are known to those who would run it."""
    program, *words = re.sub(r"'([^']*)'", r"\1", command).split()
    if program == "make":
        assert f"\n{words[0]}:" in (ROOT / "Makefile").read_text(), command
    elif program in ("pip", "uv"):
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert "install" in words
        assert all(extra in extras for word in words for extra in re.findall(r"^\.\[(\w+)\]", word)), command
    elif program == "harness":
        told = " ".join(generate.PARTS["commands"]().split(f"## `harness {words[0]}`")[1].split("## `")[0].split())
        assert all(word.partition("=")[0] in told for word in words if word.startswith("-")), command
    else:
        assert program in ("git", "python", "pytest"), command


@pytest.mark.parametrize("name", PAGES)
def test_no_block_escapes(name):
    found = fences(PAGES[name])
    text = generate.PART.sub("", PAGES[name].read_text())
    assert len(re.findall(r"^\s*(?:```|~~~)", text, flags=re.MULTILINE)) == 2 * len(found)
    allowed = (*LANGUAGES, "") if name == "README.md" else LANGUAGES  # "" is the tree
    assert [fence.line for fence in found if fence.language not in allowed] == []
    for before, fence in zip([None, *found], found, strict=False):
        assert fence.note == "" or re.match(r"not (run|compared): \w+", fence.note), fence.note
        if fence.language == "text" and not fence.note:  # what would it be the output of?
            assert before is not None, fence.line
            assert not before.reason or name in ELSEWHERE, fence.line


def test_few_blocks_are_not_run_and_each_has_its_reason():
    unrun = [(name, fence.reason) for name, page in PAGES.items() for fence in fences(page) if fence.reason]
    assert all("tests/test_" in reason for name, reason in unrun if name in ELSEWHERE)  # which runs it
    assert len([name for name, _ in unrun if name not in ELSEWHERE]) <= 6, unrun


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_page_that_is_run_elsewhere_is_read_there(name):
    assert f"docs/{name}" in (ROOT / "tests" / ELSEWHERE[name]).read_text()


# the README, which points at the pages: its experiment and its Python lines are run, its commands by the pages


def test_every_command_of_the_readme_has_its_part_in_the_docs():
    shown = [command for fence in shells(README) for command, _ in fence.commands]
    assert len([command for command in shown if command.startswith("harness ")]) > 10
    for command in shown:
        exists(command)


def test_output_in_the_readme_is_that_of_a_page():
    told = {}
    for page in PAGES.values():
        if page != README:
            told |= {command: output for fence in shells(page) for command, output in fence.commands if output}
    shown = [pair for fence in shells(README) for pair in fence.commands if pair[1]]
    assert shown
    for command, output in shown:
        assert first_missing(output, told[command]) is None, command


def shells(page):
    return [fence for fence in fences(page) if fence.language == "console"]


def test_the_tree_of_the_readme_is_there():
    (tree,) = [fence.text for fence in fences(README) if not fence.language]
    folder = ROOT
    for line in tree.splitlines():
        name = line.split()[0]
        folder = folder if line.startswith(" ") else ROOT
        assert (folder / name).exists(), name
        folder = ROOT / name if name == "harness/" else folder


def test_every_suite_is_in_the_readme():
    assert all(f"`{name}`" in README.read_text() for name in suites())


def test_the_experiment_of_the_readme_is_run_and_reported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (experiment,) = [fence for fence in fences(README) if fence.language == "toml"]
    session = Session(tmp_path)
    session.run(experiment)
    session.type("harness run iris.toml")
    assert (tmp_path / "results/iris/report.html").is_file()
    session.type("harness export")
    assert len([line for line in session.printed.splitlines() if ",iris," in line]) == 3 * 3 * 2 * 2 * 2


# the parts that are generated


@pytest.mark.parametrize("name", [name for name, page in PAGES.items() if generate.PART.search(page.read_text())])
def test_a_generated_page_is_what_the_code_says(name):
    assert PAGES[name].read_text() == generate.render(PAGES[name].read_text()), "python -m docs.generate writes it anew"


def test_every_key_has_a_meaning_and_an_example():
    page = PAGES["experiment-file.md"].read_text()
    examples = [tomllib.loads(text) for text in re.findall(r"^```toml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)]
    for section, model in SECTIONS.items():
        shown = {key for example in examples for key in example.get(section, ())}
        assert shown >= set(model.model_fields), section
        assert all(field.description for field in model.model_fields.values())


def test_every_command_has_its_part():
    assert set(re.findall(r"^## `harness (\S+)`$", PAGES["command-line.md"].read_text(), re.MULTILINE)) == set(COMMANDS)


# the pages together


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name):
    prose = re.sub(r"^```.*?^```$", "", PAGES[name].read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", prose):
        if not target.startswith("http") and target != "changelog.md":
            assert (PAGES[name].parent / target).exists(), target


def test_the_site_builds_strictly_and_asks_for_nothing_from_elsewhere(tmp_path):
    command = (sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={"NO_MKDOCS_2_WARNING": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    fetched = re.compile(r"<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)=\"?(https?:[^\"\s>]+)")
    pages = sorted(tmp_path.rglob("*.html"))
    assert {url for page in pages for url in fetched.findall(page.read_text())} == set()
    assert {page.stem for page in pages} >= {name.removesuffix(".md") for name in PAGES if name != "README.md"}


def test_the_stack_backend_of_the_docs_passes_every_check_as_it_stands(tmp_path, monkeypatch):
    (code,) = [fence.text for fence in fences(PAGES["stacks.md"]) if fence.language == "python"]
    (tmp_path / "einsum_stack.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    trainer = load_trainer("einsum_stack:EinsumStack")
    statuses = {name: run_check(name, trainer) for name in CHECKS}
    assert {name: result.message for name, result in statuses.items() if result.status == "failed"} == {}
    stacks = {name for name, result in statuses.items() if name.startswith("stack_") and result.status == "passed"}
    assert len(stacks) == 6  # all but the regularisers, which it says that it has not


# what the tests above would see


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("loss 0.51", "loss 0.53"),
        ("loss 0.5", "gain 0.5"),
        ("3 of 9", "4 of 9"),
        ("a\nb", "a\nc\nb"),
        ("b\n…\na", "a\nb"),
        ("a …", "b c"),
        ("deviation 1e-3", "deviation 2e-16"),
    ],
)
def test_output_that_is_not_what_the_page_shows_is_seen(shown, printed):
    assert first_missing(shown, printed) is not None


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("loss   0.51", "loss 0.52"),
        ("a\n…\nc", "a\nb\nc"),
        ("a b …", "a b c d"),
        ("deviation 1.3e-15", "deviation 2.2e-16"),
    ],
)
def test_blanks_last_digits_and_what_was_left_out_do_not_count(shown, printed):
    assert first_missing(shown, printed) is None


def test_a_fragment_becomes_a_whole_experiment():
    table = tomllib.loads(completed({"sweep": {"learning_rate": [0.1]}, "network": {"activation": "relu"}}))
    assert "learning_rate" not in table["training"]
    assert table["network"] == {"hidden": [4], "activation": "relu"}


def test_a_command_that_is_not_there_is_seen():
    with pytest.raises((AssertionError, IndexError)):
        exists("harness runn")
    with pytest.raises(AssertionError):
        exists("harness run iris.toml --no-such-option")
    with pytest.raises(AssertionError):
        exists("make nothing")
