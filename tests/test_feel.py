"""The command line as a person feels it: progress, quiet, JSON, colours, completion, help, `init`."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from experiments.datasets import DATASETS
from harness import registry
from harness.cli import COMMANDS, invoke
from harness.cli.output import Output
from harness.experiment.datasets import load_datasets
from harness.experiment.file import load, parse
from harness.experiment.sections import SECTIONS
from harness.manifest import Backend
from harness.planning.plan import plan
from harness.support.progress import Lines, Tally, duration
from tests.conftest import small_table
from tests.terminal import in_a_terminal
from tests.test_cli import refused
from tests.test_run import write_experiment

ROOT = Path(__file__).resolve().parent.parent
HARNESS = [sys.executable, "-m", "harness"]


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = small_table()
    table["run"] = {"backends": ["numpy"], "modes": ["controlled", "native"]}
    return str(write_experiment(tmp_path, table))


def harness(*arguments, **environment):
    """The command in a process of its own, its streams apart."""
    return subprocess.run(
        [*HARNESS, *arguments], capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )


# -- progress


class Clock:
    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr("time.monotonic", lambda: self.now)


def test_the_time_left_is_the_pace_so_far_and_runs_down_between_trials(monkeypatch):
    clock = Clock(monkeypatch)
    tally = Tally({"numpy": 30, "torch": 10})
    assert tally.left is None
    clock.now += 20
    for _ in range(10):
        tally.add("numpy", "ok", None)
    assert tally.left == 60
    clock.now += 15
    assert tally.left == 45
    clock.now += 100
    assert tally.left == 0


@pytest.mark.parametrize(("seconds", "told"), [(11.6, "12 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (0, "0 s")])
def test_durations_are_told_in_two_units_at_most(seconds, told):
    assert duration(seconds) == told


def test_the_first_score_is_told_at_once_and_the_best_one_later(monkeypatch, capsys):
    clock = Clock(monkeypatch)
    lines = Lines()
    lines.start({"reference": 1, "numpy": 4}, 3)
    lines.finished("reference", "ok")
    lines.finished("numpy", "ok", 0.5)
    lines.finished("numpy", "diverged", float("-inf"))
    clock.now += 6
    lines.finished("numpy", "ok", 0.75)
    clock.now += 1
    lines.finished("numpy", "ok", 0.25)
    assert capsys.readouterr().err.splitlines() == [
        "3 trials already in the store; to train: reference 1, numpy 4",
        "2/5 done, about 0 s left (reference 1/1, numpy 1/4 best 0.500)",
        "4/5 done, about 2 s left (reference 1/1, numpy 3/4 best 0.750; 1 diverged)",
        "5/5 done, in 7 s (reference 1/1, numpy 4/4 best 0.750; 1 diverged)",
    ]


BARS = """
from harness.support.progress import make_progress
progress = make_progress(True)
progress.start({"reference": 49, "assignment-2019-svm": 1200}, 12)
for i in range(30):
    progress.finished("assignment-2019-svm", "diverged" if i == 3 else "timeout" if i == 4 else "ok", i / 40)
