"""The layers that there are: the harness's own, and those of installed packages.

A package adds one by an entry point of `harness.layers`, `maxout = "my_package:Maxout"`: a subclass of `Layer`, whose
`parts` say where the reference and the backends find theirs, as `"module:attribute"`.
"""

import importlib
import importlib.metadata
from dataclasses import is_dataclass
from functools import cache
from typing import Any

from harness.network.keys import LAYERS
from harness.network.layers import Layer
from harness.support.errors import describe

ENTRY_POINTS = "harness.layers"


def layers() -> dict[str, type[Layer]]:
    """All layers by the name that an experiment file has for them."""
    return {**LAYERS, **_found()[0]}


def broken() -> dict[str, str]:
    """The layers of installed packages that cannot be used, each with the reason in one line."""
    return _found()[1]


def part_of(layer: Layer, name: str) -> Any:
    """The part that a layer brings along for a backend, or for "reference"; None where it has none."""
    path = type(layer).parts.get(name)
    if path is None:
        return None
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)


@cache
def _found() -> tuple[dict[str, type[Layer]], dict[str, str]]:
    found: dict[str, type[Layer]] = {}
    faults: dict[str, str] = {}
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        told = f"of the package {point.dist.name if point.dist else point.module}"
        try:
            kind = point.load()
            fault = _fault(kind, point.name)
        except (Exception, SystemExit) as error:  # whatever somebody else's module raises costs that layer alone
            fault = describe(error)
        if point.name in LAYERS:
            continue  # a name that means something goes on meaning that
        if point.name in found or fault:
            faults[point.name] = f"{told}: {fault or 'two packages have a layer of this name; uninstall one'}"
        else:
            found[point.name] = kind
    return {name: kind for name, kind in found.items() if name not in faults}, faults


def _fault(kind: Any, name: str) -> str | None:
    if not (isinstance(kind, type) and issubclass(kind, Layer) and is_dataclass(kind)):
        return "must be a frozen dataclass that is a subclass of harness.network.Layer"
    if kind.name != name:
        return f"its name is {kind.name!r}, and that of its entry point {name!r}; give both one name"
    if "reference" not in kind.parts:
        return "has no part for the reference, by which all others are judged; add it to parts"
    return None
