"""What a person sees while a sweep runs: a bar a backend in a terminal, plain lines elsewhere. On standard error."""

import sys
import time
from collections import Counter
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichBars

_SECONDS_BETWEEN_LINES = 5.0
_FAILURES = ("diverged", "timeout", "crashed")


class Progress(Protocol):
    """Told of every trial that ends. Lanes are the backends, and "reference" where parity is measured."""

    def start(self, totals: dict[str, int], already: int) -> None:
        """The work of each lane, and how many trials the store already had."""

    def finished(self, lane: str, status: str) -> None:
        """One trial (or reference) of the lane has ended."""

    def close(self) -> None:
        """The run is over, or was interrupted."""


def make_progress(show: bool) -> Progress:
    """Bars on a terminal, lines elsewhere, nothing when `show` is false."""
    if not show:
        return Silent()
    console = Console(stderr=True)
    return Bars(console) if console.is_terminal else Lines()


class Silent:
    """Shows nothing."""

    def start(self, totals: dict[str, int], already: int) -> None:
        """Nothing is shown."""

    def finished(self, lane: str, status: str) -> None:
        """Nothing is shown."""

    def close(self) -> None:
        """Nothing is shown."""


class Bars:
    """A bar a lane: done, total, failures so far, time left."""

    def __init__(self, console: Console) -> None:
        self.bars = RichBars(
            TextColumn("{task.description:<11}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[failures]}"),
            console=console,
        )
        self.tasks: dict[str, TaskID] = {}
        self.failures: dict[str, Counter[str]] = {}

    def start(self, totals: dict[str, int], already: int) -> None:
        """Draw an empty bar a lane."""
        if already:
            self.bars.console.print(f"{already} trials already in the store", highlight=False)
        for lane, total in totals.items():
            self.tasks[lane] = self.bars.add_task(lane, total=total, failures="")
            self.failures[lane] = Counter()
        self.bars.start()

    def finished(self, lane: str, status: str) -> None:
        """Advance the lane's bar."""
        if status in _FAILURES:
            self.failures[lane][status] += 1
        text = ", ".join(f"{count} {word}" for word, count in self.failures[lane].items())
        self.bars.update(self.tasks[lane], advance=1, failures=text)

    def close(self) -> None:
        """Leave the bars as they are."""
        self.bars.stop()


class Lines:
    """A line every few seconds: what a log file can hold."""

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.done: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.started = self.last = time.monotonic()

    def start(self, totals: dict[str, int], already: int) -> None:
        """Say what lies ahead."""
        self.totals = totals
        self.started = self.last = time.monotonic()
        work = ", ".join(f"{lane} {total}" for lane, total in totals.items() if total)
        known = f"{already} trials already in the store; " if already else ""
        self._print(f"{known}to train: {work or 'nothing'}")

    def finished(self, lane: str, status: str) -> None:
        """Count, and print where the last line is some seconds old."""
        self.done[lane] += 1
        if status in _FAILURES:
            self.failures[f"{status} of the references" if lane == "reference" else status] += 1
        finished = self.done.total() == sum(self.totals.values())
        if finished or time.monotonic() - self.last >= _SECONDS_BETWEEN_LINES:
            self.last = time.monotonic()
            self._report()

    def _report(self) -> None:
        done, total = self.done.total(), sum(self.totals.values())
        elapsed = time.monotonic() - self.started
        left = elapsed / done * (total - done)
        lanes = ", ".join(f"{lane} {self.done[lane]}/{total}" for lane, total in self.totals.items() if total)
        failures = "".join(f"; {count} {word}" for word, count in self.failures.items())
        self._print(f"{done}/{total} done, about {left:.0f} s left ({lanes}{failures})")

    def close(self) -> None:
        """Every line was printed when its moment came."""

    @staticmethod
    def _print(line: str) -> None:
        print(line, file=sys.stderr, flush=True)
