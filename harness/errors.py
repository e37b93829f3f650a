"""The one error that a user's request can raise, and the hint that goes with a misspelt name."""

import difflib
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class RequestError(ValueError):
    """The request itself was wrong: one plain line that says what, where and what is allowed. Exit code 2."""


def unknown(kind: str, given: object, allowed: Iterable[str]) -> str:
    """`unknown optimizer 'adm': did you mean 'adam'? (allowed: sgd, momentum, nesterov, adam)`."""
    allowed = list(allowed)
    near = difflib.get_close_matches(str(given).lower(), allowed, n=1, cutoff=0.5)
    hint = f": did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {given!r}{hint} (allowed: {', '.join(allowed)})"


def short(value: Any) -> str:
    """A value for an error line: whole, unless it is very long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}…"


def describe(error: BaseException) -> str:
    """An exception in one line, with the place that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message[:500]}{place}" if message else f"{type(error).__name__}{place}"
