"""One training under one row of the conventions table, and the numbers in which the members of a stack differ."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.contract import Batches, Config, Weights
from harness.conventions.table import THROUGH_FLOAT32, Row
from harness.conventions.translation import config_under, recipe_under
from harness.data.prepared import Part
from harness.draws.recipe import Recipe
from harness.draws.sources import DRAWS, Draws
from harness.planning.plan import Trial


@dataclass(frozen=True)
class Member:
    """One training: a config that stands under its row already, the row, a start, batches and the training rows."""

    config: Config
    row: Row
    start: Weights
    batches: Batches
    X: np.ndarray
    y: np.ndarray


def member_of(trial: Trial, row: Row, train: Part) -> Member:
    """One repeat of a trial's cell under a row. `train` holds the training rows in float64."""
    seeds = trial.base_seed, trial.seed
    return drawn_member(trial.config, trial.recipe, row, train.X, train.y, seeds, DRAWS[trial.draws])


def drawn_member(
    config: Config,
    recipe: Recipe,
    row: Row,
    X: np.ndarray,
    y: np.ndarray,
    seeds: tuple[int, int],
    draws: Draws = DRAWS["harness"],
) -> Member:
    """A config under a row: start and batches are drawn as the row says, from `seeds`, those of experiment and repeat.

    So two rows of one repeat share every draw that their laws allow (common random numbers).
    """
    config, recipe = config_under(config, row, len(y)), recipe_under(row, recipe)
    return Member(
        config,
        row,
        draws.start(config, recipe, *seeds),
        draws.batches(config, recipe, len(y), *seeds),
        X.astype(config.dtype, copy=False),
        y if config.task == "multiclass" else y.astype(config.dtype, copy=False),
    )


def numbers(members: Sequence[Member], number: Callable[[Member], float]) -> np.ndarray:
    """One float64 a member, `(members,)`."""
    return np.array([number(member) for member in members], np.float64)


def constant(members: Sequence[Member], name: str) -> np.ndarray:
    """A constant of the config, `(members,)` float64, through float32 where the row's `constants` sends it there."""
    return through_float32(members, name, numbers(members, lambda member: member.config.value(name)))


def through_float32(members: Sequence[Member], name: str, values: np.ndarray) -> np.ndarray:
    """Float64 `values`, `(members,)`, of the constant `name`, rounded to float32 where a member's row does that."""
    through = np.array([name in THROUGH_FLOAT32[member.row.constants] for member in members])
    with np.errstate(over="ignore"):
        return np.where(through, values.astype(np.float32).astype(np.float64), values)
