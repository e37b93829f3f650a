"""The blocks of a page, run from top to bottom in one folder, and what was printed against what the page shows.

- `console`: a line after `$ ` is a command, and what follows is its output; without any `$ ` every line is a command,
  and a `text` block after it is the output of the last one. `…` stands for anything that was left out; what comes
  before the first line shown (progress) and after the last one is not looked at.
- `python`: all blocks of a page share their names, and a `text` block after one is its output.
- `toml`: an experiment is saved as NAME.toml, after its `name`; what has no name is completed by `FRAGMENT`. Both are
  planned, by `harness run --dry-run`.

A block below a comment `<!-- not run: REASON -->` is not run, but its commands exist and have the options that they are
given; the output in a block below `<!-- not compared: REASON -->` is not compared.
"""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from harness.cli import invoke

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
LANGUAGES = ("console", "python", "toml", "text")
FENCE = re.compile(
    r"(?:^<!-- (?P<note>[^>]*?) -->\n\n?)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
GENERATED = re.compile(r"<!-- generated: .*?<!-- end -->", re.DOTALL)
FRAGMENT = {
    "name": "fragment",
    "data": {"name": "iris"},
    "network": {"hidden": [4]},
    "training": {"learning_rate": 0.1, "batch_size": 16, "epochs": 2},
    "run": {"backends": ["numpy"]},
}
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
ROUNDING = 1e-9  # numbers below are rounding errors, which differ from machine to machine


@dataclass(frozen=True)
class Fence:
    """One block of a page: the language and text, the note in the comment above it, and its line."""

    language: str
    text: str
    note: str
    line: int

    @property
    def reason(self):
        """Why it is not run, or an empty text."""
        return self.note.partition("not run: ")[2]

    @property
    def commands(self):
        """Pairs of a command and the output that is shown below it, None where none is."""
        assert self.language == "console"
        if not self.text.startswith("$ "):
            lines = [re.split(r"\s+# ", line)[0] for line in self.text.splitlines()]
            return [(line, None) for line in lines if line and not line.startswith("#")]
        parts = re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]
        return [(command, output or None) for command, _, output in (part.partition("\n") for part in parts)]


def fences(page: Path):
    """The blocks of a page, without those that are generated."""
    text = GENERATED.sub(lambda part: "\n" * part[0].count("\n"), page.read_text(encoding="utf-8"))
    return [
        Fence(found["language"], found["text"], found["note"] or "", text[: found.start("text")].count("\n"))
        for found in FENCE.finditer(text)
    ]


class Session:
    """A folder in which the blocks of one page are run one after the other."""

    def __init__(self, folder: Path):
        self.folder, self.names, self.printed = folder, {"__name__": "__main__"}, ""

    def run(self, fence: Fence):
        """Run a block; of a block of output, compare it with what was printed last."""
        match fence.language:
            case "text":
                if not fence.note.startswith("not compared: "):
                    self.compare(fence.text)
            case "console":
                for command, output in fence.commands:
                    self.type(command)
                    if output:
                        self.compare(output)
            case "python":
                printed = io.StringIO()
                with contextlib.redirect_stdout(printed):
                    exec(compile(fence.text, "page", "exec"), self.names)
                self.printed = printed.getvalue()
            case "toml":
                self.plan(fence.text)

    def type(self, command):
        """Run a command as it stands: `harness` in this process, which saves its start, all else in a shell."""
        if command.startswith("harness ") and not set("><|&;") & set(command):
            printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                code = invoke(shlex.split(command)[1:])
            self.printed = printed.buffer.getvalue().decode()
        else:
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "cwd": self.folder}
            done = subprocess.run(["bash", "-c", command], env={**os.environ, "PATH": path}, **options)
            self.printed, code = done.stdout, done.returncode
        assert code == 0, f"{command}\n{self.printed}"

    def compare(self, shown):
        missing = first_missing(shown, self.printed)
        assert missing is None, f"not printed: {missing!r}; printed was:\n{self.printed}"

    def plan(self, text):
        """Save an experiment and print its plan; a part of one is completed first."""
        table = tomllib.loads(text)
        name = table.get("name", "fragment")
        if "name" not in table:
            text = completed(table)
        (self.folder / f"{name}.toml").write_text(text, encoding="utf-8")
        self.type(f"harness run {name}.toml --dry-run")


def completed(table):
    """The tables of a fragment as a whole experiment file. A key that it sweeps is fixed nowhere."""
    import tomlkit

    whole = {key: dict(value) if isinstance(value, dict) else value for key, value in FRAGMENT.items()}
    swept = {*table.get("sweep", {}), *table.get("search", {})}
    swept |= {key for case in table.get("sweep", {}).get("case", ()) for key in case}
    for name, given in table.items():
        whole[name] = {**whole.get(name, {}), **given}
    if "path" in whole["data"]:
        whole["data"].pop("name")
    if "layers" in whole["network"]:
        whole["network"].pop("hidden")
    if "n_batches" in whole["training"]:
        whole["training"].pop("batch_size")
    for name in ("network", "training"):
        whole[name] = {key: value for key, value in whole[name].items() if key not in swept}
    return tomlkit.dumps(whole)


def first_missing(shown, printed):
    """The first line of what is shown that was not printed there, or None. Blank lines and widths do not count."""
    actual = [line for line in printed.splitlines() if line.strip()]
    at, free = 0, True  # where in the output the next line is looked for, and whether lines may be passed over
    for line in filter(str.strip, shown.splitlines()):
        if line.strip() == "…":
            free = True
            continue
        found = next((i for i in range(at, len(actual)) if same(line, actual[i])), None)
        if found is None or (not free and found != at):
            return line
        at, free = found + 1, False
    return None


def same(shown, printed):
    """Whether two lines are the same but for blanks, the last digit shown, and what `…` at the end stands for."""
    shown, printed = " ".join(shown.split()), " ".join(printed.split())
    if shown.endswith("…"):
        shown = shown[:-1].rstrip()
        printed = printed[: _length(shown, printed)]
    if NUMBER.sub("#", shown) != NUMBER.sub("#", printed):
        return False
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)
    return all(_close(a, b) for a, b in pairs)


def _length(shown, printed):
    """How much of a printed line stands before what was left out: as many words."""
    words = list(re.finditer(r"\S+", printed))[: len(shown.split())]
    return words[-1].end() if words else 0


def _close(shown, printed):
    a, b = float(shown), float(printed)
    if max(abs(a), abs(b)) < ROUNDING:
        return (a == 0) == (b == 0)
    mantissa, _, exponent = shown.partition("e")
    digits = len(mantissa.partition(".")[2])
    return abs(a - b) <= (1.01 * 10.0 ** (int(exponent or 0) - digits) if digits else 0)
