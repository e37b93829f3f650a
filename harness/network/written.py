"""Layers as text, the way reports and ids have them: `relu`, `dense(100)`, `batch_norm(0.9, epsilon=0.001)`.

In brackets stand the values of a layer's fields, the first one without its name; what is left out is at its default.
"""

import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from harness.network.layers import Layer, Shape

_TEXT = re.compile(r"\s*([\w:.-]+)\s*(?:\((.*)\)\s*)?", re.DOTALL)


def text_of(layer: Layer) -> str:
    """A layer with all its numbers, and whatever else is not at its default."""
    constants = {each.field for each in layer.constants()}
    values = {each.name: getattr(layer, each.name) for each in fields(layer)}  # type: ignore[arg-type]
    defaults = {each.name: each.default for each in fields(layer)}  # type: ignore[arg-type]
    return written(layer.name, {k: v for k, v in values.items() if k in constants or v != defaults[k]}, type(layer))


def written(name: str, values: Mapping[str, Any], kind: type[Layer]) -> str:
    """A layer with these values of its fields."""
    first = next((each.name for each in fields(kind)), None)  # type: ignore[arg-type]
    items = [_text(value) if key == first else f"{key}={_text(value)}" for key, value in values.items()]
    return f"{name}({', '.join(items)})" if items else name


def read(text: str) -> tuple[str, list[tuple[str, Any]]]:
    """The name in a text, and the values in its brackets, each beside its field; `""` stands for the first field.

    Raises `ValueError` for what is no such text.
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no layer; allowed: a name, or a name with its numbers, such as dense(100)")
    name, inside = match.groups()
    items = []
    for item in inside.split(",") if inside and inside.strip() else []:
        key, equals, value = item.partition("=")
        items.append((key.strip(), _value(value)) if equals else ("", _value(key)))
    return name, items


def layer_of(text: str, kinds: Mapping[str, type[Layer]]) -> Layer:
    """The layer that a text of `text_of` stands for; `kinds` are the layers by name."""
    name, items = read(text)
    kind = kinds[name]
    names = [each.name for each in fields(kind)]  # type: ignore[arg-type]
    return kind(**{key or names[0]: value for key, value in items})


def network_text(shape: Shape, layers: tuple[Layer, ...]) -> list[str]:
    """A whole network: `["input(64)", "dense(100)", "relu", "dense(10)"]`."""
    return [f"input({', '.join(map(str, shape))})", *map(text_of, layers)]


def required(kind: type[Layer]) -> list[str]:
    """The fields that have no default."""
    return [each.name for each in fields(kind) if each.default is MISSING]  # type: ignore[arg-type]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _value(text: str) -> Any:
    text = text.strip()
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
