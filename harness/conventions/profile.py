"""What a course code is to the harness: a row of the conventions table, and what it can train."""

from collections.abc import Callable
from dataclasses import dataclass

from harness.contract import Config
from harness.conventions.table import Row


@dataclass(frozen=True)
class Profile:
    """One course code: `row` gives its conventions for a config, `title` says what it is.

    It can train `tasks`, by `optimizers`, whichever it is where None: then it has one of its own. `draws` names the way
    that it draws start and batches, from `seeds`, those of experiment and repeat, where its code has a seed of its own.
    """

    title: str
    row: Callable[[Config], Row]
    tasks: tuple[str, ...] = ("multiclass", "binary")
    optimizers: tuple[str, ...] | None = None
    draws: str = "harness"
    seeds: tuple[int, int] | None = None


def native_only(name: str) -> str:
    """Why a profile cannot be trained in mode controlled."""
    return f"profile {name!r} is a way to train of its own: it has native mode only"
