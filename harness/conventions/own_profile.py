"""A course code as a table of an experiment file: what it is like, and where it differs.

[profile.my-course]
title = "lecture of 2025"
like = "course-2018-numpy"              # a backend's native way, a profile, or "controlled"
init = "normal(0.5)"                    # conventions: harness conventions shows them, and their values
when = [{ optimizer = "adam", epsilon_place = "inside" }]
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.contract import OPTIMIZER_CONSTANTS, TASKS, Config
from harness.conventions.profile import Profile
from harness.conventions.table import CONVENTIONS, GIVEN, Row
from harness.support.errors import RequestError, short, unknown

RowOf = Callable[[Config], Row]

_CONDITIONS: dict[str, tuple[str, ...]] = {
    "optimizer": tuple(OPTIMIZER_CONSTANTS),
    "task": tuple(TASKS),
    "loss": tuple(dict.fromkeys(loss for losses in TASKS.values() for loss in losses)),
}
"""What `when` can ask of a training, and the answers there are."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class OwnRow:
    """The row of such a table: that of another, with its own values, and those of each `when` that holds."""

    like: RowOf
    values: Mapping[str, Any]
    when: tuple[tuple[Mapping[str, str], Mapping[str, Any]], ...]

    def __call__(self, config: Config) -> Row:
        """The row for one config."""
        told = {"optimizer": config.optimizer.name, "task": config.task, "loss": config.loss.name}
        values = dict(self.values)
        for conditions, own in self.when:
            if all(told[key] == wanted for key, wanted in conditions.items()):
                values |= own
        return replace(self.like(config), **values)


def own_profile(name: str, table: Any, where: str, rows: Mapping[str, RowOf]) -> Profile:
    """The profile that a table writes; `rows` are those that it can be like, by name.

    `where` begins the line of the `RequestError` that a wrong table raises.
    """
    if not _NAME.fullmatch(name):
        raise RequestError(
            f"{where}: must start with a letter or digit and hold only letters, digits, '.', '_' and '-'"
        )
    if not isinstance(table, Mapping):
        raise RequestError(f"{where} = {short(table)}: must be a table")
    title, like, when = (table.get(key, usual) for key, usual in (("title", name), ("like", None), ("when", [])))
    if not isinstance(title, str):
        raise RequestError(f"{where}.title = {short(title)}: must be a text in quotes")
    if like not in rows:
        raise RequestError(f"{where}.like: {unknown('backend or profile', like, rows)}")
    if not isinstance(when, list) or not all(isinstance(each, Mapping) for each in when):
        raise RequestError(f"{where}.when = {short(when)}: must be a list of tables")
    values = {key: value for key, value in table.items() if key not in ("title", "like", "when")}
    cases = []
    for number, case in enumerate(when):
        at = f"{where}.when.{number}"
        conditions = {key: case[key] for key in _CONDITIONS if key in case}
        for key, wanted in conditions.items():
            if wanted not in _CONDITIONS[key]:
                raise RequestError(f"{at}.{key}: {unknown(key, wanted, _CONDITIONS[key])}")
        if not conditions:
            raise RequestError(f"{at}: says of no training when it holds; give one of {', '.join(_CONDITIONS)}")
        cases.append((conditions, _checked({k: v for k, v in case.items() if k not in conditions}, at)))
    return Profile(title, OwnRow(rows[like], _checked(values, where), tuple(cases)), tasks=tuple(TASKS))


def _checked(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The values of conventions, in the types of a row. Raises `RequestError` for one that the table does not have."""
    found = {}
    for key, given in values.items():
        if key not in CONVENTIONS:
            raise RequestError(f"{where}: {unknown('convention', key, CONVENTIONS)}")
        value = tuple(given) if isinstance(given, list) else given
        try:
            Row(**{key: value})  # type: ignore[arg-type] # whose own words it checks
        except (RequestError, TypeError, ValueError) as error:
            raise RequestError(f"{where}.{key} = {short(given)}: {error}") from None
        if value != GIVEN and not CONVENTIONS[key].formula(value):
            allowed = ", ".join(CONVENTIONS[key].values)
            raise RequestError(f"{where}.{key} = {short(given)}: must be one of: {allowed}")
        found[key] = value
    return found
