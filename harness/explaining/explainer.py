"""Why two backends, or two course codes, get different results from the same numbers: measured, then taken apart.

    harness.explain("digits-quick", "sklearn", "keras", cell={"learning_rate": 0.1, "l2": 0.001}).text

First the gap, by real fits of both. Where it is more than noise, a replay in NumPy switches one convention after the
other, and every subset of those that matter, with common random numbers: see `harness.explaining.switching` and
`harness.explaining.shares`.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness import registry
from harness.calls.keywords import agree
from harness.conventions.table import CONVENTIONS
from harness.conventions.translation import differing
from harness.data.prepared import Datasets
from harness.execution import worker
from harness.execution.executor import LocalExecutor
from harness.experiment.axes import canonical, describe_cell
from harness.experiment.cells import single_cell, unknown_axis
from harness.experiment.datasets import load_datasets
from harness.experiment.file import Cell, Experiment, load
from harness.explaining.choice import MOST_CELLS, telling
from harness.explaining.explanation import Explanation
from harness.explaining.findings import REST, Findings, Share, Switch
from harness.explaining.measuring import FAILED, Measured, fitted, replayed, submit_fits
from harness.explaining.sentences import listed
from harness.explaining.shares import Gap, diverging, gap, standard_error
from harness.explaining.switching import REPLAYS, Game, Replays, Split, Task, play
from harness.planning.plan import Trial, plan
from harness.registry import CONTROLLED, native_backends
from harness.replay.scores import Scores, guessing, judged
from harness.support.environment import harness_version, machine, numpy_version
from harness.support.errors import RequestError, describe
from harness.support.packages import check_not_shadowed
from harness.support.progress import Progress, make_progress

SEEDS = 5


def explain(
    experiment: str | Experiment,
    a: str,
    b: str,
    cell: Mapping[str, Any] | None = None,
    seeds: int = SEEDS,
    progress: bool = True,
) -> Explanation:
    """Explain the gap between two backends, profiles or "controlled" in one cell of an experiment.

    `cell` must single one out, and may be left out where there is but one. `seeds` is how many repeats both are
    trained in. Raises `RequestError` for a request that is wrong.
    """
    asked = experiment if isinstance(experiment, Experiment) else load(experiment)
    wanted = cell or {}
    for key in wanted:
        if key not in asked.sweep:
            raise RequestError(f"cell: {unknown_axis(key, asked.sweep)}")
    chosen = single_cell(asked, wanted, f"cell = {dict(wanted)}: singles out")
    return explain_cells(asked, a, b, [chosen], seeds, progress)[0]


def explain_cells(
    experiment: Experiment,
    a: str,
    b: str,
    cells: Sequence[Cell] | None = None,
    seeds: int = SEEDS,
    progress: bool = True,
) -> list[Explanation]:
    """Explain the named cells or, where none are, up to five telling ones, each of which says why it was chosen."""
    check_not_shadowed()
    if seeds < 2:
        raise RequestError(f"seeds = {seeds}: must be at least 2: the difference of one pair has no interval")
    check_sides(a, b)
    datasets = load_datasets(experiment)
    # one repeat more than is measured: cells are chosen by it, so that what is measured does not depend on the choice
    trials = plan(experiment.alone("native", seeds + 1), datasets)
    if CONTROLLED in (a, b) and any(trial.given_start is not None for trial in trials):
        raise RequestError(f"{CONTROLLED}: a start that comes from a file cannot be replayed; compare two backends")
    with LocalExecutor(datasets) as executor:
        work = _Work(executor, datasets, (a, b), progress)
        repeats: dict[int, list[Trial]] = {}
        for trial in trials:
            if cells is None or trial.cell in cells:
                repeats.setdefault(trial.position, []).append(trial)
        firsts = [each[-1] for each in repeats.values()]
        why = work.choose(experiment.name, firsts) if cells is None else work.able(experiment.name, firsts)
        chosen = [(tuple(repeats[position][:seeds]), reason) for position, reason in sorted(why.items())]
        return work.explain(experiment.name, chosen)


def check_sides(*sides: str) -> None:
    """Raise `RequestError` for an unknown name, a backend that is not here, or one without a row of the table."""
    for name in sides:
        registry.check_row(name)
        if name in native_backends() and (missing := registry.backend(name).missing()):
            raise RequestError(f"backend {name!r}: {missing}")


def _where(name: str, cell: Cell) -> str:
    """`digits-grid, learning_rate=0.1,l2=0`, or the name alone where nothing is swept."""
    return ", ".join(filter(None, [name, describe_cell(cell)]))


@dataclass(frozen=True)
class _Case:
    """One cell, measured."""

    game: Game
    why: str
    a: Measured
    b: Measured

    @property
    def faults(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.a.faults, *self.b.faults)))

    @property
    def gap(self) -> Gap | None:
        """None where a training has no loss."""
        return None if self.faults else gap(self.a.losses, self.b.losses)


class _Work:
    """The trainings behind one or several explanations, in one executor."""

    def __init__(self, executor: LocalExecutor, datasets: Datasets, sides: tuple[str, str], shown: bool) -> None:
        self.executor, self.datasets, self.sides, self.shown = executor, datasets, sides, shown
        self.replays = Replays(executor, os.cpu_count() or 1)

    @contextmanager
    def _progress(self, totals: Mapping[str, int]) -> Iterator[Progress]:
        progress = make_progress(self.shown and any(totals.values()))
        progress.start(dict(totals), 0)
        try:
            yield progress
        finally:
            progress.close()

    def _replay(self, tasks: Sequence[Task]) -> None:
        """Replay what is missing of the tasks, and wait for it."""
        with self._progress({REPLAYS: self.replays.submit(tasks)}) as progress:
            self.replays.gather(progress)

    def able(self, name: str, trials: Sequence[Trial]) -> dict[int, str]:
        """Position -> "", of cells that were asked for. Raises `RequestError` for the first that cannot be trained."""
        for trial, reason in zip(trials, self._unsupported(trials), strict=True):
            if reason is not None:
                raise RequestError(f"{_where(name, trial.cell)}: {reason}; choose another --cell, or other sides")
        return {trial.position: "" for trial in trials}

    def choose(self, name: str, trials: Sequence[Trial]) -> dict[int, str]:
        """Position -> why, of the telling cells: by the replay of both sides, where both can train at all."""
        reasons = self._unsupported(trials)
        able = [trial for trial, reason in zip(trials, reasons, strict=True) if reason is None]
        if not able:
            why = next(reason for reason in reasons if reason is not None)
            raise RequestError(f"{name}: {why}; choose another experiment, or other sides")
        if len(able) <= MOST_CELLS:
            return {trial.position: "" for trial in able}
        games = [Game.of((trial,), self.sides, self.datasets) for trial in able]
        self._replay([task for game in games for task in game.tasks([game.a, game.b])])
        losses = np.array([game.losses(self.replays, [game.a, game.b])[:, 0] for game in games])
        levels = np.array([guessing(trial, self.datasets) for trial in able])
        values = {key: list(dict.fromkeys(canonical(trial.cell[key]) for trial in able)) for key in able[0].cell}
        places = [
            [known.index(canonical(trial.cell[key])) / max(len(known) - 1, 1) for key, known in values.items()]
            for trial in able
        ]
        return {able[i].position: why for i, why in telling(losses, levels, np.array(places), self.sides)}

    def _unsupported(self, trials: Sequence[Trial]) -> list[str | None]:
        """For each trial why one of the sides cannot train it in its own way, or None."""
        reasons = [trial.not_native() for trial in trials]
        for name in dict.fromkeys(name for name in self.sides if name in native_backends()):
            trainer = registry.backend(name).trainer
            asked = [replace(trial, backend=name) for trial in trials]
            future = self.executor.submit(name, trainer, worker.unsupported_trials, asked, trainer)
            if (error := future.exception()) is not None:
                raise RequestError(f"backend {name!r}: {describe(error)}; see: harness check {name}")
            told = future.result()
            reasons = [one or (two and f"{name}: {two}") for one, two in zip(reasons, told, strict=True)]
        return reasons

    def _check_declared(self, experiment: str, trial: Trial) -> None:
        """Raise `RequestError` where a side declares nothing of what has an effect: it would be taken for our own."""
        for name in self.sides:
            if name in native_backends() and (missing := registry.undeclared(name, trial.config)):
                raise RequestError(
                    f"{_where(experiment, trial.cell)}: {name} declares nothing of {', '.join(missing)}; "
                    f"add it to {registry.backend(name).conventions}"
                )

    def explain(self, name: str, chosen: Sequence[tuple[tuple[Trial, ...], str]]) -> list[Explanation]:
        """Fits, and every switch of one convention; then, where there is a gap, the subsets of those that count."""
        cases = self._measure([(Game.of(trials, self.sides, self.datasets), why) for trials, why in chosen])
        for case in cases:
            if "unsupported" in (case.a.status, case.b.status):
                raise RequestError(
                    f"{_where(name, case.game.trials[0].cell)}: {'; '.join(case.faults)}; choose other sides"
                )
            self._check_declared(name, case.game.trials[0])
        lost = [self._diverged(case.game) for case in cases]
        differ = [i for i, case in enumerate(cases) if case.gap is not None and case.gap.differs and not lost[i]]
        splits = dict(zip(differ, play([cases[i].game for i in differ], self.replays, self._replay), strict=True))
        return [self._explanation(name, case, lost[i], splits.get(i)) for i, case in enumerate(cases)]

    def _measure(self, games: Sequence[tuple[Game, str]]) -> list[_Case]:
        """Both sides of every cell, measured, while the single switches are replayed."""
        a, b = self.sides
        fits = {
            (i, side): submit_fits(self.executor, name, game.trials, again=a == b and side == 1)
            for i, (game, _) in enumerate(games)
            for side, name in enumerate(self.sides)
            if name in native_backends()
        }
        totals = Counter(self.sides[side] for (_, side), futures in fits.items() for _ in futures)
        tasks = [task for game, _ in games for task in game.tasks([game.a, game.b, *game.singles()])]
        with self._progress({**totals, REPLAYS: self.replays.submit(tasks)}) as progress:
            sides = {
                (i, side): fitted(self.sides[side], games[i][0].trials, futures, progress.finished)
                for (i, side), futures in fits.items()
            }
            self.replays.gather(progress)
        for i, (game, _) in enumerate(games):
            for side, row in enumerate((game.a, game.b)):
                if (i, side) not in sides:
                    sides[i, side] = replayed(self.sides[side], self.replays(game.trials, row))
        return [_Case(game, why, sides[i, 0], sides[i, 1]) for i, (game, why) in enumerate(games)]

    def _diverged(self, game: Game) -> tuple[str, ...]:
        """The sides whose replay has no loss in some repeat."""
        losses = game.losses(self.replays, [game.a, game.b])
        return tuple(
            f"the replay of {name} diverges, which its own fit did not"
            for name, of_side in zip(self.sides, losses, strict=True)
            if not np.isfinite(of_side).all()
        )

    def _explanation(self, name: str, case: _Case, lost: tuple[str, ...], split: Split | None) -> Explanation:
        game, (a, b) = case.game, self.sides
        config = game.config
        part, _ = judged(game.trials[0].prepare(self.datasets[game.trials[0].data.key]))
        findings = None if split is None or case.gap is None else findings_of(case.a, case.b, game, split, self.replays)
        closing = () if findings is None else findings.closing or ()
        return Explanation(
            experiment=name,
            a=a,
            b=b,
            cell=game.trials[0].cell,
            chosen=case.why,
            metric=f"{part} {'log ' if config.task != 'regression' else ''}loss",
            score=f"{part} {'R²' if config.task == 'regression' else 'accuracy'}",
            losses=(case.a.losses, case.b.losses),
            scores=(case.a.scores, case.b.scores),
            faults=case.faults or (lost if case.gap is not None and case.gap.differs else ()),
            failed=any(side.status in FAILED for side in (case.a, case.b)),
            gap=case.gap,
            score_gap=None if case.gap is None else gap(case.a.scores, case.b.scores),
            findings=findings,
            printed=self._printed(game) if case.gap is not None else {},
            keywords=agree(a, b, closing, config, game.trials[0].recipe) if closing else {},
            made_on=_made_on(a, b),
            untold={name: own for name in (a, b) if (own := registry.untold(name, config))},
        )

    def _printed(self, game: Game) -> dict[str, tuple[float, float]]:
        """The metrics that the two rows take differently, as each would print them: means over the repeats."""
        means = [np.array(self.replays(game.trials, row)).mean(axis=0) for row in (game.a, game.b)]
        names = differing(game.config, game.a, game.b)
        wanted = {
            "accuracy": "accuracy" in names or ("metric_rows" in names and game.config.task != "regression"),
            "ROC AUC": "auc" in names or ("metric_rows" in names and game.config.task == "binary"),
        }
        place = {"accuracy": Scores._fields.index("printed"), "ROC AUC": Scores._fields.index("auc")}
        return {
            metric: (float(means[0][place[metric]]), float(means[1][place[metric]]))
            for metric, shown in wanted.items()
            if shown
        }


def findings_of(a: Measured, b: Measured, game: Game, split: Split, replays: Replays) -> Findings:
    """The findings behind one gap: shares over the seeds, the remainder, and what closes it."""
    ends = game.losses(replays, [game.mixed(()), game.mixed(game.names)])
    replayed_gap = gap(*ends)
    differences = [np.subtract(b.losses, a.losses), ends[1] - ends[0]]
    with np.errstate(invalid="ignore"):
        alone = {
            name: (float(split.alone_from_a[i].mean()), float(split.alone_from_b[i].mean()))
            for i, group in enumerate(split.groups)
            for name in group
        }
    shares = []
    if split.shares is not None:
        for j, team in enumerate(split.teams):
            title = REST if split.rest and j == len(split.teams) - 1 else listed([CONVENTIONS[n].title for n in team])
            shares.append(Share(title, team, float(split.shares[j].mean()), float(standard_error(split.shares[j]))))
    closing = None if split.closing is None else tuple(name for j in split.closing for name in split.teams[j])
    left = None
    if split.closing is not None:
        subset = sum(1 << j for j in split.closing)
        left = float((split.values[-1] - split.values[subset]).mean())
    return Findings(
        replayed=replayed_gap,
        remainder=gap(differences[1], differences[0]),
        switches=tuple(Switch(name, getattr(game.a, name), getattr(game.b, name), *alone[name]) for name in alone),
        shares=tuple(shares),
        diverging=() if shares else tuple(name for j in diverging(split.values) for name in split.teams[j]),
        closing=closing,
        left=left,
        trainings=sum(position == game.trials[0].position for position, _, _ in replays.results),
    )


def _made_on(*sides: str) -> dict[str, str]:
    versions = {name: registry.backend(name).version() for name in sides if name in native_backends()}
    return {"harness": harness_version(), "NumPy": numpy_version(), **versions, **machine()}
