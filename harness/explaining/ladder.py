"""From the heatmap of one code to that of another, one convention at a time, until the two are one.

An explanation takes one cell apart; a ladder shows a whole suite. Its rungs switch the conventions in the order of the
table, the order of a training, and every heatmap on the way is a replay of all cells with common random numbers.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.conventions.table import CONVENTIONS, Row
from harness.execution.executor import LocalExecutor
from harness.experiment.axes import canonical
from harness.experiment.datasets import load_datasets
from harness.experiment.file import Cell, Experiment
from harness.explaining.switching import REPLAYS, Game, Replays
from harness.planning.plan import plan
from harness.support.errors import RequestError
from harness.support.progress import make_progress
from harness.training.metrics import SCORE


@dataclass(frozen=True)
class Rung:
    """All cells under one row: `switched` is what the last rung did not have, "" for the first.

    `scores` and `losses` have one value a cell, NaN where the training diverges; `apart` is the mean absolute
    difference of the scores from those of B, over the cells in which neither diverges, `equal` counts the cells whose
    loss and score are B's to the last bit.
    """

    switched: str
    scores: np.ndarray
    losses: np.ndarray
    apart: float
    equal: int


@dataclass(frozen=True)
class Ladder:
    """The rungs from A to B, over the cells of an experiment; `score` names what the heatmaps show."""

    experiment: Experiment
    a: str
    b: str
    score: str
    cells: tuple[Cell, ...]
    rungs: tuple[Rung, ...]

    def table(self) -> pd.DataFrame:
        """One row a rung."""
        return pd.DataFrame(
            {
                "switched": [rung.switched or self.a for rung in self.rungs],
                f"mean difference in test {self.score}": [rung.apart for rung in self.rungs],
                "cells equal": [rung.equal for rung in self.rungs],
            }
        )

    def text(self) -> str:
        """The table as lines."""
        n = len(self.cells)
        titles = [self.a, *(f"+ {rung.switched}" for rung in self.rungs[1:])]
        width = max(map(len, titles))
        lines = [f"{'':<{width}}  from {self.b}: mean difference in test {self.score}, cells equal"]
        for title, rung in zip(titles, self.rungs, strict=True):
            lines.append(f"{title:<{width}}  {rung.apart:>8.3f}  {rung.equal:>3} of {n}")
        lines.append(f"= {self.b}")
        return "\n".join(lines)

    def write(self, folder: Path) -> list[Path]:
        """The heatmaps as a picture, and the values as CSV; `RequestError` when they cannot be written."""
        from reports.figures.ladder import ladder

        path = folder / f"ladder-{self.a}-{self.b}.png"
        values = {
            "rung": [i for i in range(len(self.rungs)) for _ in self.cells],
            "switched": [rung.switched for rung in self.rungs for _ in self.cells],
            **{axis: [canonical(cell[axis]) for _ in self.rungs for cell in self.cells] for axis in self.cells[0]},
            f"test_{self.score}": np.concatenate([rung.scores for rung in self.rungs]),
            "test_loss": np.concatenate([rung.losses for rung in self.rungs]),
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            titles = [self.a, *(f"+ {rung.switched.partition(': ')[0]}" for rung in self.rungs[1:])]
            notes = [rung.switched.partition(": ")[2] for rung in self.rungs]
            equal = [f"{rung.equal} of {len(self.cells)} cells equal" for rung in self.rungs]
            notes = [", ".join(filter(None, pair)) for pair in zip(notes, equal, strict=True)]
            axes = {axis: list(values) for axis, values in self.experiment.sweep.items()}
            figure = ladder(
                f"From {self.a} to {self.b}, one convention at a time",
                f"{self.experiment.title} · cells equal: loss and score are those of {self.b}, to the last bit",
                self.score,
                axes,
                list(zip(titles, notes, (rung.scores for rung in self.rungs), strict=True)),
            )
            figure.savefig(path)
            pd.DataFrame(values).to_csv(path.with_suffix(".csv"), index=False)
        except OSError as error:
            raise RequestError(f"--out {folder}: cannot be written: {error.strerror}; give another folder") from None
        return [path, path.with_suffix(".csv")]


def climb(experiment: Experiment, a: str, b: str, progress: bool = True) -> Ladder:
    """The ladder from A to B, backends or profiles, in repeat 0. Needs an experiment with one or two axes."""
    if not 1 <= len(experiment.sweep) <= 2:
        raise RequestError(
            f"{experiment.source}: a ladder of heatmaps needs one or two axes, not {len(experiment.sweep)}; "
            "explain one cell: --cell"
        )
    datasets = load_datasets(experiment)
    trials = plan(experiment.alone("native", seeds=1), datasets)
    for trial in trials:
        if reason := trial.not_native():
            raise RequestError(f"{experiment.source}: {reason}; choose other sides, or one cell: --cell")
    games = [Game.of((trial,), (a, b), datasets) for trial in trials]
    steps = _steps(games)
    with LocalExecutor(datasets) as executor:
        replays = Replays(executor, os.cpu_count() or 1)
        rows = [[_row(game, steps[:taken]) for taken in range(len(steps) + 1)] for game in games]
        count = replays.submit(
            (game.trials[0], row) for game, ladder in zip(games, rows, strict=True) for row in ladder
        )
        shown = make_progress(progress)
        shown.start({REPLAYS: count}, 0)
        try:
            replays.gather(shown)
        finally:
            shown.close()
    found = np.array(
        [[replays(game.trials, row)[0][:2] for row in ladder] for game, ladder in zip(games, rows, strict=True)]
    )
    rungs = [_rung(games, step, found[:, i], found[:, -1]) for i, step in enumerate([(), *steps])]
    score = SCORE[trials[0].config.task]
    return Ladder(experiment, a, b, score, tuple(trial.cell for trial in trials), tuple(rungs))


def _steps(games: Sequence[Game]) -> list[tuple[str, ...]]:
    """The conventions that differ in any cell, in the order of the table; those that go together, together."""
    groups = {group for game in games for group in game.groups}
    order = list(CONVENTIONS)
    return sorted(groups, key=lambda group: order.index(group[0]))


def _row(game: Game, taken: Sequence[tuple[str, ...]]) -> Row:
    return game.mixed(name for group in taken for name in group if name in game.names)


def _rung(games: Sequence[Game], step: tuple[str, ...], found: np.ndarray, last: np.ndarray) -> Rung:
    """One rung from the (loss, score) of every cell, `(cells, 2)`, and those of the last rung."""
    same = (found == last) | (np.isnan(found) & np.isnan(last))
    apart = np.abs(found[:, 1] - last[:, 1])
    known = np.isfinite(apart)
    mean = float(apart[known].mean()) if known.any() else math.nan
    return Rung(_switched(games, step), found[:, 1], found[:, 0], mean, int(same.all(axis=1).sum()))


def _switched(games: Sequence[Game], step: tuple[str, ...]) -> str:
    """`start of the weights: normal(1) → glorot_uniform`; without the values where cells differ in them."""
    if not step:
        return ""
    title = CONVENTIONS[step[0]].title
    values = {(_shown(getattr(game.a, step[0])), _shown(getattr(game.b, step[0]))) for game in games}
    return f"{title}: {' → '.join(values.pop())}" if len(values) == 1 else title


def _shown(value: Any) -> str:
    return "-".join(map(str, value)) if isinstance(value, tuple) else canonical(value)
