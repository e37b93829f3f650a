"""What an entry of the vocabulary is: a frozen dataclass that owns its constants, with their ranges and defaults.

An activation, a loss, an optimizer or a layer stands in one place, as one class of this package. Keys of the experiment
file, arguments of the estimators, ids and checks are derived from its fields.
"""

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cache
from typing import Any, ClassVar, Self, TypeVar


@dataclass(frozen=True)
class Constant:
    """A number that an entry owns.

    `key` is its name in an experiment file, where all entries share the keys, `field` that in the entry. It lies above
    `above`, at or above `least`, and below `below`; `default` is None where it must be given. `member` says that it may
    differ between the members of a stack, `part` that its part is there when it is above 0: in all members of a stack
    or in none. `says` is its line in the reference.
    """

    key: str
    field: str
    default: float | None
    says: str
    above: float
    least: float
    below: float
    member: bool
    part: bool


def number(
    default: float | None,
    says: str,
    *,
    key: str = "",
    above: float = -math.inf,
    least: float = -math.inf,
    below: float = math.inf,
    member: bool = False,
    part: bool = False,
) -> Any:
    """The field of a constant, see `Constant`; its key is that of `Entry.key_of` unless one is given."""
    meant = {"key": key, "says": says, "above": above, "least": least, "below": below, "member": member, "part": part}
    return field(default=MISSING if default is None else default, metadata=meant)


class Entry:
    """An entry of the vocabulary: `name` is what an experiment file calls it.

    `parts` says where the backends, and the reference, find their parts of one that is not the harness's own.
    """

    __slots__ = ()
    name: ClassVar[str]
    parts: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def title(cls) -> str:
        """What a sentence calls it."""
        return cls.__name__

    @classmethod
    def formula(cls) -> str:
        """What it computes: the first code in its docstring."""
        return (cls.__doc__ or "").partition("`")[2].partition("`")[0]

    @classmethod
    def key_of(cls, field: str) -> str:
        """The key of a constant that says none."""
        return field

    @classmethod
    def constants(cls) -> tuple[Constant, ...]:
        """The constants that it reads, in the order of its fields."""
        return _constants(cls)  # type: ignore[arg-type]

    @classmethod
    def of(cls, numbers: Mapping[str, Any], **others: Any) -> Any:
        """An entry with those of `numbers`, which are called by their keys, that it reads."""
        read = {each.field: numbers[each.key] for each in cls.constants() if each.key in numbers}
        return cls(**read, **others)

    def with_numbers(self, numbers: Mapping[str, Any]) -> Self:
        """The entry with those of `numbers`, which are called by their keys, that it reads."""
        read = {each.field: numbers[each.key] for each in self.constants() if each.key in numbers}
        return replace(self, **read) if read else self  # type: ignore[type-var]

    def numbers(self) -> dict[str, Any]:
        """Its constants by their keys."""
        return {each.key: getattr(self, each.field) for each in self.constants()}


@cache
def _constants(entry: type[Entry]) -> tuple[Constant, ...]:
    found = []
    for each in fields(entry):  # type: ignore[arg-type]
        if "says" in each.metadata:
            meant = {**each.metadata, "key": each.metadata["key"] or entry.key_of(each.name)}
            default = None if each.default is MISSING else each.default
            found.append(Constant(field=each.name, default=default, **meant))
    return tuple(found)


_E = TypeVar("_E", bound=Entry)


def by_name(kind: type[_E], module: Mapping[str, Any]) -> dict[str, type[_E]]:
    """The entries of a kind that a module defines, by their names."""
    defined = [each for each in module.values() if isinstance(each, type) and issubclass(each, kind)]
    return {each.name: each for each in defined if each is not kind and each.__module__ == module["__name__"]}
