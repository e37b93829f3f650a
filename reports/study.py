"""What a report is made from: a `Study`, the stored rows of one experiment, and the `Cell`s in them.

Nothing in this package trains, predicts or opens a store: rows come in, tables, figures and a page come out.
"""

import itertools
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from reports import style

MODES = ("controlled", "native")
"""In the order of display."""

SPLITS = ("train", "validation", "test")
SCORES = ("accuracy", "r2")
"""What a trial is judged by: a regression by its R², every other task by its accuracy."""

STATUSES = ("ok", "diverged", "timeout", "crashed", "unsupported", "not_installed", "pending")
VERDICTS = ("agrees", "differs", "chaotic", "unchecked")

Position = tuple[int, ...]
"""A cell's place in the grid: for each axis, the index of its value. `()` when nothing is swept."""


Problem = tuple[str, str]
"""What is learned: a data set and a task. Scores of different problems cannot be compared."""


Arrays = dict[str, np.ndarray]
"""Named arrays of one trial. By kind they are

    curves       epoch, and one value an epoch of every metric: of every trial that has any
    confusion    train, validation, test: counts (n_classes, n_classes), true classes down, answers across
    parity       epoch (k,), ascending; deviation (k,), floor (k,): inf where one of the two diverged by then, NaN where
                 nothing was measured: of controlled trials whose reference is known
    predictions  logits (n_test, n_outputs), targets, rows; sample_rows, sample_inputs: the first 25 test rows; of a
                 classification misclassified_rows, misclassified_inputs, at most 25: of the best trials
    plane        x (100,), y (100,): a grid over data of two inputs; logits (100, 100, n_outputs), first index y;
                 hidden/0, hidden/1, … (50, 50, units <= 16): what hidden units give on every second line of it; inputs
                 (n <= 1000, 2), targets, part (0 train, 1 validation, 2 test): of the best trials

Inputs and targets of the last two are as the dataset has them. With one input there is no y, and an axis less.
"""


def problem_of(row: Any) -> Problem:
    """The problem of a row; "" for a data set that it does not name."""
    dataset = row.get("dataset")
    return dataset if isinstance(dataset, str) else "", row["task"]


def score_of(task: str) -> str:
    """The score of a task: "r2" of a regression, "accuracy" of every other."""
    return "r2" if task == "regression" else "accuracy"


def words(status: str) -> str:
    """A status as it is written for people: `not_installed` is "not installed"."""
    return status.replace("_", " ")


def is_finite(value: Any) -> bool:
    """Whether there is a value, and a finite one."""
    return value is not None and math.isfinite(value)


def key(value: Any) -> str:
    """What makes two axis values the same: numbers at 12 significant digits, lists as their JSON text."""
    if isinstance(value, (list, tuple)):
        return json.dumps(list(value))
    if isinstance(value, str):
        return value
    try:
        return f"{float(value):.12g}"
    except (TypeError, ValueError):
        return str(value)


@dataclass(frozen=True)
class Cell:
    """All repeats (seeds) of one backend, in one mode, at one value on every axis. `rows` holds a dict a trial."""

    position: Position
    rows: tuple[dict[str, Any], ...] = ()

    @property
    def ok(self) -> list[dict[str, Any]]:
        """The trials that finished."""
        return [row for row in self.rows if row["status"] == "ok"]

    @property
    def complete(self) -> bool:
        """Whether every planned trial finished."""
        return bool(self.rows) and len(self.ok) == len(self.rows)

    @property
    def mark(self) -> str:
        """What did not finish, in words: "", "diverged", or with several seeds "1/3 diverged"."""
        if not self.rows:
            return "not planned"
        failed = Counter(words(row["status"]) for row in self.rows if row["status"] != "ok")
        if list(failed.values()) == [len(self.rows)]:
            return next(iter(failed))
        return ", ".join(f"{count}/{len(self.rows)} {word}" for word, count in failed.items())

    @property
    def chaotic(self) -> bool:
        """Whether rounding alone decides at least one of its trials."""
        return any(row["verdict"] == "chaotic" for row in self.rows)

    @property
    def differs(self) -> bool:
        """Whether at least one of its trials is further from the reference than rounding allows."""
        return any(row["verdict"] == "differs" for row in self.rows)

    @property
    def problem(self) -> Problem | None:
        """Its data set and task; None for a cell without any trial."""
        return problem_of(self.rows[0]) if self.rows else None

    def has_score(self, score: str) -> bool:
        """Whether its task is judged by `score`; so is a cell without any trial, which has to say that."""
        return not self.rows or any(score_of(row["task"]) == score for row in self.rows)

    def mean(self, column: str) -> float:
        """The mean of `column` over the trials that finished with a finite value; NaN when there is none."""
        values = [value for row in self.ok if is_finite(value := row.get(column))]
        return float(sum(values) / len(values)) if values else math.nan

    def minus(self, other: "Cell", column: str) -> float:
        """The mean difference of `column` over the seeds in which both cells have a value; NaN when there is none."""
        theirs = {row["seed"]: row[column] for row in other.ok}
        differences = [row[column] - theirs[row["seed"]] for row in self.ok if row["seed"] in theirs]
        differences = [difference for difference in differences if is_finite(difference)]
        return float(sum(differences) / len(differences)) if differences else math.nan


