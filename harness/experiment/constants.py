"""The keys of an experiment file that are constants of the vocabulary: made from the entries that own them."""

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeVar, cast

from pydantic import BaseModel, Field, create_model

from harness.network import CLIPPINGS, Constant, Entry

_S = TypeVar("_S", bound=BaseModel)


def with_constants(section: type[_S], places: Mapping[str, Iterable[type[Entry]]], by_name: Iterable[str]) -> type[_S]:
    """The section with a key for each constant of some entries.

    `places` has the entries by the key that theirs follow. Where that is one of `by_name`, an experiment chooses one of
    the entries by its name, and the line of a constant says whose it is.
    """
    fields: dict[str, Any] = {}
    for key, info in section.model_fields.items():
        fields[key] = (info.annotation, info)
        for constant, owners in _owners(places.get(key, ())).items():
            fields[constant.key] = _field(constant, owners if key in by_name else ())
    base = section.__bases__[0]  # in the order of `fields`, and not what the section has first
    return cast("type[_S]", create_model(section.__name__.strip("_"), __base__=base, __doc__=section.__doc__, **fields))


def _owners(entries: Iterable[type[Entry]]) -> dict[Constant, list[str]]:
    """Every constant with the names of the entries that read it, in the order in which they stand."""
    entries = list(entries)
    owners: dict[str, list[str]] = {}
    first: dict[str, Constant] = {}
    for entry in entries:
        for constant in entry.constants():
            first.setdefault(constant.key, constant)
            owners.setdefault(constant.key, []).append(entry.name)
    return {first[key]: names if len(names) < len(entries) else [] for key, names in owners.items()}


def type_of(constant: Constant) -> Any:
    """A number within the range of a constant, for a model of pydantic."""
    bounds = Field(
        strict=True,
        allow_inf_nan=False,
        gt=constant.above if constant.above > -math.inf else None,
        ge=constant.least if constant.least > -math.inf else None,
        lt=constant.below if constant.below < math.inf else None,
    )
    return Annotated[float, bounds]


def _field(constant: Constant, owners: Iterable[str]) -> tuple[Any, Any]:
    """The type of a key, with the range of its constant, and its default; a bound of gradients may be left out."""
    kind = type_of(constant)
    names = [f"`{name}`" for name in owners]
    whose = ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)
    meaning = f"Of {whose}: {constant.says}." if names else f"{constant.says[0].upper()}{constant.says[1:]}."
    if constant.key in CLIPPINGS:
        return kind | None, Field(None, description=meaning)
    return kind, Field(... if constant.default is None else constant.default, description=meaning)
