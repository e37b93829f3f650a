"""What a person sees while a sweep runs: a bar a backend in a terminal, plain lines elsewhere. On standard error."""

import math
import sys
import time
from collections import Counter
from typing import Protocol

from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn
from rich.progress import Progress as RichBars
from rich.table import Column
from rich.text import Text

from harness.support.terminal import can_animate, console

_SECONDS_BETWEEN_LINES = 5.0
_FAILURES = ("diverged", "timeout", "crashed")
_BESIDE_THE_BAR, _SHORTEST_BAR = 60, 5  # columns of a terminal
_ALL = "all"


class Progress(Protocol):
    """Told of every trial that ends. Lanes are the backends, and "reference" where parity is measured."""

    def start(self, totals: dict[str, int], already: int) -> None:
        """The work of each lane, and how many trials the store already had."""

    def finished(self, lane: str, status: str, score: float | None = None) -> None:
        """One trial (or reference) of the lane has ended; `score` is what the best cell is chosen by."""

    def close(self) -> None:
        """The run is over, or was interrupted."""


def make_progress(show: bool) -> Progress:
    """Bars on a terminal, lines elsewhere, nothing when `show` is false."""
    if not show:
        return Silent()
    return Bars() if can_animate() else Lines()


class Silent:
    """Shows nothing."""

    def start(self, totals: dict[str, int], already: int) -> None:
        """Nothing is shown."""

    def finished(self, lane: str, status: str, score: float | None = None) -> None:
        """Nothing is shown."""

    def close(self) -> None:
        """Nothing is shown."""


class Tally:
    """What has ended so far, of all lanes and of each: how many, the best score, failures, and the time left."""

    def __init__(self, totals: dict[str, int]) -> None:
        self.totals = totals
        self.total = sum(totals.values())
        self.done: Counter[str] = Counter()
        self.best: dict[str, float] = {}
        self.failures: dict[str, Counter[str]] = {lane: Counter() for lane in totals}
        self.ended: dict[str, float] = {}  # when a lane's last one did
        self.started = self.last = time.monotonic()

    def add(self, lane: str, status: str, score: float | None) -> None:
        """Count one more."""
        self.done[lane] += 1
        self.last = self.ended[lane] = time.monotonic()
        if score is not None and math.isfinite(score):
            self.best[lane] = max(score, self.best.get(lane, -math.inf))
        if status in _FAILURES:
            self.failures[lane][status] += 1

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def left(self) -> float | None:
        """Seconds that the rest takes; None before anything has ended.

        Lanes run side by side, each at a pace of its own: the last to end decides, and a quick one does not make a
        slow one quicker. All together take no less than at their common pace, where they share few processes. What a
        backend's import costs is in its pace, so the first guesses are too long rather than too short.
        """
        done = self.done.total()
        if not done:
            return None
        now = time.monotonic()
        guesses = [(self.last - self.started) / done * (self.total - done) - (now - self.last)]
        for lane, ended in self.ended.items():
            rest = self.totals[lane] - self.done[lane]
            guesses.append((ended - self.started) / self.done[lane] * rest - (now - ended))
        return max(0.0, *guesses)

    def told(self, lane: str) -> str:
        """`best 0.944; 2 diverged`, or what there is of it."""
        best = [f"best {self.best[lane]:.3f}"] if lane in self.best else []
        return "; ".join(best + [f"{count} {status}" for status, count in self.failures[lane].items()])


class _Told(ProgressColumn):
    """Beside a lane its best score and failures, beside the bar of all the time since the start and the time left."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self.tally = tally

    def render(self, task: Task) -> Text:
        """Drawn anew several times a second; cut where the terminal ends."""
        if task.description != _ALL:
            told = str(task.fields["told"])
        elif task.finished or self.tally.left is None:
            told = duration(self.tally.elapsed)
        else:
            told = f"{duration(self.tally.elapsed)}, about {duration(self.tally.left)} left"
        return Text(told, no_wrap=True, overflow="ellipsis")


class Bars:
    """A bar a lane with its best score and its failures, and one of all with the time left."""

    def __init__(self) -> None:
        self.console = console(error=True)
        self.bars: RichBars | None = None
        self.tasks: dict[str, TaskID] = {}

    def start(self, totals: dict[str, int], already: int) -> None:
        """Draw an empty bar a lane."""
        if already:
            self.console.print(f"{already} trials already in the store")
        self.tally = Tally(totals)
        whole = Column(no_wrap=True)
        room = self.console.width - _BESIDE_THE_BAR
        self.bars = RichBars(
            TextColumn("{task.description}", markup=False, table_column=whole),
            *([BarColumn(min(40, room), table_column=whole)] if room >= _SHORTEST_BAR else []),
            TextColumn("{task.completed:.0f}/{task.total:.0f}", justify="right", table_column=whole),
            _Told(self.tally),
            console=self.console,
        )
        if totals:
            for lane, total in {**totals, _ALL: self.tally.total}.items():
                self.tasks[lane] = self.bars.add_task(lane, total=total, told="")
            self.bars.start()

    def finished(self, lane: str, status: str, score: float | None = None) -> None:
        """Advance the lane's bar, and that of all."""
        assert self.bars is not None
        self.tally.add(lane, status, score)
        self.bars.update(self.tasks[lane], advance=1, told=self.tally.told(lane))
        self.bars.update(self.tasks[_ALL], advance=1)

    def close(self) -> None:
        """Leave the bars as they are."""
        if self.bars is not None:
            self.bars.stop()


class Lines:
    """A line for the first score, then one every few seconds: what a log file can hold."""

    def __init__(self) -> None:
        self.printed = -math.inf
        self.scored = False

    def start(self, totals: dict[str, int], already: int) -> None:
        """Say what lies ahead."""
        self.tally = Tally(totals)
        self.printed = time.monotonic()
        work = ", ".join(f"{lane} {total}" for lane, total in totals.items() if total)
        known = f"{already} trials already in the store; " if already else ""
        self._print(f"{known}to train: {work or 'nothing'}")

    def finished(self, lane: str, status: str, score: float | None = None) -> None:
        """Count, and print the first score, the end, and where the last line is some seconds old."""
        tally = self.tally
        tally.add(lane, status, score)
        first = bool(tally.best) and not self.scored
        self.scored |= first
        ended = tally.done.total() == tally.total
        if first or ended or time.monotonic() - self.printed >= _SECONDS_BETWEEN_LINES:
            self.printed = time.monotonic()
            self._report()

    def _report(self) -> None:
        tally = self.tally
        done, total = tally.done.total(), tally.total
        times = f"in {duration(tally.elapsed)}" if done == total else f"about {duration(tally.left or 0)} left"
        lanes = []
        for lane, of in tally.totals.items():
            told = tally.told(lane)
            lanes.append(f"{lane} {tally.done[lane]}/{of}" + (f" {told}" if told else ""))
        self._print(f"{done}/{total} done, {times} ({', '.join(lanes)})")

    def close(self) -> None:
        """Every line was printed when its moment came."""

    @staticmethod
    def _print(line: str) -> None:
        print(line, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """`12 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
