"""The contenders in turn: each once a round, in random order, in its own warm process; then ratios within rounds."""

import random
from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.contenders import COMPARISONS, Comparison, missing
from benchmarks.process import Contender
from harness.timing.intervals import Ratio, paired_ratio

Tell = Callable[[str], None]


def race(dtype: str, names: Iterable[str], rounds: int, cells: int, seed: int, tell: Tell) -> dict[str, list[Any]]:
    """Timings of every contender that can run, and why the others cannot.

    `timings` holds a row a contender and round, `births` what import and first run took, `absent` reasons.
    """
    alive: dict[str, Contender] = {}
    births, timings, absent = [], [], []
    try:
        for name in names:
            reason = missing(name)
            try:
                if reason is None:
                    tell(f"{dtype}: {name} comes to life")
                    alive[name] = Contender(name, dtype, cells)
                    born = {"import": alive[name].import_seconds, "first": alive[name].first_seconds}
                    births.append({"dtype": dtype, "contender": name, **born})
            except RuntimeError as error:
                reason = str(error)
            if reason is not None:
                absent.append({"dtype": dtype, "contender": name, "reason": reason})
                tell(f"{dtype}: {name} is left out: {reason}")
        generator = random.Random(f"{seed} {dtype}")
        for number in range(rounds):
            tell(f"{dtype}: round {number + 1} of {rounds}")
            for name in generator.sample(sorted(alive), len(alive)):
                timings.append({"dtype": dtype, "contender": name, "round": number, **alive[name].run()})
    finally:
        for contender in alive.values():
            contender.stop()
    return {"timings": timings, "births": births, "absent": absent}


def series(timings: list[dict[str, Any]], dtype: str, contender: str) -> list[float]:
    """Milliseconds a trial-epoch, round after round."""
    rows = [row for row in timings if row["dtype"] == dtype and row["contender"] == contender]
    return [row["train"] for row in sorted(rows, key=lambda row: row["round"])]


def ratio_of(timings: list[dict[str, Any]], dtype: str, row: Comparison) -> Ratio | None:
    """How many times as long theirs took as ours, paired within rounds; None where one of them has no timings."""
    ours, theirs = series(timings, dtype, row.ours), series(timings, dtype, row.theirs)
    return paired_ratio(theirs, ours) if ours and theirs else None


def ratios(timings: list[dict[str, Any]], dtype: str) -> dict[Comparison, Ratio]:
    """Every row of the table that both sides of were timed."""
    found = {row: ratio_of(timings, dtype, row) for row in COMPARISONS}
    return {row: ratio for row, ratio in found.items() if ratio is not None}
