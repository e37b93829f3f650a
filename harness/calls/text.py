"""Values and calls as they are typed. Pure text."""

from collections.abc import Sequence
from inspect import signature
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
    read = OPTIMIZER_CONSTANTS[config.optimizer.name]
    return {names.get(name, name): config.value(name) for name in read if name in config.written}


_REQUIRED = tuple(list(signature(Config.of).parameters)[:8])


def config_lines(config: Config, **changes: Any) -> Lines:
    """`config = Config.of(…)` with the arguments that it needs, and `changes`."""
    given = {key: value for key, value in config.keys.items() if key != "written"}
    for key in [key for key in given if key not in _REQUIRED]:
        fewer = {name: value for name, value in given.items() if name != key}
        if Config.of(**fewer, written=config.written) == config:
            given = fewer
    needed = {key: given[key] for key in dict.fromkeys((*_REQUIRED, *given))}
    return call("config = Config.of(", keywords(needed | changes))
