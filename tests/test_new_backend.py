"""A new backend: the package that `harness new-backend` writes, and one that somebody else has written."""

import csv
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from harness import registry
from harness.checks import CHECKS, run_check
from harness.cli import invoke

ROOT = Path(__file__).resolve().parent.parent
AUTOGRAD = ROOT / "tests/third_party/autograd_backend"
STACKED = ROOT / "tests/third_party/stacked_autograd"
PAGE = (ROOT / "docs/adding-a-backend.md").read_text()
PIECES = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
MODULE, MANIFEST = [text for language, text in PIECES if language == "python"]


class Environment:
    """A virtual environment that sees what is installed in this one, and in which the commands of a page are run."""

    def __init__(self, folder):
        venv.create(folder / "env", symlinks=True)
        self.folder, self.python = folder, folder / "env/bin/python"
        site = self.run(self.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
        Path(site, "outer.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")

    def type(self, line, **options):
        """Run a line as a user types it, without the network: packages are built with what is there."""
        command, *arguments = (word.strip("'\"") for word in re.findall(r"\"[^\"]*\"|\S+", line))
        if command == "pip":
            pip = (sys.executable, "-m", "pip", "--python", self.python)
            return self.run(*pip, *arguments, "--no-deps", "--no-build-isolation", **options)
        module = () if command == "python" else ("-m", command)
        return self.run(self.python, *module, *arguments, **options)

    def run(self, *command, code=0, env=None):
        env = {**os.environ, **(env or {})}
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=self.folder, env=env)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """An environment in which all of the page was done, from top to bottom, and what the commands said."""
    environment, told = Environment(tmp_path_factory.mktemp("page")), ""
    for language, text in PIECES:
        if language == "console":
            told += "".join(environment.type(line) for line in text.splitlines())
        elif language == "toml":
            path = environment.folder / "autograd-backend/pyproject.toml"
            path.write_text(re.sub(r"^dependencies = .*\n", text, path.read_text(), flags=re.MULTILINE))
        elif text == MODULE:
            (environment.folder / "autograd-backend/autograd_backend.py").write_text(text)
    return environment, told.splitlines()


def write(name, *options):
    assert invoke(["new-backend", name, *options]) == 0


