"""The values of one axis: a list, a law that makes one, cases, or random points; and when two are the same."""

import math
from collections.abc import Mapping
from typing import Any

from harness.draws.generators import generator
from harness.support.errors import RequestError, short, unknown


def canonical(value: Any) -> str:
    """A value as text, by which two are the same: numbers at 12 significant digits, lists as `[8,8]`."""
    if isinstance(value, tuple | list):
        return "[" + ",".join(map(canonical, value)) + "]"
    try:
        number = float(value) + 0.0  # which makes a negative zero positive
    except (TypeError, ValueError, OverflowError):
        return str(value)
    return f"{number:.12g}" if math.isfinite(number) else str(value)


def describe_cell(cell: Mapping[str, Any]) -> str:
    """`learning_rate=0.1,l2=0.001`, which is what `--cell` takes."""
    return ",".join(f"{key}={canonical(value)}" for key, value in cell.items())


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
        raise RequestError(
            f"{where} = {short(given)}: a value stands there twice (compared at 12 digits); leave one out"
        )
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
        raise RequestError(
            f"{where}.{law} = {arguments!r}: 10**{max(first, last)} is not a finite number; give smaller exponents"
        ) from None
    return [int(value) for value in values] if whole and all(value.is_integer() for value in values) else values


def read_cases(given: Any, where: str) -> list[dict[str, Any]]:
    """The cases of the axis `case`: tables that set several keys at once, each with a `label` of its own."""
    if not isinstance(given, list) or not given or not all(isinstance(case, dict) for case in given):
        raise RequestError(f'{where} = {short(given)}: must be a list of tables {{ label = "name", key = value, … }}')
    for number, case in enumerate(given):
        if not isinstance(case.get("label"), str) or not case["label"]:
            raise RequestError(f"{where}.{number}.label = {short(case.get('label'))}: must be a text in quotes")
    labels = [case["label"] for case in given]
    if len(set(labels)) < len(labels):
        raise RequestError(f"{where}: a label stands there twice ({short(labels)}); give each case its own")
    return [{key: tuple(v) if isinstance(v, list) else v for key, v in case.items()} for case in given]


_LAWS = ("loguniform", "uniform", "choice")


def draw_points(search: dict[str, Any], where: str, seed: Any, whole: tuple[str, ...]) -> list[dict[str, Any]]:
    """The random points of `[search]`: `trials` of them, each key from `{ loguniform = [a, b] }`, uniform or choice.

    They depend on the experiment's seed alone, so all backends and repeats train the same ones. A key that is in
    `whole` is rounded to a whole number.
    """
    trials = search.pop("trials", None)
    if not isinstance(trials, int) or isinstance(trials, bool) or not 1 <= trials <= 100_000:
        raise RequestError(f"{where}.trials = {short(trials)}: must be a whole number from 1 to 100000")
    if not search:
        raise RequestError(f"{where}: names no key to draw, such as learning_rate = {{ loguniform = [1e-4, 1] }}")
    for key, law in search.items():
        _check_law(law, f"{where}.{key}")
    rng = generator(seed if isinstance(seed, int) else 0, "search", 0)
    return [{key: _draw(law, rng.random(), key in whole) for key, law in search.items()} for _ in range(trials)]


def _check_law(given: Any, where: str) -> None:
    if not isinstance(given, dict) or len(given) != 1:
        raise RequestError(f"{where} = {short(given)}: must be {{ loguniform = [a, b] }}, uniform or choice")
    law, arguments = next(iter(given.items()))
    if law not in _LAWS:
        raise RequestError(f"{where} = {short(given)}: {unknown('law', law, _LAWS)}")
    if not isinstance(arguments, list) or not arguments:
        raise RequestError(f"{where}.{law} = {short(arguments)}: must be a list")
    if law == "choice":
        return
    numbers = all(isinstance(a, int | float) and not isinstance(a, bool) and math.isfinite(a) for a in arguments)
    if len(arguments) != 2 or not numbers or not arguments[0] < arguments[1]:
        raise RequestError(f"{where}.{law} = {short(arguments)}: must be [least, greatest], finite numbers")
    if law == "loguniform" and arguments[0] <= 0:
        raise RequestError(f"{where}.{law} = {short(arguments)}: must be greater than 0")


def _draw(given: dict[str, Any], u: float, whole: bool) -> Any:
    law, arguments = next(iter(given.items()))
    if law == "choice":
        value = arguments[int(u * len(arguments))]
        return tuple(value) if isinstance(value, list) else value
    low, high = arguments
    if law == "loguniform":
        drawn = math.exp(math.log(low) + u * (math.log(high) - math.log(low)))
    else:
        drawn = low + u * (high - low)
    return round(drawn) if whole else float(f"{drawn:.12g}")
