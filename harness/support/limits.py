"""How large a request may be: limits that are met before anything is built, and that the environment raises.

A file of a few kilobytes can ask for terabytes, or for a million trainings. What it asks for is counted from headers
and from the plan; what is more than a limit is refused, and the line says which variable raises it.
"""

import math
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from harness.support.errors import RequestError


@dataclass(frozen=True)
class Limit:
    """One limit: its default, what it bounds, and whether it counts bytes."""

    default: int
    meaning: str
    in_bytes: bool = False


LIMITS: dict[str, Limit] = {
    "HARNESS_MAX_MEMORY": Limit(
        420 << 20,  # measured: MNIST (419 MiB) is read, split and scaled within 1 GiB
        "bytes of a file, and of its numbers as float64 (of a CSV twice that, which parsing takes); and what the "
        "training of one network takes: its weights four times (with the gradient and Adam's two moments) and the "
        "activations of a batch",
        in_bytes=True,
    ),
    "HARNESS_MAX_TRIALS": Limit(100_000, "trials of an experiment, and cells of its sweep"),
    "HARNESS_MAX_COLUMNS": Limit(50_000, "columns of a table, and of a polynomial design matrix"),
    "HARNESS_MAX_LAYERS": Limit(1_000, "hidden layers of a network"),
    "HARNESS_MAX_TEXT": Limit(
        1 << 20,
        "bytes of an experiment file, of the first line of a CSV, and of the settings of a recording",
        in_bytes=True,
    ),
}
"""The variable that raises a limit (or lowers it) -> the limit."""

_UNITS = {"": 1, "K": 10, "M": 20, "G": 30, "T": 40}
_NUMBER = re.compile(r"(\d{1,18})\s*(?:([KMGT])i?B?|B)?", re.IGNORECASE)


def limit(name: str) -> int:
    """The limit in force: that of the environment, or the default. Raises `RequestError` for what is no number."""
    given = os.environ.get(name)
    if not given:
        return LIMITS[name].default
    match = _NUMBER.fullmatch(given.strip())
    unit = (match[2] or "").upper() if match else ""
    if match is None or int(match[1]) < 1 or (unit and not LIMITS[name].in_bytes):
        allowed = "bytes, such as 2GiB" if LIMITS[name].in_bytes else "a whole number"
        raise RequestError(f"{name} = {given[:60]!r}, in the environment: must be {allowed}, at least 1")
    number = int(match[1])
    return number << _UNITS[unit] if unit in ("K", "M", "G", "T") else number


def check_size(name: str, found: int, what: str) -> None:
    """Raise `RequestError` where `found` is more than the limit `name`; `what` is the line that says what was found."""
    allowed = limit(name)
    if found > allowed:
        shown = size(allowed) if LIMITS[name].in_bytes else str(allowed)
        raise RequestError(f"{what}; at most {shown}; the environment variable {name} raises that")


def few(count: int) -> str:
    """A whole number, however long: `100000`, `over 10^15`."""
    return str(count) if count < 10**15 else f"over 10^{math.floor(math.log10(count))}"


def size(count: int) -> str:
    """`512 MiB`, `29.8 GiB`."""
    if count >= 1 << 80:  # beyond what a float shows sensibly
        return "over a million million TiB"
    for unit, shift in (("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if count >= 1 << shift:
            number = count / (1 << shift)
            return f"{number:.3g} {unit}" if number < 100 else f"{number:.0f} {unit}"
    return f"{count} bytes"


def check_file(
    path: Path, where: str, name: str = "HARNESS_MAX_MEMORY", otherwise: str = "give a file that is there"
) -> None:
    """Before a file is opened: `RequestError` for what is no file, and for one that is larger than the limit `name`.

    `where` begins the line, `otherwise` says what to do. A pipe or a device (`/dev/zero`) has no end, so none is read.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        told = "no such file" if missing else f"cannot be read: {getattr(error, 'strerror', None) or error}"
        raise RequestError(f"{where}: {told}; {otherwise}") from None
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a device or a pipe"
        raise RequestError(f"{where}: is not a file but {kind}; {otherwise}")
    check_size(name, found.st_size, f"{where}: {size(found.st_size)}")
