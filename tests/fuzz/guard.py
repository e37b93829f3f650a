"""Runs one command line in a process of its own, measured and bounded, and judges how it ended."""

import os
import resource
import sys
import tempfile
import traceback
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from harness.cli import COMMANDS, invoke, make_app

MOST_SECONDS, MOST_MEMORY = 20, 1 << 30
"""What one command may take: seconds of processor time, and bytes of memory."""

_AT_REST = 200 << 20  # what a process has that has loaded the commands and done nothing yet
_ADDRESSES = 8 << 30  # more is not even given, so that a bomb costs this machine nothing


@dataclass
class Ended:
    """How a command ended: exit code (negative: the signal), both outputs, processor seconds, bytes at the most."""

    arguments: list[str]
    code: int
    out: str
    err: str
    seconds: float
    memory: int

    def fault(self) -> str | None:
        """What is wrong with that, or None."""
        if self.seconds > MOST_SECONDS:
            return f"took {self.seconds:.1f} s"
        if self.memory > MOST_MEMORY:
            return f"took {self.memory >> 20} MiB"
        if "Traceback" in self.err or self.code not in (0, 1, 2):
            return f"exit code {self.code}"
        lines = [line for line in self.err.splitlines() if line.startswith("harness: ")]
        if self.code == 2 and (len(lines) != 1 or not self.err.endswith("\n") or self.err.splitlines()[-1] != lines[0]):
            return "a refusal is one line"
        return None


@dataclass
class Tally:
    """What was run so far, and the most that one case took."""

    cases: int = 0
    refused: int = 0
    seconds: float = 0.0
    memory: int = 0
    slowest: list[str] = field(default_factory=list)

    def add(self, ended: Ended) -> None:
        """One more case."""
        self.cases += 1
        self.refused += ended.code == 2
        if ended.seconds > self.seconds:
            self.seconds, self.slowest = ended.seconds, ended.arguments
        self.memory = max(self.memory, ended.memory)

    def __str__(self) -> str:
        return (
            f"{self.cases} cases, {self.refused} refused; at most {self.seconds:.1f} s of processor time "
            f"({' '.join(self.slowest)[:100]}) and {self.memory >> 20} MiB"
        )


def load_all() -> None:
    """Import once what every command needs, so that a fork has it."""
    make_app(COMMANDS)
    for name in (
        "experiments.datasets",
        "harness.execution.runner",
        "harness.data.tables",
        "reports.comparison",
        "pyarrow.parquet",
    ):
        import_module(name)


def run(arguments: list[str], folder: Path) -> Ended:
    """Run the command in `folder`, in a fork of this process."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        # a fork begins with all that this process holds, which other tests have filled
        before = _anonymous_memory()
        child = os.fork()
        if child == 0:
            _be_the_command(arguments, folder, out.fileno(), err.fileno())
        _, status, usage = os.wait4(child, 0)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", errors="replace"))
    seconds = usage.ru_utime + usage.ru_stime
    memory = max(0, (usage.ru_maxrss << 10) - before) + _AT_REST
    return Ended(arguments, os.waitstatus_to_exitcode(status), *texts, seconds, memory)


def _anonymous_memory() -> int:
    """Bytes of this process that a fork of it holds too; pages of files are counted when the fork touches them."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) << 10


def _be_the_command(arguments: list[str], folder: Path, out: int, err: int) -> None:
    code = 99
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS + 5, MOST_SECONDS + 6))
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + _ADDRESSES, held + _ADDRESSES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        null = os.open(os.devnull, os.O_RDONLY)
        for number, given in enumerate((null, out, err)):
            os.dup2(given, number)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        os.chdir(folder)
        code = invoke(arguments)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(code)
