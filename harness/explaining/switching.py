"""Two rows of the conventions table and every row between them, replayed for the same repeats.

Whatever two rows share, start and batches among it, is drawn from the same random numbers: the differences between
their results are paired, and a convention that has no effect has none to the last bit.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from harness.contract import Config
from harness.conventions.table import CONVENTIONS, GIVEN, Row
from harness.conventions.translation import config_under, differing
from harness.data.prepared import Datasets
from harness.execution import worker
from harness.execution.executor import LocalExecutor
from harness.explaining.shares import MOST_PLAYERS, players, rest_counts, shapley, smallest_closing
from harness.planning.plan import Trial
from harness.registry import row_of, untold
from harness.replay.scores import Scores
from harness.replay.stack import MOST_MEMBERS, structure_of
from harness.support.progress import Progress

METRIC = "metric"
"""The phase of the conventions that say how a metric is taken: they change no weights and no loss on the test rows."""

REPLAYS = "replays"
"""The lane of the progress bar."""


def resolved(config: Config, row: Row, n_train: int) -> Row:
    """The row with the experiment's numbers in place of "given"."""
    under = config_under(config, row, n_train)
    own: dict[str, Any] = {name: under.value(name) for name in ("hidden", "epochs", "learning_rate", "batch_size")}
    activation = under.network.dense["activation"]
    if len(set(activation)) == 1:
        own["activation"] = activation[0]
    return replace(row, **own)


def in_force(config: Config, row: Row) -> Row:
    """The row with the default of every convention that has no effect under it: what trains alike is equal."""
    idle: dict[str, Any] = {
        field.name: field.default
        for field in fields(row)
        if not CONVENTIONS[field.name].applies(config, row) and CONVENTIONS[field.name].phase != METRIC
    }
    return replace(row, **idle)


Task = tuple[Trial, Row]
Names = tuple[str, ...]
"""Conventions that are switched together."""


class Replays:
    """Replays of many rows in many repeats, each once, in several worker processes."""

    def __init__(self, executor: LocalExecutor, lanes: int) -> None:
        self.executor, self.lanes = executor, lanes
        self.results: dict[_Key, Scores] = {}
        self.asked: set[_Key] = set()
        self.futures: dict[Future[list[Scores]], list[_Key]] = {}
        self.chunks = 0

    def submit(self, tasks: Iterable[Task]) -> int:
        """Hand those of the tasks that nobody asked for yet to the workers, in stacks; gives how many they are."""
        missing = {key: task for task in tasks if (key := _key(*task)) not in self.asked}
        self.asked |= set(missing)
        stacks: dict[Any, list[Task]] = {}
        for trial, row in missing.values():
            shape = (
                trial.config.network.dense["hidden"],
                trial.config.optimizer.name,
                trial.config.network.dense["activation"],
                trial.data.key,
            )
            stacks.setdefault((shape, structure_of(row)), []).append((trial, row))
        for stack in stacks.values():
            for first in range(0, len(stack), MOST_MEMBERS):
                chunk = stack[first : first + MOST_MEMBERS]
                lane = f"{REPLAYS} {self.chunks % self.lanes}"
                self.chunks += 1
                future = self.executor.submit(lane, None, worker.run_replays, chunk)
                self.futures[future] = [_key(*task) for task in chunk]
        return len(missing)

    def gather(self, progress: Progress) -> None:
        """Wait for everything that was submitted. Raises what a worker raised."""
        for future in as_completed(list(self.futures)):
            for key, scores in zip(self.futures.pop(future), future.result(), strict=True):
                self.results[key] = scores
                progress.finished(REPLAYS, "ok" if np.isfinite(scores.loss) else "diverged")

    def __call__(self, trials: Sequence[Trial], row: Row) -> list[Scores]:
        """What came out of one row, one entry a trial."""
        return [self.results[_key(trial, row)] for trial in trials]


_Key = tuple[int, int, Row]


def _key(trial: Trial, row: Row) -> _Key:
    return trial.position, trial.seed, row