progress.close()
"""


@pytest.mark.parametrize("width", [120, 60, 40])
def test_bars_fit_the_terminal_and_keep_the_numbers(width):
    seen, code = in_a_terminal([sys.executable, "-c", BARS], width)
    assert code == 0, seen
    shown = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in seen.replace("\r", "\n").split("\n")]
    last = [line.rstrip() for line in shown if line.strip()][-3:]
    assert all(len(line) <= width for line in last), last
    assert last[0].split()[0 :: len(last[0].split()) - 1] == ["reference", "0/49"]
    assert "30/1200" in last[1]
    assert "30/1249" in last[2]
    if width >= 60:
        assert "best 0.725" in last[1]
        assert re.search(r"\d s, about .* left", last[2])
    if width == 120:
        assert "best 0.725; 1 diverged; 1 timeout" in last[1]


def test_a_terminal_that_cannot_draw_gets_plain_lines():
    seen, _ = in_a_terminal([sys.executable, "-c", BARS], TERM="dumb")
    assert "\x1b" not in seen
    assert "12 trials already in the store; to train: reference 49" in seen


def test_forced_colours_in_a_pipe_do_not_make_bars():
    done = subprocess.run(
        [sys.executable, "-c", BARS], capture_output=True, text=True, env={**os.environ, "FORCE_COLOR": "1"}, check=True
    )
    assert "\x1b" not in done.stderr
    assert "to train:" in done.stderr


# -- quiet, JSON, colours


def test_quiet_leaves_the_result_and_nothing_on_standard_error(path, tmp_path):
    loud, quiet = harness("run", path), harness("run", path, "--quiet")
    assert (quiet.returncode, quiet.stderr) == (0, "")
    assert quiet.stdout == loud.stdout
    assert "numpy agrees with the reference" in quiet.stdout
    assert re.search(r"^(?!12/)\d+/12 done, .* best 0\.\d{3}", loud.stderr, re.MULTILINE), loud.stderr
    wrong = harness("run", "nowhere.toml", "-q")
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 1)


def test_quiet_keeps_warnings_to_the_report(path, tmp_path):
    table = small_table()
    table["data"]["scale"] = 0.001  # which saturates every unit
    table["run"] = {"backends": ["numpy"]}
    file = str(write_experiment(tmp_path, table))
    assert "warning: " in harness("run", file, "--dry-run").stderr
    quiet = harness("run", file, "--dry-run", "--quiet", "--json")
    assert quiet.stderr == ""
    assert json.loads(quiet.stdout)["result"]["warnings"]


def as_json(capfd, *arguments, code=0):
    """The result of a command under `--json`, whose object says what the process says."""
    assert invoke([*arguments, "--json"]) == code
    whole = json.loads(capfd.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert list(whole) == ["command", "harness", "exit_code", "result"]
    assert (whole["command"], whole["exit_code"]) == (arguments[0], code)
    return whole["result"]


def test_json_of_a_run_its_status_and_its_plan(path, capfd):
    result = as_json(capfd, "run", path)
    assert result["experiment"] == "small"
    assert [row["ok"] for row in result["trials"]] == [4, 4]
    assert result["parity"][0]["agree"] == 4
    assert Path(result["files"]["report"]).is_file()
    assert any("agrees with the reference" in sentence for sentence in result["summary"])
    status = as_json(capfd, "status")
    assert [(row["experiment"], row["mode"], row["ok"]) for row in status] == [
        ("small", "controlled", 4),
        ("small", "native", 4),
    ]
    planned = as_json(capfd, "run", path, "--dry-run")
    assert (planned["trials"], planned["axes"]) == (8, {"learning_rate": [0.1, 0.5], "l2": [0.0, 0.01]})
    assert [(lane["mode"], lane["trials"]) for lane in planned["plan"]] == [("controlled", 4), ("native", 4)]


def test_json_of_the_lists(capfd):
    result = as_json(capfd, "list")
    assert {entry["name"] for entry in result["backends"]} >= {"numpy", "sklearn", "torch"}
    assert {entry["name"] for entry in result["datasets"]} == set(DATASETS)
    assert all(entry["description"] for entry in result["suites"])


def test_json_of_explain_and_trace(path, tmp_path, capfd):
    cell = ["--cell", "learning_rate=0.1,l2=0.01"]
    result = as_json(capfd, "explain", path, "numpy", "controlled", *cell, "--seeds", "2", "--out", str(tmp_path))
    assert result["cells"][0]["cell"] == {"learning_rate": 0.1, "l2": 0.01}
    assert {Path(file).suffix for file in result["files"]} <= {".json", ".png"}
    assert all(Path(file).is_file() for file in result["files"])
    result = as_json(capfd, "trace", path, "numpy", "controlled", *cell)
    assert result["free"]["step"] >= 0
    assert isinstance(result["causes"], list)


def test_json_of_a_check_and_the_exit_code_of_a_failure(monkeypatch, capfd):
    monkeypatch.setattr(registry, "BUILT_IN", (Backend("mutant", "tests.mutants:L2OffByTwo", ("numpy",)),))
    registry.backends.cache_clear()
    try:
        result = as_json(capfd, "check", "mutant", code=1)
    finally:
        registry.backends.cache_clear()
    statuses = {check["name"]: check["status"] for check in result[0]["checks"]}
    assert statuses["l2"] == "failed"
    assert statuses["logits"] == "passed"


def test_json_has_no_infinity_and_no_nan(capsys):
    values = {"a": float("nan"), "b": np.float64("inf"), "c": (np.int64(2), Path("x")), "d": [-np.inf, True, None]}
    assert Output("test", as_json=True).finish(values, 1) == 1
    assert json.loads(capsys.readouterr().out)["result"] == {
        "a": None,
        "b": "inf",
        "c": [2, "x"],
        "d": ["-inf", True, None],
    }


def test_a_refused_request_leaves_no_json(capsys):
    assert "unknown suite" in refused(capsys, "run", "digits-quik", "--json")


def test_a_wish_for_no_colour_is_met(path, capfd):
    assert invoke(["run", path, "--quiet"]) == 0
    capfd.readouterr()
    bold = "\x1b[1m"
    assert bold in in_a_terminal([*HARNESS, "status"])[0]
    assert "\x1b" not in in_a_terminal([*HARNESS, "status"], NO_COLOR="1")[0]
    assert "\x1b" not in in_a_terminal([*HARNESS, "status"], NO_COLOR="1", FORCE_COLOR="1")[0]
    assert "\x1b" not in in_a_terminal([*HARNESS, "status"], TERM="dumb")[0]
    assert "\x1b" not in harness("status").stdout
    assert bold in harness("status", FORCE_COLOR="1").stdout
    bars, _ = in_a_terminal([sys.executable, "-c", BARS], NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*m", bars)


# -- completion


def completed(line, cwd=None):
    """What bash would offer behind a line that is typed so far."""
    words = line.split(" ")
    asked = {"_HARNESS_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(HARNESS, capture_output=True, text=True, cwd=cwd, env={**os.environ, **asked}, check=False)
    assert done.stderr == ""
    return done.stdout.split()


def test_the_tab_key_offers_commands_suites_files_backends_and_modes(tmp_path):
    (tmp_path / "digits-mine.toml").touch()
    assert completed("harness che") == ["check"]
    assert completed("harness run digits-") == [
        "digits-deep",
        "digits-grid",
        "digits-quick",
        "digits-two-hidden",
    ]
    assert "digits-mine.toml" in completed("harness run digits-", tmp_path)
    assert completed("harness run digits-quick --backends numpy,sk") == ["numpy,sklearn"]
    assert "numpy,numpy" not in completed("harness run digits-quick --backends numpy,")
    assert completed("harness run digits-quick --modes controlled,") == ["controlled,native"]
    assert completed("harness check skl") == ["sklearn"]
    assert completed("harness explain digits-quick sklearn contr") == ["controlled"]
    assert completed("harness dump digits-quick --backend skl") == ["sklearn"]
    assert completed("harness init --data mni") == ["mnist"]
    assert "--dry-run" in completed("harness run digits-quick --dry")


def test_the_tab_key_never_shows_a_traceback(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results/harness.db").write_text("this is no database")
    for line in ('harness run "unclosed', "harness nonsense ", "harness run nowhere/x", "harness"):
        completed(line, tmp_path)


def test_completion_and_help_import_nothing_that_takes_seconds():
    code = (
        "import sys\nfrom harness.cli import invoke\nprint(invoke(['--help']))\n"
        "print([name for name in ('pandas', 'sqlalchemy', 'sklearn', 'torch', 'tensorflow') if name in sys.modules])"
    )
    asked = {"_HARNESS_COMPLETE": "complete_bash", "COMP_WORDS": "harness run digits-q", "COMP_CWORD": "2"}
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1] == "[]"
    offered = subprocess.run(
        [sys.executable, "-c", code.replace("'sqlalchemy', ", "")],
        capture_output=True,
        text=True,
        env={**os.environ, **asked},
        check=True,
    )
    assert offered.stdout.splitlines() == ["digits-quick", "0", "[]"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_the_completion_script_works_in_a_real_bash(tmp_path):
    command = tmp_path / "harness"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m harness "$@"\n')
    command.chmod(0o755)

    def bash(text):
        return subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True).stdout

    script = bash(f"{command} --show-completion; true")  # the shell is found out from the process that asks
    ask = f"COMP_WORDS=(harness run digits-q); COMP_CWORD=2; _harness_completion {command}; echo ${{COMPREPLY[@]}}"
    assert bash(f"{script}\n{ask}") == "digits-quick\n"


# -- help


def test_help_tells_of_every_command_in_the_words_of_its_own_help(capsys):
    assert invoke([]) == 0
    bare = capsys.readouterr().out
    assert invoke(["--help"]) == 0
    assert capsys.readouterr().out == bare
    told = " ".join(bare.split())
    for command in COMMANDS:
        assert invoke([command, "--help"]) == 0
        first = " ".join(capsys.readouterr().out.split("\n\n")[1].split())
        assert f" {command} {first}" in told


def test_the_version(capsys):
    assert invoke(["--version"]) == 0
    assert re.fullmatch(r"harness \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_a_wrong_option_or_command_says_where_to_look(capsys):
    assert "see: harness run --help" in refused(capsys, "run", "digits-quick", "--nonsense")
    assert "see: harness --help" in refused(capsys, "frobnicate")


SAYS_WHAT_NEXT = re.compile(
    r"unknown(_axis)?\(|allowed|must|expected|need|required|has one|; |missing\(\)|"
    r"give |say |name |drop them|such as|s: \{"
)
TOLD_ELSEWHERE = (
    "fault",
    "explain(error",
    "plain(fault)",
    "reason}",
    "{missing}",
    "{told}",
    "{error}",
    "{why}",
    "known}",
    "harness explain",
    "{hint}",
)


def test_every_refusal_says_what_is_allowed_or_what_to_do_next():
    seen = 0
    for file in (ROOT / "harness").rglob("*.py"):
        source = file.read_text()
        for node in ast.walk(ast.parse(source)):
            if (
                isinstance(node, ast.Raise)
                and isinstance(node.exc, ast.Call)
                and ast.unparse(node.exc.func) == "RequestError"
            ):
                text = ast.get_source_segment(source, node.exc)
                seen += 1
                assert SAYS_WHAT_NEXT.search(text) or any(part in text for part in TOLD_ELSEWHERE), f"{file}: {text}"
    assert seen > 200


# -- init


def test_init_writes_an_experiment_that_runs_at_once(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert invoke(["init", "--data", "iris"]) == 0
    assert "next: harness run experiment.toml" in capfd.readouterr().err
    assert invoke(["run", "experiment.toml", "--backends", "numpy", "--modes", "controlled"]) == 0
    assert "numpy agrees with the reference in all 6 cells" in capfd.readouterr().out


def test_init_never_writes_over_a_file_unasked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text("precious")
    assert "--force" in refused(capsys, "init", "mine.toml")
    assert Path("mine.toml").read_text() == "precious"
    assert invoke(["init", "mine.toml", "--force", "--quiet"]) == 0
    assert load("mine.toml").name == "mine"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", [name for name in DATASETS if "folder" not in DATASETS[name].options])
def test_init_fits_every_dataset(name, tmp_path):
    file = tmp_path / "x.toml"
    assert invoke(["init", str(file), "--data", name]) == 0
    experiment = load(file)
    assert len(plan(experiment, load_datasets(experiment))) == len(experiment.run.backends) * 2 * 6


COMMENTED = re.compile(r"# (\w+) = (\S.*?)\s+# (.*)")
MAIN = {
    "data": "name path target test_fraction validation_fraction folds stratify scale target_scale task",
    "network": "hidden activation init bias dropout input_dropout batch_norm",
    "training": "optimizer momentum beta_1 beta_2 rho epsilon initial_accumulator schedule loss reduction "
    "learning_rate batch_size epochs l2 l1 clip_norm patience dtype",
    "run": "backends modes seeds seed parity curves time_limit",
}


def test_init_shows_every_main_key_with_its_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert invoke(["init", "x.toml"]) == 0
    text = Path("x.toml").read_text()
    assert all(len(line) <= 120 for line in text.splitlines())
    active = tomllib.loads(text)
    for section, keys in MAIN.items():
        body = text.partition(f"\n[{section}]")[2].partition("\n[")[0]
        commented = {key: (value, comment) for key, value, comment in COMMENTED.findall(body)}
        fields = SECTIONS[section].model_fields
        for key in keys.split():
            if key in active[section] or key in active["sweep"]:
                continue
            value, comment = commented[key]
            default = fields[key].default
            shown = tomllib.loads(f"x = {value}")["x"]
            own_data = key in ("path", "target")
            assert shown == default or "default" in comment or own_data, f"{key} = {value}, its default is {default!r}"
        assert set(commented) <= set(fields), "a key that there is not"


def test_every_default_that_init_shows_can_be_switched_on(tmp_path):
    file = tmp_path / "x.toml"
    assert invoke(["init", str(file), "--data", "diabetes"]) == 0
    lines = file.read_text().splitlines()
    optimizers = {"momentum": "momentum", "rho": "rmsprop", "initial_accumulator": "adagrad"}
    for number, line in enumerate(lines):
        found = COMMENTED.match(line)
        if found is None or found[1] in ("path", "target"):
            continue
        table = tomllib.loads("\n".join([*lines[:number], line.removeprefix("# "), *lines[number + 1 :]]))
        key = found[1]
        if key.startswith("beta") or key in ("epsilon", *optimizers):
            table["training"]["optimizer"] = optimizers.get(key, "adam")
        if key == "folds":
            table["data"]["validation_fraction"] = 0
        parse(table)


def write_csv(path, header, n=30):
    rows = [
        ",".join([str((i * 7 + k) % 11) for k in range(header.count(",") - 0)] + [f"class {i % 2}"]) for i in range(n)
    ]
    path.write_text("\n".join([header, *rows]) + "\n")


def test_init_reads_a_csv_and_says_what_it_guesses(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_csv(Path("my.csv"), "a,b,verdict")
    assert invoke(["init", "my.toml", "--data", "my.csv"]) == 0
    told = capsys.readouterr().err
    assert "my.csv: 3 columns; the target is taken to be 'verdict', the last column; another: --target NAME" in told
    assert "30 rows, 2 inputs; 'verdict' holds 2 classes (binary)" in told
    experiment = load("my.toml")
    assert (experiment.data.path, experiment.data.target) == ("my.csv", "verdict")

    Path("other.csv").write_text("Outcome,b\n" + "\n".join(f"{i % 3},{i}" for i in range(40)))
    (tmp_path / "deep").mkdir()
    assert invoke(["init", "deep/other.toml", "--data", "other.csv"]) == 0
    assert "'Outcome', by its name" in capsys.readouterr().err
    experiment = load("deep/other.toml")
    assert Path(experiment.data.path).resolve() == tmp_path / "other.csv"
    assert len(plan(experiment, load_datasets(experiment))) == len(experiment.run.backends) * 12


def test_init_writes_names_that_no_toml_would_take_bare(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = 'the "target" # 1 \\ é'
    Path("my.csv").write_text('a,"the ""target"" # 1 \\ é"\n' + "\n".join(f"{i},{i % 2}" for i in range(40)))
    assert invoke(["init", "a b.toml", "--data", "my.csv", "--quiet"]) == 0
    experiment = load("a b.toml")
    assert (experiment.data.target, experiment.name) == (name, "a-b")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["x.txt"], ["x.txt", ".toml"]),
        (["nowhere/x.toml"], ["nowhere", "make it first"]),
        (["--data", "digit"], ["unknown dataset 'digit'", "did you mean 'digits'"]),
        (["--data", "nowhere.csv"], ["no such file"]),
        (["--data", "iris", "--target", "a"], ["its own target", "leave it out"]),
        (["--data", "text.csv"], ["column 'word'", "not numbers"]),
        (["--data", "text.csv", "--target", "wort"], ["did you mean 'word'"]),
        (["--data", "empty.csv"], ["empty.csv", "first line must name the columns"]),
        (["--data", "my.npz"], ["--target"]),
    ],
)
def test_init_refuses_in_one_line(arguments, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("text.csv").write_text("word,n\n" + "\n".join(f"w{i},{i % 2}" for i in range(10)))
    Path("empty.csv").touch()
    np.savez("my.npz", X=np.ones((4, 2)), y=np.arange(4))
    assert invoke(["init", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1].startswith("harness: ")
    for part in expected:
        assert part in captured.err.splitlines()[-1]
    assert not list(tmp_path.glob("*.toml"))