def load(path):
    """The module in this file, imported anew."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_leads_from_nothing_to_passing_checks(walked):
    _, told = walked
    shown = [line for language, text in PIECES if language == "text" for line in text.splitlines()]
    ends = [line for line in shown if "checks" in line]
    assert [line.split()[0] for line in ends] == ["unsupported", "mylib:", "unsupported", "autograd:"]
    assert [line for line in told if re.match(r"mylib: |autograd: |unsupported ", line)] == ends


def test_the_new_backend_is_known_by_its_version_and_agrees_in_every_cell(walked):
    environment, _ = walked
    exported = environment.type("harness export")
    rows = [row for row in csv.DictReader(io.StringIO(exported)) if row["backend"] == "mylib"]
    assert len(rows) == 9
    assert {(row["status"], row["backend_version"]) for row in rows} == {("ok", "0.1")}
    assert all(float(row["deviation"]) <= 100 * float(row["floor"]) for row in rows)


def test_the_commands_that_it_prints_are_those_of_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write("mylib")
    printed = re.findall(r"^  (.*)$", capsys.readouterr().err, flags=re.MULTILINE)
    assert len(printed) == 3
    assert all(f"\n{command}\n" in PAGE for command in printed)


@pytest.fixture
def package(tmp_path):
    write("my_lib", "--out", str(tmp_path / "new"))
    return tmp_path / "new/my-lib-backend"


def test_what_it_supports_passes_and_the_rest_has_a_reason(package):
    trainer = load(package / "my_lib_backend.py").MyLibTrainer
    assert trainer.name == "my_lib"
    results = [run_check(name, trainer) for name in CHECKS]
    assert [result for result in results if result.status == "failed"] == []
    passed = {result.name for result in results if result.status == "passed"}
    assert {"own_arithmetic", "one_step", "l2", "divergence_is_reported", "mixed_activations"} <= passed
    reasons = {result.message for result in results if result.status == "unsupported"}
    assert all(
        re.search("this backend has no|one network at a time|no native mode|has no list of layers", reason)
        for reason in reasons
    )


def test_its_files_are_formatted_and_nothing_of_the_templates_is_left(package):
    are_formatted(package, "my_lib")


def are_formatted(package, name):
    for command in (("check",), ("format", "--check")):
        line = (sys.executable, "-m", "ruff", *command, "--isolated", "--no-cache", "--line-length", "120", ".")
        done = subprocess.run(line, capture_output=True, text=True, cwd=package)
        assert done.returncode == 0, done.stdout
    names = {path.name for path in package.iterdir()}
    assert names == {"pyproject.toml", f"{name}_backend.py", f"test_{name}_backend.py", "README.md", ".gitignore"}
    assert not any("$" in path.read_text() for path in package.iterdir())


def run_tests(package, selected):
    line = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", selected, package)
    done = subprocess.run(list(map(str, line)), capture_output=True, text=True, cwd=package)
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("right", "wrong", "failing"),
    [
        ("delta /= len(y)", "delta /= self.config.batch_size", "partial_last_batch"),
        ("layer[key] -= learning_rate", "layer[key] += learning_rate", "one_step"),
        ("lacking = sorted({config.task, *config.parts} - known)", 'lacking = ["nothing"]', "trains_something"),
    ],
    ids=lambda value: value if value.isidentifier() else "",
)
def test_its_own_test_passes_until_the_adapter_is_wrong(package, right, wrong, failing):
    adapter = package / "my_lib_backend.py"
    selected = f"logits or {failing}"
    code, told = run_tests(package, selected)
    assert code == 0, told
    assert "passed" in told
    source = adapter.read_text()
    assert source.count(right) == 1
    adapter.write_text(source.replace(right, wrong))
    code, told = run_tests(package, selected)
    assert code == 1, told
    assert f"FAILED test_my_lib_backend.py::test_conformance[{failing}]" in told


def test_what_is_unsupported_is_skipped_with_the_reason(package):
    code, told = run_tests(package, "dropout and not input")
    assert code == 0
    assert "1 skipped" in told


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1x", ["'1x'", "did you mean 'x'", "lower-case letters"]),
        ("My-Lib", ["'My-Lib'", "did you mean 'my_lib'"]),
        ("", ["''", "lower-case letters"]),
        ("../x", ["'../x'", "lower-case letters"]),
        ("a" * 260, ["'aaaa", "aaa…", "at most 60"]),
        ("reference", ["is a word of the harness's own", "my_reference"]),
        ("true", ["is a word of the harness's own"]),
        ("course_2024", ["is a profile"]),
        ("class", ["'class'", "allowed"]),
        ("torch", ["'torch'", "is a backend already", "harness list"]),
        ("torch_manual", ["is a backend already"]),
        ("json", ["is a module of Python itself"]),
        ("taken", ["taken_backend", "is installed"]),
    ],
)
def test_a_name_that_will_not_do_is_refused_in_one_line(name, expected, tmp_path, monkeypatch, capsys):
    (tmp_path / "taken_backend.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    refused(capsys, expected, name, "--out", str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["été", "../x", "9", "CLASS!", "a" * 61])
def test_no_name_is_suggested_that_is_not_near_or_not_allowed(name, capsys):
    assert invoke(["new-backend", name]) == 2
    assert "did you mean" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "listed", "reason"),
    [
        ("reference", "bad-backend:reference", "is a word of the harness's own"),
        ("controlled", "bad-backend:controlled", "is a word of the harness's own"),
        ("course-2024", "bad-backend:course-2024", "is a profile"),
        ("numpy", "bad-backend:numpy", "is a backend already"),
        ("theirs", "theirs", "is also the backend from the package their-backend"),
    ],
)
def test_a_package_with_a_name_that_is_taken_costs_that_name_one_line(
    name, listed, reason, tmp_path, monkeypatch, capsys
):
    for package, taken in (("their-backend", "theirs"), ("bad-backend", name)):
        folder = tmp_path / f"{package.replace('-', '_')}-1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
        (folder / "entry_points.txt").write_text(f"[harness.backends]\n{taken} = module_of_{package[:3]}:Trainer\n")
        monkeypatch.syspath_prepend(tmp_path)
    registry.backends.cache_clear()
    try:
        assert invoke(["list"]) == 0
        told = " ".join(capsys.readouterr().out.split())
        assert f"{name} {reason}" in told
        assert "pip uninstall" in told
        assert registry.backends()["numpy"] in registry.BUILT_IN
        assert f"{name} {reason}" in registry.backends()[listed].missing()
    finally:
        registry.backends.cache_clear()


def test_nothing_is_overwritten(package, capsys):
    before = {path.name: path.read_bytes() for path in package.iterdir()}
    refused(capsys, [str(package), "is there already"], "my_lib", "--out", str(package.parent))
    assert {path.name: path.read_bytes() for path in package.iterdir()} == before


def test_a_folder_whose_name_is_too_long_is_refused(tmp_path, capsys):
    refused(capsys, ["--out", "cannot be written"], "mylib", "--out", str(tmp_path / ("x" * 300)))


def test_a_folder_that_cannot_be_made_is_named(tmp_path, capsys):
    (tmp_path / "file").touch()
    refused(capsys, [str(tmp_path / "file"), "cannot be written"], "mylib", "--out", str(tmp_path / "file"))


def refused(capsys, expected, *arguments):
    assert invoke(["new-backend", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert all(text in captured.err for text in expected), captured.err


# A backend of somebody else's: autograd


def test_the_third_party_adapter_has_under_60_lines_and_is_the_one_of_the_page():
    source = (AUTOGRAD / "autograd_backend.py").read_text()
    code = [line for line in map(str.strip, source.splitlines()) if line and not line.startswith(("#", '"""'))]
    assert len(code) < 60
    assert f"in {len(code)} lines of code" in PAGE
    assert source == MODULE
    assert (AUTOGRAD / "autograd_manifest.py").read_text().endswith(f"\n\n{MANIFEST}")


