"""The generated parts of the pages: `python -m docs.generate` writes them anew; a test compares.

A part stands between `<!-- generated: NAME -->` and `<!-- end -->`; what is around it is written by hand.
"""

import contextlib
import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from harness.cli import COMMANDS, invoke
from harness.experiment.file import Experiment
from harness.experiment.layers import model_of
from harness.experiment.sections import SECTIONS
from harness.network import LAYERS
from harness.support.limits import LIMITS, size

DOCS = Path(__file__).resolve().parent
PART = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->\n)", flags=re.DOTALL)
TYPES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`"}


def main() -> None:
    """Write the generated parts of every page."""
    for path in sorted(DOCS.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        if PART.search(text):
            path.write_text(render(text), encoding="utf-8")


def render(page: str) -> str:
    """The page with its generated parts as they are now."""
    return PART.sub(lambda part: part[1] + "\n" + PARTS[part[2]]() + "\n" + part[3], page)


def table(name: str) -> str:
    """The keys of one table of an experiment file, from its model: default, what is taken, meaning."""
    schema = (SECTIONS[name] if name != "top" else Experiment).model_json_schema()
    keys = schema["properties"] if name != "top" else {key: schema["properties"][key] for key in ("name", "title")}
    required = schema.get("required", ())
    lines = ["| key | default | takes | meaning |", "|---|---|---|---|"]
    for key, field in keys.items():
        default = "required" if key in required else _default(field["default"])
        meaning = " ".join(field["description"].split())
        lines.append(f"| `{key}` | {default} | {_takes(field)} | {meaning} |")
    return "\n".join(lines) + "\n"


def layers() -> str:
    """Every layer of a list, as it is written, with what it computes."""
    lines = ["| layer | written | computes |", "|---|---|---|"]
    for name, kind in LAYERS.items():
        fields = model_of(kind).model_fields
        values = {k: "…" if field.is_required() else _default(field.default).strip("`") for k, field in fields.items()}
        first, *others = [f"{key} = {value}" for key, value in values.items()] or [""]
        main = f"{{{', '.join([f'{name} = ' + first.partition(' = ')[2], *others])}}}" if first else f'"{name}"'
        meaning = " ".join((kind.__doc__ or "").split())
        lines.append(f"| `{name}` | `{main}` | {meaning} |")
    return "\n".join(lines) + "\n"


def limits() -> str:
    """Every limit, with its default and what it bounds."""
    lines = ["| variable | default | bounds |", "|---|---|---|"]
    for name, limit in LIMITS.items():
        default = size(limit.default) if limit.in_bytes else str(limit.default)
        lines.append(f"| `{name}` | {default} | {limit.meaning} |")
    return "\n".join(lines) + "\n"


def commands() -> str:
    """What each subcommand says of itself with `--help`."""
    parts = [f"## `harness {name}`\n\n```text\n{_help(name)}```" for name in COMMANDS]
    return "\n\n".join(parts) + "\n"


PARTS: dict[str, Callable[[], str]] = {
    **{name: (lambda name=name: table(name)) for name in ("top", *SECTIONS)},  # type: ignore[misc]
    "commands": commands,
    "limits": limits,
    "layers": layers,
}


def _default(value: Any) -> str:
    """A default as it would stand in the file; a default that is worked out stands in the meaning."""
    if value is None or value in ("", []):
        return ""
    if isinstance(value, list):
        return "`[" + ", ".join(f'"{name}"' for name in value) + "]`"
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _takes(field: dict[str, Any]) -> str:
    """The type of a field of a JSON schema and its bounds, in words."""
    if "anyOf" in field:
        return "; or ".join(_takes(part) for part in field["anyOf"] if part["type"] != "null")
    if "enum" in field or "const" in field:
        return ", ".join(f"`{name}`" for name in field.get("enum", [field.get("const")]))
    if field["type"] == "array":
        return f"list of: {_takes(field['items'])}" if "anyOf" not in field["items"] else "list of layers"
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None and high is not None:
        return f"{TYPES[field['type']]}, {_number(low)} to {_number(high)}"
    bounds = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    told = [f"{word} {_number(field[bound])}" for bound, word in bounds.items() if bound in field]
    return ", ".join([TYPES[field["type"]], " and ".join(told)]).rstrip(", ")


def _number(value: float) -> str:
    return {2**63: "2^63", 10**9: "10^9"}.get(int(value), f"{value:.12g}")


def _help(name: str) -> str:
    """The text of `--help`, as wide as in a terminal of 80 columns."""
    printed = io.StringIO()
    with patch.dict(os.environ, COLUMNS="80"), contextlib.redirect_stdout(printed):
        invoke([name, "--help"])
    return "".join(line.rstrip() + "\n" for line in printed.getvalue().strip().splitlines())


if __name__ == "__main__":
    main()