@dataclass(frozen=True)
class Game:
    """All that lies between two rows of one cell: `trials` are its repeats, `a` and `b` are `resolved` rows."""

    trials: tuple[Trial, ...]
    a: Row
    b: Row

    @classmethod
    def of(cls, trials: tuple[Trial, ...], sides: tuple[str, str], datasets: Datasets) -> "Game":
        """What lies between two backends or profiles in the repeats of one cell.

        A value that is not in the table is never switched: there both have that of the other side.
        """
        one = trials[0]
        n_train = len(one.rows(datasets[one.data.key]).train)
        a, b = (resolved(one.config, row_of(name, one.config, one.recipe), n_train) for name in sides)
        of_a, of_b = (untold(name, one.config) for name in sides)
        a = replace(a, **{name: getattr(b, name) for name in of_a})
        return cls(trials, a, replace(b, **{name: getattr(a, name) for name in of_b}))

    @property
    def config(self) -> Config:
        """The experiment's own config of the cell."""
        return self.trials[0].config

    @property
    def names(self) -> list[str]:
        """The conventions in which the rows differ with effect on the weights."""
        names = differing(self.config, self.a, self.b)
        return [name for name in names if CONVENTIONS[name].phase != METRIC]

    @property
    def groups(self) -> list[Names]:
        """The conventions, each by itself; layers and activations together where one cannot be without the other."""
        tied = [name for name in self.names if name in ("hidden", "activation")]
        if GIVEN not in (self.a.activation, self.b.activation):
            tied = []
        return [*([tuple(tied)] if tied else []), *((name,) for name in self.names if name not in tied)]

    def mixed(self, names: Iterable[str]) -> Row:
        """A's row with B's value of the named conventions."""
        return in_force(self.config, replace(self.a, **{name: getattr(self.b, name) for name in names}))

    def steps(self, groups: Sequence[Names], before: Names, after: Names) -> list[Row]:
        """Between two mixes that the groups part: each switched alone in the first; then all but each."""
        return [
            *(self.mixed((*before, *group)) for group in groups),
            *(self.mixed(name for name in after if name not in group) for group in groups),
        ]

    def singles(self) -> list[Row]:
        """A and B, and each convention switched alone from either end."""
        return [self.mixed(()), self.mixed(self.names), *self.steps(self.groups, (), tuple(self.names))]

    def lattice(self, teams: Sequence[Names]) -> list[Row]:
        """The row of every subset of the players, in the order of `harness.explaining.shares`."""
        return [
            self.mixed(name for j, team in enumerate(teams) if subset >> j & 1 for name in team)
            for subset in range(1 << len(teams))
        ]

    def tasks(self, rows: Iterable[Row]) -> list[Task]:
        """Every row in every repeat."""
        return [(trial, row) for row in rows for trial in self.trials]

    def losses(self, replays: Replays, rows: Sequence[Row]) -> np.ndarray:
        """The losses of some rows, `(rows, seeds)`."""
        return np.array([[scores.loss for scores in replays(self.trials, row)] for row in rows], np.float64).reshape(
            len(rows), len(self.trials)
        )


@dataclass(frozen=True)
class Split:
    """A game, played: effects of each group alone, `(groups, seeds)`; the teams that play; and their shares.

    `teams` are the conventions of each player; the last is "the rest" where `rest` is true. `values` is the loss of
    every subset, `(2**teams, seeds)`; `shares` `(teams, seeds)`, None where some subset diverges. `closing` are the
    players of the smallest set that closes the gap.
    """

    groups: list[Names]
    alone_from_a: np.ndarray
    alone_from_b: np.ndarray
    teams: list[Names]
    rest: bool
    values: np.ndarray
    shares: np.ndarray | None
    closing: tuple[int, ...] | None

    @property
    def groups_of_rest(self) -> list[Names]:
        """What "the rest" is made of."""
        return [group for group in self.groups if self.rest and set(group) <= set(self.teams[-1])]

    @property
    def rest_counts(self) -> bool:
        """Whether "the rest" has a share worth the name."""
        return self.rest and self.shares is not None and rest_counts(self.shares)