def test_the_third_party_package_passes_every_check_through_its_entry_point_until_it_is_wrong(tmp_path):
    environment = Environment(tmp_path)
    shutil.copytree(AUTOGRAD, tmp_path / "autograd_backend", ignore=shutil.ignore_patterns("__pycache__"))
    environment.type("pip install ./autograd_backend")
    told = environment.type("harness check autograd --verbose").splitlines()
    statuses = dict(reversed(line.split()[:2]) for line in told[:-1])
    assert list(statuses) == list(CHECKS)
    assert "failed" not in statuses.values()
    supported = {name for name, status in statuses.items() if status == "passed"}
    assert {"own_arithmetic", "l2", "task[binary]", "task[multilabel]", "task[regression]"} <= supported
    assert "1 passed" in environment.type("pytest autograd_backend -q -k one_step")

    pair = "digits-quick autograd torch --cell learning_rate=0.1,l2=0.001"
    told = environment.type(f"harness explain {pair} --seeds 3 --quiet")
    assert "Where momentum has the learning rate (-0.8" in told
    assert re.search(r"To close the gap it takes [^:]*start of the weights[^:]*: switched in autograd", told)
    assert re.search(r"Unexplained remainder .*inside the\s+noise of the measurement", told, flags=re.DOTALL)
    assert "# momentum: 0.0" in told.partition("to agree, in autograd:")[2]
    told = environment.type("harness conventions digits-quick autograd torch")
    assert "v = m v + (1 - m) g; w -= lr v" in told
    assert "torch, to do as autograd does:" in told
    assert environment.type("harness trace digits-quick autograd torch --cell learning_rate=0.1,l2=0.001")

    (tmp_path / "wrong").mkdir()
    declared = (AUTOGRAD / "autograd_conventions.py").read_text()
    wrong = {"PYTHONPATH": str(tmp_path / "wrong")}
    explain = f"harness explain {pair} --seeds 2 --quiet"
    for command, old, new, told in (
        (
            explain,
            '    "l2_form": Declared("coupled", _LOSS),\n',
            "",
            "autograd declares nothing of l2_form",
        ),
        (
            "harness conventions digits-quick autograd torch",
            '"l2_form"',
            '"l2_from"',
            "unknown convention 'l2_from': did you mean 'l2_form'?",
        ),
        ("harness conventions digits-quick autograd torch", 'Declared("coupled"', 'Declared("couple"', "'couple'"),
    ):
        (tmp_path / "wrong/autograd_conventions.py").write_text(changed(declared, old, new))
        found = environment.type(command, code=2, env=wrong)
        assert told in found, found
        assert "Traceback" not in found
    # what the table does not have is shown, never switched, and left in the remainder
    other = changed(
        declared, 'Declared("dampened", _SGD)', 'Declared(Untold("v = m v - (1 - m) g, in its words"), _SGD)'
    )
    other = changed(other, "from harness import Declared", "from harness import Declared, Untold")
    (tmp_path / "wrong/autograd_conventions.py").write_text(other)
    found = environment.type(f"harness explain {pair} --seeds 3 --quiet", env=wrong)
    told, _, lines = " ".join(found.split()).partition("to agree, in autograd:")
    assert re.search(r"left in the remainder: [^:]+ of autograd, v = m v - \(1 - m\) g, in its words\.", told), told
    assert "(1 - m)" not in lines
    found = environment.type("harness conventions digits-quick autograd torch", env=wrong)
    assert "not in the table" in found
    assert "in its words" in found
    (tmp_path / "wrong/autograd_conventions.py").unlink()

    (tmp_path / "wrong/autograd_backend.py").write_text(changed(MODULE, "c.penalty.l2 / 2", "c.penalty.l2"))
    told = environment.type("harness check autograd", code=1, env={"PYTHONPATH": str(tmp_path / "wrong")})
    assert re.search(r"^failed +l2 ", told, flags=re.MULTILINE)


