"""The JSON schema of an experiment file, by which editors complete and check one: made from the models that read it."""

from typing import Any

from harness.experiment.file import SWEEPABLE, Experiment
from harness.experiment.sections import SECTIONS, Section


def schema() -> dict[str, Any]:
    """JSON schema, draft 2020-12, of a TOML file of one experiment.

    A key that can be an axis is not required where it usually stands: it may stand under `[sweep]` or `[search]`.
    """
    top = Experiment.model_json_schema()
    sections = {name: _section(model) for name, model in SECTIONS.items()}
    axes = {axis: {"$ref": f"#/properties/{section}/properties/{key}"} for axis, (section, key) in SWEEPABLE.items()}
    name, title = (top["properties"][key] for key in ("name", "title"))
    case = {"type": "object", "required": ["label"], "additionalProperties": False}
    case["properties"] = {"label": {"type": "string"}, **axes}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An experiment of the harness",
        "type": "object",
        "required": ["name", "data"],
        "additionalProperties": False,
        "properties": {
            "name": name,
            "title": title,
            **sections,
            "sweep": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    **{axis: {"anyOf": [_listed(values), *_SPACES]} for axis, values in axes.items()},
                    "case": {"type": "array", "minItems": 1, "items": case},
                },
            },
            "profile": {
                "type": "object",
                "additionalProperties": {"type": "object", "required": ["like"]},
            },
            "search": {
                "type": "object",
                "required": ["trials"],
                "additionalProperties": False,
                "properties": {
                    "trials": {"type": "integer", "minimum": 1, "maximum": 100_000},
                    **{axis: {"anyOf": [*_LAWS, _law("choice", _listed(values))]} for axis, values in axes.items()},
                },
            },
        },
    }


def _section(model: type[Section]) -> dict[str, Any]:
    made = model.model_json_schema()
    properties = {
        key: {**field, "description": " ".join(field["description"].split())}
        for key, field in made["properties"].items()
    }
    return {
        "type": "object",
        "description": made.get("description", ""),
        "properties": properties,
        "additionalProperties": False,
    }


def _listed(values: dict[str, Any]) -> dict[str, Any]:
    """A list of values of a key."""
    return {"type": "array", "minItems": 1, "items": values}


def _law(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": [name], "additionalProperties": False, "properties": {name: arguments}}


def _numbers(count: int) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "number"}, "minItems": count, "maxItems": count}


_SPACES = [_law(name, _numbers(3)) for name in ("logspace", "linspace")]
_LAWS = [_law(name, _numbers(2)) for name in ("loguniform", "uniform")]