def effects(
    game: Game, replays: Replays, groups: Sequence[Names], before: Names, after: Names
) -> tuple[np.ndarray, np.ndarray]:
    """What each group changes alone on the way from one mix to another, `(groups, seeds)` twice.

    The groups make up the difference of the two mixes, in A's row with B's value of the names `before`, and `after`:
    once as the first to be switched, once as the last.
    """
    low, high = game.losses(replays, [game.mixed(before), game.mixed(after)])
    rows = game.steps(groups, before, after)
    with np.errstate(invalid="ignore"):
        return game.losses(replays, rows[: len(groups)]) - low, high - game.losses(replays, rows[len(groups) :])


def play(games: Sequence[Game], replays: Replays, replay: Callable[[Sequence[Task]], None]) -> list[Split]:
    """The shares of every game whose rows of `singles` were replayed; `replay` makes `replays` have more.

    Where "the rest" turns out to count, it is taken apart, as far as six players go: by what each of its conventions
    changes alone in the mix of the others where the rest changes most.
    """
    first = [_teams(game, replays) for game in games]
    replay([task for game, found in zip(games, first, strict=True) for task in game.tasks(game.lattice(found[0]))])
    splits = [_played(game, replays, *found) for game, found in zip(games, first, strict=True)]
    apart = {i: _where_the_rest_counts(split) for i, split in enumerate(splits) if split.rest_counts}
    replay(
        [task for i, ends in apart.items() for task in games[i].tasks(games[i].steps(splits[i].groups_of_rest, *ends))]
    )
    second = {i: _taken_apart(games[i], replays, splits[i], *ends) for i, ends in apart.items()}
    replay([task for i, found in second.items() for task in games[i].tasks(games[i].lattice(found[0]))])
    return [_played(game, replays, *second[i]) if i in second else splits[i] for i, game in enumerate(games)]


def _teams(game: Game, replays: Replays) -> tuple[list[Names], bool]:
    """The players of the game by their conventions, and whether the last of them is "the rest"."""
    groups = game.groups
    chosen, rest = players(*effects(game, replays, groups, (), tuple(game.names)))
    return _with_rest([groups[j] for j in chosen], [groups[j] for j in rest])


def _with_rest(chosen: list[Names], rest: list[Names]) -> tuple[list[Names], bool]:
    others = tuple(name for group in rest for name in group)
    return [*chosen, *([others] if others else [])], bool(others)


def _where_the_rest_counts(split: Split) -> tuple[Names, Names]:
    """The mix of the other players where the switch of the rest changes most, without and with it."""
    half = len(split.values) // 2
    changes = np.abs((split.values[half:] - split.values[:half]).mean(axis=1))
    at = int(changes.argmax())
    others = tuple(name for j, team in enumerate(split.teams[:-1]) if at >> j & 1 for name in team)
    return others, (*others, *split.teams[-1])


def _taken_apart(game: Game, replays: Replays, split: Split, before: Names, after: Names) -> tuple[list[Names], bool]:
    rest = split.groups_of_rest
    chosen, _ = players(*effects(game, replays, rest, before, after))
    chosen = chosen[: MOST_PLAYERS + 1 - len(split.teams)]
    left = [group for j, group in enumerate(rest) if j not in chosen]
    return _with_rest([*split.teams[:-1], *(rest[j] for j in chosen)], left)


def _played(game: Game, replays: Replays, found: list[Names], rest: bool) -> Split:
    values = game.losses(replays, game.lattice(found))
    finite = bool(np.isfinite(values).all())
    ends = np.isfinite(values[[0, -1]]).all()
    return Split(
        game.groups,
        *effects(game, replays, game.groups, (), tuple(game.names)),
        found,
        rest,
        values,
        shapley(values) if finite else None,
        smallest_closing(values) if ends else None,
    )