# the gradients of the reference, behind autograd's name
BORROWED = """[
    g[key] for g in gradients(self.config, self.weights(), X[rows], y[rows])
    for key in ("W", "b")
]"""
RECIPE = re.findall(r"^\| `([^`]+)`", PAGE.partition("## 4.")[2].partition("## 5.")[0], flags=re.MULTILINE)
FAULTS = {
    "no copy": ("weights_round_trip", '"W": W.copy()', '"W": W'),
    "transposed": (
        "logits",
        "np.dot(a, next(owned))",
        "np.dot(a, (lambda W: W.T if W.shape[0] == W.shape[1] else W)(next(owned)))",
    ),
    "mean over outputs": ("one_step", "- z[np.arange(len(y)), y]", "/ 4 - z[np.arange(len(y)), y] / 4"),
    "float32": ("one_step", "p -= rate *", "p -= float(np.float32(rate)) *"),
    "padded": ("partial_last_batch", "p -= rate *", "p -= rate * len(rows) / min(len(X), self.config.batch_size) *"),
    "no half": ("biases_not_penalised", "c.penalty.l2 / 2", "c.penalty.l2"),
    "biases": ("biases_not_penalised", "np.sum(W**2) for W in parameters[::2]", "np.sum(W**2) for W in parameters"),
    "mean of the penalty": ("biases_not_penalised", "c.penalty.l2 / 2", "c.penalty.l2 / len(y) / 2"),
    "goes on": ("stops_early", "if after_epoch(e + 1):\n                return", "after_epoch(e + 1)"),
    "damped": ("five_epochs[momentum-tanh-mean-float64]", "v[:] = m * v + g", "v[:] = m * v + (1 - m) * g"),
    "borrowed": ("own_arithmetic", "grad(self.loss)(self.parameters, X[rows], y[rows])", BORROWED),
}


def adapter(folder, right="", wrong=""):
    """The class of the page, with one fault where `right` is given."""
    path = folder / "autograd_backend.py"
    source = changed(MODULE, right, wrong) if right else MODULE
    path.write_text(f"from harness.reference.trainer import gradients\n{source}")
    return load(path).AutogradTrainer


