"""The values of one swept axis: a list, or a law that makes one; and when two values are the same."""

import math
from typing import Any

from harness.errors import RequestError, short, unknown


def canonical(value: Any) -> str:
    """A value as text, by which two are the same: numbers at 12 significant digits, lists as `[8,8]`."""
    if isinstance(value, tuple | list):
        return "[" + ",".join(map(canonical, value)) + "]"
    try:
        number = float(value) + 0.0  # which makes a negative zero positive
    except (TypeError, ValueError, OverflowError):
        return str(value)
    return f"{number:.12g}" if math.isfinite(number) else str(value)


def read_axis(given: Any, where: str, whole: bool) -> tuple[Any, ...]:
    """The values of an axis that the file gives as a list, `{ logspace = [a, b, n] }` or `{ linspace = [a, b, n] }`.

    `where` begins the error lines; `whole` says that the key takes whole numbers.
    """
    if isinstance(given, dict):
        given = _space(given, where, whole)
    if not isinstance(given, list):
        raise RequestError(
            f"{where} = {short(given)}: must be a list of values, or {{ logspace = [first, last, count] }}"
        )
    if not given:
        raise RequestError(f"{where} = []: the axis is empty; give at least one value")
    values = tuple(tuple(v) if isinstance(v, list) else v for v in given)
    if len(set(map(canonical, values))) < len(values):
        raise RequestError(f"{where} = {short(given)}: a value stands there twice (compared at 12 digits)")
    return values


def _space(given: dict[str, Any], where: str, whole: bool) -> list[float] | list[int]:
    law: str = next(iter(given), "")
    arguments: Any = given.get(law)
    if len(given) != 1:
        raise RequestError(f"{where} = {short(given)}: must hold one of logspace and linspace, and nothing else")
    if law not in ("logspace", "linspace"):
        raise RequestError(f"{where} = {short(given)}: {unknown('kind of axis', law, ('logspace', 'linspace'))}")
    ok = (
        isinstance(arguments, list)
        and len(arguments) == 3
        and all(isinstance(a, int | float) and not isinstance(a, bool) and abs(a) <= 1e300 for a in arguments)
        and isinstance(arguments[2], int)
        and 1 <= arguments[2] <= 100_000
    )
    if not ok:
        raise RequestError(
            f"{where}.{law} = {short(arguments)}: must be [first, last, count], finite numbers, count from 1 to 100000"
        )
    first, last, count = arguments
    points = [first + (last - first) * i / max(count - 1, 1) for i in range(count)]
    try:
        # 12 digits: the value that people write (1e-05), and the one that trial ids are made of
        values = [float(f"{10.0**p if law == 'logspace' else p:.12g}") for p in points]
    except OverflowError:
        raise RequestError(f"{where}.{law} = {arguments!r}: 10**{max(first, last)} is not a finite number") from None
    return [int(value) for value in values] if whole and all(value.is_integer() for value in values) else values
