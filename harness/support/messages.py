"""From what pydantic says of a wrong value to the one line that a person reads."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from harness.support.errors import short, unknown


def explain(
    error: ValidationError,
    given: Mapping[str, Any],
    source: str,
    sections: Mapping[str, type[BaseModel]],
    swept: Mapping[str, str],
) -> str:
    """One line for the first fault that pydantic found: unknown keys first, since they explain missing ones.

    `given` is what was checked, `sections` the models by the name of their table ("" for the top level), `swept` says
    of each swept key where it stands, such as "sweep".
    """
    faults = sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
    fault: ErrorDetails = faults[0]
    location = _path(fault["loc"], given)
    section, key = ".".join(location[:-1]), location[-1]
    if fault["type"] == "extra_forbidden":
        known = sections[".".join(location[:-1])].model_fields
        where = f"[{section}]" if section else "at the top level"
        for other, model in sections.items():
            if key in model.model_fields and other != section:
                home = f"in [{other}]" if other else "at the top level"
                return f"{source}: {where}: {key!r} belongs {home}"
        return f"{source}: {where}: {unknown('key', key, known)}"
    if fault["type"] == "missing":
        hint = " (there, or as an axis under [sweep])" if section in ("network", "training") else ""
        return f"{source}: {section + '.' if section else ''}{key} is required{hint}"
    if len(location) > 1 and location[1] in swept:
        key = "dataset" if location[:2] == ["data", "name"] else location[1]  # what the axis is called
        location = [swept[location[1]], key, *location[2:]]
    value = short(fault["input"]) if not isinstance(fault["input"], dict) else "a table"
    return f"{source}: {'.'.join(location)} = {value}: {plain(fault)}"


def _path(location: tuple[int | str, ...], given: Any) -> list[str]:
    """The keys and indices of a fault, without the names of union branches that pydantic puts between them."""
    path = []
    for part in location:
        if isinstance(given, dict):
            path.append(str(part))
            given = given.get(part)
        elif isinstance(given, list | tuple) and isinstance(part, int):
            path.append(str(part))
            given = given[part]
    return path


_PLAIN = {
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "finite_number": "must be a finite number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be a text in quotes",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "too_short": "must not be empty",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "string_pattern_mismatch": "must start with a letter or digit and hold only letters, digits, '.', '_' and '-'",
    "string_too_long": "must have at most {max_length} characters",
}


def plain(fault: ErrorDetails) -> str:
    """What would be right, in the words of a person."""
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    text = _PLAIN.get(fault["type"])
    return text.format(**fault.get("ctx", {})) if text else fault["msg"]