@dataclass(frozen=True)
class Study:
    """The stored rows of one experiment, all that a report knows.

    `rows` has one row a *planned* trial: `trial_id, experiment, backend, mode, seed, status, reason`, a column for
    every axis and hyperparameter, `dataset` (it may be absent), `task` ("multiclass", "binary", "multilabel",
    "regression"), `chance` (the score of guessing), the metrics `train_accuracy`, `test_r2`, … (see `style.METRICS`),
    `epochs, epochs_run`, `deviation, floor, verdict`, times, versions and `stale`. `axes` maps a swept key to its
    values in the file's order. `curves` has one row an epoch of a trial. `facts` and `warnings` are shown as they are.
    Missing is NaN or None.

    `sampled` names the hyperparameters that were drawn at random; the only axis is then `point`, the number of the
    draw. `published` holds figures printed elsewhere: a column an axis, and `train_accuracy`, `test_accuracy` or both,
    NaN where the print is illegible. `notes` are paragraphs of plain text for the top of the page. `names` has the
    names of the classes, labels or targets of a data set.

    `artefacts` reads stored arrays of a kind, by trial id, of those of the given trials that have any (see `Arrays`).
    `calls` gives the lines of code that a row's backend ran for it, keyword arguments and all; `[]` where nobody
    declared them. `display` has the backends in the order in which they are shown, with their colours, or "".
    """

    name: str
    title: str
    rows: pd.DataFrame
    axes: dict[str, list[Any]]
    curves: pd.DataFrame
    facts: dict[str, str]
    warnings: list[str]
    sampled: tuple[str, ...] = ()
    published: pd.DataFrame | None = None
    notes: list[str] = field(default_factory=list)
    names: dict[str, list[str]] = field(default_factory=dict)
    artefacts: Callable[[str, Sequence[str]], dict[str, Arrays]] = lambda kind, trial_ids: {}
    calls: Callable[[dict[str, Any]], list[str]] = lambda row: []
    display: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def modes(self) -> list[str]:
        """The modes that were planned, `controlled` first."""
        present = list(dict.fromkeys(self.rows["mode"]))
        return [mode for mode in MODES if mode in present]

    @cached_property
    def backends(self) -> list[str]:
        """The backends that were planned, in the order of display."""
        present = list(dict.fromkeys(self.rows["backend"]))
        return [name for name in dict.fromkeys((*self.display, *present)) if name in present]

    @cached_property
    def colours(self) -> dict[str, str]:
        """The colour of every backend in pictures."""
        return style.colours(self.backends, self.display)

    def backends_of(self, mode: str) -> list[str]:
        """The backends that were planned in `mode`, in the order of display."""
        return self._backends_by_mode.get(mode, [])

    def rows_of(self, mode: str, backend: str) -> pd.DataFrame:
        """The trials of one backend in one mode."""
        return self.rows[(self.rows["mode"] == mode) & (self.rows["backend"] == backend)]

    def absence(self, mode: str, backend: str) -> str:
        """Why a backend has nothing at all to show, with the hint how to install it; "" when it ran."""
        rows = self.rows_of(mode, backend)
        statuses = set(rows["status"])
        if len(statuses) != 1 or not statuses <= {"not_installed", "unsupported"}:
            return ""
        reasons = [reason for reason in dict.fromkeys(rows["reason"]) if isinstance(reason, str)]
        return words(statuses.pop()) + (f": {reasons[0]}" if reasons else "")

    @cached_property
    def scores(self) -> tuple[str, ...]:
        """What its trials are judged by: of accuracy and R², those that the task of any planned trial has."""
        present = {score_of(task) for task in self.rows["task"].unique()}
        return tuple(score for score in SCORES if score in present)

    def split(self, score: str) -> str:
        """Where `score` is looked at first: "test", or "train" where no finished trial has a test score."""
        return "test" if self.has(f"test_{score}") else "train"

    def chances(self, score: str) -> list[float]:
        """The scores of guessing, ascending: several where the cells have different numbers of classes."""
        rows = self.rows[self.rows["task"].map(score_of) == score]
        return sorted({float(chance) for chance in rows["chance"].dropna()})

    def silence(self, mode: str) -> dict[str, list[str]]:
        """Why a mode has no result at all, each reason with its backends; empty when any trial could be run."""
        rows = self.rows[self.rows["mode"] == mode]
        if not set(rows["status"]) <= {"not_installed", "unsupported"}:
            return {}
        found: dict[str, list[str]] = {}
        for row in rows.drop_duplicates(["backend", "status", "reason"]).to_dict("records"):
            reason = words(row["status"]) + (f": {row['reason']}" if isinstance(row["reason"], str) else "")
            found.setdefault(reason, []).append(row["backend"])
        return found

    @property
    def spoken(self) -> list[str]:
        """The modes that have anything to draw; all of them where none has."""
        return [mode for mode in self.modes if not self.silence(mode)] or self.modes

    def problems(self, score: str) -> list[Problem]:
        """The problems that are judged by `score`, in the order of the grid."""
        return [problem for problem in self._problems if score_of(problem[1]) == score]

    def problem_name(self, problem: Problem) -> str:
        """What tells a problem from the others of the study: "xor", "xor, binary"; "" where it is the only one."""
        parts = zip(problem, zip(*self._problems, strict=True), strict=True)
        return ", ".join(part for part, all_of_them in parts if len(set(all_of_them)) > 1)

    def best(self, mode: str, backend: str, score: str) -> dict[Problem, Cell]:
        """The best cell of each problem (see `ranked`), for those problems in which there is more than one cell."""
        found = {}
        for problem in self.problems(score):
            best = best_cell(self.cells_of(mode, backend, problem), score) if self.chosen(problem) else None
            if best is not None:
                found[problem] = best
        return found

    def chosen(self, problem: Problem) -> bool:
        """Whether a problem has more than one cell to choose from."""
        return self._problems[problem] > 1

    @property
    def has_choice(self) -> bool:
        """Whether the best cell is chosen anywhere: validation scores, and a problem of more than one cell."""
        return self.has_validation and any(n > 1 for n in self._problems.values())

    def cells_of(self, mode: str, backend: str, problem: Problem) -> list[Cell]:
        """The cells of one backend in which trials of `problem` are planned, in the order of `positions`."""
        return [cell for cell in self.cells(mode, backend) if cell.problem == problem]

    @property
    def has_validation(self) -> bool:
        """Whether any finished trial has a validation score."""
        return any(self.has(f"validation_{score}") for score in self.scores)

    @property
    def native_base(self) -> str:
        """The backend from which native differences are measured: the first that ran."""
        backends = self.backends_of("native")
        present = [name for name in backends if not self.absence("native", name)] or backends
        return present[0]

    @cached_property
    def positions(self) -> list[Position]:
        """Every cell of the grid, the last axis running fastest; `[()]` when nothing is swept."""
        return list(itertools.product(*(range(len(values)) for values in self.axes.values())))

    @cached_property
    def statuses(self) -> list[str]:
        """The statuses that occur, in the order of `STATUSES`; what is not one of them comes last."""
        present = list(dict.fromkeys(self.rows["status"]))
        return [name for name in STATUSES if name in present] + [name for name in present if name not in STATUSES]

    @cached_property
    def repeat(self) -> str:
        """What a repeat is called: "seed" or, in a cross-validation, where it is a fold of a seed, "fold"."""
        return "fold" if "fold" in self.rows and self.rows["fold"].notna().any() else "seed"

    @cached_property
    def repeat_names(self) -> dict[int, str]:
        """Each repeat in words, by what stands in the column `seed`, ascending: "seed 1", or "seed 0, fold 2"."""
        seeds = sorted(self.rows["seed"].unique())
        if self.repeat == "seed":
            return {seed: f"seed {seed}" for seed in seeds}
        folds = self.rows.drop_duplicates("seed").set_index("seed")["fold"]
        n = folds.nunique()
        return {seed: f"seed {seed // n}, fold {style.plain(folds[seed])}" for seed in seeds}

    def with_folds(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame with a column `seed` for people: in a cross-validation "0, fold 2", not the number of a repeat."""
        if self.repeat == "seed":
            return frame
        return frame.assign(seed=[self.repeat_names[seed].removeprefix("seed ") for seed in frame["seed"]])

    @cached_property
    def n_seeds(self) -> int:
        """How many repeats were planned."""
        return int(self.rows["seed"].nunique())

    @property
    def checked(self) -> bool:
        """Whether any trial was compared with the reference."""
        return bool(self.rows["verdict"].isin(["agrees", "differs", "chaotic"]).any())

    def has(self, column: str) -> bool:
        """Whether any finished trial has a value in `column`."""
        return column in self.rows and bool(self.rows.loc[self.rows["status"] == "ok", column].notna().any())

    def cell(self, mode: str, backend: str, position: Position) -> Cell:
        """The trials of one backend at one place of the grid."""
        return self._cells.get((mode, backend, position), Cell(position))

    def cells(self, mode: str, backend: str) -> list[Cell]:
        """Every cell of one backend, in the order of `positions`."""
        return [self.cell(mode, backend, position) for position in self.positions]

    def find(self, row: Any) -> Position | None:
        """The place of a row in the grid; None for a value that its axis does not have."""
        places = [index.get(key(row[axis])) for axis, index in self._index.items()]
        return None if None in places else tuple(place for place in places if place is not None)

    def position(self, row: Any) -> Position:
        """The place of a row in the grid. Raises `ValueError` for a value that its axis does not have."""
        place = []
        for axis, index in self._index.items():
            if key(row[axis]) not in index:
                raise ValueError(f"trial {row['trial_id']}: {axis} = {row[axis]!r} is not one of {self.axes[axis]}")
            place.append(index[key(row[axis])])
        return tuple(place)

    def describe(self, position: Position) -> str:
        """A place of the grid in words: `learning_rate 0.1, l2 1e-3`; "" when nothing is swept."""
        places = zip(self.axes.items(), position, strict=True)
        where = ", ".join(f"{axis} {style.labels(values)[i]}" for (axis, values), i in places)
        drawn = ", ".join(f"{name} {style.plain(value)}" for name, value in self.drawn(position).items())
        return f"{where}, {drawn}" if drawn else where

    def drawn(self, position: Position) -> dict[str, Any]:
        """The values that a random search drew at `position`; empty in a grid."""
        return self._drawn.get(position, {})

    @cached_property
    def _backends_by_mode(self) -> dict[str, list[str]]:
        present = {mode: set(rows["backend"]) for mode, rows in self.rows.groupby("mode")}
        return {mode: [name for name in self.backends if name in found] for mode, found in present.items()}

    @cached_property
    def _drawn(self) -> dict[Position, dict[str, Any]]:
        if not self.sampled:
            return {}
        rows = self.rows.drop_duplicates(subset=list(self.axes)).to_dict("records")
        return {self.position(row): {name: row[name] for name in self.sampled} for row in rows}

    @cached_property
    def _problems(self) -> dict[Problem, int]:
        """Every problem with the number of its cells."""
        found: dict[Problem, set[Position]] = {}
        for (_, _, position), cell in sorted(self._cells.items(), key=lambda item: item[0][2]):
            if cell.problem is not None:
                found.setdefault(cell.problem, set()).add(position)
        return {problem: len(positions) for problem, positions in found.items()}

    @cached_property
    def _index(self) -> dict[str, dict[str, int]]:
        return {axis: {key(value): i for i, value in enumerate(values)} for axis, values in self.axes.items()}

    @cached_property
    def _cells(self) -> dict[tuple[str, str, Position], Cell]:
        groups: dict[tuple[str, str, Position], list[dict[str, Any]]] = {}
        for row in self.rows.to_dict("records"):
            groups.setdefault((row["mode"], row["backend"], self.position(row)), []).append(row)
        return {where: Cell(where[2], tuple(rows)) for where, rows in groups.items()}


def best_cell(cells: list[Cell], score: str) -> Cell | None:
    """The best of `cells`: the first of `ranked`, or None when no cell can win."""
    return next(iter(ranked(cells, score)), None)


def ranked(cells: list[Cell], score: str) -> list[Cell]:
    """Cells of one problem by mean validation `score`, highest first; a tie goes to the lower validation loss.

    Only cells whose every trial finished, that are not chaotic and that have a validation score can win; test results
    are never looked at.
    """
    column = f"validation_{score}"
    eligible = [cell for cell in cells if cell.complete and not cell.chaotic and not math.isnan(cell.mean(column))]

    def rank(cell: Cell) -> tuple[float, float]:
        loss = cell.mean("validation_loss")
        return -cell.mean(column), math.inf if math.isnan(loss) else loss

    return sorted(eligible, key=rank)
