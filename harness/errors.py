"""The one error that a user's request can raise, and the hint that goes with a misspelt name."""

import difflib
from collections.abc import Iterable


class RequestError(ValueError):
    """The request itself was wrong: one plain line that says what, where and what is allowed. Exit code 2."""


def unknown(kind: str, given: object, allowed: Iterable[str]) -> str:
    """`unknown optimizer 'adm': did you mean 'adam'? (allowed: sgd, momentum, nesterov, adam)`."""
    allowed = list(allowed)
    near = difflib.get_close_matches(str(given).lower(), allowed, n=1, cutoff=0.5)
    hint = f": did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {given!r}{hint} (allowed: {', '.join(allowed)})"