@pytest.mark.parametrize(("check", "right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_the_first_check_of_the_page_s_table_that_fails_is_the_one_that_names_the_fault(check, right, wrong, tmp_path):
    assert {run_check(name, adapter(tmp_path)).status for name in RECIPE} == {"passed"}
    trainer = adapter(tmp_path, right, wrong)
    assert next(name for name in RECIPE if run_check(name, trainer).status == "failed") == check


def test_every_row_of_the_page_s_table_was_tried():
    assert {check for check, _, _ in FAULTS.values()} == set(RECIPE)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        ("kinks", "np.where(z > 0, z, 0.0)", "np.maximum(z, 0.0)"),
        ("extreme_logits", "logsumexp(z, axis=1)", "np.log(np.sum(np.exp(z), axis=1))"),
        ("task[multilabel]", "np.mean(np.logaddexp(0.0, z) - y * z", "np.sum(np.logaddexp(0.0, z) - y * z"),
        (
            "set_weights_keeps_the_optimizer",
            "self.parameters = [np.array(",
            "self.velocity = [np.zeros_like(layer[key]) for layer in weights for key in 'Wb']\n"
            "        self.parameters = [np.array(",
        ),
    ],
)
def test_what_the_page_says_of_the_last_digit_is_so(check, right, wrong, tmp_path):
    assert run_check(check, adapter(tmp_path)).status == "passed"
    assert run_check(check, adapter(tmp_path, right, wrong)).status == "failed"


def changed(source, right, wrong):
    assert source.count(right) == 1
    return source.replace(right, wrong)


# A package whose manifest, or what it names, is broken: it costs itself one line, and nobody else anything


DECLARED = "from harness import Declared\nCONVENTIONS = {"
GOOD = MANIFEST.replace("autograd_conventions:CONVENTIONS", "broken_conventions:CONVENTIONS")


@pytest.mark.parametrize(
    ("manifest", "conventions", "told"),
    [
        ("raise RuntimeError('no')", "", "whose manifest fails: RuntimeError: no"),
        ("import no_such_module", "", "whose manifest fails: ModuleNotFoundError: No module named 'no_such_module'"),
        (
            "BACKEND = 3",
            "",
            "whose manifest fails: TypeError: broken_manifest:BACKEND must be a harness.Backend, not int",
        ),
        (GOOD, "raise RuntimeError('no')", "must be a dict of harness.Declared by convention: RuntimeError: no"),
        (GOOD, "CONVENTIONS = {'momentum': 0.9}", "must be a dict of harness.Declared by convention"),
        (
            GOOD,
            "from harness import Declared\nCONVENTIONS = {'rho': Declared('high', '')}",
            "rho = 'high': must be one of: number",
        ),
        ("import sys; sys.exit(3)", "", "whose manifest fails: SystemExit: 3"),
        (GOOD.replace('requires=("autograd",)', "requires=None"), "", "requires = None: must be a tuple of names"),
        (GOOD.replace('requires=("autograd",)', "requires=(5,)"), "", "requires = (5,): must be a tuple of names"),
        (GOOD.replace('"autograd_native:NativeAutogradTrainer"', "7"), "", "Backend: trainer = 7: must be a text"),
        (GOOD, "CONVENTIONS = {}", "must be a dict of harness.Declared by convention, and is empty"),
        (GOOD, f"{DECLARED}'rho': Declared(0.9, '', says=5)}}", "Declared: says = 5: must be a text"),
        (GOOD, f"{DECLARED}'momentum': Declared(float('nan'), '')}}", "momentum = nan: must be a finite number"),
        (GOOD, f"{DECLARED}'rho': Declared(lambda: 1, '')}}", "backend 'broken': the rule of rho fails: TypeError"),
        (GOOD, f"{DECLARED}'rho': Declared(lambda config: 1 / 0, '')}}", "the rule of rho fails: ZeroDivisionError"),
        (
            GOOD,
            f"{DECLARED}'l2_form': Declared(lambda config: 'no', '')}}",
            "the conventions of backend 'broken': unknown L2 in the gradient or beside it 'no'",
        ),
    ],
    ids=str,
)
def test_a_broken_manifest_costs_itself_one_line(tmp_path, monkeypatch, capsys, manifest, conventions, told):
    (tmp_path / "broken_manifest.py").write_text(manifest)
    (tmp_path / "broken_conventions.py").write_text(conventions)
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness.backends]\nbroken = broken_manifest:BACKEND\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    forget()
    try:
        assert invoke(["list"]) == 0
        assert invoke(["conventions", "digits-quick", "numpy", "torch"]) == 0
        listed = capsys.readouterr()
        assert "numpy" in listed.out
        assert invoke(["conventions", "digits-quick", "broken", "torch"]) == 2
        asked = capsys.readouterr().err
        assert asked.count("harness: ") == 1
        assert told in " ".join((listed.out + asked).split()), (listed.out, asked)
    finally:
        forget()
        for name in ("broken_manifest", "broken_conventions"):
            sys.modules.pop(name, None)


