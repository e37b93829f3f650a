"""Values and calls as they are typed. Pure text."""

from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any

from harness.contract import OPTIMIZER_CONSTANTS, Config

WIDTH = 96

Lines = list[str]


def call(head: str, arguments: Sequence[str], tail: str = ")") -> Lines:
    """`head(arguments)` on one line, or, where it is too long for one, with the arguments on lines of their own."""
    line = head + ", ".join(arguments) + tail
    if len(line) <= WIDTH:
        return [line]
    indent = " " * (len(head) - len(head.lstrip()))
    lines = [indent + "   "]
    for argument in arguments:
        if len(lines[-1]) + len(argument) + 2 > WIDTH and lines[-1].strip():
            lines.append(indent + "   ")
        lines[-1] += f" {argument},"
    return [head, *lines, indent + tail]


def keywords(values: dict[str, Any]) -> Lines:
    """`name=value`, as code."""
    return [f"{name}={code(value)}" for name, value in values.items()]


def code(value: Any) -> str:
    """A value as it is typed: strings in double quotes."""
    return f'"{value}"' if isinstance(value, str) else repr(value)


def number(value: float) -> str:
    """A number as it is typed, without the last digits of a division."""
    return repr(float(f"{value:.12g}"))


def product(first: float, factors: Sequence[str] = (), divisors: Sequence[str] = ()) -> str:
    """`first * factors / divisors` as code; one number where all of them are numbers."""
    try:
        for factor in factors:
            first *= float(factor)
        for divisor in divisors:
            first /= float(divisor)
        return number(first)
    except ValueError:
        return " ".join([number(first), *(f"* ({f})" for f in factors), *(f"/ ({d})" for d in divisors)])


def written(config: Config, names: dict[str, str]) -> dict[str, Any]:
    """The optimizer's constants that the experiment writes, under the framework's names."""
    read = OPTIMIZER_CONSTANTS[config.optimizer]
    return {names.get(name, name): getattr(config, name) for name in read if name in config.written}


def config_lines(config: Config, **changes: Any) -> Lines:
    """`config = Config(…)` with the fields that are not at their defaults, or in `changes`."""
    required = [field.name for field in fields(Config) if field.default is MISSING and field.name != "written"]
    others = [
        field.name
        for field in fields(Config)
        if field.name not in (*required, "written") and getattr(config, field.name) != field.default
    ]
    return call("config = Config(", keywords({name: getattr(config, name) for name in (*required, *others)} | changes))
