"""The long form of a network: a list of layers, each a word, or a table whose first key is the layer.

    layers = [{dense = 50}, "relu", {dropout = 0.2}, {dense = 20, use_bias = false}, {batch_norm = 0.9, epsilon = 1e-3}]

The first key has the layer's main number, its first field; the others are fields by their names.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, create_model

from harness.experiment.constants import type_of
from harness.network import Layer
from harness.network.installed import broken, layers
from harness.network.written import layer_of, read, required, written
from harness.support.errors import short, unknown
from harness.support.limits import check_size
from harness.support.messages import plain

_TYPES: dict[Any, Any] = {int: Annotated[int, Field(strict=True, ge=1, le=1_000_000_000)], bool: StrictBool}


@cache
def model_of(kind: Any) -> type[BaseModel]:
    """What may stand in the table of a layer: its fields, with their ranges."""
    constants = {each.field: each for each in kind.constants()}
    made: dict[str, Any] = {}
    for each in fields(kind):
        of = type_of(constants[each.name]) if each.name in constants else _TYPES.get(each.type, each.type)
        made[each.name] = (of, ... if each.default is MISSING else each.default)
    return create_model(kind.__name__, __config__=ConfigDict(extra="forbid"), **made)


class LayerList:
    """Annotates the list of layers: what may stand in it, for a JSON schema, those of installed packages included."""

    @staticmethod
    def __get_pydantic_json_schema__(core: Any, handler: Any) -> dict[str, Any]:
        return {"type": "array", "items": {"anyOf": [_words(), *map(_table, layers().values())]}}


def _words() -> dict[str, Any]:
    """Layers that need no table: their names, or texts such as `dense(50)`."""
    plain = [name for name, kind in layers().items() if not required(kind)]
    return {"type": "string", "anyOf": [{"enum": plain}, {"pattern": rf"^\s*({'|'.join(layers())})\s*\("}]}


def _table(kind: Any) -> dict[str, Any]:
    """The table of a layer, whose first field stands under the layer's own name."""
    schema = model_of(kind).model_json_schema()
    first = next(iter(schema["properties"]), None)
    if first is None:
        return {"const": kind.name}
    named = {kind.name if name == first else name: field for name, field in schema["properties"].items()}
    needed = [kind.name, *(name for name in schema.get("required", ()) if name != first)]
    return {
        "type": "object",
        "title": kind.name,
        "properties": named,
        "required": needed,
        "additionalProperties": False,
    }


def read_layers(value: Any) -> Any:
    """The layers of a list as texts, such as `dense(100)`: what cells and reports show. Raises `ValueError`."""
    if not isinstance(value, list | tuple):
        raise ValueError('must be a list of layers, such as [{dense = 50}, "relu"]')
    check_size("HARNESS_MAX_LAYERS", len(value), f"{len(value)} layers")
    return tuple(_text(number, item) for number, item in enumerate(value))


def network_of(texts: tuple[str, ...]) -> tuple[tuple[Layer, ...], set[str]]:
    """The layers that these texts stand for, and the keys of the constants that they write out."""
    made = tuple(layer_of(text, layers()) for text in texts)
    keys = set()
    for text, layer in zip(texts, made, strict=True):
        names = [each.name for each in fields(layer)]  # type: ignore[arg-type]
        given = {key or names[0] for key, _ in read(text)[1]}
        keys |= {each.key for each in layer.constants() if each.field in given}
    return made, keys


def _text(number: int, item: Any) -> str:
    name, items = _read(item)
    known, where = layers(), f"layer {number + 1}"
    if name in broken():
        raise ValueError(f"{where}: {name}: {broken()[name]}")
    if name not in known:
        raise ValueError(f"{where}: {unknown('layer', name, known)}")
    kind: Any = known[name]
    names = list(model_of(kind).model_fields)
    for key, _ in items:
        if key == "" and not names:
            raise ValueError(f"{where}: {name} has no number; write {name!r}")
        if key and key not in names:
            raise ValueError(
                f"{where}: {unknown(f'key of {name}', key, names)}" if names else f"{where}: {name} has no {key!r}"
            )
    given = [key or names[0] for key, _ in items]
    twice = [key for key in given if given.count(key) > 1]
    if twice:
        raise ValueError(f"{where}: {name}: {twice[0]} is given twice; leave one out")
    values = dict(zip(given, (value for _, value in items), strict=True))
    lacking = [key for key in required(kind) if key not in values]
    if lacking:
        raise ValueError(f"{where}: {name} needs its {lacking[0]}: {{{name} = …}}")
    try:
        checked = model_of(kind)(**values)
    except ValidationError as error:
        fault = error.errors()[0]
        key = str(fault["loc"][0])
        raise ValueError(f"{where}: {name}: {key} = {short(fault['input'])}: {plain(fault)}") from None
    return written(name, {key: getattr(checked, key) for key in values}, kind)


def _read(item: Any) -> tuple[str, list[tuple[str, Any]]]:
    """A layer's name, and its values by field, `""` for the first."""
    if isinstance(item, str):
        return read(item)
    if isinstance(item, Mapping) and item:
        (name, main), *others = item.items()
        return str(name), [("", main), *((str(key), value) for key, value in others)]
    raise ValueError(f"{short(item)} is no layer; allowed: a word, or a table such as {{dense = 50}}")