def test_what_a_manifest_prints_is_no_result(tmp_path, monkeypatch, capsys):
    (tmp_path / "loud_manifest.py").write_text(f"print('hello')\n{MANIFEST}")
    info = tmp_path / "loud-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: loud\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness.backends]\nloud = loud_manifest:BACKEND\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    forget()
    try:
        assert invoke(["list", "--json"]) == 0
        out, err = capsys.readouterr()
        assert "loud" in str(json.loads(out)["result"])
        assert err == "hello\n"
    finally:
        forget()
        sys.modules.pop("loud_manifest", None)


def test_a_package_whose_entry_points_are_no_text_costs_nobody_anything(tmp_path, monkeypatch, capsys):
    info = tmp_path / "rotten-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rotten\nVersion: 1.0\n")
    (info / "entry_points.txt").write_bytes(b"[harness.backends]\n\xff\xfe = \x80:B\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    forget()
    try:
        assert invoke(["list"]) == 0
        assert "torch" in capsys.readouterr().out
    finally:
        forget()


def forget():
    for cached in (registry.backends, registry._declarations, registry._is_read):
        cached.cache_clear()


def test_the_page_on_compiled_frameworks_has_the_form_of_the_package():
    page = (ROOT / "docs/compiled-frameworks.md").read_text()
    (shown,) = re.findall(r"^class JaxTrainer.*?(?=^```)", page, flags=re.MULTILINE | re.DOTALL)
    names = [line.split()[0] for line in shown.splitlines() if " = " in line]
    ours = [line.split()[0] for line in (STACKED / "stacked_autograd.py").read_text().splitlines() if " = " in line]
    assert names == [*ours, "compile"]


def test_a_backend_by_the_harness_s_formulas_is_a_few_lines_and_passes_every_check(tmp_path):
    environment = Environment(tmp_path)
    shutil.copytree(STACKED, tmp_path / "stacked", ignore=shutil.ignore_patterns("__pycache__"))
    code = (STACKED / "stacked_autograd.py").read_text().splitlines()
    assert len([line for line in code if line.strip() and not line.strip().startswith(("#", '"""'))]) < 40
    environment.type("pip install ./stacked")
    told = environment.type("harness check stacked_autograd --full --verbose")
    unsupported = re.findall(r"^unsupported +(\S+)", told, flags=re.MULTILINE)
    assert set(unsupported) == {"native", "perceptron"}
    assert "failed" not in told
    assert "103 cases, all agree" in told or "of 103" in told
    environment.type("harness run digits-quick --backends numpy,stacked_autograd --modes controlled --store s.db")
    rows = list(csv.DictReader(io.StringIO(environment.type("harness export --store s.db"))))
    assert {row["stack_size"] for row in rows if row["backend"] == "stacked_autograd"} != {"1"}
    assert {row["status"] for row in rows} == {"ok"}


def test_what_differentiates_arrays_is_written_in_that_way(tmp_path):
    assert invoke(["new-backend", "my_grad", "--autodiff", "--out", str(tmp_path)]) == 0
    package = tmp_path / "my-grad-backend"
    trainer = load(package / "my_grad_backend.py").MyGradTrainer
    for name in ("own_arithmetic", "one_step", "batch_norm", "layers_in_any_order", "stack_member_leaves"):
        assert run_check(name, trainer).status == "passed", name
    assert '"autograd"' in (package / "pyproject.toml").read_text()
    are_formatted(package, "my_grad")
