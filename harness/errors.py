"""The one error that a user's request can raise, and the hint that goes with a misspelt name."""

import difflib
from collections.abc import Iterable
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
